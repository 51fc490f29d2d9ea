"""What a forward pass leaves for the backward pass, and for whoever wants to look inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from fastrnn.cells import Cell, Noise
from fastrnn.reference.equations import EQUATIONS


class Tape:
    """The record of a forward pass: states and gates of every step. Nothing in it can be written to.

    Parameters
    ----------
    cell : Cell
    params : mapping of str to ndarray
        Referred to, not copied: unchanged until backward.
    x : ndarray, (T, B, I)
        Referred to, not copied: unchanged until backward.
    lengths : int64 ndarray, (B,), or None
    reverse : bool
    mask : bool ndarray, (T, B), or None
        Where it is False, a step within its row's length holds the state.
    states : tuple of ndarray, (T+1, B, width)
        One for each of ``cell.states``. Forward, slot t+1 is the state after step t of the input, slot 0 the
        initial state. With reverse, slot t is the state after step t, slot ``lengths[b]`` the initial state
        of row b. Slots past ``lengths[b]`` are 0. A masked step repeats the state before it.
    cached : ndarray, (T, B, C*H), or None
        The arrays of ``cell.recorded`` side by side, 0 past a length and at masked steps.
    noise : Noise or None
        What was drawn at random for the pass.
    checkpoint_every : int, optional
        With k, ``states`` are (T/k rounded up + 1, B, width) and hold every k-th of these slots only: slot j
        is slot ``min(j*k, lengths[b])``; ``cached`` is None. With a mask, T and the lengths are those of the
        steps that count. Backward computes what is missing again.

    Examples
    --------
    >>> y, (h, c), tape = functional.forward(cells.LSTM(), params, x)        # doctest: +SKIP
    >>> tape.gates["f"].mean(axis=(0, 1))       # how open each forget gate was   # doctest: +SKIP
    """

    __slots__ = (
        "cached", "cell", "checkpoint_every", "lengths", "mask", "noise", "params", "reverse", "states", "x"
    )  # fmt: skip

    def __init__(
        self,
        cell: Cell,
        params: Mapping[str, np.ndarray],
        x: np.ndarray,
        lengths: np.ndarray | None,
        reverse: bool,
        states: tuple[np.ndarray, ...],
        cached: np.ndarray | None,
        mask: np.ndarray | None = None,
        noise: Noise | None = None,
        checkpoint_every: int | None = None,
    ) -> None:
        self.cell = cell
        self.params = params
        self.x = _read_only(x)
        self.lengths = None if lengths is None else _read_only(lengths)
        self.mask = None if mask is None else _read_only(mask)
        self.noise = noise
        self.reverse = reverse
        self.states = tuple(map(_read_only, states))
        self.cached: Any = None if cached is None else _read_only(cached)
        self.checkpoint_every = checkpoint_every

    @property
    def gates(self) -> Mapping[str, np.ndarray]:
        """Gate activations by name, (T, B, H), time as in the input; 0 past a length and where masked."""
        names, recorded = self.cell.cached, self._every_step("gates", self.cached)
        width = recorded.shape[-1] // max(len(self.cell.recorded), 1)
        blocks = [recorded[..., k * width : (k + 1) * width] for k in range(len(names))]
        gates = dict(zip(names, blocks, strict=True))
        equations = EQUATIONS[self.cell.name]
        if hasattr(equations, "gates"):
            gates = {n: self._within(gate) for n, gate in equations.gates(self.cell, blocks).items()}
        return MappingProxyType(_ByName("gate", self.cell, gates.items()))

    def _within(self, gate: np.ndarray) -> np.ndarray:
        """A gate (T, B, H) with 0 past the lengths and where masked; read-only as all of the tape."""
        for counts in (
            None if self.lengths is None else np.arange(len(gate))[:, None] < self.lengths,
            self.mask,
        ):
            if counts is not None:
                gate = np.where(counts[..., None], gate, gate.dtype.type(0))
        return _read_only(gate)

    @property
    def state(self) -> Mapping[str, np.ndarray]:
        """States after each step by name, (T, B, width) each, time as in the input.

        A masked step has the state it holds. Past a length they are 0, but for the step just past it with
        reverse: there stands the initial state.
        """
        steps = slice(None, -1) if self.reverse else slice(1, None)
        states = (array[steps] for array in self._every_step("state", self.states))
        return MappingProxyType(_ByName("state", self.cell, zip(self.cell.states, states, strict=True)))

    def _every_step(self, what: str, arrays: Any) -> Any:
        if self.checkpoint_every is not None:
            raise ValueError(
                f"tape.{what}: forward ran with checkpoint_every={self.checkpoint_every}, so this tape keeps "
                f"every {self.checkpoint_every}th state and no gates; to look inside, run forward without it"
            )
        return arrays

    @property
    def nbytes(self) -> int:
        """Bytes of the states and gates; x, noise and all else that it refers to is not counted."""
        return sum(a.nbytes for a in (*self.states, self.cached) if a is not None)

    @property
    def consumed(self) -> bool:
        """Whether a backward pass with ``consume=True`` has taken the arrays."""
        return not self.states

    def release(self) -> None:
        """Let go of the arrays. The tape cannot be used after this."""
        self.states = ()
        self.cached = self.x = self.params = None  # type: ignore[assignment]  # consumed says so

    def __repr__(self) -> str:
        if self.consumed:
            return f"Tape({self.cell}, consumed)"
        steps, batch, _ = self.x.shape
        every = "" if self.checkpoint_every is None else f", checkpoint_every={self.checkpoint_every}"
        return f"Tape({self.cell}, T={steps}, B={batch}, dtype={self.x.dtype}{every})"


class _ByName(dict[str, np.ndarray]):
    """Arrays by name, which answers a wrong name with the right ones."""

    def __init__(self, what: str, cell: Cell, items: Iterable[tuple[str, np.ndarray]]) -> None:
        super().__init__(items)
        self._what = f"{what} of {cell}"

    def __missing__(self, name: object) -> np.ndarray:
        raise KeyError(f"{name!r} is no {self._what}; there are {', '.join(map(repr, self)) or 'none'}")


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
