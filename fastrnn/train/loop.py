"""Steps: gradient, clipping, update, and what stops them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .. import _checks
from ..nn import Module
from ..optim import Optimizer, clip_grad_norm_
from ._draws import Draws
from ._interrupts import interrupts
from ._progress import shown
from .history import History
from .schedules import Plateau, Schedule, constant, factor_at

__all__ = ["run"]

_WHO = "train.run"


def run(
    network: Module,
    optimizer: Optimizer,
    batches: Iterable[Any],
    gradient: Callable[[Any], tuple[float, Mapping[str, np.ndarray], int]],
    *,
    total: int,
    schedule: Schedule = constant,
    max_norm: float = math.inf,
    seconds: float = math.inf,
    progress: bool = False,
    history: History | None = None,
) -> History:
    """Train until the batches end, the time is over, or Ctrl-C; return the history.

    A step is made whole or not at all: after Ctrl-C, or an error of `gradient`, the network, the optimiser
    and the generators that draw dropout are as after the last whole step. ``history.stopped`` says what
    happened.

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
        The number of batches, for `schedule` and the progress bar; those of `history` count too.
    schedule : function of float to float, or Plateau
        The factor of the learning rate for the done part of the run, 0 to 1; such as `cosine`.
    max_norm : float
        Gradients of a greater norm are scaled down to it.
    seconds : float
        No step begins after so much time.
    progress : bool
        Show a bar (tqdm where it is installed) or lines, on the standard error stream.
    history : History, optional
        Of the steps made before, to go on from; it is the one that is returned.

    Raises
    ------
    FloatingPointError
        The loss or the gradient of a step is not finite. The network is as before that step. Or the
        parameters are not finite at the end.
    ValueError, TypeError
        `schedule` returns what is no finite factor; `max_norm` or `seconds` is negative, or no number.
    """
    max_norm = _checks.not_negative(_WHO, "max_norm", max_norm)
    seconds = _checks.not_negative(_WHO, "seconds", seconds)
    history = History() if history is None else history
    history.stopped, history.interrupted = "", False
    draws = Draws(network)
    base = optimizer.lr
    start = time.perf_counter()
    before = history.seconds[-1] if history.seconds else 0.0
    show = shown(total, history.steps) if progress else None
    smooth = math.nan
    try:
        with interrupts() as ctrl_c:
            for batch in batches:
                step = history.steps
                if time.perf_counter() - start >= seconds:
                    history.stopped = f"the time limit of {seconds:g} s came after step {step} of {total}"
                    break
                with draws.kept_unless(_more_than(history, step)):
                    loss, grads, tokens = gradient(batch)
                    loss, tokens = float(loss), int(tokens)  # of NumPy, JSON could not hold them
                    norm = clip_grad_norm_(grads, max_norm)
                    _check_finite(step, loss, norm, optimizer)
                    with ctrl_c.held():
                        optimizer.lr = base * _factor(schedule, step, total, history)
                        optimizer.step(grads)
                        history.loss.append(loss)
                        history.norm.append(norm)
                        history.lr.append(optimizer.lr)
                        history.seconds.append(before + time.perf_counter() - start)
                        history.tokens += tokens
                if show:
                    smooth = loss if math.isnan(smooth) else 0.95 * smooth + 0.05 * loss
                    show.set_postfix_str(_summary(smooth, history), False)
                    show.update()
    except KeyboardInterrupt:
        history.interrupt(total)
    finally:
        optimizer.lr = base
        if show:
            show.close()
    for name, value in network.params.items():
        if not np.isfinite(value).all():
            raise FloatingPointError(
                f"training ended after step {history.steps} with {name} not finite; lower the learning rate "
                f"({optimizer.lr:g})"
            )
    return history


def _more_than(history: History, steps: int) -> Callable[[], bool]:
    return lambda: history.steps > steps


def _factor(schedule: Schedule, step: int, total: int, history: History) -> float:
    if isinstance(schedule, Plateau):
        return schedule.after(history.validation_loss)
    return factor_at(f"training stopped at step {step}", schedule, step / total)


def _summary(smooth: float, history: History) -> str:
    """What stands beside the bar."""
    parts = [f"loss {smooth:#.4g}"]
    if history.validation:
        parts.append(f"validation {history.validation[-1][0]:#.4g}")
    return ", ".join([*parts, f"{history.tokens_per_second:,.0f} {history.counts} a second"])


def _check_finite(step: int, loss: float, norm: float, optimizer: Optimizer) -> None:
    for what, value in {"loss": loss, "norm of the gradients": norm}.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"training stopped at step {step}: the {what} is {value}; the parameters are as before this "
                f"step. Look for NaN in the data, or lower the learning rate ({optimizer.lr:g})"
            )
