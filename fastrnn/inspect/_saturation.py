"""Gates that are nearly shut or nearly open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .. import _checks
from ..cells import LSTM, Cell, Gated
from ._activations import Activations
from ._by_layer import ByLayer, pass_name

#: Activations whose values lie between 0 and 1.
_OPENING = ("sigmoid", "hard_sigmoid")


class Shares(NamedTuple):
    """How often each unit of a gate is nearly shut and nearly open, (H,) each, as shares of the steps."""

    shut: np.ndarray
    open: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Saturation(ByLayer[dict[str, Shares]]):
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
                yield pass_name(which), name, *means, ""


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
    >>> lstm = fastrnn.LSTM(3, 16, rng=0, init={"chrono": 50})
    >>> x = np.random.default_rng(0).standard_normal((50, 8, 3))
    >>> inspect.saturation(inspect.activations(lstm, x))
    Saturation of LSTM(3, 16)
                  below 0.1  above 0.9
      layer 0  i      69.2%       0.0%
      layer 0  f       0.0%      69.8%
      layer 0  o       0.0%       0.0%
    """
    if not isinstance(found, Activations):
        raise TypeError(
            f"saturation: found is {_checks.kind(found)}; expected what inspect.activations returned"
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
