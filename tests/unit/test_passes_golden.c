// links: passes
// Golden texts of the lmn passes and of cse and dce; and entries built from a network must print as
// tests/passes/build/ENTRY.expected. The cases' arrows are those of `network_of_cases`.
#include "network.h"

#include "golden.h"

// Arrows by structure: 0, 1 a linear; 2 a linear without bias; 3 a linear to another size; 4, 5, 6 a decoder layer of
// model 0 and a linear; 7 the layer alone; 8 a layer of model 1 and a linear.
static void network_of_cases(network *n) {
  network_begin(n, 0);
  int a = network_node(n, "a", 0), wide = network_node(n, "wide", 3), llama = network_node(n, "llama", 1);
  for (int i = 0; i < 9; ++i) network_arrow(n, 0, a, linear_chain(n, 0, a));
  graph_arrow *arrows = n->graph.arrows;
  arrows[2].chain.modules[0].bias = false;
  arrows[3].chain = linear_chain(n, 0, wide);
  for (int i = 4; i < 7; ++i) arrows[i].chain = layer_chain(n, 0, a, true);
  arrows[7].chain = layer_chain(n, 0, a, false);
  arrows[8].chain = layer_chain(n, llama, a, true);
}

static ir *entry(void *user, lmn_error *error) {
  network *n = user;
  return ir_create(n->arena, n->context, &n->graph, &n->parameters, (entry_shape){0}, error);
}

static void run_folder(const char *pass_name, golden_pass *pass) {
  network n;
  network_of_cases(&n);
  n.context = ir_context_create(NULL);
  golden_folder(pass_name, pass, entry, &n);
  network_end(&n);
}

static void share_vertices(void **state) { (void)state, run_folder("share-vertices", pass_share_vertices); }
static void fuse_edges(void **state) { (void)state, run_folder("fuse-edges", pass_fuse_edges); }
static void reuse_masks(void **state) { (void)state, run_folder("reuse-masks", pass_reuse_masks); }
static void cse(void **state) { (void)state, run_folder("cse", pass_cse); }
static void dce(void **state) { (void)state, run_folder("dce", pass_dce); }

// ---- building ----------------------------------------------------------------------------------------------------

// Every kind of aggregate, vertices of three models, an attention inside a residual.
static void network_to_build(network *n, int input_model) {
  network_begin(n, input_model);
  int a = network_node(n, "a", 0), b = network_node(n, "b", 2), c = network_node(n, "c", 0),
      d = network_node(n, "d", 3), output = network_output(n, input_model);
  n->graph.nodes[b].shared = false;
  n->graph.nodes[c].aggregate = AGGREGATE_CONCAT;
  n->graph.nodes[d].aggregate = AGGREGATE_PROJECT;
  n->graph.nodes[output].aggregate = AGGREGATE_MEAN;
  module residual = module_of(MODULE_RESIDUAL, 8, 8, 0);
  residual.inner = layer_chain(n, a, c, false);
  network_arrow(n, 0, a, identity);
  network_arrow(n, 0, b, layer_chain(n, 0, b, true));
  network_arrow(n, a, c, chain_of(n, 1, &residual));
  network_arrow(n, b, c, identity);
  network_arrow(n, c, d, layer_chain(n, c, d, true));
  network_arrow(n, c, output, identity);
  network_arrow(n, d, output, linear_chain(n, d, output));
}

static void expect_build(network *n, entry_shape shape, const char *name) {
  network_build(n, shape);
  text printed = {0};
  ir_print(n->ir, &printed);
  char path[4096];
  snprintf(path, sizeof path, LMN_TESTS "/passes/build/%s.expected", name);
  bool same = golden_same(path, &printed);
  text_free(&printed);
  assert_true(same);
}

static void build_entries(void **state) {
  (void)state;
  network n;
  network_to_build(&n, 0);
  entry_shape packed = shape_of(ENTRY_TRAIN, 2, 3);
  packed.packed = true;
  expect_build(&n, packed, "train-packed");
  expect_build(&n, shape_of(ENTRY_EXTEND, 2, 3), "extend");
  network_end(&n);
}

static void build_prefix_and_positions(void **state) {
  (void)state;
  network n;
  network_to_build(&n, 2);
  n.graph.prefix = 5;
  expect_build(&n, shape_of(ENTRY_TRACE, 2, 3), "trace-prefix");
  expect_build(&n, shape_of(ENTRY_EXTEND, 2, 3), "extend-prefix");
  expect_build(&n, shape_of(ENTRY_EXTEND, 2, 0), "extend-prefix-only");
  network_end(&n);
}

static void build_classifier(void **state) {
  (void)state;
  network n;
  network_to_build(&n, 0);
  n.graph.classes = 4;
  expect_build(&n, shape_of(ENTRY_EVALUATE, 2, 3), "evaluate-classify");
  network_end(&n);
}

static void impossible(network *n, entry_shape shape, const char *part) {
  lmn_error error = {0};
  assert_false(network_try(n, shape, &error));
  if (!strstr(error.text, part)) fail_msg("`%s` is not in `%s`", part, error.text);
}

static void impossible_shapes(void **state) {
  (void)state;
  network n;
  network_to_build(&n, 2);
  impossible(&n, shape_of(ENTRY_UPDATE, 2, 3), "update");
  impossible(&n, shape_of(ENTRY_TRAIN, 0, 3), "batch of 0 rows");
  impossible(&n, shape_of(ENTRY_TRAIN, 2, 0), "0 tokens");
  impossible(&n, shape_of(ENTRY_EXTEND, 2, 0), "0 tokens"); // no prefix that it could run
  impossible(&n, shape_of(ENTRY_TRAIN, 2, -1), "-1 tokens");
  impossible(&n, shape_of(ENTRY_TRAIN, 2, 33), "longer than the 32 positions that gpt2 has learned");
  impossible(&n, shape_of(ENTRY_EXTEND, 2, 65), "too small");
  impossible(&n, shape_of(ENTRY_TRAIN, (int64_t)1 << 40, 2), "too many");
  entry_shape shape = shape_of(ENTRY_TRAIN, 2, 3);
  shape.phase = 1;
  impossible(&n, shape, "no phase 1");
  network_end(&n);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(share_vertices),
                                     cmocka_unit_test(fuse_edges),
                                     cmocka_unit_test(reuse_masks),
                                     cmocka_unit_test(cse),
                                     cmocka_unit_test(dce),
                                     cmocka_unit_test(build_entries),
                                     cmocka_unit_test(build_prefix_and_positions),
                                     cmocka_unit_test(build_classifier),
                                     cmocka_unit_test(impossible_shapes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
