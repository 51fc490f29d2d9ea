"""The cells as data: what each one computes, which gates it has and how large its parameters are.

A cell is a frozen value: it holds options, no weights. Everything that differs between cells is answered
here or in the cell's file of ``fastrnn/reference``; the layers, the time loop and the binding ask and
never look at the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np

__all__ = ["GRU", "LSTM", "RNN", "Activation", "Cell"]

# The activations, in the order of csrc/activations.def: the defaults of alpha and beta where they take them.
_ACTIVATIONS: dict[str, tuple[float, ...]] = {
    "sigmoid": (),
    "tanh": (),
    "relu": (),
    "affine": (1.0, 0.0),
    "leaky_relu": (0.01,),
    "thresholded_relu": (1.0,),
    "scaled_tanh": (1.0, 1.0),
    "hard_sigmoid": (0.2, 0.5),
    "elu": (1.0,),
    "softsign": (),
    "softplus": (),
}
_SPELLINGS = {name.replace("_", ""): name for name in _ACTIVATIONS}
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, repr=False)
class Activation:
    """What a gate makes of its pre-activation: a function of ONNX's list, with its numbers.

    ================  ========================================================  ==========
    sigmoid           ``1 / (1 + exp(-z))``
    tanh              ``tanh(z)``
    relu              ``max(z, 0)``
    affine            ``alpha * z + beta``                                      1, 0
    leaky_relu        ``alpha * z`` below 0, else z                             0.01
    thresholded_relu  z above alpha, else 0                                     1
    scaled_tanh       ``alpha * tanh(beta * z)``                                1, 1
    hard_sigmoid      ``alpha * z + beta``, cut off at 0 and 1                  0.2, 0.5
    elu               ``alpha * (exp(z) - 1)`` below 0, else z                  1
    softsign          ``z / (1 + |z|)``
    softplus          ``log(1 + exp(z))``
    ================  ========================================================  ==========

    The numbers are what alpha and beta are if not given: the defaults of ONNX's operators of these names;
    ScaledTanh has none there, and 1, 1 here. Cells take an activation as a name alone, too, or as
    ``(name, alpha)`` or ``(name, alpha, beta)``.

    The slope at a kink is that from the left, so at 0 relu's is 0 and those of leaky_relu and elu are alpha;
    hard_sigmoid's is 0 where its value is 0 or 1.

    Parameters
    ----------
    name : str
        In any case, with or without underscores: "leaky_relu", "LeakyRelu".
    alpha, beta : float, optional
        Rounded to the dtype of the layer. None where the function takes none.

    Raises
    ------
    ValueError
        If there is no such function, or alpha or beta are not finite numbers (of float32's range), or are
        given to a function that takes none.

    Examples
    --------
    >>> Activation("HardSigmoid", alpha=0.25)
    Activation('hard_sigmoid', alpha=0.25, beta=0.5)
    """

    name: str
    alpha: float | None = None
    beta: float | None = None

    def __post_init__(self) -> None:
        name = _SPELLINGS.get(self.name.replace("_", "").lower()) if isinstance(self.name, str) else None
        if name is None:
            raise ValueError(
                f"activation name is {self.name!r}; expected one of {', '.join(map(repr, _ACTIVATIONS))}"
            )
        object.__setattr__(self, "name", name)
        defaults = _ACTIVATIONS[name]
        for i, number in enumerate(("alpha", "beta")):
            value = getattr(self, number)
            if i >= len(defaults):
                if value is not None:
                    takes = "alpha, but no beta" if defaults else "neither alpha nor beta"
                    raise ValueError(f"{number} of {name} is {value!r}; {name} takes {takes}: leave it out")
                continue
            if value is None:
                value = defaults[i]
            if isinstance(value, bool) or not isinstance(value, Real) or not abs(value) <= _LARGEST:
                raise ValueError(
                    f"{number} of {name} is {value!r}; expected a finite number of float32's range"
                )
            object.__setattr__(self, number, float(value) + 0.0)  # -0 becomes +0: equal values act alike

    @classmethod
    def read(cls, value: Any, what: str) -> Activation:
        """The activation that a user gave as ``what``, such as "RNN: activation"."""
        try:
            if isinstance(value, cls):
                return value
            if isinstance(value, str):
                return cls(value)
            if isinstance(value, Mapping) and value.keys() == {"name", "alpha", "beta"}:
                return cls(**value)  # what dataclasses.asdict makes of one
            if isinstance(value, (tuple, list)) and 1 <= len(value) <= 3:
                return cls(*value)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        raise ValueError(
            f"{what} is {value!r}; expected a name, (name, alpha), (name, alpha, beta) or an Activation"
        )

    @property
    def native(self) -> tuple[int, float, float]:
        """``(kind, alpha, beta)`` for the native kernels; 0 for numbers that the function does not take."""
        return list(_ACTIVATIONS).index(self.name), self.alpha or 0.0, self.beta or 0.0

    def __repr__(self) -> str:
        numbers = [
            f", {name}={value!r}"
            for name, value in (("alpha", self.alpha), ("beta", self.beta))
            if value is not None
        ]
        return f"Activation({self.name!r}{''.join(numbers)})"


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
