"""Minimal gated unit, gates f, n.  H units, N rows at a step.

``f = act(W_if x + b_if + W_hf h' + b_hf)``;  ``n = act(W_in x + b_in + W_hn (f h') + b_hn)``;
``h = (1 - f) h' + f n``.
"""

import numpy as np

from fastrnn.reference.activations import gate, gate_slope
from fastrnn.reference.arithmetic import bias_gradient, flush, fma, product, weight_gradient


def start(cell, params):
    return params["b_ih"] + params["b_hh"]


def forward(cell, params, zx, before, rec):
    (h_,) = before  # (N, H)
    units = h_.shape[1]
    w_hf, w_hn = np.split(params["w_hh"], 2)
    zf = product(rec.operand, w_hf, zx[:, :units])
    f = gate(cell, "f", zf)
    zn = product(flush(f * rec.operand), w_hn, zx[:, units:])
    n = gate(cell, "n", zn)
    return (flush(fma(f, n - h_, h_)),), (zf, zn)


def backward(cell, params, before, after, cached, dstate, rec):
    (h_,), (zf, zn), (dh,) = before, cached, dstate
    w_hf, w_hn = np.split(params["w_hh"], 2)
    f, n = gate(cell, "f", zf), gate(cell, "n", zn)
    dn = gate_slope(cell, "n", zn, n, dh * f)
    dq = flush(product(dn, w_hn.T))
    df = gate_slope(cell, "f", zf, f, fma(dq, rec.operand, dh * (n - h_)))
    carry = rec.carried([(df, w_hf)], direct=fma(-dh, f, dh), plus=(dq, f))
    return (np.concatenate((df, dn), axis=1),), (carry,)


def gradients(cell, dgates, before, after, cached, rec):
    (d,), (zf, _) = dgates, cached
    df, dn = np.split(d, 2, axis=1)
    db = bias_gradient(d)
    q = flush(gate(cell, "f", zf) * rec.operand)
    w_hh = np.concatenate((weight_gradient(df, rec.operand), weight_gradient(dn, q)))
    return {"w_hh": w_hh, "b_ih": db, "b_hh": db.copy()}


def gates(cell, cached):
    zf, zn = cached
    return {"f": gate(cell, "f", zf), "n": gate(cell, "n", zn)}
