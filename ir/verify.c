// What IRDL cannot say about an op: sizes of segments, kinds of attributes that may be absent, and the shapes that its
// meaning fixes.
#include "ir/ir.h"
#include "ir/optable.h"

#include "mlir-c/Diagnostics.h"

#include <string.h>

bool ir_bad(MlirOperation op, lmn_error *error, const char *what) {
  MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
  text place = {0};
  if (ir_place_print(mlirOperationGetLocation(op), &place)) text_add(&place, ": ");
  fail(error, "%s%.*s: %s", place.data ? place.data : "", (int)name.length, name.data, what);
  text_free(&place);
  return false;
}

static bool verify_segments(const ir *m, MlirOperation op, const op_values *values, bool operands, lmn_error *error) {
  int total = 0;
  for (int i = 0; i < values->count; ++i) {
    segment s = operands ? ir_operands(m, op, i) : ir_results(m, op, i);
    if (s.count < 0 || (values->arities[i] == ARITY_ONE && s.count != 1) ||
        (values->arities[i] == ARITY_OPTIONAL && s.count > 1))
      return ir_bad(op, error,
                    operands ? "an operand is missing or given twice" : "a result is missing or given twice");
    total += s.count;
  }
  if (total != (int)(operands ? mlirOperationGetNumOperands(op) : mlirOperationGetNumResults(op)))
    return ir_bad(op, error, operands ? "its operand segments do not add up" : "its result segments do not add up");
  return true;
}

static bool same_type(MlirValue a, MlirValue b) { return mlirTypeEqual(mlirValueGetType(a), mlirValueGetType(b)); }

// Which segment of `x` each group reads (or of which result it is added to), where it is said.
static bool verify_reads(MlirOperation op, const char *name, MlirValue x, lmn_error *error) {
  int count = ir_count(op, name);
  if (!count) return true;
  int64_t rows = ir_int(op, "rows");
  if (count != ir_int(op, "groups") || rows < 1 || value_rows(x) % rows)
    return ir_bad(op, error, "needs one segment a group, of whole rows");
  for (int g = 0; g < count; ++g)
    if (ir_int_at(op, name, g) < 0 || ir_int_at(op, name, g) >= value_rows(x) / rows)
      return ir_bad(op, error, "a group's segment lies outside of its value");
  return true;
}

static int64_t group_rows(MlirOperation op, const char *segments, MlirValue x) {
  return ir_count(op, segments) ? ir_int(op, "rows") : value_rows(x) / ir_int(op, "groups");
}

static bool verify_linear(const ir *m, MlirOperation op, lmn_error *error) {
  MlirValue x = ir_operand(m, op, 0), y = ir_result(m, op, 0);
  segment weights = ir_operands(m, op, 1), biases = ir_operands(m, op, 2);
  int64_t groups = ir_int(op, "groups");
  if (groups < 1 || weights.count != groups || (biases.count && biases.count != groups))
    return ir_bad(op, error, "needs one weight (and bias) a group");
  MlirValue w = mlirOperationGetOperand(op, weights.first);
  int64_t in = ir_int(op, "input_major") ? value_rows(w) : value_columns(w),
          out = ir_int(op, "input_major") ? value_columns(w) : value_rows(w);
  if (value_columns(x) != in || value_columns(y) != out)
    return ir_bad(op, error, "its weight's shape does not fit its input and output");
  if (!verify_reads(op, "reads", x, error) || !verify_reads(op, "into", y, error)) return false;
  if (group_rows(op, "reads", x) != group_rows(op, "into", y) || (!ir_count(op, "reads") && value_rows(x) % groups))
    return ir_bad(op, error, "its rows do not divide into its groups");
  if (biases.count && value_elements(mlirOperationGetOperand(op, biases.first)) != out)
    return ir_bad(op, error, "its bias does not fit its output");
  return true;
}

static bool verify_norm(const ir *m, MlirOperation op, lmn_error *error) {
  MlirValue x = ir_operand(m, op, 0), y = ir_result(m, op, 0);
  if (!verify_reads(op, "reads", x, error)) return false;
  return (value_columns(x) == value_columns(y) && group_rows(op, "reads", x) * ir_int(op, "groups") == value_rows(y)) ||
         ir_bad(op, error, "its result must have its input's shape");
}

static bool verify_segment_sum(const ir *m, MlirOperation op, lmn_error *error) {
  MlirValue y = ir_result(m, op, 0);
  int64_t counted = 0, values = mlirOperationGetNumOperands(op);
  for (int j = 0; j < ir_count(op, "counts"); ++j) counted += ir_int_at(op, "counts", j);
  if (counted != values || !values) return ir_bad(op, error, "its counts do not add up to its values");
  MlirValue x = mlirOperationGetOperand(op, 0);
  return (value_columns(x) == value_columns(y) && value_rows(x) * ir_count(op, "counts") == value_rows(y)) ||
         ir_bad(op, error, "its rows are not those of its segments");
}

static bool verify_attention(const ir *m, MlirOperation op, lmn_error *error) {
  int64_t heads = ir_int(op, "heads"), key_value_heads = ir_int(op, "key_value_heads"), size = ir_int(op, "head_size");
  int64_t length = ir_int(op, "length"), batch = ir_int(op, "batch"), segments = ir_int(op, "segments");
  if (heads < 1 || key_value_heads < 1 || size < 1 || length < 1 || batch < 1 || segments < 1)
    return ir_bad(op, error, "sizes must be positive");
  if (heads % key_value_heads) return ir_bad(op, error, "the query heads are no multiple of the key heads");
  MlirValue qkv = ir_operand(m, op, 0);
  if (value_columns(qkv) != (heads + 2 * key_value_heads) * size)
    return ir_bad(op, error, "its input is not [query | key | value] of its heads");
  if (value_rows(qkv) % (length * batch * segments))
    return ir_bad(op, error, "its rows are no whole number of sequences");
  return true;
}

static bool verify_meaning(const ir *m, MlirOperation op, op_code code, lmn_error *error) {
  switch (code) {
  case NN_LINEAR: return verify_linear(m, op, error);
  case NN_ATTENTION:
  case NN_ATTENTION_CACHED:
  case KERNEL_ATTENTION:
  case KERNEL_ATTENTION_CACHED: return verify_attention(m, op, error);
  case NN_ACTIVATION:
  case NN_ROPE:
  case KERNEL_ROPE:
  case LMN_VERTEX:
    return same_type(mlirOperationGetOperand(op, 0), mlirOperationGetResult(op, 0)) ||
           ir_bad(op, error, "its result must have its input's shape");
  case NN_NORM: return verify_norm(m, op, error);
  case NN_SEGMENT_SUM: return verify_segment_sum(m, op, error);
  case NN_ADD:
    return (mlirOperationGetNumOperands(op) > 0 &&
            same_type(mlirOperationGetOperand(op, 0), mlirOperationGetResult(op, 0))) ||
           ir_bad(op, error, "needs values of its result's shape");
  case NN_STACK:
  case LMN_STACK:
    return (mlirOperationGetNumOperands(op) > 0 &&
            value_rows(mlirOperationGetOperand(op, 0)) * mlirOperationGetNumOperands(op) ==
                value_rows(mlirOperationGetResult(op, 0))) ||
           ir_bad(op, error, "its rows are not those of its values");
  case NN_UNSTACK:
  case LMN_UNSTACK:
    return (ir_int(op, "index") >= 0 && ir_int(op, "index") < ir_int(op, "count") &&
            value_rows(mlirOperationGetResult(op, 0)) * ir_int(op, "count") ==
                value_rows(mlirOperationGetOperand(op, 0))) ||
           ir_bad(op, error, "its index or rows do not fit the stack");
  default: return true;
  }
}

static bool verify_op(const ir *m, MlirOperation op, lmn_error *error) {
  op_code code = ir_code(m, op);
  if (code == OP_OTHER) return ir_bad(op, error, "is no op of an entry");
  const op_row *row = &op_table()[code];
  if (!verify_segments(m, op, &row->operands, true, error) || !verify_segments(m, op, &row->results, false, error))
    return false;
  for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op); ++i) {
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetAttribute(op, i).name);
    bool known = (name.length == 6 && !memcmp(name.data, "places", 6)) ||
                 (name.length > 12 && !memcmp(name.data + name.length - 12, "SegmentSizes", 12));
    for (int k = 0; !known && k < row->attribute_count; ++k)
      known =
          strlen(row->attributes[k].name) == name.length && !memcmp(row->attributes[k].name, name.data, name.length);
    if (!known) return ir_bad(op, error, "has an attribute that the op table does not know");
  }
  return verify_meaning(m, op, code, error);
}

bool ir_verify(ir *m, lmn_error *error) {
  ir_diagnostics_to(error);
  bool ok = mlirOperationVerify(mlirModuleGetOperation(m->module));
  ir_diagnostics_to(NULL);
  if (!ok) return fail(error, "MLIR's verifier refused the module");
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i)
    if (!verify_op(m, ops.items[i], error)) return false;
  return true;
}
