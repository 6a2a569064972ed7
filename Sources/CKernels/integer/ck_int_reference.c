#include "ck_int_internal.h"

// The definitions: integer arithmetic only, one loop for one sum of the text. docs/numerics.md derives them.

int64_t ck_int_round_shift(int64_t value, int32_t shift) { return ck_shift_even(value, shift); }

int64_t ck_int_multiply(int32_t acc, ck_int_multiplier m) { return ck_multiply(acc, m); }

static int output_size(int64_t in, int64_t begin, int64_t end, int64_t k, int64_t s, int64_t d, int64_t *out) {
  int64_t reach, padded;
  if (in < 0 || begin < 0 || end < 0 || k < 1 || s < 1 || d < 1) return -1;
  if (__builtin_mul_overflow(k - 1, d, &reach) || __builtin_add_overflow(in, begin, &padded) ||
      __builtin_add_overflow(padded, end, &padded) || __builtin_add_overflow(reach, 1, &reach))
    return -1;
  *out = padded < reach ? 0 : (padded - reach) / s + 1;
  return 0;
}

int64_t ck_int_conv_output(const ck_int_conv *conv, const ck_int_conv_geometry *g, int d) {
  int64_t out;
  const ck_int_conv_shape *s = &conv->shape;
  if (output_size(g->input[d], g->begin[d], g->end[d], s->kernel[d], s->stride[d], s->dilation[d], &out)) return -1;
  return out;
}

static int64_t kernel_size(const ck_int_conv_shape *s) { return s->kernel[0] * s->kernel[1] * s->kernel[2]; }

void ck_int_conv_bounds(const ck_int_conv_spec *spec, int32_t x_lo, int32_t x_hi, int64_t *least, int64_t *greatest) {
  int64_t depth = spec->shape.channels / spec->shape.groups * kernel_size(&spec->shape);
  int64_t below = (int64_t)x_lo - spec->x_zero, above = (int64_t)x_hi - spec->x_zero;
  if (below > 0) below = 0;  // padding holds the zero point
  if (above < 0) above = 0;
  for (int64_t n = 0; n < spec->shape.outputs; n++) {
    int64_t bias = spec->bias ? spec->bias[n] : 0, lo = bias, hi = bias, zero = spec->w_zero ? spec->w_zero[n] : 0;
    const int8_t *w = spec->weights + n * depth;
    for (int64_t k = 0; k < depth; k++) {
      int64_t v = w[k] - zero, p = v * below, q = v * above;
      lo += p < q ? p : q;
      hi += p < q ? q : p;
    }
    least[n] = lo;
    greatest[n] = hi;
  }
}

// One output of a convolution: the sum over the window of (x - x_zero)(w - w_zero), plus the bias.
static int64_t window_sum(
    const ck_int_conv_spec *spec, const ck_int_conv_geometry *g, const uint8_t *x, int64_t b, const int64_t o[3],
    int64_t n) {
  const ck_int_conv_shape *s = &spec->shape;
  int64_t cin = s->channels / s->groups, cout = s->outputs / s->groups, base = n / cout * cin;
  int64_t sum = spec->bias ? spec->bias[n] : 0, w_zero = spec->w_zero ? spec->w_zero[n] : 0;
  const int8_t *w = spec->weights + n * cin * kernel_size(s);
  for (int64_t kd = 0; kd < s->kernel[0]; kd++)
    for (int64_t kh = 0; kh < s->kernel[1]; kh++)
      for (int64_t kw = 0; kw < s->kernel[2]; kw++) {
        int64_t d = o[0] * s->stride[0] + kd * s->dilation[0] - g->begin[0];
        int64_t h = o[1] * s->stride[1] + kh * s->dilation[1] - g->begin[1];
        int64_t v = o[2] * s->stride[2] + kw * s->dilation[2] - g->begin[2];
        if (d < 0 || h < 0 || v < 0 || d >= g->input[0] || h >= g->input[1] || v >= g->input[2]) continue;
        const uint8_t *p = x + (((b * g->input[0] + d) * g->input[1] + h) * g->input[2] + v) * s->channels + base;
        const int8_t *q = w + (kd * s->kernel[1] + kh) * s->kernel[2] + kw;
        for (int64_t k = 0; k < cin; k++)
          sum += ((int64_t)p[k] - spec->x_zero) * (q[k * kernel_size(s)] - w_zero);
      }
  return sum;
}

#define CK_EACH_OUTPUT(body) \
  { \
    int64_t size[3], o[3], i = 0; \
    const ck_int_conv_shape *s = &spec->shape; \
    for (int d = 0; d < 3; d++) \
      if (output_size(g->input[d], g->begin[d], g->end[d], s->kernel[d], s->stride[d], s->dilation[d], &size[d])) return; \
    for (int64_t b = 0; b < g->batch; b++) \
      for (o[0] = 0; o[0] < size[0]; o[0]++) \
        for (o[1] = 0; o[1] < size[1]; o[1]++) \
          for (o[2] = 0; o[2] < size[2]; o[2]++) \
            for (int64_t n = 0; n < s->outputs; n++, i++) body \
  }

void ck_int_conv_reference(const ck_int_conv_spec *spec, const ck_int_conv_geometry *g, const uint8_t *x, void *y)
CK_EACH_OUTPUT({
  int32_t acc = (int32_t)window_sum(spec, g, x, b, o, n);
  if (spec->type == CK_INT_S32) ck_store(y, i, CK_INT_S32, acc);
  else if (spec->rounding == CK_INT_ROUND_FLOAT32)
    ck_store(y, i, spec->type, ck_finish_float32(acc, ck_float_of_bits(spec->float_multipliers[n]), spec->output));
  else
    ck_store(y, i, spec->type,
             ck_clamp(spec->output.zero + ck_multiply(acc, spec->multipliers[n]), spec->output.lo, spec->output.hi));
})

int32_t ck_finish_one(const ck_int_conv *c, int32_t acc, const ck_panel *q, int lane) {
  if (c->rounding == CK_INT_ROUND_FLOAT32) return ck_finish_float32(acc, q->scale[lane], c->output);
  return ck_clamp(c->output.zero + ck_multiply(acc, q->m[lane]), c->output.lo, c->output.hi);
}

void ck_int_rescale_table(int32_t x_zero, ck_int_multiplier m, ck_int_output out, uint8_t table[256]) {
  for (int32_t i = 0; i < 256; i++)
    table[i] = (uint8_t)ck_clamp(out.zero + ck_multiply(i - x_zero, m), out.lo, out.hi);
}
