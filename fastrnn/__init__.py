"""Recurrent networks for NumPy: RNN, LSTM, GRU and their variants, forward and through time.

Native kernels with the same bits as ``fastrnn.reference``, the NumPy specification. See `fastrnn.LSTM`,
`fastrnn.functional` and `fastrnn.show_config`.
"""

__version__ = "0.1.0"

from . import cells, functional, losses, nn, optim, reference
from ._config import (
    backend,
    get_num_threads,
    isa,
    num_threads,
    set_backend,
    set_isa,
    set_num_threads,
    show_config,
)
from .io import load, save
from .nn import GRU, LSTM, RNN, Dropout, Embedding, Linear, Module, Recurrent

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
    "functional",
    "get_num_threads",
    "isa",
    "load",
    "losses",
    "nn",
    "num_threads",
    "optim",
    "reference",
    "save",
    "set_backend",
    "set_isa",
    "set_num_threads",
    "show_config",
]
