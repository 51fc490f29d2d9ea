"""Times of calls that compete: in turn, with a pause before each, median and quartiles."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Times", "evictor", "interleaved", "measure", "watch"]

# Threads that have nothing to do spin on: OpenMP's for some 16 ms, ONNX Runtime's 40, OpenBLAS's 120.
_LONGEST_PAUSE = 0.5
#: A sample is at least this long; shorter calls are timed several at a time.
_SAMPLE = 50e-6
#: A longer call is its own warm-up.
_LONG = 0.25


class Times(NamedTuple):
    """Seconds of one call: median, lower and upper quartile, and of how many samples."""

    median: float
    low: float
    high: float
    samples: int

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, as a part of the median."""
        return (self.high - self.low) / 2 / self.median

    @classmethod
    def of(cls, seconds: list[float]) -> Times:
        low, median, high = np.quantile(seconds, (0.25, 0.5, 0.75))
        return cls(float(median), float(low), float(high), len(seconds))


def measure(
    calls: Mapping[str, Callable[[], Any]],
    rounds: int = 7,
    *,
    block: float = 0.04,
    budget: float = math.inf,
    before: Callable[[], Any] | None = None,
    beside: Callable[[], Any] | None = None,
) -> dict[str, Times]:
    """Time calls in alternating blocks, so that what else the machine does falls on all of them alike.

    Before each block there is a pause, so that the idle threads of one library do not slow the next, and a
    warm-up that is not counted.

    Parameters
    ----------
    calls : mapping of str to callable
    rounds : int
        Blocks of each call.
    block : float
        Seconds of a block; it holds at least one call.
    budget : float
        Seconds of all blocks of one call. One that needs more sits out some rounds, though not all but two.
    before : callable, optional
        Called, untimed, before each call: to evict caches, say. Every call is then a sample of its own.
    beside : callable, optional
        Called once a round: to measure the machine at the same time.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    every = dict.fromkeys(calls, 1)
    for turn in range(rounds):
        if beside is not None:
            _pause()
            beside()
        for name, call in calls.items():
            if turn % every[name]:
                continue
            start = time.perf_counter()
            samples[name] += _block(call, block, before)
            if turn == 0:
                allowed = max(2.0, budget / (time.perf_counter() - start))
                every[name] = max(1, min(rounds - 1, math.ceil(rounds / allowed)))
    return {name: Times.of(seconds) for name, seconds in samples.items()}


def interleaved(calls: Mapping[str, Callable[[], Any]], rounds: int = 5) -> dict[str, float]:
    """Return the median seconds of each call, called once a round; see `measure`.

    Examples
    --------
    >>> sorted(interleaved({"short": lambda: sum(range(9)), "long": lambda: sum(range(999))}, 3))
    ['long', 'short']
    """
    return {name: times.median for name, times in measure(calls, rounds, block=0).items()}


def evictor(size: int, threads: int) -> Callable[[], None]:
    """Return a call that walks, on each of some threads, through a buffer of `size` bytes of its own."""
    buffers = [np.zeros(size // 8) for _ in range(threads)]
    pool = ThreadPoolExecutor(threads)

    def evict() -> None:
        list(pool.map(np.sum, buffers))

    return evict


def watch() -> Callable[[], float]:
    """Return a call that tells which part of our CPUs' time others took since; NaN where nobody knows."""

    def spent() -> tuple[float, float, float]:
        return _busy(), sum(os.times()[:4]), time.perf_counter()

    start = spent()

    def others() -> float:
        busy, own, elapsed = (now - then for now, then in zip(spent(), start, strict=True))
        return max(0.0, busy - own) / (elapsed * len(os.sched_getaffinity(0))) if busy >= 0 else math.nan

    return others


def _busy() -> float:
    """Seconds that the CPUs of this process have worked, for anybody, since the machine's start."""
    try:
        ours = {f"cpu{n}" for n in os.sched_getaffinity(0)}
        lines = [line.split() for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()]
        times = [list(map(int, fields)) for name, *fields in lines if name in ours]
        # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user
        return sum(sum(t[:3]) + sum(t[5:8]) for t in times) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return math.nan


def _pause() -> None:
    """Wait until all threads of the process are at rest."""
    end = time.perf_counter() + _LONGEST_PAUSE
    while time.perf_counter() < end:
        used = time.process_time()
        time.sleep(0.01)
        if time.process_time() - used < 0.001:
            return


def _block(call: Callable[[], Any], seconds: float, before: Callable[[], Any] | None) -> list[float]:
    _pause()
    once = _seconds(call)
    if once > _LONG:
        return [once]
    warm = once
    while warm < seconds / 4:
        once = _seconds(call)
        warm += once
    if before is None:
        together = math.ceil(_SAMPLE / once)
        return [_seconds(call, together) for _ in range(max(1, int(seconds / (once * together))))]
    found = []
    for _ in range(max(1, min(20, int(seconds / once)))):
        before()
        found.append(_seconds(call))
    return found


def _seconds(call: Callable[[], Any], times: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times
