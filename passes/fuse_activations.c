// fuse-activations: an activation is made by the product that makes what it is of, in the epilogue, while that is in
// registers.
//
// 1. An activation of a value that the backward pass reads too (where it does not, fuse-kernels has done it):
//      %x = "kernel.gemm"(%a, %w)   %y = "kernel.row"(%x) {stages = [@act_gelu_tanh]}       becomes
//      %x, %y = "kernel.gemm"(%a, %w) {epilogue = @identity_and_act_gelu_tanh}
// 2. A gated unit (SwiGLU), by the product of its gate and up:
//      %x = "kernel.gemm"(%a, %w)   %y = "kernel.glu"(%x)       becomes
//      %x, %y = "kernel.gemm"(%a, %w) {glu = "value"}                  without %x where nothing else reads it
// 3. A gated unit's gradient, by the product that is the gradient of its value:
//      %d = "kernel.gemm"(%dz, %v)   %dx = "kernel.glu_grad"(%x, %d)       becomes
//      %dx = "kernel.gemm"(%dz, %v, rows %x) {glu = "grad"}            %d is never in memory
//    A value that the backward pass makes again (recompute) is made there too: the product, which has gate and up at
//    hand, then goes in front of the value's first reader.
// Not fused: onto products that accumulate or have more results; gated units onto products with an epilogue, few rows
// or sizes that TMA cannot store by halves, and of anything but bf16; a gradient's product that anything else reads.
#include "passes/passes.h"

#include "passes/formulas.h"

#include <string.h>

static MlirValue *values_of(ir *m, MlirOperation op, segment s) {
  MlirValue *values = ARENA_ARRAY(m->arena, MlirValue, s.count);
  for (int i = 0; i < s.count; ++i) values[i] = mlirOperationGetOperand(op, s.first + i);
  return values;
}

// Whether the value is all that a product makes, row after row.
static bool is_product(ir *m, MlirValue v) {
  MlirOperation op = value_op(v);
  return ir_code(m, op) == KERNEL_GEMM && mlirOperationGetNumResults(op) == 1 && !ir_operands(m, op, 2).count &&
         ir_int(op, "ldc") == ir_int(op, "n") &&
         value_elements(v) == ir_int(op, "m") * ir_int(op, "n") * ir_int(op, "groups");
}

enum { ALIGNED = 8 }; // elements of bf16: where TMA can begin

// Parameters lie one behind the other, whatever their sizes (in bf16 only behind vectors where TMA can begin); all else
// begins where it can, as far as its columns go.
static bool is_aligned(ir *m, MlirValue v) {
  MlirOperation op = value_op(v);
  if (ir_code(m, op) == KERNEL_VIEW)
    return ir_int(op, "offset") % (2 * ALIGNED) == 0 && is_aligned(m, mlirOperationGetOperand(op, 0));
  if (ir_code(m, op) != KERNEL_BUFFER || strcmp(ir_text(m, op, "space"), "weight")) return true;
  int index = parameter_find(m->parameters, ir_text(m, op, "name"));
  return index >= 0 && m->plan->parameters[index].offset / (int64_t)sizeof(float) % ALIGNED == 0;
}

// Whether the product can make a gated unit, or its gradient, whose gate and up have `half` columns each.
static bool gates(ir *m, MlirValue v, int64_t half) {
  enum { ROWS_LEAST = 64 };
  MlirOperation op = value_op(v);
  if (!is_product(m, v) || ir_text(m, op, "epilogue") || !value_is_bf16(v)) return false;
  bool can = !ir_int(op, "trans_a") && ir_int(op, "m") >= ROWS_LEAST && half % ALIGNED == 0 &&
             ir_int(op, "k") % ALIGNED == 0 && ir_int(op, "lda") % ALIGNED == 0 && ir_int(op, "ldb") % ALIGNED == 0;
  for (intptr_t i = 0; can && i < mlirOperationGetNumOperands(op); ++i) {
    MlirValue x = mlirOperationGetOperand(op, i);
    can = value_is_bf16(x) && is_aligned(m, x);
  }
  return can;
}

static bool is_own(const char *name, size_t length) { // an attribute that the new product has of its own
  const char *sizes = "SegmentSizes", *own[] = {"ldc", "c_stride", "epilogue"};
  bool is = length > strlen(sizes) && !memcmp(name + length - strlen(sizes), sizes, strlen(sizes));
  for (size_t i = 0; i < LENGTH(own); ++i) is |= length == strlen(own[i]) && !memcmp(name, own[i], length);
  return is;
}

// The product in front of `before` with this epilogue, with [gate | up] (null: none) as a row operand, with C and an
// extra of these types (null: none). glu: NULL, or as kernel.gemm has it.
static MlirOperation rebuilt(ir *m, MlirOperation product, MlirOperation before, MlirValue gate_up, MlirType c,
                             MlirType extra, int64_t columns, const char *glu, const char *body) {
  builder b = {m, before, mlirOperationGetLocation(product)};
  op_spec s = op_begin(&b, KERNEL_GEMM);
  for (int i = 0; i < 5; ++i) {
    segment from = ir_operands(m, product, i);
    if (i == 4 && value_is(gate_up)) op_operand(&s, gate_up);
    else op_segment(&s, values_of(m, product, from), from.count);
  }
  op_results(&s, &c, c.ptr ? 1 : 0);
  op_results(&s, &extra, extra.ptr ? 1 : 0);
  for (intptr_t i = 0; i < mlirOperationGetNumAttributes(product); ++i) {
    MlirNamedAttribute a = mlirOperationGetAttribute(product, i);
    MlirStringRef name = mlirIdentifierStr(a.name);
    if (!is_own(name.data, name.length)) op_attribute(&s, arena_copy(m->arena, name.data, name.length), a.attribute);
  }
  op_int(&s, "ldc", columns);
  op_int(&s, "c_stride", ir_int(product, "m") * columns);
  op_symbol(&s, "epilogue", body);
  if (glu) op_text(&s, "glu", glu);
  return op_end(&s);
}

// ---- activations --------------------------------------------------------------------------------------------------

static bool is_activation(ir *m, MlirOperation op) { // of one value, an element at a time
  return ir_code(m, op) == KERNEL_ROW && mlirOperationGetNumOperands(op) == 1 && ir_operands(m, op, 0).count == 1 &&
         mlirOperationGetNumResults(op) == 1 && ir_results(m, op, 0).count == 1 && ir_count(op, "stages") == 1;
}

static void fuse_activation(ir *m, MlirOperation row) {
  MlirValue x = mlirOperationGetOperand(row, 0), y = mlirOperationGetResult(row, 0);
  MlirOperation product = value_op(x);
  if (!is_product(m, x) || value_is_bf16(x) != value_is_bf16(y)) return;
  int groups = (int)ir_int(product, "groups"), lists = ir_int(product, "lists") ? groups : 1;
  const char *first = ir_text(m, product, "epilogue");
  const char *body = formula_both(m, first ? first : formula_identity(m), ir_operands(m, product, 3).count / groups,
                                  ir_operands(m, product, 4).count / lists, ir_text_at(m, row, "stages", 0));
  MlirOperation fused =
      rebuilt(m, product, product, no_value, mlirValueGetType(x), mlirValueGetType(y), value_columns(x), NULL, body);
  ir_replace(y, mlirOperationGetResult(fused, 1));
  ir_erase(row);
  ir_replace(x, mlirOperationGetResult(fused, 0));
  ir_erase(product);
}

// ---- gated units --------------------------------------------------------------------------------------------------

static void fuse_value(ir *m, MlirOperation glu) {
  MlirValue x = mlirOperationGetOperand(glu, 0), y = mlirOperationGetResult(glu, 0);
  MlirOperation product = value_op(x);
  if (!gates(m, x, value_columns(y)) || !ir_int(product, "trans_b") || !value_is_bf16(y)) return;
  bool kept = value_uses(x) > 1;
  MlirOperation fused = rebuilt(m, product, product, no_value, kept ? mlirValueGetType(x) : (MlirType){NULL},
                                mlirValueGetType(y), value_columns(x), "value", ir_text(m, glu, "body"));
  ir_replace(y, mlirOperationGetResult(fused, kept));
  ir_erase(glu);
  if (kept) ir_replace(x, mlirOperationGetResult(fused, 0));
  ir_erase(product);
}

// Whether the value is there before the op, or could be, as a view of one that is.
static bool may_precede(ir *m, MlirValue v, MlirOperation op) {
  MlirOperation from = value_op(v);
  return mlirOperationIsBeforeInBlock(from, op) ||
         (ir_code(m, from) == KERNEL_VIEW && may_precede(m, mlirOperationGetOperand(from, 0), op));
}

static void precede(MlirValue v, MlirOperation op) {
  MlirOperation view = value_op(v);
  if (mlirOperationIsBeforeInBlock(view, op)) return;
  precede(mlirOperationGetOperand(view, 0), op);
  mlirOperationMoveBefore(view, op);
}

// A gated unit of `x` that may be made where its gradient is, by the product in front of it. Null: none.
static MlirOperation made_again(ir *m, MlirValue x, MlirOperation product, MlirOperation grad) {
  for (MlirOpOperand use = mlirValueGetFirstUse(x); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
    MlirOperation glu = mlirOpOperandGetOwner(use);
    bool there = ir_code(m, glu) == KERNEL_GLU && value_is_bf16(mlirOperationGetResult(glu, 0));
    for (intptr_t i = 0; there && i < mlirOperationGetNumOperands(product); ++i)
      there = may_precede(m, mlirOperationGetOperand(product, i), glu);
    if (there && mlirOperationIsBeforeInBlock(glu, grad)) return glu;
  }
  return (MlirOperation){NULL};
}

static void fuse_grad(ir *m, MlirOperation grad) {
  MlirValue x = mlirOperationGetOperand(grad, 0), dy = mlirOperationGetOperand(grad, 1),
            dx = mlirOperationGetResult(grad, 0);
  MlirOperation product = value_op(dy);
  if (!gates(m, dy, value_columns(dy)) || value_uses(dy) != 1 || !value_is_bf16(x) || !value_is_bf16(dx) ||
      !is_aligned(m, x))
    return;
  MlirOperation glu = made_again(m, x, product, grad);
  const char *body = ir_text(m, grad, "body");
  if (glu.ptr) body = formula_glu_grad_value(m, formula_glu_kind(ir_text(m, glu, "body")));
  for (intptr_t i = 0; glu.ptr && i < mlirOperationGetNumOperands(product); ++i)
    precede(mlirOperationGetOperand(product, i), glu);
  MlirOperation fused = rebuilt(m, product, glu.ptr ? glu : grad, x, mlirValueGetType(dx),
                                glu.ptr ? mlirValueGetType(mlirOperationGetResult(glu, 0)) : (MlirType){NULL},
                                value_columns(dx), "grad", body);
  ir_replace(dx, mlirOperationGetResult(fused, 0));
  ir_erase(grad);
  ir_erase(product);
  if (!glu.ptr) return;
  ir_replace(mlirOperationGetResult(glu, 0), mlirOperationGetResult(fused, 1));
  ir_erase(glu);
}

bool pass_fuse_activations(ir *m, lmn_error *error) {
  (void)error;
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i)
    if (ir_code(m, ops.items[i]) == KERNEL_GLU) fuse_value(m, ops.items[i]);
    else if (is_activation(m, ops.items[i])) fuse_activation(m, ops.items[i]);
  ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i)
    if (ir_code(m, ops.items[i]) == KERNEL_GLU_GRAD) fuse_grad(m, ops.items[i]);
  return true;
}
