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

#include "passes/map.h"
#include "passes/segments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct lowering {
  ir *m;
  builder b;
  map parameters; // index of its first parameter -> index into values
  MlirValue *values;
  int value_count, value_capacity;
  MlirOperation top; // parameters go before it
  lmn_error *error;
  bool ok;
} lowering;

// The parameter of that name, or several adjacent ones as one matrix (names[0] … names[count - 1]).
static MlirValue parameter_value(lowering *l, const char *const *names, int count) {
  ir *m = l->m;
  int64_t rows = 0, columns = 0;
  int rank = 1, first = -1;
  for (int i = 0; i < count; ++i) {
    int at = parameter_find(m->parameters, names[i]);
    if (at < 0) {
      l->ok = fail(l->error, "internal error: the network has no parameter \"%s\"", names[i]);
      at = 0;
    }
    const parameter *p = &m->parameters->items[at];
    if (i == 0) first = at;
    rank = p->rank;
    rows += p->shape[0];
    columns = p->rank == 2 ? p->shape[1] : 0;
  }
  const void *key = &m->parameters->items[first];
  int64_t known = map_get(&l->parameters, key, -1);
  if (known >= 0) return l->values[known];
  builder at_top = {m, l->top, mlirLocationUnknownGet(m->context)};
  op_spec s = op_begin(&at_top, NN_PARAMETER);
  op_texts(&s, "names", names, count);
  op_result(&s, rank == 2 ? ir_matrix(m, rows, columns) : ir_vector(m, rows));
  GROW(l->values, l->value_count, l->value_capacity);
  map_put(&l->parameters, key, l->value_count);
  return l->values[l->value_count++] = op_end_value(&s);
}

static MlirValue input_value(lowering *l, const char *name, MlirType type) {
  op_spec s = op_begin(&l->b, NN_INPUT);
  op_text(&s, "name", name);
  op_result(&s, type);
  return op_end_value(&s);
}

// ---- the ops of a layer -------------------------------------------------------------------------

// Where a run of layers takes its parameters from: one name prefix a group ("qwen.", "v[0]->w.0.").
typedef struct owners {
  const char **prefixes;
  int count;
} owners;

static owners inside(lowering *l, owners o, const char *part) {
  owners result = {ARENA_ARRAY(l->m->arena, const char *, o.count), o.count};
  for (int g = 0; g < o.count; ++g) result.prefixes[g] = arena_printf(l->m->arena, "%s%s", o.prefixes[g], part);
  return result;
}

// One value a group for the tensors `names` of each owner; several names: one matrix.
static MlirValue *owned(lowering *l, owners o, const char *const *names, int count) {
  MlirValue *values = ARENA_ARRAY(l->m->arena, MlirValue, o.count);
  const char **full = ARENA_ARRAY(l->m->arena, const char *, count);
  for (int g = 0; g < o.count; ++g) {
    for (int i = 0; i < count; ++i) full[i] = arena_printf(l->m->arena, "%s%s", o.prefixes[g], names[i]);
    values[g] = parameter_value(l, full, count);
  }
  return values;
}

// A value that edges read of their sources is an nn.segment_sum; the ops with parameters read the sources themselves
// instead. Adds what says so to `s`, which reads `from`.
typedef struct spread {
  MlirValue from;
  int64_t *reads; // NULL: every group its own
  int64_t rows;   // of a segment
} spread;

static spread spread_of(lowering *l, MlirValue x, int groups) {
  spread s = {.from = x, .rows = value_rows(x) / groups};
  segments_spread(l->m, x, s.rows, &s.from, &s.reads);
  return s;
}

static void add_reads(op_spec *s, const spread *from, int groups) {
  if (!from->reads) return;
  op_ints(s, "reads", from->reads, groups);
  op_int(s, "rows", from->rows);
}

static MlirValue linear(lowering *l, MlirValue x, const MlirValue *weights, const MlirValue *biases, int groups,
                        bool input_major) {
  int64_t out = input_major ? value_columns(weights[0]) : value_rows(weights[0]);
  spread from = spread_of(l, x, groups);
  op_spec s = op_begin(&l->b, NN_LINEAR);
  op_operand(&s, from.from);
  op_segment(&s, weights, groups);
  op_segment(&s, biases, biases ? groups : 0);
  op_int(&s, "groups", groups);
  add_reads(&s, &from, groups);
  op_int(&s, "input_major", input_major);
  op_result(&s, ir_matrix(l->m, value_rows(x), out));
  return op_end_value(&s);
}

static MlirValue linear_of(lowering *l, MlirValue x, owners o, const char *const *weights, const char *const *biases,
                           int parts, bool input_major) {
  return linear(l, x, owned(l, o, weights, parts), biases ? owned(l, o, biases, parts) : NULL, o.count, input_major);
}

static MlirValue norm(lowering *l, MlirValue x, owners o, norm_kind kind, double eps, const char *weight,
                      const char *bias) {
  spread from = spread_of(l, x, o.count);
  op_spec s = op_begin(&l->b, NN_NORM);
  op_operand(&s, from.from);
  op_segment(&s, owned(l, o, &weight, 1), o.count);
  if (bias) op_segment(&s, owned(l, o, &bias, 1), o.count);
  else op_segment(&s, NULL, 0);
  op_text(&s, "kind", kind == NORM_RMS ? "rms" : "layer");
  op_real(&s, "eps", eps);
  op_int(&s, "groups", o.count);
  add_reads(&s, &from, o.count);
  op_result(&s, mlirValueGetType(x));
  MlirType row = ir_vector(l->m, value_rows(from.from));
  op_result(&s, row);
  op_results(&s, &row, kind == NORM_LAYER);
  return op_end_value(&s);
}

static bool is_segment_sum(ir *m, MlirValue v) { return ir_code(m, value_op(v)) == NN_SEGMENT_SUM; }
static bool is_part(ir *m, MlirValue v) { return is_segment_sum(m, v) || ir_code(m, value_op(v)) == NN_UNSTACK; }

// The values' sums, each of them opened where it is made of segments itself.
static MlirValue sum_segments(lowering *l, const MlirValue *values, int count, int64_t rows, double scale) {
  segment_sums s = segments_begin(l->m->arena, rows, scale);
  for (int64_t j = 0; j < value_rows(values[0]) / rows; ++j) {
    segments_sum(&s);
    for (int i = 0; i < count; ++i) segments_term(&s, values[i], j);
  }
  segments_open(l->m, &s, is_part);
  return segments_end(&l->b, &s, mlirValueGetType(values[0]));
}

static MlirValue add(lowering *l, const MlirValue *values, int count, double scale) {
  if (count == 1 && scale == 1) return values[0];
  op_spec s = op_begin(&l->b, NN_ADD);
  op_segment(&s, values, count);
  op_real(&s, "scale", scale);
  op_result(&s, mlirValueGetType(values[0]));
  return op_end_value(&s);
}

static MlirValue add_residual(lowering *l, MlirValue x, MlirValue y, int groups) {
  MlirValue values[] = {x, y};
  spread from = spread_of(l, x, groups);
  return from.reads ? sum_segments(l, values, 2, from.rows, 1) : add(l, values, 2, 1);
}

static MlirValue stack(lowering *l, const MlirValue *values, int count) {
  if (count == 1) return values[0];
  op_spec s = op_begin(&l->b, NN_STACK);
  op_segment(&s, values, count);
  op_result(&s, ir_matrix(l->m, value_rows(values[0]) * count, value_columns(values[0])));
  return op_end_value(&s);
}

static MlirValue unstack(lowering *l, MlirValue x, int64_t index, int64_t count) {
  if (count == 1) return x;
  spread from = spread_of(l, x, (int)count);
  if (from.reads) return unstack(l, from.from, from.reads[index], value_rows(from.from) / from.rows);
  op_spec s = op_begin(&l->b, NN_UNSTACK);
  op_operand(&s, x);
  op_int(&s, "index", index);
  op_int(&s, "count", count);
  op_result(&s, ir_matrix(l->m, value_rows(x) / count, value_columns(x)));
  return op_end_value(&s);
}

// The segments reads[0] … reads[count - 1] of x.
static MlirValue spread_out(lowering *l, MlirValue x, const int64_t *reads, int count, int64_t rows) {
  segment_sums s = segments_begin(l->m->arena, rows, 1);
  for (int i = 0; i < count; ++i) segments_sum(&s), segments_term(&s, x, reads[i]);
  return segments_end(&l->b, &s, ir_matrix(l->m, rows * count, value_columns(x)));
}

static MlirValue activation(lowering *l, MlirValue x, activation_kind kind, bool gated) {
  static const char *const names[] = {"gelu_tanh", "gelu_erf", "silu", "relu"};
  if (is_segment_sum(l->m, x)) { // the same for all edges from one source
    int count = ir_count(value_op(x), "counts");
    spread from = spread_of(l, x, count);
    if (from.reads) return spread_out(l, activation(l, from.from, kind, gated), from.reads, count, from.rows);
  }
  op_spec s = op_begin(&l->b, gated ? NN_GLU : NN_ACTIVATION);
  op_operand(&s, x);
  op_text(&s, "kind", names[kind]);
  op_result(&s, ir_matrix(l->m, value_rows(x), gated ? value_columns(x) / 2 : value_columns(x)));
  return op_end_value(&s);
}

// What attention needs beside its input.
typedef struct context {
  MlirValue starts, table; // either may be absent
  int64_t segments;
} context;

static int64_t row_length(const ir *m) { // rows of one sequence in this entry
  if (m->shape.kind != ENTRY_EXTEND) return m->graph->prefix + m->shape.length;
  return m->shape.length ? m->shape.length : m->graph->prefix;
}

static MlirValue lengths_input(lowering *l) {
  return input_value(l, "lengths", ir_indices(l->m, l->m->shape.batch, 0));
}

static MlirValue rope_of(lowering *l, MlirValue qkv, const model *d, MlirValue table) {
  bool cached = l->m->shape.kind == ENTRY_EXTEND;
  op_spec s = op_begin(&l->b, NN_ROPE);
  op_operand(&s, qkv);
  op_operand(&s, table);
  op_optional(&s, cached ? lengths_input(l) : no_value);
  op_int(&s, "heads", d->heads + d->key_value_heads);
  op_int(&s, "head_size", d->head_size);
  op_int(&s, "length", row_length(l->m));
  op_int(&s, "inverse", 0);
  op_result(&s, mlirValueGetType(qkv));
  return op_end_value(&s);
}

static MlirValue attention(lowering *l, MlirValue qkv, int64_t heads, int64_t key_value_heads, int64_t head_size,
                           context c) {
  ir *m = l->m;
  bool cached = m->shape.kind == ENTRY_EXTEND;
  MlirValue lengths = cached ? lengths_input(l) : no_value;
  op_spec s = op_begin(&l->b, cached ? NN_ATTENTION_CACHED : NN_ATTENTION);
  op_operand(&s, qkv);
  if (cached) op_operand(&s, lengths);
  else op_optional(&s, c.starts);
  op_int(&s, "heads", heads);
  op_int(&s, "key_value_heads", key_value_heads);
  op_int(&s, "head_size", head_size);
  op_int(&s, "length", row_length(m));
  op_int(&s, "batch", m->shape.batch);
  op_int(&s, "segments", c.segments);
  op_real(&s, "scale", 1 / sqrt((double)head_size));
  op_result(&s, ir_matrix(m, value_rows(qkv), heads * head_size));
  if (cached) {
    op_int(&s, "capacity", m->shape.capacity);
    op_int(&s, "cache", m->cache_bytes);
    int64_t sequences = value_rows(qkv) / row_length(m);
    m->cache_bytes += sequences * m->shape.capacity * key_value_heads * head_size * 2 * (int64_t)sizeof(float);
  } else {
    op_result(&s, ir_matrix(m, value_rows(qkv), heads));
  }
  return op_end_value(&s);
}

static const char *tensor_name(const model *d, tensor_role role) {
  return model_has(d, role) ? model_tensor_of(d, role).name : NULL;
}

// One layer of a model's kind; o: the layer's owners ("qwen.model.layers.3.").
static MlirValue decoder_layer(lowering *l, MlirValue x, const model *d, owners o, context c) {
  const char *name[TENSOR_ROLES];
  for (int r = 0; r < TENSOR_ROLES; ++r) name[r] = tensor_name(d, (tensor_role)r);
  MlirValue y = norm(l, x, o, d->norm, d->norm_eps, name[TENSOR_NORM1], name[TENSOR_NORM1_BIAS]);
  if (d->fused_qkv)
    y = linear_of(l, y, o, &name[TENSOR_QKV], name[TENSOR_QKV_BIAS] ? &name[TENSOR_QKV_BIAS] : NULL, 1, d->input_major);
  else y = linear_of(l, y, o, &name[TENSOR_QUERY], d->qkv_bias ? &name[TENSOR_QUERY_BIAS] : NULL, 3, d->input_major);
  if (d->rope.kind != ROPE_NONE) y = rope_of(l, y, d, c.table);
  y = attention(l, y, d->heads, d->key_value_heads, d->head_size, c);
  y = linear_of(l, y, o, &name[TENSOR_ATTENTION_OUT], d->output_bias ? &name[TENSOR_ATTENTION_OUT_BIAS] : NULL, 1,
                d->input_major);
  x = add_residual(l, x, y, o.count);
  y = norm(l, x, o, d->norm, d->norm_eps, name[TENSOR_NORM2], name[TENSOR_NORM2_BIAS]);
  tensor_role up = d->gated ? TENSOR_GATE : TENSOR_UP, up_bias = d->gated ? TENSOR_GATE_BIAS : TENSOR_UP_BIAS;
  y = linear_of(l, y, o, &name[up], d->feed_forward_bias ? &name[up_bias] : NULL, d->gated ? 2 : 1, d->input_major);
  y = activation(l, y, d->activation, d->gated);
  y = linear_of(l, y, o, &name[TENSOR_DOWN], d->feed_forward_bias ? &name[TENSOR_DOWN_BIAS] : NULL, 1, d->input_major);
  return add_residual(l, x, y, o.count);
}

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
  MlirValue x = ir_operand(m, op, 0);
  for (int64_t layer = 0; layer < d->layers; ++layer)
    x = decoder_layer(l, x, d, inside(l, o, arena_printf(m->arena, "%s%lld.", model_layer_prefix(d), (long long)layer)),
                      c);
  return norm(l, x, o, d->norm, d->norm_eps, tensor_name(d, TENSOR_FINAL_NORM), tensor_name(d, TENSOR_FINAL_NORM_BIAS));
}

// ---- edges --------------------------------------------------------------------------------------

static MlirValue rotary_table(lowering *l, int model_index) {
  const model *d = &l->m->graph->models[model_index].description;
  if (d->rope.kind == ROPE_NONE) return no_value;
  int64_t length = l->m->shape.kind == ENTRY_EXTEND ? l->m->shape.capacity : row_length(l->m);
  op_spec s = op_begin(&l->b, NN_ROTARY);
  op_int(&s, "model", model_index);
  op_int(&s, "length", length);
  op_int(&s, "dim", d->head_size);
  op_result(&s, ir_matrix(l->m, length, d->head_size));
  return op_end_value(&s);
}

static MlirValue lower_module(lowering *l, MlirValue x, const module *mod, owners o, context c);

static MlirValue lower_chain(lowering *l, MlirValue x, const chain *chain, owners o, context c) {
  for (int i = 0; i < chain->count; ++i)
    x = lower_module(l, x, &chain->modules[i], inside(l, o, arena_printf(l->m->arena, "%d.", i)), c);
  return x;
}

static MlirValue lower_module(lowering *l, MlirValue x, const module *mod, owners o, context c) {
  switch (mod->kind) {
  case MODULE_LINEAR:
    return linear_of(l, x, o, (const char *[]){"weight"}, mod->bias ? (const char *[]){"bias"} : NULL, 1, false);
  case MODULE_DECODER_LAYER:
    c.table = rotary_table(l, mod->model);
    return decoder_layer(l, x, &l->m->graph->models[mod->model].description, o, c);
  case MODULE_ATTENTION:
    x = linear_of(l, x, o, (const char *[]){"qkv.weight"}, mod->bias ? (const char *[]){"qkv.bias"} : NULL, 1, false);
    x = attention(l, x, mod->heads, mod->heads, mod->in / mod->heads, c);
    return linear_of(l, x, o, (const char *[]){"out.weight"}, mod->bias ? (const char *[]){"out.bias"} : NULL, 1,
                     false);
  case MODULE_LAYER_NORM: return norm(l, x, o, NORM_LAYER, mod->eps, "weight", "bias");
  case MODULE_RMS_NORM: return norm(l, x, o, NORM_RMS, mod->eps, "weight", NULL);
  case MODULE_ACTIVATION: return activation(l, x, mod->activation, false);
  case MODULE_MLP:
    x = linear_of(l, x, o, (const char *[]){"up.weight"}, mod->bias ? (const char *[]){"up.bias"} : NULL, 1, false);
    x = activation(l, x, mod->activation, false);
    return linear_of(l, x, o, (const char *[]){"down.weight"}, mod->bias ? (const char *[]){"down.bias"} : NULL, 1,
                     false);
  case MODULE_RESIDUAL: return add_residual(l, x, lower_chain(l, x, &mod->inner, o, c), o.count);
  }
  return x;
}

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
  else whole = stack(l, distinct, distinct_count);
  return spread_out(l, whole, reads, count, rows);
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
  for (int i = 0; i < count; ++i) ir_replace(mlirOperationGetResult(op, i), unstack(l, y, i, count));
}

// ---- everything else ----------------------------------------------------------------------------

static MlirValue lower_aggregate(lowering *l, MlirOperation op) {
  ir *m = l->m;
  int count = (int)mlirOperationGetNumOperands(op);
  MlirValue *values = ARENA_ARRAY(m->arena, MlirValue, count);
  for (int i = 0; i < count; ++i) values[i] = mlirOperationGetOperand(op, i);
  const char *kind = ir_text(m, op, "kind");
  if (!strcmp(kind, "concat")) return stack(l, values, count);
  if (strcmp(kind, "project")) {
    double scale = strcmp(kind, "mean") ? 1 : 1.0 / count;
    for (int i = 0; i < count; ++i)
      if (is_part(m, values[i])) return sum_segments(l, values, count, value_rows(values[i]), scale);
    return add(l, values, count, scale);
  }
  MlirValue joined = values[0];
  if (count > 1) {
    op_spec s = op_begin(&l->b, NN_JOIN_COLUMNS);
    op_segment(&s, values, count);
    op_result(&s, ir_matrix(m, value_rows(values[0]), value_columns(values[0]) * count));
    joined = op_end_value(&s);
  }
  const char *name = arena_printf(m->arena, "%s.project.weight", m->graph->nodes[ir_int(op, "node")].name);
  MlirValue weight = parameter_value(l, &name, 1);
  return linear(l, joined, &weight, NULL, 1, false);
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
  if (value_is(ids)) name = model_parameter(l, model, TENSOR_EMBEDDING), table = parameter_value(l, &name, 1);
  if (value_is(positions))
    name = model_parameter(l, model, TENSOR_POSITION), position_table = parameter_value(l, &name, 1);
  if (prefix) name = "input.prefix", vectors = parameter_value(l, &name, 1);
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
  return parameter_value(l, &name, 1);
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
  double scale = is_segment_sum(m, values[0]) ? ir_real(value_op(values[0]), "scale") : 1;
  segment_sums s = segments_begin(m->arena, rows, scale);
  bool alike = true;
  for (int i = 0; i < count && alike; ++i) {
    segment_sums one;
    alike = is_part(m, values[i]) && segments_read(m, value_op(values[i]), rows, &one);
    if (!alike) break;
    alike = one.scale == scale;
    segments_sum(&s);
    for (int k = 0; k < one.term_count; ++k) segments_term(&s, one.values[one.terms[k].value], one.terms[k].index);
    segments_free(&one);
  }
  if (alike) return segments_end(&l->b, &s, mlirValueGetType(mlirOperationGetResult(op, 0)));
  segments_free(&s);
  return stack(l, values, count);
}

// The op's one result in nn; null where the op replaced its results itself.
static MlirValue lower_value(lowering *l, MlirOperation op, op_code code) {
  static const char *const prefix[] = {"batch", "length", "prefix"}, *const select[] = {"length", "minus_one"},
                           *const rotary[] = {"model", "length", "dim"};
  MlirValue weight;
  switch (code) {
  case LMN_INPUT: return input_value(l, ir_text(l->m, op, "name"), mlirValueGetType(mlirOperationGetResult(op, 0)));
  case LMN_ROTARY: return renamed(l, op, NN_ROTARY, rotary, 3);
  case LMN_EMBED: return lower_embed(l, op);
  case LMN_EDGE: return lower_edge(l, op), no_value;
  case LMN_AGGREGATE: return lower_aggregate(l, op);
  case LMN_VERTEX: return lower_vertex(l, op);
  case LMN_STACK: return lower_stack(l, op);
  case LMN_UNSTACK: return unstack(l, mlirOperationGetOperand(op, 0), ir_int(op, "index"), ir_int(op, "count"));
  case LMN_DROP_PREFIX: return renamed(l, op, NN_DROP_PREFIX, prefix, 3);
  case LMN_SELECT: return renamed(l, op, NN_SELECT, select, 2);
  case LMN_HEAD: weight = head_weight(l); return linear(l, mlirOperationGetOperand(op, 0), &weight, NULL, 1, false);
  case LMN_LOSS: return lower_loss(l, op), no_value;
  case LMN_OUTPUT: return lower_output(l, op), no_value;
  default: return no_value; // lmn.mask: structure that attention took from it
  }
}

bool pass_lower_lmn(ir *m, lmn_error *error) {
  op_list ops = ir_ops(m);
  lowering l = {.m = m, .error = error, .ok = true, .top = ops.count ? ops.items[0] : mlirBlockGetTerminator(m->block)};
  m->cache_bytes = 0;
  for (int i = 0; i < ops.count && l.ok; ++i) {
    MlirOperation op = ops.items[i];
    l.b = builder_before(m, op);
    MlirValue value = lower_value(&l, op, ir_code(m, op));
    if (value_is(value)) ir_replace(mlirOperationGetResult(op, 0), value);
  }
  for (int i = ops.count - 1; i >= 0 && l.ok; --i) ir_erase(ops.items[i]);
  map_free(&l.parameters);
  free(l.values);
  return l.ok;
}
