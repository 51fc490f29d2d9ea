"""Every test of shape, dtype and layout, and its message, once.

The functions take what the caller gave and return arrays that the reference and the kernels can rely on:
one dtype, native byte order, aligned, C order. ``x`` alone may keep strides over time and batch (its last
axis is contiguous). Copies are made only where they are needed; nothing of the caller's is written to.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn.cells import Cell, Noise, kinds
from fastrnn.cells._options import closest

if TYPE_CHECKING:
    from fastrnn.reference.tape import Tape

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))

#: The member of a saved file that tells of the others.
HEADER = "__fastrnn__"

#: Habits from PyTorch that have no attribute here, and the way here.
_HABITS = {
    **dict.fromkeys(
        ("train", "eval"),
        "there are no modes: forward(x) trains and applies dropout, calling is inference and does not",
    ),
    **dict.fromkeys(
        ("parameters", "named_parameters"),
        "params has the arrays by name, and an optimiser takes the module itself",
    ),
    **dict.fromkeys(
        ("zero_grad", "grad"),
        "gradients are kept nowhere: backward returns them, and an optimiser's step(grads) takes them",
    ),
    **dict.fromkeys(
        ("to", "cuda", "cpu", "half", "float", "double", "device"),
        "arrays are NumPy's, on the CPU; a layer's dtype is an argument of its constructor",
    ),
    "param_groups": "an optimiser has one lr, which may be set, and one optimiser is made for each module",
}


class Parameters(NamedTuple):
    """Checked parameters of a cell. Accepted wherever parameters are, and not checked again."""

    cell: Cell
    arrays: dict[str, np.ndarray]
    input_size: int
    hidden_size: int
    dtype: np.dtype


class Forward(NamedTuple):
    """Checked arguments of a forward pass."""

    params: Parameters
    x: np.ndarray  # (T, B, I), last axis contiguous
    state: tuple[np.ndarray, ...]  # (B, width) for each state
    lengths: np.ndarray | None  # (B,), int64
    mask: np.ndarray | None  # (T, B), bool
    out: np.ndarray | None  # (T, B, P), last axis contiguous
    noise: Noise | None
    every: int | None  # checkpoint_every as a number, at most T


class Backward(NamedTuple):
    """Checked arguments of a backward pass."""

    params: Parameters
    dy: np.ndarray | None  # (T, B, P)
    dstate: tuple[np.ndarray, ...]  # (B, width) for each state


# -- arguments of the functions ---------------------------------------------------------------------


def parameters(cell: Cell, params: Mapping[str, Any] | Parameters) -> Parameters:
    """The parameters of a cell: their names, shapes and common dtype."""
    if isinstance(params, Parameters):
        if params.cell is not cell and params.cell != cell:
            raise ValueError(f"params were made for {params.cell}; this call is for {cell}")
        return params
    a_cell(cell)
    who = type(cell).__name__
    if not isinstance(params, Mapping):
        raise TypeError(f"{who}: params is {kind(params)}; expected a mapping of names to arrays")
    known = cell.parameters
    for name in params:
        if name not in known:
            raise ValueError(
                f"{who}: there is no parameter {name!r}{nearest(name, known)}; {cell} has {_names(known)}"
            )
    missing = [n for n in known if n not in params and not n.startswith("b_")]
    if missing:
        raise ValueError(f"{who}: params lacks {_names(missing)}; it has {_names(params) or 'nothing'}")
    biases = [n for n in known if n.startswith("b_")]
    given = [n for n in biases if n in params]
    if given and given != biases:
        raise ValueError(
            f"{who}: params has {_names(given)} without {_names(n for n in biases if n not in given)}; "
            "give all biases or none"
        )

    arrays = {n: _array(who, n, params[n]) for n in known if n in params}
    dtypes = {_native_dtype(a) for a in arrays.values()}
    if len(dtypes) > 1 or dtypes.pop() not in DTYPES:
        found = ", ".join(f"{n} {a.dtype}" for n, a in arrays.items())
        raise TypeError(
            f"{who}: parameters must be all float32 or all float64; got {found}. Convert them with .astype"
        )
    gates = len(cell.gates)
    shape = arrays["w_ih"].shape
    if len(shape) != 2 or shape[0] % gates or not shape[0]:
        raise ValueError(
            f"{who}: w_ih has shape {shape}; expected ({gates}*hidden_size, input_size) "
            "with a hidden_size of at least 1"
        )
    input_size, hidden_size = cell.sizes(arrays)
    expected = cell.parameter_shapes(input_size, hidden_size)
    for name, array in arrays.items():
        if array.shape != expected[name]:
            raise ValueError(
                f"{who}: {name} has shape {array.shape}; expected {expected[name]}, "
                f"since w_ih {shape} means input_size={input_size}, hidden_size={hidden_size}"
            )
    dtype = _native_dtype(arrays["w_ih"])
    arrays = {n: _contiguous(_cast(a, dtype)) for n, a in arrays.items()}
    return Parameters(cell, arrays, input_size, hidden_size, dtype)


def forward_arguments(
    cell: Cell,
    params: Mapping[str, Any] | Parameters,
    x: Any,
    state: Any = None,
    lengths: Any = None,
    mask: Any = None,
    out: Any = None,
    noise: Any = None,
    tape: bool = True,
    checkpoint_every: Any = None,
) -> Forward:
    """The arguments of ``forward``."""
    who = type(cell).__name__
    params = parameters(cell, params)
    x = sequences(who, x, params.dtype)
    if x.ndim != 3:
        raise ValueError(f"{who}: x has shape {x.shape}; expected three axes (T, B, {params.input_size})")
    features(who, "x", x, "input_size", params.input_size)
    if x.strides[2] != x.itemsize or not x.flags.aligned:
        x = _contiguous(x)
    steps, batch, _ = x.shape
    states = _states(cell, params, "state", state, batch)
    if lengths is not None:
        lengths = row_lengths(who, lengths, steps, batch)
    if mask is not None:
        mask = step_mask(who, mask, (steps, batch), "(T, B)")
    if out is not None:
        out = output(who, out, (steps, batch, cell.output_size(params.hidden_size)), params.dtype)
        apart(who, out, x, *states, *params.arrays.values())
    every = None
    if checkpoint_every is not None:
        every = _checkpoint_every(cell, params.hidden_size, steps, checkpoint_every)
        if not tape:
            raise ValueError(
                f"{who}: checkpoint_every is {checkpoint_every!r} with tape=False; it says what the "
                "tape keeps: leave one of them out"
            )
    noise = _noise(cell, params, noise, steps, batch)
    return Forward(params, x, states, lengths, mask, out, noise, every)


def _noise(cell: Cell, params: Parameters, noise: Any, steps: int, batch: int) -> Noise | None:
    """What was drawn: recurrent (B, P) of the parameters' dtype, zoneout bool (T, B, width) or None each."""
    who, names = type(cell).__name__, cell.states[: len(cell.zoneout)]
    if noise is None:
        return None
    if not isinstance(noise, Noise):
        raise TypeError(f"{who}: noise is {kind(noise)}; expected a fastrnn.cells.Noise")
    recurrent, zoneout = noise
    widths = cell.state_shapes(params.hidden_size)
    if recurrent is not None:
        recurrent = _contiguous(real(who, "recurrent of noise", recurrent, params.dtype))
        shape = (batch, widths["h"])
        if recurrent.shape != shape:
            raise ValueError(
                f"{who}: recurrent of noise has shape {recurrent.shape}; expected {shape}, (B, P)"
            )
    if zoneout is not None:
        if not names:
            raise ValueError(f"{who}: noise has zoneout; {cell} has none. Build it with zoneout=p")
        if not isinstance(zoneout, (tuple, list)) or len(zoneout) != len(names):
            raise ValueError(
                f"{who}: zoneout of noise is {kind(zoneout)}; expected a tuple for {_names(names)}"
            )
        kept = []
        for name, keep in zip(names, zoneout, strict=True):
            if keep is not None:
                keep = np.ascontiguousarray(keep)
                expected = (steps, batch, widths[name])
                if keep.dtype != bool or keep.shape != expected:
                    raise ValueError(
                        f"{who}: zoneout of noise for {name} is {keep.dtype} of shape {keep.shape}; "
                        f"expected bool {expected}"
                    )
            kept.append(keep)
        zoneout = tuple(kept)
    return Noise(recurrent, zoneout)


def backward_arguments(
    cell: Cell,
    params: Mapping[str, Any] | Parameters,
    tape: Tape,
    dy: Any = None,
    dstate: Any = None,
) -> Backward:
    """The arguments of ``backward``; a tape that is not this cell's or these parameters' is refused."""
    who = type(cell).__name__
    params = parameters(cell, params)
    if not hasattr(tape, "consumed"):
        raise TypeError(f"{who}: tape is {kind(tape)}; expected the tape that forward returned")
    if tape.cell != cell:
        raise ValueError(f"{who}: the tape was recorded by {tape.cell}; backward was called for {cell}")
    if tape.consumed:
        raise ValueError(
            f"{who}: this tape was consumed by an earlier backward; leave out consume=True to use it twice"
        )
    if tape.x.dtype != params.dtype:
        raise TypeError(
            f"{who}: the tape is {tape.x.dtype}, the parameters are {params.dtype}; run forward again"
        )
    if tape.params is not params.arrays:
        then, now = ({n: a.shape for n, a in p.items()} for p in (tape.params, params.arrays))
        if then != now:
            raise ValueError(
                f"{who}: the tape was recorded with parameters {then}, now they are {now}; run forward again"
            )
    steps, batch, _ = tape.x.shape
    if dy is not None:
        dy = _contiguous(real(who, "dy", dy, params.dtype))
        shape = (steps, batch, cell.output_size(params.hidden_size))
        if dy.shape != shape:
            raise ValueError(f"{who}: dy has shape {dy.shape}; expected {shape}, the shape of y")
    return Backward(params, dy, _states(cell, params, "dstate", dstate, batch))


def linear_arguments(x: Any, w: Any, b: Any = None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The arguments of ``linear``: x (..., I), w (O, I), b (O,) or None."""
    who = "linear"
    w = _array(who, "w", w)
    dtype = _native_dtype(w)
    if dtype not in DTYPES:
        raise TypeError(f"{who}: w is {w.dtype}; expected float32 or float64. Convert it with .astype")
    if w.ndim != 2:
        raise ValueError(f"{who}: w has shape {w.shape}; expected two axes (outputs, inputs)")
    x = real(who, "x", x, dtype)
    if x.ndim < 1 or x.shape[-1] != w.shape[1]:
        raise ValueError(f"{who}: x has shape {x.shape}; expected (..., {w.shape[1]}), since w is {w.shape}")
    if b is not None:
        b = _contiguous(real(who, "b", b, dtype))
        if b.shape != w.shape[:1]:
            raise ValueError(f"{who}: b has shape {b.shape}; expected {w.shape[:1]}, since w is {w.shape}")
    return _contiguous(x), _contiguous(_cast(w, dtype)), b


def linear_backward_arguments(x: Any, w: Any, dy: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arguments of ``linear_backward``."""
    x, w, _ = linear_arguments(x, w)
    dy = _contiguous(real("linear", "dy", dy, w.dtype))
    shape = (*x.shape[:-1], len(w))
    if dy.shape != shape:
        raise ValueError(f"linear: dy has shape {dy.shape}; expected {shape}, the shape of y")
    return x, w, dy


def elementwise_argument(who: str, x: Any, argument: str = "x") -> np.ndarray:
    """The argument of an elementary function: float32 stays, every other real floating type is float64."""
    x = _floating(who, argument, _array(who, argument, x))
    return _contiguous(_cast(x, DTYPES[0] if _native_dtype(x) == DTYPES[0] else DTYPES[1]))


# -- single values ----------------------------------------------------------------------------------


def a_cell(value: Any) -> Cell:
    """The value, which is a cell."""
    if not isinstance(value, Cell):
        raise TypeError(f"cell is {kind(value)}; expected a cell such as fastrnn.cells.LSTM()")
    return value


def cell_or_name(who: str, value: Any) -> Cell:
    """A cell, or one without options by the name of its class, in capitals or not."""
    if not isinstance(value, str):
        return a_cell(value)
    known = kinds()
    by_name = {name.lower(): cell for name, cell in known.items()}
    if value.lower() not in by_name:
        hint = nearest(value, known)
        raise ValueError(f"{who}: cell is {value!r}{hint}; expected a Cell or one of {', '.join(known)}")
    return by_name[value.lower()]()


def size(who: str, argument: str, value: Any, least: int = 1) -> int:
    """The value as an int of at least `least`; refuses what is not an integer."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{who}: {argument} is {value!r}; expected an integer")
    number = operator.index(value)
    if number < least:
        raise ValueError(f"{who}: {argument} is {number}; expected at least {least}")
    return number


def not_negative(who: str, argument: str, value: Any) -> float:
    """The value as a Python float of at least 0: a NumPy scalar would lend results its own precision."""
    try:
        number = float(value)
        if isinstance(value, str):
            raise TypeError
    except (TypeError, ValueError):
        came = kind(value) if np.ndim(value) else repr(value)
        raise TypeError(f"{who}: {argument} is {came}; expected a number that is not negative") from None
    if not number >= 0:
        raise ValueError(f"{who}: {argument} is {value}; expected a number that is not negative")
    return number


def factor(who: str, argument: str, value: Any) -> float:
    """The value as `not_negative`, and finite in float32 as weights are."""
    number = not_negative(who, argument, value)
    if number > float(np.finfo(np.float32).max):
        raise ValueError(f"{who}: {argument} is {value}; expected a number that is finite in float32")
    return number


def dropout(who: str, value: Any) -> float:
    """The dropout of a model: a probability, and less than 1, with which nothing could be learned."""
    value = probability(who, "dropout", value)
    if value == 1:
        raise ValueError(
            f"{who}: dropout is 1.0, with which nothing is learned; expected 0 to less than 1, such as 0.3"
        )
    return value


def probability(who: str, argument: str, value: Any) -> float:
    """The value as a float from 0 to 1."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{who}: {argument} is {value!r}; expected a probability, a number from 0 to 1")
    if not 0 <= value <= 1:
        raise ValueError(f"{who}: {argument} is {value}; expected a probability, 0 to 1")
    return float(value)


def flag(who: str, argument: str, value: Any) -> bool:
    """The value, which is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{who}: {argument} is {value!r}; expected True or False")
    return bool(value)


def features(who: str, argument: str, x: np.ndarray, built_with: str, count: int) -> None:
    """Refuse an array that has not the features, its last axis, that a layer was built with."""
    if x.shape[-1:] != (count,):
        came = f"{x.shape[-1]} features" if x.ndim else "no axis of features"
        raise ValueError(
            f"{who}: {argument} has {came} (shape {x.shape}); this layer was built with {built_with}={count}"
        )


def sequences(who: str, x: Any, dtype: np.dtype, order: str = "(T, B, I)") -> np.ndarray:
    """The x of a recurrent layer, as `real`; of sequences of unequal length it says what to do with them."""
    if isinstance(x, (list, tuple)) or (isinstance(x, np.ndarray) and x.dtype == object and x.ndim):
        lengths = [len(item) for item in x if hasattr(item, "__len__")]
        if len(set(lengths)) > 1:
            shown = ", ".join(map(str, lengths[:4])) + ", ..." * (len(lengths) > 4)
            raise ValueError(
                f"{who}: x holds arrays of unequal lengths; pad them to one array {order} and pass "
                f"lengths=[{shown}]"
            )
    return real(who, "x", x, dtype)


def step_mask(who: str, value: Any, shape: tuple[int, ...], axes: str) -> np.ndarray:
    """A copy of a mask of steps, which is bool and of this shape."""
    mask = _array(who, "mask", value)
    if mask.dtype != bool:
        raise TypeError(
            f"{who}: mask is {mask.dtype}; expected bool, True where a step counts; convert it with "
            ".astype(bool)"
        )
    if mask.shape != shape:
        raise ValueError(
            f"{who}: mask has shape {mask.shape}; expected {shape}: {axes}, one for each step of x"
        )
    return mask.copy("C")


def real(who: str, argument: str, value: Any, dtype: np.dtype) -> np.ndarray:
    """The value as an array of the dtype, of any layout; refuses what is not real floating."""
    if type(value) is np.ndarray and value.dtype == dtype:
        return value
    return _cast(_floating(who, argument, _array(who, argument, value)), dtype)


def output(who: str, out: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array that the kernels can write the output to."""
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        raise TypeError(f"{who}: out is {kind(out)}; expected a {dtype} array, as the parameters are")
    if out.shape != shape:
        raise ValueError(f"{who}: out has shape {out.shape}; expected {shape}")
    if not out.flags.writeable or not out.flags.aligned or (out.size and out.strides[-1] != out.itemsize):
        raise ValueError(
            f"{who}: out is read-only or has strides {out.strides}; expected it writeable, "
            "its last axis contiguous"
        )
    return out


def apart(who: str, out: np.ndarray, *arrays: np.ndarray) -> None:
    """Refuse an output that shares memory with what is read while it is written."""
    if any(_overlap(out, a) for a in arrays):
        raise ValueError(f"{who}: out overlaps x, state or params; give it memory of its own")


def by_state(who: str, argument: str, value: Any, names: Sequence[str], axes: str) -> Sequence[Any]:
    """The states of these names, or gradients of them: an array of one state, a tuple of several."""
    if argument == "state" and _integers(value):
        raise TypeError(
            f"{who}: state is a row of integers; expected floating point. Lengths go by name: lengths=[...]"
        )
    if len(names) == 1:
        if not isinstance(value, tuple):
            return (value,)
        carried, remedy = f"one array {axes}", ""
    else:
        if isinstance(value, (tuple, list)) and len(value) == len(names):
            return value
        first = argument.removesuffix("state") + names[0]  # h, or dh
        carried = f"a tuple ({', '.join(names)}) of arrays {axes}"
        remedy = f"; to give {first} alone: {argument}=({', '.join([first, *['None'] * (len(names) - 1)])})"
    came = f"a {type(value).__name__} of {len(value)}" if isinstance(value, (tuple, list)) else kind(value)
    raise ValueError(f"{who}: {argument} is {came}; {who} carries {carried}{remedy}")


def state_name(argument: str, name: str, names: Sequence[str]) -> str:
    """What one of the states is called in a message: ``h of state`` where there are several."""
    return f"{name} of {argument}" if len(names) > 1 else argument


def first_few(names: Sequence[Any], describe: Callable[[Any], str] = repr, what: str = "") -> list[str]:
    """Descriptions of the first four names, and how many more there are: ``"and 12 more missing"``."""
    more = len(names) - 4
    return [*map(describe, names[:4]), *[f"and {more} more {what}".rstrip()] * (more > 0)]


def prefix(missing: Sequence[str], given: Iterable[object], argument: bool = False) -> list[str]:
    """A hint, or none, for names that are all there with the same thing before them, such as ``lstm.``.

    `argument`: whether the caller takes it as ``prefix``.
    """
    names = {name for name in given if isinstance(name, str)} if missing else set()
    for name in names:
        if name.endswith(f".{missing[0]}"):
            before = name.removesuffix(missing[0])
            if names.issuperset(before + other for other in missing):
                count = sum(name.startswith(before) for name in names)
                which = "all keys" if count == len(names) else f"{count} of the {len(names)} keys"
                remedy = "take those, and strip it" if count < len(names) else "strip it"
                remedy += f" with name.removeprefix({before!r})"
                return [f"{which} begin with {before!r}: {f'pass prefix={before!r}' if argument else remedy}"]
    return []


def part(who: str, mapping: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The entries whose names begin with `prefix`, which is cut off."""
    if not isinstance(prefix, str):
        raise TypeError(f"{who}: prefix is {prefix!r}; expected a string such as 'encoder.lstm.'")
    if not isinstance(mapping, Mapping):
        raise TypeError(f"{who}: got {kind(mapping)}; expected a mapping of names to arrays")
    names = [name for name in mapping if isinstance(name, str)]
    found = {name.removeprefix(prefix): mapping[name] for name in names if name.startswith(prefix)}
    if not found or all(name.startswith(".") for name in found):
        there = {name[: k + 1] for name in names for k, letter in enumerate(name) if letter == "."}
        hint = nearest(prefix, there)
        shown = ", ".join(first_few(sorted(there))) or "none"
        why = "no name begins with it" if not found else "what follows it begins with a dot"
        raise ValueError(f"{who}: prefix is {prefix!r}; {why}{hint}. Prefixes there: {shown}")
    return found


def plural(count: int, what: str) -> str:
    """A number of things: ``"1 step"``, ``"2 steps"``; of an axis, axes."""
    return f"{count} {what if count == 1 else what[:-2] + 'es' if what.endswith('is') else what + 's'}"


def nearest(name: object, known: Any) -> str:
    """A hint for a wrong name, ``" (did you mean 'w_ih'?)"`` or nothing."""
    return f" (did you mean {close!r}?)" if (close := closest(name, known)) else ""


def no_attribute(owner: object, name: str, hint: str = "") -> AttributeError:
    """The error of an attribute that is not there; it points from habits of PyTorch to the way here."""
    hint = hint or _HABITS.get(name, "")
    what = f"{type(owner).__name__!r} object has no attribute {name!r}"
    return AttributeError(f"{what}: {hint}" if hint else what)


def _array(who: str, argument: str, value: Any) -> np.ndarray:
    if type(value) is np.ndarray:
        return value
    if value is None:
        raise TypeError(f"{who}: {argument} is None; expected an array")
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)  # np.matrix and other subclasses too become plain arrays
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        remedy = "; of a tensor give .detach().cpu().float()" if hasattr(value, "detach") else ""
        raise TypeError(
            f"{who}: {argument} is {kind(value)}, not readable as an array: {error}{remedy}"
        ) from error


def _floating(who: str, argument: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        remedy = "; convert it with .astype(np.float32)" if array.dtype.kind in "biuV" else ""
        raise TypeError(f"{who}: {argument} is {array.dtype}; expected real floating point{remedy}")
    return array


def _integers(value: Any) -> bool:
    """Whether the value is a row of integers, as lengths are."""
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "iu"
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], (int, np.integer))


def _native_dtype(array: np.ndarray) -> np.dtype:
    dtype = array.dtype
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def _cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return array if array.dtype == dtype else array.astype(dtype)


def _contiguous(array: np.ndarray) -> np.ndarray:
    """The array in C order and aligned: itself, or a copy."""
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else array.copy("C")


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays share memory; where that takes long to find out, whether they may."""
    try:
        return np.shares_memory(a, b, max_work=1000)  # type: ignore[arg-type]  # stubs know 0 and -1 only
    except np.exceptions.TooHardError:
        return True


def _states(cell: Cell, params: Parameters, argument: str, value: Any, batch: int) -> tuple[np.ndarray, ...]:
    """The states of a cell, or gradients of them, as a tuple; zeros where None stands."""
    who, widths = type(cell).__name__, cell.state_shapes(params.hidden_size)
    if value is None:
        return tuple(np.zeros((batch, width), params.dtype) for width in widths.values())
    value = by_state(who, argument, value, cell.states, "(B, H)")
    result = []
    for (name, width), item in zip(widths.items(), value, strict=True):
        if item is None:
            item = np.zeros((batch, width), params.dtype)
        called = state_name(argument, name, cell.states)
        item = _contiguous(real(who, called, item, params.dtype))
        if item.shape != (batch, width):
            raise ValueError(f"{who}: {called} has shape {item.shape}; expected {(batch, width)}")
        result.append(item)
    return tuple(result)


def row_lengths(who: str, value: Any, steps: int, batch: int) -> np.ndarray:
    """The lengths of the rows (B,), int64, each 0 to `steps`."""
    lengths = _array(who, "lengths", value)
    if lengths.size == 0 and not isinstance(value, np.ndarray):
        lengths = lengths.astype(np.int64)  # [] is float64 to NumPy
    if lengths.dtype.kind not in "iu":
        remedy = "; convert them with .astype(int)" if lengths.dtype.kind == "f" else ""
        raise TypeError(
            f"{who}: lengths is {lengths.dtype}; expected integers, one for each row of x{remedy}"
        )
    if lengths.shape != (batch,):
        raise ValueError(
            f"{who}: lengths has shape {lengths.shape}; expected {(batch,)}, one for each row of x"
        )
    wrong = np.flatnonzero((lengths < 0) | (lengths > steps))
    if wrong.size:
        row = wrong[0]
        raise ValueError(f"{who}: lengths[{row}] is {lengths[row]}; expected 0 to {steps}, the steps of x")
    return np.array(lengths, np.int64)


def _checkpoint_every(cell: Cell, hidden_size: int, steps: int, value: Any) -> int:
    who, argument = type(cell).__name__, "checkpoint_every"
    if isinstance(value, str) and value == "auto":
        # T/k states are kept, and k states with their gates computed again: least where both parts are equal.
        kept = sum(cell.state_shapes(hidden_size).values())
        value = round((steps * kept / (kept + len(cell.recorded) * hidden_size)) ** 0.5) or 1
    elif isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{who}: {argument} is {value!r}; expected a number of steps, or 'auto'")
    return min(size(who, argument, value), max(steps, 1))


def kind(value: object) -> str:
    """What a value is, for messages: "an int", "a list", "float32 (3, 4)", "None"."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def _names(names: Any) -> str:
    return ", ".join(map(repr, names))
