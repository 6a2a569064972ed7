// Products: C = A B over tiles and panels, B packed beforehand or panel by panel while it is used.

enum { LONGEST_K = 384, BLOCK_K = 256 };

// Columns p0 ..< p0 + PANEL of rows k0 ..< k0 + k of B, as [k][PANEL]; columns that B does not have are zeros. May
// write LANES floats more than that.
typedef void (*panel_fn)(const void *source, ptrdiff_t panel, ptrdiff_t k0, ptrdiff_t k, float *to);

// Whether that panel can be read where it lies, and how; `vectors` of each row are needed.
typedef int (*view_fn)(const void *source, ptrdiff_t panel, ptrdiff_t k0, ptrdiff_t k, int vectors, panel_view *view);

typedef struct {
  ptrdiff_t m, n, k;
  const float *a; // packed tiles [k][rows of the tile], or rows
  int a_packed;
  ptrdiff_t a_row, a_col;
  const float *packed_b; // NULL: `fill`
  panel_fn fill;
  view_fn view; // NULL: none can; needs packed A
  const void *source;
  float *c;
  ptrdiff_t c_row;
  const ck_epilogue *epilogue;
  const float *residual; // of this product
} product;

INLINE ptrdiff_t tile_count(ptrdiff_t m) { return divide_up(m, TILE_ROWS); }
// Tiles differ by at most one row.
INLINE ptrdiff_t tile_start(ptrdiff_t m, ptrdiff_t tile) {
  ptrdiff_t count = tile_count(m), extra = m % count;
  return tile * (m / count) + smaller(tile, extra);
}
INLINE ptrdiff_t k_block(ptrdiff_t k) {
  return k <= LONGEST_K ? larger(k, 1) : divide_up(k, divide_up(k, BLOCK_K));
}

static void unary_range(ck_unary_op op, float a, float b, ptrdiff_t n, const float *x, float *y);

static tile_end make_end(const ck_epilogue *e) {
  tile_end end = {.alpha = 1, .low = -INFINITY, .high = INFINITY};
  if (e) {
    end.alpha = e->alpha;
    if (e->op == CK_RELU) end.low = 0;
    if (e->op == CK_CLIP) {
      end.low = e->a;
      end.high = e->b;
    }
  }
  return end;
}

INLINE int needs_pass(const ck_epilogue *e) {
  return e && e->op != CK_IDENTITY && e->op != CK_RELU && e->op != CK_CLIP;
}

INLINE void copy_block(const float *from, ptrdiff_t from_row, ptrdiff_t rows, ptrdiff_t columns, float *to,
                       ptrdiff_t to_row) {
  for (ptrdiff_t i = 0; i < rows; i++, from += from_row, to += to_row) {
    ptrdiff_t j = 0;
    for (; j + LANES <= columns; j += LANES) store(to + j, load(from + j));
    if (j < columns) store_part(to + j, load_part(from + j, columns - j, 0), columns - j);
  }
}

// A function is applied to this many finished panels at a time: runs long enough to be worth a call, and still in cache.
enum { PASS_PANELS = 8 };

// Tiles t0 ..< t1 of panels p0 ..< p1.
static void product_block(const product *p, ptrdiff_t t0, ptrdiff_t t1, ptrdiff_t p0, ptrdiff_t p1) {
  const ck_epilogue *e = p->epilogue;
  ptrdiff_t block = k_block(p->k), first = tile_start(p->m, t0), rows_all = tile_start(p->m, t1) - first;
  int transposed = !p->a_packed && p->a_col != 1;
  size_t panel_floats = (size_t)block * PANEL + LANES;
  float *memory = ck_scratch(0, (panel_floats + (transposed ? (size_t)(rows_all * block) : 0)) * sizeof(float));
  float *a_memory = memory + panel_floats;
  float part[TILE_ROWS * PANEL], part_residual[TILE_ROWS * PANEL], part_bias[PANEL];
  ptrdiff_t k0 = 0;
  do {
    ptrdiff_t k = smaller(block, p->k - k0);
    int last = k0 + k == p->k;
    if (transposed)
      for (ptrdiff_t t = t0; t < t1; t++) {
        ptrdiff_t row = tile_start(p->m, t), rows = tile_start(p->m, t + 1) - row;
        float *to = a_memory + (row - first) * k;
        for (ptrdiff_t q = 0; q < k; q++)
          for (ptrdiff_t i = 0; i < rows; i++) *to++ = p->a[(row + i) * p->a_row + (k0 + q) * p->a_col];
      }
    for (ptrdiff_t panel = p0; panel < p1; panel++) {
      ptrdiff_t column = panel * PANEL, columns = smaller(PANEL, p->n - column);
      int all = columns > LANES || TILE_VECTORS == 1, width = all ? PANEL : LANES;
      const float *b = memory;
      panel_view view;
      const int in_place = p->view && p->view(p->source, panel, k0, k, width / LANES, &view);
      if (p->packed_b)
        b = p->packed_b + (panel * p->k + k0) * PANEL;
      else if (!in_place)
        p->fill(p->source, panel, k0, k, memory);
      int whole = columns == width;
      for (ptrdiff_t t = t0; t < t1; t++) {
        ptrdiff_t row = tile_start(p->m, t), rows = tile_start(p->m, t + 1) - row;
        tile_end end, *ending = NULL;
        if (last) {
          end = make_end(e);
          ending = &end;
          if (e && e->bias_row) end.row_bias = e->bias_row + row;
          if (e && e->bias_col) end.column_bias = e->bias_col + column;
          if (p->residual) end.residual = p->residual + row * p->c_row + column;
          end.residual_row = p->c_row;
        }
        float *c = p->c + row * p->c_row + column, *to = c;
        ptrdiff_t to_row = p->c_row;
        if (!whole) {
          to = part;
          to_row = width;
          if (k0)
            copy_block(c, p->c_row, rows, columns, part, width);
          if (last && end.column_bias) {
            memcpy(part_bias, end.column_bias, (size_t)columns * sizeof(float));
            end.column_bias = part_bias;
          }
          if (last && end.residual) {
            copy_block(end.residual, p->c_row, rows, columns, part_residual, PANEL);
            end.residual = part_residual;
            end.residual_row = PANEL;
          }
        }
        int a_packed = p->a_packed || transposed;
        const float *a = p->a_packed ? p->a + row * p->k + k0 * rows
                         : transposed ? a_memory + (row - first) * k
                                      : p->a + row * p->a_row + k0;
        if (in_place)
          view_tiles[all][rows](k, a, &view, to, to_row, k0 != 0, ending);
        else
          tiles[a_packed][all][rows](k, a, p->a_row, b, to, to_row, k0 != 0, ending);
        if (!whole) copy_block(part, width, rows, columns, c, p->c_row);
      }
      if (last && needs_pass(e) && ((panel - p0) % PASS_PANELS == PASS_PANELS - 1 || panel + 1 == p1)) {
        const ptrdiff_t begin = (panel - (panel - p0) % PASS_PANELS) * PANEL;
        for (ptrdiff_t i = first; i < first + rows_all; i++) {
          float *run = p->c + i * p->c_row + begin;
          unary_range(e->op, e->a, e->b, column + columns - begin, run, run);
        }
      }
    }
    k0 += k;
  } while (k0 < p->k);
}

// How a product is cut for threads: blocks of tiles by blocks of panels.
typedef struct {
  ptrdiff_t tiles, panels, tiles_per, panels_per, tile_blocks, panel_blocks;
} cut;

// About 2^20 fused multiply-adds are ten microseconds or more: no task is made smaller to feed threads.
static cut make_cut(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t products, int threads, ptrdiff_t most_tiles,
                    ptrdiff_t most_panels) {
  cut c = {.tiles = tile_count(m), .panels = divide_up(n, PANEL)};
  c.tiles_per = smaller(c.tiles, most_tiles);
  c.panels_per = smaller(c.panels, most_panels);
  double work = (double)m * (double)n * (double)k * (double)products;
  ptrdiff_t wanted = threads == 1 ? 1 : (ptrdiff_t)(work / (1 << 20)) + 1;
  wanted = smaller(wanted, 4 * (ptrdiff_t)threads);
  while (products * divide_up(c.panels, c.panels_per) * divide_up(c.tiles, c.tiles_per) < wanted) {
    if (c.panels_per > 1)
      c.panels_per = divide_up(c.panels_per, 2);
    else if (c.tiles_per > 1)
      c.tiles_per = divide_up(c.tiles_per, 2);
    else
      break;
  }
  c.tile_blocks = divide_up(c.tiles, c.tiles_per);
  c.panel_blocks = divide_up(c.panels, c.panels_per);
  return c;
}

// ---- sgemm

typedef struct {
  const float *b;
  ptrdiff_t row, column, n;
} matrix;

static void fill_from_matrix(const void *source, ptrdiff_t panel, ptrdiff_t k0, ptrdiff_t k, float *to) {
  const matrix *s = source;
  ptrdiff_t j0 = panel * PANEL, columns = smaller(PANEL, s->n - j0);
  const float *from = s->b + k0 * s->row + j0 * s->column;
  if (s->column == 1 && columns == PANEL) {
    for (ptrdiff_t p = 0; p < k; p++, from += s->row, to += PANEL)
      UNROLL for (int v = 0; v < TILE_VECTORS; v++) store(to + v * LANES, load(from + v * LANES));
  } else if (s->column == 1) {
    for (ptrdiff_t p = 0; p < k; p++, from += s->row, to += PANEL)
      for (ptrdiff_t j = 0; j < PANEL; j++) to[j] = j < columns ? from[j] : 0;
  } else {
    // Sixteen rows at a time: each column is read along a cache line, the writes stay within the first-level cache.
    for (ptrdiff_t p0 = 0; p0 < k; p0 += 16) {
      ptrdiff_t p1 = smaller(k, p0 + 16);
      for (ptrdiff_t j = 0; j < PANEL; j++)
        if (j < columns)
          for (ptrdiff_t p = p0; p < p1; p++) to[p * PANEL + j] = from[p * s->row + j * s->column];
        else
          for (ptrdiff_t p = p0; p < p1; p++) to[p * PANEL + j] = 0;
    }
  }
}

static size_t sgemm_packed_b_size(ptrdiff_t k, ptrdiff_t n) {
  return (size_t)k * (size_t)divide_up(n, PANEL) * PANEL;
}

typedef struct {
  matrix source;
  ptrdiff_t k;
  float *to;
} packing;

static void pack_panels(void *context, ptrdiff_t begin, ptrdiff_t end) {
  packing *p = context;
  for (ptrdiff_t panel = begin; panel < end; panel++)
    fill_from_matrix(&p->source, panel, 0, p->k, p->to + panel * p->k * PANEL);
}

static void sgemm_pack_b(ck_pool *pool, ptrdiff_t k, ptrdiff_t n, const float *b, ptrdiff_t row_stride,
                         ptrdiff_t col_stride, float *packed) {
  packing p = {{b, row_stride, col_stride, n}, k, packed};
  ck_parallel_for(pool, divide_up(n, PANEL), larger(1, 65536 / (PANEL * larger(k, 1))), pack_panels, &p);
}

typedef struct {
  product shared;
  matrix source;
  cut cut;
  const float *const *a, *const *b;
  float *const *c;
} gemm_call;

// Up to FEW_ROWS rows: WIDE panels at once, straight from B where it lies in rows.
static void few_rows(const product *p, const matrix *b, ptrdiff_t p0, ptrdiff_t p1) {
  static void (*const kernels[])(ptrdiff_t, const float *, ptrdiff_t, ptrdiff_t, const float *, ptrdiff_t, ptrdiff_t,
                                 float *, ptrdiff_t, const tile_end *) = {NULL, wide_1,
#if FEW_ROWS == 3
                                                                      wide_2, wide_3
#endif
  };
  const ck_epilogue *e = p->epilogue;
  ptrdiff_t whole = p->n / PANEL, panel = p0;
  for (; panel + WIDE <= smaller(p1, whole); panel += WIDE) {
    ptrdiff_t column = panel * PANEL;
    tile_end end = make_end(e);
    if (e) end.row_bias = e->bias_row;
    if (e && e->bias_col) end.column_bias = e->bias_col + column;
    if (p->residual) end.residual = p->residual + column;
    end.residual_row = p->c_row;
    if (p->packed_b)
      kernels[p->m](p->k, p->a, p->a_row, p->a_col, p->packed_b + column * p->k, p->k * PANEL, PANEL, p->c + column,
                    p->c_row, &end);
    else
      kernels[p->m](p->k, p->a, p->a_row, p->a_col, b->b + column, PANEL, b->row, p->c + column, p->c_row, &end);
    if (needs_pass(e))
      for (ptrdiff_t i = 0; i < p->m; i++)
        unary_range(e->op, e->a, e->b, WIDE * PANEL, p->c + i * p->c_row + column, p->c + i * p->c_row + column);
  }
  if (panel < p1) product_block(p, 0, 1, panel, p1);
}

static void gemm_tasks(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const gemm_call *call = context;
  const cut *cut = &call->cut;
  for (ptrdiff_t task = begin; task < end; task++) {
    ptrdiff_t per_product = cut->tile_blocks * cut->panel_blocks, which = task / per_product;
    ptrdiff_t p0 = task % per_product % cut->panel_blocks * cut->panels_per;
    ptrdiff_t t0 = task % per_product / cut->panel_blocks * cut->tiles_per;
    ptrdiff_t p1 = smaller(cut->panels, p0 + cut->panels_per), t1 = smaller(cut->tiles, t0 + cut->tiles_per);
    product p = call->shared;
    matrix source = call->source;
    if (call->c) {
      p.a = call->a[which];
      p.c = call->c[which];
      source.b = call->b[which];
    }
    p.source = &source;
    if (p.m <= FEW_ROWS && (p.packed_b || source.column == 1))
      few_rows(&p, &source, p0, p1);
    else
      product_block(&p, t0, t1, p0, p1);
  }
}

static void run_gemm(ck_pool *pool, gemm_call *call, ptrdiff_t count) {
  const product *p = &call->shared;
  if (p->m <= 0 || p->n <= 0 || count <= 0) return;
  call->cut = make_cut(p->m, p->n, p->k, count, ck_pool_threads(pool), 240 / TILE_ROWS, p->packed_b ? 1 << 20 : 64);
  if (p->m <= FEW_ROWS) call->cut.panels_per = divide_up(call->cut.panels_per, WIDE) * WIDE;
  call->cut.panel_blocks = divide_up(call->cut.panels, call->cut.panels_per);
  ptrdiff_t tasks = count * call->cut.tile_blocks * call->cut.panel_blocks;
  double work = (double)p->m * (double)p->n * (double)larger(p->k, 1) * (double)count / (double)tasks;
  ck_parallel_for(pool, tasks, work < 1 << 19 ? (ptrdiff_t)((1 << 19) / work) : 1, gemm_tasks, call);
}

static void sgemm(ck_pool *pool, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const float *a, ptrdiff_t a_row,
                  ptrdiff_t a_col, const float *b, ptrdiff_t b_row, ptrdiff_t b_col, const float *packed, float *c,
                  ptrdiff_t c_stride, const ck_epilogue *epilogue) {
  gemm_call call = {.shared = {.m = m,
                               .n = n,
                               .k = k,
                               .a = a,
                               .a_row = a_row,
                               .a_col = a_col,
                               .packed_b = packed,
                               .fill = fill_from_matrix,
                               .c = c,
                               .c_row = c_stride,
                               .epilogue = epilogue,
                               .residual = epilogue ? epilogue->residual : NULL},
                    .source = {b, b_row, b_col, n}};
  run_gemm(pool, &call, 1);
}

static void sgemm_batch(ck_pool *pool, ptrdiff_t count, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const float *const *a,
                        ptrdiff_t a_row, ptrdiff_t a_col, const float *const *b, ptrdiff_t b_row, ptrdiff_t b_col,
                        float *const *c, ptrdiff_t c_stride, const ck_epilogue *epilogue) {
  gemm_call call = {.shared = {.m = m,
                               .n = n,
                               .k = k,
                               .a_row = a_row,
                               .a_col = a_col,
                               .fill = fill_from_matrix,
                               .c_row = c_stride,
                               .epilogue = epilogue},
                    .source = {NULL, b_row, b_col, n},
                    .a = a,
                    .b = b,
                    .c = c};
  run_gemm(pool, &call, count);
}
