// fuse-kernels: lets neighbours run as one.
//
// 1. A sum whose terms are products (or the embedding's or the head's gradient) adds up in place, each product
// accumulating onto the last:
//      %s = "kernel.row"(%g1, %g2) {stages = [@sum2]}       becomes       %g2 = "kernel.gemm"(%x, %y, accumulate %g1)
//    which is how a shared weight's gradient gathers from all runs of its vertices without a buffer for each.
// 2. A row formula without reductions that is a product's only reader becomes the product's epilogue (bias, residual,
// mean …):
//      %c = "kernel.gemm"(%a, %b)   %y = "kernel.row"(%c, %bias) {stages = [@bias]}       becomes       %y =
//      "kernel.gemm"(%a, %b, columns %bias)
// Not fused: a product with other readers (its own value is needed too), a formula over other groups, an accumulator
// that anyone else reads.
#include "passes/passes.h"

#include "passes/formulas.h"
#include "passes/map.h"

#include <string.h>

typedef struct fusion {
  ir *m;
  map order; // op -> its number in program order
} fusion;

static MlirValue *all_operands(ir *m, MlirOperation op, segment s) {
  MlirValue *values = ARENA_ARRAY(m->arena, MlirValue, s.count);
  for (int i = 0; i < s.count; ++i) values[i] = mlirOperationGetOperand(op, s.first + i);
  return values;
}

// ---- rebuilding ops with more operands ----------------------------------------------------------

// A copy of `op` before `before` with operand segment `index` replaced, and an epilogue attribute where given.
static MlirOperation rebuilt(ir *m, MlirOperation op, MlirOperation before, int segments,
                             const MlirValue *const *values, const int *counts, const char *epilogue,
                             const MlirType *results, int result_segments, const int *result_counts) {
  builder b = {m, before, mlirOperationGetLocation(op)};
  op_spec s = op_begin(&b, ir_code(m, op));
  for (int i = 0; i < segments; ++i) op_segment(&s, values[i], counts[i]);
  for (int i = 0, at = 0; i < result_segments; at += result_counts[i++]) op_results(&s, results + at, result_counts[i]);
  for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op); ++i) {
    MlirNamedAttribute a = mlirOperationGetAttribute(op, i);
    MlirStringRef name = mlirIdentifierStr(a.name);
    bool skip = (name.length > 12 && !memcmp(name.data + name.length - 12, "SegmentSizes", 12)) ||
                (epilogue && name.length == 8 && !memcmp(name.data, "epilogue", 8));
    if (!skip) op_attribute(&s, arena_copy(m->arena, name.data, name.length), a.attribute);
  }
  if (epilogue) op_symbol(&s, "epilogue", epilogue);
  return op_end(&s);
}

static MlirOperation with_segments(ir *m, MlirOperation op, MlirOperation before, int segments,
                                   const MlirValue **values, int *counts, int result_segments, const char *epilogue) {
  int total = (int)mlirOperationGetNumResults(op), result_counts[8];
  MlirType *types = ARENA_ARRAY(m->arena, MlirType, total);
  for (int i = 0; i < total; ++i) types[i] = mlirValueGetType(mlirOperationGetResult(op, i));
  for (int i = 0; i < result_segments; ++i) result_counts[i] = ir_results(m, op, i).count;
  return rebuilt(m, op, before, segments, values, counts, epilogue, types, result_segments, result_counts);
}

// ---- sums that accumulate -----------------------------------------------------------------------

// The operand segment that an op can accumulate from into `result`; -1: it cannot.
static int accumulate_segment(ir *m, MlirValue result) {
  MlirOperation op = value_op(result);
  switch (ir_code(m, op)) {
  case KERNEL_GEMM:
    return ir_results(m, op, 0).count == 1 && !ir_operands(m, op, 2).count && !ir_text(m, op, "epilogue") ? 2 : -1;
  case KERNEL_EMBED_GRAD: return ir_operands(m, op, 2).count ? -1 : 2;
  case KERNEL_CROSS_ENTROPY: {
    segment dweight = ir_results(m, op, 6);
    return dweight.count && value_index(result) == dweight.first && !ir_operands(m, op, 4).count ? 4 : -1;
  }
  default: return -1;
  }
}

// Rebuilds the op that makes `term` so that it adds onto `onto`; returns the new term.
static MlirValue accumulate(fusion *f, MlirValue term, MlirValue onto) {
  ir *m = f->m;
  MlirOperation op = value_op(term);
  op_code code = ir_code(m, op);
  int at = accumulate_segment(m, term), segments = code == KERNEL_GEMM ? 5 : code == KERNEL_EMBED_GRAD ? 3 : 5;
  const MlirValue *values[5];
  int counts[5], index = value_index(term);
  for (int i = 0; i < segments; ++i) {
    segment s = ir_operands(m, op, i);
    values[i] = i == at ? &onto : all_operands(m, op, s);
    counts[i] = i == at ? 1 : s.count;
  }
  MlirOperation with = with_segments(m, op, op, segments, values, counts,
                                     code == KERNEL_GEMM         ? 2
                                     : code == KERNEL_EMBED_GRAD ? 1
                                                                 : 7,
                                     NULL);
  for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i)
    ir_replace(mlirOperationGetResult(op, i), mlirOperationGetResult(with, i));
  map_put(&f->order, with.ptr, map_get(&f->order, op.ptr, 0));
  ir_erase(op);
  return mlirOperationGetResult(with, index);
}

static int64_t order_of(const fusion *f, MlirValue v) { return map_get(&f->order, value_op(v).ptr, 0); }

static bool owns_memory(ir *m, MlirValue v) {
  op_code code = ir_code(m, value_op(v));
  return code != KERNEL_BUFFER && code != KERNEL_VIEW;
}

static bool is_formula(ir *m, MlirOperation op) { // one stage, no scalars: an element at a time
  return ir_code(m, op) == KERNEL_ROW && ir_count(op, "stages") == 1 && !ir_operands(m, op, 1).count &&
         ir_results(m, op, 0).count == 1 && !ir_results(m, op, 1).count;
}

static void fuse_sum(fusion *f, MlirOperation sum) {
  ir *m = f->m;
  int count = (int)mlirOperationGetNumOperands(sum), rest = 0;
  MlirValue *terms = all_operands(m, sum, (segment){0, count});
  for (int i = 1; i < count; ++i) // in program order: an accumulator must be there before the product that adds to it
    for (int k = i; k > 0 && order_of(f, terms[k]) < order_of(f, terms[k - 1]); --k) {
      MlirValue kept = terms[k];
      terms[k] = terms[k - 1], terms[k - 1] = kept;
    }
  int first = 0;
  while (first < count && !(owns_memory(m, terms[first]) && value_uses(terms[first]) == 1)) ++first;
  if (first == count) return;
  MlirValue so_far = terms[first];
  bool fused = false;
  for (int i = 0; i < count; ++i) {
    if (i == first) continue;
    bool fits = i > first && value_uses(terms[i]) == 1 && accumulate_segment(m, terms[i]) >= 0 &&
                order_of(f, so_far) < order_of(f, terms[i]);
    if (fits) so_far = accumulate(f, terms[i], so_far), fused = true;
    else terms[rest++] = terms[i];
  }
  if (!fused) return;
  MlirValue result = so_far;
  if (rest) {
    terms[rest++] = so_far;
    builder b = builder_before(m, sum);
    op_spec s = op_begin(&b, KERNEL_ROW);
    op_segment(&s, terms, rest);
    op_segment(&s, NULL, 0);
    op_segment(&s, NULL, 0);
    op_result(&s, mlirValueGetType(so_far));
    op_results(&s, NULL, 0);
    op_int(&s, "groups", 1);
    const char *body = formula_sum(m, rest, 1);
    op_symbols(&s, "stages", &body, 1);
    op_texts(&s, "reductions", NULL, 0);
    result = op_end_value(&s);
    map_put(&f->order, value_op(result).ptr, map_get(&f->order, sum.ptr, 0));
  }
  ir_replace(mlirOperationGetResult(sum, 0), result);
  ir_erase(sum);
}

// ---- epilogues ----------------------------------------------------------------------------------

// Row operands of a formula, or of a product's epilogue, as lists with a value a group (see kernel.row).
static MlirValue *as_lists(ir *m, MlirOperation before, const MlirValue *rows, int count, int groups) {
  MlirValue *lists = ARENA_ARRAY(m->arena, MlirValue, count * groups);
  builder b = builder_before(m, before);
  for (int i = 0; i < count * groups; ++i) {
    MlirValue x = rows[i / groups];
    int64_t elements = value_elements(x) / groups, columns = value_columns(x);
    op_spec s = op_begin(&b, KERNEL_VIEW);
    op_operand(&s, x);
    op_int(&s, "offset", i % groups * elements * (int64_t)sizeof(float));
    op_result(&s, ir_matrix(m, elements / columns, columns));
    lists[i] = op_end_value(&s);
  }
  return lists;
}

// What kind `index` of a formula's row operands is: a value; of lists the value whose parts it is, in order, and that
// nothing else reads; null: it is not such a list.
static MlirValue whole_operand(ir *m, MlirOperation row, int index) {
  int groups = (int)ir_int(row, "groups"), first = ir_operands(m, row, 0).first;
  if (!ir_int(row, "lists")) return mlirOperationGetOperand(row, first + index);
  MlirValue whole = no_value;
  for (int g = 0; g < groups; ++g) {
    MlirValue part = mlirOperationGetOperand(row, first + index * groups + g);
    MlirOperation view = value_op(part);
    if (ir_code(m, view) != KERNEL_VIEW || value_uses(part) != 1) return no_value;
    MlirValue from = mlirOperationGetOperand(view, 0);
    if ((g && !mlirValueEqual(from, whole)) || value_elements(from) != value_elements(part) * groups ||
        ir_int(view, "offset") != g * value_elements(part) * (int64_t)sizeof(float))
      return no_value;
    whole = from;
  }
  return whole;
}

static int row_kinds(ir *m, MlirOperation op) { // of a formula
  return ir_operands(m, op, 0).count / (ir_int(op, "lists") ? (int)ir_int(op, "groups") : 1);
}

// The row operand of a formula that is a product only this formula reads; -1: none.
static int product_operand(ir *m, MlirOperation row) {
  bool columns = ir_operands(m, row, 2).count > 0, lists = ir_int(row, "lists") != 0;
  for (int i = 0; i < row_kinds(m, row); ++i) {
    MlirValue v = whole_operand(m, row, i);
    if (!value_is(v)) continue;
    MlirOperation op = value_op(v);
    if (ir_code(m, op) != KERNEL_GEMM || value_uses(v) != (lists ? ir_int(row, "groups") : 1) ||
        ir_operands(m, op, 2).count || mlirOperationGetNumResults(op) != 1)
      continue;
    if (ir_int(op, "groups") != ir_int(row, "groups") && (columns || lists)) continue;
    if (ir_int(op, "ldc") != ir_int(op, "n") ||
        value_elements(v) != ir_int(op, "m") * ir_int(op, "n") * ir_int(op, "groups"))
      continue;
    return i;
  }
  return -1;
}

static MlirValue *joined(ir *m, const MlirValue *a, int a_count, const MlirValue *b, int b_count) {
  MlirValue *values = ARENA_ARRAY(m->arena, MlirValue, a_count + b_count);
  for (int i = 0; i < a_count; ++i) values[i] = a[i];
  for (int i = 0; i < b_count; ++i) values[a_count + i] = b[i];
  return values;
}

static bool fuse_epilogue(fusion *f, MlirOperation row) {
  ir *m = f->m;
  int at = product_operand(m, row);
  if (at < 0) return false;
  segment rows = ir_operands(m, row, 0), columns = ir_operands(m, row, 2);
  MlirOperation product = value_op(whole_operand(m, row, at));
  segment old_columns = ir_operands(m, product, 3), old_rows = ir_operands(m, product, 4),
          a = ir_operands(m, product, 0), b = ir_operands(m, product, 1);
  int groups = (int)ir_int(product, "groups"), others = 0;
  bool lists = ir_int(row, "lists") != 0, old_lists = ir_int(product, "lists") != 0;
  int each = lists ? groups : 1, old_kinds = old_rows.count / (old_lists ? groups : 1);
  MlirValue *other = ARENA_ARRAY(m->arena, MlirValue, rows.count), *old = all_operands(m, product, old_rows);
  for (int i = 0; i < rows.count; ++i)
    if (i / each != at) other[others++] = mlirOperationGetOperand(row, rows.first + i);
  int other_kinds = others / each;
  if (lists && !old_lists) old = as_lists(m, row, old, old_kinds, groups);
  if (old_lists && !lists) other = as_lists(m, row, other, other_kinds, groups);
  lists |= old_lists;
  const char *first = ir_text(m, product, "epilogue");
  if (!first) first = formula_identity(m);
  const char *body = formula_compose(m, first, old_columns.count / groups, old_kinds, ir_text_at(m, row, "stages", 0),
                                     columns.count / groups, other_kinds, at);
  int per_kind = lists ? groups : 1;
  const MlirValue *values[5] = {
      all_operands(m, product, a), all_operands(m, product, b), NULL,
      joined(m, all_operands(m, product, old_columns), old_columns.count, all_operands(m, row, columns), columns.count),
      joined(m, old, old_kinds * per_kind, other, other_kinds * per_kind)};
  int counts[5] = {a.count, b.count, 0, old_columns.count + columns.count, (old_kinds + other_kinds) * per_kind};
  MlirOperation fused = with_segments(m, product, row, 5, values, counts, 2, body);
  if (lists) ir_set_int(m, fused, "lists", 1);
  map_put(&f->order, fused.ptr, map_get(&f->order, row.ptr, 0));
  ir_replace(mlirOperationGetResult(row, 0), mlirOperationGetResult(fused, 0));
  MlirOperation *views = ARENA_ARRAY(m->arena, MlirOperation, each);
  for (int g = 0; g < each && each > 1; ++g)
    views[g] = value_op(mlirOperationGetOperand(row, rows.first + at * each + g));
  ir_erase(row);
  for (int g = 0; g < each && each > 1; ++g) ir_erase(views[g]);
  ir_erase(product);
  return true;
}

bool pass_fuse_kernels(ir *m, lmn_error *error) {
  (void)error;
  fusion f = {.m = m};
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i) map_put(&f.order, ops.items[i].ptr, i);
  // A fused product is a new op before the next op of the list, so the list stays valid: only sums and rows are looked
  // up in it, and those are erased here alone, each when its turn comes.
  for (int i = 0; i < ops.count; ++i)
    if (ir_code(m, ops.items[i]) == KERNEL_ROW && is_formula(m, ops.items[i]) && !ir_int(ops.items[i], "lists") &&
        formula_is_sum(ir_text_at(m, ops.items[i], "stages", 0)))
      fuse_sum(&f, ops.items[i]);
  ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i)
    if (ir_code(m, ops.items[i]) == KERNEL_ROW && is_formula(m, ops.items[i])) fuse_epilogue(&f, ops.items[i]);
  map_free(&f.order);
  return true;
}
