"""Initial values of recurrent layers, as PyTorch, Keras and the papers have them."""

from dataclasses import dataclass

import numpy as np
import pytest
from kit import ISAS, assert_same_bits

import fastrnn
from fastrnn import cells, nn
from fastrnn.nn import init

I, H = 30, 40
KERAS = {"input": "glorot", "hidden": "orthogonal", "bias": "zeros", "forget_bias": 1.0}


def gate(layer, name, end="_l0"):
    """The rows of one gate: both weights, and the sum of both biases."""
    rows = slice(layer.cell.gates.index(name) * H, (layer.cell.gates.index(name) + 1) * H)
    p = layer.params
    return (
        p["weight_ih" + end][rows],
        p["weight_hh" + end][rows],
        p["bias_ih" + end][rows] + p["bias_hh" + end][rows],
    )


def assert_uniform(values, bound):
    """All within the bound, as evenly as chance has it (six standard deviations)."""
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > 0.95 * bound
    assert abs(values.mean()) < 6 * bound / np.sqrt(3 * values.size)
    assert abs((values**2).mean() - bound**2 / 3) < 6 * bound**2 * np.sqrt(4 / 45 / values.size)


def assert_orthonormal(a):
    """Of a matrix with at least as many rows as columns."""
    np.testing.assert_allclose(a.T @ a, np.eye(a.shape[1]), atol=1e-14)


def test_what_is_not_asked_for_stays_as_it_is():
    layer = nn.LSTM(I, H, 2, bidirectional=True, proj_size=8, learn_state=True, rng=0)
    before = layer.state_dict()
    assert init.recurrent(layer) is layer
    assert_same_bits(dict(layer.params), before)
    init.recurrent(layer, hidden="zeros")
    for name, value in layer.params.items():
        if name.startswith("weight_hh"):
            assert not value.any()
        else:
            assert_same_bits(value, before[name])


def test_uniform_is_pytorchs():
    layer = init.recurrent(
        nn.GRU(I, H, 2, dtype=np.float64, rng=0), input="uniform", hidden="uniform", bias="uniform", rng=1
    )
    for value in layer.params.values():
        assert_uniform(value, 1 / np.sqrt(H))


def test_keras_is_a_row_of_names():
    layer = nn.LSTM(I, H, 2, bidirectional=True, dtype=np.float64, rng=0, init=KERAS)
    for end, width in {"_l0": I, "_l0_reverse": I, "_l1": 2 * H, "_l1_reverse": 2 * H}.items():
        assert_uniform(layer.params["weight_ih" + end], np.sqrt(6 / (width + 4 * H)))
        assert_orthonormal(layer.params["weight_hh" + end])
        for name in "igo":
            assert not gate(layer, name, end)[2].any()
        assert (gate(layer, "f", end)[2] == 1).all()


def test_each_gate_alone():
    layer = nn.GRU(
        I, H, dtype=np.float64, rng=0, init={"input": "glorot", "hidden": "orthogonal", "each_gate": True}
    )
    for name in "rzn":
        w_ih, w_hh, _ = gate(layer, name)
        assert_uniform(w_ih, np.sqrt(6 / (I + H)))
        assert_orthonormal(w_hh)


def test_orthogonal_has_orthonormal_rows_where_they_are_fewer():
    layer = nn.RNN(200, 150, dtype=np.float64, rng=0, init={"input": "orthogonal", "hidden": "orthogonal"})
    assert_orthonormal(layer.params["weight_ih_l0"].T)
    assert_orthonormal(layer.params["weight_hh_l0"])
    single = nn.RNN(1, 1, dtype=np.float64, rng=0, init={"input": "orthogonal"})
    assert abs(single.params["weight_ih_l0"]) == 1


def test_every_orthogonal_matrix_is_equally_likely():
    """Of a rotation of the plane, cos is as the cosine of an even angle, and half are reflections."""
    rng = np.random.default_rng(0)
    drawn = np.array([init._orthogonal(rng, 2, 2) for _ in range(4000)])
    assert abs((np.linalg.det(drawn) > 0).mean() - 0.5) < 0.05
    for element in drawn.reshape(-1, 4).T:
        share = np.histogram(np.arccos(element) / np.pi, 8, (0, 1))[0] / len(drawn)
        assert np.abs(share - 1 / 8).max() < 0.03


def test_identity_is_that_of_irnn():
    layer = nn.RNN(I, H, 2, nonlinearity="relu", init={"hidden": "identity", "bias": "zeros"})
    for k in range(2):
        assert_same_bits(layer.params[f"weight_hh_l{k}"], np.eye(H, dtype=np.float32))
        assert not layer.params[f"bias_ih_l{k}"].any()
        assert not layer.params[f"bias_hh_l{k}"].any()
    layer = nn.GRU(H, H, init={"input": "identity"})
    for name in "rzn":
        assert_same_bits(gate(layer, name)[0], np.eye(H, dtype=np.float32))


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU])
def test_chrono_keeps_for_times_as_even_as_the_units(layer):
    """The gate that keeps the state does so for about exp(b) steps, even over 1 to T_max - 1."""
    one = layer(I, 4000, dtype=np.float64, rng=0, init={"bias": "zeros", "chrono": 101})
    bias = one.params["bias_ih_l0"] + one.params["bias_hh_l0"]
    by_gate = dict(zip(one.cell.gates, bias.reshape(-1, 4000), strict=True))
    keeps = by_gate.pop("f" if layer is nn.LSTM else "z")
    times = np.exp(keeps)
    assert times.min() >= 1 - 1e-12
    assert times.max() <= 100 + 1e-9
    share = np.histogram(times, 9, (1, 100))[0] / 4000
    assert np.abs(share - 1 / 9).max() < 0.03
    if layer is nn.LSTM:
        assert_same_bits(by_gate.pop("i"), -keeps)
    assert not any(b.any() for b in by_gate.values())


def test_the_gates_are_found_by_name():
    for cell in (cells.LSTM(), cells.LSTM(proj_size=5)):
        layer = nn.Recurrent(cell, I, H, 2, rng=0)
        before = layer.state_dict()
        init.recurrent(layer, forget_bias=2.5)
        for k in range(2):
            assert (gate(layer, "f", f"_l{k}")[2] == 2.5).all()
            kept = np.r_[0:H, 2 * H : 4 * H]
            for name in ("bias_ih", "bias_hh"):
                assert_same_bits(layer.params[f"{name}_l{k}"][kept], before[f"{name}_l{k}"][kept])
            assert_same_bits(layer.params[f"weight_hh_l{k}"], before[f"weight_hh_l{k}"])
    for reset in ("after", "before"):
        assert gate(nn.GRU(I, H, reset=reset, init={"chrono": 50}), "z")[2].min() >= 0


def test_a_seed_gives_the_same_bits_whatever_computes():
    drawn = {"input": "glorot", "hidden": "orthogonal", "bias": "uniform", "chrono": 30}
    double = nn.LSTM(I, H, 2, dtype=np.float64, rng=3, init=drawn)
    single = nn.LSTM(I, H, 2, rng=3, init=drawn)
    assert_same_bits({n: v.astype(np.float32) for n, v in double.params.items()}, dict(single.params))
    for isa in ISAS:
        for threads in (1, 3):
            with fastrnn.isa(isa), fastrnn.num_threads(threads):
                assert_same_bits(dict(nn.LSTM(I, H, 2, rng=3, init=drawn).params), dict(single.params))
    with fastrnn.backend("reference"):
        expected = init._orthogonal(np.random.default_rng(5), 70, 66)
    assert_same_bits(init._orthogonal(np.random.default_rng(5), 70, 66), expected)
    layer = nn.LSTM(I, H, 2, rng=8)
    for _ in range(2):
        assert_same_bits(
            dict(init.recurrent(layer, **drawn, rng=9).params),
            dict(init.recurrent(nn.LSTM(I, H, 2), **drawn, rng=9).params),
        )


def test_a_tape_from_before_is_old():
    layer = nn.GRU(I, H)
    y, _, tape = layer.forward(np.ones((2, 3, I)))
    init.recurrent(layer, bias="zeros")
    with pytest.raises(ValueError, match="the parameters changed"):
        layer.backward(tape, y)


def test_the_values_are_those_that_run():
    layer = nn.GRU(I, H, rng=0, init={"input": "zeros", "hidden": "zeros", "bias": "zeros"})
    assert not layer(np.ones((3, 2, I)))[0].any()


def odd(b=2, gates=("n",), w_hh=(3, 3)):
    """A layer of a cell that is none of ours: fewer biases, other gates, recurrent weights of other shape."""

    @dataclass(frozen=True)
    class Odd(cells.RNN):
        @property
        def parameters(self):
            return ("w_ih", *["w_hh"] * (w_hh is not None), *("b_ih", "b_hh")[:b])

        def parameter_shapes(self, input_size, hidden_size):
            shapes = super().parameter_shapes(input_size, hidden_size)
            return {name: w_hh if name == "w_hh" else shapes[name] for name in self.parameters}

    Odd.gates = gates
    if w_hh is not None and len(w_hh) == 2:
        w_hh = (3 * len(gates), 3)
    return nn.Recurrent(Odd(), 2, 3, rng=0)


def test_a_cell_of_one_bias_has_the_whole_forget_bias_there():
    layer = init.recurrent(odd(b=1, gates=("f", "i", "n")), bias="zeros", forget_bias=2)
    assert layer.params["bias_ih_l0"].tolist() == [2, 2, 2, 0, 0, 0, 0, 0, 0]
    assert "bias_hh_l0" not in layer.params


@pytest.mark.parametrize(
    ("layer", "arguments", "error", "message"),
    [
        (nn.LSTM(2, 3), {"input": "xavier"}, ValueError, "input is 'xavier'; expected one of 'uniform', "),
        (nn.LSTM(2, 3), {"hidden": "ones"}, ValueError, "hidden is 'ones'; .*, or None to leave it as it is"),
        (nn.LSTM(2, 3), {"bias": "orthogonal"}, ValueError, "bias is 'orthogonal'; .* 'uniform', 'zeros'"),
        (nn.LSTM(2, 3), {"input": "identity"}, ValueError, r"square matrix .*, w_ih has \(3, 2\)"),
        (nn.LSTM(3, 3, 2, bidirectional=True), {"input": "identity"}, ValueError, r"w_ih has \(3, 6\)"),
        (nn.LSTM(2, 3, proj_size=2), {"hidden": "identity"}, ValueError, r"w_hh has \(3, 2\)"),
        (nn.LSTM(2, 3), {"each_gate": 1}, TypeError, "each_gate is 1; expected True or False"),
        (nn.LSTM(2, 3, bias=False), {"bias": "zeros"}, ValueError, "has none; build it with bias=True"),
        (nn.LSTM(2, 3, bias=False), {"forget_bias": 1}, ValueError, "forget_bias needs biases; build"),
        (nn.GRU(2, 3), {"forget_bias": 1}, ValueError, r"needs the gate f of an LSTM; GRU.* has 'r'"),
        (nn.RNN(2, 3), {"chrono": 10}, ValueError, "chrono needs .* f of .* or z of a GRU; RNN.* 'n'"),
        (nn.LSTM(2, 3), {"forget_bias": True}, TypeError, "forget_bias is True; expected a number"),
        (nn.LSTM(2, 3), {"forget_bias": np.nan}, ValueError, "forget_bias is nan; expected a finite number"),
        (nn.LSTM(2, 3), {"chrono": 2}, ValueError, "chrono is 2; expected a number of steps, more than 2"),
        (nn.LSTM(2, 3), {"chrono": "100"}, TypeError, "chrono is '100'; expected a number"),
        (nn.LSTM(2, 3), {"chrono": 9, "forget_bias": 1}, ValueError, "both set the bias .*; give one"),
        (nn.LSTM(2, 3), {"rng": "a"}, TypeError, "init.recurrent: rng is 'a'"),
        (nn.LSTM(2, 3).freeze(), {"bias": "zeros"}, RuntimeError, "init.recurrent: .* frozen; call thaw"),
        (odd(b=1, gates=("f", "n")), {"forget_bias": 1}, ValueError, "the gate f of .*; .* has 'f', 'n'"),
        (odd(b=1, gates=("z", "n")), {"chrono": 9}, ValueError, "chrono needs the gate f of an LSTM or z"),
        (odd(w_hh=(3,)), {"hidden": "orthogonal"}, ValueError, r"expected a matrix, w_hh has shape \(3,\)"),
        (odd(w_hh=None), {"hidden": "uniform"}, ValueError, "hidden is 'uniform'; this layer has no w_hh"),
        (nn.Linear(2, 3), {"bias": "zeros"}, TypeError, "layer is a Linear; expected a recurrent layer"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(layer, arguments, error, message):
    before = layer.state_dict()
    rest = {} if isinstance(layer, nn.Linear) else {"input": "zeros"}
    with pytest.raises(error, match=message):
        init.recurrent(layer, **(rest | arguments))
    assert_same_bits(dict(layer.params), before)


def test_a_wrong_init_of_a_layer_is_named():
    with pytest.raises(TypeError, match="LSTM: init is 'orthogonal'; expected a mapping"):
        nn.LSTM(I, H, init="orthogonal")
    with pytest.raises(
        TypeError, match=r"init has 'hiden' \(did you mean 'hidden'\?\); expected some of input"
    ):
        nn.LSTM(I, H, init={"hiden": "zeros"})
