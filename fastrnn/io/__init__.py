"""Saving and loading."""

from ._file import FileFormatError
from .npz import Contents, load, save
from .torch import from_torch, torch_state_dict

__all__ = ["Contents", "FileFormatError", "from_torch", "load", "save", "torch_state_dict"]
