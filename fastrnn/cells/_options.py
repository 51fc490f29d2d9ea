"""Checks of the options of cells: each names the cell, the option and what came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

#: Numbers of float32's range.
SMALLEST, LARGEST = float(np.finfo(np.float32).smallest_normal), float(np.finfo(np.float32).max)


def closest(name: object, known: Iterable[Any]) -> str:
    """The known name that a wrong one was meant to be, or "": capitals and swapped letters do not count."""
    import difflib  # here, as only errors need it

    name, by_name = str(name).lower(), {str(each).lower(): str(each) for each in known}
    swapped = [each for each in by_name if sorted(each) == sorted(name)]
    close = swapped or difflib.get_close_matches(name, by_name, n=1)
    close = close or [each for each in by_name if len(name) > 2 and each.startswith(name)]
    return by_name[close[0]] if close else ""


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def flag(cell: str, argument: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{cell}: {argument} is {value!r}; expected True or False")
    return bool(value)


def positive(cell: str, argument: str, value: Any) -> float:
    if not is_number(value) or not SMALLEST <= value <= LARGEST:
        raise ValueError(
            f"{cell}: {argument} is {value!r}; expected a positive, finite number of float32's range"
        )
    return float(value)


def limit(cell: str, argument: str, value: Any) -> float | None:
    """A number to cut values off at; None for no limit."""
    try:
        return None if value is None else positive(cell, argument, value)
    except ValueError as error:
        raise ValueError(f"{error}, or None") from None


def one_of(cell: str, argument: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        close = closest(value, choices) if isinstance(value, str) else ""
        hint = f" (did you mean {close!r}?)" if close else ""
        raise ValueError(
            f"{cell}: {argument} is {value!r}{hint}; expected one of {', '.join(map(repr, choices))}"
        )


def probabilities(cell: str, argument: str, value: Any, states: str) -> tuple[float, ...]:
    """The probability for each of the states; () where all are 0."""
    given = (value,) * len(states) if is_number(value) else value
    if (
        not isinstance(given, (tuple, list))
        or len(given) not in (0, len(states))
        or not all(is_number(p) and 0 <= p <= 1 for p in given)
    ):
        each = " or one for each of " + ", ".join(states) if len(states) > 1 else ""
        raise ValueError(f"{cell}: {argument} is {value!r}; expected a probability, 0 to 1{each}")
    return tuple(map(float, given)) if any(given) else ()
