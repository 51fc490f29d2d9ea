"""Whole models: a Sequential of the layers around recurrent ones, run in NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from ... import functional, losses, nn
from .._file import FileFormatError
from ._config import HARD_SIGMOID, Entry, shown
from ._find import variables
from ._hdf5 import Tree
from ._layer import KerasLayer

_Mask = np.ndarray | None
_Function = Callable[[np.ndarray], np.ndarray]


def _softsign(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.abs(x))


def _leaky_relu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, x * x.dtype.type(0.2))


def _hard_sigmoid(alpha: float, beta: float, x: np.ndarray) -> np.ndarray:
    return np.clip(x * x.dtype.type(alpha) + x.dtype.type(beta), 0, 1)


_FUNCTIONS: Final[dict[str, _Function]] = {
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
#: What does nothing but in training.
_IDLE = frozenset({
    "InputLayer", "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "AlphaDropout",
    "ActivityRegularization",
})  # fmt: skip


class KerasModel(nn.Module):
    """A Sequential model from a file of Keras; calling it returns what ``model.predict`` does.

    Attributes
    ----------
    stages : list of Module
        The layers that do something in inference, in order. Recurrent ones are `KerasLayer`.
    """

    def __init__(self, stages: list[nn.Module]) -> None:
        self.stages = stages

    def __call__(self, x: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Return the output for x: ids (B, T) where the model begins with Embedding, else (B, T, I).

        Masks are made by Embedding with ``mask_zero`` and by Masking, and go as far as in Keras.
        """
        for stage in self.stages:
            x, mask = self._through(stage, x, mask)
        return x

    @staticmethod
    def _through(stage: nn.Module, x: np.ndarray, mask: _Mask) -> tuple[np.ndarray, _Mask]:
        if isinstance(stage, KerasLayer):
            return stage(x, mask=mask), mask if stage.return_sequences else None
        made = stage.mask(x) if isinstance(stage, (_Embedding, _Masking)) else None
        return stage(x), mask if made is None else made  # type: ignore[operator]

    def reset_state(self) -> None:
        """Let the next call of all stateful layers begin at 0."""
        for stage in self.stages:
            if isinstance(stage, KerasLayer):
                stage.reset_state()


class _Embedding(nn.Module):
    def __init__(self, table: np.ndarray, mask_zero: bool) -> None:
        self.table = nn.Embedding(*table.shape, dtype=np.result_type(table, np.float32))
        self.table.load_state_dict({"weight": table})
        self.mask_zero = mask_zero

    def mask(self, ids: np.ndarray) -> _Mask:
        return np.asarray(ids) != 0 if self.mask_zero else None

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        return self.table(ids)


class _Masking(nn.Module):
    """Mask the steps of which all features have a value, and make them 0."""

    def __init__(self, value: float) -> None:
        self.value = value

    def mask(self, x: np.ndarray) -> np.ndarray:
        return np.any(np.asarray(x) != self.value, axis=-1)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x)
        return x * self.mask(x)[..., None].astype(x.dtype)


class _Dense(nn.Module):
    def __init__(self, kernel: np.ndarray, bias: np.ndarray | None, function: _Function) -> None:
        dtype = np.result_type(kernel, np.float32)
        inputs, outputs = kernel.shape
        self.linear = nn.Linear(inputs, outputs, bias=bias is not None, dtype=dtype)
        self.linear.load_state_dict({"weight": kernel.T} | ({} if bias is None else {"bias": bias}))
        self.function = function

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.function(self.linear(x))


class _Activation(nn.Module):
    def __init__(self, function: _Function) -> None:
        self.function = function

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.function(np.asarray(x))


def stages(
    tree: Tree, entries: list[Entry], recurrent: dict[str, KerasLayer], version: int | None
) -> Iterator[nn.Module]:
    """Make the stages of a model.

    Raises
    ------
    FileFormatError
        A layer is of a class that is not known here.
    """
    for entry in entries:
        config, who = entry.config, f"layer {entry.name!r}"
        if entry.name in recurrent:
            layer = recurrent[entry.name]
            if layer.return_state or (layer.merge_mode is None and entry.kind == "Bidirectional"):
                raise FileFormatError(
                    f"{who} returns several arrays; expected one, as Sequential models need"
                )
            yield layer
        elif entry.kind == "Embedding":
            (table,) = _weights(
                tree, entry, ("embeddings",), (config.get("input_dim"), config.get("output_dim"))
            )
            yield _Embedding(table, config.get("mask_zero") is True)
        elif entry.kind == "Masking":
            value = config.get("mask_value", 0.0)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
                raise FileFormatError(f"{who}: mask_value is {str(value)[:80]}; expected a finite number")
            yield _Masking(float(value))
        elif entry.kind == "Dense":
            function = _function(who, config.get("activation"), version)
            roles = ("kernel", "bias") if config.get("use_bias", True) else ("kernel",)
            kernel, *bias = _weights(tree, entry, roles, (None, config.get("units")))
            yield _Dense(kernel, bias[0] if bias else None, function)
        elif entry.kind == "Activation":
            yield _Activation(_function(who, config.get("activation"), version))
        elif entry.kind not in _IDLE:
            raise FileFormatError(
                f"{who} is a {entry.kind or 'class that is not of Keras'}, which load_model does not run; "
                "take the recurrent layers by load, and the arrays of the others from its weights"
            )


def _weights(tree: Tree, entry: Entry, roles: tuple[str, ...], shape: tuple[Any, Any]) -> list[np.ndarray]:
    """The arrays of a layer with a matrix and perhaps a bias, checked; a None in `shape` is any number."""
    matrix, *bias = arrays = list(variables(tree, entry, roles).values())
    fits = matrix.ndim == 2 and all(w in (None, n) and n for w, n in zip(shape, matrix.shape, strict=True))
    if not fits or any(b.shape != matrix.shape[1:] for b in bias) or any(a.dtype.kind != "f" for a in arrays):
        raise FileFormatError(
            f"layer {entry.name!r}: {', '.join(f'{a.shape} of {a.dtype}' for a in arrays)}; expected floats, "
            f"{' and '.join(roles)}, the first of shape {shape}"
        )
    return arrays


def _function(who: str, value: Any, version: int | None) -> _Function:
    if value == "hard_sigmoid" and version in HARD_SIGMOID:
        _, alpha, beta = HARD_SIGMOID[version]
        return functools.partial(_hard_sigmoid, alpha, beta)
    known = "linear" if value is None else value
    if not isinstance(known, str) or known not in _FUNCTIONS:
        raise FileFormatError(
            f"{who}: activation is {shown(value)}; expected one of {', '.join(map(repr, _FUNCTIONS))}"
        )
    return _FUNCTIONS[known]
