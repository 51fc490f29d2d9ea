"""The generators that a network draws dropout from, as one state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..nn import Module

__all__ = ["Draws"]


class Draws:
    """All generators of a network, each once, in the order of its modules."""

    def __init__(self, network: Module) -> None:
        found = (getattr(module, "rng", None) for module in network.modules())
        self._generators = list({id(g): g for g in found if isinstance(g, np.random.Generator)}.values())

    @property
    def state(self) -> list[Any]:
        """Their states, as JSON can hold them."""
        return [_plain(generator.bit_generator.state) for generator in self._generators]

    @state.setter
    def state(self, states: list[Any]) -> None:
        if len(states) != len(self._generators):
            raise ValueError(f"{len(states)} states of generators; the network has {len(self._generators)}")
        for generator, state in zip(self._generators, states, strict=True):
            generator.bit_generator.state = _arrays(state)

    @contextlib.contextmanager
    def kept_unless(self, done: Callable[[], bool]) -> Iterator[None]:
        """Undo what was drawn when the block ends by an error before it is done."""
        states = self.state
        try:
            yield
        except BaseException:
            if not done():
                self.state = states
            raise


def _plain(state: Any) -> Any:
    """Arrays as lists: the states of some bit generators have them."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, (np.ndarray, np.generic)) else state


def _arrays(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _arrays(value) for key, value in state.items()}
    return np.array(state, np.uint64) if isinstance(state, list) else state
