"""Dropout inside recurrent layers: one mask for all steps, of the inputs and of the recurrent weights.

Their gradients are in test_nn_recurrent.py.
"""

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from kit import assert_same_bits
from test_bits import CELLS

import fastrnn
from fastrnn import cells, functional, io, nn

T, B, I, H = 5, 3, 4, 6
X = np.random.default_rng(0).standard_normal((T, B, I)).astype(np.float32)
RECURRENT = [cell for cell in CELLS if np.size(cell.parameter_shapes(I, H).get("w_hh")) == 2]
every_cell = pytest.mark.parametrize("cell", CELLS, ids=str)
every_recurrent_cell = pytest.mark.parametrize("cell", RECURRENT, ids=str)


def make(cell, **options):
    return nn.Recurrent(cell, I, H, num_layers=2, bidirectional=True, rng=7, **options)


def run(layer, x=X, **arguments):
    y, state, tape = layer.forward(x, **arguments)
    dx, dstate, grads = layer.backward(tape, y, state)
    return [y, state, dx, dstate, grads]


@pytest.mark.parametrize(
    ("cell", "options"),
    [(cell, {"input_dropout": 0.4}) for cell in CELLS]
    + [(cell, {"weight_dropout": 0.4}) for cell in RECURRENT],
    ids=str,
)
def test_dropout_acts_in_training_alone_and_repeats_with_the_seed(cell, options):
    plain, layer = make(cell), make(cell, **options)
    assert_same_bits(list(layer(X)), list(plain(X)))
    first, second = run(layer), run(layer)
    assert not np.array_equal(first[0], plain(X)[0])
    assert not np.array_equal(first[0], second[0])
    again = make(cell, **options)
    assert_same_bits([run(again), run(again)], [first, second])
    with fastrnn.backend("reference"):
        again = make(cell, **options)
        assert_same_bits([run(again), run(again)], [first, second])
    assert_same_bits(list(copy.deepcopy(layer).freeze()(X)), list(plain(X)))


@every_cell
def test_a_dropped_input_is_dropped_at_every_step_and_in_both_directions(cell):
    layer = make(cell, input_dropout=0.5)
    y, state, tape = layer.forward(X)
    below = X
    for k in range(2):
        seen = tape.layer(k).x
        kept = tape.kept[k].inputs
        assert kept.shape == seen.shape[1:]
        assert 0 < kept.mean() < 1
        assert_same_bits(seen, np.where(kept, below * np.float32(2), np.float32(0)))
        assert_same_bits(tape.layer(k, reverse=True).x, seen)
        halves = [
            functional.forward(cell, tape.layer(k, r).params, seen, reverse=r)[0] for r in (False, True)
        ]
        below = np.concatenate(halves, -1)
    assert_same_bits(y, below)
    dx, _, _ = layer.backward(tape, y, state)
    assert not dx[:, ~tape.kept[0].inputs].any()
    assert (dx[:, tape.kept[0].inputs] != 0).mean() > 0.5  # some stand where a slope is 0


def test_both_dropouts_of_the_inputs_of_a_layer_multiply():
    layer = make(cells.GRU(), dropout=0.5, input_dropout=0.5)
    _, _, tape = layer.forward(X)
    first = np.concatenate([tape.layer(0, r).state["h"] for r in (False, True)], -1)
    kept = tape.kept[1].between & tape.kept[1].inputs
    assert tape.kept[0].between is None
    assert_same_bits(tape.layer(1).x, np.where(kept, first * np.float32(4), np.float32(0)))


@every_recurrent_cell
def test_dropped_weights_are_dropped_for_a_whole_call(cell):
    layer = make(cell, weight_dropout=0.25)
    y, state, tape = layer.forward(X)
    inputs = X
    for k in range(2):
        halves = []
        for reverse in (False, True):
            params = tape.layer(k, reverse).params
            w = layer.params[f"weight_hh_l{k}" + "_reverse" * reverse]
            keep = tape.kept[k].weights[reverse]
            assert keep.shape == w.shape
            assert 0.4 < keep.mean() < 1
            assert_same_bits(params["w_hh"], np.where(keep, w * np.float32(1 / 0.75), np.float32(0)))
            assert params["w_ih"] is layer.params[f"weight_ih_l{k}" + "_reverse" * reverse]
            halves.append(functional.forward(cell, params, inputs, reverse=reverse)[0])
        inputs = np.concatenate(halves, -1)
    assert_same_bits(y, inputs)
    _, _, grads = layer.backward(tape, y, state)
    for k in range(2):
        for reverse in (False, True):
            gradient = grads[f"weight_hh_l{k}" + "_reverse" * reverse]
            keep = tape.kept[k].weights[reverse]
            assert not gradient[~keep].any()
            assert gradient[keep].any()


@every_recurrent_cell
def test_dropping_everything_leaves_no_input_and_no_recurrence(cell):
    layer = make(cell, input_dropout=1, weight_dropout=1)
    _, _, tape = layer.forward(X)
    for k in range(2):
        assert not tape.layer(k).x.any()
        assert not tape.layer(k).params["w_hh"].any()


def test_dropout_beside_lengths_masks_and_other_axes():
    mask = np.random.default_rng(1).random((T, B)) < 0.6
    options = {"input_dropout": 0.3, "weight_dropout": 0.3}
    expected = run(make(cells.LSTM(), **options), lengths=[5, 2, 4], mask=mask)
    turned = make(cells.LSTM(), batch_first=True, **options)
    got = run(turned, X.transpose(1, 0, 2), lengths=[5, 2, 4], mask=mask.T)
    got[0], got[2] = (a.transpose(1, 0, 2).copy() for a in (got[0], got[2]))
    assert_same_bits(got, expected)
    y, _ = nn.GRU(I, H, input_dropout=0.5, rng=0).forward(X[:, 0])[:2]
    assert y.shape == (T, H)


def test_options_stay_with_copies_and_are_shown(tmp_path):
    layer = nn.LSTM(I, H, 2, dropout=0.1, input_dropout=0.2, weight_dropout=0.3, rng=0)
    assert repr(layer) == ("LSTM(4, 6, num_layers=2, dropout=0.1, input_dropout=0.2, weight_dropout=0.3)")
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(twin) == repr(layer)
        assert_same_bits(run(twin), run(copy.deepcopy(layer)))
    io.save(tmp_path / "layer.npz", layer)
    other = nn.LSTM(I, H, 2, weight_dropout=0.3)
    other.load_state_dict(io.load(tmp_path / "layer.npz").arrays)
    assert_same_bits(list(other(X)), list(layer(X)))


@pytest.mark.parametrize("option", ["input_dropout", "weight_dropout"])
def test_a_wrong_probability_is_named(option):
    for layer in (nn.RNN, nn.LSTM, nn.GRU):
        with pytest.raises(ValueError, match=f"{layer.__name__}: {option} is 1.5; expected a probability"):
            layer(I, H, **{option: 1.5})
        with pytest.raises(TypeError, match=f"{layer.__name__}: {option} is True"):
            layer(I, H, **{option: True})


def test_weights_that_are_not_there_cannot_be_dropped():
    @dataclass(frozen=True)
    class NoRecurrence(cells.RNN):
        @property
        def parameters(self):
            return ("w_ih", "b_ih", "b_hh")

    with pytest.raises(ValueError, match=r"weight_dropout acts on w_hh; .*NoRecurrence.* has none"):
        nn.Recurrent(NoRecurrence(), I, H, weight_dropout=0.5)
