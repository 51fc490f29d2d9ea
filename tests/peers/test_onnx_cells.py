"""LSTM, GRU and RNN with the options of ONNX against ONNX Runtime: random models of one node.

A row of length 0 has the state 0 there; here it keeps the initial one. What else differs is left out of the
models, found with ONNX Runtime 1.31 on CPUs:

* LSTM and GRU lose NaN, with or without clip: they cut every pre-activation to [-clip, clip], without clip to
  the largest numbers of float32, and a NaN becomes one of the limits, as does an infinity.
* RNN loses NaN in Relu, ThresholdedRelu and HardSigmoid; its Softsign of an infinity is NaN.
* Where alpha and beta are not given, those of Affine, ScaledTanh and ThresholdedRelu are 0 in LSTM, GRU and
  RNN, not the operators' defaults; the models give them.
* One function, f, is that of all of LSTM's i, o and f, and of GRU's z and r: so ONNX has it.

FASTRNN_ONNX_CASES=10000 pytest -m peers tests/peers/test_onnx_cells.py runs that many models
"""

import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from kit import ACTIVATIONS, flat, one

from fastrnn import cells, functional

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx_node

pytestmark = pytest.mark.peers

CASES = int(os.environ.get("FASTRNN_ONNX_CASES", "2000"))
# ONNX's order of the gates, and the activations as it lists them.
GATES = {"LSTM": "iofg", "GRU": "zrn", "RNN": "n"}
FUNCTIONS = {"LSTM": ("i", "g", "h"), "GRU": ("r", "n"), "RNN": ("n",)}
BOUNDED = ("sigmoid", "tanh", "scaled_tanh", "hard_sigmoid", "softsign")


def draw_cells(kind, directions, rng):
    """A cell for each direction: they differ in their activations."""

    def activation():
        given = ACTIVATIONS[rng.integers(len(ACTIVATIONS))]
        numbers = [name for name in ("alpha", "beta") if getattr(given, name) is not None]
        return replace(given, **{name: float(np.float32(rng.uniform(-1, 1))) for name in numbers})

    clip = rng.choice([None, rng.uniform(0.2, 2)])
    usual = rng.random() < 0.2
    coupled, peepholes = bool(rng.integers(2)), "".join(n for n in "ifo" if rng.integers(2))
    reset = rng.choice(["after", "before"])

    def cell():
        given = {} if usual else {name: activation() for name in FUNCTIONS[kind]}
        if kind == "RNN":
            return cells.RNN(given.get("n", "tanh"), clip)
        if kind == "GRU":
            given |= {"z": given["r"]} if given else {}
            return cells.GRU(str(reset), activations=given, clip=clip)
        given |= {"f": given["i"], "o": given["i"]} if given else {}
        return cells.LSTM(coupled=coupled, peepholes=peepholes, activations=given, clip=clip)

    return [cell() for _ in range(directions)]


def functions(cell):
    """The activations of a cell as ONNX lists them."""
    if isinstance(cell, cells.RNN):
        return [cell.activation]
    return [cell.activation(name) for name in FUNCTIONS[type(cell).__name__]]


class Case(NamedTuple):
    """A model of one node: its cells and parameters by direction, and its inputs."""

    kind: str
    direction: str
    backwards: list
    cells: list
    params: list
    x: np.ndarray
    states: list | None
    lengths: np.ndarray | None

    def run(self, distance=0.0):
        """What our cells make of it by direction, a list of y and the last states; see `moved`."""
        found = []
        for d, (cell, p, reverse) in enumerate(zip(self.cells, self.params, self.backwards, strict=True)):
            state = None if self.states is None else one([s[d] for s in self.states])
            options = {"lengths": self.lengths, "reverse": reverse}
            y, final, _ = functional.forward(moved(cell, distance), p, self.x, state, **options)
            if self.lengths is not None:
                final = [np.where(self.lengths[:, None] > 0, s, 0) for s in flat([final])]
            found.append([y, *flat([final])])
        return found

    def steady(self):
        """For each direction, whether no jump of an activation is near, and nothing grows beyond measure."""
        here, *there = self.run(), self.run(-1e-5), self.run(1e-5)
        return [
            all(np.abs(a).max() < 1e4 for a in ours)
            and all(np.array_equal(a, b) for other in there for a, b in zip(ours, other[d], strict=True))
            for d, ours in enumerate(here)
        ]


def node(case):
    """Inputs, outputs and attributes of the node, as `onnx_node` takes them."""
    kind, direction, _, given, params, x, states, lengths = case
    cell, gates = given[0], GATES[kind]

    def rows(array):
        found = dict(zip(cell.gates, np.split(array, len(cell.gates)), strict=True))
        found.setdefault("f", -array[: len(array) // len(cell.gates)])  # coupled: it is there and is not used
        return np.concatenate([found[gate] for gate in gates])

    def stacked(name):
        return np.stack([rows(p[name]) for p in params])

    names = ["y", "h_n", "c_n"][: 1 + len(cell.states)]
    inputs = {"x": x, "w": stacked("w_ih"), "r": stacked("w_hh"), "b": None, "lengths": lengths}
    if "b_ih" in params[0]:
        inputs["b"] = np.concatenate([stacked("b_ih"), stacked("b_hh")], axis=1)
    inputs |= dict.fromkeys(cell.states) if states is None else dict(zip(cell.states, states, strict=True))
    attributes = {"direction": direction, "hidden_size": params[0]["w_hh"].shape[1], "clip": cell.clip}
    if kind == "LSTM":
        attributes["input_forget"] = int(cell.coupled)
        if cell.peepholes:
            inputs["p"] = np.stack([peepholes(c, p) for c, p in zip(given, params, strict=True)])
    if kind == "GRU":
        attributes["linear_before_reset"] = int(cell.reset == "after")
    attributes |= onnx_node.activations([a for c in given for a in functions(c)])
    return inputs, names, attributes


def peepholes(cell, params):
    """ONNX has those of all gates, i, o, f one after the other: 0 for a gate that sees nothing."""
    return np.concatenate([params["w_peephole"]["ifo".index(n)] * (n in cell.peepholes) for n in "iof"])


def moved(cell, distance):
    """The cell with the jumps of its activations moved: it computes the same but where one is near."""

    def move(activation):
        if activation.name != "thresholded_relu":
            return activation
        return replace(activation, alpha=activation.alpha + distance)

    if isinstance(cell, cells.RNN):
        return replace(cell, activation=move(cell.activation))
    return replace(cell, activations={name: move(activation) for name, activation in cell.activations})


def draw_case(seed):
    """A random case of any kind, options and sizes."""
    rng = np.random.default_rng(seed)
    kind = ("LSTM", "LSTM", "GRU", "RNN")[seed % 4]
    direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
    backwards = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    steps, batch, inputs, hidden = rng.integers(1, 9, 4)
    bias = rng.random() < 0.8

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    given = draw_cells(kind, len(backwards), rng)
    bounded = all(a.name in BOUNDED for c in given for a in functions(c))
    bound = 0.5 if bounded else 0.15  # products of what is not bounded grow without measure

    def weight(*shape):
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    params = [
        {
            n: weight(*s)
            for n, s in c.parameter_shapes(inputs, hidden).items()
            if bias or not n.startswith("b_")
        }
        for c in given
    ]
    x = draw(steps, batch, inputs)
    widths = given[0].state_shapes(hidden).values()
    states = [draw(len(given), batch, width) for width in widths] if rng.random() < 0.7 else None
    lengths = rng.integers(0, steps + 1, batch).astype(np.int32) if rng.random() < 0.7 else None
    return Case(kind, direction, backwards, given, params, x, states, lengths)


def assert_close(got, expected, hint, least=1.0):
    """Equal to 2e-6, of the value where that is larger than 1, or than `least`."""
    bound = 2e-6 * np.maximum(max(1, least), np.abs(expected))
    np.testing.assert_array_less(np.abs(got - expected), bound, err_msg=hint)


@pytest.mark.parametrize("seed", range(CASES))
def test_random_models_are_those_of_onnx_runtime(seed):
    case = draw_case(seed)
    inputs, names, attributes = node(case)
    theirs, *last = onnx_node.run(case.kind, inputs, names, **attributes).values()
    for d, (ours, steady) in enumerate(zip(case.run(), case.steady(), strict=True)):
        if not steady:
            continue
        for name, got, expected in zip("yhc", ours, [theirs[:, d], *(s[d] for s in last)], strict=False):
            assert_close(got, expected, f"{name} {case.cells[d]} {case.direction}")
