#pragma once

#include "ck_float.h"

extern const ck_float_kernels ck_float_kernels_portable;
#if defined(__x86_64__)
extern const ck_float_kernels ck_float_kernels_avx2;
extern const ck_float_kernels ck_float_kernels_avx512;
#endif
