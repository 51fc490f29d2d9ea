"""Gated recurrent unit, gates r, z, n, with any activations.  H units, N rows at a step.

A gate is its activation of the pre-activation cut to [-clip, clip].  Reset after the product
``zn = W_in x + b_in + r (W_hn h' + b_hn)``, before it ``zn = W_in x + b_in + W_hn (r h') + b_hn``;
``h = (1 - z) n + z h'``.
"""

import numpy as np

from fastrnn.reference import gru, gru_before
from fastrnn.reference.activations import gate, gate_slope
from fastrnn.reference.arithmetic import bias_gradient, flush, fma, product, weight_gradient


def _form(cell):
    return gru if cell.reset == "after" else gru_before


def start(cell, params):
    return _form(cell).start(cell, params)


def forward(cell, params, zx, before, rec):
    (h_,) = before  # (N, H)
    rz = 2 * h_.shape[1]
    if cell.reset == "after":
        zr, zz, nx, nh = gru.sums(params, zx, rec)
        zn = fma(gate(cell, "r", zr), nh, nx)
        cached = zr, zz, zn, nh
    else:
        w_hh = params["w_hh"]
        zr, zz = np.split(product(rec.operand, w_hh[:rz], zx[:, :rz]), 2, axis=1)
        zn = product(flush(gate(cell, "r", zr) * rec.operand), w_hh[rz:], zx[:, rz:])
        cached = zr, zz, zn
    z, n = gate(cell, "z", zz), gate(cell, "n", zn)
    return (flush(fma(z, h_ - n, n)),), cached


def backward(cell, params, before, after, cached, dstate, rec):
    (h_,), (zr, zz, zn, *nh), (dh,) = before, cached, dstate
    rz = 2 * h_.shape[1]
    w_hh = params["w_hh"]
    r, z, n = gate(cell, "r", zr), gate(cell, "z", zz), gate(cell, "n", zn)
    dz = gate_slope(cell, "z", zz, z, dh * (h_ - n))
    dn = gate_slope(cell, "n", zn, n, fma(-dh, z, dh))
    if nh:
        dnh = flush(dn * r)
        dr = gate_slope(cell, "r", zr, r, dn * nh[0])
        drz = np.concatenate((dr, dz), axis=1)
        dx_side, dh_side = (np.concatenate((drz, d), axis=1) for d in (dn, dnh))
        return (dx_side, dh_side), (gru.carry(params, dh_side, dh * z, rec),)
    dq = flush(product(dn, w_hh[rz:].T))
    dr = gate_slope(cell, "r", zr, r, dq * rec.operand)
    drz = np.concatenate((dr, dz), axis=1)
    carry = rec.carried([(drz, w_hh[:rz])], direct=dh * z, plus=(dq, r))
    return (np.concatenate((drz, dn), axis=1),), (carry,)


def gradients(cell, dgates, before, after, cached, rec):
    if cell.reset == "after":
        return gru.gradients(cell, dgates, before, after, cached, rec)
    (d,), (zr, *_) = dgates, cached
    rz = 2 * rec.operand.shape[1]
    db = bias_gradient(d)
    q = flush(gate(cell, "r", zr) * rec.operand)
    w_hh = np.concatenate((weight_gradient(d[:, :rz], rec.operand), weight_gradient(d[:, rz:], q)))
    return {"w_hh": w_hh, "b_ih": db, "b_hh": db.copy()}


def gates(cell, cached):
    """The activations, and nh, from what the tape has."""
    zr, zz, zn, *nh = cached
    found = {"r": gate(cell, "r", zr), "z": gate(cell, "z", zz), "n": gate(cell, "n", zn)}
    return {**found, **({"nh": nh[0]} if nh else {})}
