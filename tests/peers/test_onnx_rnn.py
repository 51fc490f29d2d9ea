"""RNN cells against ONNX Runtime: models of one node, random cases."""

from dataclasses import replace

import numpy as np
import pytest
from kit import ACTIVATIONS

from fastrnn import cells, functional

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx_node

pytestmark = pytest.mark.peers


def run_node(cell, params, x, h, lengths, reverse):
    """``y`` (T, B, H) and the last state (B, H) of ONNX Runtime."""
    inputs = {
        "x": x,
        "w": params["w_ih"][None],
        "r": params["w_hh"][None],
        "b": np.concatenate([params["b_ih"], params["b_hh"]])[None],
        "lengths": lengths.astype(np.int32),
        "h": h[None],
    }
    attributes = {
        "hidden_size": h.shape[1],
        "clip": cell.clip,
        "direction": "reverse" if reverse else "forward",
    }
    attributes |= onnx_node.activations([cell.activation])
    found = onnx_node.run("RNN", inputs, ["y", "h_n"], **attributes)
    return found["y"][:, 0], found["h_n"][0]


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
