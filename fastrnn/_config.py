"""How calls run: backend, instruction set, number of threads; for a block, or for the process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar

import numpy as np

from . import _native

__all__ = [
    "backend",
    "get_num_threads",
    "isa",
    "keep_memory",
    "num_threads",
    "set_backend",
    "set_isa",
    "set_num_threads",
    "show_config",
]

BACKENDS = ("native", "reference")


class _Setting:
    """A value for the process, and another for the block one is in."""

    def __init__(self, check, value):
        self.check = check
        self.process = check(value)
        self.block = ContextVar("fastrnn_setting", default=None)

    def get(self):
        value = self.block.get()
        return self.process if value is None else value

    def within(self, value):
        return self._block(self.check(value))  # which is checked here, not where the block begins

    @contextlib.contextmanager
    def _block(self, checked):
        token = self.block.set(checked)
        try:
            yield
        finally:
            self.block.reset(token)

    def set(self, value):
        self.process = self.check(value)


def _checked_backend(name: str, source: str = "backend") -> str:
    if name not in BACKENDS:
        raise ValueError(f"{source} is {name!r}; expected one of {', '.join(map(repr, BACKENDS))}")
    return name


def _checked_isa(name: str, source: str = "isa") -> int:
    if name not in _native.ISAS:
        raise ValueError(f"{source} is {name!r}; this build has {', '.join(map(repr, _native.ISAS))}")
    if name not in _native.SUPPORTED_ISAS:
        raise ValueError(
            f"{source} is {name!r}, which is not supported by this machine; it runs "
            f"{', '.join(map(repr, _native.SUPPORTED_ISAS))}"
        )
    return _native.ISAS.index(name)


def _checked_threads(n: int | None) -> int:
    if n is None:
        return 0
    if isinstance(n, (bool, np.bool_)) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"num_threads is {n!r}; expected an integer of at least 1, or None for the default")
    if not 1 <= n <= 1024:
        raise ValueError(f"num_threads is {n}; expected 1 to 1024, or None for the default")
    return int(n)


_backend = _Setting(
    _checked_backend, _checked_backend(os.environ.get("FASTRNN_BACKEND", "native"), "FASTRNN_BACKEND")
)
_isa = _Setting(
    _checked_isa,
    _native.ISAS[_checked_isa(os.environ.get("FASTRNN_ISA", _native.SUPPORTED_ISAS[0]), "FASTRNN_ISA")],
)
_threads = _Setting(_checked_threads, None)
_backend_of_block, _isa_of_block, _threads_of_block = _backend.block.get, _isa.block.get, _threads.block.get


def backend(name: str) -> contextlib.AbstractContextManager[None]:
    """Run the block on ``"native"`` kernels or on the NumPy ``"reference"``; the bits are the same.

    The process's default is native; ``set_backend`` or the environment variable FASTRNN_BACKEND changes it.

    >>> import fastrnn
    >>> with fastrnn.backend("reference"):
    ...     pass
    """
    return _backend.within(name)


def isa(name: str) -> contextlib.AbstractContextManager[None]:
    """Run the block on the kernels of one instruction set: baseline, avx2, avx512 or neon.

    The bits are the same on each. The process's default is the best one that the machine has; ``set_isa`` or
    the environment variable FASTRNN_ISA changes it.

    Raises
    ------
    ValueError
        If the name is unknown, or the machine lacks the instruction set.

    >>> import fastrnn
    >>> with fastrnn.isa("baseline"):
    ...     pass
    """
    return _isa.within(name)


def num_threads(n: int) -> contextlib.AbstractContextManager[None]:
    """Run the block on exactly n threads, whatever the work; the bits do not depend on it.

    Without it as many threads are used as pay, at most what OMP_NUM_THREADS, the CPU affinity and the control
    group allow. The system must be able to start n threads: the OpenMP run time ends the process otherwise.
    In a child of ``os.fork`` calls run on one thread.

    >>> import fastrnn
    >>> with fastrnn.num_threads(1):
    ...     pass
    """
    if n is None:
        raise TypeError("num_threads is None; expected an integer of at least 1")
    return _threads.within(n)


def set_backend(name: str) -> None:
    """The process's default backend; see `backend`."""
    _backend.set(name)


def set_isa(name: str) -> None:
    """The process's default instruction set; see `isa`."""
    _isa.set(name)


def set_num_threads(n: int | None) -> None:
    """The process's default number of threads; None: as many as pay. See `num_threads`."""
    _threads.set(n)


def get_num_threads() -> int:
    """The number of threads a call may use here and now."""
    return _threads.get() or _native.default_threads()


def keep_memory(size: int) -> None:
    """Keep at most `size` bytes of large arrays and workspaces for the next call when they are given back.

    1 GiB if not set, or an eighth of the machine's memory if that is less: memory that is new to a process
    costs more time than what is computed on it. The system takes it whenever it is short of memory. 0 keeps
    nothing, and gives back what is kept.

    >>> import fastrnn
    >>> fastrnn.keep_memory(64 << 20)
    >>> fastrnn.keep_memory(1 << 30)
    """
    if isinstance(size, (bool, np.bool_)) or not isinstance(size, (int, np.integer)):
        raise TypeError(f"keep_memory: size is {size!r}; expected an integer, in bytes")
    if not 0 <= size < 2**63:
        raise ValueError(f"keep_memory: size is {size}; expected a number of bytes, 0 or more")
    _native.keep_memory(size)


def is_reference() -> bool:
    return _backend.get() == "reference"


def settings() -> tuple[bool, int, int]:
    """Whether the reference runs, the instruction set and the threads, at the least cost."""
    backend, isa, threads = _backend_of_block(), _isa_of_block(), _threads_of_block()
    return (
        (_backend.process if backend is None else backend) == "reference",
        _isa.process if isa is None else isa,
        _threads.process if threads is None else threads,
    )


def run_options() -> dict[str, int]:
    """Instruction set and threads in the form in which the binding takes them."""
    return {"isa": _isa.get(), "threads": _threads.get()}


def _lines() -> Iterator[tuple[str, str]]:
    from . import __version__

    yield "fastrnn", __version__
    yield "numpy", np.__version__
    yield "backend", _backend.get()
    yield "instruction set", _native.ISAS[_isa.get()]
    yield "available", ", ".join(_native.SUPPORTED_ISAS)
    yield "threads", str(get_num_threads())
    yield "memory kept", f"{_native.kept_memory() / 2**20:.0f} MiB"
    yield "openmp", "yes" if _native.OPENMP else "no (built without: every call runs on one thread)"
    yield "compiler", _native.COMPILER


def show_config() -> None:
    """Print version, instruction sets in use and available, threads and build."""
    for name, value in _lines():
        print(f"{name:>16}: {value}")
