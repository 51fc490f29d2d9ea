"""Elman's recurrent network: ``h = act(W_ih x + b_ih + W_hh h' + b_hh)``.  H units, N rows at a step."""

import numpy as np

from fastrnn.reference.arithmetic import bias_gradient, carried, flush, fma, product, tanh, weight_gradient


def start(cell, params):
    return params["b_ih"] + params["b_hh"]


def forward(cell, params, zx, before, rec):
    z = product(rec, params["w_hh"], zx)
    h = np.where(z < 0, z.dtype.type(0), z) if cell.activation.name == "relu" else tanh(z)
    return (flush(h),), ()


def backward(cell, params, before, after, cached, dstate, rec, scale):
    (h,), (dh,) = after, dstate
    if cell.activation.name == "relu":
        dz = np.where(h <= 0, h.dtype.type(0), dh)
    else:
        dz = dh * fma(-h, h, h.dtype.type(1))
    dz = flush(dz)
    return (dz,), (carried([(dz, params["w_hh"])], scale=scale),)


def gradients(cell, dgates, x, before, after, cached, rec):
    (dz,) = dgates
    db = bias_gradient(dz)
    return {"w_ih": weight_gradient(dz, x), "w_hh": weight_gradient(dz, rec), "b_ih": db, "b_hh": db.copy()}
