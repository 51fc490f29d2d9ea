"""Gated recurrent unit, gates r, z, n, the reset applied before the product.  H units, N rows at a step.

``n = tanh(W_in x + b_in + W_hn q + b_hn)`` with ``q = r h'``;  ``h = (1 - z) n + z h'``.
"""

import numpy as np

from fastrnn.reference.arithmetic import (
    bias_gradient,
    flush,
    fma,
    product,
    sigmoid,
    tanh,
    weight_gradient,
)


def start(cell, params):
    return params["b_ih"] + params["b_hh"]


def forward(cell, params, zx, before, rec):
    (h_,) = before  # (N, H)
    rz = 2 * h_.shape[1]
    w_hh = params["w_hh"]
    r, z = np.split(sigmoid(product(rec.operand, w_hh[:rz], zx[:, :rz])), 2, axis=1)
    q = flush(r * rec.operand)
    n = tanh(product(q, w_hh[rz:], zx[:, rz:]))
    return (flush(fma(z, h_ - n, n)),), (r, z, n)


def backward(cell, params, before, after, cached, dstate, rec):
    (h_,), (r, z, n), (dh,) = before, cached, dstate
    rz = 2 * h_.shape[1]
    w_hh = params["w_hh"]
    dz = flush((dh * (h_ - n)) * fma(-z, z, z))
    dn = flush(fma(-dh, z, dh) * fma(-n, n, n.dtype.type(1)))
    dq = flush(product(dn, w_hh[rz:].T))
    dr = flush((dq * rec.operand) * fma(-r, r, r))
    drz = np.concatenate((dr, dz), axis=1)
    carry = rec.carried([(drz, w_hh[:rz])], direct=dh * z, plus=(dq, r))
    return (np.concatenate((drz, dn), axis=1),), (carry,)


def gradients(cell, dgates, before, after, cached, rec):
    (d,), (r, *_) = dgates, cached
    rz = 2 * rec.operand.shape[1]
    db = bias_gradient(d)
    w_hh = np.concatenate(
        (weight_gradient(d[:, :rz], rec.operand), weight_gradient(d[:, rz:], flush(r * rec.operand)))
    )
    return {"w_hh": w_hh, "b_ih": db, "b_hh": db.copy()}
