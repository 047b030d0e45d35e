#include "codegen/cost.h"

static int64_t attention_flops(const ir *m, MlirOperation op, op_code code) {
  int64_t rows = value_rows(ir_operand(m, op, 0)), width = ir_int(op, "heads") * ir_int(op, "head_size"),
          segments = ir_int(op, "segments");
  int64_t length = ir_int(op, "length");
  // A query sees half of its own segment on average, and as much of each earlier one. QKᵀ and PV: 4 a key and column;
  // backward 2.5 times.
  int64_t keys = code == KERNEL_ATTENTION_CACHED ? ir_int(op, "capacity") * 2 : length * (segments + 1) / 2;
  int64_t forward = 2 * rows * width * keys;
  return code == KERNEL_ATTENTION_GRAD ? forward / 2 * 5 : forward;
}

static int64_t head_flops(const ir *m, MlirOperation op) {
  MlirValue weight = ir_operand(m, op, 1);
  int64_t product = 2 * value_rows(ir_operand(m, op, 0)) * value_rows(weight) * value_columns(weight);
  return product * (1 + ir_results(m, op, 5).count + ir_results(m, op, 6).count);
}

static int64_t product_flops(MlirOperation op) {
  int64_t pieces = ir_count(op, "pieces") ? 0 : ir_int(op, "groups");
  for (int i = 0; i < ir_count(op, "pieces"); ++i) pieces += ir_int_at(op, "pieces", i);
  return 2 * ir_int(op, "m") * ir_int(op, "n") * ir_int(op, "k") * pieces;
}

static int64_t op_flops(const ir *m, MlirOperation op, op_code code) {
  switch (code) {
  case KERNEL_GEMM: return product_flops(op);
  case KERNEL_ATTENTION:
  case KERNEL_ATTENTION_GRAD:
  case KERNEL_ATTENTION_CACHED: return attention_flops(m, op, code);
  case KERNEL_CROSS_ENTROPY: return head_flops(m, op);
  default: return 0;
  }
}

// ---- bytes -------------------------------------------------------------------------------------------------------

static int64_t result_bytes(MlirOperation op) {
  int64_t bytes = 0;
  for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i) bytes += value_bytes(mlirOperationGetResult(op, i));
  return bytes;
}

static int64_t operand_bytes(MlirOperation op) {
  int64_t bytes = 0;
  for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) bytes += value_bytes(mlirOperationGetOperand(op, i));
  return bytes;
}

// Of the tables only the tokens' rows are read: as much as is written, of each.
static int64_t embed_bytes(const ir *m, MlirOperation op) {
  int64_t bytes = 2 * result_bytes(op);
  if (value_is(ir_operand(m, op, 3))) bytes += result_bytes(op);
  for (int i = 0; i <= 2; i += 2)
    if (value_is(ir_operand(m, op, i))) bytes += value_bytes(ir_operand(m, op, i)); // ids, positions
  return bytes;
}

static int64_t copy_bytes(MlirOperation op) {
  int64_t each =
      value_element_bytes(mlirOperationGetOperand(op, 0)) + value_element_bytes(mlirOperationGetResult(op, 0));
  int64_t copied = ir_int(op, "n0") * ir_int(op, "n1") * ir_int(op, "columns") * mlirOperationGetNumOperands(op);
  return copied * each + (ir_int(op, "zero") ? result_bytes(op) : 0);
}

// The caches in full, as the compiler does not know how far they are filled.
static int64_t cached_bytes(const ir *m, MlirOperation op) {
  int64_t sequences = value_rows(ir_operand(m, op, 0)) / ir_int(op, "length");
  return sequences * ir_int(op, "capacity") * ir_int(op, "key_value_heads") * ir_int(op, "head_size") * 2 *
         value_element_bytes(ir_operand(m, op, 0));
}

static int64_t op_bytes(const ir *m, MlirOperation op, op_code code) {
  switch (code) {
  case KERNEL_BUFFER:
  case KERNEL_VIEW:
  case KERNEL_MARK:
  case KERNEL_OUTPUT:
  case KERNEL_GRADIENT: return 0; // no launch
  case KERNEL_EMBED: return embed_bytes(m, op);
  case KERNEL_SELECT: return 2 * result_bytes(op) + value_bytes(ir_operand(m, op, 1));
  case KERNEL_COPY: return copy_bytes(op);
  case KERNEL_ATTENTION_CACHED: return operand_bytes(op) + result_bytes(op) + cached_bytes(m, op);
  case KERNEL_GRADIENT_NORM: return ir_int(op, "bytes") + result_bytes(op);
  case KERNEL_ADAMW: { // parameter, moments: read and written; gradient: read; the bf16 copy: written
    int64_t bytes = m->plan->phases[ir_int(op, "phase")].gradient_bytes;
    return operand_bytes(op) + 7 * bytes + (plan_is_bf16(m->plan) ? bytes / 2 : 0);
  }
  default: return operand_bytes(op) + result_bytes(op);
  }
}

cost cost_of_op(const ir *m, MlirOperation op) {
  op_code code = ir_code(m, op);
  return (cost){op_flops(m, op, code), op_bytes(m, op, code)};
}

cost cost_of(ir *m) {
  cost c = {0};
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i) {
    cost one = cost_of_op(m, ops.items[i]);
    c.flops += one.flops;
    c.bytes += one.bytes;
  }
  return c;
}
