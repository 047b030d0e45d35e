// Deliberate errors, to see that they are found: --break. The linker puts these functions in the place of the real ones
// (--wrap); without the option they only call them.
#include "break.h"

#include "passes/passes.h"
#include "runtime/network.h"

#include <string.h>

static const char *broken = "";

bool break_pass(const char *name, lmn_error *error) {
  static const char *const names[] = {"differentiate", "fuse-edges", "cse", "update"};
  for (size_t i = 0; i < LENGTH(names); ++i)
    if (!strcmp(name, names[i])) return broken = names[i], true;
  return fail(error, "--break %s: what can be broken is differentiate, fuse-edges, cse and update", name);
}

bool __real_pass_differentiate(ir *m, lmn_error *error);
bool __wrap_pass_differentiate(ir *m, lmn_error *error);
bool __real_pass_fuse_edges(ir *m, lmn_error *error);
bool __wrap_pass_fuse_edges(ir *m, lmn_error *error);
bool __real_pass_cse(ir *m, lmn_error *error);
bool __wrap_pass_cse(ir *m, lmn_error *error);

bool __real_network_update(lmn_network *n, int phase, double learning_rate, double *gradient_norm, lmn_error *error);
bool __wrap_network_update(lmn_network *n, int phase, double learning_rate, double *gradient_norm, lmn_error *error);

// A derivative with a summand left out: the last sum of gradients is its first part alone. Every variant agrees on it.
bool __wrap_pass_differentiate(ir *m, lmn_error *error) {
  int forward = ir_ops(m).count;
  if (!__real_pass_differentiate(m, error)) return false;
  op_list ops = ir_ops(m);
  for (int i = ops.count - 1; !strcmp(broken, "differentiate") && i >= forward; --i) {
    if (ir_code(m, ops.items[i]) != NN_ADD || mlirOperationGetNumOperands(ops.items[i]) < 2) continue;
    ir_replace(mlirOperationGetResult(ops.items[i], 0), mlirOperationGetOperand(ops.items[i], 0));
    break;
  }
  return true;
}

// Edges that are fused take each other's parameters.
bool __wrap_pass_fuse_edges(ir *m, lmn_error *error) {
  if (!__real_pass_fuse_edges(m, error)) return false;
  op_list ops = ir_ops(m);
  for (int i = 0; !strcmp(broken, "fuse-edges") && i < ops.count; ++i) {
    int count = ir_count(ops.items[i], "arrows");
    if (ir_code(m, ops.items[i]) != LMN_EDGE || count < 2) continue;
    int64_t *arrows = ARENA_ARRAY(m->arena, int64_t, count);
    for (int k = 0; k < count; ++k) arrows[k] = ir_int_at(ops.items[i], "arrows", count - 1 - k);
    ir_set_ints(m, ops.items[i], "arrows", arrows, count);
  }
  return true;
}

// Products of the same input are taken for the same product, whatever their weights.
bool __wrap_pass_cse(ir *m, lmn_error *error) {
  if (!__real_pass_cse(m, error)) return false;
  op_list ops = ir_ops(m);
  for (int i = 1; !strcmp(broken, "cse") && i < ops.count; ++i)
    for (int k = 0; k < i; ++k) {
      MlirOperation a = ops.items[k], b = ops.items[i];
      if (ir_code(m, a) != NN_LINEAR || ir_code(m, b) != NN_LINEAR) continue;
      if (!mlirValueEqual(ir_operand(m, a, 0), ir_operand(m, b, 0))) continue;
      MlirValue x = mlirOperationGetResult(a, 0), y = mlirOperationGetResult(b, 0);
      if (mlirTypeEqual(mlirValueGetType(x), mlirValueGetType(y))) ir_replace(y, x);
    }
  return true;
}

// The optimizer's steps are too long by a thousandth.
bool __wrap_network_update(lmn_network *n, int phase, double learning_rate, double *gradient_norm, lmn_error *error) {
  if (!strcmp(broken, "update")) learning_rate *= 1.001;
  return __real_network_update(n, phase, learning_rate, gradient_norm, error);
}
