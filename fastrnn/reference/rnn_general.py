"""Elman's network with any activation: ``h = act(clip(W_ih x + b_ih + W_hh h' + b_hh))``."""

from fastrnn.reference.activations import activate, clip, slope, unless_clipped
from fastrnn.reference.arithmetic import flush, product
from fastrnn.reference.rnn import gradients, start

__all__ = ["backward", "forward", "gates", "gradients", "start"]


def forward(cell, params, zx, before, rec):
    z = rec.added(product(rec.operand, params["w_hh"], rec.start(zx)), zx)
    return (flush(activate(cell.activation, clip(z, cell.clip))),), (z,)


def backward(cell, params, before, after, cached, dstate, rec):
    (z,), (dh,) = cached, dstate
    inside = clip(z, cell.clip)
    of_inside = slope(cell.activation, inside, activate(cell.activation, inside))
    dz = flush(dh * unless_clipped(z, cell.clip, of_inside))
    return (dz,), (rec.carried([(rec.through(dz), params["w_hh"])]),)


def gates(cell, cached):
    (z,) = cached
    return {"n": activate(cell.activation, clip(z, cell.clip))}
