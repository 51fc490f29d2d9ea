"""Checkpoints: all that the next step of a run depends on, in one file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import io
from ..nn import Module
from ..optim import Optimizer
from ._carry import Carry
from ._draws import Draws
from .history import History

__all__ = ["Training"]

_VERSION = 1
_BY_STEP = ("loss", "norm", "lr", "seconds")


class Training:
    """A run as it stands: weights, optimiser, generators, history, and the best weights so far.

    The place in the order of the data is the number of steps in the history, since `Buckets` finds every
    epoch's order again; so are the states of a `Plateau` and of early stopping, which follow from the losses.

    Parameters
    ----------
    network, optimizer
        Written to by `load`.
    about : mapping
        What must be the same in a run that goes on from a checkpoint, for JSON.
    carry : Carry
        What the next step begins with, besides weights.
    """

    def __init__(
        self, network: Module, optimizer: Optimizer, about: Mapping[str, Any], carry: Carry | None = None
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.about = json.loads(json.dumps({"lr": optimizer.lr, **about}))
        self.carry = Carry() if carry is None else carry
        self.draws = Draws(network)
        self.history = History()
        self.best: dict[str, np.ndarray] = {}
        self._saved: tuple[int, int] | None = None
        self._lr = optimizer.lr  # that of the schedule is of the step

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all, where there is something new."""
        history = self.history
        now = history.steps, len(history.validation)
        if now == self._saved:
            return
        arrays: dict[str, Any] = {
            **_prefixed("network.", self.network.state_dict()),
            **_prefixed("optimizer.", {**self.optimizer.state_dict(), "lr": np.array(self._lr)}),
            **_prefixed("best.", self.best),
            **_prefixed("carry.", self.carry.before(history.steps)),
            **{f"history.{name}": np.array(getattr(history, name), np.float64) for name in _BY_STEP},
            "history.validation": np.array(history.validation, np.float64).reshape(-1, 2),
        }
        meta = {"tokens": history.tokens, "generators": self.draws.state, "about": self.about}
        io.save(path, arrays, kind="checkpoint", version=_VERSION, **meta)
        self._saved = now

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from a file that `save` wrote.

        Raises
        ------
        fastrnn.io.FileFormatError
            It is no checkpoint, or damaged.
        ValueError
            It is one of another run: of other data, sizes or options.
        """
        given = os.fspath(path)
        arrays, meta = io.load(path)
        if meta.get("kind") != "checkpoint" or meta.get("version") != _VERSION:
            raise io.FileFormatError(
                f"{given}: it holds {meta.get('kind', 'arrays')!r} of version {meta.get('version')!r}; "
                f"expected a checkpoint of version {_VERSION}"
            )
        try:
            self._check_about(given, meta["about"])
            history = History(
                **{name: arrays[f"history.{name}"].tolist() for name in _BY_STEP},
                validation=[(loss, score) for loss, score in arrays["history.validation"].tolist()],
                steps_per_epoch=self.history.steps_per_epoch,
                tokens=int(meta["tokens"]),
            )
            self.network.load_state_dict(_part(arrays, "network."))
            self.optimizer.load_state_dict(_part(arrays, "optimizer."))
            self.best = _part(arrays, "best.")
            self.draws.state = meta["generators"]
            self.carry.load(history.steps, _part(arrays, "carry."))
        except (KeyError, TypeError, AttributeError) as error:
            raise io.FileFormatError(f"{given}: not a whole checkpoint: {error!r}") from error
        self.history = history
        self._saved = history.steps, len(history.validation)

    def _check_about(self, path: str, about: Mapping[str, Any]) -> None:
        for name, now in self.about.items():
            if about.get(name) != now:
                raise ValueError(
                    f"resume: the run of {path} had {name}={about.get(name)!r}, this one has {now!r}; give "
                    "the same data and options, or begin anew with resume=False"
                )


def _prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: value for name, value in arrays.items()}


def _part(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
