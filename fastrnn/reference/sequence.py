"""The time loop: forward and backward for every cell.

A cell's file holds these functions::

    start(cell, params)                                     where the input product starts, (G*H,)
    forward(cell, params, zx, before)                       -> after, cached
    backward(cell, params, before, after, cached, dstate)   -> dgates, dbefore
    gradients(cell, dgates, x, before, after, cached)       -> gradient of each parameter
    gates(cell, cached)                                     -> gate activations by name, for `Tape.gates`;
                                                               only where they are not what is cached

``zx`` (N, G*H) is the input product; N counts the rows of the batch within their length at this step (in
gradients: at all steps). ``before`` and ``after`` are the states around the step, ``cached`` the arrays of
``cell.cached``, as tuples; ``dgates`` is a tuple of arrays (N, .), the first one the gradient of ``zx``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn import _checks
from fastrnn.cells import Cell
from fastrnn.reference.arithmetic import product
from fastrnn.reference.equations import EQUATIONS
from fastrnn.reference.tape import Tape


def forward(
    cell: Cell,
    params: Mapping[str, Any],
    x: Any,
    state: Any = None,
    *,
    lengths: Any = None,
    reverse: bool = False,
    tape: bool = True,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, Any, Tape | None]:
    """Run a cell over time: the same arguments and bits as `fastrnn.functional.forward`."""
    given = _checks.forward_arguments(cell, params, x, state, lengths, out)
    equations, params, dtype = EQUATIONS[cell.name], _with_biases(given.params), given.params.dtype
    (steps, batch, _), x = given.x.shape, given.x
    valid = _valid(steps, batch, given.lengths)
    first, last = _ends(valid, reverse)
    rows = np.arange(batch)

    states = tuple(np.zeros((steps + 1, *s.shape), dtype) for s in given.state)
    for slots, initial in zip(states, given.state, strict=True):
        slots[first, rows] = initial
    cached = np.zeros((steps, batch, len(cell.cached) * given.params.hidden_size), dtype)
    y = np.zeros((steps, batch, states[0].shape[2]), dtype) if out is None else out
    y[...] = 0

    with np.errstate(all="ignore"):
        zx = np.zeros((steps, batch, len(params["w_ih"])), dtype)
        zx[valid] = product(x[valid], params["w_ih"], equations.start(cell, params))
        for t, b in _visits(valid, reverse):
            before, after = (t + 1, t) if reverse else (t, t + 1)
            new, gates = equations.forward(cell, params, zx[t, b], tuple(s[before, b] for s in states))
            for slots, value in zip(states, new, strict=True):
                slots[after, b] = value
            if gates:
                cached[t, b] = np.concatenate(gates, axis=1)
            y[t, b] = new[0]

    final = _one_or_all([s[last, rows] for s in states])
    record = Tape(cell, given.params.arrays, x, given.lengths, reverse, states, cached) if tape else None
    return y, final, record


def backward(
    cell: Cell,
    params: Mapping[str, Any],
    tape: Tape,
    dy: Any = None,
    dstate: Any = None,
    *,
    consume: bool = False,
) -> tuple[np.ndarray, Any, dict[str, np.ndarray]]:
    """Run a cell back through time: the same arguments and bits as `fastrnn.functional.backward`."""
    given = _checks.backward_arguments(cell, params, tape, dy, dstate)
    equations, params, dtype = EQUATIONS[cell.name], _with_biases(given.params), given.params.dtype
    steps, batch, _ = tape.x.shape
    valid = _valid(steps, batch, tape.lengths)
    shift = (1, 0) if tape.reverse else (0, 1)  # slots before and after step t, less t
    carry = tuple(d.copy() for d in given.dstate)
    visits = _visits(valid, not tape.reverse)

    with np.errstate(all="ignore"):
        visited = []
        for t, b in visits:
            before, after = (tuple(s[t + k, b] for s in tape.states) for k in shift)
            dh, *rest = (d[b] for d in carry)
            dh = (dh.dtype.type(0) if given.dy is None else given.dy[t, b]) + dh
            cached = _blocks(cell, tape.cached[t, b])
            dgates, dbefore = equations.backward(cell, params, before, after, cached, (dh, *rest))
            for d, value in zip(carry, dbefore, strict=True):
                d[b] = value
            visited.append(dgates)

        dx = np.zeros(tape.x.shape, dtype)
        grads = {n: np.zeros_like(a) for n, a in params.items()}
        if visited:
            t = np.concatenate([np.full(len(b), t) for t, b in visits])
            b = np.concatenate([b for _, b in visits])
            dgates = tuple(map(np.concatenate, zip(*visited, strict=True)))
            before, after = (tuple(s[t + k, b] for s in tape.states) for k in shift)
            dx[t, b] = product(dgates[0], params["w_ih"].T)
            cached = _blocks(cell, tape.cached[t, b])
            grads = equations.gradients(cell, dgates, tape.x[t, b], before, after, cached)

    if consume:
        tape.release()
    return dx, _one_or_all(carry), {n: grads[n] for n in given.params.arrays}


def _with_biases(params):
    """The arrays, with biases of +0 where there are none."""
    rows = len(params.arrays["w_ih"])
    zeros = np.zeros(rows, params.dtype)
    return {"b_ih": zeros, "b_hh": zeros, **params.arrays}


def _valid(steps, batch, lengths):
    """Where a step lies within its row's length, (T, B)."""
    lengths = np.full(batch, steps) if lengths is None else lengths
    return np.arange(steps)[:, None] < lengths


def _ends(valid, reverse):
    """The slots of the initial and of the final state: a number, or one for each row."""
    lengths = valid.sum(axis=0)
    return (lengths, 0) if reverse else (0, lengths)


def _visits(valid, reverse):
    """``(t, rows within their length)`` in the order of processing, steps without a row left out."""
    steps = range(len(valid))
    return [(t, np.flatnonzero(valid[t])) for t in (reversed(steps) if reverse else steps) if valid[t].any()]


def _blocks(cell, cached):
    """The arrays of ``cell.cached`` side by side in cached, one by one."""
    return np.split(cached, len(cell.cached), axis=1) if cell.cached else ()


def _one_or_all(states):
    """An array for a cell of one state, a tuple for more."""
    return tuple(states) if len(states) > 1 else states[0]
