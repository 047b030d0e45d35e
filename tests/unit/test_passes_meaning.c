// links: passes
// Random networks: after each of the lmn passes, in any choice of them, an entry means what it meant before.
#include "meaning.h"

static int below(random_stream *r, int limit) { return (int)(random_next(r) % (uint64_t)limit); }

static chain random_chain(network *n, random_stream *r, int from, int to) {
  const graph_node *nodes = n->graph.nodes;
  int64_t in = models_of_tests[nodes[from].model].description.hidden,
          out = models_of_tests[nodes[to].model].description.hidden;
  if (in != out) return below(r, 2) ? layer_chain(n, from, to, true) : linear_chain(n, from, to);
  switch (below(r, 5)) {
  case 0: return identity;
  case 1: return linear_chain(n, from, to);
  case 2: return layer_chain(n, from, to, true);
  case 3: { // the attention hides in a residual
    module residual = module_of(MODULE_RESIDUAL, in, in, 0);
    residual.inner = layer_chain(n, from, to, false);
    return chain_of(n, 1, &residual);
  }
  default: return layer_chain(n, from, to, false);
  }
}

// Vertices of some models with arrows from earlier nodes; every vertex that nothing reads goes to the output.
static void random_network(network *n, random_stream *r) {
  network_begin(n, below(r, 3));
  int count = 1 + below(r, 24), models = 1 + below(r, 4), reach = 1 + below(r, 16), sparse = 2 + below(r, 12);
  int joined = below(r, 2); // many concat vertices
  bool *read = ARENA_ARRAY(n->arena, bool, count + 2);
  for (int i = 1; i <= count; ++i) {
    int v = network_node(n, arena_printf(n->arena, "v[%d]", i), below(r, models));
    n->graph.nodes[v].shared = below(r, 6) != 0;
    n->graph.nodes[v].aggregate = joined && below(r, 2) ? AGGREGATE_CONCAT : (aggregate_kind)below(r, 4);
    int first = i > reach ? i - reach : 0, sure = first + below(r, i - first);
    for (int k = first; k < i; ++k) {
      if (k != sure && below(r, sparse)) continue;
      network_arrow(n, k, v, random_chain(n, r, k, v));
      read[k] = true;
    }
  }
  int output = network_output(n, n->graph.nodes[0].model);
  n->graph.nodes[output].aggregate = below(r, 2) ? AGGREGATE_MEAN : AGGREGATE_PROJECT;
  for (int i = 1; i <= count; ++i)
    if (!read[i]) network_arrow(n, i, output, random_chain(n, r, i, output));
  n->graph.prefix = below(r, 3) ? 0 : 2;
  n->graph.classes = below(r, 3) ? 0 : 4;
}

static entry_shape random_shape(network *n, random_stream *r) {
  static const entry_kind kinds[] = {ENTRY_TRAIN, ENTRY_EVALUATE, ENTRY_EXTEND, ENTRY_TRACE};
  entry_shape shape = shape_of(kinds[below(r, 4)], 1 + below(r, 3), 1 + below(r, 5));
  shape.packed = below(r, 2);
  if (shape.kind == ENTRY_EXTEND && n->graph.prefix && below(r, 2)) shape.length = 0;
  return shape;
}

static void any_network(void **state) {
  (void)state;
  static bool (*const passes[])(ir *, lmn_error *) = {
      pass_share_vertices, pass_fuse_edges, pass_reuse_masks, pass_cse, pass_dce, pass_share_vertices};
  random_stream r = random_named(7, "networks");
  for (int round = 0; round < 250; ++round) {
    network n;
    random_network(&n, &r);
    network_build(&n, random_shape(&n, &r));
    uint64_t before = meaning(&n);
    int64_t runs = vertex_runs(&n);
    for (size_t i = 0; i < LENGTH(passes); ++i) {
      if (below(&r, 4) == 0) continue;
      run_pass(&n, passes[i]);
      assert_true(meaning(&n) == before);
    }
    assert_true(vertex_runs(&n) <= runs);
    network_end(&n);
  }
}

// The meaning is worth something only if it sees what must not change.
static void meaning_sees_changes(void **state) {
  (void)state;
  network n;
  network_layered(&n, (int[]){2, 2}, 2, true, true);
  network_build(&n, shape_of(ENTRY_TRAIN, 2, 3));
  run_pass(&n, pass_share_vertices);
  uint64_t before = meaning(&n);
  op_list ops = ir_ops(n.ir);
  for (int i = 0; i < ops.count; ++i) {
    if (ir_code(n.ir, ops.items[i]) != LMN_UNSTACK) continue;
    int64_t index = ir_int(ops.items[i], "index");
    ir_set_int(n.ir, ops.items[i], "index", 1 - index);
    assert_true(meaning(&n) != before);
    ir_set_int(n.ir, ops.items[i], "index", index);
    assert_true(meaning(&n) == before);
  }
  network_end(&n);
}

static double seconds(network *n) {
  double start = clock_seconds();
  run_pass(n, pass_share_vertices);
  run_pass(n, pass_fuse_edges);
  run_pass(n, pass_reuse_masks);
  run_pass(n, pass_cse);
  run_pass(n, pass_dce);
  return clock_seconds() - start;
}

// Nothing here may grow with the square of the network; the limits leave room for slow machines and sanitizers.
static void large_networks(void **state) {
  (void)state;
  network n;
  int wide[4] = {64, 64, 64, 64}, *deep = calloc(1000, sizeof *deep);
  network_layered(&n, wide, 4, true, true);
  network_build(&n, shape_of(ENTRY_TRAIN, 4, 128));
  assert_true(seconds(&n) < 10);
  assert_int_equal(vertex_runs(&n), 4);
  assert_int_equal(count_ops(&n, LMN_EDGE), 4);
  network_end(&n);
  for (int i = 0; i < 1000; ++i) deep[i] = 1;
  network_layered(&n, deep, 1000, true, true);
  network_build(&n, shape_of(ENTRY_TRAIN, 4, 128));
  assert_true(seconds(&n) < 10);
  assert_int_equal(vertex_runs(&n), 1000);
  network_end(&n);
  free(deep);
}

// Two long chains whose models alternate: every run is a choice.
static void long_alternating_chains(void **state) {
  (void)state;
  enum { LENGTH_OF_CHAIN = 1500 };
  network n;
  network_begin(&n, 0);
  int last[2] = {0, 0};
  for (int i = 0; i < LENGTH_OF_CHAIN; ++i)
    for (int k = 0; k < 2; ++k) {
      int v = network_node(&n, arena_printf(n.arena, "v[%d][%d]", k, i), (i + k) % 2);
      network_arrow(&n, last[k], v, identity);
      last[k] = v;
    }
  int output = network_output(&n, 0);
  for (int k = 0; k < 2; ++k) network_arrow(&n, last[k], output, identity);
  network_build(&n, shape_of(ENTRY_TRAIN, 1, 2));
  assert_true(seconds(&n) < 10);
  assert_int_equal(vertex_runs(&n), LENGTH_OF_CHAIN + 1);
  network_end(&n);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(any_network), cmocka_unit_test(meaning_sees_changes),
                                     cmocka_unit_test(large_networks), cmocka_unit_test(long_alternating_chains)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
