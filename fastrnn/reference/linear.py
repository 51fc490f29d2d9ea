"""Linear layers by the rules of the recurrent products, so that a whole model keeps its promises."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fastrnn import _checks
from fastrnn.reference.arithmetic import bias_gradient, product, weight_gradient


def linear(x: Any, w: Any, b: Any = None) -> np.ndarray:
    """``y = x w.T + b``: x (..., I), w (O, I), b (O,) or None; y (..., O)."""
    x, w, b = _checks.linear_arguments(x, w, b)
    return product(_rows(x), w, b).reshape(*x.shape[:-1], len(w))


def linear_backward(x: Any, w: Any, dy: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients ``(dx, dw, db)`` of `linear` from dy (..., O)."""
    x, w, dy = _checks.linear_backward_arguments(x, w, dy)
    rows, drows = _rows(x), _rows(dy)
    return product(drows, w.T).reshape(x.shape), weight_gradient(drows, rows), bias_gradient(drows)


def _rows(a):
    return a.reshape(prod(a.shape[:-1]), a.shape[-1])
