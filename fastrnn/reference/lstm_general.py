"""Long short-term memory with all that was added to it or left out.  H units, N rows at a step.

``z = W_ih x + b_ih + W_hh h' + b_hh``, with peepholes ``zi += p_i c'``, ``zf += p_f c'``, ``zo += p_o c``,
with full gate recurrence ``+ W_gg r'`` for i, f and o, where r is i, f, o side by side.  A gate is its
activation of z cut to [-clip, clip]; one that is not there is 1, and coupled ``f = 1 - i``.

Layer normalisation: ``z = gain norm(W_ih x) + gain norm(W_hh h' + W_gg r') + b``, and h sees
``gain norm(c) + b`` in place of c.

``c = f c' + i g`` cut to [-cell_clip, cell_clip];  ``h = o act(c)``, with a projection
``m = o act(c)`` and ``h = W_hr m``.
"""

from typing import NamedTuple

import numpy as np

from fastrnn.reference.activations import activate, clip, gate, gate_slope, slope, unless_clipped
from fastrnn.reference.arithmetic import (
    bias_gradient,
    diagonal_gradient,
    flush,
    fma,
    product,
    weight_gradient,
)
from fastrnn.reference.layer_norm import norm, pulled


def start(cell, params):
    return params["b_ih"] + params["b_hh"]


def forward(cell, params, zx, before, rec):
    _, c_, *r_ = before  # (N, P), (N, H), and with full gate recurrence (N, R)
    z = product(rec.operand, params["w_hh"], rec.start(zx))
    fed = [n for n in cell.gates if n != "g"]
    if r_:
        by_gate, own = _by_gate(cell, z), _fed(cell, z)
        by_gate |= zip(fed, np.split(product(r_[0], params["w_gg"], own), len(fed), axis=1), strict=True)
        z = np.concatenate(list(by_gate.values()), axis=1)
    z = _by_gate(cell, rec.added(z, zx))
    p = _peepholes(cell, params)
    for n in "if":
        if n in p:
            z[n] = fma(p[n], c_, z[n])
    i, f, g, _, c = _cell(cell, z, c_)
    if "o" in p:
        z["o"] = fma(p["o"], c, z["o"])
    o, t, *_ = _output(cell, params, z, c)
    h = flush(o * t)
    if cell.proj_size:
        h = flush(product(h, params["w_hr"]))
    gates = {"i": i, "f": f, "g": g, "o": o}
    r = [flush(np.concatenate([gates[n] for n in fed], axis=1))] if r_ else []
    return (h, c, *r), tuple(z[n] for n in cell.gates)


def backward(cell, params, before, after, cached, dstate, rec):
    (_, c_, *_), (dh, dc, *dr) = before, dstate
    z = dict(zip(cell.gates, cached, strict=True))
    i, f, g, whole, c = _cell(cell, z, c_)
    o, t, seen, normed = _output(cell, params, z, c)
    p = _peepholes(cell, params)
    fed = [n for n in cell.gates if n != "g"]
    zero = np.zeros_like(c)
    later = dict.fromkeys("ifo", zero)  # what the gates of the next step leave
    if dr:
        later |= zip(fed, np.split(dr[0], len(fed), axis=1), strict=True)

    dm = flush(product(dh, params["w_hr"].T)) if cell.proj_size else dh
    of_c, own = slope(cell.activation("h"), seen, t), ()
    if normed is None:
        d = fma(dm * o, of_c, dc)
    else:
        dseen = flush((dm * o) * of_c)
        d, own = pulled(normed, params["w_ln_c"], dseen, plus=dc), (dseen, normed.normal)
    dz = {}
    if "o" in z:
        dz["o"] = gate_slope(cell, "o", z["o"], o, fma(dm, t, later["o"]))
    if "o" in p:
        d = fma(dz["o"], p["o"], d)
    d = unless_clipped(whole, cell.cell_clip, d)
    dc = d * f
    if "i" in z:
        dz["i"] = gate_slope(cell, "i", z["i"], i, fma(d, g - c_ if cell.coupled else g, later["i"]))
    if "f" in z:
        dz["f"] = gate_slope(cell, "f", z["f"], f, fma(d, c_, later["f"]))
    dz["g"] = gate_slope(cell, "g", z["g"], g, d * i)
    for n in "if":
        if n in p:
            dc = fma(dz[n], p[n], dc)
    dz = np.concatenate([dz[n] for n in cell.gates], axis=1)
    dproducts = rec.through(dz)
    dr = [_fed_back(_by_gate(cell, dproducts), params["w_gg"])] if dr else []
    return (dz, dh, flush(o * t), *own), (rec.carried([(dproducts, params["w_hh"])]), flush(dc), *dr)


def gradients(cell, dgates, before, after, cached, rec):
    (dz, dh, m, *own), (_, c_, *r_) = dgates, before
    z = dict(zip(cell.gates, cached, strict=True))
    by_gate = _by_gate(cell, dz)
    c = _cell(cell, z, c_).c
    db = bias_gradient(dz)
    grads = {**rec.gradients(dz), "b_ih": db, "b_hh": db.copy()}
    if cell.proj_size:
        grads["w_hr"] = weight_gradient(dh, m)
    if own:
        dseen, normal = own
        grads |= {"w_ln_c": diagonal_gradient(dseen, normal), "b_ln_c": bias_gradient(dseen)}
    if cell.peepholes:
        seen = {"i": c_, "f": c_, "o": c}
        grads["w_peephole"] = np.array(
            [
                diagonal_gradient(by_gate[n], seen[n]) if n in cell.peeping else np.zeros_like(c[0])
                for n in "ifo"
            ]
        )
    if r_:
        grads["w_gg"] = weight_gradient(_fed(cell, rec.through(dz)), r_[0])
    return grads


def _fed(cell, d):
    """Of the blocks d of all gates, those of the gates that full gate recurrence feeds."""
    return np.concatenate([block for n, block in _by_gate(cell, d).items() if n != "g"], axis=1)


def gates(cell, cached):
    """The activations of i, f, g, o, from what the tape has."""
    found = {n: gate(cell, n, z) for n, z in zip(cell.gates, cached, strict=True)}
    if cell.coupled:
        found["f"] = found["i"].dtype.type(1) - found["i"]
    return found


class _Cell(NamedTuple):
    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    whole: np.ndarray  # c before it is cut
    c: np.ndarray


def _cell(cell, z, c_):
    one = np.ones_like(c_)
    i, f, g = (gate(cell, n, z[n]) if n in z else one for n in "ifg")
    if cell.coupled:
        f = one - i
    whole = flush(fma(f, c_, i * g))
    return _Cell(i, f, g, whole, clip(whole, cell.cell_clip))


def _output(cell, params, z, c):
    """o, the activation of what h sees of c, that itself, and c made normal where it is."""
    o = gate(cell, "o", z["o"]) if "o" in z else np.ones_like(c)
    seen, normed = c, None
    if cell.layer_norm:
        normed = norm(c, 1, cell.layer_norm_eps)
        seen = fma(params["w_ln_c"], normed.normal, params["b_ln_c"])
    return o, activate(cell.activation("h"), seen), seen, normed


def _fed_back(dz, w_gg):
    """The gradient of r: over i and f, as far as they are there, then, from that on, over o."""
    total, row = None, 0
    for part in ("if", "o"):
        d = [dz[n] for n in part if n in dz]
        if d:
            d = np.concatenate(d, axis=1)
            total = product(d, w_gg[row : row + d.shape[1]].T, total)
            row += d.shape[1]
    return flush(total)


def _peepholes(cell, params):
    """The weights of the peepholes by gate."""
    return {n: params["w_peephole"]["ifo".index(n)] for n in cell.peeping}


def _by_gate(cell, z):
    return dict(zip(cell.gates, np.split(z, len(cell.gates), axis=1), strict=True))
