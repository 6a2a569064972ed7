// All float kernels of one instruction set: included once per set, inside its target attribute, with LANES, TILE_ROWS,
// TILE_VECTORS, TABLE and TABLE_ISA defined.

#include "vector.h"

#include "tile.h"

#include "gemm.h"

#include "conv.h"

#include "window.h"

#include "transpose.h"

#include "functions.h"

#include "elementwise.h"

#include "reduce.h"

#include "quantize.h"

const ck_float_kernels TABLE = {
    .isa = TABLE_ISA,
    .sgemm_packed_b_size = sgemm_packed_b_size,
    .sgemm_pack_b = sgemm_pack_b,
    .sgemm = sgemm,
    .sgemm_batch = sgemm_batch,
    .conv_packed_size = conv_packed_size,
    .conv_pack = conv_pack,
    .conv = conv,
    .conv_transpose_packed_size = conv_packed_size,
    .conv_transpose_pack = conv_transpose_pack,
    .conv_transpose = conv_transpose,
    .pool = pool_planes,
    .unary = unary,
    .binary = binary,
    .scale_shift = scale_shift,
    .reduce = reduce,
    .softmax = softmax,
    .layer_norm = layer_norm,
    .quantize = quantize,
    .dequantize = dequantize,
    .fake_quantize = fake_quantize,
};
