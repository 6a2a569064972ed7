// Elementwise drivers: one and two operands, broadcasts of rows and columns.

enum { ELEMENTS_PER_TASK = 1 << 15 };

typedef struct {
  ck_unary_op op;
  float a, b;
  const float *x;
  float *y;
} unary_call;

static void unary_task(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const unary_call *c = context;
  unary_range(c->op, c->a, c->b, end - begin, c->x + begin, c->y + begin);
}

static void unary(ck_pool *pool, ck_unary_op op, float a, float b, ptrdiff_t n, const float *x, float *y) {
  unary_call c = {op, a, b, x, y};
  ck_parallel_for(pool, n, ELEMENTS_PER_TASK, unary_task, &c);
}

INLINE vf binary_value(ck_binary_op op, vf x, vf y) {
  switch (op) {
  case CK_ADD:
    return x + y;
  case CK_SUB:
    return x - y;
  case CK_MUL:
    return x * y;
  case CK_DIV:
    return x / y;
  case CK_MAX:
    return select_((x < y) | (y != y), y, x);
  case CK_MIN:
    return select_((x > y) | (y != y), y, x);
  case CK_PRELU:
    return select_(x < splat(0), y * x, x);
  default: {
    const vf d = x - y;
    return d * d;
  }
  }
}

INLINE void binary_loop(ck_binary_op op, int x_col, int y_col, ptrdiff_t n, const float *x, const float *y, float *z) {
  if (!n) return;
  const vf x0 = splat(*x), y0 = splat(*y);
  ptrdiff_t i = 0;
  for (; i + LANES <= n; i += LANES)
    store(z + i, binary_value(op, x_col ? load(x + i) : x0, y_col ? load(y + i) : y0));
  if (i < n) {
    const vf a = x_col ? load_part(x + i, n - i, 1) : x0, b = y_col ? load_part(y + i, n - i, 1) : y0;
    store_part(z + i, binary_value(op, a, b), n - i);
  }
}

INLINE void binary_row(ck_binary_op op, ptrdiff_t x_col, ptrdiff_t y_col, ptrdiff_t n, const float *x, const float *y,
                       float *z) {
  if (x_col && y_col)
    binary_loop(op, 1, 1, n, x, y, z);
  else if (x_col)
    binary_loop(op, 1, 0, n, x, y, z);
  else if (y_col)
    binary_loop(op, 0, 1, n, x, y, z);
  else
    binary_loop(op, 0, 0, n, x, y, z);
}

NOINLINE void binary_range(ck_binary_op op, ptrdiff_t x_col, ptrdiff_t y_col, ptrdiff_t n, const float *x,
                           const float *y, float *z) {
  switch (op) {
#define CASE(OP)                                                                                                       \
  case OP:                                                                                                             \
    binary_row(OP, x_col, y_col, n, x, y, z);                                                                          \
    break;
    CASE(CK_ADD)
    CASE(CK_SUB)
    CASE(CK_MUL)
    CASE(CK_DIV)
    CASE(CK_MAX)
    CASE(CK_MIN)
    CASE(CK_PRELU)
    CASE(CK_SQUARED_DIFFERENCE)
#undef CASE
  default:
    break;
  }
}

typedef struct {
  ck_binary_op op;
  ptrdiff_t cols, x_row, x_col, y_row, y_col;
  const float *x, *y;
  float *z;
} binary_call;

static void binary_task(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const binary_call *c = context;
  for (ptrdiff_t at = begin; at < end;) {
    ptrdiff_t row = at / c->cols, col = at % c->cols, n = smaller(end - at, c->cols - col);
    binary_range(c->op, c->x_col, c->y_col, n, c->x + row * c->x_row + col * c->x_col,
                 c->y + row * c->y_row + col * c->y_col, c->z + at);
    at += n;
  }
}

static void binary(ck_pool *pool, ck_binary_op op, ptrdiff_t rows, ptrdiff_t cols, const float *x, ptrdiff_t x_row,
                   ptrdiff_t x_col, const float *y, ptrdiff_t y_row, ptrdiff_t y_col, float *z) {
  binary_call c = {op, cols, x_row, x_col, y_row, y_col, x, y, z};
  if (rows <= 0 || cols <= 0) return;
  // Rows that go on from one another are one row.
  if ((x_row == cols * x_col || rows == 1) && (y_row == cols * y_col || rows == 1)) {
    cols *= rows;
    rows = 1;
    c.cols = cols;
  }
  ck_parallel_for(pool, rows * cols, ELEMENTS_PER_TASK, binary_task, &c);
}

typedef struct {
  ptrdiff_t channels, inner;
  const float *x, *scale, *shift;
  float *y;
} scale_call;

static void scale_task(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const scale_call *c = context;
  for (ptrdiff_t at = begin; at < end;) {
    if (c->inner == 1) {
      ptrdiff_t channel = at % c->channels, n = smaller(end - at, c->channels - channel), i = 0;
      for (; i + LANES <= n; i += LANES)
        store(c->y + at + i, fma_(load(c->x + at + i), load(c->scale + channel + i), load(c->shift + channel + i)));
      if (i < n)
        store_part(c->y + at + i,
                   fma_(load_part(c->x + at + i, n - i, 0), load_part(c->scale + channel + i, n - i, 0),
                        load_part(c->shift + channel + i, n - i, 0)),
                   n - i);
      at += n;
    } else {
      ptrdiff_t channel = at / c->inner % c->channels, n = smaller(end - at, c->inner - at % c->inner);
      const vf scale = splat(c->scale[channel]), shift = splat(c->shift[channel]);
      ptrdiff_t i = 0;
      for (; i + LANES <= n; i += LANES) store(c->y + at + i, fma_(load(c->x + at + i), scale, shift));
      if (i < n) store_part(c->y + at + i, fma_(load_part(c->x + at + i, n - i, 0), scale, shift), n - i);
      at += n;
    }
  }
}

static void scale_shift(ck_pool *pool, ptrdiff_t outer, ptrdiff_t channels, ptrdiff_t inner, const float *x,
                        const float *scale, const float *shift, float *y) {
  scale_call c = {channels, inner, x, scale, shift, y};
  ck_parallel_for(pool, outer * channels * inner, ELEMENTS_PER_TASK, scale_task, &c);
}
