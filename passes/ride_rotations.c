// ride-rotations: queries and keys are turned by the product that makes them, while its sums are in registers.
//
//   %q = "kernel.gemm"(…)   …   %x = "kernel.rope"(%q, %table) {inverse = 0}       becomes
//   %q = "kernel.gemm"(…)   %x = "kernel.rope"(%q, %table) {inverse = 0, rides = 1}
// The rotation stays an op of its own, right behind: a back end whose product cannot do it runs it there. Not riders:
// what turns by positions that are not the rows' own, back, or what more than one product makes or anything else reads.
#include "passes/passes.h"

// The only reader of all that the product makes, if it is a rotation; null: none.
static MlirOperation rotation_of(ir *m, MlirOperation product) {
  const MlirOperation none = {NULL};
  MlirValue x = mlirOperationGetResult(product, 0);
  if (mlirOperationGetNumResults(product) != 1 || value_uses(x) != 1) return none;
  MlirOperation op = mlirOpOperandGetOwner(mlirValueGetFirstUse(x));
  bool turns = ir_code(m, op) == KERNEL_ROPE && !ir_int(op, "inverse") && !value_is(ir_operand(m, op, 2));
  return turns && mlirOperationIsBeforeInBlock(value_op(ir_operand(m, op, 1)), product) ? op : none;
}

bool pass_ride_rotations(ir *m, lmn_error *error) {
  (void)error;
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i) {
    if (ir_code(m, ops.items[i]) != KERNEL_GEMM) continue;
    MlirOperation rotation = rotation_of(m, ops.items[i]);
    if (!rotation.ptr) continue;
    mlirOperationMoveAfter(rotation, ops.items[i]);
    ir_set_int(m, rotation, "rides", 1);
  }
  return true;
}
