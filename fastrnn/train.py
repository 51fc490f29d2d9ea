"""The training loop: steps, learning rate, clipping, progress, history, and what stops it.

A model says what a batch is and how its gradient comes about; `run` does the rest::

    history = run(network, optimizer, batches, gradient, total=len(batches))
"""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .nn import Module
from .optim import Optimizer, clip_grad_norm_

__all__ = ["History", "Progress", "chunks", "cosine", "run"]


@dataclass
class History:
    """What happened in a run, step by step.

    Attributes
    ----------
    loss : list of float
        The mean loss of each step's batch, before its update.
    norm : list of float
        The norm of each step's gradients, before clipping.
    lr : list of float
    seconds : list of float
        From the start of the run to the end of each step.
    tokens : int
        How many targets were trained on.
    stopped : str
        Empty when every step was made; else why not.
    """

    loss: list[float] = field(default_factory=list)
    norm: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens: int = 0
    stopped: str = ""

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return len(self.loss)

    @property
    def tokens_per_second(self) -> float:
        """Targets trained on in a second."""
        return self.tokens / self.seconds[-1] if self.seconds else 0.0


class Progress(Protocol):
    """What shows how far a run is: tqdm's bar, or lines."""

    def update(self, n: int = 1) -> Any: ...

    def set_postfix_str(self, s: str, refresh: bool = True) -> Any: ...

    def close(self) -> Any: ...


def run(
    network: Module,
    optimizer: Optimizer,
    batches: Iterable[Any],
    gradient: Callable[[Any], tuple[float, Mapping[str, np.ndarray], int]],
    *,
    total: int,
    schedule: Callable[[float], float] = lambda done: 1.0,
    max_norm: float = math.inf,
    seconds: float = math.inf,
    progress: bool = False,
) -> History:
    """Train until the batches end, the time is over, or Ctrl-C; return the history.

    Ctrl-C never leaves a half-made update: the network is as after the last whole step, and
    ``history.stopped`` says what happened.

    Parameters
    ----------
    network : Module
    optimizer : Optimizer
        Of this network; its `lr` is the one that `schedule` scales.
    batches : iterable
        Handed to `gradient` one by one.
    gradient : function of a batch to (loss, gradients, number of targets)
        The loss is the mean over the targets.
    total : int
        The number of batches, for `schedule` and the progress bar.
    schedule : function of float to float
        The factor of the learning rate for the done part of the run, 0 to 1; such as `cosine`.
    max_norm : float
        Gradients of a greater norm are scaled down to it.
    seconds : float
        No step begins after so much time.
    progress : bool
        Show a bar (tqdm where it is installed) or lines, on the standard error stream.

    Raises
    ------
    FloatingPointError
        The loss or the gradient of a step is not finite. The network is as before that step.
    """
    history = History()
    base = optimizer.lr
    start = time.perf_counter()
    show = _progress(total) if progress else None
    smooth = math.nan
    try:
        with _interrupts() as held:
            for step, batch in enumerate(batches):
                if time.perf_counter() - start >= seconds:
                    history.stopped = f"the time limit of {seconds:g} s came after step {step} of {total}"
                    break
                loss, grads, tokens = gradient(batch)
                norm = clip_grad_norm_(grads, max_norm)
                _check_finite(step, loss, norm, optimizer)
                with held():
                    optimizer.lr = base * schedule(step / total)
                    optimizer.step(grads)
                    history.loss.append(loss)
                    history.norm.append(norm)
                    history.lr.append(optimizer.lr)
                    history.seconds.append(time.perf_counter() - start)
                    history.tokens += tokens
                if show:
                    smooth = loss if math.isnan(smooth) else 0.95 * smooth + 0.05 * loss
                    speed = f"{history.tokens_per_second:,.0f} a second"
                    show.set_postfix_str(f"loss {smooth:.3f}, {speed}", False)
                    show.update()
    except KeyboardInterrupt:
        history.stopped = f"interrupted after step {history.steps} of {total}"
    finally:
        optimizer.lr = base
        if show:
            show.close()
    return history


def chunks(
    ids: np.ndarray, batch_size: int, chunk_size: int, offset: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Cut one long sequence into the batches of truncated back-propagation through time.

    The sequence is laid out as `batch_size` streams side by side, each cut into chunks of `chunk_size` steps;
    the last chunk may be shorter. A chunk goes on where the one before ended, so the state is carried.

    Parameters
    ----------
    ids : array of int, (N,)
    batch_size, chunk_size : int
    offset : int
        Where the first stream begins; what stands before it goes to the end.

    Yields
    ------
    inputs, targets : arrays, (T, B)
        `targets` are the inputs one step later.
    first : bool
        The streams begin here: the state is zero.

    Raises
    ------
    ValueError
        The sequence has less than two ids a stream.

    Examples
    --------
    >>> for inputs, targets, first in chunks(np.arange(9), 2, 3):
    ...     print(inputs.T.tolist(), targets.T.tolist(), first)
    [[0, 1, 2], [4, 5, 6]] [[1, 2, 3], [5, 6, 7]] True
    [[3], [7]] [[4], [8]] False
    """
    length = (len(ids) - 1) // batch_size
    if length < 1:
        raise ValueError(
            f"chunks: {len(ids)} ids are too few for batch_size={batch_size}; "
            f"expected at least {batch_size + 1}"
        )
    ids = np.roll(ids, -offset)
    inputs = ids[: batch_size * length].reshape(batch_size, length).T
    targets = ids[1 : batch_size * length + 1].reshape(batch_size, length).T
    for start in range(0, length, chunk_size):
        part = slice(start, start + chunk_size)
        yield inputs[part], targets[part], start == 0


def cosine(done: float) -> float:
    """Half a cosine, from 1 down to 0, after a linear warm-up over the first hundredth.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Examples
    --------
    >>> cosine(0.5), cosine(1.0)
    (0.5, 0.0)
    """
    return min(1.0, 0.1 + 90 * done) * round((1 + math.cos(math.pi * done)) / 2, 12)


def _check_finite(step: int, loss: float, norm: float, optimizer: Optimizer) -> None:
    for what, value in {"loss": loss, "norm of the gradients": norm}.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"training stopped at step {step}: the {what} is {value}; the parameters are as before this "
                f"step. Look for NaN in the data, or lower the learning rate ({optimizer.lr:g})"
            )


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], contextlib.AbstractContextManager[None]]]:
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


def _progress(total: int) -> Progress:
    try:
        from tqdm import tqdm
    except ImportError:
        return _Lines(total)
    return tqdm(total=total, unit="step", leave=True, dynamic_ncols=True)


class _Lines:
    """A line after two seconds, then one every five, and the last step's."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.shown = 0
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
