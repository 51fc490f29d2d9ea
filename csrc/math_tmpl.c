/* math_tmpl.c - exp, sigmoid, tanh as fastrnn/reference/arithmetic.py defines them, operation by operation. */

/* Full vectors in the common case; a last, partial one otherwise. */
FR_INLINE V FN(get)(const T *p, ptrdiff_t n) { return n >= W ? vload(p) : vload_n(p, n); }
FR_INLINE void FN(put)(T *p, V v, ptrdiff_t n)
{
    if (n >= W)
        vstore(p, v);
    else
        vstore_n(p, v, n);
}

FR_INLINE V FN(flush)(V v) { return vlt(vabs(v), vset(FR_TINY), vset(0), v); }
FR_INLINE V FN(unfaint)(V v) { return vlt(vabs(v), vset(FR_FAINT), vset(0), v); }

/* expm1(v) = v + v^2 Q(v) for |v| <= ln2/2; tanh wants -Q_i (-2)^i 2. */
#if FR_DTYPE == 32
static const T FN(Q)[] = {0x1p-1f, 0x1.55549p-3f, 0x1.5554c8p-5f, 0x1.123acp-7f, 0x1.6d716p-10f};
#define FR_LN2_HIGH 0x1.63p-1f
#define FR_LN2_LOW -0x1.bd0106p-13f
#define FR_LOG2E 0x1.715476p+0f
#define FR_HALF_LN2 0x1.62e43p-2f
#define FR_SIGMOID_LOW -0x1.5d589ep6f
#define FR_SIGMOID_HIGH 20.0f
#define FR_TANH_HIGH 10.0f
#define FR_EXP_LOW -0x1.ap+6f
#define FR_EXP_HIGH 0x1.64p+6f
#else
static const T FN(Q)[] = {0x1.000000000000cp-1, 0x1.5555555555559p-3, 0x1.555555554fde3p-5, 0x1.111111110f5adp-7,
                          0x1.6c16c186124f3p-10, 0x1.a01a01b06a819p-13, 0x1.a0199596b7337p-16, 0x1.71ddf6d547c2fp-19,
                          0x1.28b11b4083958p-22, 0x1.af618b99a98dfp-26};
#undef FR_LN2_HIGH
#undef FR_LN2_LOW
#undef FR_LOG2E
#undef FR_HALF_LN2
#undef FR_SIGMOID_LOW
#undef FR_SIGMOID_HIGH
#undef FR_TANH_HIGH
#undef FR_EXP_LOW
#undef FR_EXP_HIGH
#define FR_LN2_HIGH 0x1.62e42feep-1
#define FR_LN2_LOW 0x1.a39ef35793c76p-33
#define FR_LOG2E 0x1.71547652b82fep+0
#define FR_HALF_LN2 0x1.62e42fefa39efp-2
#define FR_SIGMOID_LOW -0x1.6232bdd7abcd2p9
#define FR_SIGMOID_HIGH 40.0
#define FR_TANH_HIGH 20.0
#define FR_EXP_LOW -0x1.75p+9
#define FR_EXP_HIGH 0x1.63p+9
#endif

FR_INLINE V FN(polynomial)(V r)
{
    enum { LAST = sizeof FN(Q) / sizeof *FN(Q) - 1 };
    V q = vset(FN(Q)[LAST]);
#pragma GCC unroll 10
    for (int i = LAST - 1; i >= 0; i--)
        q = vfma(q, r, vset(FN(Q)[i]));
    return q;
}

FR_INLINE V FN(exp)(V x)
{
    V y = vmin(vset(FR_EXP_HIGH), vmax(vset(FR_EXP_LOW), x));
    V n = vfma(y, vset(FR_LOG2E), vset(FR_MAGIC)) - vset(FR_MAGIC);
    V r = vfma(n, vset(-FR_LN2_LOW), vfma(n, vset(-FR_LN2_HIGH), y));
    V u = vfma(r * FN(polynomial)(r), r, r);
    V t = vfma(n, vset((T)0.5), vset(FR_MAGIC));        /* 2^n in two halves, as the result may be subnormal */
    V s = vpow2(t);
    return vfma(s, u, s) * vpow2((n - (t - vset(FR_MAGIC))) + vset(FR_MAGIC));
}

FR_INLINE V FN(sigmoid)(V x)
{
    V y = vmax(vset(FR_SIGMOID_LOW), vmin(vset(FR_SIGMOID_HIGH), x));
    V t = vfma(y, vset(-FR_LOG2E), vset(FR_MAGIC));
    V n = t - vset(FR_MAGIC), s = vpow2(t);
    V r = vfma(n, vset(-FR_LN2_LOW), vfma(n, vset(-FR_LN2_HIGH), -y));
    V u = vfma(r * FN(polynomial)(r), r, r);
    V d = s + vfma(s, u, vset(1));
    return vlt(x, vset(FR_SIGMOID_LOW), vset(0), vset(1) / d);
}

FR_INLINE V FN(tanh)(V x)
{
    V a = vmin(vset(FR_TANH_HIGH), vabs(x));
    V t = vfma(a, vset(-2 * FR_LOG2E), vset(FR_MAGIC));
    V n = t - vset(FR_MAGIC), s = vpow2(t);
    V r = vfma(n, vset(FR_HALF_LN2), a);
    enum { LAST = sizeof FN(Q) / sizeof *FN(Q) - 1 };
    V q = vset(FN(Q)[LAST] * (T)(LAST % 2 ? 1 << (LAST + 1) : -(1 << (LAST + 1))));
#pragma GCC unroll 10
    for (int i = LAST - 1; i >= 0; i--)
        q = vfma(q, r, vset(FN(Q)[i] * (T)(i % 2 ? 1 << (i + 1) : -(1 << (i + 1)))));
    V v = s * vfma(r * q, r, r);
    V p = vfma(s, vset((T)-0.5), vset((T)0.5)), d = vfma(s, vset((T)0.5), vset((T)0.5));
    V y = (p + v) / (d - v);
    return vcopysign(y + vfma(v, y, vfma(-y, d, p) + v), x);    /* and what the quotient lacks */
}

static void FN(map)(fr_function f, const void *in, void *out, ptrdiff_t n)
{
    const T *x = in;
    T *y = out;
    for (ptrdiff_t i = 0; i < n; i += W) {
        V v = FN(get)(x + i, n - i);
        FN(put)(y + i, f == FR_EXP ? FN(exp)(v) : f == FR_SIGMOID ? FN(sigmoid)(v) : FN(tanh)(v), n - i);
    }
}
