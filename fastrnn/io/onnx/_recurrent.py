"""ONNX's RNN, LSTM and GRU: what their attributes say, the layer of their weights, and their run.

Where the specification leaves something open, it is as ONNX Runtime has it: input_forget=1 is f = 1 - i, with
i after peephole, clip and activation; clip acts on every pre-activation, and not on c; alpha and beta are
consumed in order by the functions that take them; the last state of a row of length 0 is 0. Defaults of alpha
and beta are the specification's, those of the operators (ONNX Runtime takes 0 for Affine, ScaledTanh and
ThresholdedRelu).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ... import cells
from ...nn import GRU, LSTM, RNN, Module
from .._file import FileFormatError
from ..layouts import ONNX_GATES, from_onnx
from . import _operators
from ._directions import Directions
from ._proto import STANDARD, Folder, Node

#: The functions f, g, h of each operator: the usual ones, and the parts of the cell that they are.
_FUNCTIONS = {
    "RNN": (("Tanh", "n"),),
    "LSTM": (("Sigmoid", "ifo"), ("Tanh", "g"), ("Tanh", "h")),
    "GRU": (("Sigmoid", "rz"), ("Tanh", "n")),
}
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_LAYERS: dict[str, Any] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}

#: What the inputs are called in the specification.
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
#: Those of them that are a layer's weights.
WEIGHTS = (1, 2, 3, 7)

_NUMBER, _NUMBERS = (int, float), (list,)
#: The attributes, and the type each must be of.
_ATTRIBUTES: dict[str, tuple[type, ...]] = {
    "activations": _NUMBERS,
    "activation_alpha": _NUMBERS,
    "activation_beta": _NUMBERS,
    "clip": _NUMBER,
    "direction": (str,),
    "hidden_size": (int,),
    "layout": (int,),
}
_MORE: dict[str, dict[str, tuple[type, ...]]] = {
    "RNN": {},
    "LSTM": {"input_forget": (int,)},
    "GRU": {"linear_before_reset": (int,)},
}


def is_recurrent(node: Node) -> bool:
    """Return whether a node is one of the three."""
    return node.domain in STANDARD and node.operator in _LAYERS


@dataclass(frozen=True)
class RecurrentNode:
    """A recurrent node as its attributes say it: a cell for each direction, and how its arrays lie."""

    node: Node
    cells: tuple[cells.Cell, ...]
    reversed: tuple[bool, ...]
    hidden_size: int | None
    batch_first: bool

    @classmethod
    def of(cls, node: Node, folder: Folder) -> RecurrentNode:
        """Read a node.

        Raises
        ------
        FileFormatError
            An attribute that there is not, of another type, or of a value that it cannot have.
        """
        kind, given = node.operator, node.attributes(folder)
        known = _ATTRIBUTES | _MORE[kind]
        for name, value in given.items():
            if name not in known:
                raise FileFormatError(
                    f"{node}: there is no attribute {name!r}; {kind} has {', '.join(known)}"
                )
            if not isinstance(value, known[name]):
                raise FileFormatError(f"{node}: attribute {name!r} is {value!r}, of the wrong type")
        most = len(INPUTS) if kind == "LSTM" else 6
        if not 3 <= len(node.inputs) <= most or not all(node.inputs[:3]):
            raise FileFormatError(f"{node}: inputs {node.inputs}; expected X, W and R, and at most {most}")
        if len(node.outputs) > (3 if kind == "LSTM" else 2):
            raise FileFormatError(f"{node}: outputs {node.outputs}; {kind} has fewer")
        direction = given.get("direction", "forward")
        if direction not in _DIRECTIONS:
            raise FileFormatError(
                f"{node}: direction is {direction!r}; expected one of {', '.join(map(repr, _DIRECTIONS))}"
            )
        flags = {name: given.get(name, 0) for name in ("layout", *_MORE[kind])}
        for name, value in flags.items():
            if value not in (0, 1):
                raise FileFormatError(f"{node}: {name} is {value}; expected 0 or 1")
        backwards = _DIRECTIONS[direction]
        options: dict[str, Any] = {"clip": _clip(node, given.get("clip", math.inf))}
        if kind == "LSTM":
            seen = len(node.inputs) > 7 and node.inputs[7]
            options |= {"coupled": bool(flags["input_forget"]), "peepholes": "ifo" if seen else ""}
        if kind == "GRU":
            options["reset"] = "after" if flags["linear_before_reset"] else "before"
        found = [_cell(kind, each, options) for each in _activations(node, given, len(backwards))]
        size = given.get("hidden_size")
        if size is not None and size < 1:
            raise FileFormatError(f"{node}: hidden_size is {size}; expected at least 1")
        return cls(node, tuple(found), backwards, size, bool(flags["layout"]))

    def layer(self, w: Any, r: Any, b: Any = None, p: Any = None) -> Module:
        """Return the layer of these weights: of `fastrnn.nn` where there is one, else `Directions`."""
        kind, ways = self.node.operator, len(self.cells)
        self._check_weights(w, r, b, p)
        passes = []
        for d, (cell, reverse) in enumerate(zip(self.cells, self.reversed, strict=True)):
            parts: list[Any] = [None if array is None else array[d] for array in (w, r, b, p)]
            passes.append((cell, from_onnx(kind, cell.gates, *parts), reverse))
        if self.reversed[0] or len(set(self.cells)) > 1:
            return Directions(passes, self.batch_first)
        options = self.cells[0].chosen
        if kind == "RNN" and "activation" in options:
            options["nonlinearity"] = options.pop("activation")
        layer = _LAYERS[kind](
            w.shape[2], r.shape[2], bias=b is not None, batch_first=self.batch_first, bidirectional=ways > 1,
            dtype=w.dtype, rng=0, **options,
        )  # fmt: skip
        layer.load_state_dict(Directions(passes).params)
        return layer

    def _check_weights(self, w: Any, r: Any, b: Any, p: Any) -> None:
        """Refuse weights whose shapes do not go together, or whose type is no layer's."""
        node, ways, gates = self.node, len(self.cells), len(ONNX_GATES[self.node.operator])
        given = {k: a for k, a in zip(WEIGHTS, (w, r, b, p), strict=True) if a is not None}
        for k, array in given.items():
            if array.dtype not in (np.float32, np.float64):
                raise FileFormatError(
                    f"{self._input(k)} is {array.dtype}; expected float32 or float64: convert the model"
                )
            if array.dtype != w.dtype:
                raise FileFormatError(f"{self._input(k)} is {array.dtype}, W is {w.dtype}; expected one type")
        size = self.hidden_size
        if size is None:
            if r.ndim != 3 or not r.shape[2]:
                raise FileFormatError(f"{self._input(2)} has shape {r.shape}; expected (D, G*H, H)")
            size = r.shape[2]
        inputs = w.shape[2] if w.ndim == 3 else 0
        if not inputs:
            raise FileFormatError(
                f"{self._input(1)} has shape {w.shape}; expected ({ways}, {gates * size}, input_size)"
            )
        expected = {
            1: (ways, gates * size, inputs),
            2: (ways, gates * size, size),
            3: (ways, 2 * gates * size),
            7: (ways, 3 * size),
        }
        for k, array in given.items():
            if array.shape != expected[k]:
                raise FileFormatError(
                    f"{self._input(k)} has shape {array.shape}; expected {expected[k]}, for {ways} "
                    f"direction{'s' * (ways > 1)} and hidden_size={size} of {node.operator}"
                )

    def _input(self, k: int) -> str:
        return f"{self.node}: its {INPUTS[k]}, {self.node.inputs[k]!r},"

    def run(self, layer: Any, x: Any, lengths: Any = None, *states: Any) -> tuple[np.ndarray, ...]:
        """Return Y, Y_h and, of an LSTM, Y_c, in ONNX's layout."""
        first = self.batch_first
        names, ways = self.cells[0].states, len(self.cells)
        given = [*states[: len(names)], None, None][: len(names)]
        if x.ndim != 3:
            raise ValueError(f"X has shape {x.shape}; expected three axes")
        _operators.fits((*x.shape[:2], ways * layer.hidden_size), x.dtype)
        if first:
            given = [None if s is None else s.swapaxes(0, 1) for s in given]
        y, last = layer(x, tuple(given) if len(names) > 1 else given[0], lengths=lengths)
        final = list(last) if len(names) > 1 else [last]
        if lengths is not None:  # here the state of a row without steps is the initial one
            final = [np.where((lengths > 0)[:, None], s, s.dtype.type(0)) for s in final]
        y = y.reshape(*y.shape[:2], ways, y.shape[2] // ways)
        if first:
            return y, *[s.swapaxes(0, 1) for s in final]
        return y.transpose(0, 2, 1, 3), *final


def _clip(node: Node, value: float) -> float | None:
    if not value > 0:
        raise FileFormatError(f"{node}: clip is {value}; expected a positive number")
    return None if math.isinf(value) else value


def _activations(node: Node, given: dict[str, Any], ways: int) -> list[dict[str, cells.Activation]]:
    """Return the activations of each direction, by the parts of the cell."""
    functions = _FUNCTIONS[node.operator]
    usual = [name for name, _ in functions] * ways
    names = given.get("activations", usual)
    if node.operator == "RNN" and ways == 1:
        names = names[:1]  # the default names one for each of two directions, and so do models
    if len(names) != len(usual):
        raise FileFormatError(
            f"{node}: activations is {names}; expected {len(usual)} functions, such as {usual}"
        )
    try:
        read = [cells.Activation(name) for name in names]
        for which in ("alpha", "beta"):
            values = given.get(f"activation_{which}", [])
            takers = [k for k, activation in enumerate(read) if getattr(activation, which) is not None]
            if takers and len(values) > len(takers):
                raise FileFormatError(
                    f"{node}: activation_{which} is {values}; of {names} {len(takers)} take one: give those"
                )
            for k, value in zip(takers, values, strict=False):
                read[k] = replace(read[k], **{which: value})
    except (ValueError, TypeError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{node}: {error}") from None
    count = len(functions)
    return [
        {
            part: activation
            for activation, (_, parts) in zip(read[d * count : (d + 1) * count], functions, strict=True)
            for part in parts
        }
        for d in range(ways)
    ]


def _cell(kind: str, activations: dict[str, cells.Activation], options: dict[str, Any]) -> cells.Cell:
    if kind == "RNN":
        return cells.RNN(activations["n"], **options)
    return (cells.LSTM if kind == "LSTM" else cells.GRU)(activations=activations, **options)
