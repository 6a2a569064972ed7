#include "ck_int_avx512.h"

#include <math.h>

// --- Requantization ---------------------------------------------------------------------------------------------------

static void requantize_scalar(
    const int32_t *acc, int64_t rows, int64_t channels, const ck_int_multiplier *m, int per_channel, ck_int_output out,
    ck_int_type type, void *y) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t n = 0; n < channels; n++) {
      int64_t at = i * channels + n;
      ck_store(y, at, type, ck_clamp(out.zero + ck_multiply(acc[at], m[per_channel ? n : 0]), out.lo, out.hi));
    }
}

static void requantize_add_scalar(
    const int32_t *acc, int64_t rows, int64_t channels, const ck_int_multiplier *m, int per_channel, const uint8_t *r,
    int32_t r_zero, ck_int_multiplier mr, ck_int_output out, uint8_t *y) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t n = 0; n < channels; n++) {
      int64_t at = i * channels + n;
      y[at] = (uint8_t)ck_clamp(
          out.zero + ck_sum_of_products(acc[at], m[per_channel ? n : 0], r[at] - r_zero, mr), out.lo, out.hi);
    }
}

#if CK_INT_X86
#define KERNEL CK_INLINE_AVX512
#define UNROLL _Pragma("GCC unroll 4")

// Eight multipliers: m0 in the low halves (what vpmuldq reads), the shift above; a shift beyond 62 becomes 0 * 2^0.
KERNEL __m512i load_multipliers(const ck_int_multiplier *m, int per_channel, __mmask8 mask, __m512i *shift) {
  __m512i v = per_channel ? _mm512_maskz_loadu_epi64(mask, m) : _mm512_set1_epi64(((int64_t)m->shift << 32) | (uint32_t)m->m0);
  *shift = _mm512_srli_epi64(v, 32);
  __mmask8 keep = _mm512_cmple_epi64_mask(*shift, _mm512_set1_epi64(62));
  *shift = _mm512_maskz_mov_epi64(keep, *shift);
  return _mm512_maskz_mov_epi64(keep, v);
}

KERNEL void store8(void *y, int64_t at, ck_int_type type, __mmask8 mask, __m512i v) {
  switch (type) {
    case CK_INT_U8:
      if (mask == 0xFF) _mm_storel_epi64((__m128i *)((uint8_t *)y + at), _mm512_cvtepi64_epi8(v));
      else _mm_mask_storeu_epi8((uint8_t *)y + at, mask, _mm512_cvtepi64_epi8(v));
      break;
    case CK_INT_S32: ck_store8((int32_t *)y + at, mask, v); break;
    default: _mm_mask_storeu_epi16((uint16_t *)y + at, mask, _mm512_cvtepi64_epi16(v));
  }
}

static int mantissas_fit(const ck_int_multiplier *m, int64_t count) {
  int32_t low = 0;
  for (int64_t n = 0; n < count; n++) low |= m[n].m0 & 127;
  return low == 0;
}

// m0 * 2^-shift.
KERNEL __m512d scales8(const ck_int_multiplier *m, int per_channel, __mmask8 mask) {
  __m512i s, m0 = load_multipliers(m, per_channel, mask, &s);
  __m512d power = _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_sub_epi64(_mm512_set1_epi64(1023), s), 52));
  return _mm512_mul_pd(_mm512_cvtepi32_pd(_mm512_cvtepi64_epi32(m0)), power);
}

// int32 times a 24-bit mantissa has at most 55 bits: the fused sum with 1.5 * 2^52 rounds once, half to even, and below 2^51
// in magnitude to an integer. Beyond that the result is out of every bound and saturates either way.
CK_AVX512 static void requantize_fused(
    const int32_t *acc, int64_t rows, int64_t channels, const ck_int_multiplier *m, int per_channel, ck_int_output out,
    ck_int_type type, void *y) {
  const __m512d magic = _mm512_set1_pd(6755399441055744.0);
  __m512d lo = _mm512_set1_pd((double)out.lo - out.zero), hi = _mm512_set1_pd((double)out.hi - out.zero);
  __m512i zero = _mm512_set1_epi64(out.zero);
  __m512d scale = scales8(m, 0, 1);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t n = 0; n < channels; n += 8) {
      __mmask8 mask = ck_mask8(channels - n);
      if (per_channel) scale = scales8(m + n, 1, mask);
      __m512d v = _mm512_cvtepi32_pd(_mm256_maskz_loadu_epi32(mask, acc + i * channels + n));
      v = _mm512_sub_pd(_mm512_fmadd_pd(v, scale, magic), magic);
      v = _mm512_min_pd(_mm512_max_pd(v, lo), hi);
      store8(y, i * channels + n, type, mask, _mm512_add_epi64(_mm512_cvttpd_epi64(v), zero));
    }
}

CK_AVX512 static void requantize_avx512(
    const int32_t *acc, int64_t rows, int64_t channels, const ck_int_multiplier *m, int per_channel, ck_int_output out,
    ck_int_type type, void *y) {
  int fits = mantissas_fit(m, per_channel ? channels : 1);
  if (!per_channel) channels *= rows, rows = 1;
  if (fits) {
    requantize_fused(acc, rows, channels, m, per_channel, out, type, y);
    return;
  }
  __m512i lo = _mm512_set1_epi64(out.lo), hi = _mm512_set1_epi64(out.hi), zero = _mm512_set1_epi64(out.zero);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t n = 0; n < channels; n += 8) {
      __mmask8 mask = channels - n >= 8 ? 0xFF : (__mmask8)((1 << (channels - n)) - 1);
      __m512i s, mult = load_multipliers(per_channel ? m + n : m, per_channel, mask, &s);
      __m512i v = _mm512_cvtepi32_epi64(_mm256_maskz_loadu_epi32(mask, acc + i * channels + n));
      v = _mm512_add_epi64(ck_shift_even8(_mm512_mul_epi32(v, mult), s), zero);
      store8(y, i * channels + n, type, mask, _mm512_min_epi64(_mm512_max_epi64(v, lo), hi));
    }
}

// One int64 holds the sum over the common shift: 24-bit mantissas leave an accumulator's term below 2^(55 + 6) and a
// residual's below 2^(33 + 28).
static int sum_fits_int64(const ck_int_multiplier *m, int64_t count, ck_int_multiplier mr) {
  if (mr.shift > 62 || mr.m0 == 0 || mr.shift < 7 || (mr.m0 & 127)) return 0;
  for (int64_t n = 0; n < count; n++) {
    if (m[n].shift > 62 || m[n].shift < 7 || (m[n].m0 & 127)) return 0;
    int32_t d = m[n].shift - mr.shift;
    if (d > 28 || d < -6) return 0;
  }
  return 1;
}

CK_AVX512 static void requantize_add_avx512(
    const int32_t *acc, int64_t rows, int64_t channels, const ck_int_multiplier *m, int per_channel, const uint8_t *r,
    int32_t r_zero, ck_int_multiplier mr, ck_int_output out, uint8_t *y) {
  if (!per_channel) channels *= rows, rows = 1;
  __m512i lo = _mm512_set1_epi64(out.lo), hi = _mm512_set1_epi64(out.hi), zero = _mm512_set1_epi64(out.zero);
  __m512i rz = _mm512_set1_epi64(r_zero), rm = _mm512_set1_epi64(mr.m0 >> 7), rs = _mm512_set1_epi64(mr.shift);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t n = 0; n < channels; n += 8) {
      __mmask8 mask = channels - n >= 8 ? 0xFF : (__mmask8)((1 << (channels - n)) - 1);
      __m512i s, mult = load_multipliers(per_channel ? m + n : m, per_channel, mask, &s);
      mult = _mm512_srai_epi64(_mm512_slli_epi64(mult, 32), 39);
      __m512i common = _mm512_max_epi64(s, rs);
      __m512i a = _mm512_cvtepi32_epi64(_mm256_maskz_loadu_epi32(mask, acc + i * channels + n));
      __m512i b = _mm512_sub_epi64(_mm512_cvtepu8_epi64(_mm_maskz_loadu_epi8(mask, r + i * channels + n)), rz);
      a = _mm512_sllv_epi64(_mm512_mul_epi32(a, mult), _mm512_sub_epi64(common, s));
      b = _mm512_sllv_epi64(_mm512_mul_epi32(b, rm), _mm512_sub_epi64(common, rs));
      __m512i v = ck_shift_even8(_mm512_add_epi64(a, b), _mm512_max_epi64(_mm512_sub_epi64(common, _mm512_set1_epi64(7)), _mm512_setzero_si512()));
      v = _mm512_add_epi64(v, zero);
      store8(y, i * channels + n, CK_INT_U8, mask, _mm512_min_epi64(_mm512_max_epi64(v, lo), hi));
    }
}
#endif

void ck_int_requantize(
    const int32_t *acc, int64_t rows, int64_t channels, const ck_int_multiplier *m, int per_channel, ck_int_output out,
    ck_int_type type, void *y, ck_isa isa) {
  CK_INT_DISPATCH(isa, requantize_scalar(acc, rows, channels, m, per_channel, out, type, y),
                  requantize_scalar(acc, rows, channels, m, per_channel, out, type, y),
                  requantize_avx512(acc, rows, channels, m, per_channel, out, type, y));
}

void ck_int_requantize_add(
    const int32_t *acc, int64_t rows, int64_t channels, const ck_int_multiplier *m, int per_channel, const uint8_t *r,
    int32_t r_zero, ck_int_multiplier mr, ck_int_output out, uint8_t *y, ck_isa isa) {
#if CK_INT_X86
  if (ck_int_resolve(isa) == CK_ISA_AVX512 && sum_fits_int64(m, per_channel ? channels : 1, mr)) {
    requantize_add_avx512(acc, rows, channels, m, per_channel, r, r_zero, mr, out, y);
    return;
  }
#endif
  (void)isa;
  requantize_add_scalar(acc, rows, channels, m, per_channel, r, r_zero, mr, out, y);
}

// --- Broadcast loops --------------------------------------------------------------------------------------------------

typedef void (*ck_run)(const void *context, const uint8_t *a, int64_t a_step, const uint8_t *b, int64_t b_step, uint8_t *y,
                       int64_t count);

// Calls `run` on the innermost dimension; neighbouring dimensions that walk both operands evenly are joined first.
static void broadcast(const ck_int_broadcast *in, const uint8_t *a, const uint8_t *b, uint8_t *y, ck_run run, const void *context) {
  int64_t size[7] = {1}, as[7] = {0}, bs[7] = {0}, index[7] = {0};
  int rank = 0;
  for (int d = 0; d < in->rank; d++) {
    if (in->size[d] == 0) return;
    if (in->size[d] == 1) continue;
    if (rank > 0 && as[rank - 1] == in->a_stride[d] * in->size[d] && bs[rank - 1] == in->b_stride[d] * in->size[d]) {
      size[rank - 1] *= in->size[d];
      as[rank - 1] = in->a_stride[d];
      bs[rank - 1] = in->b_stride[d];
      continue;
    }
    size[rank] = in->size[d];
    as[rank] = in->a_stride[d];
    bs[rank] = in->b_stride[d];
    rank++;
  }
  if (rank == 0) rank = 1;
  int last = rank - 1;
  for (;;) {
    run(context, a, as[last], b, bs[last], y, size[last]);
    y += size[last];
    int d = last - 1;
    for (; d >= 0; d--) {
      a += as[d];
      b += bs[d];
      if (++index[d] < size[d]) break;
      a -= as[d] * size[d];
      b -= bs[d] * size[d];
      index[d] = 0;
    }
    if (d < 0) return;
  }
}

typedef struct {
  ck_int_add_spec s;
  int narrow;          // both terms and their sum over the common shift fit int64
  int64_t a_unit, b_unit;
  int32_t shift;
  int exact;           // and double
  double a_scale, b_scale;
  int fraction;        // of the sum in 32 bits, 0: there is none
  int32_t high, low;   // its factors of a and b, 15 bits below and the rest above, as pairs of int16
  int32_t offset;
} add_context;

static void add_scalar(const void *context, const uint8_t *a, int64_t a_step, const uint8_t *b, int64_t b_step, uint8_t *y,
                       int64_t count) {
  const add_context *c = context;
  const ck_int_add_spec *s = &c->s;
  for (int64_t i = 0; i < count; i++) {
    int32_t p = a[i * a_step] - s->a_zero, q = b[i * b_step] - s->b_zero;
    int64_t r = c->narrow ? ck_shift_even(p * c->a_unit + q * c->b_unit, c->shift) : ck_sum_of_products(p, s->ma, q, s->mb);
    y[i] = (uint8_t)ck_clamp(s->out.zero + r, s->out.lo, s->out.hi);
  }
}

enum { DOUBT = 256 };

// The sum of a, b, the rounding half and the zero point in 32 bits with `fraction` bits below the point. Each factor is
// rounded, so the sum is off by less than DOUBT; it is held that much too high.
static void prepare_pairs(add_context *c) {
  double reach = 255 * (fabs(c->a_scale) + fabs(c->b_scale)) + 258;
  int fraction = 30 - ilogb(reach) - 1;
  if (fraction < 12) return;
  int32_t a = (int32_t)lrint(ldexp(c->a_scale, fraction)), b = (int32_t)lrint(ldexp(c->b_scale, fraction));
  c->fraction = fraction;
  c->high = (int32_t)((uint32_t)(a >> 15) & 0xFFFF) | (int32_t)((uint32_t)(b >> 15) << 16);
  c->low = (a & 0x7FFF) | (b & 0x7FFF) << 16;
  c->offset = (c->s.out.zero << fraction) + (1 << (fraction - 1)) + DOUBT - c->s.a_zero * a - c->s.b_zero * b;
}

// p ma and q mb have 24-bit mantissas times 9 bits on grids that differ by at most 2^19: each product and the sum is
// exact in double (33 + 19 + 1 bits); adding 1.5 * 2^52 rounds once, half to even. Below 2^30 in magnitude the low 32
// bits hold the integer.
static add_context prepare_add(const ck_int_add_spec *spec) {
  add_context c = {.s = *spec};
  ck_int_multiplier ma = spec->ma, mb = spec->mb;
  if (ma.shift > 62) ma = (ck_int_multiplier){0, 0};
  if (mb.shift > 62) mb = (ck_int_multiplier){0, 0};
  if (ma.m0 == 0) ma.shift = mb.shift;
  if (mb.m0 == 0) mb.shift = ma.shift;
  c.s.ma = ma;
  c.s.mb = mb;
  int32_t d = ma.shift - mb.shift;
  int zeros = spec->a_zero >= 0 && spec->a_zero <= 255 && spec->b_zero >= 0 && spec->b_zero <= 255;
  if (zeros && d <= 20 && d >= -20) {
    c.narrow = 1;
    c.shift = d > 0 ? ma.shift : mb.shift;
    c.a_unit = (int64_t)ma.m0 * ((int64_t)1 << (c.shift - ma.shift));
    c.b_unit = (int64_t)mb.m0 * ((int64_t)1 << (c.shift - mb.shift));
    c.a_scale = ldexp((double)ma.m0, -ma.shift);
    c.b_scale = ldexp((double)mb.m0, -mb.shift);
    c.exact = d <= 19 && d >= -19 && !(ma.m0 & 127) && !(mb.m0 & 127) &&
        255 * (fabs(c.a_scale) + fabs(c.b_scale)) < 0x1p30;
    if (c.exact && spec->out.zero >= 0 && spec->out.zero <= 255) prepare_pairs(&c);
  }
  return c;
}

typedef struct {
  ck_int_mul_spec s;
  int exact;           // in float: |acc| <= 65025, |acc m| < 2^22
  int small_zero;      // the output's zero point is a byte
  float scale;
} mul_context;

static void mul_scalar(const void *context, const uint8_t *a, int64_t a_step, const uint8_t *b, int64_t b_step, uint8_t *y,
                       int64_t count) {
  const ck_int_mul_spec *s = &((const mul_context *)context)->s;
  for (int64_t i = 0; i < count; i++) {
    int32_t p = (a[i * a_step] - s->a_zero) * (b[i * b_step] - s->b_zero);
    y[i] = (uint8_t)ck_clamp(s->out.zero + ck_multiply(p, s->m), s->out.lo, s->out.hi);
  }
}

#if CK_INT_X86
KERNEL __m512i load16(const uint8_t *p, int64_t step, __mmask16 mask, __m512i zero) {
  return _mm512_sub_epi32(step ? _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, p)) : _mm512_set1_epi32(*p), zero);
}

KERNEL void store16(uint8_t *y, __mmask16 mask, __m512i v, ck_int_output out) {
  v = _mm512_add_epi32(v, _mm512_set1_epi32(out.zero));
  v = _mm512_min_epi32(_mm512_max_epi32(v, _mm512_set1_epi32(out.lo)), _mm512_set1_epi32(out.hi));
  if (mask == 0xFFFF) _mm_storeu_si128((__m128i *)y, _mm512_cvtepi32_epi8(v));
  else _mm_mask_storeu_epi8(y, mask, _mm512_cvtepi32_epi8(v));
}

KERNEL __m512i add_exact(const add_context *c, __m512i p, __m512i q) {
  const __m512d magic = _mm512_set1_pd(6755399441055744.0), ma = _mm512_set1_pd(c->a_scale), mb = _mm512_set1_pd(c->b_scale);
  __m512d r0 = _mm512_fmadd_pd(_mm512_cvtepi32_pd(_mm512_castsi512_si256(q)), mb,
                               _mm512_mul_pd(_mm512_cvtepi32_pd(_mm512_castsi512_si256(p)), ma));
  __m512d r1 = _mm512_fmadd_pd(_mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(q, 1)), mb,
                               _mm512_mul_pd(_mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(p, 1)), ma));
  __m256i v0 = _mm512_cvtepi64_epi32(_mm512_castpd_si512(_mm512_add_pd(r0, magic)));
  __m256i v1 = _mm512_cvtepi64_epi32(_mm512_castpd_si512(_mm512_add_pd(r1, magic)));
  return _mm512_inserti64x4(_mm512_castsi256_si512(v0), v1, 1);
}

CK_AVX512 static void add_avx512(const void *context, const uint8_t *a, int64_t a_step, const uint8_t *b, int64_t b_step,
                                 uint8_t *y, int64_t count) {
  const add_context *c = context;
  if (a_step > 1 || b_step > 1 || !c->exact) {
    add_scalar(context, a, a_step, b, b_step, y, count);
    return;
  }
  const __m512i az = _mm512_set1_epi32(c->s.a_zero), bz = _mm512_set1_epi32(c->s.b_zero), none = _mm512_setzero_si512();
  const __m512i high = _mm512_set1_epi32(c->high), low = _mm512_set1_epi32(c->low), offset = _mm512_set1_epi32(c->offset);
  const __m512i lo = _mm512_set1_epi8((char)c->s.out.lo), hi = _mm512_set1_epi8((char)c->s.out.hi);
  const __m512i certain = _mm512_set1_epi32(((1 << c->fraction) - 1) & -2 * DOUBT);
  const __m128i fraction = _mm_cvtsi32_si128(c->fraction);
  for (int64_t i = 0; i < count;) {
    if (c->fraction && i + 64 <= count) {
      __m512i p = a_step ? _mm512_loadu_si512(a + i) : _mm512_set1_epi8((char)*a);
      __m512i q = b_step ? _mm512_loadu_si512(b + i) : _mm512_set1_epi8((char)*b);
      __m512i near = _mm512_unpacklo_epi8(p, q), far = _mm512_unpackhi_epi8(p, q), v[4] = {
          _mm512_unpacklo_epi8(near, none), _mm512_unpackhi_epi8(near, none), _mm512_unpacklo_epi8(far, none),
          _mm512_unpackhi_epi8(far, none)};
      __mmask16 doubt = 0;
      UNROLL for (int j = 0; j < 4; j++) {
        __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(_mm512_madd_epi16(v[j], high), 15), _mm512_dpwssd_epi32(offset, v[j], low));
        doubt |= _mm512_testn_epi32_mask(sum, certain);
        v[j] = _mm512_sra_epi32(sum, fraction);
      }
      if (!doubt) {
        __m512i r = _mm512_packus_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
        _mm512_storeu_si512(y + i, _mm512_min_epu8(_mm512_max_epu8(r, lo), hi));
        i += 64;
        continue;
      }
    }
    for (int64_t end = i + 64 < count ? i + 64 : count; i < end; i += 16) {
      __mmask16 mask = count - i >= 16 ? 0xFFFF : (__mmask16)((1 << (count - i)) - 1);
      store16(y + i, mask, add_exact(c, load16(a + i * a_step, a_step, mask, az), load16(b + i * b_step, b_step, mask, bz)), c->s.out);
    }
  }
}

CK_AVX512 static void mul_avx512(const void *context, const uint8_t *a, int64_t a_step, const uint8_t *b, int64_t b_step,
                                 uint8_t *y, int64_t count) {
  const mul_context *c = context;
  if (a_step > 1 || b_step > 1 || !c->exact) {
    mul_scalar(context, a, a_step, b, b_step, y, count);
    return;
  }
  const __m512i az = _mm512_set1_epi32(c->s.a_zero), bz = _mm512_set1_epi32(c->s.b_zero), none = _mm512_setzero_si512();
  const __m512i az16 = _mm512_set1_epi16((short)c->s.a_zero), bz16 = _mm512_set1_epi16((short)c->s.b_zero);
  const __m512i lo = _mm512_set1_epi8((char)c->s.out.lo), hi = _mm512_set1_epi8((char)c->s.out.hi);
  const __m512i zero = _mm512_set1_epi16((short)c->s.out.zero), bits = _mm512_set1_epi32(0x4B400000);
  const __m512 scale = _mm512_set1_ps(c->scale), magic = _mm512_set1_ps(12582912.0f);
  int64_t i = 0;
  for (; c->small_zero && i + 64 <= count; i += 64) {
    __m512i p = a_step ? _mm512_loadu_si512(a + i) : _mm512_set1_epi8((char)*a);
    __m512i q = b_step ? _mm512_loadu_si512(b + i) : _mm512_set1_epi8((char)*b);
    __m512i half[2];
    UNROLL for (int j = 0; j < 2; j++) {
      __m512i s = _mm512_sub_epi16(j ? _mm512_unpackhi_epi8(p, none) : _mm512_unpacklo_epi8(p, none), az16);
      __m512i t = _mm512_sub_epi16(j ? _mm512_unpackhi_epi8(q, none) : _mm512_unpacklo_epi8(q, none), bz16);
      __m512i low = _mm512_mullo_epi16(s, t), high = _mm512_mulhi_epi16(s, t), v[2] = {
          _mm512_unpacklo_epi16(low, high), _mm512_unpackhi_epi16(low, high)};
      UNROLL for (int k = 0; k < 2; k++)
        v[k] = _mm512_sub_epi32(_mm512_castps_si512(_mm512_fmadd_ps(_mm512_cvtepi32_ps(v[k]), scale, magic)), bits);
      half[j] = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), zero);
    }
    __m512i r = _mm512_packus_epi16(half[0], half[1]);
    _mm512_storeu_si512(y + i, _mm512_min_epu8(_mm512_max_epu8(r, lo), hi));
  }
  for (; i < count; i += 16) {
    __mmask16 mask = count - i >= 16 ? 0xFFFF : (__mmask16)((1 << (count - i)) - 1);
    __m512i p = load16(a + i * a_step, a_step, mask, az), q = load16(b + i * b_step, b_step, mask, bz);
    __m512 r = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_mullo_epi32(p, q)), scale, magic);
    store16(y + i, mask, _mm512_sub_epi32(_mm512_castps_si512(r), bits), c->s.out);
  }
}
#endif

void ck_int_add(const ck_int_add_spec *spec, const ck_int_broadcast *loop, const uint8_t *a, const uint8_t *b, uint8_t *y,
                ck_isa isa) {
  add_context c = prepare_add(spec);
  CK_INT_DISPATCH(isa, broadcast(loop, a, b, y, add_scalar, &c), broadcast(loop, a, b, y, add_scalar, &c),
                  broadcast(loop, a, b, y, add_avx512, &c));
}

void ck_int_mul(const ck_int_mul_spec *spec, const ck_int_broadcast *loop, const uint8_t *a, const uint8_t *b, uint8_t *y,
                ck_isa isa) {
  mul_context c = {.s = *spec};
  double scale = spec->m.shift > 62 ? 0 : ldexp((double)spec->m.m0, -spec->m.shift);
  c.scale = (float)scale;
  c.small_zero = spec->out.zero >= 0 && spec->out.zero <= 255;
  c.exact = !(spec->m.m0 & 127) && scale * 65025 < 0x1p22 && spec->a_zero >= 0 && spec->a_zero <= 255 && spec->b_zero >= 0 &&
      spec->b_zero <= 255;
  CK_INT_DISPATCH(isa, broadcast(loop, a, b, y, mul_scalar, &c), broadcast(loop, a, b, y, mul_scalar, &c),
                  broadcast(loop, a, b, y, mul_avx512, &c));
}

// --- float32 rule -----------------------------------------------------------------------------------------------------

typedef struct {
  int32_t a_zero, b_zero;
  float a_scale, b_scale, y_scale;
  ck_int_output out;
} add_float32_context;

static void add_float32(const void *context, const uint8_t *a, int64_t a_step, const uint8_t *b, int64_t b_step, uint8_t *y,
                        int64_t count) {
  const add_float32_context *c = context;
  for (int64_t i = 0; i < count; i++) {
    float p = c->a_scale * (float)(a[i * a_step] - c->a_zero);
    float q = c->b_scale * (float)(b[i * b_step] - c->b_zero);
    float sum = p + q;
    float r = rintf(sum / c->y_scale);
    y[i] = (uint8_t)(!(r > -1e9f) ? c->out.lo : r > 1e9f ? c->out.hi : ck_clamp((int64_t)r + c->out.zero, c->out.lo, c->out.hi));
  }
}

void ck_int_add_float32(
    const ck_int_broadcast *loop, const uint8_t *a, int32_t a_zero, float a_scale, const uint8_t *b, int32_t b_zero,
    float b_scale, float y_scale, ck_int_output out, uint8_t *y) {
  add_float32_context c = {a_zero, b_zero, a_scale, b_scale, y_scale, out};
  broadcast(loop, a, b, y, add_float32, &c);
}

// --- Tables -----------------------------------------------------------------------------------------------------------

static void lookup_scalar(const uint8_t *x, int64_t count, const uint8_t table[256], uint8_t *y) {
  for (int64_t i = 0; i < count; i++) y[i] = table[x[i]];
}

#if CK_INT_X86
__attribute__((target("avx512f,avx512bw,avx512vbmi"))) static void lookup_vbmi(
    const uint8_t *x, int64_t count, const uint8_t table[256], uint8_t *y) {
  __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
  __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
  for (int64_t i = 0; i < count; i += 64) {
    __mmask64 mask = count - i >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (count - i)) - 1;
    __m512i v = _mm512_maskz_loadu_epi8(mask, x + i);
    __m512i low = _mm512_permutex2var_epi8(t0, v, t1), high = _mm512_permutex2var_epi8(t2, v, t3);
    _mm512_mask_storeu_epi8(y + i, mask, _mm512_mask_blend_epi8(_mm512_movepi8_mask(v), low, high));
  }
}
#endif

void ck_int_lookup(const uint8_t *x, int64_t count, const uint8_t table[256], uint8_t *y, ck_isa isa) {
#if CK_INT_X86
  if (ck_int_resolve(isa) == CK_ISA_AVX512 && __builtin_cpu_supports("avx512vbmi")) {
    lookup_vbmi(x, count, table, y);
    return;
  }
#endif
  (void)isa;
  lookup_scalar(x, count, table, y);
}

void ck_int_flip_sign(const uint8_t *x, int64_t count, uint8_t *y) {
  for (int64_t i = 0; i < count; i++) y[i] = x[i] ^ 128;
}
