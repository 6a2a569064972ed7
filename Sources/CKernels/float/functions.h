// Elementwise functions: one polynomial each, the same operations for any LANES. Error bounds are in units in the
// last place of the result against the exact value, measured over a dense grid of all magnitudes by the tests.
// Coefficients are our own weighted minimax fits.

INLINE vf magnitude(vf x) { return from_bits(bits(x) & 0x7fffffff); }
INLINE vf with_sign(vf x, vf sign) { return from_bits(bits(x) | (bits(sign) & (int32_t)0x80000000)); }
INLINE vf polynomial(vf x, const float *c, int n) {
  vf p = splat(c[n - 1]);
  UNROLL for (int i = n - 2; i >= 0; i--) p = fma_(p, x, splat(c[i]));
  return p;
}
// 2^n for -126 <= n <= 127.
INLINE vf power_of_two(vi n) { return from_bits((n + 127) << 23); }

// x 2^n for whole n in -252 ..< 256, or NaN where either is, rounded once: the first of the two products is exact for the
// x in [1/2, 2) that this is used for.
INLINE vf scale_(vf x, vf n) {
#if LANES == 16 && defined(__AVX512F__)
  return (vf)_mm512_scalef_ps((__m512)x, (__m512)n);
#else
  // NaN has any power; the product stays NaN.
  const vi whole = __builtin_convertvector(select_(n != n, splat(0), n), vi), half = whole >> 1;
  return x * power_of_two(half) * power_of_two(whole - half);
#endif
}

#define LN2_HIGH 0x1.62e400p-1f
#define LN2_LOW 0x1.7f7d1cp-20f

// x = n ln 2 + r with |r| <= ln 2 / 2, and (e^r - 1 - r) / r^2, relative error below 4e-9 of e^r.
INLINE vf exp_reduce(vf x, vf *n, vf *r) {
  static const float c[] = {0.5f, 0x1.555486p-3f, 0x1.555454p-5f, 0x1.124148p-7f, 0x1.6dbc68p-10f};
  *n = round_small(x * splat(0x1.715476p+0f));
  *r = fma_(*n, splat(-LN2_LOW), fma_(*n, splat(-LN2_HIGH), x));
  return polynomial(*r, c, 5);
}

// 1.0 ulp; subnormal results too.
INLINE vf exp_(vf x) {
  const vf t = at_most(at_least(x, splat(-104)), splat(89));
  vf n, r;
  const vf q = exp_reduce(t, &n, &r);
  return scale_(fma_(r * r, q, r) + splat(1), n);
}

// 2 ulp.
INLINE vf expm1_(vf x) {
  const vf t = at_most(at_least(x, splat(-30)), splat(80));
  vf n, r;
  const vf q = exp_reduce(t, &n, &r);
  const vf scale = power_of_two(__builtin_convertvector(select_(t != t, splat(0), n), vi));
  const vf y = fma_(scale, fma_(r * r, q, r), scale - splat(1));
  // Keeps the sign of zero, and gives large results their last bits.
  return select_(x == splat(0), x, select_(x > splat(60), exp_(x), y));
}

// 1.5 ulp. Subnormal arguments too; log(-0) is -inf as log(0).
INLINE vf log_(vf x) {
  static const float c[] = {0x1.555546p-2f,  -0x1.ffffecp-3f, 0x1.99a582p-3f,  -0x1.556374p-3f, 0x1.232df8p-3f,
                            -0x1.fb2836p-4f, 0x1.e68212p-4f,  -0x1.e3a7ccp-4f, 0x1.1bb694p-4f};
  const vi small = x < splat(0x1p-126f);
  const vf normal = select_(small, x * splat(0x1p+23f), x);
  // m in [sqrt 1/2, sqrt 2): the exponent is taken after an offset of the pattern.
  const vi pattern = bits(normal) - 0x3f3504f3;
  const vi exponent = pattern >> 23;
  const vf m = from_bits((pattern & 0x007fffff) + 0x3f3504f3);
  const vf e = __builtin_convertvector(exponent, vf) - select_(small, splat(23), splat(0));
  const vf f = m - splat(1), z = f * f;
  vf y = z * f * polynomial(f, c, 9);
  y = fma_(e, splat(LN2_LOW), y);
  y = fma_(splat(-0.5f), z, y);
  y = fma_(e, splat(LN2_HIGH), f + y);
  y = select_(x == splat(INFINITY), x, y);
  y = select_(x < splat(0), splat(NAN), y);
  y = select_(x == splat(0), splat(-INFINITY), y);
  return select_(x != x, x, y);
}

// 2 ulp.
INLINE vf log1p_(vf x) {
  const vf u = x + splat(1), c = x - (u - splat(1));
  const vf y = log_(u) + c / u;
  return select_((u > splat(0)) & (u < splat(INFINITY)), select_(x == splat(0), x, y), log_(u));
}

// 2 ulp.
INLINE vf sigmoid_(vf x) {
  vf n, r;
  const vf q = exp_reduce(at_least(from_bits(bits(x) | (int32_t)0x80000000), splat(-104)), &n, &r);
  const vf z = scale_(fma_(r * r, q, r) + splat(1), n), d = z + splat(1);
  return select_(x < splat(0), z, splat(1)) / select_(x != x, x, d);
}

// 1.5 ulp.
INLINE vf tanh_(vf x) {
  static const float c[] = {-0x1.555554p-2f, 0x1.111044p-3f,  -0x1.b9e782p-5f,
                            0x1.633b66p-6f,  -0x1.0a5f00p-7f, 0x1.12f3d6p-9f};
  const vf a = magnitude(x), z = x * x;
  const vf near = fma_(x * z, polynomial(z, c, 6), x);
  const vf far = splat(1) - splat(2) / (exp_(at_most(a + a, splat(40))) + splat(1));
  return select_(a < splat(0.625f), near, select_(x != x, x, with_sign(far, x)));
}

// 1.5 ulp.
INLINE vf erf_(vf x) {
  static const float c[] = {0x1.06eba8p-3f,  -0x1.81273ep-2f, 0x1.ce2d20p-4f, -0x1.b7fbb4p-6f,
                            0x1.5419f6p-8f, -0x1.a485ecp-11f, 0x1.4ae4d0p-14f};
  // -log(erfc(a)) for a of 0.9 to 4.
  static const float g[] = {-0x1.65abbep-13f, 0x1.212698p+0f, 0x1.444b42p-1f,   0x1.bb564ep-4f,
                            -0x1.9b1952p-6f,  0x1.10a9fcp-8f, -0x1.c54d30p-12f, 0x1.5ecd78p-16f};
  const vf a = magnitude(x), z = x * x;
  const vf near = fma_(x, polynomial(z, c, 7), x);
  const vf far = splat(1) - exp_(-polynomial(at_most(a, splat(4)), g, 8));
  return select_(a < splat(0.95f), near, select_(x != x, x, with_sign(far, x)));
}

// 2 ulp.
INLINE vf softplus_(vf x) { return at_least(x, splat(0)) + log1p_(exp_(from_bits(bits(x) | (int32_t)0x80000000))); }

// Absolute error below 1e-7 |x| + 1e-7.
INLINE vf gelu_(vf x) { return (x * splat(0.5f)) * (erf_(x * splat(0x1.6a09e6p-1f)) + splat(1)); }
INLINE vf gelu_tanh_(vf x) {
  const vf inner = x * fma_(x * x, splat(0x1.2444f4p-5f), splat(0x1.988454p-1f));
  return (x * splat(0.5f)) * (tanh_(inner) + splat(1));
}

INLINE vf unary_value(ck_unary_op op, vf a, vf b, vf x) {
  switch (op) {
  case CK_RELU:
    return at_least(x, splat(0));
  case CK_CLIP:
    return at_most(at_least(x, a), b);
  case CK_LEAKY_RELU:
    return select_(x < splat(0), a * x, x);
  case CK_ELU:
    return select_(x < splat(0), a * expm1_(x), x);
  case CK_SELU:
    return b * select_(x < splat(0), a * expm1_(x), x);
  case CK_CELU:
    return select_(x < splat(0), a * expm1_(x / a), x);
  case CK_THRESHOLDED:
    return select_((x > a) | (x != x), x, splat(0));
  case CK_HARD_SIGMOID:
    return at_most(at_least(fma_(a, x, b), splat(0)), splat(1));
  case CK_HARD_SWISH:
    return x * at_most(at_least(fma_(x, splat(1.0f / 6), splat(0.5f)), splat(0)), splat(1));
  case CK_SIGMOID:
    return sigmoid_(x);
  case CK_SWISH:
    return x * sigmoid_(a * x);
  case CK_TANH:
    return tanh_(x);
  case CK_ERF:
    return erf_(x);
  case CK_GELU:
    return gelu_(x);
  case CK_GELU_TANH:
    return gelu_tanh_(x);
  case CK_EXP:
    return exp_(x);
  case CK_EXPM1:
    return expm1_(x);
  case CK_LOG:
    return log_(x);
  case CK_LOG1P:
    return log1p_(x);
  case CK_SOFTPLUS:
    return softplus_(x);
  case CK_SOFTSIGN:
    return x / (splat(1) + magnitude(x));
  case CK_MISH:
    return x * tanh_(softplus_(x));
  case CK_SQRT:
    return __builtin_elementwise_sqrt(x);
  case CK_RSQRT:
    return splat(1) / __builtin_elementwise_sqrt(x);
  case CK_RECIPROCAL:
    return splat(1) / x;
  case CK_ABS:
    return magnitude(x);
  case CK_NEGATE:
    return -x;
  case CK_SQUARE:
    return x * x;
  case CK_FLOOR:
    return __builtin_elementwise_floor(x);
  case CK_CEIL:
    return __builtin_elementwise_ceil(x);
  case CK_ROUND:
    return __builtin_elementwise_roundeven(x);
  case CK_SIGN:
    return select_(x > splat(0), splat(1), select_(x < splat(0), splat(-1), x));
  case CK_AFFINE:
    return fma_(a, x, b);
  default:
    return x;
  }
}

INLINE void unary_loop(ck_unary_op op, float a, float b, ptrdiff_t n, const float *x, float *y) {
  const vf va = splat(a), vb = splat(b);
  ptrdiff_t i = 0;
  for (; i + LANES <= n; i += LANES) store(y + i, unary_value(op, va, vb, load(x + i)));
  if (i < n) store_part(y + i, unary_value(op, va, vb, load_part(x + i, n - i, 1)), n - i);
}

#define FOR_EACH_UNARY(DO)                                                                                             \
  DO(CK_RELU) DO(CK_CLIP) DO(CK_LEAKY_RELU) DO(CK_ELU) DO(CK_SELU) DO(CK_CELU) DO(CK_THRESHOLDED) DO(CK_HARD_SIGMOID)  \
  DO(CK_HARD_SWISH) DO(CK_SIGMOID) DO(CK_SWISH) DO(CK_TANH) DO(CK_ERF) DO(CK_GELU) DO(CK_GELU_TANH) DO(CK_EXP)         \
  DO(CK_EXPM1) DO(CK_LOG) DO(CK_LOG1P) DO(CK_SOFTPLUS) DO(CK_SOFTSIGN) DO(CK_MISH) DO(CK_SQRT) DO(CK_RSQRT)            \
  DO(CK_RECIPROCAL) DO(CK_ABS) DO(CK_NEGATE) DO(CK_SQUARE) DO(CK_FLOOR) DO(CK_CEIL) DO(CK_ROUND) DO(CK_SIGN)           \
  DO(CK_AFFINE)

NOINLINE void unary_range(ck_unary_op op, float a, float b, ptrdiff_t n, const float *x, float *y) {
  switch (op) {
#define CASE(OP)                                                                                                       \
  case OP:                                                                                                             \
    unary_loop(OP, a, b, n, x, y);                                                                                     \
    break;
    FOR_EACH_UNARY(CASE)
#undef CASE
  default:
    if (x != y) memmove(y, x, (size_t)n * sizeof(float));
  }
}
