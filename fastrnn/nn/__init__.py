"""Modules: recurrent layers, and what stands around them."""

from . import init
from .attention import AdditiveAttention, Attention, DotAttention, Memory
from .basic import Dropout, Embedding, Linear
from .module import IncompatibleKeys, Module, Tape, join_grads
from .recurrent import GRU, LSTM, RNN, Recurrent, RecurrentTape, StepGradients

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdditiveAttention",
    "Attention",
    "DotAttention",
    "Dropout",
    "Embedding",
    "IncompatibleKeys",
    "Linear",
    "Memory",
    "Module",
    "Recurrent",
    "RecurrentTape",
    "StepGradients",
    "Tape",
    "init",
    "join_grads",
]
