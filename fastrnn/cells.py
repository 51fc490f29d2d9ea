"""The cells as data: what each one computes, which gates it has and how large its parameters are.

A cell is a frozen value: it holds options, no weights, and what every call asks of it is found out once.
Everything that differs between cells is answered here or in the cell's file of ``fastrnn/reference``; the
layers, the time loop and the binding ask and never look at the class.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

__all__ = [
    "GRU",
    "LSTM",
    "MGU",
    "RNN",
    "Activation",
    "Cell",
    "Gated",
    "IndRNN",
    "MinGRU",
    "MinLSTM",
    "Noise",
    "kinds",
]


# The activations, in the order of csrc/activations.def: the defaults of alpha and beta where they take them.
_ACTIVATIONS: dict[str, tuple[float, ...]] = {
    "sigmoid": (),
    "tanh": (),
    "relu": (),
    "affine": (1.0, 0.0),
    "leaky_relu": (0.01,),
    "thresholded_relu": (1.0,),
    "scaled_tanh": (1.0, 1.0),
    "hard_sigmoid": (0.2, 0.5),
    "elu": (1.0,),
    "softsign": (),
    "softplus": (),
}
_SPELLINGS = {name.replace("_", ""): name for name in _ACTIVATIONS}
_SMALLEST, _LARGEST = float(np.finfo(np.float32).smallest_normal), float(np.finfo(np.float32).max)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


@dataclass(frozen=True, repr=False)
class Activation:
    """What a gate makes of its pre-activation: a function of ONNX's list, with its numbers.

    ================  ========================================================  ==========
    sigmoid           ``1 / (1 + exp(-z))``
    tanh              ``tanh(z)``
    relu              ``max(z, 0)``
    affine            ``alpha * z + beta``                                      1, 0
    leaky_relu        ``alpha * z`` below 0, else z                             0.01
    thresholded_relu  z above alpha, else 0                                     1
    scaled_tanh       ``alpha * tanh(beta * z)``                                1, 1
    hard_sigmoid      ``alpha * z + beta``, cut off at 0 and 1                  0.2, 0.5
    elu               ``alpha * (exp(z) - 1)`` below 0, else z                  1
    softsign          ``z / (1 + |z|)``
    softplus          ``log(1 + exp(z))``
    ================  ========================================================  ==========

    The numbers are what alpha and beta are if not given: the defaults of ONNX's operators of these names;
    ScaledTanh has none there, and 1, 1 here. Cells take an activation as a name alone, too, or as
    ``(name, alpha)`` or ``(name, alpha, beta)``.

    The slope at a kink is that from the left, so at 0 relu's is 0 and those of leaky_relu and elu are alpha;
    hard_sigmoid's is 0 where its value is 0 or 1.

    Parameters
    ----------
    name : str
        In any case, with or without underscores: "leaky_relu", "LeakyRelu".
    alpha, beta : float, optional
        Rounded to the dtype of the layer. None where the function takes none.

    Raises
    ------
    ValueError
        If there is no such function, or alpha or beta are not finite numbers (of float32's range), or are
        given to a function that takes none.

    Examples
    --------
    >>> Activation("HardSigmoid", alpha=0.25)
    Activation('hard_sigmoid', alpha=0.25, beta=0.5)
    """

    name: str
    alpha: float | None = None
    beta: float | None = None

    def __post_init__(self) -> None:
        name = _SPELLINGS.get(self.name.replace("_", "").lower()) if isinstance(self.name, str) else None
        if name is None:
            raise ValueError(
                f"no activation is called {self.name!r}; expected one of {', '.join(map(repr, _ACTIVATIONS))}"
            )
        object.__setattr__(self, "name", name)
        defaults = _ACTIVATIONS[name]
        for i, number in enumerate(("alpha", "beta")):
            value = getattr(self, number)
            if i >= len(defaults):
                if value is not None:
                    takes = "alpha, but no beta" if defaults else "neither alpha nor beta"
                    raise ValueError(f"{number} of {name} is {value!r}; {name} takes {takes}: leave it out")
                continue
            if value is None:
                value = defaults[i]
            if not _is_number(value) or not abs(value) <= _LARGEST:
                raise ValueError(
                    f"{number} of {name} is {value!r}; expected a finite number of float32's range"
                )
            object.__setattr__(self, number, float(value) + 0.0)  # -0 becomes +0: equal values act alike

    @classmethod
    def read(cls, value: Any, what: str) -> Activation:
        """The activation that a user gave as ``what``, such as "RNN: activation"."""
        try:
            if isinstance(value, cls):
                return value
            if isinstance(value, str):
                return cls(value)
            if isinstance(value, Mapping) and value.keys() == {"name", "alpha", "beta"}:
                return cls(**value)  # what dataclasses.asdict makes of one
            if isinstance(value, (tuple, list)) and 1 <= len(value) <= 3:
                return cls(*value)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        raise ValueError(
            f"{what} is {value!r}; expected a name, (name, alpha), (name, alpha, beta) or an Activation"
        )

    @property
    def native(self) -> tuple[int, float, float]:
        """``(kind, alpha, beta)`` for the native kernels; 0 for numbers that the function does not take."""
        return list(_ACTIVATIONS).index(self.name), self.alpha or 0.0, self.beta or 0.0

    def __repr__(self) -> str:
        numbers = [
            f", {name}={value!r}"
            for name, value in (("alpha", self.alpha), ("beta", self.beta))
            if value is not None
        ]
        return f"Activation({self.name!r}{''.join(numbers)})"


# What users may give for an activation: (name, alpha) and (name, alpha, beta) are tuples.
AnyActivation = Activation | str | tuple


class Noise(NamedTuple):
    """What is drawn at random for one pass of a cell over a batch.

    Attributes
    ----------
    recurrent : array, (B, P), or None
        Factors of h on its way into the recurrent products, the same at every step: variational dropout has
        0 and 1/(1-p) (Gal and Ghahramani 2016).
    zoneout : tuple of bool arrays, (T, B, width), or None
        For h, and for c where the cell has it: where the state of the step before is kept (Krueger et al.
        2017). None, for all or for one of them: the state keeps the cell's ``zoneout`` of what it was, the
        expectation.
    """

    recurrent: Any = None
    zoneout: tuple[Any, ...] | None = None


@dataclass(frozen=True, repr=False)
class Cell:
    """Base of all cells: the questions that every cell answers.

    Attributes
    ----------
    name : str
        The row of ``csrc/cells.def`` and the file of ``fastrnn/reference`` that hold its equations.
    gates : tuple of str
        The blocks of H rows in ``w_ih`` and ``w_hh``, in order.
    cached : tuple of str
        What a step leaves in the tape besides the states, each (T, B, H).
    recorded : tuple of str
        That, and with layer normalisation the products of each gate over h and over x.
    states : tuple of str
        The states carried from step to step; the first one is the output.
    parameters : tuple of str
        The names that parameters may have, in order.
    native_form : int
        Which of the forms of its native kernels the cell has.
    native_options, native_numbers, native_activations : tuple
        The options in the form in which the native kernels take them: integers, numbers, and activations as
        ``(kind, alpha, beta)``.
    """

    #: What parameters begin as that are not drawn.
    begins: ClassVar[Mapping[str, float]] = {"w_ln_ih": 1.0, "w_ln_hh": 1.0, "w_ln_c": 1.0, "b_ln_c": 0.0}
    #: The options of the variants that have a name.
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @property
    def gates(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def states(self) -> tuple[str, ...]:
        return ("h",)

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def cached(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def recorded(self) -> tuple[str, ...]:
        products = [f"{operand}{gate}" for operand in "hx" for gate in self.gates] if self.layer_norm else []
        return (*self.cached, *products)

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("w_ih", "w_hh", "b_ih", "b_hh", *["w_ln_ih", "w_ln_hh"] * self.layer_norm)

    @property
    def layer_norm(self) -> bool:
        """Whether products are normalised over the layer."""
        return False

    @property
    def layer_norm_eps(self) -> float:
        return 0.0

    @property
    def zoneout(self) -> tuple[float, ...]:
        """The part of the state before that h, and c, keep; () for none."""
        return ()

    @property
    def native_form(self) -> int:
        return 0

    @property
    def native_options(self) -> tuple[int, ...]:
        return ()

    @property
    def native_numbers(self) -> tuple[float, ...]:
        return ()

    @property
    def native_activations(self) -> tuple[tuple[int, float, float], ...]:
        return ()

    def parameter_shapes(self, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter by name; the biases may be left out of a set of parameters together.

        >>> LSTM().parameter_shapes(3, 5)
        {'w_ih': (20, 3), 'w_hh': (20, 5), 'b_ih': (20,), 'b_hh': (20,)}
        """
        rows = len(self.gates) * hidden_size
        shapes = {
            "w_ih": (rows, input_size),
            "w_hh": (rows, self.output_size(hidden_size)),
            "b_ih": (rows,),
            "b_hh": (rows,),
            "w_ln_ih": (rows,),
            "w_ln_hh": (rows,),
            "w_ln_c": (hidden_size,),
            "b_ln_c": (hidden_size,),
        }
        return {name: shapes[name] for name in self.parameters if name in shapes}

    def state_shapes(self, hidden_size: int) -> dict[str, int]:
        """Width of each state by name.

        >>> LSTM(proj_size=2).state_shapes(5)
        {'h': 2, 'c': 5}
        """
        return {"h": self.output_size(hidden_size)}

    def output_size(self, hidden_size: int) -> int:
        """Width of the output of a step."""
        return hidden_size

    def check_hidden_size(self, hidden_size: int) -> None:
        """Refuse a number of hidden units that makes no sense with the cell's options.

        The layers ask; `fastrnn.functional` computes what the shapes of the parameters say.
        """

    @property
    def chosen(self) -> dict[str, Any]:
        """The options that are not the usual ones, by name.

        >>> LSTM(peepholes="oi", clip=3).chosen
        {'clip': 3.0, 'peepholes': 'io'}
        """
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.chosen.items())})"

    def sizes(self, params: Mapping[str, np.ndarray]) -> tuple[int, int]:
        """``(input_size, hidden_size)`` read off the shape of ``w_ih``."""
        rows, input_size = np.shape(params["w_ih"])
        return input_size, rows // len(self.gates)


@dataclass(frozen=True, repr=False)
class Gated(Cell):
    """Base of cells whose gates take any activation, and whose pre-activations may be limited.

    Parameters
    ----------
    activations : mapping of str to activation
        By gate, where it is not the usual one: a name, ``(name, alpha)``, ``(name, alpha, beta)`` or an
        `Activation`. Kept as a tuple of pairs, without those that are the usual ones.
    clip : float or None
        Every pre-activation is cut to [-clip, clip]; the gradient of one that is cut is 0.
    zoneout : float, or tuple of them
        Probability with which each unit of h, or of h and of c, keeps its value of the step before in
        training; in inference it keeps that part of it. Kept as a tuple, empty for none.
    """

    _: KW_ONLY
    activations: Any = ()
    clip: float | None = None
    zoneout: Any = ()

    #: The activation of each gate, and of what else has one, in the order of the native kernels.
    usual: ClassVar[Mapping[str, Activation]]

    def __post_init__(self) -> None:
        who = type(self).__name__
        try:
            given = dict(self.activations)
        except (TypeError, ValueError):
            raise ValueError(
                f"{who}: activations is {self.activations!r}; expected a mapping of gates to activations, "
                f"such as {{{next(iter(self.usual))!r}: 'hard_sigmoid'}}"
            ) from None
        for name in given:
            if name not in self.usual:
                raise ValueError(
                    f"{who}: activations has {name!r}; expected gates of {', '.join(map(repr, self.usual))}"
                )
        read = {n: Activation.read(v, f"{who}: activation of {n!r}") for n, v in given.items()}
        kept = tuple((n, read[n]) for n, usual in self.usual.items() if read.get(n, usual) != usual)
        object.__setattr__(self, "activations", kept)
        object.__setattr__(self, "clip", _limit(who, "clip", self.clip))
        object.__setattr__(self, "zoneout", _zoneout(who, self.zoneout, "hc" if who == "LSTM" else "h"))

    def activation(self, gate: str) -> Activation:
        """The activation of a gate."""
        return dict(self.activations).get(gate, self.usual[gate])

    @property
    def cached(self) -> tuple[str, ...]:
        """The pre-activations of the gates."""
        return tuple(f"z{gate}" for gate in self.gates)

    @property
    def native_numbers(self) -> tuple[float, ...]:
        return (math.inf if self.clip is None else self.clip,)

    @functools.cached_property
    def native_activations(self) -> tuple[tuple[int, float, float], ...]:
        return tuple(self.activation(name).native for name in self.usual)


@dataclass(frozen=True, repr=False)
class RNN(Cell):
    """Elman's recurrent network (1990), with any activation.

    ::

        h = activation(W_ih x + b_ih + W_hh h' + b_hh)
        w_ln_ih * norm(W_ih x), w_ln_hh * norm(W_hh h') in place of W_ih x, W_hh h'    layer_norm

    where ``h'`` is the state of the step before.

    Parameters
    ----------
    activation : str, tuple or Activation
        The name of an `Activation`, ``(name, alpha)``, ``(name, alpha, beta)``, or one of them.
    clip : float, optional
        Cut the pre-activation to [-clip, clip] (ONNX's ``clip``); beyond, the slope is 0.
    zoneout : float
        Probability with which a unit of h keeps its value of the step before in training; in inference it
        keeps that part of it.
    layer_norm : bool
        Layer normalisation of both products (Ba et al., 2016), each with gains of its own, ``w_ln_ih`` and
        ``w_ln_hh`` (H,); see `LSTM`.
    layer_norm_eps : float
        What is added to the variance.

    Raises
    ------
    ValueError
        If there is no such activation, or clip is not a positive, finite number.

    Notes
    -----
    Elsewhere:

    * as it is: PyTorch, Keras, ONNX, oneDNN, cuDNN, FlashRNN, Flax, Haiku, numpy-ml, madmom
    * activation: Keras, ONNX, Flax, numpy-ml, madmom; relu alone PyTorch, oneDNN, cuDNN
    * clip: ONNX

    References
    ----------
    J. L. Elman (1990), "Finding structure in time"; J. L. Ba, J. R. Kiros and G. E. Hinton (2016), "Layer
    normalization".

    Examples
    --------
    >>> RNN(activation="relu").parameter_shapes(3, 5)
    {'w_ih': (5, 3), 'w_hh': (5, 5), 'b_ih': (5,), 'b_hh': (5,)}
    >>> RNN(("leaky_relu", 0.02), clip=3).activation
    Activation('leaky_relu', alpha=0.02)
    """

    activation: Activation = Activation("tanh")
    clip: float | None = None
    zoneout: Any = ()
    layer_norm: bool = False
    layer_norm_eps: float = 1e-5

    gates: ClassVar[tuple[str, ...]] = ("n",)

    def __init__(
        self,
        activation: AnyActivation = "tanh",
        clip: float | None = None,
        zoneout: Any = (),
        layer_norm: bool = False,
        layer_norm_eps: float = 1e-5,
    ) -> None:
        object.__setattr__(self, "activation", Activation.read(activation, "RNN: activation"))
        object.__setattr__(self, "clip", _limit("RNN", "clip", clip))
        object.__setattr__(self, "zoneout", _zoneout("RNN", zoneout, "h"))
        object.__setattr__(self, "layer_norm", layer_norm)
        object.__setattr__(self, "layer_norm_eps", layer_norm_eps)
        _check_norm(self)

    @property
    def name(self) -> str:
        """``"rnn"`` for tanh and relu without a limit and zoneout, ``"rnn_general"`` for the rest."""
        plain = self.activation.name in ("tanh", "relu") and self.clip is None and not self.zoneout
        return "rnn" if plain else "rnn_general"

    @functools.cached_property
    def cached(self) -> tuple[str, ...]:
        """Of ``rnn_general`` the pre-activation before the clip."""
        return () if self.name == "rnn" else ("z",)

    @functools.cached_property
    def native_options(self) -> tuple[int, ...]:
        """Of ``rnn`` ``(0,)`` for tanh, ``(1,)`` for relu."""
        return (int(self.activation.name == "relu"),) if self.name == "rnn" else ()

    @functools.cached_property
    def native_numbers(self) -> tuple[float, ...]:
        return (math.inf if self.clip is None else self.clip,)

    @functools.cached_property
    def native_activations(self) -> tuple[tuple[int, float, float], ...]:
        return (self.activation.native,)


# The vanilla LSTM of "LSTM: a search space odyssey", and what else it compares: that with one thing changed.
_V: dict[str, Any] = {"peepholes": "ifo"}
_ODYSSEY: dict[str, dict[str, Any]] = {
    "V": _V,
    "NIG": {**_V, "input_gate": False},
    "NFG": {**_V, "forget_gate": False},
    "NOG": {**_V, "output_gate": False},
    "NIAF": {**_V, "activations": {"g": "affine"}},
    "NOAF": {**_V, "activations": {"h": "affine"}},
    "CIFG": {**_V, "coupled": True},
    "NP": {},
    "FGR": {**_V, "full_gate_recurrence": True},
}


@dataclass(frozen=True, repr=False)
class LSTM(Gated):
    """Long short-term memory, gates in the order i, f, g, o, and what the literature has made of it.

    ::

        zi, zf, zg, zo = W_ih x + b_ih + W_hh h' + b_hh
        i, f, o = sigmoid(zi), sigmoid(zf), sigmoid(zo);  g = tanh(zg)
        c = f * c' + i * g
        h = o * tanh(c)

    and, by the options below::

        h = W_hr (o * tanh(c))                                      proj_size
        zi += p_i * c';  zf += p_f * c';  zo += p_o * c             peepholes
        f = 1 - i                                                   coupled
        i = 1                                                       input_gate=False
        f = 1                                                       forget_gate=False
        o = 1                                                       output_gate=False
        zi, zf, zo += W_gg (i', f', o')                             full_gate_recurrence
        c cut to [-cell_clip, cell_clip]                            cell_clip
        zi, zf, zg, zo = w_ln_ih * norm(W_ih x) + w_ln_hh * norm(W_hh h') + b_ih + b_hh    layer_norm
        h = o * tanh(w_ln_c * norm(c) + b_ln_c)                     layer_norm

    where ``norm(v) = (v - mean) / sqrt(variance + layer_norm_eps)``, over all units of all gates.

    Parameters
    ----------
    proj_size : int
        Size P of the projected output; 0 for none. Then ``w_hh`` is (4*H, P) and ``w_hr`` (P, H).
    peepholes : str
        Gates that see the cell state, of "ifo": i and f that of the step before, o the new one. Their weights
        are ``w_peephole``, always (3, H), the rows for i, f, o; rows of others have gradient 0.
    coupled : bool
        The input gate sets the forget gate; f has no weights then.
    input_gate, forget_gate, output_gate : bool
        A gate that is left out is 1, and has no weights.
    full_gate_recurrence : bool
        The gates of the step before, i, f and o as far as they are there, feed them, by ``w_gg``. They are a
        third state, r (B, R), R = 3*H for three of them; ``w_gg`` is (R, R).
    cell_clip : float or None
        Limit of the cell state. The gradient of what is cut off is 0.
    activations : mapping of str to activation
        Of "i", "f", "g", "o", and of "h", which acts on c; see `Activation`.
    clip : float or None
        Limit of the pre-activations, peepholes and biases included.
    zoneout : float or (float, float)
        Probability with which a unit of h and c, or of h and one of c, keeps its value of the step before in
        training; in inference it keeps that part of it.
    layer_norm : bool
        Layer normalisation of both products, each over the G*H units of all its gates together, and of c on
        its way to h, with gains ``w_ln_ih`` and ``w_ln_hh`` (G*H) and ``w_ln_c`` (H), and the bias ``b_ln_c``
        (H): the equations of Ba et al. (2016) with one bias for both products, as haste has them. With full
        gate recurrence the product over h includes that over the gates. Peepholes see c as it is.
    layer_norm_eps : float
        What is added to the variance.

    Raises
    ------
    ValueError
        If an option is none of these, or two contradict each other.

    Notes
    -----
    Elsewhere:

    * as it is: PyTorch, Keras, ONNX, oneDNN, cuDNN, haste, FlashRNN, Flax, Equinox, Haiku, numpy-ml, madmom,
      thinc
    * proj_size: PyTorch, oneDNN, cuDNN
    * peepholes: ONNX, oneDNN, madmom
    * coupled: ONNX
    * cell_clip: cuDNN
    * activations: Keras, ONNX, Flax, numpy-ml, madmom
    * zoneout: haste; of h alone
    * layer_norm: haste
    * clip: ONNX

    References
    ----------
    S. Hochreiter and J. Schmidhuber (1997), "Long short-term memory" (full gate recurrence); F. Gers, J.
    Schmidhuber and F. Cummins (2000), "Learning to forget" (the forget gate); F. Gers and J. Schmidhuber
    (2000), "Recurrent nets that time and count" (peepholes); H. Sak, A. Senior and F. Beaufays (2014), "Long
    short-term memory recurrent neural network architectures for large scale acoustic modeling" (the
    projection); J. L. Ba, J. R. Kiros and G. E. Hinton (2016), "Layer normalization"; K. Greff et al. (2017),
    "LSTM: a search space odyssey" (gates left out or coupled); D. Krueger et al. (2017), "Zoneout:
    regularizing RNNs by randomly preserving hidden activations".

    Examples
    --------
    >>> LSTM(proj_size=2).parameter_shapes(3, 5)
    {'w_ih': (20, 3), 'w_hh': (20, 2), 'b_ih': (20,), 'b_hh': (20,), 'w_hr': (2, 5)}
    >>> LSTM(coupled=True, peepholes="io").gates
    ('i', 'g', 'o')
    """

    proj_size: int = 0
    _: KW_ONLY
    peepholes: str = ""
    coupled: bool = False
    input_gate: bool = True
    forget_gate: bool = True
    output_gate: bool = True
    full_gate_recurrence: bool = False
    cell_clip: float | None = None
    layer_norm: bool = False
    layer_norm_eps: float = 1e-5

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = _ODYSSEY
    usual: ClassVar[Mapping[str, Activation]] = {
        "i": Activation("sigmoid"),
        "f": Activation("sigmoid"),
        "g": Activation("tanh"),
        "o": Activation("sigmoid"),
        "h": Activation("tanh"),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.proj_size
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 0:
            raise ValueError(
                f"LSTM: proj_size is {size!r}; expected an integer of at least 0, 0 for no projection"
            )
        object.__setattr__(self, "proj_size", int(size))
        for option in ("coupled", "input_gate", "forget_gate", "output_gate", "full_gate_recurrence"):
            object.__setattr__(self, option, _flag("LSTM", option, getattr(self, option)))
        _check_norm(self)
        if self.coupled and not (self.input_gate and self.forget_gate):
            gone = "input_gate" if not self.input_gate else "forget_gate"
            raise ValueError(f"LSTM: coupled=True makes f of i, and {gone}=False leaves it out; choose one")
        if self.full_gate_recurrence and self.gates == ("g",):
            raise ValueError("LSTM: full_gate_recurrence=True, but no gate is there that could feed others")
        peepholes = self.peepholes
        if (
            not isinstance(peepholes, str)
            or set(peepholes) - set("ifo")
            or len(set(peepholes)) < len(peepholes)
        ):
            raise ValueError(f"LSTM: peepholes is {peepholes!r}; expected some of the letters of 'ifo'")
        object.__setattr__(self, "peepholes", "".join(n for n in "ifo" if n in peepholes))
        object.__setattr__(self, "cell_clip", _limit("LSTM", "cell_clip", self.cell_clip))

    @classmethod
    def variant(cls, name: str, **options: Any) -> Self:
        """One of the variants of "LSTM: a search space odyssey" by its name there.

        Parameters
        ----------
        name : {"V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR"}
            V, the paper's vanilla LSTM, has peepholes; the others are V with one thing changed: no input,
            forget or output gate, no input or output activation, coupled gates, no peepholes, full gate
            recurrence.
        **options
            Further options of the cell, or others in place of the variant's.

        References
        ----------
        K. Greff et al. (2017), "LSTM: a search space odyssey".

        Examples
        --------
        >>> LSTM.variant("NP") == LSTM()
        True
        >>> LSTM.variant("CIFG", proj_size=2).gates
        ('i', 'g', 'o')
        """
        _one_of("LSTM.variant", "name", name, tuple(cls.variants))
        return cls(**{**cls.variants[name], **options})

    @functools.cached_property
    def _is_plain(self) -> bool:
        return self.chosen.keys() <= {"proj_size"}

    @property
    def name(self) -> str:
        """``"lstm"``, or ``"lstm_general"`` with any option but a projection."""
        return "lstm" if self._is_plain else "lstm_general"

    @functools.cached_property
    def gates(self) -> tuple[str, ...]:
        """Those of i, f, g, o that have weights."""
        there = {
            "i": self.input_gate,
            "f": self.forget_gate and not self.coupled,
            "g": True,
            "o": self.output_gate,
        }
        return tuple(gate for gate, is_there in there.items() if is_there)

    @functools.cached_property
    def peeping(self) -> str:
        """The gates with a peephole that are there."""
        return "".join(gate for gate in self.peepholes if gate in self.gates)

    @functools.cached_property
    def cached(self) -> tuple[str, ...]:
        """The gates; with any option but a projection, their pre-activations."""
        return self.gates if self._is_plain else super().cached

    @functools.cached_property
    def states(self) -> tuple[str, ...]:
        """h and c; with full gate recurrence also r, the gates i, f, o side by side."""
        return ("h", "c", "r") if self.full_gate_recurrence else ("h", "c")

    @functools.cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of `Cell`, and those that the options ask for."""
        more = {"w_hr": self.proj_size, "w_peephole": self.peepholes, "w_gg": self.full_gate_recurrence}
        own = [name for name, wanted in more.items() if wanted]
        names = super().parameters
        return (*names[:4], *own, *names[4:], *["w_ln_c", "b_ln_c"] * self.layer_norm)

    def parameter_shapes(self, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        fed = (len(self.gates) - 1) * hidden_size
        shapes = {
            **super().parameter_shapes(input_size, hidden_size),
            "w_hr": (self.proj_size, hidden_size),
            "w_peephole": (3, hidden_size),
            "w_gg": (fed, fed),
        }
        return {name: shapes[name] for name in self.parameters}

    def state_shapes(self, hidden_size: int) -> dict[str, int]:
        fed = (len(self.gates) - 1) * hidden_size
        widths = {"h": self.output_size(hidden_size), "c": hidden_size, "r": fed}
        return {name: widths[name] for name in self.states}

    def output_size(self, hidden_size: int) -> int:
        return self.proj_size or hidden_size

    def check_hidden_size(self, hidden_size: int) -> None:
        if self.proj_size >= hidden_size:
            raise ValueError(
                f"LSTM: proj_size is {self.proj_size}; expected less than hidden_size={hidden_size}, "
                "0 for no projection"
            )

    @functools.cached_property
    def native_form(self) -> int:
        """Bits: gates i, f, o have weights; they feed those of the next step."""
        if self._is_plain:
            return 0
        return (
            sum(1 << k for k, gate in enumerate("ifo") if gate in self.gates) + 8 * self.full_gate_recurrence
        )

    @functools.cached_property
    def native_options(self) -> tuple[int, ...]:
        """Bits of the gates i, f, o with a peephole; whether i and f are coupled."""
        return sum(1 << k for k, gate in enumerate("ifo") if gate in self.peeping), int(self.coupled)

    @functools.cached_property
    def native_numbers(self) -> tuple[float, ...]:
        return (*super().native_numbers, math.inf if self.cell_clip is None else self.cell_clip)


@dataclass(frozen=True, repr=False)
class GRU(Gated):
    """Gated recurrent unit, gates in the order r, z, n.

    ::

        r = sigmoid(W_ir x + b_ir + W_hr h' + b_hr)
        z = sigmoid(W_iz x + b_iz + W_hz h' + b_hz)
        n = tanh(W_in x + b_in + r * (W_hn h' + b_hn))         reset="after"
        n = tanh(W_in x + b_in + W_hn (r * h') + b_hn)         reset="before"
        h = (1 - z) * n + z * h'
        w_ln_ih * norm(W_ih x), w_ln_hh * norm(W_hh h') in place of W_ih x, W_hh h'    layer_norm

    Parameters
    ----------
    reset : {"after", "before"}
        Where the reset gate is applied: after the recurrent product, as PyTorch and cuDNN have it, or before
        it, as the paper.
    activations : mapping of str to activation
        Of "r", "z", "n"; see `Activation`.
    clip : float or None
        Limit of the pre-activations: what the activations are taken of.
    zoneout : float
        Probability with which a unit of h keeps its value of the step before in training; in inference it
        keeps that part of it.
    layer_norm : bool
        Layer normalisation of both products (Ba et al., 2016), each over the 3*H units of all its gates
        together, with gains ``w_ln_ih`` and ``w_ln_hh`` (3*H,), as haste has it; see `LSTM`. It goes with
        reset="after" alone.
    layer_norm_eps : float
        What is added to the variance.

    Raises
    ------
    ValueError
        If an option is none of these, or two contradict each other.

    Notes
    -----
    Elsewhere:

    * reset="after": PyTorch, Keras, ONNX, oneDNN, cuDNN, haste, FlashRNN, Flax, Equinox, madmom
    * reset="before": Keras, ONNX, oneDNN, Haiku
    * zoneout: haste
    * layer_norm: haste
    * activations: Keras, ONNX, Flax, madmom
    * clip: ONNX

    References
    ----------
    K. Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation" (reset before; there z and 1 - z change places); J. L. Ba, J. R. Kiros and G. E. Hinton
    (2016), "Layer normalization".

    Examples
    --------
    >>> GRU(reset="before").name
    'gru_before'
    """

    reset: Literal["after", "before"] = "after"
    _: KW_ONLY
    layer_norm: bool = False
    layer_norm_eps: float = 1e-5

    usual: ClassVar[Mapping[str, Activation]] = {
        "r": Activation("sigmoid"),
        "z": Activation("sigmoid"),
        "n": Activation("tanh"),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of("GRU", "reset", self.reset, ("after", "before"))
        _check_norm(self)
        if self.layer_norm and self.reset == "before":
            raise ValueError(
                'GRU: layer_norm=True with reset="before"; expected reset="after": before it, n has a '
                "recurrent product of its own, which no paper's normalisation covers"
            )

    @property
    def _is_plain(self) -> bool:
        return not (self.activations or self.clip or self.zoneout)

    @property
    def name(self) -> str:
        """``"gru"`` or ``"gru_before"``; with activations, a limit or zoneout ``"gru_general"``."""
        return {"after": "gru", "before": "gru_before"}[self.reset] if self._is_plain else "gru_general"

    @functools.cached_property
    def gates(self) -> tuple[str, ...]:
        return ("r", "z", "n")

    @functools.cached_property
    def cached(self) -> tuple[str, ...]:
        """The gates, or their pre-activations; with reset after also nh, the part of n that r multiplies."""
        gates = self.gates if self._is_plain else super().cached
        return (*gates, "nh") if self.reset == "after" else gates

    @functools.cached_property
    def native_form(self) -> int:
        return 0 if self._is_plain else ("after", "before").index(self.reset)


@dataclass(frozen=True, repr=False)
class MGU(Gated):
    """Minimal gated unit, gates in the order f, n: one gate that forgets, resets and updates.

    ::

        f = sigmoid(W_if x + b_if + W_hf h' + b_hf)
        n = tanh(W_in x + b_in + W_hn (f * h') + b_hn)
        h = (1 - f) * h' + f * n

    Parameters
    ----------
    activations : mapping of str to activation
        Of "f", "n"; see `Activation`.
    clip : float or None
        Limit of the pre-activations.
    zoneout : float
        Probability with which a unit of h keeps its value of the step before in training; in inference it
        keeps that part of it.

    Notes
    -----
    Elsewhere:

    * as it is: torchrecurrent; in Flax with f after the product W_hn h', and f and 1 - f exchanged in h

    References
    ----------
    G.-B. Zhou et al. (2016), "Minimal gated unit for recurrent neural networks".

    Examples
    --------
    >>> MGU().parameter_shapes(3, 5)
    {'w_ih': (10, 3), 'w_hh': (10, 5), 'b_ih': (10,), 'b_hh': (10,)}
    """

    name: ClassVar[str] = "mgu"
    gates: ClassVar[tuple[str, ...]] = ("f", "n")
    usual: ClassVar[Mapping[str, Activation]] = {"f": Activation("sigmoid"), "n": Activation("tanh")}


@dataclass(frozen=True, repr=False)
class IndRNN(Gated):
    """Independently recurrent network: each unit sees its own past alone.

    ::

        h = activation(W_ih x + b_ih + w_hh * h' + b_hh)

    with a vector ``w_hh``.

    Parameters
    ----------
    activations : mapping of str to activation
        Of "n", usually relu; see `Activation`.
    clip : float or None
        Limit of the pre-activations.
    zoneout : float
        Probability with which a unit of h keeps its value of the step before in training; in inference it
        keeps that part of it.

    Notes
    -----
    Elsewhere:

    * as it is: haste, torchrecurrent

    References
    ----------
    S. Li et al. (2018), "Independently recurrent neural network (IndRNN): building a longer and deeper RNN".

    Examples
    --------
    >>> IndRNN().parameter_shapes(3, 5)
    {'w_ih': (5, 3), 'w_hh': (5,), 'b_ih': (5,), 'b_hh': (5,)}
    """

    name: ClassVar[str] = "indrnn"
    gates: ClassVar[tuple[str, ...]] = ("n",)
    usual: ClassVar[Mapping[str, Activation]] = {"n": Activation("relu")}

    def parameter_shapes(self, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        return {**super().parameter_shapes(input_size, hidden_size), "w_hh": (hidden_size,)}

    @functools.cached_property
    def native_options(self) -> tuple[int, ...]:
        """``(1,)``: row 0 of its weights that multiply unit by unit is there."""
        return (1,)


@dataclass(frozen=True, repr=False)
class MinGRU(Gated):
    """minGRU: a GRU whose gates see the input alone, in the order z, n.

    ::

        z = sigmoid(W_iz x + b_iz)
        n = W_in x + b_in
        h = (1 - z) * h' + z * n

    Parameters
    ----------
    activations : mapping of str to activation
        Of "z" and "n", for n usually none, which is "affine"; see `Activation`.
    clip : float or None
        Limit of the pre-activations.
    zoneout : float
        Probability with which a unit of h keeps its value of the step before in training; in inference it
        keeps that part of it.

    References
    ----------
    L. Feng et al. (2024), "Were RNNs all we needed?"

    Examples
    --------
    >>> MinGRU().parameter_shapes(3, 5)
    {'w_ih': (10, 3), 'b_ih': (10,)}
    """

    name: ClassVar[str] = "mingru"
    gates: ClassVar[tuple[str, ...]] = ("z", "n")
    parameters: ClassVar[tuple[str, ...]] = ("w_ih", "b_ih")
    usual: ClassVar[Mapping[str, Activation]] = {"z": Activation("sigmoid"), "n": Activation("affine")}


@dataclass(frozen=True, repr=False)
class MinLSTM(Gated):
    """minLSTM: an LSTM whose gates see the input alone, in the order f, i, n, and share a whole.

    ::

        f = sigmoid(W_if x + b_if)
        i = sigmoid(W_ii x + b_ii)
        n = W_in x + b_in
        h = f / (f + i) * h' + i / (f + i) * n

    where both quotients are a half if ``f + i`` is 0.

    Parameters
    ----------
    activations : mapping of str to activation
        Of "f", "i" and "n", for n usually none, which is "affine"; see `Activation`.
    clip : float or None
        Limit of the pre-activations.
    zoneout : float
        Probability with which a unit of h keeps its value of the step before in training; in inference it
        keeps that part of it.

    References
    ----------
    L. Feng et al. (2024), "Were RNNs all we needed?"

    Examples
    --------
    >>> MinLSTM().parameter_shapes(3, 5)
    {'w_ih': (15, 3), 'b_ih': (15,)}
    """

    name: ClassVar[str] = "minlstm"
    gates: ClassVar[tuple[str, ...]] = ("f", "i", "n")
    parameters: ClassVar[tuple[str, ...]] = ("w_ih", "b_ih")
    usual: ClassVar[Mapping[str, Activation]] = {
        "f": Activation("sigmoid"),
        "i": Activation("sigmoid"),
        "n": Activation("affine"),
    }


def _zoneout(cell: str, value: Any, states: str) -> tuple[float, ...]:
    """The probability for each of the states; () where all are 0."""
    given = (value,) * len(states) if _is_number(value) else value
    if (
        not isinstance(given, (tuple, list))
        or len(given) not in (0, len(states))
        or not all(_is_number(p) and 0 <= p <= 1 for p in given)
    ):
        each = " or one for each of " + ", ".join(states) if len(states) > 1 else ""
        raise ValueError(f"{cell}: zoneout is {value!r}; expected a probability, 0 to 1{each}")
    return tuple(map(float, given)) if any(given) else ()


def kinds() -> dict[str, type[Cell]]:
    """Every cell by the name of its class, in the order of this file.

    >>> kinds()["MGU"]()
    MGU()
    """
    found = [value for value in globals().values() if isinstance(value, type) and issubclass(value, Cell)]
    return {kind.__name__: kind for kind in found if kind not in (Cell, Gated)}


def _check_norm(cell: RNN | LSTM | GRU) -> None:
    """Check the options of layer normalisation of a cell that is being made."""
    who = type(cell).__name__
    object.__setattr__(cell, "layer_norm", _flag(who, "layer_norm", cell.layer_norm))
    eps = _positive(who, "layer_norm_eps", cell.layer_norm_eps)
    object.__setattr__(cell, "layer_norm_eps", eps)
    if eps != type(cell).layer_norm_eps and not cell.layer_norm:
        raise ValueError(
            f"{who}: layer_norm_eps is {eps!r} without layer_norm=True; give both, or leave it out"
        )


def _flag(cell: str, argument: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{cell}: {argument} is {value!r}; expected True or False")
    return bool(value)


def _positive(cell: str, argument: str, value: Any) -> float:
    if not _is_number(value) or not _SMALLEST <= value <= _LARGEST:
        raise ValueError(
            f"{cell}: {argument} is {value!r}; expected a positive, finite number of float32's range"
        )
    return float(value)


def _limit(cell: str, argument: str, value: Any) -> float | None:
    """A number to cut values off at; None for no limit."""
    try:
        return None if value is None else _positive(cell, argument, value)
    except ValueError as error:
        raise ValueError(f"{error}, or None") from None


def _one_of(cell: str, argument: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{cell}: {argument} is {value!r}; expected one of {', '.join(map(repr, choices))}")
