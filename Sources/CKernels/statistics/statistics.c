#include "ck_statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ck_cpu.h"

#pragma STDC FP_CONTRACT OFF

typedef float v16f __attribute__((ext_vector_type(16)));
typedef int32_t v16i __attribute__((ext_vector_type(16)));
typedef uint32_t v16u __attribute__((ext_vector_type(16)));
typedef float v16f_any __attribute__((ext_vector_type(16), aligned(4), may_alias));
typedef double v16d __attribute__((ext_vector_type(16)));

#define INLINE static inline __attribute__((always_inline))

// ---- summary

enum { SUMMARY_BLOCK = 1 << 16 };

typedef struct {
  uint64_t zeros, nans, positive_infinities, negative_infinities;
  float min, max;
} partial;

// One block of at most SUMMARY_BLOCK elements. Elements that are not finite take the place of neutral ones.
INLINE partial summarize_block(const float *x, ptrdiff_t n) {
  v16i zeros = 0, nans = 0, positive = 0, negative = 0;
  v16f low = INFINITY, high = -INFINITY;
  for (ptrdiff_t i = 0; i < n; i += 16) {
    v16f v;
    if (n - i >= 16) {
      v = *(const v16f_any *)(x + i);
    } else {
      // Ones are neutral for every count; the extremes leave them out below.
      float rest[16];
      for (int j = 0; j < 16; j++) rest[j] = j < n - i ? x[i + j] : x[i];
      v = *(const v16f_any *)rest;
      v16i there;
      for (int j = 0; j < 16; j++) there[j] = j < n - i ? -1 : 0;
      zeros -= (v == 0) & there;
      nans -= (v != v) & there;
      positive -= (v == INFINITY) & there;
      negative -= (v == -INFINITY) & there;
      v16i finite = (v < INFINITY) & (v > -INFINITY);
      low = ((v < low) & finite) ? v : low;
      high = ((v > high) & finite) ? v : high;
      continue;
    }
    zeros -= v == 0;
    nans -= v != v;
    positive -= v == INFINITY;
    negative -= v == -INFINITY;
    low = ((v < low) & (v > -INFINITY)) ? v : low;
    high = ((v > high) & (v < INFINITY)) ? v : high;
  }
  partial p = {0, 0, 0, 0, INFINITY, -INFINITY};
  for (int j = 0; j < 16; j++) {
    p.zeros += (uint64_t)zeros[j];
    p.nans += (uint64_t)nans[j];
    p.positive_infinities += (uint64_t)positive[j];
    p.negative_infinities += (uint64_t)negative[j];
    if (low[j] < p.min) p.min = low[j];
    if (high[j] > p.max) p.max = high[j];
  }
  return p;
}

// ---- sums

INLINE double folded_lanes(const v16d *lanes) {
  double folded[16];
  for (int j = 0; j < 16; j++) folded[j] = (*lanes)[j];
  for (int half = 8; half; half /= 2)
    for (int j = 0; j < half; j++) folded[j] = folded[j] + folded[j + half];
  return folded[0];
}

// The sums of a run and of its squares in 16 lanes of float64, with its extremes. The square of a float is exact in
// float64, so a fused multiply-add gives the same sum as two operations.
INLINE void channel_run(const float *x, ptrdiff_t n, double *sum, double *square, float *low_out, float *high_out) {
  v16d lanes = 0, squares = 0;
  v16f low = INFINITY, high = -INFINITY;
  ptrdiff_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const v16f v = *(const v16f_any *)(x + i);
    const v16d wide = __builtin_convertvector(v, v16d);
    lanes += wide;
    squares += wide * wide;
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
  if (i < n) {
    // A lane begins at +0, so that adding +0 for a missing element changes nothing.
    float rest[16], neutral[16];
    for (int j = 0; j < 16; j++) {
      rest[j] = j < n - i ? x[i + j] : 0;
      neutral[j] = j < n - i ? x[i + j] : NAN;
    }
    const v16d wide = __builtin_convertvector(*(const v16f_any *)rest, v16d);
    lanes += wide;
    squares += wide * wide;
    const v16f v = *(const v16f_any *)neutral;
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
  for (int j = 0; j < 16; j++) {
    if (low[j] < *low_out) *low_out = low[j];
    if (high[j] > *high_out) *high_out = high[j];
  }
  *sum += folded_lanes(&lanes);
  *square += folded_lanes(&squares);
}

// Channels c0 ..< c1 that are contiguous, rows `channels` apart, in order.
INLINE void channel_columns(const float *x, ptrdiff_t outer, ptrdiff_t channels, ptrdiff_t count, double *sums,
                            double *squares, float *lows, float *highs) {
  ptrdiff_t c = 0;
  for (; c < count; c += 16) {
    v16d sum = 0, square = 0;
    v16f low = INFINITY, high = -INFINITY;
    ptrdiff_t width = count - c < 16 ? count - c : 16;
    for (ptrdiff_t o = 0; o < outer; o++) {
      const float *at = x + o * channels + c;
      v16f v;
      if (width == 16) {
        v = *(const v16f_any *)at;
      } else {
        float part[16];
        for (int j = 0; j < 16; j++) part[j] = j < width ? at[j] : 0;
        v = *(const v16f_any *)part;
      }
      const v16d wide = __builtin_convertvector(v, v16d);
      sum += wide;
      square += wide * wide;
      low = v < low ? v : low;
      high = v > high ? v : high;
    }
    for (ptrdiff_t j = 0; j < width; j++) {
      if (sums) sums[c + j] = sum[j];
      if (squares) squares[c + j] = square[j];
      if (lows) lows[c + j] = low[j] == 0 ? 0 : low[j];
      if (highs) highs[c + j] = high[j] == 0 ? 0 : high[j];
    }
  }
}

typedef struct {
  partial (*summarize)(const float *, ptrdiff_t);
  void (*run)(const float *, ptrdiff_t, double *, double *, float *, float *);
  void (*columns)(const float *, ptrdiff_t, ptrdiff_t, ptrdiff_t, double *, double *, float *, float *);
} statistics_kernels;

#define STATISTICS(NAME, TARGET)                                                                                       \
  TARGET static partial summarize_##NAME(const float *x, ptrdiff_t n) { return summarize_block(x, n); }                \
  TARGET static void run_##NAME(const float *x, ptrdiff_t n, double *sum, double *square, float *low, float *high) {   \
    channel_run(x, n, sum, square, low, high);                                                                         \
  }                                                                                                                    \
  TARGET static void columns_##NAME(const float *x, ptrdiff_t outer, ptrdiff_t channels, ptrdiff_t count,              \
                                    double *sums, double *squares, float *lows, float *highs) {                        \
    channel_columns(x, outer, channels, count, sums, squares, lows, highs);                                            \
  }                                                                                                                    \
  static const statistics_kernels kernels_##NAME = {summarize_##NAME, run_##NAME, columns_##NAME};

STATISTICS(portable, )
#if defined(__x86_64__)
STATISTICS(avx2, __attribute__((target("avx2,fma"))))
STATISTICS(avx512, __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))))
#endif

static const statistics_kernels *kernels_for(ck_isa isa) {
#if defined(__x86_64__)
  if (isa == CK_ISA_AVX512 && ck_isa_available(isa)) return &kernels_avx512;
  if ((isa == CK_ISA_AVX2 || isa == CK_ISA_AVXVNNI) && ck_isa_available(isa)) return &kernels_avx2;
#endif
  (void)isa;
  return &kernels_portable;
}

typedef struct {
  const statistics_kernels *kernels;
  const float *x;
  ptrdiff_t n;
  partial *blocks;
} summary_call;

static void summary_task(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const summary_call *c = context;
  for (ptrdiff_t block = begin; block < end; block++) {
    ptrdiff_t at = block * SUMMARY_BLOCK, n = c->n - at < SUMMARY_BLOCK ? c->n - at : SUMMARY_BLOCK;
    c->blocks[block % 256] = c->kernels->summarize(c->x + at, n);
  }
}

ck_summary ck_summarize(ck_isa isa, ck_pool *pool, const float *x, ptrdiff_t n) {
  ck_summary s = {.count = (uint64_t)(n > 0 ? n : 0), .min = INFINITY, .max = -INFINITY};
  partial blocks[256];
  while (n > 0) {
    ptrdiff_t now = n < 256 * (ptrdiff_t)SUMMARY_BLOCK ? n : 256 * (ptrdiff_t)SUMMARY_BLOCK;
    ptrdiff_t count = (now + SUMMARY_BLOCK - 1) / SUMMARY_BLOCK;
    summary_call call = {kernels_for(isa), x, now, blocks};
    ck_parallel_for(pool, count, 1, summary_task, &call);
    for (ptrdiff_t i = 0; i < count; i++) {
      s.zeros += blocks[i].zeros;
      s.nans += blocks[i].nans;
      s.positive_infinities += blocks[i].positive_infinities;
      s.negative_infinities += blocks[i].negative_infinities;
      if (blocks[i].min < s.min) s.min = blocks[i].min;
      if (blocks[i].max > s.max) s.max = blocks[i].max;
    }
    x += now;
    n -= now;
  }
  // -0 compares equal to 0: one of the two is written.
  if (s.min == 0) s.min = 0;
  if (s.max == 0) s.max = 0;
  return s;
}

// ---- histogram

// Four tables of 32-bit counters take turns, so that equal neighbours do not wait for each other. A call of a thread
// adds at most HISTOGRAM_BLOCK elements before they are added up; what it touched is noted by pages of bins.
enum { TABLES = 4, PAGE_BITS = 8, PAGES = CK_HISTOGRAM_BINS >> PAGE_BITS, HISTOGRAM_BLOCK = 1 << 20 };

typedef struct {
  const float *x;
  ptrdiff_t n;
  uint64_t *bins;
} histogram_call;

typedef struct {
  uint32_t count[TABLES][CK_HISTOGRAM_BINS];
  uint8_t touched[PAGES];
} tables;

static void histogram_task(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const histogram_call *c = context;
  tables *t = ck_scratch(3, sizeof(tables)); // zeros at first, and left as zeros
  for (ptrdiff_t at = begin; at < end;) {
    ptrdiff_t stop = end - at < HISTOGRAM_BLOCK ? end : at + HISTOGRAM_BLOCK;
    ptrdiff_t i = at;
    for (; i + TABLES <= stop; i += TABLES) {
      uint32_t a = ck_histogram_bin(c->x[i]), b = ck_histogram_bin(c->x[i + 1]), d = ck_histogram_bin(c->x[i + 2]),
               e = ck_histogram_bin(c->x[i + 3]);
      t->count[0][a]++;
      t->count[1][b]++;
      t->count[2][d]++;
      t->count[3][e]++;
      t->touched[a >> PAGE_BITS] = 1;
      t->touched[b >> PAGE_BITS] = 1;
      t->touched[d >> PAGE_BITS] = 1;
      t->touched[e >> PAGE_BITS] = 1;
    }
    for (; i < stop; i++) {
      uint32_t a = ck_histogram_bin(c->x[i]);
      t->count[0][a]++;
      t->touched[a >> PAGE_BITS] = 1;
    }
    at = stop;
    for (int page = 0; page < PAGES; page++) {
      if (!t->touched[page]) continue;
      t->touched[page] = 0;
      for (int bin = page << PAGE_BITS; bin < (page + 1) << PAGE_BITS; bin++) {
        uint64_t sum = (uint64_t)t->count[0][bin] + t->count[1][bin] + t->count[2][bin] + t->count[3][bin];
        if (!sum) continue;
        __atomic_fetch_add(&c->bins[bin], sum, __ATOMIC_RELAXED);
        t->count[0][bin] = t->count[1][bin] = t->count[2][bin] = t->count[3][bin] = 0;
      }
    }
  }
}

void ck_histogram(ck_pool *pool, const float *x, ptrdiff_t n, uint64_t *bins) {
  histogram_call call = {x, n, bins};
  ptrdiff_t grain = n / (4 * (ptrdiff_t)ck_pool_threads(pool));
  ck_parallel_for(pool, n, grain < 1 << 17 ? 1 << 17 : grain, histogram_task, &call);
}

// ---- channels

typedef struct {
  const statistics_kernels *kernels;
  const float *x;
  ptrdiff_t outer, channels, inner;
  double *sums, *squares;
  float *minima, *maxima;
} channel_call;

static void channel_task(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const channel_call *c = context;
  if (c->inner == 1) {
    c->kernels->columns(c->x + begin, c->outer, c->channels, end - begin, c->sums ? c->sums + begin : NULL,
                        c->squares ? c->squares + begin : NULL, c->minima ? c->minima + begin : NULL,
                        c->maxima ? c->maxima + begin : NULL);
    return;
  }
  for (ptrdiff_t channel = begin; channel < end; channel++) {
    double sum = 0, square = 0;
    float low = INFINITY, high = -INFINITY;
    for (ptrdiff_t o = 0; o < c->outer; o++)
      c->kernels->run(c->x + (o * c->channels + channel) * c->inner, c->inner, &sum, &square, &low,
                      &high);
    if (c->sums) c->sums[channel] = sum;
    if (c->squares) c->squares[channel] = square;
    if (c->minima) c->minima[channel] = low == 0 ? 0 : low;
    if (c->maxima) c->maxima[channel] = high == 0 ? 0 : high;
  }
}

void ck_channel_statistics(ck_isa isa, ck_pool *pool, const float *x, ptrdiff_t outer, ptrdiff_t channels,
                           ptrdiff_t inner, double *sums, double *squares, float *minima, float *maxima) {
  channel_call call = {kernels_for(isa), x, outer, channels, inner, sums, squares, minima, maxima};
  ptrdiff_t each = outer * inner > 0 ? outer * inner : 1, grain = (1 << 16) / each;
  if (inner == 1) grain = (grain + 63) / 64 * 64;
  ck_parallel_for(pool, channels, grain < 1 ? 1 : grain, channel_task, &call);
}
