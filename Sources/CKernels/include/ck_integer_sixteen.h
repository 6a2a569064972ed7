#pragma once
#include "ck_integer.h"

#ifdef __cplusplus
extern "C" {
#endif

// Sixteen-bit codes. They are held as the graph has them; inside a weighted operator each is split into two bytes,
// q = 256 high + low, so that the 8-bit kernels sum the parts exactly in int32 and the parts are put together in int64
// (docs/numerics.md). A signed code is raised by 2^15 first, and its zero point likewise. Every function is its own
// definition, in integer arithmetic only.

// x[batch][rows][columns] to high and low bytes [batch][columns][rows]; `is_signed` 0 or 1.
void ck_int_split16(
    const uint16_t *x, int64_t batch, int64_t rows, int64_t columns, int is_signed, uint8_t *high, uint8_t *low);

// Accumulators in parts: Σ parts[i] 2^shifts[i] + bias, of absolute value below 2^62.
typedef struct {
  int32_t count;               // 1 ... 4
  const int32_t *parts[4];     // each [rows][channels]
  int32_t shifts[4];           // 0 ... 16
  const int64_t *bias;         // one for each channel, or NULL
  int64_t rows, channels;
} ck_int_parts;

// clamp(zero + round(sum m0 2^-shift)), one rounding, half to even, of the exact product; shifts up to 126, one multiplier
// for each channel, or one for all. `plane` rows at a time are stored as [channels][plane]; with a plane of 1 the result is
// [rows][channels].
void ck_int_finish_parts(
    const ck_int_parts *sums, const ck_int_multiplier *m, int per_channel, ck_int_output out, int64_t plane,
    ck_int_type type, void *y);

// Fixed-point codes of 16-bit codes: round((x - zero) m), saturated to int32.
void ck_wide_import16(
    const uint16_t *x, int64_t count, int is_signed, int32_t zero, ck_int_multiplier m, int32_t *y);

#ifdef __cplusplus
}
#endif
