// Networks made by hand, for tests of what stands behind the frontend: a graph from a few calls, its entry's IR, and
// what the IR means.
#ifndef LMN_TEST_NETWORK_H
#define LMN_TEST_NETWORK_H

#include "ir/build.h"
#include "passes/passes.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct network {
  arena *arena;
  MlirContext context;
  graph graph;
  int node_capacity, arrow_capacity;
  settings phase;
  parameter_list parameters;
  ir *ir;
} network;

// Models 0 and 1 have the hidden size 8 and turn alike; 2 is as wide but has learned positions; 3 is wider.
static graph_model models_of_tests[] = {{.name = "qwen",
                                         .description = {.family = "qwen2",
                                                         .hidden = 8,
                                                         .heads = 2,
                                                         .key_value_heads = 1,
                                                         .head_size = 4,
                                                         .layers = 1,
                                                         .vocabulary = 11,
                                                         .rope = {.kind = ROPE_DEFAULT, .theta = 10000}}},
                                        {.name = "llama",
                                         .description = {.family = "llama",
                                                         .hidden = 8,
                                                         .heads = 2,
                                                         .key_value_heads = 1,
                                                         .head_size = 4,
                                                         .layers = 2,
                                                         .vocabulary = 11,
                                                         .rope = {.kind = ROPE_DEFAULT, .theta = 10000}}},
                                        {.name = "gpt2",
                                         .description = {.family = "gpt2",
                                                         .hidden = 8,
                                                         .heads = 2,
                                                         .key_value_heads = 2,
                                                         .head_size = 4,
                                                         .layers = 1,
                                                         .vocabulary = 11,
                                                         .positions = 32,
                                                         .learned_positions = true}},
                                        {.name = "wide",
                                         .description = {.family = "qwen2",
                                                         .hidden = 12,
                                                         .heads = 2,
                                                         .key_value_heads = 1,
                                                         .head_size = 6,
                                                         .layers = 1,
                                                         .vocabulary = 11,
                                                         .rope = {.kind = ROPE_DEFAULT, .theta = 500000}}}};

static inline int network_node(network *n, const char *name, int model) {
  GROW(n->graph.nodes, n->graph.node_count, n->node_capacity);
  n->graph.nodes[n->graph.node_count] = (graph_node){.kind = NODE_VERTEX,
                                                     .name = arena_string(n->arena, name),
                                                     .array = "v",
                                                     .model = model,
                                                     .shared = true,
                                                     .place = {.line = 10 + n->graph.node_count, .column = 3}};
  return n->graph.node_count++;
}

static inline void network_begin(network *n, int input_model) {
  *n = (network){.arena = arena_create()};
  n->graph.name = "test";
  n->graph.file = "test.lmn";
  n->graph.models = models_of_tests;
  n->graph.model_count = LENGTH(models_of_tests);
  n->phase = (settings){.phase = "train", .label_smoothing = 0.1};
  n->graph.phases = &n->phase;
  n->graph.phase_count = 1;
  network_node(n, "input", input_model);
  n->graph.nodes[0].kind = NODE_INPUT;
}

static inline module module_of(module_kind kind, int64_t in, int64_t out, int model) {
  return (module){.kind = kind, .in = in, .out = out, .model = model, .bias = true, .eps = 1e-5};
}

static inline chain chain_of(network *n, int count, const module *modules) {
  chain c = {.modules = ARENA_ARRAY(n->arena, module, count), .count = count};
  memcpy(c.modules, modules, (size_t)count * sizeof *modules);
  return c;
}

// A decoder layer of the source's model and, where `linear`, a linear to the target's hidden size.
static inline chain layer_chain(network *n, int from, int to, bool linear) {
  int model = n->graph.nodes[from].model;
  int64_t in = models_of_tests[model].description.hidden,
          out = models_of_tests[n->graph.nodes[to].model].description.hidden;
  module modules[] = {module_of(MODULE_DECODER_LAYER, in, in, model), module_of(MODULE_LINEAR, in, out, 0)};
  return chain_of(n, linear ? 2 : 1, modules);
}

static inline chain linear_chain(network *n, int from, int to) {
  module module = module_of(MODULE_LINEAR, models_of_tests[n->graph.nodes[from].model].description.hidden,
                            models_of_tests[n->graph.nodes[to].model].description.hidden, 0);
  return chain_of(n, 1, &module);
}

static inline int network_arrow(network *n, int from, int to, chain chain) {
  GROW(n->graph.arrows, n->graph.arrow_count, n->arrow_capacity);
  n->graph.arrows[n->graph.arrow_count] =
      (graph_arrow){.from = from, .to = to, .chain = chain, .place = {.line = 100 + n->graph.arrow_count, .column = 5}};
  return n->graph.arrow_count++;
}

static const chain identity = {0};

static inline entry_shape shape_of(entry_kind kind, int64_t batch, int64_t length) {
  return (entry_shape){.kind = kind, .batch = batch, .length = length, .capacity = 64};
}

// Adds the output node, gives every node its incoming arrows and builds the entry.
static inline bool network_try(network *n, entry_shape shape, lmn_error *error) {
  for (int i = 0; i < n->graph.node_count; ++i) {
    graph_node *node = &n->graph.nodes[i];
    node->incoming = ARENA_ARRAY(n->arena, int, n->graph.arrow_count);
    node->incoming_count = 0;
  }
  for (int i = 0; i < n->graph.arrow_count; ++i) {
    graph_node *to = &n->graph.nodes[n->graph.arrows[i].to];
    to->incoming[to->incoming_count++] = i;
  }
  if (!n->context.ptr) n->context = ir_context_create(error);
  if (!n->context.ptr) return false;
  if (n->ir) ir_destroy(n->ir);
  n->ir = ir_create(n->arena, n->context, &n->graph, &n->parameters, shape, error);
  return n->ir && ir_build_lmn(n->ir, error) && ir_verify(n->ir, error);
}

static inline void network_build(network *n, entry_shape shape) {
  lmn_error error = {0};
  if (!network_try(n, shape, &error)) fail_msg("%s", error.text);
}

static inline int network_output(network *n, int model) {
  int output = network_node(n, "output", model);
  n->graph.nodes[output].kind = NODE_OUTPUT;
  return output;
}

static inline void network_end(network *n) {
  ir_destroy(n->ir);
  ir_context_destroy(n->context);
  free(n->graph.nodes);
  free(n->graph.arrows);
  arena_destroy(n->arena);
}

// Layers fully connected by decoder layers (and linears); an edge at the input where `at_input`.
static inline void network_layered(network *n, const int *widths, int depth, bool linear, bool at_input) {
  network_begin(n, 0);
  int before = 0, before_count = 1;
  for (int l = 0; l < depth; ++l) {
    int first = n->graph.node_count;
    for (int i = 0; i < widths[l]; ++i) network_node(n, arena_printf(n->arena, "v[%d][%d]", l, i), 0);
    for (int i = 0; i < before_count; ++i)
      for (int k = 0; k < widths[l]; ++k)
        network_arrow(n, before + i, first + k,
                      l || at_input ? layer_chain(n, before + i, first + k, linear) : identity);
    before = first;
    before_count = widths[l];
  }
  int output = network_output(n, 0);
  for (int i = 0; i < before_count; ++i) network_arrow(n, before + i, output, identity);
}

static inline void run_pass(network *n, bool (*pass)(ir *, lmn_error *)) {
  lmn_error error = {0};
  if (!pass(n->ir, &error) || !ir_verify(n->ir, &error)) fail_msg("%s", error.text);
}

static inline int count_ops(network *n, op_code code) {
  op_list ops = ir_ops(n->ir);
  int count = 0;
  for (int i = 0; i < ops.count; ++i) count += ir_code(n->ir, ops.items[i]) == code;
  return count;
}

static inline int64_t vertex_runs(network *n) {
  int64_t runs, vertices, masks, uses;
  lmn_count(n->ir, &runs, &vertices, &masks, &uses);
  int expected = 0;
  for (int i = 0; i < n->graph.node_count; ++i) expected += n->graph.nodes[i].kind == NODE_VERTEX;
  assert_int_equal(vertices, expected);
  return runs;
}

#endif
