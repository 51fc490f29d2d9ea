/* arch: x86_64  flags: -mavx512f -mavx512dq -mavx512vl -mavx512bw -mavx2 -mfma -mprefer-vector-width=512 */
#define FR_ISA avx512
#define FR_SIMD 512
#define FR_REGISTERS 32
#include "kernels.inc"
