#include "ck_int_internal.h"

// Plain loops, vectorized by the compiler for each instruction set.

CK_INLINE void max_pool(
    const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const uint8_t *x, uint8_t none, uint8_t *y) {
  int64_t c = s->channels;
  for (int64_t b = 0; b < g->batch; b++)
    for (int64_t od = 0; od < s->output[0]; od++)
      for (int64_t oh = 0; oh < s->output[1]; oh++)
        for (int64_t ow = 0; ow < s->output[2]; ow++, y += c) {
          int first = 1;
          for (int64_t kd = 0; kd < s->kernel[0]; kd++)
            for (int64_t kh = 0; kh < s->kernel[1]; kh++)
              for (int64_t kw = 0; kw < s->kernel[2]; kw++) {
                int64_t d = od * s->stride[0] + kd * s->dilation[0] - g->begin[0];
                int64_t h = oh * s->stride[1] + kh * s->dilation[1] - g->begin[1];
                int64_t w = ow * s->stride[2] + kw * s->dilation[2] - g->begin[2];
                if (d < 0 || h < 0 || w < 0 || d >= g->input[0] || h >= g->input[1] || w >= g->input[2]) continue;
                const uint8_t *p = x + (((b * g->input[0] + d) * g->input[1] + h) * g->input[2] + w) * c;
                if (first) {
                  memcpy(y, p, (size_t)c);
                  first = 0;
                } else
                  for (int64_t i = 0; i < c; i++) y[i] = y[i] > p[i] ? y[i] : p[i];
              }
          if (first) memset(y, none, (size_t)c);
        }
}

CK_INLINE void pool_sums(
    const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const uint8_t *x, int32_t x_zero, int32_t *sums,
    int32_t *counts) {
  int64_t c = s->channels;
  for (int64_t b = 0; b < g->batch; b++) {
    int64_t pixel = 0;
    for (int64_t od = 0; od < s->output[0]; od++)
      for (int64_t oh = 0; oh < s->output[1]; oh++)
        for (int64_t ow = 0; ow < s->output[2]; ow++, sums += c, pixel++) {
          int32_t n = 0;
          memset(sums, 0, (size_t)c * 4);
          for (int64_t kd = 0; kd < s->kernel[0]; kd++)
            for (int64_t kh = 0; kh < s->kernel[1]; kh++)
              for (int64_t kw = 0; kw < s->kernel[2]; kw++) {
                int64_t d = od * s->stride[0] + kd * s->dilation[0] - g->begin[0];
                int64_t h = oh * s->stride[1] + kh * s->dilation[1] - g->begin[1];
                int64_t w = ow * s->stride[2] + kw * s->dilation[2] - g->begin[2];
                if (d < 0 || h < 0 || w < 0 || d >= g->input[0] || h >= g->input[1] || w >= g->input[2]) continue;
                const uint8_t *p = x + (((b * g->input[0] + d) * g->input[1] + h) * g->input[2] + w) * c;
                for (int64_t i = 0; i < c; i++) sums[i] += p[i];
                n++;
              }
          for (int64_t i = 0; i < c; i++) sums[i] = (int32_t)((uint32_t)sums[i] - (uint32_t)n * (uint32_t)x_zero);
          counts[pixel] = n;
        }
  }
}

CK_INLINE void sums_of(const uint8_t *x, int64_t outer, int64_t count, int64_t inner, int32_t x_zero, int32_t *sums) {
  for (int64_t o = 0; o < outer; o++, sums += inner) {
    if (inner == 1) {
      uint32_t sum = 0;
      for (int64_t k = 0; k < count; k++) sum += x[k];
      x += count;
      *sums = (int32_t)(sum - (uint32_t)count * (uint32_t)x_zero);
      continue;
    }
    memset(sums, 0, (size_t)inner * 4);
    for (int64_t k = 0; k < count; k++, x += inner)
      for (int64_t i = 0; i < inner; i++) sums[i] += x[i];
    for (int64_t i = 0; i < inner; i++) sums[i] = (int32_t)((uint32_t)sums[i] - (uint32_t)count * (uint32_t)x_zero);
  }
}

#define MAX_POOL(NAME) \
  static void NAME(const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const uint8_t *x, uint8_t none, uint8_t *y) { \
    max_pool(s, g, x, none, y); \
  }
#define POOL_SUMS(NAME) \
  static void NAME(const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const uint8_t *x, int32_t x_zero, int32_t *sums, \
                   int32_t *counts) { \
    pool_sums(s, g, x, x_zero, sums, counts); \
  }
#define SUMS(NAME) \
  static void NAME(const uint8_t *x, int64_t outer, int64_t count, int64_t inner, int32_t x_zero, int32_t *sums) { \
    sums_of(x, outer, count, inner, x_zero, sums); \
  }

MAX_POOL(max_pool_portable)
POOL_SUMS(pool_sums_portable)
SUMS(sums_portable)
#if CK_INT_X86
CK_AVX2 MAX_POOL(max_pool_avx2)
CK_AVX2 POOL_SUMS(pool_sums_avx2)
CK_AVX2 SUMS(sums_avx2)
CK_AVX512 MAX_POOL(max_pool_avx512)
CK_AVX512 POOL_SUMS(pool_sums_avx512)
CK_AVX512 SUMS(sums_avx512)
#endif

void ck_int_max_pool(
    const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const uint8_t *x, uint8_t none, uint8_t *y, ck_isa isa) {
  CK_INT_DISPATCH(isa, max_pool_portable(s, g, x, none, y), max_pool_avx2(s, g, x, none, y), max_pool_avx512(s, g, x, none, y));
}

void ck_int_pool_sums(
    const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const uint8_t *x, int32_t x_zero, int32_t *sums,
    int32_t *counts, ck_isa isa) {
  CK_INT_DISPATCH(isa, pool_sums_portable(s, g, x, x_zero, sums, counts), pool_sums_avx2(s, g, x, x_zero, sums, counts),
                  pool_sums_avx512(s, g, x, x_zero, sums, counts));
}

void ck_int_sums(
    const uint8_t *x, int64_t outer, int64_t count, int64_t inner, int32_t x_zero, int32_t *sums, ck_isa isa) {
  CK_INT_DISPATCH(isa, sums_portable(x, outer, count, inner, x_zero, sums), sums_avx2(x, outer, count, inner, x_zero, sums),
                  sums_avx512(x, outer, count, inner, x_zero, sums));
}
