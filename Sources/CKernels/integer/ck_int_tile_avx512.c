#include "ck_int_internal.h"

#if CK_INT_X86
#include <immintrin.h>

// AVX-512 VNNI: vpdpbusd adds four uint8 * int8 products to an int32 without saturation. Declared users of the
// floating-point unit for requantization, under the bounds of choose_finish (ck_int_conv.c).

#define UNROLL _Pragma("GCC unroll 16")
#define KERNEL CK_AVX512 static inline __attribute__((always_inline))
// One index into all rows: the compiler would advance each row's pointer instead, and run out of registers.
#define KEEP_INDEX(k) __asm__("" : "+r"(k))
enum { AHEAD = 8192 };  // prefetch distance into the weights, bytes

KERNEL __m512i round16(__m512i v, const float *scale, const double *wide, ck_finish finish) {
  switch (finish) {
    case CK_FINISH_FMA32:
      return _mm512_sub_epi32(
          _mm512_castps_si512(_mm512_fmadd_ps(_mm512_cvtepi32_ps(v), _mm512_load_ps(scale), _mm512_set1_ps(12582912.0f))),
          _mm512_set1_epi32(0x4B400000));
    case CK_FINISH_FMA64: {
      const __m512d magic = _mm512_set1_pd(6755399441055744.0);
      __m512d a = _mm512_cvtepi32_pd(_mm512_castsi512_si256(v)), b = _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(v, 1));
      a = _mm512_fmadd_pd(a, _mm512_load_pd(wide), magic);
      b = _mm512_fmadd_pd(b, _mm512_load_pd(wide + 8), magic);
      return _mm512_inserti64x4(
          _mm512_castsi256_si512(_mm512_cvtepi64_epi32(_mm512_castpd_si512(a))),
          _mm512_cvtepi64_epi32(_mm512_castpd_si512(b)), 1);
    }
    default: {
      __m512 r = _mm512_mul_ps(_mm512_cvtepi32_ps(v), _mm512_load_ps(scale));
      r = _mm512_min_ps(_mm512_max_ps(r, _mm512_set1_ps(-1048576.0f)), _mm512_set1_ps(1048576.0f));
      return _mm512_cvtps_epi32(r);
    }
  }
}

// 32 lanes to 32 int16 in natural order, the zero point added with saturation.
KERNEL __m512i pack32(__m512i v0, __m512i v1, __m512i zero) {
  return _mm512_adds_epi16(_mm512_packs_epi32(v0, v1), zero);
}

KERNEL void store_rows(uint8_t *y0, uint8_t *y1, __m512i p0, __m512i p1, __m512i lo, __m512i hi, __mmask32 mask) {
  __m512i r = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), _mm512_packus_epi16(p0, p1));
  r = _mm512_min_epu8(_mm512_max_epu8(r, lo), hi);
  if (mask == 0xFFFFFFFFu) {
    _mm256_storeu_si256((__m256i *)y0, _mm512_castsi512_si256(r));
    if (y1) _mm256_storeu_si256((__m256i *)y1, _mm512_extracti64x4_epi64(r, 1));
    return;
  }
  _mm256_mask_storeu_epi8(y0, mask, _mm512_castsi512_si256(r));
  if (y1) _mm256_mask_storeu_epi8(y1, mask, _mm512_extracti64x4_epi64(r, 1));
}

// Every finish writes the results of round16 for all rows; the switch stays outside of the loop.
#define FINISH(MODE) \
  UNROLL for (int i = 0; i < R; i += 2) { \
    __m512i p0 = pack32(round16(acc[i][0], q->scale, q->wide, MODE), round16(acc[i][1], q->scale + 16, q->wide + 16, MODE), zero); \
    if (i + 1 < R) { \
      __m512i p1 = pack32(round16(acc[(i + 1) % R][0], q->scale, q->wide, MODE), \
                          round16(acc[(i + 1) % R][1], q->scale + 16, q->wide + 16, MODE), zero); \
      store_rows(y[i], y[(i + 1) % R], p0, p1, lo, hi, mask); \
    } else store_rows(y[i], NULL, p0, p0, lo, hi, mask); \
  }

#define TILE(ROWS) \
  CK_AVX512 static __attribute__((noinline)) void tile_##ROWS( \
      const ck_tile *t, const uint8_t *const *a, const int8_t *b, const ck_panel *q, const int32_t *row_sums, \
      void *const *y, int outputs) { \
    enum { R = ROWS }; \
    __m512i acc[R][2]; \
    { \
      __m512i q0 = _mm512_load_si512(q->init), q1 = _mm512_load_si512(q->init + 16); \
      UNROLL for (int i = 0; i < R; i++) acc[i][0] = q0, acc[i][1] = q1; \
    } \
    int64_t length = 4 * t->quads; \
    const uint8_t *p[R]; \
    UNROLL for (int i = 0; i < R; i++) p[i] = a[i] + length; \
    for (int64_t s = 0; s < t->strips; s++) { \
      for (int64_t k = -length; k; k += 4) { \
        __m512i b0 = _mm512_load_si512(b), b1 = _mm512_load_si512(b + 64); \
        _mm_prefetch((const char *)b + AHEAD, _MM_HINT_T0); \
        _mm_prefetch((const char *)b + AHEAD + 64, _MM_HINT_T0); \
        b += 128; \
        UNROLL for (int i = 0; i < R; i++) { \
          int32_t four; \
          memcpy(&four, p[i] + k, 4); \
          __m512i x = _mm512_set1_epi32(four); \
          acc[i][0] = _mm512_dpbusd_epi32(acc[i][0], x, b0); \
          acc[i][1] = _mm512_dpbusd_epi32(acc[i][1], x, b1); \
        } \
        KEEP_INDEX(k); \
      } \
      int64_t next = t->advance[s]; \
      UNROLL for (int i = 0; i < R; i++) p[i] += next; \
    } \
    if (row_sums) { \
      __m512i z0 = _mm512_load_si512(q->w_zero), z1 = _mm512_load_si512(q->w_zero + 16); \
      UNROLL for (int i = 0; i < R; i++) { \
        __m512i sum = _mm512_set1_epi32(row_sums[i]); \
        acc[i][0] = _mm512_sub_epi32(acc[i][0], _mm512_mullo_epi32(sum, z0)); \
        acc[i][1] = _mm512_sub_epi32(acc[i][1], _mm512_mullo_epi32(sum, z1)); \
      } \
    } \
    __mmask32 mask = outputs == 32 ? 0xFFFFFFFFu : (1u << outputs) - 1; \
    if (t->finish == CK_FINISH_RAW) { \
      const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23); \
      const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8)); \
      UNROLL for (int i = 0; i < R; i++) { \
        int32_t *to = y[i]; \
        _mm512_mask_storeu_epi32(to, (__mmask16)mask, _mm512_permutex2var_epi32(acc[i][0], low, acc[i][1])); \
        _mm512_mask_storeu_epi32(to + 16, (__mmask16)(mask >> 16), _mm512_permutex2var_epi32(acc[i][0], high, acc[i][1])); \
      } \
      return; \
    } \
    __m512i zero = _mm512_set1_epi16((short)t->zero), lo = _mm512_set1_epi8((char)t->lo), hi = _mm512_set1_epi8((char)t->hi); \
    if (t->finish == CK_FINISH_FMA32) { FINISH(CK_FINISH_FMA32) } \
    else if (t->finish == CK_FINISH_FMA64) { FINISH(CK_FINISH_FMA64) } \
    else { FINISH(CK_FINISH_FLOAT32) } \
  }

TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12)

// Four pixels of 16 lanes to four runs of 16 bytes; `count` of them are stored.
KERNEL void store_narrow(void *const *y, int count, __m512i p01, __m512i p23, __m512i lo, __m512i hi, int outputs) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  __m512i r = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(p01, p23));
  r = _mm512_min_epu8(_mm512_max_epu8(r, lo), hi);
  __m128i row[4] = {_mm512_castsi512_si128(r), _mm512_extracti32x4_epi32(r, 1), _mm512_extracti32x4_epi32(r, 2),
                    _mm512_extracti32x4_epi32(r, 3)};
  UNROLL for (int i = 0; i < 4; i++) {
    if (i >= count) continue;
    if (outputs == 16) _mm_storeu_si128((__m128i *)y[i], row[i]);
    else _mm_mask_storeu_epi8(y[i], (__mmask16)((1u << outputs) - 1), row[i]);
  }
}

#define FINISH_NARROW(MODE) \
  UNROLL for (int i = 0; i < R; i += 4) { \
    __m512i v[4]; \
    UNROLL for (int j = 0; j < 4; j++) v[j] = round16(acc[(i + j) % R], q->scale, q->wide, MODE); \
    store_narrow(y + i, R - i, pack32(v[0], v[1], zero), pack32(v[2], v[3], zero), lo, hi, outputs); \
  }

#define NARROW(ROWS) \
  CK_AVX512 static __attribute__((noinline)) void narrow_##ROWS( \
      const ck_tile *t, const uint8_t *const *a, const int8_t *b, const ck_panel *q, const int32_t *row_sums, \
      void *const *y, int outputs) { \
    enum { R = ROWS }; \
    __m512i acc[R]; \
    UNROLL for (int i = 0; i < R; i++) acc[i] = _mm512_load_si512(q->init); \
    int64_t length = 4 * t->quads; \
    const uint8_t *p[R]; \
    UNROLL for (int i = 0; i < R; i++) p[i] = a[i] + length; \
    for (int64_t s = 0; s < t->strips; s++) { \
      for (int64_t k = -length; k; k += 4) { \
        __m512i w = _mm512_load_si512(b); \
        b += 64; \
        UNROLL for (int i = 0; i < R; i++) { \
          int32_t four; \
          memcpy(&four, p[i] + k, 4); \
          acc[i] = _mm512_dpbusd_epi32(acc[i], _mm512_set1_epi32(four), w); \
        } \
        KEEP_INDEX(k); \
      } \
      int64_t next = t->advance[s]; \
      UNROLL for (int i = 0; i < R; i++) p[i] += next; \
    } \
    if (row_sums) { \
      __m512i z = _mm512_load_si512(q->w_zero); \
      UNROLL for (int i = 0; i < R; i++) \
        acc[i] = _mm512_sub_epi32(acc[i], _mm512_mullo_epi32(_mm512_set1_epi32(row_sums[i]), z)); \
    } \
    if (t->finish == CK_FINISH_RAW) { \
      UNROLL for (int i = 0; i < R; i++) _mm512_mask_storeu_epi32(y[i], (__mmask16)((1u << outputs) - 1), acc[i]); \
      return; \
    } \
    __m512i zero = _mm512_set1_epi16((short)t->zero), lo = _mm512_set1_epi8((char)t->lo), hi = _mm512_set1_epi8((char)t->hi); \
    if (t->finish == CK_FINISH_FMA32) { FINISH_NARROW(CK_FINISH_FMA32) } \
    else if (t->finish == CK_FINISH_FMA64) { FINISH_NARROW(CK_FINISH_FMA64) } \
    else { FINISH_NARROW(CK_FINISH_FLOAT32) } \
  }

NARROW(1) NARROW(2) NARROW(3) NARROW(4) NARROW(5) NARROW(6) NARROW(7) NARROW(8) NARROW(9) NARROW(10) NARROW(11) NARROW(12)

void ck_tile_avx512(int rows, const ck_tile *t, const uint8_t *const *a, const int8_t *b, const ck_panel *q,
                    const int32_t *row_sums, void *const *y, int outputs) {
  static const ck_tile_kernel kernels[2][13] = {
      {NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8, tile_9, tile_10, tile_11, tile_12},
      {NULL, narrow_1, narrow_2, narrow_3, narrow_4, narrow_5, narrow_6, narrow_7, narrow_8, narrow_9, narrow_10,
       narrow_11, narrow_12}};
  kernels[t->narrow][rows](t, a, b, q, row_sums, y, outputs);
}

// 64 flat channels at a time: four taps are interleaved to groups of four bytes.
#define ACCUMULATE \
  UNROLL for (int v = 0; v < 4; v++) acc[v] = _mm512_load_si512(q[v / 2].init + 16 * (v % 2)); \
  for (int64_t t = 0; t < c->tap_quads; t++, w += 256) { \
    __m512i x0 = _mm512_loadu_si512(taps[4 * t] + f), x1 = _mm512_loadu_si512(taps[4 * t + 1] + f); \
    __m512i x2 = _mm512_loadu_si512(taps[4 * t + 2] + f), x3 = _mm512_loadu_si512(taps[4 * t + 3] + f); \
    __m512i l = _mm512_unpacklo_epi8(x0, x1), h = _mm512_unpackhi_epi8(x0, x1); \
    __m512i m = _mm512_unpacklo_epi8(x2, x3), g = _mm512_unpackhi_epi8(x2, x3); \
    acc[0] = _mm512_dpbusd_epi32(acc[0], _mm512_unpacklo_epi16(l, m), _mm512_load_si512(w)); \
    acc[1] = _mm512_dpbusd_epi32(acc[1], _mm512_unpackhi_epi16(l, m), _mm512_load_si512(w + 64)); \
    acc[2] = _mm512_dpbusd_epi32(acc[2], _mm512_unpacklo_epi16(h, g), _mm512_load_si512(w + 128)); \
    acc[3] = _mm512_dpbusd_epi32(acc[3], _mm512_unpackhi_epi16(h, g), _mm512_load_si512(w + 192)); \
  }

#define ROW(NAME, MODE) \
  CK_AVX512 static void NAME(const ck_int_conv *c, const uint8_t *const *taps, int64_t count, uint8_t *y) { \
    __m512i zero = _mm512_set1_epi16((short)c->output.zero); \
    __m512i lo = _mm512_set1_epi8((char)c->output.lo), hi = _mm512_set1_epi8((char)c->output.hi); \
    int64_t block = 0; \
    const int8_t *w = c->weights; \
    for (int64_t f = 0; f < count; f += 64) { \
      const ck_panel *q = c->constants + 2 * block; \
      __m512i acc[4]; \
      ACCUMULATE \
      if (++block == c->blocks) block = 0, w = c->weights; \
      __m512i r = _mm512_packus_epi16( \
          pack32(round16(acc[0], q->scale, q->wide, MODE), round16(acc[1], q->scale + 16, q->wide + 16, MODE), zero), \
          pack32(round16(acc[2], q[1].scale, q[1].wide, MODE), round16(acc[3], q[1].scale + 16, q[1].wide + 16, MODE), zero)); \
      r = _mm512_min_epu8(_mm512_max_epu8(r, lo), hi); \
      if (f + 64 <= count) _mm512_storeu_si512(y + f, r); \
      else _mm512_mask_storeu_epi8(y + f, ((__mmask64)1 << (count - f)) - 1, r); \
    } \
  }

ROW(row_fma32, CK_FINISH_FMA32)
ROW(row_fma64, CK_FINISH_FMA64)
ROW(row_float32, CK_FINISH_FLOAT32)

CK_AVX512 static void row_scalar(const ck_int_conv *c, const uint8_t *const *taps, int64_t count, void *y) {
  int64_t block = 0;
  const int8_t *w = c->weights;
  for (int64_t f = 0; f < count; f += 64) {
    const ck_panel *q = c->constants + 2 * block;
    __m512i acc[4];
    ACCUMULATE
    if (++block == c->blocks) block = 0, w = c->weights;
    int32_t flat[64];
    for (int v = 0; v < 4; v++) _mm512_storeu_si512(flat + 16 * v, acc[v]);
    for (int j = 0; j < 64; j++) {
      int64_t n = f + ck_lane64(j);
      if (n >= count) continue;
      if (c->type == CK_INT_S32) ((int32_t *)y)[n] = flat[j];
      else ck_store(y, n, c->type, ck_finish_one(c, flat[j], &q[j / 32], j % 32));
    }
  }
}

void ck_depthwise_avx512(const ck_int_conv *c, const uint8_t *const *taps, int64_t count, void *y) {
  switch (c->finish) {
    case CK_FINISH_FMA32: row_fma32(c, taps, count, y); break;
    case CK_FINISH_FMA64: row_fma64(c, taps, count, y); break;
    case CK_FINISH_FLOAT32: row_float32(c, taps, count, y); break;
    default: row_scalar(c, taps, count, y);
  }
}
#endif
