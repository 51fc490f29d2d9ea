"""The time loop: forward and backward for every cell.

A cell's file holds these functions::

    start(cell, params)                                     where the input product starts, (G*H,)
    forward(cell, params, zx, before, rec)                  -> after, cached
    backward(cell, params, before, after, cached, dstate, rec)   -> dgates, dbefore
    gradients(cell, dgates, before, after, cached, rec)     -> gradient of each parameter but w_ih
    gates(cell, cached)                                     -> gate activations by name, for `Tape.gates`;
                                                               only where they are not what is cached

``zx`` (N, G*H) is the input product; N is the number of rows for which this step counts, as it lies within
their length and is not masked (in gradients: at all steps). ``before`` and ``after`` are the states around
the step, ``cached`` the arrays of ``cell.cached``, as tuples; ``dgates`` is a tuple of arrays (N, .), the
first one the gradient of ``zx``. ``rec`` is the `Recurrence`: what h' is to the recurrent products, and they
to the pre-activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from fastrnn import _checks
from fastrnn.cells import Cell, Noise
from fastrnn.reference.arithmetic import (
    diagonal_gradient,
    flush,
    fma,
    product,
    weight_gradient,
)
from fastrnn.reference.equations import EQUATIONS
from fastrnn.reference.layer_norm import norm, pulled
from fastrnn.reference.recurrence import Recurrence
from fastrnn.reference.tape import Tape


def forward(
    cell: Cell,
    params: Mapping[str, Any],
    x: Any,
    state: Any = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    reverse: bool = False,
    tape: bool = True,
    out: np.ndarray | None = None,
    noise: Noise | None = None,
    checkpoint_every: int | Literal["auto"] | None = None,
) -> tuple[np.ndarray, Any, Tape | None]:
    """Run a cell over time: the same arguments and bits as `fastrnn.functional.forward`."""
    given = _checks.forward_arguments(
        cell, params, x, state, lengths, mask, out, noise, tape, checkpoint_every
    )
    equations, params, dtype = EQUATIONS[cell.name], _with_biases(given.params), given.params.dtype
    (steps, batch, _), x = given.x.shape, given.x
    valid, held = _counted(steps, batch, given.lengths, given.mask)
    first, last = _ends(valid | held, reverse)
    rows = np.arange(batch)

    states = tuple(np.zeros((steps + 1, *s.shape), dtype) for s in given.state)
    for slots, initial in zip(states, given.state, strict=True):
        slots[first, rows] = initial
    cached = np.zeros((steps, batch, len(cell.recorded) * given.params.hidden_size), dtype)
    y = np.zeros((steps, batch, states[0].shape[2]), dtype) if out is None else out
    y[...] = 0

    with np.errstate(all="ignore"):
        zx = np.zeros((steps, batch, len(params["w_ih"])), dtype)
        zx[valid], raw = _input_product(cell, params, x[valid], equations.start(cell, params))
        if cell.layer_norm:
            cached[valid, -zx.shape[2] :] = raw
        for t in _order(steps, reverse):
            before, after = (t + 1, t) if reverse else (t, t + 1)
            for slots in states:
                slots[after, held[t]] = slots[before, held[t]]
            y[t, held[t]] = states[0][after, held[t]]
            b = np.flatnonzero(valid[t])
            if not b.size:
                continue
            old = tuple(s[before, b] for s in states)
            rec = Recurrence(cell, params, old[0], _factors(given.noise, b))
            new, gates = equations.forward(cell, params, zx[t, b], old, rec)
            new = _zoned(cell, given.noise, t, b, old, new)
            for slots, value in zip(states, new, strict=True):
                slots[after, b] = value
            gates = gates if rec.raw is None else (*gates, rec.raw)
            if gates:
                kept = np.concatenate(gates, axis=1)
                cached[t, b, : kept.shape[1]] = kept
            y[t, b] = new[0]

    final = _one_or_all([s[last, rows] for s in states])
    if not tape:
        return y, final, None
    arrays, drawn = (given.params.arrays, x, given.lengths), (given.mask, given.noise)
    if given.every is None:
        return y, final, Tape(cell, *arrays, reverse, states, cached, *drawn)
    kept, every = _checkpoints(valid, given.every, given.mask is not None)
    states = tuple(s[kept, rows] for s in states)
    return y, final, Tape(cell, *arrays, reverse, states, None, *drawn, every)


def backward(
    cell: Cell,
    params: Mapping[str, Any],
    tape: Tape,
    dy: Any = None,
    dstate: Any = None,
    *,
    consume: bool = False,
    each_step: bool = False,
) -> tuple[Any, ...]:
    """Run a cell back through time: the same arguments and bits as `fastrnn.functional.backward`.

    Of a tape with checkpoints the whole is computed again first: here memory is not bounded.
    """
    given = _checks.backward_arguments(cell, params, tape, dy, dstate)
    each_step = _checks.flag("backward", "each_step", each_step)
    recorded, tape = tape, _whole(cell, given.params, tape)
    equations, params, dtype = EQUATIONS[cell.name], _with_biases(given.params), given.params.dtype
    steps, batch, _ = tape.x.shape
    valid, held = _counted(steps, batch, tape.lengths, tape.mask)
    shift = (1, 0) if tape.reverse else (0, 1)  # slots before and after step t, less t
    carry = tuple(d.copy() for d in given.dstate)
    visits = [(t, np.flatnonzero(valid[t])) for t in _order(steps, not tape.reverse) if valid[t].any()]
    _, last = _ends(valid | held, tape.reverse)
    dstates = {}
    for name, d in zip(cell.states, carry, strict=True):
        dstates[f"d{name}"] = slots = np.zeros((steps + 1, *d.shape), dtype)
        slots[last, np.arange(batch)] = d

    with np.errstate(all="ignore"):
        dy, dinitial = _collected(given.dy, valid, held, tape.reverse)
        visited = []
        for t, b in visits:
            before, after = (tuple(s[t + k, b] for s in tape.states) for k in shift)
            dh, *rest = (d[b] for d in carry)
            dh = (dh.dtype.type(0) if dy is None else dy[t, b]) + dh
            cached, raw_h, _ = _blocks(cell, tape.cached[t, b])
            ours, kept = _divided(cell, tape.noise, t, b, (dh, *rest))
            rec = Recurrence(cell, params, before[0], _factors(tape.noise, b), raw_h)
            dgates, dbefore = equations.backward(cell, params, before, after, cached, ours, rec)
            dbefore = _united(dbefore, kept)
            for d, slots, value in zip(carry, dstates.values(), dbefore, strict=True):
                d[b] = slots[t + shift[0], b] = value
            visited.append(dgates)

        dx = np.zeros(tape.x.shape, dtype)
        grads = {n: np.zeros_like(a) for n, a in params.items()}
        if visited:
            t = np.concatenate([np.full(len(b), t) for t, b in visits])
            b = np.concatenate([b for _, b in visits])
            order = _row_order(valid, t, b, tape.reverse)
            t, b = t[order], b[order]
            dgates = tuple(np.concatenate(d)[order] for d in zip(*visited, strict=True))
            before, after = (tuple(s[t + k, b] for s in tape.states) for k in shift)
            cached, raw_h, raw_x = _blocks(cell, tape.cached[t, b])
            rec = Recurrence(cell, params, before[0], _factors(tape.noise, b), raw_h)
            grads = equations.gradients(cell, dgates, before, after, cached, rec)
            dproduct = dgates[0]
            if cell.layer_norm:
                normed = norm(raw_x, len(cell.gates), cell.layer_norm_eps)
                grads["w_ln_ih"] = diagonal_gradient(dproduct, normed.normal)
                dproduct = flush(pulled(normed, params["w_ln_ih"], dproduct))
            grads["w_ih"] = weight_gradient(dproduct, tape.x[t, b])
            dx[t, b] = product(dproduct, params["w_ih"].T)

        carry[0][...] = dinitial + carry[0]
    for t in _order(steps, not tape.reverse):
        for slots in dstates.values():
            slots[t + shift[0], held[t]] = slots[t + shift[1], held[t]]
    if consume:
        recorded.release()
    result = dx, _one_or_all(carry), {n: grads[n] for n in given.params.arrays}
    return (*result, dstates) if each_step else result


def _input_product(cell, params, x, start):
    """What the rows x bring, from `start`, and with layer normalisation the product as it is."""
    if not cell.layer_norm:
        return product(x, params["w_ih"], start), None
    raw = product(x, params["w_ih"], np.zeros_like(start))
    return fma(params["w_ln_ih"], norm(raw, len(cell.gates), cell.layer_norm_eps).normal, start), raw


def _factors(noise, b):
    """What h is multiplied with on its way into the recurrent products of rows b, or None."""
    return None if noise is None or noise.recurrent is None else noise.recurrent[b]


def _zones(cell, noise, t, b):
    """For each state that zoneout acts on: the part it keeps, and which units of rows b it keeps, or None."""
    drawn = noise.zoneout if noise is not None and noise.zoneout is not None else [None] * len(cell.zoneout)
    for part, keep in zip(cell.zoneout, drawn, strict=True):
        yield part, None if keep is None else keep[t, b]


def _zoned(cell, noise, t, b, old, new):
    """The states after a step, of which zoneout keeps some of what they were."""
    new = list(new)
    for i, (part, keep) in enumerate(_zones(cell, noise, t, b)):
        if keep is not None:
            new[i] = np.where(keep, old[i], new[i])
        elif part:
            new[i] = flush(fma(new[i].dtype.type(part), old[i] - new[i], new[i]))
    return tuple(new)


def _divided(cell, noise, t, b, d):
    """The gradients of the states after a step: the part that is the cell's, and the part they keep."""
    ours, kept = list(d), [None] * len(d)
    for i, (part, keep) in enumerate(_zones(cell, noise, t, b)):
        zero, p = d[i].dtype.type(0), d[i].dtype.type(part)
        if keep is not None:
            ours[i], kept[i] = np.where(keep, zero, d[i]), np.where(keep, d[i], zero)
        elif part:
            ours[i], kept[i] = fma(-p, d[i], d[i]), p * d[i]
        if kept[0] is not None:
            ours[0] = zero + ours[0]
    return tuple(ours), kept


def _united(dbefore, kept):
    return [d if k is None else flush(d + k) for d, k in zip(dbefore, kept, strict=True)]


def _whole(cell, params, tape):
    """The tape with the states and gates of every step."""
    if tape.checkpoint_every is None:
        return tape
    state = _one_or_all([s[-1 if tape.reverse else 0] for s in tape.states])
    options = {"lengths": tape.lengths, "mask": tape.mask, "reverse": tape.reverse, "noise": tape.noise}
    return forward(cell, params, tape.x, state, **options)[2]


def _checkpoints(valid, every, masked):
    """The slots after every so many steps that count, (S+1, B), and that number: at most all steps."""
    batch = valid.shape[1]
    before = np.concatenate((np.zeros((1, batch), int), np.cumsum(valid, axis=0)))
    counts = before[-1]
    steps = counts.max(initial=0) if masked else len(valid)
    every = min(every, max(int(steps), 1))
    kept = np.minimum(np.append(np.arange(0, steps, every), steps)[:, None], counts)
    slots = [np.searchsorted(before[:, b], kept[:, b]) for b in range(batch)]
    return np.reshape(slots, (batch, len(kept))).astype(int).T, every


def _with_biases(params):
    """The arrays, with biases of +0 where there are none."""
    rows, units = len(params.arrays["w_ih"]), params.hidden_size
    zeros = np.zeros(rows, params.dtype)
    return {"b_ih": zeros, "b_hh": zeros, "b_ln_c": zeros[:units], **params.arrays}


def _counted(steps, batch, lengths, mask):
    """Where a step counts, and where it lies within its row's length but is masked, (T, B) each."""
    inside = np.arange(steps)[:, None] < np.full(batch, steps if lengths is None else lengths)
    mask = np.ones_like(inside) if mask is None else mask
    return inside & mask, inside & ~mask


def _ends(inside, reverse):
    """The slots of the initial and of the final state: a number, or one for each row."""
    lengths = inside.sum(axis=0)
    return (lengths, 0) if reverse else (0, lengths)


def _order(steps, reverse):
    """The steps in the order of processing."""
    return range(steps)[::-1] if reverse else range(steps)


def _collected(dy, valid, held, reverse):
    """dy (T, B, P) with that of masked steps added at the step whose h they repeat, and the sum of the rest.

    The rest, (B, P), is that of masked steps which repeat the initial state. Sums run in the order of
    processing; -0 changes nothing that is added to it.
    """
    if dy is None:
        return None, -0.0
    total, initial = dy.copy(), np.full(dy.shape[1:], -0.0, dy.dtype)
    source = np.full(dy.shape[1], -1)  # the step whose h a row shows; -1: none so far
    for t in _order(len(dy), reverse):
        source[valid[t]] = t
        for b in np.flatnonzero(held[t]):
            repeated = initial[b] if source[b] < 0 else total[source[b], b]
            repeated += dy[t, b]
    return total, initial


def _row_order(valid, t, b, reverse):
    """The order of the rows (t, b) in sums over them: by the number of the step among those that count."""
    number = np.cumsum(valid, axis=0)[t, b]
    return np.lexsort((b, number if reverse else -number))


def _blocks(cell, recorded):
    """The arrays of ``cell.cached`` one by one, and with layer normalisation the products over h and x."""
    if not cell.recorded:
        return (), None, None
    blocks, own = np.split(recorded, len(cell.recorded), axis=1), len(cell.cached)
    if not cell.layer_norm:
        return blocks, None, None
    products = blocks[own : own + len(cell.gates)], blocks[own + len(cell.gates) :]
    return blocks[:own], *(np.concatenate(p, axis=1) for p in products)


def _one_or_all(states):
    """An array for a cell of one state, a tuple for more."""
    return tuple(states) if len(states) > 1 else states[0]
