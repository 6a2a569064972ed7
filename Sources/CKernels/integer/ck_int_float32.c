#include "../include/ck_integer_wide.h"
#include "ck_int_internal.h"

#include <math.h>

// The declared users of the floating-point unit: onnxruntime's float32 rule, and the borders of an integer region.

int32_t ck_finish_float32(int32_t acc, float scale, ck_int_output out) {
  float r = rintf((float)acc * scale);
  if (!(r > -1e9f)) return out.lo;
  if (r > 1e9f) return out.hi;
  return ck_clamp((int64_t)r + out.zero, out.lo, out.hi);
}

void ck_int_requantize_float32(
    const int32_t *acc, int64_t rows, int64_t channels, const float *m, int per_channel, ck_int_output out,
    ck_int_type type, void *y) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t n = 0; n < channels; n++)
      ck_store(y, i * channels + n, type, ck_finish_float32(acc[i * channels + n], m[per_channel ? n : 0], out));
}

int64_t ck_int_count_ties(
    const int32_t *acc, int64_t rows, int64_t channels, const ck_int_multiplier *m, const float *f, int per_channel,
    ck_int_output out) {
  int64_t count = 0;
  for (int64_t i = 0; i < rows; i++)
    for (int64_t n = 0; n < channels; n++) {
      int32_t a = acc[i * channels + n];
      int64_t c = per_channel ? n : 0;
      count += ck_clamp(out.zero + ck_multiply(a, m[c]), out.lo, out.hi) != ck_finish_float32(a, f[c], out);
    }
  return count;
}

void ck_int_dequantize(
    const int32_t *acc, int64_t rows, int64_t channels, const float *scale, int per_channel, float *y) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t n = 0; n < channels; n++)
      y[i * channels + n] = (float)acc[i * channels + n] * scale[per_channel ? n : 0];
}

void ck_int_dequantize_u8(const uint8_t *x, int64_t count, int32_t zero, float scale, float *y) {
  float table[256];
  for (int i = 0; i < 256; i++) table[i] = (float)(i - zero) * scale;
  for (int64_t i = 0; i < count; i++) y[i] = table[x[i]];
}

CK_INLINE void quantize(const float *x, int64_t count, float scale, ck_int_output out, uint8_t *y) {
  float lo = (float)(out.lo - out.zero), hi = (float)(out.hi - out.zero);
  for (int64_t i = 0; i < count; i++) {
    float v = x[i] / scale;
    v = v != v ? 0 : v < lo ? lo : v > hi ? hi : v;  // the bounds are integers, so clamping first changes nothing
    // Below 2^22 in magnitude: adding 1.5 * 2^23 rounds to an integer, half to even.
    union { float f; int32_t i; } bits = {v + 12582912.0f};
    y[i] = (uint8_t)(bits.i - 0x4B400000 + out.zero);
  }
}

static void quantize_portable(const float *x, int64_t count, float scale, ck_int_output out, uint8_t *y) {
  quantize(x, count, scale, out, y);
}
#if CK_INT_X86
CK_AVX2 static void quantize_avx2(const float *x, int64_t count, float scale, ck_int_output out, uint8_t *y) {
  quantize(x, count, scale, out, y);
}
CK_AVX512 static void quantize_avx512(const float *x, int64_t count, float scale, ck_int_output out, uint8_t *y) {
  quantize(x, count, scale, out, y);
}
#endif

void ck_int_quantize(const float *x, int64_t count, float scale, ck_int_output out, uint8_t *y) {
  CK_INT_DISPATCH(ck_isa_current(), quantize_portable(x, count, scale, out, y), quantize_avx2(x, count, scale, out, y),
                  quantize_avx512(x, count, scale, out, y));
}

// --- Borders of fixed-point regions -----------------------------------------------------------------------------------

void ck_wide_quantize(const float *x, int64_t count, int32_t f, int32_t limit, int32_t *y) {
  double unit = (double)((int64_t)1 << f);
  for (int64_t i = 0; i < count; i++) {
    double v = rint((double)x[i] * unit);
    y[i] = v != v ? 0 : v >= limit ? limit : v <= -(double)limit ? -limit : (int32_t)v;
  }
}

void ck_wide_dequantize(const int32_t *x, int64_t count, int32_t f, float *y) {
  float unit = 1.0f / (float)((int64_t)1 << f);
  for (int64_t i = 0; i < count; i++) y[i] = (float)x[i] * unit;
}
