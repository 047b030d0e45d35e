// kernel.row that only adds up many rows, as the gradients of a parameter that many vertices share: one kernel for any
// number of them, which walks over the pointers. Written out, a sum of a thousand costs LLVM seconds. The order is the
// body's, so that the result has the same bits.
#include "codegen/cpu/rows.h"
#include "passes/formulas.h"

// A sum that rides on a product is done by rows, as all riders are, so it is not of these.
//
// Sums up to INLINE rows are bodies like all others. A task is CHUNK elements, BLOCKS vectors of LANES at a time.
enum { INLINE = 32, CHUNK = 4096, LANES = 16, BLOCKS = 4 };

bool cpu_is_long_sum(cpu_entry *e, MlirOperation op) {
  segment rows = ir_operands(e->ir, op, 0);
  return rows.count > INLINE && !ir_int(op, "rides") && mlirOperationGetNumOperands(op) == rows.count &&
         mlirOperationGetNumResults(op) == 1 && ir_count(op, "stages") == 1 &&
         formula_is_sum(ir_text_at(e->ir, op, "stages", 0));
}

// y[i] … = the sum over all rows; lanes 0: one element. A block is read whole before it is written: y may be in the
// place of a row.
static void add_up(kernel_text *k, kernel_abi abi, ssa i, ssa count, int blocks, int lanes) {
  ssa at[BLOCKS], sums[BLOCKS], next[BLOCKS], one = k_int(k, 1), first = k_argument(k, abi, 1);
  for (int b = 0; b < blocks; ++b) {
    at[b] = b ? k_add(k, i, k_int(k, (int64_t)b * lanes)) : i;
    sums[b] = lanes ? k_load_vector(k, first, at[b], lanes) : k_load(k, first, at[b], K_F32);
  }
  ssa row = k_for_carry(k, k_int(k, 2), k_add(k, count, one), one, sums, blocks);
  ssa x = k_load(k, abi.args, row, K_PTR);
  for (int b = 0; b < blocks; ++b)
    next[b] = k_add(k, sums[b], lanes ? k_load_vector(k, x, at[b], lanes) : k_load(k, x, at[b], K_F32));
  k_end_carry(k, next);
  ssa y = k_argument(k, abi, 0);
  for (int b = 0; b < blocks; ++b) k_store(k, sums[b], y, at[b]);
}

// args: y, rows. dims: rows, elements. tasks: chunks of CHUNK elements.
static const char *sum_kernel(cpu_entry *e) {
  static const char name[] = "sum";
  if (cpu_has_kernel(e->cg, name)) return name;
  kernel_text text = {0}, *k = &text;
  kernel_abi abi = k_kernel(k, name);
  ssa count = k_dim(k, abi, 0), chunk = k_int(k, CHUNK), step = k_int(k, LANES * BLOCKS), one = k_int(k, 1);
  ssa begin = k_mul(k, abi.begin, chunk), end = k_min(k, k_mul(k, abi.end, chunk), k_dim(k, abi, 1));
  ssa whole = k_add(k, begin, k_mul(k, k_div(k, k_sub(k, end, begin), step), step));
  add_up(k, abi, k_for(k, begin, whole, step), count, BLOCKS, LANES);
  k_end(k);
  add_up(k, abi, k_for(k, whole, end, one), count, 1, 0);
  k_end(k);
  k_return(k);
  cpu_add_kernel(e->cg, name, text.out.data);
  text_free(&text.out);
  return name;
}

bool cpu_emit_long_sum(cpu_entry *e, MlirOperation op) {
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, sum_kernel(e));
  MlirValue y = mlirOperationGetResult(op, 0);
  intptr_t count = mlirOperationGetNumOperands(op);
  cpu_arg_value(e, launch, y);
  for (intptr_t i = 0; i < count; ++i) cpu_arg_value(e, launch, mlirOperationGetOperand(op, i));
  cpu_dim(e, launch, count);
  cpu_dim(e, launch, value_elements(y));
  launch->tasks = (value_elements(y) + CHUNK - 1) / CHUNK;
  return true;
}
