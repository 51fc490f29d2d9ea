"""minGRU, gates z, n, of the input alone: ``h = (1 - z) h' + z n``.  H units, N rows at a step."""

import numpy as np

from fastrnn.reference.activations import gate, gate_slope
from fastrnn.reference.arithmetic import bias_gradient, flush, fma


def start(cell, params):
    return params["b_ih"]


def forward(cell, params, zx, before, rec):
    (h_,) = before  # (N, H)
    zz, zn = np.split(zx, 2, axis=1)
    return (flush(fma(gate(cell, "z", zz), gate(cell, "n", zn) - h_, h_)),), (zz, zn)


def backward(cell, params, before, after, cached, dstate, rec):
    (h_,), (zz, zn), (dh,) = before, cached, dstate
    z, n = gate(cell, "z", zz), gate(cell, "n", zn)
    dz = gate_slope(cell, "z", zz, z, dh * (n - h_))
    dn = gate_slope(cell, "n", zn, n, dh * z)
    return (np.concatenate((dz, dn), axis=1),), (rec.carried([], direct=fma(-dh, z, dh)),)


def gradients(cell, dgates, before, after, cached, rec):
    (d,) = dgates
    return {"b_ih": bias_gradient(d)}


def gates(cell, cached):
    zz, zn = cached
    return {"z": gate(cell, "z", zz), "n": gate(cell, "n", zn)}
