"""What `fastrnn.io.onnx` reads, runs, writes and refuses; tests/peers compares with ONNX Runtime."""

import itertools
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn
from fastrnn import cells, nn
from fastrnn.io import FileFormatError

pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper

from fastrnn.io.onnx import export, load


def graph_of(nodes, inputs=("x",), outputs=("y",), opset=17, **tensors):
    """A model of float32 inputs and outputs of any shape."""
    declare = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, None)  # noqa: E731
    graph = helper.make_graph(
        nodes,
        "graph",
        [declare(name) for name in inputs],
        [declare(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def lstm_tensors(gates=4, ways=1, size=3, inputs=2):
    rng = np.random.default_rng(0)
    shapes = {
        "w": (ways, gates * size, inputs),
        "r": (ways, gates * size, size),
        "b": (ways, 2 * gates * size),
    }
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def lstm_model(kind="LSTM", outputs=("y",), inputs=("x", "w", "r", "b"), tensors=None, **attributes):
    node = helper.make_node(kind, list(inputs), list(outputs), "rnn", **attributes)
    return graph_of([node], outputs=outputs, **(lstm_tensors() if tensors is None else tensors))


X = np.random.default_rng(1).standard_normal((5, 4, 2)).astype(np.float32)


# -- reading and running -----------------------------------------------------------------------------------


@pytest.mark.parametrize("as_what", ["path", "bytes", "model"])
def test_a_model_is_read_from_a_path_bytes_or_a_message(as_what, tmp_path):
    layer = nn.LSTM(2, 3, num_layers=2, bidirectional=True, rng=0)
    path = tmp_path / "model.onnx"
    message = export(layer, path)
    source = {"path": path, "bytes": path.read_bytes(), "model": message}[as_what]
    model = load(source)
    y, h, c = model(X)
    expected, (h_n, c_n) = layer(X)
    for got, wanted in zip((y, h, c), (expected, h_n, c_n), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert list(model.layers) == ["lstm_l0", "lstm_l1"]
    assert model.outputs == ("y", "h_n", "c_n")
    assert model.operators == ("Concat", "Identity", "LSTM", "Reshape", "Transpose")


def test_layers_learn_and_the_model_goes_on_with_them():
    model = load(export(nn.GRU(2, 3, rng=0)))
    layer = model.layers["gru_l0"]
    before, _ = model(X)
    layer.thaw()
    y, _, tape = layer.forward(X)
    *_, grads = layer.backward(tape, dy=np.ones_like(y))
    fastrnn.optim.SGD(layer, lr=0.1).step(grads)
    after, _ = model(X)
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, layer(X)[0])


def test_a_default_that_is_replaced_replaces_the_layer():
    tensors = lstm_tensors()
    model = load(
        graph_of([helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"])], inputs=("x", "w"), **tensors)
    )
    assert model.required == ("x",)
    twice = model.run({"x": X, "w": 2 * tensors["w"]})["y"]
    assert not np.array_equal(twice, model(X))
    np.testing.assert_array_equal(twice, load(lstm_model(tensors=tensors | {"w": 2 * tensors["w"]}))(X))


def test_layers_come_out_of_a_model_that_cannot_run():
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r", "b"], ["h"], "encoder"),
        helper.make_node("NonMaxSuppression", ["h", "h"], ["y"], "boxes"),
    ]
    model = load(graph_of(nodes, **lstm_tensors()))
    assert repr(model.layers) == "{'encoder': LSTM(2, 3)}"
    with pytest.raises(NotImplementedError, match=r"node 'boxes' \(NonMaxSuppression\) .*ONNX Runtime"):
        model(X)


def test_nodes_without_a_name_are_called_by_their_output_and_share_layers():
    nodes = [helper.make_node("LSTM", ["x", "w", "r", "b"], [name]) for name in ("first", "second")]
    nodes.append(helper.make_node("Concat", ["first", "second"], ["y"], axis=-1))
    model = load(graph_of(nodes, **lstm_tensors()))
    assert list(model.layers) == ["first", "second"]
    assert model.layers["first"] is model.layers["second"]


def test_a_layer_that_only_runs_backwards_is_one_all_the_same():
    model = load(lstm_model(direction="reverse", outputs=("y", "h", "c")))
    layer = model.layers["rnn"]
    y, (h, _c) = layer(X, lengths=[5, 0, 3, 1])
    assert (y[3:, 2] == 0).all()
    np.testing.assert_array_equal(y[0, 0], h[0, 0])
    layer.thaw()
    y, _, tape = layer.forward(X)
    dx, dstate, grads = layer.backward(tape, dy=np.ones_like(y))
    eps, k = 1e-2, "weight_ih_l0_reverse"
    assert dx.shape == X.shape
    assert dstate[0].shape == (1, 4, 3)
    found = []
    for sign in (1, -1):
        layer.params[k][0, 0] += sign * eps
        found.append(float(layer(X)[0].sum()))
        layer.params[k][0, 0] -= sign * eps
    assert grads[k][0, 0] == pytest.approx((found[0] - found[1]) / (2 * eps), rel=2e-2)
    again = load(export(layer))
    np.testing.assert_array_equal(again(X)[0], layer(X)[0])


def test_numbers_of_activations_go_to_the_functions_that_take_them():
    functions = ["HardSigmoid", "LeakyRelu", "Tanh", "Sigmoid", "Affine", "ScaledTanh"]
    model = load(
        lstm_model(
            tensors=lstm_tensors(ways=2), direction="bidirectional", activations=functions,
            activation_alpha=[0.25, 0.125, 3.0], activation_beta=[0.75, 4.0],
        )
    )  # fmt: skip
    first, second = model.layers["rnn"].cells
    assert first.activation("i") == cells.Activation("hard_sigmoid", 0.25, 0.75)
    assert first.activation("g") == cells.Activation("leaky_relu", 0.125)
    assert second.activation("g") == cells.Activation("affine", 3.0, 4.0)
    assert second.activation("h") == cells.Activation("scaled_tanh")  # the lists have ended


def test_the_last_state_of_a_row_without_steps_is_zero():
    inputs = ("x", "w", "r", "b", "n", "h0", "c0")
    node = helper.make_node("LSTM", inputs, ["y", "h", "c"])
    state = np.ones((1, 4, 3), np.float32)
    model = load(
        graph_of(
            [node], outputs=("y", "h", "c"), n=np.array([5, 0, 2, 0], np.int32), h0=state, c0=state,
            **lstm_tensors(),
        )
    )  # fmt: skip
    _, h, c = model(X)
    assert (h[0, [1, 3]] == 0).all()
    assert (c[0, [1, 3]] == 0).all()
    assert (h[0, [0, 2]] != 0).all()


def test_inputs_are_cast_only_where_nothing_is_lost():
    model = load(export([nn.Embedding(9, 2, rng=0), nn.GRU(2, 3, rng=0)]))
    ids = np.array([[1, 2], [3, 4]])
    np.testing.assert_array_equal(model(ids)[0], model(ids.astype(np.int16))[0])
    with pytest.raises(TypeError, match=r"input 'ids' is float64; expected int64: use \.astype"):
        model(ids / 2)
    with pytest.raises(ValueError, match=r"input 'ids' has shape \(2,\); expected \(any, any\)"):
        model(ids[0])
    with pytest.raises(FileFormatError, match=r"Gather.*out of bounds"):
        model(ids + 9)
    with pytest.raises(ValueError, match="got 'id'; the model takes 'ids'"):
        model.run({"id": ids})
    with pytest.raises(TypeError, match="got 0 inputs; the model takes 'ids'"):
        model()


def as_constants(tensors):
    """Nodes that hold what would be tensors of the graph."""
    return [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name))
        for name, value in tensors.items()
    ]


def test_weights_may_be_constants_and_parts_of_others():
    tensors = lstm_tensors()
    expected = load(lstm_model())(X)
    recurrent = helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], "rnn")
    model = load(graph_of([*as_constants(tensors), recurrent]))
    assert repr(model.layers["rnn"]) == "LSTM(2, 3)"
    np.testing.assert_array_equal(model(X), expected)
    w = tensors.pop("w")
    parts = {"top": w[0, :5], "rest": w[0, 5:], "axes": np.array([0])}
    joined = [
        helper.make_node("Concat", ["top", "rest"], ["flat"], axis=0),
        helper.make_node("Unsqueeze", ["flat", "axes"], ["w"]),
    ]
    model = load(graph_of([*joined, recurrent], **tensors, **parts))
    assert repr(model.layers["rnn"]) == "LSTM(2, 3)"
    np.testing.assert_array_equal(model(X), expected)


@pytest.mark.parametrize(
    "kind", [np.float32, np.float64, np.int64, np.uint8, np.bool_, np.float16, np.uint64]
)
@pytest.mark.parametrize("raw", [True, False])
def test_tensors_of_every_type_are_read(kind, raw):
    values = np.array([[0, 1, 2], [3, 100, 0]]).astype(kind)
    number = helper.np_dtype_to_tensor_dtype(values.dtype)
    data = values.tobytes() if raw else values.reshape(-1).tolist()
    model = graph_of([helper.make_node("Identity", ["v"], ["y"])], inputs=())
    model.graph.initializer.append(helper.make_tensor("v", number, values.shape, data, raw=raw))
    found = load(model)()
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("shape", [(0, 4, 2), (5, 0, 2), (1, 1, 2)])
def test_empty_inputs_are_no_matter(shape):
    layer = nn.LSTM(2, 3, bidirectional=True, rng=0)
    x = np.ones(shape, np.float32)
    for got, wanted in zip(load(export(layer))(x), [layer(x)[0], *layer(x)[1]], strict=True):
        np.testing.assert_array_equal(got, wanted)


def exportable():
    """Cells with options as far as ONNX has them."""
    limit = st.none() | st.floats(0.125, 3, width=32)
    some = st.sampled_from(
        ["tanh", "sigmoid", "softsign", ("elu", 0.5), "scaled_tanh", ("hard_sigmoid", 0.25)]
    )

    def lstm(f, g, h, **options):
        return cells.LSTM(activations={"i": f, "f": f, "o": f, "g": g, "h": h}, **options)

    def gru(f, g, **options):
        return cells.GRU(activations={"r": f, "z": f, "n": g}, **options)

    peepholes = st.sets(st.sampled_from("ifo")).map("".join)
    return st.one_of(
        st.builds(cells.RNN, some, limit),
        st.builds(gru, some, some, clip=limit, reset=st.sampled_from(["after", "before"])),
        st.builds(lstm, some, some, some, clip=limit, coupled=st.booleans(), peepholes=peepholes),
    )


@settings(max_examples=60)
@given(
    exportable(), st.booleans(), st.booleans(), st.integers(1, 2), st.sampled_from([np.float32, np.float64])
)
def test_what_was_written_is_read_with_the_same_bits(cell, bidirectional, bias, layers, dtype):
    layer = nn.Recurrent(cell, 2, 3, layers, bias=bias, bidirectional=bidirectional, dtype=dtype, rng=0)
    x, lengths = X.astype(dtype), np.array([5, 0, 3, 1], np.int32)
    y, last = layer(x, lengths=lengths)
    model = load(export(layer, lengths=True))
    for got, wanted in zip(
        model(x, lengths), [y, *(last if isinstance(last, tuple) else [last])], strict=True
    ):
        np.testing.assert_array_equal(got, wanted)
    for k, each in enumerate(model.layers.values()):
        for name, value in each.params.items():
            if "peephole" not in name:
                np.testing.assert_array_equal(value, layer.params[name.replace("l0", f"l{k}")])


# -- writing -----------------------------------------------------------------------------------------------

REFUSED = [
    (nn.LSTM(2, 4, proj_size=2), "proj_size=2"),
    (nn.LSTM(2, 4, cell_clip=1.0), "cell_clip=1.0"),
    (nn.LSTM(2, 4, input_gate=False), "input_gate=False"),
    (nn.LSTM(2, 4, forget_gate=False), "forget_gate=False"),
    (nn.LSTM(2, 4, output_gate=False), "output_gate=False"),
    (nn.LSTM(2, 4, full_gate_recurrence=True), "full_gate_recurrence=True"),
    (nn.GRU(2, 4, layer_norm=True), "layer_norm=True"),
    (nn.RNN(2, 4, zoneout=0.1), r"zoneout=\(0.1,\)"),
    (nn.LSTM(2, 4, activations={"o": "hard_sigmoid"}), "gates i, f, o have the activations"),
    (nn.GRU(2, 4, activations={"r": "hard_sigmoid"}), "gates r, z have the activations"),
    (nn.Recurrent(cells.IndRNN(), 2, 4), r"no operator for IndRNN\(\)"),
    (nn.Recurrent(cells.MGU(), 2, 4), r"no operator for MGU\(\)"),
]


@pytest.mark.parametrize(("layer", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_what_onnx_cannot_say_is_refused(layer, message):
    with pytest.raises(ValueError, match=f"export: .*{message}"):
        export(layer)


def test_modules_whose_order_is_unknown_are_refused_with_the_way_to_say_it():
    class Tagger(nn.Module):
        def __init__(self):
            self.rnn, self.out = nn.GRU(2, 3), nn.Linear(3, 2)

    tagger = Tagger()
    with pytest.raises(TypeError, match=r"got a Tagger.*export\(\[m\.rnn, m\.out\]\)"):
        export(tagger)
    model = load(export([tagger.rnn, tagger.out]))
    np.testing.assert_array_equal(model(X)[0], tagger.out(tagger.rnn(X)[0]))


def test_arguments_of_export_are_checked():
    gru = nn.GRU(2, 3)
    with pytest.raises(ValueError, match="opset is 12; expected at least 13"):
        export(gru, opset=12)
    with pytest.raises(ValueError, match="opset is 99; expected 13 to"):
        export(gru, opset=99)
    with pytest.raises(TypeError, match="lengths is 1; expected True or False"):
        export(gru, lengths=1)
    with pytest.raises(ValueError, match="lengths=True, but no module is recurrent"):
        export(nn.Linear(2, 3), lengths=True)
    with pytest.raises(ValueError, match="float32 and float64; expected one dtype"):
        export([gru, nn.Linear(3, 2, dtype=np.float64)])
    with pytest.raises(ValueError, match="got no modules"):
        export([])
    with pytest.raises(ValueError, match="GRU gives 3 features, and Linear after it was built for 4"):
        export([gru, nn.Dropout(0.5), nn.Linear(4, 2)])
    with pytest.raises(ValueError, match="module 1 is an Embedding"):
        export([gru, nn.Embedding(3, 2)])


def test_layers_of_several_kinds_keep_their_states_apart():
    modules = [nn.LSTM(2, 3, rng=0), nn.Linear(3, 2, rng=1), nn.GRU(2, 4, num_layers=2, rng=2)]
    model = load(export(modules, state=True))
    assert model.required == ("x", "0.h0", "0.c0", "2.h0")
    assert model.outputs == ("y", "0.h_n", "0.c_n", "2.h_n")
    h, c, g = np.ones((1, 4, 3), np.float32), np.ones((1, 4, 3), np.float32), np.ones((2, 4, 4), np.float32)
    y, (h_n, _) = modules[0](X, (h, c))
    y, g_n = modules[2](modules[1](y), g)
    found = model(X, h, c, g)
    np.testing.assert_array_equal(found[0], y)
    np.testing.assert_array_equal(found[1], h_n)
    np.testing.assert_array_equal(found[3], g_n)


def test_double_precision_is_written_and_read():
    layer = nn.GRU(2, 3, dtype=np.float64, reset="before", rng=0)
    model = load(export(layer))
    y, _ = model(X.astype(np.float64))
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, layer(X)[0])


# -- what is missing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use", ["onnx.load('x.onnx')", "onnx.export(fastrnn.GRU(2, 3))", "onnx.Backend"], ids=lambda use: use[5:9]
)
def test_without_the_package_the_extra_is_named(use):
    code = f"""
import sys
sys.modules["onnx"] = None
import fastrnn
from fastrnn.io import onnx
try:
    {use}
except ImportError as error:
    print(error)
"""
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed == 'onnx is needed for this and cannot be imported; pip install "fastrnn[onnx]"\n'


def test_importing_fastrnn_does_not_import_onnx():
    code = "import sys, fastrnn.io; print('onnx' in sys.modules, 'fastrnn.io.onnx' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False", "False"]


# -- bad files ---------------------------------------------------------------------------------------------

SMALL, ELU = lstm_tensors(), ["Elu", "Tanh", "Tanh"]
BAD_NODES = [
    ({"tensors": SMALL | {"w": SMALL["w"][:, 1:]}}, r"node 'rnn' \(LSTM\): its W, 'w', has shape \(1, 11,"),
    ({"tensors": SMALL | {"w": SMALL["w"][0]}}, r"its W, 'w', has shape \(12, 2\); expected \(1, 12, input"),
    ({"tensors": SMALL | {"r": SMALL["r"][..., :-1]}}, r"its W, 'w', has shape .*hidden_size=2"),
    ({"tensors": SMALL | {"b": SMALL["b"][:, 1:]}}, r"its B, 'b', has shape \(1, 23\); expected \(1, 24\)"),
    ({"tensors": SMALL | {"w": SMALL["w"].astype(np.float16)}}, "its W, 'w', is float16; expected float32"),
    ({"tensors": SMALL | {"b": SMALL["b"].astype(np.float64)}}, "its B, 'b', is float64, W is float32"),
    ({"hidden_size": 4}, r"its W, 'w', has shape \(1, 12, 2\); expected \(1, 16, 2\).*hidden_size=4"),
    ({"hidden_size": 2**62}, r"its W, 'w', has shape \(1, 12, 2\)"),
    ({"hidden_size": 0}, "hidden_size is 0"),
    ({"direction": "sideways"}, "direction is 'sideways'; expected one of 'forward'"),
    ({"direction": 3}, "attribute 'direction' is 3, of the wrong type"),
    ({"layout": 2}, "layout is 2; expected 0 or 1"),
    ({"clip": 0.0}, "clip is 0.0; expected a positive number"),
    ({"clip": float("nan")}, "clip is nan"),
    ({"activations": ["Tanh"]}, r"activations is \['Tanh'\]; expected 3 functions"),
    ({"activations": ["Swish"] * 3}, "no activation is called 'Swish'"),
    ({"activations": ELU, "activation_alpha": [1.0, 2.0]}, "activation_alpha is .* 1 take one"),
    ({"activations": ELU, "activation_alpha": [float("inf")]}, "alpha of elu is inf"),
    ({"linear_before_reset": 1}, "there is no attribute 'linear_before_reset'; LSTM has"),
    ({"inputs": ("x", "w")}, "expected X, W and R"),
    ({"inputs": ("x", "w", "r", "nowhere")}, "its input 'nowhere' is not there; nothing makes it"),
    ({"outputs": ("y", "h", "c", "d")}, "LSTM has fewer"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BAD_NODES, ids=[m for _, m in BAD_NODES])
def test_a_bad_node_is_named_with_what_was_expected(change, message):
    with pytest.raises(FileFormatError, match=message):
        load(lstm_model(**change))


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs, outputs, f"a_{kind}", **attributes)


BAD_GRAPHS = [
    (
        [node("Add", ["x", "b"], ["a"]), node("Add", ["x", "a"], ["b"])],
        "out of order, or go round in a circle",
    ),
    ([node("Relu", ["x"], ["y"]), node("Relu", ["x"], ["y"])], "its output 'y' is there already"),
    ([node("Relu", ["x"], ["z"])], "the output 'y' is made by no node"),
    ([node("Relu", ["x"], [])], "it has no outputs"),
]


@pytest.mark.parametrize(("nodes", "message"), BAD_GRAPHS, ids=[m for _, m in BAD_GRAPHS])
def test_a_graph_that_does_not_hold_together_is_refused(nodes, message):
    with pytest.raises(FileFormatError, match=message):
        load(graph_of(nodes))


HUGE = np.array([2**40, 2**20], np.int64)
BAD_RUNS = [
    (
        [node("ConstantOfShape", ["n"], ["y"])],
        r"a_ConstantOfShape.*1073741824 are left of the limit, set by load",
    ),
    ([node("Expand", ["x", "n"], ["y"])], "a_Expand"),
    ([node("Tile", ["x", "many"], ["y"])], "1073741824 are left of the limit"),
    ([node("Constant", [], ["y"], value_string="text")], "there is no attribute 'value_string'"),
    ([node("Relu", ["x"], ["y"], slope=2)], "there is no attribute 'slope'"),
    ([node("Relu", ["x", "x"], ["y"])], "a_Relu"),
    ([node("Transpose", ["x"], ["y"], perm=[0, 0, 1])], "a_Transpose"),
    ([node("Reshape", ["x", "n"], ["y"])], "a_Reshape"),
    ([node("Gather", ["x", "n"], ["y"])], "a_Gather"),
    ([node("MatMul", ["x", "x"], ["y"])], "a_MatMul.*2 columns to multiply with 4 rows|a_MatMul"),
    ([node("Add", ["x", "n"], ["y"])], "float32, int64; expected one type"),
    ([node("Split", ["x"], ["y", "z"], axis=0, num_outputs=3)], "a_Split"),
    ([node("Cast", ["x"], ["y"], to=8)], "to is ONNX's type 8"),
    ([node("Dropout", ["x", "", "true"], ["y"])], "training_mode is true"),
]


@pytest.mark.parametrize(("nodes", "message"), BAD_RUNS, ids=[n[0].name for n, _ in BAD_RUNS])
def test_a_node_that_cannot_compute_is_named(nodes, message):
    model = load(
        graph_of(nodes, opset=18, n=HUGE, many=np.array([2**30, 1, 1], np.int64), true=np.array(True))
    )
    with pytest.raises(FileFormatError, match=message):
        model(X)


def test_arrays_that_double_from_node_to_node_stop_at_the_limit():
    names = ["x", *[f"t{k}" for k in range(50)]]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=0) for a, b in itertools.pairwise(names)]
    model = load(graph_of(nodes, outputs=(names[-1],)), max_bytes=1 << 20)
    with pytest.raises(FileFormatError, match="of the limit, set by"):
        model(X)


def test_arrays_that_are_held_count_together():
    names = [f"t{k}" for k in range(20)]
    nodes = [helper.make_node("Add", ["x", "x"], [name]) for name in names]
    nodes.append(helper.make_node("Sum", names, ["y"]))
    assert load(graph_of(nodes), max_bytes=22 * X.nbytes)(X).shape == X.shape
    with pytest.raises(FileFormatError, match=r"it would make 160 bytes.* 0 are left of the limit"):
        load(graph_of(nodes), max_bytes=15 * X.nbytes)(X)
    views = [helper.make_node("Transpose", ["x"], [name]) for name in names]
    with pytest.raises(FileFormatError, match="what the nodes have made takes 2560 bytes; the limit is 2400"):
        load(graph_of([*views, nodes[-1]]), max_bytes=15 * X.nbytes)(X)
    chain = [helper.make_node("Add", [a, a], [b]) for a, b in itertools.pairwise(["x", *names, "y"])]
    assert load(graph_of(chain), max_bytes=2 * X.nbytes)(X).shape == X.shape


def test_weights_that_grow_as_they_are_read_are_refused():
    tensors = lstm_tensors()
    nodes = [
        helper.make_node("Concat", ["w"] * 2, ["t0"], axis=2),
        *[helper.make_node("Concat", [f"t{k}"] * 2, [f"t{k + 1}"], axis=2) for k in range(40)],
        helper.make_node("LSTM", ["x", "t40", "r", "b"], ["y"]),
    ]
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=r"limit|times its size"):
        load(graph_of(nodes, **tensors))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    many = [node("LSTM", ["x", "w", "r", "b"], [f"y{k}"], clip=k + 1.0) for k in range(3000)]
    with pytest.raises(FileFormatError, match="the model grows to more than 8 times its size"):
        load(graph_of(many, outputs=("y0",), **lstm_tensors(size=60)))


def damaged(change):
    """A model with one tensor that was changed."""
    model = lstm_model()
    change(next(t for t in model.graph.initializer if t.name == "r"), model)
    return model


def claims(*dims):
    def change(tensor, model):
        del tensor.dims[:]
        tensor.dims.extend(dims)

    return change


def typed(kind):
    return lambda tensor, model: setattr(tensor, "data_type", kind)


def cut(tensor, model):
    tensor.raw_data = tensor.raw_data[:-1]


def twice(tensor, model):
    model.graph.initializer.append(tensor)


def elsewhere(location, **told):
    def change(tensor, model):
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **told}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)

    return change


BAD_TENSORS = [
    (claims(1, 12, 2**60), "tensor 'r': 144 bytes; expected"),
    (claims(1, 12, -3), "tensor 'r': shape .*none of them negative"),
    (claims(*[1] * 40, 36), "at most 32 axes"),
    (claims(0, 2**62, 2**62), "tensor 'r'"),
    (typed(7), "tensor 'r': 144 bytes; expected 288, since it is int64"),
    (cut, "tensor 'r': 143 bytes; expected 144"),
    (twice, "tensor 'r' is there twice"),
    (typed(8), "its input 'r': it holds elements of a type|nothing makes it|node 'rnn'"),
]


@pytest.mark.parametrize(("change", "message"), BAD_TENSORS)
def test_a_bad_tensor_is_named(change, message):
    with pytest.raises(FileFormatError, match=message):
        load(damaged(change)).run({"x": X})


def test_values_in_another_file_are_read_from_the_folder_of_the_model_alone(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    values = lstm_tensors()["r"].tobytes()
    (folder / "weights.bin").write_bytes(b"head" + values)
    (tmp_path / "secret.bin").write_bytes(values)
    os.symlink(tmp_path / "secret.bin", folder / "link.bin")
    os.mkfifo(folder / "pipe")
    path = folder / "model.onnx"

    def at(location, **told):
        path.write_bytes(damaged(elsewhere(location, **told)).SerializeToString())
        return load(path)

    np.testing.assert_array_equal(at("weights.bin", offset=4, length=144)(X), load(lstm_model())(X))
    for location, told, message in [
        ("../secret.bin", {}, "outside the model's folder"),
        (str(tmp_path / "secret.bin"), {}, "outside the model's folder"),
        ("link.bin", {}, "outside the model's folder"),
        ("pipe", {}, "no regular file"),
        (".", {}, "no regular file"),
        ("absent.bin", {}, "No such file"),
        ("nul\0.bin", {}, "null"),
        ("weights.bin", {"offset": 5}, "which has 148"),
        ("weights.bin", {"offset": -4}, "which has 148"),
        ("weights.bin", {"length": 9}, "expected 144 bytes"),
        ("weights.bin", {"offset": "x"}, "is no number"),
    ]:
        with pytest.raises(FileFormatError, match=message):
            at(location, **told)
    model = damaged(elsewhere("weights.bin", offset=4, length=144))
    tensors = [model.graph.initializer.add() for _ in range(3)]
    for k, tensor in enumerate(tensors):
        tensor.CopyFrom(model.graph.initializer[1])
        tensor.name = f"more_{k}"
    path.write_bytes(model.SerializeToString())
    load(path)  # the same bytes
    tensors[0].external_data[1].value = "3"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FileFormatError, match="tensor 'more_0': its values overlap with those of others"):
        load(path)
    with pytest.raises(FileFormatError, match="load the model by its path"):
        load(damaged(elsewhere("weights.bin", offset=4)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a model"),
        (b"\x80\x04junk", "not a whole ONNX file"),
        (b"PK\x03\x04", "not a"),
        (lstm_model().SerializeToString()[:-7], "not a whole ONNX file|"),
    ],
)
def test_what_is_no_model_is_refused(data, message, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=f"model.onnx: .*{message}"):
        load(path)
    with pytest.raises(FileFormatError, match="not a regular file"):
        load("/dev/null")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent.onnx")
    with pytest.raises(TypeError, match="got an int; expected a path"):
        load(3)


def test_versions_that_are_not_known_are_refused():
    for opset in (6, 99):
        with pytest.raises(FileFormatError, match=f"version {opset} of the operators; here are 7 to 28"):
            load(graph_of([node("Relu", ["x"], ["y"])], opset=opset))


def test_mutations_end_in_a_result_or_in_the_error_of_a_bad_file():
    """Bytes flipped, cut out, doubled, of three models: no other error, and little memory."""
    rng = np.random.default_rng(0)
    modules = [nn.Embedding(9, 2, rng=0), nn.LSTM(2, 3, 2, bidirectional=True, peepholes="i", rng=0)]
    models = [
        export([*modules, nn.Linear(6, 4, rng=0)], lengths=True, state=True),
        lstm_model(direction="reverse"),
        export(nn.GRU(2, 3, learn_state=True, batch_first=True, rng=0), opset=13),
    ]
    whole = [model.SerializeToString() for model in models]
    refused = 0
    tracemalloc.start()
    for k in range(600):
        data = bytearray(whole[k % 3])
        for _ in range(rng.integers(1, 4)):
            at, way = int(rng.integers(len(data))), rng.integers(4)
            if way == 0:
                data[at] = rng.integers(256)
            elif way == 1:
                data[at] ^= 1 << rng.integers(8)
            elif way == 2:
                del data[at : at + int(rng.integers(1, 20))]
            else:
                data[at:at] = data[at : at + int(rng.integers(1, 40))]
        try:
            model = load(bytes(data), max_bytes=1 << 20)
        except FileFormatError:
            refused += 1
            continue
        try:
            model.run(
                {
                    name: np.ones([n or 2 for n in declared.shape or ()], declared.dtype)
                    for name, declared in model.inputs.items()
                    if np.prod([float(n or 2) for n in declared.shape or ()]) < 1e5
                }
            )
        except (ValueError, TypeError, NotImplementedError):
            continue
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    assert 200 < refused < 600
