#include "../include/ck_integer_float32.h"
#include "ck_int_internal.h"

#include <math.h>

static uint8_t quantize_one(float v, float scale, ck_int_output out) {
  float r = rintf(v / scale);
  if (!(r > -1e9f)) return (uint8_t)out.lo;
  return (uint8_t)(r > 1e9f ? out.hi : ck_clamp((int64_t)r + out.zero, out.lo, out.hi));
}

void ck_int_average_pool_float32(
    const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const uint8_t *x, int32_t x_zero, float x_scale,
    const int32_t *divisor, float y_scale, ck_int_output out, uint8_t *y) {
  float table[256];
  for (int i = 0; i < 256; i++) table[i] = (float)(i - x_zero) * x_scale;
  int64_t pixels = s->output[0] * s->output[1] * s->output[2];
  for (int64_t b = 0; b < g->batch; b++)
    for (int64_t pixel = 0; pixel < pixels; pixel++) {
      int64_t o[3] = {pixel / (s->output[1] * s->output[2]), pixel / s->output[2] % s->output[1], pixel % s->output[2]};
      for (int64_t c = 0; c < s->channels; c++) {
        float sum = 0;
        int32_t inside = 0;
        for (int64_t kd = 0; kd < s->kernel[0]; kd++)
          for (int64_t kh = 0; kh < s->kernel[1]; kh++)
            for (int64_t kw = 0; kw < s->kernel[2]; kw++) {
              int64_t d = o[0] * s->stride[0] + kd * s->dilation[0] - g->begin[0];
              int64_t h = o[1] * s->stride[1] + kh * s->dilation[1] - g->begin[1];
              int64_t w = o[2] * s->stride[2] + kw * s->dilation[2] - g->begin[2];
              if (d < 0 || h < 0 || w < 0 || d >= g->input[0] || h >= g->input[1] || w >= g->input[2]) continue;
              sum += table[x[(((b * g->input[0] + d) * g->input[1] + h) * g->input[2] + w) * s->channels + c]];
              inside++;
            }
        int32_t count = divisor ? divisor[pixel] : inside;
        y[(b * pixels + pixel) * s->channels + c] = quantize_one(count > 0 ? sum / (float)count : 0, y_scale, out);
      }
    }
}
