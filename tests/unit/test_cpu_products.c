// links: codegen
// kernel.gemm beside plain loops in double: every form, groups, strides, accumulation, epilogues, few rows, pieces for
// the threads.
#include "cpu_harness.h"

typedef struct gemm_case {
  int m, n, k, groups;
  bool trans_a, trans_b, accumulate, stacked;
  int kinds, rows, extras; // of the epilogue; without any of them there is none
  int pad;                 // columns that A, B and C have beyond the product's
  bool in_place;           // the first extra takes the place of the first row operand
} gemm_case;

typedef struct gemm_values {
  int64_t *a, *b, *c, *columns, *rows, *extras;
  int64_t lda, ldb, ldc;
  double *c_before;
} gemm_values;

static int64_t stored_rows(bool trans, int rows, int columns) { return trans ? columns : rows; }

static bool has_epilogue(const gemm_case *c) { return c->kinds || c->rows || c->extras; }

static const char *const letters = "abcdefgh";

// One value for every group, or one each: %<name><g>.
static int64_t *add_values(harness *h, const char *name, int count, int64_t rows, int64_t columns) {
  int64_t *places = calloc((size_t)count + 1, sizeof *places);
  for (int i = 0; i < count; ++i) {
    char full[32];
    snprintf(full, sizeof full, "%s%d_%d", name, h->names, i);
    places[i] = harness_noise(h, full, rows, columns, 1);
  }
  return places;
}

static void add_names(harness *h, const char *name, int count, bool *first) {
  for (int i = 0; i < count; ++i) {
    text_printf(&h->body, "%s%%%s%d_%d", *first ? "" : ", ", name, h->names, i);
    *first = false;
  }
}

static void add_types(harness *h, int count, int64_t rows, int64_t columns, bool *first) {
  char type[64];
  for (int i = 0; i < count; ++i) {
    text_printf(&h->body, "%s%s", *first ? "" : ", ", harness_type(type, rows, columns, "f32"));
    *first = false;
  }
}

// (c, columns …, rows …) -> s + rows with s = c + columns, and 2 s, 3 s … for the extras.
static void add_epilogue(harness *h, const gemm_case *c) {
  text *t = &h->functions;
  text_printf(t, "  func.func private @epilogue%d(%%c: f32", h->names);
  int inputs = c->kinds + c->rows;
  for (int i = 0; i < inputs; ++i) text_printf(t, ", %%x%d: f32", i);
  text_add(t, ") -> (f32");
  for (int i = 0; i < c->extras; ++i) text_add(t, ", f32");
  text_add(t, ") {\n    %zero = arith.constant 0.0 : f32\n    %s0 = arith.addf %c, %zero : f32\n");
  for (int i = 0; i < inputs; ++i) text_printf(t, "    %%s%d = arith.addf %%s%d, %%x%d : f32\n", i + 1, i, i);
  for (int i = 0; i < c->extras; ++i)
    text_printf(t, "    %%f%d = arith.constant %d.0 : f32\n    %%e%d = arith.mulf %%s%d, %%f%d : f32\n", i, i + 2, i,
                c->kinds, i);
  text_printf(t, "    return %%s%d", inputs);
  for (int i = 0; i < c->extras; ++i) text_printf(t, ", %%e%d", i);
  text_add(t, " : f32");
  for (int i = 0; i < c->extras; ++i) text_add(t, ", f32");
  text_add(t, "\n  }\n");
}

static void add_attributes(harness *h, const gemm_case *c, const gemm_values *v, int values, int accumulate) {
  text *t = &h->body;
  int64_t a_stride = stored_rows(c->trans_a, c->m, c->k) * v->lda,
          b_stride = stored_rows(c->trans_b, c->k, c->n) * v->ldb;
  text_printf(
      t, ") {m = %d : i64, n = %d : i64, k = %d : i64, groups = %d : i64, trans_a = %d : i64, trans_b = %d : i64, ",
      c->m, c->n, c->k, c->groups, c->trans_a, c->trans_b);
  text_printf(t, "lda = %lld : i64, ldb = %lld : i64, ldc = %lld : i64, ", (long long)v->lda, (long long)v->ldb,
              (long long)v->ldc);
  text_printf(t, "a_stride = %lld : i64, b_stride = %lld : i64, c_stride = %lld : i64, ",
              (long long)(c->stacked ? a_stride : 0), (long long)(c->stacked ? b_stride : 0),
              (long long)(c->stacked ? c->m * v->ldc : 0));
  if (has_epilogue(c)) text_printf(t, "epilogue = @epilogue%d, ", h->names);
  text_printf(t,
              "operandSegmentSizes = array<i32: %d, %d, %d, %d, %d>, resultSegmentSizes = array<i32: %d, %d>, places = "
              "array<i64: ",
              values, values, accumulate, c->kinds * c->groups, c->rows, values, c->extras);
  for (int i = 0; i < values; ++i) text_printf(t, "%s%d, %lld", i ? ", " : "", SPACE_ARENA, (long long)v->c[i] * 4);
  for (int i = 0; i < c->extras; ++i) text_printf(t, ", %d, %lld", SPACE_ARENA, (long long)v->extras[i] * 4);
  text_add(t, ">} : (");
}

static gemm_values add_gemm(harness *h, const gemm_case *c) {
  gemm_values v = {0};
  int values = c->stacked ? 1 : c->groups, stack = c->stacked ? c->groups : 1, accumulate = c->accumulate ? values : 0;
  int64_t a_rows = stored_rows(c->trans_a, c->m, c->k) * stack, b_rows = stored_rows(c->trans_b, c->k, c->n) * stack;
  int64_t c_rows = (int64_t)c->m * stack, all_rows = (int64_t)c->m * c->groups;
  v.lda = (c->trans_a ? c->m : c->k) + c->pad, v.ldb = (c->trans_b ? c->k : c->n) + c->pad, v.ldc = c->n + c->pad;
  ++h->names;
  v.a = add_values(h, "a", values, a_rows, v.lda);
  v.b = add_values(h, "b", values, b_rows, v.ldb);
  v.c = add_values(h, "c", values, c_rows, v.ldc); // with noise in it, which only accumulation may see
  v.columns = add_values(h, "column", c->kinds * c->groups, c->n, 0);
  v.rows = add_values(h, "row", c->rows, all_rows, c->n);
  v.extras = add_values(h, "extra", c->extras, all_rows, c->n);
  if (c->in_place) v.extras[0] = v.rows[0];
  if (has_epilogue(c)) add_epilogue(h, c);
  text_printf(&h->body, "    %%r%d:%d = \"kernel.gemm\"(", h->names, values + c->extras);
  bool first = true;
  add_names(h, "a", values, &first);
  add_names(h, "b", values, &first);
  add_names(h, "c", accumulate, &first);
  add_names(h, "column", c->kinds * c->groups, &first);
  add_names(h, "row", c->rows, &first);
  add_attributes(h, c, &v, values, accumulate);
  first = true;
  add_types(h, values, a_rows, v.lda, &first);
  add_types(h, values, b_rows, v.ldb, &first);
  add_types(h, accumulate, c_rows, v.ldc, &first);
  add_types(h, c->kinds * c->groups, c->n, 0, &first);
  add_types(h, c->rows, all_rows, c->n, &first);
  text_add(&h->body, ") -> (");
  first = true;
  add_types(h, values, c_rows, v.ldc, &first);
  add_types(h, c->extras, all_rows, c->n, &first);
  text_add(&h->body, ")\n");
  return v;
}

static double reference_element(const harness *h, const gemm_case *c, const gemm_values *v, int g, int i, int j) {
  int64_t a_stride = stored_rows(c->trans_a, c->m, c->k) * v->lda,
          b_stride = stored_rows(c->trans_b, c->k, c->n) * v->ldb;
  const float *a = h->memory + (c->stacked ? v->a[0] + g * a_stride : v->a[g]);
  const float *b = h->memory + (c->stacked ? v->b[0] + g * b_stride : v->b[g]);
  double sum = 0;
  for (int p = 0; p < c->k; ++p)
    sum += (double)a[c->trans_a ? p * v->lda + i : i * v->lda + p] * b[c->trans_b ? j * v->ldb + p : p * v->ldb + j];
  return sum;
}

static void check_gemm(const harness *h, const gemm_case *c, const gemm_values *v) {
  double tolerance = 2e-6 * (4 + sqrt(c->k));
  for (int g = 0; g < c->groups; ++g)
    for (int i = 0; i < c->m; ++i)
      for (int j = 0; j < v->ldc; ++j) {
        int64_t at = (c->stacked ? v->c[0] + g * c->m * v->ldc : v->c[g]) + i * v->ldc + j, row = (int64_t)g * c->m + i;
        if (j >= c->n) { // beyond the product
          assert_true(h->after[at] == h->memory[at]);
          continue;
        }
        double s = reference_element(h, c, v, g, i, j) + (c->accumulate ? h->memory[at] : 0);
        for (int x = 0; x < c->kinds; ++x) s += h->memory[v->columns[x * c->groups + g] + j];
        double y = s;
        for (int x = 0; x < c->rows; ++x) y += h->memory[v->rows[x] + row * c->n + j];
        if (!(fabs(h->after[at] - y) <= tolerance))
          fail_msg("%dx%dx%d group %d [%d, %d]: %.9g, not %.9g", c->m, c->n, c->k, g, i, j, (double)h->after[at], y);
        for (int x = 0; x < c->extras; ++x) {
          double got = h->after[v->extras[x] + row * c->n + j], expected = s * (x + 2);
          if (!(fabs(got - expected) <= tolerance * 4))
            fail_msg("extra %d [%d, %d]: %.9g, not %.9g", x, i, j, got, expected);
        }
      }
}

static void free_values(gemm_values *v) {
  free(v->a);
  free(v->b);
  free(v->c);
  free(v->columns);
  free(v->rows);
  free(v->extras);
}

static void run_cases(const gemm_case *cases, int count) {
  harness h;
  harness_open(&h);
  gemm_values *values = calloc((size_t)count, sizeof *values);
  for (int i = 0; i < count; ++i) values[i] = add_gemm(&h, &cases[i]);
  harness_run(&h);
  for (int i = 0; i < count; ++i) {
    check_gemm(&h, &cases[i], &values[i]);
    free_values(&values[i]);
  }
  free(values);
  harness_close(&h);
}

static void test_forms(void **state) {
  (void)state;
  const gemm_case cases[] = {
      {.m = 17, .n = 33, .k = 21, .groups = 1, .trans_b = true},
      {.m = 17, .n = 33, .k = 21, .groups = 1},
      {.m = 17, .n = 33, .k = 21, .groups = 1, .trans_a = true},
      {.m = 17, .n = 33, .k = 21, .groups = 1, .trans_a = true, .trans_b = true, .pad = 3},
      {.m = 23, .n = 1, .k = 1, .groups = 1, .trans_b = true, .accumulate = true},
      {.m = 3, .n = 40, .k = 70, .groups = 2, .trans_a = true, .accumulate = true},
      {.m = 18, .n = 20, .k = 16, .groups = 3, .trans_b = true, .pad = 5},
      {.m = 18, .n = 20, .k = 16, .groups = 3, .trans_b = true, .stacked = true, .pad = 1},
      {.m = 18, .n = 20, .k = 16, .groups = 3, .accumulate = true, .stacked = true},
  };
  run_cases(cases, LENGTH(cases));
}

static void test_epilogues(void **state) {
  (void)state;
  const gemm_case cases[] = {
      {.m = 19, .n = 37, .k = 24, .groups = 1, .trans_b = true, .kinds = 1},
      {.m = 19, .n = 37, .k = 24, .groups = 3, .trans_b = true, .kinds = 2, .rows = 1},
      {.m = 19, .n = 37, .k = 24, .groups = 3, .kinds = 1, .rows = 2, .extras = 2, .pad = 4},
      {.m = 19, .n = 37, .k = 24, .groups = 2, .rows = 1, .extras = 1, .stacked = true, .accumulate = true},
      {.m = 19, .n = 37, .k = 24, .groups = 2, .rows = 2, .extras = 2, .in_place = true},
  };
  run_cases(cases, LENGTH(cases));
}

static void test_few_rows(void **state) {
  (void)state;
  gemm_case cases[24];
  static const int ms[] = {1, 2, 3, 4, 12, 15}, ns[] = {1, 31, 35, 130}, ks[] = {5, 37, 64, 299};
  for (int i = 0; i < 24; ++i)
    cases[i] = (gemm_case){.m = ms[i % 6],
                           .n = ns[(i / 2) % 4],
                           .k = ks[(i / 3) % 4],
                           .groups = i % 4 ? 1 : 3,
                           .trans_b = i % 2,
                           .accumulate = i % 5 == 4,
                           .stacked = i % 8 == 0,
                           .kinds = i % 3 == 1,
                           .rows = i % 7 == 3,
                           .extras = i % 7 == 3,
                           .pad = i % 4};
  run_cases(cases, LENGTH(cases));
}

// Larger than a piece: cut by rows, by columns, by both, by groups; K beyond what OpenBLAS does in one go.
static void test_pieces(void **state) {
  (void)state;
  const gemm_case cases[] = {
      {.m = 530, .n = 130, .k = 40, .groups = 1, .trans_b = true, .kinds = 1, .rows = 1},
      {.m = 290, .n = 300, .k = 500, .groups = 1, .trans_a = true, .accumulate = true},
      {.m = 20, .n = 700, .k = 900, .groups = 1, .trans_b = true},
      {.m = 140, .n = 150, .k = 450, .groups = 5, .kinds = 1},
      {.m = 131, .n = 1400, .k = 33, .groups = 1, .trans_b = true, .extras = 1},
  };
  run_cases(cases, LENGTH(cases));
}

// A wrong place or count is an error with a message, not a wrong result.
static void test_refused(void **state) {
  (void)state;
  static const char *const ops[] = {"%c = \"kernel.gemm\"(%a, %b, %d) {m = 16 : i64, n = 16 : i64, k = 16 : i64, "
                                    "groups = 1 : i64, trans_a = 0 : i64, "
                                    "trans_b = 0 : i64, lda = 16 : i64, ldb = 16 : i64, ldc = 16 : i64, a_stride = 0 : "
                                    "i64, b_stride = 0 : i64, c_stride = 0 : i64, "
                                    "operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, resultSegmentSizes = array<i32: "
                                    "1, 0>, places = array<i64: 4, 0>} : "
                                    "(tensor<16x16xf32>, tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>\n",
                                    "%c = \"kernel.gemm\"(%a, %b, %d) {m = 16 : i64, n = 16 : i64, k = 16 : i64, "
                                    "groups = 1 : i64, trans_a = 0 : i64, "
                                    "trans_b = 0 : i64, lda = 16 : i64, ldb = 16 : i64, ldc = 16 : i64, a_stride = 0 : "
                                    "i64, b_stride = 0 : i64, c_stride = 0 : i64, "
                                    "operandSegmentSizes = array<i32: 1, 1, 0, 0, 1>, resultSegmentSizes = array<i32: "
                                    "1, 0>, places = array<i64: 4, 0>} : "
                                    "(tensor<16x16xf32>, tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>\n"};
  for (size_t i = 0; i < LENGTH(ops); ++i) {
    text source = {0};
    text_add(&source, "module { func.func @entry() {\n");
    for (int v = 0; v < 4; ++v)
      if (v != 2)
        text_printf(&source,
                    "%%%c = \"kernel.buffer\"() {space = \"arena\", name = \"x\", places = array<i64: 4, %d>} : () -> "
                    "tensor<16x16xf32>\n",
                    letters[v], (v + 1) * 1024);
    text_printf(&source, "%s return } }", ops[i]);
    lmn_error error = {{0}};
    arena *a = arena_create();
    MlirContext context = ir_context_create(&error);
    ir *m = ir_create(a, context, NULL, NULL, (entry_shape){0}, &error);
    if (!ir_parse(m, source.data, &error)) fail_msg("%s", error.text);
    plan p = {0};
    plan_entry entry = {.name = "test"};
    cpu_codegen *cg = cpu_codegen_create(a, &p, NULL);
    assert_false(cpu_codegen_entry(cg, m, &entry, &error));
    assert_non_null(strstr(error.text, i ? "without an epilogue" : "accumulates"));
    cpu_codegen_destroy(cg);
    ir_destroy(m);
    ir_context_destroy(context);
    arena_destroy(a);
    text_free(&source);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_epilogues),
                                     cmocka_unit_test(test_few_rows), cmocka_unit_test(test_pieces),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
