// lower-nn: turns layers into kernels. Products become kernel.gemm, row-wise formulas kernel.row and kernel.column with
// a body each, moves kernel.copy or, where the bytes already lie right, kernel.view. One op at a time: fuse-kernels
// then joins neighbours.
//
//   %y = "nn.linear"(%x, %w, %b) {groups = 1}
// becomes
//   %c = "kernel.gemm"(%x, %w) {m = R, n = N, k = K, trans_b = 1, …}   %y = "kernel.row"(%c, %b) {stages = [@bias]}
#include "passes/passes.h"

#include "passes/formulas.h"

#include <string.h>

typedef struct lowering {
  ir *m;
  builder b;
} lowering;

static int64_t imin(int64_t a, int64_t b) { return a < b ? a : b; }

static MlirValue operand(lowering *l, MlirOperation op, int i) { return ir_operand(l->m, op, i); }

static MlirValue *segment_values(lowering *l, MlirOperation op, int index, int *count) {
  segment s = ir_operands(l->m, op, index);
  MlirValue *values = ARENA_ARRAY(l->m->arena, MlirValue, s.count);
  for (int i = 0; i < s.count; ++i) values[i] = mlirOperationGetOperand(op, s.first + i);
  *count = s.count;
  return values;
}

static void replace_all(MlirOperation op, MlirOperation with) {
  for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i)
    ir_replace(mlirOperationGetResult(op, i), mlirOperationGetResult(with, i));
}

// ---- products -----------------------------------------------------------------------------------

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

static MlirValue row(lowering *l, const MlirValue *rows, int row_count, const MlirValue *columns, int column_count,
                     int64_t groups, const char *body, MlirType type) {
  op_spec s = op_begin(&l->b, KERNEL_ROW);
  op_segment(&s, rows, row_count);
  op_segment(&s, NULL, 0);
  op_segment(&s, columns, column_count);
  op_result(&s, type);
  op_results(&s, NULL, 0);
  op_int(&s, "groups", groups);
  op_symbols(&s, "stages", &body, 1);
  op_texts(&s, "reductions", NULL, 0);
  return op_end_value(&s);
}

// Segment `index` of x, of `rows` rows; x: a matrix or a number a row.
static MlirValue view(lowering *l, MlirValue x, int64_t rows, int64_t index) {
  if (value_rows(x) == rows) return x;
  bool vector = mlirShapedTypeGetRank(mlirValueGetType(x)) == 1;
  op_spec s = op_begin(&l->b, KERNEL_VIEW);
  op_operand(&s, x);
  op_int(&s, "offset", index * rows * (vector ? 1 : value_columns(x)) * (int64_t)sizeof(float));
  op_result(&s, vector ? ir_vector(l->m, rows) : ir_matrix(l->m, rows, value_columns(x)));
  return op_end_value(&s);
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
    values[g] = stacked ? mlirOperationGetOperand(stack, segment) : view(l, x, rows, segment);
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
  return row(l, &y, 1, columns, count, groups, formula_bias(l->m, kinds), mlirValueGetType(y));
}

// y = x Wᵀ + b, and dx = dy W, which is the same product with the weight the other way round.
static void lower_product(lowering *l, MlirOperation op, bool transposed) {
  int weight_count, bias_count = 0, a_count;
  MlirValue x = operand(l, op, 0), *weights = segment_values(l, op, 1, &weight_count), *biases = NULL;
  if (ir_code(l->m, op) == NN_LINEAR) biases = segment_values(l, op, 2, &bias_count);
  MlirType type = mlirValueGetType(mlirOperationGetResult(op, 0));
  bool merged = ir_count(op, "into") > 0;
  int64_t groups = ir_int(op, "groups"), k = value_columns(x), n = value_columns(mlirOperationGetResult(op, 0));
  int64_t m = merged || ir_count(op, "reads") ? ir_int(op, "rows") : value_rows(x) / groups;
  MlirValue *a = group_values(l, op, "reads", x, m, &a_count);
  int64_t *pieces = NULL;
  if (merged) {
    for (int64_t g = a_count; g < groups; ++g) a[g] = view(l, x, m, g); // one value a piece
    if (a_count < groups) a[0] = view(l, x, m, 0);
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

static void lower_weight_gradient(lowering *l, MlirOperation op) {
  MlirValue x = operand(l, op, 0), dy = operand(l, op, 1);
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
  if (input_major) replace_all(op, gemm(l, p, xs, x_count, dys, dy_count, types, count, NULL));
  else replace_all(op, gemm(l, p, dys, dy_count, xs, x_count, types, count, NULL));
}

// ---- row formulas -------------------------------------------------------------------------------

// Where the op reads segments: the operands as lists (see kernel.row), those from number `from` on as it says, the
// others each group its own; else as they are.
static MlirValue *operand_lists(lowering *l, MlirOperation op, const MlirValue *values, int *count, int from) {
  int groups = ir_count(op, "reads");
  MlirValue *lists = ARENA_ARRAY(l->m->arena, MlirValue, *count * (groups ? groups : 1));
  for (int i = 0; i < *count; ++i)
    if (!groups) lists[i] = values[i];
    else
      for (int g = 0; g < groups; ++g)
        lists[i * groups + g] = view(l, values[i], ir_int(op, "rows"), i < from ? g : ir_int_at(op, "reads", g));
  if (groups) *count *= groups;
  return lists;
}

// Of the rows those from number `from` on are read as the op's `reads` says, and all scalars.
static MlirOperation staged_row(lowering *l, MlirOperation op, row_formula f, const MlirValue *rows, int row_count,
                                const MlirValue *scalars, int scalar_count, const MlirValue *columns, int column_count,
                                int scalar_results, int from) {
  MlirType scalar = ir_vector(l->m, value_rows(rows[0])), scalar_types[2] = {scalar, scalar};
  rows = operand_lists(l, op, rows, &row_count, from);
  scalars = operand_lists(l, op, scalars, &scalar_count, 0);
  op_spec s = op_begin(&l->b, KERNEL_ROW);
  op_segment(&s, rows, row_count);
  op_segment(&s, scalars, scalar_count);
  op_segment(&s, columns, column_count);
  op_result(&s, mlirValueGetType(mlirOperationGetResult(op, 0)));
  op_results(&s, scalar_types, scalar_results);
  op_int(&s, "groups", ir_int(op, "groups"));
  op_symbols(&s, "stages", f.stages, f.stage_count);
  op_texts(&s, "reductions", f.reductions, f.stage_count - 1);
  if (f.finish) op_symbol(&s, "finish", f.finish);
  int groups = ir_count(op, "reads");
  int64_t *reads = ARENA_ARRAY(l->m->arena, int64_t, groups + 1);
  for (int g = 0; g < groups; ++g) reads[g] = ir_int_at(op, "reads", g);
  if (groups) op_int(&s, "lists", 1);
  if (groups && scalar_results) op_ints(&s, "reads", reads, groups);
  return op_end(&s);
}

static void lower_norm(lowering *l, MlirOperation op) {
  int weights, biases;
  MlirValue x = operand(l, op, 0), *w = segment_values(l, op, 1, &weights), *b = segment_values(l, op, 2, &biases);
  MlirValue *columns = ARENA_ARRAY(l->m->arena, MlirValue, weights + biases);
  for (int i = 0; i < weights; ++i) columns[i] = w[i];
  for (int i = 0; i < biases; ++i) columns[weights + i] = b[i];
  const char *kind = ir_text(l->m, op, "kind");
  row_formula f = formula_norm(l->m, kind, value_columns(x), ir_real(op, "eps"));
  replace_all(op, staged_row(l, op, f, &x, 1, NULL, 0, columns, weights + biases, strcmp(kind, "rms") ? 2 : 1, 0));
}

static void lower_norm_dx(lowering *l, MlirOperation op) {
  int weights;
  MlirValue rows[] = {operand(l, op, 0), operand(l, op, 1)}, scalars[] = {operand(l, op, 2), operand(l, op, 3)};
  MlirValue *w = segment_values(l, op, 4, &weights);
  row_formula f = formula_norm_dx(l->m, ir_text(l->m, op, "kind"), value_columns(rows[0]));
  replace_all(op, staged_row(l, op, f, rows, 2, scalars, value_is(scalars[1]) ? 2 : 1, w, weights, 0, 1));
}

// from: as above.
static void column(lowering *l, MlirOperation op, const MlirValue *rows, int row_count, const MlirValue *scalars,
                   int scalar_count, const char *body, int from) {
  int count = (int)mlirOperationGetNumResults(op);
  MlirType *types = ARENA_ARRAY(l->m->arena, MlirType, count);
  for (int i = 0; i < count; ++i) types[i] = mlirValueGetType(mlirOperationGetResult(op, i));
  rows = operand_lists(l, op, rows, &row_count, from);
  scalars = operand_lists(l, op, scalars, &scalar_count, 0);
  op_spec s = op_begin(&l->b, KERNEL_COLUMN);
  op_segment(&s, rows, row_count);
  op_segment(&s, scalars, scalar_count);
  op_results(&s, types, count);
  op_int(&s, "groups", ir_int(op, "groups"));
  op_symbol(&s, "body", body);
  if (ir_count(op, "reads")) op_int(&s, "lists", 1);
  replace_all(op, op_end(&s));
}

static void lower_norm_dw(lowering *l, MlirOperation op) {
  MlirValue rows[] = {operand(l, op, 0), operand(l, op, 1)}, scalars[] = {operand(l, op, 2), operand(l, op, 3)};
  column(l, op, rows, 2, scalars, value_is(scalars[1]) ? 2 : 1, formula_norm_dw(l->m, ir_text(l->m, op, "kind")), 1);
}

static void lower_activation(lowering *l, MlirOperation op, bool gradient) {
  MlirValue rows[] = {operand(l, op, 0), gradient ? operand(l, op, 1) : no_value};
  const char *kind = ir_text(l->m, op, "kind");
  const char *body = gradient ? formula_activation_grad(l->m, kind) : formula_activation(l->m, kind);
  MlirType type = mlirValueGetType(rows[0]);
  ir_replace(mlirOperationGetResult(op, 0), row(l, rows, gradient ? 2 : 1, NULL, 0, 1, body, type));
}

static void lower_glu(lowering *l, MlirOperation op, bool gradient) {
  const char *kind = ir_text(l->m, op, "kind");
  op_spec s = op_begin(&l->b, gradient ? KERNEL_GLU_GRAD : KERNEL_GLU);
  op_operand(&s, operand(l, op, 0));
  if (gradient) op_operand(&s, operand(l, op, 1));
  op_result(&s, mlirValueGetType(mlirOperationGetResult(op, 0)));
  op_symbol(&s, "body", gradient ? formula_glu_grad(l->m, kind) : formula_glu(l->m, kind));
  replace_all(op, op_end(&s));
}

static void lower_add(lowering *l, MlirOperation op) {
  int count;
  MlirValue *values = segment_values(l, op, 0, &count);
  MlirType type = mlirValueGetType(values[0]);
  MlirValue y = row(l, values, count, NULL, 0, 1, formula_sum(l->m, count, ir_real(op, "scale")), type);
  ir_replace(mlirOperationGetResult(op, 0), y);
}

// ---- moves --------------------------------------------------------------------------------------

typedef struct move {
  int64_t n0, n1, columns, from, from0, from1, to0, to1;
  const int64_t *to;
  bool zero;
} move;

static void copy(lowering *l, MlirOperation op, const MlirValue *sources, int count, move c) {
  op_spec s = op_begin(&l->b, KERNEL_COPY);
  op_segment(&s, sources, count);
  op_result(&s, mlirValueGetType(mlirOperationGetResult(op, 0)));
  op_int(&s, "n0", c.n0);
  op_int(&s, "n1", c.n1);
  op_int(&s, "columns", c.columns);
  op_int(&s, "from", c.from);
  op_int(&s, "from0", c.from0);
  op_int(&s, "from1", c.from1);
  op_ints(&s, "to", c.to, count);
  op_int(&s, "to0", c.to0);
  op_int(&s, "to1", c.to1);
  op_int(&s, "zero", c.zero);
  replace_all(op, op_end(&s));
}

// Stacks put rows after rows, joins put columns beside columns.
static void lower_together(lowering *l, MlirOperation op, bool stacked) {
  int count;
  MlirValue *values = segment_values(l, op, 0, &count);
  int64_t rows = value_rows(values[0]), columns = value_columns(values[0]),
          *to = ARENA_ARRAY(l->m->arena, int64_t, count);
  for (int i = 0; i < count; ++i) to[i] = i * columns * (stacked ? rows : 1);
  copy(l, op, values, count,
       (move){.n0 = 1,
              .n1 = rows,
              .columns = columns,
              .from1 = columns,
              .to = to,
              .to1 = stacked ? columns : columns * count});
}

// Sums of as many terms each are one formula over lists; else each sum is made in its part of the result.
static void lower_segment_sum(lowering *l, MlirOperation op) {
  int term_count, count = ir_count(op, "counts");
  MlirValue *terms = segment_values(l, op, 0, &term_count), y = mlirOperationGetResult(op, 0);
  MlirType type = mlirValueGetType(terms[0]);
  double scale = ir_real(op, "scale");
  bool even = term_count > count || scale != 1;
  for (int j = 0; j < count; ++j) even = even && ir_int_at(op, "counts", j) * count == term_count;
  if (even) {
    MlirValue *lists = ARENA_ARRAY(l->m->arena, MlirValue, term_count);
    int each = term_count / count;
    for (int i = 0; i < term_count; ++i) lists[i % each * count + i / each] = terms[i];
    y = row(l, lists, term_count, NULL, 0, count, formula_sum(l->m, each, scale), mlirValueGetType(y));
    if (count > 1) ir_set_int(l->m, value_op(y), "lists", 1);
    ir_replace(mlirOperationGetResult(op, 0), y);
    return;
  }
  MlirValue *parts = ARENA_ARRAY(l->m->arena, MlirValue, count);
  int64_t rows = value_rows(terms[0]), columns = value_columns(y), *to = ARENA_ARRAY(l->m->arena, int64_t, count);
  for (int j = 0, term = 0; j < count; term += (int)ir_int_at(op, "counts", j++)) {
    int own = (int)ir_int_at(op, "counts", j);
    to[j] = j * rows * columns;
    if (own == 1 && scale == 1) parts[j] = terms[term];
    else if (own) parts[j] = row(l, terms + term, own, NULL, 0, 1, formula_sum(l->m, own, scale), type);
    else {
      op_spec zero = op_begin(&l->b, KERNEL_ZERO);
      op_result(&zero, type);
      parts[j] = op_end_value(&zero);
    }
  }
  copy(l, op, parts, count,
       (move){.n0 = 1, .n1 = rows, .columns = columns, .from1 = columns, .to = to, .to1 = columns});
}

static void lower_unstack(lowering *l, MlirOperation op) {
  MlirValue x = operand(l, op, 0), y = mlirOperationGetResult(op, 0);
  op_spec s = op_begin(&l->b, KERNEL_VIEW);
  op_operand(&s, x);
  op_int(&s, "offset", ir_int(op, "index") * value_elements(y) * (int64_t)sizeof(float));
  op_result(&s, mlirValueGetType(y));
  replace_all(op, op_end(&s));
}

static void lower_split_columns(lowering *l, MlirOperation op) {
  MlirValue x = operand(l, op, 0), y = mlirOperationGetResult(op, 0);
  int64_t columns = value_columns(y), to = 0;
  copy(l, op, &x, 1,
       (move){.n0 = 1,
              .n1 = value_rows(y),
              .columns = columns,
              .from = ir_int(op, "index") * columns,
              .from1 = value_columns(x),
              .to = &to,
              .to1 = columns});
}

static void lower_prefix_rows(lowering *l, MlirOperation op, bool pad) {
  MlirValue x = operand(l, op, 0);
  int64_t columns = value_columns(x), length = ir_int(op, "length"), prefix = ir_int(op, "prefix");
  int64_t with = (prefix + length) * columns, without = length * columns, at = prefix * columns, to = pad ? at : 0;
  copy(l, op, &x, 1,
       (move){.n0 = ir_int(op, "batch"),
              .n1 = length,
              .columns = columns,
              .from = pad ? 0 : at,
              .from0 = pad ? without : with,
              .from1 = columns,
              .to = &to,
              .to0 = pad ? with : without,
              .to1 = columns,
              .zero = pad});
}

// ---- the rest: the same op at the kernel level --------------------------------------------------

static void buffer(lowering *l, MlirOperation op, const char *space, const char *name) {
  op_spec s = op_begin(&l->b, KERNEL_BUFFER);
  op_result(&s, mlirValueGetType(mlirOperationGetResult(op, 0)));
  op_text(&s, "space", space);
  op_text(&s, "name", name);
  replace_all(op, op_end(&s));
}

static void lower_cross_entropy(lowering *l, MlirOperation op) {
  ir *m = l->m;
  MlirValue hidden = operand(l, op, 0), weight = operand(l, op, 1);
  int64_t rows = value_rows(hidden), vocabulary = value_rows(weight);
  // Products with fewer rows spend much of their time on packing the head's weight; more make the logits large.
  enum { CHUNK = 256 };
  int64_t chunk = imin(rows, CHUNK);
  bool gradients = ir_code(m, op) == NN_CROSS_ENTROPY_GRAD;
  MlirValue dhidden = gradients ? ir_result(m, op, 2) : no_value, dweight = gradients ? ir_result(m, op, 3) : no_value;
  MlirType hidden_type = mlirValueGetType(hidden), weight_type = mlirValueGetType(weight);
  op_spec s = op_begin(&l->b, KERNEL_CROSS_ENTROPY);
  for (int i = 0; i < 4; ++i) op_operand(&s, operand(l, op, i));
  op_segment(&s, NULL, 0);
  op_result(&s, ir_vector(m, 1));
  op_result(&s, ir_vector(m, 1));
  op_result(&s, ir_matrix(m, chunk, vocabulary));
  op_result(&s, ir_vector(m, rows));
  op_result(&s, ir_vector(m, rows));
  op_results(&s, &hidden_type, value_is(dhidden));
  op_results(&s, &weight_type, value_is(dweight));
  op_real(&s, "smoothing", ir_real(op, "smoothing"));
  op_int(&s, "chunk", chunk);
  MlirOperation fused = op_end(&s);
  for (int i = 0; i < 2; ++i) ir_replace(mlirOperationGetResult(op, i), mlirOperationGetResult(fused, i));
  if (value_is(dhidden)) ir_replace(dhidden, ir_result(m, fused, 5));
  if (value_is(dweight)) ir_replace(dweight, ir_result(m, fused, 6));
}

// Same operands, results and attributes under the kernel op's code.
static void lower_same(lowering *l, MlirOperation op, op_code code) {
  op_spec s = op_begin(&l->b, code);
  for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
    GROW(s.operands, s.operand_count, s.operand_capacity);
    s.operands[s.operand_count++] = mlirOperationGetOperand(op, i);
  }
  for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i) {
    GROW(s.results, s.result_count, s.result_capacity);
    s.results[s.result_count++] = mlirValueGetType(mlirOperationGetResult(op, i));
  }
  int segments = 0;
  for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op); ++i) {
    MlirNamedAttribute a = mlirOperationGetAttribute(op, i);
    MlirStringRef name = mlirIdentifierStr(a.name);
    if (name.length == 19 && !memcmp(name.data, "operandSegmentSizes", 19)) {
      segments = (int)mlirDenseArrayGetNumElements(a.attribute);
      for (int k = 0; k < segments; ++k) s.segments[s.segment_count++] = mlirDenseI32ArrayGetElement(a.attribute, k);
    } else op_attribute(&s, arena_copy(l->m->arena, name.data, name.length), a.attribute);
  }
  replace_all(op, op_end(&s));
}

static void lower(lowering *l, MlirOperation op) {
  ir *m = l->m;
  switch (ir_code(m, op)) {
  case NN_PARAMETER: buffer(l, op, "parameter", ir_text_at(m, op, "names", 0)); break;
  case NN_INPUT: buffer(l, op, "input", ir_text(m, op, "name")); break;
  case NN_ROTARY:
    buffer(l, op, "constant",
           arena_printf(m->arena, "%lld.%lld", (long long)ir_int(op, "model"), (long long)ir_int(op, "length")));
    break;
  case NN_ZERO: lower_same(l, op, KERNEL_ZERO); break;
  case NN_EMBED: lower_same(l, op, KERNEL_EMBED); break;
  case NN_EMBED_GRAD: lower_same(l, op, KERNEL_EMBED_GRAD); break;
  case NN_PREFIX_GRAD: lower_same(l, op, KERNEL_PREFIX_GRAD); break;
  case NN_LINEAR: lower_product(l, op, !ir_int(op, "input_major")); break;
  case NN_LINEAR_DX: lower_product(l, op, ir_int(op, "input_major")); break;
  case NN_LINEAR_DW: lower_weight_gradient(l, op); break;
  case NN_COLUMN_SUM: column(l, op, (MlirValue[]){operand(l, op, 0)}, 1, NULL, 0, formula_identity(m), 0); break;
  case NN_NORM: lower_norm(l, op); break;
  case NN_NORM_DX: lower_norm_dx(l, op); break;
  case NN_NORM_DW: lower_norm_dw(l, op); break;
  case NN_ROPE: lower_same(l, op, KERNEL_ROPE); break;
  case NN_ATTENTION: lower_same(l, op, KERNEL_ATTENTION); break;
  case NN_ATTENTION_GRAD: lower_same(l, op, KERNEL_ATTENTION_GRAD); break;
  case NN_ATTENTION_CACHED: lower_same(l, op, KERNEL_ATTENTION_CACHED); break;
  case NN_ACTIVATION: lower_activation(l, op, false); break;
  case NN_ACTIVATION_GRAD: lower_activation(l, op, true); break;
  case NN_GLU: lower_glu(l, op, false); break;
  case NN_GLU_GRAD: lower_glu(l, op, true); break;
  case NN_ADD: lower_add(l, op); break;
  case NN_SEGMENT_SUM: lower_segment_sum(l, op); break;
  case NN_STACK: lower_together(l, op, true); break;
  case NN_JOIN_COLUMNS: lower_together(l, op, false); break;
  case NN_UNSTACK: lower_unstack(l, op); break;
  case NN_SPLIT_COLUMNS: lower_split_columns(l, op); break;
  case NN_DROP_PREFIX: lower_prefix_rows(l, op, false); break;
  case NN_PAD_PREFIX: lower_prefix_rows(l, op, true); break;
  case NN_SELECT: lower_same(l, op, KERNEL_SELECT); break;
  case NN_SELECT_GRAD: lower_same(l, op, KERNEL_SELECT_GRAD); break;
  case NN_CROSS_ENTROPY:
  case NN_CROSS_ENTROPY_GRAD: lower_cross_entropy(l, op); break;
  case NN_MARK: lower_same(l, op, KERNEL_MARK); break;
  case NN_OUTPUT: lower_same(l, op, KERNEL_OUTPUT); break;
  case NN_GRADIENT: lower_same(l, op, KERNEL_GRADIENT); break;
  default: break;
  }
}

bool pass_lower_nn(ir *m, lmn_error *error) {
  (void)error;
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i) {
    lowering l = {m, builder_before(m, ops.items[i])};
    lower(&l, ops.items[i]);
  }
  for (int i = ops.count - 1; i >= 0; --i) ir_erase(ops.items[i]);
  return true;
}
