// Windows over one plane at a time: depthwise convolution and pooling. A block of output rows is computed from strips (see
// conv.h), vectors lying along a row of output, or along several rows where rows are short: the elements between two rows
// of the strip are computed too and dropped.

typedef enum { WINDOW_FMA, WINDOW_MAX, WINDOW_SUM, WINDOW_ABS, WINDOW_SQUARE } window_op;

// to[i] = the window at from + i for i in 0 ..< n rounded up to vectors; `weights` are weight_step apart.
INLINE void window_line(window_op op, const float *from, const ptrdiff_t *taps, ptrdiff_t count, const float *weights,
                        ptrdiff_t weight_step, ptrdiff_t n, float *to, int wide_line) {
  enum { MOST = 8 };
  const int vectors = wide_line ? MOST : 1;
  for (ptrdiff_t i = 0; i < n; i += vectors * LANES) {
    vf acc[MOST];
    UNROLL for (int v = 0; v < vectors; v++) acc[v] = splat(op == WINDOW_MAX ? -INFINITY : 0);
    for (ptrdiff_t t = 0; t < count; t++) {
      const float *at = from + taps[t] + i;
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
    UNROLL for (int v = 0; v < vectors; v++) store(to + i + v * LANES, acc[v]);
  }
}

INLINE void window_lines(window_op op, const float *from, const ptrdiff_t *taps, ptrdiff_t count, const float *weights,
                         ptrdiff_t weight_step, ptrdiff_t n, float *to) {
  const ptrdiff_t wide_part = n / (8 * LANES) * (8 * LANES);
  window_line(op, from, taps, count, weights, weight_step, wide_part, to, 1);
  window_line(op, from + wide_part, taps, count, weights, weight_step, n - wide_part, to + wide_part, 0);
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

// y = the epilogue of one row of sums of one channel.
static void finish_row(const float *from, ptrdiff_t n, const tile_end *end, float bias, const float *residual,
                       const ck_epilogue *e, float *y) {
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
  if (needs_pass(e)) unary_range(e->op, e->a, e->b, n, y, y);
}

// Rows of output whose strip stays within a first-level cache.
static ptrdiff_t window_rows(const conv_plan *p) {
  ptrdiff_t width = p->axis[2].out + p->axis[2].reach;
  ptrdiff_t strip = width * p->axis[1].phases * p->axis[2].phases * p->axis[0].phases * (1 + p->axis[0].reach);
  return smaller(p->axis[1].out, larger(larger(1, p->axis[1].reach), 6144 / larger(strip, 1) - p->axis[1].reach));
}

// The windows of output plane z, rows y0 ..< y1 as rows `strips->columns` apart in the returned memory.
typedef struct {
  conv_strips strips;
  float *sums;
} window_block;

static window_block window_begin(const conv_plan *p, const float *x, float padding, ptrdiff_t z, ptrdiff_t y0,
                                 ptrdiff_t y1) {
  window_block w = {.strips = {.plan = p, .x = x, .padding = padding}};
  enum { SLACK = 9 * LANES };
  size_t strip = conv_strips_size(&w.strips, z, z + 1, y0, y1) + SLACK;
  size_t sums = (size_t)((y1 - y0) * w.strips.columns) + SLACK;
  strip = (strip + 15) / 16 * 16;
  sums = (sums + 15) / 16 * 16;
  char *memory = ck_scratch(1, (strip + sums) * sizeof(float) + (size_t)p->taps * sizeof(ptrdiff_t));
  w.sums = (float *)memory + strip;
  w.strips.taps = (ptrdiff_t *)(memory + (strip + sums) * sizeof(float));
  conv_set_taps(&w.strips);
  conv_strips_fill(&w.strips, (float *)memory);
  return w;
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

static void depthwise_tasks(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const conv_plan *p = context;
  const ck_conv_shape *s = p->shape;
  const ck_epilogue *e = p->epilogue;
  const ptrdiff_t height = p->axis[1].out, width = p->axis[2].out, step = window_rows(p);
  const tile_end finish = make_end(e);
  for (ptrdiff_t which = begin; which < end; which++) {
    ptrdiff_t group = which % s->groups;
    for (ptrdiff_t z = 0; z < p->axis[0].out; z++)
      for (ptrdiff_t y0 = 0; y0 < height; y0 += step) {
        ptrdiff_t y1 = smaller(height, y0 + step);
        window_block w = window_begin(p, p->x + which * p->in_pixels, 0, z, y0, y1);
        for (ptrdiff_t i = 0; i < p->rows; i++) {
          window_sums(&w, WINDOW_FMA, p->packed + group * p->rows * p->taps + i, p->rows, y1 - y0);
          float bias = e && e->bias_row ? e->bias_row[group * p->rows + i] : -0.0f;
          for (ptrdiff_t y = y0; y < y1; y++) {
            ptrdiff_t at = (which * p->rows + i) * p->pixels + (z * height + y) * width;
            finish_row(w.sums + (y - y0) * w.strips.columns, width, &finish, bias,
                       e && e->residual ? e->residual + at : NULL, e, p->y + at);
          }
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
  for (ptrdiff_t plane = begin; plane < end; plane++)
    for (ptrdiff_t z = 0; z < p->axis[0].out; z++)
      for (ptrdiff_t y0 = 0; y0 < height; y0 += step) {
        ptrdiff_t y1 = smaller(height, y0 + step);
        const float *x = p->x + plane * p->in_pixels;
        window_block w = {.sums = NULL};
        if (!p->gather) {
          w = window_begin(p, x, op == WINDOW_MAX ? -INFINITY : 0, z, y0, y1);
          window_sums(&w, op, NULL, 0, y1 - y0);
        }
        for (ptrdiff_t y = y0; y < y1; y++) {
          float *to = p->y + plane * p->pixels + (z * height + y) * width;
          if (p->gather)
            for (ptrdiff_t i = 0; i < width; i++) to[i] = pool_gather(call, x, op, z, y, i);
          else
            memcpy(to, w.sums + (y - y0) * w.strips.columns, (size_t)width * sizeof(float));
          if (call->op == CK_POOL_AVERAGE || call->op == CK_POOL_AVERAGE_WITH_PAD) {
            float rows = (float)(pool_count(call, 0, z) * pool_count(call, 1, y));
            for (ptrdiff_t i = 0; i < width; i++) to[i] = to[i] / (rows * (float)pool_count(call, 2, i));
          } else if (call->op == CK_POOL_LP2) {
            unary_range(CK_SQRT, 0, 0, width, to, to);
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
