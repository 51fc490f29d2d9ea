"""Gated recurrent unit, gates r, z, n, the reset applied after the product.  H units, N rows at a step.

``n = tanh(nx + r nh)`` with ``nx = W_in x + b_in`` and ``nh = W_hn h' + b_hn``;  ``h = (1 - z) n + z h'``.
"""

import numpy as np

from fastrnn.reference.arithmetic import (
    bias_gradient,
    flush,
    fma,
    product,
    sigmoid,
    tanh,
)


def start(cell, params):
    b_ih, b_hh = params["b_ih"], params["b_hh"]
    rz = len(b_ih) // 3 * 2
    return np.concatenate((b_ih[:rz] + b_hh[:rz], b_ih[rz:]))


def sums(params, zx, rec):
    """The pre-activations of r and z, nx and nh."""
    rz = zx.shape[1] // 3 * 2
    b_nh = np.broadcast_to(params["b_hh"][rz:], zx[:, rz:].shape)
    begin = np.concatenate((zx[:, :rz], b_nh), axis=1)
    z = rec.added(product(rec.operand, params["w_hh"], rec.start(begin)), begin)
    return *np.split(z[:, :rz], 2, axis=1), zx[:, rz:], z[:, rz:]


def forward(cell, params, zx, before, rec):
    (h_,) = before  # (N, H)
    zr, zz, nx, nh = sums(params, zx, rec)
    r, z = sigmoid(zr), sigmoid(zz)
    n = tanh(fma(r, nh, nx))
    return (flush(fma(z, h_ - n, n)),), (r, z, n, nh)


def backward(cell, params, before, after, cached, dstate, rec):
    (h_,), (r, z, n, nh), (dh,) = before, cached, dstate
    dz = flush((dh * (h_ - n)) * fma(-z, z, z))
    dnx = flush(fma(-dh, z, dh) * fma(-n, n, n.dtype.type(1)))
    dnh = flush(dnx * r)
    dr = flush((dnx * nh) * fma(-r, r, r))
    drz = np.concatenate((dr, dz), axis=1)
    dx_side, dh_side = (np.concatenate((drz, dn), axis=1) for dn in (dnx, dnh))
    return (dx_side, dh_side), (carry(params, dh_side, dh * z, rec),)


def carry(params, dh_side, direct, rec):
    """The gradient of h'; `direct` is what goes past the products."""
    w_hh, d = params["w_hh"], rec.through(dh_side)
    rz = d.shape[1] // 3 * 2
    return rec.carried([(d[:, :rz], w_hh[:rz]), (d[:, rz:], w_hh[rz:])], direct=direct)


def gradients(cell, dgates, before, after, cached, rec):
    dx_side, dh_side = dgates
    return {
        **rec.gradients(dh_side),
        "b_ih": bias_gradient(dx_side),
        "b_hh": bias_gradient(dh_side),
    }
