"""Named arrays and metadata in one ``.npz`` file, which ``numpy.load`` reads as well.

The file is an uncompressed zip of ``.npy`` members, as ``numpy.savez`` writes it, whose first member,
``__fastrnn__``, is a string array with JSON: ``{"format": 1, "names": [...], "meta": {...}}``. Nothing in it
is ever unpickled or evaluated. The same contents give the same bytes.
"""

from __future__ import annotations

import errno
import math
import os
import re
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from .. import _checks
from .._checks import HEADER as _HEADER_NAME
from ._file import FileFormatError, write_atomically

if TYPE_CHECKING:
    import zipfile

    from ..nn import Module
    from ..optim import Optimizer

__all__ = ["Contents", "load", "save"]

FORMAT = 1
_STORED = 0  # zipfile.ZIP_STORED
_DTYPES = re.compile(r"[<>]f[248]|[<>][iu][248]|\|[iub]1")
_NPY_HEADER = re.compile(
    rb"\{'descr': '([<>|]\w\d{1,12})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,19}(?:, \d{1,19}){0,63},?)?)\), \} *\n"
)


class Contents(NamedTuple):
    """What `load` returns."""

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {a.dtype} {a.shape}" for name, a in list(self.arrays.items())[:3])
        more = ", ..." * (len(self.arrays) > 3)
        return f"Contents({len(self.arrays)} arrays: {shown}{more}; meta: {', '.join(self.meta) or 'none'})"


def save(
    path: str | os.PathLike[str], source: Module | Optimizer | Mapping[str, Any], /, **meta: Any
) -> None:
    """Write a ``.npz`` file, whatever the ending of `path`; all else is as with `fastrnn.io.save`."""
    import zipfile  # here, as below: it would be a good part of the time that importing fastrnn takes

    arrays = arrays_of(path, source)
    arrays = {_HEADER_NAME: np.array(header(arrays, meta)), **arrays}
    with write_atomically(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        try:
            for name, array in arrays.items():
                # A ZipInfo without a date: the same contents give the same file.
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        except BaseException:
            archive.fp = None  # to close it with half a member would raise an error in place of this one
            raise


def arrays_of(
    path: str | os.PathLike[str], source: Module | Optimizer | Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The arrays that `source` has to save, in C order, having checked both arguments."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"save: path is {_checks.kind(path)}; expected a path, then what to save: save(path, source)"
        )
    if not isinstance(source, Mapping) and not hasattr(source, "state_dict"):
        hint = "; it writes itself: .save(path)" if hasattr(source, "save") else ""
        raise TypeError(f"save: got {_checks.kind(source)}; expected a module, optimiser or mapping{hint}")
    mapping = source if isinstance(source, Mapping) else source.state_dict()
    arrays = {}
    for name, value in mapping.items():
        array = np.asarray(value, order="C")
        if not isinstance(name, str) or name == _HEADER_NAME or "\0" in name:
            raise TypeError(f"save: {name!r} cannot be the name of an array")
        if not _DTYPES.fullmatch(array.dtype.str):
            raise TypeError(f"save: {name!r} has dtype {array.dtype}; expected floats, integers or bool")
        arrays[name] = array
    return arrays


def header(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> str:
    """What a file tells of itself."""
    import json

    return json.dumps({"format": FORMAT, "names": list(arrays), "meta": meta})


def contents(text: str, arrays: Mapping[str, np.ndarray]) -> Contents:
    """The arrays of a file in the order in which they were saved, and the metadata, as `header` has told.

    Raises
    ------
    FileFormatError, ValueError, RecursionError
        It tells of other arrays, or is no header.
    """
    import json

    header = json.loads(text)
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise FileFormatError(f"{_HEADER_NAME!r} does not tell the format")
    if header["format"] > FORMAT:
        raise FileFormatError(
            f"format {header['format']}; this version of fastrnn reads up to {FORMAT}; upgrade fastrnn"
        )
    names = header.get("names")
    if not isinstance(names, list) or sorted(names, key=str) != sorted(arrays):
        raise FileFormatError(f"its arrays are {list(arrays)}; {_HEADER_NAME!r} names {names}")
    if not isinstance(header.get("meta"), dict):
        raise FileFormatError(f"{_HEADER_NAME!r} has no metadata")
    return Contents({name: arrays[name] for name in names}, header["meta"])


def load(path: str | os.PathLike[str]) -> Contents:
    """Read a ``.npz`` file that `save` wrote; all else is as with `fastrnn.io.load`.

    A damaged or hostile file costs no more memory than its own size.
    """
    import zipfile

    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _read(archive, os.fstat(file.fileno()).st_size)
        except FileFormatError as error:
            raise FileFormatError(f"{os.fspath(path)}: {error}") from None
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: the archive points outside the file
                raise
            raise FileFormatError(f"{os.fspath(path)}: damaged: {error}") from error
        except (zipfile.BadZipFile, *_DAMAGE) as error:
            raise FileFormatError(f"{os.fspath(path)}: not a whole .npz file: {error}") from error


#: What zipfile and json raise on bad input, besides BadZipFile.
_DAMAGE = (
    struct.error,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)


def _read(archive: zipfile.ZipFile, file_size: int) -> Contents:
    members = archive.infolist()
    if any(info.filename.endswith("/data.pkl") for info in members):
        raise FileFormatError(
            "a PyTorch file; read it with torch.load(path, weights_only=True), and give the state_dict to "
            "load_state_dict"
        )
    for info in members:
        if info.compress_type != _STORED or info.compress_size != info.file_size:
            raise FileFormatError(
                f"member {info.filename!r} is compressed; fastrnn.io.save does not compress"
            )
        if not info.filename.endswith(".npy"):
            raise FileFormatError(f"member {info.filename!r} is not an .npy array")
    if sum(info.file_size for info in members) > file_size:
        raise FileFormatError("its members claim to be larger than the file")
    arrays = {}
    for info in members:
        name = info.filename.removesuffix(".npy")
        if name in arrays:
            raise FileFormatError(f"array {name!r} is there twice")
        with archive.open(info) as member:
            arrays[name] = _read_array(cast("zipfile.ZipExtFile", member), name, info.file_size)
    if _HEADER_NAME not in arrays:
        raise FileFormatError(
            f"it has no member {_HEADER_NAME!r}: fastrnn.io.save did not write it (use numpy.load)"
        )
    return contents(arrays.pop(_HEADER_NAME).item(), arrays)


def _read_array(member: zipfile.ZipExtFile, name: str, size: int) -> np.ndarray:
    """Read one .npy member of `size` bytes; its header is matched, not evaluated."""
    start = member.read(10)
    if len(start) < 10 or start[:8] != b"\x93NUMPY\x01\x00":
        raise FileFormatError(f"array {name!r} does not begin as .npy version 1")
    header = member.read(int.from_bytes(start[8:], "little"))
    match = _NPY_HEADER.fullmatch(header)
    if not match:
        raise FileFormatError(
            f"array {name!r} has a header that fastrnn.io.save does not write: {header[:80]!r}"
        )
    descr = match[1].decode()
    expected = re.compile(r"<U\d+") if name == _HEADER_NAME else _DTYPES
    if not expected.fullmatch(descr) or match[2] == b"True":
        raise FileFormatError(
            f"array {name!r} has dtype {descr!r} or order that fastrnn.io.save does not write"
        )
    dtype = np.dtype(descr)
    shape = tuple(int(n) for n in match[3].replace(b",", b" ").split())
    bytes_left = size - len(start) - len(header)
    if math.prod(shape) * dtype.itemsize != bytes_left:
        raise FileFormatError(
            f"array {name!r}: shape {shape} of {descr} does not fit into {bytes_left} bytes"
        )
    array = np.empty(shape, dtype)
    view = array.reshape(-1).view(np.uint8).data
    done = 0
    while done < bytes_left:
        count = member.readinto(view[done : done + (1 << 20)])
        if not count:
            raise FileFormatError(f"array {name!r} ends after {done} of {bytes_left} bytes")
        done += count  # with the last byte zipfile compares the checksum
    return array.astype(dtype.newbyteorder("="), copy=False)
