/* simd.h - the vector type and its few operations, one block per vector width and dtype. Included after template.h,
 * once a dtype; each inclusion replaces the one before.
 *
 *   V, W              vector, number of lanes
 *   vset(x)           all lanes x                      vload(p) vstore(p, v)        any alignment
 *   vfma(a, b, c)     a*b + c, rounded once            vload_n(p, n) vstore_n(p, v, n)   the first n lanes, 0 < n < W;
 *   vlt(a, b, x, y)   a < b ? x : y                                                  nothing beyond is touched
 *   vle(a, b, x, y)   a <= b ? x : y                   vabs(v) vcopysign(magnitude, sign)
 *   vmin(a, b)        a < b ? a : b                    vziplo(a, b) vziphi(a, b)    interleave lower, upper halves
 *   vmax(a, b)        a > b ? a : b                    vpow2(t)          2^n where t = n + FR_MAGIC
 *   vkeep(v)          v stays in a register: the compiler does not load it anew for each use
 * and + - * / of C. */
#undef V
#undef W
#undef vset
#undef vload
#undef vstore
#undef vload_n
#undef vstore_n
#undef vfma
#undef vlt
#undef vle
#undef vkeep
#undef vmin
#undef vmax
#undef vabs
#undef vcopysign
#undef vpow2
#undef vziplo
#undef vziphi

#if FR_SIMD == 512
#include <immintrin.h>
#define vkeep(v) __asm__("" : "+v"(v))
#if FR_DTYPE == 32
#define V __m512
#define W 16
#define vset(x) _mm512_set1_ps(x)
#define vload(p) _mm512_loadu_ps(p)
#define vstore(p, v) _mm512_storeu_ps(p, v)
#define vload_n(p, n) _mm512_maskz_loadu_ps((__mmask16)((1u << (n)) - 1), p)
#define vstore_n(p, v, n) _mm512_mask_storeu_ps(p, (__mmask16)((1u << (n)) - 1), v)
#define vfma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define vlt(a, b, x, y) _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x)
#define vle(a, b, x, y) _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LE_OQ), y, x)
#define vmin(a, b) _mm512_min_ps(a, b)
#define vmax(a, b) _mm512_max_ps(a, b)
#define vabs(v) _mm512_abs_ps(v)
#define vcopysign(m, s)                                                                                         \
    _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(m), _mm512_castps_si512(s),                \
                                                  _mm512_castps_si512(vset(-0.0f)), 0xd8))
#define vpow2(t) _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(t), FR_MANTISSA))
#define vziplo(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define vziphi(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#else
#define V __m512d
#define W 8
#define vset(x) _mm512_set1_pd(x)
#define vload(p) _mm512_loadu_pd(p)
#define vstore(p, v) _mm512_storeu_pd(p, v)
#define vload_n(p, n) _mm512_maskz_loadu_pd((__mmask8)((1u << (n)) - 1), p)
#define vstore_n(p, v, n) _mm512_mask_storeu_pd(p, (__mmask8)((1u << (n)) - 1), v)
#define vfma(a, b, c) _mm512_fmadd_pd(a, b, c)
#define vlt(a, b, x, y) _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), y, x)
#define vle(a, b, x, y) _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LE_OQ), y, x)
#define vmin(a, b) _mm512_min_pd(a, b)
#define vmax(a, b) _mm512_max_pd(a, b)
#define vabs(v) _mm512_abs_pd(v)
#define vcopysign(m, s)                                                                                         \
    _mm512_castsi512_pd(_mm512_ternarylogic_epi64(_mm512_castpd_si512(m), _mm512_castpd_si512(s),                \
                                                  _mm512_castpd_si512(vset(-0.0)), 0xd8))
#define vpow2(t) _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(t), FR_MANTISSA))
#define vziplo(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define vziphi(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#endif

#elif FR_SIMD == 256
#include <immintrin.h>
#define vkeep(v) __asm__("" : "+x"(v))
#ifndef FR_LANE_MASKS
#define FR_LANE_MASKS
static const int32_t fr_lane_mask32[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
static const int64_t fr_lane_mask64[8] = {-1, -1, -1, -1};
#define fr_mask32(n) _mm256_loadu_si256((const __m256i *)(fr_lane_mask32 + 8 - (n)))
#define fr_mask64(n) _mm256_loadu_si256((const __m256i *)(fr_lane_mask64 + 4 - (n)))
#endif
#if FR_DTYPE == 32
#define V __m256
#define W 8
#define vset(x) _mm256_set1_ps(x)
#define vload(p) _mm256_loadu_ps(p)
#define vstore(p, v) _mm256_storeu_ps(p, v)
#define vload_n(p, n) _mm256_maskload_ps(p, fr_mask32(n))
#define vstore_n(p, v, n) _mm256_maskstore_ps(p, fr_mask32(n), v)
#define vfma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define vlt(a, b, x, y) _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ))
#define vle(a, b, x, y) _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LE_OQ))
#define vmin(a, b) _mm256_min_ps(a, b)
#define vmax(a, b) _mm256_max_ps(a, b)
#define vabs(v) _mm256_andnot_ps(vset(-0.0f), v)
#define vcopysign(m, s) _mm256_or_ps(_mm256_andnot_ps(vset(-0.0f), m), _mm256_and_ps(vset(-0.0f), s))
#define vpow2(t) _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(t), FR_MANTISSA))
#define vziplo(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define vziphi(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define V __m256d
#define W 4
#define vset(x) _mm256_set1_pd(x)
#define vload(p) _mm256_loadu_pd(p)
#define vstore(p, v) _mm256_storeu_pd(p, v)
#define vload_n(p, n) _mm256_maskload_pd(p, fr_mask64(n))
#define vstore_n(p, v, n) _mm256_maskstore_pd(p, fr_mask64(n), v)
#define vfma(a, b, c) _mm256_fmadd_pd(a, b, c)
#define vlt(a, b, x, y) _mm256_blendv_pd(y, x, _mm256_cmp_pd(a, b, _CMP_LT_OQ))
#define vle(a, b, x, y) _mm256_blendv_pd(y, x, _mm256_cmp_pd(a, b, _CMP_LE_OQ))
#define vmin(a, b) _mm256_min_pd(a, b)
#define vmax(a, b) _mm256_max_pd(a, b)
#define vabs(v) _mm256_andnot_pd(vset(-0.0), v)
#define vcopysign(m, s) _mm256_or_pd(_mm256_andnot_pd(vset(-0.0), m), _mm256_and_pd(vset(-0.0), s))
#define vpow2(t) _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(t), FR_MANTISSA))
#define vziplo(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define vziphi(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

#elif FR_SIMD == 128 || FR_SIMD == 0
/* 16-byte vectors of the compiler. FR_SIMD 128 is a machine with fused multiply-add (NEON); 0 is any machine. */
#include <math.h>
#include <string.h>
#define vkeep(v) (void)(v)
#ifndef FR_GENERIC_VECTORS
#define FR_GENERIC_VECTORS
typedef float fr_f32x4 __attribute__((vector_size(16)));
typedef double fr_f64x2 __attribute__((vector_size(16)));
typedef int32_t fr_i32x4 __attribute__((vector_size(16)));
typedef int64_t fr_i64x2 __attribute__((vector_size(16)));
#if FR_SIMD == 0
typedef double fr_f64x4 __attribute__((vector_size(32)));
typedef int64_t fr_i64x4 __attribute__((vector_size(32)));
#pragma GCC diagnostic ignored "-Wpsabi"

/* fma without the instruction, in float32: the product is exact in float64; the sum is rounded to odd there (where
 * two_sum finds a remainder and the last bit is even, one step towards the remainder), so that rounding it once more,
 * to float32, is correct. */
FR_INLINE fr_f32x4 fr_soft_fma32(fr_f32x4 a, fr_f32x4 b, fr_f32x4 c)
{
    fr_f64x4 p = __builtin_convertvector(a, fr_f64x4) * __builtin_convertvector(b, fr_f64x4);
    fr_f64x4 d = __builtin_convertvector(c, fr_f64x4);
    fr_f64x4 s = p + d, v = s - p, e = (p - (s - v)) + (d - v);
    fr_i64x4 bits = (fr_i64x4)s;
    fr_i64x4 inexact = (e < 0) | (e > 0);                       /* false where the sum is not finite */
    fr_i64x4 even = (bits & 1) - 1;                             /* -1 where the last bit is 0 */
    fr_i64x4 step = ((e < 0) ^ (s < 0)) | 1;                    /* +1 away from zero, -1 towards it */
    s = (fr_f64x4)(bits + (step & inexact & even));
    return __builtin_convertvector(s, fr_f32x4);
}

/* In float64 (Boldo and Melquiond, 2008): the product and two sums are split into what they are and what they lack; the
 * two remainders are added rounding to odd, and then once more. Exact while nothing over- or underflows on the way;
 * elsewhere, and where a factor is not finite, the C library's fma, which is slow but right. */
static __attribute__((noinline, cold)) fr_f64x2 fr_library_fma64(fr_f64x2 a, fr_f64x2 b, fr_f64x2 c)
{
    return (fr_f64x2){fma(a[0], b[0], c[0]), fma(a[1], b[1], c[1])};
}

FR_INLINE fr_f64x2 fr_abs64(fr_f64x2 v) { return (fr_f64x2)((fr_i64x2)v & INT64_MAX); }

FR_INLINE fr_f64x2 fr_soft_fma64(fr_f64x2 a, fr_f64x2 b, fr_f64x2 c)
{
    fr_f64x2 p = a * b, size = fr_abs64(p);
    fr_i64x2 tame = (fr_abs64(a) < 0x1p970) & (fr_abs64(b) < 0x1p970) & (fr_abs64(c) < 0x1p1000);
    fr_i64x2 zero = (a == 0) | (b == 0);
    fr_i64x2 exact = tame & (zero | ((size >= 0x1p-900) & (size < 0x1p1000)));
    if (__builtin_expect(!(exact[0] & exact[1]), 0))
        return fr_library_fma64(a, b, c);
    fr_f64x2 x = a * 0x1.0000002p27, y = b * 0x1.0000002p27;        /* halves of the factors */
    fr_f64x2 ah = x - (x - a), bh = y - (y - b), al = a - ah, bl = b - bh;
    fr_f64x2 low = al * bl - (((p - ah * bh) - al * bh) - ah * bl); /* p + low = a * b */
    fr_f64x2 th = c + low, v = th - c, tl = (c - (th - v)) + (low - v);
    fr_f64x2 uh = p + th, w = uh - p, ul = (p - (uh - w)) + (th - w);
    fr_f64x2 z = tl + ul, k = z - tl, e = (tl - (z - k)) + (ul - k);
    fr_i64x2 inexact = (e < 0) | (e > 0), even = ((fr_i64x2)z & 1) - 1, step = ((e < 0) ^ (z < 0)) | 1;
    z = (fr_f64x2)((fr_i64x2)z + (step & inexact & even));
    fr_f64x2 sum = uh + z, plain = p + c;
    return (fr_f64x2)((zero & (fr_i64x2)plain) | (~zero & (fr_i64x2)sum));
}
#else
#include <arm_neon.h>
#endif
#endif
#if FR_DTYPE == 32
#define V fr_f32x4
#define FR_IV fr_i32x4
#define W 4
#define vset(x) ((V){x, x, x, x})
#if FR_SIMD == 0
#define vfma(a, b, c) fr_soft_fma32(a, b, c)
#else
#define vfma(a, b, c) ((V)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))
#endif
#define vziplo(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define vziphi(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#else
#undef FR_IV
#define V fr_f64x2
#define FR_IV fr_i64x2
#define W 2
#define vset(x) ((V){x, x})
#if FR_SIMD == 0
#define vfma(a, b, c) fr_soft_fma64(a, b, c)
#else
#define vfma(a, b, c) ((V)vfmaq_f64((float64x2_t)(c), (float64x2_t)(a), (float64x2_t)(b)))
#endif
#define vziplo(a, b) __builtin_shufflevector(a, b, 0, 2)
#define vziphi(a, b) __builtin_shufflevector(a, b, 1, 3)
#endif
FR_INLINE V FN(load)(const T *p) { V v; memcpy(&v, p, sizeof v); return v; }
FR_INLINE void FN(store)(T *p, V v) { memcpy(p, &v, sizeof v); }
FR_INLINE V FN(load_n)(const T *p, ptrdiff_t n)
{
    V v = vset(0);
    for (ptrdiff_t i = 0; i < W && i < n; i++)
        v[i] = p[i];
    return v;
}
FR_INLINE void FN(store_n)(T *p, V v, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < W && i < n; i++)
        p[i] = v[i];
}
FR_INLINE V FN(select)(FR_IV mask, V x, V y)
{
    return (V)((mask & (FR_IV)x) | (~mask & (FR_IV)y));
}
#define vload(p) FN(load)(p)
#define vstore(p, v) FN(store)(p, v)
#define vload_n(p, n) FN(load_n)(p, n)
#define vstore_n(p, v, n) FN(store_n)(p, v, n)
#define vlt(a, b, x, y) FN(select)((a) < (b), x, y)
#define vle(a, b, x, y) FN(select)((a) <= (b), x, y)
#define vmin(a, b) vlt(a, b, a, b)
#define vmax(a, b) vlt(b, a, a, b)
#define vabs(v) ((V)((FR_IV)(v) & ~(FR_IV)vset(-(T)0)))
#define vcopysign(m, s) ((V)(((FR_IV)(m) & ~(FR_IV)vset(-(T)0)) | ((FR_IV)(s) & (FR_IV)vset(-(T)0))))
#define vpow2(t) ((V)((FR_IV)(t) << FR_MANTISSA))
#else
#error "simd.h needs FR_SIMD 0, 128, 256 or 512"
#endif
