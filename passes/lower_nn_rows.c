// lower-nn's formulas: kernel.row and kernel.column, with a body each.
#include "passes/formulas.h"
#include "passes/lower_nn.h"

#include <string.h>

// Where the op reads segments: the operands as lists (see kernel.row), those from number `from` on as it says, the
// others each group its own; else as they are.
static MlirValue *operand_lists(lowering *l, MlirOperation op, const MlirValue *values, int *count, int from) {
  int groups = ir_count(op, "reads");
  MlirValue *lists = ARENA_ARRAY(l->m->arena, MlirValue, *count * (groups ? groups : 1));
  for (int i = 0; i < *count; ++i)
    if (!groups) lists[i] = values[i];
    else
      for (int g = 0; g < groups; ++g)
        lists[i * groups + g] = lower_view(l, values[i], ir_int(op, "rows"), i < from ? g : ir_int_at(op, "reads", g));
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

void lower_norm(lowering *l, MlirOperation op) {
  int weights, biases;
  MlirValue x = lower_operand(l, op, 0), *w = lower_segment(l, op, 1, &weights), *b = lower_segment(l, op, 2, &biases);
  MlirValue *columns = ARENA_ARRAY(l->m->arena, MlirValue, weights + biases);
  for (int i = 0; i < weights; ++i) columns[i] = w[i];
  for (int i = 0; i < biases; ++i) columns[weights + i] = b[i];
  const char *kind = ir_text(l->m, op, "kind");
  row_formula f = formula_norm(l->m, kind, value_columns(x), ir_real(op, "eps"));
  lower_replace(op, staged_row(l, op, f, &x, 1, NULL, 0, columns, weights + biases, strcmp(kind, "rms") ? 2 : 1, 0));
}

void lower_norm_dx(lowering *l, MlirOperation op) {
  int weights;
  MlirValue rows[] = {lower_operand(l, op, 0), lower_operand(l, op, 1)},
            scalars[] = {lower_operand(l, op, 2), lower_operand(l, op, 3)};
  MlirValue *w = lower_segment(l, op, 4, &weights);
  row_formula f = formula_norm_dx(l->m, ir_text(l->m, op, "kind"), value_columns(rows[0]));
  lower_replace(op, staged_row(l, op, f, rows, 2, scalars, value_is(scalars[1]) ? 2 : 1, w, weights, 0, 1));
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
  lower_replace(op, op_end(&s));
}

void lower_norm_dw(lowering *l, MlirOperation op) {
  MlirValue rows[] = {lower_operand(l, op, 0), lower_operand(l, op, 1)},
            scalars[] = {lower_operand(l, op, 2), lower_operand(l, op, 3)};
  column(l, op, rows, 2, scalars, value_is(scalars[1]) ? 2 : 1, formula_norm_dw(l->m, ir_text(l->m, op, "kind")), 1);
}

void lower_column_sum(lowering *l, MlirOperation op) {
  column(l, op, (MlirValue[]){lower_operand(l, op, 0)}, 1, NULL, 0, formula_identity(l->m), 0);
}

void lower_activation(lowering *l, MlirOperation op, bool gradient) {
  MlirValue rows[] = {lower_operand(l, op, 0), gradient ? lower_operand(l, op, 1) : no_value};
  const char *kind = ir_text(l->m, op, "kind");
  const char *body = gradient ? formula_activation_grad(l->m, kind) : formula_activation(l->m, kind);
  MlirType type = mlirValueGetType(rows[0]);
  ir_replace(mlirOperationGetResult(op, 0), lower_row(l, rows, gradient ? 2 : 1, NULL, 0, 1, body, type));
}

void lower_glu(lowering *l, MlirOperation op, bool gradient) {
  const char *kind = ir_text(l->m, op, "kind");
  op_spec s = op_begin(&l->b, gradient ? KERNEL_GLU_GRAD : KERNEL_GLU);
  op_operand(&s, lower_operand(l, op, 0));
  if (gradient) op_operand(&s, lower_operand(l, op, 1));
  op_result(&s, mlirValueGetType(mlirOperationGetResult(op, 0)));
  op_symbol(&s, "body", gradient ? formula_glu_grad(l->m, kind) : formula_glu(l->m, kind));
  lower_replace(op, op_end(&s));
}

void lower_add(lowering *l, MlirOperation op) {
  int count;
  MlirValue *values = lower_segment(l, op, 0, &count);
  MlirType type = mlirValueGetType(values[0]);
  MlirValue y = lower_row(l, values, count, NULL, 0, 1, formula_sum(l->m, count, ir_real(op, "scale")), type);
  ir_replace(mlirOperationGetResult(op, 0), y);
}
