// Random shapes through every float kernel, each array allocated to the byte, for the address and undefined-behaviour
// sanitizers; every instruction set must give the bits of the portable one.
// clang -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -I Sources/CKernels/include
//   Tests/sanitize/float_harness.c Sources/CKernels/{float,threads,dispatch,statistics}/*.c -lm -lpthread
//   -o build/float_harness && build/float_harness [rounds] [seed]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ck_cpu.h"
#include "ck_float.h"
#include "ck_statistics.h"
#include "ck_threads.h"

static uint64_t state;
static uint64_t next(void) {
  state += 0x9E3779B97F4A7C15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}
static ptrdiff_t pick(ptrdiff_t low, ptrdiff_t high) { return low + (ptrdiff_t)(next() % (uint64_t)(high - low + 1)); }

static void *bytes(size_t n) {
  void *p = NULL;
  if (posix_memalign(&p, 64, n ? n : 1)) exit(1);
  return p;
}
static float *floats(ptrdiff_t n) {
  float *p = bytes((size_t)n * sizeof(float));
  for (ptrdiff_t i = 0; i < n; i++) p[i] = (float)(int64_t)(next() >> 40) * 0x1p-23f - 1;
  return p;
}
static float *nothing(ptrdiff_t n) {
  float *p = bytes((size_t)n * sizeof(float));
  memset(p, 0xff, (size_t)n * sizeof(float));
  return p;
}

static ck_pool *pool;
static int failures;

static void same(const char *what, const char *isa, const void *a, const void *b, size_t n) {
  const float *x = a, *y = b;
  for (size_t i = 0; i < n; i++)
    if (memcmp(x + i, y + i, sizeof(float)) && !(isnan(x[i]) && isnan(y[i]))) {
      printf("%s: %s differs at %zu of %zu: %a, portable %a\n", what, isa, i, n, (double)y[i], (double)x[i]);
      failures++;
      return;
    }
}

// Runs the rest with `k` and `out` for every instruction set, and compares `count` floats of out.
#define EACH(WHAT, COUNT, ...)                                                                                         \
  do {                                                                                                                 \
    float *first = NULL;                                                                                               \
    for (int isa = CK_ISA_PORTABLE; isa <= CK_ISA_AVX512; isa++) {                                                     \
      if (!ck_isa_available((ck_isa)isa)) continue;                                                                    \
      const ck_float_kernels *k = ck_float_kernels_for((ck_isa)isa);                                                   \
      float *out = nothing(COUNT);                                                                                     \
      __VA_ARGS__;                                                                                                     \
      if (first)                                                                                                       \
        same(WHAT, ck_isa_name((ck_isa)isa), first, out, (size_t)(COUNT)), free(out);                                  \
      else                                                                                                             \
        first = out;                                                                                                   \
    }                                                                                                                  \
    free(first);                                                                                                       \
  } while (0)

static void gemm(void) {
  ptrdiff_t m = pick(0, 30), n = pick(0, 150), k_ = pick(0, 1) ? pick(0, 40) : pick(0, 800);
  int ta = (int)pick(0, 1), tb = (int)pick(0, 1), packs = (int)pick(0, 1);
  float *a = floats(m * k_), *b = floats(k_ * n), *row = floats(m), *column = floats(n), *residual = floats(m * n);
  ck_epilogue e = {.alpha = 1, .op = (ck_unary_op)pick(0, CK_UNARY_COUNT - 1), .a = 0.3f, .b = 0.7f};
  if (pick(0, 1)) e.bias_row = row;
  if (pick(0, 1)) e.bias_col = column;
  if (pick(0, 1)) e.residual = residual;
  EACH("gemm", m * n, {
    float *packed = floats((ptrdiff_t)k->sgemm_packed_b_size(k_, n));
    if (packs) k->sgemm_pack_b(pool, k_, n, b, tb ? 1 : n, tb ? k_ : 1, packed);
    k->sgemm(pool, m, n, k_, a, ta ? 1 : k_, ta ? m : 1, packs ? NULL : b, tb ? 1 : n, tb ? k_ : 1,
             packs ? packed : NULL, out, n, &e);
    free(packed);
  });
  free(a), free(b), free(row), free(column), free(residual);
}

static void conv(void) {
  int transposed = (int)pick(0, 3) == 0, depthwise = (int)pick(0, 2) == 0, rank = (int)pick(1, 3);
  ptrdiff_t groups = depthwise ? pick(2, 6) : pick(1, 2);
  ck_conv_shape s = {.batch = pick(0, 2), .groups = groups, .in_channels = groups * (depthwise ? 1 : pick(0, 9)),
                     .out_channels = groups * (depthwise ? pick(1, 2) : pick(0, 30))};
  ptrdiff_t in = s.batch * s.in_channels, out_count = s.batch * s.out_channels,
            weights = s.in_channels * s.out_channels / groups;
  int square = (int)pick(0, 1);
  ptrdiff_t kernel = pick(1, 5), stride = pick(1, 3), dilation = pick(0, 2) ? 1 : 2;
  for (int d = 0; d < 3; d++) {
    int there = d >= 3 - rank;
    s.in[d] = there ? pick(1, rank == 1 ? 200 : rank == 2 ? 40 : 9) : 1;
    s.kernel[d] = !there ? 1 : square ? kernel : pick(1, 5);
    s.stride[d] = !there ? 1 : square ? stride : pick(1, 3);
    s.dilation[d] = !there ? 1 : square ? dilation : pick(1, 2);
    s.pad[d] = there ? pick(-1, 3) : 0;
    ptrdiff_t span = (s.kernel[d] - 1) * s.dilation[d] + 1, end = pick(0, 3);
    ptrdiff_t size = transposed ? (s.in[d] - 1) * s.stride[d] + span - s.pad[d] - end
                                : (s.in[d] + s.pad[d] + end - span + s.stride[d]) / s.stride[d];
    s.out[d] = there ? (size < 0 ? 0 : size) : 1;
    in *= s.in[d], out_count *= s.out[d], weights *= s.kernel[d];
  }
  float *x = floats(in), *w = floats(weights), *bias = floats(s.out_channels), *residual = floats(out_count);
  ck_epilogue e = {.alpha = 1, .bias_row = pick(0, 1) ? bias : NULL, .residual = pick(0, 1) ? residual : NULL,
                   .op = (ck_unary_op)pick(0, CK_UNARY_COUNT - 1), .a = 0.3f, .b = 0.7f};
  EACH(transposed ? "transposed convolution" : "convolution", out_count, {
    float *packed = nothing((ptrdiff_t)(transposed ? k->conv_transpose_packed_size : k->conv_packed_size)(&s));
    (transposed ? k->conv_transpose_pack : k->conv_pack)(&s, w, packed);
    (transposed ? k->conv_transpose : k->conv)(pool, &s, x, packed, out, &e);
    free(packed);
  });
  free(x), free(w), free(bias), free(residual);
  if (transposed) return;
  ck_pool_shape p = {.planes = s.batch * 3};
  ptrdiff_t planes_in = p.planes, planes_out = p.planes;
  for (int d = 0; d < 3; d++) {
    p.in[d] = s.in[d], p.kernel[d] = s.kernel[d], p.stride[d] = s.stride[d], p.dilation[d] = s.dilation[d];
    p.pad[d] = s.pad[d] < 0 ? 0 : s.pad[d], p.pad_end[d] = pick(0, 2), p.out[d] = s.out[d];
    planes_in *= p.in[d], planes_out *= p.out[d];
  }
  x = floats(planes_in);
  ck_pool_op op = (ck_pool_op)pick(0, 4);
  EACH("pooling", planes_out, k->pool(pool, op, &p, x, out));
  free(x);
}

static void elements(void) {
  ptrdiff_t n = pick(0, 3) ? pick(0, 100) : pick(0, 100000);
  float *x = floats(n), *y = floats(n);
  ck_unary_op unary = (ck_unary_op)pick(0, CK_UNARY_COUNT - 1);
  EACH("unary", n, k->unary(pool, unary, 0.3f, 0.7f, n, x, out));
  ptrdiff_t rows = pick(1, 5), cols = n / rows, y_row = pick(0, 1) ? cols : 0;
  ck_binary_op binary = (ck_binary_op)pick(0, CK_BINARY_COUNT - 1);
  EACH("binary", rows * cols, k->binary(pool, binary, rows, cols, x, cols, 1, y, y_row, 1, out));
  ptrdiff_t outer = pick(0, 4), inner = pick(0, 2) ? 1 : pick(0, 300), count = pick(1, 200);
  float *z = floats(outer * inner * count), *scale = floats(count + inner + 1), *shift = floats(count + inner + 1);
  ck_reduce_op reduce = (ck_reduce_op)pick(0, CK_REDUCE_COUNT - 1);
  EACH("reduce", outer * inner, k->reduce(pool, reduce, outer, count, inner, z, out));
  int log = (int)pick(0, 1);
  EACH("softmax", outer * inner * count, k->softmax(pool, log, outer, count, inner, z, out));
  EACH("layer_norm", outer * inner * count,
       k->layer_norm(pool, log, outer * inner, count, 1e-5f, z, scale, log ? NULL : shift, out, NULL, NULL));
  EACH("scale_shift", outer * inner * count, k->scale_shift(pool, outer, count, inner, z, scale, shift, out));
  int32_t *zero = bytes((size_t)count * sizeof(int32_t));
  for (ptrdiff_t i = 0; i < count; i++) zero[i] = (int32_t)pick(0, 100), scale[i] = fabsf(scale[i]) + 0.01f;
  ck_quant_type type = (ck_quant_type)pick(0, 3);
  EACH("quantize", outer * inner * count, {
    ptrdiff_t all = outer * inner * count;
    size_t each = type == CK_INT8 || type == CK_UINT8 ? 1 : 2;
    void *q = bytes((size_t)all * each);
    k->quantize(pool, type, outer, count, inner, z, scale, zero, q);
    k->dequantize(pool, type, outer, count, inner, q, scale, zero, out);
    float *fake = nothing(all);
    k->fake_quantize(pool, type, outer, count, inner, z, scale, zero, fake);
    same("fake_quantize", ck_isa_name(k->isa), out, fake, (size_t)all);
    free(q), free(fake);
  });
  EACH("statistics", 2 * count, {
    double *sums = bytes((size_t)count * sizeof(double));
    ck_channel_statistics(k->isa, pool, z, outer, count, inner, sums, NULL, out, out + count);
    ck_summary s = ck_summarize(k->isa, pool, z, outer * count * inner);
    if (s.count != (uint64_t)(outer * count * inner)) failures++;
    free(sums);
  });
  uint64_t *bins = calloc(CK_HISTOGRAM_BINS, sizeof(uint64_t));
  uint64_t sum = 0;
  if (!bins) exit(1);
  ck_histogram(pool, x, n, bins);
  for (int i = 0; i < CK_HISTOGRAM_BINS; i++) sum += bins[i];
  if (sum != (uint64_t)n) failures++;
  free(bins), free(x), free(y), free(z), free(scale), free(shift), free(zero);
}

int main(int count, char **arguments) {
  int rounds = count > 1 ? atoi(arguments[1]) : 500;
  uint64_t seed = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
  for (int i = 0; i < rounds && failures < 10; i++) {
    state = seed + (uint64_t)i * 1000003;
    int before = failures;
    pool = i % 2 ? ck_pool_create(3) : NULL;
    gemm();
    conv();
    conv();
    elements();
    ck_pool_destroy(pool);
    if (failures > before) printf("round %d of seed %llu\n", i, (unsigned long long)seed);
  }
  printf("%d rounds, %d failures\n", rounds, failures);
  return failures ? 1 : 0;
}
