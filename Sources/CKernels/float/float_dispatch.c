#include "ck_float.h"

#include "tables.h"

const ck_float_kernels *ck_float_kernels_for(ck_isa isa) {
  if (!ck_isa_available(isa)) return &ck_float_kernels_portable;
  switch (isa) {
#if defined(__x86_64__)
  case CK_ISA_AVX512:
    return &ck_float_kernels_avx512;
  case CK_ISA_AVX2:
  case CK_ISA_AVXVNNI:
    return &ck_float_kernels_avx2;
#endif
  default:
    return &ck_float_kernels_portable;
  }
}

const ck_float_kernels *ck_float(void) { return ck_float_kernels_for(ck_isa_current()); }
