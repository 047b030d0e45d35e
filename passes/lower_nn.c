// lower-nn: turns layers into kernels. Products become kernel.gemm, row-wise formulas kernel.row and kernel.column with
// a body each, moves kernel.copy or, where the bytes already lie right, kernel.view. One op at a time: fuse-kernels
// then joins neighbours.
//
//   %y = "nn.linear"(%x, %w, %b) {groups = 1}
// becomes
//   %c = "kernel.gemm"(%x, %w) {m = R, n = N, k = K, trans_b = 1, …}   %y = "kernel.row"(%c, %b) {stages = [@bias]}
#include "passes/passes.h"

#include "passes/formulas.h"
#include "passes/lower_nn.h"

#include <string.h>

static int64_t imin(int64_t a, int64_t b) { return a < b ? a : b; }

MlirValue lower_operand(lowering *l, MlirOperation op, int i) { return ir_operand(l->m, op, i); }

MlirValue *lower_segment(lowering *l, MlirOperation op, int index, int *count) {
  segment s = ir_operands(l->m, op, index);
  MlirValue *values = ARENA_ARRAY(l->m->arena, MlirValue, s.count);
  for (int i = 0; i < s.count; ++i) values[i] = mlirOperationGetOperand(op, s.first + i);
  *count = s.count;
  return values;
}

void lower_replace(MlirOperation op, MlirOperation with) {
  for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i)
    ir_replace(mlirOperationGetResult(op, i), mlirOperationGetResult(with, i));
}

MlirValue lower_view(lowering *l, MlirValue x, int64_t rows, int64_t index) {
  if (value_rows(x) == rows) return x;
  bool vector = mlirShapedTypeGetRank(mlirValueGetType(x)) == 1;
  op_spec s = op_begin(&l->b, KERNEL_VIEW);
  op_operand(&s, x);
  op_int(&s, "offset", index * rows * (vector ? 1 : value_columns(x)) * (int64_t)sizeof(float));
  op_result(&s, vector ? ir_vector(l->m, rows) : ir_matrix(l->m, rows, value_columns(x)));
  return op_end_value(&s);
}

MlirValue lower_row(lowering *l, const MlirValue *rows, int row_count, const MlirValue *columns, int column_count,
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
  lower_replace(op, op_end(&s));
}

// Stacks put rows after rows, joins put columns beside columns.
static void lower_together(lowering *l, MlirOperation op, bool stacked) {
  int count;
  MlirValue *values = lower_segment(l, op, 0, &count);
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
  MlirValue *terms = lower_segment(l, op, 0, &term_count), y = mlirOperationGetResult(op, 0);
  MlirType type = mlirValueGetType(terms[0]);
  double scale = ir_real(op, "scale");
  bool even = term_count > count || scale != 1;
  for (int j = 0; j < count; ++j) even = even && ir_int_at(op, "counts", j) * count == term_count;
  if (even) {
    MlirValue *lists = ARENA_ARRAY(l->m->arena, MlirValue, term_count);
    int each = term_count / count;
    for (int i = 0; i < term_count; ++i) lists[i % each * count + i / each] = terms[i];
    y = lower_row(l, lists, term_count, NULL, 0, count, formula_sum(l->m, each, scale), mlirValueGetType(y));
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
    else if (own) parts[j] = lower_row(l, terms + term, own, NULL, 0, 1, formula_sum(l->m, own, scale), type);
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
  MlirValue x = lower_operand(l, op, 0), y = mlirOperationGetResult(op, 0);
  op_spec s = op_begin(&l->b, KERNEL_VIEW);
  op_operand(&s, x);
  op_int(&s, "offset", ir_int(op, "index") * value_elements(y) * (int64_t)sizeof(float));
  op_result(&s, mlirValueGetType(y));
  lower_replace(op, op_end(&s));
}

static void lower_split_columns(lowering *l, MlirOperation op) {
  MlirValue x = lower_operand(l, op, 0), y = mlirOperationGetResult(op, 0);
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
  MlirValue x = lower_operand(l, op, 0);
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
  lower_replace(op, op_end(&s));
}

static bool is_gpu(const ir *m) { return m->plan && m->plan->target && strcmp(m->plan->target, "cpu"); }

// Products with fewer rows read the head's weight too often for what they do, and leave most of a GPU idle; more make
// the logits large.
static int64_t rows_of_logits(const ir *m, int64_t vocabulary) {
  enum { CPU_ROWS = 256, GPU_ROWS = 2048, GPU_ELEMENTS = 1 << 28 };
  if (!is_gpu(m)) return CPU_ROWS;
  int64_t rows = GPU_ROWS;
  while (rows > CPU_ROWS && rows * vocabulary > GPU_ELEMENTS) rows /= 2;
  return rows;
}

// Columns of the chunk of logits: on a GPU rows begin where it can copy boxes from and to (see products_sm90.c),
// whatever the vocabulary.
static int64_t columns_of_logits(const ir *m, int64_t vocabulary) {
  enum { MULTIPLE = 64 };
  return is_gpu(m) ? (vocabulary + MULTIPLE - 1) / MULTIPLE * MULTIPLE : vocabulary;
}

static void lower_cross_entropy(lowering *l, MlirOperation op) {
  ir *m = l->m;
  MlirValue hidden = lower_operand(l, op, 0), weight = lower_operand(l, op, 1);
  int64_t rows = value_rows(hidden), vocabulary = value_rows(weight);
  int64_t chunk = imin(rows, rows_of_logits(m, vocabulary));
  bool gradients = ir_code(m, op) == NN_CROSS_ENTROPY_GRAD;
  MlirValue dhidden = gradients ? ir_result(m, op, 2) : no_value, dweight = gradients ? ir_result(m, op, 3) : no_value;
  MlirType hidden_type = mlirValueGetType(hidden), weight_type = mlirValueGetType(weight);
  op_spec s = op_begin(&l->b, KERNEL_CROSS_ENTROPY);
  for (int i = 0; i < 4; ++i) op_operand(&s, lower_operand(l, op, i));
  op_segment(&s, NULL, 0);
  op_result(&s, ir_vector(m, 1));
  op_result(&s, ir_vector(m, 1));
  op_result(&s, ir_matrix(m, chunk, columns_of_logits(m, vocabulary)));
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
  lower_replace(op, op_end(&s));
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
  case NN_COLUMN_SUM: lower_column_sum(l, op); break;
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
