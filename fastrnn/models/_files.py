"""What the files of all models share: the cell as JSON, and sizes compared before memory is taken."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import cells, io

__all__ = ["cell_from", "cell_meta", "check_shapes", "read", "settings"]

_VERSION = 1


def read(path: str | os.PathLike[str], kind: str) -> io.Contents:
    """The contents of the file of a model of this kind.

    Raises
    ------
    fastrnn.io.FileFormatError
        The file is damaged, holds something else, or is of a newer version.
    """
    contents = io.load(path)
    meta = contents.meta
    if meta.get("kind") != kind:
        raise io.FileFormatError(f"{os.fspath(path)}: it holds {meta.get('kind', 'arrays')!r}, not a {kind}")
    if meta.get("version") != _VERSION:
        raise io.FileFormatError(
            f"{os.fspath(path)}: version {meta.get('version')!r} of {kind}; this fastrnn reads version "
            f"{_VERSION}; upgrade fastrnn"
        )
    return contents


def settings(meta: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The settings of these names; files were written without ``init`` before there was one."""
    return {name: meta.get(name) if name == "init" else meta[name] for name in names}


def cell_meta(cell: cells.Cell) -> dict[str, Any]:
    """A cell as JSON can hold it."""
    return {"name": type(cell).__name__, **dataclasses.asdict(cell)}


def cell_from(meta: Mapping[str, Any]) -> cells.Cell:
    """The cell that `cell_meta` described."""
    options = dict(meta)
    return cells.kinds()[options.pop("name")](**options)


def check_shapes(
    arrays: Mapping[str, np.ndarray],
    cell: cells.Cell,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bidirectional: bool,
    others: Mapping[str, tuple[int, ...]],
    layer_name: str = "rnn",
) -> None:
    """Compare what the settings of a file say with its arrays, before memory of that size is taken.

    Every weight of the layers `layer_name`, and what stands in `others`.
    """
    first = f"{layer_name}.weight_ih_l"
    layers = sum(name.startswith(first) and not name.endswith("_reverse") for name in arrays)
    if num_layers != layers:
        raise ValueError(f"num_layers is {num_layers!r}, and there are weights for {layers}")
    expected = dict(others)
    for layer in range(num_layers):
        for name, shape in cell.parameter_shapes(input_size, hidden_size).items():
            if name.startswith("w_"):
                for direction in ("", "_reverse")[: 1 + bidirectional]:
                    expected[f"{layer_name}.weight_{name[2:]}_l{layer}{direction}"] = shape
        input_size = cell.output_size(hidden_size) * (1 + bidirectional)
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, its settings say {shape}")
