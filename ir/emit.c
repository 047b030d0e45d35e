// An entry as text that can be read again: the module with the places of its ops, and in attributes of the module what
// an entry keeps beside its ops.
#include "ir/ir.h"

#include <string.h>

// What those attributes are: an integer each.
typedef struct entry_field {
  const char *name;
  int64_t value, most;
} entry_field;
enum { FIELD_KIND, FIELD_PHASE, FIELD_BATCH, FIELD_LENGTH, FIELD_CAPACITY, FIELD_PACKED, FIELD_GRADIENTS };
enum {
  FIELD_RUNS = FIELD_GRADIENTS + 1,
  FIELD_VERTICES,
  FIELD_MASKS,
  FIELD_USES,
  FIELD_CACHE,
  FIELD_ARENA,
  FIELD_RECOMPUTE,
  FIELDS
};

static void fields_of(const ir *m, entry_field fields[FIELDS]) {
  const entry_shape *s = &m->shape;
  const entry_field all[FIELDS] = {[FIELD_KIND] = {"lmn.kind", s->kind, LENGTH(entry_kind_names) - 1},
                                   [FIELD_PHASE] = {"lmn.phase", s->phase, INT32_MAX},
                                   [FIELD_BATCH] = {"lmn.batch", s->batch, INT64_MAX},
                                   [FIELD_LENGTH] = {"lmn.length", s->length, INT64_MAX},
                                   [FIELD_CAPACITY] = {"lmn.capacity", s->capacity, INT64_MAX},
                                   [FIELD_PACKED] = {"lmn.packed", s->packed, 1},
                                   [FIELD_GRADIENTS] = {"lmn.gradients", s->gradients, 1},
                                   [FIELD_RUNS] = {"lmn.vertex_runs", m->vertex_runs, INT64_MAX},
                                   [FIELD_VERTICES] = {"lmn.vertices", m->vertices, INT64_MAX},
                                   [FIELD_MASKS] = {"lmn.masks", m->masks, INT64_MAX},
                                   [FIELD_USES] = {"lmn.mask_uses", m->mask_uses, INT64_MAX},
                                   [FIELD_CACHE] = {"lmn.cache_bytes", m->cache_bytes, INT64_MAX},
                                   [FIELD_ARENA] = {"lmn.arena_bytes", m->arena_bytes, INT64_MAX},
                                   [FIELD_RECOMPUTE] = {"lmn.recompute", m->recompute, RECOMPUTE_MOST}};
  memcpy(fields, all, sizeof all);
}

static void take_fields(ir *m, const entry_field fields[FIELDS]) {
  m->shape = (entry_shape){.kind = (entry_kind)fields[FIELD_KIND].value,
                           .phase = (int)fields[FIELD_PHASE].value,
                           .batch = fields[FIELD_BATCH].value,
                           .length = fields[FIELD_LENGTH].value,
                           .capacity = fields[FIELD_CAPACITY].value,
                           .packed = fields[FIELD_PACKED].value,
                           .gradients = fields[FIELD_GRADIENTS].value};
  m->vertex_runs = fields[FIELD_RUNS].value;
  m->vertices = fields[FIELD_VERTICES].value;
  m->masks = fields[FIELD_MASKS].value;
  m->mask_uses = fields[FIELD_USES].value;
  m->cache_bytes = fields[FIELD_CACHE].value;
  m->arena_bytes = fields[FIELD_ARENA].value;
  m->recompute = (int)fields[FIELD_RECOMPUTE].value;
}

static MlirStringRef ref(const char *string) { return mlirStringRefCreateFromCString(string); }

static void append(MlirStringRef part, void *to) { text_add_bytes(to, part.data, part.length); }

void ir_emit(ir *m, text *out) {
  MlirOperation module = mlirModuleGetOperation(m->module);
  entry_field fields[FIELDS];
  fields_of(m, fields);
  for (int i = 0; i < FIELDS; ++i) ir_set_int(m, module, fields[i].name, fields[i].value);
  MlirOpPrintingFlags flags = mlirOpPrintingFlagsCreate();
  mlirOpPrintingFlagsEnableDebugInfo(flags, true, false);
  mlirOpPrintingFlagsUseLocalScope(flags); // each place at its op
  mlirOperationPrintWithFlags(module, flags, append, out);
  mlirOpPrintingFlagsDestroy(flags);
  text_add(out, "\n");
  for (int i = 0; i < FIELDS; ++i) mlirOperationRemoveAttributeByName(module, ref(fields[i].name));
}

static bool take_field(MlirOperation module, entry_field *field, lmn_error *error) {
  MlirAttribute value = mlirOperationGetAttributeByName(module, ref(field->name));
  if (mlirAttributeIsNull(value) || !mlirAttributeIsAInteger(value))
    return fail(error, "the module needs an integer attribute %s", field->name);
  field->value = mlirIntegerAttrGetValueInt(value);
  mlirOperationRemoveAttributeByName(module, ref(field->name));
  return (field->value >= 0 && field->value <= field->most) ||
         fail(error, "the module's attribute %s is %lld, which is out of range", field->name, (long long)field->value);
}

bool ir_read(ir *m, const char *source, const char *file, int line, lmn_error *error) {
  text padded = {0}; // MLIR counts lines from the start of what it is given
  for (int i = 1; i < line; ++i) text_add(&padded, "\n");
  text_add(&padded, source);
  bool ok = ir_parse_file(m, padded.data, file, error);
  text_free(&padded);
  entry_field fields[FIELDS];
  fields_of(m, fields);
  lmn_error cause = {0};
  for (int i = 0; ok && i < FIELDS; ++i) ok = take_field(mlirModuleGetOperation(m->module), &fields[i], &cause);
  if (cause.text[0]) fail(error, "%s:%d: %s", file, line, cause.text);
  if (ok) take_fields(m, fields);
  return ok;
}
