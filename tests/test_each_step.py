"""Gradients of the states at every step: backward(..., each_step=True)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import ISAS, assert_same_bits, flat, make_case, one
from test_bits import both_directions, cases, every_cell, windows, windows_of

import fastrnn
from fastrnn import cells, functional, nn, reference


def run(case, module=functional):
    """The tape, and what backward returns."""
    *_, tape = module.forward(case.cell, case.params, case.x, one(case.state), **case.options)
    arguments = case.cell, case.params, tape, case.dy, one(case.dstate)
    return tape, module.backward(*arguments, each_step=True), module.backward(*arguments)


@settings(max_examples=200)
@given(case=cases(), isa=st.sampled_from(ISAS), threads=st.integers(1, 4), window=windows)
def test_random_cases_equal_the_reference(case, isa, threads, window):
    with windows_of(window), fastrnn.isa(isa), fastrnn.num_threads(threads):
        _, (*got, dstates), plain = run(case)
    _, expected, _ = run(case, reference)
    assert_same_bits([*got, dstates], expected, repr(case))
    assert_same_bits(got, plain)


@every_cell
@both_directions
@pytest.mark.parametrize("counting", [None, 0.5], ids=["whole", "masked"])
def test_a_slot_has_the_gradient_of_the_state_where_the_sequence_is_cut(cell, reverse, counting):
    """The steps on the far side of a slot, run alone from the state in it, give that state's gradient."""
    steps, lengths = 6, np.array([6, 0, 4, 1])
    case = make_case(
        cell, steps, 4, 3, 5, np.float64, lengths=lengths, reverse=reverse, counting=counting
    )  # fmt: skip
    if counting is not None:
        case.dy[~case.mask] = 0
    tape, (_, dstate0, _, dstates), _ = run(case)
    assert list(dstates) == [f"d{name}" for name in cell.states]
    for slot in range(steps + 1):
        for b, n in enumerate(lengths):
            got = [d[slot, b] for d in dstates.values()]
            if slot > n:
                assert not np.any(np.concatenate(got))
                continue
            far = slice(0, slot) if reverse else slice(slot, n)
            state = tuple(s[slot, [b]] for s in tape.states)
            mask = None if case.mask is None else case.mask[far, [b]]
            options = {"mask": mask, "reverse": reverse}
            _, _, cut = functional.forward(cell, case.params, case.x[far, [b]], one(state), **options)
            dstate = tuple(d[[b]] for d in case.dstate)
            _, expected, _ = functional.backward(cell, case.params, cut, case.dy[far, [b]], one(dstate))
            assert_same_bits(got, [d[0] for d in flat([expected])])
    first = lengths if reverse else 0
    assert_same_bits([d[first, np.arange(4)] for d in dstates.values()], flat([dstate0]))
    assert_same_bits(dstates, run(case, reference)[1][3])


@pytest.mark.parametrize("on", ["native", "reference"])
@pytest.mark.parametrize("consume", [False, True])
def test_a_layer_gives_them_by_layer_and_direction(on, consume):
    lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2, rng=0)
    x = np.random.default_rng(0).standard_normal((7, 5, 3), np.float32)
    with fastrnn.backend(on):
        y, state, tape = lstm.forward(x, lengths=[7, 0, 3, 4, 7])
        plain = lstm.backward(tape, y, state)
        *got, dstates = lstm.backward(tape, y, state, each_step=True, consume=consume)
    assert_same_bits(got, plain)
    for k in range(2):
        at = slice(2 * k, 2 * k + 2)
        dh, dc = (d[at] for d in plain[1])
        forth, back = dstates.layer(k), dstates.layer(k, reverse=True)
        assert forth["dh"].shape == (8, 5, 2)
        assert forth["dc"].shape == (8, 5, 4)
        assert_same_bits([forth["dh"][0], forth["dc"][0]], [dh[0], dc[0]])
        ends = [7, 0, 3, 4, 7], range(5)
        assert_same_bits([back["dh"][ends], back["dc"][ends]], [dh[1], dc[1]])
    with pytest.raises(IndexError, match=r"layer\(2, reverse=False\): LSTM has num_layers=2"):
        dstates.layer(2)


def test_without_a_gradient_none_is_carried_past_its_last_step():
    gru = nn.GRU(3, 4, rng=0)
    y, _, tape = gru.forward(np.ones((9, 2, 3), np.float32))
    dy = np.zeros_like(y)
    dy[4] = 1
    dh = gru.backward(tape, dy, each_step=True)[3].layer(0)["dh"]
    norms = np.linalg.norm(dh, axis=2)
    assert (norms[:5] > 0).all()
    assert not norms[5:].any()  # slot 5 is the state of step 4: its dy is not in it
    with pytest.raises(TypeError, match=r"GRU\.backward: each_step is 1; expected True or False"):
        gru.backward(tape, dy, each_step=1, consume=True)
    gru.backward(tape, dy)


@pytest.mark.parametrize("module", [functional, reference])
def test_each_step_is_a_flag(module):
    cell = cells.RNN()
    case = make_case(cell, 2, 1, 2, 3)
    _, _, tape = module.forward(cell, case.params, case.x)
    with pytest.raises(TypeError, match="backward: each_step is 'dh'; expected True or False"):
        module.backward(cell, case.params, tape, each_step="dh", consume=True)
    assert not tape.consumed
