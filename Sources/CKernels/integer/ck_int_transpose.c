#include "ck_int_internal.h"

#if CK_INT_X86
#include <immintrin.h>
#endif

// Bytes moved, nothing computed.

static void transpose_part(
    const uint8_t *x, int64_t rows, int64_t columns, int64_t r0, int64_t r1, int64_t c0, int64_t c1, uint8_t *y) {
  for (int64_t c = c0; c < c1; c++)
    for (int64_t r = r0; r < r1; r++) y[c * rows + r] = x[r * columns + c];
}

static void transpose_portable(const uint8_t *x, int64_t rows, int64_t columns, uint8_t *y) {
  for (int64_t r = 0; r < rows; r += 32)
    for (int64_t c = 0; c < columns; c += 32)
      transpose_part(x, rows, columns, r, r + 32 < rows ? r + 32 : rows, c, c + 32 < columns ? c + 32 : columns, y);
}

#if CK_INT_X86
#define KERNEL CK_AVX2 static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

// Four rounds of interleaving rows i and i + 8 transpose 16 x 16 bytes.
KERNEL void transpose16(__m128i v[16]) {
  UNROLL for (int round = 0; round < 4; round++) {
    __m128i u[16];
    UNROLL for (int i = 0; i < 8; i++) {
      u[2 * i] = _mm_unpacklo_epi8(v[i], v[i + 8]);
      u[2 * i + 1] = _mm_unpackhi_epi8(v[i], v[i + 8]);
    }
    UNROLL for (int i = 0; i < 16; i++) v[i] = u[i];
  }
}

// Few rows: their columns of less than 16 bytes are stored as 16, each over the excess of the one before.
CK_AVX2 static void interleave(const uint8_t *x, int64_t rows, int64_t columns, uint8_t *y) {
  int64_t c = 0;
  for (; c + 16 <= columns && (c + 16) * rows + 16 <= rows * columns; c += 16) {
    __m128i v[16];
    for (int64_t r = 0; r < 16; r++)
      v[r] = r < rows ? _mm_loadu_si128((const __m128i *)(x + r * columns + c)) : _mm_setzero_si128();
    transpose16(v);
    UNROLL for (int i = 0; i < 16; i++) _mm_storeu_si128((__m128i *)(y + (c + i) * rows), v[i]);
  }
  transpose_part(x, rows, columns, 0, rows, c, columns, y);
}

// Few columns: rows of less than 16 bytes are read as 16, into the next row or the slack.
CK_AVX2 static void separate(const uint8_t *x, int64_t rows, int64_t columns, uint8_t *y) {
  int64_t r = 0;
  for (; r + 16 <= rows; r += 16) {
    __m128i v[16];
    UNROLL for (int i = 0; i < 16; i++) v[i] = _mm_loadu_si128((const __m128i *)(x + (r + i) * columns));
    transpose16(v);
    for (int64_t c = 0; c < columns; c++) _mm_storeu_si128((__m128i *)(y + c * rows + r), v[c]);
  }
  transpose_part(x, rows, columns, r, rows, 0, columns, y);
}

// Strips of 64 columns keep whole cache lines of both sides at hand.
CK_AVX2 static void transpose_avx2(const uint8_t *x, int64_t rows, int64_t columns, uint8_t *y) {
  if (rows < 16) {
    interleave(x, rows, columns, y);
    return;
  }
  if (columns < 16) {
    separate(x, rows, columns, y);
    return;
  }
  int64_t whole_rows = rows / 16 * 16, whole_columns = columns / 16 * 16;
  for (int64_t c0 = 0; c0 < whole_columns; c0 += 64)
    for (int64_t r = 0; r < whole_rows; r += 16)
      for (int64_t c = c0; c < c0 + 64 && c < whole_columns; c += 16) {
        __m128i v[16];
        UNROLL for (int i = 0; i < 16; i++) v[i] = _mm_loadu_si128((const __m128i *)(x + (r + i) * columns + c));
        transpose16(v);
        UNROLL for (int i = 0; i < 16; i++) _mm_storeu_si128((__m128i *)(y + (c + i) * rows + r), v[i]);
      }
  transpose_part(x, rows, columns, whole_rows, rows, 0, columns, y);
  transpose_part(x, rows, columns, 0, whole_rows, whole_columns, columns, y);
}
#endif

void ck_int_transpose(const uint8_t *x, int64_t batch, int64_t rows, int64_t columns, uint8_t *y, ck_isa isa) {
  for (int64_t b = 0; b < batch; b++, x += rows * columns, y += rows * columns)
    CK_INT_DISPATCH(isa, transpose_portable(x, rows, columns, y), transpose_avx2(x, rows, columns, y),
                    transpose_avx2(x, rows, columns, y));
}
