#include "ck_int_wide.h"

#if CK_INT_X86
#include "ck_int_avx512.h"

// Eight int64 lanes at a time. Softmax and normalization take quotients and long products in double first: each says how far
// that can be off, and what lies closer to a boundary than that is settled in integers.

CK_AVX512 void ck_wide_scale_avx512(const int32_t *x, int64_t count, ck_int_multiplier m, int32_t *y) {
  if (m.shift > 62) {
    memset(y, 0, (size_t)count * 4);
    return;
  }
  ck_shift8 s = ck_shift8_by(m.shift);
  __m512i m0 = _mm512_set1_epi64(m.m0);
  for (int64_t i = 0; i < count; i += 8) {
    __mmask8 mask = ck_mask8(count - i);
    ck_store8(y + i, mask, ck_shift_even8_by(_mm512_mul_epi32(ck_load8(x + i, mask), m0), s));
  }
}

CK_INLINE_AVX512 __m512i operand(const int32_t *p, int64_t step, int64_t i, __mmask8 mask) {
  return step ? ck_load8(p + i, mask) : _mm512_set1_epi64(*p);
}

CK_AVX512 void ck_wide_add_avx512(
    const ck_wide_fractions *t, const int32_t *a, int64_t as, const int32_t *b, int64_t bs, int64_t count, int32_t *y) {
  if (as > 1 || bs > 1) {
    ck_wide_add_portable(t, a, as, b, bs, count, y);
    return;
  }
  int32_t f = t->fa > t->fb ? t->fa : t->fb;
  if (t->fy > f) f = t->fy;
  __m128i ua = _mm_cvtsi32_si128(f - t->fa), ub = _mm_cvtsi32_si128(f - t->fb);
  ck_shift8 s = ck_shift8_by(f - t->fy);
  __m512i sign = _mm512_set1_epi64(t->subtract ? -1 : 0);
  for (int64_t i = 0; i < count; i += 8) {
    __mmask8 mask = ck_mask8(count - i);
    __m512i p = _mm512_sll_epi64(operand(a, as, i, mask), ua), q = _mm512_sll_epi64(operand(b, bs, i, mask), ub);
    q = _mm512_sub_epi64(_mm512_xor_si512(q, sign), sign);
    ck_store8(y + i, mask, ck_shift_even8_by(_mm512_add_epi64(p, q), s));
  }
}

CK_AVX512 void ck_wide_multiply_avx512(
    const ck_wide_fractions *t, const int32_t *a, int64_t as, const int32_t *b, int64_t bs, int64_t count, int32_t *y) {
  int32_t shift = t->fa + t->fb - t->fy;
  if (as > 1 || bs > 1 || shift < 0 || shift > 62) {
    ck_wide_multiply_portable(t, a, as, b, bs, count, y);
    return;
  }
  ck_shift8 s = ck_shift8_by(shift);
  for (int64_t i = 0; i < count; i += 8) {
    __mmask8 mask = ck_mask8(count - i);
    ck_store8(y + i, mask, ck_shift_even8_by(_mm512_mul_epi32(operand(a, as, i, mask), operand(b, bs, i, mask)), s));
  }
}

CK_AVX512 void ck_wide_apply_avx512(const ck_wide_function *g, const int32_t *x, int64_t count, int32_t *y) {
  int32_t width = g->fx + g->core - 13;
  int64_t edge = (int64_t)1 << (g->fx + g->core);
  ck_shift8 s = ck_shift8_by(width);
  __m512i high = _mm512_set1_epi64(edge), low = _mm512_set1_epi64(-edge);
  __m512i rest_mask = _mm512_set1_epi64(((int64_t)1 << width) - 1);
  for (int64_t i = 0; i < count; i += 8) {
    __mmask8 mask = ck_mask8(count - i);
    __m512i v = ck_load8(x + i, mask);
    if (_mm512_cmplt_epi64_mask(v, low) | _mm512_cmpge_epi64_mask(v, high)) {
      ck_wide_apply_portable(g, x + i, count - i < 8 ? count - i : 8, y + i);
      continue;
    }
    __m512i at = _mm512_add_epi64(v, high), rest = _mm512_and_si512(at, rest_mask);
    // A node and the one after it, in one read.
    __m512i pair = _mm512_i64gather_epi64(_mm512_srl_epi64(at, s.count), g->nodes, 4);
    __m512i from = _mm512_srai_epi64(_mm512_slli_epi64(pair, 32), 32), to = _mm512_srai_epi64(pair, 32);
    __m512i p = _mm512_mullo_epi64(_mm512_sub_epi64(to, from), rest);
    ck_store8(y + i, mask, _mm512_add_epi64(from, ck_shift_even8_by(p, s)));
  }
}

// exponential() of ck_int_wide.c.
CK_INLINE_AVX512 __m512i exponential8(__m512i d, int32_t f, const uint32_t *table) {
  __m512i t = _mm512_mul_epu32(d, _mm512_set1_epi64(1549082005)), whole = _mm512_srl_epi64(t, _mm_cvtsi32_si128(f + 30));
  __m512i part = f >= 4 ? _mm512_srl_epi64(t, _mm_cvtsi32_si128(f - 4)) : _mm512_sll_epi64(t, _mm_cvtsi32_si128(4 - f));
  part = _mm512_and_si512(part, _mm512_set1_epi64(((int64_t)1 << 34) - 1));
  __m512i rest = _mm512_and_si512(part, _mm512_set1_epi64(0xFFFFFF));
  __m512i pair = _mm512_i64gather_epi64(_mm512_srli_epi64(part, 24), table, 4);
  __m512i first = _mm512_and_si512(pair, _mm512_set1_epi64(0xFFFFFFFF)), fall = _mm512_sub_epi64(first, _mm512_srli_epi64(pair, 32));
  fall = _mm512_srli_epi64(_mm512_add_epi64(_mm512_mul_epu32(fall, rest), _mm512_set1_epi64(1 << 23)), 24);
  __m512i half = _mm512_sllv_epi64(_mm512_set1_epi64(1), _mm512_sub_epi64(whole, _mm512_set1_epi64(1)));
  __mmask8 seen = _mm512_cmple_epi64_mask(whole, _mm512_set1_epi64(32));
  return _mm512_maskz_srlv_epi64(seen, _mm512_add_epi64(_mm512_sub_epi64(first, fall), half), whole);
}

CK_AVX512 void ck_wide_softmax_avx512(
    const int32_t *x, int64_t rows, int64_t count, int32_t f, const uint32_t table[1025], int32_t *y) {
  for (int64_t r = 0; r < rows; r++, x += count, y += count) {
    __m256i most = _mm256_set1_epi32(INT32_MIN);
    for (int64_t i = 0; i < count; i += 8)
      most = _mm256_max_epi32(most, _mm256_mask_loadu_epi32(_mm256_set1_epi32(INT32_MIN), ck_mask8(count - i), x + i));
    __m512i top = _mm512_set1_epi64(_mm512_reduce_max_epi64(_mm512_cvtepi32_epi64(most)));
    __m512i sums = _mm512_setzero_si512();
    for (int64_t i = 0; i < count; i += 8) {
      __mmask8 mask = ck_mask8(count - i);
      __m512i e = _mm512_maskz_mov_epi64(mask, exponential8(_mm512_sub_epi64(top, ck_load8(x + i, mask)), f, table));
      sums = _mm512_add_epi64(sums, e);
      _mm512_mask_cvtepi64_storeu_epi32(y + i, mask, e);
    }
    uint64_t sum = (uint64_t)_mm512_reduce_add_epi64(sums);
    // e 2^30 is exact in double; the quotient, at most 2^30, is off by less than 2^-20, so its floor by one at most.
    __m512d inverse = _mm512_set1_pd(1.0 / (double)sum);
    __m512i divisor = _mm512_set1_epi64((int64_t)sum), one = _mm512_set1_epi64(1);
    for (int64_t i = 0; i < count; i += 8) {
      __mmask8 mask = ck_mask8(count - i);
      __m512i n = _mm512_slli_epi64(_mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi32(mask, y + i)), 30);
      __m512i q = _mm512_cvttpd_epi64(_mm512_mul_pd(_mm512_cvtepi64_pd(n), inverse));
      __m512i rest = _mm512_sub_epi64(n, _mm512_mullo_epi64(q, divisor));
      __mmask8 below = _mm512_cmplt_epi64_mask(rest, _mm512_setzero_si512());
      q = _mm512_mask_sub_epi64(q, below, q, one);
      rest = _mm512_mask_add_epi64(rest, below, rest, divisor);
      __mmask8 above = _mm512_cmpge_epi64_mask(rest, divisor);
      q = _mm512_mask_add_epi64(q, above, q, one);
      rest = _mm512_mask_sub_epi64(rest, above, rest, divisor);
      __m512i other = _mm512_sub_epi64(divisor, rest);
      __mmask8 up = _mm512_cmpgt_epi64_mask(rest, other) |
          (_mm512_cmpeq_epi64_mask(rest, other) & _mm512_test_epi64_mask(q, one));
      ck_store8(y + i, mask, _mm512_mask_add_epi64(q, up, q, one));
    }
  }
}

// r rounds v; true lanes of the result are nearer than `doubt` to a tie.
CK_INLINE_AVX512 __mmask8 rounds(__m512d v, double doubt, __m512d *r) {
  *r = _mm512_roundscale_pd(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return _mm512_cmp_pd_mask(_mm512_abs_pd(_mm512_sub_pd(v, *r)), _mm512_set1_pd(0.5 - doubt), _CMP_NLE_UQ);
}

CK_AVX512 void ck_wide_normalize_avx512(const ck_wide_normalization *n, const int32_t *x, int64_t rows, int32_t *y) {
  int64_t count = n->count;
  int32_t e = 24 + n->fg - n->fy, fb = 24 + n->fg - n->fb;
  // Sums of 2048 squares of 26 bits fit a lane.
  if (count > 16384 || e < -900 || e > 900 || fb < -900 || fb > 900) {
    ck_wide_normalize_portable(n, x, rows, y);
    return;
  }
  const __m512i counts = _mm512_set1_epi64(count), low26 = _mm512_set1_epi64((1 << 26) - 1);
  const __m512d gamma_unit = _mm512_set1_pd(__builtin_ldexp(1, -e)), beta_unit = _mm512_set1_pd(__builtin_ldexp(1, fb - e));
  for (int64_t r = 0; r < rows; r++, x += count, y += count) {
    __m512i total = _mm512_setzero_si512();
    for (int64_t i = 0; n->centred && i < count; i += 8) total = _mm512_add_epi64(total, ck_load8(x + i, ck_mask8(count - i)));
    int64_t sum = _mm512_reduce_add_epi64(total);
    __m512i sums = _mm512_set1_epi64(sum), hh = _mm512_setzero_si512(), hl = hh, ll = hh;
    for (int64_t i = 0; i < count; i += 8) {
      __mmask8 mask = ck_mask8(count - i);
      __m512i d = _mm512_sub_epi64(_mm512_mullo_epi64(counts, ck_load8(x + i, mask)), sums);
      d = _mm512_maskz_abs_epi64(mask, d);
      __m512i h = _mm512_srli_epi64(d, 26), l = _mm512_and_si512(d, low26);
      hh = _mm512_add_epi64(hh, _mm512_mul_epu32(h, h));
      hl = _mm512_add_epi64(hl, _mm512_mul_epu32(h, l));
      ll = _mm512_add_epi64(ll, _mm512_mul_epu32(l, l));
    }
    uint64_t parts[3][8];
    _mm512_storeu_si512(parts[0], hh);
    _mm512_storeu_si512(parts[1], hl);
    _mm512_storeu_si512(parts[2], ll);
    unsigned __int128 squares = 0;
    for (int j = 0; j < 8; j++)
      squares += ((unsigned __int128)parts[0][j] << 52) + ((unsigned __int128)parts[1][j] << 27) + parts[2][j];
    ck_wide_row row = ck_wide_normalization_row(n, sum, squares);
    // d of at most 52 bits times 42 bits: below 2^36 the product is off by less than 2^-16 in double.
    __m512d inverse = _mm512_set1_pd(row.s > 126 ? 0 : __builtin_ldexp((double)row.reciprocal, -row.s));
    for (int64_t i = 0; i < count; i += 8) {
      __mmask8 mask = ck_mask8(count - i);
      __m512i d = _mm512_sub_epi64(_mm512_mullo_epi64(counts, ck_load8(x + i, mask)), sums);
      __m512d q, v, p = _mm512_mul_pd(_mm512_cvtepi64_pd(d), inverse);
      __mmask8 doubt = rounds(p, 0x1p-14, &q) | _mm512_cmp_pd_mask(_mm512_abs_pd(p), _mm512_set1_pd(0x1p36), _CMP_NLT_UQ);
      // q, gamma and beta are exact, their sum is rounded once: below 2^31 it is off by less than 2^-22.
      __m512d shift = n->beta
          ? _mm512_mul_pd(_mm512_cvtepi32_pd(_mm256_maskz_loadu_epi32(mask, n->beta + i)), beta_unit)
          : _mm512_setzero_pd();
      __m512d gamma = _mm512_mul_pd(_mm512_cvtepi32_pd(_mm256_maskz_loadu_epi32(mask, n->gamma + i)), gamma_unit);
      __m512d sum_of_both = _mm512_fmadd_pd(q, gamma, shift);
      doubt |= rounds(sum_of_both, 0x1p-20, &v) |
          _mm512_cmp_pd_mask(_mm512_abs_pd(sum_of_both), _mm512_set1_pd(0x1p31 - 1), _CMP_NLT_UQ);
      _mm256_mask_storeu_epi32(y + i, mask, _mm512_cvtpd_epi32(v));
      for (doubt &= mask; doubt; doubt &= (__mmask8)(doubt - 1)) {
        int64_t j = i + __builtin_ctz(doubt);
        y[j] = ck_wide_normalized(n, &row, x, j);
      }
    }
  }
}
#endif
