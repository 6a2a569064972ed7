#pragma once
#include <stddef.h>
#include <stdint.h>

#include "ck_cpu.h"
#include "ck_threads.h"

#ifdef __cplusplus
extern "C" {
#endif

// Integer kernels. Every function has one result, whatever the instruction set and the number of threads: the scalar
// definition (ck_int_reference.c), which contains integer arithmetic only. A vector twin may use the floating-point
// unit only where a bound checked in ck_int_conv_create or stated beside it proves the same bits.
//
// Activations of 8 bits are held as uint8. A signed int8 value q is held as q + 128 with its zero point raised by 128:
// differences q - z do not change, so one kernel serves both. Layouts are channels last: [batch][depth][height][width]
// [channel]; a one- or two-dimensional operator has leading dimensions of 1.
//
// Buffers read by kernels must be readable for CK_INT_SLACK bytes past their end (the values there do not matter).
//
// Every kernel runs on the instruction set given, or on the best available where the machine lacks it.

#define CK_INT_SLACK 64

// A real multiplier m0 * 2^-shift. m0 is a float32's mantissa shifted left by 7: 2^30 <= m0 < 2^31, or 0.
// 0 <= shift; a shift beyond 62 gives 0.
typedef struct {
  int32_t m0;
  int32_t shift;
} ck_int_multiplier;

// round half to even of value * 2^-shift, 0 <= shift <= 62.
int64_t ck_int_round_shift(int64_t value, int32_t shift);

// round half to even of acc * m0 * 2^-shift on the exact 64-bit product.
int64_t ck_int_multiply(int32_t acc, ck_int_multiplier m);

// How an accumulator becomes an output element: clamp(zero + round(acc * multiplier), lo, hi).
typedef enum {
  CK_INT_ROUND_FIXED = 0,   // one rounding, half to even, of the exact product
  CK_INT_ROUND_FLOAT32 = 1  // onnxruntime's rule: float32(acc) * float32 multiplier rounded, then rounded to an integer
} ck_int_rounding;

typedef enum { CK_INT_U8 = 0, CK_INT_U16 = 1, CK_INT_S16 = 2, CK_INT_S32 = 3 } ck_int_type;

typedef struct {
  int32_t zero;
  int32_t lo, hi;
} ck_int_output;

// --- Convolution and matrix product: uint8 activations, 8-bit weights, exact int32 accumulators -----------------------

typedef struct {
  int64_t channels;      // of the input
  int64_t outputs;       // channels of the output
  int64_t groups;
  int64_t kernel[3];     // depth, height, width
  int64_t stride[3];
  int64_t dilation[3];
} ck_int_conv_shape;

typedef struct {
  int64_t batch;
  int64_t input[3];      // depth, height, width
  int64_t begin[3];      // padding before
  int64_t end[3];        // padding after
} ck_int_conv_geometry;

typedef struct {
  ck_int_conv_shape shape;
  int32_t x_zero;                          // of the uint8 input
  const int8_t *weights;                   // [outputs][channels / groups][kernel...]; uint8 weights are given less 128
  const int32_t *w_zero;                   // one for each output, in the weights' int8 form, or NULL: all zero
  const int32_t *bias;                     // one for each output, or NULL
  ck_int_type type;                        // of the output; CK_INT_S32 gives the accumulators
  ck_int_output output;                    // of any type but CK_INT_S32
  const ck_int_multiplier *multipliers;    // one for each output (CK_INT_ROUND_FIXED)
  const uint32_t *float_multipliers;       // float32 bit patterns, one for each output (CK_INT_ROUND_FLOAT32)
  ck_int_rounding rounding;
} ck_int_conv_spec;

typedef struct ck_int_conv ck_int_conv;

// Packs the weights. NULL where memory is short or the shape is not valid (a size below 1, channels not a multiple of
// groups, sizes that overflow). The caller has proved that no accumulator leaves int32 (ck_int_conv_bounds).
ck_int_conv *ck_int_conv_create(const ck_int_conv_spec *spec);
void ck_int_conv_destroy(ck_int_conv *conv);

// The least and greatest accumulator of each output over all uint8 inputs in [x_lo, x_hi], saturated to int64.
void ck_int_conv_bounds(const ck_int_conv_spec *spec, int32_t x_lo, int32_t x_hi, int64_t *least, int64_t *greatest);

// Output size along dimension d (0 where the kernel does not fit, -1 where the sizes are not valid).
int64_t ck_int_conv_output(const ck_int_conv *conv, const ck_int_conv_geometry *g, int d);

// Bytes of scratch memory; 0 is possible. -1 where sizes overflow.
int64_t ck_int_conv_workspace(const ck_int_conv *conv, const ck_int_conv_geometry *g);

// y: [batch][output depth][height][width][outputs] of the spec's type. 0, or -1 for sizes that are not valid.
int ck_int_conv_run(
    const ck_int_conv *conv, const ck_int_conv_geometry *g, const uint8_t *x, void *y, void *workspace,
    ck_pool *pool, ck_isa isa);

// y[rows][outputs] = x[rows][depth] . weights^T: a convolution of 1x1 over rows pixels, with x rows `stride` bytes apart.
int ck_int_matmul_run(
    const ck_int_conv *conv, int64_t rows, int64_t stride, const uint8_t *x, void *y, ck_pool *pool,
    ck_isa isa);

// Product of two activations: y[rows][columns] (int32) = sum over k of (a[rows][k] - a_zero) (b[k][columns] - b_zero).
// transposed: b is [columns][k]. The bound depth * 255 * 255 must fit int32. 0, or -1 where memory is short.
int ck_int_matmul_dynamic(
    int64_t rows, int64_t columns, int64_t depth, const uint8_t *a, int32_t a_zero, const uint8_t *b, int32_t b_zero,
    int transposed, int32_t *y, ck_pool *pool, ck_isa isa);

// The definitions: plain loops over the unpacked weights.
void ck_int_conv_reference(
    const ck_int_conv_spec *spec, const ck_int_conv_geometry *g, const uint8_t *x, void *y);

// --- Requantization ---------------------------------------------------------------------------------------------------

// y[rows][channels] from accumulators; one multiplier for each channel, or one for all (per_channel 0).
void ck_int_requantize(
    const int32_t *acc, int64_t rows, int64_t channels, const ck_int_multiplier *m, int per_channel,
    ck_int_output out, ck_int_type type, void *y, ck_isa isa);
void ck_int_requantize_float32(
    const int32_t *acc, int64_t rows, int64_t channels, const float *m, int per_channel, ck_int_output out,
    ck_int_type type, void *y);

// In how many elements the two rules differ.
int64_t ck_int_count_ties(
    const int32_t *acc, int64_t rows, int64_t channels, const ck_int_multiplier *m, const float *f, int per_channel,
    ck_int_output out);

// clamp(zero + round(acc * m + (r - r_zero) * mr)): one rounding of the exact sum over a common shift.
// acc[rows][channels], r[rows][channels] uint8.
void ck_int_requantize_add(
    const int32_t *acc, int64_t rows, int64_t channels, const ck_int_multiplier *m, int per_channel, const uint8_t *r,
    int32_t r_zero, ck_int_multiplier mr, ck_int_output out, uint8_t *y, ck_isa isa);

// Real values of accumulators: float32(acc) * scale, one product each (the declared end of an integer region).
void ck_int_dequantize(
    const int32_t *acc, int64_t rows, int64_t channels, const float *scale, int per_channel, float *y);

// --- Element by element -----------------------------------------------------------------------------------------------

// A broadcast loop: at most 6 dimensions; strides in elements, 0 where an operand is repeated. y is dense.
typedef struct {
  int32_t rank;
  int64_t size[6];
  int64_t a_stride[6];
  int64_t b_stride[6];
} ck_int_broadcast;

// clamp(zero + round((a - a_zero) ma + (b - b_zero) mb)); a negative m0 subtracts.
typedef struct {
  int32_t a_zero, b_zero;
  ck_int_multiplier ma, mb;
  ck_int_output out;
} ck_int_add_spec;
void ck_int_add(
    const ck_int_add_spec *spec, const ck_int_broadcast *loop, const uint8_t *a, const uint8_t *b, uint8_t *y,
    ck_isa isa);

// clamp(zero + round((a - a_zero) (b - b_zero) m)).
typedef struct {
  int32_t a_zero, b_zero;
  ck_int_multiplier m;
  ck_int_output out;
} ck_int_mul_spec;
void ck_int_mul(
    const ck_int_mul_spec *spec, const ck_int_broadcast *loop, const uint8_t *a, const uint8_t *b, uint8_t *y,
    ck_isa isa);

// float32 forms, as onnxruntime's QLinearAdd and QLinearMul: scales as float32, products and sums rounded one by one.
void ck_int_add_float32(
    const ck_int_broadcast *loop, const uint8_t *a, int32_t a_zero, float a_scale, const uint8_t *b, int32_t b_zero,
    float b_scale, float y_scale, ck_int_output out, uint8_t *y);

// y[i] = table[x[i]].
void ck_int_lookup(const uint8_t *x, int64_t count, const uint8_t table[256], uint8_t *y, ck_isa isa);

// table[i] = clamp(zero + round((i - x_zero) m)).
void ck_int_rescale_table(int32_t x_zero, ck_int_multiplier m, ck_int_output out, uint8_t table[256]);

// --- Pools and sums ---------------------------------------------------------------------------------------------------

typedef struct {
  int64_t channels;
  int64_t kernel[3], stride[3], dilation[3];
  int64_t output[3];
} ck_int_pool_shape;

// Maximum over the window's elements inside the input; `none` where there is none.
void ck_int_max_pool(
    const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const uint8_t *x, uint8_t none, uint8_t *y,
    ck_isa isa);

// Sum of x - x_zero over the window's elements inside the input, and their number.
// sums: [batch][output...][channels]; counts: [output...] elements inside the input.
void ck_int_pool_sums(
    const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const uint8_t *x, int32_t x_zero, int32_t *sums,
    int32_t *counts, ck_isa isa);

// sums[outer][inner] = sum over k < count of x[outer][k][inner] - x_zero. count * 255 must fit int32.
void ck_int_sums(
    const uint8_t *x, int64_t outer, int64_t count, int64_t inner, int32_t x_zero, int32_t *sums, ck_isa isa);

// --- Layout -----------------------------------------------------------------------------------------------------------

// [batch][rows][columns] to [batch][columns][rows], elements of 1 byte.
void ck_int_transpose(const uint8_t *x, int64_t batch, int64_t rows, int64_t columns, uint8_t *y, ck_isa isa);

// y[i] = x[i] ^ 128: int8 to the biased form and back.
void ck_int_flip_sign(const uint8_t *x, int64_t count, uint8_t *y);

// QuantizeLinear: clamp(zero + round half to even (x / scale)) in the output type's biased form; NaN gives the zero
// point. The declared beginning of an integer region.
void ck_int_quantize(const float *x, int64_t count, float scale, ck_int_output out, uint8_t *y);

// (x - zero) * scale.
void ck_int_dequantize_u8(const uint8_t *x, int64_t count, int32_t zero, float scale, float *y);

#ifdef __cplusplus
}
#endif
