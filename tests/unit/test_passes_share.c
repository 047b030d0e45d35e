// links: passes
// share-vertices: how many runs a network takes, and that it still means the same.
#include "meaning.h"

static void share(network *n, int64_t runs) {
  uint64_t before = meaning(n);
  run_pass(n, pass_share_vertices);
  assert_int_equal(vertex_runs(n), runs);
  assert_true(before == meaning(n));
}

static void published_network(void **state) {
  (void)state;
  network n;
  network_layered(&n, (int[]){1, 4, 4, 4, 1}, 5, true, true);
  network_build(&n, shape_of(ENTRY_TRAIN, 2, 6));
  assert_int_equal(vertex_runs(&n), 14);
  share(&n, 5);
  assert_int_equal(count_ops(&n, LMN_EDGE), 41);
  run_pass(&n, pass_fuse_edges);
  assert_int_equal(count_ops(&n, LMN_EDGE), 5);
  run_pass(&n, pass_reuse_masks);
  int64_t runs, vertices, masks, uses;
  lmn_count(n.ir, &runs, &vertices, &masks, &uses);
  assert_int_equal(runs, 5);
  assert_int_equal(vertices, 14);
  assert_int_equal(masks, 1);
  assert_int_equal(uses, 55);
  assert_int_equal(count_ops(&n, LMN_ROTARY), 1);
  network_end(&n);
}

static void tree(network *n, bool shared) {
  network_begin(n, 0);
  int leaf[4], mid[2];
  for (int i = 0; i < 4; ++i) leaf[i] = network_node(n, arena_printf(n->arena, "leaf[%d]", i), 0);
  for (int i = 0; i < 2; ++i) mid[i] = network_node(n, arena_printf(n->arena, "mid[%d]", i), 0);
  int root = network_node(n, "root", 0);
  for (int i = 1; i < n->graph.node_count; ++i) n->graph.nodes[i].shared = shared;
  int output = network_output(n, 0);
  for (int i = 0; i < 4; ++i) network_arrow(n, 0, leaf[i], linear_chain(n, 0, leaf[i]));
  for (int i = 0; i < 4; ++i) network_arrow(n, leaf[i], mid[i / 2], layer_chain(n, leaf[i], mid[i / 2], false));
  for (int i = 0; i < 2; ++i) network_arrow(n, mid[i], root, layer_chain(n, mid[i], root, false));
  for (int i = 0; i < 4; ++i) network_arrow(n, leaf[i], root, identity);
  network_arrow(n, root, output, identity);
  network_build(n, shape_of(ENTRY_EVALUATE, 2, 6));
}

static void shared_tree(void **state) {
  (void)state;
  network n;
  tree(&n, true);
  share(&n, 3);
  network_end(&n);
}

static void unshared_tree(void **state) {
  (void)state;
  network n;
  tree(&n, false);
  share(&n, 7);
  run_pass(&n, pass_fuse_edges);
  assert_int_equal(count_ops(&n, LMN_EDGE), 3); // edges have their own parameters anyway
  network_end(&n);
}

static void ring(void **state) {
  (void)state;
  enum { ROUNDS = 5, SIZE = 4 };
  network n;
  network_begin(&n, 0);
  int r[ROUNDS][SIZE];
  for (int t = 0; t < ROUNDS; ++t)
    for (int i = 0; i < SIZE; ++i) r[t][i] = network_node(&n, arena_printf(n.arena, "r[%d][%d]", t, i), 0);
  int output = network_output(&n, 0);
  for (int i = 0; i < SIZE; ++i) network_arrow(&n, 0, r[0][i], identity);
  for (int t = 0; t + 1 < ROUNDS; ++t)
    for (int i = 0; i < SIZE; ++i) {
      network_arrow(&n, r[t][i], r[t + 1][(i + 1) % SIZE], layer_chain(&n, r[t][i], r[t + 1][0], false));
      network_arrow(&n, r[t][i], r[t + 1][i], identity);
    }
  for (int i = 0; i < SIZE; ++i) network_arrow(&n, r[ROUNDS - 1][i], output, identity);
  network_build(&n, shape_of(ENTRY_TRAIN, 1, 4));
  share(&n, ROUNDS);
  network_end(&n);
}

// A path of vertices of these models ("01" = a qwen, then a llama), from input to output.
static void path(network *n, const char *models, int output_of_last[], int index) {
  int before = 0;
  for (int i = 0; models[i]; ++i) {
    int v = network_node(n, arena_printf(n->arena, "p%d[%d]", index, i), models[i] - '0');
    network_arrow(n, before, v, before ? layer_chain(n, before, v, true) : identity);
    before = v;
  }
  output_of_last[index] = before;
}

static void paths(const char *const *models, int count, int64_t runs) {
  network n;
  int last[8];
  network_begin(&n, 0);
  for (int i = 0; i < count; ++i) path(&n, models[i], last, i);
  int output = network_output(&n, 0);
  for (int i = 0; i < count; ++i) network_arrow(&n, last[i], output, identity);
  network_build(&n, shape_of(ENTRY_TRAIN, 2, 3));
  share(&n, runs);
  network_end(&n);
}

static void paths_of_unequal_length(void **state) {
  (void)state;
  paths((const char *const[]){"0000", "00", "0"}, 3, 4);
  // By layers drawn from the input these two would take five runs: the second path waits for the first.
  paths((const char *const[]){"010", "10"}, 2, 3);
  paths((const char *const[]){"10", "010"}, 2, 3);
  paths((const char *const[]){"0101", "1010"}, 2, 5);
  paths((const char *const[]){"0011", "1100"}, 2, 6);
  paths((const char *const[]){"0011", "1100", "01"}, 3, 6);
  paths((const char *const[]){"012", "12", "2"}, 3, 3);
}

static void widths_differ(void **state) {
  (void)state;
  network n;
  network_begin(&n, 0);
  int a = network_node(&n, "a", 0), b = network_node(&n, "b", 3), c = network_node(&n, "c", 3);
  int output = network_output(&n, 0);
  network_arrow(&n, 0, a, identity);
  network_arrow(&n, a, b, layer_chain(&n, a, b, true));
  network_arrow(&n, a, c, layer_chain(&n, a, c, true));
  network_arrow(&n, b, output, linear_chain(&n, b, output));
  network_arrow(&n, c, output, linear_chain(&n, c, output));
  network_build(&n, shape_of(ENTRY_TRAIN, 2, 3));
  share(&n, 2);
  network_end(&n);
}

// Concat vertices share with those of as many segments, and give their last segments on.
static void concat(void **state) {
  (void)state;
  network n;
  network_begin(&n, 0);
  int v[5];
  for (int i = 0; i < 5; ++i) v[i] = network_node(&n, arena_printf(n.arena, "v[%d]", i), 0);
  for (int i = 2; i < 5; ++i) n.graph.nodes[v[i]].aggregate = AGGREGATE_CONCAT;
  int output = network_output(&n, 0);
  for (int i = 0; i < 2; ++i) network_arrow(&n, 0, v[i], linear_chain(&n, 0, v[i]));
  for (int i = 2; i < 5; ++i) {
    for (int k = 0; k < 2; ++k) network_arrow(&n, v[k], v[i], linear_chain(&n, v[k], v[i]));
    if (i == 4) network_arrow(&n, 0, v[4], identity); // three segments
    network_arrow(&n, v[i], output, identity);
  }
  network_build(&n, shape_of(ENTRY_TRACE, 2, 3));
  share(&n, 3);
  run_pass(&n, pass_reuse_masks);
  assert_int_equal(count_ops(&n, LMN_MASK), 3);
  network_end(&n);
}

static void again(void **state) { // a second run changes nothing
  (void)state;
  network n;
  network_layered(&n, (int[]){1, 3, 2}, 3, false, false);
  network_build(&n, shape_of(ENTRY_TRAIN, 2, 3));
  share(&n, 3);
  text first = {0}, second = {0};
  ir_print(n.ir, &first);
  share(&n, 3);
  ir_print(n.ir, &second);
  assert_string_equal(first.data, second.data);
  text_free(&first);
  text_free(&second);
  network_end(&n);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(published_network),
                                     cmocka_unit_test(shared_tree),
                                     cmocka_unit_test(unshared_tree),
                                     cmocka_unit_test(ring),
                                     cmocka_unit_test(paths_of_unequal_length),
                                     cmocka_unit_test(widths_differ),
                                     cmocka_unit_test(concat),
                                     cmocka_unit_test(again)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
