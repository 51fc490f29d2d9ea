"""Files that a command writes: never one that it reads, and a model only where a model may stand."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ._models import TASKS

__all__ = ["check_apart", "check_model"]

_MODELS = (".npz", ".safetensors")


def check_apart(writes: Mapping[str, str | None], reads: Mapping[str, str | None]) -> None:
    """Refuse to write one file twice, or to write one that is read; the names are those of the arguments."""
    given = [(name, path) for name, path in {**writes, **reads}.items() if path is not None]
    for i, (name, path) in enumerate(given):
        for other, second in given[i + 1 :]:
            if name in writes and _same(path, second):
                raise ValueError(f"{name} and {other} are both {path}; give one another name")


def check_model(path: str) -> None:
    """Refuse a path at which no model can be written, or where something else stands.

    Raises
    ------
    ImportError
        It needs a library that is not there.
    OSError
        Its folder is not there or cannot be written to.
    ValueError
        Its ending is not that of a model, or the file that is there holds no model.
    """
    from .. import _extra, io
    from ..io._file import destination

    try:
        folder = os.path.dirname(destination(path))
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}; give another file with --output") from None
    if not os.access(folder, os.W_OK):
        raise OSError(f"cannot write {path}: its folder is read-only; give another file with --output")
    ending = os.path.splitext(path)[1].lower()
    if ending not in ("", *_MODELS):
        raise ValueError(f"--output is {path}; a model ends in {' or '.join(_MODELS)}")
    if ending == ".safetensors":
        _extra.optional("safetensors.numpy", "io")  # now, not after the training
    if not os.path.exists(path) or not os.path.getsize(path):
        return
    try:
        held = io.load(path).meta.get("kind")
    except io.FileFormatError:
        held = None
    if held not in TASKS:
        raise ValueError(f"--output is {path}, which is there and is no model; give another name")


def _same(one: str, other: str) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)
