"""Cells over sequences, forward and back, as functions of arrays; native or reference behind one signature.

`fastrnn.reference` has the same functions. A layer (`fastrnn.nn`) is these plus parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np

from . import _checks, _config, _masks, _native, reference
from .cells import Cell, Noise
from .reference import Tape
from .reference.arithmetic import bias_gradient

__all__ = [
    "Packed",
    "Tape",
    "backward",
    "elu",
    "exp",
    "forward",
    "linear",
    "linear_backward",
    "pack",
    "sigmoid",
    "softplus",
    "tanh",
]


class Packed:
    """Parameters of a cell laid out for the kernels; accepted in place of ``params`` by `forward`.

    It holds copies: later changes to the arrays it was made from do not reach it. One layout is kept for each
    instruction set it was used with.

    Attributes
    ----------
    cell : Cell
    params : Parameters
        The copies, checked and read-only.
    """

    def __init__(self, cell: Cell, params: Mapping[str, Any] | _checks.Parameters) -> None:
        given = _checks.parameters(cell, params)
        arrays = {name: array.copy() for name, array in given.arrays.items()}
        for array in arrays.values():
            array.flags.writeable = False
        self.cell = cell
        self.params = given._replace(arrays=arrays)
        self._layouts: dict[int, _native.Bound] = {}

    def layout(self, isa: int) -> _native.Bound:
        """The parameters packed for an instruction set."""
        found = self._layouts.get(isa)
        if found is None:
            found = self._layouts[isa] = _bound(self.cell, self.params, isa, packed=True)
        return found

    def __reduce__(self):
        return type(self), (self.cell, self.params.arrays)

    def __repr__(self) -> str:
        p = self.params
        return f"Packed({self.cell}, input_size={p.input_size}, hidden_size={p.hidden_size}, dtype={p.dtype})"


class BoundLayers:
    """The passes of a recurrent layer, bound to the kernels once for all calls.

    Attributes
    ----------
    passes : sequence of Packed or Parameters
        In the order of the layer's states: packed those of a layer that is frozen, else those in use, which
        may be written to between calls.
    """

    def __init__(self, cell: Cell, passes: Sequence[Packed | _checks.Parameters], directions: int):
        self.passes = passes
        self._cell = cell
        first = passes[0].params if isinstance(passes[0], Packed) else passes[0]
        self._widths = tuple(cell.state_shapes(first.hidden_size).values())
        self._directions = directions
        self._layouts: dict[int, _native.Layers] = {}

    def run(
        self, x: Any, state: Any, *, step: bool = False, batch_first: bool = False
    ) -> tuple[np.ndarray, Any] | None:
        """What the layer returns, or its step; None where an argument needs a cast, a copy or a message."""
        on_reference, isa, threads = _config.settings()
        if on_reference:
            return None
        layers = self._layouts.get(isa)
        if layers is None:
            layers = self._layouts[isa] = _native.Layers(
                [_layout(self._cell, each, isa) for each in self.passes],
                self._widths,
                directions=self._directions,
            )
        return layers.run(x, state, step, batch_first, threads)


# Parameters as the functions take them: by name; packed; or checked already, as the layers keep them.
Params = Mapping[str, Any] | Packed | _checks.Parameters

CheckpointEvery = int | Literal["auto"] | None
ForwardResult = tuple[np.ndarray, Any, Tape | None]
BackwardResult = tuple[np.ndarray, Any, dict[str, np.ndarray]]
BackwardEachStep = tuple[np.ndarray, Any, dict[str, np.ndarray], dict[str, np.ndarray]]


def pack(cell: Cell, params: Mapping[str, Any] | _checks.Parameters) -> Packed:
    """Parameters packed once, for pipelines that call `forward` frame by frame.

    Parameters
    ----------
    cell : Cell
    params : mapping of str to array
        As for `forward`. They are copied.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import cells, functional
    >>> cell = cells.GRU()
    >>> rng = np.random.default_rng(0)
    >>> params = {k: rng.standard_normal(s) for k, s in cell.parameter_shapes(3, 5).items()}
    >>> packed = functional.pack(cell, params)
    >>> y, h, _ = functional.forward(cell, packed, np.zeros((1, 2, 3)), tape=False)
    >>> y.shape
    (1, 2, 5)
    """
    return Packed(cell, params)


def forward(
    cell: Cell,
    params: Params,
    x: Any,
    state: Any = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    reverse: bool = False,
    tape: bool = True,
    out: np.ndarray | None = None,
    noise: Noise | None = None,
    checkpoint_every: CheckpointEvery = None,
) -> ForwardResult:
    """Run a cell over a batch of sequences.

    Parameters
    ----------
    cell : Cell
        What a step computes, such as ``cells.LSTM()``.
    params : mapping of str to array, or Packed
        ``cell.parameter_shapes(I, H)`` names them and their shapes; all float32 or all float64. The
        biases, ``b_*``, may be left out together.
    x : array, (T, B, I)
        T steps of B rows. Real floating point of any layout; it is cast to the dtype of the parameters.
    state : array (B, H), or tuple of arrays for a cell of several states, optional
        The initial state, zero if not given, of the arrays that ``cell.states`` names: an LSTM has
        ``(h, c)``, with full gate recurrence ``(h, c, r)``.
    lengths : integers, (B,), optional
        Valid steps of each row, 0 to T, in any order. Past its length a row keeps its state, and y is 0.
    mask : bool, (T, B), optional
        Where it is False, the step does not count: the row keeps its state, and y repeats h as it is kept,
        the initial one before the first step that counts. With ``lengths`` a step counts where both allow.
    reverse : bool
        Run each row from its last valid step to its first. y keeps the order of the input.
    tape : bool
        Keep what `backward` needs.
    out : array, (T, B, P), optional
        Where y goes; its last axis contiguous. It may be a slice of a wider array. After an exception, Ctrl-C
        for one, it may be filled in part.
    noise : cells.Noise, optional
        What was drawn at random for the pass: factors of variational dropout, and what zoneout keeps.
    checkpoint_every : int or "auto", optional
        Keep every k-th state in the tape, and no gates; `backward` then computes the k steps between two
        states again before it goes back through them. Gradients have the same bits, a training step takes
        about 4/3 of the time, and memory grows as T/k + k instead of T. Any k costs about the same time;
        "auto" is the one of least memory, about sqrt(T/3) for an LSTM. Noise is kept whole, and used again.

    Returns
    -------
    y : array, (T, B, P)
        h after each step; P is H, or the projection's size.
    state : array or tuple of arrays
        After the last valid step of each row, in the form of ``state``.
    tape : Tape or None

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was expected. Nothing is computed then.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import cells, functional
    >>> cell = cells.LSTM()
    >>> rng = np.random.default_rng(0)
    >>> params = {k: rng.standard_normal(s) for k, s in cell.parameter_shapes(3, 5).items()}
    >>> y, (h, c), tape = functional.forward(cell, params, np.ones((7, 2, 3)), lengths=[7, 4])
    >>> y.shape, bool((y[4:, 1] == 0).all())
    ((7, 2, 5), True)
    """
    on_reference, isa, threads = _config.settings()
    if on_reference:
        return reference.forward(
            cell, _plain(params), x, state, lengths=lengths, mask=mask, reverse=reverse,
            tape=tape, out=out, noise=noise, checkpoint_every=checkpoint_every,
        )  # fmt: skip
    call, result = _forward_call(
        cell, params, x, state, lengths, mask, reverse, tape, out, noise, checkpoint_every, isa, threads
    )
    _native.run(call)
    return result()


def _forward_call(
    cell: Cell,
    params: Params,
    x: Any,
    state: Any,
    lengths: Any,
    mask: Any,
    reverse: bool,
    tape: bool,
    out: np.ndarray | None,
    noise: Noise | None,
    checkpoint_every: CheckpointEvery,
    isa: int,
    threads: int,
) -> tuple[_native.Call, Callable[[], ForwardResult]]:
    """Check the arguments of `forward`; return the call, and what gives its result after it."""
    given = _checks.forward_arguments(
        cell, _plain(params), x, state, lengths, mask, out, noise, tape, checkpoint_every
    )
    reverse = _checks.flag("forward", "reverse", reverse)
    if given.mask is not None:
        return _masked_forward_call(cell, params, given, given.mask, reverse, tape, isa, threads)
    (steps, batch, _), dtype = given.x.shape, given.params.dtype
    widths = [s.shape[1] for s in given.state]

    y = _native.empty((steps, batch, widths[0]), dtype) if given.out is None else given.out
    final = tuple([np.empty((batch, width), dtype) for width in widths])
    states = cached = record = None
    if tape:
        kept = steps if given.every is None else -(-steps // given.every)
        states = tuple([_native.empty((kept + 1, batch, width), dtype) for width in widths])
        if given.every is None:
            cached = _native.empty((steps, batch, len(cell.recorded) * given.params.hidden_size), dtype)
        arrays = given.params.arrays, given.x, given.lengths
        record = Tape(cell, *arrays, reverse, states, cached, None, given.noise, given.every)
    call = _layout(cell, params if isinstance(params, Packed) else given.params, isa).forward(
        x=given.x,
        lengths=given.lengths,
        reverse=reverse,
        noise=given.noise,
        every=given.every,
        state0=given.state,
        y=y,
        state=final,
        tape_states=states,
        cached=cached,
        threads=threads,
    )
    return call, lambda: (y, _one_or_all(final), record)


def _masked_forward_call(
    cell: Cell,
    params: Params,
    given: _checks.Forward,
    mask: np.ndarray,
    reverse: bool,
    tape: bool,
    isa: int,
    threads: int,
) -> tuple[_native.Call, Callable[[], ForwardResult]]:
    """`_forward_call` with a mask: the steps that count are run alone, and put back in their places."""
    steps = _masks.Steps(mask, given.lengths)
    x, h = steps.pack(given.x), given.state[0]
    slots = _native.empty((len(x) + 1, *h.shape), h.dtype)  # of h: outputs, and the initial state
    out, state = steps.outputs(slots, reverse), _one_or_all(given.state)
    noise = _packed_noise(steps, given.noise)
    call, packed = _forward_call(
        cell, params, x, state, steps.counts, None, reverse, tape, out, noise, given.every, isa, threads
    )

    def result() -> ForwardResult:
        _, final, record = packed()
        slots[steps.initial(reverse)] = h
        y = steps.repeat(slots, reverse)
        if given.out is not None:
            given.out[...] = y
            y = given.out
        if record is not None:
            states, cached, every = record.states, record.cached, record.checkpoint_every
            if every is None:
                states, cached = tuple(map(steps.unpack_slots, states)), steps.unpack(cached)
            arrays = record.params, given.x, given.lengths
            record = Tape(cell, *arrays, reverse, states, cached, mask, given.noise, every)
        return y, final, record

    return call, result


def _packed_noise(steps: _masks.Steps, noise: Noise | None) -> Noise | None:
    if noise is None or noise.zoneout is None:
        return noise
    return noise._replace(zoneout=tuple(None if keep is None else steps.pack(keep) for keep in noise.zoneout))


def forward_directions(
    cell: Cell,
    params: Sequence[Params],
    x: Any,
    states: Sequence[Any],
    *,
    lengths: Any,
    mask: Any,
    tape: bool,
    outs: Sequence[np.ndarray | None],
    noises: Sequence[Noise | None],
    checkpoint_every: CheckpointEvery,
) -> list[ForwardResult]:
    """`forward` over the same sequences in the first or in both directions, at once where that is faster."""
    on_reference, isa, threads = _config.settings()
    each = list(enumerate(zip(params, states, outs, noises, strict=True)))
    if on_reference:
        options: dict[str, Any] = {
            "lengths": lengths, "mask": mask, "tape": tape, "checkpoint_every": checkpoint_every
        }  # fmt: skip
        return [
            reference.forward(
                cell, _plain(p), x, state, reverse=bool(reverse), out=out, noise=noise, **options
            )
            for reverse, (p, state, out, noise) in each
        ]
    prepared = [
        _forward_call(
            cell, p, x, state, lengths, mask, bool(reverse), tape, out, noise, checkpoint_every, isa, threads
        )
        for reverse, (p, state, out, noise) in each
    ]
    _native.run(*[call for call, _ in prepared])
    return [result() for _, result in prepared]


@overload
def backward(
    cell: Cell, params: Params, tape: Tape, dy: Any = ..., dstate: Any = ..., *,
    consume: bool = ..., each_step: Literal[False] = ...,
) -> BackwardResult: ...  # fmt: skip
@overload
def backward(
    cell: Cell, params: Params, tape: Tape, dy: Any = ..., dstate: Any = ..., *,
    consume: bool = ..., each_step: Literal[True],
) -> BackwardEachStep: ...  # fmt: skip
def backward(
    cell: Cell,
    params: Params,
    tape: Tape,
    dy: Any = None,
    dstate: Any = None,
    *,
    consume: bool = False,
    each_step: bool = False,
) -> Any:
    """Gradients of a loss through time, from those of y and of the final state.

    Parameters
    ----------
    cell, params
        As in the forward pass that recorded the tape; the parameters unchanged since.
    tape : Tape
    dy : array, (T, B, P), optional
        Gradient of y, zero if not given. What stands past a length is ignored.
    dstate : array or tuple of arrays, optional
        Gradient of the final state, zero if not given: that of the chunk after, in truncated
        back-propagation.
    consume : bool
        Release the tape's memory; it cannot be used again.
    each_step : bool
        Return ``dstates`` as well.

    Returns
    -------
    dx : array, (T, B, I)
        0 past a length and at masked steps.
    dstate0 : array or tuple of arrays
        Gradient of the initial state.
    dparams : dict of str to array
        With the keys of ``params``.
    dstates : dict of str to array, (T+1, B, width)
        With ``each_step`` only: ``"dh"``, and ``"dc"`` of an LSTM, in the slots of ``tape.states``. A slot
        has the gradient of the state in it by way of the steps that were computed after it, as it is
        carried from step to step: forward, slot 0 is dstate0 and slot ``lengths[b]`` dstate, in reverse
        the other way round. The dy of the step that made the state is not in it: the gradient of h by all
        ways is ``dstates["dh"][1:] + dy``, in reverse ``dstates["dh"][:-1] + dy``. 0 past a length. A
        masked step, which holds a state, has it in both of its slots; its dy counts with that of the step
        whose h it repeats, or goes to dstate0 alone.

    Raises
    ------
    TypeError, ValueError
        Also for a tape of another cell, or of parameters of other shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import cells, functional
    >>> cell = cells.GRU()
    >>> rng = np.random.default_rng(0)
    >>> params = {k: rng.standard_normal(s) for k, s in cell.parameter_shapes(3, 5).items()}
    >>> y, h, tape = functional.forward(cell, params, np.ones((7, 2, 3)))
    >>> dx, dh0, dparams = functional.backward(cell, params, tape, dy=np.ones_like(y))
    >>> dparams["w_hh"].shape
    (15, 5)

    How far back a gradient at the last step reaches:

    >>> *_, dstates = functional.backward(cell, params, tape, dstate=np.ones_like(h), each_step=True)
    >>> np.linalg.norm(dstates["dh"], axis=2).shape
    (8, 2)
    """
    on_reference, isa, threads = _config.settings()
    if on_reference:
        plain = _plain(params)
        return reference.backward(cell, plain, tape, dy, dstate, consume=consume, each_step=each_step)
    call, result = _backward_call(cell, params, tape, dy, dstate, each_step, isa, threads)
    _native.run(call)
    if consume:
        tape.release()
    return result()


def _backward_call(
    cell: Cell, params: Params, tape: Tape, dy: Any, dstate: Any, each_step: bool, isa: int, threads: int
) -> tuple[_native.Call, Callable[[], Any]]:
    """Check the arguments of `backward`; return the call, and what gives its result after it."""
    given = _checks.backward_arguments(cell, _plain(params), tape, dy, dstate)
    each_step = _checks.flag("backward", "each_step", each_step)
    if tape.mask is not None:
        return _masked_backward_call(cell, given, tape, tape.mask, each_step, isa, threads)
    dtype = given.params.dtype
    dx = _native.empty(tape.x.shape, dtype)
    dstate0 = tuple(np.empty(d.shape, dtype) for d in given.dstate)
    dparams = {name: _native.empty(a.shape, dtype) for name, a in given.params.arrays.items()}
    steps = len(tape.x)
    dstates = {
        f"d{name}": _native.empty((steps + 1, *d.shape), dtype)
        for name, d in zip(cell.states, given.dstate, strict=True)
        if each_step
    }
    call = _bound(cell, given.params, isa).backward(
        x=tape.x,
        lengths=tape.lengths,
        reverse=tape.reverse,
        noise=tape.noise,
        every=tape.checkpoint_every,
        tape_states=tape.states,
        cached=tape.cached,
        dy=given.dy,
        dstate=given.dstate,
        dx=dx,
        dstate0=dstate0,
        dparams=dparams,
        step_dstate=tuple(dstates.values()) or None,
        threads=threads,
    )
    result = dx, _one_or_all(dstate0), dparams
    return call, lambda: (*result, dstates) if each_step else result


def _masked_backward_call(
    cell: Cell,
    given: _checks.Backward,
    tape: Tape,
    mask: np.ndarray,
    each_step: bool,
    isa: int,
    threads: int,
) -> tuple[_native.Call, Callable[[], Any]]:
    """`_backward_call` with a mask: back through the steps that count alone."""
    steps, reverse = _masks.Steps(mask, tape.lengths), tape.reverse
    states, cached, every = tape.states, tape.cached, tape.checkpoint_every
    if every is None:
        states, cached = tuple(steps.pack_slots(s, reverse) for s in states), steps.pack(cached)
    x, noise = steps.pack(tape.x), _packed_noise(steps, tape.noise)
    packed_tape = Tape(cell, tape.params, x, steps.counts, reverse, states, cached, None, noise, every)
    slots = None if given.dy is None else steps.collect(given.dy, reverse)  # the gradient of those of h
    dy = None if slots is None else steps.outputs(slots, reverse)
    call, packed = _backward_call(
        cell, given.params, packed_tape, dy, _one_or_all(given.dstate), each_step, isa, threads
    )

    def result() -> Any:
        dx, dstate0, dparams, *each = packed()
        if slots is not None:
            dh = dstate0 if len(cell.states) == 1 else dstate0[0]
            with np.errstate(all="ignore"):
                np.add(slots[steps.initial(reverse)], dh, out=dh)
        each = [{name: steps.unpack_slots(d) for name, d in dstates.items()} for dstates in each]
        return steps.unpack(dx), dstate0, dparams, *each

    return call, result


def backward_directions(
    cell: Cell,
    params: Sequence[Params],
    tapes: Sequence[Tape],
    dys: Sequence[Any],
    dstates: Sequence[Any],
    *,
    consume: bool,
    each_step: bool,
) -> list[Any]:
    """`backward` for what `forward_directions` recorded."""
    on_reference, isa, threads = _config.settings()
    each = zip(params, tapes, dys, dstates, strict=True)
    if on_reference:
        return [
            reference.backward(cell, _plain(p), *arguments, consume=consume, each_step=each_step)
            for p, *arguments in each
        ]
    prepared = [_backward_call(cell, *arguments, each_step, isa, threads) for arguments in each]
    _native.run(*[call for call, _ in prepared])
    if consume:
        for tape in tapes:
            tape.release()
    return [result() for _, result in prepared]


def repeated_gradient(d: np.ndarray) -> np.ndarray:
    """The gradient (W,) of what every row repeats, from that of the rows (B, W), added up as for a bias."""
    return bias_gradient(d)


def linear(x: Any, w: Any, b: Any = None) -> np.ndarray:
    """``y = x w.T + b`` by the product rule of the cells, so that a row's bits do not depend on its batch.

    Parameters
    ----------
    x : array, (..., I)
    w : array, (O, I)
    b : array, (O,), optional

    Returns
    -------
    array, (..., O)

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import functional
    >>> functional.linear(np.ones((2, 3)), np.ones((1, 3)), np.ones(1))
    array([[4.],
           [4.]])
    """
    if _config.is_reference():
        return reference.linear(x, w, b)
    x, w, b = _checks.linear_arguments(x, w, b)
    y = np.empty((*x.shape[:-1], len(w)), w.dtype)
    _native.linear(_rows(x), w, b, y, **_config.run_options())
    return y


def linear_backward(x: Any, w: Any, dy: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients ``(dx, dw, db)`` of `linear`, from dy (..., O)."""
    if _config.is_reference():
        return reference.linear_backward(x, w, dy)
    x, w, dy = _checks.linear_backward_arguments(x, w, dy)
    dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty(len(w), w.dtype)
    _native.linear_backward(_rows(x), w, dy, dx, dw, db, **_config.run_options())
    return dx, dw, db


def linear_each(xs: Sequence[np.ndarray], ws: Sequence[np.ndarray]) -> list[np.ndarray]:
    """`linear` of every x (N, I) with its w (O, I), of one dtype: many small products in one call."""
    if _config.is_reference():
        return [reference.linear(x, w, None) for x, w in zip(xs, ws, strict=True)]
    xs, ws = list(map(np.ascontiguousarray, xs)), list(map(np.ascontiguousarray, ws))
    ys = [np.empty((len(x), len(w)), w.dtype) for x, w in zip(xs, ws, strict=True)]
    _native.linear_each(xs, ws, ys, **_config.run_options())
    return ys


def linear_backward_each(
    xs: Sequence[np.ndarray], ws: Sequence[np.ndarray], dys: Sequence[np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Gradients ``(dx, dw)`` of `linear_each`, from dys (N, O)."""
    if _config.is_reference():
        return [reference.linear_backward(*row)[:2] for row in zip(xs, ws, dys, strict=True)]
    xs, ws, dys = (list(map(np.ascontiguousarray, arrays)) for arrays in (xs, ws, dys))
    gradients = [(np.empty_like(x), np.empty_like(w)) for x, w in zip(xs, ws, strict=True)]
    _native.linear_backward_each(xs, ws, dys, gradients, **_config.run_options())
    return gradients


def exp(x: Any) -> np.ndarray:
    """The exponential of each element, at most 2 ulp off, the same bits on every machine."""
    return _map("exp", x)


def sigmoid(x: Any) -> np.ndarray:
    """``1 / (1 + exp(-x))`` of each element, at most 2 ulp off, the same bits on every machine."""
    return _map("sigmoid", x)


def tanh(x: Any) -> np.ndarray:
    """The hyperbolic tangent of each element, at most 2 ulp off, the same bits on every machine."""
    return _map("tanh", x)


def elu(x: Any) -> np.ndarray:
    """``exp(x) - 1`` below 0, x elsewhere; at most 2 ulp off, the same bits on every machine."""
    return _map("elu", x)


def softplus(x: Any) -> np.ndarray:
    """``log(1 + exp(x))`` of each element, at most 2 ulp off, the same bits on every machine."""
    return _map("softplus", x)


def _map(name: str, x: Any) -> np.ndarray:
    x = _checks.elementwise_argument(name, x)
    if _config.is_reference():
        return getattr(reference, name)(x)
    y = np.empty_like(x)
    _native.map(_native.FUNCTIONS[name], x, y, isa=_config.run_options()["isa"])
    return y


def _bound(cell: Cell, params: _checks.Parameters, isa: int, packed: bool = False) -> _native.Bound:
    sizes = params.input_size, params.hidden_size, cell.output_size(params.hidden_size)
    return _native.Bound(cell, params.arrays, sizes, isa=isa, packed=packed)


def _layout(cell: Cell, params: Packed | _checks.Parameters, isa: int) -> _native.Bound:
    return params.layout(isa) if isinstance(params, Packed) else _bound(cell, params, isa)


def _plain(params: Params) -> Any:
    return params.params if isinstance(params, Packed) else params


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _one_or_all(states: tuple[np.ndarray, ...]) -> Any:
    return states if len(states) > 1 else states[0]
