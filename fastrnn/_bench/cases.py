"""What is measured: one layer or stack, its sizes, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn

__all__ = ["CELLS", "MODES", "Case", "Data", "draw", "quick"]

LAYERS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
CELLS = tuple(LAYERS)
MODES = ("forward", "training", "step")


@dataclass(frozen=True)
class Case:
    """One point of a grid.

    Parameters
    ----------
    cell : "lstm", "gru" or "rnn"
    mode : "forward", "training" or "step"
        Inference; forward with backward, all gradients and dx; one step of a stream.
    steps, batch, inputs, hidden : int
        T, B, I and H.
    layers : int
    bidirectional : bool
    ragged : bool
        Lengths are uniform in 1..T.
    vanishing : bool
        The gradient enters at the last step only, and on its way back runs into the subnormals.
    dtype : "float32" or "float64"
    """

    cell: str
    mode: str
    steps: int
    batch: int
    inputs: int
    hidden: int
    layers: int = 1
    bidirectional: bool = False
    ragged: bool = False
    vanishing: bool = False
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """Shape first, then what is special, such as ``80,8,64,160 x2 bidirectional``."""
        words = [f"{self.steps},{self.batch},{self.inputs},{self.hidden}"]
        words += [f"x{self.layers}"] * (self.layers > 1)
        words += [word for word in ("bidirectional", "ragged", "vanishing") if getattr(self, word)]
        return " ".join(words)

    @property
    def directions(self) -> int:
        return 1 + self.bidirectional

    @property
    def gates(self) -> int:
        return {"lstm": 4, "gru": 3, "rnn": 1}[self.cell]

    @property
    def widths(self) -> list[int]:
        """Features of each layer's input."""
        return [self.inputs] + [self.hidden * self.directions] * (self.layers - 1)

    @property
    def lengths(self) -> np.ndarray:
        """Valid steps of each row."""
        if self.ragged:
            return np.random.default_rng(1).integers(1, self.steps + 1, self.batch)
        return np.full(self.batch, self.steps)

    @property
    def operations(self) -> int:
        """Multiplications and additions of the products over the valid steps; three times for training."""
        a_row = sum(2 * self.gates * self.hidden * (width + self.hidden) for width in self.widths)
        return int(self.lengths.sum()) * self.directions * a_row * (3 if self.mode == "training" else 1)


@dataclass(frozen=True)
class Data:
    """A layer of ours with its parameters (PyTorch's names and shapes), and what goes into it."""

    layer: Any
    x: np.ndarray
    dy: np.ndarray
    state: tuple[np.ndarray, ...]
    lengths: np.ndarray | None

    @property
    def params(self) -> dict[str, np.ndarray]:
        return dict(self.layer.params)


def draw(case: Case) -> Data:
    """The same numbers for all competitors."""
    rng = np.random.default_rng(0)
    dtype = np.dtype(case.dtype)
    layer = LAYERS[case.cell](
        case.inputs,
        case.hidden,
        num_layers=case.layers,
        bidirectional=case.bidirectional,
        dtype=dtype,
        rng=rng,
    )
    x = rng.standard_normal((case.steps, case.batch, case.inputs), dtype)
    dy = rng.standard_normal((case.steps, case.batch, case.hidden * case.directions), dtype)
    if case.vanishing:
        dy[:-1] = 0
    valid = np.arange(case.steps)[:, None] < case.lengths
    dy *= valid[..., None]
    states = 2 if case.cell == "lstm" else 1
    state = tuple(rng.standard_normal((1, case.batch, case.hidden), dtype) / 2 for _ in range(states))
    return Data(layer, x, dy, state, case.lengths if case.ragged else None)


def quick(cell: str) -> list[Case]:
    """A few cases of a cell, for a quick look."""
    return [
        Case(cell, "step", 1, 1, 64, 64),
        Case(cell, "forward", 100, 1, 128, 128),
        Case(cell, "forward", 28, 128, 28, 128),
        Case(cell, "forward", 100, 32, 256, 256),
        Case(cell, "training", 100, 1, 128, 128),
        Case(cell, "training", 100, 16, 128, 128),
    ]
