"""Layers on arrays that somebody else owns, and tapes without dropout: for bridges to other libraries."""

import numpy as np
import pytest
from kit import CELLS, assert_same_bits

import fastrnn
from fastrnn import nn
from fastrnn.nn import init

X = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)


@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_layer_on_others_arrays_sees_what_is_written_into_them(cell, bidirectional):
    layer = nn.Recurrent(cell, 4, 6, 2, bidirectional=bidirectional, rng=0)
    arrays = layer.state_dict()
    shared = layer.outline().sharing(arrays)
    assert all(shared.params[name] is value for name, value in arrays.items())
    for _ in range(2):
        assert_same_bits(shared(X), layer(X))  # the quick way
        assert_same_bits(shared(X, lengths=[5, 0, 2]), layer(X, lengths=[5, 0, 2]))
        with fastrnn.backend("reference"):
            assert_same_bits(shared(X), layer(X))
        y, state, tape = shared.forward(X)
        assert_same_bits((y, state), layer(X))
        ours, theirs = shared.backward(tape, y), layer.backward(layer.forward(X)[2], y)
        assert_same_bits(list(ours), list(theirs))
        for name, value in arrays.items():
            value *= np.float32(0.5)
            layer.params[name][...] = value


def test_steps_of_a_layer_on_others_arrays():
    layer = nn.GRU(4, 6, 2, rng=0)
    shared = layer.sharing(layer.params)
    ours = theirs = None
    for x in X:
        y, ours = shared.step(x, ours)
        expected, theirs = layer.step(x, theirs)
        assert_same_bits((y, ours), (expected, theirs))


def test_an_outline_has_options_and_no_parameters():
    layer = nn.LSTM(4, 6, 2, dropout=0.5, peepholes="ifo", dtype=np.float64)
    outline = layer.outline()
    assert not outline.params
    assert repr(outline) == "LSTM(4, 6, peepholes='ifo', num_layers=2, dropout=0.5)"
    assert outline.sharing(layer.params).dtype == np.float64
    assert outline.beginnings()["weight_hh_l1"] == ((24, 6), None)
    assert nn.GRU(4, 6, layer_norm=True).beginnings()["weight_ln_ih_l0"] == ((18,), 1)
    assert nn.GRU(4, 6, learn_state=True).beginnings()["h0_l0"] == ((6,), 0)


@pytest.mark.parametrize(
    "options",
    [{"dropout": 0.5}, {"input_dropout": 0.5}, {"recurrent_dropout": 0.5}, {"weight_dropout": 0.5}],
    ids=str,
)
def test_a_tape_without_dropout_gives_the_gradients_of_inference(options):
    dropping, plain = nn.LSTM(4, 6, 2, rng=0, **options), nn.LSTM(4, 6, 2, rng=0)
    y, state, tape = dropping.run(X, tape=True)
    assert_same_bits((y, state), dropping(X))
    _, _, expected = plain.forward(X)
    assert_same_bits(list(dropping.backward(tape, y)), list(plain.backward(expected, y)))
    assert dropping.draws
    assert not plain.draws


def test_noise_without_a_tape_is_that_with_one():
    layer = nn.LSTM(4, 6, 2, rng=0, dropout=0.3, recurrent_dropout=0.4, weight_dropout=0.2, zoneout=0.1)
    y, state, tape = layer.run(X, tape=False, rng=np.random.default_rng(5))
    assert tape is None
    assert_same_bits((y, state), layer.run(X, tape=True, rng=np.random.default_rng(5))[:2])
    assert not np.array_equal(y, layer(X)[0])


def test_dropout_between_layers_draws_only_where_there_are_two():
    with pytest.warns(UserWarning, match="with num_layers=1 it does nothing"):
        assert not nn.GRU(4, 6, dropout=0.5).draws
    assert nn.GRU(4, 6, zoneout=0.5).draws


def test_undrawn_parameters_have_their_shapes_and_constants():
    layer = nn.GRU(4, 6, layer_norm=True, rng=init.UNDRAWN)
    assert {name: value.shape for name, value in layer.params.items()} == {
        name: value.shape for name, value in nn.GRU(4, 6, layer_norm=True).params.items()
    }
    assert (layer.params["weight_ln_ih_l0"] == 1).all()
