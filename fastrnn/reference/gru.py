"""Gated recurrent unit, gates r, z, n, the reset applied after the product.  H units, N rows at a step.

``n = tanh(nx + r nh)`` with ``nx = W_in x + b_in`` and ``nh = W_hn h' + b_hn``;  ``h = (1 - z) n + z h'``.
"""

import numpy as np

from fastrnn.reference.arithmetic import (
    bias_gradient,
    carried,
    flush,
    fma,
    product,
    sigmoid,
    tanh,
    weight_gradient,
)


def start(cell, params):
    b_ih, b_hh = params["b_ih"], params["b_hh"]
    rz = len(b_ih) // 3 * 2
    return np.concatenate((b_ih[:rz] + b_hh[:rz], b_ih[rz:]))


def forward(cell, params, zx, before, rec):
    (h_,) = before  # (N, H)
    rz = 2 * h_.shape[1]
    w_hh, b_nh = params["w_hh"], params["b_hh"][rz:]
    r, z = np.split(sigmoid(product(rec, w_hh[:rz], zx[:, :rz])), 2, axis=1)
    nh = product(rec, w_hh[rz:], b_nh)
    n = tanh(fma(r, nh, zx[:, rz:]))
    return (flush(fma(z, h_ - n, n)),), (r, z, n, nh)


def backward(cell, params, before, after, cached, dstate, rec, scale):
    (h_,), (r, z, n, nh), (dh,) = before, cached, dstate
    rz = 2 * h_.shape[1]
    w_hh = params["w_hh"]
    dz = flush((dh * (h_ - n)) * fma(-z, z, z))
    dnx = flush(fma(-dh, z, dh) * fma(-n, n, n.dtype.type(1)))
    dnh = flush(dnx * r)
    dr = flush((dnx * nh) * fma(-r, r, r))
    drz = np.concatenate((dr, dz), axis=1)
    carry = carried([(drz, w_hh[:rz]), (dnh, w_hh[rz:])], direct=dh * z, scale=scale)
    return (np.concatenate((drz, dnx), axis=1), np.concatenate((drz, dnh), axis=1)), (carry,)


def gradients(cell, dgates, x, before, after, cached, rec):
    dx_side, dh_side = dgates
    return {
        "w_ih": weight_gradient(dx_side, x),
        "w_hh": weight_gradient(dh_side, rec),
        "b_ih": bias_gradient(dx_side),
        "b_hh": bias_gradient(dh_side),
    }
