"""Gradients on their way back through time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import _checks
from ..nn import Recurrent, RecurrentTape
from ._by_layer import ByLayer, inspected, lengths_of, pass_name, passes_of, squeezed

#: A gradient that shrinks or grows by more than this over all steps is said to vanish or to explode.
_FAR = 1000.0


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
        "is carried". "none arrives" where it is 0 throughout, "is not a number" where NaN comes before any
        overflow.
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
        """Return the trend of norms (steps + 1,), which go back in time to the beginning of the row.

        >>> Trend.of(np.array([8.0, 4.0, 2.0, 1.0]))
        Trend(first=8.0, last=1.0, steps=3, factor=0.5, verdict='is carried')
        """
        ends = np.flatnonzero(~np.isfinite(norms))
        reached = norms[: ends[0]] if ends.size else norms
        broken = "" if not ends.size else "is not a number" if np.isnan(norms[ends[0]]) else "explodes"
        there = np.flatnonzero(reached)
        if not there.size:
            return cls(0.0, 0.0, 0, math.nan, broken or "none arrives")
        begin, end = int(there[0]), int(there[-1])
        first, last = float(norms[begin]), float(norms[end])
        steps = end - begin
        change = math.log(last) - math.log(first)
        if broken or change > math.log(_FAR):
            verdict = broken or "explodes"
        elif end + 1 < len(norms) or change < -math.log(_FAR):
            verdict = "vanishes"
        else:
            verdict = "is carried"
        return cls(first, last, steps, math.exp(change / steps) if steps else math.nan, verdict)


@dataclass(frozen=True, eq=False, repr=False)
class GradientNorms(ByLayer[dict[str, np.ndarray]]):
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
                    pass_name(which),
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
    layer = inspected("gradient_norms", layer)
    _, _, tape = layer.run(x, state, lengths=lengths, mask=mask, tape=True)
    if dy is None and dstate is None:
        dstate = _of_final_h(layer, tape)
    rows, unbatched = lengths_of(tape), tape.unbatched
    *_, dstates = layer.backward(tape, dy, dstate, consume=True, each_step=True)
    passes = {}
    for which in passes_of(layer):
        passes[which] = {
            name.removeprefix("d"): squeezed(_steps_back(d, rows, reverse=which[1]), unbatched)
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
    layer = inspected("input_influence", layer)
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


def _norm(array: np.ndarray, axis: int) -> np.ndarray:
    """Euclidean norms along an axis, in float64, of numbers whose squares may be out of range."""
    array = np.abs(array.astype(np.float64))
    largest = array.max(axis=axis, initial=0, keepdims=True)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    with np.errstate(over="ignore"):
        return np.sqrt(np.square(array / scale).sum(axis=axis)) * scale.squeeze(axis)
