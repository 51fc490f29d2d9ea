"""What happened in a run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .._checks import plural

__all__ = ["History"]


@dataclass(repr=False)
class History:
    """What happened in a run, step by step, and after each epoch where there are epochs.

    To plot it: ``plt.plot(history.loss)``, ``plt.plot(history.epoch_ends, history.validation_loss)``.

    Attributes
    ----------
    loss : list of float
        The mean loss of each step's batch, before its update.
    norm : list of float
        The norm of each step's gradients, before clipping.
    lr : list of float
    seconds : list of float
        From the start of the run to the end of each step; without the time between a stop and its resumption.
    validation : list of (float, float)
        Loss and score on the validation set after each epoch.
    steps_per_epoch : int
        0 where there are no epochs.
    tokens : int
        How many targets were trained on.
    counts : str
        What the targets are: "characters", "sequences".
    measure : str
        What the score on the validation set is.
    stopped : str
        Empty when every step was made; else why not.
    interrupted : bool
        Whether Ctrl-C came, be it when the last step was made.

    Examples
    --------
    >>> history = History([3.0, 2.0, 2.0, 1.0], validation=[(2.5, 0.5), (1.5, 0.8)], steps_per_epoch=2)
    >>> history.epoch_loss, history.validation_loss, history.epoch_ends
    ([2.5, 1.5], [2.5, 1.5], [2, 4])
    >>> history
    History: 2 epochs; 4 steps; loss 1.5; best validation loss 1.5, score 0.8, after epoch 2
    """

    loss: list[float] = field(default_factory=list)
    norm: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    validation: list[tuple[float, float]] = field(default_factory=list)
    steps_per_epoch: int = 0
    tokens: int = 0
    counts: str = "targets"
    measure: str = "score"
    stopped: str = ""
    interrupted: bool = False

    def __repr__(self) -> str:
        """What happened, in a line."""
        parts = [f"{plural(self.steps, 'step')}"]
        if self.steps_per_epoch:
            parts.insert(0, plural(self.epochs, "epoch"))
        if self.loss:
            parts.append(f"loss {(self.epoch_loss or self.loss)[-1]:.4g}")
        best = self.best_epoch
        if best is not None:
            loss, score = self.validation[best]
            parts.append(
                f"best validation loss {loss:.4g}, {self.measure} {score:.4g}, after epoch {best + 1}"
            )
        if self.stopped:
            parts.append(f"stopped: {self.stopped}")
        return f"History: {'; '.join(parts)}"

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return len(self.loss)

    def interrupt(self, total: int) -> None:
        """Write down that Ctrl-C came in a run of so many steps, besides what stopped it before."""
        why = f"interrupted after step {self.steps} of {total}"
        self.stopped = f"{self.stopped}; {why}" if self.stopped else why
        self.interrupted = True

    @property
    def tokens_per_second(self) -> float:
        """Targets trained on in a second."""
        return self.tokens / self.seconds[-1] if self.seconds else 0.0

    @property
    def epochs(self) -> int:
        """How many whole epochs were made."""
        return self.steps // self.steps_per_epoch if self.steps_per_epoch else 0

    @property
    def epoch_ends(self) -> list[int]:
        """The number of steps at the end of each whole epoch."""
        return [self.steps_per_epoch * (k + 1) for k in range(self.epochs)]

    @property
    def epoch_loss(self) -> list[float]:
        """The mean of the losses of each whole epoch's steps."""
        whole = self.loss[: self.epochs * self.steps_per_epoch]
        return np.reshape(whole, (self.epochs, -1)).mean(1).tolist() if whole else []

    @property
    def validation_loss(self) -> list[float]:
        """The loss on the validation set after each epoch."""
        return [loss for loss, _ in self.validation]

    @property
    def validation_score(self) -> list[float]:
        """The score on the validation set after each epoch: what the model's ``score`` returns."""
        return [score for _, score in self.validation]

    @property
    def best_epoch(self) -> int | None:
        """The epoch, from 0, after which the validation loss was least; None before the first."""
        losses = self.validation_loss
        return losses.index(min(losses)) if losses else None
