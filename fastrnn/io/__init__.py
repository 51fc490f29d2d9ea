"""Saving and loading."""

from ._file import FileFormatError
from .npz import Contents, load, save

__all__ = ["Contents", "FileFormatError", "load", "save"]
