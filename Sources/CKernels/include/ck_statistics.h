#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ck_cpu.h"
#include "ck_threads.h"

/// Bins of the histogram: sign, 8 bits of exponent, 8 bits of mantissa, as they stand in the float.
enum { CK_HISTOGRAM_BINS = 1 << 17 };

/// Counts and extremes of finite elements. Zeros of both signs are zeros; `min` is +inf and `max` -inf of nothing
/// finite.
typedef struct ck_summary {
  uint64_t count, zeros, nans, positive_infinities, negative_infinities;
  float min, max;
} ck_summary;

/// The bin of a float: the top 17 bits of its pattern.
static inline uint32_t ck_histogram_bin(float x) {
  union {
    float value;
    uint32_t bits;
  } pattern = {x};
  return pattern.bits >> 15;
}

/// The summary of n floats. -0 counts as a zero and its extreme is 0 without a sign.
ck_summary ck_summarize(ck_isa isa, ck_pool *pool, const float *x, ptrdiff_t n);

/// Adds the elements of x to `bins` (CK_HISTOGRAM_BINS counters). NaN and infinities are counted in the bins of their
/// patterns. Additions are atomic, so several callers may share `bins`.
void ck_histogram(ck_pool *pool, const float *x, ptrdiff_t n, uint64_t *bins);

/// Per channel of x[outer][channels][inner]: the sums of the elements and of their squares in float64, minimum and
/// maximum (NaN elements are left out of the extremes, not of the sums). Each sum is a fixed tree: within a run of `inner` element i goes to lane i mod 16,
/// lanes are folded 8, 4, 2, 1; the runs are added in the order of outer. With inner = 1 elements are taken in order.
/// Any of the results may be NULL.
void ck_channel_statistics(ck_isa isa, ck_pool *pool, const float *x, ptrdiff_t outer, ptrdiff_t channels,
                           ptrdiff_t inner, double *sums, double *squares, float *minima, float *maxima);
