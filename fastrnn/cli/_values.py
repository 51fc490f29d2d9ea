"""Cells of files to what models take: numbers, lists of tokens, labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ._data import Data

__all__ = ["for_model", "sequences"]


def sequences(data: Data, kind: str) -> Data:
    """The inputs as a model reads them: `kind` is one of `fastrnn.models`' ``inputs``.

    In .csv, .tsv and text, numbers and tokens of a sequence stand side by side with spaces between them.
    """
    converters: dict[str, Callable[[str], Any]] = {
        "vectors": lambda cell: np.array([float(v) for v in cell.split()]),
        "ids": lambda cell: np.array([int(v) for v in cell.split()]),
        "tokens": str.split,
    }
    convert = converters.get(kind)
    return data if convert is None else replace(data, X=_each(data, data.X, convert, f"a sequence ({kind})"))


def for_model(data: Data, task: str, outputs: str = "auto") -> Data:
    """The targets as a model of this task takes them; `outputs`: what those of a translator are."""
    if data.y is None:
        return data
    if task == "translator" and outputs == "tokens":
        return replace(data, y=_each(data, data.y, str.split, "tokens"))
    if task == "tagger":
        y = _each(data, data.y, str.split, "tags")
        for i, tags in enumerate(y):
            if not hasattr(tags, "__len__"):
                raise ValueError(f"{data.place(i)}: {tags!r:.60}; expected tags, as many as tokens")
        for i, (tags, x) in enumerate(zip(y, data.X, strict=True)):
            if not isinstance(x, str) and len(tags) != len(x):
                raise ValueError(f"{data.place(i)}: {len(tags)} tags for {len(x)} tokens; expected as many")
        return replace(data, y=y)
    if task == "regressor":
        y = _each(data, data.y, lambda cell: [float(v) for v in cell.split()], "a number")
        for i, row in enumerate(y):
            if not all(map(_is_number, row if isinstance(row, list) else np.ravel(row))):
                raise ValueError(f"{data.place(i)}: {row!r:.60}; expected a number")
        if len({np.shape(row) for row in y}) > 1:
            wrong = next(i for i, row in enumerate(y) if np.shape(row) != np.shape(y[0]))
            raise ValueError(
                f"{data.place(wrong)}: numbers of shape {np.shape(y[wrong])}; expected {np.shape(y[0])}, as "
                "the first line has"
            )
        numbers: Any = np.array(y, np.float64)
        return replace(data, y=numbers[:, 0] if numbers.shape[1:] == (1,) else numbers)
    return data


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number, np.bool_))


def _each(data: Data, cells: Sequence[Any], convert: Callable[[str], Any], expected: str) -> list[Any]:
    """Every cell converted, those that are no strings as they are."""
    found = []
    for i, cell in enumerate(cells):
        try:
            found.append(convert(cell) if isinstance(cell, str) else cell)
        except ValueError:
            raise ValueError(f"{data.place(i)}: {cell!r:.60}; expected {expected}") from None
    return found
