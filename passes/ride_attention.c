// ride-attention: a gradient of attention is turned back by the kernel that makes it, while its sums are in registers.
//
//   %d = "kernel.attention_grad"(…)   …   %x = "kernel.rope"(%d, %table) {inverse = 1}       becomes
//   %d = "kernel.attention_grad"(…)   %x = "kernel.rope"(%d, %table) {inverse = 1, rides = 1}
// The rotation stays an op of its own, right behind: a back end whose attention cannot do it runs it there. Not riders:
// what turns other heads than the queries' and keys', by positions that are not the rows' own, and what is not the
// gradient's only reader.
#include "passes/passes.h"

// The rotation that undoes what was done to queries and keys; null: none.
static MlirOperation rotation_of(ir *m, MlirOperation grad) {
  const MlirOperation none = {NULL};
  MlirValue d = mlirOperationGetResult(grad, 0);
  if (value_uses(d) != 1) return none;
  MlirOperation op = mlirOpOperandGetOwner(mlirValueGetFirstUse(d));
  if (ir_code(m, op) != KERNEL_ROPE || !ir_int(op, "inverse") || value_is(ir_operand(m, op, 2))) return none;
  bool same = ir_int(op, "heads") == ir_int(grad, "heads") + ir_int(grad, "key_value_heads") &&
              ir_int(op, "head_size") == ir_int(grad, "head_size") && ir_int(op, "length") == ir_int(grad, "length");
  return same && mlirOperationIsBeforeInBlock(value_op(ir_operand(m, op, 1)), grad) ? op : none;
}

bool pass_ride_attention(ir *m, lmn_error *error) {
  (void)error;
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i) {
    if (ir_code(m, ops.items[i]) != KERNEL_ATTENTION_GRAD) continue;
    MlirOperation rotation = rotation_of(m, ops.items[i]);
    if (!rotation.ptr) continue;
    mlirOperationMoveAfter(rotation, ops.items[i]);
    ir_set_int(m, rotation, "rides", 1);
  }
  return true;
}
