// QuantizeLinear and DequantizeLinear between float32 and 8 or 16 bit integers.

typedef struct {
  ck_quant_type type;
  ptrdiff_t channels, inner;
  const float *x, *scale;
  const int32_t *zero;
  float *y;
  const void *from;
  void *to;
} quant_call;

INLINE vi clamp_int(vi v, int32_t low, int32_t high) {
  const vi l = splat_int(low), h = splat_int(high);
  v = v < l ? l : v;
  return v > h ? h : v;
}

// Quotients beyond 2^20 saturate whatever the zero point.
INLINE vi quantize_value(vf x, vf scale, vi zero, int32_t low, int32_t high) {
  vf q = x / scale;
  q = select_(q != q, splat(0), q);
  q = round_small(at_most(at_least(q, splat(-0x1p20f)), splat(0x1p20f)));
  return clamp_int(__builtin_convertvector(q, vi) + zero, low, high);
}
INLINE vf dequantize_value(vi q, vf scale, vi zero) { return __builtin_convertvector(q - zero, vf) * scale; }

INLINE int32_t quant_low(ck_quant_type t) { return t == CK_INT8 ? -128 : t == CK_INT16 ? -32768 : 0; }
INLINE int32_t quant_high(ck_quant_type t) {
  return t == CK_INT8 ? 127 : t == CK_UINT8 ? 255 : t == CK_INT16 ? 32767 : 65535;
}

typedef int8_t vi8 __attribute__((ext_vector_type(LANES), aligned(1), may_alias));
typedef uint8_t vu8 __attribute__((ext_vector_type(LANES), aligned(1), may_alias));
typedef int16_t vi16 __attribute__((ext_vector_type(LANES), aligned(1), may_alias));
typedef uint16_t vu16 __attribute__((ext_vector_type(LANES), aligned(1), may_alias));

INLINE void put_integers(ck_quant_type type, void *to, ptrdiff_t at, vi v, ptrdiff_t count) {
  char memory[2 * LANES];
  size_t size = type == CK_INT8 || type == CK_UINT8 ? 1 : 2;
  char *p = count >= LANES ? (char *)to + (size_t)at * size : memory;
  if (size == 1)
    *(vi8 *)p = __builtin_convertvector(v, vi8);
  else
    *(vi16 *)p = __builtin_convertvector(v, vi16);
  if (count < LANES) memcpy((char *)to + (size_t)at * size, memory, (size_t)count * size);
}

INLINE vi get_integers(ck_quant_type type, const void *from, ptrdiff_t at, ptrdiff_t count) {
  char memory[2 * LANES];
  size_t size = type == CK_INT8 || type == CK_UINT8 ? 1 : 2;
  const char *p = (const char *)from + (size_t)at * size;
  if (count < LANES) {
    memset(memory, 0, sizeof memory);
    memcpy(memory, p, (size_t)count * size);
    p = memory;
  }
  switch (type) {
  case CK_INT8:
    return __builtin_convertvector(*(const vi8 *)p, vi);
  case CK_UINT8:
    return __builtin_convertvector(*(const vu8 *)p, vi);
  case CK_INT16:
    return __builtin_convertvector(*(const vi16 *)p, vi);
  default:
    return __builtin_convertvector(*(const vu16 *)p, vi);
  }
}

enum { QUANTIZE, DEQUANTIZE, BOTH };

// n elements from `at` on; scales and zero points step along with them or stay.
INLINE void quant_run(int mode, ck_quant_type type, int stepping, const quant_call *c, ptrdiff_t at, ptrdiff_t n,
                      ptrdiff_t channel) {
  const int32_t low = quant_low(type), high = quant_high(type);
  vf scale = splat(c->scale[channel]);
  vi zero = splat_int(c->zero ? c->zero[channel] : 0);
  for (ptrdiff_t i = 0; i < n; i += LANES) {
    ptrdiff_t count = n - i;
    if (stepping) {
      int32_t zeros[LANES];
      float scales[LANES];
      for (ptrdiff_t j = 0; j < LANES; j++) {
        zeros[j] = c->zero && j < count ? c->zero[channel + i + j] : 0;
        scales[j] = j < count ? c->scale[channel + i + j] : 1;
      }
      scale = load(scales);
      zero = *(const vi_any *)zeros;
    }
    vi q;
    if (mode == DEQUANTIZE)
      q = get_integers(type, c->from, at + i, count);
    else
      q = quantize_value(count >= LANES ? load(c->x + at + i) : load_part(c->x + at + i, count, 0), scale, zero, low,
                         high);
    if (mode == QUANTIZE) {
      put_integers(type, c->to, at + i, q, count);
    } else {
      const vf y = dequantize_value(q, scale, zero);
      if (count >= LANES)
        store(c->y + at + i, y);
      else
        store_part(c->y + at + i, y, count);
    }
  }
}

INLINE void quant_range(int mode, ck_quant_type type, const quant_call *c, ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t at = begin; at < end;) {
    if (c->inner == 1 && c->channels > 1) {
      ptrdiff_t channel = at % c->channels, n = smaller(end - at, c->channels - channel);
      quant_run(mode, type, 1, c, at, n, channel);
      at += n;
    } else {
      ptrdiff_t n = c->channels == 1 ? end - at : smaller(end - at, c->inner - at % c->inner);
      quant_run(mode, type, 0, c, at, n, c->channels == 1 ? 0 : at / c->inner % c->channels);
      at += n;
    }
  }
}

#define QUANT_TASK(NAME, MODE)                                                                                         \
  static void NAME(void *context, ptrdiff_t begin, ptrdiff_t end) {                                                    \
    const quant_call *c = context;                                                                                     \
    switch (c->type) {                                                                                                 \
    case CK_INT8:                                                                                                      \
      quant_range(MODE, CK_INT8, c, begin, end);                                                                       \
      break;                                                                                                           \
    case CK_UINT8:                                                                                                     \
      quant_range(MODE, CK_UINT8, c, begin, end);                                                                      \
      break;                                                                                                           \
    case CK_INT16:                                                                                                     \
      quant_range(MODE, CK_INT16, c, begin, end);                                                                      \
      break;                                                                                                           \
    default:                                                                                                           \
      quant_range(MODE, CK_UINT16, c, begin, end);                                                                     \
    }                                                                                                                  \
  }
QUANT_TASK(quantize_task, QUANTIZE)
QUANT_TASK(dequantize_task, DEQUANTIZE)
QUANT_TASK(fake_quantize_task, BOTH)

static void quantize(ck_pool *pool, ck_quant_type type, ptrdiff_t outer, ptrdiff_t channels, ptrdiff_t inner,
                     const float *x, const float *scale, const int32_t *zero_point, void *q) {
  quant_call c = {
      .type = type, .channels = channels, .inner = inner, .x = x, .scale = scale, .zero = zero_point, .to = q};
  ck_parallel_for(pool, outer * channels * inner, ELEMENTS_PER_TASK, quantize_task, &c);
}

static void dequantize(ck_pool *pool, ck_quant_type type, ptrdiff_t outer, ptrdiff_t channels, ptrdiff_t inner,
                       const void *q, const float *scale, const int32_t *zero_point, float *x) {
  quant_call c = {
      .type = type, .channels = channels, .inner = inner, .from = q, .scale = scale, .zero = zero_point, .y = x};
  ck_parallel_for(pool, outer * channels * inner, ELEMENTS_PER_TASK, dequantize_task, &c);
}

static void fake_quantize(ck_pool *pool, ck_quant_type type, ptrdiff_t outer, ptrdiff_t channels, ptrdiff_t inner,
                          const float *x, const float *scale, const int32_t *zero_point, float *y) {
  quant_call c = {
      .type = type, .channels = channels, .inner = inner, .x = x, .scale = scale, .zero = zero_point, .y = y};
  ck_parallel_for(pool, outer * channels * inner, ELEMENTS_PER_TASK, fake_quantize_task, &c);
}
