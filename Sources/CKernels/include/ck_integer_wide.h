#pragma once
#include "ck_integer.h"

#ifdef __cplusplus
extern "C" {
#endif

// Fixed-point values between two quantizations: int32 v with a fraction f of 0 to 30 bits, real = v * 2^-f. Every function
// is its own definition, in integer arithmetic only, rounds half to even and saturates to int32. docs/numerics.md has the
// bounds.

// y = x * m, m0 with up to 31 significant bits.
void ck_wide_scale(const int32_t *x, int64_t count, ck_int_multiplier m, int32_t *y);

// y = a +- b; fractions fa, fb, fy. `subtract` 0 or 1.
void ck_wide_add(
    const ck_int_broadcast *loop, const int32_t *a, int32_t fa, const int32_t *b, int32_t fb, int32_t subtract, int32_t fy,
    int32_t *y);

// y = a * b.
void ck_wide_multiply(
    const ck_int_broadcast *loop, const int32_t *a, int32_t fa, const int32_t *b, int32_t fb, int32_t fy, int32_t *y);

// y[row][channel] += offset of the channel, or one for all.
void ck_wide_offset(int32_t *y, int64_t rows, int64_t channels, const int32_t *offsets, int per_channel);

void ck_wide_clamp(const int32_t *x, int64_t count, int32_t lo, int32_t hi, int32_t *y);

// y[i] = table[x[i]], 256 entries.
void ck_wide_lookup(const uint8_t *x, int64_t count, const int32_t *table, int32_t *y);

// A function by straight lines. Inside [-2^core, 2^core) there are 2^14 of equal width between nodes[0] ... nodes[2^14];
// outside the line of `left` or `right`: y = (intercept + slope * x), slope of fraction 30, intercept of fraction fy.
typedef struct {
  int32_t fx, fy;
  int32_t core;            // fx + core >= 13
  const int32_t *nodes;    // of fraction fy
  int32_t left_slope, left_intercept;
  int32_t right_slope, right_intercept;
} ck_wide_function;
void ck_wide_apply(const ck_wide_function *function, const int32_t *x, int64_t count, int32_t *y);

// 2^(-j/1024) with fraction 31 for j in 0 ... 1024, by integer square roots.
void ck_wide_exp2_table(uint32_t table[1025]);

// Softmax of each row [count], of fraction f; y has fraction 30.
void ck_wide_softmax(
    const int32_t *x, int64_t rows, int64_t count, int32_t f, const uint32_t table[1025], int32_t *y);

// (x - mean) / sqrt(variance + epsilon) * gamma + beta of each row [count], count <= 2^20; with `centred` 0 the mean is
// taken as 0 (RMSNormalization). epsilon = m0 * 2^-shift. A row whose root is 0 gives beta.
typedef struct {
  int64_t count;
  int32_t fx, fy;
  int32_t centred;
  ck_int_multiplier epsilon;
  const int32_t *gamma;    // of fraction fg
  const int32_t *beta;     // of fraction fb, or NULL
  int32_t fg, fb;
} ck_wide_normalization;
void ck_wide_normalize(const ck_wide_normalization *n, const int32_t *x, int64_t rows, int32_t *y);

// sums[outer][inner] / count with one rounding.
void ck_wide_mean(const int32_t *x, int64_t outer, int64_t count, int64_t inner, int32_t *y);

// Means over windows, channels last; one rounding each. `divisor` for each output pixel; NULL divides by the number of
// elements inside the input, 0 gives 0.
void ck_wide_average_pool(
    const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const int32_t *x, const int32_t *divisor, int32_t *y);

// Maximum over the window's elements inside the input, channels last; `none` where there is none.
void ck_wide_max_pool(
    const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const int32_t *x, int32_t none, int32_t *y);

// Linear interpolation along up to three axes, one rounding of the exact weighted sum. Output index o of axis d takes the
// input indices low[d][o] and high[d][o] with the weights denominator[d] - weight[d][o] and weight[d][o]; the product of the
// denominators is below 2^31. x: [outer][input][inner], y: [outer][output][inner].
typedef struct {
  int64_t outer, inner;
  int64_t input[3], output[3];
  const int32_t *low[3], *high[3], *weight[3];
  int32_t denominator[3];
} ck_wide_resampling;
void ck_wide_resize(const ck_wide_resampling *r, const int32_t *x, int32_t *y);

// [batch][rows][columns] to [batch][columns][rows].
void ck_wide_transpose(const int32_t *x, int64_t batch, int64_t rows, int64_t columns, int32_t *y);

// Floats to int32 of fraction f, half to even, saturated to [-limit, limit]; NaN gives 0. A declared border.
void ck_wide_quantize(const float *x, int64_t count, int32_t f, int32_t limit, int32_t *y);

// float32(v) * 2^-f, one rounding. A declared border.
void ck_wide_dequantize(const int32_t *x, int64_t count, int32_t f, float *y);

#ifdef __cplusplus
}
#endif
