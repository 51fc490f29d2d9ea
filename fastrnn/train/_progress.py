"""How far a run is: tqdm's bar, or lines."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

__all__ = ["Lines", "Progress", "shown"]


class Progress(Protocol):
    """What shows how far a run is: tqdm's bar, or lines."""

    def update(self, n: int = 1) -> Any:
        """Count steps that were made."""

    def set_postfix_str(self, s: str, refresh: bool = True) -> Any:
        """Set what stands beside the bar."""

    def close(self) -> Any:
        """Show the end."""


def shown(total: int, done: int) -> Progress:
    """A bar, or lines, for `total` steps of which some are done."""
    try:
        from tqdm import tqdm
    except ImportError:
        return Lines(total, done)
    return tqdm(total=total, initial=done, unit="step", leave=True, dynamic_ncols=True)


class Lines:
    """A line after two seconds, then one every five, and the last step's."""

    def __init__(self, total: int, initial: int = 0) -> None:
        self.total = total
        self.done = self.shown = initial
        self.text = ""
        self.due = time.perf_counter() + 2

    def update(self, n: int = 1) -> None:
        self.done += n
        if time.perf_counter() >= self.due:
            self._show()

    def set_postfix_str(self, s: str, refresh: bool = True) -> None:
        self.text = s

    def close(self) -> None:
        if self.done > self.shown:
            self._show()

    def _show(self) -> None:
        print(f"  step {self.done:>6} of {self.total}: {self.text}", file=sys.stderr, flush=True)
        self.shown = self.done
        self.due = time.perf_counter() + 5
