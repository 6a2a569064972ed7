#include "../include/ck_integer_sixteen.h"
#include "ck_int_internal.h"

// Sixteen-bit codes through 8-bit kernels: definitions, integer instructions only.

void ck_int_split16(
    const uint16_t *x, int64_t batch, int64_t rows, int64_t columns, int is_signed, uint8_t *high, uint8_t *low) {
  uint16_t flip = is_signed ? 0x8000 : 0;
  for (int64_t b = 0; b < batch; b++, x += rows * columns, high += rows * columns, low += rows * columns) {
    if (rows == 1 || columns == 1) {
      for (int64_t i = 0; i < rows * columns; i++) {
        uint16_t u = x[i] ^ flip;
        high[i] = (uint8_t)(u >> 8);
        low[i] = (uint8_t)u;
      }
      continue;
    }
    // Blocks keep the bytes that are written to in the cache.
    for (int64_t c0 = 0; c0 < columns; c0 += 64)
      for (int64_t r = 0; r < rows; r++)
        for (int64_t c = c0; c < columns && c < c0 + 64; c++) {
          uint16_t u = x[r * columns + c] ^ flip;
          high[c * rows + r] = (uint8_t)(u >> 8);
          low[c * rows + r] = (uint8_t)u;
        }
  }
}

void ck_int_finish_parts(
    const ck_int_parts *s, const ck_int_multiplier *m, int per_channel, ck_int_output out, int64_t plane,
    ck_int_type type, void *y) {
  for (int64_t r = 0; r < s->rows; r++) {
    int64_t image = r / plane, pixel = r % plane;
    for (int64_t n = 0; n < s->channels; n++) {
      int64_t sum = s->bias ? s->bias[n] : 0;
      for (int32_t p = 0; p < s->count; p++) sum += (int64_t)s->parts[p][r * s->channels + n] * ((int64_t)1 << s->shifts[p]);
      ck_int_multiplier by = m[per_channel ? n : 0];
      ck_i128 v = by.shift > 126 ? 0 : ck_shift_even_wide((ck_i128)sum * by.m0, by.shift);
      v += out.zero;
      int32_t code = v < out.lo ? out.lo : v > out.hi ? out.hi : (int32_t)v;
      ck_store(y, (image * s->channels + n) * plane + pixel, type, code);
    }
  }
}

void ck_wide_import16(
    const uint16_t *x, int64_t count, int is_signed, int32_t zero, ck_int_multiplier m, int32_t *y) {
  for (int64_t i = 0; i < count; i++) {
    int32_t q = is_signed ? (int16_t)x[i] : x[i];
    y[i] = ck_clamp(ck_multiply(q - zero, m), INT32_MIN, INT32_MAX);
  }
}
