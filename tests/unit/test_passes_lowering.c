// links: codegen
// tests/passes/PASS/CASE.mlir of the passes below the lmn level, over the parameters and arrows of
// tests/passes/lowering.lmn: run through PASS they must print as CASE.expected. LMN_UPDATE=1 in the environment writes
// the expected files anew.
#include "codegen/plan.h"
#include "passes/passes.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static arena *memory;
static graph *network;
static parameter_list *parameters;
static MlirContext context;

static int set_up(void **state) {
  (void)state;
  text messages = {0};
  memory = arena_create();
  network = graph_read(memory, LMN_TESTS "/passes/lowering.lmn", NULL, 0, NULL, 0, &messages);
  if (!network) print_error("%s\n", messages.data);
  assert_non_null(network);
  network->file = "case.mlir"; // places must not depend on where the tests lie
  parameters = graph_parameters(memory, network, false);
  context = ir_context_create(NULL);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  ir_context_destroy(context);
  arena_destroy(memory);
  return 0;
}

static void read_or_fail(const char *path, char **data) {
  size_t length;
  lmn_error error = {0};
  if (!file_read(path, 1 << 20, data, &length, &error)) fail_msg("%s", error.text);
}

static bool same_as_file(const char *path, const text *printed) {
  lmn_error error = {0};
  if (getenv("LMN_UPDATE") && !file_write(path, printed->data, printed->length, &error)) fail_msg("%s", error.text);
  char *expected;
  read_or_fail(path, &expected);
  bool same = !strcmp(expected, printed->data);
  if (!same) print_error("%s differs; it should be\n%s\nbut is\n%s\n", path, expected, printed->data);
  free(expected);
  return same;
}

static bool run_case(const char *name, bool (*pass)(ir *, lmn_error *), const char *folder) {
  char path[4096], *source;
  lmn_error error = {0};
  snprintf(path, sizeof path, "%s/%s.mlir", folder, name);
  read_or_fail(path, &source);
  ir *m = ir_create(memory, context, network, parameters, (entry_shape){.kind = ENTRY_TRAIN, .batch = 2, .length = 3},
                    &error);
  m->plan = plan_create(memory, network, parameters);
  bool ok = pass_freeze(m, &error) && ir_parse(m, source, &error) && ir_verify(m, &error) && pass(m, &error) &&
            ir_verify(m, &error);
  if (!ok) fail_msg("%s: %s", path, error.text);
  text printed = {0};
  ir_print(m, &printed);
  snprintf(path, sizeof path, "%s/%s.expected", folder, name);
  ok = same_as_file(path, &printed);
  text_free(&printed);
  ir_destroy(m);
  free(source);
  return ok;
}

static void run_folder(const char *pass_name, bool (*pass)(ir *, lmn_error *)) {
  char folder[2048];
  snprintf(folder, sizeof folder, LMN_TESTS "/passes/%s", pass_name);
  DIR *entries = opendir(folder);
  assert_non_null(entries);
  int cases = 0, failed = 0;
  for (struct dirent *entry; (entry = readdir(entries));) {
    char *end = strstr(entry->d_name, ".mlir");
    if (!end) continue;
    *end = 0;
    ++cases;
    failed += !run_case(entry->d_name, pass, folder);
  }
  closedir(entries);
  assert_true(cases > 0);
  assert_int_equal(failed, 0);
}

static void lower_lmn(void **state) { (void)state, run_folder("lower-lmn", pass_lower_lmn); }
static void differentiate(void **state) { (void)state, run_folder("differentiate", pass_differentiate); }
static void lower_nn(void **state) { (void)state, run_folder("lower-nn", pass_lower_nn); }
static void fuse_kernels(void **state) { (void)state, run_folder("fuse-kernels", pass_fuse_kernels); }
static void schedule(void **state) { (void)state, run_folder("schedule", pass_schedule); }
static void plan_memory(void **state) { (void)state, run_folder("plan-memory", pass_plan_memory); }

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(lower_lmn), cmocka_unit_test(differentiate),
                                     cmocka_unit_test(lower_nn),  cmocka_unit_test(fuse_kernels),
                                     cmocka_unit_test(schedule),  cmocka_unit_test(plan_memory)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
