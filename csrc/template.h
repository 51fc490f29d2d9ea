/* template.h - names and constants of the dtype at hand. Set FR_DTYPE (32 or 64) and FR_ISA, then include; each
 * inclusion replaces the one before. FN(lstm_forward) -> lstm_forward_f32_avx2 */
#ifndef FR_ISA
#error "template.h needs FR_ISA"
#endif

#undef FN
#undef T
#undef UINT
#undef FR_TINY
#undef FR_FAINT
#undef FR_MANTISSA
#undef FR_MAGIC

/* Small functions of vectors: part of their callers. */
#undef FR_INLINE
#define FR_INLINE static inline __attribute__((always_inline))

#define FR_PASTE3_(a, b, c) a##_##b##_##c
#define FR_PASTE3(a, b, c) FR_PASTE3_(a, b, c)

#if FR_DTYPE == 32
#define FN(name) FR_PASTE3(name, f32, FR_ISA)
#define T float
#define FR_TINY 0x1p-100f       /* what a step stores counts as +0 below this */
#define FR_FAINT 0x1p-63f       /* so do the operands of the gradients of parameters below this */
#define FR_MANTISSA 23
#define FR_MAGIC (0x1.8p23f + 127)
#elif FR_DTYPE == 64
#define FN(name) FR_PASTE3(name, f64, FR_ISA)
#define T double
#define FR_TINY 0x1p-900
#define FR_FAINT 0x1p-511
#define FR_MANTISSA 52
#define FR_MAGIC (0x1.8p52 + 1023)
#else
#error "template.h needs FR_DTYPE 32 or 64"
#endif

/* Terms of one block of a product (docs/numerics.md, section 1); rows of one chain of the gradient of a bias, and
 * chains of one group of it; rows after which both begin anew. */
#define FR_BLOCK 64
#define FR_CHAIN 16
#define FR_GROUP (FR_CHAIN * FR_CHAIN)
