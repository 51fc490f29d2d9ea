"""The layer of an operator that no layer of `fastrnn.nn` is: backwards alone, or another cell each way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ... import _checks, cells, functional
from ...nn import Module, Tape
from ...nn.recurrent import parameter_name


class Directions(Module):
    """One layer whose directions are chosen freely, each with a cell of its own.

    Parameters and results are those of `fastrnn.Recurrent`: ``weight_ih_l0`` and so on, with ``_reverse``
    for a direction that runs backwards. The cells have the same states and sizes.

    Parameters
    ----------
    passes : sequence of (cell, params, reverse)
        For each direction its cell, the parameters by the cell's names, and whether it runs backwards.
    batch_first : bool
        Input and output are (B, T, features); states are (D, B, H) either way.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import cells
    >>> params = {"w_ih": np.ones((4, 3)), "w_hh": np.zeros((4, 4))}
    >>> backwards = Directions([(cells.RNN("relu"), params, True)])
    >>> y, h = backwards(np.ones((7, 2, 3)))
    >>> y.shape, h.shape
    ((7, 2, 4), (1, 2, 4))
    """

    def __init__(
        self,
        passes: Sequence[tuple[cells.Cell, Mapping[str, np.ndarray], bool]],
        batch_first: bool = False,
    ) -> None:
        self.cells = tuple(cell for cell, _, _ in passes)
        self.reversed = tuple(reverse for _, _, reverse in passes)
        self.batch_first = batch_first
        for _, params, reverse in passes:
            for name, value in params.items():
                self.add_parameter(parameter_name(name, 0, reverse), value)
        given = _checks.parameters(self.cells[0], passes[0][1])
        self.input_size, self.hidden_size, self.dtype = given.input_size, given.hidden_size, given.dtype

    def _params(self, cell: cells.Cell, reverse: bool) -> dict[str, np.ndarray]:
        own = self._own
        return {n: own[key] for n in cell.parameters if (key := parameter_name(n, 0, reverse)) in own}

    def __call__(self, x: Any, state: Any = None, *, lengths: Any = None) -> tuple[np.ndarray, Any]:
        """Return the output (T, B, D*H) and the state (D, B, H), or a tuple of them: inference."""
        y, state, _ = self._run(x, state, lengths, tape=False)
        return y, state

    def forward(self, x: Any, state: Any = None, *, lengths: Any = None) -> tuple[np.ndarray, Any, Tape]:
        """Return the output, the state, and the tape for `backward`, which refers to x."""
        y, state, tapes = self._run(x, state, lengths, tape=True)
        return y, state, Tape(self, self.version, tuple(tapes))

    def backward(self, tape: Tape, dy: Any = None, dstate: Any = None) -> tuple[np.ndarray, Any, dict]:
        """Return the gradients of x, of the initial state and of the parameters."""
        self.check_tape(tape)
        steps, batch, _ = tape.saved[0].x.shape
        dstates = self._states(dstate, "dstate", batch)
        if dy is not None:
            dy = _checks.real("Directions.backward", "dy", dy, self.dtype)
            dy = dy.transpose(1, 0, 2) if self.batch_first else dy
            if dy.shape != (steps, batch, len(self.cells) * self.hidden_size):
                raise ValueError(f"Directions.backward: dy has shape {dy.shape}, time first; it is not y's")
        dx, found = None, []
        grads: dict[str, np.ndarray] = {}
        for d, (cell, reverse, record) in enumerate(zip(self.cells, self.reversed, tape.saved, strict=True)):
            part = None if dy is None else dy[..., self._columns(d)]
            of_x, of_state, of_params = functional.backward(
                cell, self._params(cell, reverse), record, part, dstates[d]
            )
            dx = of_x if dx is None else dx + of_x
            found.append(of_state)
            grads |= {parameter_name(name, 0, reverse): value for name, value in of_params.items()}
        assert dx is not None
        return (dx.transpose(1, 0, 2) if self.batch_first else dx), self._stack(found), grads

    def _run(self, x: Any, state: Any, lengths: Any, tape: bool) -> tuple[np.ndarray, Any, list[Any]]:
        who = "Directions"
        x = _checks.sequences(who, x, self.dtype)
        if x.ndim != 3:
            raise ValueError(f"{who}: x has {x.ndim} axes (shape {x.shape}); expected 3")
        _checks.features(who, "x", x, "input_size", self.input_size)
        x = x.transpose(1, 0, 2) if self.batch_first else x
        states = self._states(state, "state", x.shape[1])
        y = np.empty((*x.shape[:2], len(self.cells) * self.hidden_size), self.dtype)
        last, tapes = [], []
        for d, (cell, reverse) in enumerate(zip(self.cells, self.reversed, strict=True)):
            _, final, record = functional.forward(
                cell, self._params(cell, reverse), x, states[d], lengths=lengths, reverse=reverse,
                tape=tape, out=y[..., self._columns(d)],
            )  # fmt: skip
            last.append(final)
            tapes.append(record)
        return (y.transpose(1, 0, 2) if self.batch_first else y), self._stack(last), tapes

    def _columns(self, direction: int) -> slice:
        return slice(direction * self.hidden_size, (direction + 1) * self.hidden_size)

    def _states(self, state: Any, what: str, batch: int) -> list[Any]:
        """Return a state or its gradient as that of each direction."""
        if state is None:
            return [None] * len(self.cells)
        who, names = "Directions", self.cells[0].states
        values = []
        for name, value in zip(names, _checks.by_state(who, what, state, names, "(D, B, H)"), strict=True):
            called = _checks.state_name(what, name, names)
            shape = (len(self.cells), batch, self.hidden_size)
            value = np.zeros(shape, self.dtype) if value is None else value
            value = _checks.real(who, called, value, self.dtype)
            if value.shape != shape:
                raise ValueError(f"{who}: {called} has shape {value.shape}; expected {shape}: (D, B, H)")
            values.append(value)
        return [each if len(names) > 1 else each[0] for each in zip(*values, strict=True)]

    def _stack(self, states: list[Any]) -> Any:
        if len(self.cells[0].states) == 1:
            return np.stack(states)
        return tuple(np.stack(each) for each in zip(*states, strict=True))

    def extra_repr(self) -> str:
        ways = [
            f"{cell!r}{' backwards' * reverse}"
            for cell, reverse in zip(self.cells, self.reversed, strict=True)
        ]
        return f"{', '.join(ways)}, {self.input_size}, {self.hidden_size}"
