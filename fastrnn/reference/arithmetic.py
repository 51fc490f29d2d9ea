"""The arithmetic everything else is defined by: fma, products, flushing, elementary functions.

Every function takes and returns float32 or float64 arrays of one dtype and rounds exactly where
docs/numerics.md says. Python's and NumPy's own sums, exponentials and matrix products are not used:
their bits depend on the machine.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

BLOCK = 64  # terms of one fma chain in a product
CHAIN = 16  # rows of a chain, and chains of a group, in the gradient of a bias
_TILE = 1 << 15  # accumulators worked on at once; keeps them in cache, changes no bit

# -- fused multiply-add -----------------------------------------------------------------------------


def fma(a, b, c):
    """``a*b + c`` rounded once, elementwise with broadcasting; a, b, c of one dtype."""
    a, b, c = np.asarray(a), np.asarray(b), np.asarray(c)
    with np.errstate(all="ignore"):
        return (_fma32 if a.dtype == np.float32 else _fma64)(a, b, c)


def _fma32(a, b, c):
    # The product of two float32 is exact in float64. Rounding the sum to float64 and then to float32 goes
    # wrong only where the first lands midway between two float32; that ends in 28 zero bits. There the sum
    # is moved one unit towards its rounding error, which breaks the tie the right way (rounding to odd).
    p = a.astype(np.float64) * b
    s = np.asarray(p + c)
    doubt = (s.view(np.int64) & 0x0FFFFFFF) == 0
    if doubt.any():
        p, c, v = np.broadcast_to(p, s.shape)[doubt], np.broadcast_to(c, s.shape)[doubt], s[doubt]
        error = _two_sum(p, c.astype(np.float64))[1]  # NaN where s is infinite: s stays
        towards = np.where(error > 0, np.inf, np.where(error < 0, -np.inf, v))
        s[doubt] = np.nextafter(v, towards)
    return s.astype(np.float32)


def _fma64(a, b, c):
    # a*b = p + e and p + e + c = vh + vl + tl exactly. Adding the three from the small end can go wrong only
    # where it ends midway between two float64, or where p or e leaves the range in which it is exact.
    p = a * b
    (ah, al), (bh, bl) = _split(a), _split(b)
    e = ((ah * bh - p) + ah * bl + al * bh) + al * bl
    th, tl = _two_sum(c, e)
    vh, vl = _two_sum(p, th)
    z = tl + vl
    s = np.asarray(vh + z)
    rest = np.asarray(z - (s - vh))  # midway: a power of two
    doubt = ((rest.view(np.int64) & 0xFFFFFFFFFFFFF) == 0) & (rest != 0)
    doubt |= ~(np.isfinite(s) & (np.abs(p) > 2.0**-900))
    if doubt.any():
        s[doubt] = _settled(*(np.broadcast_to(v, s.shape)[doubt] for v in (a, b, c)))
    return s


def _split(v):
    """Veltkamp: ``v = high + low``, either of at most 26 bits."""
    t = v * 134217729.0
    high = t - (t - v)
    return high, v - high


def _two_sum(a, b):
    """Knuth: ``a + b = sum + error`` exactly."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _settled(a, b, c):
    """fma of the float64 cases in doubt, in exact rational arithmetic where need be."""
    from fractions import Fraction  # rarely needed, and slow to import

    p = a * b
    finite = np.isfinite(a) & np.isfinite(b)
    result = np.where(finite & ~np.isfinite(c), c, p + c)
    absorbed = (np.abs(p) <= 2.0**-900) & (np.abs(c) > 2.0**-840)
    for i in np.flatnonzero(finite & np.isfinite(c) & (a != 0) & (b != 0) & ~absorbed):
        exact = Fraction(a[i]) * Fraction(b[i]) + Fraction(c[i])
        try:
            result[i] = float(exact)
        except OverflowError:
            result[i] = np.inf if exact > 0 else -np.inf
    return result


# -- sums -------------------------------------------------------------------------------------------


def product(a, w, start=None):
    """``start + sum_k a[:, k] * w[:, k]``: blocks of BLOCK terms, each a chain of fma, added in order.

    a is (rows, K), w (units, K), start (rows, units) or (units,) or None; the result is (rows, units).
    """
    a, w = np.asarray(a), np.asarray(w)
    (rows, terms), units = a.shape, len(w)
    blocks = -(-terms // BLOCK)
    total = np.zeros((rows, units), a.dtype)
    if start is not None:
        total[...] = start
    if 0 in (rows, units, terms):
        return total
    tile = max(1, _TILE // (units * blocks))
    wt = np.ascontiguousarray(w.T)
    for i in range(0, rows, tile):
        at = np.ascontiguousarray(a[i : i + tile].T)
        sums = np.zeros((blocks, at.shape[1], units), a.dtype)
        for k in range(min(BLOCK, terms)):  # [k::BLOCK]: the k-th term of every block that has one
            ak, wk = at[k::BLOCK, :, None], wt[k::BLOCK, None, :]
            sums[: len(ak)] = fma(ak, wk, sums[: len(ak)])
        tail = total[i : i + tile]
        with np.errstate(all="ignore"):
            for block, s in enumerate(sums):
                tail[...] = s if start is None and block == 0 else tail + s
    return total


def weight_gradient(d, v):
    """Gradient of a weight, (units of d, units of v): the product over the rows of d (N, .) and v (N, .)."""
    return product(unfaint(d).T, unfaint(v).T)


def diagonal_gradient(d, v):
    """Gradient of a weight a unit, (units,): the product unit by unit over rows of d and v (N, units)."""
    d, v = unfaint(d), unfaint(v)
    sums = np.zeros((-(-len(d) // BLOCK), *d.shape[1:]), d.dtype)
    for k in range(min(BLOCK, len(d))):  # [k::BLOCK]: the k-th row of every block that has one
        sums[: len(d[k::BLOCK])] = fma(d[k::BLOCK], v[k::BLOCK], sums[: len(d[k::BLOCK])])
    with np.errstate(all="ignore"):
        return functools.reduce(np.add, sums) if len(sums) else np.zeros_like(d, shape=d.shape[1:])


def bias_gradient(d):
    """Gradient of a bias, (units of d,): the rows of d added in chains, groups of chains, all groups."""
    return _added(_added(_added(unfaint(d), CHAIN), CHAIN), len(d))[0]


def _added(rows, n):
    """Sums of every n rows in order, the last of fewer; at least one row, +0 where there are none."""
    sums = np.zeros((max(1, -(-len(rows) // max(n, 1))), *rows.shape[1:]), rows.dtype)
    with np.errstate(all="ignore"):
        for k in range(min(n, len(rows))):  # [k::n]: the k-th row of every sum that has one
            sums[: len(rows[k::n])] += rows[k::n]
    return sums


# -- the vanishing ----------------------------------------------------------------------------------


def flush(v):
    """``+0`` where ``|v| < 2**-100`` (float64: ``2**-900``), else v: what a step stores."""
    return np.where(np.abs(v) < FORMATS[v.dtype].flush, v.dtype.type(0), v)


def unfaint(v):
    """``+0`` where ``|v| < 2**-63`` (float64: ``2**-511``), else v: the operands of parameter gradients."""
    return np.where(np.abs(v) < FORMATS[v.dtype].faint, v.dtype.type(0), v)


# -- elementary functions ---------------------------------------------------------------------------


class Format(NamedTuple):
    """Constants of a dtype, as scalars of it."""

    bits: type  # the integer of the same width
    shift: int  # bits of the stored significand
    magic: np.floating  # 1.5 * 2**shift + bias: t = v + magic holds v rounded to an integer n, see _power
    flush: np.floating
    faint: np.floating
    log2e: np.floating
    ln2: np.floating
    ln2hi: np.floating  # ln2 = ln2hi + ln2lo; n * ln2hi is exact
    ln2lo: np.floating
    sigmoid: tuple[np.floating, ...]  # clamps; below the first the result is 0
    tanh: np.floating  # above it the result is 1
    exp: tuple[np.floating, ...]  # clamps, where the result is 0 and inf by its own arithmetic
    elu: np.floating  # below it the result is -1
    q: tuple[np.floating, ...]  # expm1(v) = v + v*v*Q(v), coefficients ascending
    atanh: tuple[np.floating, ...]  # 2 atanh(v) = 2v + v**3 * A(v*v) for v <= 1/3


def _format(dtype, **fields):
    """A format from constants in hexadecimal, which C repeats as they stand."""

    def read(v):
        if isinstance(v, tuple):
            return tuple(map(read, v))
        return dtype(float.fromhex(v)) if isinstance(v, str) else v

    return Format(**{name: read(v) for name, v in fields.items()})


FORMATS = {
    np.dtype(np.float32): _format(
        np.float32,
        bits=np.int32,
        shift=23,
        magic="0x1.8000fep+23",
        flush="0x1p-100",
        faint="0x1p-63",
        log2e="0x1.715476p+0",
        ln2="0x1.62e430p-1",
        ln2hi="0x1.63p-1",
        ln2lo="-0x1.bd0106p-13",
        sigmoid=("-0x1.5d589ep+6", "0x1.4p+4"),
        tanh="0x1.4p+3",
        exp=("-0x1.ap+6", "0x1.64p+6"),
        elu="-0x1.4p+4",
        q=("0x1p-1", "0x1.55549p-3", "0x1.5554c8p-5", "0x1.123acp-7", "0x1.6d716p-10"),
        atanh=("0x1.555556p-1", "0x1.9998d4p-2", "0x1.24c926p-2", "0x1.bc8cf8p-3", "0x1.dba26p-3"),
    ),
    np.dtype(np.float64): _format(
        np.float64,
        bits=np.int64,
        shift=52,
        magic="0x1.80000000003ffp+52",
        flush="0x1p-900",
        faint="0x1p-511",
        log2e="0x1.71547652b82fep+0",
        ln2="0x1.62e42fefa39efp-1",
        ln2hi="0x1.62e42feep-1",
        ln2lo="0x1.a39ef35793c76p-33",
        sigmoid=("-0x1.6232bdd7abcd2p+9", "0x1.4p+5"),
        tanh="0x1.4p+4",
        exp=("-0x1.75p+9", "0x1.63p+9"),
        elu="-0x1.4p+5",
        q=(
            "0x1.000000000000cp-1",
            "0x1.5555555555559p-3",
            "0x1.555555554fde3p-5",
            "0x1.111111110f5adp-7",
            "0x1.6c16c186124f3p-10",
            "0x1.a01a01b06a819p-13",
            "0x1.a0199596b7337p-16",
            "0x1.71ddf6d547c2fp-19",
            "0x1.28b11b4083958p-22",
            "0x1.af618b99a98dfp-26",
        ),
        atanh=(
            "0x1.5555555555555p-1",
            "0x1.999999999a3ddp-2",
            "0x1.24924923d44c6p-2",
            "0x1.c71c727143318p-3",
            "0x1.745cf0b0e03bdp-3",
            "0x1.3b18b294bebf9p-3",
            "0x1.10ac75dc602b1p-3",
            "0x1.eb905e8575054p-4",
            "0x1.687a6e7c95176p-4",
            "0x1.4b0a26c5f2aefp-3",
        ),
    ),
}


def _horner(coefficients, v):
    """The polynomial with ascending coefficients: a chain of fma from the highest."""
    total = np.full_like(v, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = fma(total, v, coefficient)
    return total


def _power(t, f):
    """``2**n`` where ``t = n + magic``: the shift leaves n + bias alone in the place of the exponent."""
    return (t.view(f.bits) << f.shift).view(t.dtype)


def exp(x):
    """The exponential, at most 2 ulp off, subnormal results included.

    In this order, where Q is the chain of fma from its highest coefficient::

        y  = x < LO ? LO : x;  y = HI < y ? HI : y       NaN passes both
        t  = fma(y, log2e, M);  n = t - M
        r  = fma(n, -ln2lo, fma(n, -ln2hi, y))
        u  = fma(r * Q(r), r, r)                         exp(r) - 1
        t1 = fma(n, 0.5, M);  n1 = t1 - M                the power of two in two halves
        s1 = bits(t1) << shift;  s2 = bits((n - n1) + M) << shift
        exp(x) = fma(s1, u, s1) * s2
    """
    x = np.asarray(x)
    f = FORMATS[x.dtype]
    low, high = f.exp
    half = x.dtype.type(0.5)
    with np.errstate(all="ignore"):
        y = np.where(x < low, low, x)
        y = np.where(high < y, high, y)
        t = fma(y, f.log2e, f.magic)
        n = t - f.magic
        r = fma(n, -f.ln2lo, fma(n, -f.ln2hi, y))
        u = fma(r * _horner(f.q, r), r, r)
        t1 = fma(n, half, f.magic)
        n1 = t1 - f.magic
        s1, s2 = _power(t1, f), _power((n - n1) + f.magic, f)
        return fma(s1, u, s1) * s2


def sigmoid(x):
    """The logistic function ``1 / (1 + exp(-x))``, at most 2 ulp off.

    In this order::

        y = x < LO ? LO : x;  y = HI < y ? HI : y        NaN passes both
        t = fma(y, -log2e, M);  n = t - M;  s = bits(t) << shift
        r = fma(n, ln2lo, fma(n, ln2hi, y))
        u = fma(r * Q(-r), r, -r)                        exp(-r) - 1
        d = s + fma(s, u, 1)
        sigmoid(x) = x < LO ? 0 : 1 / d
    """
    x = np.asarray(x)
    f = FORMATS[x.dtype]
    low, high = f.sigmoid
    zero, one = x.dtype.type(0), x.dtype.type(1)
    with np.errstate(all="ignore"):
        y = np.where(x < low, low, x)
        y = np.where(high < y, high, y)
        t = fma(y, -f.log2e, f.magic)
        n, s = t - f.magic, _power(t, f)
        r = fma(n, f.ln2lo, fma(n, f.ln2hi, y))
        u = fma(r * _horner(f.q, -r), r, -r)
        d = s + fma(s, u, one)
        return np.where(x < low, zero, one / d)


def tanh(x):
    """The hyperbolic tangent, at most 2 ulp off; ``tanh(-0) = -0``.

    The quotient w/d of two rounded numbers alone is up to 2.1 ulp off in float64; ``y + e``, where e is what
    the quotient lacks, 1.8. In this order, where Q2 has the coefficients ``-2 * (-2)**i * Q[i]``::

        a = HI < |x| ? HI : |x|                          NaN passes
        t = fma(a, -2 * log2e, M);  n = t - M;  s = bits(t) << shift
        r = fma(n, ln2 / 2, a)
        v = s * fma(r * Q2(r), r, r)                     s * (1 - exp(-2r)) / 2
        p = fma(s, -0.5, 0.5);  q = fma(s, 0.5, 0.5)
        y = (p + v) / (q - v)
        e = fma(v, y, fma(-y, q, p) + v)
        tanh(x) = copysign(y + e, x)
    """
    x = np.asarray(x)
    f = FORMATS[x.dtype]
    half = x.dtype.type(0.5)
    with np.errstate(all="ignore"):
        a = np.abs(x)
        a = np.where(f.tanh < a, f.tanh, a)
        t = fma(a, -2 * f.log2e, f.magic)
        n, s = t - f.magic, _power(t, f)
        r = fma(n, f.ln2 * half, a)
        v = s * fma(r * _horner([-2 * (-2) ** i * q for i, q in enumerate(f.q)], r), r, r)
        p, q = fma(s, -half, half), fma(s, half, half)
        y = (p + v) / (q - v)
        e = fma(v, y, fma(-y, q, p) + v)
        return np.copysign(y + e, x)


def elu(x):
    """``exp(x) - 1`` below 0 and x elsewhere, at most 2 ulp off; ``elu(-0) = -0``.

    In this order::

        y = x < LO ? LO : x                              NaN passes
        t = fma(y, log2e, M);  n = t - M;  s = bits(t) << shift
        r = fma(n, -ln2lo, fma(n, -ln2hi, y))
        u = fma(r * Q(r), r, r)                          exp(r) - 1
        elu(x) = x < 0 ? fma(s, u, s - 1) : x
    """
    x = np.asarray(x)
    f = FORMATS[x.dtype]
    one = x.dtype.type(1)
    with np.errstate(all="ignore"):
        y = np.where(x < f.elu, f.elu, x)
        t = fma(y, f.log2e, f.magic)
        n, s = t - f.magic, _power(t, f)
        r = fma(n, -f.ln2lo, fma(n, -f.ln2hi, y))
        u = fma(r * _horner(f.q, r), r, r)
        return np.where(x < 0, fma(s, u, s - one), x)


def softplus(x):
    """``log(1 + exp(x))``, at most 2 ulp off, subnormal results included.

    By ``log(1 + e) = 2 atanh(e / (2 + e))``, in this order::

        e = exp(-|x|)
        s = e / (2 + e);  w = s * s
        l = fma(-s, fma(-w, A(w), e), e)                 log(1 + e)
        softplus(x) = (x < 0 ? 0 : x) + l                NaN passes
    """
    x = np.asarray(x)
    f = FORMATS[x.dtype]
    zero, two = x.dtype.type(0), x.dtype.type(2)
    with np.errstate(all="ignore"):
        e = exp(-np.abs(x))
        s = e / (two + e)
        w = s * s
        log = fma(-s, fma(-w, _horner(f.atanh, w), e), e)
        return np.where(x < 0, zero, x) + log
