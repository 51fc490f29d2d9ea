"""Looking inside recurrent layers: how far gradients reach back, which inputs matter, what gates do.

Nothing here changes a layer, and what is shown is inference: no dropout acts. A frozen layer stays frozen.
Results are kept by layer and direction, ``result.layer(0)``, ``result.layer(1, reverse=True)``, their arrays
time first whatever ``batch_first`` is, and without the axis of the batch where x had none. `fastrnn.plot`
draws them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from . import _checks
from .cells import LSTM, Cell, Gated
from .nn import Module, Recurrent, RecurrentTape

__all__ = [
    "Activations",
    "GradientNorms",
    "Saturation",
    "Shares",
    "SpectralRadius",
    "Trend",
    "activations",
    "gradient_norms",
    "input_influence",
    "saturation",
    "spectral_radius",
    "text_activations",
]

Value = TypeVar("Value")

#: A gradient that shrinks or grows by more than this over all steps is said to vanish or to explode.
_FAR = 1000.0

#: Activations whose values lie between 0 and 1.
_OPENING = ("sigmoid", "hard_sigmoid")


@dataclass(frozen=True, eq=False, repr=False)
class _ByLayer(Generic[Value]):
    """One value for each layer and direction.

    Attributes
    ----------
    of : str
        The layer that was looked into, as it prints.
    passes : dict of (layer, reverse) to value
        In the order of the layer's states.
    """

    of: str
    passes: dict[tuple[int, bool], Value]

    def layer(self, k: int, reverse: bool = False) -> Value:
        """Return what there is of layer `k` in one direction."""
        try:
            return self.passes[k, bool(reverse)]
        except KeyError:
            raise IndexError(
                f"{type(self).__name__}.layer({k}, reverse={bool(reverse)}): there are layers 0 to "
                f"{max(self.passes)[0]} of {self.of}"
            ) from None

    def __repr__(self) -> str:
        return "\n".join([f"{type(self).__name__} of {self.of}", *_table(list(self._lines()))])

    def _lines(self) -> Iterator[tuple[str, ...]]:
        """The rows of what is printed, the first one their heading."""
        raise NotImplementedError


# -- gradients --------------------------------------------------------------------------------------


class Trend(NamedTuple):
    """How a gradient changes on its way back through time.

    Attributes
    ----------
    first, last : float
        The norm where the gradient begins, and farthest back where it is neither 0 nor overflown.
    steps : int
        The steps between the two.
    factor : float
        By which the norm changes in a step, in geometric mean; NaN if there are no steps.
    verdict : str
        "vanishes" or "explodes" if it changes more than a thousandfold, or ends in 0 or in an overflow; else
        "is carried". "none arrives" where it is 0 throughout.
    """

    first: float
    last: float
    steps: int
    factor: float
    verdict: str

    @property
    def half_life(self) -> float:
        """Steps in which the norm halves, at the mean factor; infinity if it does not fall.

        >>> Trend(1.0, 0.125, 3, 0.5, "is carried").half_life
        1.0
        """
        if not self.factor < 1:
            return math.inf
        return math.log(0.5) / math.log(self.factor) if self.factor else 0.0

    @classmethod
    def of(cls, norms: np.ndarray) -> Trend:
        """Return the trend of norms (steps + 1,), which go back in time.

        >>> Trend.of(np.array([8.0, 4.0, 2.0, 1.0]))
        Trend(first=8.0, last=1.0, steps=3, factor=0.5, verdict='is carried')
        """
        reached = norms[: np.argmin(np.isfinite(norms))] if not np.isfinite(norms).all() else norms
        there = np.flatnonzero(reached)
        if not there.size:
            none = "explodes" if len(reached) < len(norms) else "none arrives"
            return cls(0.0, 0.0, 0, math.nan, none)
        begin, end = int(there[0]), int(there[-1])
        first, last = float(norms[begin]), float(norms[end])
        steps = end - begin
        change = math.log(last) - math.log(first)
        if len(reached) < len(norms) or change > math.log(_FAR):
            verdict = "explodes"
        elif end + 1 < len(norms) or change < -math.log(_FAR):
            verdict = "vanishes"
        else:
            verdict = "is carried"
        return cls(first, last, steps, math.exp(change / steps) if steps else math.nan, verdict)


@dataclass(frozen=True, eq=False, repr=False)
class GradientNorms(_ByLayer[dict[str, np.ndarray]]):
    """The norm of the gradient of the state at every step back in time: see `gradient_norms`.

    ``norms.layer(0)["h"]`` is (T+1, B): at index k for each row the norm of the gradient of h, k steps before
    the row's end in the direction of the pass; NaN where the row has not so many steps. Index 0 is the final
    state, the row's length the initial one. For x without a batch it is (T+1,). Printed are the trends.

    Attributes
    ----------
    lengths : int64 ndarray, (B,)
        Steps of each row.
    """

    lengths: np.ndarray

    def curve(self, k: int = 0, reverse: bool = False, state: str | None = None) -> np.ndarray:
        """Return the norms of a layer in one direction over the batch, (steps of the longest row + 1,).

        Parameters
        ----------
        k : int
        reverse : bool
        state : str, optional
            "h", "c", as the cell has them; None: of all its states together.

        Returns
        -------
        numpy.ndarray
            The root of the mean square over the rows that reach so far back: of one row, its norm.

        Raises
        ------
        IndexError, ValueError
            There is no such layer, direction or state.
        """
        norms = self.layer(k, reverse)
        if state is not None and state not in norms:
            raise ValueError(
                f"GradientNorms.curve: state is {state!r}; expected {', '.join(map(repr, norms))}, or None "
                "for all together"
            )
        chosen = norms.values() if state is None else [norms[state]]
        longest = int(self.lengths.max(initial=0))
        rows = _norm(np.array([a.reshape(len(a), -1) for a in chosen]), axis=0)[: longest + 1]
        there = np.arange(longest + 1)[:, None] <= self.lengths
        return _norm(np.where(there, rows, 0), axis=1) / np.sqrt(np.maximum(there.sum(axis=1), 1))

    def trend(self, k: int = 0, reverse: bool = False, state: str | None = None) -> Trend:
        """Return how the norms of `curve` change on their way back, with the arguments of `curve`."""
        return Trend.of(self.curve(k, reverse, state))

    def _lines(self) -> Iterator[tuple[str, ...]]:
        yield "", "", "first", "last", "steps", "a step", ""
        for which, norms in self.passes.items():
            whole = [None] if len(norms) > 1 else []
            for state in [*whole, *norms]:
                trend = self.trend(*which, state)
                yield (
                    _pass_name(which),
                    state or ", ".join(norms),
                    f"{trend.first:.3g}",
                    f"{trend.last:.3g}",
                    str(trend.steps),
                    f"x {trend.factor:.4g}" if trend.steps else "",
                    trend.verdict + _pace(trend.factor),
                )


def gradient_norms(
    layer: Recurrent,
    x: np.ndarray,
    dy: np.ndarray | None = None,
    dstate: Any = None,
    *,
    state: Any = None,
    lengths: Sequence[int] | None = None,
    mask: np.ndarray | None = None,
) -> GradientNorms:
    r"""Measure the gradient of the state at every step back in time, in every layer and direction.

    With neither `dy` nor `dstate` only the end of the sequence counts, the picture of vanishing and exploding
    gradients: the loss is :math:`\sum_u h_u / \sqrt{P}` of the last layer's final state, in each direction,
    whose gradient has the norm 1. Where there is one layer in one direction, the norms are those of

    .. math::

        \frac{\partial L}{\partial s_t} =
        \Bigl(\prod_{k=t+1}^T \frac{\partial s_k}{\partial s_{k-1}}\Bigr)^\top \frac{\partial L}{\partial s_T}

    with the states s, which are h and c of an LSTM together.

    Parameters
    ----------
    layer : Recurrent
        Any recurrent layer, frozen or not.
    x : array_like
        As the layer takes it.
    dy : array_like, optional
        Gradient of the output, of its shape.
    dstate : array or tuple of arrays, optional
        Gradient of the final state, of its shape. With either of them given, the other is 0 if it is not.
    state, lengths, mask
        As for calling the layer.

    Returns
    -------
    GradientNorms
        Of the gradients that are carried from step to step, as ``backward(..., each_step=True)`` returns
        them. What comes to a step's h from outside, by `dy` or from the layer above, is in the gradients of
        the steps before it; so in all layers but the last the norm at the end is 0. A masked step is a step,
        whose state has the gradient of the one it holds.

    Raises
    ------
    ValueError, TypeError
        layer is no recurrent layer; others as from ``forward`` and ``backward`` of the layer.

    References
    ----------
    Bengio, Simard and Frasconi, "Learning long-term dependencies with gradient descent is difficult", 1994;
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.

    Examples
    --------
    >>> import fastrnn
    >>> from fastrnn import inspect
    >>> rnn = fastrnn.RNN(3, 2, nonlinearity="affine", bias=False)
    >>> rnn.params["weight_hh_l0"][...] = 0.5 * np.eye(2)
    >>> norms = inspect.gradient_norms(rnn, np.ones((12, 3)))
    >>> norms
    GradientNorms of RNN(3, 2, nonlinearity=Activation('affine', alpha=1.0, beta=0.0), bias=False)
                  first      last  steps  a step
      layer 0  h      1  0.000244     12   x 0.5  vanishes, halves every step
    >>> norms.layer(0)["h"][:4].round(4).tolist()
    [1.0, 0.5, 0.25, 0.125]
    """
    layer = _inspected("gradient_norms", layer)
    _, _, tape = layer.run(x, state, lengths=lengths, mask=mask, tape=True)
    if dy is None and dstate is None:
        dstate = _of_final_h(layer, tape)
    rows, unbatched = _lengths(tape), tape.unbatched
    *_, dstates = layer.backward(tape, dy, dstate, consume=True, each_step=True)
    passes = {}
    for which in _passes(layer):
        passes[which] = {
            name.removeprefix("d"): _unbatched(_steps_back(d, rows, reverse=which[1]), unbatched)
            for name, d in dstates.layer(*which).items()
        }
    return GradientNorms(repr(layer), passes, rows)


def input_influence(
    layer: Recurrent,
    x: np.ndarray,
    unit: int | None = None,
    *,
    dstate: Any = None,
    state: Any = None,
    lengths: Sequence[int] | None = None,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    r"""Measure how much the input at every step matters to the final state.

    That is the norm :math:`\lVert \partial L / \partial x_t \rVert` of the gradient by each step of x, where
    L is one unit of the last layer's final h, by default :math:`\sum_u h_u / \sqrt{P}` in each direction.

    Parameters
    ----------
    layer : Recurrent
    x : array_like
        As the layer takes it.
    unit : int, optional
        Of the last layer's h, 0 <= unit < D*P, those of the reverse direction behind those of the forward
        one, as in the output.
    dstate : array or tuple of arrays, optional
        Instead of `unit`: the gradient of the whole final state, of its shape, such as a loss gives it.
    state, lengths, mask
        As for calling the layer.

    Returns
    -------
    numpy.ndarray, (T, B), or (T,) for x without a batch
        0 past a length and at masked steps.

    Raises
    ------
    ValueError, TypeError
        layer is no recurrent layer; unit is none of it, or comes with dstate; others as from ``forward`` and
        ``backward`` of the layer.

    References
    ----------
    Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks: visualising image classification
    models and saliency maps", 2014.

    Examples
    --------
    >>> import fastrnn
    >>> from fastrnn import inspect
    >>> x = np.random.default_rng(0).standard_normal((50, 8, 3))
    >>> inspect.input_influence(fastrnn.GRU(3, 16, rng=0), x, unit=5).shape
    (50, 8)
    """
    layer = _inspected("input_influence", layer)
    if unit is not None:
        width = layer.cell.output_size(layer.hidden_size) * (1 + layer.bidirectional)
        unit = _checks.size("input_influence", "unit", unit, least=0)
        if unit >= width:
            raise ValueError(
                f"input_influence: unit is {unit}; expected 0 to {width - 1}, the last layer's outputs"
            )
        if dstate is not None:
            raise ValueError("input_influence: unit and dstate are both given; leave one of them out")
    _, _, tape = layer.run(x, state, lengths=lengths, mask=mask, tape=True)
    unbatched = tape.unbatched
    if dstate is None:
        dstate = _of_final_h(layer, tape, unit)
    dx, _, _ = layer.backward(tape, None, dstate, consume=True)
    norms = _norm(dx, axis=-1)
    return norms.T if layer.batch_first and not unbatched else norms


def _of_final_h(layer: Recurrent, tape: RecurrentTape, unit: int | None = None) -> Any:
    """The gradient of the final state of a loss that sees the last layer's h alone: one unit, or their sum
    scaled so that its norm is 1 in each direction.
    """
    batch, directions = tape.passes[0].x.shape[1], 1 + layer.bidirectional
    width = layer.cell.output_size(layer.hidden_size)
    dh = np.zeros((layer.num_layers * directions, batch, width), layer.dtype)
    last = dh[-directions:]
    if unit is None:
        last[...] = width**-0.5
    else:
        last[unit // width, :, unit % width] = 1
    dh = dh[:, 0] if tape.unbatched else dh
    others = len(layer.cell.states) - 1
    return (dh, *[None] * others) if others else dh


def _pace(factor: float) -> str:
    """In how many steps a norm halves or doubles that changes by a factor in each."""
    if math.isnan(factor) or factor in (0, 1):
        return ""
    steps = math.log(2) / abs(math.log(factor))
    every = f"{steps:.3g}" if steps < 1000 else f"{steps:,.0f}"
    return f", {'halves' if factor < 1 else 'doubles'} every {'step' if every == '1' else f'{every} steps'}"


def _steps_back(slots: np.ndarray, lengths: np.ndarray, reverse: bool) -> np.ndarray:
    """Norms (T+1, B) by steps back from each row's end, of gradients (T+1, B, .) in the slots of a tape."""
    k = np.arange(len(slots))[:, None]
    at = np.broadcast_to(k, slots.shape[:2]) if reverse else np.maximum(lengths - k, 0)
    norms = _norm(slots, axis=2)[at, np.arange(len(lengths))]
    return np.where(k <= lengths, norms, np.nan)


# -- activations ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Activations(_ByLayer[dict[str, np.ndarray]]):
    """Gates and states of every step: see `activations`.

    ``found.layer(0)["f"]`` is the forget gate, ``found.layer(0)["c"]`` the cell state after each step,
    (T, B, H), for x without a batch (T, H); read-only, 0 past a length. At a masked step gates are 0, and
    states are those held.

    Attributes
    ----------
    cell : Cell
    gates : tuple of str
        Which of the names are the cell's gates, as its tape has them; the others are states.
    counted : bool ndarray, (T, B) or (T,)
        The steps within a row's length that are not masked.
    tokens : tuple of str, or None
        What the steps of x were made of.
    """

    cell: Cell
    gates: tuple[str, ...]
    counted: np.ndarray
    tokens: tuple[str, ...] | None = None

    def pairs(self, name: str, unit: int, k: int = 0, reverse: bool = False) -> list[tuple[str, float]]:
        """Return each token with the value of one unit at its step.

        Parameters
        ----------
        name : str
            A gate or a state.
        unit : int
        k, reverse
            Layer and direction.

        Raises
        ------
        ValueError, IndexError
            There are no tokens, or is no such name, unit, layer or direction.

        Examples
        --------
        >>> import fastrnn
        >>> from fastrnn import inspect
        >>> x = np.eye(3, dtype=np.float32)
        >>> found = inspect.activations(fastrnn.GRU(3, 2, rng=0), x, tokens="abc")
        >>> [(token, round(z, 2)) for token, z in found.pairs("z", unit=1)]
        [('a', 0.67), ('b', 0.65), ('c', 0.36)]
        """
        if self.tokens is None:
            raise ValueError("Activations.pairs: there are no tokens; give activations(..., tokens=text)")
        arrays = self.layer(k, reverse)
        if name not in arrays:
            there = ", ".join(map(repr, arrays))
            raise ValueError(f"Activations.pairs: name is {name!r}; expected one of {there}")
        array = arrays[name]
        if not 0 <= unit < array.shape[-1]:
            raise IndexError(
                f"Activations.pairs: unit is {unit}; {name} has units 0 to {array.shape[-1] - 1}"
            )
        return list(zip(self.tokens, array[:, unit].tolist(), strict=True))

    def _lines(self) -> Iterator[tuple[str, ...]]:
        yield "", "gates", "states", ""
        for which, arrays in self.passes.items():
            states = [f"{name} {array.shape}" for name, array in arrays.items() if name not in self.gates]
            yield _pass_name(which), ", ".join(self.gates) or "none", ", ".join(states), ""


def activations(
    layer: Recurrent,
    x: np.ndarray,
    *,
    state: Any = None,
    lengths: Sequence[int] | None = None,
    mask: np.ndarray | None = None,
    tokens: Iterable[str] | None = None,
) -> Activations:
    """Run a layer and return the gates and states of every step, by name, for each layer and direction.

    Parameters
    ----------
    layer : Recurrent
    x : array_like
        As the layer takes it.
    state, lengths, mask
        As for calling the layer.
    tokens : str or iterable of str, optional
        What the steps were made of, for x without a batch (T, I): T strings, such as the characters of a
        text.

    Raises
    ------
    ValueError, TypeError
        layer is no recurrent layer; tokens for a batch, or not as many as steps; others as from calling the
        layer.

    Examples
    --------
    >>> import fastrnn
    >>> from fastrnn import inspect
    >>> x = np.random.default_rng(0).standard_normal((50, 8, 3))
    >>> found = inspect.activations(fastrnn.LSTM(3, 16, num_layers=2), x)
    >>> found
    Activations of LSTM(3, 16, num_layers=2)
               gates       states
      layer 0  i, f, g, o  h (50, 8, 16), c (50, 8, 16)
      layer 1  i, f, g, o  h (50, 8, 16), c (50, 8, 16)
    >>> found.layer(1)["f"].shape
    (50, 8, 16)
    """
    _check_layer("activations", layer)
    _, _, tape = layer.run(x, state, lengths=lengths, mask=mask, tape=True)
    first = tape.passes[0]
    inside = np.arange(len(first.x))[:, None] < _lengths(tape)
    passes = {}
    for which in _passes(layer):
        one = tape.layer(*which)
        # In reverse a tape has the initial state in the slot past a length.
        states = {name: _read_only(np.where(inside[..., None], a, 0)) for name, a in one.state.items()}
        arrays = {**one.gates, **states}
        passes[which] = {name: _unbatched(a, tape.unbatched) for name, a in arrays.items()}
    counted = inside if first.mask is None else inside & first.mask
    given = _tokens(tokens, len(counted), tape.unbatched)
    gates = tuple(first.gates)
    return Activations(repr(layer), passes, layer.cell, gates, _unbatched(counted, tape.unbatched), given)


def text_activations(model: Any, text: str) -> Activations:
    """Run a language model over a text and return the gates and states at every character.

    Parameters
    ----------
    model : fastrnn.models.LanguageModel
    text : str
        At least one character.

    Returns
    -------
    Activations
        With the characters as its tokens.

    Raises
    ------
    TypeError, ValueError
        model is no language model, text is no str, or empty.

    References
    ----------
    Karpathy, Johnson and Fei-Fei, "Visualizing and understanding recurrent networks", 2015.

    Examples
    --------
    >>> from fastrnn import inspect, models
    >>> model = models.LanguageModel(hidden_size=32, num_layers=1)
    >>> model.build("the cat sat on the mat.")
    >>> found = inspect.text_activations(model, "the cat")
    >>> found.layer(0)["c"].shape, found.tokens
    ((7, 32), ('t', 'h', 'e', ' ', 'c', 'a', 't'))
    """
    if not hasattr(type(model), "vocab") or not hasattr(type(model), "network"):
        raise TypeError(
            f"text_activations: model is a {type(model).__name__}; expected a fastrnn.models.LanguageModel"
        )
    if not isinstance(text, str):
        raise TypeError(f"text_activations: text is a {type(text).__name__}; expected a str")
    if not text:
        raise ValueError("text_activations: text is empty; give at least one character")
    network = model.network
    return activations(network.rnn, network.embedding(model.vocab.encode(text)), tokens=text)


class Shares(NamedTuple):
    """How often each unit of a gate is nearly shut and nearly open, (H,) each, as shares of the steps."""

    shut: np.ndarray
    open: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Saturation(_ByLayer[dict[str, Shares]]):
    """How often gates are nearly shut or nearly open: see `saturation`. Printed are the means over units.

    Attributes
    ----------
    low, high : float
        Below which a gate counts as shut, and above which as open.
    """

    low: float
    high: float

    def _lines(self) -> Iterator[tuple[str, ...]]:
        yield "", "", f"below {self.low:g}", f"above {self.high:g}", ""
        for which, gates in self.passes.items():
            for name, shares in gates.items():
                means = (f"{np.mean(share):.1%}" for share in shares)
                yield _pass_name(which), name, *means, ""


def saturation(found: Activations, low: float = 0.1, high: float = 0.9) -> Saturation:
    """Count how often each unit of each gate is nearly shut, below `low`, and nearly open, above `high`.

    A forget gate that is open nearly always is a unit that remembers long; one that is shut nearly always
    has become feed-forward.

    Parameters
    ----------
    found : Activations
        From `activations` or `text_activations`.
    low, high : float
        0 <= low <= high <= 1.

    Returns
    -------
    Saturation
        ``result.layer(0)["f"].open`` is (H,), for the gates whose values lie between 0 and 1. Steps past a
        length and masked steps do not count; NaN where no step does.

    Raises
    ------
    ValueError
        No gate of the cell lies between 0 and 1; low and high are not in their range.
    TypeError
        found is something else.

    References
    ----------
    Karpathy, Johnson and Fei-Fei, "Visualizing and understanding recurrent networks", 2015.

    Examples
    --------
    >>> import fastrnn
    >>> from fastrnn import inspect
    >>> lstm = fastrnn.LSTM(3, 16, rng=0, init={"chrono": 50, "rng": 0})
    >>> x = np.random.default_rng(0).standard_normal((50, 8, 3))
    >>> inspect.saturation(inspect.activations(lstm, x))
    Saturation of LSTM(3, 16)
                  below 0.1  above 0.9
      layer 0  i      71.9%       0.0%
      layer 0  f       0.0%      71.9%
      layer 0  o       0.0%       0.0%
    """
    if not isinstance(found, Activations):
        raise TypeError(
            f"saturation: found is a {type(found).__name__}; expected what inspect.activations returned"
        )
    low = _checks.probability("saturation", "low", low)
    high = _checks.probability("saturation", "high", high)
    if low > high:
        raise ValueError(f"saturation: low is {low}, high is {high}; expected low <= high")
    names = [name for name in found.gates if _opens(found.cell, name)]
    if not names:
        raise ValueError(f"saturation: {found.cell} has no gate whose values lie between 0 and 1")
    passes = {}
    for which, arrays in found.passes.items():
        gates = {name: arrays[name][found.counted] for name in names}  # (steps that count, H)
        passes[which] = {name: Shares(_share(a < low), _share(a > high)) for name, a in gates.items()}
    return Saturation(found.of, passes, low, high)


def _opens(cell: Cell, gate: str) -> bool:
    """Whether the values of a gate lie between 0 and 1."""
    if isinstance(cell, LSTM) and cell.coupled and gate == "f":
        gate = "i"  # f = 1 - i
    return isinstance(cell, Gated) and gate in cell.usual and cell.activation(gate).name in _OPENING


def _share(true: np.ndarray) -> np.ndarray:
    """The share of steps, axis 0, at which it is true."""
    return true.mean(axis=0) if len(true) else np.full(true.shape[1:], np.nan)


def _tokens(tokens: Iterable[str] | None, steps: int, unbatched: bool) -> tuple[str, ...] | None:
    if tokens is None:
        return None
    given = tuple(tokens)
    if not unbatched:
        raise ValueError("activations: tokens go with one sequence; give x without a batch, (T, I)")
    if len(given) != steps:
        raise ValueError(
            f"activations: there are {len(given)} tokens; expected {steps}, one for each step of x"
        )
    return given


# -- weights ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class SpectralRadius(_ByLayer[dict[str, float]]):
    """Spectral radii of recurrent weights by gate: see `spectral_radius`."""

    def _lines(self) -> Iterator[tuple[str, ...]]:
        gates = list(next(iter(self.passes.values())))
        yield "", *gates, ""
        for which, radii in self.passes.items():
            yield _pass_name(which), *(f"{radius:.3f}" for radius in radii.values()), ""


def spectral_radius(layer: Recurrent) -> SpectralRadius:
    """Return the largest absolute eigenvalue of the recurrent weights of each gate.

    In a plain RNN whose units are not saturated, gradients vanish where it is below 1, and may explode where
    it is above. The weights of a cell with a projection are taken with it, ``weight_hr @ weight_hh``.

    Parameters
    ----------
    layer : Recurrent

    Returns
    -------
    SpectralRadius
        ``result.layer(0)["n"]`` is a float.

    Raises
    ------
    ValueError
        The cell has no recurrent weights, or they are not finite.
    TypeError
        layer is no recurrent layer.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.

    Examples
    --------
    >>> import fastrnn
    >>> from fastrnn import inspect
    >>> inspect.spectral_radius(fastrnn.RNN(3, 4, init={"hidden": "orthogonal"})).layer(0)["n"].__round__(3)
    1.0
    """
    _check_layer("spectral_radius", layer)
    cell, params = layer.cell, layer.params
    if "w_hh" not in cell.parameters:
        raise ValueError(f"spectral_radius: {cell} has no recurrent weights; its gates see the input alone")
    passes = {}
    for k, reverse in _passes(layer):
        end = f"_l{k}{'_reverse' * reverse}"
        weights = params[f"weight_hh{end}"]
        if not np.isfinite(weights).all():
            raise ValueError(f"spectral_radius: weight_hh{end} is not finite")
        projection = params.get(f"weight_hr{end}")
        by_gate = zip(cell.gates, np.split(weights.astype(np.float64), len(cell.gates)), strict=True)
        passes[k, reverse] = {gate: _radius(w, projection) for gate, w in by_gate}
    return SpectralRadius(repr(layer), passes)


def _radius(w: np.ndarray, projection: np.ndarray | None) -> float:
    """The spectral radius of the weights of one gate, (H, P), or (H,) where units see themselves alone."""
    if w.ndim == 1:
        return float(np.abs(w).max())
    return float(np.abs(np.linalg.eigvals(w if projection is None else projection @ w)).max())


# -- what they share --------------------------------------------------------------------------------


def _check_layer(who: str, layer: Any) -> None:
    """Refuse what is no recurrent layer, and say where it has one."""
    if isinstance(layer, Recurrent):
        return
    inside = [name for name, _ in _recurrent(layer)]
    hint = f"; give one of its own: {', '.join(_checks.first_few(inside, str))}" if inside else ""
    raise TypeError(
        f"{who}: layer is a {type(layer).__name__}; expected a recurrent layer, such as fastrnn.LSTM{hint}"
    )


def _recurrent(owner: Any, prefix: str = "") -> Iterator[tuple[str, Recurrent]]:
    """The recurrent layers within a module, or within the modules of any object, by name."""
    if isinstance(owner, Module):
        children = owner.children()
    else:  # a model has its network as _network, and a property of that name without the underscore
        values = getattr(owner, "__dict__", {}).items()
        children = ((name.lstrip("_"), value) for name, value in values if isinstance(value, Module))
    for name, child in children:
        if isinstance(child, Recurrent):
            yield prefix + name, child
        else:
            yield from _recurrent(child, f"{prefix}{name}.")


def _inspected(who: str, layer: Any) -> Recurrent:
    """The layer, or a copy with which backward may run where it is frozen."""
    _check_layer(who, layer)
    return copy.deepcopy(layer).thaw() if layer.frozen else layer


def _passes(layer: Recurrent) -> Iterator[tuple[int, bool]]:
    """Layer and direction in the order of the states."""
    for k in range(layer.num_layers):
        yield from ((k, bool(reverse)) for reverse in range(1 + layer.bidirectional))


def _pass_name(which: tuple[int, bool]) -> str:
    return f"layer {which[0]}{' reverse' * which[1]}"


def _lengths(tape: RecurrentTape) -> np.ndarray:
    """The steps of each row, (B,)."""
    steps, batch, _ = tape.passes[0].x.shape
    lengths = tape.passes[0].lengths
    return np.full(batch, steps) if lengths is None else lengths.copy()


def _unbatched(array: np.ndarray, unbatched: bool) -> np.ndarray:
    """An array (T, B, ...) without the axis of the batch where x had none."""
    return array[:, 0] if unbatched else array


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _norm(array: np.ndarray, axis: int) -> np.ndarray:
    """Euclidean norms along an axis, in float64, of numbers whose squares may be out of range."""
    array = np.abs(array.astype(np.float64))
    largest = array.max(axis=axis, initial=0, keepdims=True)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    with np.errstate(over="ignore"):
        return np.sqrt(np.square(array / scale).sum(axis=axis)) * scale.squeeze(axis)


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Lines of columns, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = [
        any(cell[:1].isdigit() or cell[:2] == "x " for cell in column) for column in zip(*rows, strict=True)
    ]
    for row in rows:
        cells = zip(row, widths, numbers, strict=True)
        line = "  ".join(c.rjust(width) if number else c.ljust(width) for c, width, number in cells)
        yield f"  {line}".rstrip()
