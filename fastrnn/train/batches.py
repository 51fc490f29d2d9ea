"""What a step sees: chunks of one long sequence, or some of many sequences."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from .. import _checks

__all__ = ["Batches", "Buckets", "Place", "Streams", "chunks"]


#: Steps of a batch, padding and all, that are no matter.
_MUCH = 4096


class Batches(Protocol):
    """The batches of each epoch, as `fit` asks for them: what one is, its `gradient` knows."""

    def __len__(self) -> int: ...

    def epoch(self, k: int) -> Sequence[Any]:
        """Return the batches of epoch `k`, found anew from its number alone."""
        ...

    @property
    def about(self) -> dict[str, Any]:
        """What must be the same in a run that goes on from a checkpoint, for JSON."""
        ...


class Buckets:
    """The batches of each epoch over sequences of different lengths.

    Every sequence is in one batch of every epoch, beside others of about its length. Which, and the order of
    the batches, is drawn anew for each epoch from `seed` and the epoch's number alone, so that any place in
    the order can be found again.

    Parameters
    ----------
    lengths : sequence of int, (N,)
    batch_size : int
        The last batch made may be smaller, and those in which there were far more padding than steps.
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
        edges = np.array(_edges(int(self.lengths.max())))
        self._bucket = np.searchsorted(edges, self.lengths)
        self._cuts = _cuts(edges[np.sort(self._bucket)], self.batch_size)

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return len(self._cuts) + 1

    def epoch(self, k: int) -> list[np.ndarray]:
        """Return the batches of epoch `k`, each the places of its sequences."""
        rng = np.random.default_rng([self.seed, k])
        order = rng.permutation(len(self.lengths))
        order = order[np.argsort(self._bucket[order], kind="stable")]
        parts = np.split(order, self._cuts)
        return [parts[i] for i in rng.permutation(len(parts))]

    @property
    def about(self) -> dict[str, Any]:
        """What must be the same in a run that goes on from a checkpoint."""
        return {
            "sequences": len(self.lengths),
            "lengths": zlib.crc32(self.lengths.tobytes()),
            "batch_size": self.batch_size,
            "seed": self.seed,
        }


def _edges(longest: int) -> list[int]:
    """The greatest length in each bucket, each a quarter more than the one before."""
    edges = [1]
    while edges[-1] < longest:
        edges.append(max(edges[-1] + 1, edges[-1] * 5 // 4))
    return edges


def _cuts(lengths: np.ndarray, batch_size: int) -> list[int]:
    """Where one batch ends and another one begins, of lengths that rise: those of the sequences' buckets."""
    cuts, begin, steps = [], 0, 0
    for at, length in enumerate(lengths.tolist()):
        count = at - begin
        with_padding = (count + 1) * length
        if count == batch_size or (with_padding > _MUCH and with_padding > 3 * (steps + length)):
            cuts.append(at)
            begin, steps = at, 0
        steps += length
    return cuts


class Place(NamedTuple):
    """Where in a run of `Streams` a batch stands."""

    epoch: int
    chunk: int


class Streams:
    """The batches of truncated back-propagation through time, over epochs of one long sequence.

    In each epoch the sequence is laid out as `chunks` does it, from an offset that is drawn from `seed` and
    the epoch's number alone. A batch is a `Place`, which `cut` makes arrays of: of one sequence, or of
    several of the same length, such as a text and its reverse.

    Parameters
    ----------
    count : int
        The length of the sequence.
    batch_size, chunk_size : int
    seed : int

    Raises
    ------
    ValueError
        The sequence has less than two ids a stream.

    Examples
    --------
    >>> streams = Streams(9, batch_size=2, chunk_size=3)
    >>> first, second = streams.epoch(0)
    >>> inputs, targets = streams.cut(np.arange(9), second)
    >>> inputs.shape, bool((targets == (inputs + 1) % 9).all()), streams.step(second)
    ((1, 2), True, 1)
    """

    def __init__(self, count: int, batch_size: int, chunk_size: int, seed: int = 0) -> None:
        self.count = count
        self.batch_size = _checks.size("Streams", "batch_size", batch_size)
        self.chunk_size = _checks.size("Streams", "chunk_size", chunk_size)
        self.seed = _checks.size("Streams", "seed", seed, least=0)
        self.length = (count - 1) // batch_size
        if self.length < 1:
            raise ValueError(
                f"Streams: {count} ids are too few for batch_size={batch_size}; expected at least "
                f"{batch_size + 1}"
            )

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return -(-self.length // self.chunk_size)

    def epoch(self, k: int) -> list[Place]:
        """Return the places of epoch `k`; at its first the states are zero."""
        return [Place(k, chunk) for chunk in range(len(self))]

    def step(self, place: Place) -> int:
        """Return how many batches stand before this one in the whole run."""
        return place.epoch * len(self) + place.chunk

    def cut(self, ids: np.ndarray, place: Place) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets, (T, B), of the sequence at a place; its ends are joined."""
        offset = int(np.random.default_rng([self.seed, place.epoch]).integers(self.count))
        start = place.chunk * self.chunk_size
        steps = np.arange(start, min(start + self.chunk_size, self.length))[:, None]
        at = (offset + steps + self.length * np.arange(self.batch_size)) % self.count
        return ids[at], ids[(at + 1) % self.count]

    @property
    def about(self) -> dict[str, Any]:
        """What must be the same in a run that goes on from a checkpoint."""
        names = ("count", "batch_size", "chunk_size", "seed")
        return {name: getattr(self, name) for name in names}


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
