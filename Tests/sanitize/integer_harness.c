// Random shapes through the integer kernels, for the address and undefined-behaviour sanitizers: outputs are allocated to
// the byte, inputs with the slack that the header asks for; every instruction set must give the bits of the definition.
// Built and run by `make check-kernels`. usage: integer_harness [rounds] [seed]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ck_cpu.h"
#include "ck_integer.h"
#include "ck_threads.h"
#include "../../Sources/CKernels/integer/ck_int_wide.h"

static uint64_t state;
static uint64_t next(void) {
  state += 0x9E3779B97F4A7C15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}
static int64_t pick(int64_t low, int64_t high) { return low + (int64_t)(next() % (uint64_t)(high - low + 1)); }

static void *room(int64_t n) {
  void *p = malloc((size_t)(n ? n : 1));
  if (!p) exit(2);
  memset(p, 0x5A, (size_t)(n ? n : 1));
  return p;
}
static uint8_t *input(int64_t n) {
  uint8_t *p = room(n + CK_INT_SLACK);
  for (int64_t i = 0; i < n; i++) p[i] = (uint8_t)next();
  return p;
}
// A float32's mantissa and often a power of two, whose products end in ties; sometimes bits that no float32 has; shifts from
// beyond saturation to beyond sight.
static ck_int_multiplier multiplier(void) {
  int32_t m0 = pick(0, 3) ? (int32_t)(pick(1 << 23, (1 << 24) - 1) << 7) : 1 << 30;
  if (pick(0, 7) == 0) m0 |= (int32_t)pick(0, 127);
  return (ck_int_multiplier){m0, (int32_t)(pick(0, 7) ? pick(30, 48) : pick(0, 70))};
}

static int32_t code(void) {
  static const int32_t ends[] = {INT32_MIN, INT32_MIN + 1, -1, 0, 1, INT32_MAX - 1, INT32_MAX};
  return pick(0, 15) ? (int32_t)next() >> pick(0, 30) : ends[pick(0, 6)];
}

static ck_pool *pool;
static int failures;

static void same(const char *what, int isa, const void *expected, const void *got, int64_t n) {
  if (memcmp(expected, got, (size_t)n)) {
    printf("%s: instruction set %d differs from the definition\n", what, isa);
    failures++;
  }
}

#define EACH_ISA for (int isa = CK_ISA_PORTABLE; isa <= CK_ISA_AVX512; isa++) if (ck_isa_available((ck_isa)isa))

static void conv(void) {
  ck_int_conv_spec s = {0};
  ck_int_conv_geometry g = {.batch = pick(1, 2)};
  int depthwise = (int)pick(0, 3) == 0;
  s.shape.groups = depthwise ? pick(1, 40) : pick(1, 3);
  s.shape.channels = s.shape.groups * (depthwise ? 1 : pick(1, 40));
  s.shape.outputs = s.shape.groups * (depthwise ? 1 : pick(1, 40));
  int64_t volume = 1, taps = 1;
  for (int d = 0; d < 3; d++) {
    int flat = d == 0 && pick(0, 3);
    s.shape.kernel[d] = flat ? 1 : pick(1, 4);
    s.shape.stride[d] = pick(1, 3);
    s.shape.dilation[d] = pick(1, 2);
    g.input[d] = flat ? 1 : pick(1, 11);
    g.begin[d] = flat ? 0 : pick(0, 2);
    g.end[d] = flat ? 0 : pick(0, 2);
    volume *= g.input[d], taps *= s.shape.kernel[d];
  }
  int64_t count = s.shape.outputs * (s.shape.channels / s.shape.groups) * taps;
  int8_t *weights = room(count);
  int32_t *zero = room(s.shape.outputs * 4), *bias = room(s.shape.outputs * 4);
  ck_int_multiplier *m = room(s.shape.outputs * (int64_t)sizeof *m);
  for (int64_t i = 0; i < count; i++) weights[i] = (int8_t)next();
  for (int64_t i = 0; i < s.shape.outputs; i++) {
    zero[i] = (int32_t)pick(-128, 127), bias[i] = (int32_t)pick(-100000, 100000), m[i] = multiplier();
  }
  s.x_zero = (int32_t)pick(0, 255), s.weights = weights, s.w_zero = pick(0, 1) ? zero : NULL;
  s.bias = pick(0, 1) ? bias : NULL, s.multipliers = m, s.type = pick(0, 1) ? CK_INT_U8 : CK_INT_S32;
  s.output = (ck_int_output){(int32_t)pick(0, 255), 0, 255};
  ck_int_conv *c = ck_int_conv_create(&s);
  if (!c) exit(2);
  int64_t size = g.batch * s.shape.outputs;
  for (int d = 0; d < 3; d++) {
    int64_t o = ck_int_conv_output(c, &g, d);
    size *= o > 0 ? o : 0;
  }
  if (size > 0) {
    int64_t length = size * (s.type == CK_INT_S32 ? 4 : 1), scratch = ck_int_conv_workspace(c, &g);
    uint8_t *x = input(g.batch * volume * s.shape.channels);
    void *expected = room(length);
    ck_int_conv_reference(&s, &g, x, expected);
    EACH_ISA {
      void *y = room(length), *workspace = room(scratch);
      if (ck_int_conv_run(c, &g, x, y, workspace, pool, (ck_isa)isa)) failures++;
      same("convolution", isa, expected, y, length);
      free(y), free(workspace);
    }
    free(x), free(expected);
  }
  ck_int_conv_destroy(c);
  free(weights), free(zero), free(bias), free(m);
}

static void product(void) {
  int64_t rows = pick(1, 40), columns = pick(1, 40), depth = pick(1, 200), transposed = pick(0, 1);
  uint8_t *a = input(rows * depth), *b = input(columns * depth);
  int32_t za = (int32_t)pick(0, 255), zb = (int32_t)pick(0, 255), *expected = room(rows * columns * 4);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) {
      int32_t sum = 0;
      for (int64_t k = 0; k < depth; k++)
        sum += (a[r * depth + k] - za) * (b[transposed ? c * depth + k : k * columns + c] - zb);
      expected[r * columns + c] = sum;
    }
  EACH_ISA {
    int32_t *y = room(rows * columns * 4);
    if (ck_int_matmul_dynamic(rows, columns, depth, a, za, b, zb, (int)transposed, y, pool, (ck_isa)isa)) failures++;
    same("product of activations", isa, expected, y, rows * columns * 4);
    free(y);
  }
  free(a), free(b), free(expected);
}

static void elements(void) {
  int64_t rows = pick(1, 20), channels = pick(1, 70), n = rows * channels;
  int per_channel = (int)pick(0, 1);
  int32_t *acc = room(n * 4);
  for (int64_t i = 0; i < n; i++) acc[i] = code();
  ck_int_multiplier *m = room(channels * (int64_t)sizeof *m);
  for (int64_t i = 0; i < channels; i++) m[i] = multiplier();
  ck_int_output out = {(int32_t)pick(0, 255), 0, 255};
  uint8_t *a = input(n), *b = input(n), table[256];
  ck_int_rescale_table((int32_t)pick(0, 255), m[0], out, table);
  ck_int_broadcast loop = {.rank = 2, .size = {rows, channels}, .a_stride = {channels, 1}, .b_stride = {channels, 1}};
  if (pick(0, 1)) loop.b_stride[0] = 0;
  if (pick(0, 2) == 0) loop.b_stride[1] = 0, loop.b_stride[0] = pick(0, 1);
  ck_int_add_spec add = {(int32_t)pick(0, 255), (int32_t)pick(0, 255), multiplier(), multiplier(), out};
  ck_int_mul_spec mul = {(int32_t)pick(0, 255), (int32_t)pick(0, 255), multiplier(), out};
  ck_int_multiplier mr = multiplier();
  uint8_t *first = NULL;
  EACH_ISA {
    uint8_t *y = room(n * 7);
    ck_int_requantize(acc, rows, channels, m, per_channel, out, CK_INT_U8, y, (ck_isa)isa);
    ck_int_requantize_add(acc, rows, channels, m, per_channel, a, 128, mr, out, y + n, (ck_isa)isa);
    ck_int_add(&add, &loop, a, b, y + 2 * n, (ck_isa)isa);
    ck_int_mul(&mul, &loop, a, b, y + 3 * n, (ck_isa)isa);
    ck_int_lookup(a, n, table, y + 4 * n, (ck_isa)isa);
    ck_int_transpose(a, 1, rows, channels, y + 5 * n, (ck_isa)isa);
    ck_int_flip_sign(a, n, y + 6 * n);
    if (first) same("element by element", isa, first, y, 7 * n);
    if (first) free(y); else first = y;
  }
  free(first);
  first = NULL;
  EACH_ISA {
    int32_t *sums = room(channels * 4);
    ck_int_sums(a, 1, rows, channels, 7, sums, (ck_isa)isa);
    if (first) same("sums", isa, first, sums, channels * 4);
    if (first) free(sums); else first = (uint8_t *)sums;
  }
  free(first), free(acc), free(m), free(a), free(b);
}

#if CK_INT_X86
static void codes(void) {
  if (!ck_isa_available(CK_ISA_AVX512)) return;
  int64_t rows = pick(1, 4), count = pick(1, 100), n = rows * count;
  int32_t *a = room(n * 4), *b = room(n * 4), *p = room(n * 4), *q = room(n * 4);
  int narrow = (int)pick(0, 28);
  for (int64_t i = 0; i < n; i++) a[i] = pick(0, 1) ? code() : code() >> narrow, b[i] = code();
#define TWINS(WHAT, NAME, ...) \
  do { \
    int32_t *y = p; \
    ck_wide_##NAME##_portable(__VA_ARGS__); \
    y = q; \
    ck_wide_##NAME##_avx512(__VA_ARGS__); \
    same(WHAT, CK_ISA_AVX512, p, q, n * 4); \
  } while (0)
  ck_int_multiplier m = multiplier();
  if (pick(0, 1)) m.m0 = -m.m0;
  TWINS("codes: scale", scale, a, n, m, y);
  ck_wide_fractions f = {(int32_t)pick(0, 30), (int32_t)pick(0, 30), (int32_t)pick(0, 30), (int32_t)pick(0, 1)};
  int64_t as = pick(0, 1), bs = pick(0, 1);
  TWINS("codes: add", add, &f, a, as, b, bs, n, y);
  TWINS("codes: multiply", multiply, &f, a, as, b, bs, n, y);
  static int32_t nodes[16385];
  for (int i = 0; i < 16385; i++) nodes[i] = code();
  ck_wide_function g = {.core = (int32_t)pick(0, 5), .fy = (int32_t)pick(0, 30), .nodes = nodes};
  g.fx = (int32_t)pick(13 - g.core, 30 - g.core);
  g.left_slope = code(), g.right_slope = code(), g.left_intercept = code(), g.right_intercept = code();
  if (30 + g.fx - g.fy >= 0) TWINS("codes: function", apply, &g, a, n, y);
  static uint32_t table[1025];
  if (!table[0]) ck_wide_exp2_table(table);
  int32_t fraction = (int32_t)pick(0, 30);
  TWINS("codes: softmax", softmax, a, rows, count, fraction, table, y);
  ck_wide_normalization z = {
      .count = count, .fx = (int32_t)pick(0, 30), .fy = (int32_t)pick(0, 24), .centred = (int32_t)pick(0, 1),
      .epsilon = {1 << 30, (int32_t)pick(30, 62)}, .gamma = b, .beta = pick(0, 1) ? b : NULL, .fg = (int32_t)pick(0, 30)};
  z.fb = (int32_t)pick(0, z.fg);
  TWINS("codes: normalize", normalize, &z, a, rows, y);
  free(a), free(b), free(p), free(q);
}
#endif

static void pools(void) {
  ck_int_pool_shape s = {.channels = pick(1, 70)};
  ck_int_conv_geometry g = {.batch = pick(1, 2)};
  int64_t volume = 1, outputs = 1;
  for (int d = 0; d < 3; d++) {
    int flat = d == 0;
    s.kernel[d] = flat ? 1 : pick(1, 3), s.stride[d] = pick(1, 2), s.dilation[d] = pick(1, 2);
    g.input[d] = flat ? 1 : pick(5, 11), g.begin[d] = flat ? 0 : pick(0, s.kernel[d] - 1);
    g.end[d] = flat ? 0 : pick(0, s.kernel[d] - 1);
    int64_t reach = (s.kernel[d] - 1) * s.dilation[d] + 1;
    s.output[d] = (g.input[d] + g.begin[d] + g.end[d] - reach) / s.stride[d] + 1;
    volume *= g.input[d], outputs *= s.output[d];
  }
  uint8_t *x = input(g.batch * volume * s.channels), *first = NULL;
  int64_t n = g.batch * outputs * s.channels;
  EACH_ISA {
    uint8_t *y = room(n);
    int32_t *sums = room(n * 4), *counts = room(outputs * 4);
    ck_int_max_pool(&s, &g, x, 3, y, (ck_isa)isa);
    ck_int_pool_sums(&s, &g, x, 9, sums, counts, (ck_isa)isa);
    uint8_t *all = room(n * 5 + outputs * 4);
    memcpy(all, y, (size_t)n), memcpy(all + n, sums, (size_t)n * 4);
    memcpy(all + 5 * n, counts, (size_t)outputs * 4);
    if (first) same("pools", isa, first, all, n * 5 + outputs * 4);
    if (first) free(all); else first = all;
    free(y), free(sums), free(counts);
  }
  free(first), free(x);
}

int main(int count, char **arguments) {
  int rounds = count > 1 ? atoi(arguments[1]) : 500;
  uint64_t seed = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
  for (int i = 0; i < rounds && failures < 10; i++) {
    state = seed + (uint64_t)i * 1000003;
    int before = failures;
    pool = i % 2 ? ck_pool_create(3) : NULL;
    conv();
    conv();
    product();
    elements();
    pools();
#if CK_INT_X86
    codes();
#endif
    ck_pool_destroy(pool);
    if (failures > before) printf("round %d of seed %llu\n", i, (unsigned long long)seed);
  }
  printf("%d rounds of seed %llu, %d failures\n", rounds, (unsigned long long)seed, failures);
  return failures ? 1 : 0;
}
