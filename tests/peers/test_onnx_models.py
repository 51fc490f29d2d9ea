"""Models read by `fastrnn.io.onnx` and models written by it, run by ONNX Runtime.

FASTRNN_ONNX_MODELS=3000 pytest -m peers tests/peers/test_onnx_models.py -k one_node     that many models
FASTRNN_ONNX_STACKS=500 pytest -m peers tests/peers/test_onnx_models.py -k stacks        that many stacks
"""

import os

import numpy as np
import pytest

import fastrnn
from fastrnn import cells, nn

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx
import onnx_node
from test_onnx_cells import assert_close, draw_case, draw_cells, node

from fastrnn.io.onnx import Backend, export, load

pytestmark = pytest.mark.peers

MODELS = int(os.environ.get("FASTRNN_ONNX_MODELS", "400"))
STACKS = int(os.environ.get("FASTRNN_ONNX_STACKS", "100"))


@pytest.mark.parametrize("seed", range(MODELS))
def test_random_models_of_one_node_are_those_of_onnx_runtime(seed):
    """Every attribute and input, the weights in the model or given to it; with layout=1 the same bits."""
    case = draw_case(100_000 + seed)
    inputs, names, attributes = node(case)
    rng = np.random.default_rng(seed)
    weights = ("w", "r", "b", "p")
    opset = int(rng.choice([7, 11, 13, 14, 17, 22]))
    model = onnx_node.build(case.kind, inputs, names, weights if seed % 2 else (), opset=opset, **attributes)
    given = {v.name: inputs[v.name] for v in model.graph.input}
    theirs = onnx_node.run_model(model, given)
    loaded = load(model)
    ours = loaded.run(given)
    assert len(loaded.layers) == seed % 2
    prepared = Backend.prepare(model).run([given[v.name] for v in model.graph.input])
    for d, (parts, steady) in enumerate(zip(case.run(), case.steady(), strict=True)):
        if not steady:
            continue
        # A small value may be the sum of large ones, whose last bits it has: two of the largest.
        least = max(np.abs(part).max() for part in parts) / 16
        for name in names:
            pick = (slice(None), d) if name == "y" else (d,)
            hint = f"{name} {case.cells[d]} {case.direction}"
            assert_close(ours[name][pick], theirs[name][pick], hint, least)
    for name, got in zip(names, prepared, strict=True):
        np.testing.assert_array_equal(got, ours[name])

    turned = inputs | {n: inputs[n].swapaxes(0, 1) for n in ("x", "h", "c") if inputs.get(n) is not None}
    batchwise = onnx_node.build(case.kind, turned, names, weights, opset=14, layout=1, **attributes)
    found = load(batchwise).run({v.name: turned[v.name] for v in batchwise.graph.input})
    np.testing.assert_array_equal(found["y"].transpose(1, 2, 0, 3), ours["y"])
    for name in names[1:]:
        np.testing.assert_array_equal(found[name].swapaxes(0, 1), ours[name])


def draw_stack(rng):
    """Layers of random options, as far as ONNX has them, alone or between others."""
    kind = rng.choice(["LSTM", "GRU", "RNN"])
    (cell,) = draw_cells(kind, 1, rng)
    # without jumps: a stack has no measure of how near one is
    if any(a.name == "thresholded_relu" for a in activations(cell)):
        cell = {"LSTM": cells.LSTM(peepholes="io"), "GRU": cells.GRU("before"), "RNN": cells.RNN("relu")}[
            kind
        ]
    features, hidden, layers = (int(n) for n in rng.integers(1, 9, 3))
    stack = nn.Recurrent(
        cell, features, hidden, layers % 3 + 1,
        bias=bool(rng.integers(2)), batch_first=bool(rng.integers(2)), bidirectional=bool(rng.integers(2)),
        learn_state=bool(rng.integers(2)), recurrent_dropout=0.5, rng=rng,
    )  # fmt: skip
    for value in stack.params.values():  # products of what is not bounded grow without measure
        value[...] = rng.uniform(-0.15, 0.15, value.shape)
    modules = [stack]
    if rng.random() < 0.3:
        modules = [nn.Linear(5, features, rng=rng), nn.Dropout(0.5), stack]
    elif rng.random() < 0.3:
        modules = [nn.Embedding(11, features, rng=rng), stack]
    if rng.random() < 0.5:
        wide = hidden * (1 + stack.bidirectional)
        modules.append(nn.Linear(wide, 3, bias=bool(rng.integers(2)), rng=rng))
    return modules, stack


def activations(cell):
    if isinstance(cell, cells.RNN):
        return [cell.activation]
    return [cell.activation(gate) for gate in cell.usual]


@pytest.mark.parametrize("seed", range(STACKS))
def test_exported_stacks_are_the_same_in_onnx_runtime(seed):
    rng = np.random.default_rng(seed)
    modules, stack = draw_stack(rng)
    with_lengths, with_state = bool(rng.integers(2)), bool(rng.integers(2))
    opset = int(rng.choice([13, 14, 17, 21, 22]))
    model = export(
        modules if len(modules) > 1 else stack, lengths=with_lengths, state=with_state, opset=opset
    )
    onnx.checker.check_model(model, full_check=True)

    steps, batch = (int(n) for n in rng.integers(1, 8, 2))
    shape = (batch, steps) if stack.batch_first else (steps, batch)
    if isinstance(modules[0], nn.Embedding):
        x = rng.integers(0, 11, shape)
        given = {"ids": x}
    else:
        first = modules[0]
        wide = first.in_features if isinstance(first, nn.Linear) else stack.input_size
        x = rng.standard_normal((*shape, wide), np.float32)
        given = {"x": x}
    lengths, state = None, None
    if with_lengths:
        lengths = given["lengths"] = rng.integers(0, steps + 1, batch).astype(np.int32)
    passes = stack.num_layers * (1 + stack.bidirectional)
    names = stack.cell.states
    if with_state:
        state = [rng.standard_normal((passes, batch, stack.hidden_size), np.float32) for _ in names]
        given |= {f"{n}0": s for n, s in zip(names, state, strict=True)}
        state = tuple(state) if len(names) > 1 else state[0]

    y, last = x, None
    for module in modules:
        if module is stack:
            y, last = module(y, state, lengths=lengths)
        else:
            y = module(y)
    expected = {"y": y} | dict(
        zip((f"{n}_n" for n in names), last if len(names) > 1 else [last], strict=True)
    )
    theirs, ours = onnx_node.run_model(model, given), load(model).run(given)
    for name, value in expected.items():
        assert theirs[name].shape == value.shape
        assert_close(theirs[name], value, f"{name} of {modules}")
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


def exported_classifier(rng):
    """What exports of a PyTorch model look like: batch first, the last step of an LSTM to a softmax."""
    h = onnx.helper
    array = lambda *shape: rng.uniform(-0.4, 0.4, shape).astype(np.float32)  # noqa: E731
    tensors = {
        "w_i": array(1, 6, 5), "w_o": array(1, 6, 5), "w_f": array(1, 6, 5), "w_c": array(1, 6, 5),
        "r": array(1, 24, 6), "b": array(1, 48), "fc.weight": array(4, 6), "fc.bias": array(4),
        "zero": np.array(0, np.int64), "one": np.array(1, np.int64), "axis0": np.array([0], np.int64),
        "last": np.array([-1], np.int64), "far": np.array([2**62], np.int64),
        "axis1": np.array([1], np.int64), "hidden": np.array([6], np.int64),
    }  # fmt: skip
    constant = h.make_tensor("value", onnx.TensorProto.INT64, [1], [1])
    fill = h.make_tensor("value", onnx.TensorProto.FLOAT, [1], [0.0])
    nodes = [
        h.make_node("Shape", ["x"], ["shape"]),
        h.make_node("Gather", ["shape", "zero"], ["batch"], axis=0),
        h.make_node("Unsqueeze", ["batch", "axis0"], ["batch1"]),
        h.make_node("Constant", [], ["layers"], value=constant),
        h.make_node("Concat", ["layers", "batch1", "hidden"], ["state_shape"], axis=0),
        h.make_node("ConstantOfShape", ["state_shape"], ["h0"], value=fill),
        h.make_node("Transpose", ["x"], ["time_first"], perm=[1, 0, 2]),
        h.make_node("Concat", ["w_i", "w_o", "w_f", "w_c"], ["w"], axis=1),
        h.make_node(
            "LSTM",
            ["time_first", "w", "r", "b", "", "h0", "h0"],
            ["y", "y_h", "y_c"],
            "/lstm/LSTM",
            hidden_size=6,
        ),
        h.make_node("Squeeze", ["y", "axis1"], ["y3"]),
        h.make_node("Transpose", ["y3"], ["y_batch"], perm=[1, 0, 2]),
        h.make_node("Slice", ["y_batch", "last", "far", "axis1"], ["last_step"]),
        h.make_node("Squeeze", ["last_step", "axis1"], ["features"]),
        h.make_node("Gemm", ["features", "fc.weight", "fc.bias"], ["scores"], alpha=1.0, beta=1.0, transB=1),
        h.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    make = h.make_tensor_value_info
    graph = h.make_graph(
        nodes,
        "main_graph",
        [make("x", onnx.TensorProto.FLOAT, ["batch", "time", 5])],
        [make(name, onnx.TensorProto.FLOAT, None) for name in ("probabilities", "y_h")],
        [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), tensors


def test_exported_classifier_runs_and_its_layer_is_there():
    rng = np.random.default_rng(0)
    model, tensors = exported_classifier(rng)
    x = rng.standard_normal((3, 7, 5), np.float32)
    loaded = load(model)
    found, theirs = loaded.run({"x": x}), onnx_node.run_model(model, {"x": x})
    for name, value in theirs.items():
        assert found[name].dtype == value.dtype
        assert_close(found[name], value, name)
    lstm = loaded.layers["/lstm/LSTM"]
    assert type(lstm) is fastrnn.LSTM
    _, (h, _) = lstm(x.swapaxes(0, 1))
    np.testing.assert_array_equal(h, found["y_h"])
    np.testing.assert_array_equal(lstm.params["weight_ih_l0"][:6], tensors["w_i"][0])
    np.testing.assert_array_equal(lstm.params["weight_ih_l0"][6:12], tensors["w_f"][0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}], ids=str
)
def test_models_exported_by_pytorch_run(kind, options, tmp_path):
    torch = pytest.importorskip("torch")

    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = getattr(torch.nn, kind)(5, 6, **options)
            self.out = torch.nn.Linear(6 * (1 + options.get("bidirectional", False)), 3)

        def forward(self, x):
            y, _ = self.rnn(x)
            y = y[:, -1] if options.get("batch_first") else y[-1]
            return torch.log_softmax(self.out(torch.relu(y)), 1)

    torch.manual_seed(0)
    model, x = Classifier().eval(), torch.randn(4, 7, 5)
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        model, (x,), str(path), dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "a", 1: "b"}}
    )
    loaded = load(path)
    for shape in [(4, 7, 5), (2, 9, 5)]:
        x = torch.randn(*shape)
        assert_close(loaded(x.numpy()), model(x).detach().numpy(), kind)
    assert len(loaded.layers) == options.get("num_layers", 1)
