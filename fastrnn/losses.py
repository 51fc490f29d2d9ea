"""Losses. Each returns its value and the gradient of its value with respect to its first argument.

``reduction="mean"`` divides by the number of elements that count, ``"sum"`` does not; both return the value
as a float, summed in float64. ``"none"`` returns the loss of each element, and of each the gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _checks, functional

__all__ = ["binary_cross_entropy", "cross_entropy", "log_softmax", "mse", "softmax"]

Loss = tuple[float | np.ndarray, np.ndarray]


def softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return exp(logits) / sum(exp(logits)) over an axis, the last one if not given, without overflow.

    float32 stays float32, other floating-point types are computed in float64.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    return _softmax(*_along("softmax", logits, axis))[0]


def log_softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the logarithm of `softmax` in float64, without overflow, the same bits on every machine.

    Examples
    --------
    >>> log_softmax(np.array([1000.0, 0.0]))
    array([    0., -1000.])
    """
    _, shifted, sums = _softmax(*_along("log_softmax", logits, axis))
    return shifted - log(sums)


def cross_entropy(
    logits: np.ndarray,
    targets: np.ndarray,
    *,
    ignore_index: int | None = None,
    mask: np.ndarray | None = None,
    reduction: str = "mean",
) -> Loss:
    r"""Softmax cross-entropy, :math:`-\log(e^{z_k} / \sum_j e^{z_j})` for target k, in nats.

    Parameters
    ----------
    logits : array_like, (..., C)
        Scores of C classes. Other floating-point types than float32 are computed in float64.
    targets : array_like of int, (...)
        Classes, 0 <= k < C.
    ignore_index : int, optional
        Elements with this target do not count; it need not be a class. (PyTorch's default is -100; ours is
        none.)
    mask : array_like of bool, (...), optional
        Which elements count. The targets of the others may be anything.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    value : float, or numpy.ndarray (...) with ``reduction="none"``
        If no element counts, the mean is 0.
    gradient : numpy.ndarray, (..., C)
        float32 or float64, as the logits; 0 where an element does not count.

    Raises
    ------
    ValueError
        Shapes that do not match, a target that is not a class, an unknown reduction.
    TypeError
        Logits that are not floating-point, targets that are not integers, a mask that is not bool.

    Examples
    --------
    >>> value, gradient = cross_entropy(np.zeros((2, 3, 4)), [[0, 1, 2], [3, -1, -1]], ignore_index=-1)
    >>> round(value, 4)
    1.3863
    >>> lengths = np.array([3, 1])  # the same with a mask made of lengths, here for (T, B)
    >>> mask = np.arange(3)[:, None] < lengths
    >>> value, gradient = cross_entropy(np.zeros((3, 2, 4)), [[0, 3], [1, -1], [2, -1]], mask=mask)
    >>> round(value, 4)
    1.3863
    """
    logits = _checks.elementwise_argument("cross_entropy", logits, "logits")
    targets = np.asarray(targets)
    one_hot = "; if they are one-hot, give targets.argmax(-1)" if targets.shape == logits.shape else ""
    if targets.dtype.kind not in "iu":
        raise TypeError(
            f"cross_entropy: targets have dtype {targets.dtype}; expected integers, the classes{one_hot}"
        )
    if logits.ndim == 0 or logits.shape[-1] == 0 or targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"cross_entropy: targets have shape {targets.shape} and logits {logits.shape}; "
            f"expected (...) and (..., C){one_hot}"
        )
    counts = _mask("cross_entropy", mask, targets.shape)
    if ignore_index is not None:
        counts = counts & (targets != ignore_index)
    classes = logits.shape[-1]
    wrong = counts & ((targets < 0) | (targets >= classes))
    if wrong.any():
        raise ValueError(
            f"cross_entropy: target {targets[wrong][0]} is not a class, 0 <= target < {classes}; "
            "give ignore_index or mask for padding"
        )
    targets = np.where(counts, targets, 0)[..., None]
    gradient, shifted, sums = _softmax(logits, -1)
    chosen = np.take_along_axis(shifted, targets, -1).astype(np.float64)
    losses = (log(sums) - chosen)[..., 0]
    np.put_along_axis(gradient, targets, np.take_along_axis(gradient, targets, -1) - 1, -1)
    return _reduce("cross_entropy", losses, gradient, counts, counts[..., None], reduction)


def mse(
    prediction: np.ndarray, target: np.ndarray, *, mask: np.ndarray | None = None, reduction: str = "mean"
) -> Loss:
    """Squared error, (prediction - target)^2.

    Parameters
    ----------
    prediction : array_like
        float32 or float64.
    target : array_like
        Of the shape of `prediction`.
    mask : array_like of bool, optional
        Which elements count, of the shape of `prediction` or without its last axis.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    value : float, or numpy.ndarray of the shape of `prediction` with ``reduction="none"``
    gradient : numpy.ndarray
        Of the shape and dtype of `prediction`.

    Raises
    ------
    ValueError
        Shapes that do not match, an unknown reduction.
    TypeError
        A prediction that is not floating-point, a target that is not real, a mask that is not bool.

    Examples
    --------
    >>> value, gradient = mse(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    >>> value, gradient
    (2.0, array([ 0., -2.]))
    """
    prediction, target, counts = _pair("mse", "prediction", prediction, target, mask)
    difference = prediction - target
    return _reduce("mse", np.square(difference, dtype=np.float64), 2 * difference, counts, counts, reduction)


def binary_cross_entropy(
    logits: np.ndarray, targets: np.ndarray, *, mask: np.ndarray | None = None, reduction: str = "mean"
) -> Loss:
    r"""Binary cross-entropy of logits, :math:`-t \log\sigma(z) - (1 - t) \log(1 - \sigma(z))`.

    It is PyTorch's ``binary_cross_entropy_with_logits``.

    Parameters
    ----------
    logits : array_like
        Scores before the sigmoid, float32 or float64.
    targets : array_like
        Probabilities, 0 to 1 (or bool), of the shape of `logits`.
    mask : array_like of bool, optional
        Which elements count, of the shape of `logits` or without its last axis.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    value : float, or numpy.ndarray of the shape of `logits` with ``reduction="none"``
    gradient : numpy.ndarray
        Of the shape and dtype of `logits`.

    Raises
    ------
    ValueError
        Shapes that do not match, an unknown reduction.
    TypeError
        Logits that are not floating-point, targets that are not real, a mask that is not bool.

    Examples
    --------
    >>> value, gradient = binary_cross_entropy(np.array([0.0, 1000.0]), [1, 1])
    >>> round(value, 4), gradient
    (0.3466, array([-0.25,  0.  ]))
    """
    logits, targets, counts = _pair("binary_cross_entropy", "logits", logits, targets, mask)
    tail = functional.softplus(-np.abs(logits).astype(np.float64))
    losses = np.maximum(logits, 0) - logits.astype(np.float64) * targets + tail
    return _reduce(
        "binary_cross_entropy", losses, functional.sigmoid(logits) - targets, counts, counts, reduction
    )


def _along(who: str, logits: Any, axis: int) -> tuple[np.ndarray, int]:
    """The arguments of a function over an axis, checked."""
    logits = _checks.elementwise_argument(who, logits, "logits")
    if not hasattr(axis, "__index__") or not -logits.ndim <= axis < logits.ndim:
        raise ValueError(f"{who}: axis is {axis!r}; expected one of the axes of logits {logits.shape}")
    return logits, axis


def _softmax(logits: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the probabilities, the logits less their maximum, and the float64 sums of their exponentials."""
    with np.errstate(invalid="ignore"):  # inf - inf: the row becomes NaN, as it should
        shifted = np.ascontiguousarray(logits - logits.max(axis, keepdims=True, initial=-np.inf))
        exponentials = functional.exp(shifted)
        sums = exponentials.sum(axis, keepdims=True, dtype=np.float64)
        return exponentials / sums.astype(logits.dtype), shifted, sums


#: 2 / (2 k + 1), k = 10 to 1: 2 atanh(s) = 2 s + s (...) in powers of s^2.
_ATANH = tuple(2 / (2 * k + 1) for k in range(10, 0, -1))
#: ln 2 as the sum of two, the first with so few bits that its product with an exponent is exact.
_LN2 = float.fromhex("0x1.62e42fee00000p-1"), float.fromhex("0x1.a39ef35793c76p-33")


def log(x: np.ndarray) -> np.ndarray:
    """The logarithm of float64, at most 2 ulp off, by sums, products and quotients alone.

    NumPy's and the C library's differ between machines; this value decides when training stops.
    """
    m, e = np.frexp(x)
    low = m < 0.7071067811865476
    m, e = np.where(low, 2 * m, m), e - low
    s = (m - 1) / (m + 1)
    w = s * s
    p = np.zeros_like(s)
    for c in _ATANH:
        p = (p + c) * w
    return e * _LN2[0] + (2 * s + (s * p + e * _LN2[1]))


def _reduce(
    name: str,
    losses: np.ndarray,
    gradient: np.ndarray,
    counts: np.ndarray,
    counts_gradient: np.ndarray,
    reduction: str,
) -> Loss:
    """Leave out what does not count, and sum or average."""
    losses = np.where(counts, losses, 0.0)
    gradient = np.where(counts_gradient, gradient, gradient.dtype.type(0))
    if reduction == "none":
        return losses.astype(gradient.dtype), gradient
    value = float(np.ascontiguousarray(losses).reshape(-1).sum())
    if reduction == "sum":
        return value, gradient
    if reduction == "mean":
        number = max(int(np.count_nonzero(counts)), 1)
        return value / number, gradient / gradient.dtype.type(number)
    raise ValueError(f"{name}: reduction is {reduction!r}; expected 'mean', 'sum' or 'none'")


def _pair(
    name: str, argument: str, first: Any, target: Any, mask: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return prediction, target (of one dtype and shape) and which elements count (of that shape)."""
    first = _checks.elementwise_argument(name, first, argument)
    target = np.asarray(target)
    if target.dtype.kind not in "fiub":
        raise TypeError(f"{name}: the target is {target.dtype}; expected real numbers or bool")
    if target.shape != first.shape:
        raise ValueError(f"{name}: the target has shape {target.shape}; {argument} has shape {first.shape}")
    if mask is not None and np.ndim(mask) == first.ndim - 1:
        counts = np.broadcast_to(_mask(name, mask, first.shape[:-1])[..., None], first.shape)
    else:
        counts = _mask(name, mask, first.shape)
    return first, target.astype(first.dtype, copy=False), counts


def _mask(name: str, mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return which elements count, as bool."""
    if mask is None:
        return np.ones(shape, bool)
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(f"{name}: mask has dtype {mask.dtype}; expected bool, true where an element counts")
    if mask.shape != shape:
        raise ValueError(f"{name}: mask has shape {mask.shape}; expected {shape}")
    return mask
