#include "ck_int_wide.h"

// Fixed-point arithmetic on int32: definitions, integer instructions only.

CK_INLINE int32_t saturate(int64_t v) { return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : (int32_t)v; }

CK_INLINE int32_t saturate_wide(ck_i128 v) { return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : (int32_t)v; }

// v * 2^-s for any sign of s; |v| < 2^62 where s is negative is the caller's care.
CK_INLINE int64_t shifted(int64_t v, int32_t s) {
  if (s > 62) return 0;
  return s >= 0 ? ck_shift_even(v, s) : v * ((int64_t)1 << -s);
}

#if CK_INT_X86
#define TWIN(NAME) (ck_int_resolve(ck_isa_current()) == CK_ISA_AVX512 ? ck_wide_##NAME##_avx512 : ck_wide_##NAME##_portable)
#else
#define TWIN(NAME) ck_wide_##NAME##_portable
#endif

void ck_wide_scale_portable(const int32_t *x, int64_t count, ck_int_multiplier m, int32_t *y) {
  for (int64_t i = 0; i < count; i++) y[i] = saturate(ck_multiply(x[i], m));
}

void ck_wide_scale(const int32_t *x, int64_t count, ck_int_multiplier m, int32_t *y) { TWIN(scale)(x, count, m, y); }

// Calls `run` on the innermost dimension; neighbouring dimensions that walk both operands evenly are joined first.
static void broadcast(
    const ck_int_broadcast *loop, const ck_wide_fractions *f, const int32_t *a, const int32_t *b, int32_t *y, ck_wide_run run) {
  int64_t size[6] = {1}, as[6] = {0}, bs[6] = {0}, index[6] = {0};
  int32_t rank = 0;
  for (int32_t d = 0; d < loop->rank; d++) {
    if (loop->size[d] == 0) return;
    if (loop->size[d] == 1) continue;
    int32_t last = rank - 1;
    if (rank > 0 && as[last] == loop->a_stride[d] * loop->size[d] && bs[last] == loop->b_stride[d] * loop->size[d]) {
      size[last] *= loop->size[d];
    } else {
      last = rank++;
      size[last] = loop->size[d];
    }
    as[last] = loop->a_stride[d];
    bs[last] = loop->b_stride[d];
  }
  int32_t last = rank > 0 ? rank - 1 : 0;
  for (;;) {
    run(f, a, as[last], b, bs[last], size[last], y);
    y += size[last];
    int32_t d = last - 1;
    for (; d >= 0; d--) {
      a += as[d];
      b += bs[d];
      if (++index[d] < size[d]) break;
      a -= as[d] * size[d];
      b -= bs[d] * size[d];
      index[d] = 0;
    }
    if (d < 0) return;
  }
}

// Fractions lie in 0 ... 30, so each term is below 2^61.
void ck_wide_add_portable(
    const ck_wide_fractions *t, const int32_t *a, int64_t as, const int32_t *b, int64_t bs, int64_t count, int32_t *y) {
  int32_t f = t->fa > t->fb ? t->fa : t->fb;
  if (t->fy > f) f = t->fy;
  int64_t ua = (int64_t)1 << (f - t->fa), ub = (int64_t)1 << (f - t->fb);
  if (t->subtract) ub = -ub;
  for (int64_t i = 0; i < count; i++) y[i] = saturate(ck_shift_even(a[i * as] * ua + b[i * bs] * ub, f - t->fy));
}

void ck_wide_multiply_portable(
    const ck_wide_fractions *t, const int32_t *a, int64_t as, const int32_t *b, int64_t bs, int64_t count, int32_t *y) {
  int32_t s = t->fa + t->fb - t->fy;
  for (int64_t i = 0; i < count; i++) {
    int64_t p = (int64_t)a[i * as] * b[i * bs];
    y[i] = s >= 0 ? saturate(ck_shift_even(p, s)) : saturate_wide((ck_i128)p * ((ck_i128)1 << -s));
  }
}

void ck_wide_add(
    const ck_int_broadcast *loop, const int32_t *a, int32_t fa, const int32_t *b, int32_t fb, int32_t subtract, int32_t fy,
    int32_t *y) {
  broadcast(loop, &(ck_wide_fractions){fa, fb, fy, subtract}, a, b, y, TWIN(add));
}

void ck_wide_multiply(
    const ck_int_broadcast *loop, const int32_t *a, int32_t fa, const int32_t *b, int32_t fb, int32_t fy, int32_t *y) {
  broadcast(loop, &(ck_wide_fractions){fa, fb, fy, 0}, a, b, y, TWIN(multiply));
}

void ck_wide_offset(int32_t *y, int64_t rows, int64_t channels, const int32_t *offsets, int per_channel) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t n = 0; n < channels; n++) {
      int64_t i = r * channels + n;
      y[i] = saturate((int64_t)y[i] + offsets[per_channel ? n : 0]);
    }
}

void ck_wide_clamp(const int32_t *x, int64_t count, int32_t lo, int32_t hi, int32_t *y) {
  for (int64_t i = 0; i < count; i++) y[i] = x[i] < lo ? lo : x[i] > hi ? hi : x[i];
}

void ck_wide_lookup(const uint8_t *x, int64_t count, const int32_t *table, int32_t *y) {
  for (int64_t i = 0; i < count; i++) y[i] = table[x[i]];
}

void ck_wide_apply_portable(const ck_wide_function *g, const int32_t *x, int64_t count, int32_t *y) {
  int32_t width = g->fx + g->core - 13;  // bits of a segment
  int64_t edge = (int64_t)1 << (g->fx + g->core), mask = ((int64_t)1 << width) - 1;
  int32_t s = 30 + g->fx - g->fy;        // of slope times x, to fraction fy
  for (int64_t i = 0; i < count; i++) {
    int64_t v = x[i];
    if (v < -edge || v >= edge) {
      int64_t line = shifted((int64_t)(v < 0 ? g->left_slope : g->right_slope) * v, s);
      y[i] = saturate(line + (v < 0 ? g->left_intercept : g->right_intercept));
    } else {
      int64_t at = v + edge, j = at >> width, rest = at & mask;
      int64_t low = g->nodes[j], high = g->nodes[j + 1];
      y[i] = saturate(low + ck_shift_even((high - low) * rest, width));
    }
  }
}

void ck_wide_apply(const ck_wide_function *g, const int32_t *x, int64_t count, int32_t *y) { TWIN(apply)(g, x, count, y); }

// floor of the square root.
static uint64_t square_root(unsigned __int128 v) {
  uint64_t r = 0;
  for (int bit = 63; bit >= 0; bit--) {
    uint64_t t = r | ((uint64_t)1 << bit);
    if ((unsigned __int128)t * t <= v) r = t;
  }
  return r;
}

void ck_wide_exp2_table(uint32_t table[1025]) {
  // root[k] = 2^(-2^-(k+1)) with fraction 62; each is the square root of the one before, the first of one half.
  uint64_t root[10], half = (uint64_t)1 << 61;
  for (int k = 0; k < 10; k++) {
    half = square_root((unsigned __int128)half << 62);
    root[k] = half;
  }
  for (int j = 0; j <= 1024; j++) {
    unsigned __int128 p = (unsigned __int128)1 << 62;
    if (j == 1024) p >>= 1;
    else
      for (int k = 0; k < 10; k++)
        if (j >> (9 - k) & 1) p = p * root[k] >> 62;
    table[j] = (uint32_t)((p + ((uint64_t)1 << 30)) >> 31);
  }
}

// 2^-t of d * 2^-f times log2(e), with fraction 31.
CK_INLINE uint64_t exponential(uint64_t d, int32_t f, const uint32_t *table) {
  const uint64_t log2e = 1549082005;  // fraction 30
  uint64_t t = d * log2e, whole = t >> (f + 30);
  if (whole > 32) return 0;
  uint64_t part = (f + 30 >= 34 ? t >> (f + 30 - 34) : t << (34 - f - 30)) & (((uint64_t)1 << 34) - 1);
  uint64_t j = part >> 24, rest = part & 0xFFFFFF;
  uint64_t value = table[j] - ((((uint64_t)table[j] - table[j + 1]) * rest + (1 << 23)) >> 24);
  return whole ? (value + ((uint64_t)1 << (whole - 1))) >> whole : value;
}

void ck_wide_softmax_portable(
    const int32_t *x, int64_t rows, int64_t count, int32_t f, const uint32_t table[1025], int32_t *y) {
  for (int64_t r = 0; r < rows; r++, x += count, y += count) {
    int32_t top = INT32_MIN;
    for (int64_t i = 0; i < count; i++)
      if (x[i] > top) top = x[i];
    uint64_t sum = 0;
    for (int64_t i = 0; i < count; i++) sum += exponential((uint64_t)((int64_t)top - x[i]), f, table);
    for (int64_t i = 0; i < count; i++) {
      uint64_t e = exponential((uint64_t)((int64_t)top - x[i]), f, table) << 30;
      uint64_t q = e / sum, rest = e - q * sum, other = sum - rest;
      y[i] = (int32_t)(q + (rest > other || (rest == other && (q & 1))));
    }
  }
}

void ck_wide_softmax(
    const int32_t *x, int64_t rows, int64_t count, int32_t f, const uint32_t table[1025], int32_t *y) {
  TWIN(softmax)(x, rows, count, f, table, y);
}

static int bits(unsigned __int128 v) {
  uint64_t high = (uint64_t)(v >> 64), low = (uint64_t)v;
  return high ? 128 - __builtin_clzll(high) : low ? 64 - __builtin_clzll(low) : 0;
}

ck_wide_row ck_wide_normalization_row(const ck_wide_normalization *n, int64_t sum, unsigned __int128 squares) {
  // epsilon in the unit of the squared deviations: count^2 * epsilon * 2^(2 fx).
  int32_t net = n->epsilon.shift - 2 * n->fx;
  unsigned __int128 epsilon = (unsigned __int128)n->count * (uint64_t)n->count * (uint64_t)n->epsilon.m0;
  epsilon = net > 127 ? 0 : net >= 0 ? epsilon >> net : epsilon << -net;
  unsigned __int128 w = squares / (uint64_t)n->count + epsilon;
  // w * 2^(2k) has 79 or 80 bits; its root 40; the reciprocal 2^80 / root 41.
  int32_t k = (80 - bits(w)) / 2;
  if (bits(w) > 80) k = -((bits(w) - 79) / 2);
  unsigned __int128 scaled = k >= 0 ? w << (2 * k) : w >> (-2 * k);
  uint64_t root = square_root(scaled);
  uint64_t reciprocal = root ? (uint64_t)((((unsigned __int128)1 << 80) + root / 2) / root) : 0;
  return (ck_wide_row){sum, reciprocal, 80 - 24 - k};  // of deviation times reciprocal, to fraction 24
}

int32_t ck_wide_normalized(const ck_wide_normalization *n, const ck_wide_row *row, const int32_t *x, int64_t i) {
  int64_t d = n->count * x[i] - row->sum;
  ck_i128 p = (ck_i128)d * row->reciprocal;
  ck_i128 q = row->s > 126 ? 0 : row->s >= 0 ? ck_shift_even_wide(p, row->s) : p << -row->s;
  ck_i128 v = q * n->gamma[i];
  if (n->beta) v += (ck_i128)n->beta[i] * ((ck_i128)1 << (24 + n->fg - n->fb));
  return saturate_wide(ck_shift_even_wide(v, 24 + n->fg - n->fy));
}

void ck_wide_normalize_portable(const ck_wide_normalization *n, const int32_t *x, int64_t rows, int32_t *y) {
  int64_t count = n->count;
  for (int64_t r = 0; r < rows; r++, x += count, y += count) {
    int64_t sum = 0;
    if (n->centred)
      for (int64_t i = 0; i < count; i++) sum += x[i];
    unsigned __int128 squares = 0;
    for (int64_t i = 0; i < count; i++) {
      int64_t d = count * x[i] - sum;  // below 2^52
      squares += (unsigned __int128)((ck_i128)d * d);
    }
    ck_wide_row row = ck_wide_normalization_row(n, sum, squares);
    for (int64_t i = 0; i < count; i++) y[i] = ck_wide_normalized(n, &row, x, i);
  }
}

void ck_wide_normalize(const ck_wide_normalization *n, const int32_t *x, int64_t rows, int32_t *y) {
  TWIN(normalize)(n, x, rows, y);
}

CK_INLINE int32_t quotient(int64_t sum, int64_t count) {
  int64_t q = sum / count, rest = sum - q * count;
  if (rest < 0) {
    q -= 1;
    rest += count;
  }
  return saturate(q + (rest > count - rest || (rest == count - rest && (q & 1))));
}

void ck_wide_mean(const int32_t *x, int64_t outer, int64_t count, int64_t inner, int32_t *y) {
  for (int64_t o = 0; o < outer; o++)
    for (int64_t i = 0; i < inner; i++) {
      int64_t sum = 0;
      for (int64_t k = 0; k < count; k++) sum += x[(o * count + k) * inner + i];
      y[o * inner + i] = quotient(sum, count);
    }
}

void ck_wide_average_pool(
    const ck_int_pool_shape *s, const ck_int_conv_geometry *g, const int32_t *x, const int32_t *divisor, int32_t *y) {
  int64_t pixels = s->output[0] * s->output[1] * s->output[2];
  for (int64_t b = 0; b < g->batch; b++)
    for (int64_t pixel = 0; pixel < pixels; pixel++) {
      int64_t o[3] = {pixel / (s->output[1] * s->output[2]), pixel / s->output[2] % s->output[1], pixel % s->output[2]};
      for (int64_t c = 0; c < s->channels; c++) {
        int64_t sum = 0, inside = 0;
        for (int64_t kd = 0; kd < s->kernel[0]; kd++)
          for (int64_t kh = 0; kh < s->kernel[1]; kh++)
            for (int64_t kw = 0; kw < s->kernel[2]; kw++) {
              int64_t d = o[0] * s->stride[0] + kd * s->dilation[0] - g->begin[0];
              int64_t h = o[1] * s->stride[1] + kh * s->dilation[1] - g->begin[1];
              int64_t w = o[2] * s->stride[2] + kw * s->dilation[2] - g->begin[2];
              if (d < 0 || h < 0 || w < 0 || d >= g->input[0] || h >= g->input[1] || w >= g->input[2]) continue;
              sum += x[(((b * g->input[0] + d) * g->input[1] + h) * g->input[2] + w) * s->channels + c];
              inside++;
            }
        int64_t count = divisor ? divisor[pixel] : inside;
        y[(b * pixels + pixel) * s->channels + c] = count > 0 ? quotient(sum, count) : 0;
      }
    }
}

void ck_wide_transpose(const int32_t *x, int64_t batch, int64_t rows, int64_t columns, int32_t *y) {
  for (int64_t b = 0; b < batch; b++, x += rows * columns, y += rows * columns)
    for (int64_t r0 = 0; r0 < rows; r0 += 16)
      for (int64_t c = 0; c < columns; c++)
        for (int64_t r = r0; r < rows && r < r0 + 16; r++) y[c * rows + r] = x[r * columns + c];
}
