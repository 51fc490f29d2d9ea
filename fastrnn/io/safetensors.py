"""Named arrays and metadata in one ``.safetensors`` file, which PyTorch and others read as well.

Needs safetensors: ``pip install "fastrnn[io]"``. What is saved here is what `fastrnn.io.npz` saves: the names
are those of ``state_dict()``, which PyTorch's layers have too; the text ``__fastrnn__`` of the metadata is
the same JSON as in a ``.npz`` file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._checks import HEADER
from .._extra import optional
from ._file import FileFormatError, write_atomically
from .npz import Contents, arrays_of, contents, header

if TYPE_CHECKING:
    from ..nn import Module
    from ..optim import Optimizer

__all__ = ["load", "save"]

#: The names of dtypes in a file, and NumPy's.
_DTYPES = {
    "F16": "<f2", "F32": "<f4", "F64": "<f8", "BOOL": "|b1",
    "I8": "|i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
    "U8": "|u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
}  # fmt: skip


def save(
    path: str | os.PathLike[str], source: Module | Optimizer | Mapping[str, Any], /, **meta: Any
) -> None:
    """Write a ``.safetensors`` file, whatever the ending of `path`; all else is as with `fastrnn.io.save`.

    Raises
    ------
    TypeError
        As with `fastrnn.io.save`, and for the name ``__metadata__``, which the format keeps for itself.
    ImportError
        safetensors is not there.
    """
    library = optional("safetensors.numpy", "io")
    arrays = arrays_of(path, source)
    if "__metadata__" in arrays:
        raise TypeError("save: '__metadata__' cannot be the name of an array in a .safetensors file")
    # The library writes the memory of an array as it lies, whatever its strides and byte order say.
    plain = {
        name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")).reshape(a.shape)
        for name, a in arrays.items()
    }
    content = library.save(plain, {HEADER: header(arrays, meta), "format": "np"})
    with write_atomically(path) as file:
        file.write(content)


def load(path: str | os.PathLike[str]) -> Contents:
    """Read a ``.safetensors`` file, of `save` or of any other program.

    Memory is taken for as much as the file has, whatever it claims.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    arrays : dict of str to numpy.ndarray
        In the order of their names where another program wrote the file.
    meta : dict
        What `save` was given; the strings of the file's own metadata, of a file of another program.

    Raises
    ------
    FileFormatError
        The file is truncated, damaged, of another kind, or has arrays that NumPy has no dtype for.
    OSError
        It cannot be opened or read.
    ImportError
        safetensors is not there.
    """
    library = optional("safetensors", "io")
    with open(path, "rb") as file:
        content = file.read()
    try:
        return _read(library, content)
    except FileFormatError as error:
        raise FileFormatError(f"{os.fspath(path)}: {error}") from None


def _read(library: Any, content: bytes) -> Contents:
    try:
        tensors = library.deserialize(content)  # checks the header, and each offset, against the file
    except (library.SafetensorError, ValueError) as error:
        raise FileFormatError(f"not a whole .safetensors file: {error}") from error
    arrays = {}
    for name, tensor in tensors:
        dtype = _DTYPES.get(tensor["dtype"])
        if dtype is None:
            raise FileFormatError(
                f"array {name!r} has dtype {tensor['dtype']}; expected one of {', '.join(_DTYPES)}"
            )
        try:
            array = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
        except ValueError as error:
            raise FileFormatError(f"array {name!r} has shape {tensor['shape']}: {error}") from error
        arrays[name] = array.astype(array.dtype.newbyteorder("="))  # a copy, to be written to
    try:
        texts = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__") or {}
        return contents(texts[HEADER], arrays) if HEADER in texts else Contents(arrays, texts)
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"its metadata {HEADER!r} is not JSON: {error}") from error
