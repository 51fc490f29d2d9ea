"""Saving and loading."""

from typing import TYPE_CHECKING, Any

from ._by_ending import load, save
from ._file import FileFormatError
from .npz import Contents
from .torch import from_torch, torch_state_dict

if TYPE_CHECKING:
    from . import keras, onnx, safetensors

__all__ = [
    "Contents",
    "FileFormatError",
    "from_torch",
    "keras",
    "load",
    "onnx",
    "safetensors",
    "save",
    "torch_state_dict",
]


def __getattr__(name: str) -> Any:
    """Import formats that few use only here, so that ``import fastrnn`` stays quick."""
    if name in ("keras", "onnx", "safetensors"):
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
