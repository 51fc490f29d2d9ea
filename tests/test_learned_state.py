"""Learned initial states: parameters that stand in for a state that is not given."""

import copy
import pickle

import numpy as np
import pytest
from kit import ISAS, assert_same_bits, flat
from test_bits import CELLS
from test_reference_gradients import differences

import fastrnn
from fastrnn import cells, io, nn, optim, reference

T, B, I, H = 4, 20, 3, 5
LENGTHS = [4, 0, 2, 3, 1] * 4
X = np.random.default_rng(0).standard_normal((T, B, I))
every_cell = pytest.mark.parametrize("cell", CELLS, ids=str)


def make(cell, dtype=np.float32, bidirectional=True, **options):
    """A layer that has learned something."""
    layer = nn.Recurrent(
        cell, I, H, 2, bidirectional=bidirectional, learn_state=True, dtype=dtype, rng=7, **options
    )
    rng = np.random.default_rng(1)
    for name in learned(layer):
        layer.params[name][...] = rng.standard_normal(layer.params[name].shape)
    return layer


def learned(layer):
    return [name for name in layer.params if "0_l" in name]


def as_state(layer, batch=B):
    """The learned states as a state given."""
    ends = [f"0_l{k}" + "_reverse" * r for k in range(2) for r in range(1 + layer.bidirectional)]
    stacked = [
        np.array([np.tile(layer.params[name + end], (batch, 1)) for end in ends])
        for name in layer.cell.states
    ]
    return tuple(stacked) if len(stacked) > 1 else stacked[0]


def test_names_shapes_and_first_values():
    lstm = nn.LSTM(I, H, 2, bidirectional=True, proj_size=2, learn_state=True, rng=0)
    shapes = {name: value.shape for name, value in lstm.params.items() if "0_l" in name}
    assert shapes == {
        f"{name}0_l{k}{end}": (width,)
        for k in range(2)
        for end in ("", "_reverse")
        for name, width in (("h", 2), ("c", 5))
    }
    assert not any(lstm.params[name].any() for name in shapes)
    plain = nn.LSTM(I, H, 2, bidirectional=True, proj_size=2, rng=0)
    assert_same_bits({n: v for n, v in lstm.params.items() if n not in shapes}, dict(plain.params))


@every_cell
def test_what_was_learned_stands_in_for_a_state_that_is_not_given(cell):
    layer = make(cell)
    x = X.astype(np.float32)
    given = as_state(layer)
    expected = layer(x, given, lengths=LENGTHS)
    assert_same_bits(list(layer(x, lengths=LENGTHS)), list(expected))
    y, state, tape = layer.forward(x, lengths=LENGTHS)
    assert_same_bits([y, state], list(expected))
    assert_same_bits([s[:, 1] for s in flat([state])], [s[:, 1] for s in flat([given])])
    _, _, other = layer.forward(x, given, lengths=LENGTHS)
    dx, dstate, grads = layer.backward(tape, y, state)
    dx1, dstate1, grads1 = layer.backward(other, y, state)
    assert_same_bits([dx, dstate], [dx1, dstate1])
    for name in layer.params:
        if name in learned(layer):
            assert not grads1[name].any()
        else:
            assert_same_bits(grads[name], grads1[name])
    for name, rows in zip(cell.states, flat([dstate]), strict=True):
        for k, end in enumerate(["l0", "l0_reverse", "l1", "l1_reverse"]):
            assert_same_bits(grads[f"{name}0_{end}"], reference.arithmetic.bias_gradient(rows[k]))
    assert list(grads) == list(layer.params)


def test_one_state_may_be_given_and_the_other_learned():
    layer = make(cells.LSTM())
    h, c = as_state(layer)
    other = np.ones_like(h)
    for state, whole in (((other, None), (other, c)), ((None, other), (h, other))):
        assert_same_bits(list(layer(X, state)), list(layer(X, whole)))
        assert_same_bits(list(copy.deepcopy(layer).freeze()(X, state)), list(layer(X, whole)))
        y, after, tape = layer.forward(X, state)
        _, _, grads = layer.backward(tape, y, after)
        for name in learned(layer):
            assert grads[name].any() == (state["hc".index(name[0])] is None)


@every_cell
@pytest.mark.parametrize("lengths", [None, [3, 0]], ids=["whole", "lengths"])
def test_gradients_are_those_of_central_differences(cell, lengths):
    layer = make(cell, np.float64)
    x = X[:3, :2]
    rng = np.random.default_rng(2)
    y, state, tape = layer.forward(x, lengths=lengths)
    dy, dstate = rng.standard_normal(y.shape), [rng.standard_normal(s.shape) for s in flat([state])]

    def loss():
        y, state = layer(x, lengths=lengths)
        return (y * dy).sum() + sum((s * d).sum() for s, d in zip(flat([state]), dstate, strict=True))

    _, _, grads = layer.backward(tape, dy, tuple(dstate) if len(dstate) > 1 else dstate[0])
    for name in learned(layer):
        expected = differences(loss, layer.params[name])
        np.testing.assert_allclose(grads[name], expected, rtol=1e-6, atol=1e-7, err_msg=name)


@every_cell
@pytest.mark.parametrize("isa", ISAS)
def test_both_backends_have_the_same_bits(cell, isa):
    layer = make(cell, input_dropout=0.2, weight_dropout=0.2 if "w_hh" in cell.parameters else 0.0)

    def run():
        layer.rng = np.random.default_rng(3)
        y, state, tape = layer.forward(X, lengths=LENGTHS)
        return [y, state, *layer.backward(tape, y, state)]

    with fastrnn.backend("reference"):
        expected = run()
    with fastrnn.isa(isa):
        assert_same_bits(run(), expected)


@every_cell
def test_a_stream_begins_as_learned(cell):
    layer = make(cell, bidirectional=False)
    x = X.astype(np.float32)
    y, after = layer(x)
    for one in (layer, copy.deepcopy(layer).freeze()):
        state = None
        for t in range(T):
            y_t, state = one.step(x[t], state)
            assert_same_bits(y_t, y[t])
        assert_same_bits([state], [after])
        assert_same_bits(list(one(x)), [y, after])
        y_single, _ = one(x[:, 0])
        assert_same_bits(y_single, y[:, 0])


def test_an_optimiser_learns_the_state():
    layer = nn.GRU(I, H, learn_state=True, rng=0)
    adam, target = optim.Adam(layer, lr=0.05), np.full((1, B, H), 0.5, np.float32)
    losses = []
    for _ in range(50):
        y, _, tape = layer.forward(np.zeros((1, B, I), np.float32))
        losses.append(float(((y - target) ** 2).mean()))
        _, _, grads = layer.backward(tape, y - target)
        adam.step(grads)
    assert losses[-1] < 0.1 * losses[0]
    assert layer.params["h0_l0"].any()


def test_copies_and_files_keep_what_was_learned(tmp_path):
    layer = nn.LSTM(I, H, learn_state=True, rng=0)
    assert repr(layer) == "LSTM(3, 5, learn_state=True)"
    layer.params["c0_l0"][...] = 0.7
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(twin) == repr(layer)
        assert_same_bits(list(twin(X)), list(layer(X)))
        twin.params["c0_l0"][...] = 0
        assert layer.params["c0_l0"].all()
    io.save(tmp_path / "layer.npz", layer)
    other = nn.LSTM(I, H, learn_state=True, rng=1)
    other.load_state_dict(io.load(tmp_path / "layer.npz").arrays)
    assert_same_bits(list(other(X)), list(layer(X)))


def test_weights_without_a_learned_state_are_answered_with_the_remedy():
    class Model(nn.Module):
        def __init__(self, layer):
            self.encoder = layer

    learns, plain = nn.LSTM(I, H, learn_state=True), nn.LSTM(I, H)
    with pytest.raises(
        ValueError,
        match=r"'h0_l0' is missing, shape \(5,\): a learned .* strict=False leaves it as it is; 'c0_l0'",
    ):
        learns.load_state_dict(plain.state_dict())
    with pytest.raises(ValueError, match=r"'encoder.c0_l0' is missing.*: a learned initial state"):
        Model(learns).load_state_dict(Model(plain).state_dict())
    with pytest.raises(
        ValueError, match=r"'h0_l0' is unexpected: this layer learns no .*; build it with learn_state=True"
    ):
        plain.load_state_dict(learns.state_dict())
    missing, _ = learns.load_state_dict(plain.state_dict(), strict=False)
    assert missing == ["h0_l0", "c0_l0"]
    assert_same_bits(list(learns(X)), list(plain(X)))


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="GRU: learn_state is 1; expected True or False"):
        nn.GRU(I, H, learn_state=1)
    layer = nn.LSTM(I, H, learn_state=True)
    with pytest.raises(ValueError, match=r"LSTM: state is a tuple of 1; LSTM carries a tuple \(h, c\)"):
        layer(X, (None,))
