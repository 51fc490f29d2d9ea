"""Zoneout and variational dropout of the recurrent connection."""

import copy
from math import fsum

import numpy as np
import pytest
from kit import (
    CELLS,
    ISAS,
    assert_native_equals_reference,
    assert_same_bits,
    draw_noise,
    flat,
    make_case,
    one,
)

import fastrnn
from fastrnn import cells, functional, reference

ZONED = [
    cells.RNN(zoneout=0.2),
    cells.LSTM(zoneout=(0.1, 0.5)),
    cells.LSTM(3, zoneout=0.4, peepholes="ifo"),
    cells.LSTM.variant("FGR", zoneout=0.4),
    cells.GRU(zoneout=0.5, clip=0.4),
    cells.GRU("before", zoneout=0.3),
    cells.MGU(zoneout=0.3),
    cells.IndRNN(zoneout=0.2),
    cells.MinGRU(zoneout=0.2),
    cells.MinLSTM(zoneout=0.2),
]
RECURRENT = [cell for cell in [*CELLS, *ZONED] if "w_hh" in cell.parameters]


def everything(module, case, drawn):
    arguments = {"lengths": case.lengths, "reverse": case.reverse, "noise": drawn}
    forward = module.forward(case.cell, case.params, case.x, one(case.state), **arguments)
    inference = module.forward(case.cell, case.params, case.x, one(case.state), tape=False, **arguments)
    assert_same_bits(inference[:2], forward[:2])
    return flat(forward) + flat(
        module.backward(case.cell, case.params, forward[2], case.dy, one(case.dstate))
    )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("cell", [*CELLS, *ZONED], ids=str)
def test_noise_has_the_bits_of_the_reference(cell, isa):
    rng = np.random.default_rng(3)
    sizes = ((7, 3, 5, 18, None, False), (5, 4, 9, 33, [5, 0, 3, 1], True))
    for k, (steps, batch, inputs, hidden, lengths, reverse) in enumerate(sizes):
        dtype = (np.float32, np.float64)[k]
        case = make_case(cell, steps, batch, inputs, hidden, dtype, lengths=lengths, reverse=reverse)
        for recurrent, zoneout in ((True, False), (False, True), (True, True)):
            drawn = draw_noise(cell, case, rng, recurrent=recurrent, zoneout=zoneout)
            for threads in (1, 3):
                with fastrnn.isa(isa), fastrnn.num_threads(threads):
                    got = everything(functional, case, drawn)
                assert_same_bits(got, everything(reference, case, drawn), f"{case} {recurrent} {zoneout}")


@pytest.mark.parametrize(
    "cell", [cells.LSTM(2, zoneout=(0.1, 0.5)), cells.GRU("before", zoneout=0.3), cells.MGU()], ids=str
)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_with_noise_are_those_of_central_differences(cell, training):
    """In training of what was drawn; without it of the expectation."""
    case = make_case(cell, 4, 2, 3, 4, np.float64, seed=5)
    drawn = (
        draw_noise(cell, case, np.random.default_rng(1), recurrent=True, zoneout=True) if training else None
    )

    def loss():
        y, _, _ = reference.forward(cell, case.params, case.x, one(case.state), noise=drawn, tape=False)
        return fsum((y * case.dy).ravel())

    _, _, tape = functional.forward(cell, case.params, case.x, one(case.state), noise=drawn)
    dx, dstate, grads = functional.backward(cell, case.params, tape, case.dy)
    pairs = [(case.x, dx), *((case.params[n], g) for n, g in grads.items())]
    pairs += zip(case.state, flat([dstate]), strict=True)
    for array, gradient in pairs:
        for at in np.random.default_rng(2).permutation(array.size)[:6]:
            value = array.flat[at]
            ends = []
            for change in (1e-6, -1e-6):
                array.flat[at] = value + change
                ends.append(loss())
            array.flat[at] = value
            np.testing.assert_allclose(gradient.flat[at], (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-8)


def test_a_unit_that_is_kept_does_not_change():
    cell = cells.GRU(zoneout=0.5)
    case = make_case(cell, 6, 3, 4, 5)
    keep = np.random.default_rng(0).random((6, 3, 5)) < 0.5
    _, _, tape = functional.forward(
        cell, case.params, case.x, case.state[0], noise=cells.Noise(None, (keep,))
    )
    before, after = tape.states[0][:-1], tape.states[0][1:]
    assert_same_bits(after[keep], before[keep])
    assert (after[~keep] != before[~keep]).all()


def test_zoneout_of_everything_holds_the_state_and_of_nothing_is_the_plain_cell():
    case = make_case(cells.GRU(), 6, 3, 4, 5)
    for share, keep in ((1.0, np.ones((6, 3, 5), bool)), (0.5, np.zeros((6, 3, 5), bool))):
        cell = cells.GRU(zoneout=share)
        y, _, _ = functional.forward(
            cell, case.params, case.x, case.state[0], noise=cells.Noise(None, (keep,))
        )
        plain, _, _ = functional.forward(cells.GRU(), case.params, case.x, case.state[0])
        assert_same_bits(y, np.broadcast_to(case.state[0], y.shape).copy() if share == 1 else plain)


@pytest.mark.parametrize("options", [{"cell": cells.LSTM(zoneout=0.3)}, {"recurrent_dropout": 0.4}], ids=str)
def test_layers_draw_in_training_alone_and_repeat_with_the_seed(options):
    options = {"cell": cells.LSTM(), **options}
    layer = fastrnn.Recurrent(input_size=3, hidden_size=8, num_layers=2, bidirectional=True, rng=4, **options)
    twin = copy.deepcopy(layer)
    x = np.random.default_rng(0).standard_normal((9, 5, 3), dtype=np.float32)
    inference, _ = layer(x)
    first, _, tape = layer.forward(x)
    second, _, _ = layer.forward(x)
    assert_same_bits(layer(x)[0], inference)
    assert (first != inference).mean() > 0.5
    assert (first != second).mean() > 0.5
    again, _, twin_tape = twin.forward(x)
    assert_same_bits(again, first)
    assert_same_bits(flat([layer.backward(tape, first)]), flat([twin.backward(twin_tape, first)]))


@pytest.mark.parametrize("cell", RECURRENT, ids=str)
def test_dropping_the_whole_recurrence_leaves_no_gradient_of_its_weights(cell):
    case = make_case(cell, 4, 2, 3, 5)
    factors = np.zeros((2, cell.output_size(5)), np.float32)
    _, _, tape = functional.forward(cell, case.params, case.x, one(case.state), noise=cells.Noise(factors))
    _, _, grads = functional.backward(cell, case.params, tape, case.dy)
    assert not grads["w_hh"].any()


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (
            cells.Noise(np.ones((2, 5), np.float32)),
            r"recurrent of noise has shape \(2, 5\); expected \(3, 5\)",
        ),
        (cells.Noise(None, (np.ones((6, 3, 5), bool),)), "has zoneout; .* has none"),
        ((None, None), "expected a fastrnn.cells.Noise"),
    ],
)
def test_noise_that_does_not_fit_is_refused(drawn, message):
    case = make_case(cells.GRU(), 6, 3, 4, 5)
    with pytest.raises((ValueError, TypeError), match=message):
        functional.forward(cells.GRU(), case.params, case.x, noise=drawn)


@pytest.mark.parametrize("zoneout", [-0.1, 1.5, (0.1, 0.2, 0.3), "half", True, float("nan")])
def test_a_zoneout_that_is_no_probability_is_refused(zoneout):
    with pytest.raises(ValueError, match=r"LSTM: zoneout is .*; expected a probability"):
        cells.LSTM(zoneout=zoneout)


@pytest.mark.parametrize("isa", ISAS)
def test_zoneout_that_rounds_to_0_acts_forward_and_back(isa):
    """A NaN in the state before goes through the part that is kept, though that is 0 of it."""
    cell = cells.LSTM(
        zoneout=(1e-60, 1e-60), cell_clip=0.25, input_gate=False, forget_gate=False, output_gate=False,
        activations={"g": "sigmoid", "h": "sigmoid"},
    )  # fmt: skip
    case = make_case(cell, 2, 1, 1, 3, scale=1e-20, states=False, dy=False)
    case.params["w_hh"][[0, 2], [0, 2]] = np.nan
    assert_native_equals_reference(case, isa, 1)
