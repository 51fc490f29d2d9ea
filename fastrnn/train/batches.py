"""What a step sees: chunks of one long sequence, or some of many sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .. import _checks

__all__ = ["Buckets", "chunks"]


class Buckets:
    """The batches of each epoch over sequences of different lengths.

    Every sequence is in one batch of every epoch, beside others of about its length. Which, and the order of
    the batches, is drawn anew for each epoch from `seed` and the epoch's number alone, so that any place in
    the order can be found again.

    Parameters
    ----------
    lengths : sequence of int, (N,)
    batch_size : int
        The last batch made may be smaller.
    seed : int

    Examples
    --------
    >>> batches = Buckets([3, 90, 4, 100], batch_size=2)
    >>> len(batches), sorted(sorted(batch.tolist()) for batch in batches.epoch(7))
    (2, [[0, 2], [1, 3]])
    """

    def __init__(self, lengths: Sequence[int] | np.ndarray, batch_size: int, seed: int = 0) -> None:
        self.lengths = np.asarray(lengths, np.int64)
        self.batch_size = _checks.size("Buckets", "batch_size", batch_size)
        self.seed = _checks.size("Buckets", "seed", seed, least=0)
        if self.lengths.ndim != 1 or not len(self.lengths):
            raise ValueError(f"Buckets: lengths have shape {self.lengths.shape}; expected (N,), N at least 1")
        self._bucket = np.searchsorted(_edges(int(self.lengths.max())), self.lengths)

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return -(-len(self.lengths) // self.batch_size)

    def epoch(self, k: int) -> list[np.ndarray]:
        """Return the batches of epoch `k`, each the places of its sequences."""
        rng = np.random.default_rng([self.seed, k])
        order = rng.permutation(len(self.lengths))
        order = order[np.argsort(self._bucket[order], kind="stable")]
        parts = [order[at : at + self.batch_size] for at in range(0, len(order), self.batch_size)]
        return [parts[i] for i in rng.permutation(len(parts))]


def _edges(longest: int) -> list[int]:
    """The greatest length in each bucket, each a quarter more than the one before."""
    edges = [1]
    while edges[-1] < longest:
        edges.append(max(edges[-1] + 1, edges[-1] * 5 // 4))
    return edges


def chunks(
    ids: np.ndarray, batch_size: int, chunk_size: int, offset: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Cut one long sequence into the batches of truncated back-propagation through time.

    The sequence is laid out as `batch_size` streams side by side, each cut into chunks of `chunk_size` steps;
    the last chunk may be shorter. A chunk goes on where the one before ended, so the state is carried.

    Parameters
    ----------
    ids : array of int, (N,)
    batch_size, chunk_size : int
    offset : int
        Where the first stream begins; what stands before it goes to the end.

    Yields
    ------
    inputs, targets : arrays, (T, B)
        `targets` are the inputs one step later.
    first : bool
        The streams begin here: the state is zero.

    Raises
    ------
    ValueError
        The sequence has less than two ids a stream.

    Examples
    --------
    >>> for inputs, targets, first in chunks(np.arange(9), 2, 3):
    ...     print(inputs.T.tolist(), targets.T.tolist(), first)
    [[0, 1, 2], [4, 5, 6]] [[1, 2, 3], [5, 6, 7]] True
    [[3], [7]] [[4], [8]] False
    """
    length = (len(ids) - 1) // batch_size
    if length < 1:
        raise ValueError(
            f"chunks: {len(ids)} ids are too few for batch_size={batch_size}; "
            f"expected at least {batch_size + 1}"
        )
    ids = np.roll(ids, -offset)
    inputs = ids[: batch_size * length].reshape(batch_size, length).T
    targets = ids[1 : batch_size * length + 1].reshape(batch_size, length).T
    for start in range(0, length, chunk_size):
        part = slice(start, start + chunk_size)
        yield inputs[part], targets[part], start == 0
