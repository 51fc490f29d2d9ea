"""How likely texts are: logarithms of probabilities, token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..functional import exp
from ..losses import log_softmax
from ._finite import finite
from ._lm_network import Network

__all__ = ["LN2", "Score", "log_probabilities", "perplexity"]

LN2 = 0.6931471805599453

#: Steps that are run at once, rows beside each other, and logits of both: no bits depend on them.
_STEPS, _ROWS, _LOGITS = 1024, 128, 1 << 22


class Score(NamedTuple):
    """How likely a text is.

    Attributes
    ----------
    log_probability : float
        In nats, of all tokens that are counted.
    tokens : int
        How many are counted: of a sentence all and its end, of a text all but the first.

    Examples
    --------
    >>> score = Score(-4.1588830833596715, 3)
    >>> score.bits, score.bits_per_token, score.perplexity
    (6.0, 2.0, 4.0)
    """

    log_probability: float
    tokens: int

    @property
    def bits(self) -> float:
        """-log2 of the probability."""
        return -self.log_probability / LN2

    @property
    def bits_per_token(self) -> float:
        """The mean of -log2 of a token's probability."""
        return self.bits / self.tokens

    @property
    def perplexity(self) -> float:
        """The inverse of the tokens' probability, in geometric mean: 2 to the bits of a token."""
        return perplexity(-self.log_probability / self.tokens)


def perplexity(nats: float) -> float:
    """The exponential of a mean in nats."""
    return float(exp(np.array([nats]))[0])


def log_probabilities(
    network: Network, inputs: Sequence[np.ndarray], targets: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return the log-probability of every target (T_i,), float64, given the inputs up to it.

    The bits of a row depend on it alone: not on the others, nor on where it is cut.
    """
    results = [np.empty(len(x)) for x in inputs]
    order = np.argsort([len(x) for x in inputs], kind="stable")
    size = len(network.embedding.params["weight"])
    rows = max(1, min(_ROWS, _LOGITS // (size * 16)))
    for start in range(0, len(order), rows):
        places = order[start : start + rows]
        lengths = np.array([len(inputs[i]) for i in places])
        steps = max(1, min(_STEPS, _LOGITS // (size * len(places))))
        state = None
        for at in range(0, int(lengths.max()), steps):
            left = np.clip(lengths - at, 0, steps)
            part = [_padded([rows[i][at : at + steps] for i in places]) for rows in (inputs, targets)]
            logits, state = network(part[0], state, left.tolist())
            found = np.take_along_axis(log_softmax(finite("LanguageModel", logits)), part[1][..., None], -1)[
                ..., 0
            ]
            for row, (i, count) in enumerate(zip(places, left, strict=True)):
                results[i][at : at + count] = found[:count, row]
    return results


def total(values: np.ndarray) -> float:
    """The sum, rounded once: whatever the order."""
    return math.fsum(values.tolist())


def _padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    x = np.zeros((max(map(len, rows)), len(rows)), np.int64)
    for i, row in enumerate(rows):
        x[: len(row), i] = row
    return x
