"""minLSTM, gates f, i, n, of the input alone.  H units, N rows at a step.

``h = a h' + b n`` with ``a = f / (f + i)``, ``b = i / (f + i)``, a half each where ``f + i = 0``.
"""

import numpy as np

from fastrnn.reference.activations import gate, gate_slope
from fastrnn.reference.arithmetic import bias_gradient, flush, fma


def start(cell, params):
    return params["b_ih"]


def forward(cell, params, zx, before, rec):
    (h_,) = before  # (N, H)
    cached = np.split(zx, 3, axis=1)
    *_, n, _, a, b = _shares(cell, cached)
    return (flush(fma(a, h_, b * n)),), tuple(cached)


def backward(cell, params, before, after, cached, dstate, rec):
    (h_,), (zf, zi, zn), (dh,) = before, cached, dstate
    f, i, n, total, a, b = _shares(cell, cached)
    da = np.where(np.abs(total) <= 0, dh.dtype.type(0), (dh * (h_ - n)) / total)
    df = gate_slope(cell, "f", zf, f, da * b)
    di = gate_slope(cell, "i", zi, i, -da * a)
    dn = gate_slope(cell, "n", zn, n, dh * b)
    return (np.concatenate((df, di, dn), axis=1),), (rec.carried([], direct=dh * a),)


def gradients(cell, dgates, before, after, cached, rec):
    (d,) = dgates
    return {"b_ih": bias_gradient(d)}


def gates(cell, cached):
    f, i, n, *_ = _shares(cell, cached)
    return {"f": f, "i": i, "n": n}


def _shares(cell, cached):
    f, i, n = (gate(cell, name, z) for name, z in zip("fin", cached, strict=True))
    total = f + i
    half, none = f.dtype.type(0.5), np.abs(total) <= 0
    return f, i, n, total, np.where(none, half, f / total), np.where(none, half, i / total)
