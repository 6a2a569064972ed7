#include "ck_int_internal.h"

#if CK_INT_X86
#include <immintrin.h>

// AVX2 without VNNI: vpmaddubsw would saturate, so both sides are widened to int16 and vpmaddwd is exact. One
// accumulator holds, for four outputs, the sums of the even and of the odd pair of each group of four.

#define UNROLL _Pragma("GCC unroll 8")

#define HALF(ROWS) \
  CK_AVX2 static void half_##ROWS(const ck_tile *t, const uint8_t *const *a, const int8_t *b, int32_t (*sums)[CK_PANEL]) { \
    __m256i acc[ROWS][4]; \
    UNROLL for (int i = 0; i < ROWS; i++) UNROLL for (int v = 0; v < 4; v++) acc[i][v] = _mm256_setzero_si256(); \
    int64_t length = 4 * t->quads, step = t->narrow ? 64 : 128; \
    const uint8_t *p[ROWS]; \
    UNROLL for (int i = 0; i < ROWS; i++) p[i] = a[i] + length; \
    for (int64_t s = 0; s < t->strips; s++) { \
      for (int64_t k = -length; k; k += 4, b += step) { \
        __m256i x[ROWS]; \
        UNROLL for (int i = 0; i < ROWS; i++) { \
          int32_t four; \
          memcpy(&four, p[i] + k, 4); \
          x[i] = _mm256_cvtepu8_epi16(_mm_set1_epi32(four)); \
        } \
        UNROLL for (int v = 0; v < 4; v++) { \
          __m256i w = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(b + 16 * v))); \
          UNROLL for (int i = 0; i < ROWS; i++) acc[i][v] = _mm256_add_epi32(acc[i][v], _mm256_madd_epi16(x[i], w)); \
        } \
      } \
      int64_t next = t->advance[s]; \
      UNROLL for (int i = 0; i < ROWS; i++) p[i] += next; \
    } \
    UNROLL for (int i = 0; i < ROWS; i++) UNROLL for (int v = 0; v < 4; v += 2) { \
      __m256i h = _mm256_hadd_epi32(acc[i][v], acc[i][v + 1]); \
      _mm256_storeu_si256((__m256i *)(sums[i] + 4 * v), _mm256_permute4x64_epi64(h, 0xD8)); \
    } \
  }

HALF(1) HALF(2) HALF(3)

// Eight lanes of round(acc * scale); the bounds are those of the AVX-512 twin.
CK_AVX2 static inline __attribute__((always_inline)) __m256i round8(
    __m256i v, const float *scale, const double *wide, ck_finish finish) {
  if (finish == CK_FINISH_FMA32)
    return _mm256_sub_epi32(
        _mm256_castps_si256(_mm256_fmadd_ps(_mm256_cvtepi32_ps(v), _mm256_load_ps(scale), _mm256_set1_ps(12582912.0f))),
        _mm256_set1_epi32(0x4B400000));
  if (finish == CK_FINISH_FMA64) {
    const __m256d magic = _mm256_set1_pd(6755399441055744.0);
    __m256d a = _mm256_cvtepi32_pd(_mm256_castsi256_si128(v)), b = _mm256_cvtepi32_pd(_mm256_extracti128_si256(v, 1));
    a = _mm256_fmadd_pd(a, _mm256_load_pd(wide), magic);
    b = _mm256_fmadd_pd(b, _mm256_load_pd(wide + 4), magic);
    __m256 even = _mm256_shuffle_ps(_mm256_castpd_ps(a), _mm256_castpd_ps(b), 0x88);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(even), 0xD8);
  }
  __m256 r = _mm256_mul_ps(_mm256_cvtepi32_ps(v), _mm256_load_ps(scale));
  r = _mm256_min_ps(_mm256_max_ps(r, _mm256_set1_ps(-1048576.0f)), _mm256_set1_ps(1048576.0f));
  return _mm256_cvtps_epi32(r);
}

CK_AVX2 static void finish_row(
    const ck_tile *t, const ck_panel *q, int32_t *acc, const int32_t *row_sum, void *y, int outputs) {
  int32_t done[CK_PANEL];
  int width = ck_panel_width(t->narrow);
  __m256i sum = _mm256_set1_epi32(row_sum ? *row_sum : 0);
  __m256i lo = _mm256_set1_epi32(t->lo), hi = _mm256_set1_epi32(t->hi), zero = _mm256_set1_epi32(t->zero);
  for (int j = 0; j < width; j += 8) {
    __m256i v = _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)(acc + j)), _mm256_load_si256((const __m256i *)(q->init + j)));
    if (row_sum) v = _mm256_sub_epi32(v, _mm256_mullo_epi32(sum, _mm256_load_si256((const __m256i *)(q->w_zero + j))));
    if (t->finish != CK_FINISH_RAW) {
      v = _mm256_add_epi32(round8(v, q->scale + j, q->wide + j, t->finish), zero);
      v = _mm256_min_epi32(_mm256_max_epi32(v, lo), hi);
    }
    _mm256_storeu_si256((__m256i *)(done + j), v);
  }
  if (t->finish == CK_FINISH_RAW) {
    for (int j = 0; j < width; j++)
      if (ck_panel_lane(t->narrow, j) < outputs) ((int32_t *)y)[ck_panel_lane(t->narrow, j)] = done[j];
  } else if (outputs == CK_PANEL) {
    for (int j = 0; j < CK_PANEL; j++) ((uint8_t *)y)[ck_lane(j)] = (uint8_t)done[j];
  } else {
    for (int j = 0; j < width; j++)
      if (ck_panel_lane(t->narrow, j) < outputs) ((uint8_t *)y)[ck_panel_lane(t->narrow, j)] = (uint8_t)done[j];
  }
}

void ck_tile_avx2(int rows, const ck_tile *t, const uint8_t *const *a, const int8_t *b, const ck_panel *q,
                  const int32_t *row_sums, void *const *y, int outputs) {
  for (int r = 0; r < rows;) {
    int n = rows - r == 4 ? 2 : rows - r < 3 ? rows - r : 3;
    int32_t sums[3][CK_PANEL];
    for (int h = 0; h < (t->narrow ? 1 : 2); h++) {
      int32_t(*to)[CK_PANEL] = (int32_t(*)[CK_PANEL])(sums[0] + 16 * h);
      if (n == 3) half_3(t, a + r, b + 64 * h, to);
      else if (n == 2) half_2(t, a + r, b + 64 * h, to);
      else half_1(t, a + r, b + 64 * h, to);
    }
    for (int i = 0; i < n; i++) finish_row(t, q, sums[i], row_sums ? row_sums + r + i : NULL, y[r + i], outputs);
    r += n;
  }
}
#endif
