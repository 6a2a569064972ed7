#pragma once
#include "../include/ck_integer_wide.h"
#include "ck_int_internal.h"

// The definitions of ck_integer_wide.h that have twins, and the twins.

typedef struct {
  int32_t fa, fb, fy;
  int32_t subtract;
} ck_wide_fractions;

// count elements; operand positions i * as and i * bs.
typedef void (*ck_wide_run)(
    const ck_wide_fractions *f, const int32_t *a, int64_t as, const int32_t *b, int64_t bs, int64_t count, int32_t *y);

// What one row of a normalization multiplies by: 2^s times the inverse of its root, less than 2^42, and d = count x - sum.
typedef struct {
  int64_t sum;
  uint64_t reciprocal;
  int32_t s;
} ck_wide_row;

ck_wide_row ck_wide_normalization_row(const ck_wide_normalization *n, int64_t sum, unsigned __int128 squares);

#define CK_WIDE_TWINS(SUFFIX) \
  void ck_wide_scale_##SUFFIX(const int32_t *x, int64_t count, ck_int_multiplier m, int32_t *y); \
  void ck_wide_add_##SUFFIX( \
      const ck_wide_fractions *f, const int32_t *a, int64_t as, const int32_t *b, int64_t bs, int64_t count, int32_t *y); \
  void ck_wide_multiply_##SUFFIX( \
      const ck_wide_fractions *f, const int32_t *a, int64_t as, const int32_t *b, int64_t bs, int64_t count, int32_t *y); \
  void ck_wide_apply_##SUFFIX(const ck_wide_function *g, const int32_t *x, int64_t count, int32_t *y); \
  void ck_wide_softmax_##SUFFIX( \
      const int32_t *x, int64_t rows, int64_t count, int32_t f, const uint32_t table[1025], int32_t *y); \
  void ck_wide_normalize_##SUFFIX(const ck_wide_normalization *n, const int32_t *x, int64_t rows, int32_t *y);

CK_WIDE_TWINS(portable)
#if CK_INT_X86
CK_WIDE_TWINS(avx512)
#endif

// One element of a normalized row.
int32_t ck_wide_normalized(const ck_wide_normalization *n, const ck_wide_row *row, const int32_t *x, int64_t i);
