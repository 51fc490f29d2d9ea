"""Which of some classes a sequence belongs to, or each step of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

import numpy as np

from .. import cells
from ..losses import cross_entropy, softmax
from ._labels import Labels
from ._sequences import Options, SequenceModel

__all__ = ["SequenceClassifier", "SequenceTagger"]


class _Labelled(SequenceModel):
    """What classifier and tagger share: targets are labels."""

    _criterion = staticmethod(cross_entropy)
    _labels: Labels

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted, (C,)."""
        return self._fitted()._labels.classes

    @property
    def _outputs(self) -> int:
        return len(self._labels.classes)

    def _metric(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        return float((outputs.argmax(-1) == targets).mean())

    def _meta(self) -> dict[str, Any]:
        return {"labels": self._labels.meta()}

    def _from_meta(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        who = type(self).__name__
        self._labels = Labels(who, Labels.plain(who, meta["labels"], "labels"))


class SequenceClassifier(_Labelled):
    """A label for each sequence: intents of messages, kinds of movement, digits.

    The options not named here are those of all models: see `SequenceModel`, for what X may be too. y is a
    list of labels, strings or integers. `score` is the part of the sequences that are labelled right.

    Parameters
    ----------
    cell : fastrnn.cells.Cell or str, optional
        Any cell, with any options, or the name of one without, such as "LSTM"; ``cells.GRU()`` if not given.
    pool : {"last", "mean", "max"}
        What of a sequence decides: the state after its last step (with ``bidirectional`` of both directions,
        each after its last), or the mean or the maximum of the outputs at all steps.
    **options
        As `SequenceModel`.

    Attributes
    ----------
    classes_ : numpy.ndarray, (C,)
        The labels, sorted.
    network_, history_
        As `SequenceModel`.

    Examples
    --------
    >>> from fastrnn.models import SequenceClassifier
    >>> X = ["turn on the light", "light on please", "what is the weather", "how is the weather today"] * 4
    >>> y = ["light", "light", "weather", "weather"] * 4
    >>> model = SequenceClassifier(hidden_size=16).fit(X, y)
    >>> model.predict(["the light please", "is the weather nice"]).tolist()
    ['light', 'weather']
    >>> model.predict_proba(["the light please"]).shape
    (1, 2)
    """

    _settings: ClassVar[tuple[str, ...]] = (*SequenceModel._settings, "pool")

    def __init__(
        self, cell: cells.Cell | str | None = None, *, pool: str = "last", **options: Unpack[Options]
    ) -> None:
        super().__init__(cell, **options)
        self.pool = pool

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest label of each sequence, (n,)."""
        return self.classes_[np.stack(self._answer("predict", X)).argmax(-1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each sequence, (n, C), in the order of `classes_`."""
        return softmax(np.stack(self._answer("predict_proba", X)))

    def _learn_targets(self, who: str, y: Any, lengths: Sequence[int], kept: np.ndarray) -> list[np.ndarray]:
        labels = Labels.plain(who, y)
        self._labels = Labels(who, labels)
        return list(self._labels.encode(who, labels))

    def _read_targets(
        self, who: str, y: Any, lengths: Sequence[int], argument: str = "y"
    ) -> list[np.ndarray]:
        return list(self._labels.encode(who, Labels.plain(who, y, argument), argument))


class SequenceTagger(_Labelled):
    """A label for each step of a sequence: parts of speech, names in a text, states of a machine.

    The options are those of all models: see `SequenceModel`, for what X may be too. y is a list with as many
    labels for each sequence as it has steps. `score` is the part of all steps that are labelled right. For
    tags that depend on what comes after, take ``bidirectional=True``.

    Parameters
    ----------
    cell : fastrnn.cells.Cell or str, optional
        Any cell, with any options, or the name of one without, such as "LSTM"; ``cells.GRU()`` if not given.
    **options
        As `SequenceModel`.

    Attributes
    ----------
    classes_ : numpy.ndarray, (C,)
        The labels, sorted.
    network_, history_
        As `SequenceModel`.

    Examples
    --------
    >>> from fastrnn.models import SequenceTagger
    >>> X = [["the", "cat", "sleeps"], ["a", "dog", "barks"], ["the", "dog", "sleeps", "here"]] * 4
    >>> y = [["DET", "NOUN", "VERB"], ["DET", "NOUN", "VERB"], ["DET", "NOUN", "VERB", "ADV"]] * 4
    >>> model = SequenceTagger(hidden_size=16, bidirectional=True).fit(X, y)
    >>> [tags.tolist() for tags in model.predict([["a", "cat", "barks"]])]
    [['DET', 'NOUN', 'VERB']]
    """

    pool = None
    _counts = "steps"

    def __init__(self, cell: cells.Cell | str | None = None, **options: Unpack[Options]) -> None:
        super().__init__(cell, **options)

    def predict(self, X: Any) -> list[np.ndarray]:
        """Return the likeliest label of each step, for each sequence an array (T_i,)."""
        return [self.classes_[outputs.argmax(-1)] for outputs in self._answer("predict", X)]

    def predict_proba(self, X: Any) -> list[np.ndarray]:
        """Return the probability of each class at each step, for each sequence an array (T_i, C)."""
        return [softmax(outputs) for outputs in self._answer("predict_proba", X)]

    def _learn_targets(self, who: str, y: Any, lengths: Sequence[int], kept: np.ndarray) -> list[np.ndarray]:
        rows = self._rows(who, y, lengths, "y")
        self._labels = Labels(who, (label for row in rows for label in row))
        return self._encoded(who, rows, "y")

    def _read_targets(
        self, who: str, y: Any, lengths: Sequence[int], argument: str = "y"
    ) -> list[np.ndarray]:
        return self._encoded(who, self._rows(who, y, lengths, argument), argument)

    def _encoded(self, who: str, rows: list[list[Any]], argument: str) -> list[np.ndarray]:
        return [self._labels.encode(who, row, f"{argument}[{i}]") for i, row in enumerate(rows)]

    @staticmethod
    def _rows(who: str, y: Any, lengths: Sequence[int], argument: str) -> list[list[Any]]:
        """The labels of each sequence, as many as it has steps."""
        rows = [Labels.plain(who, row, f"{argument}[{i}]") for i, row in enumerate(y)]
        for i, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            if len(row) != length:
                raise ValueError(
                    f"{who}: {argument}[{i}] has {len(row)} labels, and its sequence {length} steps"
                )
        return rows
