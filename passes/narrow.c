// narrow: in precision bf16, what kernels store is bf16: hidden states, operands and results of products, their
// gradients, and a copy of each matrix of parameters (the space "weight", which the runtime and adamw fill). Kernels
// compute in float32 all the same. float32 stay: vectors and what is one a row (statistics, log-sum-exp, losses,
// biases), gradients of parameters and what adds up to them, outputs, constants, optimizer state.
//
//   %w = "kernel.buffer"() {space = "parameter", name = "w"} : () -> tensor<8x8xf32>
//   %y = "kernel.gemm"(%x, %w) … : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
// becomes
//   %w = "kernel.buffer"() {space = "weight", name = "w"} : () -> tensor<8x8xbf16>
//   %y = "kernel.gemm"(%x, %w) … : (tensor<4x8xbf16>, tensor<8x8xbf16>) -> tensor<4x8xbf16>
// An output that kernels read too is copied into float32 for whoever reads it.
#include "passes/passes.h"

#include "passes/copy.h"
#include "passes/map.h"

#include <string.h>

typedef struct narrowing {
  ir *m;
  map wide; // values that stay float32
} narrowing;

static bool is_matrix(MlirValue v) {
  MlirType type = mlirValueGetType(v);
  return mlirShapedTypeGetRank(type) == 2 && mlirTypeIsAF32(value_element(v));
}

static bool is_wide(const narrowing *n, MlirValue v) { return map_get(&n->wide, v.ptr, 0) != 0; }

// ---- what stays float32 -----------------------------------------------------------------------------------------

static void widen(narrowing *n, MlirValue v);

static void widen_operands(narrowing *n, MlirOperation op, segment s) {
  for (int i = 0; i < s.count; ++i) widen(n, mlirOperationGetOperand(op, s.first + i));
}

static void widen_results(narrowing *n, MlirOperation op, int index) {
  segment s = ir_results(n->m, op, index);
  for (int i = 0; i < s.count; ++i) widen(n, mlirOperationGetResult(op, s.first + i));
}

// Values of one segment have one type, in results as in operands.
static void widen_result_segment(narrowing *n, MlirOperation op, int index) {
  static const int segments[] = {[KERNEL_GEMM] = 2, [KERNEL_ROW] = 2, [KERNEL_ROW_SUMS] = 2};
  op_code code = ir_code(n->m, op);
  int count = code < (op_code)LENGTH(segments) && segments[code] ? segments[code] : 0;
  for (int s = 0; s < count; ++s) {
    segment results = ir_results(n->m, op, s);
    if (index >= results.first && index < results.first + results.count) widen_results(n, op, s);
  }
}

// A value, what it is a piece of or a sum of, and what is a piece of it.
static void widen(narrowing *n, MlirValue v) {
  if (!is_matrix(v) || is_wide(n, v)) return;
  map_put(&n->wide, v.ptr, 1);
  MlirOperation op = value_op(v);
  widen_result_segment(n, op, value_index(v));
  switch (ir_code(n->m, op)) {
  case KERNEL_VIEW:
  case KERNEL_ROPE: widen(n, mlirOperationGetOperand(op, 0)); break;
  case KERNEL_GEMM: widen_operands(n, op, ir_operands(n->m, op, 2)); break;
  default: break;
  }
  for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
    MlirOperation reader = mlirOpOperandGetOwner(use);
    op_code code = ir_code(n->m, reader);
    int at = (int)mlirOpOperandGetOperandNumber(use);
    if (code == KERNEL_VIEW || (code == KERNEL_ROPE && !at)) widen(n, mlirOperationGetResult(reader, 0));
    if (code != KERNEL_GEMM) continue;
    segment onto = ir_operands(n->m, reader, 2);
    if (at >= onto.first && at < onto.first + onto.count)
      widen_operands(n, reader, onto), widen(n, mlirOperationGetResult(reader, at - onto.first));
  }
}

// What adds up to the gradient of a parameter, back to the products that make it.
static void widen_gradient(narrowing *n, MlirValue v) {
  if (!is_matrix(v)) return;
  widen(n, v);
  MlirOperation op = value_op(v);
  op_code code = ir_code(n->m, op);
  segment from = {0, 0};
  if (code == KERNEL_VIEW) from = (segment){0, 1};
  else if (code == KERNEL_ROW || code == KERNEL_COPY) from = ir_operands(n->m, op, 0);
  else if (code == KERNEL_GEMM) from = ir_operands(n->m, op, 2);
  else if (code == KERNEL_EMBED_GRAD) from = ir_operands(n->m, op, 2);
  else if (code == KERNEL_CROSS_ENTROPY) from = ir_operands(n->m, op, 4);
  for (int i = 0; i < from.count; ++i) widen_gradient(n, mlirOperationGetOperand(op, from.first + i));
}

// An output that nothing but the reader outside wants is made in float32 at once.
static void widen_output(narrowing *n, MlirValue v) {
  MlirOperation op = value_op(v);
  op_code code = ir_code(n->m, op);
  bool made = code == KERNEL_ROW || code == KERNEL_COPY || code == KERNEL_EMBED || code == KERNEL_SELECT ||
              (code == KERNEL_GEMM && !ir_operands(n->m, op, 2).count);
  if (made && value_uses(v) == 1 && mlirOperationGetNumResults(op) == 1) widen(n, v);
}

static void find_wide(narrowing *n, const op_list *ops) {
  for (int i = 0; i < ops->count; ++i) {
    MlirOperation op = ops->items[i];
    switch (ir_code(n->m, op)) {
    case KERNEL_BUFFER:
      if (strcmp(ir_text(n->m, op, "space"), "parameter")) widen(n, mlirOperationGetResult(op, 0));
      break;
    case KERNEL_ATTENTION: widen(n, mlirOperationGetResult(op, 1)); break; // log-sum-exp
    case KERNEL_COLUMN: widen_results(n, op, 0); break;                    // parts of sums
    case KERNEL_ROW_SUMS: widen_results(n, op, 2); break;
    case KERNEL_EMBED_GRAD:
    case KERNEL_PREFIX_GRAD: widen_gradient(n, mlirOperationGetResult(op, 0)); break;
    case KERNEL_CROSS_ENTROPY:
      if (value_is(ir_result(n->m, op, 6))) widen_gradient(n, ir_result(n->m, op, 6));
      break;
    case KERNEL_GRADIENT: widen_gradient(n, mlirOperationGetOperand(op, 0)); break;
    case KERNEL_OUTPUT: widen_output(n, mlirOperationGetOperand(op, 0)); break;
    default: break;
    }
  }
}

// ---- bf16 --------------------------------------------------------------------------------------------------------

static MlirType narrowed(const narrowing *n, MlirType type) {
  return ir_with_element(type, mlirBF16TypeGet(n->m->context));
}

static void narrow_results(narrowing *n, MlirOperation op) {
  ir *m = n->m;
  op_code code = ir_code(m, op);
  bool some = false;
  for (int r = 0; r < (int)mlirOperationGetNumResults(op); ++r) {
    MlirValue v = mlirOperationGetResult(op, r);
    if (!is_matrix(v) || is_wide(n, v)) continue;
    mlirValueSetType(v, narrowed(n, mlirValueGetType(v)));
    some = true;
  }
  if (code == KERNEL_VIEW && some) ir_set_int(m, op, "offset", ir_int(op, "offset") / 2);
  if (code == KERNEL_BUFFER && some)
    mlirOperationSetAttributeByName(op, mlirStringRefCreateFromCString("space"),
                                    mlirStringAttrGet(m->context, mlirStringRefCreateFromCString("weight")));
  if (code == KERNEL_ATTENTION_CACHED && some) ir_set_int(m, op, "cache", ir_int(op, "cache") / 2);
}

static void widen_operand(narrowing *n, MlirOperation op, int index) {
  MlirValue v = mlirOperationGetOperand(op, index);
  builder b = builder_before(n->m, op);
  if (value_is_bf16(v))
    mlirOperationSetOperand(op, index,
                            copy_of(&b, v, ir_with_element(mlirValueGetType(v), mlirF32TypeGet(n->m->context))));
}

// Operands of a segment that has some of both are all bf16.
static void unify(narrowing *n, MlirOperation op, segment first, segment second) {
  bool some = false;
  const segment segments[] = {first, second};
  for (int pass = 0; pass < 2; ++pass)
    for (int s = 0; s < 2; ++s)
      for (int i = segments[s].first; i < segments[s].first + segments[s].count; ++i) {
        MlirValue v = mlirOperationGetOperand(op, i);
        builder b = builder_before(n->m, op);
        if (!pass) some = some || value_is_bf16(v);
        else if (some && is_matrix(v)) mlirOperationSetOperand(op, i, copy_of(&b, v, narrowed(n, mlirValueGetType(v))));
      }
}

static void fit_operands(narrowing *n, MlirOperation op) {
  const segment none = {0, 0};
  switch (ir_code(n->m, op)) {
  case KERNEL_OUTPUT: widen_operand(n, op, 0); break;
  case KERNEL_GEMM:
    unify(n, op, ir_operands(n->m, op, 0), ir_operands(n->m, op, 1));
    unify(n, op, ir_operands(n->m, op, 4), none);
    break;
  case KERNEL_ROW:
  case KERNEL_ROW_SUMS:
  case KERNEL_COLUMN:
  case KERNEL_COPY: unify(n, op, ir_operands(n->m, op, 0), none); break;
  default: break;
  }
}

bool pass_narrow(ir *m, lmn_error *error) {
  (void)error;
  if (!m->plan || !plan_is_bf16(m->plan)) return true;
  narrowing n = {.m = m};
  op_list ops = ir_ops(m);
  find_wide(&n, &ops);
  for (int i = 0; i < ops.count; ++i) narrow_results(&n, ops.items[i]);
  for (int i = 0; i < ops.count; ++i) fit_operands(&n, ops.items[i]);
  m->cache_bytes /= 2;
  map_free(&n.wide);
  return true;
}
