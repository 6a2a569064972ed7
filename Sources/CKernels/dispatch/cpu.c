#include "ck_cpu.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"portable", "avx2", "avxvnni", "avx512"};

int ck_isa_available(ck_isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  switch (isa) {
  case CK_ISA_PORTABLE:
    return 1;
  case CK_ISA_AVX2:
    return avx2;
  case CK_ISA_AVXVNNI:
    return avx2 && __builtin_cpu_supports("avxvnni");
  case CK_ISA_AVX512:
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
  }
  return 0;
#else
  return isa == CK_ISA_PORTABLE;
#endif
}

ck_isa ck_isa_best(void) {
  for (int isa = CK_ISA_AVX512; isa > CK_ISA_PORTABLE; isa--)
    if (ck_isa_available((ck_isa)isa)) return (ck_isa)isa;
  return CK_ISA_PORTABLE;
}

ck_isa ck_isa_current(void) {
  // Racing first calls compute the same value.
  static _Atomic int chosen = -1;
  int isa = atomic_load_explicit(&chosen, memory_order_relaxed);
  if (isa >= 0) return (ck_isa)isa;
  isa = ck_isa_best();
  const char *wanted = getenv("ONNXQ_ISA");
  for (int i = CK_ISA_PORTABLE; wanted && i <= CK_ISA_AVX512; i++)
    if (!strcmp(wanted, names[i]) && ck_isa_available((ck_isa)i)) isa = i;
  atomic_store_explicit(&chosen, isa, memory_order_relaxed);
  return (ck_isa)isa;
}

const char *ck_isa_name(ck_isa isa) {
  return isa >= CK_ISA_PORTABLE && isa <= CK_ISA_AVX512 ? names[isa] : "unknown";
}
