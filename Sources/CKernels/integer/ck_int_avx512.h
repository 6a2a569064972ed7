#pragma once
#include "ck_int_internal.h"

#if CK_INT_X86
#include <immintrin.h>

#define CK_INLINE_AVX512 CK_AVX512 static inline __attribute__((always_inline))

// round half to even of p * 2^-s for 0 <= s <= 62 and |p| <= 2^62.
CK_INLINE_AVX512 __m512i ck_shift_even8(__m512i p, __m512i s) {
  const __m512i one = _mm512_set1_epi64(1);
  __mmask8 whole = _mm512_testn_epi64_mask(s, s);
  __m512i half = _mm512_sub_epi64(_mm512_sllv_epi64(one, _mm512_sub_epi64(s, one)), one);
  __m512i odd = _mm512_and_si512(_mm512_srlv_epi64(p, s), one);
  __m512i add = _mm512_maskz_add_epi64((__mmask8)~whole, half, odd);
  return _mm512_srav_epi64(_mm512_add_epi64(p, add), s);
}

// The same with one shift for all lanes.
typedef struct {
  __m512i half, odd;
  __m128i count;
} ck_shift8;

CK_INLINE_AVX512 ck_shift8 ck_shift8_by(int32_t s) {
  return (ck_shift8){
      _mm512_set1_epi64(s > 0 ? ((int64_t)1 << (s - 1)) - 1 : 0), _mm512_set1_epi64(s > 0), _mm_cvtsi32_si128(s)};
}

CK_INLINE_AVX512 __m512i ck_shift_even8_by(__m512i p, ck_shift8 s) {
  __m512i odd = _mm512_and_si512(_mm512_srl_epi64(p, s.count), s.odd);
  return _mm512_sra_epi64(_mm512_add_epi64(_mm512_add_epi64(p, s.half), odd), s.count);
}

CK_INLINE_AVX512 __mmask8 ck_mask8(int64_t left) { return left >= 8 ? 0xFF : (__mmask8)((1 << left) - 1); }

CK_INLINE_AVX512 __m512i ck_load8(const int32_t *p, __mmask8 mask) {
  return _mm512_cvtepi32_epi64(_mm256_maskz_loadu_epi32(mask, p));
}

// Saturated to int32.
CK_INLINE_AVX512 void ck_store8(int32_t *y, __mmask8 mask, __m512i v) {
  if (mask == 0xFF) _mm256_storeu_si256((__m256i *)y, _mm512_cvtsepi64_epi32(v));
  else _mm256_mask_storeu_epi32(y, mask, _mm512_cvtsepi64_epi32(v));
}
#endif
