// Times the integer kernels alone: the least of many runs, in GMAC/s or ns per element.
// clang -O2 -I Sources/CKernels/include Tests/bench/integer_bench.c Sources/CKernels/{integer,threads,dispatch}/*.c
//   -lm -lpthread -o build/integer_bench && build/integer_bench [instruction set] [word that a line's name must contain]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ck_cpu.h"
#include "ck_integer.h"
#include "ck_integer_wide.h"

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *bytes(size_t n) {
  uint8_t *p = aligned_alloc(64, (n + CK_INT_SLACK + 127) / 64 * 64);
  if (!p) exit(1);
  unsigned state = 1;
  for (size_t i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    p[i] = (uint8_t)(state >> 24);
  }
  return p;
}

static ck_isa isa;
static const char *wanted = "";

// The least time of one call, over at least 0.1 s.
#define LEAST(CALL) \
  ({ \
    double best = 1e9, start = now(); \
    int runs = 0; \
    while (now() - start < 0.1 || runs < 5) { \
      double t = now(); \
      CALL; \
      t = now() - t; \
      if (t < best) best = t; \
      runs++; \
    } \
    best; \
  })

static void conv(int64_t in, int64_t out, int64_t size, int64_t k, int64_t stride, int64_t groups) {
  char name[64];
  snprintf(name, sizeof name, "conv %dx%d/%d %d->%d %d²%s", (int)k, (int)k, (int)stride, (int)in, (int)out, (int)size,
           groups > 1 ? " depthwise" : "");
  if (!strstr(name, wanted)) return;
  int64_t depth = in / groups * k * k, after = (size + 2 * (k / 2) - k) / stride + 1;
  ck_int_multiplier *m = malloc(sizeof *m * (size_t)out);
  if (!m) exit(1);
  int shift = 36;
  for (int64_t d = depth; d > 1; d /= 4) shift++;
  for (int64_t n = 0; n < out; n++) m[n] = (ck_int_multiplier){(1 << 30) + (int32_t)(n % 97 << 7), shift};
  ck_int_conv_spec s = {
      .shape = {in, out, groups, {1, k, k}, {1, stride, stride}, {1, 1, 1}}, .x_zero = 128,
      .weights = bytes((size_t)(depth * out)), .type = CK_INT_U8, .output = {128, 0, 255}, .multipliers = m};
  ck_int_conv_geometry g = {1, {1, size, size}, {0, k / 2, k / 2}, {0, k / 2, k / 2}};
  ck_int_conv *c = ck_int_conv_create(&s);
  if (!c) exit(1);
  uint8_t *x = bytes((size_t)(size * size * in)), *y = bytes((size_t)(after * after * out));
  void *scratch = bytes((size_t)ck_int_conv_workspace(c, &g));
  double t = LEAST(ck_int_conv_run(c, &g, x, y, scratch, NULL, isa));
  printf("%-36s %8.4f ms %7.1f GMAC/s\n", name, t * 1e3, (double)(after * after * out * depth) / t * 1e-9);
  ck_int_conv_destroy(c);
  free((void *)s.weights), free(m), free(x), free(y), free(scratch);
}

#define ELEMENTS(NAME, COUNT, CALL) \
  do { \
    if (strstr(NAME, wanted)) { \
      double t = LEAST(CALL); \
      printf("%-36s %8.4f ms %7.3f ns\n", NAME, t * 1e3, t * 1e9 / (double)(COUNT)); \
    } \
  } while (0)

static void elements(void) {
  enum { N = 64 * 1536 };
  uint8_t *a = bytes(N), *b = bytes(N), *y = bytes(N * 4);
  int32_t *v = bytes(N * 4), *w = bytes(N * 4), *z = bytes(N * 4);
  for (int i = 0; i < N; i++) v[i] >>= 4, w[i] >>= 8;
  ck_int_output out = {128, 0, 255};
  ck_int_multiplier m = {(1 << 30) + 128, 37}, k = {(1 << 30) + 4096, 31}, l = {(1 << 30) + 8320, 31};
  ck_int_broadcast flat = {1, {N}, {1}, {1}}, repeated = {2, {64, 1536}, {1536, 1}, {0, 1}};
  ck_int_add_spec add = {128, 120, k, l, out};
  ck_int_mul_spec mul = {128, 120, m, out};
  ELEMENTS("add", N, ck_int_add(&add, &flat, a, b, y, isa));
  ELEMENTS("multiply", N, ck_int_mul(&mul, &flat, a, b, y, isa));
  ELEMENTS("table", N, ck_int_lookup(a, N, a, y, isa));
  ELEMENTS("requantize", N, ck_int_requantize(v, 1, N, &m, 0, out, CK_INT_U8, y, isa));
  ELEMENTS("transpose 3 x 32768", 3 * 32768, ck_int_transpose(a, 1, 3, 32768, y, isa));
  ELEMENTS("transpose 32768 x 3", 3 * 32768, ck_int_transpose(a, 1, 32768, 3, y, isa));
  ELEMENTS("transpose 64 x 1536", N, ck_int_transpose(a, 1, 64, 1536, y, isa));
  ELEMENTS("codes: scale", N, ck_wide_scale(v, N, m, z));
  ELEMENTS("codes: add", N, ck_wide_add(&flat, v, 20, w, 22, 0, 20, z));
  ELEMENTS("codes: multiply", N, ck_wide_multiply(&flat, v, 20, w, 22, 20, z));
  ELEMENTS("codes: multiply by a row", N, ck_wide_multiply(&repeated, v, 20, w, 22, 20, z));
  ELEMENTS("codes: lookup", N, ck_wide_lookup(a, N, w, z));
  ELEMENTS("codes: clamp", N, ck_wide_clamp(v, N, -1000, 1000, z));
  ELEMENTS("codes: transpose 64 x 1536", N, ck_wide_transpose(v, 1, 64, 1536, z));
  int32_t *nodes = bytes(4 * 16385);
  for (int i = 0; i < 16385; i++) nodes[i] >>= 8;
  ck_wide_function f = {.fx = 22, .fy = 22, .core = 5, .nodes = nodes, .right_slope = 1 << 30};
  ELEMENTS("codes: function", N, ck_wide_apply(&f, w, N, z));
  uint32_t table[1025];
  ck_wide_exp2_table(table);
  ELEMENTS("codes: softmax 64", N, ck_wide_softmax(w, N / 64, 64, 22, table, z));
  ck_wide_normalization n = {.count = 384, .fx = 24, .fy = 24, .centred = 1, .epsilon = {1 << 30, 60}, .gamma = w, .beta = w, .fg = 22, .fb = 22};
  ELEMENTS("codes: normalize 384", N, ck_wide_normalize(&n, v, N / 384, z));
  free(a), free(b), free(y), free(v), free(w), free(z), free(nodes);
}

int main(int argc, char **argv) {
  isa = ck_isa_best();
  for (int i = CK_ISA_PORTABLE; argc > 1 && i <= CK_ISA_AVX512; i++)
    if (!strcmp(argv[1], ck_isa_name((ck_isa)i)) && ck_isa_available((ck_isa)i)) isa = (ck_isa)i;
  if (argc > 2) wanted = argv[2];
  printf("%s\n", ck_isa_name(isa));
  conv(64, 64, 56, 3, 1, 1);
  conv(256, 64, 56, 1, 1, 1);
  conv(64, 256, 56, 1, 1, 1);
  conv(256, 256, 14, 3, 1, 1);
  conv(128, 128, 28, 3, 1, 1);
  conv(512, 512, 7, 3, 1, 1);
  conv(3, 64, 224, 7, 2, 1);
  conv(32, 32, 112, 3, 1, 32);
  conv(144, 144, 56, 3, 1, 144);
  conv(144, 144, 56, 3, 2, 144);
  conv(24, 144, 56, 1, 1, 1);
  conv(144, 24, 56, 1, 1, 1);
  conv(16, 16, 32, 3, 1, 1);
  conv(768, 768, 12, 1, 1, 1);
  conv(2048, 1000, 1, 1, 1, 1);
  elements();
  return 0;
}
