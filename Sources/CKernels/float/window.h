// Windows over one plane at a time: depthwise convolution and pooling. A block of output rows is computed from strips
// (see conv.h), vectors lying along a row of output, or along several rows where rows are short: the elements between
// two rows of the strip are computed too and dropped.

typedef enum { WINDOW_FMA, WINDOW_MAX, WINDOW_SUM, WINDOW_ABS, WINDOW_SQUARE } window_op;

// to[i] = the window at from + i for the `vectors` vectors from i = 0; `weights` are weight_step apart.
INLINE void window_vectors(window_op op, int vectors, const float *from, const ptrdiff_t *taps, ptrdiff_t count,
                           const float *weights, ptrdiff_t weight_step, float *to) {
  vf acc[8];
  UNROLL for (int v = 0; v < vectors; v++) acc[v] = splat(op == WINDOW_MAX ? -INFINITY : 0);
  for (ptrdiff_t t = 0; t < count; t++) {
    const float *at = from + taps[t];
    const vf w = splat(op == WINDOW_FMA ? weights[t * weight_step] : 0);
    UNROLL for (int v = 0; v < vectors; v++) {
      const vf x = load(at + v * LANES);
      switch (op) {
      case WINDOW_FMA:
        acc[v] = fma_(w, x, acc[v]);
        break;
      case WINDOW_MAX:
        acc[v] = select_((x > acc[v]) | (x != x), x, acc[v]);
        break;
      case WINDOW_SUM:
        acc[v] = acc[v] + x;
        break;
      case WINDOW_ABS:
        acc[v] = acc[v] + from_bits(bits(x) & 0x7fffffff);
        break;
      case WINDOW_SQUARE:
        acc[v] = fma_(x, x, acc[v]);
        break;
      }
    }
  }
  UNROLL for (int v = 0; v < vectors; v++) store(to + v * LANES, acc[v]);
}

// n windows, rounded up to vectors.
INLINE void window_lines(window_op op, const float *from, const ptrdiff_t *taps, ptrdiff_t count, const float *weights,
                         ptrdiff_t weight_step, ptrdiff_t n, float *to) {
  ptrdiff_t left = divide_up(n, LANES);
#define STEP(VECTORS)                                                                                                  \
  window_vectors(op, VECTORS, from, taps, count, weights, weight_step, to);                                            \
  from += (VECTORS) * LANES;                                                                                           \
  to += (VECTORS) * LANES;                                                                                             \
  left -= VECTORS;
  while (left >= 8) {
    STEP(8)
  }
  if (left >= 4) {
    STEP(4)
  }
  if (left == 3) {
    STEP(3)
  } else if (left == 2) {
    STEP(2)
  } else if (left == 1) {
    STEP(1)
  }
#undef STEP
}

NOINLINE void window_fma(const float *from, const ptrdiff_t *taps, ptrdiff_t count, const float *weights,
                         ptrdiff_t weight_step, ptrdiff_t n, float *to) {
  window_lines(WINDOW_FMA, from, taps, count, weights, weight_step, n, to);
}
NOINLINE void window_pool(window_op op, const float *from, const ptrdiff_t *taps, ptrdiff_t count, ptrdiff_t n,
                          float *to) {
  switch (op) {
  case WINDOW_MAX:
    window_lines(WINDOW_MAX, from, taps, count, NULL, 0, n, to);
    break;
  case WINDOW_ABS:
    window_lines(WINDOW_ABS, from, taps, count, NULL, 0, n, to);
    break;
  case WINDOW_SQUARE:
    window_lines(WINDOW_SQUARE, from, taps, count, NULL, 0, n, to);
    break;
  default:
    window_lines(WINDOW_SUM, from, taps, count, NULL, 0, n, to);
  }
}

// y = the epilogue of one row of sums of one channel, but for a function that takes a pass of its own.
static void finish_row(const float *from, ptrdiff_t n, const tile_end *end, float bias, const float *residual,
                       float *y) {
  const vf alpha = splat(end->alpha), low = splat(end->low), high = splat(end->high), b = splat(bias);
  for (ptrdiff_t i = 0; i < n; i += LANES) {
    int whole = i + LANES <= n;
    vf v = whole ? load(from + i) : load_part(from + i, n - i, 0);
    v = v * alpha + b;
    if (residual) v = v + (whole ? load(residual + i) : load_part(residual + i, n - i, 0));
    v = at_most(at_least(v, low), high);
    if (whole)
      store(y + i, v);
    else
      store_part(y + i, v, n - i);
  }
}

// Rows of output whose strip stays within a first-level cache.
static ptrdiff_t window_rows(const conv_plan *p) {
  ptrdiff_t width = p->axis[2].out + p->axis[2].reach;
  ptrdiff_t strip = width * p->axis[1].phases * p->axis[2].phases * p->axis[0].phases * (1 + p->axis[0].reach);
  return smaller(p->axis[1].out, larger(larger(1, p->axis[1].reach), 3072 / larger(strip, 1) - p->axis[1].reach));
}

// The windows of output plane z, rows y0 ..< y1: strips of one input plane at a time, and the sums in rows that are
// `strips.columns` apart.
typedef struct {
  conv_strips strips;
  float *memory, *sums;
} window_block;

static window_block window_make(const conv_plan *p, float padding, ptrdiff_t z, ptrdiff_t y0, ptrdiff_t y1) {
  window_block w = {.strips = {.plan = p, .padding = padding}};
  enum { SLACK = 9 * LANES };
  size_t strip = conv_strips_size(&w.strips, z, z + 1, y0, y1) + SLACK;
  size_t sums = (size_t)((y1 - y0) * w.strips.columns) + SLACK;
  strip = (strip + 15) / 16 * 16;
  sums = (sums + 15) / 16 * 16;
  w.memory = ck_scratch(1, (strip + sums) * sizeof(float) + (size_t)p->taps * sizeof(ptrdiff_t));
  w.sums = w.memory + strip;
  w.strips.taps = (ptrdiff_t *)(w.memory + strip + sums);
  conv_set_taps(&w.strips);
  return w;
}

static void window_take(window_block *w, const float *x) {
  w->strips.x = x;
  conv_strips_fill(&w->strips, w->memory);
}

static void window_sums(window_block *w, window_op op, const float *weights, ptrdiff_t weight_step, ptrdiff_t rows) {
  const conv_plan *p = w->strips.plan;
  const ptrdiff_t width = p->axis[2].out, columns = w->strips.columns;
  const int flat = width < 6 * LANES;
  for (ptrdiff_t y = 0; y < rows; y += flat ? rows : 1) {
    ptrdiff_t n = flat ? (rows - 1) * columns + width : width;
    const float *from = w->strips.base + y * columns;
    if (op == WINDOW_FMA)
      window_fma(from, w->strips.taps, p->taps, weights, weight_step, n, w->sums + y * columns);
    else
      window_pool(op, from, w->strips.taps, p->taps, n, w->sums + y * columns);
  }
}

// ---- windows of common sizes, straight from the input

// One column of vectors (outputs x ..< x + LANES of every row) of one plane, `rows` rows of output at a time, so that
// what is read serves several windows. Per output: rising ky, then kx. Rows outside of the input are read from
// `outside`, elements outside of a row are `rest`.
typedef struct {
  const float *x, *outside, *weights;
  ptrdiff_t weight_step, in_rows, in_columns, out_rows, out_columns, pad_rows, pad_columns;
  tile_end end;
  float bias;
  const float *residual;
  float *y;
} direct_plane;

INLINE void direct_column(window_op op, int kernel, int stride, int rows, int inner, const direct_plane *p,
                          ptrdiff_t x) {
  const float none = op == WINDOW_MAX ? -INFINITY : 0;
  const vf rest = splat(none);
  const ptrdiff_t first = x * stride - p->pad_columns, count = p->out_columns - x;
  lane_set low[5], high[5];
  UNROLL for (int k = 0; k < kernel; k++) {
    low[k] = lanes_between(-(first + k), p->in_columns - (first + k));
    high[k] = lanes_between(-(first + k + LANES), p->in_columns - (first + k + LANES));
  }
  const vf alpha = splat(p->end.alpha), floor_ = splat(p->end.low), ceiling = splat(p->end.high), bias = splat(p->bias);
  for (ptrdiff_t y = 0; y < p->out_rows; y += rows) {
    vf acc[4];
    UNROLL for (int o = 0; o < rows; o++) acc[o] = rest;
    UNROLL for (int r = 0; r < (rows - 1) * stride + kernel; r++) {
      const ptrdiff_t row = y * stride - p->pad_rows + r;
      const float *from = (row >= 0 && row < p->in_rows ? p->x + row * p->in_columns : p->outside) + first;
      UNROLL for (int k = 0; k < kernel; k++) {
        vf v = inner ? load(from + k) : load_set(from + k, low[k], rest);
        if (stride == 2) v = even(v, inner ? load(from + k + LANES) : load_set(from + k + LANES, high[k], rest));
        UNROLL for (int o = 0; o < rows; o++) {
          const int ky = r - o * stride;
          if (ky < 0 || ky >= kernel) continue;
          if (op == WINDOW_MAX)
            acc[o] = select_((v > acc[o]) | (v != v), v, acc[o]);
          else
            acc[o] = fma_(splat(p->weights[(ky * kernel + k) * p->weight_step]), v, acc[o]);
        }
      }
    }
    UNROLL for (int o = 0; o < rows; o++) {
      if (y + o >= p->out_rows) break;
      const ptrdiff_t at = (y + o) * p->out_columns + x;
      vf v = acc[o];
      if (op != WINDOW_MAX) {
        v = v * alpha + bias;
        if (p->residual) v = v + load_part(p->residual + at, count, 0);
        v = at_most(at_least(v, floor_), ceiling);
      }
      if (count >= LANES)
        store(p->y + at, v);
      else
        store_part(p->y + at, v, count);
    }
  }
}

typedef void (*direct_fn)(const direct_plane *p);
#define DIRECT(NAME, OP, KERNEL, STRIDE, ROWS)                                                                         \
  NOINLINE void NAME(const direct_plane *p) {                                                                          \
    for (ptrdiff_t x = 0; x < p->out_columns; x += LANES) {                                                            \
      const ptrdiff_t first = x * (STRIDE)-p->pad_columns;                                                             \
      if (first >= 0 && first + (KERNEL)-1 + (STRIDE)*LANES <= p->in_columns)                                          \
        direct_column(OP, KERNEL, STRIDE, ROWS, 1, p, x);                                                              \
      else                                                                                                             \
        direct_column(OP, KERNEL, STRIDE, ROWS, 0, p, x);                                                              \
    }                                                                                                                  \
  }
DIRECT(depthwise_3_1, WINDOW_FMA, 3, 1, 4)
DIRECT(depthwise_3_2, WINDOW_FMA, 3, 2, 2)
DIRECT(depthwise_5_1, WINDOW_FMA, 5, 1, 4)
DIRECT(depthwise_5_2, WINDOW_FMA, 5, 2, 2)
DIRECT(max_2_2, WINDOW_MAX, 2, 2, 1)
DIRECT(max_3_1, WINDOW_MAX, 3, 1, 4)
DIRECT(max_3_2, WINDOW_MAX, 3, 2, 2)

// The kernel for square windows over two axes, or NULL.
static direct_fn direct_kernel(const conv_plan *p, int max) {
  const conv_axis *z = &p->axis[0], *y = &p->axis[1], *x = &p->axis[2];
  if (z->in != 1 || z->kernel != 1 || z->out != 1 || z->pad || z->stride != 1) return NULL;
  if (y->kernel != x->kernel || y->stride != x->stride || y->dilation != 1 || x->dilation != 1 || x->reversed)
    return NULL;
  if (x->stride > 2 || x->kernel > 5) return NULL;
  static const direct_fn kernels[2][2][6] = {
      {{[3] = depthwise_3_1, [5] = depthwise_5_1}, {[3] = depthwise_3_2, [5] = depthwise_5_2}},
      {{[3] = max_3_1}, {[2] = max_2_2, [3] = max_3_2}}};
  return kernels[max][x->stride - 1][x->kernel];
}

// What does not depend on the plane. The row that stands for those outside of the input lies in slot 0.
static direct_plane direct_make(const conv_plan *p, float rest) {
  float *outside = ck_scratch(0, (size_t)larger(p->axis[2].in, 1) * sizeof(float));
  for (ptrdiff_t i = 0; i < p->axis[2].in; i++) outside[i] = rest;
  return (direct_plane){.outside = outside,
                        .in_rows = p->axis[1].in,
                        .in_columns = p->axis[2].in,
                        .out_rows = p->axis[1].out,
                        .out_columns = p->axis[2].out,
                        .pad_rows = p->axis[1].pad,
                        .pad_columns = p->axis[2].pad,
                        .end = make_end(p->epilogue)};
}

static void depthwise_tasks(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const conv_plan *p = context;
  const ck_conv_shape *s = p->shape;
  const ck_epilogue *e = p->epilogue;
  const ptrdiff_t height = p->axis[1].out, width = p->axis[2].out, step = window_rows(p);
  const tile_end finish = make_end(e);
  const direct_fn direct = direct_kernel(p, 0);
  if (direct) {
    direct_plane plane = direct_make(p, 0);
    plane.weight_step = p->rows;
    for (ptrdiff_t which = begin; which < end; which++)
      for (ptrdiff_t i = 0; i < p->rows; i++) {
        const ptrdiff_t group = which % s->groups, at = (which * p->rows + i) * p->pixels;
        plane.x = p->x + which * p->in_pixels;
        plane.weights = p->packed + group * p->rows * p->taps + i;
        plane.bias = e && e->bias_row ? e->bias_row[group * p->rows + i] : -0.0f;
        plane.residual = e && e->residual ? e->residual + at : NULL;
        plane.y = p->y + at;
        direct(&plane);
        if (needs_pass(e)) unary_range(e->op, e->a, e->b, p->pixels, plane.y, plane.y);
      }
    return;
  }
  for (ptrdiff_t z = 0; z < p->axis[0].out; z++)
    for (ptrdiff_t y0 = 0; y0 < height; y0 += step) {
      ptrdiff_t y1 = smaller(height, y0 + step);
      window_block w = window_make(p, 0, z, y0, y1);
      for (ptrdiff_t which = begin; which < end; which++) {
        ptrdiff_t group = which % s->groups;
        window_take(&w, p->x + which * p->in_pixels);
        for (ptrdiff_t i = 0; i < p->rows; i++) {
          window_sums(&w, WINDOW_FMA, p->packed + group * p->rows * p->taps + i, p->rows, y1 - y0);
          float bias = e && e->bias_row ? e->bias_row[group * p->rows + i] : -0.0f;
          ptrdiff_t at = (which * p->rows + i) * p->pixels + (z * height + y0) * width;
          for (ptrdiff_t y = 0; y < y1 - y0; y++, at += width)
            finish_row(w.sums + y * w.strips.columns, width, &finish, bias, e && e->residual ? e->residual + at : NULL,
                       p->y + at);
          if (needs_pass(e))
            unary_range(e->op, e->a, e->b, (y1 - y0) * width, p->y + at - (y1 - y0) * width,
                        p->y + at - (y1 - y0) * width);
        }
      }
    }
}

static void depthwise(ck_pool *pool, conv_plan *p) {
  double work = (double)p->pixels * (double)(p->taps + 4) * (double)p->rows;
  ck_parallel_for(pool, p->shape->batch * p->shape->groups, work < 1 << 17 ? (ptrdiff_t)((1 << 17) / work) : 1,
                  depthwise_tasks, p);
}

// ---- pooling

typedef struct {
  conv_plan plan;
  const ck_pool_shape *shape;
  ck_pool_op op;
} pool_call;

// How many positions of a window lie inside 0 ..< size when it begins at `first`.
INLINE ptrdiff_t inside(ptrdiff_t first, ptrdiff_t kernel, ptrdiff_t dilation, ptrdiff_t from, ptrdiff_t size) {
  ptrdiff_t begin = first >= from ? 0 : smaller(kernel, divide_up(from - first, dilation));
  ptrdiff_t end = first >= size ? 0 : smaller(kernel, divide_up(size - first, dilation));
  return larger(0, end - begin);
}

static ptrdiff_t pool_count(const pool_call *call, int d, ptrdiff_t o) {
  const ck_pool_shape *s = call->shape;
  int padded = call->op == CK_POOL_AVERAGE_WITH_PAD;
  return inside(o * s->stride[d] - s->pad[d], s->kernel[d], s->dilation[d], padded ? -s->pad[d] : 0,
                s->in[d] + (padded ? s->pad_end[d] : 0));
}

static float pool_gather(const pool_call *call, const float *x, window_op op, ptrdiff_t z, ptrdiff_t y, ptrdiff_t c) {
  const ck_pool_shape *s = call->shape;
  float acc = op == WINDOW_MAX ? -INFINITY : 0;
  for (ptrdiff_t kz = 0; kz < s->kernel[0]; kz++)
    for (ptrdiff_t ky = 0; ky < s->kernel[1]; ky++)
      for (ptrdiff_t kx = 0; kx < s->kernel[2]; kx++) {
        ptrdiff_t iz = z * s->stride[0] - s->pad[0] + kz * s->dilation[0];
        ptrdiff_t iy = y * s->stride[1] - s->pad[1] + ky * s->dilation[1];
        ptrdiff_t ix = c * s->stride[2] - s->pad[2] + kx * s->dilation[2];
        int there = iz >= 0 && iz < s->in[0] && iy >= 0 && iy < s->in[1] && ix >= 0 && ix < s->in[2];
        float v = there ? x[(iz * s->in[1] + iy) * s->in[2] + ix] : op == WINDOW_MAX ? -INFINITY : 0;
        if (op == WINDOW_MAX)
          acc = v > acc || v != v ? v : acc;
        else if (op == WINDOW_SUM)
          acc = acc + v;
        else if (op == WINDOW_ABS)
          acc = acc + fabsf(v);
        else
          acc = fmaf(v, v, acc);
      }
  return acc;
}

static void pool_tasks(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const pool_call *call = context;
  const conv_plan *p = &call->plan;
  static const window_op ops[] = {WINDOW_MAX, WINDOW_SUM, WINDOW_SUM, WINDOW_ABS, WINDOW_SQUARE};
  const window_op op = ops[call->op];
  const ptrdiff_t height = p->axis[1].out, width = p->axis[2].out, step = p->gather ? height : window_rows(p);
  const direct_fn direct = call->op == CK_POOL_MAX ? direct_kernel(p, 1) : NULL;
  if (direct) {
    direct_plane to = direct_make(p, -INFINITY);
    for (ptrdiff_t plane = begin; plane < end; plane++) {
      to.x = p->x + plane * p->in_pixels;
      to.y = p->y + plane * p->pixels;
      direct(&to);
    }
    return;
  }
  const int average = call->op == CK_POOL_AVERAGE || call->op == CK_POOL_AVERAGE_WITH_PAD;
  float *counts = average ? ck_scratch(0, (size_t)width * sizeof(float)) : NULL;
  for (ptrdiff_t i = 0; average && i < width; i++) counts[i] = (float)pool_count(call, 2, i);
  for (ptrdiff_t z = 0; z < p->axis[0].out; z++)
    for (ptrdiff_t y0 = 0; y0 < height; y0 += step) {
      ptrdiff_t y1 = smaller(height, y0 + step);
      window_block w = {.memory = NULL};
      if (!p->gather) w = window_make(p, op == WINDOW_MAX ? -INFINITY : 0, z, y0, y1);
      for (ptrdiff_t plane = begin; plane < end; plane++) {
        const float *x = p->x + plane * p->in_pixels;
        if (!p->gather) {
          window_take(&w, x);
          window_sums(&w, op, NULL, 0, y1 - y0);
        }
        for (ptrdiff_t y = y0; y < y1; y++) {
          float *to = p->y + plane * p->pixels + (z * height + y) * width;
          if (p->gather)
            for (ptrdiff_t i = 0; i < width; i++) to[i] = pool_gather(call, x, op, z, y, i);
          const float *from = p->gather ? to : w.sums + (y - y0) * w.strips.columns;
          const vf rows = splat(average ? (float)(pool_count(call, 0, z) * pool_count(call, 1, y)) : 1);
          for (ptrdiff_t i = 0; i < width; i += LANES) {
            const ptrdiff_t n = width - i;
            vf v = load_part(from + i, n, 0);
            if (average) v = v / (rows * load_part(counts + i, n, 1));
            if (call->op == CK_POOL_LP2) v = __builtin_elementwise_sqrt(v);
            if (n >= LANES)
              store(to + i, v);
            else
              store_part(to + i, v, n);
          }
        }
      }
    }
}

static void pool_planes(ck_pool *pool, ck_pool_op op, const ck_pool_shape *shape, const float *x, float *y) {
  ck_conv_shape s = {.batch = 1, .groups = 1, .in_channels = 1, .out_channels = 1};
  for (int d = 0; d < 3; d++) {
    s.in[d] = shape->in[d];
    s.kernel[d] = shape->kernel[d];
    s.stride[d] = shape->stride[d];
    s.dilation[d] = shape->dilation[d];
    s.pad[d] = shape->pad[d];
    s.out[d] = shape->out[d];
  }
  pool_call call = {.shape = shape, .op = op};
  if (!conv_plan_make(&call.plan, &s, 0)) abort();
  conv_plan *p = &call.plan;
  p->x = x;
  p->y = y;
  if (p->pixels) {
    double work = (double)p->pixels * (double)(p->taps + 4);
    ck_parallel_for(pool, shape->planes, work < 1 << 17 ? (ptrdiff_t)((1 << 17) / work) : 1, pool_tasks, &call);
  }
  free(p->memory);
}
