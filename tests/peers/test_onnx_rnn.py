"""RNN cells against ONNX Runtime: models of one node, random cases."""

from dataclasses import replace

import numpy as np
import pytest
from kit import ACTIVATIONS

from fastrnn import cells, functional

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.peers


def run_node(cell, params, x, h, lengths, reverse):
    """``y`` (T, B, H) and the last state (B, H) of ONNX Runtime."""
    activation, hidden = cell.activation, h.shape[1]
    attributes = {
        "activations": [activation.name.title().replace("_", "")],  # LeakyRelu
        "activation_alpha": None if activation.alpha is None else [activation.alpha],
        "activation_beta": None if activation.beta is None else [activation.beta],
        "clip": cell.clip,
        "direction": "reverse" if reverse else "forward",
        "hidden_size": hidden,
    }
    inputs = {
        "x": x,
        "w": params["w_ih"][None],
        "r": params["w_hh"][None],
        "b": np.concatenate([params["b_ih"], params["b_hh"]])[None],
        "lengths": lengths.astype(np.int32),
        "h": h[None],
    }
    given = {name: value for name, value in attributes.items() if value is not None}
    node = onnx.helper.make_node("RNN", list(inputs), ["y", "h_n"], **given)
    types = {name: onnx.helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in inputs.items()}
    graph = onnx.helper.make_graph(
        [node],
        "one_node",
        [onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in types.items()],
        [onnx.helper.make_tensor_value_info(name, types["x"], None) for name in ("y", "h_n")],
    )
    opset = [onnx.helper.make_opsetid("", 14)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    y, last = session.run(None, inputs)
    return y[:, 0], last[0]


@pytest.mark.parametrize("clip", [None, 0.7], ids=["no clip", "clip"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activations_and_clip_are_those_of_onnx_runtime(activation, clip):
    rng = np.random.default_rng(activation.native[0])

    def draw(*shape, scale=1.0):
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    numbers = [name for name in ("alpha", "beta") if getattr(activation, name) is not None]
    for trial in range(20):
        given = replace(activation, **{name: float(draw()) for name in numbers})
        cell = cells.RNN(given, clip)
        steps, batch, inputs, hidden = rng.integers(1, 9, 4)
        params = {n: draw(*s, scale=0.3) for n, s in cell.parameter_shapes(inputs, hidden).items()}
        x, h, reverse = draw(steps, batch, inputs), draw(batch, hidden), bool(trial % 2)
        lengths = rng.integers(1, steps + 1, batch)  # ONNX Runtime's state of a row of length 0 is 0
        y, last, tape = functional.forward(cell, params, x, h, lengths=lengths, reverse=reverse)
        if given.name == "thresholded_relu" and np.abs(tape.cached - given.alpha).min() < 1e-5:
            continue  # it jumps there
        for ours, theirs in zip((y, last), run_node(cell, params, x, h, lengths, reverse), strict=True):
            np.testing.assert_array_less(np.abs(ours - theirs), 2e-6 * np.maximum(1, np.abs(theirs)))
