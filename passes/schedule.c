// schedule: orders the kernels so that values live shortly. Program order is kept except that buffers (which cost
// nothing) come first, and an op that only makes or names memory (zero, view) waits until just before its first reader.
#include "passes/passes.h"

// Not a copy: it would hold all its sources for the one value it makes.
static bool may_wait(ir *m, MlirOperation op) {
  op_code code = ir_code(m, op);
  return code == KERNEL_ZERO || code == KERNEL_VIEW;
}

// As the block stands now: readers of an op that waits may themselves have moved.
static MlirOperation first_reader(MlirOperation op) {
  MlirOperation first = {NULL};
  for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i)
    for (MlirOpOperand use = mlirValueGetFirstUse(mlirOperationGetResult(op, i)); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use)) {
      MlirOperation reader = mlirOpOperandGetOwner(use);
      if (!first.ptr || mlirOperationIsBeforeInBlock(reader, first)) first = reader;
    }
  return first;
}

bool pass_schedule(ir *m, lmn_error *error) {
  (void)error;
  op_list ops = ir_ops(m);
  if (!ops.count) return true;
  for (int i = ops.count - 1; i >= 0; --i) { // readers first, so that a chain of views sinks as one
    if (!may_wait(m, ops.items[i])) continue;
    MlirOperation reader = first_reader(ops.items[i]);
    if (reader.ptr) mlirOperationMoveBefore(ops.items[i], reader);
  }
  MlirOperation first = mlirBlockGetFirstOperation(m->block);
  for (int i = 0; i < ops.count; ++i)
    if (ir_code(m, ops.items[i]) == KERNEL_BUFFER && !mlirOperationEqual(ops.items[i], first))
      mlirOperationMoveBefore(ops.items[i], first);
  return true;
}
