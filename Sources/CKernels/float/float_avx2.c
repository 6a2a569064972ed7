#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define LANES 8
#define TILE_ROWS 6
#define TILE_VECTORS 2
#define TABLE ck_float_kernels_avx2
#define TABLE_ISA CK_ISA_AVX2

#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "kernels.h"

#pragma clang attribute pop

#endif
