"""Beam search over many sequences at once.

What is kept of a hypothesis is its last state, the sum of its log-probabilities, and for every step the token
and where it came from. Of equal candidates the one of the better hypothesis comes first, then that of the
lesser id, so that nothing is left to chance; and no sum depends on the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .. import functional
from ..losses import log, log_softmax
from ._finite import finite
from ._translator import Start, TranslationNetwork, as_state, states_of

__all__ = ["Found", "Marks", "search"]


class Marks(NamedTuple):
    """The ids that are no tokens of a translation: the first three."""

    unknown: int
    start: int
    end: int


class Found(NamedTuple):
    """The best translation of a sequence."""

    ids: list[int]  # without the mark of the end
    score: float  # log-probability / (tokens, and the end) ** length_penalty
    weights: np.ndarray | None  # of attention, (len(ids), S)


def search(
    network: TranslationNetwork,
    x: np.ndarray,
    lengths: np.ndarray,
    marks: Marks,
    *,
    beam_size: int,
    length_penalty: float,
    max_length: int,
    weights: bool,
) -> list[Found]:
    """Return the best translation of each row of x (S, B, ...).

    A step takes the 2 k best of all ways in which the k hypotheses of a row may go on: those among the first
    k that end are complete, the first k of the others go on. A row is done when k are complete and none of
    those that go on is better now than the best of them; or when none could still become better:
    log-probabilities only fall, and divided by the largest number they are greatest. After `max_length`
    tokens only the end can follow.
    """
    rows = len(lengths)
    most = _divisor(max_length + 1, length_penalty)
    start = network.encode(x, lengths)
    state = [np.tile(array, (1, beam_size, 1)) for array in states_of(start.state)]
    beams = _Beams(rows, beam_size)
    memory, ids = start.memory, np.full((beam_size, rows), marks.start)
    for step in range(max_length + 1):
        logits, looked, after = network.step(ids, Start(memory, as_state(start.state, state)))
        total = beams.live[..., None] + log_softmax(finite("Seq2Seq", logits))  # (K, B, V)
        total[..., [marks.unknown, marks.start]] = -np.inf
        if step == max_length:
            total[..., marks.end + 1 :] = -np.inf
        values, parents, tokens = _best(total, 2 * beam_size)
        ends = tokens == marks.end
        divide = _divisor(step + 1, length_penalty)
        beams.complete(step, values / divide, parents, ends & (values > -np.inf))
        going = np.argsort(ends, axis=0, kind="stable")[:beam_size]
        values, parents, ids = (np.take_along_axis(a, going, 0) for a in (values, parents, tokens))
        beams.go_on(values, parents, ids, looked if weights else None)
        kept = beams.leave(values[0] / divide, values[0] / most)
        if not len(kept):
            break
        places = (parents[:, kept] * ids.shape[1] + kept).reshape(-1)
        state = [array[:, places] for array in states_of(after)]
        ids = ids[:, kept]
        if memory is not None and len(kept) < len(memory.keys):
            memory = memory.rows(kept)
    return [beams.found(row, lengths[row] if weights else None) for row in range(rows)]


class _Beams:
    """The hypotheses of all rows, and the best complete one of each."""

    def __init__(self, rows: int, beam_size: int) -> None:
        self.size = beam_size
        self.active = np.arange(rows)  # the rows that are not done
        self.live = np.full((beam_size, rows), -np.inf)  # log-probabilities (K, active), the best first
        self.live[0] = 0  # they begin as one
        self.count = np.zeros(rows, np.int64)  # of complete ones
        self.score = np.full(rows, -np.inf)  # of the best complete one,
        self.end = np.zeros((rows, 2), np.int64)  # the step at which it ended, and where in the beam
        self.steps: list[_Step] = []

    def complete(self, step: int, scores: np.ndarray, parents: np.ndarray, ends: np.ndarray) -> None:
        """Take in those that end, of candidates (2 K, active) in order."""
        for rank in range(min(self.size, len(ends))):
            self.count[self.active[ends[rank]]] += 1
            better = ends[rank] & (scores[rank] > self.score[self.active])
            rows = self.active[better]
            self.score[rows] = scores[rank, better]
            self.end[rows, 0], self.end[rows, 1] = step, parents[rank, better]

    def go_on(
        self, live: np.ndarray, parents: np.ndarray, ids: np.ndarray, weights: np.ndarray | None
    ) -> None:
        self.live = live
        self.steps.append(_Step(self.active, parents, ids, weights))

    def leave(self, now: np.ndarray, bound: np.ndarray) -> np.ndarray:
        """Leave out the rows that are done; return the places of the others.

        `now` is the score of the best that go on, `bound` what it could become at most.
        """
        score = self.score[self.active]
        done = (score >= bound) | ((self.count[self.active] >= self.size) & (score >= now))
        kept = np.flatnonzero(~done)
        self.active, self.live = self.active[kept], self.live[:, kept]
        return kept

    def found(self, row: int, length: int | None) -> Found:
        """The best complete one of a row, followed back from its end."""
        step, beam = (int(i) for i in self.end[row])
        ids: list[int] = []
        weights = []
        for each in reversed(self.steps[:step]):
            place = int(np.searchsorted(each.active, row))
            ids.append(int(each.ids[beam, place]))
            beam = int(each.parents[beam, place])
            if each.weights is not None:
                weights.append(each.weights[beam, place, :length])
        looked = None
        if length is not None:
            looked = np.array(weights[::-1]) if weights else np.empty((0, length), np.float32)
        return Found(ids[::-1], float(self.score[row]), looked)


@dataclass(frozen=True, slots=True)
class _Step:
    """What a step chose, for the rows `active` then; `weights` are those before the choice."""

    active: np.ndarray
    parents: np.ndarray = field(repr=False)
    ids: np.ndarray = field(repr=False)
    weights: np.ndarray | None = field(repr=False)


def _divisor(tokens: int, length_penalty: float) -> np.ndarray:
    """By what the log-probability of so many tokens is divided, (1,)."""
    return functional.exp(length_penalty * log(np.array([float(tokens)])))


def _best(total: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best candidates of each row of (K, B, V), in order: values, hypotheses, tokens, (count, B) each."""
    beams, rows, size = total.shape
    flat = total.transpose(1, 0, 2).reshape(rows, beams * size)
    every = np.arange(rows)
    values, places = [], []
    for _ in range(min(count, beams * size)):
        place = flat.argmax(1)  # the first of the greatest
        values.append(flat[every, place])
        places.append(place)
        flat[every, place] = -np.inf
    parents, tokens = np.divmod(np.array(places), size)
    return np.array(values), parents, tokens
