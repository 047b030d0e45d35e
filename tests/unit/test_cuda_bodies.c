// links: codegen
// Bodies as CUDA C++: what each op of arith and math becomes, literals with the same bits, callees in front of callers.
#include "codegen/cuda/cuda.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> // after base.h: it has a macro fail

typedef struct printed {
  arena *arena;
  MlirContext context;
  ir *ir;
  cuda_source source;
  const char *name;
  lmn_error error;
} printed;

static void print_body(printed *p, const char *symbol, const char *mlir) {
  *p = (printed){.arena = arena_create()};
  p->context = ir_context_create(&p->error);
  p->ir = ir_create(p->arena, p->context, NULL, NULL, (entry_shape){0}, &p->error);
  assert_non_null(p->ir);
  ir_body(p->ir, symbol, mlir);
  cuda_entry e = {.ir = p->ir, .arena = p->arena};
  p->name = cuda_body(&e, &p->source, symbol, &p->error);
}

static void done(printed *p) {
  text_free(&p->source.functions);
  free(p->source.bodies);
  ir_destroy(p->ir);
  ir_context_destroy(p->context);
  arena_destroy(p->arena);
}

static void has(const printed *p, const char *wanted) {
  const char *functions = p->source.functions.data ? p->source.functions.data : "";
  if (!strstr(functions, wanted)) fail_msg("%s\nhas no %s", functions, wanted);
}

static void every_op(void **state) {
  (void)state;
  printed p;
  print_body(&p, "all",
             "func.func private @all(%a: f32, %b: f32) -> (f32, f32) {\n"
             "  %0 = arith.addf %a, %b : f32\n  %1 = arith.subf %0, %b : f32\n  %2 = arith.mulf %1, %a : f32\n"
             "  %3 = arith.divf %2, %a : f32\n  %4 = arith.negf %3 : f32\n  %5 = arith.maximumf %4, %a : f32\n"
             "  %6 = arith.minimumf %5, %a : f32\n  %7 = math.exp %6 : f32\n  %8 = math.log %7 : f32\n"
             "  %9 = math.tanh %8 : f32\n  %10 = math.erf %9 : f32\n  %11 = math.sqrt %10 : f32\n"
             "  %12 = math.rsqrt %11 : f32\n  %13 = math.absf %12 : f32\n  %14 = math.fma %13, %a, %b : f32\n"
             "  %15 = arith.cmpf ogt, %14, %a : f32\n  %16 = arith.cmpf une, %14, %b : f32\n"
             "  %17 = arith.select %15, %14, %a : f32\n  %18 = arith.select %16, %17, %b : f32\n"
             "  return %18, %0 : f32, f32\n}\n");
  assert_non_null(p.name);
  assert_string_equal(p.name, "body_all");
  static const char *const lines[] = {
      "static __device__ __forceinline__ void body_all(float v1, float v2, float &y0, float &y1) {\n",
      "  const float v3 = v1 + v2;\n",
      "  const float v4 = v3 - v2;\n",
      "  const float v5 = v4 * v1;\n",
      "  const float v6 = v5 / v1;\n",
      "  const float v7 = -v6;\n",
      "  const float v8 = larger(v7, v1);\n",
      "  const float v9 = smaller(v8, v1);\n",
      "  const float v10 = expf(v9);\n",
      "  const float v11 = logf(v10);\n",
      "  const float v12 = tanhf(v11);\n",
      "  const float v13 = erff(v12);\n",
      "  const float v14 = sqrtf(v13);\n",
      "  const float v15 = rsqrtf(v14);\n",
      "  const float v16 = fabsf(v15);\n",
      "  const float v17 = fmaf(v16, v1, v2);\n",
      "  const bool v18 = v17 > v1;\n",
      "  const bool v19 = v17 != v2;\n",
      "  const float v20 = v18 ? v17 : v1;\n",
      "  const float v21 = v19 ? v20 : v2;\n",
      "  y0 = v21;\n",
      "  y1 = v3;\n"};
  for (size_t i = 0; i < LENGTH(lines); ++i) has(&p, lines[i]);
  done(&p);
}

static void callees_first(void **state) {
  (void)state;
  printed p;
  print_body(&p, "outer",
             "func.func private @inner(%x: f32) -> f32 {\n  %y = arith.mulf %x, %x : f32\n  return %y : f32\n}\n"
             "func.func private @outer(%x: f32) -> f32 {\n  %a = func.call @inner(%x) : (f32) -> f32\n"
             "  %b = func.call @inner(%a) : (f32) -> f32\n  return %b : f32\n}\n");
  assert_non_null(p.name);
  has(&p, "  float v2;\n  body_inner(v1, v2);\n  float v3;\n  body_inner(v2, v3);\n  y0 = v3;\n");
  const char *inner = strstr(p.source.functions.data, "void body_inner("),
             *outer = strstr(p.source.functions.data, "void body_outer(");
  assert_true(inner && outer && inner < outer && !strstr(inner + 1, "void body_inner("));
  done(&p);
}

static void literals(void **state) {
  (void)state;
  static const float values[] = {0,        1,        -1,    0.1f,     1e-6f,          3.4e38f, 1.2e-38f,
                                 1.4e-45f, 16777216, 1e20f, 1.0f / 3, -0.7978845608f, 65504};
  for (size_t i = 0; i < LENGTH(values); ++i) {
    text t = {0};
    cuda_float(&t, values[i]);
    char *end;
    float back = strtof(t.data, &end);
    assert_true(back == values[i] && !strcmp(end, "f"));
    assert_true(strpbrk(t.data, ".e") != NULL); // 1f is no literal
    text_free(&t);
  }
  text t = {0};
  cuda_float(&t, -INFINITY);
  assert_string_equal(t.data, "__int_as_float(0xff800000)");
  text_free(&t);
}

static void refused(void **state) {
  (void)state;
  printed p;
  print_body(&p, "wrong",
             "func.func private @wrong(%x: f32) -> f32 {\n  %y = math.sin %x : f32\n  return %y : f32\n}\n");
  assert_null(p.name);
  assert_non_null(strstr(p.error.text, "does not know math.sin"));
  done(&p);
  print_body(&p, "there", "func.func private @there(%x: f32) -> f32 {\n  return %x : f32\n}\n");
  cuda_entry e = {.ir = p.ir, .arena = p.arena};
  assert_null(cuda_body(&e, &p.source, "elsewhere", &p.error));
  assert_non_null(strstr(p.error.text, "no body @elsewhere"));
  done(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_op), cmocka_unit_test(callees_first),
                                     cmocka_unit_test(literals), cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
