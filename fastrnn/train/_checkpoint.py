"""Checkpoints: all that the next step of a run depends on, in one file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _checks, io
from ..nn import Module
from ..optim import Optimizer
from ._carry import Carry
from ._draws import Draws
from .history import History

__all__ = ["OtherRunError", "Training"]

_VERSION = 1
_BY_STEP = ("loss", "norm", "lr", "seconds")

#: What tells of the data, and not of an option.
_DATA = ("data", "sequences", "lengths", "count")


class OtherRunError(ValueError):
    """A checkpoint is one of another run.

    Attributes
    ----------
    said : str
        What the other run had, without the remedy.
    """

    def __init__(self, said: str) -> None:
        self.said = said
        super().__init__(
            f"resume: {said}; give the same data and options, or begin anew with resume=False or another file"
        )


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
        self,
        network: Module,
        optimizer: Optimizer,
        about: Mapping[str, Any],
        carry: Carry | None = None,
        history: History | None = None,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.about = json.loads(json.dumps({"lr": optimizer.lr, **about}))
        self.carry = Carry() if carry is None else carry
        self.draws = Draws(network)
        self.history = History() if history is None else history
        self.best: dict[str, np.ndarray] = {}
        self._saved: tuple[str, int, int] | None = None
        self._lr = optimizer.lr  # that of the schedule is of the step

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all, where there is something new."""
        history, now = self.history, self._now(path)
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
        meta = {
            "tokens": history.tokens,
            "steps_per_epoch": history.steps_per_epoch,
            "generators": self.draws.state,
            "about": self.about,
            "shapes": _shapes(arrays),
        }
        io.save(path, arrays, kind="checkpoint", version=_VERSION, **meta)
        self._saved = now

    def _now(self, path: str | os.PathLike[str]) -> tuple[str, int, int]:
        return os.path.realpath(path), self.history.steps, len(self.history.validation)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from a file that `save` wrote.

        Raises
        ------
        fastrnn.io.FileFormatError
            It is no checkpoint, or damaged; nothing was changed.
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
        self._check_about(given, meta.get("about"))
        before = self.network.state_dict(), self.optimizer.state_dict(), self.draws.state
        try:
            _check_whole(arrays, meta["shapes"])
            by_step = {name: _numbers(arrays, name).tolist() for name in _BY_STEP}
            validation = [(loss, score) for loss, score in _numbers(arrays, "validation", 2).tolist()]
            self._check_counts([len(values) for values in by_step.values()], len(validation))
            tokens, best = _checks.size("checkpoint", "tokens", meta["tokens"], 0), _part(arrays, "best.")
            if best:
                best = self.network.check_grads(best, what="best")
            self.network.load_state_dict(_part(arrays, "network."))
            self.optimizer.load_state_dict(_part(arrays, "optimizer."))
            if self.optimizer.steps < len(by_step["loss"]):  # it may have made some before the run
                raise ValueError(
                    f"optimizer.steps is {self.optimizer.steps} after {len(by_step['loss'])} steps"
                )
            self.draws.state = meta["generators"]
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
            self.network.load_state_dict(before[0])
            self.optimizer.load_state_dict(before[1])
            self.draws.state = before[2]
            raise io.FileFormatError(f"{given}: not a whole checkpoint of this network: {error}") from error
        history = self.history
        for name, values in by_step.items():
            setattr(history, name, values)
        history.validation, history.tokens = validation, tokens
        self.best = best
        self.carry.load(history.steps, _part(arrays, "carry."))
        self._saved = self._now(path)

    def _check_about(self, path: str, about: Any) -> None:
        if not isinstance(about, dict):
            raise io.FileFormatError(f"{path}: it does not tell of what run it is")
        differing = _differing(about, self.about)
        if options := [each for each in differing if each[0] not in _DATA]:
            parts = (_difference(*each) for each in options)  # by which the data may be read otherwise
            raise OtherRunError(f"the run of {path} had {', and '.join(parts)}")
        if differing:
            raise OtherRunError(f"the run of {path} had other data: the data has changed")

    def _check_counts(self, steps: list[int], validations: int) -> None:
        """Refuse a history that no run has: of other numbers of steps, or of validations."""
        if len(set(steps)) > 1:
            raise ValueError(f"of each step there are {steps}")
        epochs = steps[0] // self.history.steps_per_epoch
        least = max(epochs - 1, 0) if self.about["validates"] else 0  # the last may have been interrupted
        if not least <= validations <= epochs:
            raise ValueError(f"there are {validations} validations of {_checks.plural(epochs, 'epoch')}")


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Names of what differs, with both values; of two cells of one kind, of their options."""
    found = []
    for name in {**now, **before}:
        was, value = before.get(name), now.get(name)
        if was == value:
            continue
        if not (isinstance(was, dict) and isinstance(value, dict)):
            found.append((name, was, value))
        elif was.get("name") == value.get("name"):
            found += [(f"{name}.{key}", a, b) for key, a, b in _differing(was, value)]
        else:
            found.append((name, was.get("name"), value.get("name")))
    return found


def _difference(name: str, was: Any, now: Any) -> str:
    if isinstance(was, list) or isinstance(now, list):  # a schedule, by its values
        return f"another {name}"
    return f"{name}={was!r}, this one has {now!r}"


def _shapes(arrays: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    return {name: list(array.shape) for name, array in arrays.items()}


def _check_whole(arrays: Mapping[str, np.ndarray], written: Mapping[str, list[int]]) -> None:
    """Refuse arrays that are not those that were written, or that no run goes on from."""
    there = _shapes(arrays)
    wrong = sorted(name for name in {*there, *written} if there.get(name) != written.get(name))
    if wrong:
        raise ValueError(f"missing, or not as written: {', '.join(_checks.first_few(wrong))}")
    for name, array in arrays.items():
        # A sum of squares may overflow, and a score be undefined, while the run goes on.
        numbers = array[:, 0] if name == "history.validation" else array
        fault = np.isnan(numbers) if name.startswith("optimizer.") else ~np.isfinite(numbers)
        if fault.any():
            raise ValueError(f"{name} has {numbers[fault][0]}")


def _numbers(arrays: Mapping[str, np.ndarray], name: str, *width: int) -> np.ndarray:
    """Numbers of the history, (N, *width)."""
    array = arrays[f"history.{name}"]
    if array.dtype.kind != "f" or array.shape[1:] != width or not array.ndim:
        raise ValueError(f"history.{name} is {array.dtype} of shape {array.shape}")
    return array


def _prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: value for name, value in arrays.items()}


def _part(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
