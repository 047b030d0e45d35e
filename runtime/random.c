// Random numbers, and normal ones many at a time: networks have thousands of millions of parameters to draw. log and
// cos are series on eight numbers at once, in double precision and without fused operations (see CMakeLists.txt), so
// that every machine draws the same.
#include "runtime/base.h"

#include <math.h>
#include <string.h>

enum { LANES = 8 };
typedef double numbers __attribute__((vector_size(64)));
typedef float floats __attribute__((vector_size(32)));
typedef uint64_t words __attribute__((vector_size(64)));
typedef int64_t integers __attribute__((vector_size(64)));

#define INLINE static inline __attribute__((always_inline))
#define GAMMA 0x9e3779b97f4a7c15u

random_stream random_named(uint64_t seed, const char *name) {
  uint64_t hash = hash_bytes(HASH_START, &seed, sizeof seed);
  return (random_stream){hash_bytes(hash, name, strlen(name))};
}

uint64_t random_next(random_stream *r) {
  uint64_t z = r->state += GAMMA;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

void random_skip(random_stream *r, uint64_t count) { r->state += count * GAMMA; }

double random_uniform(random_stream *r) { return (double)(random_next(r) >> 11) * 0x1p-53; }

// ---- eight at a time ----------------------------------------------------------------------------

INLINE void uniforms(words z, numbers *out) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  *out = __builtin_convertvector((z ^ (z >> 31)) >> 11, numbers) * 0x1p-53;
}

INLINE numbers series(const double *terms, int count, numbers x) {
  numbers sum = x * 0 + terms[count - 1];
  for (int i = count - 2; i >= 0; --i) sum = sum * x + terms[i];
  return sum;
}

// Of numbers in (0, 1]: m 2^e with m from sqrt(1/2) to sqrt(2); log m = 2 atanh((m - 1) / (m + 1)).
INLINE void logarithms(numbers x, numbers *out) {
  static const double terms[] = {1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11,
                                 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21};
  const double high = 0x1.62e42fefa38p-1, low = 0x1.ef35793c7673p-45; // of log 2; e times the first is exact
  const uint64_t root = 0x3fe6a09e667f3bcdu, one = 0x3ff0000000000000u;
  words bits = (words)x + (one - root);
  integers exponent = (integers)(bits >> 52) - 1023;
  numbers m = (numbers)((bits & 0xfffffffffffffu) + root), e = __builtin_convertvector(exponent, numbers);
  numbers s = (m - 1) / (m + 1), square = s * s;
  *out = e * high + (2 * s + (2 * s * square * series(terms, LENGTH(terms), square) + e * low));
}

// Of numbers from 0 to 2 pi: x = k pi/2 + r, and a series of r for the sine or the cosine.
INLINE void cosines(numbers x, numbers *out) {
  static const double sine[] = {1,
                                -1.0 / 6,
                                1.0 / 120,
                                -1.0 / 5040,
                                1.0 / 362880,
                                -1.0 / 39916800,
                                1.0 / 6227020800,
                                -1.0 / 1307674368000,
                                1.0 / 355687428096000};
  static const double cosine[] = {1,
                                  -1.0 / 2,
                                  1.0 / 24,
                                  -1.0 / 720,
                                  1.0 / 40320,
                                  -1.0 / 3628800,
                                  1.0 / 479001600,
                                  -1.0 / 87178291200,
                                  1.0 / 20922789888000};
  const double high = 0x1.921fb544p+0, low = 0x1.0b4611a626331p-34; // of pi/2; k times the first is exact
  integers k = __builtin_convertvector(x * 0.6366197723675814 + 0.5, integers);
  numbers turns = __builtin_convertvector(k, numbers), r = (x - turns * high) - turns * low, square = r * r;
  numbers s = r * series(sine, LENGTH(sine), square), c = series(cosine, LENGTH(cosine), square);
  words odd = (words) - (k & 1), negative = (words)((k + 1) & 2) << 62; // k: cos r, -sin r, -cos r, sin r, cos r
  *out = (numbers)((((words)s & odd) | ((words)c & ~odd)) ^ negative);
}

INLINE numbers roots(numbers x) {
  double y[LANES];
  memcpy(y, &x, sizeof y);
  for (int i = 0; i < LANES; ++i) y[i] = sqrt(y[i]);
  memcpy(&x, y, sizeof y);
  return x;
}

INLINE void normals(uint64_t state, numbers *out) {
  const words steps = {1, 3, 5, 7, 9, 11, 13, 15};
  numbers u, v, log_u, cos_v;
  uniforms(steps * GAMMA + state, &u);
  uniforms((steps + 1) * GAMMA + state, &v);
  logarithms(1 - u, &log_u);
  cosines(6.283185307179586 * v, &cos_v);
  *out = roots(-2 * log_u) * cos_v;
}

INLINE void fill(random_stream *r, double mean, double std, float *out, int64_t count) {
  numbers some;
  for (int64_t i = 0; i < count; i += LANES) {
    normals(r->state, &some);
    floats rounded = __builtin_convertvector(some * std + mean, floats);
    int64_t left = count - i < LANES ? count - i : LANES;
    if (left == LANES) memcpy(out + i, &rounded, sizeof rounded);
    else memcpy(out + i, &rounded, (size_t)left * sizeof *out);
    random_skip(r, 2 * (uint64_t)left); // a normal number takes two
  }
}

double random_normal(random_stream *r) {
  numbers some;
  normals(r->state, &some);
  random_skip(r, 2);
  return some[0];
}

#ifdef __x86_64__
__attribute__((target("avx512f,avx512dq,avx512vl"))) static void fill_avx512(random_stream *r, double mean, double std,
                                                                             float *out, int64_t count) {
  fill(r, mean, std, out, count);
}
#endif

void random_normals(random_stream *r, double mean, double std, float *out, int64_t count) {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    fill_avx512(r, mean, std, out, count);
    return;
  }
#endif
  fill(r, mean, std, out, count);
}
