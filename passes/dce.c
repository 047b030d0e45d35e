// dce: PURE ops whose results nobody reads go, and then what only they had read. From the end to the beginning, so one
// sweep finds them all.
//
//   %a = nn.activation(%x)                    nn.output(%x)
//   %b = nn.add(%a, %x)                  →
//   nn.output(%x)
#include "passes/passes.h"

static bool used(MlirOperation op) {
  for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i)
    if (value_used(mlirOperationGetResult(op, i))) return true;
  return false;
}

bool pass_dce(ir *m, lmn_error *error) {
  (void)error;
  op_list ops = ir_ops(m);
  for (int i = ops.count - 1; i >= 0; --i)
    if ((op_flags(ir_code(m, ops.items[i])) & PURE) && !used(ops.items[i])) ir_erase(ops.items[i]);
  return true;
}
