"""Tapes that keep every k-th state: the same bits in less memory."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import CELLS, ISAS, assert_same_bits, draw_noise, make_case, one
from test_bits import CASES, LARGE, both_directions, cases, every_cell, windows, windows_of
from test_noise import ZONED

import fastrnn
from fastrnn import _native, cells, functional, nn, reference


def run(case, every, module=functional, drawn=None):
    """Everything that forward and backward return but the tape, and the tape."""
    y, state, tape = module.forward(
        case.cell, case.params, case.x, one(case.state),
        lengths=case.lengths, mask=case.mask, reverse=case.reverse, noise=drawn or case.noise,
        checkpoint_every=every,
    )  # fmt: skip
    result = module.backward(case.cell, case.params, tape, case.dy, one(case.dstate), each_step=True)
    return [y, state, result], tape


@settings(max_examples=max(1, CASES // 5))
@given(case=cases(), data=st.data(), isa=st.sampled_from(ISAS), threads=st.integers(1, 4), window=windows)
def test_random_cases_have_the_bits_of_the_full_tape(case, data, isa, threads, window):
    every = data.draw(st.integers(1, len(case.x) + 3) | st.just("auto"))
    with windows_of(window), fastrnn.isa(isa), fastrnn.num_threads(threads):
        got, tape = run(case, every)
    expected, kept = run(case, every, reference)
    full, _ = run(case, None)
    hint = f"{case} every={every} isa={isa} threads={threads}"
    assert_same_bits(got, full, hint)
    assert_same_bits(got, expected, hint)
    assert_same_bits(tape, kept, hint)


@every_cell
@pytest.mark.parametrize("shape", LARGE, ids=str)
@pytest.mark.parametrize("all_ways", [False, pytest.param(True, marks=pytest.mark.long)], ids=["some", "all"])
def test_large_cases_have_the_bits_of_the_full_tape(cell, shape, all_ways):
    """Chunks that span segments, segments that span chunks; ragged in reverse as well.

    Each number of steps with one number of threads and one window, another one with the next cell or shape;
    with each of them with `-m long`.
    """
    ways = list(itertools.product((1, 4), (0, 1e5)))
    turn = CELLS.index(cell) + LARGE.index(shape)
    steps, batch, inputs, hidden = shape
    lengths = np.random.default_rng(1).integers(0, steps + 1, batch)
    for ragged in (None, lengths):
        case = make_case(cell, steps, batch, inputs, hidden, lengths=ragged, reverse=ragged is not None)
        expected, _ = run(case, None)
        turn += 1
        for k, every in enumerate((1, 3, 7, 64)):
            for threads, window in ways if all_ways else [ways[(turn + k) % len(ways)]]:
                with fastrnn.num_threads(threads), windows_of(window):
                    assert_same_bits(run(case, every)[0], expected, f"{case} {every} {threads} {window}")


@pytest.mark.parametrize("every", [50, "auto"])
@both_directions
def test_rows_that_end_in_every_segment_have_the_bits_of_the_full_tape(every, reverse):
    """More rows than a chunk holds, which are left over from one segment to another one."""
    lengths = np.random.default_rng(0).permutation(np.arange(300))[:11]
    for cell in CELLS:
        case = make_case(cell, 300, 11, 5, 9, np.float64, lengths=lengths, reverse=reverse)
        assert_same_bits(run(case, every)[0], run(case, None)[0])


@every_cell
@both_directions
@pytest.mark.parametrize("counting", [None, 0.7], ids=["whole", "masked"])
def test_every_cell_has_the_bits_of_the_full_tape(cell, reverse, counting):
    """More rows than a chunk, which are left over from one segment to another one, with all they need."""
    lengths = np.random.default_rng(0).integers(0, 151, 9)
    case = make_case(cell, 150, 9, 5, 18, lengths=lengths, reverse=reverse, counting=counting)
    expected, _ = run(case, None)
    for every, threads in [(1, 1), (3, 4), (7, 2), ("auto", 3), (149, 1)]:
        with fastrnn.num_threads(threads):
            assert_same_bits(run(case, every)[0], expected, f"{case} {every} {threads}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("cell", [*CELLS, *ZONED], ids=str)
def test_a_segment_gets_its_noise_again(cell, isa):
    """More rows than a chunk; zoneout that is drawn, and in its expectation."""
    lengths = np.random.default_rng(0).integers(0, 61, 7)
    each = [
        make_case(cell, 90, 5, 3, 18),
        make_case(cell, 60, 7, 5, 33, np.float64, lengths=lengths, reverse=True),
        make_case(cell, 60, 7, 4, 9, lengths=lengths, counting=0.7),
    ]
    rng = np.random.default_rng(1)
    kinds = [(True, False), (False, True), (True, True)] if cell.zoneout else [(True, False)]
    for case in each:
        for recurrent, zoneout in kinds:
            drawn = draw_noise(cell, case, rng, recurrent=recurrent, zoneout=zoneout)
            with fastrnn.isa(isa):
                expected, _ = run(case, None, drawn=drawn)
                for every, threads in ((1, 1), (7, 3), (7, 1), ("auto", 3)):
                    with fastrnn.num_threads(threads):
                        got, _ = run(case, every, drawn=drawn)
                    hint = f"{case} {recurrent} {zoneout} isa={isa} threads={threads} {every}"
                    assert_same_bits(got, expected, hint)


@pytest.mark.parametrize("cell", [*CELLS, *ZONED], ids=str)
@both_directions
def test_the_reference_computes_the_noise_again(cell, reverse):
    case = make_case(cell, 8, 4, 3, 5, lengths=[8, 0, 3, 5], reverse=reverse, counting=0.8)
    drawn = draw_noise(cell, case, np.random.default_rng(1), recurrent=True, zoneout=bool(cell.zoneout))
    expected, kept = run(case, 3, reference, drawn)
    assert_same_bits(expected, run(case, None, reference, drawn)[0])
    got, tape = run(case, 3, functional, drawn)
    assert_same_bits([got, tape], [expected, kept])


def arrays(result):
    y, state, (dx, dstate0, grads, dstates) = result
    return [y, state, dx, dstate0, list(grads.values()), [*dstates.passes]]


@pytest.mark.parametrize("on", ["native", "reference"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_layer_gives_the_same_bits(on, batch_first, threads):
    def training(every):
        noises = {"dropout": 0.5, "recurrent_dropout": 0.3, "zoneout": (0.1, 0.4)}
        lstm = nn.LSTM(3, 4, 3, bidirectional=True, batch_first=batch_first, rng=0, **noises)
        x = np.random.default_rng(0).standard_normal((9, 9, 3), np.float32)
        y, state, tape = lstm.forward(x, lengths=[9, 0, 3, 4, 8, 1, 2, 5, 9], checkpoint_every=every)
        return y, state, lstm.backward(tape, y, state, consume=True, each_step=True)

    with fastrnn.backend(on), fastrnn.num_threads(threads):
        expected = training(None)
        for every in (1, 2, 4, 20, "auto"):
            assert_same_bits(arrays(training(every)), arrays(expected), str(every))


@every_cell
@both_directions
def test_the_tape_keeps_the_slots_it_says(cell, reverse):
    lengths = np.array([7, 0, 3, 5])
    case = make_case(cell, 7, 4, 3, 5, lengths=lengths, reverse=reverse)
    _, full = run(case, None)
    _, tape = run(case, 3)
    assert tape.checkpoint_every == 3
    for kept, slots in zip(tape.states, full.states, strict=True):
        assert kept.shape == (4, *slots.shape[1:])
        for j, time in enumerate([0, 3, 6, 7]):
            assert_same_bits(kept[j], slots[np.minimum(time, lengths), np.arange(4)])


def test_memory_is_the_checkpoints_and_auto_keeps_the_least():
    steps, hidden = 3000, 8
    case = make_case(cells.LSTM(), steps, 1, 2, hidden, np.float64)
    nbytes = {every: run(case, every)[1].nbytes for every in (None, 1, 30, "auto")}
    step = 8 * hidden
    assert nbytes[None] == ((steps + 1) * 2 + steps * 4) * step
    assert nbytes[30] == 101 * 2 * step
    least = min(range(1, steps), key=lambda k: -(-steps // k) * 2 + k * 6)
    auto = run(case, "auto")[1].checkpoint_every
    cost = lambda k: steps / k * 2 + k * 6  # noqa: E731
    assert cost(auto) < 1.01 * cost(least)
    layer = nn.LSTM(2, hidden, 2, dtype=np.float64)
    assert layer.forward(case.x, checkpoint_every=30)[2].nbytes == 2 * nbytes[30]


def test_the_workspace_of_backward_is_bounded():
    """What is kept when the kernels give their large pieces back."""
    case = make_case(cells.LSTM(), 20_000, 1, 4, 128)
    y, _, tape = functional.forward(case.cell, case.params, case.x, checkpoint_every="auto")
    _, _, full = functional.forward(case.cell, case.params, case.x)
    _native.keep_memory(0)
    _native.keep_memory(1 << 30)
    results = functional.backward(case.cell, case.params, tape, y)
    assert tape.nbytes + _native.kept_memory() < full.nbytes / 10
    assert_same_bits(results, functional.backward(case.cell, case.params, full, y))


def test_the_tape_says_why_it_shows_no_gates():
    case = make_case(cells.GRU(), 7, 2, 3, 5)
    for module in (functional, reference):
        _, tape = run(case, 3, module)
        assert "checkpoint_every=3" in repr(tape)
        for look in (lambda t: t.gates, lambda t: t.state):
            with pytest.raises(ValueError, match=r"checkpoint_every=3, .* run forward without it"):
                look(tape)
    layer = nn.GRU(3, 5)
    _, _, tape = layer.forward(case.x, checkpoint_every=2)
    with pytest.raises(ValueError, match=r"tape\.gates: forward ran with checkpoint_every=2"):
        _ = tape.layer(0).gates


@pytest.mark.parametrize("module", [functional, reference])
@pytest.mark.parametrize("consume", [False, True])
def test_such_a_tape_is_used_again_or_consumed(module, consume):
    case = make_case(cells.LSTM(), 7, 2, 3, 5, lengths=[7, 3], reverse=True)
    _, tape = run(case, 3, module)
    arguments = case.cell, case.params, tape, case.dy
    first = module.backward(*arguments, consume=consume)
    assert tape.consumed == consume
    if consume:
        assert tape.nbytes == 0
        with pytest.raises(ValueError, match="consumed"):
            module.backward(*arguments)
    else:
        assert_same_bits(module.backward(*arguments), first)


@pytest.mark.parametrize("module", [functional, reference])
@pytest.mark.parametrize(
    ("every", "tape", "error", "message"),
    [
        (0, True, ValueError, "LSTM: checkpoint_every is 0; expected at least 1"),
        (-3, True, ValueError, "LSTM: checkpoint_every is -3"),
        (2.0, True, TypeError, "LSTM: checkpoint_every is 2.0; expected a number of steps, or 'auto'"),
        (True, True, TypeError, "LSTM: checkpoint_every is True"),
        ("often", True, TypeError, "LSTM: checkpoint_every is 'often'"),
        (3, False, ValueError, "checkpoint_every is 3 with tape=False; .* leave one of them out"),
    ],
)
def test_wrong_arguments_are_named(module, every, tape, error, message):
    case = make_case(cells.LSTM(), 7, 2, 3, 5)
    with pytest.raises(error, match=message):
        module.forward(case.cell, case.params, case.x, tape=tape, checkpoint_every=every)
