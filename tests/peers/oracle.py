"""The same pass over a sequence in PyTorch: forward, then every gradient by its automatic differentiation."""

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch_steps import STEPS

from fastrnn import cells

torch.set_num_threads(1)  # the matrices are small: threads would only wait for each other


def run(cell, params, x, state, dy, dstate, *, lengths=None, reverse=False, dtype=torch.float64):
    """Results of `fastrnn.functional.forward` and `backward` by name, as float64 arrays.

    ``y``, the states after the last step, such as ``h`` and ``c``, ``dx``, the gradients of the initial
    states, such as ``dh`` and ``dc``, and ``d`` before the name of each parameter. ``state`` and ``dstate``
    are tuples of arrays.
    """

    def leaf(a):
        return torch.tensor(np.asarray(a, np.float64), dtype=dtype, requires_grad=True)

    weights = {n: leaf(a) for n, a in params.items()}
    x, state = leaf(x), tuple(map(leaf, state))
    steps, batch, _ = x.shape
    counts = np.full(batch, steps) if lengths is None else np.asarray(lengths)
    order = torch.tensor(_order(steps, counts, reverse))
    turned = torch.gather(x, 0, order[:, :, None].expand(x.shape))

    y, last = _forward(cell, weights, turned, state, counts, ragged=lengths is not None)
    y = torch.gather(y, 0, order[:, :, None].expand(y.shape))

    valid = torch.tensor(np.arange(steps)[:, None] < counts)[:, :, None]
    y = torch.where(valid, y, torch.zeros((), dtype=dtype))
    loss = (y * torch.tensor(dy, dtype=dtype)).sum()
    for value, d in zip(last, dstate, strict=True):
        loss = loss + (value * torch.tensor(d, dtype=dtype)).sum()
    loss.backward()

    found = {"y": y, "dx": x.grad}
    for name, initial, value in zip(cell.states, state, last, strict=True):
        found |= {name: value, f"d{name}": initial.grad}
    found |= {f"d{n}": w.grad for n, w in weights.items()}
    return {n: v.detach().numpy().astype(np.float64) for n, v in found.items()}


def _order(steps, counts, reverse):
    """Where each step is read from, (T, B): each row turned round within its own length, or as it is."""
    t = np.arange(steps)[:, None]
    return (
        np.where(t < counts, counts - 1 - t, t)
        if reverse
        else np.broadcast_to(t, (steps, len(counts))).copy()
    )


def _forward(cell, weights, x, state, counts, ragged):
    if cell.layer_norm or cell.name not in ("rnn", "lstm", "gru"):
        return _stepped(cell, weights, x, state, counts)
    rows = np.flatnonzero(counts)  # PyTorch refuses rows of length 0: they keep their state
    initial = tuple(s[None, rows] for s in state)
    given = x[:, rows]
    if ragged:
        given = pack_padded_sequence(given, torch.tensor(counts[rows]), enforce_sorted=False)
    layer = _layer(cell, weights, x.dtype)
    names = {f"{n.replace('w_', 'weight_').replace('b_', 'bias_')}_l0": w for n, w in weights.items()}
    y_rows, last_rows = torch.func.functional_call(
        layer, names, (given, initial if len(initial) > 1 else initial[0])
    )
    if ragged:
        y_rows, _ = pad_packed_sequence(y_rows, total_length=len(x))
    last_rows = last_rows if isinstance(last_rows, tuple) else (last_rows,)
    y = torch.zeros((*x.shape[:2], y_rows.shape[2]), dtype=x.dtype).index_copy(1, torch.tensor(rows), y_rows)
    last = tuple(s.index_copy(0, torch.tensor(rows), v[0]) for s, v in zip(state, last_rows, strict=True))
    return y, last


def _layer(cell, weights, dtype):
    hidden, inputs = weights["w_ih"].shape[0] // len(cell.gates), weights["w_ih"].shape[1]
    options = {"bias": "b_ih" in weights, "dtype": dtype}
    match cell:
        case cells.RNN():
            return torch.nn.RNN(inputs, hidden, nonlinearity=cell.activation.name, **options)
        case cells.LSTM():
            return torch.nn.LSTM(inputs, hidden, proj_size=cell.proj_size, **options)
        case cells.GRU():
            return torch.nn.GRU(inputs, hidden, **options)


def _stepped(cell, weights, x, state, counts):
    """PyTorch has no such layer: a loop over the cell's equations, for PyTorch to differentiate."""
    step, y = STEPS[type(cell).__name__], []
    for t, xt in enumerate(x):
        counted = torch.tensor(t < counts)[:, None]
        after = step(cell, weights, xt, state)
        state = tuple(torch.where(counted, new, old) for new, old in zip(after, state, strict=True))
        y.append(state[0])
    return torch.stack(y), state
