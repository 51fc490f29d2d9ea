"""Elman's network with any activation: ``h = act(clip(W_ih x + b_ih + W_hh h' + b_hh))``."""

from fastrnn.reference.activations import activate, clip, slope, unless_clipped
from fastrnn.reference.arithmetic import carried, flush, product
from fastrnn.reference.rnn import gradients, start

__all__ = ["backward", "forward", "gates", "gradients", "start"]


def forward(cell, params, zx, before, rec):
    z = product(rec, params["w_hh"], zx)
    return (flush(activate(cell.activation, clip(z, cell.clip))),), (z,)


def backward(cell, params, before, after, cached, dstate, rec, scale):
    (z,), (dh,) = cached, dstate
    inside = clip(z, cell.clip)
    of_inside = slope(cell.activation, inside, activate(cell.activation, inside))
    dz = flush(dh * unless_clipped(z, cell.clip, of_inside))
    return (dz,), (carried([(dz, params["w_hh"])], scale=scale),)


def gates(cell, cached):
    (z,) = cached
    return {"n": activate(cell.activation, clip(z, cell.clip))}
