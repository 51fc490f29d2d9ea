"""One vector of a sequence: its last state, or the mean or maximum of its outputs.

Each pool is a pair: `forward` of the outputs y (T, B, W) and the state to the vectors (B, W) and what
`backward` needs; `backward` of the gradient of the vectors to those of y and of the state, one of them None.
Sums run over time in order, so that a row has the same bits beside any others and with any padding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..nn import Recurrent

__all__ = ["POOLS", "Pool"]


class Pool(NamedTuple):
    """A way to one vector."""

    forward: Callable[[Recurrent, np.ndarray, Any, np.ndarray], tuple[np.ndarray, Any]]
    backward: Callable[[Recurrent, Any, np.ndarray], tuple[np.ndarray | None, Any]]


def _last(rnn: Recurrent, y: np.ndarray, state: Any, lengths: np.ndarray) -> tuple[np.ndarray, Any]:
    """The last layer's final h, of both directions side by side."""
    states = state if isinstance(state, tuple) else (state,)
    h = states[0][-1 - rnn.bidirectional :]
    return np.ascontiguousarray(np.concatenate(list(h), axis=-1)), [s.shape for s in states]


def _last_back(rnn: Recurrent, shapes: Any, dy: np.ndarray) -> tuple[None, Any]:
    dh = np.zeros(shapes[0], dy.dtype)
    directions = 1 + rnn.bidirectional
    dh[-directions:] = np.split(dy, directions, axis=-1)
    return None, dh if len(shapes) == 1 else (dh, *[None] * (len(shapes) - 1))


def _mean(rnn: Recurrent, y: np.ndarray, state: Any, lengths: np.ndarray) -> tuple[np.ndarray, Any]:
    total = np.zeros(y.shape[1:], y.dtype)
    for y_t in y:  # 0 past a length
        total += y_t
    count = lengths[:, None].astype(y.dtype)
    return total / count, (y.shape, count)


def _mean_back(rnn: Recurrent, kept: Any, dy: np.ndarray) -> tuple[np.ndarray, None]:
    shape, count = kept
    return np.broadcast_to(dy / count, shape), None  # past a length it is ignored


def _max(rnn: Recurrent, y: np.ndarray, state: Any, lengths: np.ndarray) -> tuple[np.ndarray, Any]:
    inside = np.arange(len(y))[:, None] < lengths
    at = np.where(inside[..., None], y, y.dtype.type(-np.inf)).argmax(0)[None]
    return np.take_along_axis(y, at, 0)[0], (y.shape, at)


def _max_back(rnn: Recurrent, kept: Any, dy: np.ndarray) -> tuple[np.ndarray, None]:
    shape, at = kept
    result = np.zeros(shape, dy.dtype)
    np.put_along_axis(result, at, dy[None], 0)
    return result, None


POOLS = {"last": Pool(_last, _last_back), "mean": Pool(_mean, _mean_back), "max": Pool(_max, _max_back)}
