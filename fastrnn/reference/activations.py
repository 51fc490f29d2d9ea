"""The activations of the gates, ONNX's, and their slopes: a row of csrc/activations.def each."""

import numpy as np

from fastrnn.reference.arithmetic import elu, exp, flush, fma, sigmoid, softplus, tanh


def activate(activation, z):
    """The activation of z; a NaN stays."""
    zero, one, alpha, beta = _numbers(activation, z.dtype)
    with np.errstate(all="ignore"):
        match activation.name:
            case "sigmoid":
                return sigmoid(z)
            case "tanh":
                return tanh(z)
            case "relu":
                return np.where(z < 0, zero, z)
            case "affine":
                return fma(alpha, z, beta)
            case "leaky_relu":
                return np.where(z < 0, alpha * z, z)
            case "thresholded_relu":
                return np.where(z <= alpha, zero, z)
            case "scaled_tanh":
                return alpha * tanh(beta * z)
            case "hard_sigmoid":
                y = fma(alpha, z, beta)
                y = np.where(y < 0, zero, y)
                return np.where(one < y, one, y)
            case "elu":
                return np.where(z < 0, alpha * elu(z), z)
            case "softsign":
                a = np.abs(z)
                a = np.where(a > _SOFTSIGN, z.dtype.type(_SOFTSIGN), a)
                return np.copysign(a / (one + a), z)
            case "softplus":
                return softplus(z)


def slope(activation, z, value):
    """The derivative of the activation at z, where its value is ``value``; at a kink that from the left.

    hard_sigmoid has the slope 0 where its value is 0 or 1.
    """
    zero, one, alpha, beta = _numbers(activation, z.dtype)
    with np.errstate(all="ignore"):
        match activation.name:
            case "sigmoid":
                return fma(-value, value, value)
            case "tanh":
                return fma(-value, value, one)
            case "relu":
                return np.where(z <= 0, zero, one)
            case "affine":
                return np.full_like(z, alpha)
            case "leaky_relu":
                return np.where(z <= 0, alpha, one)
            case "thresholded_relu":
                return np.where(z <= alpha, zero, one)
            case "scaled_tanh":
                t = tanh(beta * z)
                return alpha * (beta * fma(-t, t, one))
            case "hard_sigmoid":
                return np.where(value <= 0, zero, np.where(one <= value, zero, alpha))
            case "elu":
                return np.where(z <= 0, alpha * exp(z), one)
            case "softsign":
                r = one / (one + np.abs(z))
                return r * r
            case "softplus":
                return sigmoid(z)


_SOFTSIGN = 2.0**60  # above it the result is 1


def _numbers(activation, dtype):
    """0, 1, alpha and beta as numbers of the dtype."""
    _, alpha, beta = activation.native
    return tuple(map(dtype.type, (0, 1, alpha, beta)))


# -- gates ------------------------------------------------------------------------------------------


def clip(z, limit):
    """z cut to [-limit, limit]; a NaN stays. None: no limit."""
    if limit is None:
        return z
    limit = z.dtype.type(limit)
    z = np.where(limit < z, limit, z)
    return np.where(-limit > z, -limit, z)


def unless_clipped(z, limit, v):
    """v, but 0 where z was cut."""
    return v if limit is None else np.where(z.dtype.type(limit) < np.abs(z), v.dtype.type(0), v)


def gate(cell, name, z):
    """A gate of a cell, from its pre-activation."""
    return activate(cell.activation(name), clip(z, cell.clip))


def gate_slope(cell, name, z, value, d):
    """The gradient of a gate's pre-activation z, from that of its value, d."""
    return flush(d * unless_clipped(z, cell.clip, slope(cell.activation(name), clip(z, cell.clip), value)))
