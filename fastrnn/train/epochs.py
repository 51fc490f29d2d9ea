"""Epochs: validation, early stopping, checkpoints, around the steps."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _checks
from ..io._by_ending import check_ending
from ..io._file import destination
from ..nn import Module
from ..optim import Optimizer
from ._carry import Carry
from ._checkpoint import Training
from ._interrupts import Interrupts, interrupts
from .batches import Batches
from .history import History
from .loop import run
from .schedules import Plateau, Schedule, described, named

__all__ = ["fit"]

_WHO = "train.fit"


def fit(
    network: Module,
    optimizer: Optimizer,
    batches: Batches,
    gradient: Callable[[Any], tuple[float, Mapping[str, np.ndarray], int]],
    *,
    epochs: int,
    validate: Callable[[], tuple[float, float]] | None = None,
    patience: int | None = None,
    schedule: Schedule | str = "constant",
    max_norm: float = math.inf,
    seconds: float = math.inf,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_steps: int | None = None,
    resume: bool | str | os.PathLike[str] | None = False,
    about: Mapping[str, Any] | None = None,
    carry: Carry | None = None,
    history: History | None = None,
) -> History:
    """Train for some epochs, or until the validation loss no longer falls, the time is over, or Ctrl-C.

    A run that was stopped anywhere, even killed, and goes on from its checkpoint ends in the same bits as one
    that ran through.

    Parameters
    ----------
    network : Module
    optimizer : Optimizer
        Of this network.
    batches : Buckets or Streams
        The batches of each epoch.
    gradient : function of a batch to (loss, gradients, number of targets)
        A batch of `Buckets` is an array of places, one of `Streams` a `Place`.
    epochs : int
    validate : function to (loss, score), optional
        Called after each epoch.
    patience : int, optional
        Stop when the validation loss was not the least for so many epochs. However the run ends, the weights
        are then those after the epoch with the least.
    schedule : {"constant", "cosine", "step", "plateau"}, function, Step or Plateau
        The factor of the learning rate for the done part of the run, 0 to 1.
    max_norm, seconds, progress
        As for `run`.
    checkpoint : path-like, optional
        Where the run is written to, whole, after each epoch and when it stops.
    checkpoint_steps : int, optional
        Write it after every so many steps instead of after each epoch.
    resume : bool or path-like
        Go on from this file; True: from `checkpoint`, where that is there, else from the beginning. With
        more `epochs` than before it goes on too, at the learning rates that the schedule has in so many.
    about : mapping, optional
        What must be the same for a run to go on, besides the batches and the options here; for JSON.
    carry : Carry, optional
        What `gradient` hands on from step to step; the checkpoint has it too.
    history : History, optional
        An empty one, which is filled and returned; so it is there after an error, too.

    Returns
    -------
    History
        Of all steps, those before a resumption too.

    Raises
    ------
    FloatingPointError
        The loss, the gradient, the validation loss, or a parameter at the end is not finite.
    OSError
        The checkpoint cannot be written; where that is known beforehand, no step was made.
    ValueError, TypeError
        An argument out of its range; options that need others; a checkpoint of another run.
    fastrnn.io.FileFormatError
        The file to go on from is damaged, or no checkpoint.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import losses, nn, optim, train
    >>> x = np.random.default_rng(0).standard_normal((64, 3))
    >>> linear = nn.Linear(3, 1, dtype=np.float64, rng=0)
    >>> def gradient(rows):
    ...     y, tape = linear.forward(x[rows])
    ...     loss, dy = losses.mse(y, x[rows, :1] - x[rows, 1:2])
    ...     return loss, linear.backward(tape, dy)[1], len(rows)
    >>> batches = train.Buckets(np.ones(64), batch_size=8)
    >>> history = train.fit(linear, optim.Adam(linear, lr=0.05), batches, gradient, epochs=20)
    >>> history.epoch_loss[-1] < 0.001
    True
    """
    epochs = _checks.size(_WHO, "epochs", epochs)
    max_norm = _checks.not_negative(_WHO, "max_norm", max_norm)
    seconds = _checks.not_negative(_WHO, "seconds", seconds)
    resume = False if resume is None else resume
    for name, value in {
        "checkpoint": checkpoint,
        "resume": None if isinstance(resume, bool) else resume,
    }.items():
        if value is not None and not isinstance(value, (str, os.PathLike)):
            raise TypeError(f"{_WHO}: {name} is {_checks.kind(value)}; expected a path")
    schedule = named(_WHO, schedule)
    if patience is not None:
        patience = _checks.size(_WHO, "patience", patience)
    if checkpoint_steps is not None:
        checkpoint_steps = _checks.size(_WHO, "checkpoint_steps", checkpoint_steps)
    for name, given in {"patience": patience is not None, "schedule": isinstance(schedule, Plateau)}.items():
        if given and validate is None:
            what = "patience" if name == "patience" else "schedule='plateau'"
            raise ValueError(f"{_WHO}: {what} looks at the validation loss; give a validation set")
    if checkpoint is None and (checkpoint_steps is not None or resume is True):
        what = "resume=True" if resume is True else "checkpoint_steps"
        raise ValueError(f"{_WHO}: {what} needs a file; give checkpoint=path")

    training = Training(
        network,
        optimizer,
        {
            **batches.about,
            "optimizer": optimizer.options,
            "schedule": described(schedule),
            "max_norm": max_norm,
            "patience": patience,
            "validates": validate is not None,
            **(about or {}),
        },
        carry,
        history,
    )
    history = training.history
    history.steps_per_epoch = len(batches)
    if checkpoint is not None:
        check_ending(checkpoint)
        destination(checkpoint)
    if resume is not False:
        path = checkpoint if resume is True else resume
        assert path is not None
        if resume is not True or os.path.exists(path):
            training.load(path)
    due = checkpoint_steps or len(batches)

    def plan() -> Iterator[Any]:
        """The batches from here on; between them, what is due after a step or an epoch."""
        order: Sequence[Any] = []
        while True:
            epoch, place = divmod(history.steps, len(batches))
            if validate is not None and len(history.validation) < epoch:
                _validate(training, validate, ctrl_c, keep_best=patience is not None)
            if checkpoint is not None and history.steps and history.steps % due == 0:
                with ctrl_c.held():
                    training.save(checkpoint)
            if epoch >= epochs:
                return
            if patience is not None and (why := _out_of_patience(history, patience)):
                history.stopped = why
                return
            if not order or place == 0:
                order = batches.epoch(epoch)
            yield order[place]

    total = epochs * len(batches)
    with interrupts(held=True) as ctrl_c:
        try:
            run(
                network,
                optimizer,
                plan(),
                gradient,
                total=total,
                schedule=schedule,
                max_norm=max_norm,
                seconds=seconds,
                progress=progress,
                history=history,
            )
            if checkpoint is not None:
                training.save(checkpoint)
        finally:
            if training.best:
                network.load_state_dict(training.best)
        if ctrl_c.pending:
            history.interrupt(total)
    return history


def _validate(
    training: Training, validate: Callable[[], tuple[float, float]], ctrl_c: Interrupts, keep_best: bool
) -> None:
    history = training.history
    loss, score = (float(value) for value in validate())
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"training stopped after step {history.steps}: the validation loss is {loss}; look for NaN in "
            f"the validation set, or lower the learning rate ({training.optimizer.lr:g})"
        )
    with ctrl_c.held():
        if keep_best and loss < min(history.validation_loss, default=math.inf):
            training.best = training.network.state_dict()
        history.validation.append((loss, score))


def _out_of_patience(history: History, patience: int) -> str:
    best = history.best_epoch
    if best is None or len(history.validation) - 1 - best < patience:
        return ""
    which = f"none of the last {patience} epochs had a" if patience > 1 else "it had no"
    return (
        f"after epoch {history.epochs}: {which} lower validation loss than epoch {best + 1}, whose "
        "weights are kept"
    )
