"""Recurrent networks for NumPy: RNN, LSTM, GRU and their variants, forward and through time.

Native kernels with the same bits as ``fastrnn.reference``, the NumPy specification. See `fastrnn.LSTM`,
`fastrnn.Recurrent` for every other cell of `fastrnn.cells`, `fastrnn.functional` and `fastrnn.show_config`.
"""

__version__ = "0.1.0"

from typing import TYPE_CHECKING, Any

from . import cells, functional, io, losses, nn, optim, reference
from ._config import (
    backend,
    get_num_threads,
    isa,
    keep_memory,
    num_threads,
    set_backend,
    set_isa,
    set_num_threads,
    show_config,
)
from .io import from_torch, load, save
from .nn import GRU, LSTM, RNN, Dropout, Embedding, Linear, Module, Recurrent

if TYPE_CHECKING:
    from . import inspect, models, plot, train, vocab

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Dropout",
    "Embedding",
    "Linear",
    "Module",
    "Recurrent",
    "__version__",
    "backend",
    "cells",
    "from_torch",
    "functional",
    "get_num_threads",
    "inspect",
    "io",
    "isa",
    "keep_memory",
    "load",
    "losses",
    "models",
    "nn",
    "num_threads",
    "optim",
    "plot",
    "reference",
    "save",
    "set_backend",
    "set_isa",
    "set_num_threads",
    "show_config",
    "train",
    "vocab",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for only here, so that ``import fastrnn`` stays quick."""
    if name in ("inspect", "models", "plot", "sklearn", "torch", "train", "vocab"):
        from importlib import import_module

        return import_module(f".{name}", __name__)
    from ._hints import no_name

    raise no_name(__name__, name, __all__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
