// Reductions, softmax, normalization. Along contiguous elements a sum has 32 lanes (element i in lane i mod 32),
// folded by halves; along strided ones it is taken in order.

enum { VIRTUAL = 32, PARTS = VIRTUAL / LANES };

INLINE float reduce_start(ck_reduce_op op) {
  switch (op) {
  case CK_REDUCE_MAX:
    return -INFINITY;
  case CK_REDUCE_MIN:
    return INFINITY;
  case CK_REDUCE_PROD:
    return 1;
  default:
    return 0;
  }
}

INLINE vf reduce_step(ck_reduce_op op, vf acc, vf x) {
  switch (op) {
  case CK_REDUCE_SUM_SQUARE:
    return fma_(x, x, acc);
  case CK_REDUCE_SUM_ABS:
    return acc + magnitude(x);
  case CK_REDUCE_MAX:
    return select_((x > acc) | (x != x), x, acc);
  case CK_REDUCE_MIN:
    return select_((x < acc) | (x != x), x, acc);
  case CK_REDUCE_PROD:
    return acc * x;
  default:
    return acc + x;
  }
}

INLINE float reduce_fold(ck_reduce_op op, float *lanes) {
  for (int half = VIRTUAL / 2; half; half /= 2)
    for (int i = 0; i < half; i++) {
      float a = lanes[i], b = lanes[i + half];
      if (op == CK_REDUCE_MAX)
        lanes[i] = b > a || b != b ? b : a;
      else if (op == CK_REDUCE_MIN)
        lanes[i] = b < a || b != b ? b : a;
      else
        lanes[i] = op == CK_REDUCE_PROD ? a * b : a + b;
    }
  return lanes[0];
}

// What a missing element is: it leaves the lane as it is (a sum that is -0 becomes +0, but sums begin at +0).
INLINE float reduce_neutral(ck_reduce_op op) { return reduce_start(op); }

INLINE float reduce_run(ck_reduce_op op, ptrdiff_t n, const float *x) {
  vf acc[PARTS];
  UNROLL for (int p = 0; p < PARTS; p++) acc[p] = splat(reduce_start(op));
  ptrdiff_t i = 0;
  for (; i + VIRTUAL <= n; i += VIRTUAL)
    UNROLL for (int p = 0; p < PARTS; p++) acc[p] = reduce_step(op, acc[p], load(x + i + p * LANES));
  if (i < n) {
    float rest[VIRTUAL];
    for (int j = 0; j < VIRTUAL; j++) rest[j] = j < n - i ? x[i + j] : reduce_neutral(op);
    UNROLL for (int p = 0; p < PARTS; p++) acc[p] = reduce_step(op, acc[p], load(rest + p * LANES));
  }
  float lanes[VIRTUAL];
  UNROLL for (int p = 0; p < PARTS; p++) store(lanes + p * LANES, acc[p]);
  return reduce_fold(op, lanes);
}

NOINLINE float reduce_contiguous(ck_reduce_op op, ptrdiff_t n, const float *x) {
  switch (op) {
  case CK_REDUCE_SUM_SQUARE:
    return reduce_run(CK_REDUCE_SUM_SQUARE, n, x);
  case CK_REDUCE_SUM_ABS:
    return reduce_run(CK_REDUCE_SUM_ABS, n, x);
  case CK_REDUCE_MAX:
    return reduce_run(CK_REDUCE_MAX, n, x);
  case CK_REDUCE_MIN:
    return reduce_run(CK_REDUCE_MIN, n, x);
  case CK_REDUCE_PROD:
    return reduce_run(CK_REDUCE_PROD, n, x);
  case CK_REDUCE_MEAN:
    return reduce_run(CK_REDUCE_SUM, n, x) / (float)n;
  default:
    return reduce_run(CK_REDUCE_SUM, n, x);
  }
}

// y[0 ..< width] over n rows that are `inner` apart, in order.
INLINE void reduce_columns_loop(ck_reduce_op op, ptrdiff_t n, ptrdiff_t inner, ptrdiff_t width, const float *x,
                                float *y) {
  for (ptrdiff_t j = 0; j < width; j += LANES) {
    ptrdiff_t count = width - j;
    vf acc = splat(reduce_start(op));
    if (count >= LANES)
      for (ptrdiff_t i = 0; i < n; i++) acc = reduce_step(op, acc, load(x + i * inner + j));
    else
      for (ptrdiff_t i = 0; i < n; i++) acc = reduce_step(op, acc, load_part(x + i * inner + j, count, 0));
    if (count >= LANES)
      store(y + j, acc);
    else
      store_part(y + j, acc, count);
  }
}

NOINLINE void reduce_columns(ck_reduce_op op, ptrdiff_t n, ptrdiff_t inner, ptrdiff_t width, const float *x, float *y) {
  switch (op) {
#define CASE(OP)                                                                                                       \
  case OP:                                                                                                             \
    reduce_columns_loop(OP, n, inner, width, x, y);                                                                    \
    break;
    CASE(CK_REDUCE_SUM_SQUARE)
    CASE(CK_REDUCE_SUM_ABS)
    CASE(CK_REDUCE_MAX)
    CASE(CK_REDUCE_MIN)
    CASE(CK_REDUCE_PROD)
#undef CASE
  default:
    reduce_columns_loop(CK_REDUCE_SUM, n, inner, width, x, y);
    if (op == CK_REDUCE_MEAN)
      for (ptrdiff_t j = 0; j < width; j++) y[j] = y[j] / (float)n;
  }
}

typedef struct {
  ck_reduce_op op;
  int log;
  ptrdiff_t n, inner, blocks; // blocks of STRIPE columns
  const float *x;
  float *y;
} reduce_call;

enum { STRIPE = 256 };

static void reduce_task(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const reduce_call *c = context;
  for (ptrdiff_t at = begin; at < end; at++) {
    if (c->inner == 1) {
      c->y[at] = reduce_contiguous(c->op, c->n, c->x + at * c->n);
    } else {
      ptrdiff_t outer = at / c->blocks, j = at % c->blocks * STRIPE;
      reduce_columns(c->op, c->n, c->inner, smaller(STRIPE, c->inner - j), c->x + outer * c->n * c->inner + j,
                     c->y + outer * c->inner + j);
    }
  }
}

INLINE ptrdiff_t rows_per_task(ptrdiff_t row) { return larger(1, ELEMENTS_PER_TASK / larger(row, 1)); }

static void reduce(ck_pool *pool, ck_reduce_op op, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner, const float *x,
                   float *y) {
  if (inner <= 0) return;
  reduce_call c = {op, 0, n, inner, divide_up(inner, STRIPE), x, y};
  ck_parallel_for(pool, outer * (inner == 1 ? 1 : c.blocks), rows_per_task(n * smaller(inner, STRIPE)), reduce_task,
                  &c);
}

// The sum of exp over a row, in lanes as `reduce`.
NOINLINE float exp_sum(ptrdiff_t n, const float *x) {
  vf acc[PARTS];
  UNROLL for (int p = 0; p < PARTS; p++) acc[p] = splat(0);
  for (ptrdiff_t i = 0; i < n; i += VIRTUAL) {
    float rest[VIRTUAL];
    const float *at = x + i;
    if (i + VIRTUAL > n) {
      for (int j = 0; j < VIRTUAL; j++) rest[j] = j < n - i ? x[i + j] : -INFINITY;
      at = rest;
    }
    UNROLL for (int p = 0; p < PARTS; p++) acc[p] = acc[p] + exp_(load(at + p * LANES));
  }
  float lanes[VIRTUAL];
  UNROLL for (int p = 0; p < PARTS; p++) store(lanes + p * LANES, acc[p]);
  return reduce_fold(CK_REDUCE_SUM, lanes);
}

INLINE float log_scalar(float x) {
  float t[LANES];
  store(t, log_(splat(x)));
  return t[0];
}

static void softmax_row(int log, ptrdiff_t n, const float *x, float *y) {
  const float max = reduce_contiguous(CK_REDUCE_MAX, n, x);
  binary_range(CK_SUB, 1, 0, n, x, &max, y);
  if (log) {
    const float sum = log_scalar(exp_sum(n, y));
    binary_range(CK_SUB, 1, 0, n, y, &sum, y);
  } else {
    unary_range(CK_EXP, 0, 0, n, y, y);
    const float sum = reduce_contiguous(CK_REDUCE_SUM, n, y);
    binary_range(CK_DIV, 1, 0, n, y, &sum, y);
  }
}

// `width` columns of softmax over n rows that are `inner` apart.
static void softmax_columns(int log, ptrdiff_t n, ptrdiff_t inner, ptrdiff_t width, const float *x, float *y) {
  float max[STRIPE], sum[STRIPE], row[STRIPE];
  reduce_columns(CK_REDUCE_MAX, n, inner, width, x, max);
  for (ptrdiff_t j = 0; j < width; j++) sum[j] = 0;
  for (ptrdiff_t i = 0; i < n; i++) {
    float *to = y + i * inner;
    binary_range(CK_SUB, 1, 1, width, x + i * inner, max, to);
    float *exponentials = log ? row : to;
    unary_range(CK_EXP, 0, 0, width, to, exponentials);
    binary_range(CK_ADD, 1, 1, width, sum, exponentials, sum);
  }
  if (log) unary_range(CK_LOG, 0, 0, width, sum, sum);
  for (ptrdiff_t i = 0; i < n; i++)
    binary_range(log ? CK_SUB : CK_DIV, 1, 1, width, y + i * inner, sum, y + i * inner);
}

static void softmax_task(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const reduce_call *c = context;
  for (ptrdiff_t at = begin; at < end; at++) {
    if (c->inner == 1) {
      softmax_row(c->log, c->n, c->x + at * c->n, c->y + at * c->n);
    } else {
      ptrdiff_t offset = at / c->blocks * c->n * c->inner + at % c->blocks * STRIPE;
      softmax_columns(c->log, c->n, c->inner, smaller(STRIPE, c->inner - at % c->blocks * STRIPE), c->x + offset,
                      c->y + offset);
    }
  }
}

static void softmax(ck_pool *pool, int log, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner, const float *x, float *y) {
  if (inner <= 0 || n <= 0) return;
  reduce_call c = {CK_REDUCE_SUM, log, n, inner, divide_up(inner, STRIPE), x, y};
  ck_parallel_for(pool, outer * (inner == 1 ? 1 : c.blocks), rows_per_task(4 * n * smaller(inner, STRIPE)),
                  softmax_task, &c);
}

typedef struct {
  int rms;
  ptrdiff_t n;
  float epsilon;
  const float *x, *scale, *bias;
  float *y, *mean_out, *inv_out;
} norm_call;

static void norm_task(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const norm_call *c = context;
  const ptrdiff_t n = c->n;
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *x = c->x + row * n;
    float *y = c->y + row * n;
    float mean = 0;
    if (!c->rms) {
      mean = reduce_contiguous(CK_REDUCE_MEAN, n, x);
      binary_range(CK_SUB, 1, 0, n, x, &mean, y);
      x = y;
    }
    float variance = reduce_contiguous(CK_REDUCE_SUM_SQUARE, n, x) / (float)n;
    float inverse = 1 / sqrtf(variance + c->epsilon);
    if (c->mean_out) c->mean_out[row] = mean;
    if (c->inv_out) c->inv_out[row] = inverse;
    for (ptrdiff_t i = 0; i < n; i += LANES) {
      ptrdiff_t count = n - i;
      int whole = count >= LANES;
      vf v = (whole ? load(x + i) : load_part(x + i, count, 0)) * splat(inverse);
      const vf scale =
          !c->scale ? splat(1) : whole ? load(c->scale + i) : load_part(c->scale + i, count, 0);
      if (c->bias)
        v = fma_(v, scale, whole ? load(c->bias + i) : load_part(c->bias + i, count, 0));
      else
        v = v * scale;
      if (whole)
        store(y + i, v);
      else
        store_part(y + i, v, count);
    }
  }
}

static void layer_norm(ck_pool *pool, int rms, ptrdiff_t rows, ptrdiff_t n, float epsilon, const float *x,
                       const float *scale, const float *bias, float *y, float *mean_out, float *inv_out) {
  norm_call c = {rms, n, epsilon, x, scale, bias, y, mean_out, inv_out};
  ck_parallel_for(pool, rows, rows_per_task(2 * n), norm_task, &c);
}
