"""What language models learn from: one text as streams, or sentences beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..train import Batches, Buckets, Place, Streams
from ._lm_network import Chunk
from ._units import Units

__all__ = ["Corpus", "Sentences", "Stream", "marked"]


class Corpus(Protocol):
    """The batches of a training, and what each network learns from in one."""

    @property
    def batches(self) -> Batches:
        """What `train.fit` goes through."""
        ...

    def chunks(self, batch: Any) -> dict[str, Chunk]:
        """By the names of `Directions`."""
        ...

    def number(self, batch: Any) -> int | None:
        """The number of the step, where states go on from one to the next."""
        ...


def marked(units: Units, ids: np.ndarray) -> np.ndarray:
    """Ids with the marks of a sentence around them, where the model has such."""
    if units.start is None or units.end is None:
        return ids
    return np.concatenate([[units.start], ids, [units.end]])


class Stream:
    """One text, read forward and backward by streams side by side; states are carried, gradients are not."""

    def __init__(self, ids: np.ndarray, batch_size: int, chunk_size: int, seed: int) -> None:
        self.batches = Streams(len(ids), batch_size, chunk_size, seed)
        self._ids = {"ahead": ids, "back": ids[::-1]}

    def chunks(self, batch: Place) -> dict[str, Chunk]:
        return {name: Chunk(*self.batches.cut(ids, batch)) for name, ids in self._ids.items()}

    def number(self, batch: Place) -> int | None:
        return self.batches.step(batch)


class Sentences:
    """Sentences (T_i,) with their marks, beside others of about the same length."""

    def __init__(self, rows: Sequence[np.ndarray], batch_size: int, seed: int) -> None:
        self.batches = Buckets([len(row) - 1 for row in rows], batch_size, seed)
        self._rows = {"ahead": rows, "back": [row[::-1] for row in rows]}

    def chunks(self, batch: np.ndarray) -> dict[str, Chunk]:
        lengths = self.batches.lengths[batch]
        return {name: _chunk([rows[i] for i in batch], lengths) for name, rows in self._rows.items()}

    def number(self, batch: np.ndarray) -> int | None:
        return None


def _chunk(rows: Sequence[np.ndarray], lengths: np.ndarray) -> Chunk:
    shape = int(lengths.max()), len(rows)
    inputs, targets = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for i, row in enumerate(rows):
        inputs[: lengths[i], i], targets[: lengths[i], i] = row[:-1], row[1:]
    return Chunk(inputs, targets, lengths)
