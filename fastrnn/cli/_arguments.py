"""What the commands' arguments have in common."""

from __future__ import annotations

import argparse
import contextlib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

__all__ = ["Parser", "add_data", "command", "did_you_mean", "natural", "number", "part", "positive", "shape"]


class Parser(argparse.ArgumentParser):
    """Wrong usage is one line: what came, what was expected.

    Attributes
    ----------
    complete : function of the parser, optional
        Completes its help when that is shown: what takes long to find out.
    """

    complete: Callable[[argparse.ArgumentParser], None] | None = None

    def format_help(self) -> str:
        complete, self.complete = self.complete, None
        if complete is not None:
            complete(self)
        return super().format_help()

    def refuse_unknown(self, argv: Sequence[str]) -> None:
        """Refuse options that this command has not, before their values are taken for something else."""
        known = [option for action in self._actions for option in action.option_strings]
        for each in argv:
            if each == "--":
                return
            option = each.partition("=")[0]
            if re.fullmatch(r"--[\w-]+", option) and not any(one.startswith(option) for one in known):
                self.error(f"there is no {option}{did_you_mean(option, known)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            name = "/".join(action.option_strings) or f"{action.metavar or action.dest}"
            choices = [str(choice) for choice in action.choices]
            hint = did_you_mean(value, choices)
            raise argparse.ArgumentError(
                None, f"{name} is {value!r}; expected one of {', '.join(choices)}{hint}"
            )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a wrong name, or nothing."""
    import difflib  # here, as only errors need it

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


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
