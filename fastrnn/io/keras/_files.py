"""The three kinds of files: ``.keras``, ``.h5`` of a whole model, and files of weights alone."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO

from ... import _checks
from .._file import FileFormatError
from . import _hdf5

_CONFIG, _METADATA, _TENSORS = "config.json", "metadata.json", "model.weights.h5"


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file holds: tensors, and of a whole model its configuration."""

    tree: _hdf5.Tree
    config: dict[str, Any] | None
    version: str | None

    @property
    def major(self) -> int | None:
        """The major version of Keras: that of ``2.15.0-tf`` is 2."""
        match = re.match(r"\d{1,3}(?=\.|$)", self.version or "")
        return int(match[0]) if match else None

    @property
    def has_old_defaults(self) -> bool:
        """Whether what is not told may be other than Keras has it by default today."""
        return self.config is None and bool(re.match(r"(0|1|2\.[0-2])\.", self.version or ""))


def read(path: str | os.PathLike[str]) -> Stored:
    """Read any of them."""
    with open(path, "rb") as file:
        try:
            size = os.fstat(file.fileno()).st_size
            start = file.read(4)
            file.seek(0)
            return _read_zip(file, size) if start == b"PK\x03\x04" else _read_h5(file, size)
        except FileFormatError as error:
            raise FileFormatError(f"{os.fspath(path)}: {error}") from error.__cause__


def _read_h5(file: BinaryIO, size: int) -> Stored:
    tree = _hdf5.read(file, size)
    top = tree.attributes[""]
    version = top.get("keras_version") or tree.attributes.get("model_weights", {}).get("keras_version")
    config = top.get("model_config")
    if config is not None:
        config = _json(config, "model_config")
    return Stored(tree, config, version if isinstance(version, str) else None)


def _read_zip(file: BinaryIO, size: int) -> Stored:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {name: _member(archive, name, size) for name in (_CONFIG, _METADATA, _TENSORS)}
    except FileFormatError:
        raise
    except (*_DAMAGE, OSError) as error:
        raise FileFormatError(f"not a whole .keras file: {error}") from error
    config, metadata = (_json(members[name], name) for name in (_CONFIG, _METADATA))
    tree = _hdf5.read(io.BytesIO(members[_TENSORS]), len(members[_TENSORS]))
    version = metadata.get("keras_version")
    return Stored(tree, config, version if isinstance(version, str) else None)


#: What zipfile raises on a damaged file, besides OSError.
_DAMAGE = (zipfile.BadZipFile, ArithmeticError, EOFError, LookupError, RuntimeError, TypeError, ValueError)


def _member(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """Read a member by its exact name; nothing is unpacked, on disk or in memory."""
    found = [info for info in archive.infolist() if info.filename == name]
    if len(found) != 1:
        raise FileFormatError(f"a .keras file has one {name}; this one has {len(found)}")
    (info,) = found
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise FileFormatError(f"{name} is compressed, which Keras does not do; zip the members anew with -0")
    if info.file_size > size:
        raise FileFormatError(f"{name} claims {info.file_size} bytes in a file of {size}")
    return archive.read(info)


def _json(text: str | bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise FileFormatError(f"{what} is {_checks.kind(value)}; expected a mapping")
    return value
