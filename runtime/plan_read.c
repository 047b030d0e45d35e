// Reading plan.json. A field is looked up by name and counted; an object with fields besides the counted ones is
// refused, so that a damaged name is never taken for a field left out.
#include "runtime/plan_fields.h"

#include <inttypes.h>
#include <stdlib.h>

static void read_parameter(struct object *o, plan_parameter *p) {
  p->name = field_string(o, "name");
  field_integers(o, "shape", 0, p->shape, 2, &p->rank);
  if (p->rank < 1) FIELD_BAD(o, "shape", "must have one or two sizes");
  if (p->rank == 1) p->shape[1] = 1;
  p->elements = shape_elements(p->shape, p->rank);
  p->offset = field_integer(o, "offset", 0);
  if (!space_holds(p->offset, p->elements, o->reader->plan->parameter_bytes))
    FIELD_BAD(o, "offset", "is %lld: the parameter does not lie in the %lld bytes of all", (long long)p->offset,
              (long long)o->reader->plan->parameter_bytes);
  p->group = field_string(o, "group");
  p->matrix = field_flag(o, "matrix");
  p->tied = field_flag(o, "tied");
  p->source = field_choice(o, "source", source_names, LENGTH(source_names));
  if (p->source == SOURCE_TENSOR) {
    p->directory = field_string(o, "directory");
    p->tensor = field_string(o, "tensor");
  }
  if (p->source == SOURCE_NORMAL) {
    p->mean = field_real(o, "mean");
    p->std = field_real(o, "std");
  }
}

static void read_rotary(struct object *o, plan_rotary *r) {
  r->offset = field_integer(o, "offset", 0);
  r->length = field_integer(o, "length", 0);
  r->dim = field_integer(o, "dim", 0);
  if (!space_holds(r->offset, shape_elements((const int64_t[]){r->length, r->dim}, 2), o->reader->plan->constant_bytes))
    FIELD_BAD(o, "offset", "is %lld: the table does not lie in the %lld bytes of all", (long long)r->offset,
              (long long)o->reader->plan->constant_bytes);
  int64_t kind = field_integer(o, "kind", 1);
  if (kind > 3) FIELD_BAD(o, "kind", "must be 1, 2 or 3");
  r->kind = kind > 3 ? 1 : (int)kind;
  r->theta = field_real(o, "theta");
  r->factor = field_real(o, "factor");
  r->low_frequency_factor = field_real(o, "low_frequency_factor");
  r->high_frequency_factor = field_real(o, "high_frequency_factor");
  r->original_length = field_integer(o, "original_length", 0);
}

static void read_trained(struct object *o, plan_phase *p) {
  const plan *whole = o->reader->plan;
  const json_t *trained = field_list(o, "trained", &p->trained_count);
  p->trained = ARENA_ARRAY(o->reader->memory, plan_trained, p->trained_count);
  for (int i = 0; i < p->trained_count; ++i) {
    const json_t *pair = json_array_get(trained, (size_t)i), *parameter = json_array_get(pair, 0),
                 *offset = json_array_get(pair, 1);
    struct place at = {&o->place, "trained", i};
    int64_t index = json_integer_value(parameter);
    if (json_array_size(pair) != 2 || !json_is_integer(parameter) || !json_is_integer(offset) || index < 0 ||
        index >= whole->parameter_count) {
      field_bad(o->reader, &at, "must be a parameter's number, below %d, and an offset", whole->parameter_count);
      return;
    }
    p->trained[i] = (plan_trained){(int)index, json_integer_value(offset)};
    const plan_parameter *of = &whole->parameters[index];
    if (!space_holds(of->offset, of->elements, whole->parameter_bytes - whole->parked_bytes))
      field_bad(o->reader, &at, "%s is trained, and lies among the %lld parked bytes of the parameters", of->name,
                (long long)whole->parked_bytes);
    if (!space_holds(p->trained[i].offset, of->elements, p->gradient_bytes))
      field_bad(o->reader, &at, "offset %lld: the gradient does not lie in the %lld bytes of all",
                (long long)p->trained[i].offset, (long long)p->gradient_bytes);
  }
}

static uint64_t seed(struct object *o) {
  const char *digits = field_string(o, "seed");
  char *end;
  uint64_t value = strtoumax(digits, &end, 10);
  if (!*digits || *end || strspn(digits, "0123456789") != strlen(digits))
    FIELD_BAD(o, "seed", "must be a number, as text");
  return value;
}

static void read_phase(struct object *o, plan_phase *p) {
  p->name = field_string(o, "name");
  p->gradient_bytes = field_integer(o, "gradient_bytes", 0);
  read_trained(o, p);
  p->lr = field_real(o, "lr");
  p->beta1 = field_real(o, "beta1");
  p->beta2 = field_real(o, "beta2");
  p->eps = field_real(o, "eps");
  p->weight_decay = field_real(o, "weight_decay");
  p->clip = field_real(o, "clip");
  p->label_smoothing = field_real(o, "label_smoothing");
  p->decay_all = field_flag(o, "decay_all");
  int64_t schedule = field_integer(o, "schedule", 0);
  if (schedule > 2) FIELD_BAD(o, "schedule", "must be 0, 1 or 2");
  p->schedule = schedule > 2 ? 0 : (int)schedule;
  p->schedule_final = field_real(o, "schedule_final");
  p->warmup = field_integer_or(o, "warmup", 0);
  p->steps = field_integer_or(o, "steps", 0);
  p->epochs = field_integer_or(o, "epochs", 0);
  p->batch = field_integer_or(o, "batch", 0);
  p->length = field_integer_or(o, "length", 0);
  p->accumulate = field_integer_or(o, "accumulate", 0);
  p->evaluate_every = field_integer_or(o, "evaluate_every", 0);
  p->save_every = field_integer_or(o, "save_every", 0);
  p->seed = seed(o);
  p->data = field_string_or_null(o, "data");
  p->validation = field_string_or_null(o, "validation");
  p->prompt = field_string_or_null(o, "prompt");
  p->completion = field_string_or_null(o, "completion");
}

static void read_value(struct object *o, plan_value *v, bool input, const int64_t bytes[SPACE_COUNT]) {
  v->name = field_string(o, "name");
  v->type = field_choice(o, "type", type_names, LENGTH(type_names));
  field_integers(o, "shape", 0, v->shape, 4, &v->rank);
  const char *at = field_string(o, "at");
  if (field_ref(o->reader, &at, &(struct place){&o->place, "at", -1}, bytes, &v->at) && *at)
    FIELD_BAD(o, "at", "must be one place");
  plan_space space = input ? SPACE_INPUT : SPACE_OUTPUT;
  if (v->at.space != space) FIELD_BAD(o, "at", "must be in %s", plan_space_names[space]);
  if (!space_holds(v->at.offset, shape_elements(v->shape, v->rank), bytes[v->at.space]))
    FIELD_BAD(o, "at", "the value does not lie in the %lld bytes of the space", (long long)bytes[v->at.space]);
}

// Reads the list `name` of objects by `read`, which sees `o` (of element i) and `element`.
#define READ_LIST(outer, name, array, array_count, type, read)                                                         \
  do {                                                                                                                 \
    const json_t *elements = field_list(outer, name, &(array_count));                                                  \
    (array) = ARENA_ARRAY((outer)->reader->memory, type, array_count);                                                 \
    for (int i = 0; i < (array_count) && !(outer)->reader->failed; ++i) {                                              \
      struct object element =                                                                                          \
          object_open((outer)->reader, json_array_get(elements, (size_t)i), (struct place){&(outer)->place, name, i}); \
      type *item = &(array)[i];                                                                                        \
      if (!element.reader->failed) read;                                                                               \
      object_close(&element);                                                                                          \
    }                                                                                                                  \
  } while (0)

// A rider does the rows of the product before it, all of them.
static void check_riders(struct object *o, const plan_entry *e) {
  const plan_launch *product = NULL;
  for (int i = 0; i < e->launch_count && !o->reader->failed; ++i) {
    const plan_launch *l = &e->launches[i];
    if (!l->rides) product = l->kind == LAUNCH_GEMM ? l : NULL;
    else if (!product || l->kind != LAUNCH_KERNEL || l->tasks != product->gemm.m * product->gemm.groups)
      field_bad(o->reader, &(struct place){&o->place, "launches", i}, "rides on no product of as many rows");
  }
}

static void read_entry(struct object *o, plan_entry *e) {
  const plan *whole = o->reader->plan;
  int64_t bytes[SPACE_COUNT], phase = field_integer_or(o, "phase", -1);
  e->name = field_string(o, "name");
  e->kind = field_choice(o, "kind", entry_kind_names, LENGTH(entry_kind_names));
  if (phase >= whole->phase_count) FIELD_BAD(o, "phase", "is %lld; there are %d", (long long)phase, whole->phase_count);
  e->batch = field_integer_or(o, "batch", 0);
  e->length = field_integer_or(o, "length", 0);
  e->capacity = field_integer_or(o, "capacity", 0);
  e->packed = field_flag(o, "packed");
  e->recompute = field_string_or_null(o, "recompute");
  e->arena_bytes = field_integer(o, "arena_bytes", 0);
  e->input_bytes = field_integer(o, "input_bytes", 0);
  e->output_bytes = field_integer(o, "output_bytes", 0);
  e->cache_bytes = field_integer_or(o, "cache_bytes", 0);
  e->vertex_runs = field_integer_or(o, "vertex_runs", 0);
  e->vertices = field_integer_or(o, "vertices", 0);
  e->masks = field_integer_or(o, "masks", 0);
  e->mask_uses = field_integer_or(o, "mask_uses", 0);
  e->flops = field_integer_or(o, "flops", 0);
  if (o->reader->failed) return;
  e->phase = (int)phase;
  plan_space_bytes(whole, e, bytes);
  READ_LIST(o, "inputs", e->inputs, e->input_count, plan_value, read_value(&element, item, true, bytes));
  READ_LIST(o, "outputs", e->outputs, e->output_count, plan_value, read_value(&element, item, false, bytes));
  char why[PLAN_WHY];
  if (!o->reader->failed && !plan_check_entry(whole, e, why)) field_bad(o->reader, &o->place, "%s", why);
  READ_LIST(o, "launches", e->launches, e->launch_count, plan_launch, read_launch(&element, item, i, bytes));
  check_riders(o, e);
}

static void read_groups(struct object *o, plan *p) {
  if (!json_object_get(o->json, "groups")) return;
  const json_t *names = field_list(o, "groups", &p->group_count);
  p->groups = ARENA_ARRAY(o->reader->memory, const char *, p->group_count + 1);
  for (int i = 0; i < p->group_count; ++i) {
    const char *name = json_string_value(json_array_get(names, (size_t)i));
    if (!name) field_bad(o->reader, &(struct place){&o->place, "groups", i}, "must be text");
    p->groups[i] = arena_string(o->reader->memory, name ? name : "");
  }
}

static void read_plan(struct object *o, plan *p) {
  int64_t format = field_integer(o, "format", 0);
  if (format != PLAN_FORMAT) FIELD_BAD(o, "format", "is %lld; this program reads %d", (long long)format, PLAN_FORMAT);
  if (strcmp(field_string(o, "spaces"), space_legend)) FIELD_BAD(o, "spaces", "must be \"%s\"", space_legend);
  p->network = field_string(o, "network");
  p->target = field_string(o, "target");
  p->precision = field_string_or_null(o, "precision");
  if (!p->precision) p->precision = usual_precision;
  else if (strcmp(p->precision, "f32") && strcmp(p->precision, "bf16"))
    FIELD_BAD(o, "precision", "is \"%.40s\", which is not known", p->precision);
  if (!plan_is_cpu(p) && strncmp(p->target, "sm_", 3))
    FIELD_BAD(o, "target", "is \"%.40s\", which is not known", p->target);
  p->cpu = field_string_or_null(o, "cpu");
  p->cpu_features = field_string_or_null(o, "cpu_features");
  p->tokenizer = field_string_or_null(o, "tokenizer");
  p->vocabulary = field_integer(o, "vocabulary", 1);
  p->classes = field_integer_or(o, "classes", 0);
  p->prefix = field_integer_or(o, "prefix", 0);
  p->positions = field_integer_or(o, "positions", 0);
  p->learned_positions = field_flag(o, "learned_positions");
  p->bos = field_integer(o, "bos", -1);
  p->pad = field_integer(o, "pad", -1);
  field_integers(o, "eos", 0, p->eos, LENGTH(p->eos), &p->eos_count);
  p->parameter_bytes = field_integer(o, "parameter_bytes", 0);
  p->parked_bytes = field_integer_or(o, "parked_bytes", 0);
  if (p->parked_bytes % 4 || p->parked_bytes > p->parameter_bytes || (p->parked_bytes && !plan_is_bf16(p)))
    FIELD_BAD(o, "parked_bytes", "is %lld, of %lld bytes of parameters in %s", (long long)p->parked_bytes,
              (long long)p->parameter_bytes, p->precision);
  p->constant_bytes = field_integer(o, "constant_bytes", 0);
  READ_LIST(o, "parameters", p->parameters, p->parameter_count, plan_parameter, read_parameter(&element, item));
  READ_LIST(o, "rotary", p->rotary, p->rotary_count, plan_rotary, read_rotary(&element, item));
  READ_LIST(o, "phases", p->phases, p->phase_count, plan_phase, read_phase(&element, item));
  read_groups(o, p);
  READ_LIST(o, "entries", p->entries, p->entry_count, plan_entry, read_entry(&element, item));
}

static bool read_text(arena *a, const char *path, const char *data, size_t length, plan **result, lmn_error *error) {
  json_error_t cause;
  json_t *root = json_loadb(data, length, JSON_REJECT_DUPLICATES, &cause);
  if (!root) return fail(error, "%s:%d:%d: %s; compile the network again", path, cause.line, cause.column, cause.text);
  struct reader r = {.memory = a, .path = path, .error = error, .plan = ARENA_NEW(a, plan)};
  struct object o = object_open(&r, root, (struct place){NULL, NULL, -1});
  if (!r.failed) read_plan(&o, r.plan);
  object_close(&o);
  json_decref(root);
  if (r.failed) return false;
  *result = r.plan;
  return true;
}

bool plan_read_text(arena *a, const char *path, const char *json, plan **result, lmn_error *error) {
  return read_text(a, path, json, strlen(json), result, error);
}

bool plan_read(arena *a, const char *path, plan **result, lmn_error *error) {
  char *data;
  size_t length;
  if (!file_read(path, (size_t)1 << 30, &data, &length, error)) return false;
  bool ok = read_text(a, path, data, length, result, error);
  free(data);
  return ok;
}
