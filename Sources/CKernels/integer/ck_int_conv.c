#include "ck_int_internal.h"

#include <math.h>

// Packing and the loops over tiles. Nothing here computes an output element.

static int multiply(int64_t *product, int64_t a, int64_t b) {
  return a < 0 || b < 0 || __builtin_mul_overflow(a, b, product);
}

ck_isa ck_int_resolve(ck_isa isa) {
  if (!ck_isa_available(isa)) isa = ck_isa_best();
  return isa == CK_ISA_AVXVNNI ? CK_ISA_AVX2 : isa;
}

static int64_t gcd64(int64_t c) {
  int64_t a = c, b = 64;
  while (b) {
    int64_t t = a % b;
    a = b;
    b = t;
  }
  return a;
}

// FMA32: float32(acc) * M + 1.5 * 2^23 is one rounding, half to even, at integer granularity while |acc M| < 2^22 and acc
// is exact in float32 (|acc| <= 2^24); where M >= 2^-14 a greater accumulator gives at least 1023 in magnitude and
// saturates an 8-bit output either way. FMA64: a fused sum with 1.5 * 2^52 rounds the exact product once, and below 2^30 in magnitude the low 32 bits of the result hold the integer.
static ck_finish choose_finish(const ck_int_conv_spec *s, const int64_t *least, const int64_t *greatest) {
  if (s->type == CK_INT_S32) return CK_FINISH_RAW;
  if (s->type != CK_INT_U8 || s->output.zero < 0 || s->output.zero > 255) return CK_FINISH_SCALAR;
  if (s->rounding == CK_INT_ROUND_FLOAT32) return CK_FINISH_FLOAT32;
  ck_finish finish = CK_FINISH_FMA32;
  for (int64_t n = 0; n < s->shape.outputs; n++) {
    ck_int_multiplier m = s->multipliers[n];
    double bound = (double)(-least[n] > greatest[n] ? -least[n] : greatest[n]);
    double scale = m.shift > 62 ? 0 : ldexp((double)m.m0, -m.shift);
    if (m.m0 < 0 || bound * scale >= 0x1p30) return CK_FINISH_SCALAR;
    if ((m.m0 & 127) || bound * scale >= 0x1p22 || (bound > 0x1p24 && scale < 0x1p-14)) finish = CK_FINISH_FMA64;
  }
  return finish;
}

static void set_constant(
    ck_panel *q, int lane, const ck_int_conv_spec *s, int64_t n, int32_t init) {
  q->init[lane] = init;
  q->w_zero[lane] = s->w_zero ? s->w_zero[n] : 0;
  if (s->type == CK_INT_S32) return;
  if (s->rounding == CK_INT_ROUND_FLOAT32) {
    q->scale[lane] = ck_float_of_bits(s->float_multipliers[n]);
    return;
  }
  ck_int_multiplier m = s->multipliers[n];
  q->m[lane] = m;
  q->wide[lane] = m.shift > 62 ? 0 : ldexp((double)m.m0, -m.shift);
  q->scale[lane] = (float)q->wide[lane];
}

static int32_t initial(const ck_int_conv_spec *s, int64_t n, const int8_t *w, int64_t depth) {
  uint32_t sum = 0, zero = s->w_zero ? (uint32_t)s->w_zero[n] : 0;
  for (int64_t k = 0; k < depth; k++) sum += (uint32_t)(int32_t)w[k] - zero;
  return (int32_t)((s->bias ? (uint32_t)s->bias[n] : 0) - (uint32_t)s->x_zero * sum);
}

static int is_narrow(const ck_int_conv *c, int64_t panel) { return c->narrow && panel == c->panels - 1; }

ck_int_conv *ck_int_conv_create(const ck_int_conv_spec *spec) {
  const ck_int_conv_shape *s = &spec->shape;
  if (s->channels < 1 || s->outputs < 1 || s->groups < 1 || s->channels % s->groups || s->outputs % s->groups) return NULL;
  int64_t taps = 1, depth, total;
  for (int d = 0; d < 3; d++) {
    if (s->kernel[d] < 1 || s->stride[d] < 1 || s->dilation[d] < 1) return NULL;
    if (multiply(&taps, taps, s->kernel[d])) return NULL;
  }
  if (multiply(&depth, taps, s->channels / s->groups) || multiply(&total, depth, s->outputs)) return NULL;
  int64_t *bounds = malloc(sizeof(int64_t) * 2 * (size_t)s->outputs);
  ck_int_conv *c = calloc(1, sizeof *c);
  if (!bounds || !c) goto fail;
  ck_int_conv_bounds(spec, 0, 255, bounds, bounds + s->outputs);
  c->shape = *s;
  c->cin = s->channels / s->groups;
  c->cout = s->outputs / s->groups;
  c->x_zero = spec->x_zero;
  c->type = spec->type;
  c->output = spec->output;
  c->rounding = spec->rounding;
  c->finish = choose_finish(spec, bounds, bounds + s->outputs);
  for (int64_t n = 0; spec->w_zero && n < s->outputs; n++) c->any_w_zero |= spec->w_zero[n] != 0;
  c->depthwise = c->cin == 1 && c->cout == 1 && s->channels > 1 && taps <= 256 && !c->any_w_zero;
  int64_t constants, bytes;
  if (c->depthwise) {
    c->blocks = s->channels / gcd64(s->channels);
    c->tap_quads = (taps + 3) / 4;
    constants = 2 * c->blocks;
    if (multiply(&bytes, c->blocks, c->tap_quads * 256)) goto fail;
  } else {
    int whole_rows = s->groups == 1 && s->dilation[2] == 1;
    c->strips = whole_rows ? s->kernel[0] * s->kernel[1] : taps;
    c->length = whole_rows ? s->kernel[2] * c->cin : c->cin;
    c->quads = (c->length + 3) / 4;
    c->panels = (c->cout + CK_PANEL - 1) / CK_PANEL;
    c->narrow = (c->cout - 1) % CK_PANEL < CK_PANEL / 2;
    if (multiply(&constants, c->panels, s->groups) || multiply(&c->panel_bytes, c->quads * 128, c->strips) ||
        multiply(&c->group_bytes, c->panel_bytes, c->panels))
      goto fail;
    if (c->narrow) c->group_bytes -= c->panel_bytes / 2;
    if (multiply(&bytes, c->group_bytes, s->groups)) goto fail;
  }
  int64_t constant_bytes;
  if (multiply(&constant_bytes, constants, (int64_t)sizeof(ck_panel)) || bytes > INT64_MAX - constant_bytes - 16384) goto fail;
  // The kernels prefetch weights ahead of their use; prefetching past the end is harmless.
  c->memory = calloc(1, (size_t)(bytes + constant_bytes + 128));
  if (!c->memory) goto fail;
  c->constants = (ck_panel *)(((uintptr_t)c->memory + 63) & ~(uintptr_t)63);
  c->weights = (int8_t *)c->constants + constant_bytes;
  if (c->depthwise) {
    for (int64_t b = 0; b < c->blocks; b++)
      for (int j = 0; j < 64; j++) {
        int64_t n = (64 * b + ck_lane64(j)) % s->channels;
        const int8_t *w = spec->weights + n * taps;
        set_constant(&c->constants[2 * b + j / 32], j % 32, spec, n, initial(spec, n, w, taps));
        for (int64_t t = 0; t < taps; t++)
          c->weights[((b * c->tap_quads + t / 4) * 4 + j / 16) * 64 + (j % 16) * 4 + t % 4] = w[t];
      }
  } else {
    int64_t kw = c->length / c->cin;  // taps in one strip
    for (int64_t g = 0; g < s->groups; g++)
      for (int64_t p = 0; p < c->panels; p++) {
        int narrow = is_narrow(c, p), width = ck_panel_width(narrow);
        for (int j = 0; j < width; j++) {
          int64_t o = CK_PANEL * p + ck_panel_lane(narrow, j);
          if (o >= c->cout) continue;
          int64_t n = g * c->cout + o;
          const int8_t *w = spec->weights + n * depth;
          set_constant(&c->constants[g * c->panels + p], j, spec, n, initial(spec, n, w, depth));
          int8_t *to = c->weights + g * c->group_bytes + p * c->panel_bytes + j * 4;
          for (int64_t t = 0; t < c->strips; t++)
            for (int64_t k = 0; k < c->length; k++)
              to[(t * c->quads + k / 4) * width * 4 + k % 4] = w[(k % c->cin) * taps + t * kw + k / c->cin];
        }
      }
  }
  free(bounds);
  return c;
fail:
  free(bounds);
  free(c);
  return NULL;
}

void ck_int_conv_destroy(ck_int_conv *c) {
  if (!c) return;
  free(c->memory);
  free(c);
}

// --- Geometry ---------------------------------------------------------------------------------------------------------

typedef struct {
  int64_t out[3], padded[3];
  int64_t image;       // bytes of one padded image
  int64_t pixels;      // outputs of one image
  int64_t chunk;       // images padded at once
  int64_t table;       // bytes of the strip table
  int pad;
} layout;

static int plan(const ck_int_conv *c, const ck_int_conv_geometry *g, layout *l) {
  if (g->batch < 0) return -1;
  l->pad = 0;
  l->pixels = 1;
  l->image = c->shape.channels;
  for (int d = 0; d < 3; d++) {
    l->out[d] = ck_int_conv_output(c, g, d);
    if (l->out[d] < 0 || multiply(&l->pixels, l->pixels, l->out[d])) return -1;
    l->padded[d] = g->input[d] + g->begin[d] + g->end[d];
    if (multiply(&l->image, l->image, l->padded[d])) return -1;
    l->pad |= g->begin[d] || g->end[d];
  }
  int64_t total;
  if (multiply(&total, l->pixels, c->shape.outputs) || multiply(&total, total, 4) || multiply(&total, total, g->batch) ||
      multiply(&total, l->image, g->batch))
    return -1;
  int64_t fit = l->image > 0 ? ((int64_t)32 << 20) / l->image : g->batch;
  l->chunk = !l->pad || fit > g->batch ? g->batch : fit < 1 ? 1 : fit;
  l->table = (c->strips * 8 + 63) / 64 * 64;
  return 0;
}

int64_t ck_int_conv_workspace(const ck_int_conv *c, const ck_int_conv_geometry *g) {
  layout l;
  int64_t bytes;
  if (plan(c, g, &l) || multiply(&bytes, l.image, l.pad ? l.chunk : 0)) return -1;
  return bytes + l.table + CK_INT_SLACK;
}

typedef struct {
  const ck_int_conv *c;
  const ck_int_conv_geometry *g;
  const layout *l;
  const uint8_t *x;      // the images of this chunk
  uint8_t *padded;
  const uint8_t *source; // what the kernels read: x or padded
  const int64_t *advance;
  uint8_t *y;
  int64_t pixels, block, blocks, panel_step, panel_steps;
  void (*tile)(int, const ck_tile *, const uint8_t *const *, const int8_t *, const ck_panel *, const int32_t *,
               void *const *, int);
  ck_depthwise_kernel row;
} job;

static void pad_rows(void *context, ptrdiff_t begin, ptrdiff_t end) {
  job *j = context;
  const ck_int_conv_geometry *g = j->g;
  int64_t c = j->c->shape.channels, width = g->input[2] * c, left = g->begin[2] * c, full = j->l->padded[2] * c;
  for (int64_t r = begin; r < end; r++) {
    int64_t h = r % j->l->padded[1] - g->begin[1], rest = r / j->l->padded[1];
    int64_t d = rest % j->l->padded[0] - g->begin[0], b = rest / j->l->padded[0];
    uint8_t *to = j->padded + r * full;
    if (h < 0 || d < 0 || h >= g->input[1] || d >= g->input[0]) {
      memset(to, j->c->x_zero, (size_t)full);
      continue;
    }
    memset(to, j->c->x_zero, (size_t)left);
    memcpy(to + left, j->x + ((b * g->input[0] + d) * g->input[1] + h) * width, (size_t)width);
    memset(to + left + width, j->c->x_zero, (size_t)(full - left - width));
  }
}

// The last two tiles of a block are of equal size.
static int step(int64_t left) {
  if (left >= 24) return 12;
  return (int)(left <= 12 ? left : (left + 1) / 2);
}

static int32_t strip_sum(const uint8_t *p, const ck_int_conv *c, const int64_t *advance) {
  uint32_t sum = 0;
  for (int64_t t = 0; t < c->strips; t++) {
    for (int64_t k = 0; k < c->length; k++) sum += p[k];
    p += advance[t];
  }
  return (int32_t)sum;
}

// One pixel's accumulators through the definitions; `at` is the place of its first output.
static void finish_scalar(
    const ck_int_conv *c, const ck_panel *q, int narrow, const int32_t *acc, int outputs, void *y, int64_t at) {
  for (int j = 0; j < ck_panel_width(narrow); j++) {
    int n = ck_panel_lane(narrow, j);
    if (n < outputs) ck_store(y, at + n, c->type, ck_finish_one(c, acc[n], q, j));
  }
}

enum { LONGEST_BLOCK = 1200 };

// Where the windows of pixels m0 ... m1 - 1 begin, in the first group.
static void place_rows(const job *j, int64_t m0, int64_t m1, const uint8_t **rows) {
  const int64_t *out = j->l->out, *pd = j->l->padded, *stride = j->c->shape.stride;
  int64_t channels = j->c->shape.channels;
  int64_t v = m0 % out[2], rest = m0 / out[2], h = rest % out[1], e = rest / out[1], d = e % out[0], i = e / out[0];
  for (int64_t m = m0; m < m1; v = 0) {
    const uint8_t *at =
        j->source + (((i * pd[0] + d * stride[0]) * pd[1] + h * stride[1]) * pd[2] + v * stride[2]) * channels;
    for (; v < out[2] && m < m1; v++, m++, at += stride[2] * channels) *rows++ = at;
    if (++h == out[1]) {
      h = 0;
      if (++d == out[0]) d = 0, i++;
    }
  }
}

static void run_blocks(void *context, ptrdiff_t begin, ptrdiff_t end) {
  job *j = context;
  const ck_int_conv *c = j->c;
  int64_t size = ck_type_size(c->type);
  ck_tile t = {j->advance, c->strips, c->quads, c->finish, c->output.zero, c->output.lo, c->output.hi, 0};
  int raw = c->finish == CK_FINISH_SCALAR;
  if (raw) t.finish = CK_FINISH_RAW;
  int32_t sums[LONGEST_BLOCK];
  const uint8_t *rows[LONGEST_BLOCK];
  for (int64_t u = begin; u < end; u++) {
    int64_t m0 = u / j->panel_steps * j->block, m1 = m0 + j->block < j->pixels ? m0 + j->block : j->pixels;
    int64_t p0 = u % j->panel_steps * j->panel_step, p1 = p0 + j->panel_step < c->panels ? p0 + j->panel_step : c->panels;
    place_rows(j, m0, m1, rows);
    for (int64_t g = 0; g < c->shape.groups; g++) {
      for (int64_t m = 0; c->any_w_zero && m < m1 - m0; m++) sums[m] = strip_sum(rows[m], c, j->advance);
      for (int64_t p = p0; p < p1; p++) {
        const ck_panel *q = c->constants + g * c->panels + p;
        const int8_t *b = c->weights + g * c->group_bytes + p * c->panel_bytes;
        t.narrow = is_narrow(c, p);
        int64_t n = g * c->cout + p * CK_PANEL, pitch = c->shape.outputs * size;
        int lanes = (int)(c->cout - p * CK_PANEL < CK_PANEL ? c->cout - p * CK_PANEL : CK_PANEL);
        uint8_t *to = j->y + (m0 * c->shape.outputs + n) * size;
        for (int64_t m = 0; m < m1 - m0;) {
          int count = step(m1 - m0 - m);
          void *y[12];
          int32_t tile[12][CK_PANEL];
          for (int r = 0; r < count; r++, to += pitch) y[r] = raw ? (void *)tile[r] : to;
          j->tile(count, &t, rows + m, b, q, c->any_w_zero ? sums + m : NULL, y, lanes);
          for (int r = 0; raw && r < count; r++)
            finish_scalar(c, q, t.narrow, tile[r], lanes, j->y, (m0 + m + r) * c->shape.outputs + n);
          m += count;
        }
      }
      for (int64_t m = 0; g + 1 < c->shape.groups && m < m1 - m0; m++) rows[m] += c->cin;
    }
  }
}

static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end) {
  job *j = context;
  const ck_int_conv *c = j->c;
  const ck_int_conv_shape *s = &c->shape;
  const int64_t *out = j->l->out, *pd = j->l->padded;
  int64_t channels = s->channels, size = ck_type_size(c->type);
  const uint8_t *taps[260];
  int64_t offset[256];
  int n = 0;
  for (int64_t kd = 0; kd < s->kernel[0]; kd++)
    for (int64_t kh = 0; kh < s->kernel[1]; kh++)
      for (int64_t kw = 0; kw < s->kernel[2]; kw++)
        offset[n++] = ((kd * s->dilation[0] * pd[1] + kh * s->dilation[1]) * pd[2] + kw * s->dilation[2]) * channels;
  for (int64_t u = begin; u < end; u++) {
    int64_t h = u % out[1], e = u / out[1], d = e % out[0], i = e / out[0];
    const uint8_t *row = j->source + ((i * pd[0] + d * s->stride[0]) * pd[1] + h * s->stride[1]) * pd[2] * channels;
    uint8_t *y = j->y + u * out[2] * channels * size;
    int64_t runs = s->stride[2] == 1 ? 1 : out[2], count = s->stride[2] == 1 ? out[2] * channels : channels;
    for (int64_t v = 0; v < runs; v++) {
      const uint8_t *base = row + v * s->stride[2] * channels;
      for (int t = 0; t < n; t++) taps[t] = base + offset[t];
      for (int t = n; t < c->tap_quads * 4; t++) taps[t] = base;
      j->row(c, taps, count, y + v * channels * size);
    }
  }
}

static void choose_kernels(job *j, ck_isa isa) {
  isa = ck_int_resolve(isa);
  j->tile = ck_tile_portable;
  j->row = ck_depthwise_portable;
#if CK_INT_X86
  if (isa == CK_ISA_AVX2) j->tile = ck_tile_avx2, j->row = ck_depthwise_avx2;
  if (isa == CK_ISA_AVX512) j->tile = ck_tile_avx512, j->row = ck_depthwise_avx512;
#endif
}

// Pixels whose input stays in the first-level cache while the panels pass by; large weights are read less often.
static int64_t block_size(const ck_int_conv *c) {
  int64_t bytes = c->shape.stride[0] * c->shape.stride[1] * c->shape.stride[2] * c->shape.channels;
  int64_t block = 32768 / bytes / 12 * 12;
  if (block < 48) block = 48;
  if (block > 480) block = 480;
  if (c->panel_bytes * c->panels > 600000) block = LONGEST_BLOCK;
  return block;
}

// Few pixels: threads take panels, each reading its own weights; else they take pixels.
static void split(job *j) {
  const ck_int_conv *c = j->c;
  j->block = block_size(c);
  j->panel_step = c->panels;
  if (j->pixels <= 256) j->panel_step = c->panels < 8 ? 1 : (c->panels + 7) / 8;
  if (c->any_w_zero) j->panel_step = c->panels;
  j->panel_steps = (c->panels + j->panel_step - 1) / j->panel_step;
  j->blocks = (j->pixels + j->block - 1) / j->block;
}

int ck_int_conv_run(
    const ck_int_conv *c, const ck_int_conv_geometry *g, const uint8_t *x, void *y, void *workspace,
    ck_pool *pool, ck_isa isa) {
  layout l;
  if (plan(c, g, &l)) return -1;
  if (l.pixels == 0 || g->batch == 0) return 0;
  int64_t *advance = (int64_t *)workspace;
  const ck_int_conv_shape *s = &c->shape;
  if (!c->depthwise) {
    int64_t last = 0, t = 0, inner = c->length == c->cin && c->strips == s->kernel[0] * s->kernel[1] * s->kernel[2] ? s->kernel[2] : 1;
    for (int64_t kd = 0; kd < s->kernel[0]; kd++)
      for (int64_t kh = 0; kh < s->kernel[1]; kh++)
        for (int64_t kw = 0; kw < inner; kw++, t++) {
          int64_t offset = ((kd * s->dilation[0] * l.padded[1] + kh * s->dilation[1]) * l.padded[2] + kw * s->dilation[2]) *
              s->channels;
          if (t > 0) advance[t - 1] = offset - last;
          last = offset;
        }
    advance[t - 1] = 0;
  }
  job j = {.c = c, .g = g, .l = &l, .advance = advance};
  j.padded = (uint8_t *)workspace + l.table;
  choose_kernels(&j, isa);
  for (int64_t b = 0; b < g->batch; b += l.chunk) {
    int64_t images = g->batch - b < l.chunk ? g->batch - b : l.chunk;
    j.x = x + b * g->input[0] * g->input[1] * g->input[2] * s->channels;
    j.source = j.x;
    j.y = (uint8_t *)y + b * l.pixels * s->outputs * ck_type_size(c->type);
    j.pixels = images * l.pixels;
    if (l.pad) {
      j.source = j.padded;
      int64_t row = l.padded[2] * s->channels;
      ck_parallel_for(pool, images * l.padded[0] * l.padded[1], 1 + 65536 / (row + 1), pad_rows, &j);
    }
    if (c->depthwise) {
      ck_parallel_for(pool, images * l.out[0] * l.out[1], 1 + 16384 / (l.out[2] * s->channels * c->tap_quads + 1), run_rows, &j);
    } else {
      split(&j);
      ck_parallel_for(pool, j.blocks * j.panel_steps, 1, run_blocks, &j);
    }
  }
  return 0;
}

// --- Matrix products --------------------------------------------------------------------------------------------------

typedef struct {
  const ck_int_conv *c;
  const uint8_t *x;
  uint8_t *y;
  int64_t rows, stride, block, panel_step, panel_steps;
  const int64_t *advance;
  void (*tile)(int, const ck_tile *, const uint8_t *const *, const int8_t *, const ck_panel *, const int32_t *,
               void *const *, int);
} product;

static void run_products(void *context, ptrdiff_t begin, ptrdiff_t end) {
  product *j = context;
  const ck_int_conv *c = j->c;
  int64_t size = ck_type_size(c->type);
  ck_tile t = {j->advance, c->strips, c->quads, c->finish, c->output.zero, c->output.lo, c->output.hi, 0};
  int raw = c->finish == CK_FINISH_SCALAR;
  if (raw) t.finish = CK_FINISH_RAW;
  int32_t sums[LONGEST_BLOCK];
  for (int64_t u = begin; u < end; u++) {
    int64_t m0 = u / j->panel_steps * j->block, m1 = m0 + j->block < j->rows ? m0 + j->block : j->rows;
    int64_t p0 = u % j->panel_steps * j->panel_step, p1 = p0 + j->panel_step < c->panels ? p0 + j->panel_step : c->panels;
    if (c->any_w_zero)
      for (int64_t m = m0; m < m1; m++) sums[m - m0] = strip_sum(j->x + m * j->stride, c, j->advance);
    for (int64_t p = p0; p < p1; p++) {
      const ck_panel *q = c->constants + p;
      const int8_t *b = c->weights + p * c->panel_bytes;
      t.narrow = is_narrow(c, p);
      int lanes = (int)(c->cout - p * CK_PANEL < CK_PANEL ? c->cout - p * CK_PANEL : CK_PANEL);
      for (int64_t m = m0; m < m1;) {
        int rows = step(m1 - m);
        const uint8_t *a[12];
        void *y[12];
        int32_t tile[12][CK_PANEL];
        for (int r = 0; r < rows; r++) {
          a[r] = j->x + (m + r) * j->stride;
          y[r] = raw ? (void *)tile[r] : j->y + ((m + r) * c->cout + p * CK_PANEL) * size;
        }
        j->tile(rows, &t, a, b, q, c->any_w_zero ? sums + (m - m0) : NULL, y, lanes);
        for (int r = 0; raw && r < rows; r++)
          finish_scalar(c, q, t.narrow, tile[r], lanes, j->y, (m + r) * c->cout + p * CK_PANEL);
        m += rows;
      }
    }
  }
}

static void run_matmul(const ck_int_conv *c, int64_t rows, int64_t stride, const uint8_t *x, void *y, ck_pool *pool,
                       ck_isa isa) {
  static const int64_t none[1] = {0};
  job k = {0};
  choose_kernels(&k, isa);
  product j = {.c = c, .x = x, .y = y, .rows = rows, .stride = stride, .advance = none, .tile = k.tile};
  j.block = 32768 / (c->length + 1) / 12 * 12;
  if (j.block < 48) j.block = 48;
  if (j.block > 480) j.block = 480;
  j.panel_step = c->panels;
  if (rows <= 256) j.panel_step = c->panels < 8 ? 1 : (c->panels + 7) / 8, j.block = 256;
  j.panel_steps = (c->panels + j.panel_step - 1) / j.panel_step;
  ck_parallel_for(pool, (rows + j.block - 1) / j.block * j.panel_steps, 1, run_products, &j);
}

int ck_int_matmul_run(
    const ck_int_conv *c, int64_t rows, int64_t stride, const uint8_t *x, void *y, ck_pool *pool, ck_isa isa) {
  const ck_int_conv_shape *s = &c->shape;
  if (c->depthwise || s->groups != 1 || c->strips != 1 || s->kernel[2] != 1 || rows < 0 || stride < c->length) return -1;
  run_matmul(c, rows, stride, x, y, pool, isa);
  return 0;
}

int ck_int_matmul_dynamic(
    int64_t rows, int64_t columns, int64_t depth, const uint8_t *a, int32_t a_zero, const uint8_t *b, int32_t b_zero,
    int transposed, int32_t *y, ck_pool *pool, ck_isa isa) {
  if (rows < 0 || columns < 0 || depth < 0) return -1;
  if (rows == 0 || columns == 0) return 0;
  if (depth == 0) {
    memset(y, 0, (size_t)(rows * columns) * 4);
    return 0;
  }
  ck_int_conv c = {.cin = depth, .cout = columns, .strips = 1, .length = depth, .type = CK_INT_S32, .finish = CK_FINISH_RAW};
  c.quads = (depth + 3) / 4;
  c.panels = (columns + CK_PANEL - 1) / CK_PANEL;
  c.panel_bytes = c.quads * 128;
  int64_t bytes, constants;
  if (multiply(&bytes, c.panel_bytes, c.panels) || multiply(&constants, c.panels, (int64_t)sizeof(ck_panel))) return -1;
  void *memory = calloc(1, (size_t)(bytes + constants + 128));
  if (!memory) return -1;
  c.constants = (ck_panel *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
  c.weights = (int8_t *)c.constants + constants;
  int32_t zero = b_zero - 128;
  c.any_w_zero = zero != 0;
  for (int64_t p = 0; p < c.panels; p++) {
    int8_t *to = c.weights + p * c.panel_bytes;
    for (int j = 0; j < CK_PANEL; j++) {
      int64_t n = CK_PANEL * p + ck_lane(j);
      if (n >= columns) continue;
      uint32_t sum = 0;
      const uint8_t *from = transposed ? b + n * depth : b + n;
      int64_t by = transposed ? 1 : columns;
      for (int64_t k = 0; k < depth; k++) {
        int32_t v = (int32_t)from[k * by] - 128;
        to[k / 4 * 128 + j * 4 + k % 4] = (int8_t)v;
        sum += (uint32_t)(v - zero);
      }
      c.constants[p].init[j] = (int32_t)(0 - (uint32_t)a_zero * sum);
      c.constants[p].w_zero[j] = zero;
    }
  }
  run_matmul(&c, rows, depth, a, y, pool, isa);
  free(memory);
  return 0;
}
