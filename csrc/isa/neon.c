/* arch: aarch64  flags: */
#define FR_ISA neon
#define FR_SIMD 128
#define FR_REGISTERS 32
#include "kernels.inc"
