// merge-products: what the edges of a frontier have in common becomes one op for all of them, without copies.
//
// 1. What is given out to several edges is read where it is, by products and column sums:
//      %s = nn.segment_sum(%dy0, %dy0, %dy1) {counts = [1, 1, 1]}   %dw:3 = nn.linear_dw(%x, %s)
//    becomes  %dw:3 = nn.linear_dw(%x, %dy) {into = [0, 0, 1]}
// 2. Sums of sums are one sum, so that its terms are all in sight:
//      %a = nn.add(%h, %p)   %y = nn.segment_sum(%a0, %a1) {counts = [2]}   →   %y = nn.segment_sum(%h0, %h1, %p0, %p1)
// 3. The products that are added up are one product whose K are one after the other, with the rest as addends, which
//    fuse-kernels makes its epilogue: the last linears of the edges into one vertex, and the input gradients of the
//    first linears of the edges from one vertex.
//      %p = nn.linear(%x, %w0, %w1) {groups = 2}   %y = nn.segment_sum(%p0, %p1) {counts = [2]}
//    becomes  %y = nn.linear(%x, %w0, %w1) {groups = 2, into = [0, 0]}
// The parameters stay where they are: a product of several pieces adds them up, piece by piece. The first products of
// the edges from one source read it (lower-lmn says so) as one op; where norm weights differ their inputs do, too.
// Not merged: a product whose value anything else reads, sums of other parts of it than each part once, sums in which
// it has no term, and biases of which the sums have not the same number.
#include "passes/passes.h"

#include "passes/segments.h"

// ---- reading what is given out -----------------------------------------------------------------------------------

// Lets the op read operand `index` where it comes from; attribute `name` says which segment each group reads.
static void read_in_place(ir *m, MlirOperation op, int index, const char *name) {
  int64_t *reads, groups = ir_int(op, "groups");
  MlirValue x = mlirOperationGetOperand(op, index), from;
  if (ir_count(op, name) || groups < 2 || value_rows(x) % groups) return;
  if (!segments_spread(m, x, value_rows(x) / groups, &from, &reads)) return;
  ir_set_int(m, op, "rows", value_rows(x) / groups);
  ir_set_ints(m, op, name, reads, (int)groups);
  mlirOperationSetOperand(op, index, from);
}

static void read_all_in_place(ir *m, MlirOperation op) {
  switch (ir_code(m, op)) {
  case NN_LINEAR:
  case NN_LINEAR_DX:
  case NN_COLUMN_SUM: read_in_place(m, op, 0, "reads"); break;
  case NN_LINEAR_DW:
    read_in_place(m, op, 0, "reads");
    read_in_place(m, op, 1, "into");
    break;
  default: break;
  }
}

// ---- who reads a value -------------------------------------------------------------------------------------------

// Whether all readers of the value, or of its parts, are `reader`.
static bool only_for(ir *m, MlirValue v, MlirOperation reader) {
  for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
    MlirOperation op = mlirOpOperandGetOwner(use);
    if (mlirOperationEqual(op, reader)) continue;
    if (ir_code(m, op) != NN_UNSTACK || !only_for(m, mlirOperationGetResult(op, 0), reader)) return false;
  }
  return true;
}

// Erases the op if nothing reads it any more, and then what only it read.
static void erase_unread(ir *m, MlirOperation op) {
  if (!(op_flags(ir_code(m, op)) & PURE)) return;
  for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i)
    if (value_used(mlirOperationGetResult(op, i))) return;
  int count = (int)mlirOperationGetNumOperands(op), distinct = 0;
  MlirOperation *read = ARENA_ARRAY(m->arena, MlirOperation, count);
  for (int i = 0; i < count; ++i) {
    MlirOperation from = value_op(mlirOperationGetOperand(op, i));
    int at = 0;
    while (at < distinct && !mlirOperationEqual(read[at], from)) ++at;
    if (at == distinct) read[distinct++] = from;
  }
  ir_erase(op);
  for (int i = 0; i < distinct; ++i) erase_unread(m, read[i]);
}

static bool is_sum(op_code code) { return code == NN_ADD || code == NN_SEGMENT_SUM; }

static MlirValue replaced(ir *m, MlirOperation sum, segment_sums *s) {
  builder b = builder_before(m, sum);
  MlirValue value = segments_end(&b, s, mlirValueGetType(mlirOperationGetResult(sum, 0)));
  ir_replace(mlirOperationGetResult(sum, 0), value);
  erase_unread(m, sum);
  return value;
}

// ---- sums of sums ------------------------------------------------------------------------------------------------

// Of how many segments the op makes its result; 0: it is no op over segments.
static int segment_count(ir *m, MlirOperation op) {
  op_code code = ir_code(m, op);
  return code == NN_SEGMENT_SUM ? ir_count(op, "counts") : code == NN_STACK ? (int)mlirOperationGetNumOperands(op) : 0;
}

// Each of its segments is another value's, and some of the same: a stack of different parts is made in place.
static bool moves_only(ir *m, MlirOperation op) {
  if (ir_code(m, op) == NN_STACK) {
    bool again = false;
    for (intptr_t i = 1; i < mlirOperationGetNumOperands(op); ++i)
      again |= mlirValueEqual(mlirOperationGetOperand(op, i), mlirOperationGetOperand(op, 0));
    return again;
  }
  for (int j = 0; j < ir_count(op, "counts"); ++j)
    if (ir_int_at(op, "counts", j) != 1) return false;
  return ir_count(op, "counts") > 0 && ir_real(op, "scale") == 1;
}

static bool opens(ir *m, MlirValue v, MlirOperation sum) {
  MlirOperation op = value_op(v);
  return moves_only(m, op) || (is_sum(ir_code(m, op)) && ir_real(op, "scale") == 1 && only_for(m, v, sum));
}

// The rows of the segments that the sum is of, once what it sums is opened.
static int64_t segment_rows(ir *m, MlirOperation sum) {
  int64_t rows = value_rows(mlirOperationGetResult(sum, 0)), segments = ir_count(sum, "counts");
  if (segments) return rows / segments;
  for (intptr_t i = 0; i < mlirOperationGetNumOperands(sum); ++i) {
    MlirValue x = mlirOperationGetOperand(sum, i);
    int count = segment_count(m, value_op(x));
    if (count > segments && opens(m, x, sum)) segments = count;
  }
  return segments ? rows / segments : rows;
}

// The sum with what it alone sums opened; the sum itself where there is nothing to open.
static MlirOperation opened(ir *m, MlirOperation sum) {
  for (;;) {
    segment_sums s;
    if (!segments_read(m, sum, segment_rows(m, sum), &s)) return sum;
    int at = 0;
    while (at < s.value_count && !(opens(m, s.values[at], sum) && segments_open_value(m, &s, at))) ++at;
    if (at == s.value_count) {
      segments_free(&s);
      return sum;
    }
    sum = value_op(replaced(m, sum, &s));
    if (!is_sum(ir_code(m, sum))) return sum;
  }
}

// ---- products along k --------------------------------------------------------------------------------------------

// Into which sum each part of value `v` goes; NULL: its products cannot be merged.
static int64_t *targets(ir *m, const segment_sums *s, int v, MlirOperation sum) {
  MlirOperation product = value_op(s->values[v]);
  op_code code = ir_code(m, product);
  int64_t groups = value_rows(s->values[v]) / s->rows;
  if ((code != NN_LINEAR && code != NN_LINEAR_DX) || groups != ir_int(product, "groups") || groups <= s->count ||
      ir_count(product, "into") || !only_for(m, s->values[v], sum))
    return NULL;
  int64_t *into = ARENA_ARRAY(m->arena, int64_t, groups), seen = 0, first = -1;
  for (int64_t g = 0; g < groups; ++g) into[g] = -1;
  bool even = true;
  for (int j = 0, term = 0; j < s->count; term += (int)s->counts[j++]) {
    int64_t own = 0;
    for (int k = term; k < term + s->counts[j]; ++k) {
      if (s->terms[k].value != v) continue;
      if (into[s->terms[k].index] >= 0) return NULL;
      into[s->terms[k].index] = j;
      ++own;
    }
    if (!own) return NULL;
    if (first < 0) first = own;
    even &= own == first;
    seen += own;
  }
  bool biased = code == NN_LINEAR && ir_operands(m, product, 2).count;
  return seen == groups && (even || !biased) ? into : NULL;
}

static MlirValue merged(ir *m, MlirOperation sum, MlirOperation product, const int64_t *into, int64_t rows) {
  builder b = builder_before(m, sum);
  int groups = (int)ir_int(product, "groups"), reads_count = ir_count(product, "reads");
  MlirValue old = mlirOperationGetResult(product, 0), *operands = ARENA_ARRAY(m->arena, MlirValue, 2 * groups);
  op_spec s = op_begin(&b, ir_code(m, product));
  op_operand(&s, mlirOperationGetOperand(product, 0));
  for (int part = 1; part <= (ir_code(m, product) == NN_LINEAR ? 2 : 1); ++part) { // weights, biases
    segment from = ir_operands(m, product, part);
    for (int i = 0; i < from.count; ++i) operands[i] = mlirOperationGetOperand(product, from.first + i);
    op_segment(&s, operands, from.count);
  }
  int64_t *reads = ARENA_ARRAY(m->arena, int64_t, groups);
  for (int g = 0; g < reads_count; ++g) reads[g] = ir_int_at(product, "reads", g);
  op_int(&s, "groups", groups);
  op_int(&s, "input_major", ir_int(product, "input_major"));
  if (reads_count) op_ints(&s, "reads", reads, groups);
  op_ints(&s, "into", into, groups);
  op_int(&s, "rows", rows);
  int64_t segments = value_rows(mlirOperationGetResult(sum, 0)) / rows;
  op_result(&s, ir_matrix(m, segments * rows, value_columns(old)));
  return op_end_value(&s);
}

// The sums without the terms of value `v`, but with the segment of `product` first.
static segment_sums with_product(ir *m, const segment_sums *s, int v, MlirValue product) {
  segment_sums result = segments_begin(m->arena, s->rows, s->scale);
  for (int j = 0, term = 0; j < s->count; term += (int)s->counts[j++]) {
    segments_sum(&result);
    segments_term(&result, product, j);
    for (int k = term; k < term + s->counts[j]; ++k)
      if (s->terms[k].value != v) segments_term(&result, s->values[s->terms[k].value], s->terms[k].index);
  }
  return result;
}

static void merge_sum(ir *m, MlirOperation sum) {
  sum = opened(m, sum);
  for (bool found = true; found && is_sum(ir_code(m, sum));) {
    segment_sums s;
    found = false;
    int count = ir_count(sum, "counts");
    if (!segments_read(m, sum, value_rows(mlirOperationGetResult(sum, 0)) / (count ? count : 1), &s)) return;
    for (int v = 0; v < s.value_count && !found; ++v) {
      int64_t *into = targets(m, &s, v, sum);
      if (!into) continue;
      MlirValue product = merged(m, sum, value_op(s.values[v]), into, s.rows);
      segment_sums with = with_product(m, &s, v, product);
      sum = value_op(replaced(m, sum, &with));
      found = true;
    }
    segments_free(&s);
  }
}

bool pass_merge_products(ir *m, lmn_error *error) {
  (void)error;
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i) read_all_in_place(m, ops.items[i]);
  for (int i = ops.count - 1; i >= 0; --i)
    if (ir_code(m, ops.items[i]) == NN_SEGMENT_SUM) erase_unread(m, ops.items[i]);
  ops = ir_ops(m);
  // What is erased on the way stands before the sum that it was for, and is not looked at again.
  for (int i = 0; i < ops.count; ++i)
    if (is_sum(ir_code(m, ops.items[i]))) merge_sum(m, ops.items[i]);
  return true;
}
