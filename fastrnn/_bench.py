"""The measuring core, and the naive NumPy that measurements stand beside."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["interleaved", "naive_gradient", "naive_lstm", "naive_lstm_backward"]


# Threads that have nothing to do spin on for a while: OpenBLAS's for some 30 ms, OpenMP's for some 5.
_PAUSE = 0.06


def interleaved(calls: Mapping[str, Callable[[], Any]], rounds: int = 5) -> dict[str, float]:
    """Return the median seconds of each call, all called in turn in every round.

    So what else the machine does falls on all of them alike. Before each measurement there is a pause, so
    that the idle threads of one library do not slow the next, and a call that is not counted, to warm up.

    Examples
    --------
    >>> sorted(interleaved({"short": lambda: sum(range(9)), "long": lambda: sum(range(999))}, 3))
    ['long', 'short']
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(_PAUSE)
            call()
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def naive_lstm(
    w_ih: np.ndarray, w_hh: np.ndarray, b: np.ndarray, x: np.ndarray, h: np.ndarray, c: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], list]:
    """An LSTM as it is usually written in NumPy: a loop over time with two products a step.

    Parameters
    ----------
    w_ih, w_hh, b : arrays (4H, I), (4H, H), (4H,)
    x : array, (T, B, I)
    h, c : arrays, (B, H)

    Returns
    -------
    y : array, (T, B, H)
    state : (h, c)
    tape : list
        For `naive_lstm_backward`.
    """
    hs, tape = [], []
    for x_t in x:
        z = x_t @ w_ih.T + h @ w_hh.T + b
        zi, zf, zg, zo = np.split(z, 4, axis=1)
        i, f, o = 1 / (1 + np.exp(-zi)), 1 / (1 + np.exp(-zf)), 1 / (1 + np.exp(-zo))
        g = np.tanh(zg)
        tape.append((x_t, h, c, i, f, g, o))
        c = f * c + i * g
        h = o * np.tanh(c)
        hs.append(h)
    return np.stack(hs), (h, c), tape


def naive_lstm_backward(
    w_ih: np.ndarray, w_hh: np.ndarray, tape: list, dy: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return dx and the gradients of w_ih, w_hh and b, by the same loop backwards."""
    dw_ih, dw_hh = np.zeros_like(w_ih), np.zeros_like(w_hh)
    db = np.zeros_like(w_ih[:, 0])
    dx = np.empty((len(dy), dy.shape[1], w_ih.shape[1]), dy.dtype)
    dh_next = np.zeros_like(dy[0])
    dc_next = np.zeros_like(dy[0])
    for t in reversed(range(len(dy))):
        x_t, h, c, i, f, g, o = tape[t]
        tanh_c = np.tanh(f * c + i * g)
        dh = dy[t] + dh_next
        dc = dh * o * (1 - tanh_c * tanh_c) + dc_next
        di, df, dg, do = dc * g, dc * c, dc * i, dh * tanh_c
        dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)], axis=1)
        dw_ih += dz.T @ x_t
        dw_hh += dz.T @ h
        db += dz.sum(axis=0)
        dx[t] = dz @ w_ih
        dh_next = dz @ w_hh
        dc_next = dc * f
    return dx, dw_ih, dw_hh, db


def naive_gradient(
    params: Mapping[str, np.ndarray], inputs: np.ndarray, targets: np.ndarray, state: Any = None
) -> tuple[float, dict[str, np.ndarray], Any]:
    """What ``Network.gradient`` of the language model does, for LSTM layers, in plain NumPy.

    Parameters
    ----------
    params : mapping of str to array
        The language model's, by its names.
    inputs, targets : arrays of int, (T, B)
    state : (h, c), each (L, B, H), optional

    Returns
    -------
    loss : float
    gradients : dict of str to array
    state : (h, c)
    """
    layers = sum(name.startswith("rnn.weight_ih_l") for name in params)
    weights = [
        (
            params[f"rnn.weight_ih_l{k}"],
            params[f"rnn.weight_hh_l{k}"],
            params[f"rnn.bias_ih_l{k}"] + params[f"rnn.bias_hh_l{k}"],
        )
        for k in range(layers)
    ]
    table, w_out, b_out = params["embedding.weight"], params["out.weight"], params["out.bias"]
    if state is None:
        zeros = np.zeros((layers, inputs.shape[1], w_out.shape[1]), w_out.dtype)
        state = zeros, zeros

    y = table[inputs]
    hs, cs, tapes = [], [], []
    for k, (w_ih, w_hh, b) in enumerate(weights):
        y, (h, c), tape = naive_lstm(w_ih, w_hh, b, y, state[0][k], state[1][k])
        hs.append(h)
        cs.append(c)
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
        w_ih, w_hh, _ = weights[k]
        dy, dw_ih, dw_hh, db = naive_lstm_backward(w_ih, w_hh, tapes[k], dy)
        grads |= {f"rnn.weight_ih_l{k}": dw_ih, f"rnn.weight_hh_l{k}": dw_hh}
        grads |= {f"rnn.bias_ih_l{k}": db, f"rnn.bias_hh_l{k}": db.copy()}
    grads["embedding.weight"] = np.zeros_like(table)
    np.add.at(grads["embedding.weight"], inputs.reshape(-1), dy.reshape(-1, dy.shape[-1]))
    return loss, grads, (np.stack(hs), np.stack(cs))
