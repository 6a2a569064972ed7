// Convolutions as products: rows are output channels, columns output pixels, k the taps (input channel, kernel
// position) in the order of the weights. The columns of B are copied from the input panel by panel. So that a tap is
// one distance and no bound is checked per element, each task first copies the rows of input that its pixels need
// into strips, padded with zeros and split by phase of the stride.

// One spatial axis. Output o and kernel position t read padded position o * stride + t * dilation, which is position
// o + quotient[t] of the strip of phase slot[t].
typedef struct {
  ptrdiff_t in, out, kernel, stride, dilation, pad;
  int reversed;          // kernel positions count from the far end (transposed convolutions)
  ptrdiff_t phases;      // strips
  ptrdiff_t reach;       // largest quotient
  ptrdiff_t *slot, *quotient, *offset; // by kernel position; by strip: the padded position where it begins
} conv_axis;

typedef struct {
  const ck_conv_shape *shape;
  conv_axis axis[3];
  ptrdiff_t *memory;
  ptrdiff_t taps;        // kernel positions
  ptrdiff_t channels, rows; // input and output channels of a group
  ptrdiff_t k, pixels, in_pixels;
  int direct;            // the input itself is the strip
  int gather;            // strips would be too large: element by element
  const float *x, *packed;
  float *y;
  const ck_epilogue *epilogue;
  cut cut;
} conv_plan;

INLINE ptrdiff_t axis_position(const conv_axis *axis, ptrdiff_t t) {
  return (axis->reversed ? axis->kernel - 1 - t : t) * axis->dilation;
}

// Fails without memory only.
static int conv_plan_make(conv_plan *plan, const ck_conv_shape *s, int reversed) {
  memset(plan, 0, sizeof *plan);
  plan->shape = s;
  const ptrdiff_t most = 1 << 16;
  if (s->kernel[0] > most || s->kernel[1] > most || s->kernel[2] > most)
    plan->gather = 1;
  else
    plan->memory = malloc((size_t)(3 * (s->kernel[0] + s->kernel[1] + s->kernel[2]) + 1) * sizeof(ptrdiff_t));
  if (!plan->memory && !plan->gather) return 0;
  ptrdiff_t *at = plan->memory;
  plan->taps = s->kernel[0] * s->kernel[1] * s->kernel[2];
  plan->channels = s->in_channels / s->groups;
  plan->rows = s->out_channels / s->groups;
  plan->k = plan->channels * plan->taps;
  plan->pixels = s->out[0] * s->out[1] * s->out[2];
  plan->in_pixels = s->in[0] * s->in[1] * s->in[2];
  plan->direct = 1;
  double strip = 1;
  for (int d = 0; d < 3; d++) {
    conv_axis *axis = &plan->axis[d];
    *axis = (conv_axis){.in = s->in[d],
                        .out = s->out[d],
                        .kernel = s->kernel[d],
                        .stride = s->stride[d],
                        .dilation = s->dilation[d],
                        .pad = s->pad[d],
                        .reversed = reversed};
    if (plan->gather) continue;
    axis->slot = at;
    axis->quotient = at + axis->kernel;
    axis->offset = at + 2 * axis->kernel;
    at += 3 * axis->kernel;
    for (ptrdiff_t t = 0; t < axis->kernel; t++) {
      ptrdiff_t position = axis_position(axis, t), phase = position % axis->stride, slot = 0;
      while (slot < axis->phases && axis->offset[slot] != phase) slot++;
      if (slot == 64) {
        plan->gather = 1;
        break;
      }
      if (slot == axis->phases) axis->offset[axis->phases++] = phase;
      axis->slot[t] = slot;
      axis->quotient[t] = position / axis->stride;
      axis->reach = larger(axis->reach, axis->quotient[t]);
    }
    if (axis->stride != 1 || axis->pad != 0 || axis->out + axis->reach > axis->in) plan->direct = 0;
    strip *= (double)axis->phases * (double)(axis->out + axis->reach);
  }
  // What honest shapes need is near the size of input and output.
  if (strip > 65536 + 8 * ((double)plan->in_pixels + (double)plan->pixels)) plan->gather = 1;
  if (plan->gather) plan->direct = 0;
  return 1;
}

// The strips of a task: output planes z0 ..< z1, rows y0 ..< y1 of one image and group, or the input itself.
typedef struct {
  const conv_plan *plan;
  const float *x;              // of the image and group
  const float *base;           // strips: [channel][phase z][phase y][phase x][plane][row][column]
  const float *end;            // one past the last float that may be read
  float padding;
  ptrdiff_t z0, y0, planes, rows, columns, channel_step, phase_step;
  ptrdiff_t *taps;             // distance of each kernel position
} conv_strips;

INLINE ptrdiff_t conv_phase(const conv_plan *p, ptrdiff_t z, ptrdiff_t y, ptrdiff_t x) {
  return (z * p->axis[1].phases + y) * p->axis[2].phases + x;
}

static void conv_set_taps(conv_strips *s) {
  const conv_plan *p = s->plan;
  ptrdiff_t *to = s->taps;
  for (ptrdiff_t z = 0; z < p->axis[0].kernel; z++)
    for (ptrdiff_t y = 0; y < p->axis[1].kernel; y++)
      for (ptrdiff_t x = 0; x < p->axis[2].kernel; x++)
        *to++ = conv_phase(p, p->axis[0].slot[z], p->axis[1].slot[y], p->axis[2].slot[x]) * s->phase_step +
                (p->axis[0].quotient[z] * s->rows + p->axis[1].quotient[y]) * s->columns + p->axis[2].quotient[x];
}

// to[i] = x[first + i * stride] for the n positions i, padding outside of 0 ..< in. May write LANES floats more.
INLINE void copy_row(const float *x, ptrdiff_t in, ptrdiff_t first, ptrdiff_t stride, ptrdiff_t n, float padding,
                     float *to) {
  if (stride == 1) {
    const ptrdiff_t begin = smaller(larger(-first, 0), n), end = smaller(larger(in - first, begin), n);
    ptrdiff_t i = 0;
    for (; i < begin; i++) to[i] = padding;
    for (; i + LANES <= end; i += LANES) store(to + i, load(x + first + i));
    if (i < end) {
      store(to + i, load_part(x + first + i, end - i, padding));
      i += LANES;
    }
    for (; i < n; i++) to[i] = padding;
  } else if (stride == 2) {
    for (ptrdiff_t i = 0; i < n; i += LANES) {
      const ptrdiff_t low = first + 2 * i, high = low + LANES;
      if (low >= 0 && high + LANES <= in) {
        store(to + i, even(load(x + low), load(x + high)));
        continue;
      }
      const vf a = load_lanes(x + low, -low, in - low, padding), b = load_lanes(x + high, -high, in - high, padding);
      store(to + i, even(a, b));
    }
  } else {
    for (ptrdiff_t i = 0; i < n; i++) {
      ptrdiff_t at = first + i * stride;
      to[i] = at >= 0 && at < in ? x[at] : padding;
    }
  }
}

// Sizes of the strips for output planes z0 ..< z1 and rows y0 ..< y1; returns the floats that they take.
static size_t conv_strips_size(conv_strips *s, ptrdiff_t z0, ptrdiff_t z1, ptrdiff_t y0, ptrdiff_t y1) {
  const conv_plan *p = s->plan;
  s->z0 = z0;
  s->y0 = y0;
  s->planes = z1 - z0 + p->axis[0].reach;
  s->rows = y1 - y0 + p->axis[1].reach;
  s->columns = p->axis[2].out + p->axis[2].reach;
  s->phase_step = s->planes * s->rows * s->columns;
  s->channel_step = s->phase_step * p->axis[0].phases * p->axis[1].phases * p->axis[2].phases;
  return (size_t)(p->channels * s->channel_step) + PANEL + LANES;
}

static void conv_strips_fill(conv_strips *s, float *memory) {
  const conv_plan *p = s->plan;
  const conv_axis *az = &p->axis[0], *ay = &p->axis[1], *ax = &p->axis[2];
  float *to = memory;
  for (ptrdiff_t channel = 0; channel < p->channels; channel++) {
    const float *plane = s->x + channel * p->in_pixels;
    for (ptrdiff_t pz = 0; pz < az->phases; pz++)
      for (ptrdiff_t py = 0; py < ay->phases; py++)
        for (ptrdiff_t px = 0; px < ax->phases; px++)
          for (ptrdiff_t z = 0; z < s->planes; z++) {
            ptrdiff_t iz = (s->z0 + z) * az->stride + az->offset[pz] - az->pad;
            for (ptrdiff_t y = 0; y < s->rows; y++, to += s->columns) {
              ptrdiff_t iy = (s->y0 + y) * ay->stride + ay->offset[py] - ay->pad;
              if (iz < 0 || iz >= az->in || iy < 0 || iy >= ay->in)
                for (ptrdiff_t x = 0; x < s->columns; x++) to[x] = s->padding;
              else
                copy_row(plane + (iz * ay->in + iy) * ax->in, ax->in, ax->offset[px] - ax->pad, ax->stride, s->columns,
                         s->padding, to);
            }
          }
  }
  s->base = memory;
  s->end = memory + p->channels * s->channel_step + PANEL + LANES;
}

static void conv_strips_direct(conv_strips *s) {
  const conv_plan *p = s->plan;
  s->z0 = s->y0 = 0;
  s->planes = p->axis[0].in;
  s->rows = p->axis[1].in;
  s->columns = p->axis[2].in;
  s->phase_step = s->channel_step = p->in_pixels;
  s->base = s->x;
  s->end = s->x + p->channels * p->in_pixels;
}

// One vector of a panel: from where in the strip to which lane.
typedef struct {
  ptrdiff_t from, lane;
} piece;

// Rows k of a panel as `count` pieces each; what a piece writes too much, the next one or the next k overwrites.
INLINE void conv_copy(const conv_strips *s, const piece *pieces, int count, ptrdiff_t channel, ptrdiff_t tap,
                      ptrdiff_t k, float *to) {
  const ptrdiff_t taps = s->plan->taps;
  const float *base = s->base + channel * s->channel_step;
  for (ptrdiff_t q = 0; q < k; q++, to += PANEL) {
    const float *from = base + s->taps[tap];
    if (++tap == taps) {
      tap = 0;
      base += s->channel_step;
    }
    for (int i = 0; i < count; i++) store(to + pieces[i].lane, load(from + pieces[i].from));
  }
}

// The vectors of a panel with a pixel each, first lane by first lane; how many there are.
INLINE int conv_pieces(const conv_strips *s, ptrdiff_t first, ptrdiff_t count, piece *pieces, ptrdiff_t *lengths) {
  const conv_plan *p = s->plan;
  const ptrdiff_t height = p->axis[1].out, width = p->axis[2].out;
  ptrdiff_t x = first % width, y = first / width % height, z = first / width / height, expected = 0;
  int n = 0;
  for (ptrdiff_t lane = 0; lane < count;) {
    ptrdiff_t length = smaller(count - lane, width - x);
    ptrdiff_t from = ((z - s->z0) * s->rows + y - s->y0) * s->columns + x;
    x = 0;
    if (++y == height) {
      y = 0;
      z++;
    }
    // A row that goes on from the one before fills the vector that was begun.
    if (n && from == expected) {
      ptrdiff_t more = smaller(length, LANES - lengths[n - 1]);
      lengths[n - 1] += more;
      length -= more;
      lane += more;
      from += more;
      expected = from;
    }
    for (; length > 0; n++) {
      ptrdiff_t part = smaller(length, LANES);
      pieces[n] = (piece){from, lane};
      lengths[n] = part;
      from += part;
      lane += part;
      length -= part;
      expected = from;
    }
  }
  return n;
}

// How many of the k rows from k0 on can be read in whole vectors: the input itself may not be read beyond its end,
// which the last channels come near to.
INLINE ptrdiff_t conv_whole(const conv_strips *s, ptrdiff_t last, ptrdiff_t k0, ptrdiff_t k) {
  const conv_plan *p = s->plan;
  if (!p->direct) return k;
  const ptrdiff_t farthest = (p->axis[0].reach * s->rows + p->axis[1].reach) * s->columns + p->axis[2].reach;
  ptrdiff_t reach = last + LANES + farthest;
  ptrdiff_t safe = (s->end - s->base - reach) / larger(s->channel_step, 1);
  safe = s->end - s->base < reach ? 0 : safe + 1;
  return larger(0, smaller(k, safe * p->taps - k0));
}

// Panels whose vectors are each a run of the strip.
static int conv_view(const void *source, ptrdiff_t panel, ptrdiff_t k0, ptrdiff_t k, int vectors, panel_view *view) {
  const conv_strips *s = source;
  const conv_plan *p = s->plan;
  piece pieces[2 * PANEL];
  ptrdiff_t lengths[2 * PANEL];
  const ptrdiff_t first = panel * PANEL, width = p->axis[2].out;
  if (width % LANES && s->columns != width) return 0;
  const int n = conv_pieces(s, first, smaller(PANEL, p->pixels - first), pieces, lengths);
  if (n != vectors || pieces[n - 1].lane != (n - 1) * LANES) return 0;
  if (conv_whole(s, pieces[n - 1].from, k0, k) < k) return 0;
  view->base = s->base + k0 / p->taps * s->channel_step;
  view->taps = s->taps;
  view->count = p->taps;
  view->tap = k0 % p->taps;
  view->channel_step = s->channel_step;
  for (int v = 0; v < n; v++) view->from[v] = pieces[v].from;
  return 1;
}

static void conv_fill(const void *source, ptrdiff_t panel, ptrdiff_t k0, ptrdiff_t k, float *to) {
  const conv_strips *s = source;
  const conv_plan *p = s->plan;
  if (!k) return;
  ptrdiff_t first = panel * PANEL, count = smaller(PANEL, p->pixels - first);
  piece pieces[2 * PANEL];
  ptrdiff_t lengths[2 * PANEL];
  const int n = conv_pieces(s, first, count, pieces, lengths);
  ptrdiff_t channel = k0 / p->taps, tap = k0 % p->taps, whole = conv_whole(s, pieces[n - 1].from, k0, k);
  switch (n) {
  case 2:
    conv_copy(s, pieces, 2, channel, tap, whole, to);
    break;
  case 3:
    conv_copy(s, pieces, 3, channel, tap, whole, to);
    break;
  case 4:
    conv_copy(s, pieces, 4, channel, tap, whole, to);
    break;
  default:
    conv_copy(s, pieces, n, channel, tap, whole, to);
  }
  for (ptrdiff_t q = whole; q < k; q++) {
    const float *from = s->base + (k0 + q) / p->taps * s->channel_step + s->taps[(k0 + q) % p->taps];
    for (int i = 0; i < n; i++)
      memcpy(to + q * PANEL + pieces[i].lane, from + pieces[i].from, (size_t)lengths[i] * sizeof(float));
  }
  if (count < PANEL)
    for (ptrdiff_t q = 0; q < k; q++)
      for (ptrdiff_t j = count; j < PANEL; j++) to[q * PANEL + j] = 0;
}

// The same without strips.
static void conv_gather(const void *source, ptrdiff_t panel, ptrdiff_t k0, ptrdiff_t k, float *to) {
  const conv_strips *s = source;
  const conv_plan *p = s->plan;
  const conv_axis *az = &p->axis[0], *ay = &p->axis[1], *ax = &p->axis[2];
  for (ptrdiff_t q = 0; q < k; q++) {
    ptrdiff_t channel = (k0 + q) / p->taps, tap = (k0 + q) % p->taps;
    ptrdiff_t tx = tap % ax->kernel, ty = tap / ax->kernel % ay->kernel, tz = tap / ax->kernel / ay->kernel;
    for (ptrdiff_t lane = 0; lane < PANEL; lane++) {
      ptrdiff_t pixel = panel * PANEL + lane;
      float value = 0;
      if (pixel < p->pixels) {
        ptrdiff_t ix = pixel % ax->out * ax->stride + axis_position(ax, tx) - ax->pad;
        ptrdiff_t iy = pixel / ax->out % ay->out * ay->stride + axis_position(ay, ty) - ay->pad;
        ptrdiff_t iz = pixel / ax->out / ay->out * az->stride + axis_position(az, tz) - az->pad;
        if (ix >= 0 && ix < ax->in && iy >= 0 && iy < ay->in && iz >= 0 && iz < az->in)
          value = s->x[channel * p->in_pixels + (iz * ay->in + iy) * ax->in + ix];
      }
      to[q * PANEL + lane] = value;
    }
  }
}

// A panel that more tiles than this read is copied first: the rows of the copy lie side by side.
enum { MOST_VIEWED = 4 };

static void conv_tasks(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const conv_plan *plan = context;
  const ck_conv_shape *shape = plan->shape;
  const cut *cut = &plan->cut;
  const ptrdiff_t height = plan->axis[1].out, width = plan->axis[2].out;
  for (ptrdiff_t task = begin; task < end; task++) {
    ptrdiff_t per_product = cut->tile_blocks * cut->panel_blocks, which = task / per_product;
    ptrdiff_t p0 = task % per_product / cut->tile_blocks * cut->panels_per;
    ptrdiff_t t0 = task % per_product % cut->tile_blocks * cut->tiles_per;
    ptrdiff_t p1 = smaller(cut->panels, p0 + cut->panels_per), t1 = smaller(cut->tiles, t0 + cut->tiles_per);
    ptrdiff_t group = which % shape->groups;
    conv_strips strips = {.plan = plan, .x = plan->x + which * plan->channels * plan->in_pixels};
    if (plan->direct)
      conv_strips_direct(&strips);
    if (!plan->gather) {
      size_t floats = 0;
      if (!plan->direct) {
        ptrdiff_t first = p0 * PANEL, last = smaller(p1 * PANEL, plan->pixels) - 1;
        ptrdiff_t z0 = first / width / height, z1 = last / width / height + 1;
        ptrdiff_t y0 = z1 - z0 == 1 ? first / width % height : 0;
        ptrdiff_t y1 = z1 - z0 == 1 ? last / width % height + 1 : height;
        floats = conv_strips_size(&strips, z0, z1, y0, y1);
      }
      char *memory = ck_scratch(1, floats * sizeof(float) + (size_t)plan->taps * sizeof(ptrdiff_t) + 64);
      strips.taps = (ptrdiff_t *)memory;
      conv_set_taps(&strips);
      size_t taps_bytes = ((size_t)plan->taps * sizeof(ptrdiff_t) + 63) / 64 * 64;
      if (!plan->direct) conv_strips_fill(&strips, (float *)(memory + taps_bytes));
    }
    ck_epilogue epilogue = {.alpha = 1};
    if (plan->epilogue) epilogue = *plan->epilogue;
    if (epilogue.bias_row) epilogue.bias_row += group * plan->rows;
    ptrdiff_t at = which * plan->rows * plan->pixels;
    product p = {.m = plan->rows,
                 .n = plan->pixels,
                 .k = plan->k,
                 .a = plan->packed + group * plan->rows * plan->k,
                 .a_packed = 1,
                 .fill = plan->gather ? conv_gather : conv_fill,
                 .view = !plan->gather && plan->k && t1 - t0 <= MOST_VIEWED ? conv_view : NULL,
                 .source = &strips,
                 .c = plan->y + at,
                 .c_row = plan->pixels,
                 .epilogue = &epilogue,
                 .residual = epilogue.residual ? epilogue.residual + at : NULL};
    product_block(&p, t0, t1, p0, p1);
  }
}

static size_t conv_packed_size(const ck_conv_shape *s) {
  return (size_t)s->out_channels * (size_t)(s->in_channels / s->groups) *
         (size_t)(s->kernel[0] * s->kernel[1] * s->kernel[2]);
}

INLINE int is_depthwise(const ck_conv_shape *s) { return s->in_channels == s->groups && s->groups > 1; }

// rows of k weights, the distance between two k of a row being `step`, as tiles [k][rows of the tile].
static void pack_tiles(const float *weights, ptrdiff_t rows, ptrdiff_t k, float *packed) {
  for (ptrdiff_t tile = 0; tile < tile_count(rows); tile++) {
    ptrdiff_t row = tile_start(rows, tile), end = tile_start(rows, tile + 1);
    for (ptrdiff_t p = 0; p < k; p++)
      for (ptrdiff_t i = row; i < end; i++) *packed++ = weights[i * k + p];
  }
}

static void conv_pack(const ck_conv_shape *s, const float *weights, float *packed) {
  size_t all = conv_packed_size(s);
  if (!all) return;
  ptrdiff_t rows = s->out_channels / s->groups, k = (ptrdiff_t)(all / (size_t)s->out_channels);
  for (ptrdiff_t g = 0; g < s->groups; g++) pack_tiles(weights + g * rows * k, rows, k, packed + g * rows * k);
}

static void depthwise(ck_pool *pool, conv_plan *plan);

static void conv_run(ck_pool *pool, conv_plan *plan) {
  const ck_conv_shape *s = plan->shape;
  ptrdiff_t products = s->batch * s->groups;
  if (!products || !plan->rows || !plan->pixels) return;
  if (is_depthwise(s) && !plan->gather && plan->rows <= TILE_ROWS) {
    depthwise(pool, plan);
    return;
  }
  // A task's strips stay within a second-level cache, but are three rows of output at least: neighbours share input.
  ptrdiff_t most = 16;
  if (!plan->direct) {
    most = smaller(most, larger(2, 98304 / (PANEL * larger(plan->channels, 1))));
    most = larger(most, 3 * plan->axis[2].out / PANEL);
  }
  plan->cut = make_cut(plan->rows, plan->pixels, plan->k, products, ck_pool_threads(pool), 1 << 20, most);
  ptrdiff_t tasks = products * plan->cut.tile_blocks * plan->cut.panel_blocks;
  double work = (double)plan->rows * (double)plan->pixels * (double)larger(plan->k, 1);
  work *= (double)products / (double)tasks;
  ck_parallel_for(pool, tasks, work < 1 << 19 ? (ptrdiff_t)((1 << 19) / work) : 1, conv_tasks, plan);
}

static void conv(ck_pool *pool, const ck_conv_shape *shape, const float *x, const float *packed, float *y,
                 const ck_epilogue *epilogue) {
  conv_plan plan;
  if (!conv_plan_make(&plan, shape, 0)) abort();
  plan.x = x;
  plan.packed = packed;
  plan.y = y;
  plan.epilogue = epilogue;
  conv_run(pool, &plan);
  free(plan.memory);
}
