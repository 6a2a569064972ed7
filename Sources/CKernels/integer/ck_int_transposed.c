#include "../include/ck_integer_transposed.h"
#include "ck_int_internal.h"

// Transposed convolution: the definition, and the placing of phases. Integer instructions only.

// The input position that tap k gives to output position o; -1 where there is none.
static int64_t origin(int64_t o, int64_t k, int64_t stride, int64_t dilation, int64_t begin, int64_t input) {
  int64_t at = o + begin - k * dilation;
  return at < 0 || at % stride != 0 || at / stride >= input ? -1 : at / stride;
}

void ck_int_conv_transposed_reference(
    const ck_int_conv_spec *spec, const ck_int_conv_geometry *g, const int64_t output[3], const uint8_t *x, int32_t *y) {
  const ck_int_conv_shape *s = &spec->shape;
  int64_t cin = s->channels / s->groups, cout = s->outputs / s->groups, size = s->kernel[0] * s->kernel[1] * s->kernel[2];
  for (int64_t b = 0; b < g->batch; b++)
    for (int64_t od = 0; od < output[0]; od++)
      for (int64_t oh = 0; oh < output[1]; oh++)
        for (int64_t ow = 0; ow < output[2]; ow++)
          for (int64_t n = 0; n < s->outputs; n++) {
            int64_t sum = spec->bias ? spec->bias[n] : 0, w_zero = spec->w_zero ? spec->w_zero[n] : 0;
            for (int64_t k = 0; k < size; k++) {
              int64_t kd = k / (s->kernel[1] * s->kernel[2]), kh = k / s->kernel[2] % s->kernel[1], kw = k % s->kernel[2];
              int64_t d = origin(od, kd, s->stride[0], s->dilation[0], g->begin[0], g->input[0]);
              int64_t h = origin(oh, kh, s->stride[1], s->dilation[1], g->begin[1], g->input[1]);
              int64_t w = origin(ow, kw, s->stride[2], s->dilation[2], g->begin[2], g->input[2]);
              if (d < 0 || h < 0 || w < 0) continue;
              const uint8_t *p = x + (((b * g->input[0] + d) * g->input[1] + h) * g->input[2] + w) * s->channels + n / cout * cin;
              for (int64_t c = 0; c < cin; c++)
                sum += ((int64_t)p[c] - spec->x_zero) * (spec->weights[(n * cin + c) * size + k] - w_zero);
            }
            *y++ = (int32_t)sum;
          }
}

void ck_int_scatter_phase(const ck_int_phase *p, const uint8_t *x, uint8_t *y) {
  for (int64_t b = 0; b < p->batch; b++)
    for (int64_t d = 0; d < p->count[0]; d++)
      for (int64_t h = 0; h < p->count[1]; h++) {
        const uint8_t *from =
            x + (((b * p->size[0] + d + p->skip[0]) * p->size[1] + h + p->skip[1]) * p->size[2] + p->skip[2]) * p->bytes;
        uint8_t *to = y + (((b * p->output[0] + p->first[0] + d * p->step[0]) * p->output[1] + p->first[1] + h * p->step[1]) *
                               p->output[2] + p->first[2]) * p->bytes;
        for (int64_t w = 0; w < p->count[2]; w++)
          memcpy(to + w * p->step[2] * p->bytes, from + w * p->bytes, (size_t)p->bytes);
      }
}
