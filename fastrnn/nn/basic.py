"""Modules without a time loop: Linear, Embedding, Dropout."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from .. import _checks, functional
from . import init
from .module import Module, Tape

__all__ = ["Dropout", "Embedding", "Linear", "apply_mask", "draw_mask", "drop"]


class Linear(Module):
    r"""Affine map of the last axis, :math:`y = x W^T + b`.

    It runs on the product kernel of the recurrent layers: the result of a row does not depend on the other
    rows.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    dtype : float32 or float64
    rng : numpy.random.Generator, int or None
        Draws the initial values: weight, then bias, from U(-1/sqrt(in_features), 1/sqrt(in_features)), as
        PyTorch.

    Notes
    -----
    Parameters are ``weight`` (out_features, in_features) and ``bias`` (out_features,).

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import nn
    >>> nn.Linear(3, 2, rng=0)(np.ones((5, 4, 3), np.float32)).shape
    (5, 4, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        dtype, rng = init.parameter_dtype(dtype), init.generator("Linear", rng)
        self.in_features = in_features = _checks.size("Linear", "in_features", in_features, least=0)
        self.out_features = out_features = _checks.size("Linear", "out_features", out_features, least=0)
        self.bias = bias = _checks.flag("Linear", "bias", bias)
        bound = 1 / sqrt(in_features) if in_features else 0.0
        self.add_parameter("weight", init.uniform(rng, (out_features, in_features), bound, dtype))
        if bias:
            self.add_parameter("bias", init.uniform(rng, (out_features,), bound, dtype))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return y (..., out_features) of x (..., in_features)."""
        return functional.linear(self._checked(x), self._own["weight"], self._own.get("bias"))

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Tape]:
        """Return y and the tape, which refers to x: leave x as it is until `backward`."""
        x = self._checked(x)
        return self(x), Tape(self, self.version, (x,))

    def backward(self, tape: Tape, dy: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return dx (..., in_features) and the gradients of the parameters, given dy (..., out_features)."""
        self.check_tape(tape)
        (x,) = tape.saved
        dx, dw, db = functional.linear_backward(x, self._own["weight"], dy)
        return dx, {"weight": dw, "bias": db} if self.bias else {"weight": dw}

    def _checked(self, x: np.ndarray) -> np.ndarray:
        x = _checks.real("Linear", "x", x, self._own["weight"].dtype)
        _checks.features("Linear", "x", x, "in_features", self.in_features)
        return x

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias}"


class Embedding(Module):
    """Table of vectors, looked up by integer ids.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
    padding_idx : int or None
        An id whose vector starts at zero and gets no gradient; negative counts from the end.
    dtype : float32 or float64
    rng : numpy.random.Generator, int or None
        Draws the initial values from N(0, 1), as PyTorch.

    Notes
    -----
    The parameter is ``weight`` (num_embeddings, embedding_dim). Its gradient adds the rows of dy in the order
    in which they stand in memory, so it is the same bits in every run.

    Examples
    --------
    >>> from fastrnn import nn
    >>> nn.Embedding(100, 8, rng=0)([[3, 1, 4], [1, 5, 9]]).shape
    (2, 3, 8)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        dtype: Any = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        num_embeddings = _checks.size("Embedding", "num_embeddings", num_embeddings)
        embedding_dim = _checks.size("Embedding", "embedding_dim", embedding_dim)
        if padding_idx is not None:
            padding_idx = _checks.size("Embedding", "padding_idx", padding_idx, least=-num_embeddings)
            if padding_idx >= num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx is {padding_idx}; num_embeddings is {num_embeddings}"
                )
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        shape = (num_embeddings, embedding_dim)
        weight = self.add_parameter(
            "weight", init.normal(init.generator("Embedding", rng), shape, init.parameter_dtype(dtype))
        )
        if padding_idx is not None:
            weight[padding_idx] = 0

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Return the vectors (..., embedding_dim) of ids (...).

        Raises
        ------
        TypeError
            `ids` are not integers.
        IndexError
            An id is negative, or `num_embeddings` or more.
        """
        return self._own["weight"][self._check_ids(ids)]

    def forward(self, ids: np.ndarray) -> tuple[np.ndarray, Tape]:
        """Return the vectors and the tape."""
        ids = self._check_ids(ids)
        return self._own["weight"][ids], Tape(self, self.version, (ids,))

    def backward(self, tape: Tape, dy: np.ndarray) -> tuple[None, dict[str, np.ndarray]]:
        """Return None (ids have no gradient) and the gradient of the table, given dy (..., embedding_dim)."""
        self.check_tape(tape)
        (ids,) = tape.saved
        weight = self._own["weight"]
        dy = _checks.real("Embedding.backward", "dy", dy, weight.dtype)
        shape = (*ids.shape, self.embedding_dim)
        if dy.shape != shape:
            raise ValueError(f"Embedding.backward: dy has shape {dy.shape}; the output was {shape}")
        dw = np.zeros_like(weight)
        _add_rows(dw, ids.reshape(-1), dy.reshape(ids.size, self.embedding_dim))
        if self.padding_idx is not None:
            dw[self.padding_idx] = 0
        return None, {"weight": dw}

    def _check_ids(self, ids: np.ndarray) -> np.ndarray:
        ids = np.asarray(ids)
        if ids.dtype.kind not in "iu":
            raise TypeError(
                f"Embedding: ids have dtype {ids.dtype}; expected integers, for example ids.astype(np.int64)"
            )
        if ids.size and not 0 <= ids.min() <= ids.max() < self.num_embeddings:
            wrong = ids[(ids < 0) | (ids >= self.num_embeddings)].flat[0]
            raise IndexError(
                f"Embedding: id {wrong} is outside 0 <= id < num_embeddings={self.num_embeddings}"
            )
        return ids

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


def _add_rows(table: np.ndarray, rows: np.ndarray, values: np.ndarray) -> None:
    """Do table[rows[k]] += values[k] for k ascending; on flat indices ``add.at`` is six times faster."""
    width = table.shape[1]
    block = max(1, 65536 // max(1, width))  # bounds the memory of the indices
    for start in range(0, len(rows), block):
        part = slice(start, start + block)
        flat = rows[part, None].astype(np.int64) * width + np.arange(width)
        np.add.at(table.reshape(-1), flat.reshape(-1), values[part].reshape(-1))


class Dropout(Module):
    """Zero each element with probability `p` and scale the others by 1/(1-p), in training only.

    ``dropout(x)`` is x; ``dropout.forward(x)`` draws a new mask for every element from `rng`.

    Parameters
    ----------
    p : float
        0 <= p <= 1.
    rng : numpy.random.Generator, int or None

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014
    (the inverted form, which leaves inference alone).

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import nn
    >>> y, tape = nn.Dropout(0.5, rng=0).forward(np.ones((2, 3), np.float32))
    >>> set(y.ravel().tolist()) <= {0.0, 2.0}
    True
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | int | None = None) -> None:
        self.p = _checks.probability("Dropout", "p", p)
        self.rng = init.generator("Dropout", rng)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return x."""
        return x

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Tape]:
        """Return x with elements dropped, and the tape."""
        y, keep = drop(_checks.elementwise_argument("Dropout", x), self.p, self.rng)
        return y, Tape(self, self.version, (keep,))

    def backward(self, tape: Tape, dy: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return dx, and no gradients (there are no parameters), given dy."""
        self.check_tape(tape)
        (keep,) = tape.saved
        return apply_mask(_checks.elementwise_argument("Dropout.backward", dy, "dy"), keep, self.p), {}

    def extra_repr(self) -> str:
        return f"p={self.p}"


def drop(x: np.ndarray, p: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return x with elements dropped, and the mask of those kept (one byte an element)."""
    keep = draw_mask(x.shape, p, rng)
    return apply_mask(x, keep, p), keep


def draw_mask(shape: tuple[int, ...], p: float, rng: np.random.Generator) -> np.ndarray:
    """Draw which elements dropout keeps: each with probability 1-p."""
    return rng.random(shape, dtype=np.float32) >= p


def apply_mask(x: np.ndarray, keep: np.ndarray, p: float) -> np.ndarray:
    """Return x with the elements that are not kept set to zero and the others scaled by 1/(1-p)."""
    if x.shape != keep.shape:
        raise ValueError(f"dropout: dy has shape {x.shape}; the output was {keep.shape}")
    scale = x.dtype.type(1 / (1 - p) if p < 1 else 1)
    return np.where(keep, x * scale, x.dtype.type(0))
