// Transposed convolutions as one ordinary convolution per phase of the stride: the outputs of one phase see the same
// taps.

// The phases of one axis. Output o has residue (o + pad) mod stride and reads the kernel positions of that residue.
typedef struct {
  ptrdiff_t residue, first; // first output with this residue
  ptrdiff_t outputs, taps;  // how many
  ptrdiff_t before;         // kernel positions of the residues that are packed before
  ptrdiff_t lowest;         // smallest input position of output `first`
} transposed_phase;

INLINE ptrdiff_t common_divisor(ptrdiff_t a, ptrdiff_t b) {
  while (b) {
    ptrdiff_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

static transposed_phase transposed_phase_make(const ck_conv_shape *s, int d, ptrdiff_t residue) {
  transposed_phase p = {.residue = residue};
  ptrdiff_t stride = s->stride[d];
  p.first = (residue - s->pad[d] % stride + 2 * stride) % stride;
  p.outputs = p.first < s->out[d] ? (s->out[d] - 1 - p.first) / stride + 1 : 0;
  for (ptrdiff_t t = 0; t < s->kernel[d]; t++) {
    ptrdiff_t r = t * s->dilation[d] % stride;
    if (r < residue) p.before++;
    if (r != residue) continue;
    // Exact: both sides have the same residue.
    ptrdiff_t position = (p.first + s->pad[d] - t * s->dilation[d]) / stride;
    p.lowest = p.taps++ ? smaller(p.lowest, position) : position;
  }
  return p;
}

INLINE ptrdiff_t transposed_before(const ck_conv_shape *s, const transposed_phase *p) {
  return p[0].before * s->kernel[1] * s->kernel[2] + p[0].taps * (p[1].before * s->kernel[2] + p[1].taps * p[2].before);
}

// Calls `body` for every phase that has outputs (all = 0) or taps (all = 1).
typedef void (*transposed_fn)(void *context, const transposed_phase *phases);
static void transposed_phases(const ck_conv_shape *s, int packing, transposed_fn body, void *context) {
  transposed_phase p[3];
  ptrdiff_t count[3];
  for (int d = 0; d < 3; d++) count[d] = packing ? s->kernel[d] : smaller(s->stride[d], s->out[d]);
  for (ptrdiff_t i = 0; i < count[0] * count[1] * count[2]; i++) {
    ptrdiff_t at[3] = {i / count[2] / count[1], i / count[2] % count[1], i % count[2]};
    int wanted = 1;
    for (int d = 0; d < 3 && wanted; d++) {
      ptrdiff_t stride = s->stride[d];
      ptrdiff_t residue =
          packing ? at[d] * s->dilation[d] % stride : (at[d] + s->pad[d] % stride + stride) % stride;
      // A residue is packed once, at its first kernel position.
      if (packing)
        for (ptrdiff_t t = 0; t < at[d]; t++) wanted &= t * s->dilation[d] % stride != residue;
      if (wanted) p[d] = transposed_phase_make(s, d, residue);
    }
    if (wanted) body(context, p);
  }
}

typedef struct {
  const ck_conv_shape *shape;
  const float *weights;
  float *packed;
} transposed_packing;

static void transposed_pack_phase(void *context, const transposed_phase *p) {
  transposed_packing *c = context;
  const ck_conv_shape *s = c->shape;
  ptrdiff_t channels = s->in_channels / s->groups, rows = s->out_channels / s->groups;
  ptrdiff_t taps = s->kernel[0] * s->kernel[1] * s->kernel[2];
  float *to = c->packed + transposed_before(s, p) * channels * s->out_channels;
  for (ptrdiff_t g = 0; g < s->groups; g++)
    for (ptrdiff_t tile = 0; tile < tile_count(rows); tile++) {
      ptrdiff_t row0 = tile_start(rows, tile), row1 = tile_start(rows, tile + 1);
      for (ptrdiff_t channel = 0; channel < channels; channel++)
        for (ptrdiff_t t = 0; t < taps; t++) {
          ptrdiff_t z = t / s->kernel[2] / s->kernel[1], y = t / s->kernel[2] % s->kernel[1], x = t % s->kernel[2];
          if (z * s->dilation[0] % s->stride[0] != p[0].residue || y * s->dilation[1] % s->stride[1] != p[1].residue ||
              x * s->dilation[2] % s->stride[2] != p[2].residue)
            continue;
          for (ptrdiff_t row = row0; row < row1; row++)
            *to++ = c->weights[((g * channels + channel) * rows + row) * taps + t];
        }
    }
}

static void conv_transpose_pack(const ck_conv_shape *s, const float *weights, float *packed) {
  if (!s->in_channels || !s->out_channels) return;
  transposed_packing c = {s, weights, packed};
  transposed_phases(s, 1, transposed_pack_phase, &c);
}

typedef struct {
  const ck_conv_shape *shape;
  const float *x, *packed;
  float *y, *temporary;
  const ck_epilogue *epilogue;
  ck_pool *pool;
} transposed_call;

typedef struct {
  const ck_conv_shape *shape;
  const transposed_phase *phase;
  const float *from;
  float *to;
} transposed_spread;

static void spread_planes(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const transposed_spread *c = context;
  const ck_conv_shape *s = c->shape;
  const transposed_phase *p = c->phase;
  for (ptrdiff_t plane = begin; plane < end; plane++) {
    const float *from = c->from + plane * p[0].outputs * p[1].outputs * p[2].outputs;
    float *to = c->to + plane * s->out[0] * s->out[1] * s->out[2];
    for (ptrdiff_t z = 0; z < p[0].outputs; z++)
      for (ptrdiff_t y = 0; y < p[1].outputs; y++) {
        float *row = to + ((p[0].first + z * s->stride[0]) * s->out[1] + p[1].first + y * s->stride[1]) * s->out[2];
        for (ptrdiff_t x = 0; x < p[2].outputs; x++) row[p[2].first + x * s->stride[2]] = *from++;
      }
  }
}

static void transposed_run_phase(void *context, const transposed_phase *p) {
  transposed_call *c = context;
  const ck_conv_shape *s = c->shape;
  // Kernel positions of one residue are stride / g apart, and so are read dilation / g apart, from the last input on.
  ck_conv_shape part = *s;
  for (int d = 0; d < 3; d++) {
    part.kernel[d] = p[d].taps;
    part.stride[d] = 1;
    part.dilation[d] = s->dilation[d] / common_divisor(s->dilation[d], s->stride[d]);
    part.pad[d] = -p[d].lowest;
    part.out[d] = p[d].outputs;
  }
  conv_plan plan;
  if (!conv_plan_make(&plan, &part, 1)) abort();
  int whole = s->stride[0] == 1 && s->stride[1] == 1 && s->stride[2] == 1;
  plan.x = c->x;
  plan.packed = c->packed + transposed_before(s, p) * plan.channels * s->out_channels;
  plan.y = whole ? c->y : c->temporary;
  conv_run(c->pool, &plan);
  ptrdiff_t pixels = plan.pixels;
  free(plan.memory);
  if (whole) return;
  transposed_spread spread = {s, p, c->temporary, c->y};
  ck_parallel_for(c->pool, s->batch * s->out_channels, larger(1, 16384 / larger(1, pixels)), spread_planes, &spread);
}

static void finish_planes(void *context, ptrdiff_t begin, ptrdiff_t end) {
  const transposed_call *c = context;
  const ck_conv_shape *s = c->shape;
  const ck_epilogue *e = c->epilogue;
  const ptrdiff_t pixels = s->out[0] * s->out[1] * s->out[2];
  const tile_end finish = make_end(e);
  for (ptrdiff_t plane = begin; plane < end; plane++) {
    float *y = c->y + plane * pixels;
    finish_row(y, pixels, &finish, e->bias_row ? e->bias_row[plane % s->out_channels] : -0.0f,
               e->residual ? e->residual + plane * pixels : NULL, y);
    if (needs_pass(e)) unary_range(e->op, e->a, e->b, pixels, y, y);
  }
}

static void conv_transpose(ck_pool *pool, const ck_conv_shape *s, const float *x, const float *packed, float *y,
                           const ck_epilogue *epilogue) {
  ptrdiff_t pixels = s->out[0] * s->out[1] * s->out[2], planes = s->batch * s->out_channels;
  if (!pixels || !planes) return;
  transposed_call c = {s, x, packed, y, NULL, epilogue, pool};
  if (s->stride[0] != 1 || s->stride[1] != 1 || s->stride[2] != 1) {
    size_t most = (size_t)planes;
    for (int d = 0; d < 3; d++) most *= (size_t)divide_up(s->out[d], s->stride[d]);
    c.temporary = malloc(most * sizeof(float));
    if (!c.temporary) abort();
  }
  transposed_phases(s, 0, transposed_run_phase, &c);
  free(c.temporary);
  if (epilogue) ck_parallel_for(pool, planes, larger(1, 16384 / pixels), finish_planes, &c);
}
