"""Ctrl-C that never leaves half a step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

__all__ = ["interrupts"]


@contextlib.contextmanager
def interrupts() -> Iterator[Callable[[], contextlib.AbstractContextManager[None]]]:
    """Give a context that holds back Ctrl-C until its end, so that what it does is done whole.

    Where Ctrl-C is not Python's own (another handler, another thread than the main one), nothing is changed.
    """
    holding = pending = False

    def handle(signum, frame):
        nonlocal pending
        pending = True
        if not holding:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held():
        nonlocal holding
        holding = True
        try:
            yield
        finally:
            holding = False
        if pending:
            raise KeyboardInterrupt

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, handle)
    try:
        yield held
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
