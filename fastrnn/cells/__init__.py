"""The cells as data: what each one computes, which gates it has and how large its parameters are.

A cell is a value that holds options and no weights. ``base.py`` has the questions that every cell answers,
the other files have the cells by family.
"""

from .activations import Activation
from .activations import AnyActivation as AnyActivation
from .base import Cell, Gated, Noise
from .gru import GRU
from .lstm import LSTM
from .minimal import MGU, IndRNN, MinGRU, MinLSTM
from .rnn import RNN

__all__ = [
    "GRU",
    "LSTM",
    "MGU",
    "RNN",
    "Activation",
    "Cell",
    "Gated",
    "IndRNN",
    "MinGRU",
    "MinLSTM",
    "Noise",
    "kinds",
]

#: The cells that can be run, in the order of docs/cells.md.
_KINDS: tuple[type[Cell], ...] = (RNN, LSTM, GRU, MGU, IndRNN, MinGRU, MinLSTM)


def kinds() -> dict[str, type[Cell]]:
    """Every cell by the name of its class: that name and ``chosen`` are how files keep a cell.

    >>> kinds()["MGU"]()
    MGU()
    """
    return {kind.__name__: kind for kind in _KINDS}
