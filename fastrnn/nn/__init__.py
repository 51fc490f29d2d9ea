"""Modules: recurrent layers, and what stands around them."""

from . import init
from .attention import AdditiveAttention, Attention, DotAttention, Memory
from .basic import Dropout, Embedding, Linear
from .layers import GRU, LSTM, RNN
from .module import IncompatibleKeys, Module, Tape, join_grads
from .recurrent import Recurrent, RecurrentTape, StepGradients

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
