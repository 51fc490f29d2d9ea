"""The layers around recurrent ones, in NumPy: inference, with Keras's masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ... import nn

Mask = np.ndarray | None
Function = Callable[[np.ndarray], np.ndarray]


class Stage(nn.Module):
    """A layer of a model that is not recurrent: calling it takes x and the mask that came with it."""

    def __call__(self, x: np.ndarray, mask: Mask = None) -> np.ndarray:
        raise NotImplementedError

    def passed(self, x: np.ndarray, mask: Mask) -> Mask:
        """The mask that goes on to the next layer, of what came with x."""
        return mask


class Unmasked(Stage):
    """A layer after which there is no mask, as there are no steps."""

    def passed(self, x: np.ndarray, mask: Mask) -> Mask:
        return None


class Embedding(Stage):
    def __init__(self, table: np.ndarray, mask_zero: bool) -> None:
        self.table = nn.Embedding(*table.shape, dtype=np.result_type(table, np.float32))
        self.table.load_state_dict({"weight": table})
        self.mask_zero = mask_zero

    def passed(self, x: np.ndarray, mask: Mask) -> Mask:
        return np.asarray(x) != 0 if self.mask_zero else mask

    def __call__(self, x: np.ndarray, mask: Mask = None) -> np.ndarray:
        return self.table(x)


class Masking(Stage):
    """Mask the steps of which all features have a value, and make them 0."""

    def __init__(self, value: float) -> None:
        self.value = value

    def passed(self, x: np.ndarray, mask: Mask) -> Mask:
        return np.any(np.asarray(x) != self.value, axis=-1)

    def __call__(self, x: np.ndarray, mask: Mask = None) -> np.ndarray:
        x = np.asarray(x)
        return x * np.any(x != self.value, axis=-1, keepdims=True).astype(x.dtype)


class Dense(Stage):
    def __init__(self, kernel: np.ndarray, bias: np.ndarray | None, function: Function) -> None:
        dtype = np.result_type(kernel, np.float32)
        inputs, outputs = kernel.shape
        self.linear = nn.Linear(inputs, outputs, bias=bias is not None, dtype=dtype)
        self.linear.load_state_dict({"weight": kernel.T} | ({} if bias is None else {"bias": bias}))
        self.function = function

    def __call__(self, x: np.ndarray, mask: Mask = None) -> np.ndarray:
        return self.function(self.linear(x))


class Activation(Stage):
    def __init__(self, function: Function) -> None:
        self.function = function

    def __call__(self, x: np.ndarray, mask: Mask = None) -> np.ndarray:
        return self.function(np.asarray(x))


class Scale(Stage):
    """Batch normalisation in inference: ``x * scale + shift``, feature by feature."""

    def __init__(self, scale: np.ndarray, shift: np.ndarray) -> None:
        self.scale, self.shift = scale, shift

    def __call__(self, x: np.ndarray, mask: Mask = None) -> np.ndarray:
        return np.asarray(x) * self.scale + self.shift


class LayerNormalization(Stage):
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` over the features."""

    def __init__(self, gamma: np.ndarray | None, beta: np.ndarray | None, epsilon: float) -> None:
        self.gamma, self.beta, self.epsilon = gamma, beta, epsilon

    def __call__(self, x: np.ndarray, mask: Mask = None) -> np.ndarray:
        x = np.asarray(x)
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        y = centred / np.sqrt(variance + x.dtype.type(self.epsilon))
        y = y if self.gamma is None else y * self.gamma
        return y if self.beta is None else y + self.beta


class Average(Unmasked):
    """The mean over the steps that count: NaN, as in Keras, where none does."""

    def __init__(self, keepdims: bool) -> None:
        self.keepdims = keepdims

    def __call__(self, x: np.ndarray, mask: Mask = None) -> np.ndarray:
        x = np.asarray(x)
        counts = np.ones_like(x[..., :1]) if mask is None else np.asarray(mask)[..., None].astype(x.dtype)
        total = np.zeros((len(x), 1, x.shape[2]), x.dtype)
        for step in range(x.shape[1]):  # in order, so that neither padding nor layout changes bits
            total += (x[:, step] * counts[:, step])[:, None]
        with np.errstate(invalid="ignore"):
            mean = total / counts.sum(1, keepdims=True)
        return mean if self.keepdims else mean[:, 0]


class Largest(Unmasked):
    """The largest over all steps, masked ones included, as Keras has it."""

    def __init__(self, keepdims: bool) -> None:
        self.keepdims = keepdims

    def __call__(self, x: np.ndarray, mask: Mask = None) -> np.ndarray:
        return np.asarray(x).max(axis=1, keepdims=self.keepdims)


class Repeat(Unmasked):
    """(B, I) -> (B, n, I)"""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, x: np.ndarray, mask: Mask = None) -> np.ndarray:
        x = np.asarray(x)
        if x.ndim != 2:
            raise ValueError(f"RepeatVector: x has shape {x.shape}; expected (B, I)")
        return np.repeat(x[:, None], self.n, axis=1)


class Flatten(Unmasked):
    """(B, ...) -> (B, I)"""

    def __call__(self, x: np.ndarray, mask: Mask = None) -> np.ndarray:
        x = np.asarray(x)
        return x.reshape(len(x), -1)
