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

// ---- products
// ---------------------------------------------------------------------------------------------------------------------

typedef struct product {
  int64_t m, n, k, groups, lda, ldb, ldc, a_stride, b_stride, c_stride;
  bool trans_a, trans_b;
} product;

static MlirOperation gemm(lowering *l, product p, const MlirValue *a, int a_count, const MlirValue *b, int b_count,
                          const MlirType *c, int c_count) {
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

// y = x Wᵀ + b, and dx = dy W, which is the same product with the weight the other way round.
static void lower_product(lowering *l, MlirOperation op, bool transposed) {
  int weight_count, bias_count = 0;
  MlirValue x = operand(l, op, 0), *weights = segment_values(l, op, 1, &weight_count), *biases = NULL;
  if (ir_code(l->m, op) == NN_LINEAR) biases = segment_values(l, op, 2, &bias_count);
  MlirType type = mlirValueGetType(mlirOperationGetResult(op, 0));
  int64_t groups = ir_int(op, "groups"), m = value_rows(x) / groups, k = value_columns(x);
  int64_t n = value_columns(mlirOperationGetResult(op, 0));
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
  MlirValue y = mlirOperationGetResult(gemm(l, p, &x, 1, weights, weight_count, &type, 1), 0);
  if (bias_count) y = row(l, &y, 1, biases, bias_count, groups, formula_bias(l->m), type);
  ir_replace(mlirOperationGetResult(op, 0), y);
}

static void lower_weight_gradient(lowering *l, MlirOperation op) {
  MlirValue left = operand(l, op, 1), right = operand(l, op, 0); // dWᵀ = dyᵀ x; input major: dW = xᵀ dy
  if (ir_int(op, "input_major")) left = operand(l, op, 0), right = operand(l, op, 1);
  int64_t groups = ir_int(op, "groups"), rows = value_rows(left) / groups, m = value_columns(left),
          n = value_columns(right);
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
  replace_all(op, gemm(l, p, &left, 1, &right, 1, types, count));
}

// ---- row formulas
// -----------------------------------------------------------------------------------------------------------------

static MlirOperation staged_row(lowering *l, MlirOperation op, row_formula f, const MlirValue *rows, int row_count,
                                const MlirValue *scalars, int scalar_count, const MlirValue *columns, int column_count,
                                int scalar_results) {
  MlirType scalar = ir_vector(l->m, value_rows(rows[0])), scalar_types[2] = {scalar, scalar};
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
  replace_all(op, staged_row(l, op, f, &x, 1, NULL, 0, columns, weights + biases, strcmp(kind, "rms") ? 2 : 1));
}

static void lower_norm_dx(lowering *l, MlirOperation op) {
  int weights;
  MlirValue rows[] = {operand(l, op, 0), operand(l, op, 1)}, scalars[] = {operand(l, op, 2), operand(l, op, 3)};
  MlirValue *w = segment_values(l, op, 4, &weights);
  row_formula f = formula_norm_dx(l->m, ir_text(l->m, op, "kind"), value_columns(rows[0]));
  replace_all(op, staged_row(l, op, f, rows, 2, scalars, value_is(scalars[1]) ? 2 : 1, w, weights, 0));
}

static void column(lowering *l, MlirOperation op, const MlirValue *rows, int row_count, const MlirValue *scalars,
                   int scalar_count, const char *body) {
  int count = (int)mlirOperationGetNumResults(op);
  MlirType *types = ARENA_ARRAY(l->m->arena, MlirType, count);
  for (int i = 0; i < count; ++i) types[i] = mlirValueGetType(mlirOperationGetResult(op, i));
  op_spec s = op_begin(&l->b, KERNEL_COLUMN);
  op_segment(&s, rows, row_count);
  op_segment(&s, scalars, scalar_count);
  op_results(&s, types, count);
  op_int(&s, "groups", ir_int(op, "groups"));
  op_symbol(&s, "body", body);
  replace_all(op, op_end(&s));
}

static void lower_norm_dw(lowering *l, MlirOperation op) {
  MlirValue rows[] = {operand(l, op, 0), operand(l, op, 1)}, scalars[] = {operand(l, op, 2), operand(l, op, 3)};
  column(l, op, rows, 2, scalars, value_is(scalars[1]) ? 2 : 1, formula_norm_dw(l->m, ir_text(l->m, op, "kind")));
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

// ---- moves
// ------------------------------------------------------------------------------------------------------------------------

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

// ---- the rest: the same op at the kernel level
// --------------------------------------------------------------------------------------

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
  case NN_COLUMN_SUM: column(l, op, (MlirValue[]){operand(l, op, 0)}, 1, NULL, 0, formula_identity(m)); break;
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
