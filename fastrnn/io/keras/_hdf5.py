"""What an HDF5 file of Keras holds, read without trusting it.

Nothing is followed that leads out of the file, nothing is unpacked, and no array takes memory that the file
does not fill: all arrays together are no larger than the file.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ... import _checks
from ..._extra import optional
from .._file import FileFormatError
from ._format import Format

#: The attributes of Keras that `read` returns; a long list of names is cut into several.
_ATTRIBUTES = re.compile(r"name|model_config|keras_version|layer_names\d*")
#: What an optimiser keeps, at the top of a file; it is never read.
_OPTIMIZER = frozenset({"optimizer", "optimizer_weights", "_optimizer"})
_DEPTH = 64


class Tree(NamedTuple):
    """The arrays of a file by path, and the attributes of its groups by path and name."""

    arrays: dict[str, np.ndarray]
    attributes: dict[str, dict[str, Any]]


def read(file: BinaryIO, size: int) -> Tree:
    """Read an HDF5 file of `size` bytes.

    Raises
    ------
    FileFormatError
        Also for what Keras does not write: links, virtual or external data, filters, objects.
    """
    h5py = optional("h5py", "keras")

    try:
        with h5py.File(file, "r") as opened:
            return _Reader(h5py, Format(file, size), size).read(opened)
    except FileFormatError:
        raise
    except (*_DAMAGE, OSError) as error:
        raise FileFormatError(f"not a whole HDF5 file: {error}") from error


#: What h5py raises on a damaged file, besides OSError.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    struct.error,
    SystemError,
    TypeError,
    ValueError,
)


class _Reader:
    """One walk through a file; it remembers where it was, and how much memory the file is still worth."""

    def __init__(self, h5py: Any, form: Format, size: int) -> None:
        self.h5py = h5py
        self.form = form
        self.size = self.left = size
        self.seen: set[int] = set()

    def read(self, file: Any) -> Tree:
        tree = Tree({}, {})
        for path, item in self.walk(file, "", 0):
            if isinstance(item, self.h5py.Dataset):
                tree.arrays[path] = self.array(path, item)
            else:
                tree.attributes[path] = self.attributes(path, item)
        return tree

    def walk(self, group: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
        """Yield the groups and arrays below `group`, and itself, each with its path."""
        address = self.address(group)
        if address in self.seen or depth > _DEPTH:
            raise FileFormatError(f"{path!r} is there a second time, by a hard link; Keras writes none")
        self.seen.add(address)
        self.form.check_group(address)
        yield path, group
        for name in group:
            below = f"{path}/{name}" if path else name
            link = group.get(name, getlink=True)
            if not isinstance(link, self.h5py.HardLink):
                raise FileFormatError(f"{below!r} is a link ({type(link).__name__}); Keras writes none")
            if not depth and name in _OPTIMIZER:
                continue
            item = group[name]
            if isinstance(item, self.h5py.Group):
                yield from self.walk(item, below, depth + 1)
            elif isinstance(item, self.h5py.Dataset):
                yield below, item
            else:
                raise FileFormatError(f"{below!r} is {_checks.kind(item)}; expected a group or an array")

    def address(self, group: Any) -> int:
        """Where the header of a group is, by a call that reads nothing else."""
        low, high = self.h5py.h5g.get_objinfo(group.id).objno
        return low | high << 32

    def array(self, path: str, data: Any) -> np.ndarray:
        if data.is_virtual or data.external:
            raise FileFormatError(f"array {path!r} lies in other files; Keras writes none such")
        if data.id.get_create_plist().get_nfilters():
            raise FileFormatError(
                f"array {path!r} is compressed or filtered, which Keras does not do; "
                "write the file anew with: h5repack -f NONE OLD NEW"
            )
        dtype, shape = data.dtype, data.shape
        if shape is None or dtype.kind not in "fiub":
            what = "no shape" if shape is None else f"dtype {dtype}"
            raise FileFormatError(f"array {path!r} has {what}; expected floats, integers or bool")
        wanted, stored = math.prod(shape) * dtype.itemsize, data.id.get_storage_size()
        if wanted > min(stored, self.left):
            raise FileFormatError(
                f"array {path!r} claims shape {shape} of {dtype}, {wanted} bytes; the file holds {stored} "
                f"for it, and {self.left} of its {self.size} bytes are not taken by other arrays"
            )
        self.left -= wanted
        return np.asarray(data[()], dtype.newbyteorder("="))

    def attributes(self, path: str, group: Any) -> dict[str, Any]:
        return {
            name: self.attribute(path, name, group) for name in group.attrs if _ATTRIBUTES.fullmatch(name)
        }

    def attribute(self, path: str, name: str, group: Any) -> str | list[str]:
        attribute = self.h5py.h5a.open(group.id, name.encode())
        if attribute.dtype.kind == "O":
            strings = self.form.attribute(self.address(group), name)
            return strings if attribute.shape else strings[0]
        if math.prod(attribute.shape) * attribute.dtype.itemsize > self.size:
            raise FileFormatError(f"attribute {name!r} of {path!r} claims to be larger than the file")
        value = group.attrs[name]
        if isinstance(value, (str, bytes)):
            return _text(value)
        if isinstance(value, np.ndarray) and value.ndim == 1 and (value.dtype.kind in "SU" or not value.size):
            return [_text(item) for item in value.tolist()]
        raise FileFormatError(f"attribute {name!r} of {path!r} is {type(value).__name__}; expected text")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
