// links: codegen
// tests/passes/PASS/CASE.mlir of the passes below the lmn level, over the parameters and arrows of
// tests/passes/lowering.lmn: run through PASS they must print as CASE.expected. LMN_UPDATE=1 in the environment writes
// the expected files anew.
#include "codegen/plan.h"
#include "passes/passes.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#include "golden.h"

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

static ir *entry(void *user, lmn_error *error) {
  (void)user;
  ir *m = ir_create(memory, context, network, parameters, (entry_shape){.kind = ENTRY_TRAIN, .batch = 2, .length = 3},
                    error);
  if (m) m->plan = plan_create(memory, network, parameters, "f32");
  return m && pass_freeze(m, error) ? m : NULL;
}

static void run_folder(const char *pass_name, golden_pass *pass) { golden_folder(pass_name, pass, entry, NULL); }

static void lower_lmn(void **state) { (void)state, run_folder("lower-lmn", pass_lower_lmn); }
static void differentiate(void **state) { (void)state, run_folder("differentiate", pass_differentiate); }
// The gradients are made first: the pass looks at what they read.
static bool recompute(ir *m, recompute_policy policy, lmn_error *error) {
  m->recompute = RECOMPUTE_PARTS * (int)policy;
  return pass_differentiate(m, error) && pass_dce(m, error) && pass_recompute(m, error);
}
static bool recompute_rows(ir *m, lmn_error *error) { return recompute(m, RECOMPUTE_ROWS, error); }
static bool recompute_layers(ir *m, lmn_error *error) { return recompute(m, RECOMPUTE_LAYERS, error); }
static void recompute_policies(void **state) {
  (void)state;
  run_folder("recompute/rows", recompute_rows);
  run_folder("recompute/layers", recompute_layers);
}

static void lower_nn(void **state) { (void)state, run_folder("lower-nn", pass_lower_nn); }
static void merge_products(void **state) { (void)state, run_folder("merge-products", pass_merge_products); }
static void fuse_kernels(void **state) { (void)state, run_folder("fuse-kernels", pass_fuse_kernels); }
static void ride_products(void **state) { (void)state, run_folder("ride-products", pass_ride_products); }
static void fuse_rows(void **state) { (void)state, run_folder("fuse-rows", pass_fuse_rows); }
static void gather_sums(void **state) { (void)state, run_folder("gather-sums", pass_gather_sums); }
static void ride_attention(void **state) { (void)state, run_folder("ride-attention", pass_ride_attention); }
static bool narrow(ir *m, lmn_error *error) {
  m->plan->precision = "bf16";
  return pass_narrow(m, error);
}
static void fuse_activations(void **state) { (void)state, run_folder("fuse-activations", pass_fuse_activations); }
static void narrow_values(void **state) { (void)state, run_folder("narrow", narrow); }
static void schedule(void **state) { (void)state, run_folder("schedule", pass_schedule); }
static void plan_memory(void **state) { (void)state, run_folder("plan-memory", pass_plan_memory); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lower_lmn),          cmocka_unit_test(differentiate),    cmocka_unit_test(lower_nn),
      cmocka_unit_test(fuse_kernels),       cmocka_unit_test(schedule),         cmocka_unit_test(plan_memory),
      cmocka_unit_test(recompute_policies), cmocka_unit_test(ride_products),    cmocka_unit_test(merge_products),
      cmocka_unit_test(narrow_values),      cmocka_unit_test(fuse_activations), cmocka_unit_test(fuse_rows),
      cmocka_unit_test(gather_sums),        cmocka_unit_test(ride_attention)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
