"""Masks of steps: the state is held where a step does not count, in every cell, layer and direction.

That native and reference have the same bits with masks too is in test_bits.py.
"""

from dataclasses import replace
from math import fsum

import numpy as np
import pytest
from kit import ISAS, assert_same_bits, flat, make_case, one
from test_bits import CELLS
from test_reference_gradients import differences

import fastrnn
from fastrnn import cells, functional, nn, reference

T, B, I, H = 7, 5, 3, 4
LENGTHS = [7, 0, 3, 5, 7]
every_cell = pytest.mark.parametrize("cell", CELLS, ids=str)
both_directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
both_modules = pytest.mark.parametrize("module", [functional, reference], ids=["native", "reference"])


def masked(cell, reverse=False, lengths=LENGTHS, dtype=np.float32, seed=3):
    """A case with a mask: row 3 has no step that counts, row 4 counts whole."""
    case = make_case(cell, T, B, I, H, dtype, seed=seed, lengths=lengths, reverse=reverse, counting=0.5)
    case.mask[:, 3], case.mask[:, 4] = False, True
    return case


def parts(case, module=functional):
    options = {"lengths": case.lengths, "mask": case.mask, "reverse": case.reverse}
    y, state, tape = module.forward(case.cell, case.params, case.x, one(case.state), **options)
    dx, dstate, grads = module.backward(case.cell, case.params, tape, case.dy, one(case.dstate))
    return y, flat([state]), dx, flat([dstate]), grads


@every_cell
@both_directions
@both_modules
def test_a_mask_chooses_between_the_step_and_the_state_before(cell, reverse, module):
    """As Keras: a loop of single steps, and np.where between new and old."""
    case = masked(cell, reverse, lengths=None)
    state, y = case.state, np.empty((T, B, cell.output_size(H)), np.float32)
    for t in range(T)[:: -1 if reverse else 1]:
        _, new, _ = module.forward(cell, case.params, case.x[t : t + 1], one(state))
        chosen = case.mask[t, :, None]
        state = [np.where(chosen, after, before) for after, before in zip(flat([new]), state, strict=True)]
        y[t] = state[0]
    got, final, *_ = parts(case, module)
    assert_same_bits([got, *final], [y, *state])


@every_cell
@both_directions
@both_modules
def test_a_row_has_the_bits_of_the_row_without_its_masked_steps(cell, reverse, module):
    case = masked(cell, reverse)
    y, state, dx, dstate, _ = parts(case, module)
    for b, length in enumerate(LENGTHS):
        kept = np.flatnonzero(case.mask[:length, b])
        alone = replace(case.rows([b]), mask=None, lengths=None, x=case.x[kept][:, [b]], dy=None)
        alone.dy = np.zeros((len(kept), 1, y.shape[2]), np.float32)
        rest = []  # dy of steps that show the initial state
        source, order = None, range(length)[:: -1 if reverse else 1]
        for t in order:
            if case.mask[t, b]:
                source = np.searchsorted(kept, t)
                alone.dy[source, 0] = case.dy[t, b]
            elif source is None:
                rest.append(case.dy[t, b])
            else:
                alone.dy[source, 0] += case.dy[t, b]
        y1, state1, dx1, dstate1, _ = parts(alone, module)
        if rest:
            dstate1[0] = sum(rest[1:], rest[0]) + dstate1[0]
        assert_same_bits(
            [y1, dx1, *state1, *dstate1],
            [y[kept][:, [b]], dx[kept][:, [b]], *(s[[b]] for s in state + dstate)],
        )
        assert not dx[np.setdiff1d(np.arange(T), kept), b].any()
        assert not y[length:, b].any()


@every_cell
@both_directions
@both_modules
def test_gradients_of_parameters_do_not_know_where_the_masked_steps_are(cell, reverse, module):
    """The steps that count are at the front, and the same ones strewn over twice the time."""
    plain = make_case(cell, T, B, I, H, lengths=LENGTHS, reverse=reverse)
    rng = np.random.default_rng(0)
    strewn = replace(
        plain,
        lengths=None,
        mask=np.zeros((2 * T, B), bool),
        x=np.full((2 * T, B, I), np.nan, np.float32),
        dy=np.zeros((2 * T, B, plain.dy.shape[2]), np.float32),
    )
    for b, length in enumerate(LENGTHS):
        times = np.sort(rng.choice(2 * T, length, replace=False))
        strewn.mask[times, b] = True
        strewn.x[times, b], strewn.dy[times, b] = plain.x[:length, b], plain.dy[:length, b]
    _, state, _, dstate, grads = parts(strewn, module)
    _, state1, _, dstate1, grads1 = parts(plain, module)
    assert_same_bits([state, dstate, grads], [state1, dstate1, grads1])


@every_cell
@both_directions
@both_modules
def test_a_mask_of_true_changes_no_bit(cell, reverse, module):
    for lengths in (None, LENGTHS):
        case = make_case(cell, T, B, I, H, lengths=lengths, reverse=reverse, special=True)
        whole = replace(case, mask=np.ones((T, B), bool))
        assert_same_bits(whole.run(module), case.run(module))


@every_cell
@both_directions
def test_a_masked_sequence_in_chunks_has_the_bits_of_the_whole(cell, reverse):
    """Where each chunk begins with a step that counts."""
    case = masked(cell, reverse, lengths=None)
    chunks = [slice(0, 3), slice(3, 4), slice(4, 7)]
    for chunk in chunks:
        case.mask[chunk.stop - 1 if reverse else chunk.start] = True
    y, state, dx, dstate, _ = parts(case)
    carried, back, tapes = one(case.state), one(case.dstate), []
    for chunk in chunks[:: -1 if reverse else 1]:
        y1, carried, tape = functional.forward(
            cell, case.params, case.x[chunk], carried, mask=case.mask[chunk], reverse=reverse
        )
        assert_same_bits(y1, y[chunk])
        tapes.append((chunk, tape))
    for chunk, tape in reversed(tapes):
        dx1, back, _ = functional.backward(cell, case.params, tape, case.dy[chunk], back)
        assert_same_bits(dx1, dx[chunk])
    assert_same_bits([carried, back], [state, dstate])


@every_cell
@both_directions
@both_modules
def test_masked_input_has_no_influence(cell, reverse, module):
    case = masked(cell, reverse)
    expected = parts(case, module)
    case.x[~case.mask] = np.nan
    assert_same_bits(list(parts(case, module)), list(expected))


@every_cell
@both_directions
@both_modules
def test_the_tape_of_a_masked_pass_is_in_the_callers_time(cell, reverse, module):
    case = masked(cell, reverse)
    y, _, tape = module.forward(
        cell, case.params, case.x, one(case.state), lengths=LENGTHS, mask=case.mask, reverse=reverse
    )
    inside = np.arange(T)[:, None] < np.array(LENGTHS)
    held = inside & ~case.mask
    assert_same_bits(np.where(inside[..., None], tape.state["h"], np.float32(0)), y)
    for slots, initial in zip(tape.states, case.state, strict=True):
        before, after = (slots[1:], slots[:-1]) if reverse else (slots[:-1], slots[1:])
        assert_same_bits(after[held], before[held])
        assert_same_bits(slots[LENGTHS if reverse else [0] * B, np.arange(B)], initial)
    for gate in tape.gates.values():
        assert gate.shape == (T, B, H)
        assert not gate[~(inside & case.mask)].any()
        assert (gate[inside & case.mask] != 0).any()
    assert_same_bits(tape.x, case.x)
    for array in (*tape.gates.values(), *tape.state.values(), tape.x, tape.mask):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@every_cell
@both_directions
def test_a_tape_of_either_backend_serves_the_other(cell, reverse):
    case = masked(cell, reverse)
    options = {"lengths": LENGTHS, "mask": case.mask, "reverse": reverse}
    results = []
    for recorder in (functional, reference):
        _, _, tape = recorder.forward(cell, case.params, case.x, one(case.state), **options)
        for module in (functional, reference):
            results.append(flat(module.backward(cell, case.params, tape, case.dy, one(case.dstate))))
    for result in results[1:]:
        assert_same_bits(result, results[0])


@both_modules
def test_out_receives_the_masked_output(module):
    case = masked(cells.LSTM())
    options = {"lengths": LENGTHS, "mask": case.mask}
    y, _, _ = module.forward(case.cell, case.params, case.x, one(case.state), **options)
    wide = np.full((T, B, 2 * H), 7, np.float32)
    got, _, tape = module.forward(
        case.cell, case.params, case.x, one(case.state), **options, tape=False, out=wide[..., H:]
    )
    assert tape is None
    assert got.base is wide
    assert_same_bits(wide[..., H:].copy(), y)
    assert (wide[..., :H] == 7).all()


@both_modules
def test_the_mask_is_copied_and_a_consumed_tape_holds_nothing(module):
    case = masked(cells.GRU())
    _, _, tape = module.forward(case.cell, case.params, case.x, mask=case.mask)
    expected = flat(module.backward(case.cell, case.params, tape, case.dy))
    case.mask[...] = True
    again = flat(module.backward(case.cell, case.params, tape, case.dy, consume=True))
    assert_same_bits(again, expected)
    assert tape.consumed


@both_directions
@every_cell
def test_masked_gradients_are_those_of_central_differences(cell, reverse):
    lengths = (4, 3, 2)
    case = make_case(cell, 4, 3, 2, 2, np.float64, lengths=lengths, reverse=reverse)
    case.mask = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 1, 0]], bool)

    def loss():
        y, final, _ = reference.forward(
            cell, case.params, case.x, one(case.state), lengths=lengths, mask=case.mask, reverse=reverse
        )
        terms = [case.dy * y, *(d * s for d, s in zip(case.dstate, flat([final]), strict=True))]
        return fsum(np.concatenate([t.ravel() for t in terms]))

    _, _, dx, dstate, grads = parts(case, reference)
    pairs = [(case.x, dx), *zip(case.state, dstate, strict=True)]
    pairs += [(case.params[name], gradient) for name, gradient in grads.items()]
    for array, gradient in pairs:
        np.testing.assert_allclose(gradient, differences(loss, array), rtol=1e-6, atol=1e-7)


# ---- layers ----


def layer_of(cell, **options):
    return nn.Recurrent(cell, I, H, num_layers=2, bidirectional=True, rng=7, **options)


def run_layer(layer, x, mask, lengths=None):
    y, state, tape = layer.forward(x, lengths=lengths, mask=mask)
    dx, dstate, grads = layer.backward(tape, y, state)
    return y, state, dx, dstate, grads


@every_cell
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_masked_layers_are_their_cells_composed(cell, lengths):
    layer, case = layer_of(cell), masked(cell)
    y, state, tape = layer.forward(case.x, lengths=lengths, mask=case.mask)
    inputs, finals = case.x, []
    for k in range(2):
        halves = []
        for reverse in (False, True):
            params = tape.layer(k, reverse).params
            half, final, _ = functional.forward(
                cell, params, inputs, lengths=lengths, mask=case.mask, reverse=reverse
            )
            halves.append(half)
            finals.append(flat([final]))
        inputs = np.concatenate(halves, -1)
    assert_same_bits([y, state], [inputs, [np.stack(s) for s in zip(*finals, strict=True)]])
    for one_of in (layer, layer.freeze()):
        assert_same_bits(list(one_of(case.x, lengths=lengths, mask=case.mask)), [y, state])


@every_cell
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
def test_masked_layers_have_the_bits_of_the_reference(cell, isa, threads):
    layer, case = layer_of(cell), masked(cell)
    with fastrnn.backend("reference"):
        expected = run_layer(layer, case.x, case.mask, LENGTHS)
    with fastrnn.isa(isa), fastrnn.num_threads(threads):
        assert_same_bits(list(run_layer(layer, case.x, case.mask, LENGTHS)), list(expected))


@every_cell
def test_the_axes_of_the_mask_are_those_of_the_input(cell):
    case = masked(cell)
    y, state, dx, dstate, grads = run_layer(layer_of(cell), case.x, case.mask)
    turned = run_layer(layer_of(cell, batch_first=True), case.x.transpose(1, 0, 2), case.mask.T)
    assert_same_bits([turned[0].transpose(1, 0, 2).copy(), turned[2].transpose(1, 0, 2).copy()], [y, dx])
    assert_same_bits([turned[1], turned[3], turned[4]], [state, dstate, grads])
    assert turned[0].flags.c_contiguous
    for batch_first in (False, True):
        layer = layer_of(cell, batch_first=batch_first)
        single = run_layer(layer, case.x[:, 0], case.mask[:, 0])
        assert_same_bits([single[0], single[2]], [y[:, 0], dx[:, 0]])


@pytest.mark.parametrize(
    ("x", "mask", "error", "message"),
    [
        ((T, B), np.ones((T, B), int), TypeError, r"mask is int64; expected bool.*\.astype\(bool\)"),
        ((T, B), np.ones((B, T), bool), ValueError, r"\(5, 7\); expected \(7, 5\): \(T, B\)"),
        ((T, B), [True] * T, ValueError, r"mask has shape \(7,\); expected \(7, 5\)"),
        ((T,), np.ones((T, 1), bool), ValueError, r"\(7, 1\); expected \(7,\): \(T,\)"),
    ],
)
def test_a_wrong_mask_is_named(x, mask, error, message):
    x = np.ones((*x, I), np.float32)
    for call in (nn.GRU(I, H), nn.GRU(I, H).forward, nn.GRU(I, H).freeze()):
        with pytest.raises(error, match="GRU: .*" + message):
            call(x, mask=mask)
    if x.ndim == 3 and mask is not None and np.shape(mask) == (B, T):
        turned = nn.GRU(I, H, batch_first=True)
        with pytest.raises(ValueError, match=r"\(7, 5\); expected \(5, 7\): \(B, T\)"):
            turned(x.transpose(1, 0, 2), mask=mask.T)


@both_modules
def test_a_wrong_mask_of_the_functions_is_named(module):
    case = masked(cells.LSTM())
    with pytest.raises(ValueError, match=r"LSTM: mask has shape \(7, 4\); expected \(7, 5\): \(T, B\)"):
        module.forward(case.cell, case.params, case.x, mask=case.mask[:, 1:])
    with pytest.raises(TypeError, match="LSTM: mask is float32; expected bool"):
        module.forward(case.cell, case.params, case.x, mask=case.mask.astype(np.float32))


@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (4, 0), (0, 0)])
@every_cell
def test_a_mask_of_nothing(cell, steps, batch):
    layer = layer_of(cell)
    y, state, dx, dstate, grads = run_layer(layer, np.ones((steps, batch, I)), np.ones((steps, batch), bool))
    assert y.shape == (steps, batch, 2 * cell.output_size(H))
    assert dx.shape == (steps, batch, I)
    assert_same_bits([dstate], [state])
    assert not any(g.any() for g in grads.values())
