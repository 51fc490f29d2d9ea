"""Modules: recurrent layers, and what stands around them."""

from . import init
from .basic import Dropout, Embedding, Linear
from .module import IncompatibleKeys, Module, Tape, join_grads
from .recurrent import GRU, LSTM, RNN, Recurrent, RecurrentTape, StepGradients

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Dropout",
    "Embedding",
    "IncompatibleKeys",
    "Linear",
    "Module",
    "Recurrent",
    "RecurrentTape",
    "StepGradients",
    "Tape",
    "init",
    "join_grads",
]
