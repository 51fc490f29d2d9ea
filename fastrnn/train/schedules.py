"""Learning rates: the factor of the rate, by the part of the run that is done or by how it goes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _checks

__all__ = ["Plateau", "Schedule", "Step", "constant", "cosine", "described", "factor_at", "named"]


def constant(done: float) -> float:
    """Always 1."""
    return 1.0


def cosine(done: float) -> float:
    """Half a cosine, from 1 down to 0, after a linear warm-up over the first hundredth.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Examples
    --------
    >>> cosine(0.5), cosine(1.0)
    (0.5, 0.0)
    """
    return min(1.0, 0.1 + 90 * done) * round((1 + math.cos(math.pi * done)) / 2, 12)


@dataclass(frozen=True)
class Step:
    """Multiply the rate by `factor` whenever another part of the run, as long as `every`, is done.

    Examples
    --------
    >>> schedule = Step(every=0.5, factor=0.1)
    >>> schedule(0.49), schedule(0.5)
    (1.0, 0.1)
    """

    every: float = 1 / 3
    factor: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.every <= 1:
            raise ValueError(f"Step: every is {self.every}; expected a part of the run, more than 0, up to 1")
        _checks.factor("Step", "factor", self.factor)

    def __call__(self, done: float) -> float:
        """Return the factor for the done part of the run, 0 to 1."""
        return float(self.factor ** math.floor(done / self.every + 1e-9))


@dataclass(frozen=True)
class Plateau:
    """Multiply the rate by `factor` whenever the validation loss was not the least for `patience` epochs.

    Examples
    --------
    >>> Plateau(patience=2, factor=0.5).after([3.0, 2.0, 2.5, 2.1])
    0.5
    """

    patience: int = 3
    factor: float = 0.5

    def __post_init__(self) -> None:
        _checks.size("Plateau", "patience", self.patience)
        _checks.factor("Plateau", "factor", self.factor)

    def after(self, losses: Sequence[float]) -> float:
        """Return the factor after these validation losses."""
        least, waited, result = math.inf, 0, 1.0
        for loss in losses:
            waited = 0 if loss < least else waited + 1
            least = min(least, loss)
            if waited == self.patience:
                result, waited = result * self.factor, 0
        return result


Schedule = Callable[[float], float] | Plateau
_NAMED: dict[str, Schedule] = {
    "constant": constant,
    "cosine": cosine,
    "step": Step(),
    "plateau": Plateau(),
}


def factor_at(who: str, schedule: Callable[[float], float], done: float) -> float:
    """The factor for the done part of a run, checked."""
    return _checks.factor(who, f"schedule({done:.4g}), the factor of lr,", schedule(done))


def described(schedule: Schedule) -> str | list[float]:
    """What tells this schedule from others, for JSON; the same in every process.

    Raises
    ------
    ValueError, TypeError
        It returns what is no factor.
    """
    if isinstance(schedule, (Plateau, Step)):
        return repr(schedule)
    return [float(f"{factor_at('train.fit', schedule, k / 16):.9g}") for k in range(17)]


def named(who: str, schedule: Any) -> Schedule:
    """The schedule of this name, or the one that is given itself.

    Raises
    ------
    ValueError, TypeError
        There is none of this name; it is no schedule.
    """
    if isinstance(schedule, str):
        if schedule not in _NAMED:
            hint = _checks.nearest(schedule, _NAMED)
            raise ValueError(
                f"{who}: schedule is {schedule!r}; expected one of {', '.join(_NAMED)}, or a function{hint}"
            )
        return _NAMED[schedule]
    if not callable(schedule) and not isinstance(schedule, Plateau):
        raise TypeError(
            f"{who}: schedule is {schedule!r}; expected one of {', '.join(_NAMED)}, or a function of the "
            "done part of the run, 0 to 1, to the factor of lr"
        )
    return schedule
