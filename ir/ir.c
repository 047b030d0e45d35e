#include "ir/ir.h"

#include "ir/optable.h"
#include "mlir-c/Dialect/Arith.h"
#include "mlir-c/Dialect/Func.h"
#include "mlir-c/Dialect/IRDL.h"
#include "mlir-c/Dialect/Math.h"
#include "mlir-c/Diagnostics.h"
#include "mlir-c/Support.h"

#include <stdlib.h>
#include <string.h>

const MlirValue no_value = {NULL};

static MlirStringRef ref(const char *string) { return mlirStringRefCreateFromCString(string); }

// ---- context and diagnostics --------------------------------------------------------------------

// MLIR reports through the context's one handler; whoever calls into MLIR says where its message goes.
static _Thread_local lmn_error *diagnostics_to;

void ir_diagnostics_to(lmn_error *error) { diagnostics_to = error; }

static void append(MlirStringRef part, void *to) { text_add_bytes(to, part.data, part.length); }

bool ir_place_print(MlirLocation place, text *out) {
  if (mlirLocationIsAName(place)) place = mlirLocationNameGetChildLoc(place); // of a node: where it is written
  if (!mlirLocationIsAFileLineColRange(place)) return false;
  MlirStringRef file = mlirIdentifierStr(mlirLocationFileLineColRangeGetFilename(place));
  text_printf(out, "%.*s:%d:%d", (int)file.length, file.data, mlirLocationFileLineColRangeGetStartLine(place),
              mlirLocationFileLineColRangeGetStartColumn(place));
  return true;
}

static MlirLogicalResult on_diagnostic(MlirDiagnostic diagnostic, void *unused) {
  (void)unused;
  if (mlirDiagnosticGetSeverity(diagnostic) != MlirDiagnosticError) return mlirLogicalResultSuccess();
  text message = {0};
  if (ir_place_print(mlirDiagnosticGetLocation(diagnostic), &message)) text_add(&message, ": ");
  mlirDiagnosticPrint(diagnostic, append, &message);
  fail(diagnostics_to, "%s", message.data ? message.data : "MLIR refused the module");
  text_free(&message);
  return mlirLogicalResultSuccess();
}

MlirContext ir_context_create(lmn_error *error) {
  MlirContext context = mlirContextCreateWithThreading(false);
  mlirContextAttachDiagnosticHandler(context, on_diagnostic, NULL, NULL);
  mlirDialectHandleLoadDialect(mlirGetDialectHandle__func__(), context);
  mlirDialectHandleLoadDialect(mlirGetDialectHandle__arith__(), context);
  mlirDialectHandleLoadDialect(mlirGetDialectHandle__math__(), context);
  mlirDialectHandleLoadDialect(mlirGetDialectHandle__irdl__(), context);
  text irdl = {0};
  op_table_irdl(&irdl);
  diagnostics_to = error;
  MlirModule module = mlirModuleCreateParse(context, mlirStringRefCreate(irdl.data, irdl.length));
  bool ok = !mlirModuleIsNull(module) && mlirLogicalResultIsSuccess(mlirLoadIRDLDialects(module));
  if (!mlirModuleIsNull(module)) mlirModuleDestroy(module);
  diagnostics_to = NULL;
  text_free(&irdl);
  if (ok) return context;
  mlirContextDestroy(context);
  fail(error, "the dialects could not be loaded");
  return (MlirContext){NULL};
}

void ir_context_destroy(MlirContext context) {
  if (context.ptr) mlirContextDestroy(context);
}

// ---- the entry's module -------------------------------------------------------------------------

// Points function and block at @entry of the module.
static bool find_entry(ir *m, lmn_error *error) {
  MlirBlock body = mlirModuleGetBody(m->module);
  for (MlirOperation op = mlirBlockGetFirstOperation(body); !mlirOperationIsNull(op);
       op = mlirOperationGetNextInBlock(op)) {
    const char *name = ir_text(m, op, "sym_name");
    if (!name || strcmp(name, "entry")) continue;
    m->function = op;
    m->block = mlirRegionGetFirstBlock(mlirOperationGetFirstRegion(op));
    return !mlirBlockIsNull(m->block) || fail(error, "func.func @entry has no body");
  }
  return fail(error, "there is no func.func @entry in the module");
}

static bool take_module(ir *m, MlirModule module, const char *file, lmn_error *error) {
  diagnostics_to = NULL;
  if (mlirModuleIsNull(module))
    return fail(error, "%s: the text is not a module of the lmn, nn and kernel dialects", file);
  if (m->module.ptr) mlirModuleDestroy(m->module);
  m->module = module;
  return find_entry(m, error);
}

bool ir_parse_file(ir *m, const char *source, const char *file, lmn_error *error) {
  diagnostics_to = error;
  MlirOperation parsed = mlirOperationCreateParse(m->context, ref(source), ref(file));
  MlirModule module = {NULL};
  if (!mlirOperationIsNull(parsed)) module = mlirModuleFromOperation(parsed);
  if (!mlirOperationIsNull(parsed) && mlirModuleIsNull(module)) mlirOperationDestroy(parsed);
  return take_module(m, module, file, error);
}

bool ir_parse(ir *m, const char *source, lmn_error *error) {
  diagnostics_to = error;
  return take_module(m, mlirModuleCreateParse(m->context, ref(source)), "-", error);
}

ir *ir_create(arena *a, MlirContext context, const graph *g, const parameter_list *parameters, entry_shape shape,
              lmn_error *error) {
  ir *m = ARENA_NEW(a, ir);
  *m = (ir){.context = context, .arena = a, .graph = g, .parameters = parameters, .shape = shape, .error = error};
  return ir_parse(m, "module { func.func @entry() { return } }", error) ? m : NULL;
}

void ir_destroy(ir *m) {
  if (m && m->module.ptr) mlirModuleDestroy(m->module);
}

void ir_print(const ir *m, text *out) {
  MlirOpPrintingFlags flags = mlirOpPrintingFlagsCreate();
  mlirOperationPrintWithFlags(mlirModuleGetOperation(m->module), flags, append, out);
  mlirOpPrintingFlagsDestroy(flags);
  if (out->length && out->data[out->length - 1] != '\n') text_add(out, "\n");
}

const char *ir_body(ir *m, const char *name, const char *mlir) {
  MlirBlock to = mlirModuleGetBody(m->module);
  for (MlirOperation op = mlirBlockGetFirstOperation(to); !mlirOperationIsNull(op);
       op = mlirOperationGetNextInBlock(op))
    if (!strcmp(ir_text(m, op, "sym_name"), name)) return name;
  diagnostics_to = m->error;
  MlirModule parsed = mlirModuleCreateParse(m->context, ref(mlir));
  diagnostics_to = NULL;
  if (mlirModuleIsNull(parsed)) {
    fprintf(stderr, "internal error: the body @%s does not parse: %s\n%s\n", name, m->error ? m->error->text : "",
            mlir);
    abort();
  }
  MlirOperation next;
  for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(parsed)); !mlirOperationIsNull(op); op = next) {
    next = mlirOperationGetNextInBlock(op);
    bool there = false;
    const char *symbol = ir_text(m, op, "sym_name");
    for (MlirOperation o = mlirBlockGetFirstOperation(to); !there && !mlirOperationIsNull(o);
         o = mlirOperationGetNextInBlock(o))
      there = !strcmp(ir_text(m, o, "sym_name"), symbol);
    if (there) continue;
    mlirOperationRemoveFromParent(op);
    mlirBlockAppendOwnedOperation(to, op);
  }
  mlirModuleDestroy(parsed);
  return name;
}

MlirOperation ir_body_function(const ir *m, const char *symbol) {
  MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(m->module));
  while (!mlirOperationIsNull(op) && strcmp(ir_text(m, op, "sym_name"), symbol)) op = mlirOperationGetNextInBlock(op);
  return op;
}

// ---- building -----------------------------------------------------------------------------------

MlirLocation ir_place_of(ir *m, span place) {
  const char *file = m->graph && m->graph->file ? m->graph->file : "-";
  return mlirLocationFileLineColGet(m->context, ref(file), (unsigned)place.line, (unsigned)place.column);
}

MlirLocation ir_place_named(ir *m, MlirLocation place, const char *names) {
  return mlirLocationNameGet(m->context, ref(names), place);
}

const char *ir_place_names(arena *a, MlirLocation place) {
  if (!mlirLocationIsAName(place)) return NULL;
  MlirStringRef names = mlirIdentifierStr(mlirLocationNameGetName(place));
  return arena_copy(a, names.data, names.length);
}

builder builder_at_end(ir *m) {
  return (builder){m, mlirBlockGetTerminator(m->block), mlirLocationUnknownGet(m->context)};
}

builder builder_before(ir *m, MlirOperation op) { return (builder){m, op, mlirOperationGetLocation(op)}; }

op_spec op_begin(builder *b, op_code code) { return (op_spec){.builder = b, .code = code}; }

void op_segment(op_spec *s, const MlirValue *values, int count) {
  for (int i = 0; i < count; ++i) {
    GROW(s->operands, s->operand_count, s->operand_capacity);
    s->operands[s->operand_count++] = values[i];
  }
  s->segments[s->segment_count++] = count;
}
void op_operand(op_spec *s, MlirValue value) { op_segment(s, &value, 1); }
void op_optional(op_spec *s, MlirValue value) { op_segment(s, &value, value_is(value)); }

void op_results(op_spec *s, const MlirType *types, int count) {
  for (int i = 0; i < count; ++i) {
    GROW(s->results, s->result_count, s->result_capacity);
    s->results[s->result_count++] = types[i];
  }
  s->result_segments[s->result_segment_count++] = count;
}
void op_result(op_spec *s, MlirType type) { op_results(s, &type, 1); }

static MlirNamedAttribute named(MlirContext context, const char *name, MlirAttribute value) {
  return mlirNamedAttributeGet(mlirIdentifierGet(context, ref(name)), value);
}
void op_attribute(op_spec *s, const char *name, MlirAttribute value) {
  GROW(s->attributes, s->attribute_count, s->attribute_capacity);
  s->attributes[s->attribute_count++] = named(s->builder->ir->context, name, value);
}

static MlirAttribute int_attribute(MlirContext c, int64_t value) {
  return mlirIntegerAttrGet(mlirIntegerTypeGet(c, 64), value);
}

void op_int(op_spec *s, const char *name, int64_t value) {
  op_attribute(s, name, int_attribute(s->builder->ir->context, value));
}
void op_real(op_spec *s, const char *name, double value) {
  MlirContext c = s->builder->ir->context;
  op_attribute(s, name, mlirFloatAttrDoubleGet(c, mlirF64TypeGet(c), value));
}
void op_text(op_spec *s, const char *name, const char *value) {
  op_attribute(s, name, mlirStringAttrGet(s->builder->ir->context, ref(value)));
}
void op_symbol(op_spec *s, const char *name, const char *value) {
  op_attribute(s, name, mlirFlatSymbolRefAttrGet(s->builder->ir->context, ref(value)));
}
void op_ints(op_spec *s, const char *name, const int64_t *values, int count) {
  op_attribute(s, name, mlirDenseI64ArrayGet(s->builder->ir->context, count, values));
}

static void op_array(op_spec *s, const char *name, const char *const *values, int count, bool symbols) {
  MlirContext c = s->builder->ir->context;
  MlirAttribute *items = memory_alloc((size_t)count * sizeof *items);
  for (int i = 0; i < count; ++i)
    items[i] = symbols ? mlirFlatSymbolRefAttrGet(c, ref(values[i])) : mlirStringAttrGet(c, ref(values[i]));
  op_attribute(s, name, mlirArrayAttrGet(c, count, items));
  free(items);
}
void op_texts(op_spec *s, const char *name, const char *const *values, int count) {
  op_array(s, name, values, count, false);
}
void op_symbols(op_spec *s, const char *name, const char *const *values, int count) {
  op_array(s, name, values, count, true);
}

static void op_segment_sizes(op_spec *s, const char *name, const int *sizes, int count) {
  int32_t values[SEGMENTS_MAX];
  for (int i = 0; i < count; ++i) values[i] = sizes[i];
  op_attribute(s, name, mlirDenseI32ArrayGet(s->builder->ir->context, count, values));
}

MlirOperation op_end(op_spec *s) {
  const op_row *row = &op_table()[s->code];
  builder *b = s->builder;
  while (s->segment_count < row->operands.count) s->segments[s->segment_count++] = 0;
  while (s->result_segment_count < row->results.count) s->result_segments[s->result_segment_count++] = 0;
  if (row->operands.variable > 1) op_segment_sizes(s, "operandSegmentSizes", s->segments, row->operands.count);
  if (row->results.variable > 1) op_segment_sizes(s, "resultSegmentSizes", s->result_segments, row->results.count);
  MlirOperationState state = mlirOperationStateGet(ref(row->name), b->place);
  // Not by its mlirOperationStateAdd…, which copy into memory that they do not check. mlirOperationCreate frees these.
  state.nOperands = s->operand_count, state.operands = s->operands;
  state.nResults = s->result_count, state.results = s->results;
  state.nAttributes = s->attribute_count, state.attributes = s->attributes;
  MlirOperation op = mlirOperationCreate(&state);
  mlirBlockInsertOwnedOperationBefore(b->ir->block, b->before, op);
  return op;
}

MlirValue op_end_value(op_spec *s) { return mlirOperationGetResult(op_end(s), 0); }

// ---- types and values ---------------------------------------------------------------------------

static MlirType tensor(ir *m, int rank, const int64_t *shape, MlirType element) {
  (void)m;
  return mlirRankedTensorTypeGet(rank, shape, element, mlirAttributeGetNull());
}
MlirType ir_matrix(ir *m, int64_t rows, int64_t columns) {
  return tensor(m, 2, (int64_t[]){rows, columns}, mlirF32TypeGet(m->context));
}
MlirType ir_with_element(MlirType type, MlirType element) {
  int64_t shape[2] = {0};
  intptr_t rank = mlirShapedTypeGetRank(type);
  for (intptr_t i = 0; i < rank && i < 2; ++i) shape[i] = mlirShapedTypeGetDimSize(type, i);
  return mlirRankedTensorTypeGet(rank, shape, element, mlirAttributeGetNull());
}
MlirType ir_vector(ir *m, int64_t length) { return tensor(m, 1, &length, mlirF32TypeGet(m->context)); }
MlirType ir_indices(ir *m, int64_t rows, int64_t columns) {
  return tensor(m, columns ? 2 : 1, (int64_t[]){rows, columns}, mlirIntegerTypeGet(m->context, 32));
}
int64_t value_rows(MlirValue v) { return mlirShapedTypeGetDimSize(mlirValueGetType(v), 0); }
int64_t value_columns(MlirValue v) {
  MlirType type = mlirValueGetType(v);
  return mlirShapedTypeGetDimSize(type, (intptr_t)mlirShapedTypeGetRank(type) - 1);
}
int64_t value_elements(MlirValue v) {
  MlirType type = mlirValueGetType(v);
  int64_t elements = 1;
  for (intptr_t i = 0; i < mlirShapedTypeGetRank(type); ++i) elements *= mlirShapedTypeGetDimSize(type, i);
  return elements;
}
MlirType value_element(MlirValue v) { return mlirShapedTypeGetElementType(mlirValueGetType(v)); }
bool value_is_bf16(MlirValue v) { return mlirTypeIsABF16(value_element(v)); }
int64_t value_element_bytes(MlirValue v) { return value_is_bf16(v) ? 2 : 4; }
int64_t value_bytes(MlirValue v) { return value_elements(v) * value_element_bytes(v); }
MlirOperation value_op(MlirValue v) { return mlirOpResultGetOwner(v); }
int value_index(MlirValue v) { return (int)mlirOpResultGetResultNumber(v); }
bool value_used(MlirValue v) { return !mlirOpOperandIsNull(mlirValueGetFirstUse(v)); }
int value_uses(MlirValue v) {
  int uses = 0;
  for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use))
    ++uses;
  return uses;
}

// ---- reading ------------------------------------------------------------------------------------

op_code ir_code(const ir *m, MlirOperation op) {
  (void)m;
  enum { SLOTS = 512 };
  static short slots[SLOTS]; // code + 1
  static bool filled;
  const op_row *table = op_table();
  if (!filled) {
    for (int i = 0; i < OP_COUNT; ++i) {
      size_t at = hash_bytes(HASH_START, table[i].name, strlen(table[i].name)) % SLOTS;
      while (slots[at]) at = (at + 1) % SLOTS;
      slots[at] = (short)(i + 1);
    }
    filled = true;
  }
  MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
  for (size_t at = hash_bytes(HASH_START, name.data, name.length) % SLOTS; slots[at]; at = (at + 1) % SLOTS) {
    const char *candidate = table[slots[at] - 1].name;
    if (strlen(candidate) == name.length && !memcmp(candidate, name.data, name.length)) return (op_code)(slots[at] - 1);
  }
  return OP_OTHER;
}

static MlirAttribute attribute(MlirOperation op, const char *name) {
  return mlirOperationGetAttributeByName(op, ref(name));
}

int64_t ir_int(MlirOperation op, const char *name) {
  MlirAttribute value = attribute(op, name);
  return mlirAttributeIsNull(value) ? 0 : mlirIntegerAttrGetValueInt(value);
}
double ir_real(MlirOperation op, const char *name) {
  MlirAttribute value = attribute(op, name);
  return mlirAttributeIsNull(value) ? 0 : mlirFloatAttrGetValueDouble(value);
}

static const char *attribute_text(const ir *m, MlirAttribute value) {
  if (mlirAttributeIsNull(value)) return NULL;
  MlirStringRef text =
      mlirAttributeIsASymbolRef(value) ? mlirFlatSymbolRefAttrGetValue(value) : mlirStringAttrGetValue(value);
  return arena_copy(m->arena, text.data, text.length);
}
const char *ir_text(const ir *m, MlirOperation op, const char *name) { return attribute_text(m, attribute(op, name)); }

int ir_count(MlirOperation op, const char *name) {
  MlirAttribute value = attribute(op, name);
  if (mlirAttributeIsNull(value)) return 0;
  return (int)(mlirAttributeIsAArray(value) ? mlirArrayAttrGetNumElements(value) : mlirDenseArrayGetNumElements(value));
}
int64_t ir_int_at(MlirOperation op, const char *name, int index) {
  return mlirDenseI64ArrayGetElement(attribute(op, name), index);
}
const char *ir_text_at(const ir *m, MlirOperation op, const char *name, int index) {
  return attribute_text(m, mlirArrayAttrGetElement(attribute(op, name), index));
}

void ir_set_int(ir *m, MlirOperation op, const char *name, int64_t value) {
  mlirOperationSetAttributeByName(op, ref(name), int_attribute(m->context, value));
}
void ir_set_ints(ir *m, MlirOperation op, const char *name, const int64_t *values, int count) {
  mlirOperationSetAttributeByName(op, ref(name), mlirDenseI64ArrayGet(m->context, count, values));
}

// With at most one variable segment the sizes follow from the total; else the op carries them.
static segment find_segment(const op_values *values, MlirAttribute sizes, int total, int index) {
  segment result = {0, 0};
  for (int i = 0; i <= index; ++i) {
    result.first += result.count;
    if (values->variable > 1) result.count = mlirAttributeIsNull(sizes) ? 0 : mlirDenseI32ArrayGetElement(sizes, i);
    else result.count = values->arities[i] == ARITY_ONE ? 1 : total - (values->count - 1);
  }
  return result;
}
segment ir_operands(const ir *m, MlirOperation op, int index) {
  const op_values *values = &op_table()[ir_code(m, op)].operands;
  MlirAttribute sizes = values->variable > 1 ? attribute(op, "operandSegmentSizes") : mlirAttributeGetNull();
  return find_segment(values, sizes, (int)mlirOperationGetNumOperands(op), index);
}
segment ir_results(const ir *m, MlirOperation op, int index) {
  const op_values *values = &op_table()[ir_code(m, op)].results;
  MlirAttribute sizes = values->variable > 1 ? attribute(op, "resultSegmentSizes") : mlirAttributeGetNull();
  return find_segment(values, sizes, (int)mlirOperationGetNumResults(op), index);
}
MlirValue ir_operand(const ir *m, MlirOperation op, int index) {
  segment s = ir_operands(m, op, index);
  return s.count ? mlirOperationGetOperand(op, s.first) : no_value;
}
MlirValue ir_result(const ir *m, MlirOperation op, int index) {
  segment s = ir_results(m, op, index);
  return s.count ? mlirOperationGetResult(op, s.first) : no_value;
}

op_list ir_ops(ir *m) {
  op_list list = {0};
  for (MlirOperation op = mlirBlockGetFirstOperation(m->block); !mlirOperationIsNull(op);
       op = mlirOperationGetNextInBlock(op))
    ++list.count;
  list.items = ARENA_ARRAY(m->arena, MlirOperation, list.count);
  int i = 0;
  for (MlirOperation op = mlirBlockGetFirstOperation(m->block); !mlirOperationIsNull(op);
       op = mlirOperationGetNextInBlock(op))
    list.items[i++] = op;
  --list.count; // the return
  return list;
}
void ir_replace(MlirValue old, MlirValue with) { mlirValueReplaceAllUsesOfWith(old, with); }
void ir_erase(MlirOperation op) { mlirOperationDestroy(op); }

// ---- places -------------------------------------------------------------------------------------

bool ir_has_place(MlirValue v) { return !mlirAttributeIsNull(attribute(value_op(v), "places")); }
plan_ref ir_place(MlirValue v) {
  MlirAttribute places = attribute(value_op(v), "places");
  int i = 2 * value_index(v);
  return (plan_ref){(plan_space)mlirDenseI64ArrayGetElement(places, i), mlirDenseI64ArrayGetElement(places, i + 1)};
}
void ir_set_places(ir *m, MlirOperation op, const plan_ref *places, int count) {
  int64_t *flat = memory_alloc((size_t)count * 2 * sizeof *flat);
  for (int i = 0; i < count; ++i) flat[2 * i] = (int64_t)places[i].space, flat[2 * i + 1] = places[i].offset;
  ir_set_ints(m, op, "places", flat, 2 * count);
  free(flat);
}
