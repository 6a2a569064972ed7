#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ck_cpu.h"
#include "ck_threads.h"

// Float32 kernels. Every output element is one fixed expression tree of its inputs, so results are the same bits for
// any instruction set, number of threads and blocking (NaN payloads excepted). All tensors are dense in memory and
// counted in elements; `pool` may be NULL. Sizes of zero are allowed and then nothing is read or written but what the
// definition gives (a product over k = 0 is 0). Callers check sizes; nothing here does.

/// Elementwise functions of one argument, `a` and `b` being parameters. NaN gives NaN.
typedef enum ck_unary_op {
  CK_IDENTITY,
  CK_RELU,         // 0 > x ? 0 : x
  CK_CLIP,         // max with a, then min with b
  CK_LEAKY_RELU,   // x < 0 ? a x : x
  CK_ELU,          // x < 0 ? a (exp(x) - 1) : x
  CK_SELU,         // b (x < 0 ? a (exp(x) - 1) : x)
  CK_CELU,         // x < 0 ? a (exp(x / a) - 1) : x
  CK_THRESHOLDED,  // x > a ? x : 0
  CK_HARD_SIGMOID, // clip(a x + b, 0, 1)
  CK_HARD_SWISH,   // x clip(x / 6 + 1/2, 0, 1)
  CK_SIGMOID,
  CK_SWISH,        // x sigmoid(a x)
  CK_TANH,
  CK_ERF,
  CK_GELU,         // x / 2 (1 + erf(x / sqrt 2))
  CK_GELU_TANH,    // x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  CK_EXP,
  CK_EXPM1,
  CK_LOG,
  CK_LOG1P,
  CK_SOFTPLUS,     // log(1 + exp(x))
  CK_SOFTSIGN,     // x / (1 + |x|)
  CK_MISH,         // x tanh(softplus(x))
  CK_SQRT,
  CK_RSQRT,        // 1 / sqrt(x), two roundings
  CK_RECIPROCAL,
  CK_ABS,
  CK_NEGATE,
  CK_SQUARE,
  CK_FLOOR,
  CK_CEIL,
  CK_ROUND,        // half to even
  CK_SIGN,
  CK_AFFINE,       // fma(a, x, b)
  CK_UNARY_COUNT
} ck_unary_op;

typedef enum ck_binary_op {
  CK_ADD,
  CK_SUB,
  CK_MUL,
  CK_DIV,
  CK_MAX, // NaN if either is
  CK_MIN, // NaN if either is
  CK_PRELU, // x < 0 ? y x : x
  CK_SQUARED_DIFFERENCE,
  CK_BINARY_COUNT
} ck_binary_op;

typedef enum ck_reduce_op {
  CK_REDUCE_SUM,
  CK_REDUCE_MEAN,       // sum, divided by the count as float
  CK_REDUCE_SUM_SQUARE, // fma(x, x, sum)
  CK_REDUCE_SUM_ABS,
  CK_REDUCE_MAX, // NaN if any is; -inf of nothing
  CK_REDUCE_MIN, // NaN if any is; +inf of nothing
  CK_REDUCE_PROD,
  CK_REDUCE_COUNT
} ck_reduce_op;

/// What is done to each sum of a matrix product or convolution, in this order; a NULL is left out.
/// v = alpha * v; v += bias_row[i]; v += bias_col[j]; v += residual[i][j]; v = op(v).
typedef struct ck_epilogue {
  float alpha;
  const float *bias_row; // one per row (convolution: per output channel)
  const float *bias_col; // one per column (not for convolutions)
  const float *residual; // laid out as the result
  ck_unary_op op;
  float a, b;
} ck_epilogue;

/// Convolution of NCHW-like tensors with one to three spatial axes. Axes are depth, height, width; an axis that a
/// tensor does not have has in = kernel = stride = dilation = out = 1 and pad = 0. Reads beyond the input are zeros
/// (so the end padding needs no mention). Weights are OIHW: [out_channels][in_channels / groups][kernel...].
typedef struct ck_conv_shape {
  ptrdiff_t batch, groups, in_channels, out_channels;
  ptrdiff_t in[3], kernel[3], stride[3], dilation[3], pad[3], out[3];
} ck_conv_shape;

typedef enum ck_pool_op {
  CK_POOL_MAX,              // NaN if any is
  CK_POOL_AVERAGE,          // over the elements inside the input
  CK_POOL_AVERAGE_WITH_PAD, // over the elements inside input and padding (pad_end says how far that reaches)
  CK_POOL_LP1,
  CK_POOL_LP2,
} ck_pool_op;

typedef struct ck_pool_shape {
  ptrdiff_t planes; // batch * channels
  ptrdiff_t in[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3], out[3];
} ck_pool_shape;

/// Integer types of quantized tensors.
typedef enum ck_quant_type { CK_INT8, CK_UINT8, CK_INT16, CK_UINT16 } ck_quant_type;

/// The kernels of one instruction set.
typedef struct ck_float_kernels {
  ck_isa isa;

  /// Floats that the packed form of a k by n right-hand matrix takes.
  size_t (*sgemm_packed_b_size)(ptrdiff_t k, ptrdiff_t n);
  /// Packs B, element (p, j) at b[p * row_stride + j * col_stride], 64-byte aligned `packed`.
  void (*sgemm_pack_b)(ck_pool *pool, ptrdiff_t k, ptrdiff_t n, const float *b, ptrdiff_t row_stride,
                       ptrdiff_t col_stride, float *packed);
  /// C[m][n] = A B, then the epilogue (NULL: none). Each sum is fma(a[i][p], b[p][j], sum) for p = 0, 1 ... from +0.
  /// C and the residual are rows of `c_stride` elements. Element (i, p) of A is a[i * a_row + p * a_col].
  /// With `packed` set, B is taken from there and b is not read.
  void (*sgemm)(ck_pool *pool, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const float *a, ptrdiff_t a_row, ptrdiff_t a_col,
                const float *b, ptrdiff_t b_row, ptrdiff_t b_col, const float *packed, float *c, ptrdiff_t c_stride,
                const ck_epilogue *epilogue);
  /// `count` products of equal shape, of matrices at the given pointers; the epilogue's arrays are shared by all, but
  /// the residual, which must be NULL.
  void (*sgemm_batch)(ck_pool *pool, ptrdiff_t count, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const float *const *a,
                      ptrdiff_t a_row, ptrdiff_t a_col, const float *const *b, ptrdiff_t b_row, ptrdiff_t b_col,
                      float *const *c, ptrdiff_t c_stride, const ck_epilogue *epilogue);

  /// Floats that packed weights take; they serve every batch size and spatial size.
  size_t (*conv_packed_size)(const ck_conv_shape *shape);
  void (*conv_pack)(const ck_conv_shape *shape, const float *weights, float *packed);
  /// Each sum is fma(w, x, sum) over input channel, depth, height, width of the kernel in the order of the weights
  /// from +0, padding being x = 0; then the epilogue with bias_row. x [batch][in_channels][in...], y
  /// [batch][out_channels][out...].
  void (*conv)(ck_pool *pool, const ck_conv_shape *shape, const float *x, const float *packed, float *y,
               const ck_epilogue *epilogue);

  /// Transposed convolution: `in` and `in_channels` are those of x; weights [in_channels][out_channels /
  /// groups][kernel...]. out[o] collects x[i] w[k] where o = i * stride - pad + k * dilation: fma over input channel,
  /// then the kernel positions that reach o, in rising order, from +0; kernel positions whose input lies outside
  /// count as x = 0.
  size_t (*conv_transpose_packed_size)(const ck_conv_shape *shape);
  void (*conv_transpose_pack)(const ck_conv_shape *shape, const float *weights, float *packed);
  void (*conv_transpose)(ck_pool *pool, const ck_conv_shape *shape, const float *x, const float *packed, float *y,
                         const ck_epilogue *epilogue);

  /// Sums run in the order of the window. Max of a window without elements is -inf, the average NaN.
  void (*pool)(ck_pool *pool, ck_pool_op op, const ck_pool_shape *shape, const float *x, float *y);

  /// y[i] = op(x[i]); y may be x.
  void (*unary)(ck_pool *pool, ck_unary_op op, float a, float b, ptrdiff_t n, const float *x, float *y);
  /// z[i][j] = op(x[i * x_row + j * x_col], y[i * y_row + j * y_col]) for z of `rows` by `cols`; x_col and y_col are 0
  /// or 1, the row strides anything. z may be x or y where their strides are those of z.
  void (*binary)(ck_pool *pool, ck_binary_op op, ptrdiff_t rows, ptrdiff_t cols, const float *x, ptrdiff_t x_row,
                 ptrdiff_t x_col, const float *y, ptrdiff_t y_row, ptrdiff_t y_col, float *z);
  /// y[c][i] = x[c][i] * scale[c] + shift[c] with one rounding, x of [outer][channels][inner]: batch normalization.
  void (*scale_shift)(ck_pool *pool, ptrdiff_t outer, ptrdiff_t channels, ptrdiff_t inner, const float *x,
                      const float *scale, const float *shift, float *y);

  /// y[outer][inner] over the middle axis of x[outer][n][inner]. With inner = 1 element i goes to lane i mod 32, lanes
  /// are folded 16, 8, 4, 2, 1; otherwise the elements are taken in order.
  void (*reduce)(ck_pool *pool, ck_reduce_op op, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner, const float *x,
                 float *y);
  /// Softmax over the middle axis: exp(x - max) / sum (log: x - max - log(sum)), sum as in `reduce`. A maximum of -inf
  /// gives NaN, as the definition does.
  void (*softmax)(ck_pool *pool, int log, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner, const float *x, float *y);
  /// Rows of n: fma((x - mean) * inv, scale, bias) with inv = 1 / sqrt(variance + epsilon); mean and variance (the
  /// mean of (x - mean)^2) as by `reduce`. `rms`: no mean is subtracted. scale and bias may be NULL (1 and nothing);
  /// mean_out and inv_out (one per row) may be NULL.
  void (*layer_norm)(ck_pool *pool, int rms, ptrdiff_t rows, ptrdiff_t n, float epsilon, const float *x,
                     const float *scale, const float *bias, float *y, float *mean_out, float *inv_out);

  /// q = saturate(round_half_even(x / scale) + zero_point), the quotient a float32 division; +inf and -inf saturate,
  /// NaN gives the zero point. Over x[outer][channels][inner] with one scale and zero point per channel (zero points
  /// may be NULL: 0).
  void (*quantize)(ck_pool *pool, ck_quant_type type, ptrdiff_t outer, ptrdiff_t channels, ptrdiff_t inner,
                   const float *x, const float *scale, const int32_t *zero_point, void *q);
  /// x = float(q - zero_point) * scale, one rounding.
  void (*dequantize)(ck_pool *pool, ck_quant_type type, ptrdiff_t outer, ptrdiff_t channels, ptrdiff_t inner,
                     const void *q, const float *scale, const int32_t *zero_point, float *x);
  /// Quantization and back in float, the bits of the two calls.
  void (*fake_quantize)(ck_pool *pool, ck_quant_type type, ptrdiff_t outer, ptrdiff_t channels, ptrdiff_t inner,
                        const float *x, const float *scale, const int32_t *zero_point, float *y);
} ck_float_kernels;

/// The kernels of an instruction set that this machine has; those of `CK_ISA_PORTABLE` for one that it has not.
const ck_float_kernels *ck_float_kernels_for(ck_isa isa);

/// The kernels of `ck_isa_current()`.
const ck_float_kernels *ck_float(void);
