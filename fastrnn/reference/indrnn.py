"""Independently recurrent: ``h = act(W_ih x + b_ih + w_hh * h' + b_hh)``.  H units, N rows at a step."""

from fastrnn.reference.activations import gate, gate_slope
from fastrnn.reference.arithmetic import (
    bias_gradient,
    diagonal_gradient,
    flush,
    fma,
)


def start(cell, params):
    return params["b_ih"] + params["b_hh"]


def forward(cell, params, zx, before, rec):
    z = fma(params["w_hh"], rec.operand, zx)
    return (flush(gate(cell, "n", z)),), (z,)


def backward(cell, params, before, after, cached, dstate, rec):
    (z,), (dh,) = cached, dstate
    dz = gate_slope(cell, "n", z, gate(cell, "n", z), dh)
    return (dz,), (rec.carried([], start=dz * params["w_hh"]),)


def gradients(cell, dgates, before, after, cached, rec):
    (dz,) = dgates
    db = bias_gradient(dz)
    return {
        "w_hh": diagonal_gradient(dz, rec.operand),
        "b_ih": db,
        "b_hh": db.copy(),
    }


def gates(cell, cached):
    return {"n": gate(cell, "n", cached[0])}
