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
  lmn_error error = {0};
  pipeline_options options = {.emit = "lmn"};
  assert_int_equal(pipeline_run(n.ir, &options, &error), PIPELINE_STOPPED);
  assert_int_equal(vertex_runs(&n), 2);
  assert_int_equal(count_ops(&n, LMN_MASK), 1);
  network_end(&n);
}

static void passes_turned_off(void **state) {
  (void)state;
  network n;
  small(&n);
  lmn_error error = {0};
  const char *disabled[] = {"reuse-masks", "share-vertices"};
  pipeline_options options = {.emit = "lmn", .disabled = disabled, .disabled_count = 2};
  assert_int_equal(pipeline_run(n.ir, &options, &error), PIPELINE_STOPPED);
  assert_int_equal(vertex_runs(&n), 3);
  assert_int_equal(count_ops(&n, LMN_MASK), 6);
  assert_int_equal(count_ops(&n, LMN_EDGE), 2);
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
  assert_null(strstr(printed.data + 32, "\nmodule {")); // once
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

// The n-th step of a run is known by its number: where it failed, where to stop, from where on to be plain.
static void steps_have_numbers(void **state) {
  (void)state;
  network n;
  lmn_error error = {0};
  pipeline_trace trace;
  small(&n);
  pipeline_options options = {.emit = "lmn", .trace = &trace, .stop_before = 2};
  assert_int_equal(pipeline_run(n.ir, &options, &error), PIPELINE_STOPPED);
  assert_int_equal(trace.count, 2);
  assert_string_equal(trace.steps[0]->name, "share-vertices");
  assert_string_equal(trace.levels[1], "lmn");
  assert_int_equal(vertex_runs(&n), 2);
  assert_int_equal(count_ops(&n, LMN_EDGE), 3); // fuse-edges has not run
  op_list ops = ir_ops(n.ir);
  for (int i = 0; i < ops.count; ++i)
    if (ir_code(n.ir, ops.items[i]) == LMN_VERTEX) ir_set_int(n.ir, ops.items[i], "colour", 1);
  options = (pipeline_options){.trace = &trace, .from = "lmn", .first = 2, .first_pass = trace.steps[1]->name};
  assert_int_equal(pipeline_run(n.ir, &options, &error), PIPELINE_FAILED);
  assert_int_equal(trace.failed, 2); // the first that ran
  network_end(&n);

  error = (lmn_error){0};
  small(&n);
  options = (pipeline_options){.emit = "lmn", .plain_from = 2};
  assert_int_equal(pipeline_run(n.ir, &options, &error), PIPELINE_STOPPED);
  assert_int_equal(vertex_runs(&n), 2);
  assert_int_equal(count_ops(&n, LMN_EDGE), 3);
  assert_true(count_ops(&n, LMN_MASK) > 1);
  options = (pipeline_options){.from = "lmn", .first = 1, .first_pass = "dce"};
  assert_int_equal(pipeline_run(n.ir, &options, &error), PIPELINE_FAILED);
  assert_string_equal(error.text, "step 1 of the passes is not dce; print the text again");
  network_end(&n);
}

// What ir_emit prints is the entry with all that belongs to it.
static void emitted_text_is_whole(void **state) {
  (void)state;
  network n, other;
  lmn_error error = {0};
  small(&n);
  pipeline_options options = {.emit = "lmn"};
  assert_int_equal(pipeline_run(n.ir, &options, &error), PIPELINE_STOPPED);
  n.ir->cache_bytes = 64;
  text first = {0}, second = {0};
  ir_emit(n.ir, &first);
  network_layered(&other, (int[]){1, 2}, 2, true, true);
  network_build(&other, shape_of(ENTRY_TRAIN, 1, 1));
  if (!ir_read(other.ir, first.data, "a.mlir", 7, &error)) fail_msg("%s", error.text);
  assert_int_equal(other.ir->shape.kind, ENTRY_EVALUATE);
  assert_int_equal(other.ir->shape.length, 3);
  assert_int_equal(other.ir->vertex_runs, n.ir->vertex_runs);
  assert_int_equal(other.ir->cache_bytes, 64);
  assert_true(ir_verify(other.ir, &error) && ir_verify_read(other.ir, false, &error));
  ir_emit(other.ir, &second);
  assert_string_equal(first.data, second.data);
  char *vertex = strstr(first.data, "\"lmn.vertex\"");
  vertex[1] = 'k'; // an unknown op: the message has the line of the file
  assert_false(ir_read(other.ir, first.data, "a.mlir", 7, &error));
  int line = 7;
  for (const char *p = first.data; p < vertex; ++p) line += *p == '\n';
  char place[32];
  snprintf(place, sizeof place, "a.mlir:%d:", line);
  if (strncmp(error.text, place, strlen(place))) fail_msg("`%s` does not begin with `%s`", error.text, place);
  text_free(&first);
  text_free(&second);
  network_end(&n);
  network_end(&other);
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
                                     cmocka_unit_test(steps_have_numbers),
                                     cmocka_unit_test(emitted_text_is_whole),
                                     cmocka_unit_test(freeze_fills_trained)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
