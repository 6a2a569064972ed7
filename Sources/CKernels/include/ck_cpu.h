#pragma once

/// Instruction sets with kernels of their own, in the order of preference.
/// `CK_ISA_PORTABLE` is plain C: the definition that every other one equals bit for bit.
typedef enum ck_isa {
  CK_ISA_PORTABLE = 0,
  /// AVX2 and FMA.
  CK_ISA_AVX2 = 1,
  /// AVX2, FMA and AVX-VNNI (256-bit `vpdpbusd`); float kernels are those of AVX2.
  CK_ISA_AVXVNNI = 2,
  /// AVX-512 F, BW, VL, DQ and VNNI.
  CK_ISA_AVX512 = 3,
} ck_isa;

/// Whether this machine and its operating system can run `isa`.
int ck_isa_available(ck_isa isa);

/// The best instruction set of this machine.
ck_isa ck_isa_best(void);

/// The instruction set that kernels use: the best one, or the environment's `ONNXQ_ISA`
/// (`portable`, `avx2`, `avxvnni`, `avx512`) if that names one that this machine has.
ck_isa ck_isa_current(void);

/// The name that `ONNXQ_ISA` takes.
const char *ck_isa_name(ck_isa isa);
