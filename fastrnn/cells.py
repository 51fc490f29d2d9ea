"""The cells as data: what each one computes, which gates it has and how large its parameters are.

A cell is a frozen value: it holds options, no weights. Everything that differs between cells is answered
here or in the cell's file of ``fastrnn/reference``; the layers, the time loop and the binding ask and
never look at the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

__all__ = ["GRU", "LSTM", "RNN", "Cell"]


@dataclass(frozen=True)
class Cell:
    """Base of all cells: the questions that every cell answers.

    Attributes
    ----------
    name : str
        The row of ``csrc/cells.def`` and the file of ``fastrnn/reference`` that hold its equations.
    gates : tuple of str
        The blocks of H rows in ``w_ih`` and ``w_hh``, in order.
    cached : tuple of str
        What a step leaves in the tape besides the states, each (T, B, H).
    states : tuple of str
        The states carried from step to step; the first one is the output.
    parameters : tuple of str
        The names that parameters may have, in order.
    native_options, native_numbers, native_activations : tuple
        The options in the form in which the native kernels take them: integers, numbers, and activations as
        ``(kind, alpha, beta)``.
    """

    gates: ClassVar[tuple[str, ...]]
    states: ClassVar[tuple[str, ...]] = ("h",)

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def cached(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("w_ih", "w_hh", "b_ih", "b_hh")

    @property
    def native_options(self) -> tuple[int, ...]:
        return ()

    @property
    def native_numbers(self) -> tuple[float, ...]:
        return ()

    @property
    def native_activations(self) -> tuple[tuple[int, float, float], ...]:
        return ()

    def parameter_shapes(self, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter by name; the biases may be left out of a set of parameters together.

        >>> LSTM().parameter_shapes(3, 5)
        {'w_ih': (20, 3), 'w_hh': (20, 5), 'b_ih': (20,), 'b_hh': (20,)}
        """
        rows = len(self.gates) * hidden_size
        return {
            "w_ih": (rows, input_size),
            "w_hh": (rows, self.output_size(hidden_size)),
            "b_ih": (rows,),
            "b_hh": (rows,),
        }

    def state_shapes(self, hidden_size: int) -> dict[str, int]:
        """Width of each state by name.

        >>> LSTM(proj_size=2).state_shapes(5)
        {'h': 2, 'c': 5}
        """
        return {"h": self.output_size(hidden_size)}

    def output_size(self, hidden_size: int) -> int:
        """Width of the output of a step."""
        return hidden_size

    def check_hidden_size(self, hidden_size: int) -> None:
        """Refuse a number of hidden units that makes no sense with the cell's options.

        The layers ask; `fastrnn.functional` computes what the shapes of the parameters say.
        """

    def sizes(self, params: Mapping[str, np.ndarray]) -> tuple[int, int]:
        """``(input_size, hidden_size)`` read off the shape of ``w_ih``."""
        rows, input_size = np.shape(params["w_ih"])
        return input_size, rows // len(self.gates)


@dataclass(frozen=True)
class RNN(Cell):
    """Elman's recurrent network (1990), with one activation.

    ``h = activation(W_ih x + b_ih + W_hh h' + b_hh)``, where ``h'`` is the state of the step before.

    Parameters
    ----------
    activation : {"tanh", "relu"}
        The slope of relu at 0 is 0.

    Raises
    ------
    ValueError
        If the activation is none of these.

    References
    ----------
    J. L. Elman (1990), "Finding structure in time".

    Examples
    --------
    >>> RNN(activation="relu").parameter_shapes(3, 5)
    {'w_ih': (5, 3), 'w_hh': (5, 5), 'b_ih': (5,), 'b_hh': (5,)}
    """

    activation: Literal["tanh", "relu"] = "tanh"

    name: ClassVar[str] = "rnn"
    gates: ClassVar[tuple[str, ...]] = ("n",)
    cached: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _one_of("RNN", "activation", self.activation, ("tanh", "relu"))

    @property
    def native_options(self) -> tuple[int, ...]:
        """``(0,)`` for tanh, ``(1,)`` for relu."""
        return (("tanh", "relu").index(self.activation),)


@dataclass(frozen=True)
class LSTM(Cell):
    """Long short-term memory with a forget gate, gates in the order i, f, g, o.

    With ``z = W_ih x + b_ih + W_hh h' + b_hh`` cut into four::

        i, f, o = sigmoid(zi), sigmoid(zf), sigmoid(zo);  g = tanh(zg)
        c = f * c' + i * g
        h = o * tanh(c)                   with a projection  h = W_hr (o * tanh(c))

    Parameters
    ----------
    proj_size : int
        Size P of the projected output; 0 for none. Then ``w_hh`` is (4*H, P) and ``w_hr`` (P, H).

    Raises
    ------
    ValueError
        If proj_size is not an integer of at least 0.

    References
    ----------
    S. Hochreiter and J. Schmidhuber (1997), "Long short-term memory"; F. Gers, J. Schmidhuber and
    F. Cummins (2000), "Learning to forget" (the forget gate; no peepholes here); H. Sak, A. Senior and
    F. Beaufays (2014), "Long short-term memory recurrent neural network architectures for large scale
    acoustic modeling" (the projection).

    Examples
    --------
    >>> LSTM(proj_size=2).parameter_shapes(3, 5)
    {'w_ih': (20, 3), 'w_hh': (20, 2), 'b_ih': (20,), 'b_hh': (20,), 'w_hr': (2, 5)}
    """

    proj_size: int = 0

    name: ClassVar[str] = "lstm"
    gates: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    cached: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    states: ClassVar[tuple[str, ...]] = ("h", "c")

    def __post_init__(self) -> None:
        size = self.proj_size
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 0:
            raise ValueError(
                f"LSTM: proj_size is {size!r}; expected an integer of at least 0, 0 for no projection"
            )
        object.__setattr__(self, "proj_size", int(size))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of `Cell`, and ``w_hr`` with a projection."""
        return super().parameters + (("w_hr",) if self.proj_size else ())

    def parameter_shapes(self, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        shapes = super().parameter_shapes(input_size, hidden_size)
        return {**shapes, "w_hr": (self.proj_size, hidden_size)} if self.proj_size else shapes

    def state_shapes(self, hidden_size: int) -> dict[str, int]:
        return {"h": self.output_size(hidden_size), "c": hidden_size}

    def output_size(self, hidden_size: int) -> int:
        return self.proj_size or hidden_size

    def check_hidden_size(self, hidden_size: int) -> None:
        if self.proj_size >= hidden_size:
            raise ValueError(
                f"LSTM: proj_size is {self.proj_size}; expected less than hidden_size={hidden_size}, "
                "0 for no projection"
            )


@dataclass(frozen=True)
class GRU(Cell):
    """Gated recurrent unit, gates in the order r, z, n.

    ::

        r = sigmoid(W_ir x + b_ir + W_hr h' + b_hr)
        z = sigmoid(W_iz x + b_iz + W_hz h' + b_hz)
        n = tanh(W_in x + b_in + r * (W_hn h' + b_hn))       reset="after" the product
        n = tanh(W_in x + b_in + W_hn (r * h') + b_hn)       reset="before" it
        h = (1 - z) * n + z * h'

    Parameters
    ----------
    reset : {"after", "before"}
        Where the reset gate is applied. "after" is what PyTorch and cuDNN compute, "before" the paper.

    Raises
    ------
    ValueError
        If reset is neither.

    References
    ----------
    K. Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation" (reset before; there z and 1 - z change places).

    Examples
    --------
    >>> GRU(reset="before").name
    'gru_before'
    """

    reset: Literal["after", "before"] = "after"

    gates: ClassVar[tuple[str, ...]] = ("r", "z", "n")

    def __post_init__(self) -> None:
        _one_of("GRU", "reset", self.reset, ("after", "before"))

    @property
    def name(self) -> str:
        """``"gru"`` or ``"gru_before"``."""
        return {"after": "gru", "before": "gru_before"}[self.reset]

    @property
    def cached(self) -> tuple[str, ...]:
        """The gates; with reset after the product also ``nh = W_hn h' + b_hn``."""
        return {"after": ("r", "z", "n", "nh"), "before": ("r", "z", "n")}[self.reset]


def _one_of(cell: str, argument: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{cell}: {argument} is {value!r}; expected one of {', '.join(map(repr, choices))}")
