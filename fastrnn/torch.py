"""fastrnn's layers as modules of PyTorch, by ``import fastrnn.torch``.

`LSTM`, `GRU`, `RNN` and `Recurrent` are for new models, `accelerate` is for one that is there. They compute
on the CPU, in float32 or float64, on the memory of the tensors themselves. PyTorch's automatic
differentiation goes through them once: there are no second derivatives.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from . import _checks, _config, cells, nn
from .io.torch import layer_like
from .nn import init as initial

try:
    import torch
except ImportError as error:
    raise ImportError('fastrnn.torch needs PyTorch: pip install "fastrnn[torch]"') from error
from torch.autograd import forward_ad
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

__all__ = ["GRU", "LSTM", "RNN", "Acceleration", "Recurrent", "accelerate"]

Result = TypeVar("Result")

_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


# ---- tensors and arrays ----


def _array(who: str, argument: str, tensor: Any) -> np.ndarray:
    """Return the memory of a tensor as an array; refuse one that has none here."""
    try:
        return (tensor.detach() if tensor.requires_grad else tensor).numpy()
    except (AttributeError, RuntimeError, TypeError, NotImplementedError) as error:
        if isinstance(tensor, torch.Tensor) and tensor.is_neg():  # its memory has the negative values
            return _array(who, argument, tensor.resolve_neg())
        raise _refusal(who, argument, tensor, error) from error


def _refusal(who: str, argument: str, tensor: Any, error: Exception) -> Exception:
    """Return the error of a tensor that cannot be read as an array, with the remedy."""
    if not isinstance(tensor, torch.Tensor):
        remedy = "; torch.from_numpy makes one" if isinstance(tensor, np.ndarray) else ""
        return TypeError(f"{who}: {argument} is {_checks.kind(tensor)}; expected a tensor{remedy}")
    if tensor.device.type == "meta":
        return TypeError(f"{who}: {argument} is on the meta device, without values; give one on the CPU")
    if tensor.device.type != "cpu":
        return TypeError(
            f"{who}: {argument} is on {tensor.device}; fastrnn computes on the CPU: give .cpu(), or "
            f"use {_theirs(who)} where there is a GPU"
        )
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return TypeError(f"{who}: {argument} is sparse or quantised; give .to_dense() or .dequantize()")
    if tensor.dtype is torch.bfloat16:
        return _wrong_dtype(who, argument, tensor)
    return _no_transforms(who, argument, error)


def _no_transforms(who: str, argument: str, reason: object) -> RuntimeError:
    return RuntimeError(
        f"{who}: {argument} has no memory to compute on ({reason}); transforms of torch.func (vmap, grad, "
        f"jvp), fake tensors, torch.export and tracing do not reach into fastrnn: use {_theirs(who)} there"
    )


def _theirs(who: str) -> str:
    """Return what to use instead."""
    return f"torch.nn.{who}" if hasattr(torch.nn, who) else "operations of PyTorch"


def _states(who: str, hx: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """Return the states that were given, one for each name."""
    several = isinstance(hx, (tuple, list))
    if len(names) == 1 and not several:
        return (hx,)
    if len(names) > 1 and several and len(hx) == len(names):
        return tuple(hx)
    came = f"{_checks.kind(hx)}" + f" of {len(hx)}" * several
    wanted = f"a tuple ({', '.join(names)}) of tensors" if len(names) > 1 else "one tensor"
    raise TypeError(f"{who}: hx is {came}; expected {wanted} (D*num_layers, B, H)")


def _wrong_dtype(who: str, argument: str, tensor: torch.Tensor, expected: Any = "") -> TypeError:
    wanted = f"{expected}, as the parameters are" if expected else "float32 or float64"
    remedy = f".to({expected})" if expected else ".float()"
    return TypeError(f"{who}: {argument} is {tensor.dtype}; expected {wanted}: give {remedy}")


def _tensors(arrays: Sequence[np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


def _on_threads(call: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    """Run a call on one thread where PyTorch was told to use one, as in the workers of a DataLoader."""
    if torch.get_num_threads() > 1 or _config.settings()[2]:
        return call(*arguments, **options)
    with _config.num_threads(1):
        return call(*arguments, **options)


# ---- automatic differentiation ----


def _run(
    layer: nn.Recurrent, tensors: Sequence[Any], lengths: Any, seed: int | None, tape: bool
) -> tuple[torch.Tensor, list[torch.Tensor], Any]:
    """Return y, the states and the tape; the tensors are x and the states."""
    who = type(layer).__name__
    x, state = _array(who, "input", tensors[0]), None
    if len(tensors) > 1:
        given = [None if s is None else _array(who, "hx", s) for s in tensors[1:]]
        state = given[0] if len(given) == 1 else tuple(given)
    record = None
    if lengths is None and seed is None and not tape:
        y, after = _on_threads(layer, x, state)
    else:
        rng = None if seed is None else np.random.default_rng(seed)
        y, after, record = _on_threads(layer.run, x, state, lengths=lengths, tape=tape, rng=rng)
    return torch.from_numpy(y), _tensors(after if isinstance(after, tuple) else (after,)), record


class _Plan(NamedTuple):
    """What a call has besides tensors."""

    layer: nn.Recurrent
    lengths: Any
    seed: int | None  # of dropout; None: none acts
    states: int  # how many of the tensors are states

    def run(self, tensors: Sequence[Any]) -> tuple[torch.Tensor, list[torch.Tensor], Any]:
        """Return y, the states and the tape; the tensors are x, the states, and the weights if need be."""
        layer, lengths, seed, states = self
        return _run(layer, tensors[: 1 + states], lengths, seed, tape=True)

    def on(self, tensors: Sequence[Any]) -> _Plan:
        """Return the plan with the weights that are among the tensors."""
        who, weights = type(self.layer).__name__, tensors[1 + self.states :]
        arrays = {
            name: np.ascontiguousarray(_array(who, name, weight))
            for name, weight in zip(self.layer.params, weights, strict=True)
        }
        return self._replace(layer=self.layer.sharing(arrays))


def _addresses(tensors: Sequence[Any]) -> list[int]:
    return [0 if t is None else t.data_ptr() for t in tensors]


class _Through(torch.autograd.Function):
    """A layer's forward and backward: of (plan, x, *states, *weights) it makes (y, *states)."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, *tensors: Any) -> Any:
        y, after, tape = plan.run(tensors)
        # The tape hangs on a saved tensor, so that it goes when PyTorch lets go of what was saved.
        carrier = torch.empty(0)
        carrier.record = tape, _addresses(tensors)  # type: ignore[attr-defined]
        ctx.plan = plan
        ctx.save_for_backward(*tensors, carrier)
        ctx.set_materialize_grads(False)
        return (y, *after)

    @staticmethod
    def backward(ctx: Any, dy: Any, *dafter: Any) -> Any:
        plan: _Plan = ctx.plan
        *tensors, carrier = ctx.saved_tensors  # refuses what was written to since
        tape, addresses = getattr(carrier, "record", (None, None))
        if tape is None or addresses != _addresses(tensors):
            # What was saved went through hooks, such as those of checkpoints, or was kept from writes.
            plan = plan.on(tensors)
            _, _, tape = plan.run(tensors)
        gradients = _gradients(plan, tape, dy, dafter)
        needed = ctx.needs_input_grad[1:]
        found = [g if wanted else None for g, wanted in zip(gradients, needed, strict=True)]
        if torch.is_grad_enabled():  # create_graph=True
            found = _once(type(plan.layer).__name__, (*tensors, dy, *dafter), found)
        return (None, *found)


def _gradients(plan: _Plan, tape: Any, dy: Any, dafter: Sequence[Any]) -> list[Any]:
    """Return the gradients of x, of the states that were given, and of the weights."""
    layer, names = plan.layer, plan.layer.cell.states
    who = type(layer).__name__
    dy, *dstates = [None if d is None else _array(who, "a gradient", d) for d in (dy, *dafter)]
    dstate = dstates[0] if len(names) == 1 else tuple(dstates)
    if dy is None and all(d is None for d in dstates):
        return [None] * (1 + plan.states + len(layer.params))
    dx, dstate0, grads = _on_threads(layer.backward, tape, dy, dstate)
    before = (dstate0 if isinstance(dstate0, tuple) else (dstate0,))[: plan.states]
    return _tensors([dx, *before, *grads.values()])


class _Once(torch.autograd.Function):
    """Gradients that cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, who: str, count: int, *tensors: Any) -> Any:
        ctx.who = who
        return tuple(gradient.view_as(gradient) for gradient in tensors[count:])

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise RuntimeError(
            f"fastrnn.torch.{ctx.who} has no second derivatives; use {_theirs(ctx.who)} in this model "
            "(the state_dict loads as it is)"
        )


def _once(who: str, tensors: Sequence[Any], gradients: list[Any]) -> list[Any]:
    """Let the second derivative by any of the tensors fail, rather than be zero, which it is not."""
    depended = [t for t in tensors if t is not None and t.requires_grad]
    found = iter(_Once.apply(who, len(depended), *depended, *[g for g in gradients if g is not None]))
    return [None if g is None else next(found) for g in gradients]


# ---- modules ----


def _option(name: str) -> Any:
    """Return a property that reads an option of the layer."""
    return property(lambda self: getattr(self._outline, name), doc=f"As the argument {name!r}.")


class Recurrent(torch.nn.Module):
    """Any cell of `fastrnn.cells` as a module of PyTorch.

    `LSTM`, `GRU` and `RNN` take the place of those of ``torch.nn``: arguments, names of parameters and
    results are theirs, and they take the options of their cells by keyword.

    Parameters
    ----------
    cell : fastrnn.cells.Cell
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As of `fastrnn.Recurrent`, and of ``torch.nn.LSTM``.
    device : "cpu" or None
    dtype : torch.float32, torch.float64 or None
        None: ``torch.get_default_dtype()``.
    **options
        ``input_dropout``, ``recurrent_dropout``, ``weight_dropout``, ``learn_state``, ``init``, as of
        `fastrnn.Recurrent`. They act as there, but for the mode: in ``train()`` dropout and zoneout act, in
        ``eval()`` they do not, with gradients or without.

    Notes
    -----
    Random numbers come from PyTorch: ``torch.manual_seed`` repeats the initial values, which are those of
    ``torch.nn``, and the dropout, whose masks are not those of ``torch.nn``.

    In autocast, tensors of half precision are cast to the parameters' dtype, and the output has that. What
    ``torch.compile`` compiles breaks off before the layer and goes on after it. Transforms of ``torch.func``,
    forward-mode differentiation and second derivatives are refused.

    `fastrnn.num_threads` sets the threads; with ``torch.set_num_threads(1)`` there is one.

    Examples
    --------
    >>> import torch
    >>> import fastrnn.torch
    >>> from fastrnn import cells
    >>> mgu = fastrnn.torch.Recurrent(cells.MGU(), 3, 4, batch_first=True)
    >>> y, h = mgu(torch.ones(5, 7, 3), lengths=[7, 2, 1, 3, 5])
    >>> y.sum().backward()
    >>> y.shape, mgu.weight_ih_l0.grad.shape
    (torch.Size([5, 7, 4]), torch.Size([8, 3]))
    """

    #: Our layer, whose options they take.
    _kind: ClassVar[type[nn.Recurrent]] = nn.Recurrent

    cell = _option("cell")
    input_size = _option("input_size")
    hidden_size = _option("hidden_size")
    num_layers = _option("num_layers")
    bias = _option("bias")
    batch_first = _option("batch_first")
    bidirectional = _option("bidirectional")
    input_dropout = _option("input_dropout")
    recurrent_dropout = _option("recurrent_dropout")
    weight_dropout = _option("weight_dropout")
    learn_state = _option("learn_state")

    def __init__(
        self,
        cell: cells.Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **options: Any,
    ) -> None:
        arguments = (cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        self._build(arguments, device, dtype, options)

    def _build(self, arguments: tuple[Any, ...], device: Any, dtype: Any, options: dict[str, Any]) -> None:
        """Make the layer, and parameters of its arrays."""
        super().__init__()
        who = type(self).__name__
        dtype = torch.get_default_dtype() if dtype is None else dtype
        if dtype not in _DTYPES:
            raise TypeError(f"{who}: dtype is {dtype}; expected torch.float32 or torch.float64")
        if device is not None and torch.device(device).type != "cpu":
            raise ValueError(f"{who}: device is {device}; fastrnn computes on the CPU: use torch.nn there")
        if "rng" in options:
            raise TypeError(f"{who}: there is no argument 'rng'; torch.manual_seed sets PyTorch's generator")
        self._init = options.pop("init", None)
        layer = self._kind(*arguments, dtype=_DTYPES[dtype], rng=initial.UNDRAWN, **options)
        for name, array in layer.params.items():
            self.register_parameter(name, torch.nn.Parameter(torch.from_numpy(array)))
        self._take(layer)
        self.reset_parameters()

    def _take(self, layer: nn.Recurrent) -> None:
        """Keep the options of a layer, without its arrays; `_bound` makes layers on the tensors' memory."""
        self._outline = layer.outline()
        self._names = list(layer.params)
        self._binding: tuple[nn.Recurrent | None, list[tuple[Any, int, Any]]] = None, []

    def reset_parameters(self) -> None:
        """Draw the parameters anew: from U(-1/sqrt(H), 1/sqrt(H)), as ``torch.nn`` does, or by ``init``."""
        bound = 1 / self.hidden_size**0.5
        with torch.no_grad():
            for name, (_, begins) in self._outline.beginnings().items():
                parameter = getattr(self, name)
                if begins is None:
                    parameter.uniform_(-bound, bound)
                else:
                    parameter.fill_(begins)
            if self._init is not None:
                initial.recurrent(self._bound()[0], rng=_seed(), **self._init)

    @property
    def dropout(self) -> float:
        """As the argument; it may be set."""
        return self._outline.dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self._outline.dropout = _checks.probability(type(self).__name__, "dropout", value)
        self._binding = None, []

    @property
    def proj_size(self) -> int:
        """P of an LSTM with a projection, else 0."""
        return getattr(self.cell, "proj_size", 0)

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters of each layer and direction, as of ``torch.nn.LSTM``."""
        passes = 1 + self.bidirectional
        each = len(self._names) // (self.num_layers * passes)
        weights = [getattr(self, name) for name in self._names]
        return [weights[k : k + each] for k in range(0, len(weights), each)]

    def layer(self) -> nn.Recurrent:
        """Return a layer for NumPy of these options, with copies of the weights: `fastrnn.from_torch`."""
        layer = copy.deepcopy(self._bound()[0])
        layer.rng = np.random.default_rng()
        return layer

    def flatten_parameters(self) -> None:
        """Do nothing: there is nothing to flatten on a CPU. For programs that call it."""

    # ---- running ----

    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> tuple[Any, Any]:
        """Return the output and the state after the last step.

        Parameters
        ----------
        input : tensor or PackedSequence
            (T, B, I), (B, T, I) with `batch_first`, or (T, I).
        hx : tensor or tuple of tensors, optional
            The initial state, (D*L, B, H), of an LSTM (h, c). None: zeros, or as learned.
        lengths : B integers, optional
            Steps of each row, 0 to T in any order: the output is 0 past them. A PackedSequence has its own.

        Returns
        -------
        output : tensor or PackedSequence
        hx : as the argument

        Raises
        ------
        TypeError, ValueError, RuntimeError
            Wrong shapes, dtypes, devices; inside ``torch.func`` transforms, forward-mode differentiation and
            ``torch.jit.trace``.
        """
        if torch.compiler.is_compiling():
            return _outside_the_graph(self, input, hx, lengths)
        return self._run_any(input, hx, lengths)

    def _run_any(self, input: Any, hx: Any, lengths: Any) -> tuple[Any, Any]:
        if isinstance(input, PackedSequence):
            return self._run_packed(input, hx, lengths)
        return self._run(input, hx, lengths)

    def _run(self, input: Any, hx: Any, lengths: Any = None) -> tuple[Any, Any]:
        layer, weights = self._bound()
        dtype = weights[0].dtype
        tensors = [input if getattr(input, "dtype", None) is dtype else self._cast(input, "input", dtype)]
        if hx is not None:
            states = _states(type(layer).__name__, hx, layer.cell.states)
            tensors += [s if s is None else self._cast(s, "hx", dtype) for s in states]
        if torch.jit.is_tracing() or forward_ad._current_level >= 0:
            self._refuse_transforms([*tensors, *weights])
        seed = _seed() if self.training and layer.draws else None
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (*weights, *tensors)):
            if torch._C._are_functorch_transforms_active():
                raise _no_transforms(type(layer).__name__, "input", "it is under one of them")
            y, *after = _Through.apply(_Plan(layer, lengths, seed, len(tensors) - 1), *tensors, *weights)
        else:
            y, after, _ = _run(layer, tensors, lengths, seed, tape=False)
        return y, after[0] if len(after) == 1 else tuple(after)

    def _run_packed(self, packed: PackedSequence, hx: Any, lengths: Any) -> tuple[Any, Any]:
        """Do as `_run` with sequences that PyTorch packed, longest first; states have the caller's order."""
        if lengths is not None:
            raise ValueError(f"{type(self).__name__}: lengths with a PackedSequence, which has its own")
        data, sizes, order, back = packed
        x, lengths = pad_packed_sequence(PackedSequence(data, sizes), self.batch_first)
        y, after = self._run(x, _rows(hx, order), lengths)
        y = pack_padded_sequence(y, lengths, self.batch_first).data
        return PackedSequence(y, sizes, order, back), _rows(after, back)

    def _cast(self, tensor: Any, argument: str, dtype: Any) -> Any:
        """Return the tensor, which has this dtype, or in autocast is brought to it."""
        if getattr(tensor, "dtype", None) is dtype:
            return tensor
        who = type(self).__name__
        if not isinstance(tensor, torch.Tensor):
            raise _refusal(who, argument, tensor, TypeError())
        if tensor.dtype in (torch.float16, torch.bfloat16) and torch.is_autocast_enabled("cpu"):
            return tensor.to(dtype)
        raise _wrong_dtype(who, argument, tensor, dtype)

    def _refuse_transforms(self, tensors: Sequence[Any]) -> None:
        who = type(self).__name__
        if torch.jit.is_tracing():
            raise RuntimeError(
                f"fastrnn.torch.{who} cannot be traced: its result would be a constant. Trace "
                f"or export a model with {_theirs(who)} (the state_dict loads as it is)"
            )
        if any(t is not None and forward_ad.unpack_dual(t).tangent is not None for t in tensors):
            raise RuntimeError(
                f"fastrnn.torch.{who} has no forward-mode derivative; use backward, or {_theirs(who)}"
            )

    # ---- parameters ----

    def _bound(self) -> tuple[nn.Recurrent, list[Any]]:
        """Return a layer on the memory of the parameters as it is now, and the parameters."""
        own = self._parameters
        try:
            weights: list[Any] = [own[name] for name in self._names]
        except KeyError:  # they are computed: parametrize, weight_norm
            weights = [getattr(self, name) for name in self._names]
        layer, views = self._binding
        if layer is not None:
            try:
                for weight, (view, address, dtype) in zip(weights, views, strict=True):
                    if (
                        weight.data_ptr() != address
                        or weight.dtype is not dtype
                        or not weight.is_set_to(view)
                    ):
                        break
                else:
                    return layer, weights
            except (RuntimeError, AttributeError):  # a tensor without memory, of which `_bind` tells
                pass
        layer = self._bind(weights)
        # The views keep this memory, so that nothing else comes to stand at these addresses.
        # What had to be copied is copied at every call: strided weights, and those at odd addresses.
        whole = all(
            w.is_contiguous() and w.data_ptr() and not w.data_ptr() % w.element_size() for w in weights
        )
        views = [(w.detach(), w.data_ptr(), w.dtype) for w in weights]
        self._binding = (layer, views) if whole else (None, [])
        return layer, weights

    def _bind(self, weights: Sequence[Any]) -> nn.Recurrent:
        who = type(self).__name__
        arrays = {}
        for name, weight in zip(self._names, weights, strict=True):
            array = _array(who, name, weight)
            if weight.dtype not in _DTYPES:
                raise _wrong_dtype(who, name, weight)
            if weight.dtype is not weights[0].dtype:
                raise TypeError(
                    f"{who}: {name} is {weight.dtype}, {self._names[0]} {weights[0].dtype}; expected one "
                    "dtype: give module.float() or .double()"
                )
            arrays[name] = np.ascontiguousarray(array)
        return self._outline.sharing(arrays)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._binding = None, []  # lets go of memory that the parameters are about to leave
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_binding": (None, [])}

    def extra_repr(self) -> str:
        """Return the arguments, as ``torch.nn`` shows them."""
        return self._outline.extra_repr()


class RNN(Recurrent):
    """``torch.nn.RNN``, with any nonlinearity and the options of `fastrnn.RNN` by keyword; see `Recurrent`.

    Examples
    --------
    >>> import torch
    >>> import fastrnn.torch
    >>> y, h = fastrnn.torch.RNN(3, 4, nonlinearity="relu")(torch.ones(7, 5, 3))
    >>> y.shape, h.shape
    (torch.Size([7, 5, 4]), torch.Size([1, 5, 4]))
    """

    _kind: ClassVar[type[nn.Recurrent]] = nn.RNN

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: cells.AnyActivation = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **options: Any,
    ) -> None:
        sizes = (input_size, hidden_size, num_layers)
        arguments = (*sizes, nonlinearity, bias, batch_first, dropout, bidirectional)
        self._build(arguments, device, dtype, options)

    @property
    def nonlinearity(self) -> str:
        """The name of the activation."""
        return self.cell.activation.name

    @property
    def mode(self) -> str:
        """PyTorch's name of the cell: ``"RNN_TANH"``."""
        return f"RNN_{self.nonlinearity.upper()}"

    def extra_repr(self) -> str:
        """Return the arguments, as ``torch.nn`` shows them: without its nonlinearities."""
        return super().extra_repr().replace(f", nonlinearity={cells.Activation('relu')!r}", "")


class LSTM(Recurrent):
    """``torch.nn.LSTM``, with the options of `fastrnn.LSTM` by keyword; see `Recurrent`.

    Examples
    --------
    >>> import torch
    >>> import fastrnn.torch
    >>> lstm = fastrnn.torch.LSTM(3, 4, bidirectional=True, peepholes="ifo", layer_norm=True)
    >>> y, (h, c) = lstm(torch.ones(7, 5, 3))
    >>> y.shape, h.shape
    (torch.Size([7, 5, 8]), torch.Size([2, 5, 4]))
    """

    _kind: ClassVar[type[nn.Recurrent]] = nn.LSTM
    mode = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        **options: Any,
    ) -> None:
        sizes = (input_size, hidden_size, num_layers)
        arguments = (*sizes, bias, batch_first, dropout, bidirectional, proj_size)
        self._build(arguments, device, dtype, options)


class GRU(Recurrent):
    """``torch.nn.GRU``, with the options of `fastrnn.GRU` by keyword; see `Recurrent`.

    Examples
    --------
    >>> import torch
    >>> import fastrnn.torch
    >>> y, h = fastrnn.torch.GRU(3, 4, reset="before")(torch.ones(7, 5, 3))
    >>> y.shape, h.shape
    (torch.Size([7, 5, 4]), torch.Size([1, 5, 4]))
    """

    _kind: ClassVar[type[nn.Recurrent]] = nn.GRU
    mode = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **options: Any,
    ) -> None:
        sizes = (input_size, hidden_size, num_layers)
        self._build((*sizes, bias, batch_first, dropout, bidirectional), device, dtype, options)


def _outside_the_graph(module: Recurrent, input: Any, hx: Any, lengths: Any) -> tuple[Any, Any]:
    """Run a module where torch.compile does not look."""
    return torch.compiler.disable(Recurrent._run_any)(module, input, hx, lengths)


def _seed() -> int:
    """Draw a seed from PyTorch's generator."""
    return int(torch.randint(2**63 - 1, ()))


def _rows(states: Any, order: Any) -> Any:
    """Return a state, or several, with its rows in this order; None: as they are."""
    if states is None or order is None:
        return states
    if isinstance(states, (tuple, list)):
        return tuple(_rows(state, order) for state in states)
    return states.index_select(1, order)


# ---- models that are there already ----

_REPLACEMENTS: dict[type[Any], type[Recurrent]] = {
    torch.nn.RNN: RNN, torch.nn.LSTM: LSTM, torch.nn.GRU: GRU
}  # fmt: skip
# What those have besides the constants of TorchScript, and ours has otherwise.
_THEIR_ATTRIBUTES = (
    "nonlinearity",
    "_flat_weights",
    "_flat_weights_names",
    "_flat_weight_refs",
    "_all_weights",
)


@dataclass(frozen=True)
class Acceleration:
    """What `accelerate` did.

    Attributes
    ----------
    model : torch.nn.Module
        The model that was given; if that was itself a layer, what takes its place.
    replaced : dict of str to str
        What was replaced, by its name in the model (``""``: the model itself). A module of several names is
        there with each of them.
    left : dict of str to str
        What was not, and why.
    already : list of str
        What was of `fastrnn.torch` before.
    """

    model: torch.nn.Module = field(repr=False)
    replaced: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    already: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        whole = "(the model itself, in .model of this)"
        lines = [f"  {name or whole}: {what}" for name, what in self.replaced.items()]
        lines += [f"  {name or '(the model)'}: left as it is: {why}" for name, why in self.left.items()]
        before = f", {len(self.already)} of fastrnn already" if self.already else ""
        return "\n".join(
            [f"Acceleration: {len(self.replaced)} replaced, {len(self.left)} left{before}", *lines]
        )


def accelerate(model: torch.nn.Module) -> Acceleration:
    """Replace every ``torch.nn.RNN``, ``LSTM`` and ``GRU`` of a model by ours, in place.

    The parameters are the same objects as before, so that optimisers that have them, names in ``state_dict``
    and the modes stay as they are; hooks go along. Results are those of ``torch.nn`` but for rounding.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    Acceleration
        What was replaced and what was not: print it. If the model itself is such a layer, ``.model`` takes
        its place; else that is the model.

    Raises
    ------
    TypeError
        `model` is no module.

    Examples
    --------
    >>> import torch
    >>> import fastrnn.torch
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.GRU(8, 16), "out": torch.nn.Linear(16, 2)})
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> fastrnn.torch.accelerate(model)
    Acceleration: 1 replaced, 0 left
      rnn: GRU(8, 16)
    >>> y, h = model["rnn"](torch.ones(7, 5, 8))
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"accelerate: model is {_checks.kind(model)}; expected a torch.nn.Module")
    replaced, left, already = {}, {}, []
    made: dict[torch.nn.Module, Recurrent] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, Recurrent):
            already.append(name)
        if isinstance(module, torch.nn.RNNCellBase):
            left[name] = "a cell alone gains nothing: use a layer, which takes whole sequences"
        if not _is_recurrent(module):
            continue
        try:
            if module not in made:
                made[module] = _replacement(module)
        except (TypeError, ValueError) as error:
            left[name] = str(error).removeprefix("from_torch: ")
        else:
            replaced[name] = repr(made[module])
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is not None and child in made:
                parent._modules[name] = made[child]
    return Acceleration(made.get(model, model), replaced, left, already)


def _is_recurrent(module: torch.nn.Module) -> bool:
    """Whether a module is one of theirs, a subclass, or of their name elsewhere: quantised, for one."""
    if isinstance(module, Recurrent):
        return False
    return isinstance(module, torch.nn.RNNBase) or type(module).__name__ in ("RNN", "LSTM", "GRU")


def _replacement(module: torch.nn.Module) -> Recurrent:
    """Return ours for one of theirs, with the same parameters, hooks and mode."""
    layer = layer_like(module)
    ours: Recurrent = object.__new__(_REPLACEMENTS[type(module)])
    torch.nn.Module.__init__(ours)
    theirs = {*getattr(module, "__constants__", ()), *_THEIR_ATTRIBUTES}
    ours.__dict__.update({name: value for name, value in vars(module).items() if name not in theirs})
    own = {name: module._parameters[name] for name in layer.params}
    ours._parameters = own | {n: p for n, p in module._parameters.items() if n not in own}  # and the user's
    ours._init = None
    ours._take(layer)
    ours._bound()
    return ours
