#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define LANES 16
#define TILE_ROWS 12
#define TILE_VECTORS 2
#define TABLE ck_float_kernels_avx512
#define TABLE_ISA CK_ISA_AVX512

#define FEATURES "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma"
#pragma clang attribute push(__attribute__((target(FEATURES))), apply_to = function)
#include "kernels.h"

#pragma clang attribute pop

#endif
