// links: codegen
// kernel.row, kernel.column, kernel.glu and its gradient beside plain loops in double.
#include "cpu_harness.h"

#include <float.h>

// ---- kernel.row: y = (x + z) rstd w with rstd = 1 / sqrt(mean((x + z)²) + scalar), also x + z itself, rstd and the
// largest element

typedef struct row_case {
  int rows, columns, groups;
  bool in_place; // the sum takes the place of z
} row_case;

typedef struct row_values {
  int64_t x, z, e, y, sum, rstd, top, w[4];
} row_values;

static void add_row_bodies(harness *h, int columns) {
  text_printf(
      &h->functions,
      "  func.func private @square%d(%%x: f32, %%z: f32, %%e: f32, %%w: f32) -> (f32, f32) {\n"
      "    %%s = arith.addf %%x, %%z : f32\n    %%q = arith.mulf %%s, %%s : f32\n    return %%q, %%s : f32, f32\n  }\n"
      "  func.func private @scale%d(%%q: f32, %%e: f32) -> f32 {\n    %%n = arith.constant %d.0 : f32\n"
      "    %%m = arith.divf %%q, %%n : f32\n    %%v = arith.addf %%m, %%e : f32\n    %%r = math.rsqrt %%v : f32\n"
      "    return %%r : f32\n  }\n"
      "  func.func private @norm%d(%%x: f32, %%z: f32, %%e: f32, %%w: f32, %%q: f32, %%t: f32) -> (f32, f32) {\n"
      "    %%s = arith.addf %%x, %%z : f32\n    %%r = func.call @scale%d(%%q, %%e) : (f32, f32) -> f32\n"
      "    %%a = arith.mulf %%s, %%r : f32\n    %%y = arith.mulf %%a, %%w : f32\n    return %%y, %%s : f32, f32\n  }\n"
      "  func.func private @finish%d(%%e: f32, %%q: f32, %%t: f32) -> (f32, f32) {\n"
      "    %%r = func.call @scale%d(%%q, %%e) : (f32, f32) -> f32\n    return %%r, %%t : f32, f32\n  }\n",
      h->names, h->names, columns, h->names, h->names, h->names, h->names);
}

static row_values add_row(harness *h, const row_case *c) {
  row_values v = {0};
  char name[32], matrix[64], vector[64], column[64];
  int n = ++h->names;
  harness_type(matrix, c->rows, c->columns, "f32");
  harness_type(vector, c->rows, 0, "f32");
  harness_type(column, c->columns, 0, "f32");
  snprintf(name, sizeof name, "x%d", n);
  v.x = harness_noise(h, name, c->rows, c->columns, 2);
  snprintf(name, sizeof name, "z%d", n);
  v.z = harness_noise(h, name, c->rows, c->columns, 1);
  snprintf(name, sizeof name, "e%d", n);
  v.e = harness_noise(h, name, c->rows, 0, 0.01);
  for (int i = 0; i < c->rows; ++i) h->memory[v.e + i] = fabsf(h->memory[v.e + i]);
  for (int g = 0; g < c->groups; ++g) {
    snprintf(name, sizeof name, "w%d_%d", n, g);
    v.w[g] = harness_noise(h, name, c->columns, 0, 1);
  }
  v.y = harness_room(h, (int64_t)c->rows * c->columns);
  v.sum = c->in_place ? v.z : harness_room(h, (int64_t)c->rows * c->columns);
  v.rstd = harness_room(h, c->rows);
  v.top = harness_room(h, c->rows);
  add_row_bodies(h, c->columns);
  text *t = &h->body;
  text_printf(t, "    %%y%d:4 = \"kernel.row\"(%%x%d, %%z%d, %%e%d", n, n, n, n);
  for (int g = 0; g < c->groups; ++g) text_printf(t, ", %%w%d_%d", n, g);
  text_printf(t,
              ") {groups = %d : i64, stages = [@square%d, @norm%d], reductions = [\"sum max\"], finish = @finish%d, ",
              c->groups, n, n, n);
  text_printf(t,
              "operandSegmentSizes = array<i32: 2, 1, %d>, resultSegmentSizes = array<i32: 2, 2>, places = array<i64: ",
              c->groups);
  text_printf(t, "4, %lld, 4, %lld, 4, %lld, 4, %lld>} : (%s, %s, %s", (long long)v.y * 4, (long long)v.sum * 4,
              (long long)v.rstd * 4, (long long)v.top * 4, matrix, matrix, vector);
  for (int g = 0; g < c->groups; ++g) text_printf(t, ", %s", column);
  text_printf(t, ") -> (%s, %s, %s, %s)\n", matrix, matrix, vector, vector);
  return v;
}

static void check_row(const harness *h, const row_case *c, const row_values *v) {
  size_t elements = (size_t)c->rows * (size_t)c->columns;
  double *y = calloc(elements, sizeof *y), *sum = calloc(elements, sizeof *sum),
         *rstd = calloc((size_t)c->rows, sizeof *rstd);
  double *top = calloc((size_t)c->rows, sizeof *top);
  for (int r = 0; r < c->rows; ++r) {
    double squares = 0;
    top[r] = -INFINITY;
    for (int d = 0; d < c->columns; ++d) {
      int64_t at = (int64_t)r * c->columns + d;
      sum[at] = (float)(h->memory[v->x + at] + h->memory[v->z + at]);
      squares += sum[at] * sum[at];
      top[r] = fmax(top[r], sum[at]);
    }
    rstd[r] = 1 / sqrt(squares / c->columns + h->memory[v->e + r]);
    for (int d = 0; d < c->columns; ++d)
      y[(int64_t)r * c->columns + d] =
          sum[(int64_t)r * c->columns + d] * rstd[r] * h->memory[v->w[r / (c->rows / c->groups)] + d];
  }
  harness_near("y", h->after + v->y, y, (int64_t)elements, 2e-6);
  harness_near("sum", h->after + v->sum, sum, (int64_t)elements, 0);
  harness_near("rstd", h->after + v->rstd, rstd, c->rows, 2e-6);
  harness_near("top", h->after + v->top, top, c->rows, 0);
  free(y);
  free(sum);
  free(rstd);
  free(top);
}

static void test_row(void **state) {
  (void)state;
  const row_case cases[] = {{1, 1, 1, false},   {1, 17, 1, false},    {6, 288, 3, false}, {7, 31, 1, true},
                            {12, 100, 4, true}, {90, 1000, 2, false}, {512, 64, 1, true}};
  row_values values[LENGTH(cases)];
  harness h;
  harness_open(&h);
  for (size_t i = 0; i < LENGTH(cases); ++i) values[i] = add_row(&h, &cases[i]);
  harness_run(&h);
  for (size_t i = 0; i < LENGTH(cases); ++i) check_row(&h, &cases[i], &values[i]);
  harness_close(&h);
}

// Rows that are masked with -infinity or -1e30, whole rows too; a maximum of them; two stages that use what came
// before.
static void test_masked_rows(void **state) {
  (void)state;
  enum { ROWS = 4, COLUMNS = 50 };
  harness h;
  harness_open(&h);
  int64_t x = harness_noise(&h, "x", ROWS, COLUMNS, 3), y = harness_room(&h, ROWS * COLUMNS),
          top = harness_room(&h, ROWS);
  for (int d = 0; d < COLUMNS; ++d) {
    if (d % 3) h.memory[x + COLUMNS + d] = -INFINITY;
    if (d % 2) h.memory[x + 2 * COLUMNS + d] = -1e30f;
    h.memory[x + 3 * COLUMNS + d] = -INFINITY;
  }
  text_add(&h.functions, "  func.func private @same(%x: f32) -> f32 { return %x : f32 }\n"
                         "  func.func private @power(%x: f32, %m: f32) -> f32 {\n    %d = arith.subf %x, %m : f32\n"
                         "    %e = math.exp %d : f32\n    return %e : f32\n  }\n"
                         "  func.func private @part(%x: f32, %m: f32, %s: f32) -> f32 {\n"
                         "    %e = func.call @power(%x, %m) : (f32, f32) -> f32\n    %p = arith.divf %e, %s : f32\n    "
                         "return %p : f32\n  }\n"
                         "  func.func private @first(%m: f32, %s: f32) -> f32 { return %m : f32 }\n");
  text_printf(&h.body,
              "    %%y:2 = \"kernel.row\"(%%x) {groups = 1 : i64, stages = [@same, @power, @part], reductions = "
              "[\"max\", \"sum\"], finish "
              "= @first, operandSegmentSizes = array<i32: 1, 0, 0>, resultSegmentSizes = array<i32: 1, 1>, places = "
              "array<i64: 4, %lld, 4, "
              "%lld>} : (tensor<4x50xf32>) -> (tensor<4x50xf32>, tensor<4xf32>)\n",
              (long long)y * 4, (long long)top * 4);
  harness_run(&h);
  for (int r = 0; r < 3; ++r) {
    double largest = -INFINITY, sum = 0, got = 0;
    for (int d = 0; d < COLUMNS; ++d) largest = fmax(largest, h.memory[x + r * COLUMNS + d]);
    for (int d = 0; d < COLUMNS; ++d) sum += exp(h.memory[x + r * COLUMNS + d] - largest);
    for (int d = 0; d < COLUMNS; ++d) {
      double expected = exp(h.memory[x + r * COLUMNS + d] - largest) / sum;
      assert_true(fabs(h.after[y + r * COLUMNS + d] - expected) < 1e-6);
      got += h.after[y + r * COLUMNS + d];
    }
    assert_true(fabs(got - 1) < 1e-5);
    assert_true(h.after[top + r] == (float)largest);
  }
  assert_true(h.after[top + 3] == -INFINITY);
  harness_close(&h);
}

// ---- a sum of many rows: the body's bits, also where the result takes the place of one of them

static void run_sum(int terms, int rows, int columns, int in_place) {
  harness h;
  harness_open(&h);
  char name[32], matrix[64];
  harness_type(matrix, rows, columns, "f32");
  int64_t *x = calloc((size_t)terms, sizeof *x), elements = (int64_t)rows * columns;
  for (int i = 0; i < terms; ++i) {
    snprintf(name, sizeof name, "x%d", i);
    x[i] = harness_noise(&h, name, rows, columns, 1);
  }
  int64_t y = in_place < 0 ? harness_room(&h, elements) : x[in_place];
  text_printf(&h.functions, "  func.func private @sum%d(", terms);
  for (int i = 0; i < terms; ++i) text_printf(&h.functions, "%s%%x%d: f32", i ? ", " : "", i);
  text_add(&h.functions, ") -> f32 {\n    %s1 = arith.addf %x0, %x1 : f32\n");
  for (int i = 2; i < terms; ++i) text_printf(&h.functions, "    %%s%d = arith.addf %%s%d, %%x%d : f32\n", i, i - 1, i);
  text_printf(&h.functions, "    return %%s%d : f32\n  }\n", terms - 1);
  text_add(&h.body, "    %y = \"kernel.row\"(");
  for (int i = 0; i < terms; ++i) text_printf(&h.body, "%s%%x%d", i ? ", " : "", i);
  text_printf(&h.body,
              ") {groups = 1 : i64, stages = [@sum%d], reductions = [], operandSegmentSizes = array<i32: ", terms);
  text_printf(&h.body, "%d, 0, 0>, resultSegmentSizes = array<i32: 1, 0>, places = array<i64: 4, %lld>} : (", terms,
              (long long)y * 4);
  for (int i = 0; i < terms; ++i) text_printf(&h.body, "%s%s", i ? ", " : "", matrix);
  text_printf(&h.body, ") -> %s\n", matrix);
  harness_run(&h);
  for (int64_t i = 0; i < elements; ++i) {
    float sum = h.memory[x[0] + i];
    for (int k = 1; k < terms; ++k) sum += h.memory[x[k] + i];
    assert_true(h.after[y + i] == sum);
  }
  free(x);
  harness_close(&h);
}

static void test_sums(void **state) {
  (void)state;
  run_sum(32, 3, 70, -1); // written out
  run_sum(33, 1, 1, -1);
  run_sum(40, 5, 13, 39);
  run_sum(70, 3, 64, 0);
  run_sum(100, 90, 100, 50);
}

// ---- kernel.column: the sums of x s and of x z s

typedef struct column_case {
  int rows, columns, groups;
} column_case;

static void add_column(harness *h, const column_case *c, int64_t *x, int64_t *z, int64_t *s, int64_t *sums) {
  char name[32], matrix[64], vector[64], column[64];
  int n = ++h->names;
  snprintf(name, sizeof name, "x%d", n);
  *x = harness_noise(h, name, c->rows, c->columns, 1);
  snprintf(name, sizeof name, "z%d", n);
  *z = harness_noise(h, name, c->rows, c->columns, 1);
  snprintf(name, sizeof name, "s%d", n);
  *s = harness_noise(h, name, c->rows, 0, 1);
  harness_type(matrix, c->rows, c->columns, "f32");
  harness_type(vector, c->rows, 0, "f32");
  harness_type(column, c->columns, 0, "f32");
  text_printf(&h->functions,
              "  func.func private @products%d(%%x: f32, %%z: f32, %%s: f32) -> (f32, f32) {\n    %%a = arith.mulf "
              "%%x, %%s : f32\n"
              "    %%b = arith.mulf %%a, %%z : f32\n    return %%a, %%b : f32, f32\n  }\n",
              n);
  text_printf(&h->body,
              "    %%r%d:%d = \"kernel.column\"(%%x%d, %%z%d, %%s%d) {groups = %d : i64, body = @products%d, ", n,
              2 * c->groups, n, n, n, c->groups, n);
  text_add(&h->body, "operandSegmentSizes = array<i32: 2, 1>, places = array<i64: ");
  for (int i = 0; i < 2 * c->groups; ++i) {
    sums[i] = harness_room(h, c->columns);
    text_printf(&h->body, "%s4, %lld", i ? ", " : "", (long long)sums[i] * 4);
  }
  text_printf(&h->body, ">} : (%s, %s, %s) -> (", matrix, matrix, vector);
  for (int i = 0; i < 2 * c->groups; ++i) text_printf(&h->body, "%s%s", i ? ", " : "", column);
  text_add(&h->body, ")\n");
}

static void test_column(void **state) {
  (void)state;
  const column_case cases[] = {{1, 1, 1}, {5, 17, 1}, {9, 288, 3}, {130, 70, 2}, {3000, 96, 1}, {1000, 45, 1}};
  int64_t x[LENGTH(cases)], z[LENGTH(cases)], s[LENGTH(cases)], sums[LENGTH(cases)][8];
  harness h;
  harness_open(&h);
  for (size_t i = 0; i < LENGTH(cases); ++i) add_column(&h, &cases[i], &x[i], &z[i], &s[i], sums[i]);
  harness_run(&h);
  for (size_t i = 0; i < LENGTH(cases); ++i) {
    const column_case *c = &cases[i];
    int per = c->rows / c->groups;
    for (int g = 0; g < c->groups; ++g)
      for (int d = 0; d < c->columns; ++d) {
        double a = 0, b = 0;
        for (int r = g * per; r < (g + 1) * per; ++r) {
          double product = (double)h.memory[x[i] + r * c->columns + d] * h.memory[s[i] + r];
          a += product;
          b += product * h.memory[z[i] + r * c->columns + d];
        }
        double tolerance = 1e-6 * (1 + sqrt(per));
        assert_true(fabs(h.after[sums[i][g] + d] - a) < tolerance);
        assert_true(fabs(h.after[sums[i][c->groups + g] + d] - b) < tolerance);
      }
  }
  harness_close(&h);
}

// ---- kernel.glu

static double silu(double x) { return x / (1 + exp(-x)); }

static void run_glu(int rows, int width, bool in_place) {
  harness h;
  harness_open(&h);
  char both[64], half[64];
  harness_type(both, rows, 2 * width, "f32");
  harness_type(half, rows, width, "f32");
  int64_t x = harness_noise(&h, "x", rows, 2 * width, 6), dy = harness_noise(&h, "dy", rows, width, 1);
  int64_t y = harness_room(&h, (int64_t)rows * width), dx = in_place ? x : harness_room(&h, 2 * (int64_t)rows * width);
  text_add(
      &h.functions,
      "  func.func private @sigmoid(%x: f32) -> f32 {\n    %one = arith.constant 1.0 : f32\n    %n = arith.negf %x : "
      "f32\n"
      "    %e = math.exp %n : f32\n    %d = arith.addf %e, %one : f32\n    %s = arith.divf %one, %d : f32\n    return "
      "%s : f32\n  }\n"
      "  func.func private @swiglu(%g: f32, %u: f32) -> f32 {\n    %s = func.call @sigmoid(%g) : (f32) -> f32\n"
      "    %a = arith.mulf %g, %s : f32\n    %y = arith.mulf %a, %u : f32\n    return %y : f32\n  }\n"
      "  func.func private @swiglu_grad(%g: f32, %u: f32, %dy: f32) -> (f32, f32) {\n    %one = arith.constant 1.0 : "
      "f32\n"
      "    %s = func.call @sigmoid(%g) : (f32) -> f32\n    %a = arith.mulf %g, %s : f32\n    %du = arith.mulf %dy, %a "
      ": f32\n"
      "    %c = arith.subf %one, %s : f32\n    %gc = arith.mulf %g, %c : f32\n    %p = arith.addf %gc, %one : f32\n"
      "    %sp = arith.mulf %s, %p : f32\n    %dyu = arith.mulf %dy, %u : f32\n    %dg = arith.mulf %dyu, %sp : f32\n"
      "    return %dg, %du : f32, f32\n  }\n");
  text_printf(&h.body, "    %%y = \"kernel.glu\"(%%x) {body = @swiglu, places = array<i64: 4, %lld>} : (%s) -> %s\n",
              (long long)y * 4, both, half);
  text_printf(&h.body,
              "    %%dx = \"kernel.glu_grad\"(%%x, %%dy) {body = @swiglu_grad, places = array<i64: 4, %lld>} : (%s, "
              "%s) -> %s\n",
              (long long)dx * 4, both, half, both);
  harness_run(&h);
  for (int r = 0; r < rows; ++r)
    for (int f = 0; f < width; ++f) {
      double g = h.memory[x + r * 2 * width + f], u = h.memory[x + r * 2 * width + width + f],
             d = h.memory[dy + r * width + f];
      double s = 1 / (1 + exp(-g));
      assert_true(fabs(h.after[y + r * width + f] - silu(g) * u) < 2e-5);
      assert_true(fabs(h.after[dx + r * 2 * width + f] - d * u * s * (1 + g * (1 - s))) < 2e-5);
      assert_true(fabs(h.after[dx + r * 2 * width + width + f] - d * silu(g)) < 2e-5);
    }
  harness_close(&h);
}

static void test_glu(void **state) {
  (void)state;
  run_glu(1, 1, false);
  run_glu(5, 37, false);
  run_glu(70, 768, false);
  run_glu(9, 100, true);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_row), cmocka_unit_test(test_masked_rows),
                                     cmocka_unit_test(test_sums), cmocka_unit_test(test_column),
                                     cmocka_unit_test(test_glu)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
