// lower-nn's products: kernel.gemm, with its groups and their pieces along k.
#include "passes/formulas.h"
#include "passes/lower_nn.h"

typedef struct product {
  int64_t m, n, k, groups, lda, ldb, ldc, a_stride, b_stride, c_stride;
  bool trans_a, trans_b;
} product;

// Its pieces along k (see ops.def); NULL: one a group.
static MlirOperation gemm(lowering *l, product p, const MlirValue *a, int a_count, const MlirValue *b, int b_count,
                          const MlirType *c, int c_count, const int64_t *pieces) {
  op_spec s = op_begin(&l->b, KERNEL_GEMM);
  op_segment(&s, a, a_count);
  op_segment(&s, b, b_count);
  for (int i = 0; i < 3; ++i) op_segment(&s, NULL, 0);
  op_results(&s, c, c_count);
  op_int(&s, "m", p.m);
  op_int(&s, "n", p.n);
  op_int(&s, "k", p.k);
  op_int(&s, "groups", p.groups);
  op_int(&s, "trans_a", p.trans_a);
  op_int(&s, "trans_b", p.trans_b);
  op_int(&s, "lda", p.lda);
  op_int(&s, "ldb", p.ldb);
  op_int(&s, "ldc", p.ldc);
  op_int(&s, "a_stride", p.a_stride);
  op_int(&s, "b_stride", p.b_stride);
  op_int(&s, "c_stride", p.c_stride);
  if (pieces) op_ints(&s, "pieces", pieces, (int)p.groups);
  return op_end(&s);
}

static int64_t segment_of(MlirOperation op, const char *name, int64_t group) {
  return ir_count(op, name) ? ir_int_at(op, name, (int)group) : group;
}

// A product's operand of each group: one value, of which group g reads segment name[g], or a list. What was stacked
// only for the product is read where it lies.
static MlirValue *group_values(lowering *l, MlirOperation op, const char *name, MlirValue x, int64_t rows, int *count) {
  ir *m = l->m;
  int64_t groups = ir_int(op, "groups");
  MlirOperation stack = value_op(x);
  bool stacked = ir_code(m, stack) == KERNEL_COPY && mlirOperationGetNumOperands(stack) > 1 && groups > 1;
  for (intptr_t i = 0; stacked && i < mlirOperationGetNumOperands(stack); ++i) {
    MlirValue part = mlirOperationGetOperand(stack, i);
    stacked = value_rows(part) == rows && value_columns(part) == value_columns(x); // else columns are joined
  }
  MlirValue *values = ARENA_ARRAY(m->arena, MlirValue, groups);
  *count = stacked || ir_count(op, name) ? (int)groups : 1;
  values[0] = x;
  for (int64_t g = 0; g < groups && *count == groups; ++g) {
    int64_t segment = segment_of(op, name, g);
    values[g] = stacked ? mlirOperationGetOperand(stack, segment) : lower_view(l, x, rows, segment);
  }
  return values;
}

// Sorts what belongs to each group by the segment it is added into; how much goes into each segment.
static int64_t *sort_into(lowering *l, MlirOperation op, int64_t targets, MlirValue **lists[], int list_count) {
  int count = ir_count(op, "into"), at = 0;
  int64_t *pieces = ARENA_ARRAY(l->m->arena, int64_t, targets), *order = ARENA_ARRAY(l->m->arena, int64_t, count);
  for (int64_t j = 0; j < targets; ++j)
    for (int g = 0; g < count; ++g)
      if (ir_int_at(op, "into", g) == j) order[at++] = g, ++pieces[j];
  for (int i = 0; i < list_count; ++i) {
    MlirValue *sorted = ARENA_ARRAY(l->m->arena, MlirValue, count);
    for (int k = 0; k < count; ++k) sorted[k] = (*lists[i])[order[k]];
    *lists[i] = sorted;
  }
  return pieces;
}

// Biases of pieces, kind by kind: merge-products gave every group as many.
static MlirValue add_biases(lowering *l, MlirValue y, const MlirValue *biases, int count, int64_t groups) {
  int kinds = count / (int)groups;
  MlirValue *columns = ARENA_ARRAY(l->m->arena, MlirValue, count);
  for (int i = 0; i < count; ++i) columns[i % kinds * (int)groups + i / kinds] = biases[i];
  return lower_row(l, &y, 1, columns, count, groups, formula_bias(l->m, kinds), mlirValueGetType(y));
}

void lower_product(lowering *l, MlirOperation op, bool transposed) {
  int weight_count, bias_count = 0, a_count;
  MlirValue x = lower_operand(l, op, 0), *weights = lower_segment(l, op, 1, &weight_count), *biases = NULL;
  if (ir_code(l->m, op) == NN_LINEAR) biases = lower_segment(l, op, 2, &bias_count);
  MlirType type = mlirValueGetType(mlirOperationGetResult(op, 0));
  bool merged = ir_count(op, "into") > 0;
  int64_t groups = ir_int(op, "groups"), k = value_columns(x), n = value_columns(mlirOperationGetResult(op, 0));
  int64_t m = merged || ir_count(op, "reads") ? ir_int(op, "rows") : value_rows(x) / groups;
  MlirValue *a = group_values(l, op, "reads", x, m, &a_count);
  int64_t *pieces = NULL;
  if (merged) {
    for (int64_t g = a_count; g < groups; ++g) a[g] = lower_view(l, x, m, g); // one value a piece
    if (a_count < groups) a[0] = lower_view(l, x, m, 0);
    a_count = (int)groups;
    groups = value_rows(mlirOperationGetResult(op, 0)) / m;
    pieces = sort_into(l, op, groups, (MlirValue * *[]){&a, &weights, &biases}, bias_count ? 3 : 2);
  }
  product p = {m,
               n,
               k,
               groups,
               .lda = k,
               .ldb = transposed ? k : n,
               .ldc = n,
               .a_stride = m * k,
               .b_stride = n * k,
               .c_stride = m * n,
               .trans_b = transposed};
  MlirValue y = mlirOperationGetResult(gemm(l, p, a, a_count, weights, weight_count, &type, 1, pieces), 0);
  if (bias_count) y = add_biases(l, y, biases, bias_count, groups);
  ir_replace(mlirOperationGetResult(op, 0), y);
}

void lower_weight_gradient(lowering *l, MlirOperation op) {
  MlirValue x = lower_operand(l, op, 0), dy = lower_operand(l, op, 1);
  int64_t groups = ir_int(op, "groups");
  bool given = ir_count(op, "reads") || ir_count(op, "into");
  int64_t rows = given ? ir_int(op, "rows") : value_rows(dy) / groups;
  int x_count, dy_count;
  MlirValue *xs = group_values(l, op, "reads", x, rows, &x_count),
            *dys = group_values(l, op, "into", dy, rows, &dy_count);
  bool input_major = ir_int(op, "input_major") != 0; // dW = xᵀ dy; else dW = dyᵀ x
  int64_t m = value_columns(input_major ? x : dy), n = value_columns(input_major ? dy : x);
  int count = (int)mlirOperationGetNumResults(op);
  MlirType *types = ARENA_ARRAY(l->m->arena, MlirType, count);
  for (int i = 0; i < count; ++i) types[i] = mlirValueGetType(mlirOperationGetResult(op, i));
  product p = {m,
               n,
               rows,
               groups,
               .lda = m,
               .ldb = n,
               .ldc = n,
               .a_stride = rows * m,
               .b_stride = rows * n,
               .c_stride = m * n,
               .trans_a = true};
  if (input_major) lower_replace(op, gemm(l, p, xs, x_count, dys, dy_count, types, count, NULL));
  else lower_replace(op, gemm(l, p, dys, dy_count, xs, x_count, types, count, NULL));
}
