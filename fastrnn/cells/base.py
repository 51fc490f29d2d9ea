"""What every cell answers.

A cell is a frozen value: it holds options, no weights, and what every call asks of it is found out once.
Everything that differs between cells is answered here or in the cell's file of ``fastrnn/reference``; the
layers, the time loop and the binding ask and never look at the class.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ._options import flag, limit, positive, probabilities
from .activations import Activation


class Noise(NamedTuple):
    """What is drawn at random for one pass of a cell over a batch.

    Attributes
    ----------
    recurrent : array, (B, P), or None
        Factors of h on its way into the recurrent products, the same at every step: variational dropout has
        0 and 1/(1-p) (Gal and Ghahramani 2016).
    zoneout : tuple of bool arrays, (T, B, width), or None
        For h, and for c where the cell has it: where the state of the step before is kept (Krueger et al.
        2017). None, for all or for one of them: the state keeps the cell's ``zoneout`` of what it was, the
        expectation.
    """

    recurrent: Any = None
    zoneout: tuple[Any, ...] | None = None


@dataclass(frozen=True, repr=False)
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
    recorded : tuple of str
        That, and with layer normalisation the products of each gate over h and over x.
    states : tuple of str
        The states carried from step to step; the first one is the output.
    parameters : tuple of str
        The names that parameters may have, in order.
    native_form : int
        Which of the forms of its native kernels the cell has.
    native_options, native_numbers, native_activations : tuple
        The options in the form in which the native kernels take them: integers, numbers, and activations as
        ``(kind, alpha, beta)``.
    """

    #: What parameters begin as that are not drawn.
    begins: ClassVar[Mapping[str, float]] = {"w_ln_ih": 1.0, "w_ln_hh": 1.0, "w_ln_c": 1.0, "b_ln_c": 0.0}
    #: The options of the variants that have a name.
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return the options alone, for copies and pickles, without what was found of them."""
        return {option.name: getattr(self, option.name) for option in fields(self)}

    @property
    def gates(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def states(self) -> tuple[str, ...]:
        return ("h",)

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def cached(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def recorded(self) -> tuple[str, ...]:
        products = [f"{operand}{gate}" for operand in "hx" for gate in self.gates] if self.layer_norm else []
        return (*self.cached, *products)

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("w_ih", "w_hh", "b_ih", "b_hh", *["w_ln_ih", "w_ln_hh"] * self.layer_norm)

    @property
    def layer_norm(self) -> bool:
        """Whether products are normalised over the layer."""
        return False

    @property
    def layer_norm_eps(self) -> float:
        return 0.0

    @property
    def zoneout(self) -> tuple[float, ...]:
        """The part of the state before that h, and c, keep; () for none."""
        return ()

    @property
    def native_form(self) -> int:
        return 0

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

        >>> from fastrnn.cells import LSTM
        >>> LSTM().parameter_shapes(3, 5)
        {'w_ih': (20, 3), 'w_hh': (20, 5), 'b_ih': (20,), 'b_hh': (20,)}
        """
        rows = len(self.gates) * hidden_size
        shapes = {
            "w_ih": (rows, input_size),
            "w_hh": (rows, self.output_size(hidden_size)),
            "b_ih": (rows,),
            "b_hh": (rows,),
            "w_ln_ih": (rows,),
            "w_ln_hh": (rows,),
            "w_ln_c": (hidden_size,),
            "b_ln_c": (hidden_size,),
        }
        return {name: shapes[name] for name in self.parameters if name in shapes}

    def state_shapes(self, hidden_size: int) -> dict[str, int]:
        """Width of each state by name.

        >>> from fastrnn.cells import LSTM
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

    @property
    def chosen(self) -> dict[str, Any]:
        """The options that are not the usual ones, by name.

        >>> from fastrnn.cells import LSTM
        >>> LSTM(peepholes="oi", clip=3).chosen
        {'clip': 3.0, 'peepholes': 'io'}
        """
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.chosen.items())})"

    def sizes(self, params: Mapping[str, np.ndarray]) -> tuple[int, int]:
        """``(input_size, hidden_size)`` read off the shape of ``w_ih``."""
        rows, input_size = np.shape(params["w_ih"])
        return input_size, rows // len(self.gates)


@dataclass(frozen=True, repr=False)
class Gated(Cell):
    """Base of cells whose gates take any activation, and whose pre-activations may be limited.

    Parameters
    ----------
    activations : mapping of str to activation
        By gate, where it is not the usual one: a name, ``(name, alpha)``, ``(name, alpha, beta)`` or an
        `Activation`. Kept as a tuple of pairs, without those that are the usual ones.
    clip : float or None
        Every pre-activation is cut to [-clip, clip]; the gradient of one that is cut is 0.
    zoneout : float, or tuple of them
        Probability with which each unit of h, or of h and of c, keeps its value of the step before in
        training; in inference it keeps that part of it. Kept as a tuple, empty for none.
    """

    _: KW_ONLY
    activations: Any = ()
    clip: float | None = None
    zoneout: Any = ()

    #: The activation of each gate, and of what else has one, in the order of the native kernels.
    usual: ClassVar[Mapping[str, Activation]]
    #: The states that zoneout keeps.
    zoned: ClassVar[str] = "h"

    def __post_init__(self) -> None:
        who = type(self).__name__
        try:
            given = dict(self.activations)
        except (TypeError, ValueError):
            raise ValueError(
                f"{who}: activations is {self.activations!r}; expected a mapping of gates to activations, "
                f"such as {{{next(iter(self.usual))!r}: 'hard_sigmoid'}}"
            ) from None
        for name in given:
            if name not in self.usual:
                raise ValueError(
                    f"{who}: activations has {name!r}; expected gates of {', '.join(map(repr, self.usual))}"
                )
        read = {n: Activation.read(v, f"{who}: activation of {n!r}") for n, v in given.items()}
        kept = tuple((n, read[n]) for n, usual in self.usual.items() if read.get(n, usual) != usual)
        object.__setattr__(self, "activations", kept)
        object.__setattr__(self, "clip", limit(who, "clip", self.clip))
        object.__setattr__(self, "zoneout", probabilities(who, "zoneout", self.zoneout, self.zoned))

    def activation(self, gate: str) -> Activation:
        """The activation of a gate."""
        return dict(self.activations).get(gate, self.usual[gate])

    @property
    def cached(self) -> tuple[str, ...]:
        """The pre-activations of the gates."""
        return tuple(f"z{gate}" for gate in self.gates)

    @property
    def native_numbers(self) -> tuple[float, ...]:
        return (math.inf if self.clip is None else self.clip,)

    @functools.cached_property
    def native_activations(self) -> tuple[tuple[int, float, float], ...]:
        return tuple(self.activation(name).native for name in self.usual)


def check_norm(cell: Cell) -> None:
    """Check the options of layer normalisation of a cell that is being made."""
    who = type(cell).__name__
    object.__setattr__(cell, "layer_norm", flag(who, "layer_norm", cell.layer_norm))
    eps = positive(who, "layer_norm_eps", cell.layer_norm_eps)
    object.__setattr__(cell, "layer_norm_eps", eps)
    if eps != type(cell).layer_norm_eps and not cell.layer_norm:
        raise ValueError(
            f"{who}: layer_norm_eps is {eps!r} without layer_norm=True; give both, or leave it out"
        )
