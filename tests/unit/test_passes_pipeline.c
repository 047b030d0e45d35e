// links: passes
// The pipeline's own doing: levels, passes turned off, printing, names of the command line, freeze.
#include "network.h"

#include "passes/pipeline.h"

static void small(network *n) {
  network_layered(n, (int[]){1, 2}, 2, true, true);
  network_build(n, shape_of(ENTRY_EVALUATE, 2, 3));
}

static void stops_at_lmn(void **state) {
  (void)state;
  network n;
  small(&n);
  text printed = {0}, expected = {0};
  lmn_error error = {0};
  pipeline_options options = {.emit = "lmn", .printed = &printed};
  assert_int_equal(pipeline_run(n.ir, &options, &error), PIPELINE_STOPPED);
  ir_print(n.ir, &expected);
  assert_string_equal(printed.data, expected.data);
  assert_int_equal(vertex_runs(&n), 2);
  assert_int_equal(count_ops(&n, LMN_MASK), 1);
  text_free(&printed);
  text_free(&expected);
  network_end(&n);
}

static void passes_turned_off(void **state) {
  (void)state;
  network n;
  small(&n);
  text printed = {0};
  lmn_error error = {0};
  const char *disabled[] = {"reuse-masks", "share-vertices"};
  pipeline_options options = {.emit = "lmn", .printed = &printed, .disabled = disabled, .disabled_count = 2};
  assert_int_equal(pipeline_run(n.ir, &options, &error), PIPELINE_STOPPED);
  assert_int_equal(vertex_runs(&n), 3);
  assert_int_equal(count_ops(&n, LMN_MASK), 6);
  assert_int_equal(count_ops(&n, LMN_EDGE), 2);
  text_free(&printed);
  network_end(&n);
}

static void prints_after_a_pass(void **state) {
  (void)state;
  network n;
  small(&n);
  text printed = {0};
  lmn_error error = {0};
  pipeline_options options = {.emit = "lmn", .printed = &printed, .print_after = "share-vertices"};
  assert_int_equal(pipeline_run(n.ir, &options, &error), PIPELINE_STOPPED);
  assert_memory_equal(printed.data, "// after share-vertices\nmodule {", 32);
  const char *emitted = strstr(printed.data + 32, "\nmodule {");
  assert_non_null(emitted);
  assert_true(strstr(printed.data, "lmn.mask") < emitted);
  text_free(&printed);
  network_end(&n);
}

static void refuses(pipeline_options options, const char *first, const char *second) {
  lmn_error error = {0};
  assert_false(pipeline_check(&options, &error));
  if (!strstr(error.text, first) || !strstr(error.text, second))
    fail_msg("`%s` or `%s` is not in `%s`", first, second, error.text);
}

static void unknown_names(void **state) {
  (void)state;
  const char *near[] = {"share-vertexes"}, *far[] = {"everything"}, *needed[] = {"cse", "freeze"};
  refuses((pipeline_options){.disabled = near, .disabled_count = 1}, "did you mean `share-vertices`", "fuse-edges");
  refuses((pipeline_options){.disabled = far, .disabled_count = 1}, "`everything`; there are: share-vertices",
          "fuse-kernels");
  refuses((pipeline_options){.disabled = needed, .disabled_count = 2}, "`freeze` cannot be turned off", "");
  refuses((pipeline_options){.print_after = "schedul"}, "did you mean `schedule`", "plan-memory");
  refuses((pipeline_options){.emit = "kernels"}, "did you mean `kernel`", "lmn, nn, kernel");
  pipeline_options later = {.emit = "llvm"}; // a level behind the pipeline
  assert_true(pipeline_check(&later, NULL));
}

// What a pass leaves wrong is reported with the pass's name and, where the op has one, the place.
static void verifies_after_each_pass(void **state) {
  (void)state;
  network n;
  small(&n);
  op_list ops = ir_ops(n.ir);
  for (int i = 0; i < ops.count; ++i)
    if (ir_code(n.ir, ops.items[i]) == LMN_VERTEX) ir_set_int(n.ir, ops.items[i], "colour", 1);
  lmn_error error = {0};
  pipeline_options options = {0};
  assert_int_equal(pipeline_run(n.ir, &options, &error), PIPELINE_FAILED);
  assert_string_equal(error.text, "after pass share-vertices: test.lmn:11:3: lmn.vertex: has an attribute that the op "
                                  "table does not know");
  network_end(&n);
}

static void freeze_fills_trained(void **state) {
  (void)state;
  network n;
  small(&n);
  n.parameters.count = 3;
  run_pass(&n, pass_freeze);
  for (int i = 0; i < 3; ++i) assert_false(n.ir->trained[i]); // an evaluation trains nothing
  n.ir->parameters = NULL;
  lmn_error error = {0};
  assert_false(pass_freeze(n.ir, &error));
  network_end(&n);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(stops_at_lmn),
                                     cmocka_unit_test(passes_turned_off),
                                     cmocka_unit_test(prints_after_a_pass),
                                     cmocka_unit_test(unknown_names),
                                     cmocka_unit_test(verifies_after_each_pass),
                                     cmocka_unit_test(freeze_fills_trained)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
