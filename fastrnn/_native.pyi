from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .cells import Cell, Noise

FUNCTIONS: dict[str, int]
ISAS: tuple[str, ...]
SUPPORTED_ISAS: tuple[str, ...]
COMPILER: str
OPENMP: bool

def default_threads() -> int: ...
def fail_allocation(n: int) -> None: ...
def limit_windows(flops: float) -> None: ...
def keep_memory(size: int) -> None: ...
def kept_memory() -> int: ...
def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray: ...

class Call: ...

def run(call: Call, other: Call | None = None) -> None: ...

class Bound:
    def __init__(
        self,
        cell: Cell,
        params: Mapping[str, np.ndarray],
        sizes: tuple[int, int, int],
        *,
        isa: int,
        packed: bool = False,
    ) -> None: ...
    def forward(
        self,
        *,
        x: np.ndarray,
        lengths: np.ndarray | None,
        reverse: bool,
        noise: Noise | None,
        every: int | None,
        state0: Sequence[np.ndarray | None],
        y: np.ndarray,
        state: Sequence[np.ndarray],
        tape_states: Sequence[np.ndarray] | None,
        cached: np.ndarray | None,
        threads: int,
    ) -> Call: ...
    def backward(
        self,
        *,
        x: np.ndarray,
        lengths: np.ndarray | None,
        reverse: bool,
        noise: Noise | None,
        every: int | None,
        tape_states: Sequence[np.ndarray],
        cached: np.ndarray | None,
        dy: np.ndarray | None,
        dstate: Sequence[np.ndarray | None],
        dx: np.ndarray | None,
        dstate0: Sequence[np.ndarray],
        dparams: Mapping[str, np.ndarray],
        step_dstate: Sequence[np.ndarray] | None,
        threads: int,
    ) -> Call: ...

class Layers:
    def __init__(self, passes: Sequence[Bound], widths: Sequence[int], *, directions: int) -> None: ...
    def run(
        self, x: Any, state: Any, step: bool, batch_first: bool, threads: int
    ) -> tuple[np.ndarray, Any] | None: ...

def linear(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, *, isa: int, threads: int
) -> None: ...
def linear_backward(
    x: np.ndarray,
    w: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray | None,
    *,
    isa: int,
    threads: int,
) -> None: ...
def linear_each(
    xs: list[np.ndarray], ws: list[np.ndarray], ys: list[np.ndarray], *, isa: int, threads: int
) -> None: ...
def linear_backward_each(
    xs: list[np.ndarray],
    ws: list[np.ndarray],
    dys: list[np.ndarray],
    gradients: list[tuple[np.ndarray, np.ndarray]],
    *,
    isa: int,
    threads: int,
) -> None: ...
def map(function: int, x: np.ndarray, y: np.ndarray, *, isa: int) -> None: ...
