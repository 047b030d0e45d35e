// lower-lmn's single ops: each as nn has it, grouped and with `reads` where edges run together.
#include "passes/lower_lmn.h"

#include "passes/segments.h"

MlirValue nn_parameter(lowering *l, const char *const *names, int count) {
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

MlirValue nn_input(lowering *l, const char *name, MlirType type) {
  op_spec s = op_begin(&l->b, NN_INPUT);
  op_text(&s, "name", name);
  op_result(&s, type);
  return op_end_value(&s);
}

owners owners_inside(lowering *l, owners o, const char *part) {
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
    values[g] = nn_parameter(l, full, count);
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

MlirValue nn_linear(lowering *l, MlirValue x, const MlirValue *weights, const MlirValue *biases, int groups,
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

MlirValue nn_linear_of(lowering *l, MlirValue x, owners o, const char *const *weights, const char *const *biases,
                       int parts, bool input_major) {
  return nn_linear(l, x, owned(l, o, weights, parts), biases ? owned(l, o, biases, parts) : NULL, o.count, input_major);
}

MlirValue nn_norm(lowering *l, MlirValue x, owners o, norm_kind kind, double eps, const char *weight,
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

bool nn_is_segment_sum(ir *m, MlirValue v) { return ir_code(m, value_op(v)) == NN_SEGMENT_SUM; }
bool nn_is_part(ir *m, MlirValue v) { return nn_is_segment_sum(m, v) || ir_code(m, value_op(v)) == NN_UNSTACK; }

MlirValue nn_sum_segments(lowering *l, const MlirValue *values, int count, int64_t rows, double scale) {
  segment_sums s = segments_begin(l->m->arena, rows, scale);
  for (int64_t j = 0; j < value_rows(values[0]) / rows; ++j) {
    segments_sum(&s);
    for (int i = 0; i < count; ++i) segments_term(&s, values[i], j);
  }
  segments_open(l->m, &s, nn_is_part);
  return segments_end(&l->b, &s, mlirValueGetType(values[0]));
}

MlirValue nn_add(lowering *l, const MlirValue *values, int count, double scale) {
  if (count == 1 && scale == 1) return values[0];
  op_spec s = op_begin(&l->b, NN_ADD);
  op_segment(&s, values, count);
  op_real(&s, "scale", scale);
  op_result(&s, mlirValueGetType(values[0]));
  return op_end_value(&s);
}

MlirValue nn_add_residual(lowering *l, MlirValue x, MlirValue y, int groups) {
  MlirValue values[] = {x, y};
  spread from = spread_of(l, x, groups);
  return from.reads ? nn_sum_segments(l, values, 2, from.rows, 1) : nn_add(l, values, 2, 1);
}

MlirValue nn_stack(lowering *l, const MlirValue *values, int count) {
  if (count == 1) return values[0];
  op_spec s = op_begin(&l->b, NN_STACK);
  op_segment(&s, values, count);
  op_result(&s, ir_matrix(l->m, value_rows(values[0]) * count, value_columns(values[0])));
  return op_end_value(&s);
}

MlirValue nn_unstack(lowering *l, MlirValue x, int64_t index, int64_t count) {
  if (count == 1) return x;
  spread from = spread_of(l, x, (int)count);
  if (from.reads) return nn_unstack(l, from.from, from.reads[index], value_rows(from.from) / from.rows);
  op_spec s = op_begin(&l->b, NN_UNSTACK);
  op_operand(&s, x);
  op_int(&s, "index", index);
  op_int(&s, "count", count);
  op_result(&s, ir_matrix(l->m, value_rows(x) / count, value_columns(x)));
  return op_end_value(&s);
}

MlirValue nn_spread_out(lowering *l, MlirValue x, const int64_t *reads, int count, int64_t rows) {
  segment_sums s = segments_begin(l->m->arena, rows, 1);
  for (int i = 0; i < count; ++i) segments_sum(&s), segments_term(&s, x, reads[i]);
  return segments_end(&l->b, &s, ir_matrix(l->m, rows * count, value_columns(x)));
}

MlirValue nn_activation(lowering *l, MlirValue x, activation_kind kind, bool gated) {
  static const char *const names[] = {"gelu_tanh", "gelu_erf", "silu", "relu"};
  if (nn_is_segment_sum(l->m, x)) { // the same for all edges from one source
    int count = ir_count(value_op(x), "counts");
    spread from = spread_of(l, x, count);
    if (from.reads) return nn_spread_out(l, nn_activation(l, from.from, kind, gated), from.reads, count, from.rows);
  }
  op_spec s = op_begin(&l->b, gated ? NN_GLU : NN_ACTIVATION);
  op_operand(&s, x);
  op_text(&s, "kind", names[kind]);
  op_result(&s, ir_matrix(l->m, value_rows(x), gated ? value_columns(x) / 2 : value_columns(x)));
  return op_end_value(&s);
}
