/* arch: x86_64  flags: -mavx2 -mfma */
#define FR_ISA avx2
#define FR_SIMD 256
#define FR_REGISTERS 16
#include "kernels.inc"
