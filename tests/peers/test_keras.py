"""Masks, directions, both forms of GRU, dropout and initial biases against Keras, on its PyTorch backend.

Keras gives the outputs of go_backwards in the order in which it has computed them; here they stand at their
steps. At masked steps before the first that counts the output is the initial state here and on Keras's NumPy
and JAX backends, 0 on PyTorch and TensorFlow: there only the states are compared, and dy is 0.

Left out: a mask with `unroll=True`, for which Keras 3.15 gives 0 at masked first steps on every backend, and
on PyTorch raises if it goes backwards. `Bidirectional` gives 0 at every masked step.
"""

import os

import numpy as np
import pytest
from kit import flat, one

from fastrnn import cells, functional, nn

os.environ.setdefault("KERAS_BACKEND", "torch")
torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword"),
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="Keras runs on another backend"),
]

STEPS, BATCH, INPUTS, HIDDEN = 7, 6, 4, 5
CELLS = {
    "SimpleRNN": (cells.RNN(), {}),
    "LSTM": (cells.LSTM(), {}),
    "GRU after": (cells.GRU("after"), {"reset_after": True}),
    "GRU before": (cells.GRU("before"), {"reset_after": False}),
}
# Keras's order of the gates, by ours.
GATES = {"SimpleRNN": "n", "LSTM": "ifgo", "GRU": "zrn"}
every_cell = pytest.mark.parametrize("name", CELLS)


def make(name, **options):
    """Our cell and Keras's layer, built, with random weights."""
    cell, form = CELLS[name]
    layer = getattr(keras.layers, name.split()[0])(
        HIDDEN, return_sequences=True, return_state=True, **form, **options
    )
    layer.build((BATCH, STEPS, INPUTS))
    rng = np.random.default_rng(3)
    layer.set_weights([rng.normal(0, 0.5, w.shape) for w in layer.get_weights()])
    return cell, layer


def ours(name, arrays):
    """Keras's kernel, recurrent kernel and bias, or their gradients, as our parameters."""
    cell, kind = CELLS[name][0], name.split()[0]
    order = [GATES[kind].index(gate) for gate in cell.gates]

    def turned(array):
        blocks = np.split(array.T, len(order))
        return np.concatenate([blocks[k] for k in order])

    kernel, recurrent, bias = arrays
    b_ih, b_hh = (turned(b) for b in (bias if bias.ndim == 2 else (bias, np.zeros_like(bias))))
    return {"w_ih": turned(kernel), "w_hh": turned(recurrent), "b_ih": b_ih, "b_hh": b_hh}


def turned(array):
    """(B, T, ...) and (T, B, ...) of each other."""
    return array.swapaxes(0, 1)


def draw_arguments(cell, seed=0):
    """x, the states, and gradients of y and of the states, batch first, as Keras has them."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.standard_normal(shape, np.float32)

    states, dstates = ([draw(BATCH, HIDDEN) for _ in cell.states] for _ in range(2))
    return draw(BATCH, STEPS, INPUTS), states, draw(BATCH, STEPS, HIDDEN), dstates


def run_keras(layer, x, states, dy, dstates, **options):
    """y, the states and the gradients of x, of the states and of the weights."""
    x, *states = (torch.tensor(a, requires_grad=True) for a in (x, *states))
    y, *last = layer(x, initial_state=states, **options)
    loss = (y * torch.tensor(dy)).sum()
    for value, d in zip(last, dstates, strict=True):
        loss = loss + (value * torch.tensor(d)).sum()
    weights = [w.value for w in layer.trainable_weights]
    found = [y, *last, *torch.autograd.grad(loss, [x, *states, *weights])]
    found = [a.detach().numpy() for a in found]
    n = 1 + len(last)
    return found[0], found[1:n], found[n], found[n + 1 : 2 * n], found[2 * n :]


def assert_close(got, expected):
    """In float32: products are, on Keras's PyTorch backend, whatever the dtype."""
    assert got.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))


@every_cell
@pytest.mark.parametrize("backwards", [False, True], ids=["forward", "backwards"])
@pytest.mark.parametrize("counting", [None, 0.6])
def test_masks_and_directions_are_those_of_keras(name, backwards, counting):
    """A row whose first steps are masked, one whose last are, one that is masked whole, others at random."""
    cell, layer = make(name, go_backwards=backwards)
    x, states, dy, dstates = draw_arguments(cell)
    mask, started = None, np.full((BATCH, STEPS), True)
    if counting:
        mask = np.random.default_rng(5).random((BATCH, STEPS)) < counting
        mask[0, :3], mask[1, 4:], mask[2] = False, False, False
        order = mask[:, ::-1] if backwards else mask
        started = np.maximum.accumulate(order, axis=1)[:, :: -1 if backwards else 1]
        dy *= started[..., None]
    y, last, dx, dfirst, dweights = run_keras(
        layer, x, states, dy[:, ::-1].copy() if backwards else dy, dstates,
        mask=None if mask is None else torch.tensor(mask),
    )  # fmt: skip

    params = ours(name, layer.get_weights())
    y1, last1, tape = functional.forward(
        cell, params, turned(x), one(states), mask=None if mask is None else turned(mask), reverse=backwards
    )
    y1[~turned(started)] = 0
    dx1, dfirst1, grads = functional.backward(cell, params, tape, turned(dy), one(dstates))
    assert_close(turned(y1)[:, ::-1] if backwards else turned(y1), y)
    assert_close(turned(dx1), dx)
    for got, expected in zip(flat([last1, dfirst1]), [*last, *dfirst], strict=True):
        assert_close(got, expected)
    expected = ours(name, dweights)
    if name != "GRU after":  # one bias: the gradient of each of ours
        expected["b_hh"] = expected["b_ih"]
    for n, gradient in grads.items():
        assert_close(gradient, expected[n])


@every_cell
def test_bidirectional_layers_with_masks_are_those_of_keras(name):
    cell, layer = make(name)
    both = keras.layers.Bidirectional(layer)
    both.build((BATCH, STEPS, INPUTS))
    rng = np.random.default_rng(4)
    both.set_weights([rng.normal(0, 0.5, w.shape) for w in both.get_weights()])
    x, *_ = draw_arguments(cell)
    mask = rng.random((BATCH, STEPS)) < 0.6
    y, *last = (a.detach().numpy() for a in both(torch.tensor(x), mask=torch.tensor(mask)))

    mine = nn.Recurrent(cell, INPUTS, HIDDEN, bidirectional=True, batch_first=True)
    weights = both.get_weights()
    for suffix, arrays in (("", weights[:3]), ("_reverse", weights[3:])):
        for n, array in ours(name, arrays).items():
            n = n.replace("w_", "weight_").replace("b_", "bias_")
            mine.params[f"{n}_l0{suffix}"][...] = array
    y1, last1 = mine(x, mask=mask)
    assert_close(np.where(mask[..., None], y1, 0), y)
    for direction in range(2):
        for k, state in enumerate(flat([last1])):
            assert_close(state[direction], last[direction * len(cell.states) + k])


def recorded(cell, method):
    """What a method of a cell of Keras returns, call by call."""
    seen, draw = [], getattr(cell, method)

    def drawn(argument):
        seen.append(draw(argument))
        return seen[-1]

    setattr(cell, method, drawn)
    return seen


def assert_is_one_mask(seen, width, p):
    """For all steps, (B, width), scaled by 1/(1-p)."""
    assert len(seen) >= STEPS
    assert all(mask is seen[-1] for mask in seen)
    for mask in seen[-1] if isinstance(seen[-1], list) else seen[-1:]:
        assert mask.shape == (BATCH, width)
        assert set(mask.numpy().ravel()) == {0, np.float32(1 / (1 - p))}


@every_cell
def test_dropout_of_the_inputs_is_that_of_keras(name):
    """One mask for all steps and gates."""
    cell, layer = make(name, dropout=0.4, **({} if name == "SimpleRNN" else {"use_cudnn": False}))
    x, *_ = draw_arguments(cell)
    seen = recorded(layer.cell, "get_dropout_mask")
    layer(torch.tensor(x), training=True)
    assert_is_one_mask(seen, INPUTS, 0.4)

    mine = nn.Recurrent(cell, INPUTS, HIDDEN, input_dropout=0.4, batch_first=True, rng=1)
    for n, array in ours(name, layer.get_weights()).items():
        mine.params[f"{n.replace('w_', 'weight_').replace('b_', 'bias_')}_l0"][...] = array
    y1, _, tape = mine.forward(x)
    kept = torch.tensor(tape.kept[0].inputs / np.float32(1 - 0.4))
    layer.cell.get_dropout_mask = lambda step: kept
    y, *_ = layer(torch.tensor(x), training=True)
    assert_close(y1, y.detach().numpy())


@every_cell
@pytest.mark.parametrize("backwards", [False, True], ids=["forward", "backwards"])
def test_recurrent_dropout_is_that_of_keras(name, backwards):
    """One mask for all steps, of h on its way into the products; Keras draws one for each gate, here all
    gates have the same. GRU's z * h is not masked."""
    cell, layer = make(name, recurrent_dropout=0.4, go_backwards=backwards)
    x, states, *_ = draw_arguments(cell)
    seen = recorded(layer.cell, "get_recurrent_dropout_mask")
    layer(torch.tensor(x), training=True)
    assert_is_one_mask(seen, HIDDEN, 0.4)
    assert len(seen[-1]) == len(cell.gates) if isinstance(seen[-1], list) else cell == cells.RNN()

    factors = np.random.default_rng(8).integers(0, 2, (BATCH, HIDDEN)).astype(np.float32) / np.float32(0.6)
    mask = torch.tensor(factors)
    layer.cell.get_recurrent_dropout_mask = lambda h: mask if name == "SimpleRNN" else [mask] * 4
    y, *last = layer(torch.tensor(x), initial_state=[torch.tensor(s) for s in states], training=True)
    y1, last1, _ = functional.forward(
        cell, ours(name, layer.get_weights()), turned(x), one(states),
        noise=cells.Noise(recurrent=factors), reverse=backwards,
    )  # fmt: skip
    assert_close(turned(y1)[:, :: -1 if backwards else 1], y.detach().numpy())
    for got, expected in zip(flat([last1]), last, strict=True):
        assert_close(got, expected.detach().numpy())


def test_the_forget_bias_is_that_of_keras():
    theirs = keras.layers.LSTM(HIDDEN, unit_forget_bias=True)
    theirs.build((BATCH, STEPS, INPUTS))
    mine = nn.LSTM(INPUTS, HIDDEN, init={"bias": "zeros", "forget_bias": 1.0})
    np.testing.assert_array_equal(
        mine.params["bias_ih_l0"] + mine.params["bias_hh_l0"], theirs.get_weights()[2]
    )
