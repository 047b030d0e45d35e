// What sharing and reuse came to, read from the lmn ops after their passes: for plan.json and `lmnc summary`.
#include "passes/passes.h"

void lmn_count(ir *m, int64_t *vertex_runs, int64_t *vertices, int64_t *masks, int64_t *mask_uses) {
  *vertex_runs = *vertices = *masks = *mask_uses = 0;
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i) {
    MlirOperation op = ops.items[i];
    switch (ir_code(m, op)) {
    case LMN_MASK: ++*masks; break;
    case LMN_EDGE:
      if (value_is(ir_operand(m, op, 1))) *mask_uses += ir_count(op, "arrows");
      break;
    case LMN_VERTEX:
      ++*vertex_runs;
      *vertices += ir_count(op, "nodes");
      *mask_uses += ir_count(op, "nodes");
      break;
    default: break;
    }
  }
}
