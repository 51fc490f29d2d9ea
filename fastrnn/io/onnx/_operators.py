"""The simple operators that stand around recurrent ones, in NumPy.

A function has an operator's inputs as arguments, None for those left out, and its attributes as keywords;
`since` is the version of the operator set from which on it is so. Products, exponentials and the like are
those of `fastrnn.functional`: the same bits on every machine. Logarithms and powers are NumPy's.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ... import functional, losses
from ._proto import element_type

Array = np.ndarray
Function = Callable[..., Any]

#: operator -> its versions, the oldest first.
_FUNCTIONS: dict[str, list[tuple[int, Function]]] = {}
#: The bytes that an operator may take for its output.
LIMIT: contextvars.ContextVar[int] = contextvars.ContextVar("LIMIT")


def operator(name: str, since: int = 7) -> Callable[[Function], Function]:
    """Register a function as an operator."""

    def register(function: Function) -> Function:
        _FUNCTIONS.setdefault(name, []).append((since, function))
        return function

    return register


def find(name: str, opset: int) -> Function | None:
    """Return the function of an operator in a version of the operator set; None: there is none."""
    versions = [function for since, function in _FUNCTIONS.get(name, ()) if since <= opset]
    return versions[-1] if versions else None


def call(function: Function, inputs: Sequence[Any], attributes: dict[str, Any], outputs: int) -> tuple:
    """Return the outputs of an operator."""
    if "_outputs" in (known := _parameters(function)):
        attributes = {**attributes, "_outputs": outputs}
    for name in attributes:
        if name not in known or known[name].kind is not inspect.Parameter.KEYWORD_ONLY:
            raise ValueError(f"there is no attribute {name!r} here")
    with np.errstate(all="ignore"):
        found = function(*inputs, **attributes)
    return found if isinstance(found, tuple) else (found,)


@functools.cache
def _parameters(function: Function) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def fits(shape: Iterable[int], dtype: Any) -> tuple[int, ...]:
    """Return a shape of which an array may be made."""
    shape = tuple(map(int, shape))
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > LIMIT.get():
        raise ValueError(
            f"it would make {size} bytes, an array {shape} of {np.dtype(dtype)}; {LIMIT.get()} are left of "
            "the limit, set by load(..., max_bytes=)"
        )
    return shape


def _broadcast(*arrays: np.ndarray) -> None:
    """Refuse operands of different types, or that would broadcast to more than may be."""
    if len({a.dtype for a in arrays}) > 1:
        raise ValueError(f"its inputs are {', '.join(str(a.dtype) for a in arrays)}; expected one type")
    fits(np.broadcast_shapes(*(a.shape for a in arrays)), arrays[0].dtype)


def _numbers(values: Any) -> tuple[int, ...] | None:
    """Return axes and the like, an attribute or an input, as Python's integers."""
    if values is None:
        return None
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"axes or sizes are {array.dtype}; expected integers")
    return tuple(int(n) for n in array.reshape(-1))


def _floating(function: Callable[[np.ndarray], np.ndarray]) -> Function:
    """Return a function of float32 and float64 as one that keeps the type, float16 for one."""
    return lambda x: function(x).astype(x.dtype, copy=False)


# -- one array, element by element -------------------------------------------------------------------------

_UNARY: dict[str, Function] = {
    "Identity": lambda x: x,
    "Tanh": _floating(functional.tanh),
    "Sigmoid": _floating(functional.sigmoid),
    "Exp": _floating(functional.exp),
    "Softplus": _floating(functional.softplus),
    "Relu": lambda x: np.maximum(x, x.dtype.type(0)),
    "Softsign": lambda x: x / (x.dtype.type(1) + np.abs(x)),
    "Log": np.log,
    "Sqrt": np.sqrt,
    "Neg": np.negative,
    "Abs": np.abs,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Not": np.logical_not,
}


def _unary(function: Function) -> Function:
    return lambda x: function(x)  # of the one argument and no keyword


for _name, _function in _UNARY.items():
    operator(_name)(_unary(_function))


@operator("LeakyRelu")
def _leaky_relu(x: Array, *, alpha: float = 0.01) -> Any:
    return np.where(x < 0, x.dtype.type(alpha) * x, x)


@operator("Elu")
def _elu(x: Array, *, alpha: float = 1.0) -> Any:
    return np.where(x < 0, x.dtype.type(alpha) * functional.elu(x).astype(x.dtype, copy=False), x)


@operator("HardSigmoid")
def _hard_sigmoid(x: Array, *, alpha: float = 0.2, beta: float = 0.5) -> Any:
    kind = x.dtype.type
    return np.clip(kind(alpha) * x + kind(beta), kind(0), kind(1))


@operator("Clip")
def _clip_6(x: Array, *, min: float = -math.inf, max: float = math.inf) -> Any:
    return np.minimum(np.maximum(x, x.dtype.type(min)), x.dtype.type(max))


@operator("Clip", 11)
def _clip(x: Array, low: Array | None = None, high: Array | None = None) -> Any:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


@operator("Cast")
def _cast(x: Array, *, to: int, saturate: int = 1, round_mode: str = "up") -> Any:
    dtype = element_type(to)
    if dtype is None:
        raise ValueError(f"to is ONNX's type {to}; expected floats of 16, 32 or 64 bits, integers or bool")
    fits(x.shape, dtype)
    return x.astype(dtype)


@operator("Dropout")
def _dropout_7(x: Array, *, ratio: float = 0.5) -> Any:
    return x, np.ones(x.shape, bool)


@operator("Dropout", 12)
def _dropout(
    x: Array, ratio: Array | None = None, training_mode: Array | None = None, *, seed: int = 0
) -> Any:
    if training_mode is not None and training_mode.any() and (ratio is None or ratio.any()):
        raise ValueError("training_mode is true; export the model for inference")
    return x, np.ones(x.shape, bool)


# -- several arrays, element by element --------------------------------------------------------------------


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind not in "iu":
        return np.divide(a, b)
    if not b.all():
        raise ValueError("integers are divided by 0")
    quotient = np.floor_divide(a, b)  # ONNX cuts off towards 0
    return quotient + ((quotient < 0) & (quotient * b != a)).astype(a.dtype)


_BINARY: dict[str, Function] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
    "Equal": np.equal,
    "Less": np.less,
    "Greater": np.greater,
    "LessOrEqual": np.less_equal,
    "GreaterOrEqual": np.greater_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
}
_VARIADIC: dict[str, Function] = {"Sum": np.add, "Max": np.maximum, "Min": np.minimum}


def _binary(function: Function) -> Function:
    def run(a: Array, b: Array) -> Any:
        _broadcast(a, b)
        return function(a, b)

    return run


def _variadic(function: Function) -> Function:
    def run(first: Array, *rest: Array) -> Any:
        for each in rest:
            _broadcast(first, each)
            first = function(first, each)
        return first

    return run


for _name, _function in _BINARY.items():
    operator(_name)(_binary(_function))
for _name, _function in _VARIADIC.items():
    operator(_name)(_variadic(_function))


@operator("Pow")
def _pow(a: Array, b: Array) -> Any:
    fits(np.broadcast_shapes(a.shape, b.shape), np.float64)
    return np.power(a, b).astype(a.dtype, copy=False)


@operator("Where", 9)
def _where(condition: Array, a: Array, b: Array) -> Any:
    _broadcast(a, b)
    fits(np.broadcast_shapes(condition.shape, a.shape, b.shape), a.dtype)
    return np.where(condition, a, b)


# -- products ----------------------------------------------------------------------------------------------


@operator("MatMul")
def _matmul(a: Array, b: Array) -> Any:
    if a.dtype != b.dtype:
        raise ValueError(f"its inputs are {a.dtype} and {b.dtype}; expected one type")
    if not a.ndim or not b.ndim:
        raise ValueError("an input has no axes")
    if b.ndim == 1:
        return _product(a, b[None])[..., 0]
    if b.ndim == 2:
        return _product(a, b.T)
    rows = a[None] if a.ndim == 1 else a
    if rows.shape[-1] != b.shape[-2]:
        raise ValueError(f"its inputs are {a.shape} and {b.shape}")
    outer = np.broadcast_shapes(rows.shape[:-2], b.shape[:-2])
    y = np.empty(fits((*outer, rows.shape[-2], b.shape[-1]), a.dtype), a.dtype)
    rows = np.broadcast_to(rows, (*outer, *rows.shape[-2:]))
    columns = np.broadcast_to(b, (*outer, *b.shape[-2:]))
    for index in np.ndindex(outer):
        y[index] = _product(rows[index], columns[index].T)
    return y[..., 0, :] if a.ndim == 1 else y


@operator("Gemm")
def _gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Any:
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"its inputs are {a.shape} and {b.shape}; expected two axes each")
    a, b = (a.T if transA else a), (b if transB else b.T)
    if c is not None and alpha == beta == 1 and c.shape == b.shape[:1] and c.dtype == b.dtype:
        return _product(a, b, c)
    y = _product(a, b)
    if alpha != 1:
        y = (y * alpha).astype(y.dtype)
    if c is None:
        return y
    if np.broadcast_shapes(y.shape, c.shape) != y.shape:
        raise ValueError(f"C is {c.shape}; it does not go with {y.shape}")
    return y + (c if beta == 1 else (c * beta).astype(c.dtype))


def _product(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """Return ``x w.T + b`` of x (..., I) and w (O, I)."""
    if x.shape[-1] != w.shape[1]:
        raise ValueError(f"there are {x.shape[-1]} columns to multiply with {w.shape[1]} rows")
    fits((*x.shape[:-1], len(w)), x.dtype)
    if x.dtype.kind != "f":
        y = x @ w.T
        return y if b is None else y + b
    wide = [None if a is None else a.astype(np.float32) if a.dtype == np.float16 else a for a in (x, w, b)]
    return functional.linear(*wide).astype(x.dtype, copy=False)


# -- over axes ---------------------------------------------------------------------------------------------


def _softmax(x: Array, *, axis: int = -1) -> Any:
    return losses.softmax(x, axis).astype(x.dtype, copy=False)


def _log_softmax(x: Array, *, axis: int = -1) -> Any:
    return losses.log_softmax(x, axis).astype(x.dtype, copy=False)


def _of_rows(function: Function) -> Function:
    """Return a function of the last axis as it was once: of all axes from `axis` on taken together."""

    def run(x: Array, *, axis: int = 1) -> Any:
        return function(_flatten(x, axis=axis)).reshape(x.shape)

    return run


for _name, _function in {"Softmax": _softmax, "LogSoftmax": _log_softmax}.items():
    operator(_name)(_of_rows(_function))
    operator(_name, 13)(_function)


def _reductions(name: str, function: Function, axes_are_an_input_since: int) -> None:
    def reduce(x: Array, axes: tuple[int, ...] | None, keepdims: int) -> Any:
        return np.asarray(function(x, axis=axes, keepdims=bool(keepdims))).astype(x.dtype, copy=False)

    def first(x: Array, *, axes: Any = None, keepdims: int = 1) -> Any:
        return reduce(x, _numbers(axes), keepdims)

    def later(
        x: Array, axes: Array | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Any:
        given = _numbers(axes) or None
        return x if given is None and noop_with_empty_axes else reduce(x, given, keepdims)

    operator(name)(first)
    operator(name, axes_are_an_input_since)(later)


def _extreme(function: Function, end: int) -> Function:
    """Return a maximum or minimum that of nothing is the end of the type's range."""

    def run(x: Array, **options: Any) -> Any:
        if x.dtype.kind == "f":
            options["initial"] = end * np.inf
        elif x.size == 0:
            ends = (False, True) if x.dtype.kind == "b" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
            options["initial"] = ends[end > 0]
        return function(x, **options)

    return run


_reductions("ReduceSum", np.sum, 13)
_reductions("ReduceMean", np.mean, 18)
_reductions("ReduceMax", _extreme(np.max, -1), 18)
_reductions("ReduceMin", _extreme(np.min, 1), 18)
_reductions("ReduceProd", np.prod, 18)


def _arg(name: str, function: Function) -> None:
    def run(x: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
        axis = range(x.ndim)[axis]
        found = function(np.flip(x, axis) if select_last_index else x, axis)
        found = x.shape[axis] - 1 - found if select_last_index else found
        return np.expand_dims(found, axis) if keepdims else np.asarray(found)

    operator(name)(run)


_arg("ArgMax", np.argmax)
_arg("ArgMin", np.argmin)


# -- shapes ------------------------------------------------------------------------------------------------


@operator("Transpose")
def _transpose(x: Array, *, perm: Any = None) -> Any:
    return x.transpose(perm)


@operator("Squeeze")
def _squeeze_7(x: Array, *, axes: Any = None) -> Any:
    return np.squeeze(x, _numbers(axes))


@operator("Squeeze", 13)
def _squeeze(x: Array, axes: Array | None = None) -> Any:
    return np.squeeze(x, _numbers(axes))


@operator("Unsqueeze")
def _unsqueeze_7(x: Array, *, axes: Any) -> Any:
    return np.expand_dims(x, _numbers(axes) or ())


@operator("Unsqueeze", 13)
def _unsqueeze(x: Array, axes: Array) -> Any:
    return np.expand_dims(x, _numbers(axes) or ())


@operator("Reshape")
def _reshape(x: Array, shape: Array, *, allowzero: int = 0) -> Any:
    sizes = list(_numbers(shape) or ())
    if not allowzero:
        sizes = [n or x.shape[k] for k, n in enumerate(sizes)]
    return x.reshape(sizes)


@operator("Flatten")
def _flatten(x: Array, *, axis: int = 1) -> Any:
    if not -x.ndim <= axis <= x.ndim:
        raise ValueError(f"axis is {axis}; the input is {x.shape}")
    axis += x.ndim * (axis < 0)
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("Expand", 8)
def _expand(x: Array, shape: Array) -> Any:
    sizes = np.broadcast_shapes(x.shape, _numbers(shape) or ())
    return np.broadcast_to(x, fits(sizes, x.dtype)).copy()


@operator("Shape")
def _shape(x: Array) -> Any:
    return np.array(x.shape, np.int64)


@operator("Shape", 15)
def _shape_15(x: Array, *, start: int = 0, end: Any = None) -> Any:
    return np.array(x.shape[start:end], np.int64)


@operator("Size")
def _size(x: Array) -> Any:
    return np.array(x.size, np.int64)


# -- parts -------------------------------------------------------------------------------------------------


@operator("Concat")
def _concat(*arrays: Array, axis: int) -> Any:
    if len({a.dtype for a in arrays}) > 1:
        raise ValueError("its inputs are of several types")
    fits([sum(a.size for a in arrays)], arrays[0].dtype)
    return np.concatenate(arrays, axis)


@operator("Split")
def _split_7(x: Array, *, axis: int = 0, split: Any = None, _outputs: int) -> Any:
    return _parts(x, axis, _numbers(split), _outputs, _outputs)


@operator("Split", 13)
def _split_13(x: Array, split: Array | None = None, *, axis: int = 0, _outputs: int) -> Any:
    return _parts(x, axis, _numbers(split), _outputs, _outputs)


@operator("Split", 18)
def _split(
    x: Array, split: Array | None = None, *, axis: int = 0, num_outputs: Any = None, _outputs: int
) -> Any:
    return _parts(x, axis, _numbers(split), num_outputs or _outputs, _outputs)


def _parts(x: np.ndarray, axis: int, sizes: Any, count: int, outputs: int) -> tuple[np.ndarray, ...]:
    whole = x.shape[axis]
    if sizes is None:
        each = -(-whole // count)
        sizes = [max(0, min(each, whole - k * each)) for k in range(outputs)]
    if sum(sizes) != whole or min(sizes) < 0 or len(sizes) != outputs or count != outputs:
        raise ValueError(f"{outputs} outputs of sizes {list(sizes)}; the axis has {whole}")
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


@operator("Slice")
def _slice_7(x: Array, *, starts: Any, ends: Any, axes: Any = None) -> Any:
    return _slice(x, starts, ends, axes)


@operator("Slice", 10)
def _slice(
    x: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None
) -> Any:
    first, last = _numbers(starts) or (), _numbers(ends) or ()
    which = _numbers(axes) if axes is not None else tuple(range(len(first)))
    by = _numbers(steps) if steps is not None else (1,) * len(first)
    index: list[slice] = [slice(None)] * x.ndim
    for axis, *ends_and_step in zip(which or (), first, last, by or (), strict=True):
        index[axis] = slice(*ends_and_step)
    return x[tuple(index)]


@operator("Gather")
def _gather(x: Array, indices: Array, *, axis: int = 0) -> Any:
    if indices.dtype.kind not in "iu":
        raise ValueError(f"indices are {indices.dtype}; expected integers")
    axis = range(x.ndim)[axis]
    fits((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)
    return np.take(x, indices, axis)


@operator("Tile")
def _tile(x: Array, repeats: Array) -> Any:
    times = _numbers(repeats) or ()
    if len(times) != x.ndim or min(times, default=0) < 0:
        raise ValueError(f"repeats are {times}; the input is {x.shape}")
    fits([n * t for n, t in zip(x.shape, times, strict=True)], x.dtype)
    return np.tile(x, times)


# -- new arrays --------------------------------------------------------------------------------------------


@operator("Constant")
def _constant(
    *, value=None, value_float=None, value_floats=None, value_int=None, value_ints=None
):  # numbers of ONNX's attributes are float32 and int64
    given = [
        array
        for array in (
            value,
            None if value_float is None else np.array(value_float, np.float32),
            None if value_floats is None else np.array(value_floats, np.float32),
            None if value_int is None else np.array(value_int, np.int64),
            None if value_ints is None else np.array(value_ints, np.int64),
        )
        if array is not None
    ]
    if len(given) != 1:
        raise ValueError(f"it has {len(given)} values; expected one")
    return given[0]


@operator("ConstantOfShape", 9)
def _constant_of_shape(shape: Array, *, value: Any = None) -> Any:
    filling = np.zeros(1, np.float32) if value is None else np.asarray(value)
    if filling.size != 1:
        raise ValueError(f"value has the shape {filling.shape}; expected one element")
    return np.full(fits(_numbers(shape) or (), filling.dtype), filling.reshape(())[()], filling.dtype)


@operator("Range", 11)
def _range(start: Array, limit: Array, delta: Array) -> Any:
    count = max(math.ceil((limit - start) / delta), 0) if delta else math.inf
    if not math.isfinite(count):
        raise ValueError(f"from {start} to {limit} by {delta} there is no end")
    fits([int(count)], start.dtype)
    return (start + np.arange(int(count)) * delta).astype(start.dtype)
