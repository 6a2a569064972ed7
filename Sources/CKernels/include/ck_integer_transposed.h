#pragma once
#include "ck_integer.h"

#ifdef __cplusplus
extern "C" {
#endif

// The definition of a transposed convolution: accumulator n of output position o is
//   bias[n] + Σ (x[c][i] - x_zero)(w[n][c][k] - w_zero[n])   over all i, k with i stride + k dilation - begin = o,
// c over the input channels of n's group. The spec's shape and g are those of the transposed operator: g->input is x's
// extents, g->begin what is cut off at the front; `output` gives the extents of y. Channels last. Integer arithmetic only.
void ck_int_conv_transposed_reference(
    const ck_int_conv_spec *spec, const ck_int_conv_geometry *g, const int64_t output[3], const uint8_t *x, int32_t *y);

// One phase of a transposed convolution put where it belongs: pixel t of x, for t in 0 ... count, from position `skip` on,
// goes to pixel first + t step of y, in each of three axes. x: [batch][size][bytes], y: [batch][output][bytes].
typedef struct {
  int64_t batch, bytes;          // bytes of one pixel
  int64_t size[3], skip[3];
  int64_t output[3], first[3], step[3], count[3];
} ck_int_phase;
void ck_int_scatter_phase(const ck_int_phase *phase, const uint8_t *x, uint8_t *y);

#ifdef __cplusplus
}
#endif
