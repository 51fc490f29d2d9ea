"""Long short-term memory, gates i, f, g, o.  H units, N rows at a step, P = H without a projection.

``z = W_ih x + b_ih + W_hh h' + b_hh``;  ``c = f c' + i g``;  ``h = o tanh(c)``, with a projection
``m = o tanh(c)`` and ``h = W_hr m``.
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
    _, c_ = before  # (N, P), (N, H)
    zi, zf, zg, zo = np.split(product(rec.operand, params["w_hh"], zx), 4, axis=1)
    i, f, g, o = sigmoid(zi), sigmoid(zf), tanh(zg), sigmoid(zo)
    c = flush(fma(f, c_, i * g))
    h = flush(o * tanh(c))
    if cell.proj_size:
        h = flush(product(h, params["w_hr"]))
    return (h, c), (i, f, g, o)


def backward(cell, params, before, after, cached, dstate, rec):
    (_, c_), (_, c), (i, f, g, o), (dh, dc) = before, after, cached, dstate
    one = c.dtype.type(1)
    dm = flush(product(dh, params["w_hr"].T)) if cell.proj_size else dh
    t = tanh(c)
    d = fma(dm * o, fma(-t, t, one), dc)
    di = flush((d * g) * fma(-i, i, i))
    df = flush((d * c_) * fma(-f, f, f))
    dg = flush((d * i) * fma(-g, g, one))
    do = flush((dm * t) * fma(-o, o, o))
    dz = np.concatenate((di, df, dg, do), axis=1)
    return (dz, dh), (rec.carried([(dz, params["w_hh"])]), flush(d * f))


def gradients(cell, dgates, before, after, cached, rec):
    (dz, dh), (_, c), (*_, o) = dgates, after, cached
    db = bias_gradient(dz)
    grads = {
        "w_hh": weight_gradient(dz, rec.operand),
        "b_ih": db,
        "b_hh": db.copy(),
    }
    if cell.proj_size:
        grads["w_hr"] = weight_gradient(dh, flush(o * tanh(c)))
    return grads
