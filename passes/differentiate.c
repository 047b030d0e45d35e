// differentiate: adds the gradients of the loss with respect to the trained parameters, by each op's derivative, last
// op first.
//
//   %y = "nn.linear"(%x, %w)   …   "nn.output"(%loss) {name = "loss"}
// gains, where w is trained and x depends on a trained parameter,
//   %dx = "nn.linear_dx"(%dy, %w)   %dw = "nn.linear_dw"(%x, %dy)   "nn.gradient"(%dw) {names = ["w"]}
// A value used several times has the sum of what its uses give. Nothing is made for what no trained parameter stands
// behind: a frozen model below the first trained edge costs no backward pass, a frozen model above it only input
// gradients. Post-condition: one nn.gradient for each trained parameter (a zero where the loss does not depend on it).
#include "passes/passes.h"

#include "passes/map.h"
#include "passes/segments.h"

#include <stdlib.h>
#include <string.h>

typedef struct contribution {
  MlirValue value;
  int64_t part, parts; // of the value's rows: part `part` of `parts`; parts 1: all of it
  int next;            // the earlier contribution to the same value, -1: none
} contribution;

typedef struct tape {
  ir *m;
  builder b;
  map active;   // values that depend on a trained parameter
  map gradient; // value -> its latest contribution
  contribution *items;
  int count, capacity;
} tape;

static bool active(const tape *t, MlirValue v) { return value_is(v) && map_get(&t->active, v.ptr, 0); }

static void contribute_part(tape *t, MlirValue to, MlirValue gradient, int64_t part, int64_t parts) {
  if (!active(t, to)) return;
  GROW(t->items, t->count, t->capacity);
  t->items[t->count] = (contribution){gradient, part, parts, (int)map_get(&t->gradient, to.ptr, -1)};
  map_put(&t->gradient, to.ptr, t->count++);
}
static void contribute(tape *t, MlirValue to, MlirValue gradient) { contribute_part(t, to, gradient, 0, 1); }

// ---- small builders -----------------------------------------------------------------------------

static MlirValue sum(tape *t, const MlirValue *values, int count, double scale) {
  if (count == 1 && scale == 1) return values[0];
  op_spec s = op_begin(&t->b, NN_ADD);
  op_segment(&s, values, count);
  op_real(&s, "scale", scale);
  op_result(&s, mlirValueGetType(values[0]));
  return op_end_value(&s);
}

static MlirValue zero(tape *t, MlirType type) {
  op_spec s = op_begin(&t->b, NN_ZERO);
  op_result(&s, type);
  return op_end_value(&s);
}

// An op with these operands (each a segment of one), integer attributes taken from `like`, and one result.
static MlirValue derived(tape *t, op_code code, const MlirValue *operands, int count, MlirOperation like,
                         const char *const *integers, MlirType type) {
  op_spec s = op_begin(&t->b, code);
  for (int i = 0; i < count; ++i) op_optional(&s, operands[i]);
  for (; integers && *integers; ++integers) op_int(&s, *integers, ir_int(like, *integers));
  op_result(&s, type);
  return op_end_value(&s);
}

// ---- the gradient of a value, from its contributions --------------------------------------------

static bool is_part(ir *m, MlirValue v) {
  op_code code = ir_code(m, value_op(v));
  return code == NN_UNSTACK || code == NN_SEGMENT_SUM;
}

// All parts of one stack: the sums of each part, stacked; a part that nothing reads is zero. What is a part of another
// stack itself is read there.
static MlirValue join_parts(tape *t, int head, int64_t parts, MlirType whole) {
  arena *a = t->m->arena;
  MlirValue *joined = ARENA_ARRAY(a, MlirValue, parts), *same = ARENA_ARRAY(a, MlirValue, t->count);
  MlirType part_type = {NULL};
  segment_sums sums = segments_begin(a, mlirShapedTypeGetDimSize(whole, 0) / parts, 1);
  bool opened = false;
  for (int64_t part = 0; part < parts; ++part) {
    int count = 0;
    segments_sum(&sums);
    for (int i = head; i >= 0; i = t->items[i].next)
      if (t->items[i].parts == parts && t->items[i].part == part) same[count++] = t->items[i].value;
    for (int i = count - 1; i >= 0; --i) segments_term(&sums, same[i], 0), opened |= is_part(t->m, same[i]);
    if (!count) continue;
    part_type = mlirValueGetType(same[0]);
    if (!opened) joined[part] = sum(t, same, count, 1);
  }
  if (opened) {
    segments_open(t->m, &sums, is_part);
    return segments_end(&t->b, &sums, whole);
  }
  segments_free(&sums);
  for (int64_t part = 0; part < parts; ++part)
    if (!value_is(joined[part])) joined[part] = zero(t, part_type);
  op_spec s = op_begin(&t->b, NN_STACK);
  op_segment(&s, joined, (int)parts);
  op_result(&s, whole);
  return op_end_value(&s);
}

static MlirValue gradient_of(tape *t, MlirValue v) {
  int head = value_is(v) ? (int)map_get(&t->gradient, v.ptr, -1) : -1, count = 0;
  if (head < 0) return no_value;
  int total = 0;
  for (int i = head; i >= 0; i = t->items[i].next) ++total;
  MlirValue *full = ARENA_ARRAY(t->m->arena, MlirValue, total);
  for (int i = head; i >= 0; i = t->items[i].next) {
    if (t->items[i].parts == 1) {
      full[count++] = t->items[i].value;
      continue;
    }
    bool later = false; // the whole stack is joined once, at its first contribution in the list
    for (int k = head; k != i; k = t->items[k].next) later |= t->items[k].parts == t->items[i].parts;
    if (!later) full[count++] = join_parts(t, head, t->items[i].parts, mlirValueGetType(v));
  }
  for (int i = 0; i < count / 2; ++i) { // oldest first: sums accumulate in the order in which they are made
    MlirValue kept = full[i];
    full[i] = full[count - 1 - i];
    full[count - 1 - i] = kept;
  }
  return sum(t, full, count, 1);
}

// ---- derivatives --------------------------------------------------------------------------------

static MlirValue at(MlirOperation op, segment s, int i) { return mlirOperationGetOperand(op, s.first + i); }

static bool any_active(tape *t, MlirOperation op, segment s) {
  bool any = false;
  for (int i = 0; i < s.count; ++i) any |= active(t, at(op, s, i));
  return any;
}

static MlirValue *all_of(tape *t, MlirOperation op, segment s) {
  MlirValue *values = ARENA_ARRAY(t->m->arena, MlirValue, s.count);
  for (int i = 0; i < s.count; ++i) values[i] = at(op, s, i);
  return values;
}

// Ends an op that has a gradient for each parameter of the segment `to`, and contributes them.
static void contribute_each(tape *t, op_spec *s, MlirOperation op, segment to) {
  MlirType *types = ARENA_ARRAY(t->m->arena, MlirType, to.count);
  for (int i = 0; i < to.count; ++i) types[i] = mlirValueGetType(at(op, to, i));
  op_int(s, "groups", to.count);
  op_results(s, types, to.count);
  MlirOperation gradients = op_end(s);
  for (int i = 0; i < to.count; ++i) contribute(t, at(op, to, i), mlirOperationGetResult(gradients, i));
}

static void contribute_column_sums(tape *t, MlirOperation op, segment biases, MlirValue dy) {
  if (!any_active(t, op, biases)) return;
  op_spec s = op_begin(&t->b, NN_COLUMN_SUM);
  op_operand(&s, dy);
  contribute_each(t, &s, op, biases);
}

// ---- segments that several groups read ----------------------------------------------------------

static void copy_reads(tape *t, op_spec *s, MlirOperation op) {
  int count = ir_count(op, "reads");
  if (!count) return;
  int64_t *reads = ARENA_ARRAY(t->m->arena, int64_t, count);
  for (int i = 0; i < count; ++i) reads[i] = ir_int_at(op, "reads", i);
  op_ints(s, "reads", reads, count);
  op_int(s, "rows", ir_int(op, "rows"));
}

// Each sum is a contribution to the segment of x of the same number.
static void contribute_segments(tape *t, MlirValue x, segment_sums *sums) {
  MlirType type = ir_matrix(t->m, sums->rows, value_columns(x));
  for (int j = 0, term = 0; j < sums->count; term += (int)sums->counts[j++]) {
    if (!sums->counts[j]) continue;
    segment_sums one = segments_begin(t->m->arena, sums->rows, 1);
    segments_sum(&one);
    for (int k = term; k < term + sums->counts[j]; ++k)
      segments_term(&one, sums->values[sums->terms[k].value], sums->terms[k].index);
    contribute_part(t, x, segments_end(&t->b, &one, type), j, sums->count);
  }
  segments_free(sums);
}

// dx of every group of `op`, to x or to the segments of x that the groups read.
static void contribute_groups(tape *t, MlirOperation op, MlirValue x, MlirValue dx) {
  int count = ir_count(op, "reads");
  if (!count) {
    contribute(t, x, dx);
    return;
  }
  segment_sums s = segments_begin(t->m->arena, ir_int(op, "rows"), 1);
  for (int64_t i = 0; i < value_rows(x) / s.rows; ++i) {
    segments_sum(&s);
    for (int g = 0; g < count; ++g)
      if (ir_int_at(op, "reads", g) == i) segments_term(&s, dx, g);
  }
  contribute_segments(t, x, &s);
}

static MlirType groups_type(tape *t, MlirOperation op, MlirValue x) { // of dx of every group
  int64_t rows = ir_count(op, "reads") ? ir_int(op, "rows") * ir_count(op, "reads") : value_rows(x);
  return ir_matrix(t->m, rows, value_columns(x));
}

static void derive_segment_sum(tape *t, MlirOperation op, MlirValue dy) {
  segment_sums sums;
  if (!segments_read(t->m, op, value_rows(dy) / ir_count(op, "counts"), &sums)) return;
  dy = sum(t, &dy, 1, sums.scale);
  for (int v = 0; v < sums.value_count; ++v) {
    MlirValue x = sums.values[v];
    if (!active(t, x)) continue;
    segment_sums back = segments_begin(t->m->arena, sums.rows, 1);
    for (int64_t i = 0; i < value_rows(x) / sums.rows; ++i) {
      segments_sum(&back);
      for (int j = 0, term = 0; j < sums.count; term += (int)sums.counts[j++])
        for (int k = term; k < term + sums.counts[j]; ++k)
          if (sums.terms[k].value == v && sums.terms[k].index == i) segments_term(&back, dy, j);
    }
    contribute_segments(t, x, &back);
  }
  segments_free(&sums);
}

static void derive_linear(tape *t, MlirOperation op, MlirValue dy) {
  MlirValue x = ir_operand(t->m, op, 0);
  segment weights = ir_operands(t->m, op, 1);
  if (any_active(t, op, weights)) {
    op_spec s = op_begin(&t->b, NN_LINEAR_DW);
    op_operand(&s, x);
    op_operand(&s, dy);
    op_int(&s, "input_major", ir_int(op, "input_major"));
    copy_reads(t, &s, op);
    contribute_each(t, &s, op, weights);
  }
  contribute_column_sums(t, op, ir_operands(t->m, op, 2), dy);
  if (!active(t, x)) return;
  op_spec s = op_begin(&t->b, NN_LINEAR_DX);
  op_operand(&s, dy);
  op_segment(&s, all_of(t, op, weights), weights.count);
  op_int(&s, "groups", ir_int(op, "groups"));
  op_int(&s, "input_major", ir_int(op, "input_major"));
  op_result(&s, groups_type(t, op, x));
  contribute_groups(t, op, x, op_end_value(&s));
}

static void derive_norm(tape *t, MlirOperation op, MlirValue dy) {
  ir *m = t->m;
  MlirValue x = ir_operand(m, op, 0), rstd = ir_result(m, op, 1), mean = ir_result(m, op, 2);
  segment weights = ir_operands(m, op, 1);
  const char *kind = ir_text(m, op, "kind");
  if (any_active(t, op, weights)) {
    op_spec s = op_begin(&t->b, NN_NORM_DW);
    op_operand(&s, dy);
    op_operand(&s, x);
    op_operand(&s, rstd);
    op_optional(&s, mean);
    op_text(&s, "kind", kind);
    copy_reads(t, &s, op);
    contribute_each(t, &s, op, weights);
  }
  contribute_column_sums(t, op, ir_operands(m, op, 2), dy);
  if (!active(t, x)) return;
  op_spec s = op_begin(&t->b, NN_NORM_DX);
  op_operand(&s, dy);
  op_operand(&s, x);
  op_operand(&s, rstd);
  op_optional(&s, mean);
  op_segment(&s, all_of(t, op, weights), weights.count);
  op_text(&s, "kind", kind);
  op_int(&s, "groups", weights.count);
  copy_reads(t, &s, op);
  op_result(&s, groups_type(t, op, x));
  contribute_groups(t, op, x, op_end_value(&s));
}

static void derive_rope(tape *t, MlirOperation op, MlirValue dy) {
  op_spec s = op_begin(&t->b, NN_ROPE);
  op_operand(&s, dy);
  op_operand(&s, ir_operand(t->m, op, 1));
  op_optional(&s, ir_operand(t->m, op, 2));
  static const char *const integers[] = {"heads", "head_size", "length"};
  for (int i = 0; i < 3; ++i) op_int(&s, integers[i], ir_int(op, integers[i]));
  op_int(&s, "inverse", !ir_int(op, "inverse"));
  op_result(&s, mlirValueGetType(dy));
  contribute(t, ir_operand(t->m, op, 0), op_end_value(&s));
}

static void derive_attention(tape *t, MlirOperation op, MlirValue dy) {
  MlirValue qkv = ir_operand(t->m, op, 0);
  op_spec s = op_begin(&t->b, NN_ATTENTION_GRAD);
  op_operand(&s, qkv);
  op_operand(&s, ir_result(t->m, op, 0));
  op_operand(&s, ir_result(t->m, op, 1));
  op_operand(&s, dy);
  op_optional(&s, ir_operand(t->m, op, 1));
  static const char *const integers[] = {"heads", "key_value_heads", "head_size", "length", "batch", "segments"};
  for (int i = 0; i < 6; ++i) op_int(&s, integers[i], ir_int(op, integers[i]));
  op_real(&s, "scale", ir_real(op, "scale"));
  op_result(&s, mlirValueGetType(qkv));
  contribute(t, qkv, op_end_value(&s));
}

static void derive_activation(tape *t, MlirOperation op, MlirValue dy, op_code code) {
  MlirValue x = ir_operand(t->m, op, 0);
  op_spec s = op_begin(&t->b, code);
  op_operand(&s, x);
  op_operand(&s, dy);
  op_text(&s, "kind", ir_text(t->m, op, "kind"));
  op_result(&s, mlirValueGetType(x));
  contribute(t, x, op_end_value(&s));
}

static void derive_pieces(tape *t, MlirOperation op, MlirValue dy, op_code code) { // of a stack or of joined columns
  int count = (int)mlirOperationGetNumOperands(op);
  for (int i = 0; i < count; ++i) {
    MlirValue x = mlirOperationGetOperand(op, i);
    if (!active(t, x)) continue;
    op_spec s = op_begin(&t->b, code);
    op_operand(&s, dy);
    op_int(&s, "index", i);
    op_int(&s, "count", count);
    op_result(&s, mlirValueGetType(x));
    contribute(t, x, op_end_value(&s));
  }
}

static void derive_embed(tape *t, MlirOperation op, MlirValue dy) {
  static const char *const integers[] = {"batch", "length", "prefix", NULL};
  for (int i = 0; i < 2; ++i) { // token table, position table
    MlirValue ids = ir_operand(t->m, op, 2 * i), table = ir_operand(t->m, op, 2 * i + 1);
    if (active(t, table))
      contribute(t, table, derived(t, NN_EMBED_GRAD, (MlirValue[]){ids, dy}, 2, op, integers, mlirValueGetType(table)));
  }
  MlirValue prefix = ir_operand(t->m, op, 4);
  if (active(t, prefix))
    contribute(t, prefix, derived(t, NN_PREFIX_GRAD, &dy, 1, op, integers, mlirValueGetType(prefix)));
}

static void derive_select(tape *t, MlirOperation op, MlirValue dy) {
  MlirValue x = ir_operand(t->m, op, 0);
  contribute(t, x,
             derived(t, NN_SELECT_GRAD, (MlirValue[]){dy, ir_operand(t->m, op, 1)}, 2, op,
                     (const char *const[]){"length", NULL}, mlirValueGetType(x)));
}

static void derive(tape *t, MlirOperation op, op_code code, MlirValue dy) {
  static const char *const prefix[] = {"batch", "length", "prefix", NULL};
  MlirValue x = mlirOperationGetNumOperands(op) ? mlirOperationGetOperand(op, 0) : no_value;
  switch (code) {
  case NN_LINEAR: derive_linear(t, op, dy); break;
  case NN_NORM: derive_norm(t, op, dy); break;
  case NN_ROPE: derive_rope(t, op, dy); break;
  case NN_ATTENTION: derive_attention(t, op, dy); break;
  case NN_ACTIVATION: derive_activation(t, op, dy, NN_ACTIVATION_GRAD); break;
  case NN_GLU: derive_activation(t, op, dy, NN_GLU_GRAD); break;
  case NN_ADD:
    dy = sum(t, &dy, 1, ir_real(op, "scale"));
    for (int i = 0; i < (int)mlirOperationGetNumOperands(op); ++i) contribute(t, mlirOperationGetOperand(op, i), dy);
    break;
  case NN_SEGMENT_SUM: derive_segment_sum(t, op, dy); break;
  case NN_STACK: derive_pieces(t, op, dy, NN_UNSTACK); break;
  case NN_JOIN_COLUMNS: derive_pieces(t, op, dy, NN_SPLIT_COLUMNS); break;
  case NN_UNSTACK: contribute_part(t, x, dy, ir_int(op, "index"), ir_int(op, "count")); break;
  case NN_DROP_PREFIX: contribute(t, x, derived(t, NN_PAD_PREFIX, &dy, 1, op, prefix, mlirValueGetType(x))); break;
  case NN_SELECT: derive_select(t, op, dy); break;
  case NN_EMBED: derive_embed(t, op, dy); break;
  default: break;
  }
}

// The loss and its gradients are one op: what the forward op gave, the other gives too.
static void derive_loss(tape *t, MlirOperation op) {
  ir *m = t->m;
  MlirValue hidden = ir_operand(m, op, 0), weight = ir_operand(m, op, 1);
  op_spec s = op_begin(&t->b, NN_CROSS_ENTROPY_GRAD);
  for (int i = 0; i < 4; ++i) op_operand(&s, ir_operand(m, op, i));
  op_real(&s, "smoothing", ir_real(op, "smoothing"));
  for (int i = 0; i < 2; ++i) op_result(&s, ir_vector(m, 1));
  MlirType hidden_type = mlirValueGetType(hidden), weight_type = mlirValueGetType(weight);
  op_results(&s, &hidden_type, active(t, hidden));
  op_results(&s, &weight_type, active(t, weight));
  MlirOperation both = op_end(&s);
  for (int i = 0; i < 2; ++i) ir_replace(mlirOperationGetResult(op, i), mlirOperationGetResult(both, i));
  if (active(t, hidden)) contribute(t, hidden, ir_result(m, both, 2));
  if (active(t, weight)) contribute(t, weight, ir_result(m, both, 3));
}

// ---- the pass -----------------------------------------------------------------------------------

static bool trained(const ir *m, MlirOperation parameter) {
  for (int i = 0; i < ir_count(parameter, "names"); ++i) {
    int index = parameter_find(m->parameters, ir_text_at(m, parameter, "names", i));
    if (index >= 0 && m->trained[index]) return true;
  }
  return false;
}

static void find_active(tape *t, const op_list *ops) {
  for (int i = 0; i < ops->count; ++i) {
    MlirOperation op = ops->items[i];
    bool any = ir_code(t->m, op) == NN_PARAMETER && trained(t->m, op);
    for (intptr_t k = 0; !any && k < mlirOperationGetNumOperands(op); ++k)
      any = active(t, mlirOperationGetOperand(op, k));
    for (intptr_t k = 0; any && k < mlirOperationGetNumResults(op); ++k)
      map_put(&t->active, mlirOperationGetResult(op, k).ptr, 1);
  }
}

static void store_gradient(tape *t, MlirOperation parameter) {
  MlirValue value = mlirOperationGetResult(parameter, 0), gradient = gradient_of(t, value);
  int count = ir_count(parameter, "names");
  const char **names = ARENA_ARRAY(t->m->arena, const char *, count);
  for (int i = 0; i < count; ++i) names[i] = ir_text_at(t->m, parameter, "names", i);
  if (!value_is(gradient)) gradient = zero(t, mlirValueGetType(value));
  op_spec s = op_begin(&t->b, NN_GRADIENT);
  op_operand(&s, gradient);
  op_texts(&s, "names", names, count);
  op_end(&s);
}

bool pass_differentiate(ir *m, lmn_error *error) {
  bool any = false;
  for (int i = 0; m->trained && i < m->parameters->count; ++i) any |= m->trained[i];
  if (!any) return true;
  op_list ops = ir_ops(m);
  tape t = {.m = m, .b = builder_at_end(m)};
  find_active(&t, &ops);
  int losses = 0;
  for (int i = ops.count - 1; i >= 0; --i) {
    MlirOperation op = ops.items[i];
    op_code code = ir_code(m, op);
    t.b.place = mlirOperationGetLocation(op);
    if (code == NN_PARAMETER && trained(m, op)) store_gradient(&t, op);
    else if (code == NN_CROSS_ENTROPY) derive_loss(&t, op), ++losses;
    else if (op_flags(code) & DERIVES && active(&t, mlirOperationGetResult(op, 0))) {
      MlirValue dy = gradient_of(&t, mlirOperationGetResult(op, 0));
      if (value_is(dy)) derive(&t, op, code, dy);
    }
  }
  // The loss is read where it was made: its readers move behind the op that now makes it.
  for (int i = 0; i < ops.count; ++i) {
    if (ir_code(m, ops.items[i]) == NN_CROSS_ENTROPY) ir_erase(ops.items[i]);
    else if (ir_code(m, ops.items[i]) == NN_OUTPUT)
      mlirOperationMoveBefore(ops.items[i], mlirBlockGetTerminator(m->block));
  }
  map_free(&t.active);
  map_free(&t.gradient);
  free(t.items);
  return losses == 1 || fail(error, "internal error: an entry that trains needs one loss, this one has %d", losses);
}
