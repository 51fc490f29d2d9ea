"""Windows of series, which overlap: none of them is copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

__all__ = ["Windows"]


class Windows(Sequence[np.ndarray]):
    """The pieces (size, F) of series (T_i, F) that begin at places (n, 2): the series, and the step in it."""

    def __init__(self, series: Sequence[np.ndarray], places: np.ndarray, size: int) -> None:
        self.series = series
        self.places = places
        self.size = size

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, k: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, k: slice) -> list[np.ndarray]: ...
    def __getitem__(self, k: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(k, slice):
            return [self._at(place) for place in self.places[k].tolist()]
        return self._at(self.places[k].tolist())

    def _at(self, place: list[int]) -> np.ndarray:
        i, start = place
        return self.series[i][start : start + self.size]

    def of(self, series: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The same pieces of other series of the same lengths."""
        return Windows(series, self.places, self.size)[:]

    def counts(self, kept: np.ndarray) -> np.ndarray:
        """In how many of the windows `kept` each step is, of all series one after the other."""
        lengths = [len(x) for x in self.series]
        ends = np.cumsum([0, *lengths])
        starts = ends[self.places[kept, 0]] + self.places[kept, 1]
        size = ends[-1] + 1
        return np.cumsum(
            np.bincount(starts, minlength=size) - np.bincount(starts + self.size, minlength=size)
        )[:-1]
