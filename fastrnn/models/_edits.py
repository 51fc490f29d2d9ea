"""How far two sequences are from each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["edit_distance"]


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """Return the least number of insertions, deletions and substitutions that make `b` of `a`.

    References
    ----------
    Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals", 1966.

    Examples
    --------
    >>> edit_distance("kitten", "sitting"), edit_distance(["a", "b"], [])
    (3, 2)
    """
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(before + (x != y), row[j] + 1, row[j - 1] + 1)
    return row[-1]
