"""Layer normalisation inside cells: what it is, and how layers have it.

Its bits and gradients are tested with those of all cells (kit.CELLS).
"""

import numpy as np
import pytest

from fastrnn import cells, functional, nn
from fastrnn.reference.layer_norm import norm

GATED = [cells.LSTM(layer_norm=True), cells.GRU(layer_norm=True), cells.RNN(layer_norm=True)]
by_cell = pytest.mark.parametrize("cell", GATED, ids=str)


def layer_of(cell, **options):
    return nn.Recurrent(cell, 5, 9, rng=0, dtype=np.float64, **options)


def test_the_product_over_x_has_no_mean_and_the_variance_one():
    params = {n: np.ones(s) for n, s in cells.RNN(layer_norm=True).parameter_shapes(5, 9).items()}
    rng = np.random.default_rng(0)
    params["w_ih"], x = rng.normal(size=(9, 5)), rng.normal(size=(1, 4, 5))
    params["w_hh"] *= 0
    params["b_ih"], params["b_hh"] = np.full(9, 0.25), np.zeros(9)
    y, *_ = functional.forward(cells.RNN("affine", layer_norm=True, layer_norm_eps=1e-12), params, x)
    np.testing.assert_allclose(y.mean(axis=-1), 0.25, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=-1), 1, atol=1e-9)


@by_cell
def test_the_scale_of_a_weight_does_not_matter(cell):
    layer, x = layer_of(cell), np.random.default_rng(1).normal(size=(6, 3, 5))
    y, _ = layer(x)
    for name, factor in (("weight_ih_l0", 100.0), ("weight_hh_l0", 100.0)):
        layer.params[name][...] *= factor
    np.testing.assert_allclose(layer(x)[0], y, rtol=1e-2, atol=1e-3)


def test_lstm_normalises_c_on_its_way_to_h_alone():
    """A shift of all of c does not reach h; c itself has it."""
    cell = cells.LSTM(layer_norm=True, input_gate=False, forget_gate=False, output_gate=False)
    params = {n: np.ones(s) for n, s in cell.parameter_shapes(5, 9).items()}
    params["w_ih"], params["b_ln_c"] = np.random.default_rng(2).normal(size=(9, 5)), np.zeros(9)
    x, c = np.random.default_rng(3).normal(size=(1, 4, 5)), np.zeros((4, 9))
    y, (_, one), _ = functional.forward(cell, params, x, (np.zeros((4, 9)), c))
    moved, (_, other), _ = functional.forward(cell, params, x, (np.zeros((4, 9)), c + 0.5))
    np.testing.assert_allclose(moved, y, atol=1e-12)
    np.testing.assert_allclose(other, one + 0.5)


@by_cell
def test_layers_begin_with_gains_of_one_and_no_bias_of_c(cell):
    params = layer_of(cell, num_layers=2, bidirectional=True).params
    gains = {name for name in params if name.startswith("weight_ln")}
    assert len(gains) == 4 * (3 if "w_ln_c" in cell.parameters else 2)
    assert all((params[name] == 1).all() for name in gains)
    assert all((params[name] == 0).all() for name in params if name.startswith("bias_ln_c"))


def test_without_biases_c_has_none():
    layer = layer_of(GATED[0], bias=False)
    assert sorted(layer.params) == [f"weight_{name}_l0" for name in ("hh", "ih", "ln_c", "ln_hh", "ln_ih")]
    x = np.random.default_rng(4).normal(size=(6, 3, 5))
    y, _, tape = layer.forward(x)
    _, _, grads = layer.backward(tape, np.ones_like(y))
    assert grads.keys() == layer.params.keys()


def test_the_forget_bias_can_be_set():
    lstm = nn.LSTM(3, 4, layer_norm=True, init={"forget_bias": 1.0, "bias": "zeros"})
    assert (lstm.params["bias_ih_l0"][4:8] == 1).all()
    assert (lstm.params["bias_ln_c_l0"] == 0).all()


def test_the_tape_shows_gates_alone():
    layer = layer_of(GATED[0])
    _, _, tape = layer.forward(np.zeros((6, 3, 5)))
    assert sorted(tape.layer(0).gates) == list("fgio")


def test_reset_before_the_product_is_refused():
    with pytest.raises(ValueError, match='layer_norm=True with reset="before"; expected reset="after"'):
        cells.GRU("before", layer_norm=True)


@pytest.mark.parametrize("kind", [cells.RNN, cells.LSTM, cells.GRU])
@pytest.mark.parametrize("eps", [0, -1e-5, float("nan"), "1e-5", None])
def test_eps_must_be_positive(kind, eps):
    with pytest.raises(
        ValueError, match=f"{kind.__name__}: layer_norm_eps is .*; expected a positive, finite"
    ):
        kind(layer_norm=True, layer_norm_eps=eps)


def test_a_row_of_equal_values_becomes_zero():
    a = np.full((2, 8), 3.0)
    assert (norm(a, 2, 1e-5).normal == 0).all()


@pytest.mark.parametrize("kind", [cells.RNN, cells.LSTM, cells.GRU])
def test_eps_goes_with_layer_norm_alone(kind):
    with pytest.raises(ValueError, match=r"layer_norm_eps is 0\.001 without layer_norm=True; give both"):
        kind(layer_norm_eps=1e-3)


def test_weights_with_and_without_gains_say_what_layer_they_fit():
    plain, normed = nn.LSTM(3, 4), nn.LSTM(3, 4, layer_norm=True)
    with pytest.raises(ValueError, match="'weight_ln_ih_l0' is unexpected: this layer has no layer norm"):
        plain.load_state_dict(normed.state_dict())
    with pytest.raises(ValueError, match=r"'weight_ln_ih_l0' is missing, .* without layer_norm=True"):
        normed.load_state_dict(plain.state_dict())
