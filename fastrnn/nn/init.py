"""Initial values of parameters.

Numbers are drawn in float64 and then rounded, so that a float32 and a float64 module of the same seed start
from the same values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["generator", "normal", "parameter_dtype", "uniform"]


def parameter_dtype(dtype: Any) -> np.dtype:
    """Return `dtype` as a NumPy dtype, having checked that it is float32 or float64."""
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"dtype is {dtype}; parameters are float32 or float64")
    return dtype


def generator(who: str, rng: np.random.Generator | int | None) -> np.random.Generator:
    """Return `rng` itself if it is a generator, else a new one seeded by it (None: by the system)."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{who}: rng is {rng!r}; expected a numpy.random.Generator, an int of at least 0, or None"
        ) from None


def uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float, dtype: np.dtype) -> np.ndarray:
    """Draw from U(-bound, bound)."""
    return rng.uniform(-bound, bound, shape).astype(dtype, copy=False)


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Draw from N(0, 1)."""
    return rng.standard_normal(shape).astype(dtype, copy=False)
