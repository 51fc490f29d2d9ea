"""What goes from step to step besides weights: the states of streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["Carry"]


class Carry:
    """The arrays that a step hands on to the next, by the number of steps made before.

    Those of the step before stay until the next one, so that a step that ended by an error, or by Ctrl-C, is
    made again from what it began with.

    Examples
    --------
    >>> carry = Carry()
    >>> carry.after(0, {"h": np.ones(2)})
    >>> carry.before(1)
    {'h': array([1., 1.])}
    """

    def __init__(self) -> None:
        self._by_step: dict[int, dict[str, np.ndarray]] = {}

    def before(self, step: int) -> dict[str, np.ndarray]:
        """Return what step number `step` begins with; nothing where nothing was handed on."""
        return self._by_step.get(step, {})

    def after(self, step: int, arrays: Mapping[str, Any]) -> None:
        """Keep what step number `step` hands on."""
        self._by_step = {step: self.before(step), step + 1: dict(arrays)}

    def load(self, step: int, arrays: Mapping[str, Any]) -> None:
        """Go on before step number `step`."""
        self._by_step = {step: dict(arrays)}
