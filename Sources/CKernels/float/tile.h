// Register tiles of a matrix product: up to TILE_ROWS rows by TILE_VECTORS vectors, sums in sequence over k.

#define PANEL (TILE_VECTORS * LANES)
// How many floats before their use packed weights are fetched: 8 KiB.
enum { AHEAD = 2048 };

// What follows the last k: v = alpha v + row + column + residual, clipped. A bias that is not there is -0, which
// changes no bit of a sum; limits that are not there are infinite.
typedef struct {
  float alpha, low, high;
  const float *row_bias, *column_bias, *residual;
  ptrdiff_t residual_row;
} tile_end;

INLINE void tile_finish(vf *acc, int rows, int vectors, const tile_end *end) {
  const vf alpha = splat(end->alpha), low = splat(end->low), high = splat(end->high);
  if (end->alpha != 1)
    UNROLL for (int i = 0; i < rows * vectors; i++) acc[i] = acc[i] * alpha;
  if (end->row_bias)
    UNROLL for (int i = 0; i < rows; i++) {
      const vf bias = splat(end->row_bias[i]);
      UNROLL for (int v = 0; v < vectors; v++) acc[i * vectors + v] = acc[i * vectors + v] + bias;
    }
  if (end->column_bias)
    UNROLL for (int v = 0; v < vectors; v++) {
      const vf bias = load(end->column_bias + v * LANES);
      UNROLL for (int i = 0; i < rows; i++) acc[i * vectors + v] = acc[i * vectors + v] + bias;
    }
  if (end->residual)
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vectors; v++) acc[i * vectors + v] =
        acc[i * vectors + v] + load(end->residual + i * end->residual_row + v * LANES);
  UNROLL for (int i = 0; i < rows * vectors; i++) acc[i] = at_most(at_least(acc[i], low), high);
}

INLINE void tile_begin(vf *acc, int rows, int vectors, const float *c, ptrdiff_t c_row, int resume) {
  if (resume) {
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vectors; v++) acc[i * vectors + v] =
        load(c + i * c_row + v * LANES);
  } else {
    UNROLL for (int i = 0; i < rows * vectors; i++) acc[i] = splat(0);
  }
}

INLINE void tile_store(vf *acc, int rows, int vectors, float *c, ptrdiff_t c_row, const tile_end *end) {
  if (end) tile_finish(acc, rows, vectors, end);
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vectors; v++)
      store(c + i * c_row + v * LANES, acc[i * vectors + v]);
}

// One tile. B is a packed panel [k][PANEL], of which the first `vectors` vectors are used. A is packed [k][rows], or
// rows at a distance of a_row. With `resume` the sums go on from C. `end` is NULL unless these are the last k.
typedef void (*tile_fn)(ptrdiff_t k, const float *a, ptrdiff_t a_row, const float *b, float *c, ptrdiff_t c_row,
                        int resume, const tile_end *end);

INLINE void tile_packed(int rows, int vectors, ptrdiff_t k, const float *a, const float *b, float *c, ptrdiff_t c_row,
                        int resume, const tile_end *end) {
  vf acc[TILE_ROWS * TILE_VECTORS];
  tile_begin(acc, rows, vectors, c, c_row, resume);
  for (ptrdiff_t p = 0; p < k; p++) {
    vf bv[TILE_VECTORS];
    UNROLL for (int v = 0; v < vectors; v++) bv[v] = load(b + v * LANES);
    UNROLL for (int i = 0; i < rows; i++) {
      const vf av = splat(a[i]);
      UNROLL for (int v = 0; v < vectors; v++) acc[i * vectors + v] = fma_(av, bv[v], acc[i * vectors + v]);
    }
    a += rows;
    b += PANEL;
  }
  tile_store(acc, rows, vectors, c, c_row, end);
}

// A panel that is read where it lies: vector v of row k0 + p is at base + taps[tap] + from[v]; the tap rises with p and
// begins again one channel further.
typedef struct {
  const float *base;
  const ptrdiff_t *taps;
  ptrdiff_t count, tap, channel_step, from[TILE_VECTORS];
} panel_view;

typedef void (*view_tile_fn)(ptrdiff_t k, const float *a, const panel_view *view, float *c, ptrdiff_t c_row, int resume,
                             const tile_end *end);

INLINE void tile_viewed(int rows, int vectors, ptrdiff_t k, const float *a, const panel_view *view, float *c,
                        ptrdiff_t c_row, int resume, const tile_end *end) {
  vf acc[TILE_ROWS * TILE_VECTORS];
  tile_begin(acc, rows, vectors, c, c_row, resume);
  const float *base[TILE_VECTORS];
  UNROLL for (int v = 0; v < vectors; v++) base[v] = view->base + view->from[v];
  const ptrdiff_t *const taps = view->taps, count = view->count, step = view->channel_step;
  for (ptrdiff_t tap = view->tap; k > 0; tap = 0) {
    ptrdiff_t stop = tap + k < count ? tap + k : count;
    k -= stop - tap;
    for (; tap < stop; tap++) {
      vf bv[TILE_VECTORS];
      UNROLL for (int v = 0; v < vectors; v++) bv[v] = load(base[v] + taps[tap]);
      UNROLL for (int i = 0; i < rows; i++) {
        const vf av = splat(a[i]);
        UNROLL for (int v = 0; v < vectors; v++) acc[i * vectors + v] = fma_(av, bv[v], acc[i * vectors + v]);
      }
      a += rows;
    }
    UNROLL for (int v = 0; v < vectors; v++) base[v] += step;
  }
  tile_store(acc, rows, vectors, c, c_row, end);
}

INLINE void tile_strided(int rows, int vectors, ptrdiff_t k, const float *a, ptrdiff_t a_row, const float *b, float *c,
                         ptrdiff_t c_row, int resume, const tile_end *end) {
  vf acc[TILE_ROWS * TILE_VECTORS];
  tile_begin(acc, rows, vectors, c, c_row, resume);
  const float *at[TILE_ROWS];
  UNROLL for (int i = 0; i < rows; i++) at[i] = a + i * a_row + k;
  for (ptrdiff_t p = -k; p; p++) {
    vf bv[TILE_VECTORS];
    __builtin_prefetch(b + AHEAD);
    if (vectors * LANES > 16) __builtin_prefetch(b + AHEAD + 16);
    UNROLL for (int v = 0; v < vectors; v++) bv[v] = load(b + v * LANES);
    UNROLL for (int i = 0; i < rows; i++) {
      const vf av = splat(at[i][p]);
      UNROLL for (int v = 0; v < vectors; v++) acc[i * vectors + v] = fma_(av, bv[v], acc[i * vectors + v]);
    }
    b += PANEL;
  }
  tile_store(acc, rows, vectors, c, c_row, end);
}

#define TILE(ROWS)                                                                                                     \
  NOINLINE void packed_##ROWS(ptrdiff_t k, const float *a, ptrdiff_t a_row, const float *b, float *c, ptrdiff_t c_row, \
                              int resume, const tile_end *end) {                                                       \
    tile_packed(ROWS, TILE_VECTORS, k, a, b, c, c_row, resume, end);                                                   \
  }                                                                                                                    \
  NOINLINE void packed1_##ROWS(ptrdiff_t k, const float *a, ptrdiff_t a_row, const float *b, float *c,                 \
                               ptrdiff_t c_row, int resume, const tile_end *end) {                                     \
    tile_packed(ROWS, 1, k, a, b, c, c_row, resume, end);                                                              \
  }                                                                                                                    \
  NOINLINE void strided_##ROWS(ptrdiff_t k, const float *a, ptrdiff_t a_row, const float *b, float *c,                 \
                               ptrdiff_t c_row, int resume, const tile_end *end) {                                     \
    tile_strided(ROWS, TILE_VECTORS, k, a, a_row, b, c, c_row, resume, end);                                           \
  }                                                                                                                    \
  NOINLINE void strided1_##ROWS(ptrdiff_t k, const float *a, ptrdiff_t a_row, const float *b, float *c,                \
                                ptrdiff_t c_row, int resume, const tile_end *end) {                                    \
    tile_strided(ROWS, 1, k, a, a_row, b, c, c_row, resume, end);                                                      \
  }                                                                                                                    \
  NOINLINE void viewed_##ROWS(ptrdiff_t k, const float *a, const panel_view *view, float *c, ptrdiff_t c_row,          \
                              int resume, const tile_end *end) {                                                       \
    tile_viewed(ROWS, TILE_VECTORS, k, a, view, c, c_row, resume, end);                                                \
  }                                                                                                                    \
  NOINLINE void viewed1_##ROWS(ptrdiff_t k, const float *a, const panel_view *view, float *c, ptrdiff_t c_row,         \
                               int resume, const tile_end *end) {                                                      \
    tile_viewed(ROWS, 1, k, a, view, c, c_row, resume, end);                                                           \
  }

TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)
#if TILE_ROWS == 12
TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12)
#define ROW_TABLE(F)                                                                                                   \
  { NULL, F##_1, F##_2, F##_3, F##_4, F##_5, F##_6, F##_7, F##_8, F##_9, F##_10, F##_11, F##_12 }
#else
#define ROW_TABLE(F)                                                                                                   \
  { NULL, F##_1, F##_2, F##_3, F##_4, F##_5, F##_6 }
#endif

// By packing of A, vectors used (1 or all), rows.
static const tile_fn tiles[2][2][TILE_ROWS + 1] = {{ROW_TABLE(strided1), ROW_TABLE(strided)},
                                                    {ROW_TABLE(packed1), ROW_TABLE(packed)}};
static const view_tile_fn view_tiles[2][TILE_ROWS + 1] = {ROW_TABLE(viewed1), ROW_TABLE(viewed)};

// Few rows by many columns: sums for WIDE panels at once, so that enough of them are in flight. Panel q's vectors
// begin at b + q * panel_step, rows of B are k_step apart.
#define WIDE 4
#if TILE_ROWS == 12
#define FEW_ROWS 3
#else
#define FEW_ROWS 1
#endif
INLINE void wide(int rows, ptrdiff_t k, const float *a, ptrdiff_t a_row, ptrdiff_t a_col, const float *b,
                 ptrdiff_t panel_step, ptrdiff_t k_step, float *c, ptrdiff_t c_row, const tile_end *end) {
  vf acc[FEW_ROWS * WIDE * TILE_VECTORS];
  enum { V = WIDE * TILE_VECTORS };
  UNROLL for (int i = 0; i < rows * V; i++) acc[i] = splat(0);
  for (ptrdiff_t p = 0; p < k; p++) {
    UNROLL for (int q = 0; q < WIDE; q++) {
      UNROLL for (int v = 0; v < TILE_VECTORS; v++) {
        const float *at = b + q * panel_step + v * LANES;
        __builtin_prefetch(at + 8 * k_step);
        const vf bv = load(at);
        UNROLL for (int i = 0; i < rows; i++) acc[i * V + q * TILE_VECTORS + v] =
            fma_(splat(a[i * a_row]), bv, acc[i * V + q * TILE_VECTORS + v]);
      }
    }
    a += a_col;
    b += k_step;
  }
  tile_store(acc, rows, V, c, c_row, end);
}
#define WIDE_TILE(ROWS)                                                                                                \
  NOINLINE void wide_##ROWS(ptrdiff_t k, const float *a, ptrdiff_t a_row, ptrdiff_t a_col, const float *b,             \
                            ptrdiff_t panel_step, ptrdiff_t k_step, float *c, ptrdiff_t c_row, const tile_end *end) {  \
    wide(ROWS, k, a, a_row, a_col, b, panel_step, k_step, c, c_row, end);                                              \
  }
WIDE_TILE(1)
#if FEW_ROWS == 3
WIDE_TILE(2) WIDE_TILE(3)
#endif
