// The third of what fuse-rows does (fuse_rows.c has the others): a norm that is made again for the backward pass
// becomes a result of its gradient's kernel, which has the rows at hand.
//
//   %y, %r = "kernel.row"(%x, %w)   %dw = "kernel.gemm"(%dz, %y)   …   %d, %s = "kernel.row_sums"(%dy, %x, %r, %w)
// becomes
//   %d, %y, %s = "kernel.row_sums"(%dy, %x, %r0, %w)   %dw = "kernel.gemm"(%dz, %y)
// with %r0 from the norm as the forward pass made it: the products that read %y go behind. Root mean square norms
// alone.
#include "passes/fuse_remade.h"

#include "passes/calls.h"
#include "passes/formulas.h"

#include <string.h>

typedef struct remade {
  MlirOperation norm, first, grad; // first: the same norm in the forward pass
  MlirValue x, w;
} remade;

static bool is_norm(ir *m, MlirOperation op) {
  const char *finish = ir_code(m, op) == KERNEL_ROW ? ir_text(m, op, "finish") : NULL;
  return finish && !strncmp(finish, "rms_rstd_", strlen("rms_rstd_")) && ir_int(op, "groups") == 1 &&
         !ir_int(op, "lists") && !ir_count(op, "reads") && mlirOperationGetNumOperands(op) == 2 &&
         ir_results(m, op, 0).count == 1 && ir_results(m, op, 1).count == 1;
}

// The norm of the same rows that was there before; null: none.
static MlirOperation made_first(ir *m, MlirOperation norm) {
  MlirOperation found = {NULL};
  for (MlirOpOperand use = mlirValueGetFirstUse(mlirOperationGetOperand(norm, 0)); !mlirOpOperandIsNull(use);
       use = mlirOpOperandGetNextUse(use)) {
    MlirOperation op = mlirOpOperandGetOwner(use);
    if (is_norm(m, op) && mlirOperationIsBeforeInBlock(op, norm) &&
        mlirValueEqual(mlirOperationGetOperand(op, 1), mlirOperationGetOperand(norm, 1)) &&
        !strcmp(ir_text(m, op, "finish"), ir_text(m, norm, "finish")))
      found = op;
  }
  return found;
}

// Whether all that the norm's result is read for can be done behind its gradient.
static bool readers_can_wait(ir *m, const remade *r) {
  for (MlirOpOperand use = mlirValueGetFirstUse(mlirOperationGetResult(r->norm, 0)); !mlirOpOperandIsNull(use);
       use = mlirOpOperandGetNextUse(use)) {
    MlirOperation reader = mlirOpOperandGetOwner(use);
    if (ir_code(m, reader) != KERNEL_GEMM) return false;
    for (intptr_t i = 0; i < mlirOperationGetNumResults(reader); ++i)
      for (MlirOpOperand next = mlirValueGetFirstUse(mlirOperationGetResult(reader, i)); !mlirOpOperandIsNull(next);
           next = mlirOpOperandGetNextUse(next))
        if (!mlirOperationIsBeforeInBlock(r->grad, mlirOpOperandGetOwner(next))) return false;
  }
  return true;
}

static bool find(ir *m, MlirOperation norm, remade *r) {
  if (!is_norm(m, norm)) return false;
  MlirValue statistic = mlirOperationGetResult(norm, 1);
  *r = (remade){.norm = norm, .x = mlirOperationGetOperand(norm, 0), .w = mlirOperationGetOperand(norm, 1)};
  r->first = made_first(m, norm);
  if (!r->first.ptr || value_uses(statistic) != 1) return false;
  MlirOperation grad = r->grad = mlirOpOperandGetOwner(mlirValueGetFirstUse(statistic));
  if (ir_code(m, grad) != KERNEL_ROW_SUMS || ir_int(grad, "groups") != 1 || ir_int(grad, "lists")) return false;
  segment scalars = ir_operands(m, grad, 1), columns = ir_operands(m, grad, 2);
  return scalars.count == 1 && columns.count == 1 &&
         mlirValueEqual(mlirOperationGetOperand(grad, columns.first), r->w) && ir_results(m, grad, 0).count == 1 &&
         !ir_results(m, grad, 1).count &&
         mlirTypeEqual(mlirValueGetType(mlirOperationGetResult(grad, 0)),
                       mlirValueGetType(mlirOperationGetResult(norm, 0))) &&
         readers_can_wait(m, r);
}

// The gradient's last stage, which makes the norm besides, of row `x`; its reductions are arguments behind the column.
static const char *both_bodies(ir *m, MlirOperation grad, int rows, int x, int reductions) {
  int stages = ir_count(grad, "stages"), arguments = rows + 2 + reductions;
  const char *last = ir_text_at(m, grad, "stages", stages - 1);
  body_choice all = {0}, own = {0};
  body_choose(&all, 0, arguments);
  body_choose(&own, x, 1);
  body_choose(&own, rows + 1, 1); // w
  body_choose(&own, rows, 1);     // the statistic
  return body_of_both(m, arena_printf(m->arena, "%s_and_rms_of_%d", last, x), arguments, last, &all,
                      formula_norm_value(m), &own);
}

static int words(const char *text) {
  int count = 0;
  for (text += strspn(text, " "); *text; text += strspn(text, " ")) text += strcspn(text, " "), ++count;
  return count;
}

static void fuse(ir *m, const remade *r, int x) {
  MlirOperation grad = r->grad;
  segment rows = ir_operands(m, grad, 0), columns = ir_operands(m, grad, 2), sums = ir_results(m, grad, 2);
  int stages = ir_count(grad, "stages"), reductions = 0;
  builder b = {m, grad, mlirOperationGetLocation(grad)};
  MlirValue *row_values = ARENA_ARRAY(m->arena, MlirValue, rows.count), scalar = mlirOperationGetResult(r->first, 1),
            column = mlirOperationGetOperand(grad, columns.first);
  MlirType *sum_types = ARENA_ARRAY(m->arena, MlirType, sums.count + 1),
           results[] = {mlirValueGetType(mlirOperationGetResult(grad, 0)),
                        mlirValueGetType(mlirOperationGetResult(r->norm, 0))};
  const char **bodies = ARENA_ARRAY(m->arena, const char *, stages),
             **reduced = ARENA_ARRAY(m->arena, const char *, stages),
             **terms = ARENA_ARRAY(m->arena, const char *, sums.count + 1);
  for (int i = 0; i < rows.count; ++i) row_values[i] = mlirOperationGetOperand(grad, rows.first + i);
  for (int i = 0; i + 1 < stages; ++i) {
    bodies[i] = ir_text_at(m, grad, "stages", i);
    reduced[i] = ir_text_at(m, grad, "reductions", i);
    reductions += words(reduced[i]);
  }
  bodies[stages - 1] = both_bodies(m, grad, rows.count, x, reductions);
  for (int i = 0; i < sums.count; ++i) { // a term has one argument more, which it does not need
    const char *term = ir_text_at(m, grad, "sums", i);
    body_choice own = {0};
    body_choose(&own, 0, rows.count + 2);
    terms[i] =
        body_of_calls(m, arena_printf(m->arena, "%s_beside_rms", term), rows.count + 3, term, &own, 1, NULL, NULL);
    sum_types[i] = mlirValueGetType(mlirOperationGetResult(grad, sums.first + i));
  }
  op_spec s = op_begin(&b, KERNEL_ROW_SUMS);
  op_segment(&s, row_values, rows.count);
  op_segment(&s, &scalar, 1);
  op_segment(&s, &column, 1);
  op_results(&s, results, 2);
  op_results(&s, NULL, 0);
  op_results(&s, sum_types, sums.count);
  op_int(&s, "groups", 1);
  op_symbols(&s, "stages", bodies, stages);
  op_texts(&s, "reductions", reduced, stages - 1);
  op_symbols(&s, "sums", terms, sums.count);
  MlirOperation fused = op_end(&s);
  ir_replace(mlirOperationGetResult(grad, 0), mlirOperationGetResult(fused, 0));
  for (int i = 0; i < sums.count; ++i)
    ir_replace(mlirOperationGetResult(grad, sums.first + i), mlirOperationGetResult(fused, 2 + i));
  MlirValue y = mlirOperationGetResult(r->norm, 0);
  for (MlirOpOperand use; use = mlirValueGetFirstUse(y), !mlirOpOperandIsNull(use);) {
    MlirOperation reader = mlirOpOperandGetOwner(use);
    mlirOperationSetOperand(reader, mlirOpOperandGetOperandNumber(use), mlirOperationGetResult(fused, 1));
    if (mlirOperationIsBeforeInBlock(reader, fused)) mlirOperationMoveAfter(reader, fused);
  }
  ir_erase(grad);
  ir_erase(r->norm);
}

void fuse_remade(ir *m) {
  op_list ops = ir_ops(m);
  int count = 0; // of norms, of which each goes away with itself alone
  for (int i = 0; i < ops.count; ++i)
    if (is_norm(m, ops.items[i])) ops.items[count++] = ops.items[i];
  for (int i = 0; i < count; ++i) {
    remade r;
    if (!find(m, ops.items[i], &r)) continue;
    segment rows = ir_operands(m, r.grad, 0);
    for (int k = 0; k < rows.count; ++k)
      if (mlirValueEqual(mlirOperationGetOperand(r.grad, rows.first + k), r.x)) {
        fuse(m, &r, k);
        break;
      }
  }
}
