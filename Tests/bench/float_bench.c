// Times the float kernels alone: the least of many runs, in GMAC/s (or ns per element).
// clang -O2 -I Sources/CKernels/include Tests/bench/float_bench.c
//   Sources/CKernels/{float,threads,dispatch,statistics}/*.c -lm -lpthread
//   -o build/float_bench && build/float_bench [threads] [word that a line's name must contain]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ck_cpu.h"
#include "ck_float.h"
#include "ck_statistics.h"
#include "ck_threads.h"

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static float *floats(size_t n) {
  float *p = aligned_alloc(64, (n * sizeof(float) + 127) / 64 * 64);
  unsigned state = 1;
  for (size_t i = 0; p && i < n; i++) {
    state = state * 1664525u + 1013904223u;
    p[i] = (float)(int)(state >> 8) * 0x1p-23f - 1;
  }
  if (!p) exit(1);
  return p;
}

static const ck_float_kernels *kernels;
static ck_pool *pool;
static const char *wanted = "";

// The least time of one call, over at least 0.15 s.
#define LEAST(CALL)                                                                                                    \
  ({                                                                                                                   \
    double best = 1e9, start = now();                                                                                  \
    int runs = 0;                                                                                                      \
    while (now() - start < 0.15 || runs < 5) {                                                                         \
      double t = now();                                                                                                \
      CALL;                                                                                                            \
      t = now() - t;                                                                                                   \
      if (t < best) best = t;                                                                                          \
      runs++;                                                                                                          \
    }                                                                                                                  \
    best;                                                                                                              \
  })

static void gemm(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, int packs, int b_transposed) {
  char name[64];
  snprintf(name, sizeof name, "gemm %tdx%tdx%td%s%s", m, k, n, packs ? " packed" : "",
           b_transposed ? " transposed" : "");
  if (!strstr(name, wanted)) return;
  float *a = floats((size_t)(m * k)), *b = floats((size_t)(k * n)), *c = floats((size_t)(m * n));
  float *packed = floats(kernels->sgemm_packed_b_size(k, n));
  kernels->sgemm_pack_b(pool, k, n, b, b_transposed ? 1 : n, b_transposed ? k : 1, packed);
  double t = LEAST(kernels->sgemm(pool, m, n, k, a, k, 1, b, b_transposed ? 1 : n, b_transposed ? k : 1,
                                  packs ? packed : NULL, c, n, NULL));
  printf("%-36s %8.3f ms %7.1f GMAC/s\n", name, t * 1e3, (double)m * (double)n * (double)k / t * 1e-9);
  free(a), free(b), free(c), free(packed);
}

static void conv(ptrdiff_t in, ptrdiff_t out, ptrdiff_t size, ptrdiff_t k, ptrdiff_t stride, ptrdiff_t groups,
                 int transposed) {
  char name[64];
  snprintf(name, sizeof name, "%s %tdx%td/%td %td->%td %td²%s", transposed ? "deconv" : "conv", k, k, stride, in, out,
           size, groups > 1 ? " depthwise" : "");
  if (!strstr(name, wanted)) return;
  ptrdiff_t after = transposed ? size * stride : (size + 2 * (k / 2) - k) / stride + 1;
  ck_conv_shape s = {.batch = 1, .groups = groups, .in_channels = in, .out_channels = out};
  for (int d = 0; d < 3; d++) {
    s.in[d] = d ? size : 1;
    s.kernel[d] = d ? k : 1;
    s.stride[d] = d ? stride : 1;
    s.dilation[d] = 1;
    s.pad[d] = d ? k / 2 : 0;
    s.out[d] = d ? after : 1;
  }
  size_t weights = (size_t)(in / groups * out * k * k);
  float *x = floats((size_t)(in * size * size)), *w = floats(weights), *packed = floats(weights);
  float *y = floats((size_t)(out * after * after)), *bias = floats((size_t)out);
  ck_epilogue e = {.alpha = 1, .bias_row = bias, .op = CK_RELU};
  double macs = (double)weights * (double)(transposed ? size * size : after * after), t;
  if (transposed) {
    kernels->conv_transpose_pack(&s, w, packed);
    t = LEAST(kernels->conv_transpose(pool, &s, x, packed, y, &e));
  } else {
    kernels->conv_pack(&s, w, packed);
    t = LEAST(kernels->conv(pool, &s, x, packed, y, &e));
  }
  printf("%-36s %8.3f ms %7.1f GMAC/s\n", name, t * 1e3, macs / t * 1e-9);
  free(x), free(w), free(packed), free(y), free(bias);
}

static void line(const char *name, double seconds, double elements) {
  printf("%-36s %8.4f ns per element\n", name, seconds / elements * 1e9);
}

int main(int count, char **arguments) {
  int threads = count > 1 ? atoi(arguments[1]) : 1;
  if (count > 2) wanted = arguments[2];
  kernels = ck_float();
  pool = ck_pool_create(threads);
  printf("%s, %d threads\n", ck_isa_name(kernels->isa), ck_pool_threads(pool));
  conv(64, 64, 56, 3, 1, 1, 0);
  conv(256, 64, 56, 1, 1, 1, 0);
  conv(64, 256, 56, 1, 1, 1, 0);
  conv(128, 128, 28, 3, 1, 1, 0);
  conv(256, 256, 14, 3, 1, 1, 0);
  conv(512, 512, 7, 3, 1, 1, 0);
  conv(3, 64, 224, 7, 2, 1, 0);
  conv(128, 128, 56, 3, 2, 1, 0);
  conv(16, 16, 32, 3, 1, 1, 0);
  conv(3, 16, 32, 3, 1, 1, 0);
  conv(32, 32, 112, 3, 1, 32, 0);
  conv(144, 144, 56, 3, 1, 144, 0);
  conv(96, 96, 112, 3, 2, 96, 0);
  conv(256, 256, 7, 3, 1, 256, 0);
  conv(64, 32, 32, 4, 2, 1, 1);
  gemm(512, 512, 512, 0, 0);
  gemm(512, 512, 512, 1, 0);
  gemm(512, 512, 512, 0, 1);
  gemm(128, 768, 768, 1, 0);
  gemm(128, 3072, 768, 1, 0);
  gemm(128, 768, 3072, 1, 0);
  gemm(3136, 64, 576, 1, 0);
  gemm(128, 64, 128, 0, 0);
  gemm(128, 128, 64, 0, 1);
  gemm(1, 1000, 2048, 1, 0);
  gemm(1, 1000, 2048, 0, 0);
  gemm(8, 1000, 2048, 1, 0);
  enum { N = 1 << 16 };
  float *x = floats(N), *y = floats(N), *z = floats(N);
  static const struct {
    const char *name;
    ck_unary_op op;
  } functions[] = {{"relu", CK_RELU}, {"exp", CK_EXP},   {"tanh", CK_TANH}, {"sigmoid", CK_SIGMOID},
                   {"erf", CK_ERF},   {"gelu", CK_GELU}, {"log", CK_LOG},   {"softplus", CK_SOFTPLUS}};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
    if (strstr(functions[i].name, wanted))
      line(functions[i].name, LEAST(kernels->unary(pool, functions[i].op, 0, 0, N, x, y)), N);
  if (strstr("add", wanted)) line("add", LEAST(kernels->binary(pool, CK_ADD, 1, N, x, N, 1, y, N, 1, z)), N);
  if (strstr("softmax 128", wanted)) line("softmax 128", LEAST(kernels->softmax(pool, 0, N / 128, 128, 1, x, y)), N);
  if (strstr("layernorm 512", wanted))
    line("layernorm 512", LEAST(kernels->layer_norm(pool, 0, N / 512, 512, 1e-5f, x, y, y, z, NULL, NULL)), N);
  if (strstr("mean 3136", wanted))
    line("mean 3136", LEAST(kernels->reduce(pool, CK_REDUCE_MEAN, 20, 3136, 1, x, y)), 62720);
  float scale = 0.01f;
  if (strstr("quantize int8", wanted))
    line("quantize int8", LEAST(kernels->quantize(pool, CK_INT8, 1, 1, N, x, &scale, NULL, y)), N);
  if (strstr("fake quantize int8", wanted))
    line("fake quantize int8", LEAST(kernels->fake_quantize(pool, CK_INT8, 1, 1, N, x, &scale, NULL, y)), N);
  ck_pool_shape p = {.planes = 16, .in = {1, 64, 64}, .kernel = {1, 3, 3}, .stride = {1, 2, 2}, .dilation = {1, 1, 1},
                     .pad = {0, 1, 1}, .pad_end = {0, 1, 1}, .out = {1, 32, 32}};
  if (strstr("max pool 3x3/2", wanted))
    line("max pool 3x3/2", LEAST(kernels->pool(pool, CK_POOL_MAX, &p, x, y)), 16384);
  uint64_t *bins = calloc(CK_HISTOGRAM_BINS, sizeof(uint64_t));
  if (strstr("summary", wanted)) line("summary", LEAST(ck_summarize(kernels->isa, pool, x, N)), N);
  if (bins && strstr("histogram", wanted)) line("histogram", LEAST(ck_histogram(pool, x, N, bins)), N);
  double sums[64];
  if (strstr("channels", wanted))
    line("channels", LEAST(ck_channel_statistics(kernels->isa, pool, x, 1, 64, N / 64, sums, NULL, y, z)), N);
  free(bins), free(x), free(y), free(z);
  ck_pool_destroy(pool);
}
