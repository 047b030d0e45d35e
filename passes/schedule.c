// schedule: orders the kernels so that values live shortly. Program order is kept except that buffers (which cost
// nothing) come first, and an op that only makes memory or moves it (zero, view, copy) waits until just before its
// first reader.
#include "passes/passes.h"

#include "passes/map.h"

static bool waits(op_code code) { return code == KERNEL_ZERO || code == KERNEL_VIEW || code == KERNEL_COPY; }

// A copy may wait only where its sources live on anyhow: else it would hold all of them for the one value it makes. A
// copy of a single part is the exception that never pays, a stack of parts is best made as soon as they are there.
static bool may_wait(ir *m, MlirOperation op) { return waits(ir_code(m, op)) && ir_code(m, op) != KERNEL_COPY; }

static MlirOperation first_reader(const map *order, MlirOperation op, const op_list *ops) {
  int64_t first = ops->count;
  for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i)
    for (MlirOpOperand use = mlirValueGetFirstUse(mlirOperationGetResult(op, i)); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use)) {
      int64_t at = map_get(order, mlirOpOperandGetOwner(use).ptr, ops->count);
      if (at < first) first = at;
    }
  return first < ops->count ? ops->items[first] : (MlirOperation){NULL};
}

bool pass_schedule(ir *m, lmn_error *error) {
  (void)error;
  op_list ops = ir_ops(m);
  if (!ops.count) return true;
  map order = {0};
  for (int i = 0; i < ops.count; ++i) map_put(&order, ops.items[i].ptr, i);
  for (int i = ops.count - 1; i >= 0; --i) { // readers first, so that a chain of views sinks as one
    if (!may_wait(m, ops.items[i])) continue;
    MlirOperation reader = first_reader(&order, ops.items[i], &ops);
    if (reader.ptr) mlirOperationMoveBefore(ops.items[i], reader);
  }
  map_free(&order);
  MlirOperation first = mlirBlockGetFirstOperation(m->block);
  for (int i = 0; i < ops.count; ++i)
    if (ir_code(m, ops.items[i]) == KERNEL_BUFFER && !mlirOperationEqual(ops.items[i], first))
      mlirOperationMoveBefore(ops.items[i], first);
  return true;
}
