// links: codegen
// Costs beside what a hand counts: kernel ops one by one, and a whole evaluation.
#include "codegen/cost.h"
#include "codegen/plan.h"
#include "ir/build.h"
#include "passes/pipeline.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// The cost of `ops`, on an entry whose plan has one phase with 100 bytes of gradients.
static cost cost_of_text(const char *ops) {
  arena *a = arena_create();
  lmn_error error = {0};
  MlirContext context = ir_context_create(&error);
  ir *m = ir_create(a, context, NULL, NULL, (entry_shape){0}, &error);
  plan_phase phase = {.gradient_bytes = 100};
  plan p = {.phases = &phase, .phase_count = 1};
  m->plan = &p;
  const char *module = arena_printf(a, "module { func.func @entry() {\n%s\n return } }", ops);
  if (!ir_parse(m, module, &error)) fail_msg("%s", error.text);
  cost c = cost_of(m);
  ir_destroy(m);
  ir_context_destroy(context);
  arena_destroy(a);
  return c;
}

static void expect(const char *ops, int64_t flops, int64_t bytes) {
  cost c = cost_of_text(ops);
  if (c.flops != flops || c.bytes != bytes)
    fail_msg("%lld FLOPs and %lld bytes, not %lld and %lld:\n%s", (long long)c.flops, (long long)c.bytes,
             (long long)flops, (long long)bytes, ops);
}

#define BUFFER(name, type) "%" name " = \"kernel.buffer\"() {space = \"input\", name = \"" name "\"} : () -> " type "\n"

#define STORED "trans_a = 0, trans_b = 0, lda = 4, ldb = 5, ldc = 5, a_stride = 12, b_stride = 20, c_stride = 15"

static void products(void **state) {
  (void)state;
  // Two groups of [3, 4] x [4, 5]: 2 * 2 * 3 * 4 * 5 operations; 24 + 40 numbers in, 30 out.
  expect(BUFFER("a", "tensor<6x4xf32>") BUFFER("b", "tensor<8x5xf32>") //
         "%c = \"kernel.gemm\"(%a, %b) {m = 3, n = 5, k = 4, groups = 2, " STORED ", operandSegmentSizes = "
         "array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x4xf32>, tensor<8x5xf32>) -> "
         "tensor<6x5xf32>",
         240, 4 * (24 + 40 + 30));
  // A product that accumulates reads what it adds to.
  expect(BUFFER("a", "tensor<3x4xf32>") BUFFER("b", "tensor<4x5xf32>") BUFFER("d", "tensor<3x5xf32>") //
         "%c = \"kernel.gemm\"(%a, %b, %d) {m = 3, n = 5, k = 4, groups = 1, " STORED ", operandSegmentSizes = "
         "array<i32: 1, 1, 1, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<3x4xf32>, tensor<4x5xf32>, "
         "tensor<3x5xf32>) -> tensor<3x5xf32>",
         120, 4 * (12 + 20 + 15 + 15));
}

static void attention(void **state) {
  (void)state;
  // 2 sequences of 4: 8 rows of 2 heads of 8, seeing 4 keys on average as counted; 4 a key and column, halved for what
  // is masked.
  const char *forward = BUFFER("x", "tensor<8x32xf32>") //
      "%o, %l = \"kernel.attention\"(%x) {heads = 2, key_value_heads = 1, head_size = 8, length = 4, batch = 2, "
      "segments = 1, scale = 1.0} : (tensor<8x32xf32>) -> (tensor<8x16xf32>, tensor<8x2xf32>)";
  expect(forward, 4 * 8 * 16 * 4 / 2, 4 * (8 * 32 + 8 * 16 + 8 * 2));
  // One new token of each of 2 sequences over caches of 10 positions: keys and values of 8.
  expect(BUFFER("x", "tensor<2x32xf32>") BUFFER("n", "tensor<2xi32>") //
         "%o = \"kernel.attention_cached\"(%x, %n) {heads = 2, key_value_heads = 1, head_size = 8, length = 1, "
         "batch = 2, segments = 1, scale = 1.0, capacity = 10, cache = 0} : (tensor<2x32xf32>, tensor<2xi32>) -> "
         "tensor<2x16xf32>",
         4 * 2 * 16 * 10, 4 * (2 * 32 + 2 + 2 * 16 + 2 * 10 * 8 * 2));
}

static void tables_and_copies(void **state) {
  (void)state;
  // 6 tokens of a table of 1000: only their rows are read.
  expect(BUFFER("i", "tensor<2x3xi32>") BUFFER("t", "tensor<1000x8xf32>") //
         "%h = \"kernel.embed\"(%i, %t) {batch = 2, length = 3, prefix = 0, operandSegmentSizes = array<i32: 1, 1, 0, "
         "0, 0>} : (tensor<2x3xi32>, tensor<1000x8xf32>) -> tensor<6x8xf32>",
         0, 4 * (6 + 2 * 48));
  // Two pieces of 2 x 3 x 5 out of larger values, the rest of the result cleared.
  expect(BUFFER("x", "tensor<100x10xf32>") BUFFER("z", "tensor<100x10xf32>") //
         "%y = \"kernel.copy\"(%x, %z) {n0 = 2, n1 = 3, columns = 5, from = 0, from0 = 0, from1 = 0, to = array<i64: "
         "0, 0>, to0 = 0, to1 = 0, zero = 1} : (tensor<100x10xf32>, "
         "tensor<100x10xf32>) -> tensor<50x10xf32>",
         0, 4 * (2 * 2 * 30 + 500));
  expect(BUFFER("x", "tensor<100x10xf32>") //
         "%y = \"kernel.view\"(%x) {offset = 0} : (tensor<100x10xf32>) -> tensor<10x10xf32>\n"
         "\"kernel.output\"(%y) {name = \"y\"} : (tensor<10x10xf32>) -> ()",
         0, 0); // no launch
}

static void update(void **state) {
  (void)state;
  // Reads the gradients for their norm; then parameters and moments are read and written, gradients read.
  expect(BUFFER("s", "tensor<8xf32>") //
         "%n, %p = \"kernel.gradient_norm\"() {phase = 0, bytes = 100} : () -> (tensor<1xf32>, tensor<3xf32>)\n"
         "\"kernel.adamw\"(%s, %n) {phase = 0} : (tensor<8xf32>, tensor<1xf32>) -> ()",
         0, 100 + 4 * (1 + 3) + 4 * (8 + 1) + 700);
}

// tests/golden/single-qwen: hidden 32, 2 layers, 2 heads of 16 and one key head, 88 wide, vocabulary 131. 2 sequences
// of 3 tokens are 6 rows.
static void an_evaluation(void **state) {
  (void)state;
  arena *a = arena_create();
  lmn_error error = {0};
  text messages = {0};
  graph *g = graph_read(a, LMN_TESTS "/golden/single-qwen/net.lmn", NULL, 0, NULL, 0, &messages);
  assert_non_null(g);
  parameter_list *parameters = graph_parameters(a, g, false);
  MlirContext context = ir_context_create(&error);
  entry_shape shape = {.kind = ENTRY_EVALUATE, .batch = 2, .length = 3};
  ir *m = ir_create(a, context, g, parameters, shape, &error);
  m->plan = plan_create(a, g, parameters, "f32");
  pipeline_options options = {0};
  if (!ir_build_lmn(m, &error) || pipeline_run(m, &options, &error) != PIPELINE_DONE) fail_msg("%s", error.text);
  int64_t rows = 6, query_key_value = 32 + 16 + 16, products = 32 * query_key_value + 32 * 32 + 32 * 2 * 88 + 88 * 32;
  int64_t attention = rows * 32 * 3 * 2, head = 2 * rows * 32 * 131;
  assert_int_equal(cost_of(m).flops, 2 * (2 * rows * products + attention) + head);
  ir_destroy(m);
  ir_context_destroy(context);
  arena_destroy(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(attention),
                                     cmocka_unit_test(tables_and_copies), cmocka_unit_test(update),
                                     cmocka_unit_test(an_evaluation)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
