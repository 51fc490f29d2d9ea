"""Recurrent networks as they are usually written in NumPy: a loop over time with two products a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["backward", "forward", "gradient", "layers_backward", "layers_forward", "step"]

Weights = Sequence[np.ndarray]  # w_ih (G*H, I), w_hh (G*H, H), b_ih, b_hh (G*H,)


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _rnn(w_ih, w_hh, b_ih, b_hh, x, h):
    h = np.tanh(x @ w_ih.T + h @ w_hh.T + b_ih)
    return (h,), (h,)


def _rnn_back(h_before, cache, dh):
    (h,) = cache
    dz = dh * (1 - h * h)
    return dz, dz, (0,)


def _lstm(w_ih, w_hh, b_ih, b_hh, x, h, c):
    zi, zf, zg, zo = np.split(x @ w_ih.T + h @ w_hh.T + b_ih, 4, axis=-1)
    i, f, g, o = _sigmoid(zi), _sigmoid(zf), np.tanh(zg), _sigmoid(zo)
    c = f * c + i * g
    tanh_c = np.tanh(c)
    return (o * tanh_c, c), (i, f, g, o, tanh_c)


def _lstm_back(h, c, cache, dh, dc):
    i, f, g, o, tanh_c = cache
    dc = dh * o * (1 - tanh_c * tanh_c) + dc
    di, df, dg, do = dc * g, dc * c, dc * i, dh * tanh_c
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)], axis=-1)
    return dz, dz, (0, dc * f)


def _gru(w_ih, w_hh, b_ih, b_hh, x, h):
    xr, xz, xn = np.split(x @ w_ih.T + b_ih, 3, axis=-1)
    hr, hz, hn = np.split(h @ w_hh.T + b_hh, 3, axis=-1)
    r, z = _sigmoid(xr + hr), _sigmoid(xz + hz)
    n = np.tanh(xn + r * hn)
    return (n + z * (h - n),), (r, z, n, hn)


def _gru_back(h, cache, dh):
    r, z, n, hn = cache
    dn = dh * (1 - z) * (1 - n * n)
    dr, dz = dn * hn * r * (1 - r), dh * (h - n) * z * (1 - z)
    return np.concatenate([dr, dz, dn], axis=-1), np.concatenate([dr, dz, dn * r], axis=-1), (dh * z,)


#: Cell -> a step, its gradient, the number of states.
_CELLS: dict[str, tuple[Callable, Callable, int]] = {
    "rnn": (_rnn, _rnn_back, 1),
    "lstm": (_lstm, _lstm_back, 2),
    "gru": (_gru, _gru_back, 1),
}


def _prepared(cell: str, weights: Weights) -> Weights:
    """Where the two biases are only added to each other, that is done once."""
    w_ih, w_hh, b_ih, b_hh = weights
    return weights if cell == "gru" else (w_ih, w_hh, b_ih + b_hh, b_hh)


def step(cell: str, weights: Weights) -> Any:
    """Return a function of x (..., I) and the states (each (..., H)) that returns the states after."""
    advance, prepared = _CELLS[cell][0], _prepared(cell, weights)
    return lambda x, *state: advance(*prepared, x, *state)[0]


def forward(cell: str, weights: Weights, x: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any, list]:
    """Return y (T, B, H), the tuple of the states after the last step, and a tape.

    Parameters
    ----------
    cell : "rnn", "lstm" or "gru"
    weights : w_ih, w_hh, b_ih, b_hh
    x : array, (T, B, I)
    state : tuple of arrays (B, H), optional
    """
    advance, _, states = _CELLS[cell]
    if state is None:
        state = (np.zeros((x.shape[1], weights[1].shape[1]), x.dtype),) * states
    prepared, ys, tape = _prepared(cell, weights), [], []
    for x_t in x:
        before = state
        state, cache = advance(*prepared, x_t, *before)
        ys.append(state[0])
        tape.append((x_t, before, cache))
    return np.stack(ys), state, tape


def backward(cell: str, weights: Weights, tape: list, dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return dx and the gradients of the weights, by the same loop backwards."""
    w_ih, w_hh, _, _ = weights
    _, back, states = _CELLS[cell]
    grads = [np.zeros_like(w) for w in weights]
    dx = np.empty((*dy.shape[:2], w_ih.shape[1]), dy.dtype)
    carry: tuple = (0,) * states
    for t in reversed(range(len(dy))):
        x, before, cache = tape[t]
        dz_x, dz_h, carry = back(*before, cache, dy[t] + carry[0], *carry[1:])
        grads[0] += dz_x.T @ x
        grads[1] += dz_h.T @ before[0]
        grads[2] += dz_x.sum(axis=0)
        grads[3] += dz_h.sum(axis=0)
        dx[t] = dz_x @ w_ih
        carry = (carry[0] + dz_h @ w_hh, *carry[1:])
    return dx, grads


def layers_forward(cell: str, layers: Sequence[Sequence[Weights]], x: np.ndarray) -> tuple[np.ndarray, list]:
    """Stacked layers, each the weights of one or both directions; return y and a tape."""
    tapes = []
    for directions in layers:
        runs = [forward(cell, weights, x[:: 1 - 2 * k]) for k, weights in enumerate(directions)]
        tapes.append([run[2] for run in runs])
        x = runs[0][0] if len(runs) == 1 else np.concatenate([runs[0][0], runs[1][0][::-1]], axis=2)
    return x, tapes


def layers_backward(
    cell: str, layers: Sequence[Sequence[Weights]], tapes: list, dy: np.ndarray
) -> tuple[np.ndarray, list[list[np.ndarray]]]:
    """Return dx and, for each layer and direction, the gradients of the weights."""
    grads: list[list[np.ndarray]] = []
    for directions, runs in zip(reversed(layers), reversed(tapes), strict=True):
        parts = np.split(dy, len(directions), axis=2)
        backs = [
            backward(cell, weights, tape, part[:: 1 - 2 * k])
            for k, (weights, tape, part) in enumerate(zip(directions, runs, parts, strict=True))
        ]
        grads = [back[1] for back in backs] + grads
        dy = backs[0][0] if len(backs) == 1 else backs[0][0] + backs[1][0][::-1]
    return dy, grads


def gradient(
    params: Mapping[str, np.ndarray], inputs: np.ndarray, targets: np.ndarray, state: Any = None
) -> tuple[float, dict[str, np.ndarray], Any]:
    """What ``Network.gradient`` of the language model does, for plain cells, in plain NumPy.

    Parameters
    ----------
    params : mapping of str to array
        The language model's, by its names.
    inputs, targets : arrays of int, (T, B)
    state : (L, B, H), of an LSTM a pair of them, optional

    Returns
    -------
    loss : float
    gradients : dict of str to array
    state : as the argument
    """
    layers = sum(name.startswith("rnn.weight_ih_l") for name in params)
    names = [
        [f"rnn.{name}_l{k}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        for k in range(layers)
    ]
    weights = [[params[name] for name in layer] for layer in names]
    rows_hh, hidden = weights[0][1].shape
    cell = {1: "rnn", 3: "gru", 4: "lstm"}[rows_hh // hidden]
    states = state if isinstance(state, tuple) else (state,)
    table, w_out, b_out = params["embedding.weight"], params["out.weight"], params["out.bias"]

    y = table[inputs]
    after, tapes = [], []
    for k in range(layers):
        before = None if state is None else tuple(s[k] for s in states)
        y, last, tape = forward(cell, weights[k], y, before)
        after.append(last)
        tapes.append(tape)
    rows = y.reshape(-1, y.shape[-1])
    logits = rows @ w_out.T + b_out
    logits -= logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    each = np.arange(len(rows)), targets.reshape(-1)
    loss = float(-np.log(p[each]).mean())

    p[each] -= 1
    dlogits = p / len(rows)
    grads = {"out.weight": dlogits.T @ rows, "out.bias": dlogits.sum(axis=0)}
    dy = (dlogits @ w_out).reshape(y.shape)
    for k in reversed(range(layers)):
        dy, dweights = backward(cell, weights[k], tapes[k], dy)
        grads |= dict(zip(names[k], dweights, strict=True))
    grads["embedding.weight"] = np.zeros_like(table)
    np.add.at(grads["embedding.weight"], inputs.reshape(-1), dy.reshape(-1, dy.shape[-1]))
    last = tuple(np.stack(arrays) for arrays in zip(*after, strict=True))
    return loss, grads, last if len(last) > 1 else last[0]
