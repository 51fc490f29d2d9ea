"""Whole models that are one chain of layers, run in NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np

from ... import functional, losses, nn
from .._file import FileFormatError
from . import _stages
from ._config import HARD_SIGMOID, Entry, inside, shown
from ._find import variables
from ._hdf5 import Tree
from ._layer import KerasLayer
from ._stages import Function, Stage


def _softsign(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.abs(x))


def _leaky_relu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, x * x.dtype.type(0.2))


def _hard_sigmoid(alpha: float, beta: float, x: np.ndarray) -> np.ndarray:
    return np.clip(x * x.dtype.type(alpha) + x.dtype.type(beta), 0, 1)


_FUNCTIONS: Final[dict[str, Function]] = {
    "linear": np.asarray,
    "relu": functools.partial(np.maximum, 0),
    "sigmoid": functional.sigmoid,
    "tanh": functional.tanh,
    "softmax": losses.softmax,
    "elu": functional.elu,
    "softplus": functional.softplus,
    "softsign": _softsign,
    "leaky_relu": _leaky_relu,
    "exponential": functional.exp,
}


class KerasModel(nn.Module):
    """A model from a file of Keras, one chain of layers; calling it returns what ``model.predict`` does.

    Attributes
    ----------
    stages : list of Module
        The layers that do something in inference, in order. Recurrent ones are `KerasLayer`.
    """

    def __init__(self, stages: list[KerasLayer | Stage]) -> None:
        self.stages = stages

    def __call__(self, x: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Return the output for x: ids (B, T) where the model begins with Embedding, else (B, T, I).

        Masks are made by Embedding with ``mask_zero`` and by Masking, and go as far as in Keras.
        """
        for stage in self.stages:
            if isinstance(stage, KerasLayer):
                x, mask = stage(x, mask=mask), mask if stage.return_sequences else None
            else:
                x, mask = stage(x, mask), stage.passed(x, mask)
        return x

    def reset_state(self) -> None:
        """Let the next call of all stateful layers begin at 0."""
        for stage in self.stages:
            if isinstance(stage, KerasLayer):
                stage.reset_state()


def stages(
    tree: Tree, entries: list[Entry], recurrent: dict[str, KerasLayer], version: int | None
) -> Iterator[KerasLayer | Stage]:
    """Make the stages of a model.

    Raises
    ------
    FileFormatError
        A layer is of a class that is not known here.
    """
    for entry in entries:
        if entry.name in recurrent:
            layer = recurrent[entry.name]
            if layer.return_state or (layer.merge_mode is None and entry.kind == "Bidirectional"):
                raise FileFormatError(
                    f"layer {entry.name!r} returns several arrays; expected one, as chains of layers need"
                )
            yield layer
        elif entry.kind in _STAGES:
            yield _STAGES[entry.kind](_Source(tree, entry, version))
        elif entry.kind not in _IDLE:
            raise _not_run(entry.name, entry.kind)


def _not_run(name: str, kind: str) -> FileFormatError:
    return FileFormatError(
        f"layer {name!r} is a {kind or 'class that is not of Keras'}, which load_model does not run; take "
        "the recurrent layers by load, and the arrays of the others from its weights"
    )


class _Source:
    """A layer of the file: its configuration and its arrays, each checked as it is taken."""

    def __init__(self, tree: Tree, entry: Entry, version: int | None, inside: str = "") -> None:
        self.tree, self.entry, self.version, self.inside = tree, entry, version, inside
        self.who = f"layer {entry.name!r}"

    def get(self, key: str, default: Any = None) -> Any:
        return self.entry.config.get(key, default)

    def flag(self, key: str, default: bool) -> bool:
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise FileFormatError(f"{self.who}: {key} is {shown(value)}; expected True or False")
        return value

    def number(self, key: str, default: float) -> float:
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
            raise FileFormatError(f"{self.who}: {key} is {shown(value)}; expected a finite number")
        return float(value)

    def only(self, key: str, *expected: Any) -> None:
        """Refuse an option that is none of the expected ones, of which the first is the default."""
        if self.get(key, expected[0]) not in expected:
            raise FileFormatError(f"{self.who}: {key} is {shown(self.get(key))}; expected {expected[0]!r}")

    def function(self) -> Function:
        return _function(self.who, self.get("activation"), self.version)

    def arrays(self, *roles: str) -> dict[str, np.ndarray]:
        found = variables(self.tree, self.entry, roles, self.inside)
        for role, array in found.items():
            if array.dtype.kind != "f":
                raise FileFormatError(f"{self.who}: {role} has dtype {array.dtype}; expected floats")
        return found

    def matrix(self, roles: tuple[str, ...], shape: tuple[Any, Any]) -> list[np.ndarray]:
        """A matrix and perhaps a bias; a None in `shape` is any number."""
        matrix, *bias = arrays = list(self.arrays(*roles).values())
        fits = matrix.ndim == 2 and all(
            w in (None, n) and n for w, n in zip(shape, matrix.shape, strict=True)
        )
        if not fits or any(b.shape != matrix.shape[1:] for b in bias):
            raise FileFormatError(
                f"{self.who}: {', '.join(str(a.shape) for a in arrays)}; expected {' and '.join(roles)}, the "
                f"first of shape {shape}"
            )
        return arrays

    def vectors(self, *roles: str) -> dict[str, np.ndarray]:
        """Vectors of one size."""
        found = self.arrays(*roles) if roles else {}
        shapes = {array.shape for array in found.values()}
        if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
            shown_ = ", ".join(f"{role} {array.shape}" for role, array in found.items())
            raise FileFormatError(f"{self.who}: {shown_}; expected vectors of one size")
        return found


def _embedding(source: _Source) -> Stage:
    (table,) = source.matrix(("embeddings",), (source.get("input_dim"), source.get("output_dim")))
    return _stages.Embedding(table, source.get("mask_zero") is True)


def _dense(source: _Source) -> Stage:
    roles = ("kernel", "bias") if source.flag("use_bias", True) else ("kernel",)
    kernel, *bias = source.matrix(roles, (None, source.get("units")))
    return _stages.Dense(kernel, bias[0] if bias else None, source.function())


def _time_distributed(source: _Source) -> Stage:
    """A layer at every step: of those that work on the last axis, the layer itself."""
    kind, config = inside(source.get("layer"))
    if kind in _IDLE:
        return _stages.Activation(np.asarray)
    if kind not in ("Dense", "Activation"):
        raise _not_run(source.entry.name, f"TimeDistributed({kind or 'class that is not of Keras'})")
    entry = replace(source.entry, kind=kind, config=config)
    return _STAGES[kind](_Source(source.tree, entry, source.version, "layer"))


def _batch_normalization(source: _Source) -> Stage:
    source.only("axis", -1, 2, [2], [-1])
    scale, center = source.flag("scale", True), source.flag("center", True)
    roles = ["gamma"] * scale + ["beta"] * center + ["moving_mean", "moving_variance"]
    found = source.vectors(*roles)
    factor = 1 / np.sqrt(found["moving_variance"] + np.float32(source.number("epsilon", 1e-3)))
    factor = factor * found["gamma"] if scale else factor
    shift = -found["moving_mean"] * factor
    return _stages.Scale(factor, shift + found["beta"] if center else shift)


def _layer_normalization(source: _Source) -> Stage:
    source.only("axis", -1, 2, [2], [-1])
    source.only("rms_scaling", False)
    roles = ["gamma"] * source.flag("scale", True) + ["beta"] * source.flag("center", True)
    found = source.vectors(*roles)
    return _stages.LayerNormalization(found.get("gamma"), found.get("beta"), source.number("epsilon", 1e-3))


def _average(source: _Source) -> Stage:
    source.only("data_format", "channels_last")
    return _stages.Average(source.flag("keepdims", False))


def _largest(source: _Source) -> Stage:
    source.only("data_format", "channels_last")
    return _stages.Largest(source.flag("keepdims", False))


def _repeat(source: _Source) -> Stage:
    n = source.get("n")
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n < 1 << 31:
        raise FileFormatError(f"{source.who}: n is {shown(n)}; expected a positive integer")
    return _stages.Repeat(n)


def _flatten(source: _Source) -> Stage:
    source.only("data_format", "channels_last")
    return _stages.Flatten()


_STAGES: Final[dict[str, Callable[[_Source], Stage]]] = {
    "Embedding": _embedding,
    "Masking": lambda source: _stages.Masking(source.number("mask_value", 0.0)),
    "Dense": _dense,
    "TimeDistributed": _time_distributed,
    "Activation": lambda source: _stages.Activation(source.function()),
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "GlobalAveragePooling1D": _average,
    "GlobalMaxPooling1D": _largest,
    "RepeatVector": _repeat,
    "Flatten": _flatten,
}
#: What does nothing but in training.
_IDLE = frozenset({
    "InputLayer", "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "AlphaDropout",
    "ActivityRegularization",
})  # fmt: skip


def _function(who: str, value: Any, version: int | None) -> Function:
    if value == "hard_sigmoid" and version in HARD_SIGMOID:
        _, alpha, beta = HARD_SIGMOID[version]
        return functools.partial(_hard_sigmoid, alpha, beta)
    known = "linear" if value is None else value
    if not isinstance(known, str) or known not in _FUNCTIONS:
        raise FileFormatError(
            f"{who}: activation is {shown(value)}; expected one of {', '.join(map(repr, _FUNCTIONS))}"
        )
    return _FUNCTIONS[known]
