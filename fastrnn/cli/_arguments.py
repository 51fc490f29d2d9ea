"""What the commands' arguments have in common."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["Parser", "add_data", "command", "natural", "number", "part", "positive", "shape"]


class Parser(argparse.ArgumentParser):
    """Wrong usage is one line: what came, what was expected."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def command(make: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Make a parser whose description is shown as it is written."""
    return make(*args, formatter_class=argparse.RawDescriptionHelpFormatter, **options)


def add_data(parser: argparse.ArgumentParser, *, target: bool) -> None:
    """The arguments that say what the columns of a file are."""
    parser.add_argument(
        "--input",
        metavar="COLUMN",
        help="the column of the inputs (default: text, or source); A,B of series of numbers",
    )
    if target:
        parser.add_argument(
            "--target", metavar="COLUMN", help="the column of what is learned (default: label, or target)"
        )
    parser.add_argument(
        "--no-header", action="store_true", help="the first line is data; the columns are 1, 2, ..."
    )
    parser.add_argument(
        "--skip-empty", action="store_true", help="leave out rows with nothing in a column that is read"
    )


def positive(text: str) -> int:
    return _parsed(text, int, "a whole number of at least 1", 1)


def natural(text: str) -> int:
    return _parsed(text, int, "a whole number of at least 0", 0)


def number(text: str) -> float:
    return _parsed(text, float, "a number of at least 0", 0)


def part(text: str) -> float:
    """A part of a whole, 0 and 1 themselves left out."""
    with contextlib.suppress(ValueError):
        if 0 < (value := float(text)) < 1:
            return value
    raise argparse.ArgumentTypeError(f"got {text!r}; expected a part, more than 0 and less than 1")


def _parsed(text: str, kind: Callable[[str], Any], expected: str, least: int) -> Any:
    with contextlib.suppress(ValueError):
        if least <= (value := kind(text)) < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"got {text!r}; expected {expected}")


def shape(text: str) -> tuple[int, ...]:
    found = tuple(positive(part) for part in text.split(","))
    if len(found) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not T,B,I,H, such as 100,32,256,256")
    return found
