"""Elman's recurrent network: ``h = act(W_ih x + b_ih + W_hh h' + b_hh)``.  H units, N rows at a step."""

import numpy as np

from fastrnn.reference.arithmetic import bias_gradient, flush, fma, product, tanh


def start(cell, params):
    return params["b_ih"] + params["b_hh"]


def forward(cell, params, zx, before, rec):
    z = rec.added(product(rec.operand, params["w_hh"], rec.start(zx)), zx)
    h = np.where(z < 0, z.dtype.type(0), z) if cell.activation.name == "relu" else tanh(z)
    return (flush(h),), ()


def backward(cell, params, before, after, cached, dstate, rec):
    (h,), (dh,) = after, dstate
    if cell.activation.name == "relu":
        dz = np.where(h <= 0, h.dtype.type(0), dh)
    else:
        dz = dh * fma(-h, h, h.dtype.type(1))
    dz = flush(dz)
    return (dz,), (rec.carried([(rec.through(dz), params["w_hh"])]),)


def gradients(cell, dgates, before, after, cached, rec):
    (dz,) = dgates
    db = bias_gradient(dz)
    return {
        **rec.gradients(dz),
        "b_ih": db,
        "b_hh": db.copy(),
    }
