"""Steps of the cells that PyTorch does not have, as their papers write them, for PyTorch to differentiate.

A step takes the cell, its weights, x at the step (B, I) and the states before it, and returns those after it.
"""

import torch
import torch.nn.functional as F


def activated(activation, z):
    a, b = activation.alpha, activation.beta
    match activation.name:
        case "affine":
            return a * z + b
        case "leaky_relu":
            return F.leaky_relu(z, a)
        case "thresholded_relu":
            return F.threshold(z, a, 0)
        case "scaled_tanh":
            return a * torch.tanh(b * z)
        case "hard_sigmoid":
            return torch.clamp(a * z + b, 0, 1)
        case "elu":
            return F.elu(z, a)
        case "softsign" | "softplus":
            return getattr(F, activation.name)(z)
        case name:
            return getattr(torch, name)(z)


def clipped(z, limit):
    return z if limit is None else torch.clamp(z, -limit, limit)


def gate(cell, name, z):
    return activated(cell.activation(name), clipped(z, cell.clip))


def normal(cell, weights, name, v):
    """v (B, .), with layer normalisation normalised and times its gain."""
    if not cell.layer_norm:
        return v
    bias = weights.get(name.replace("w", "b", 1))
    return F.layer_norm(v, v.shape[1:], weights[name], bias, cell.layer_norm_eps)


def by_gate(cell, v):
    return dict(zip(cell.gates, v.chunk(len(cell.gates), 1), strict=True))


def of_input(cell, weights, x):
    """``W_ih x`` by gate."""
    return by_gate(cell, normal(cell, weights, "w_ln_ih", x @ weights["w_ih"].T))


def of_hidden(cell, weights, h):
    """``W_hh h'`` by gate."""
    return by_gate(cell, normal(cell, weights, "w_ln_hh", h @ weights["w_hh"].T))


def bias(cell, weights, name):
    """``b_ih`` or ``b_hh`` by gate, 0 where there is none."""
    if name not in weights:
        return dict.fromkeys(cell.gates, 0.0)
    return dict(zip(cell.gates, weights[name].chunk(len(cell.gates)), strict=True))


def rnn(cell, weights, x, states):
    (h,) = states
    z = of_input(cell, weights, x)["n"] + of_hidden(cell, weights, h)["n"]
    z = z + weights.get("b_ih", 0) + weights.get("b_hh", 0)
    return (activated(cell.activation, clipped(z, cell.clip)),)


def indrnn(cell, weights, x, states):
    (h,) = states
    z = x @ weights["w_ih"].T + weights["w_hh"] * h + weights.get("b_ih", 0) + weights.get("b_hh", 0)
    return (gate(cell, "n", z),)


def lstm(cell, weights, x, states):
    h, c, *r = states
    fed = [name for name in cell.gates if name != "g"]
    wh = by_gate(cell, h @ weights["w_hh"].T)
    if r:
        more = (r[0] @ weights["w_gg"].T).chunk(len(fed), 1)
        wh |= {name: wh[name] + m for name, m in zip(fed, more, strict=True)}
    parts = [
        of_input(cell, weights, x),
        by_gate(cell, normal(cell, weights, "w_ln_hh", torch.cat(list(wh.values()), 1))),
        bias(cell, weights, "b_ih"),
        bias(cell, weights, "b_hh"),
    ]
    z = {name: sum(part[name] for part in parts) for name in cell.gates}

    def gate_of(name, seen):
        if name not in cell.gates:
            return torch.ones_like(c)
        peephole = weights["w_peephole"]["ifo".index(name)] * seen if name in cell.peepholes else 0
        return gate(cell, name, z[name] + peephole)

    i, f = gate_of("i", c), gate_of("f", c)
    if cell.coupled:
        f = 1 - i
    c = clipped(f * c + i * gate(cell, "g", z["g"]), cell.cell_clip)
    o = gate_of("o", c)
    h = o * activated(cell.activation("h"), normal(cell, weights, "w_ln_c", c))
    if cell.proj_size:
        h = h @ weights["w_hr"].T
    gates = {"i": i, "f": f, "o": o}
    return (h, c, *([torch.cat([gates[name] for name in fed], 1)] if r else []))


def gru(cell, weights, x, states):
    (h,) = states
    wx, b, d = of_input(cell, weights, x), bias(cell, weights, "b_ih"), bias(cell, weights, "b_hh")
    wh = of_hidden(cell, weights, h)
    r, z = (gate(cell, name, wx[name] + b[name] + wh[name] + d[name]) for name in "rz")
    if cell.reset == "after":
        zn = wx["n"] + b["n"] + r * (wh["n"] + d["n"])
    else:
        zn = wx["n"] + b["n"] + of_hidden(cell, weights, r * h)["n"] + d["n"]
    return ((1 - z) * gate(cell, "n", zn) + z * h,)


def mgu(cell, weights, x, states):
    (h,) = states
    wx, b, d = of_input(cell, weights, x), bias(cell, weights, "b_ih"), bias(cell, weights, "b_hh")
    f = gate(cell, "f", wx["f"] + b["f"] + of_hidden(cell, weights, h)["f"] + d["f"])
    n = gate(cell, "n", wx["n"] + b["n"] + of_hidden(cell, weights, f * h)["n"] + d["n"])
    return ((1 - f) * h + f * n,)


def mingru(cell, weights, x, states):
    (h,) = states
    wx, b = of_input(cell, weights, x), bias(cell, weights, "b_ih")
    z, n = (gate(cell, name, wx[name] + b[name]) for name in "zn")
    return ((1 - z) * h + z * n,)


def minlstm(cell, weights, x, states):
    (h,) = states
    wx, b = of_input(cell, weights, x), bias(cell, weights, "b_ih")
    f, i, n = (gate(cell, name, wx[name] + b[name]) for name in "fin")
    return (f / (f + i) * h + i / (f + i) * n,)


# By the name of the class of the cell.
STEPS = {
    "RNN": rnn,
    "IndRNN": indrnn,
    "LSTM": lstm,
    "GRU": gru,
    "MGU": mgu,
    "MinGRU": mingru,
    "MinLSTM": minlstm,
}
