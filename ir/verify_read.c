// What an entry that was read from text may name: the network's models, nodes, arrows, phases and parameters, and
// bodies of its module. Passes rely on it; an entry that the compiler built is right by itself.
#include "ir/ir.h"
#include "ir/optable.h"

#include <string.h>

// How many of what an attribute's numbers count there are; -1: the attribute is no such number.
static int64_t things(const ir *m, const char *name) {
  if (!strcmp(name, "model")) return m->graph->model_count;
  if (!strcmp(name, "node") || !strcmp(name, "nodes") || !strcmp(name, "instance")) return m->graph->node_count;
  if (!strcmp(name, "arrows")) return m->graph->arrow_count;
  if (!strcmp(name, "phase")) return m->graph->phase_count;
  return -1;
}

static bool verify_number(const ir *m, MlirOperation op, const struct op_attribute *a, lmn_error *error) {
  int64_t count = things(m, a->name);
  if (count < 0) return true;
  bool list = a->type == ATTRIBUTE_INTS;
  int64_t least = strcmp(a->name, "instance") ? 0 : -1;
  for (int i = 0; i < (list ? ir_count(op, a->name) : 1); ++i) {
    int64_t value = list ? ir_int_at(op, a->name, i) : ir_int(op, a->name);
    if (value < least || value >= count)
      return ir_bad(op, error, "the network has no such model, node, arrow or phase");
  }
  return !list || ir_count(op, a->name) > 0 || ir_bad(op, error, "names no node or arrow");
}

// Passes divide by sizes. A length of 0 is that of an entry that runs the prefix alone.
static bool verify_size(MlirOperation op, op_code code, const struct op_attribute *a, lmn_error *error) {
  static const char *const sizes[] = {
      "groups", "heads", "key_value_heads", "head_size", "segments", "batch", "length", "count", "dim", "m", "n", "k",
      "n0",     "n1",    "columns",         "chunk",     "vertices"};
  if (a->type != ATTRIBUTE_INT || !strcmp(a->name, "instance")) return true;
  if (mlirAttributeIsNull(mlirOperationGetAttributeByName(op, mlirStringRefCreateFromCString(a->name)))) return true;
  bool embeds = code == LMN_EMBED || code == NN_EMBED || code == KERNEL_EMBED;
  int64_t least = 0;
  for (size_t i = 0; i < LENGTH(sizes); ++i)
    if (!strcmp(sizes[i], a->name)) least = !(embeds && !strcmp(a->name, "length"));
  int64_t value = ir_int(op, a->name);
  return (value >= least && value <= (int64_t)1 << 48) || ir_bad(op, error, "a size of it is out of range");
}

static bool has_parameter(const ir *m, const char *name) { return parameter_find(m->parameters, name) >= 0; }

static bool verify_names(const ir *m, MlirOperation op, op_code code, lmn_error *error) {
  static const char unknown[] = "the network has no such parameter";
  const char *space = code == KERNEL_BUFFER ? ir_text(m, op, "space") : "";
  if (!strcmp(space, "parameter") || !strcmp(space, "weight"))
    return has_parameter(m, ir_text(m, op, "name")) || ir_bad(op, error, unknown);
  if (code != NN_PARAMETER && code != NN_GRADIENT && code != KERNEL_GRADIENT) return true;
  for (int i = 0; i < ir_count(op, "names"); ++i)
    if (!has_parameter(m, ir_text_at(m, op, "names", i))) return ir_bad(op, error, unknown);
  return ir_count(op, "names") > 0 || ir_bad(op, error, "names no parameter");
}

static bool has_body(const ir *m, const char *name) {
  for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(m->module)); !mlirOperationIsNull(op);
       op = mlirOperationGetNextInBlock(op)) {
    const char *symbol = ir_text(m, op, "sym_name");
    if (symbol && !strcmp(symbol, name)) return true;
  }
  return false;
}

static bool verify_bodies(const ir *m, MlirOperation op, const struct op_attribute *a, lmn_error *error) {
  if (a->type == ATTRIBUTE_SYMBOL) {
    const char *name = ir_text(m, op, a->name);
    return !name || has_body(m, name) || ir_bad(op, error, "the module has no such body");
  }
  for (int i = 0; a->type == ATTRIBUTE_SYMBOLS && i < ir_count(op, a->name); ++i)
    if (!has_body(m, ir_text_at(m, op, a->name, i))) return ir_bad(op, error, "the module has no such body");
  return true;
}

// f32; bf16 of kernels; i32 of inputs; i1 of masks.
static bool tensor(MlirType type) {
  if (!mlirTypeIsARankedTensor(type) || !mlirShapedTypeHasStaticShape(type)) return false;
  intptr_t rank = mlirShapedTypeGetRank(type);
  if (rank < 1 || rank > 2) return false;
  for (intptr_t i = 0; i < rank; ++i)
    if (mlirShapedTypeGetDimSize(type, i) < 1) return false;
  MlirType element = mlirShapedTypeGetElementType(type);
  if (mlirTypeIsAF32(element) || mlirTypeIsABF16(element)) return true;
  unsigned width = mlirTypeIsAInteger(element) ? mlirIntegerTypeGetWidth(element) : 0;
  return width == 32 || width == 1;
}

static bool verify_places(MlirOperation op, bool placed, lmn_error *error) {
  int results = (int)mlirOperationGetNumResults(op), numbers = ir_count(op, "places");
  if (!results || (!placed && !numbers)) return true;
  if (numbers != 2 * results) return ir_bad(op, error, "needs places, a space and an offset for each result");
  for (int i = 0; i < numbers; ++i) {
    int64_t value = ir_int_at(op, "places", i);
    if (value < 0 || (i % 2 == 0 && value >= SPACE_COUNT)) return ir_bad(op, error, "a place is no space and offset");
  }
  return true;
}

bool ir_verify_read(ir *m, bool placed, lmn_error *error) {
  if (m->shape.phase >= m->graph->phase_count) return fail(error, "the network has no phase %d", m->shape.phase);
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i) {
    MlirOperation op = ops.items[i];
    op_code code = ir_code(m, op);
    const op_row *row = &op_table()[code];
    for (intptr_t r = 0; r < mlirOperationGetNumResults(op); ++r)
      if (!tensor(mlirValueGetType(mlirOperationGetResult(op, r))))
        return ir_bad(op, error, "its values must be tensors of f32, bf16, i32 or i1 with one or two sizes");
    for (int a = 0; a < row->attribute_count; ++a)
      if (!verify_number(m, op, &row->attributes[a], error) || !verify_size(op, code, &row->attributes[a], error) ||
          !verify_bodies(m, op, &row->attributes[a], error))
        return false;
    if (!verify_names(m, op, code, error) || !verify_places(op, placed, error)) return false;
  }
  return true;
}
