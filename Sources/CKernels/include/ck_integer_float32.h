#pragma once
#include "ck_integer.h"

#ifdef __cplusplus
extern "C" {
#endif

// onnxruntime's float32 rule for means over windows: the dequantized elements are added one by one in the order of the
// window, divided by their number (or by `divisor` of the output pixel) and quantized. A declared float kernel. Channels
// last.
void ck_int_average_pool_float32(
    const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const uint8_t *x, int32_t x_zero, float x_scale,
    const int32_t *divisor, float y_scale, ck_int_output out, uint8_t *y);

#ifdef __cplusplus
}
#endif
