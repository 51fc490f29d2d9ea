"""Models from files, and data as a model that is there reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ._data import Columns, Data, is_file, numbers, read
from ._values import for_model, sequences

__all__ = ["TASKS", "read_for", "series", "task_of"]

#: What each kind of model is for.
TASKS = {
    "SequenceClassifier": "classifier",
    "SequenceTagger": "tagger",
    "SequenceRegressor": "regressor",
    "LanguageModel": "language-model",
    "Seq2Seq": "translator",
}


def task_of(model: Any, path: str, *expected: str) -> str:
    """What a model is for; one of those expected."""
    name = type(model).__name__
    task = TASKS.get(name, name)
    if task not in expected:
        raise ValueError(f"{path}: it holds a {name}, a {task}; expected a {' or a '.join(expected)}")
    return task


def read_for(model: Any, task: str, path: str, named: Columns, *, labelled: bool) -> Data:
    """The inputs of a file, with `labelled` the targets too, as this model takes them; or one text."""
    if task == "regressor" and model.horizon is not None:
        return series(path, named, model.columns_)
    if labelled or is_file(path):
        data = read(path, named, labelled=labelled, every_line=not labelled)
    else:
        named.refuse("a text")
        data = Data("text", [path], lines=[1])
    data = sequences(data, "auto" if task == "language-model" else _kind(model))
    return for_model(data, task, model._target.split if task == "translator" else "auto")


def series(path: str, named: Columns, learned: Sequence[str] | None = None) -> Data:
    """Series to forecast: one from a table of numbers, a line a step, or those of an array.

    Of a table the columns that a model `learned` from, where it knows their names.
    """
    if path.lower().endswith((".npz", ".npy")):
        data = read(path, named, labelled=False)
        one = path.lower().endswith(".npy") and getattr(data.X, "ndim", 0) == 2 and len(data.X) > 1
        return replace(data, X=[data.X]) if one else data  # (T, F)
    named.refuse(path, "--target", "--skip-empty")
    columns, steps = numbers(path, named, learned)
    return Data(path, [steps], columns=columns)


def _kind(model: Any) -> str:
    """How the model reads a sequence: what it found where ``inputs`` is "auto"."""
    reads = model._reader
    return reads.split if reads.kind == "text" else reads.kind
