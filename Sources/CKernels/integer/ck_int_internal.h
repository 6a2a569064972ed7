#pragma once
#include "../include/ck_integer.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#define CK_INT_X86 1
#define CK_AVX2 __attribute__((target("avx2,fma")))
#define CK_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,avx2")))
#else
#define CK_INT_X86 0
#endif

#define CK_INLINE static inline __attribute__((always_inline))
#define CK_PANEL 32

typedef __int128 ck_i128;

// Bodies of plain C that the compiler vectorizes are written once and instantiated for each instruction set: integer
// arithmetic has one result.
#if CK_INT_X86
#define CK_INT_DISPATCH(isa, call_portable, call_avx2, call_avx512) \
  do { \
    ck_isa isa_ = ck_int_resolve(isa); \
    if (isa_ == CK_ISA_AVX512) { call_avx512; } else if (isa_ == CK_ISA_AVX2) { call_avx2; } else { call_portable; } \
  } while (0)
#else
#define CK_INT_DISPATCH(isa, call_portable, call_avx2, call_avx512) do { (void)(isa); call_portable; } while (0)
#endif

// The instruction set asked for where these kernels and the machine have it, else the best that they have.
ck_isa ck_int_resolve(ck_isa isa);

CK_INLINE int64_t ck_shift_even(int64_t p, int32_t s) {
  if (s == 0) return p;
  int64_t whole = p >> s;
  uint64_t rest = (uint64_t)p & (((uint64_t)1 << s) - 1), half = (uint64_t)1 << (s - 1);
  return whole + (rest > half || (rest == half && (whole & 1)));
}

CK_INLINE ck_i128 ck_shift_even_wide(ck_i128 p, int32_t s) {
  if (s == 0) return p;
  ck_i128 whole = p >> s;
  unsigned __int128 rest = (unsigned __int128)p & (((unsigned __int128)1 << s) - 1), half = (unsigned __int128)1 << (s - 1);
  return whole + (rest > half || (rest == half && (whole & 1)));
}

CK_INLINE int32_t ck_clamp(int64_t v, int32_t lo, int32_t hi) { return v < lo ? lo : v > hi ? hi : (int32_t)v; }

CK_INLINE int64_t ck_multiply(int32_t acc, ck_int_multiplier m) {
  return m.shift > 62 ? 0 : ck_shift_even((int64_t)acc * m.m0, m.shift);
}

// round(a * ma + b * mb): the terms are brought to the greater of the two shifts. |a| < 2^31, |b| < 2^31,
// |m0| < 2^31 and shifts up to 62 keep each term below 2^124.
CK_INLINE int64_t ck_sum_of_products(int32_t a, ck_int_multiplier ma, int32_t b, ck_int_multiplier mb) {
  if (ma.shift > 62) ma = (ck_int_multiplier){0, 0};
  if (mb.shift > 62) mb = (ck_int_multiplier){0, 0};
  if (ma.m0 == 0) ma.shift = mb.shift;
  if (mb.m0 == 0) mb.shift = ma.shift;
  int32_t s = ma.shift > mb.shift ? ma.shift : mb.shift;
  ck_i128 p = (ck_i128)((int64_t)a * ma.m0) * ((ck_i128)1 << (s - ma.shift));
  ck_i128 q = (ck_i128)((int64_t)b * mb.m0) * ((ck_i128)1 << (s - mb.shift));
  ck_i128 r = ck_shift_even_wide(p + q, s);
  return r > INT32_MAX ? INT32_MAX : r < INT32_MIN ? INT32_MIN : (int64_t)r;
}

CK_INLINE void ck_store(void *y, int64_t i, ck_int_type type, int32_t v) {
  switch (type) {
    case CK_INT_U8: ((uint8_t *)y)[i] = (uint8_t)v; break;
    case CK_INT_U16: ((uint16_t *)y)[i] = (uint16_t)v; break;
    case CK_INT_S16: ((int16_t *)y)[i] = (int16_t)v; break;
    case CK_INT_S32: ((int32_t *)y)[i] = v; break;
  }
}

CK_INLINE float ck_float_of_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

CK_INLINE int64_t ck_type_size(ck_int_type t) { return t == CK_INT_U8 ? 1 : t == CK_INT_S32 ? 4 : 2; }

// --- Packed convolution -----------------------------------------------------------------------------------------------

// Constants of 32 outputs, in the order of the lanes.
typedef struct {
  int32_t init[CK_PANEL];    // bias less x_zero times the weights' sum, modulo 2^32
  int32_t w_zero[CK_PANEL];
  float scale[CK_PANEL];     // the multiplier as a float32: exactly m0 * 2^-shift, or the float32 rule's own
  double wide[CK_PANEL];     // m0 * 2^-shift
  ck_int_multiplier m[CK_PANEL];
} __attribute__((aligned(64))) ck_panel;

typedef enum {
  CK_FINISH_SCALAR = 0,      // through the definitions
  CK_FINISH_FMA32 = 1,
  CK_FINISH_FMA64 = 2,
  CK_FINISH_FLOAT32 = 3,     // the float32 rule
  CK_FINISH_RAW = 4          // accumulators
} ck_finish;

struct ck_int_conv {
  ck_int_conv_shape shape;
  int64_t cin, cout;         // of one group
  int64_t panels;            // of one group
  int narrow;                // the last panel of a group has 16 lanes
  int64_t panel_bytes;       // weights of a panel of 32 lanes
  int64_t group_bytes;       // weights of one group
  int64_t strips, length;    // contiguous runs of input bytes under the kernel, and the bytes of one
  int64_t quads;             // (length + 3) / 4
  int depthwise;
  int any_w_zero;
  int32_t x_zero;
  ck_int_type type;
  ck_int_output output;
  ck_int_rounding rounding;
  ck_finish finish;
  int64_t blocks;            // depthwise: groups of 64 flat channels until the pattern repeats
  int64_t tap_quads;         // depthwise: (taps + 3) / 4
  int8_t *weights;           // aligned to 64
  ck_panel *constants;
  void *memory;
};

// Lane j of a panel holds output ck_lane(j): the in-lane packs of AVX-512 then give natural order.
CK_INLINE int ck_lane(int j) { return 8 * ((j % 16) / 4) + 4 * (j / 16) + j % 4; }
// The lanes of a narrow panel are in natural order.
CK_INLINE int ck_panel_lane(int narrow, int j) { return narrow ? j : ck_lane(j); }
CK_INLINE int ck_panel_width(int narrow) { return narrow ? CK_PANEL / 2 : CK_PANEL; }
// Lane j of a depthwise block of 64.
CK_INLINE int ck_lane64(int j) { return 16 * ((j % 16) / 4) + 4 * (j / 16) + j % 4; }

typedef struct {
  const int64_t *advance;    // bytes from one strip to the next, `strips` of them
  int64_t strips, quads;
  ck_finish finish;
  int32_t zero, lo, hi;
  int narrow;                // the panel has 16 lanes
} ck_tile;

// rows (1...12) pixels times one panel. `outputs` of its lanes are stored. finish RAW stores int32 to y.
typedef void (*ck_tile_kernel)(
    const ck_tile *t, const uint8_t *const *a, const int8_t *b, const ck_panel *q, const int32_t *row_sums,
    void *const *y, int outputs);

void ck_tile_portable(int rows, const ck_tile *t, const uint8_t *const *a, const int8_t *b, const ck_panel *q,
                      const int32_t *row_sums, void *const *y, int outputs);
void ck_tile_avx2(int rows, const ck_tile *t, const uint8_t *const *a, const int8_t *b, const ck_panel *q,
                  const int32_t *row_sums, void *const *y, int outputs);
void ck_tile_avx512(int rows, const ck_tile *t, const uint8_t *const *a, const int8_t *b, const ck_panel *q,
                    const int32_t *row_sums, void *const *y, int outputs);

// One row of depthwise output: `count` flat elements (pixel, channel) from flat position 0, or one pixel's channels.
// taps: pointer of each tap at the first element, padded with any readable pointer to a multiple of 4.
typedef void (*ck_depthwise_kernel)(
    const ck_int_conv *c, const uint8_t *const *taps, int64_t count, void *y);
void ck_depthwise_portable(const ck_int_conv *c, const uint8_t *const *taps, int64_t count, void *y);
void ck_depthwise_avx2(const ck_int_conv *c, const uint8_t *const *taps, int64_t count, void *y);
void ck_depthwise_avx512(const ck_int_conv *c, const uint8_t *const *taps, int64_t count, void *y);

// clamp(zero + round(...)) of one accumulator by the convolution's rule, through the definitions.
int32_t ck_finish_one(const ck_int_conv *c, int32_t acc, const ck_panel *q, int lane);
int32_t ck_finish_float32(int32_t acc, float scale, ck_int_output out);

