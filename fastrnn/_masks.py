"""Masks of steps, for kernels that know lengths alone: the steps that count go to the front, and back.

A step counts where it lies within its row's length and the mask is True. What the kernels see, (N, B, .), is
called packed here: row b has ``counts[b]`` steps, N is the largest count. Slots (N+1, B, .) and (T+1, B, .)
are those of a tape's states. What stands past a count is never read.
"""

from __future__ import annotations

import numpy as np


class Steps:
    """Which steps of a batch count.

    Attributes
    ----------
    counts : int64 ndarray, (B,)
        Steps of each row that count: the lengths for the kernels.
    """

    def __init__(self, mask: np.ndarray, lengths: np.ndarray | None) -> None:
        steps, batch = mask.shape
        self._lengths = np.full(batch, steps) if lengths is None else lengths
        self._inside = np.arange(steps)[:, None] < self._lengths
        self._counted = self._inside & mask
        self._rows = np.arange(batch)
        # How many steps that count lie before each slot: the packed slot with the same state.
        self._before = np.zeros((steps + 1, batch), np.int64)
        np.cumsum(self._counted, axis=0, out=self._before[1:])
        self.counts = self._before[-1].copy()
        first = np.argsort(~self._counted, axis=0, kind="stable")
        self._times = first[: self.counts.max(initial=0)]

    def pack(self, a: np.ndarray) -> np.ndarray:
        """The steps of a (T, B, .) that count, (N, B, .)."""
        return a[self._times, self._rows]

    def unpack(self, a: np.ndarray) -> np.ndarray:
        """The packed steps (N, B, .) at their times, 0 at the others, (T, B, .)."""
        t, b = np.nonzero(self._counted)
        result = np.zeros((*self._inside.shape, a.shape[2]), a.dtype)
        result[t, b] = a[self._before[t, b], b]
        return result

    def pack_slots(self, states: np.ndarray, reverse: bool) -> np.ndarray:
        """The slots (T+1, B, .) after the steps that count, and the initial one, (N+1, B, .)."""
        at = np.zeros((len(self._times) + 1, len(self._rows)), np.int64)
        if reverse:
            at[:-1] = self._times
            at[self.counts, self._rows] = self._lengths
        else:
            at[1:] = self._times + 1
        return states[at, self._rows]

    def unpack_slots(self, states: np.ndarray) -> np.ndarray:
        """The packed slots (N+1, B, .) at their times, masked steps repeating them, (T+1, B, .)."""
        result = states[self._before, self._rows]
        result[1:][~self._inside] = 0
        return result

    def outputs(self, slots: np.ndarray, reverse: bool) -> np.ndarray:
        """Where the packed outputs, (N, B, .), stand in slots (N+1, B, .) of h."""
        return slots[:-1] if reverse else slots[1:]

    def initial(self, reverse: bool) -> tuple[np.ndarray | int, np.ndarray]:
        """The index of each row's initial state in packed slots."""
        return (self.counts if reverse else 0), self._rows

    def repeat(self, slots: np.ndarray, reverse: bool) -> np.ndarray:
        """y (T, B, .), each step showing its h of the packed slots, 0 past a length."""
        y = slots[self._shown(reverse), self._rows]
        y[~self._inside] = 0
        return y

    def collect(self, dy: np.ndarray, reverse: bool) -> np.ndarray:
        """The gradient of packed slots of h from that of what `repeat` made of them.

        A slot sums dy over the steps that show it, in the order of processing; that of the initial state
        from -0, which changes nothing that is added to it.
        """
        slots = np.empty((len(self._times) + 1, *dy.shape[1:]), dy.dtype)
        self.outputs(slots, reverse)[...] = self.pack(dy)
        slots[self.initial(reverse)] = -0.0
        shown, held = self._shown(reverse), self._inside & ~self._counted
        times = np.flatnonzero(held.any(axis=1))
        with np.errstate(all="ignore"):
            for t in times[::-1] if reverse else times:
                b = np.flatnonzero(held[t])
                slots[shown[t, b], b] += dy[t, b]
        return slots

    def _shown(self, reverse: bool) -> np.ndarray:
        return self._before[:-1] if reverse else self._before[1:]
