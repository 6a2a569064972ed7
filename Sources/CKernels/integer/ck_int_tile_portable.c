#include "ck_int_internal.h"

// Tiles over the packed panels in plain C. Sums are modulo 2^32; the caller's bound makes the result the exact sum.

static void finish(const ck_tile *t, const ck_panel *q, uint32_t *acc, const int32_t *row_sum, void *y, int outputs) {
  for (int j = 0; j < ck_panel_width(t->narrow); j++) {
    int n = ck_panel_lane(t->narrow, j);
    if (row_sum) acc[j] -= (uint32_t)*row_sum * (uint32_t)q->w_zero[j];
    if (n >= outputs) continue;
    int32_t v = (int32_t)acc[j];
    if (t->finish == CK_FINISH_RAW) ((int32_t *)y)[n] = v;
    else {
      ck_int_output out = {t->zero, t->lo, t->hi};
      ((uint8_t *)y)[n] = (uint8_t)(t->finish == CK_FINISH_FLOAT32
          ? ck_finish_float32(v, q->scale[j], out)
          : ck_clamp(t->zero + ck_multiply(v, q->m[j]), t->lo, t->hi));
    }
  }
}

void ck_tile_portable(int rows, const ck_tile *t, const uint8_t *const *a, const int8_t *b, const ck_panel *q,
                      const int32_t *row_sums, void *const *y, int outputs) {
  int width = ck_panel_width(t->narrow);
  for (int r = 0; r < rows; r++) {
    uint32_t acc[CK_PANEL];
    for (int j = 0; j < width; j++) acc[j] = (uint32_t)q->init[j];
    const uint8_t *p = a[r];
    const int8_t *w = b;
    for (int64_t s = 0; s < t->strips; s++) {
      for (int64_t k = 0; k < t->quads; k++, w += 4 * width) {
        const uint8_t *x = p + 4 * k;
        for (int j = 0; j < width; j++)
          acc[j] += (uint32_t)(x[0] * w[4 * j] + x[1] * w[4 * j + 1] + x[2] * w[4 * j + 2] + x[3] * w[4 * j + 3]);
      }
      p += t->advance[s];
    }
    finish(t, q, acc, row_sums ? row_sums + r : NULL, y[r], outputs);
  }
}

CK_INLINE void depthwise(const ck_int_conv *c, const uint8_t *const *taps, int64_t count, void *y) {
  int64_t block = 0;
  for (int64_t f = 0; f < count; f += 64, block = block + 1 == c->blocks ? 0 : block + 1) {
    const ck_panel *q = c->constants + 2 * block;
    uint32_t acc[64];
    int32_t product[64] = {0};
    for (int64_t t = 0; t < c->tap_quads; t++)
      for (int i = 0; i < 4; i++) {
        const uint8_t *x = taps[4 * t + i] + f;
        const int8_t *w = c->weights + (block * c->tap_quads + t) * 256 + i;
        for (int j = 0; j < 64; j++) product[j] += x[ck_lane64(j)] * w[4 * j];
      }
    for (int j = 0; j < 64; j++) acc[j] = (uint32_t)q[j / 32].init[j % 32] + (uint32_t)product[j];
    for (int j = 0; j < 64; j++) {
      int64_t n = f + ck_lane64(j);
      if (n >= count) continue;
      if (c->type == CK_INT_S32) ck_store(y, n, CK_INT_S32, (int32_t)acc[j]);
      else ck_store(y, n, c->type, ck_finish_one(c, (int32_t)acc[j], &q[j / 32], j % 32));
    }
  }
}

void ck_depthwise_portable(const ck_int_conv *c, const uint8_t *const *taps, int64_t count, void *y) {
  depthwise(c, taps, count, y);
}

#if CK_INT_X86
CK_AVX2 void ck_depthwise_avx2(const ck_int_conv *c, const uint8_t *const *taps, int64_t count, void *y) {
  depthwise(c, taps, count, y);
}
#endif
