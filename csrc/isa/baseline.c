/* arch: any  flags: */
#define FR_ISA baseline
#define FR_SIMD 0
#define FR_REGISTERS 8
#include "kernels.inc"
