"""Ctrl-C that never leaves half a step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["Interrupts", "interrupts"]


class Interrupts:
    """What Ctrl-C does: end what is under way by KeyboardInterrupt, at once or, where it is held, later.

    Attributes
    ----------
    pending : bool
        It came while it was held, and has ended nothing yet.
    """

    def __init__(self) -> None:
        self.pending = False
        self._holding = False

    def __call__(self, signum: int, frame: Any) -> None:
        """Handle the signal."""
        self.pending = True
        self._deliver()

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Hold Ctrl-C back until the end of the block, so that what it does is done whole."""
        return self._set(holding=True)

    @contextlib.contextmanager
    def _set(self, holding: bool) -> Iterator[None]:
        before, self._holding = self._holding, holding
        try:
            self._deliver()
            yield
        finally:
            self._holding = before
        self._deliver()

    def _deliver(self) -> None:
        if self.pending and not self._holding:
            self.pending = False
            raise KeyboardInterrupt


@contextlib.contextmanager
def interrupts(held: bool = False) -> Iterator[Interrupts]:
    """Watch for Ctrl-C, which in the block is held back or not; blocks may stand within each other.

    One that is still held at the end of the outermost block is the caller's to look at: `Interrupts.pending`.
    Where Ctrl-C is not Python's own (another handler, another thread than the main one), nothing is changed.
    """
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    if isinstance(handler, Interrupts):
        with handler._set(held):
            yield handler
        return
    itself = Interrupts()
    itself._holding = held
    ours = handler is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, itself)
    try:
        yield itself
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
