"""Who is measured: fastrnn, the naive loop, PyTorch and ONNX Runtime, each at its best settings.

A contender offers ways to do a case, of which the fastest is measured, or None where it cannot do the case.
All of them must give the same answer first: `verify`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from . import naive
from .cases import Case, Data

__all__ = ["CONTENDERS", "PEERS", "Way", "available", "build", "verify"]

Arrays = dict[str, np.ndarray]


class Way(NamedTuple):
    """A call, and how its result is read: y, h, and for training dx and the gradients by PyTorch's names."""

    call: Callable[[], Any]
    read: Callable[[Any], Arrays]


Ways = dict[str, Way]


# ---- fastrnn ----


def fastrnn(case: Case, data: Data, threads: int, stack: ExitStack) -> Ways:
    """A layer; for inference frozen, as the others' weights are prepared too."""
    layer, x, lengths = data.layer, data.x, data.lengths
    if case.mode == "training":

        def train():
            y, _, tape = layer.forward(x, lengths=lengths)
            return y, *layer.backward(tape, data.dy, consume=True)

        return {"layer": Way(train, lambda r: {"y": r[0], "dx": r[1], **r[3]})}
    layer.freeze()
    if case.mode == "forward":
        return {"layer": Way(lambda: layer(x, lengths=lengths), lambda r: {"y": r[0], "h": _first(r[1])})}
    x_t, before = x[0], data.state
    if case.batch == 1:  # one stream has no axis for others
        x_t, before = x_t[0], tuple(s[:, 0] for s in before)
    state = before if len(before) > 1 else before[0]
    shape = data.state[0].shape
    return {
        "step": Way(
            lambda: layer.step(x_t, state),
            lambda r: {"y": r[0].reshape(shape), "h": _first(r[1]).reshape(shape)},
        )
    }


def _first(state: Any) -> Any:
    return state[0] if isinstance(state, (tuple, list)) else state


# ---- naive NumPy ----


def numpy(case: Case, data: Data, threads: int, stack: ExitStack) -> Ways:
    """The usual loop. Ragged rows run on past their ends and are cut off afterwards."""
    if importlib.util.find_spec("threadpoolctl"):
        from threadpoolctl import threadpool_limits

        stack.enter_context(threadpool_limits(threads, user_api="blas"))
    names = [
        [
            [f"{kind}_l{k}{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            for suffix in ("", "_reverse")[: case.directions]
        ]
        for k in range(case.layers)
    ]
    layers = [[[data.params[name] for name in names] for names in layer] for layer in names]
    cell, x, valid = case.cell, data.x, _valid(case).astype(case.dtype)
    if case.mode == "step":
        step = naive.step(cell, layers[0][0])
        x_t, before = x[0], tuple(s[0] for s in data.state)
        if case.batch == 1:
            x_t, before = x_t[0], tuple(s[0] for s in before)
        shape = data.state[0].shape
        return {
            "step": Way(
                lambda: step(x_t, *before), lambda r: {"y": r[0].reshape(shape), "h": r[0].reshape(shape)}
            )
        }
    if case.mode == "forward":
        return {
            "loop": Way(
                lambda: naive.layers_forward(cell, layers, x)[0] * (valid if case.ragged else 1),
                lambda y: {"y": y},
            )
        }

    def train():
        y, tapes = naive.layers_forward(cell, layers, x)
        return y, *naive.layers_backward(cell, layers, tapes, data.dy)

    def read(result):
        y, dx, grads = result
        flat = [name for layer in names for direction in layer for name in direction]
        gradients = [gradient for weights in grads for gradient in weights]
        return {"y": y * valid, "dx": dx, **dict(zip(flat, gradients, strict=True))}

    return {"loop": Way(train, read)}


def _valid(case: Case) -> np.ndarray:
    """(T, B, 1): whether a row is still running."""
    return (np.arange(case.steps)[:, None] < case.lengths)[..., None]


# ---- PyTorch ----


def torch(case: Case, data: Data, threads: int, stack: ExitStack) -> Ways:
    """The module in inference mode, or with autograd; ragged as packed sequences, or padded and cut off."""
    import torch

    torch.set_num_threads(threads)
    kind = case.cell.upper()
    dtype = getattr(torch, case.dtype)
    weights = {name: torch.tensor(value) for name, value in data.params.items()}
    module = getattr(torch.nn, kind)(
        case.inputs, case.hidden, case.layers, bidirectional=case.bidirectional, dtype=dtype
    )
    module.load_state_dict(weights)
    x, dy = torch.tensor(data.x), torch.tensor(data.dy)

    if case.mode != "training":
        module.eval()
        stack.enter_context(torch.inference_mode())
    if case.mode == "step":
        cell = getattr(torch.nn, f"{kind}Cell")(case.inputs, case.hidden, dtype=dtype).eval()
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in weights.items()})
        state = tuple(torch.tensor(s) for s in data.state)
        inner = tuple(s[0] for s in state)
        given, given_inner = (state, inner) if len(state) > 1 else (state[0], inner[0])
        return {
            "module": Way(lambda: module(x, given), lambda r: {"y": r[0].numpy(), "h": _first(r[1]).numpy()}),
            "cell": Way(
                lambda: cell(x[0], given_inner),
                lambda r: {"y": _first(r)[None].numpy(), "h": _first(r)[None].numpy()},
            ),
        }

    runs: dict[str, Callable] = {"module": module}
    if case.ragged:
        from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

        lengths, valid = torch.tensor(case.lengths), torch.tensor(_valid(case))

        def packed(x):
            y, h = module(pack_padded_sequence(x, lengths, enforce_sorted=False))
            return pad_packed_sequence(y, total_length=case.steps)[0], h

        runs = {"packed": packed, "padded": lambda x: (module(x)[0] * valid, None)}
    if case.mode == "forward":

        def read_forward(result):
            y, h = result
            return {"y": y.numpy()} | ({} if h is None else {"h": _first(h).numpy()})

        return {name: Way(partial(run, x), read_forward) for name, run in runs.items()}

    x.requires_grad_()
    names, leaves = zip(*module.named_parameters(), strict=True)

    def train(run):
        y = run(x)[0]
        return y, *torch.autograd.grad(y, (x, *leaves), dy)

    def read_training(result):
        return dict(zip(("y", "dx", *names), (t.detach().numpy() for t in result), strict=True))

    return {name: Way(partial(train, run), read_training) for name, run in runs.items()}


# ---- ONNX Runtime ----

# Gates in ONNX's order, as positions in ours (PyTorch's): i, o, f, g of i, f, g, o; z, r, n of r, z, n.
_ONNX_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
_ONNX_OPTIONS: dict[str, tuple] = {"lstm": (), "gru": (("linear_before_reset", 1),), "rnn": ()}


def onnxruntime(case: Case, data: Data, threads: int, stack: ExitStack) -> Ways | None:
    """A session whose weights are in the graph, and so prepacked; run with arrays, or with bound memory."""
    if case.mode == "training" or case.dtype != "float32":
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        _onnx_model(case, data.params), options, providers=["CPUExecutionProvider"]
    )
    feeds = {"x": data.x}
    if case.ragged:
        feeds["lengths"] = case.lengths.astype(np.int32)
    if case.mode == "step":
        feeds |= dict(zip(("h", "c"), data.state, strict=False))
    outputs = [output.name for output in session.get_outputs()]

    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
    bound = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in session.run(None, feeds)]
    for name, value in zip(outputs, bound, strict=True):
        binding.bind_ortvalue_output(name, value)

    def read(arrays):
        y = arrays[0].transpose(0, 2, 1, 3).reshape(case.steps, case.batch, -1)
        return {"y": y} | ({"h": arrays[1]} if case.layers == 1 else {})

    return {
        "run": Way(lambda: session.run(None, feeds), read),
        "binding": Way(
            lambda: session.run_with_iobinding(binding), lambda _: read([value.numpy() for value in bound])
        ),
    }


def _onnx_model(case: Case, params: Mapping[str, np.ndarray]) -> bytes:
    """The layers as a graph; its y is ONNX's (T, directions, B, H)."""
    from onnx import TensorProto, helper, numpy_helper

    hidden, directions = case.hidden, case.directions
    nodes, constants = [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def ordered(name: str) -> np.ndarray:
        blocks = np.split(params[name], case.gates)
        return np.concatenate([blocks[k] for k in _ONNX_GATES[case.cell]])

    def both(k: int, *kinds: str) -> np.ndarray:
        suffixes = ("", "_reverse")[:directions]
        return np.stack([np.concatenate([ordered(f"{kind}_l{k}{s}") for kind in kinds]) for s in suffixes])

    states = ["h", "c"][: 2 if case.cell == "lstm" else 1]
    below = "x"
    for k in range(case.layers):
        inputs = [
            below,
            constant(f"W{k}", both(k, "weight_ih")),
            constant(f"R{k}", both(k, "weight_hh")),
            constant(f"B{k}", both(k, "bias_ih", "bias_hh")),
            "lengths" if case.ragged else "",
            *(states if case.mode == "step" else []),
        ]
        outputs = [f"y{k}", *(f"{state}{k}" for state in states)]
        direction = "bidirectional" if case.bidirectional else "forward"
        node = helper.make_node(case.cell.upper(), inputs, outputs, hidden_size=hidden, direction=direction)
        node.attribute.extend(helper.make_attribute(*option) for option in _ONNX_OPTIONS[case.cell])
        nodes.append(node)
        if k < case.layers - 1:
            nodes.append(helper.make_node("Transpose", [f"y{k}"], [f"t{k}"], perm=[0, 2, 1, 3]))
            shape = constant(f"s{k}", np.array([case.steps, case.batch, directions * hidden]))
            nodes.append(helper.make_node("Reshape", [f"t{k}", shape], [f"x{k + 1}"]))
            below = f"x{k + 1}"

    def value(name: str, shape: list[int], kind: int = TensorProto.FLOAT) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    last = case.layers - 1
    state_shape = [directions, case.batch, hidden]
    graph_inputs = [value("x", [case.steps, case.batch, case.inputs])]
    if case.ragged:
        graph_inputs.append(value("lengths", [case.batch], TensorProto.INT32))
    if case.mode == "step":
        graph_inputs += [value(state, state_shape) for state in states]
    graph_outputs = [value(f"y{last}", [case.steps, directions, case.batch, hidden])]
    graph_outputs += [value(f"{state}{last}", state_shape) for state in states]
    graph = helper.make_graph(nodes, "layers", graph_inputs, graph_outputs, constants)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


# ---- all of them ----

CONTENDERS: dict[str, Callable[[Case, Data, int, ExitStack], Ways | None]] = {
    "fastrnn": fastrnn,
    "numpy": numpy,
    "torch": torch,
    "onnxruntime": onnxruntime,
}
#: What each peer needs.
PEERS = {"torch": ("torch",), "onnxruntime": ("onnxruntime", "onnx")}


def available() -> list[str]:
    """The peers that are installed."""
    return [name for name, needs in PEERS.items() if all(map(importlib.util.find_spec, needs))]


def build(case: Case, data: Data, threads: int, stack: ExitStack, peers: Sequence[str]) -> dict[str, Ways]:
    """Every contender that can do the case, verified."""
    found = {}
    for name in ("fastrnn", "numpy", *peers):
        ways = CONTENDERS[name](case, data, threads, stack)
        if ways:
            found[name] = ways
    verify(case, found)
    return found


def verify(case: Case, contenders: Mapping[str, Ways]) -> None:
    """Raise RuntimeError unless all ways give the answer of the naive loop.

    Each array may be off by 2e-3 of its largest element in float32 and 1e-9 in float64: what differs is the
    order of sums, which a recurrence carries on.
    """
    tolerance = 2e-3 if case.dtype == "float32" else 1e-9
    _, judge = next(iter(contenders["numpy"].items()))
    expected = judge.read(judge.call())
    for name, ways in contenders.items():
        for label, way in ways.items():
            answer = way.read(way.call())
            for key in answer.keys() & expected.keys():
                off = float(np.max(np.abs(answer[key] - expected[key]), initial=0))
                if not off <= tolerance * max(float(np.max(np.abs(expected[key]), initial=0)), 1e-30):
                    raise RuntimeError(
                        f"{case.cell} {case.mode} {case.name}: {key} of {name} ({label}) is off by {off:.3g}"
                    )
