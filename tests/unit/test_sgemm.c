// The products of the CPU, ours and OpenBLAS', against sums in double precision: odd shapes, strides, transposes.
#include "runtime/blas.h"
#include "runtime/products.h"
#include "runtime/sgemm_avx512.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static uint32_t seed = 1;
static int64_t draw(int64_t most) { // 1 … most
  seed = seed * 1664525u + 1013904223u;
  return 1 + (int64_t)(seed >> 8) % most;
}

static float *drawn(int64_t count) { // on its own pages, so that reading beyond it is seen by the sanitizer
  float *x = malloc((size_t)count * sizeof *x);
  for (int64_t i = 0; i < count; ++i) x[i] = (float)draw(2000) / 1000 - 1;
  return x;
}

typedef struct product {
  bool trans_a, trans_b, adds;
  int64_t m, n, k, lda, ldb, ldc;
  float *a, *b, *c;
} product;

static product draw_product(int64_t most_m, int64_t most_n, int64_t most_k) {
  product p = {draw(2) == 1, draw(2) == 1, draw(2) == 1, draw(most_m), draw(most_n), draw(most_k), 0, 0, 0, 0, 0, 0};
  p.lda = (p.trans_a ? p.m : p.k) + draw(3) - 1, p.ldb = (p.trans_b ? p.k : p.n) + draw(3) - 1;
  p.ldc = p.n + draw(3) - 1;
  p.a = drawn((p.trans_a ? p.k - 1 : p.m - 1) * p.lda + (p.trans_a ? p.m : p.k));
  p.b = drawn((p.trans_b ? p.n - 1 : p.k - 1) * p.ldb + (p.trans_b ? p.k : p.n));
  p.c = drawn(p.m * p.ldc);
  return p;
}

static void free_product(product *p) { free(p->a), free(p->b), free(p->c); }

static void run(const product *p, bool ours, int64_t row, int64_t rows, int64_t column, int64_t columns, float *c) {
  const float *a = p->a + (p->trans_a ? row : row * p->lda), *b = p->b + (p->trans_b ? column * p->ldb : column);
  c += row * p->ldc + column;
  if (!ours) {
    blas_sgemm(p->trans_a, p->trans_b, rows, columns, p->k, a, p->lda, b, p->ldb, p->adds, c, p->ldc);
    return;
  }
  void *room = aligned_alloc(64, (size_t)sgemm_avx512_room());
  sgemm_avx512(p->trans_a, p->trans_b, rows, columns, p->k, a, p->lda, b, p->ldb, p->adds, c, p->ldc, room);
  free(room);
}

static float *copied(const product *p) {
  size_t bytes = (size_t)(p->m * p->ldc) * sizeof(float);
  return memcpy(malloc(bytes), p->c, bytes);
}

static void check(const product *p, bool ours) {
  float *c = copied(p);
  run(p, ours, 0, p->m, 0, p->n, c);
  for (int64_t i = 0; i < p->m; ++i)
    for (int64_t j = 0; j < p->ldc; ++j) {
      double sum = p->adds || j >= p->n ? p->c[i * p->ldc + j] : 0, size = fabs(sum);
      for (int64_t l = 0; l < p->k && j < p->n; ++l) {
        double x = (double)p->a[p->trans_a ? l * p->lda + i : i * p->lda + l] *
                   (double)p->b[p->trans_b ? j * p->ldb + l : l * p->ldb + j];
        sum += x, size += fabs(x);
      }
      double bar = j < p->n ? (double)(p->k + 1) * 0x1p-24 * size : 0; // of a sum in float32 in any order
      if (!(fabs(c[i * p->ldc + j] - sum) <= bar))
        fail_msg("%s: %lld x %lld x %lld%s%s%s: [%lld, %lld] is %g, not %g", ours ? "ours" : "OpenBLAS",
                 (long long)p->m, (long long)p->n, (long long)p->k, p->trans_a ? " At" : "", p->trans_b ? " Bt" : "",
                 p->adds ? " +=" : "", (long long)i, (long long)j, c[i * p->ldc + j], sum);
    }
  free(c);
}

static bool have_ours(void) {
  lmn_error error = {{0}};
  assert_true(products_open(&error));
  return !strcmp(products_by(), "sgemm_avx512");
}

static void test_products(void **state) {
  (void)state;
  lmn_error error = {{0}};
  assert_true(blas_open(&error));
  bool ours = have_ours();
  for (int i = 0; i < 240; ++i) {
    product p = draw_product(i % 3 == 0 ? 12 : 150, i % 3 == 1 ? 12 : 150, i % 8 == 0 ? 2000 : 90);
    check(&p, false);
    if (ours) check(&p, true);
    free_product(&p);
  }
}

// A few products large enough for every way of keeping an operand in the cache.
static void test_large_products(void **state) {
  (void)state;
  if (!have_ours()) skip();
  static const int64_t shapes[][3] = {
      {70, 900, 300}, {900, 70, 300}, {400, 700, 100}, {33, 500, 1600}, {500, 33, 1600}};
  for (size_t i = 0; i < LENGTH(shapes); ++i)
    for (int kind = 0; kind < 4; ++kind) {
      product p = {kind & 1, kind & 2, i & 1, shapes[i][0], shapes[i][1], shapes[i][2], 0, 0, 0, 0, 0, 0};
      p.lda = p.trans_a ? p.m : p.k, p.ldb = p.trans_b ? p.k : p.n, p.ldc = p.n;
      p.a = drawn(p.m * p.k), p.b = drawn(p.k * p.n), p.c = drawn(p.m * p.n);
      check(&p, true);
      free_product(&p);
    }
}

// A product in pieces gives the same bits.
static void test_pieces(void **state) {
  (void)state;
  if (!have_ours()) skip();
  for (int i = 0; i < 60; ++i) {
    product p = draw_product(200, 200, i % 4 == 0 ? 1700 : 100);
    float *whole = copied(&p), *pieces = copied(&p);
    run(&p, true, 0, p.m, 0, p.n, whole);
    int64_t rows = draw(p.m), columns = draw(p.n);
    for (int64_t row = 0; row < p.m; row += rows)
      for (int64_t column = 0; column < p.n; column += columns)
        run(&p, true, row, p.m - row < rows ? p.m - row : rows, column, p.n - column < columns ? p.n - column : columns,
            pieces);
    assert_memory_equal(whole, pieces, (size_t)(p.m * p.ldc) * sizeof(float));
    free(whole), free(pieces);
    free_product(&p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_products), cmocka_unit_test(test_large_products),
                                     cmocka_unit_test(test_pieces)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
