// Vectors of LANES floats. Arithmetic on them is that of their elements, so what is written with them once gives the same
// bits for every LANES. Included by each instruction set's file inside its target attribute.

#pragma STDC FP_CONTRACT OFF

typedef float vf __attribute__((ext_vector_type(LANES)));
typedef int32_t vi __attribute__((ext_vector_type(LANES)));
typedef uint32_t vu __attribute__((ext_vector_type(LANES)));
typedef float vf_any __attribute__((ext_vector_type(LANES), aligned(4), may_alias));
typedef int32_t vi_any __attribute__((ext_vector_type(LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define UNROLL _Pragma("clang loop unroll(full)")

INLINE vf load(const float *p) { return *(const vf_any *)p; }
INLINE void store(float *p, vf v) { *(vf_any *)p = v; }
INLINE vf splat(float x) { return (vf)(x); }
INLINE vi splat_int(int32_t x) { return (vi)(x); }
INLINE vf fma_(vf a, vf b, vf c) { return __builtin_elementwise_fma(a, b, c); }
INLINE vi bits(vf x) { return __builtin_bit_cast(vi, x); }
INLINE vf from_bits(vi x) { return __builtin_bit_cast(vf, x); }
INLINE vf select_(vi condition, vf a, vf b) { return condition ? a : b; }

// The first n of LANES floats; the others are `rest`.
INLINE vf load_part(const float *p, ptrdiff_t n, float rest) {
  float t[LANES];
  for (ptrdiff_t i = 0; i < LANES; i++) t[i] = i < n ? p[i] : rest;
  return load(t);
}
INLINE void store_part(float *p, vf v, ptrdiff_t n) {
  float t[LANES];
  store(t, v);
  for (ptrdiff_t i = 0; i < n; i++) p[i] = t[i];
}

// lo > x ? lo : x, NaN staying NaN.
INLINE vf at_least(vf x, vf lo) { return select_(lo > x, lo, x); }
INLINE vf at_most(vf x, vf hi) { return select_(hi < x, hi, x); }

// Half to even, by the addition of 1.5 * 2^23; |x| up to 2^22.
INLINE vf round_small(vf x) {
  const vf magic = splat(12582912.0f);
  return (x + magic) - magic;
}

INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
INLINE ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
INLINE ptrdiff_t divide_up(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
