"""What the time loop of the reference promises: rows, chunks, lengths and directions change no bit."""

import numpy as np
import pytest

from fastrnn import cells, reference

CELLS = [cells.RNN(), cells.RNN("relu"), cells.LSTM(), cells.LSTM(2), cells.GRU(), cells.GRU("before")]
every_cell = pytest.mark.parametrize("cell", CELLS, ids=str)
both_directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
T, B, I, H = 6, 4, 3, 5


def case(cell, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
    params = {n: draw(*s) for n, s in cell.parameter_shapes(I, H).items()}
    state = tuple(draw(B, w) for w in cell.state_shapes(H).values())
    return params, draw(T, B, I), state, draw(T, B, cell.output_size(H))


def one_or_all(states):
    return tuple(states) if len(states) > 1 else states[0]


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def equal(a, b):
    for one, other in zip(as_tuple(a), as_tuple(b), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(np.signbit(one), np.signbit(other))


@every_cell
@both_directions
def test_a_row_with_a_length_equals_the_row_alone(cell, reverse):
    params, x, state, dy = case(cell)
    lengths = [6, 0, 3, 1]
    y, final, tape = reference.forward(cell, params, x, one_or_all(state), lengths=lengths, reverse=reverse)
    dx, dinitial, _ = reference.backward(cell, params, tape, dy, one_or_all(state))
    for b, n in enumerate(lengths):
        alone = one_or_all([s[b : b + 1] for s in state])
        yb, final_b, tape_b = reference.forward(cell, params, x[:n, b : b + 1], alone, reverse=reverse)
        dxb, dinitial_b, _ = reference.backward(cell, params, tape_b, dy[:n, b : b + 1], alone)
        equal(y[:n, b : b + 1], yb)
        equal(tuple(s[b : b + 1] for s in as_tuple(final)), final_b)
        equal(dx[:n, b : b + 1], dxb)
        equal(tuple(s[b : b + 1] for s in as_tuple(dinitial)), dinitial_b)
        assert not y[n:, b].any()
        assert not dx[n:, b].any()


@every_cell
@both_directions
def test_a_sequence_in_chunks_equals_the_whole(cell, reverse):
    params, x, state, dy = case(cell)
    y, final, tape = reference.forward(cell, params, x, one_or_all(state), reverse=reverse)
    dx, dinitial, _ = reference.backward(cell, params, tape, dy, one_or_all(state))
    chunks = [slice(0, 2), slice(2, 3), slice(3, 6)][:: -1 if reverse else 1]
    carried, tapes = one_or_all(state), []
    for chunk in chunks:
        part, carried, tape = reference.forward(cell, params, x[chunk], carried, reverse=reverse)
        tapes.append(tape)
        equal(part, y[chunk])
    equal(carried, final)
    dcarried = one_or_all(state)
    for chunk, tape in zip(reversed(chunks), reversed(tapes), strict=True):
        part, dcarried, _ = reference.backward(cell, params, tape, dy[chunk], dcarried)
        equal(part, dx[chunk])
    equal(dcarried, dinitial)


@every_cell
def test_reverse_is_forward_on_the_reversed_input(cell):
    params, x, state, dy = case(cell)
    y, final, tape = reference.forward(cell, params, x, one_or_all(state), reverse=True)
    y2, final2, tape2 = reference.forward(cell, params, x[::-1], one_or_all(state))
    equal(y, y2[::-1])
    equal(final, final2)
    dx, dinitial, dparams = reference.backward(cell, params, tape, dy, one_or_all(state))
    dx2, dinitial2, dparams2 = reference.backward(cell, params, tape2, dy[::-1], one_or_all(state))
    equal(dx, dx2[::-1])
    equal(dinitial, dinitial2)
    equal(tuple(dparams.values()), tuple(dparams2.values()))


@every_cell
@both_directions
def test_rows_past_a_length_do_not_count_even_if_they_are_nan(cell, reverse):
    params, x, state, dy = case(cell)
    lengths = np.array([6, 0, 3, 1])
    past = np.arange(T)[:, None] >= lengths
    clean = reference.forward(cell, params, x, one_or_all(state), lengths=lengths, reverse=reverse)
    expected = reference.backward(cell, params, clean[2], dy, one_or_all(state))
    x[past], dy[past] = np.nan, np.nan
    y, final, tape = reference.forward(cell, params, x, one_or_all(state), lengths=lengths, reverse=reverse)
    dx, dinitial, dparams = reference.backward(cell, params, tape, dy, one_or_all(state))
    equal(y, clean[0])
    equal(final, clean[1])
    equal(dx, expected[0])
    equal(dinitial, expected[1])
    equal(tuple(dparams.values()), tuple(expected[2].values()))


@every_cell
def test_a_nan_reaches_its_row_from_its_step_on_and_no_other(cell):
    params, x, state, _ = case(cell)
    clean, _, _ = reference.forward(cell, params, x, one_or_all(state))
    x[2, 1, 0] = np.nan
    y, _, _ = reference.forward(cell, params, x, one_or_all(state))
    assert np.isnan(y[2:, 1]).all()
    equal(y[:2], clean[:2])
    equal(np.delete(y, 1, axis=1), np.delete(clean, 1, axis=1))


@every_cell
@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_input_returns_the_state_and_zero_gradients(cell, steps, batch):
    params, *_ = case(cell)
    rng = np.random.default_rng(1)
    state = tuple(rng.normal(size=(batch, w)).astype(np.float32) for w in cell.state_shapes(H).values())
    x = np.zeros((steps, batch, I), np.float32)
    y, final, tape = reference.forward(cell, params, x, one_or_all(state))
    dx, dinitial, dparams = reference.backward(cell, params, tape, None, one_or_all(state))
    assert y.shape == (steps, batch, cell.output_size(H))
    assert dx.shape == x.shape
    equal(final, state)
    equal(dinitial, state)
    assert not any(d.any() for d in dparams.values())
    assert {n: d.shape for n, d in dparams.items()} == cell.parameter_shapes(I, H)


@every_cell
def test_missing_gradients_count_as_zero_and_missing_biases_as_zero(cell):
    params, x, _, dy = case(cell)
    _, _, tape = reference.forward(cell, params, x)
    zeros = one_or_all([np.zeros((B, w), np.float32) for w in cell.state_shapes(H).values()])
    nones = one_or_all([None] * len(cell.states))
    equal(reference.forward(cell, params, x, nones)[0], reference.forward(cell, params, x, zeros)[0])
    for one, other in zip(
        reference.backward(cell, params, tape, dy),
        reference.backward(cell, params, tape, dy, zeros),
        strict=True,
    ):
        equal(*(tuple(v.values()) if isinstance(v, dict) else v for v in (one, other)))
    weights = {n: p for n, p in params.items() if not n.startswith("b_")}
    zeroed = {n: p if n in weights else np.zeros_like(p) for n, p in params.items()}
    equal(reference.forward(cell, weights, x)[0], reference.forward(cell, zeroed, x)[0])
    assert set(reference.backward(cell, weights, reference.forward(cell, weights, x)[2], dy)[2]) == set(
        weights
    )


@every_cell
@both_directions
def test_the_tape_shows_every_step_and_cannot_be_written(cell, reverse):
    params, x, state, _ = case(cell)
    y, final, tape = reference.forward(cell, params, x, one_or_all(state), reverse=reverse)
    equal(tape.state["h"], y)
    assert tuple(tape.state) == cell.states
    assert tuple(tape.gates) == cell.cached
    last = 0 if reverse else -1
    equal(tuple(s[last] for s in tape.state.values()), final)
    for array in (*tape.gates.values(), *tape.state.values(), tape.x):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    if "i" in tape.gates:
        assert ((tape.gates["i"] >= 0) & (tape.gates["i"] <= 1)).all()


def test_the_tape_of_an_lstm_repeats_its_equations():
    cell = cells.LSTM()
    params, x, state, _ = case(cell, dtype=np.float64)
    y, _, tape = reference.forward(cell, params, x, state)
    i, f, g, o = tape.gates.values()
    c = tape.states[1]
    np.testing.assert_allclose(c[1:], f * c[:-1] + i * g, rtol=1e-14)
    np.testing.assert_allclose(y, o * np.tanh(c[1:]), rtol=1e-14)
    assert "T=6, B=4" in repr(tape)


@both_directions
@pytest.mark.parametrize("clip", [None, 0.3])
def test_gates_that_are_not_what_is_cached_are_shown_as_gates(clip, reverse):
    cell = cells.RNN("sigmoid", clip=clip)
    params, x, state, _ = case(cell)
    lengths = [6, 2, 0, 3]
    y, _, tape = reference.forward(cell, params, x, one_or_all(state), lengths=lengths, reverse=reverse)
    assert tuple(tape.gates) == ("n",)
    equal(tape.gates["n"], y)
    assert (tape.cached[1] != y[1]).any()
    with pytest.raises(ValueError, match="read-only"):
        tape.gates["n"][...] = 0
    with pytest.raises(KeyError, match="'z' is no gate of RNN"):
        tape.gates["z"]


def test_a_consumed_tape_holds_nothing():
    cell = cells.GRU()
    params, x, _, dy = case(cell)
    _, _, tape = reference.forward(cell, params, x)
    first = reference.backward(cell, params, tape, dy)
    again = reference.backward(cell, params, tape, dy, consume=True)
    equal(first[0], again[0])
    assert tape.consumed
    assert "consumed" in repr(tape)


def test_out_receives_the_output():
    cell = cells.LSTM()
    params, x, _, _ = case(cell)
    y, _, tape = reference.forward(cell, params, x, lengths=[6, 2, 0, 3])
    both = np.full((T, B, 2 * H), 7, np.float32)
    out, _, none = reference.forward(cell, params, x, lengths=[6, 2, 0, 3], tape=False, out=both[..., H:])
    assert none is None
    assert out.base is both
    equal(both[..., H:], y)
    assert (both[..., :H] == 7).all()
    assert not np.may_share_memory(y, tape.states[0])


def test_decaying_states_are_stored_as_zero():
    cell = cells.LSTM()
    params = {n: np.zeros(s, np.float32) for n, s in cell.parameter_shapes(1, 1).items()}
    state = np.ones((1, 1), np.float32), np.full((1, 1), 2.0**-98, np.float32)
    _, (_, c), tape = reference.forward(cell, params, np.zeros((4, 1, 1), np.float32), state)
    np.testing.assert_array_equal(tape.states[1].ravel(), [2.0**-98, 2.0**-99, 2.0**-100, 0, 0])
    assert c == 0
