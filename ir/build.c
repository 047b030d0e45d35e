#include "ir/build.h"

#include <limits.h>
#include <stdlib.h>

typedef struct build {
  ir *ir;
  const graph *graph;
  builder at;
  int64_t batch, tokens, prefix;    // the entry's own tokens, and the prefix vectors it computes itself
  int64_t length;                   // positions of a sequence in every node: prefix + tokens
  int64_t table;                    // positions of a rotary table: with a cache they go on behind the new tokens
  bool prefix_only;                 // the extend entry that runs the prefix into the caches
  MlirValue ids, positions, starts; // null: not wanted
  MlirValue *values;                // of each node
} build;

// ---- shape -------------------------------------------------------------------------------------------------------

static bool check_shape(const build *b, lmn_error *error) {
  const entry_shape *shape = &b->ir->shape;
  const model *input = &b->graph->models[b->graph->nodes[0].model].description;
  if (shape->kind == ENTRY_UPDATE) return fail(error, "an update entry has no network to build");
  if (b->batch < 1) return fail(error, "a batch of %lld rows: at least one is needed", (long long)b->batch);
  if (b->tokens < 0 || b->length < 1)
    return fail(error, "sequences of %lld tokens: at least one is needed", (long long)b->tokens);
  if (b->length > INT32_MAX || b->batch > INT32_MAX / b->length)
    return fail(error, "%lld rows of %lld positions are too many: make the batch or the length smaller",
                (long long)b->batch, (long long)b->length);
  if (shape->kind == ENTRY_EXTEND && shape->capacity < b->length)
    return fail(error, "a cache of %lld positions is too small for %lld new ones", (long long)shape->capacity,
                (long long)b->length);
  // Packed rows hold several sequences, each of which starts at position 0 again.
  if (input->learned_positions && !shape->packed && b->tokens > input->positions)
    return fail(error, "sequences of %lld tokens are longer than the %lld positions that %s has learned",
                (long long)b->tokens, (long long)input->positions, b->graph->models[b->graph->nodes[0].model].name);
  if ((shape->kind == ENTRY_TRAIN || shape->kind == ENTRY_TRACE) &&
      (shape->phase < 0 || shape->phase >= b->graph->phase_count))
    return fail(error, "there is no phase %d to train", shape->phase);
  return true;
}

static build build_of(ir *m) {
  build b = {.ir = m, .graph = m->graph, .at = builder_at_end(m), .batch = m->shape.batch, .tokens = m->shape.length};
  bool extend = m->shape.kind == ENTRY_EXTEND;
  b.prefix_only = extend && b.tokens == 0;
  b.prefix = !extend || b.prefix_only ? b.graph->prefix : 0; // else the prefix is in the caches already
  b.length = b.prefix + b.tokens;
  b.table = extend ? m->shape.capacity : b.length;
  b.values = ARENA_ARRAY(m->arena, MlirValue, b.graph->node_count);
  return b;
}

// ---- small ops ---------------------------------------------------------------------------------------------------

// Ops that come now carry this place of the .lmn file; a node that was never written down has none.
static void stand_at(build *b, span place) {
  b->at.place = place.line ? ir_place_of(b->ir, place) : mlirLocationUnknownGet(b->ir->context);
}

static MlirValue input(build *b, const char *name, MlirType type) {
  op_spec s = op_begin(&b->at, LMN_INPUT);
  op_result(&s, type);
  op_text(&s, "name", name);
  return op_end_value(&s);
}

static void output(build *b, const char *name, MlirValue value) {
  op_spec s = op_begin(&b->at, LMN_OUTPUT);
  op_operand(&s, value);
  op_text(&s, "name", name);
  op_end(&s);
}

// The type of a mask says what it means, a truth value a query and key of one sequence; nothing of that size ever
// exists, the kernels take the mask as structure.
static MlirValue mask(build *b, int64_t segments) {
  int64_t side = b->length * segments;
  op_spec s = op_begin(&b->at, LMN_MASK);
  op_optional(&s, b->starts);
  op_result(&s, mlirRankedTensorTypeGet(2, (int64_t[]){side, side}, mlirIntegerTypeGet(b->ir->context, 1),
                                        mlirAttributeGetNull()));
  op_int(&s, "length", b->length);
  op_int(&s, "segments", segments);
  return op_end_value(&s);
}

// Null for a model without rotary positions.
static MlirValue rotary(build *b, int model) {
  const struct model *description = &b->graph->models[model].description;
  if (description->rope.kind == ROPE_NONE) return no_value;
  op_spec s = op_begin(&b->at, LMN_ROTARY);
  op_result(&s, ir_matrix(b->ir, b->table, description->head_size));
  op_int(&s, "model", model);
  op_int(&s, "length", b->table);
  op_int(&s, "dim", description->head_size);
  return op_end_value(&s);
}

static MlirValue drop_prefix(build *b, MlirValue hidden) {
  if (!b->prefix) return hidden;
  op_spec s = op_begin(&b->at, LMN_DROP_PREFIX);
  op_operand(&s, hidden);
  op_result(&s, ir_matrix(b->ir, b->batch * b->tokens, value_columns(hidden)));
  op_int(&s, "batch", b->batch);
  op_int(&s, "length", b->tokens);
  op_int(&s, "prefix", b->prefix);
  return op_end_value(&s);
}

static MlirValue select_rows(build *b, MlirValue hidden, const char *index, bool minus_one) {
  MlirValue rows = input(b, index, ir_indices(b->ir, b->batch, 0));
  op_spec s = op_begin(&b->at, LMN_SELECT);
  op_operand(&s, hidden);
  op_operand(&s, rows);
  op_result(&s, ir_matrix(b->ir, b->batch, value_columns(hidden)));
  op_int(&s, "length", b->tokens);
  op_int(&s, "minus_one", minus_one);
  return op_end_value(&s);
}

static MlirValue head(build *b, MlirValue hidden) {
  const graph *g = b->graph;
  int64_t columns = g->classes ? g->classes : g->models[g->nodes[g->node_count - 1].model].description.vocabulary;
  op_spec s = op_begin(&b->at, LMN_HEAD);
  op_operand(&s, hidden);
  op_result(&s, ir_matrix(b->ir, value_rows(hidden), columns));
  return op_end_value(&s);
}

// ---- arrows and nodes --------------------------------------------------------------------------------------------

static bool chain_attends(const chain *c) {
  for (int i = 0; i < c->count; ++i)
    if (c->modules[i].kind == MODULE_DECODER_LAYER || c->modules[i].kind == MODULE_ATTENTION ||
        chain_attends(&c->modules[i].inner))
      return true;
  return false;
}

// The model of the first decoder layer, in flat order, that turns its queries and keys; -1: there is none.
static int chain_rotary(const graph *g, const chain *c) {
  for (int i = 0; i < c->count; ++i) {
    const module *module = &c->modules[i];
    if (module->kind == MODULE_DECODER_LAYER && g->models[module->model].description.rope.kind != ROPE_NONE)
      return module->model;
    int inner = chain_rotary(g, &module->inner);
    if (inner >= 0) return inner;
  }
  return -1;
}

// What the arrow brings to its target: its chain on its source's value.
static MlirValue message(build *b, int index) {
  const graph_arrow *arrow = &b->graph->arrows[index];
  const chain *chain = &arrow->chain;
  MlirValue source = b->values[arrow->from];
  if (!chain->count) return source;
  stand_at(b, arrow->place);
  int turning = chain_rotary(b->graph, chain);
  MlirValue seen = chain_attends(chain) ? mask(b, 1) : no_value;
  MlirValue table = turning >= 0 ? rotary(b, turning) : no_value;
  op_spec s = op_begin(&b->at, LMN_EDGE);
  op_operand(&s, source);
  op_optional(&s, seen);
  op_optional(&s, table);
  op_result(&s, ir_matrix(b->ir, value_rows(source), chain->modules[chain->count - 1].out));
  op_ints(&s, "arrows", (int64_t[]){index}, 1);
  return op_end_value(&s);
}

// The value that enters a node. Sum and mean of one message are the message.
static MlirValue aggregate(build *b, int index) {
  static const char *const kinds[] = {"sum", "mean", "concat", "project"};
  const graph_node *node = &b->graph->nodes[index];
  int count = node->incoming_count;
  MlirValue *messages = ARENA_ARRAY(b->ir->arena, MlirValue, count);
  for (int i = 0; i < count; ++i) messages[i] = message(b, node->incoming[i]);
  if (count == 1 && (node->aggregate == AGGREGATE_SUM || node->aggregate == AGGREGATE_MEAN)) return messages[0];
  stand_at(b, node->place);
  int64_t rows = value_rows(messages[0]), columns = b->graph->models[node->model].description.hidden;
  op_spec s = op_begin(&b->at, LMN_AGGREGATE);
  op_segment(&s, messages, count);
  op_result(&s, ir_matrix(b->ir, node->aggregate == AGGREGATE_CONCAT ? rows * count : rows, columns));
  op_text(&s, "kind", kinds[node->aggregate]);
  op_int(&s, "node", index);
  return op_end_value(&s);
}

static MlirValue vertex(build *b, int index) {
  const graph_node *node = &b->graph->nodes[index];
  int segments = node->aggregate == AGGREGATE_CONCAT ? node->incoming_count : 1;
  MlirValue entering = aggregate(b, index);
  stand_at(b, node->place);
  MlirValue seen = mask(b, segments), table = rotary(b, node->model);
  op_spec s = op_begin(&b->at, LMN_VERTEX);
  op_operand(&s, entering);
  op_operand(&s, seen);
  op_optional(&s, table);
  op_result(&s, mlirValueGetType(entering));
  op_int(&s, "model", node->model);
  op_int(&s, "instance", node->shared ? -1 : index);
  op_ints(&s, "nodes", (int64_t[]){index}, 1);
  op_int(&s, "segments", segments);
  MlirValue value = op_end_value(&s);
  if (segments == 1) return value;
  op_spec last = op_begin(&b->at, LMN_UNSTACK); // a concat vertex says what its last segment holds
  op_operand(&last, value);
  op_result(&last, ir_matrix(b->ir, value_rows(value) / segments, value_columns(value)));
  op_int(&last, "index", segments - 1);
  op_int(&last, "count", segments);
  return op_end_value(&last);
}

static MlirValue embed(build *b) {
  const graph_node *node = &b->graph->nodes[0];
  stand_at(b, node->place);
  op_spec s = op_begin(&b->at, LMN_EMBED);
  op_optional(&s, b->ids);
  op_optional(&s, b->positions);
  op_result(&s, ir_matrix(b->ir, b->batch * b->length, b->graph->models[node->model].description.hidden));
  op_int(&s, "model", node->model);
  op_int(&s, "batch", b->batch);
  op_int(&s, "length", b->tokens);
  op_int(&s, "prefix", b->prefix);
  op_int(&s, "prefix_only", b->prefix_only);
  return op_end_value(&s);
}

// ---- what the entry is for ---------------------------------------------------------------------------------------

// train and trace: the phase's loss. evaluate: plain cross-entropy, without the smoothing, so that losses of different
// trainings compare.
static void loss_tail(build *b, MlirValue hidden) {
  const graph *g = b->graph;
  bool evaluate = b->ir->shape.kind == ENTRY_EVALUATE;
  if (g->classes) hidden = select_rows(b, hidden, "last", false);
  MlirValue labels = input(b, "labels", ir_indices(b->ir, b->batch, g->classes ? 0 : b->tokens));
  MlirValue scale = input(b, "scale", ir_vector(b->ir, 1));
  op_spec s = op_begin(&b->at, LMN_LOSS);
  op_operand(&s, hidden);
  op_operand(&s, labels);
  op_operand(&s, scale);
  op_result(&s, ir_vector(b->ir, 1));
  op_result(&s, ir_vector(b->ir, 1));
  op_real(&s, "smoothing", evaluate ? 0 : g->phases[b->ir->shape.phase].label_smoothing);
  MlirOperation loss = op_end(&s);
  output(b, "loss", mlirOperationGetResult(loss, 0));
  if (evaluate) output(b, "correct", mlirOperationGetResult(loss, 1));
}

static void trace_tail(build *b, MlirValue hidden) {
  const graph *g = b->graph;
  for (int i = 0; i < g->node_count; ++i)
    output(b, arena_printf(b->ir->arena, "node.%s", g->nodes[i].name), b->values[i]);
  output(b, "logits", head(b, hidden));
}

static void build_tail(build *b) {
  MlirValue hidden = b->values[b->graph->node_count - 1];
  stand_at(b, b->graph->nodes[b->graph->node_count - 1].place);
  if (b->prefix_only) { // only the caches count
    output(b, "hidden", hidden);
    return;
  }
  if (b->ir->shape.kind == ENTRY_EXTEND) {
    output(b, "logits", head(b, select_rows(b, hidden, "counts", true)));
    return;
  }
  hidden = drop_prefix(b, hidden);
  loss_tail(b, hidden);
  if (b->ir->shape.kind == ENTRY_TRACE) trace_tail(b, hidden);
}

bool ir_build_lmn(ir *m, lmn_error *error) {
  build b = build_of(m);
  const graph *g = b.graph;
  if (!check_shape(&b, error)) return false;
  bool learned = g->models[g->nodes[0].model].description.learned_positions;
  stand_at(&b, g->nodes[0].place);
  if (!b.prefix_only) b.ids = input(&b, "input_ids", ir_indices(m, b.batch, b.tokens));
  if (!b.prefix_only && learned) b.positions = input(&b, "positions", ir_indices(m, b.batch, b.tokens));
  if (m->shape.packed && m->shape.kind != ENTRY_EXTEND)
    b.starts = input(&b, "starts", ir_indices(m, b.batch, b.length));
  for (int i = 0; i < g->node_count; ++i)
    b.values[i] = g->nodes[i].kind == NODE_INPUT    ? embed(&b)
                  : g->nodes[i].kind == NODE_VERTEX ? vertex(&b, i)
                                                    : aggregate(&b, i);
  build_tail(&b);
  return true;
}
