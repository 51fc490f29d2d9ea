"""The options of ``fastrnn train`` and those of the models that they stand for."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import math
import re
from collections.abc import Iterator
from typing import Any

from ._arguments import did_you_mean
from ._models import TASKS

__all__ = ["CLASSES", "as_given", "defaults", "fit_options", "model_options"]

#: The class of each task.
CLASSES = {task: name for name, task in TASKS.items()}
_SEQUENCES = ("classifier", "tagger", "regressor")
#: Options of the models: the argument's name -> the model's, and the tasks that have it.
_MODEL = {
    "hidden": ("hidden_size", tuple(CLASSES)),
    "layers": ("num_layers", tuple(CLASSES)),
    "embedding": ("embedding_size", tuple(CLASSES)),
    "dropout": ("dropout", tuple(CLASSES)),
    "forget_bias": ("init", tuple(CLASSES)),
    "seed": ("seed", tuple(CLASSES)),
    "min_count": ("min_count", tuple(CLASSES)),
    "lowercase": ("lowercase", tuple(CLASSES)),
    "bidirectional": ("bidirectional", (*_SEQUENCES, "language-model")),
    "inputs": ("inputs", (*_SEQUENCES, "translator")),
    "outputs": ("outputs", ("translator",)),
    "pool": ("pool", ("classifier", "regressor")),
    "horizon": ("horizon", ("regressor",)),
    "window": ("window", ("regressor",)),
    "unit": ("unit", ("language-model",)),
    "tied": ("tied", ("language-model",)),
}
#: Options of ``fit``.
_FIT = {
    "epochs": "epochs",
    "batch": "batch_size",
    "lr": "lr",
    "schedule": "schedule",
    "max_norm": "max_norm",
    "patience": "patience",
    "seconds": "seconds",
    "checkpoint": "checkpoint",
}


def model_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the constructor of the model takes, of what was given."""
    options: dict[str, Any] = {}
    for given, (name, tasks) in _MODEL.items():
        value = getattr(arguments, given)
        if value is None:
            continue
        if arguments.task not in tasks:
            raise ValueError(f"{_flag(given)} is for --task {', '.join(tasks)}; this one is {arguments.task}")
        options[name] = {given: value} if name == "init" else value
    if arguments.sentences and arguments.task != "language-model":
        raise ValueError(f"--sentences is for --task language-model; this one is {arguments.task}")
    if arguments.cell is not None:
        options["cell"] = _cell(arguments.cell)
    if arguments.forget_bias is not None:
        _check_forget_bias(options)
    return options


def fit_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What ``fit`` takes, of what was given."""
    options = {name: getattr(arguments, given) for given, name in _FIT.items()}
    return {name: value for name, value in options.items() if value is not None}


@contextlib.contextmanager
def as_given() -> Iterator[None]:
    """Let errors of the library name its options as the command line does."""
    try:
        yield
    except (ValueError, TypeError) as error:
        said = str(error)
        names = {name: given for given, name in _FIT.items()} | {n: given for given, (n, _) in _MODEL.items()}
        for name, given in names.items():
            said = re.sub(rf"\b{name}=", f"{_flag(given)} ", said)
            if "_" in name:  # others are words too
                said = re.sub(rf"\b{name}\b", _flag(given), said)
        raise ValueError(said) from error


def defaults(parser: argparse.ArgumentParser) -> None:
    """Complete the help: what holds if an option is not given is said by the models themselves."""
    from .. import models

    found: dict[str, dict[str, Any]] = {}  # option -> task -> value
    for task, kind in CLASSES.items():
        make = getattr(models, kind)
        model, fit = make(), inspect.signature(make.fit).parameters
        found.setdefault("cell", {})[task] = type(model.cell).__name__.lower()
        for given, (name, tasks) in _MODEL.items():
            if task in tasks:
                found.setdefault(given, {})[task] = getattr(model, name)
        for given, name in _FIT.items():
            found.setdefault(given, {})[task] = fit[name].default
    for action in parser._actions:
        values = found.get(action.dest, {})
        if said := _said({task: value for task, value in values.items() if _is_told(value)}):
            action.help = f"{action.help or ''} (default: {said})".strip()


def _is_told(value: Any) -> bool:
    return not (value is None or isinstance(value, bool) or value == math.inf)


def _said(values: dict[str, Any]) -> str:
    """The value of most tasks, then those of others."""
    if not values:
        return ""
    usual = max(values.values(), key=list(values.values()).count)
    others = [f"{value} of {task}" for task, value in values.items() if value != usual]
    return ", ".join([str(usual), *others])


def _flag(given: str) -> str:
    return f"--{given.replace('_', '-')}"


def _cell(name: str) -> Any:
    from .. import cells

    found = {kind.lower(): make for kind, make in cells.kinds().items()}
    if name.lower() not in found:
        hint = did_you_mean(name.lower(), found)
        raise ValueError(f"--cell is {name!r}; expected one of {', '.join(found)}{hint}")
    return found[name.lower()]()


def _check_forget_bias(options: dict[str, Any]) -> None:
    """Refuse it for a cell of which the layers would."""
    from .. import cells, nn

    cell = options.get("cell", cells.GRU())
    try:
        nn.Recurrent(cell, 1, 1, init=options["init"])
    except ValueError:
        kind = type(cell).__name__.lower()
        raise ValueError(f"--forget-bias is of --cell lstm; this one is {kind}") from None
