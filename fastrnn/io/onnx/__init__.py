"""ONNX: models read and run without ONNX Runtime, layers written; with ``pip install "fastrnn[onnx]"``.

`load` reads a model: its recurrent nodes as layers, and, where around them are simple nodes alone, a model
that runs. `export` writes layers. `Backend` is ONNX's own interface for all that runs models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._export import export
from ._model import Input, Model, load

if TYPE_CHECKING:
    Backend: Any

__all__ = ["Backend", "Input", "Model", "export", "load"]


def __getattr__(name: str) -> Any:
    """Make `Backend` when it is asked for: its base is ONNX's."""
    if name == "Backend":
        from ._backend import backend

        return backend()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
