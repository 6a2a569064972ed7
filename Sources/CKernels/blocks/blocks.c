#include "ck_blocks.h"

#pragma STDC FP_CONTRACT OFF
// All vector functions are inlined: there is no call whose convention could differ.
#pragma clang diagnostic ignored "-Wpsabi"

typedef float v16f __attribute__((ext_vector_type(16)));
typedef int32_t v16i __attribute__((ext_vector_type(16)));
typedef uint8_t v16b __attribute__((ext_vector_type(16)));
typedef float v16f_any __attribute__((ext_vector_type(16), aligned(4), may_alias));
typedef uint8_t v16b_any __attribute__((ext_vector_type(16), aligned(1), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define LOAD(p) (*(const v16f_any *)(p))
#define STORE(p, v) (*(v16f_any *)(p) = (v))

INLINE v16f lesser(v16f a, v16f b) { return a < b ? a : b; }
INLINE v16f greater(v16f a, v16f b) { return a > b ? a : b; }
// Right below 2^22 in magnitude; codes are at most 255.
INLINE v16f rounded(v16f x) { return (x + 12582912.0f) - 12582912.0f; }
INLINE v16f code(v16f quotient, v16f least, v16f greatest) {
  return rounded(lesser(greater(quotient, least), greatest));
}

INLINE void range_body(const float *rows, ptrdiff_t count, float *low, float *high, float *signal, float *finite) {
  v16f l = 0, h = 0, s = 0, f = 0;
  for (ptrdiff_t i = 0; i < count; i++) {
    v16f x = LOAD(rows + i * 16);
    l = lesser(x, l);
    h = greater(x, h);
    s += x * x;
    f += x * 0;
  }
  STORE(low, l);
  STORE(high, h);
  STORE(signal, s);
  STORE(finite, f);
}

INLINE void attempt_body(const float *rows, ptrdiff_t count, const float *inverse, const float *least,
                         const float *greatest, float *cross, float *square) {
  v16f by = LOAD(inverse), low = LOAD(least), high = LOAD(greatest), c = 0, s = 0;
  for (ptrdiff_t i = 0; i < count; i++) {
    v16f x = LOAD(rows + i * 16);
    v16f q = code(x * by, low, high);
    c += x * q;
    s += q * q;
  }
  STORE(cross, c);
  STORE(square, s);
}

INLINE void noise_body(const float *rows, ptrdiff_t count, const float *scale, const float *least,
                       const float *greatest, float *noise) {
  v16f by = LOAD(scale), low = LOAD(least), high = LOAD(greatest), n = 0;
  for (ptrdiff_t i = 0; i < count; i++) {
    v16f x = LOAD(rows + i * 16);
    v16f error = x - code(x / by, low, high) * by;
    n += error * error;
  }
  STORE(noise, n);
}

INLINE void encode_body(const float *rows, ptrdiff_t count, const float *scale, const float *least,
                        const float *greatest, const float *zero, uint8_t *codes) {
  v16f by = LOAD(scale), low = LOAD(least), high = LOAD(greatest), z = LOAD(zero);
  for (ptrdiff_t i = 0; i < count; i++) {
    v16f x = LOAD(rows + i * 16);
    // The mantissa of 1.5 * 2^23 + q ends in q's two's complement.
    v16f q = code(x / by, low, high) + z + 12582912.0f;
    *(v16b_any *)(codes + i * 16) = __builtin_convertvector((v16i)q, v16b);
  }
}

#define VARIANT(suffix, attribute)                                                                                     \
  attribute static void range_##suffix(const float *rows, ptrdiff_t count, float *low, float *high, float *signal,     \
                                       float *finite) {                                                                \
    range_body(rows, count, low, high, signal, finite);                                                                \
  }                                                                                                                    \
  attribute static void attempt_##suffix(const float *rows, ptrdiff_t count, const float *inverse, const float *least, \
                                         const float *greatest, float *cross, float *square) {                         \
    attempt_body(rows, count, inverse, least, greatest, cross, square);                                                \
  }                                                                                                                    \
  attribute static void noise_##suffix(const float *rows, ptrdiff_t count, const float *scale, const float *least,     \
                                       const float *greatest, float *noise) {                                          \
    noise_body(rows, count, scale, least, greatest, noise);                                                            \
  }                                                                                                                    \
  attribute static void encode_##suffix(const float *rows, ptrdiff_t count, const float *scale, const float *least,    \
                                        const float *greatest, const float *zero, uint8_t *codes) {                    \
    encode_body(rows, count, scale, least, greatest, zero, codes);                                                     \
  }

VARIANT(portable, )
#if defined(__x86_64__)
VARIANT(avx2, __attribute__((target("avx2"))))
VARIANT(avx512, __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,prefer-256-bit"))))
#define CALL(name, ...)                                                                                                \
  switch (isa) {                                                                                                       \
    case CK_ISA_AVX512: name##_avx512(__VA_ARGS__); return;                                                            \
    case CK_ISA_AVX2:                                                                                                  \
    case CK_ISA_AVXVNNI: name##_avx2(__VA_ARGS__); return;                                                             \
    default: name##_portable(__VA_ARGS__); return;                                                                     \
  }
#else
#define CALL(name, ...)                                                                                                \
  (void)isa;                                                                                                           \
  name##_portable(__VA_ARGS__);
#endif

void ck_block_range(ck_isa isa, const float *rows, ptrdiff_t count, float low[16], float high[16], float signal[16],
                    float finite[16]) {
  CALL(range, rows, count, low, high, signal, finite)
}

void ck_block_attempt(ck_isa isa, const float *rows, ptrdiff_t count, const float inverse[16], const float least[16],
                      const float greatest[16], float cross[16], float square[16]) {
  CALL(attempt, rows, count, inverse, least, greatest, cross, square)
}

void ck_block_noise(ck_isa isa, const float *rows, ptrdiff_t count, const float scale[16], const float least[16],
                    const float greatest[16], float noise[16]) {
  CALL(noise, rows, count, scale, least, greatest, noise)
}

void ck_block_encode(ck_isa isa, const float *rows, ptrdiff_t count, const float scale[16], const float least[16],
                     const float greatest[16], const float zero[16], uint8_t *codes) {
  CALL(encode, rows, count, scale, least, greatest, zero, codes)
}
