"""How fast a case could be on this machine: limits measured on the spot, and what follows from them.

The limits come from `probe.c`, which the system's C compiler builds when a benchmark starts: multiply-adds a
second, bytes a second read from L1, from L2 and from beyond, all threads together, and the time of a barrier.
Two more come from the library's own `sigmoid` and `tanh`, as the slope of their time over the number of
elements, both sizes in the caches, so that the cost of a call is left out: the **gates** term is the number
of these functions that a cell needs for a unit of a row.

`roofline` adds up, for a layer in one direction on p threads, u of which share its units while p / u share
the rows:

* for each step the larger of the time of the recurrent product's operations and the time to read each
  thread's share of the recurrent weights once. Of that share as much as fits is read from L1, then from L2,
  the rest from beyond;
* the input product's operations, or the reading of its weights once;
* the gates, and one barrier a step where u > 1;
* for training besides: the product for dh, step by step as above, the operations of dx and of the weights'
  gradients, and tanh(c) once more.

It takes the best u, the best number of threads, and the best number of directions or layers at a time. The
call from Python, the reading of x and the writing of y and tape are left out: real time is longer.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import functional
from .cases import Case

__all__ = ["Limits", "Probe", "cache_bytes", "no_probe", "roofline"]

#: Instruction set -> flags and vector width of the probe; others take what the compiler does without flags.
_FLAGS: dict[str, tuple[list[str], int]] = {
    "avx512": (["-mavx512f", "-mavx512dq", "-mfma", "-mprefer-vector-width=512"], 64),
    "avx2": (["-mavx2", "-mfma"], 32),
}
_RUNS = 4
#: Sigmoids and tanhs of a unit forward; in training LSTM computes tanh(c) again.
_FUNCTIONS = {"lstm": (3, 2), "gru": (2, 1), "rnn": (0, 1)}


class Limits(NamedTuple):
    """What the machine can do: operations and bytes a second on all threads together, and seconds."""

    operations: float
    l1: float
    l2: float
    memory: float
    barrier: float
    sigmoid: float
    tanh: float
    threads: int
    l1_bytes: int
    l2_bytes: int


def cache_bytes(level: int, otherwise: int) -> int:
    """Bytes of a core's data cache of level 1 or 2."""
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            kind = (index / "type").read_text().strip()
            if int((index / "level").read_text()) == level and kind in ("Data", "Unified"):
                return int((index / "size").read_text().strip().removesuffix("K")) * 1024
        except (OSError, ValueError):
            continue
    return otherwise


class Probe:
    """Measures the limits again and again; `limits` are the medians.

    Raises
    ------
    OSError
        No C compiler, or it fails.
    """

    def __init__(self, threads: int, isa: str, dtype: str) -> None:
        self.threads, self.dtype = threads, np.dtype(dtype)
        self.l1_bytes, self.l2_bytes = cache_bytes(1, 32 << 10), cache_bytes(2, 1 << 20)
        self._library = _compiled(isa, "float" if self.dtype.itemsize == 4 else "double")
        self._sizes = self.l1_bytes // 2, self.l2_bytes // 2, 16 * self.l2_bytes
        raw = np.ones(threads * self._sizes[2] // 8 + 8)
        self._buffer = raw[(-raw.ctypes.data // 8) % 8 :]
        self._samples: list[tuple[float, ...]] = []

    def sample(self) -> None:
        """Measure everything once, in some 20 ms: the best of a few short runs each."""
        lib, threads = self._library, self.threads
        rounds = 10_000
        seconds = min(lib.probe_fma(threads, rounds) for _ in range(_RUNS))
        found = [threads * rounds * lib.probe_flops() / seconds]
        for size in self._sizes:
            rounds = max(1, (8 << 20) // size)
            buffer = self._buffer.ctypes.data
            seconds = min(lib.probe_read(threads, rounds, buffer, size) for _ in range(_RUNS))
            found.append(threads * rounds * size / seconds)
        rounds = 1000
        barrier = min(lib.probe_barrier(threads, rounds) for _ in range(_RUNS)) / rounds
        self._samples.append((*found, barrier if threads > 1 else 0.0, *self._functions()))

    def _functions(self) -> Iterator[float]:
        few, many = (np.linspace(-4, 4, n, dtype=self.dtype) for n in (1 << 12, 1 << 14))
        for function in (functional.sigmoid, functional.tanh):
            yield (_least(function, many) - _least(function, few)) / (many.size - few.size)

    @property
    def limits(self) -> Limits:
        """The medians of all samples since the last `reset`."""
        medians = np.median(self._samples, axis=0).tolist()
        return Limits._make([*medians, self.threads, self.l1_bytes, self.l2_bytes])

    def reset(self) -> None:
        """Forget the samples."""
        self._samples.clear()


def _least(function, x: np.ndarray) -> float:
    seconds = []
    for _ in range(2 * _RUNS):
        start = time.perf_counter()
        function(x)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def no_probe() -> str | None:
    """Why the limits cannot be measured here, or None."""
    try:
        _compiled("", "float")
    except OSError as error:
        return str(error)
    return None


@functools.cache
def _compiled(isa: str, real: str) -> ctypes.CDLL:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise OSError("there is no C compiler (cc) to build the probe of the machine's limits")
    flags, width = _FLAGS.get(isa, ([], 16))
    source = Path(__file__).with_name("probe.c")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "probe.so"
        command = [*compiler.split(), "-O2", "-ffp-contract=fast", "-shared", "-fPIC", "-pthread", *flags]
        command += [f"-DREAL={real}", f"-DBYTES={width}", "-o", str(target), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()[:500]}")
        library = ctypes.CDLL(str(target))
    library.probe_fma.argtypes = library.probe_barrier.argtypes = ctypes.c_int, ctypes.c_long
    library.probe_read.argtypes = ctypes.c_int, ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t
    for name in ("probe_fma", "probe_flops", "probe_read", "probe_barrier"):
        getattr(library, name).restype = ctypes.c_double
    return library


def roofline(case: Case, limits: Limits, cold: bool = False) -> float:
    """Seconds of the case at the limits; see the module. `cold`: the weights come from beyond the caches."""
    size = np.dtype(case.dtype).itemsize
    weights = case.directions * case.gates * case.hidden * sum(width + case.hidden for width in case.widths)
    best = np.inf
    for at_once in range(1, min(limits.threads, case.layers * case.directions) + 1):
        for p in range(1, limits.threads // at_once + 1):
            for u in (u for u in range(1, p + 1) if p % u == 0):
                passes = [_one_pass(case, width, limits, p, u) for width in case.widths] * case.directions
                best = min(best, sum(passes) / at_once)
    return float(best) + cold * weights * size / limits.memory


def _one_pass(case: Case, width: int, limits: Limits, p: int, u: int) -> float:
    """Seconds of one layer in one direction on p threads, u of them sharing its units."""
    size = np.dtype(case.dtype).itemsize
    a_thread = limits.operations / limits.threads
    # Rows of a thread at each step; one that is there at all is computed by somebody.
    running = (np.arange(case.steps)[:, None] < case.lengths).sum(axis=1)
    rows = np.maximum(running * u / p, running > 0)
    units = case.gates * case.hidden / u  # gate units of a thread

    caches = (limits.l1_bytes, limits.l1), (limits.l2_bytes, limits.l2), (np.inf, limits.memory)

    def read(weights: float) -> float:
        left, seconds = weights * size, 0.0
        for held, rate in caches:
            part = min(left, held)
            seconds += part / (rate / limits.threads)
            left -= part
        return seconds

    def product(inner: int) -> np.ndarray:  # operations of one step
        return 2 * rows * units * inner / a_thread

    sigmoids, tanhs = _FUNCTIONS[case.cell]
    tanhs += case.mode == "training" and case.cell == "lstm"
    gates = rows.sum() * case.hidden / u * (sigmoids * limits.sigmoid + tanhs * limits.tanh)
    barrier = case.steps * limits.barrier * (u > 1)
    loop = np.maximum(product(case.hidden), read(units * case.hidden)).sum()
    inputs = max(product(width).sum(), read(units * width))
    if case.mode != "training":
        return float(loop + inputs + gates + barrier)
    weights = product(case.hidden).sum() + product(width).sum()
    return float(2 * loop + 2 * inputs + weights + gates + 2 * barrier)
