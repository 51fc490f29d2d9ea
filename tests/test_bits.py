"""The same bits: native kernels and reference, and everything that follows from it (docs/numerics.md).

FASTRNN_BIT_CASES=10000 pytest --timeout=0 tests/test_bits.py -k random runs that many random cases of any
cell (a quarter of an hour)
"""

import contextlib
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import (
    ACTIVATIONS,
    CELLS,
    ISAS,
    Case,
    assert_isas_equal_reference,
    assert_native_equals_reference,
    assert_same_bits,
    flat,
    make_case,
    one,
)
from strategies import any_cell, cases

import fastrnn
from fastrnn import _native, cells, functional, nn, reference

CASES = int(os.environ.get("FASTRNN_BIT_CASES", "500"))
every_cell = pytest.mark.parametrize("cell", CELLS, ids=str)
every_isa = pytest.mark.parametrize("isa", ISAS)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
both_directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


# Operations of a window of the time loop; 0: many, as the clock says.
windows = st.sampled_from([0, 0, 1, 3e4])


@contextlib.contextmanager
def windows_of(operations):
    _native.limit_windows(operations)
    try:
        yield
    finally:
        _native.limit_windows(0)


@settings(max_examples=CASES)
@given(case=cases(), isa=st.sampled_from(ISAS), threads=st.integers(1, 4), window=windows)
def test_random_cases_equal_the_reference(case, isa, threads, window):
    with windows_of(window):
        assert_native_equals_reference(case, isa, threads)


@settings(max_examples=max(1, CASES // 10))
@given(
    cell=any_cell(6), isa=st.sampled_from(ISAS), threads=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1), num_layers=st.integers(1, 3), data=st.data(),
)  # fmt: skip
def test_random_layers_equal_the_reference(cell, isa, threads, seed, num_layers, data):
    """Layers with every option at once: masks, dropouts, learned states, directions."""
    chance, flag = st.sampled_from([0.0, 0.0, 0.3, 1.0]), st.booleans()
    options = {"dropout": data.draw(chance) if num_layers > 1 else 0.0}
    options["input_dropout"] = data.draw(chance)
    for name in ("weight_dropout", "recurrent_dropout"):
        options[name] = data.draw(chance) if "w_hh" in cell.parameters else 0.0
    options |= {name: data.draw(flag) for name in ("bias", "batch_first", "bidirectional", "learn_state")}
    options["dtype"] = data.draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(0, 6, 2))
    x = rng.standard_normal((*shape, 3))
    steps, batch = shape[::-1] if options["batch_first"] else shape
    arguments = {
        "lengths": rng.integers(0, steps + 1, batch) if data.draw(flag) else None,
        "mask": rng.random(shape) < 0.6 if data.draw(flag) else None,
    }

    def run():
        layer = nn.Recurrent(cell, 3, 7, num_layers, rng=seed, **options)
        for name, value in layer.params.items():
            if "0_l" in name:
                value[...] = 0.3
        y, state, tape = layer.forward(x, **arguments)
        inferred = layer(x, **arguments)
        return [y, state, *layer.backward(tape, y, state), *inferred, *layer.freeze()(x, **arguments)]

    with fastrnn.backend("reference"):
        expected = run()
    with fastrnn.isa(isa), fastrnn.num_threads(threads):
        assert_same_bits(run(), expected, f"{cell} {options} {arguments} {shape} {isa} {threads} {seed}")


@settings(max_examples=max(1, CASES // 5))
@given(
    cell=any_cell(9), isa=st.sampled_from(ISAS), threads=st.integers(1, 2), data=st.data(),
    dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 2**32 - 1), reverse=st.booleans(),
    value=st.sampled_from([np.nan, np.inf, -np.inf]), ragged=st.booleans(), masked=st.booleans(),
)  # fmt: skip
def test_nan_in_random_cells_reaches_its_row_from_its_step_on(
    cell, isa, threads, data, dtype, seed, reverse, value, ragged, masked
):
    """In y and the states. Nor does an infinity reach another row, nor either of them another row's dx."""
    steps, batch, inputs = 5, 4, 3
    rng = np.random.default_rng(seed)
    case = make_case(
        cell, steps, batch, inputs, data.draw(st.integers(1, 20)), dtype, seed=seed, reverse=reverse,
        lengths=rng.integers(0, steps + 1, batch) if ragged else None, counting=0.7 if masked else None,
    )  # fmt: skip
    t, b, k = (data.draw(st.integers(0, n - 1)) for n in (steps, batch, inputs))
    x = case.x.copy()
    x[t, b, k] = value

    lengths = np.full(batch, steps) if case.lengths is None else case.lengths
    inside = np.arange(steps) < lengths[b]
    counts = t < lengths[b] and (case.mask is None or case.mask[t, b])
    after = np.arange(steps) <= t if reverse else np.arange(steps) >= t
    with fastrnn.isa(isa), fastrnn.num_threads(threads):
        y, state, dx, dstate, _ = parts(case)
        y1, state1, dx1, dstate1, _ = parts(replace(case, x=x))
    if not counts:
        assert_same_bits([y1, state1, dx1, dstate1], [y, state, dx, dstate], f"{case} {t} {b} {k}")
        return
    if np.isnan(value):
        assert np.isnan(y1[after & inside, b]).all(), f"{case} {t} {b} {k}"
        assert all(np.isnan(s[b]).all() for s in state1), f"{case} {t} {b} {k}"
    assert_same_bits(y1[~(after & inside), b], y[~(after & inside), b], f"{case} {t} {b} {k}")
    others = np.arange(batch) != b
    assert_same_bits(
        [a[:, others] for a in (y1, dx1)] + [s[others] for s in state1 + dstate1],
        [a[:, others] for a in (y, dx)] + [s[others] for s in state + dstate],
        f"{case} {t} {b} {k}",
    )


@settings(max_examples=max(1, CASES // 10))
@given(
    cell=any_cell(9), isa=st.sampled_from(ISAS), dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1), hidden=st.integers(1, 20), reverse=st.booleans(), data=st.data(),
)  # fmt: skip
def test_small_values_in_random_cells_are_stored_as_zero(cell, isa, dtype, seed, hidden, reverse, data):
    """States and what is carried back are +0 below 2^-100; arguments around the thresholds keep the bits."""
    stored = -100 if dtype == np.float32 else -900
    case = make_case(cell, 4, 3, 5, hidden, dtype, seed=seed, reverse=reverse)
    rng = np.random.default_rng(seed)
    vectors = [a for a in case.params.values() if a.ndim == 1]
    for arrays in ([case.x], case.state, [case.dy], case.dstate, vectors):
        limit = data.draw(st.sampled_from([stored, -63 if dtype == np.float32 else -511, 0]))
        for array in arrays:
            array *= np.exp2(limit + rng.integers(-3, 4, array.shape)).astype(dtype)
    with fastrnn.isa(isa):
        _, state, _, dstate, _ = parts(case)
        assert_native_equals_reference(case, isa, 2)
    for array in (*state, *dstate):
        assert not np.signbit(array[array == 0]).any(), case
        assert (np.abs(array[array != 0]) >= 2.0**stored).all(), case


# Shapes at which each way through the kernels is taken: more rows than a chunk and no whole blocks of them;
# sums of several blocks; the input product taken out of the loop in several chunks; units shared by two,
# three and four threads, and by groups of rows; weights too large to be read by every
# thread; gate gradients 4 KiB apart.
LARGE = [
    (40, 35, 5, 9),
    (3, 2, 140, 300),
    (150, 1, 20, 40),
    (20, 3, 150, 70),
    (2, 16, 33, 470),
    (2, 50, 300, 20),
    (3, 2, 5, 256),
]


@every_cell
@pytest.mark.parametrize("shape", LARGE, ids=str)
@pytest.mark.parametrize("all_ways", [False, pytest.param(True, marks=pytest.mark.long)], ids=["some", "all"])
def test_large_cases_equal_the_reference(cell, shape, all_ways):
    """Each number of threads with one window, the other one with the next cell or shape; with both by
    `-m long`."""
    steps, batch, inputs, hidden = shape
    turn = CELLS.index(cell) + LARGE.index(shape)
    rng = np.random.default_rng(1)
    for dtype, lengths in [(np.float32, None), (np.float64, rng.integers(0, steps + 1, batch))]:
        if dtype == np.float64 and hidden > 100:
            dtype = np.float32
        case = make_case(
            cell, steps, batch, inputs, hidden, dtype, lengths=lengths, reverse=lengths is not None
        )
        expected = case.run(reference)
        turn += 1
        for isa in ISAS:
            for threads in (1, 2, 3, 4) if isa == ISAS[0] else (4,):
                for window in (0, 1e5) if all_ways else [(0, 1e5)[(turn + threads) % 2]]:
                    with fastrnn.isa(isa), fastrnn.num_threads(threads), windows_of(window):
                        assert_same_bits(case.run(), expected, f"{case} {isa} {threads} {window}")


@both_dtypes
@every_isa
@settings(max_examples=60)
@given(
    rows=st.integers(0, 40), inputs=st.integers(1, 300), outputs=st.integers(1, 40), bias=st.booleans(),
    threads=st.integers(1, 4), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_linear_equals_the_reference(dtype, isa, rows, inputs, outputs, bias, threads, seed):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.standard_normal(shape).astype(dtype)  # noqa: E731
    x, w, b, dy = draw(rows, inputs), draw(outputs, inputs), draw(outputs), draw(rows, outputs)
    with fastrnn.isa(isa), fastrnn.num_threads(threads):
        got = [functional.linear(x, w, b if bias else None), *functional.linear_backward(x, w, dy)]
    assert_same_bits(got, [reference.linear(x, w, b if bias else None), *reference.linear_backward(x, w, dy)])


@both_dtypes
@every_isa
def test_fma_of_every_instruction_set_is_exact(dtype, isa):
    """The product over (c, a) and (1, b) is fma(a, b, c): each a, c with each b; cancellation, ties."""
    rng, info, n = np.random.default_rng(0), np.finfo(dtype), 6000
    few_bits = 1 + rng.integers(0, 9, n) * float(info.eps)
    exponents = np.where(
        rng.random(n) < 0.5, rng.integers(-40, 40, n), rng.integers(info.minexp - 40, info.maxexp, n)
    )
    special = [0, -0.0, np.inf, np.nan, info.max, info.smallest_normal, info.smallest_subnormal]
    with np.errstate(all="ignore"):
        a = np.ldexp(np.where(rng.random(n) < 0.5, rng.uniform(1, 2, n), few_bits), exponents)
        a = (a * rng.choice([-1, 1], n)).astype(dtype)
        b = np.array(
            [*rng.uniform(-2, 2, 20), *few_bits[:10], *(2 - few_bits[:10]), 2.0**-60, -(2.0**60), *special],
            dtype,
        )
        products = a * rng.choice(b, n)
        near = np.nextafter(products, rng.choice(np.array([-np.inf, np.inf], dtype), n))
        c = np.choose(rng.integers(0, 4, n), [-products, near, -near, rng.permutation(a)])
        half = np.ldexp(few_bits, info.nmant + 1 + exponents)  # a * b is half a unit of it, and a little less
        c = np.where((rng.random(n) < 0.3) & np.isfinite(half), half, c).astype(dtype)
    a[:7], c[7:14] = special, special
    with fastrnn.isa(isa):
        got = functional.linear(np.stack((c, a), 1), np.stack((np.ones_like(b), b), 1))
    with np.errstate(all="ignore"):
        first = reference.fma(c, dtype(1), dtype(0))
        expected = reference.fma(a[:, None], b, first[:, None])
    assert_same_bits(got, expected)


@every_isa
def test_linear_over_many_rows_equals_the_reference(isa):
    """More than the gradient takes at a time, and more columns than a member does."""
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(s).astype(np.float32) for s in [(4500, 3), (70, 3), (4500, 70)])
    with fastrnn.isa(isa), fastrnn.num_threads(3):
        got = [functional.linear(x, w), *functional.linear_backward(x, w, dy)]
    assert_same_bits(got, [reference.linear(x, w), *reference.linear_backward(x, w, dy)])


@every_isa
@pytest.mark.parametrize("cell", [cells.LSTM(), cells.GRU()], ids=["lstm", "gru"])
def test_a_batch_of_several_passes_equals_the_reference(cell, isa):
    """The gradients are taken over 1,024 rows at a time; a chunk has more where the batch has."""
    assert_native_equals_reference(make_case(cell, 2, 1100, 5, 11), isa, 3)


@both_dtypes
@every_isa
@pytest.mark.parametrize("name", ["exp", "sigmoid", "tanh", "elu", "softplus"])
def test_elementary_functions_equal_the_reference(dtype, isa, name):
    bits = np.random.default_rng(0).integers(0, 2**64, 20_000, np.uint64)
    x = bits.astype(np.uint32).view(np.float32) if dtype == np.float32 else bits.view(np.float64)
    x = np.concatenate(
        (x, np.linspace(-110, 110, 20_003).astype(dtype), np.array([0.0, -0.0, np.inf, -np.inf], dtype))
    )
    with fastrnn.isa(isa):
        assert_same_bits(getattr(functional, name)(x), getattr(reference, name)(x))


def pre_activated(cell, z):
    """A step whose pre-activations are z, to the sign of a zero; dy is random."""
    tiny = np.full((1, len(z)), np.finfo(z.dtype).smallest_normal)  # tiny * -tiny is -0
    rng = np.random.default_rng(0)
    return Case(
        cell=cell,
        params={
            "w_ih": np.zeros((len(z), 0), z.dtype),
            "w_hh": np.repeat(tiny, len(z), axis=0),
            "b_ih": z,
            "b_hh": np.full_like(z, -0.0),
        },
        x=np.zeros((1, 1, 0), z.dtype),
        state=(-tiny,),
        lengths=None,
        reverse=False,
        dy=rng.standard_normal((1, 1, len(z))).astype(z.dtype),
        dstate=None,
    )


@both_dtypes
@pytest.mark.parametrize("clip", [None, 1.5])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activations_and_slopes_at_kinks_and_special_values_equal_the_reference(activation, clip, dtype):
    info = np.finfo(dtype)
    for sign in (1, -1):
        given = replace(
            activation, **{n: sign * v for n, v in vars(activation).items() if isinstance(v, float)}
        )
        kinks = [0, 1.5, given.alpha or 0, 1 / 3, (1 - (given.beta or 0)) / (given.alpha or 1)]
        z = np.array([*kinks, info.smallest_subnormal, info.smallest_normal, info.max, np.inf, np.nan], dtype)
        z = np.concatenate(
            [z, np.nextafter(z, dtype(9)), np.nextafter(z, dtype(-9)), np.geomspace(0.01, 800, 60)]
        )
        z = np.concatenate([z, -z]).astype(dtype)
        for part in np.split(z, range(33, len(z), 33)):  # the reference takes the square of their number
            case = pre_activated(cells.RNN(given, clip), part)
            assert_isas_equal_reference(case, ISAS, 1)
            if clip or activation.name not in ("tanh", "relu"):
                _, _, tape = functional.forward(case.cell, case.params, case.x, one(case.state))
                assert_same_bits(tape.cached[0, 0], part)


@both_dtypes
@every_isa
@pytest.mark.parametrize("shape", [(5, 0, 3), (5, 3, 0), (0, 3, 4), (1, 1, 1)], ids=str)
def test_linear_of_nothing_equals_the_reference(dtype, isa, shape):
    rows, inputs, outputs = shape
    x, w, dy = (np.ones(s, dtype) for s in [(rows, inputs), (outputs, inputs), (rows, outputs)])
    with fastrnn.isa(isa):
        got = [functional.linear(x, w, w.sum(1)), *functional.linear_backward(x, w, dy)]
    assert_same_bits(got, [reference.linear(x, w, w.sum(1)), *reference.linear_backward(x, w, dy)])


@every_cell
@both_dtypes
def test_values_around_the_thresholds_equal_the_reference(cell, dtype):
    """What is stored counts as +0 below 2^-100, operands of the gradients of parameters below 2^-63."""
    limits = [-100, -63] if dtype == np.float32 else [-900, -511]
    rng = np.random.default_rng(0)
    for limit in limits:
        case = make_case(cell, 4, 3, 5, 18, dtype)
        for array in (case.x, case.dy, *case.state, *case.dstate):
            array *= np.exp2(limit + rng.integers(-3, 4, array.shape)).astype(dtype)
        for name, array in case.params.items():
            if name.startswith("b"):
                array *= dtype(2.0**limit)
        assert_isas_equal_reference(case, ISAS, 2)


def ragged(cell, seed=0, dtype=np.float32, reverse=False):
    return make_case(cell, 9, 7, 21, 37, dtype, seed=seed, lengths=[9, 0, 4, 1, 9, 8, 2], reverse=reverse)


def parts(case):
    """y, final state, dx, dstate0 and the gradients, apart."""
    y, state, tape = functional.forward(case.cell, case.params, case.x, one(case.state), **case.options)
    dx, dstate0, grads = functional.backward(case.cell, case.params, tape, case.dy, one(case.dstate))
    return y, flat([state]), dx, flat([dstate0]), grads


@every_cell
@both_directions
def test_a_row_has_the_same_bits_alone_and_in_any_batch(cell, reverse):
    case = ragged(cell, reverse=reverse)
    y, state, dx, dstate0, _ = parts(case)
    order = np.random.default_rng(0).permutation(7)
    for rows in (order, order[:3], *([b] for b in range(7))):
        rows = np.asarray(rows)
        y1, state1, dx1, dstate1, _ = parts(case.rows(rows))
        assert_same_bits(
            [y1, dx1, *state1, *dstate1], [y[:, rows], dx[:, rows], *(s[rows] for s in state + dstate0)]
        )


@every_cell
@both_directions
def test_padding_has_no_influence(cell, reverse):
    case = ragged(cell, reverse=reverse)
    y, state, dx, dstate0, grads = parts(case)
    for b, n in enumerate(case.lengths):
        y1, state1, dx1, dstate1, _ = parts(case.rows([b], steps=n))
        assert_same_bits(
            [y1, dx1, *state1, *dstate1], [y[:n, [b]], dx[:n, [b]], *(s[[b]] for s in state + dstate0)]
        )
        case.x[n:, b] = np.nan
        case.dy[n:, b] = np.nan
    assert_same_bits(list(parts(case)), [y, state, dx, dstate0, grads])


@every_cell
@both_directions
def test_a_sequence_in_chunks_has_the_bits_of_the_whole(cell, reverse):
    case = replace(ragged(cell, reverse=reverse), lengths=None)
    y, state, dx, dstate0, _ = parts(case)
    chunks = [slice(0, 4), slice(4, 5), slice(5, 9)]
    carried, tapes = one(case.state), []
    for chunk in chunks[:: -1 if reverse else 1]:
        y1, carried, tape = functional.forward(cell, case.params, case.x[chunk], carried, reverse=reverse)
        assert_same_bits(y1, y[chunk])
        tapes.append((chunk, tape))
    assert_same_bits(flat([carried]), state)
    back = one(case.dstate)
    for chunk, tape in reversed(tapes):
        dx1, back, _ = functional.backward(cell, case.params, tape, case.dy[chunk], back)
        assert_same_bits(dx1, dx[chunk])
    assert_same_bits(flat([back]), dstate0)


@every_cell
@both_dtypes
def test_inference_step_and_packed_have_the_bits_of_training(cell, dtype):
    case = replace(ragged(cell, dtype=dtype), lengths=None)
    y, state, _ = functional.forward(cell, case.params, case.x, one(case.state))
    packed = functional.pack(cell, case.params)
    for params in (case.params, packed):
        y1, state1, tape = functional.forward(cell, params, case.x, one(case.state), tape=False)
        assert tape is None
        assert_same_bits([y1, state1], [y, state])
        carried = one(case.state)
        for t in range(len(y)):
            y1, carried, _ = functional.forward(cell, params, case.x[t : t + 1], carried, tape=False)
            assert_same_bits(y1[0], y[t])
        assert_same_bits([carried], [state])
    ragged_case = ragged(cell, dtype=dtype, reverse=True)
    arguments = {"lengths": ragged_case.lengths, "reverse": True}
    trained = functional.forward(cell, case.params, ragged_case.x, one(case.state), **arguments)
    inferred = functional.forward(cell, packed, ragged_case.x, one(case.state), tape=False, **arguments)
    assert_same_bits(inferred[:2], trained[:2])


@every_cell
def test_layout_and_byte_order_of_the_input_change_nothing(cell):
    case = ragged(cell)
    expected = case.run()
    steps, batch, inputs = case.x.shape
    wide = np.full((batch, steps + 2, 2 * inputs + 1), np.nan, np.float32)
    wide[:, 1:-1, 1::2] = case.x.transpose(1, 0, 2)
    joined = np.full((batch, steps, inputs + 3), np.nan, np.float32)
    joined[..., 2:-1] = case.x.transpose(1, 0, 2)
    unaligned = np.zeros(case.x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(case.x.shape)
    unaligned[...] = case.x
    locked = case.x.copy()
    locked.flags.writeable = False
    for x in (
        np.asfortranarray(case.x),
        wide[:, 1:-1, 1::2].transpose(1, 0, 2),
        joined[..., 2:-1].transpose(1, 0, 2),
        case.x[::-1].copy()[::-1],
        case.x.astype(">f4"),
        case.x.astype(np.float64),
        unaligned,
        locked,
    ):
        assert_same_bits(replace(case, x=x).run(), expected)
    swapped = {n: np.asfortranarray(a.astype(">f4")) for n, a in case.params.items()}
    assert_same_bits(replace(case, params=swapped).run(), expected)


@every_cell
def test_out_may_be_a_slice_of_a_wider_array(cell):
    case = ragged(cell)
    y, _, _ = functional.forward(cell, case.params, case.x, one(case.state), lengths=case.lengths)
    for batch_first in (False, True):
        shape = (7, 9, 2 * y.shape[2] + 3) if batch_first else (9, 7, 2 * y.shape[2] + 3)
        wide = np.full(shape, 5, np.float32)
        view = wide.transpose(1, 0, 2) if batch_first else wide
        out = view[..., 2 : 2 + y.shape[2]]
        got, _, _ = functional.forward(
            cell, case.params, case.x, one(case.state), lengths=case.lengths, tape=False, out=out
        )
        assert got is out
        assert_same_bits(np.ascontiguousarray(out), y)
        assert (np.delete(view, np.s_[2 : 2 + y.shape[2]], axis=2) == 5).all()


@every_cell
def test_one_run_has_the_bits_of_the_next(cell):
    case = make_case(cell, 30, 5, 70, 130, lengths=[30, 3, 0, 17, 29])
    expected = case.run()
    for _ in range(20):
        assert_same_bits(case.run(), expected)


@every_cell
@every_isa
@both_directions
def test_nan_reaches_its_row_from_its_step_on_and_no_other(cell, isa, reverse):
    case = make_case(cell, 6, 4, 9, 19, reverse=reverse)
    with fastrnn.isa(isa):
        clean, _, _ = functional.forward(cell, case.params, case.x, one(case.state), reverse=reverse)
        for value in (np.nan, np.inf):
            x = case.x.copy()
            x[2, 1, 5] = value
            y, _, _ = functional.forward(cell, case.params, x, one(case.state), reverse=reverse)
            touched = np.zeros(y.shape[:2], bool)
            touched[slice(0, 3) if reverse else slice(2, None), 1] = True
            assert_same_bits(y[~touched], clean[~touched])
            if np.isnan(value):
                assert np.isnan(y[2, 1]).all()
                assert np.isnan(y[touched]).all()


@every_cell
def test_vanishing_values_are_stored_as_zero(cell):
    case = make_case(cell, 40, 3, 5, 17, scale=1e-9, states=False)
    case.dy[:-1] = 0
    y, _, _, dstate0, _ = parts(case)
    assert (np.abs(y[y != 0]) >= 2.0**-100).all()
    for d in dstate0:
        assert (np.abs(d[d != 0]) >= 2.0**-100).all()
