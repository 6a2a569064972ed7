// Vectors of LANES floats. Arithmetic on them is that of their elements, so what is written with them once gives the
// same bits for every LANES. Included by each instruction set's file inside its target attribute.

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

// A set of lanes begin ..< end, for loads that read nothing else.
#if LANES == 16
typedef __mmask16 lane_set;
#elif LANES == 8
typedef vi lane_set;
#else
typedef struct {
  ptrdiff_t begin, end;
} lane_set;
#endif

INLINE lane_set lanes_between(ptrdiff_t begin, ptrdiff_t end) {
  begin = begin < 0 ? 0 : begin > LANES ? LANES : begin;
  end = end < begin ? begin : end > LANES ? LANES : end;
#if LANES == 16
  return (__mmask16)((1u << end) - (1u << begin));
#elif LANES == 8
  const vi lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return (lane >= (int32_t)begin) & (lane < (int32_t)end);
#else
  return (lane_set){begin, end};
#endif
}

// The lanes of the set from p, `rest` in the others.
INLINE vf load_set(const float *p, lane_set set, vf rest) {
#if LANES == 16
  return _mm512_mask_loadu_ps(rest, set, p);
#elif LANES == 8
  return set ? (vf)_mm256_maskload_ps(p, (__m256i)set) : rest;
#else
  float t[LANES];
  store(t, rest);
  for (ptrdiff_t i = set.begin; i < set.end; i++) t[i] = p[i];
  return load(t);
#endif
}

// Lanes begin ..< end of memory at p, the others `rest`.
INLINE vf load_lanes(const float *p, ptrdiff_t begin, ptrdiff_t end, float rest) {
  return load_set(p, lanes_between(begin, end), splat(rest));
}

// The first n of LANES floats; the others are `rest`.
INLINE vf load_part(const float *p, ptrdiff_t n, float rest) { return load_lanes(p, 0, n, rest); }

INLINE void store_part(float *p, vf v, ptrdiff_t n) {
#if LANES == 16
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#elif LANES == 8
  const vi lane = {0, 1, 2, 3, 4, 5, 6, 7};
  _mm256_maskstore_ps(p, (__m256i)(lane < (int32_t)n), v);
#else
  float t[LANES];
  store(t, v);
  for (ptrdiff_t i = 0; i < n; i++) p[i] = t[i];
#endif
}

// The even elements of two vectors.
INLINE vf even(vf a, vf b) {
#if LANES == 16
  return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
#elif LANES == 8
  return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
#else
  return __builtin_shufflevector(a, b, 0, 2, 4, 6);
#endif
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
