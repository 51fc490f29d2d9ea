"""Initial values of parameters; `recurrent` draws those of a recurrent layer anew, as the literature does.

Numbers are drawn in float64 and then rounded, so that a float32 and a float64 module of the same seed start
from the same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, cast, get_args

import numpy as np

from .. import _checks, functional

if TYPE_CHECKING:
    from .recurrent import Recurrent

__all__ = ["UNDRAWN", "generator", "normal", "options", "parameter_dtype", "recurrent", "uniform"]

#: Given as ``rng``, it leaves values undrawn: for those who fill the parameters themselves.
UNDRAWN: Final[Any] = object()

Weights = Literal["uniform", "glorot", "orthogonal", "identity", "zeros"]
Biases = Literal["uniform", "zeros"]


class Options(TypedDict, total=False):
    """The arguments of `recurrent` by name, as a layer's ``init`` takes them."""

    input: Weights | None
    hidden: Weights | None
    bias: Biases | None
    each_gate: bool
    forget_bias: float | None
    chrono: float | None


def options(who: str, init: Any) -> Options:
    """Return the arguments of `recurrent` that an ``init`` has, by known names, as a dict of Python's own."""
    if not isinstance(init, Mapping):
        raise TypeError(
            f"{who}: init is {init!r}; expected a mapping of arguments of nn.init.recurrent, such as "
            "{'hidden': 'orthogonal'}"
        )
    known = Options.__annotations__
    for name in init:
        if name not in known:
            raise TypeError(
                f"{who}: init has {name!r}{_checks.nearest(name, known)}; expected some of {', '.join(known)}"
            )
    plain = {k: value.item() if isinstance(value, np.generic) else value for k, value in init.items()}
    return cast(Options, plain)


def parameter_dtype(dtype: Any) -> np.dtype:
    """Return `dtype` as a NumPy dtype, having checked that it is float32 or float64."""
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"dtype is {dtype}; parameters are float32 or float64")
    return dtype


def generator(who: str, rng: np.random.Generator | int | None) -> np.random.Generator:
    """Return `rng` itself if it is a generator, else a new one seeded by it (None: by the system)."""
    if rng is UNDRAWN:
        return rng
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{who}: rng is {rng!r}; expected a numpy.random.Generator, an int of at least 0, or None"
        ) from None


def uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float, dtype: np.dtype) -> np.ndarray:
    """Draw from U(-bound, bound)."""
    if rng is UNDRAWN:
        return np.empty(shape, dtype)
    return rng.uniform(-bound, bound, shape).astype(dtype, copy=False)


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Draw from N(0, 1)."""
    return rng.standard_normal(shape).astype(dtype, copy=False)


def recurrent(
    layer: Recurrent,
    *,
    input: Weights | None = None,
    hidden: Weights | None = None,
    bias: Biases | None = None,
    each_gate: bool = False,
    forget_bias: float | None = None,
    chrono: float | None = None,
    rng: np.random.Generator | int | None = None,
) -> Recurrent:
    r"""Draw the parameters of a recurrent layer anew, in place, in every layer and direction.

    What is not asked for stays as it is; a layer is built with U(-1/sqrt(H), 1/sqrt(H)) in these.

    Parameters
    ----------
    layer : Recurrent
    input : str, optional
        How ``weight_ih`` (G*H, features) is drawn:

        * ``"uniform"``: :math:`U(-1/\sqrt{H}, 1/\sqrt{H})`, as PyTorch;
        * ``"glorot"``: :math:`U(-a, a)`, :math:`a = \sqrt{6 / (rows + columns)}` (Glorot and Bengio, 2010),
          as Keras;
        * ``"orthogonal"``: orthonormal columns, or rows where they are fewer, every such matrix equally
          likely (Saxe et al., 2014), as Keras;
        * ``"identity"``: the identity for each gate (Le et al., 2015), which must be square;
        * ``"zeros"``.
    hidden : str, optional
        How ``weight_hh`` (G*H, P) is drawn, by the same names.
    bias : {"uniform", "zeros"}, optional
        How ``bias_ih`` and ``bias_hh`` are drawn.
    each_gate : bool
        Take ``"glorot"`` and ``"orthogonal"`` for the (H, features) of each gate alone, not for all gates
        together.
    forget_bias : float, optional
        The sum of both biases of the gate f of an LSTM (Jozefowicz et al., 2015).
    chrono : float, optional
        The longest time in steps, more than 2, over which the layer is to remember (Tallec and Ollivier,
        2018). With :math:`u \sim U(1, chrono - 1)` for each unit, the sum of both biases of the gate that
        keeps the state, f or GRU's z, is :math:`\log u`, and that of the gate i is :math:`-\log u`.
    rng : numpy.random.Generator, int or None
        None: the layer's own. Drawn are layer by layer the input and the recurrent weights, the biases, u.

    Returns
    -------
    Recurrent
        The layer.

    Raises
    ------
    ValueError
        An unknown name; identity where a gate is not square; a bias of a layer without, or of a gate that the
        cell has not; both forget_bias and chrono. Nothing is changed then.
    TypeError
        The layer is none; forget_bias or chrono is no number.
    RuntimeError
        The layer is frozen.

    Notes
    -----
    Other parameters, such as projections, those of layer normalisation and learned initial states, are left
    alone. The same seed gives the same bits on every machine.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010;
    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", 2014; Le, Jaitly and Hinton, "A simple way to initialize recurrent networks of rectified linear
    units", 2015; Jozefowicz, Zaremba and Sutskever, "An empirical exploration of recurrent network
    architectures", 2015; Tallec and Ollivier, "Can recurrent neural networks warp time?", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import nn
    >>> keras = dict(input="glorot", hidden="orthogonal", bias="zeros", forget_bias=1.0)
    >>> lstm = nn.init.recurrent(nn.LSTM(3, 4), **keras)
    >>> (lstm.params["bias_ih_l0"] + lstm.params["bias_hh_l0"])[4:8].tolist()
    [1.0, 1.0, 1.0, 1.0]
    >>> irnn = nn.RNN(3, 4, nonlinearity="relu", init=dict(hidden="identity", bias="zeros"))
    >>> bool((irnn.params["weight_hh_l0"] == np.eye(4)).all())
    True
    """
    who = "init.recurrent"
    if not hasattr(layer, "cell"):
        raise TypeError(f"{who}: layer is {_checks.kind(layer)}; expected a recurrent layer, such as LSTM")
    layer.check_not_frozen(who)
    _check_kind(who, "input", input, get_args(Weights))
    _check_kind(who, "hidden", hidden, get_args(Weights))
    _check_kind(who, "bias", bias, get_args(Biases))
    each_gate = _checks.flag(who, "each_gate", each_gate)
    rng = layer.rng if rng is None else generator(who, rng)
    keeps = _keeping_gate(who, layer, forget_bias, chrono)
    kinds = {"w_ih": input, "w_hh": hidden, **dict.fromkeys(_biases(layer), bias)}
    if bias is not None and not layer.bias:
        raise ValueError(f"{who}: bias is {bias!r}; this layer has none; build it with bias=True")
    passes = [params.arrays for params in layer._cells]
    for arrays in passes:
        _check_weight(who, "input", input, "w_ih", arrays, layer.hidden_size)
        _check_weight(who, "hidden", hidden, "w_hh", arrays, layer.hidden_size)

    gates, bound = layer.cell.gates, 1 / sqrt(layer.hidden_size)
    blocks = len(gates) if each_gate else 1
    for arrays in passes:
        for name, kind in kinds.items():
            if kind is not None:
                arrays[name][...] = _draw(kind, rng, arrays[name].shape, bound, len(gates), blocks)
        if keeps is None:
            continue
        sums: dict[str, Any] = {keeps: forget_bias}
        if chrono is not None:
            log_u = _log(rng.uniform(1, chrono - 1, layer.hidden_size))
            sums = {keeps: log_u, "i": -log_u} if "i" in gates else {keeps: log_u}
        for gate, value in sums.items():
            rows = slice(gates.index(gate) * layer.hidden_size, (gates.index(gate) + 1) * layer.hidden_size)
            for name in _biases(layer):
                arrays[name][rows] = value if name == "b_ih" else 0
    layer.mark_changed()
    return layer


def _keeping_gate(who: str, layer: Recurrent, forget_bias: float | None, chrono: float | None) -> str | None:
    """Return the gate whose bias is asked for, having checked that there is one; None: none is."""
    asked = {n: v for n, v in (("forget_bias", forget_bias), ("chrono", chrono)) if v is not None}
    if not asked:
        return None
    if len(asked) == 2:
        raise ValueError(f"{who}: forget_bias and chrono both set the bias of the forget gate; give one")
    ((argument, value),) = asked.items()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{who}: {argument} is {value!r}; expected a number")
    if not isfinite(value) or (argument == "chrono" and value <= 2):
        wanted = "a number of steps, more than 2" if argument == "chrono" else "a finite number"
        raise ValueError(f"{who}: {argument} is {value}; expected {wanted}")
    if not layer.bias:
        raise ValueError(f"{who}: {argument} needs biases; build the layer with bias=True")
    gates, states = layer.cell.gates, layer.cell.states
    if "f" in gates and ("i" in gates or "c" in states):  # without them f lets in, as in minimal gated units
        return "f"
    if argument == "chrono" and "z" in gates and "r" in gates:
        return "z"
    able = "the gate f of an LSTM" + " or z of a GRU" * (argument == "chrono")
    raise ValueError(f"{who}: {argument} needs {able}; {layer.cell} has {', '.join(map(repr, gates))}")


def _biases(layer: Recurrent) -> tuple[str, ...]:
    """The names of the cell's biases, b_ih and for most b_hh; that of a normalised c stays as it is."""
    return tuple(name for name in layer.cell.parameters if name in ("b_ih", "b_hh"))


def _check_kind(who: str, argument: str, kind: str | None, choices: tuple[str, ...]) -> None:
    if kind is not None and kind not in choices:
        raise ValueError(
            f"{who}: {argument} is {kind!r}; expected one of {', '.join(map(repr, choices))}, "
            "or None to leave it as it is"
        )


def _check_weight(
    who: str,
    argument: str,
    kind: str | None,
    name: str,
    arrays: Mapping[str, np.ndarray],
    hidden_size: int,
) -> None:
    """Refuse a kind that the weight of this name, in one pass, cannot be drawn as."""
    if kind is None:
        return
    if name not in arrays:
        raise ValueError(f"{who}: {argument} is {kind!r}; this layer has no {name}")
    shape = arrays[name].shape
    if kind not in ("uniform", "zeros") and len(shape) != 2:
        raise ValueError(f"{who}: {argument} is {kind!r}; expected a matrix, {name} has shape {shape}")
    if kind == "identity" and shape[1] != hidden_size:
        raise ValueError(
            f"{who}: {argument} is 'identity'; expected a square matrix for each gate, {name} has "
            f"{(hidden_size, shape[1])}"
        )


def _draw(
    kind: str, rng: np.random.Generator, shape: tuple[int, ...], bound: float, gates: int, blocks: int
) -> np.ndarray:
    """Draw a parameter in float64; what looks at a whole matrix, as so many blocks of rows."""
    if kind == "zeros":
        return np.zeros(shape)
    if kind == "uniform":
        return rng.uniform(-bound, bound, shape)
    rows, columns = shape
    if kind == "identity":
        return np.tile(np.eye(columns), (gates, 1))
    draw = {"glorot": _glorot, "orthogonal": _orthogonal}[kind]
    return np.concatenate([draw(rng, rows // blocks, columns) for _ in range(blocks)])


def _log(u: np.ndarray) -> np.ndarray:
    """The logarithm, rounded from 28 digits: NumPy's has other bits on other machines."""
    from decimal import Decimal

    return np.array([float(Decimal(v).ln()) for v in u.tolist()])


def _glorot(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    bound = sqrt(6 / (rows + columns))
    return rng.uniform(-bound, bound, (rows, columns))


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Orthonormal columns, or rows where they are fewer: normal numbers by Gram and Schmidt, 64 at a time.

    LAPACK would be shorter, but its bits depend on the machine.
    """
    drawn = rng.standard_normal((min(rows, columns), max(rows, columns)))
    q = np.zeros_like(drawn)
    for k in range(0, len(q), 64):
        for j, v in enumerate(_without(drawn[k : k + 64], q[:k]), k):
            v = _without(v, q[k:j])
            q[j] = v / np.sqrt(functional.linear(v, v[None]))
    return q if rows <= columns else q.T


def _without(v: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The vectors v (..., n) less their parts along the orthonormal q (k, n); once is not exact enough."""
    for _ in range(2):
        v = v - functional.linear(functional.linear(v, q), q.T)
    return v
