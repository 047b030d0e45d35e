// lower-lmn: opens the layers. Vertices, edges, aggregates, embedding and head become nn ops on [rows, columns]
// tensors.
//
//   %h = "lmn.vertex"(%x, %mask, %table) {model = 0, instance = -1, nodes = [1, 2], …}
// becomes, for each layer of the model,
//   %n, %r = "nn.norm"(%x, %w) …   %qkv = "nn.linear"(%n, %wqkv, %bqkv)   %p = "nn.rope"(%qkv, %table)   %a, %l =
//   "nn.attention"(%p) %o = "nn.linear"(%a, %wo)   %y = "nn.add"(%x, %o) …
// and the final norm. An lmn.edge of several arrows becomes one chain of grouped ops that read their sources where they
// are (`reads`), so that no source is copied for each edge and a norm's statistics are those of the source; the sums
// and means of what such edges give become one nn.segment_sum for all vertices that run together.
#include "passes/passes.h"

#include "passes/lower_lmn.h"
#include "passes/segments.h"

#include <stdlib.h>
#include <string.h>

// ---- vertices -----------------------------------------------------------------------------------

static context context_of(lowering *l, MlirValue mask, MlirValue table, int64_t segments) {
  MlirValue starts = value_is(mask) ? ir_operand(l->m, value_op(mask), 0) : no_value;
  return (context){starts, table, segments};
}

static MlirValue lower_vertex(lowering *l, MlirOperation op) {
  ir *m = l->m;
  const graph_model *gm = &m->graph->models[ir_int(op, "model")];
  int64_t instance = ir_int(op, "instance");
  const char *prefix = arena_printf(m->arena, "%s.", instance < 0 ? gm->name : m->graph->nodes[instance].name);
  owners o = {&prefix, 1};
  const model *d = &gm->description;
  context c = context_of(l, ir_operand(m, op, 1), ir_operand(m, op, 2), ir_int(op, "segments"));
  op_spec mark = op_begin(&l->b, NN_MARK);
  op_int(&mark, "vertices", ir_count(op, "nodes"));
  op_end(&mark);
  return lower_layers(l, ir_operand(m, op, 0), d, o, c);
}

// ---- edges --------------------------------------------------------------------------------------

// The sources of a group of edges as one value of which each edge reads a segment: where all are parts of one stack,
// the stack; else each of them once.
static MlirValue read_sources(lowering *l, const MlirValue *sources, int count) {
  ir *m = l->m;
  if (count == 1) return sources[0];
  MlirValue *distinct = ARENA_ARRAY(m->arena, MlirValue, count), whole = no_value;
  int64_t *reads = ARENA_ARRAY(m->arena, int64_t, count), rows = value_rows(sources[0]);
  int distinct_count = 0;
  bool parts = true;
  for (int i = 0; i < count; ++i) {
    int at = 0;
    while (at < distinct_count && !mlirValueEqual(distinct[at], sources[i])) ++at;
    if (at == distinct_count) distinct[distinct_count++] = sources[i];
    reads[i] = at;
    MlirOperation op = value_op(sources[i]);
    MlirValue from = ir_code(m, op) == NN_UNSTACK ? mlirOperationGetOperand(op, 0) : no_value;
    parts = parts && value_is(from) && (i == 0 || mlirValueEqual(from, whole));
    whole = from;
  }
  if (parts && distinct_count > 1)
    for (int i = 0; i < count; ++i) reads[i] = ir_int(value_op(sources[i]), "index");
  else whole = nn_stack(l, distinct, distinct_count);
  return nn_spread_out(l, whole, reads, count, rows);
}

static void lower_edge(lowering *l, MlirOperation op) {
  ir *m = l->m;
  int count = ir_count(op, "arrows");
  owners o = {ARENA_ARRAY(m->arena, const char *, count), count};
  MlirValue *sources = ARENA_ARRAY(m->arena, MlirValue, count);
  const graph *g = m->graph;
  for (int i = 0; i < count; ++i) {
    const graph_arrow *arrow = &g->arrows[ir_int_at(op, "arrows", i)];
    o.prefixes[i] = arena_printf(m->arena, "%s->%s.", g->nodes[arrow->from].name, g->nodes[arrow->to].name);
    sources[i] = mlirOperationGetOperand(op, ir_operands(m, op, 0).first + i);
  }
  context c = context_of(l, ir_operand(m, op, 1), no_value, 1);
  const chain *chain = &g->arrows[ir_int_at(op, "arrows", 0)].chain;
  MlirValue y = lower_chain(l, read_sources(l, sources, count), chain, o, c);
  for (int i = 0; i < count; ++i) ir_replace(mlirOperationGetResult(op, i), nn_unstack(l, y, i, count));
}

// ---- everything else ----------------------------------------------------------------------------

static MlirValue lower_aggregate(lowering *l, MlirOperation op) {
  ir *m = l->m;
  int count = (int)mlirOperationGetNumOperands(op);
  MlirValue *values = ARENA_ARRAY(m->arena, MlirValue, count);
  for (int i = 0; i < count; ++i) values[i] = mlirOperationGetOperand(op, i);
  const char *kind = ir_text(m, op, "kind");
  if (!strcmp(kind, "concat")) return nn_stack(l, values, count);
  if (strcmp(kind, "project")) {
    double scale = strcmp(kind, "mean") ? 1 : 1.0 / count;
    for (int i = 0; i < count; ++i)
      if (nn_is_part(m, values[i])) return nn_sum_segments(l, values, count, value_rows(values[i]), scale);
    return nn_add(l, values, count, scale);
  }
  MlirValue joined = values[0];
  if (count > 1) {
    op_spec s = op_begin(&l->b, NN_JOIN_COLUMNS);
    op_segment(&s, values, count);
    op_result(&s, ir_matrix(m, value_rows(values[0]), value_columns(values[0]) * count));
    joined = op_end_value(&s);
  }
  const char *name = arena_printf(m->arena, "%s.project.weight", m->graph->nodes[ir_int(op, "node")].name);
  MlirValue weight = nn_parameter(l, &name, 1);
  return nn_linear(l, joined, &weight, NULL, 1, false);
}

static const char *model_parameter(lowering *l, int64_t index, tensor_role role) {
  const graph_model *gm = &l->m->graph->models[index];
  return arena_printf(l->m->arena, "%s.%s", gm->name, model_tensor_of(&gm->description, role).name);
}

static MlirValue lower_embed(lowering *l, MlirOperation op) {
  ir *m = l->m;
  int64_t model = ir_int(op, "model"), prefix = ir_int(op, "prefix");
  MlirValue ids = ir_operand(m, op, 0), positions = ir_operand(m, op, 1), table = no_value, position_table = no_value,
            vectors = no_value;
  const char *name;
  if (value_is(ids)) name = model_parameter(l, model, TENSOR_EMBEDDING), table = nn_parameter(l, &name, 1);
  if (value_is(positions))
    name = model_parameter(l, model, TENSOR_POSITION), position_table = nn_parameter(l, &name, 1);
  if (prefix) name = "input.prefix", vectors = nn_parameter(l, &name, 1);
  op_spec s = op_begin(&l->b, NN_EMBED);
  op_optional(&s, ids);
  op_optional(&s, table);
  op_optional(&s, positions);
  op_optional(&s, position_table);
  op_optional(&s, vectors);
  op_int(&s, "batch", ir_int(op, "batch"));
  op_int(&s, "length", value_is(ids) ? ir_int(op, "length") : 0);
  op_int(&s, "prefix", prefix);
  op_result(&s, mlirValueGetType(mlirOperationGetResult(op, 0)));
  return op_end_value(&s);
}

static MlirValue head_weight(lowering *l) {
  const graph *g = l->m->graph;
  const char *name = "output.head.weight";
  int model = g->nodes[g->node_count - 1].model;
  if (!g->classes) name = model_parameter(l, model, g->models[model].description.tied ? TENSOR_EMBEDDING : TENSOR_HEAD);
  return nn_parameter(l, &name, 1);
}

// An op whose nn form has the same operands, results and integer attributes under another code.
static MlirValue renamed(lowering *l, MlirOperation op, op_code code, const char *const *integers, int count) {
  op_spec s = op_begin(&l->b, code);
  for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) op_operand(&s, mlirOperationGetOperand(op, i));
  for (int i = 0; i < count; ++i) op_int(&s, integers[i], ir_int(op, integers[i]));
  for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i)
    op_result(&s, mlirValueGetType(mlirOperationGetResult(op, i)));
  return op_end_value(&s);
}

static void lower_loss(lowering *l, MlirOperation op) {
  op_spec s = op_begin(&l->b, NN_CROSS_ENTROPY);
  op_operand(&s, ir_operand(l->m, op, 0));
  op_operand(&s, head_weight(l));
  op_operand(&s, ir_operand(l->m, op, 1));
  op_operand(&s, ir_operand(l->m, op, 2));
  op_real(&s, "smoothing", ir_real(op, "smoothing"));
  op_result(&s, ir_vector(l->m, 1));
  op_result(&s, ir_vector(l->m, 1));
  MlirOperation loss = op_end(&s);
  for (int i = 0; i < 2; ++i) ir_replace(mlirOperationGetResult(op, i), mlirOperationGetResult(loss, i));
}

static void lower_output(lowering *l, MlirOperation op) {
  op_spec s = op_begin(&l->b, NN_OUTPUT);
  op_operand(&s, mlirOperationGetOperand(op, 0));
  op_text(&s, "name", ir_text(l->m, op, "name"));
  op_end(&s);
}

// What enters the vertices of a run: where that is summed up of segments and scaled alike, one op sums for all.
static MlirValue lower_stack(lowering *l, MlirOperation op) {
  ir *m = l->m;
  int count = (int)mlirOperationGetNumOperands(op);
  MlirValue *values = ARENA_ARRAY(m->arena, MlirValue, count);
  for (int i = 0; i < count; ++i) values[i] = mlirOperationGetOperand(op, i);
  int64_t rows = value_rows(values[0]);
  double scale = nn_is_segment_sum(m, values[0]) ? ir_real(value_op(values[0]), "scale") : 1;
  segment_sums s = segments_begin(m->arena, rows, scale);
  bool alike = true;
  for (int i = 0; i < count && alike; ++i) {
    segment_sums one;
    alike = nn_is_part(m, values[i]) && segments_read(m, value_op(values[i]), rows, &one);
    if (!alike) break;
    alike = one.scale == scale;
    segments_sum(&s);
    for (int k = 0; k < one.term_count; ++k) segments_term(&s, one.values[one.terms[k].value], one.terms[k].index);
    segments_free(&one);
  }
  if (alike) return segments_end(&l->b, &s, mlirValueGetType(mlirOperationGetResult(op, 0)));
  segments_free(&s);
  return nn_stack(l, values, count);
}

// The op's one result in nn; null where the op replaced its results itself.
static MlirValue lower_value(lowering *l, MlirOperation op, op_code code) {
  static const char *const prefix[] = {"batch", "length", "prefix"}, *const select[] = {"length", "minus_one"},
                           *const rotary[] = {"model", "length", "dim"};
  MlirValue weight;
  switch (code) {
  case LMN_INPUT: return nn_input(l, ir_text(l->m, op, "name"), mlirValueGetType(mlirOperationGetResult(op, 0)));
  case LMN_ROTARY: return renamed(l, op, NN_ROTARY, rotary, 3);
  case LMN_EMBED: return lower_embed(l, op);
  case LMN_EDGE: return lower_edge(l, op), no_value;
  case LMN_AGGREGATE: return lower_aggregate(l, op);
  case LMN_VERTEX: return lower_vertex(l, op);
  case LMN_STACK: return lower_stack(l, op);
  case LMN_UNSTACK: return nn_unstack(l, mlirOperationGetOperand(op, 0), ir_int(op, "index"), ir_int(op, "count"));
  case LMN_DROP_PREFIX: return renamed(l, op, NN_DROP_PREFIX, prefix, 3);
  case LMN_SELECT: return renamed(l, op, NN_SELECT, select, 2);
  case LMN_HEAD: weight = head_weight(l); return nn_linear(l, mlirOperationGetOperand(op, 0), &weight, NULL, 1, false);
  case LMN_LOSS: return lower_loss(l, op), no_value;
  case LMN_OUTPUT: return lower_output(l, op), no_value;
  default: return no_value; // lmn.mask: structure that attention took from it
  }
}

// ---- whose work an op is ------------------------------------------------------------------------

// "v[1][0], v[1][1]"; "v[0] -> w[0], v[0] -> w[1]"; "input", "output"; NULL: of no one node.
static const char *worker(ir *m, MlirOperation op, op_code code) {
  const graph *g = m->graph;
  text names = {0};
  bool several = code == LMN_VERTEX || code == LMN_EDGE;
  const char *list = code == LMN_VERTEX ? "nodes" : "arrows";
  for (int i = 0; several && i < ir_count(op, list); ++i) {
    int64_t index = ir_int_at(op, list, i);
    text_add(&names, i ? ", " : "");
    if (code == LMN_VERTEX) text_add(&names, g->nodes[index].name);
    else text_printf(&names, "%s -> %s", g->nodes[g->arrows[index].from].name, g->nodes[g->arrows[index].to].name);
  }
  if (code == LMN_EMBED) text_add(&names, g->nodes[0].name);
  if (code == LMN_AGGREGATE) text_add(&names, g->nodes[ir_int(op, "node")].name);
  if (code == LMN_SELECT || code == LMN_HEAD || code == LMN_LOSS) text_add(&names, g->nodes[g->node_count - 1].name);
  const char *result = names.data ? arena_string(m->arena, names.data) : NULL;
  text_free(&names);
  return result;
}

// The place of what the op becomes.
static MlirLocation place_of(ir *m, MlirOperation op) {
  const char *names = worker(m, op, ir_code(m, op));
  MlirLocation place = mlirOperationGetLocation(op);
  return names ? ir_place_named(m, place, names) : place;
}

bool pass_lower_lmn(ir *m, lmn_error *error) {
  op_list ops = ir_ops(m);
  lowering l = {.m = m, .error = error, .ok = true, .top = ops.count ? ops.items[0] : mlirBlockGetTerminator(m->block)};
  m->cache_bytes = 0;
  for (int i = 0; i < ops.count && l.ok; ++i) {
    MlirOperation op = ops.items[i];
    l.b = builder_before(m, op);
    l.b.place = place_of(m, op);
    MlirValue value = lower_value(&l, op, ir_code(m, op));
    if (value_is(value)) ir_replace(mlirOperationGetResult(op, 0), value);
  }
  for (int i = ops.count - 1; i >= 0 && l.ok; --i) ir_erase(ops.items[i]);
  map_free(&l.parameters);
  free(l.values);
  return l.ok;
}
