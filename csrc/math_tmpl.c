/* math_tmpl.c - elementary functions as fastrnn/reference/arithmetic.py defines them, operation by operation. */

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

/* expm1(v) = v + v^2 Q(v) for |v| <= ln2/2; tanh wants -Q_i (-2)^i 2. 2 atanh(v) = 2v + v^3 A(v^2) for v <= 1/3. */
#if FR_DTYPE == 32
static const T FN(Q)[] = {0x1p-1f, 0x1.55549p-3f, 0x1.5554c8p-5f, 0x1.123acp-7f, 0x1.6d716p-10f};
static const T FN(A)[] = {0x1.555556p-1f, 0x1.9998d4p-2f, 0x1.24c926p-2f, 0x1.bc8cf8p-3f, 0x1.dba26p-3f};
#define FR_LN2_HIGH 0x1.63p-1f
#define FR_LN2_LOW -0x1.bd0106p-13f
#define FR_LOG2E 0x1.715476p+0f
#define FR_HALF_LN2 0x1.62e43p-2f
#define FR_SIGMOID_LOW -0x1.5d589ep6f
#define FR_SIGMOID_HIGH 20.0f
#define FR_TANH_HIGH 10.0f
#define FR_EXP_LOW -0x1.ap+6f
#define FR_EXP_HIGH 0x1.64p+6f
#define FR_ELU_LOW -20.0f
#else
static const T FN(Q)[] = {0x1.000000000000cp-1, 0x1.5555555555559p-3, 0x1.555555554fde3p-5, 0x1.111111110f5adp-7,
                          0x1.6c16c186124f3p-10, 0x1.a01a01b06a819p-13, 0x1.a0199596b7337p-16, 0x1.71ddf6d547c2fp-19,
                          0x1.28b11b4083958p-22, 0x1.af618b99a98dfp-26};
static const T FN(A)[] = {0x1.5555555555555p-1, 0x1.999999999a3ddp-2, 0x1.24924923d44c6p-2, 0x1.c71c727143318p-3,
                          0x1.745cf0b0e03bdp-3, 0x1.3b18b294bebf9p-3, 0x1.10ac75dc602b1p-3, 0x1.eb905e8575054p-4,
                          0x1.687a6e7c95176p-4, 0x1.4b0a26c5f2aefp-3};
#undef FR_LN2_HIGH
#undef FR_LN2_LOW
#undef FR_LOG2E
#undef FR_HALF_LN2
#undef FR_SIGMOID_LOW
#undef FR_SIGMOID_HIGH
#undef FR_TANH_HIGH
#undef FR_EXP_LOW
#undef FR_EXP_HIGH
#undef FR_ELU_LOW
#define FR_LN2_HIGH 0x1.62e42feep-1
#define FR_LN2_LOW 0x1.a39ef35793c76p-33
#define FR_LOG2E 0x1.71547652b82fep+0
#define FR_HALF_LN2 0x1.62e42fefa39efp-2
#define FR_SIGMOID_LOW -0x1.6232bdd7abcd2p9
#define FR_SIGMOID_HIGH 40.0
#define FR_TANH_HIGH 20.0
#define FR_EXP_LOW -0x1.75p+9
#define FR_EXP_HIGH 0x1.63p+9
#define FR_ELU_LOW -40.0
#endif

/* Q or A, which have as many coefficients. */
FR_INLINE V FN(polynomial)(const T *coefficients, V r)
{
    enum { LAST = sizeof FN(Q) / sizeof *FN(Q) - 1 };
    V q = vset(coefficients[LAST]);
#pragma GCC unroll 10
    for (int i = LAST - 1; i >= 0; i--)
        q = vfma(q, r, vset(coefficients[i]));
    return q;
}

FR_INLINE V FN(exp)(V x)
{
    V y = vmin(vset(FR_EXP_HIGH), vmax(vset(FR_EXP_LOW), x));
    V n = vfma(y, vset(FR_LOG2E), vset(FR_MAGIC)) - vset(FR_MAGIC);
    V r = vfma(n, vset(-FR_LN2_LOW), vfma(n, vset(-FR_LN2_HIGH), y));
    V u = vfma(r * FN(polynomial)(FN(Q), r), r, r);
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
    V u = vfma(r * FN(polynomial)(FN(Q), r), r, r);
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

FR_INLINE V FN(elu)(V x)
{
    V y = vmax(vset(FR_ELU_LOW), x);
    V t = vfma(y, vset(FR_LOG2E), vset(FR_MAGIC));
    V n = t - vset(FR_MAGIC), s = vpow2(t);
    V r = vfma(n, vset(-FR_LN2_LOW), vfma(n, vset(-FR_LN2_HIGH), y));
    V u = vfma(r * FN(polynomial)(FN(Q), r), r, r);
    return vlt(x, vset(0), vfma(s, u, s - vset(1)), x);
}

FR_INLINE V FN(softplus)(V x)
{
    V e = FN(exp)(-vabs(x));
    V s = e / (vset(2) + e), w = s * s;
    return vmax(vset(0), x) + vfma(-s, vfma(-w, FN(polynomial)(FN(A), w), e), e);
}

static void FN(map)(fr_function f, const void *in, void *out, ptrdiff_t n)
{
    const T *x = in;
    T *y = out;
    for (ptrdiff_t i = 0; i < n; i += W) {
        V v = FN(get)(x + i, n - i);
        switch (f) {
        case FR_EXP: v = FN(exp)(v); break;
        case FR_SIGMOID: v = FN(sigmoid)(v); break;
        case FR_TANH: v = FN(tanh)(v); break;
        case FR_ELU: v = FN(elu)(v); break;
        case FR_SOFTPLUS: v = FN(softplus)(v); break;
        case FR_FUNCTIONS: __builtin_unreachable();
        }
        FN(put)(y + i, v, n - i);
    }
}
