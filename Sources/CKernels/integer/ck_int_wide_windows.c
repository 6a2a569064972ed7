#include "../include/ck_integer_wide.h"
#include "ck_int_internal.h"

// Windows and interpolation on fixed-point codes: definitions, integer instructions only.

void ck_wide_max_pool(
    const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const int32_t *x, int32_t none, int32_t *y) {
  int64_t c = s->channels;
  for (int64_t b = 0; b < g->batch; b++)
    for (int64_t od = 0; od < s->output[0]; od++)
      for (int64_t oh = 0; oh < s->output[1]; oh++)
        for (int64_t ow = 0; ow < s->output[2]; ow++, y += c) {
          int first = 1;
          for (int64_t kd = 0; kd < s->kernel[0]; kd++)
            for (int64_t kh = 0; kh < s->kernel[1]; kh++)
              for (int64_t kw = 0; kw < s->kernel[2]; kw++) {
                int64_t d = od * s->stride[0] + kd * s->dilation[0] - g->begin[0];
                int64_t h = oh * s->stride[1] + kh * s->dilation[1] - g->begin[1];
                int64_t w = ow * s->stride[2] + kw * s->dilation[2] - g->begin[2];
                if (d < 0 || h < 0 || w < 0 || d >= g->input[0] || h >= g->input[1] || w >= g->input[2]) continue;
                const int32_t *p = x + (((b * g->input[0] + d) * g->input[1] + h) * g->input[2] + w) * c;
                for (int64_t i = 0; i < c; i++) y[i] = first || p[i] > y[i] ? p[i] : y[i];
                first = 0;
              }
          for (int64_t i = 0; first && i < c; i++) y[i] = none;
        }
}

void ck_wide_resize(const ck_wide_resampling *r, const int32_t *x, int32_t *y) {
  int64_t unit = (int64_t)r->denominator[0] * r->denominator[1] * r->denominator[2];
  for (int64_t o = 0; o < r->outer; o++, x += r->input[0] * r->input[1] * r->input[2] * r->inner)
    for (int64_t d = 0; d < r->output[0]; d++)
      for (int64_t h = 0; h < r->output[1]; h++)
        for (int64_t w = 0; w < r->output[2]; w++, y += r->inner) {
          const int32_t *from[8];
          int64_t weight[8];
          int taps = 0;
          for (int corner = 0; corner < 8; corner++) {
            int64_t at[3] = {d, h, w}, index[3], product = 1;
            for (int a = 0; a < 3; a++) {
              int upper = corner >> (2 - a) & 1;
              index[a] = upper ? r->high[a][at[a]] : r->low[a][at[a]];
              product *= upper ? r->weight[a][at[a]] : r->denominator[a] - r->weight[a][at[a]];
            }
            if (product == 0) continue;
            from[taps] = x + ((index[0] * r->input[1] + index[1]) * r->input[2] + index[2]) * r->inner;
            weight[taps++] = product;
          }
          for (int64_t i = 0; i < r->inner; i++) {
            int64_t sum = 0;  // the weights add up to `unit`, so |sum| <= 2^31 unit
            for (int t = 0; t < taps; t++) sum += from[t][i] * weight[t];
            int64_t q = sum / unit, rest = sum - q * unit;
            if (rest < 0) {
              q -= 1;
              rest += unit;
            }
            y[i] = (int32_t)(q + (rest > unit - rest || (rest == unit - rest && (q & 1))));
          }
        }
}
