"""Reading ONNX's messages: files, tensors and attributes, checked before memory is taken for them."""

from __future__ import annotations

import math
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import _checks
from ..._extra import optional
from .._file import FileFormatError

#: The versions of ONNX's operator set that are known here.
OPSETS = range(7, 29)
#: Names of the standard set of operators.
STANDARD = ("", "ai.onnx")

#: What a tensor's elements are, by onnx.TensorProto.DataType, and the field that may hold them.
_ELEMENTS: dict[int, tuple[type[np.generic], str]] = {
    1: (np.float32, "float_data"),
    2: (np.uint8, "int32_data"),
    3: (np.int8, "int32_data"),
    4: (np.uint16, "int32_data"),
    5: (np.int16, "int32_data"),
    6: (np.int32, "int32_data"),
    7: (np.int64, "int64_data"),
    9: (np.bool_, "int32_data"),
    10: (np.float16, "int32_data"),
    11: (np.float64, "double_data"),
    12: (np.uint32, "uint64_data"),
    13: (np.uint64, "uint64_data"),
}
_EXTERNAL = 1  # onnx.TensorProto.EXTERNAL


def require() -> Any:
    """Return the package onnx, or say how to get it."""
    return optional("onnx", "onnx")


def read(source: Any) -> tuple[Any, Folder, int]:
    """Return the model of a path, bytes or an onnx.ModelProto, the folder of its file, and its size."""
    onnx = require()
    if isinstance(source, onnx.ModelProto):
        return source, Folder(None), source.ByteSize()
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _parse(onnx, bytes(source), "these bytes"), Folder(None), len(source)
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"load: got {_checks.kind(source)}; expected a path, bytes or an onnx.ModelProto")
    with open(source, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FileFormatError(f"{os.fspath(source)}: not a regular file")
        data = file.read()
    folder = Folder(os.path.dirname(os.path.abspath(os.fspath(source))))
    return _parse(onnx, data, os.fspath(source)), folder, len(data)


def _parse(onnx: Any, data: bytes, what: Any) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return onnx.ModelProto.FromString(data)
    except (DecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{what}: not a whole ONNX file: {error}") from error


def element_type(number: int) -> np.dtype | None:
    """Return the dtype of an onnx.TensorProto.DataType; None for one that NumPy has not."""
    return np.dtype(_ELEMENTS[number][0]) if number in _ELEMENTS else None


def element_number(dtype: Any) -> int:
    """Return the onnx.TensorProto.DataType of a dtype.

    >>> element_number(np.float32)
    1
    """
    for number, (kind, _) in _ELEMENTS.items():
        if kind == dtype:
            return number
    raise TypeError(f"an array of {dtype}; expected floats of 16, 32 or 64 bits, integers or bool")


def to_array(tensor: Any, folder: Folder, what: str) -> np.ndarray:
    """Return a tensor's values, whose number is compared with its shape first."""
    if tensor.data_type not in _ELEMENTS:
        raise FileFormatError(
            f"{what}: elements of ONNX's type {tensor.data_type}; expected floats of 16, 32 or 64 bits, "
            "integers or bool"
        )
    kind, name = _ELEMENTS[tensor.data_type]
    shape, dtype = tuple(tensor.dims), np.dtype(kind)
    if len(shape) > 32 or any(n < 0 for n in shape):
        raise FileFormatError(f"{what}: shape {shape[:33]}; expected at most 32 axes, none of them negative")
    if tensor.HasField("segment"):
        raise FileFormatError(f"{what}: it is a segment of a tensor; save the model with whole tensors")
    count = math.prod(shape)
    if tensor.data_location == _EXTERNAL:
        values = np.frombuffer(folder.read(tensor, count * dtype.itemsize, what), dtype)
    elif tensor.HasField("raw_data"):
        raw = tensor.raw_data
        if len(raw) != count * dtype.itemsize:
            raise FileFormatError(
                f"{what}: {len(raw)} bytes; expected {count * dtype.itemsize}, since it is {dtype} {shape}"
            )
        values = np.frombuffer(raw, dtype)
    else:
        field_ = getattr(tensor, name)
        if len(field_) != count:
            raise FileFormatError(f"{what}: {len(field_)} values; expected {count}, since it is {shape}")
        if dtype == np.float16:
            values = _cast(field_, np.dtype(np.uint16), what).view(np.float16)
        else:
            values = _cast(field_, dtype, what)
        return _shaped(values, shape, what)
    if sys.byteorder == "big":
        values = values.byteswap()
    if dtype.kind == "b":
        values = values.view(np.uint8) != 0
    return _shaped(values, shape, what)


def _cast(values: Any, dtype: np.dtype, what: str) -> np.ndarray:
    try:
        return np.fromiter(values, dtype, len(values))
    except OverflowError:
        raise FileFormatError(f"{what}: a value is outside the range of {dtype}") from None


def _shaped(values: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
    try:
        return values.reshape(shape)
    except (ValueError, OverflowError) as error:  # no elements, and axes beyond all measure
        raise FileFormatError(f"{what}: shape {shape}: {error}") from None


class Folder:
    """The folder of a model, in which the values of its tensors may stand in other files.

    Nothing is read outside it, the same bytes are read once, and of a file no more than it has.
    """

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else os.path.realpath(path)
        self._read: dict[tuple[str, int, int], bytes] = {}
        self._taken: dict[str, int] = {}

    def read(self, tensor: Any, size: int, what: str) -> bytes:
        """Return the bytes of a tensor, which must be `size`."""
        told = {name_of(entry.key): name_of(entry.value) for entry in tensor.external_data}
        location = told.get("location", "")
        if self._path is None:
            raise FileFormatError(
                f"{what}: its values are in another file, {location!r}; load the model by its path, or load "
                "them into it with onnx.load_external_data_for_model"
            )
        try:
            offset, length = int(told.get("offset") or 0), int(told.get("length") or size)
        except ValueError:
            raise FileFormatError(f"{what}: offset or length in {location!r} is no number") from None
        path, there = self._find(self._path, location, what)
        if length != size or offset < 0 or offset + size > there:
            raise FileFormatError(
                f"{what}: bytes {offset} to {offset + length} of {location!r}, which has {there}; expected "
                f"{size} bytes"
            )
        key = path, offset, size
        if key not in self._read:
            taken = self._taken[path] = self._taken.get(path, 0) + size
            if taken > there:
                raise FileFormatError(f"{what}: its values overlap with those of others in {location!r}")
            with open(path, "rb") as file:
                file.seek(offset)
                self._read[key] = file.read(size)
        return self._read[key]

    def _find(self, folder: str, location: str, what: str) -> tuple[str, int]:
        """Return the real path of a file, which is in the folder, and its size."""
        try:
            path = os.path.realpath(os.path.join(folder, location))
            inside = not os.path.isabs(location) and os.path.commonpath([folder, path]) == folder
            status = os.stat(path) if inside else None
        except (OSError, ValueError) as error:
            raise FileFormatError(f"{what}: its values are in {location!r}: {error}") from None
        if status is None:
            raise FileFormatError(
                f"{what}: its values are in {location!r}, which is outside the model's folder; put the file "
                "beside the model"
            )
        if not stat.S_ISREG(status.st_mode):
            raise FileFormatError(f"{what}: its values are in {location!r}, which is no regular file")
        return path, status.st_size


@dataclass(frozen=True, eq=False)
class Node:
    """A node of a graph; of optional inputs and outputs that are left out the name is empty."""

    operator: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    proto: Any = field(repr=False)

    @classmethod
    def of(cls, proto: Any) -> Node:
        """Read a node; its attributes are read when they are asked for."""
        own = type(proto).FromString(proto.SerializeToString())  # so that it does not keep all of the model
        operator, domain, name = (name_of(each) for each in (proto.op_type, proto.domain, proto.name))
        inputs, outputs = (tuple(map(name_of, names)) for names in (proto.input, proto.output))
        return cls(operator, domain, name, inputs, outputs, own)

    def __str__(self) -> str:
        of = f"{self.domain}.{self.operator}" if self.domain not in STANDARD else self.operator
        return (
            f"node {self.name!r} ({of})" if self.name else f"the node ({of}) of {', '.join(self.outputs)!r}"
        )

    def attributes(self, folder: Folder) -> dict[str, Any]:
        """Return the attributes by name: numbers, strings, lists of them, and arrays."""
        found: dict[str, Any] = {}
        for attribute in self.proto.attribute:
            if name_of(attribute.name) in found:
                raise FileFormatError(f"{self}: attribute {attribute.name!r} is there twice")
            found[attribute.name] = _value(attribute, folder, f"{self}: attribute {attribute.name!r}")
        return found


def _value(attribute: Any, folder: Folder, what: str) -> Any:
    """Return what an attribute holds, by onnx.AttributeProto.AttributeType."""
    match attribute.type:
        case 1:
            return attribute.f
        case 2:
            return attribute.i
        case 3:
            return _text(attribute.s, what)
        case 4:
            return to_array(attribute.t, folder, what)
        case 6:
            return list(attribute.floats)
        case 7:
            return list(attribute.ints)
        case 8:
            return [_text(each, what) for each in attribute.strings]
    raise FileFormatError(
        f"{what} is of ONNX's type {attribute.type}; expected numbers, strings or a tensor of numbers"
    )


def name_of(value: Any) -> str:
    """Return a name; the messages hand out bytes where they are not in UTF-8."""
    if not isinstance(value, str):
        raise FileFormatError(f"a name is {bytes(value)[:40]!r}; expected text in UTF-8")
    return value


def _text(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise FileFormatError(f"{what} is {value[:40]!r}; expected text in UTF-8") from None


def initializers(graph: Any, folder: Folder) -> Mapping[str, np.ndarray]:
    """Return the arrays that stand in a graph, by name; those of strings and the like are left out."""
    found: dict[str, np.ndarray] = {}
    for tensor in graph.initializer:
        if name_of(tensor.name) in found:
            raise FileFormatError(f"tensor {tensor.name!r} is there twice")
        if tensor.data_type in _ELEMENTS:
            found[tensor.name] = to_array(tensor, folder, f"tensor {tensor.name!r}")
    return found
