"""The definitional arithmetic against exact rational arithmetic, the C library and extended precision."""

import ctypes
import ctypes.util
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrnn.reference import arithmetic

DTYPES = [np.float32, np.float64]
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def same_bits(a, b):
    """Equal values and signs of zero; a NaN equals a NaN."""
    a, b = np.asarray(a), np.asarray(b)
    return (
        a.dtype == b.dtype
        and np.array_equal(a, b, equal_nan=True)
        and np.array_equal(np.signbit(a) | np.isnan(a), np.signbit(b) | np.isnan(b))
    )


# -- fma --------------------------------------------------------------------------------------------


def rounded(exact, dtype):
    """The number of the dtype nearest to a Fraction, ties to even; from the definition of the formats."""
    info = np.finfo(dtype)
    if exact == 0:
        return 0.0
    sign, exact = (-1.0, -exact) if exact < 0 else (1.0, exact)
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length()
    exponent -= exact < Fraction(2) ** exponent
    unit = Fraction(2) ** (max(exponent, info.minexp) - info.nmant)
    value = round(exact / unit) * unit  # Python rounds ties to even
    return sign * (np.inf if value >= Fraction(2) ** info.maxexp else float(value))


def hard_cases(dtype, n, seed):
    """Triples where an fma is hard: every magnitude, cancellation, ties broken from afar, rims."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    bits = info.nmant

    def anything(n):
        return np.ldexp(rng.uniform(-1, 1, n), rng.integers(info.minexp - bits, info.maxexp + 1, n)).astype(
            dtype
        )

    def few_bits(n):
        return np.ldexp(rng.integers(-8, 9, n).astype(dtype), rng.integers(-bits - 3, bits + 3, n))

    def moderate(n):
        return rng.normal(size=n).astype(dtype)

    def tiny(n):
        return np.ldexp(rng.uniform(-1, 1, n), (info.minexp - rng.integers(0, bits, n)) // 2).astype(dtype)

    a = np.concatenate(
        [make(n) for make in (anything, few_bits, moderate, tiny, moderate, few_bits, anything)]
    )
    b = np.concatenate(
        [make(n) for make in (anything, few_bits, moderate, tiny, moderate, anything, moderate)]
    )
    c = np.concatenate(
        [make(n) for make in (anything, few_bits, moderate, tiny, moderate, few_bits, anything)]
    )
    # the fifth group cancels to a few units; in the others every third product meets a tie or itself
    cancels = slice(4 * n, 5 * n)
    product = (a * b).astype(dtype)
    c[cancels] = -product[cancels] + rng.integers(-2, 3, n) * np.spacing(product[cancels])
    third = rng.random(len(a)) < 1 / 3
    tie = np.ldexp(np.ones_like(c), rng.integers(-bits - 3, bits + 3, len(c)))
    a = np.where(third & (rng.random(len(a)) < 0.5), (1 + np.ldexp(dtype(1), -bits // 2)) * tie, a).astype(
        dtype
    )
    special = np.array(
        [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, info.max, info.smallest_subnormal, info.tiny], dtype
    )
    grid = np.stack(np.meshgrid(special, special, special), -1).reshape(-1, 3)
    return tuple(np.concatenate([v, grid[:, k]]) for k, v in enumerate((a, b, c)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_is_exact_rational_arithmetic_rounded_once(dtype):
    a, b, c = hard_cases(dtype, 3000, seed=1)
    result = arithmetic.fma(a, b, c)
    for k in np.flatnonzero(np.isfinite(a) & np.isfinite(b) & np.isfinite(c)):
        exact = Fraction(float(a[k])) * Fraction(float(b[k])) + Fraction(float(c[k]))
        assert result[k] == rounded(exact, dtype), (a[k].hex(), b[k].hex(), c[k].hex())


@pytest.mark.parametrize(
    ("dtype", "name", "ctype"), [(np.float32, "fmaf", ctypes.c_float), (np.float64, "fma", ctypes.c_double)]
)
def test_fma_agrees_with_the_c_library(dtype, name, ctype):
    library = ctypes.util.find_library("m")
    if library is None:
        pytest.skip("no C mathematics library found")
    function = getattr(ctypes.CDLL(library), name)
    function.restype, function.argtypes = ctype, [ctype] * 3
    a, b, c = hard_cases(dtype, 30_000, seed=2)
    expected = np.fromiter(map(function, a.tolist(), b.tolist(), c.tolist()), dtype, len(a))
    assert same_bits(arithmetic.fma(a, b, c), expected)


def test_fma_rounds_once_where_two_roundings_would_meet_a_tie():
    # float32 by way of float64: 1 + 2**-24 is a tie in float32; 2**-60 beyond it must not be lost.
    a, b = np.float32(1 + 2**-23), np.float32(2**-24)
    c = np.float32(1)
    assert arithmetic.fma(a, b, c) == np.float32(1 + 2**-23)
    # float64: the tail 2**-110 decides between 1 and the next number.
    c, a, b = np.float64(1), np.float64(2**-53 * (1 + 2**-52)), np.float64(1)
    assert arithmetic.fma(a, b, c) == 1 + 2**-52


# -- sums -------------------------------------------------------------------------------------------


def product_by_definition(a, w, start):
    """One sum as docs/numerics.md says it, term by term, for one row and one unit."""
    blocks = []
    for k in range(0, len(a), arithmetic.BLOCK):
        accumulator = a.dtype.type(0)
        for ak, wk in zip(a[k : k + arithmetic.BLOCK], w[k : k + arithmetic.BLOCK], strict=True):
            accumulator = arithmetic.fma(ak, wk, accumulator)[()]
        blocks.append(accumulator)
    if start is None:
        start, blocks = (blocks[0], blocks[1:]) if blocks else (a.dtype.type(0), [])
    for block in blocks:
        start = start + block
    return start


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("terms", [0, 1, 5, 127, 128, 129, 300])
@pytest.mark.parametrize("started", [False, True])
def test_product_follows_its_definition(dtype, terms, started):
    rng = np.random.default_rng(terms)
    a, w = rng.normal(size=(2, terms)).astype(dtype), rng.normal(size=(3, terms)).astype(dtype)
    start = rng.normal(size=(2, 3)).astype(dtype) if started else None
    result = arithmetic.product(a, w, start)
    for row in range(2):
        for unit in range(3):
            expected = product_by_definition(a[row], w[unit], start[row, unit] if started else None)
            assert same_bits(result[row, unit], expected)


def test_product_has_the_same_bits_for_a_row_alone_and_in_tiles(monkeypatch):
    rng = np.random.default_rng(0)
    a, w = rng.normal(size=(40, 200)).astype(np.float32), rng.normal(size=(7, 200)).astype(np.float32)
    whole = arithmetic.product(a, w)
    assert all(same_bits(arithmetic.product(a[k : k + 1], w), whole[k : k + 1]) for k in range(40))
    monkeypatch.setattr(arithmetic, "_TILE", 50)
    assert same_bits(arithmetic.product(a, w), whole)


def test_product_keeps_signs_of_zero():
    tiny = np.full((1, 1), -1e-30, np.float32)
    assert np.signbit(arithmetic.product(tiny, -tiny))  # without a start the block's -0 is taken as it is
    assert not np.signbit(arithmetic.product(tiny, -tiny, np.zeros(1, np.float32)))  # +0 + -0
    assert not np.signbit(arithmetic.product(tiny[:, :0], tiny[:, :0]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_weights_count_faint_operands_as_zero(dtype):
    faint = arithmetic.FORMATS[np.dtype(dtype)].faint
    below = np.nextafter(faint, dtype(0))
    d = np.array([[faint, below], [-below, 1]], dtype)
    v = np.array([[1.0], [1.0]], dtype)
    assert same_bits(arithmetic.weight_gradient(d, v), np.array([[faint], [1]], dtype))
    assert same_bits(arithmetic.bias_gradient(d), np.array([faint, 1], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_flush_stores_the_vanishing_as_positive_zero(dtype):
    bound = arithmetic.FORMATS[np.dtype(dtype)].flush
    below = np.nextafter(bound, dtype(0))
    v = np.array([bound, -bound, below, -below, -0.0, np.nan, np.inf], dtype)
    assert same_bits(arithmetic.flush(v), np.array([bound, -bound, 0, 0, 0, np.nan, np.inf], dtype))


# -- elementary functions ---------------------------------------------------------------------------


FUNCTIONS = {
    "exp": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
}


def ulps(name, x):
    """Error in units of the last place against a wider type, whatever underflows in sigmoid left out."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    exact = FUNCTIONS[name](x.astype(wide))
    nearest = exact.astype(x.dtype)
    kept = np.isfinite(nearest)
    if name == "sigmoid":
        kept &= nearest >= np.finfo(x.dtype).tiny
    error = np.abs(getattr(arithmetic, name)(x[kept]).astype(wide) - exact[kept])
    return error / np.spacing(np.abs(nearest[kept])).astype(wide)


def points(name, dtype, n):
    """Points over the whole range of a function, dense near 0 and at the rims."""
    rng = np.random.default_rng(3)
    low, high = {np.float32: (-104, 89), np.float64: (-746, 710)}[dtype]
    if name == "tanh":
        low, high = -25, 25
    small = np.ldexp(rng.uniform(-1, 1, n), rng.integers(-120, 3, n))
    rims = np.concatenate([rng.uniform(low, 0.95 * low, n), rng.uniform(0.95 * high, high, n)])
    return np.concatenate([rng.uniform(low, high, n), rng.normal(size=n), small, rims]).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_are_within_two_ulp(name, dtype):
    if dtype == np.float64 and np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("no type wider than float64 on this machine")
    n = 200_000 if dtype == np.float32 else 15_000
    assert ulps(name, points(name, dtype, n)).max() <= 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_elementary_functions_at_special_points(dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    assert same_bits(arithmetic.exp(x), np.array([np.nan, np.inf, 0, 1, 1], dtype))
    assert same_bits(arithmetic.sigmoid(x), np.array([np.nan, 1, 0, 0.5, 0.5], dtype))
    assert same_bits(arithmetic.tanh(x), np.array([np.nan, 1, -1, 0.0, -0.0], dtype))
    assert same_bits(arithmetic.elu(x), np.array([np.nan, np.inf, -1, 0.0, -0.0], dtype))
    log2 = dtype(np.log(2))
    assert same_bits(arithmetic.softplus(x), np.array([np.nan, np.inf, 0, log2, log2], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_elu_and_softplus_keep_subnormals(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    assert same_bits(arithmetic.elu(np.array([-tiny, tiny], dtype)), np.array([-tiny, tiny], dtype))
    bottom = dtype(np.log(np.longdouble(tiny)))
    assert arithmetic.softplus(bottom * dtype(1 - 1e-5)) == tiny
    assert arithmetic.softplus(bottom * dtype(1.01)) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_overflows_and_underflows_where_it_should(dtype):
    info = np.finfo(dtype)
    top, bottom = np.log(info.max), dtype(np.log(np.longdouble(info.smallest_subnormal)))
    assert np.isfinite(arithmetic.exp(top * dtype(1 - 1e-6)))
    assert arithmetic.exp(top * dtype(1 + 1e-6)) == np.inf
    assert arithmetic.exp(bottom * dtype(1 - 1e-5)) == info.smallest_subnormal
    assert arithmetic.exp(bottom * dtype(1.01)) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_is_odd_bounded_and_keeps_subnormals(dtype):
    x = np.concatenate([np.linspace(-12, 12, 4001), [np.finfo(dtype).smallest_subnormal, 1e-30]]).astype(
        dtype
    )
    y = arithmetic.tanh(x)
    assert same_bits(arithmetic.tanh(-x), -y)
    assert np.abs(y).max() <= 1
    assert same_bits(y[-2:], x[-2:])


@given(st.floats(width=32, allow_nan=False))
def test_sigmoid_lies_between_zero_and_one(x):
    y = arithmetic.sigmoid(np.float32(x))
    assert 0 <= y <= 1
