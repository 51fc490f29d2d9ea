"""The baseline of language models: each token predicted from the one before it."""

from __future__ import annotations

import numpy as np

__all__ = ["bigram_bits"]


def bigram_bits(train: np.ndarray, test: np.ndarray, size: int) -> float:
    r"""Return the bits a token of `test` under a bigram model counted on `train`.

    The counts are smoothed by Witten and Bell's rule: with n tokens seen after a, d of them different,

    .. math::  p(b | a) = \frac{count(a b) + d \, p(b)}{n + d}

    and p(b) likewise from the counts of b and 1 / size.

    Parameters
    ----------
    train, test : arrays of int, (N,)
        Ids, 0 <= id < size. The first token of `test` is not scored.
    size : int
        The vocabulary's.

    References
    ----------
    Witten and Bell, "The zero-frequency problem: estimating the probabilities of novel events in adaptive
    text compression", 1991.

    Examples
    --------
    >>> round(bigram_bits(np.tile([0, 1], 500), np.array([0, 1, 0]), 2), 2)
    0.0
    """
    single = np.bincount(train, minlength=size)
    kinds = np.count_nonzero(single)
    p_single = (single + kinds / size) / (len(train) + kinds)
    codes, counts = np.unique(train[:-1] * size + train[1:], return_counts=True)
    n = np.bincount(codes // size, counts, minlength=size)
    d = np.bincount(codes // size, minlength=size)
    before, after = test[:-1], test[1:]
    asked = before * size + after
    found = np.minimum(np.searchsorted(codes, asked), len(codes) - 1)
    count = np.where(codes[found] == asked, counts[found], 0)
    # What never stood before anything (n = d = 0) leaves p(b) alone.
    p = np.where(
        n[before] > 0,
        (count + d[before] * p_single[after]) / np.maximum(n[before] + d[before], 1),
        p_single[after],
    )
    return float(-np.log2(p).mean())
