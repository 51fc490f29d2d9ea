"""Labels, strings or integers, to classes 0, 1, ... and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import _checks

__all__ = ["Labels"]


class Labels:
    """The labels that a model knows, in order.

    Parameters
    ----------
    labels : iterable of str, int or bool
        In any order, each as often as it comes; at least two different ones.

    Attributes
    ----------
    classes : numpy.ndarray, (C,)
        Sorted; of strings and integers together, the integers first. Objects, where an array of NumPy's own
        types would change them.
    """

    def __init__(self, who: str, labels: Iterable[Any]) -> None:
        labels = list(labels)
        if {bool, int} <= set(map(type, labels)):
            raise TypeError(f"{who}: y has booleans beside integers, and True is 1; give one kind of labels")
        unique = sorted(set(labels), key=lambda label: (isinstance(label, str), label))
        if len(unique) < 2:
            raise ValueError(f"{who}: y has {len(unique)} different label {unique}; expected at least two")
        plain = np.array(unique)
        self.classes = (
            plain if plain.dtype.kind != "f" and plain.tolist() == unique else np.array(unique, dtype=object)
        )
        self._ids = {label: i for i, label in enumerate(unique)}

    def encode(self, who: str, labels: list[Any], argument: str = "y") -> np.ndarray:
        """Return the classes of labels, (N,) int64."""
        for i, label in enumerate(labels):
            if label not in self._ids:
                raise ValueError(
                    f"{who}: {argument}[{i}] is {label!r}, which was not among the labels that the model was "
                    f"fitted to: {', '.join(map(repr, list(self._ids)[:8]))}{', ...' * (len(self._ids) > 8)}"
                )
        return np.array([self._ids[label] for label in labels], np.int64)

    def meta(self) -> list[Any]:
        """The labels as JSON can hold them."""
        return list(self._ids)

    @staticmethod
    def plain(who: str, y: Any, argument: str = "y") -> list[Any]:
        """Labels as a list of Python's str, int and bool.

        Raises
        ------
        TypeError, ValueError
            They are something else: floats, one-hot rows, one string.
        """
        if isinstance(y, (str, bytes)) or not hasattr(y, "__len__"):
            raise TypeError(f"{who}: {argument} is {y!r:.40}; expected a list of labels, strings or integers")
        if getattr(y, "ndim", 1) != 1:
            raise ValueError(
                f"{who}: {argument} has shape {y.shape}; expected one axis of labels; of one-hot rows give "
                f"{argument}.argmax(-1)"
            )
        y = y.tolist() if isinstance(y, np.ndarray) else y
        labels = [label.item() if isinstance(label, np.generic) else label for label in y]
        for i, label in enumerate(labels):
            if not isinstance(label, (str, int)):
                raise TypeError(
                    f"{who}: {argument}[{i}] is {label!r:.40}, {_checks.kind(label)}; expected labels "
                    "that are strings or integers (for real numbers take SequenceRegressor)"
                )
        return labels
