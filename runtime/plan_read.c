// Reading plan.json. A field is looked up by name and counted; an object with fields besides the counted ones is
// refused, so that a damaged name is never taken for a field left out.
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan_json.h"

// Where we are, outermost last: entries[2].launches[17].args[1].
struct place {
  const struct place *up;
  const char *name;
  int index; // -1: none
};

struct reader {
  arena *memory;
  const char *path;
  lmn_error *error;
  bool failed;
  plan *plan;
};

// An object being read, and the names of its fields that were.
struct object {
  struct reader *reader;
  const json_t *json;
  struct place place;
  const char *used[40];
  size_t used_count;
};

static void print_place(const struct place *at, text *out) {
  if (at->up) print_place(at->up, out);
  if (!at->name) return;
  text_add(out, out->length ? "." : "");
  text_add(out, at->name);
  if (at->index >= 0) text_printf(out, "[%d]", at->index);
}

PRINTF_LIKE(3, 4) static void bad(struct reader *r, const struct place *at, const char *format, ...) {
  if (r->failed) return;
  r->failed = true;
  text where = {0}, why = {0};
  print_place(at, &where);
  va_list arguments;
  va_start(arguments, format);
  text_vprintf(&why, format, arguments);
  va_end(arguments);
  fail(r->error, "%s: %s%s%s; compile the network again", r->path, where.length ? where.data : "",
       where.length ? ": " : "", why.data);
  text_free(&where);
  text_free(&why);
}

#define BAD(o, field, ...) bad((o)->reader, &(struct place){&(o)->place, field, -1}, __VA_ARGS__)

static struct object open_object(struct reader *r, const json_t *json, struct place place) {
  struct object o = {.reader = r, .json = json, .place = place};
  if (!json_is_object(json)) bad(r, &place, "must be an object");
  return o;
}

static void close_object(struct object *o) {
  const char *name;
  json_t *value;
  if (o->reader->failed || json_object_size(o->json) == o->used_count) return;
  json_object_foreach((json_t *)o->json, name, value) {
    size_t i = 0;
    while (i < o->used_count && strcmp(name, o->used[i])) ++i;
    if (i == o->used_count) bad(o->reader, &o->place, "has a field \"%.60s\", which is not known", name);
  }
}

static const json_t *field(struct object *o, const char *name) {
  const json_t *value = json_object_get(o->json, name);
  if (value) o->used[o->used_count++] = name;
  return value;
}

static int64_t integer_from(struct object *o, const char *name, const json_t *value, int64_t least) {
  if (!json_is_integer(value) || json_integer_value(value) < least) {
    BAD(o, name, value ? "must be an integer of at least %lld" : "is missing (an integer of at least %lld)",
        (long long)least);
    return least;
  }
  return json_integer_value(value);
}

static int64_t integer(struct object *o, const char *name, int64_t least) {
  return integer_from(o, name, field(o, name), least);
}

static int64_t integer_or(struct object *o, const char *name, int64_t usual) {
  const json_t *value = field(o, name);
  return value ? integer_from(o, name, value, 0) : usual;
}

static double real(struct object *o, const char *name) {
  const json_t *value = field(o, name);
  if (!json_is_number(value) || !isfinite(json_number_value(value))) BAD(o, name, "must be a number");
  return json_number_value(value);
}

static bool flag(struct object *o, const char *name) {
  const json_t *value = field(o, name);
  if (value && !json_is_boolean(value)) BAD(o, name, "must be true or false");
  return json_is_true(value);
}

static const char *string_or_null(struct object *o, const char *name) {
  const json_t *value = field(o, name);
  if (value && !json_is_string(value)) BAD(o, name, "must be a string");
  return json_is_string(value) ? arena_copy(o->reader->memory, json_string_value(value), json_string_length(value))
                               : NULL;
}

static const char *string(struct object *o, const char *name) {
  const char *value = string_or_null(o, name);
  if (!value) BAD(o, name, "is missing");
  return value ? value : "";
}

// A string that is one of `count` names: its number.
static int choice(struct object *o, const char *name, const char *const *names, int count) {
  const char *said = string(o, name);
  for (int i = 0; i < count; ++i)
    if (!strcmp(said, names[i])) return i;
  BAD(o, name, "is \"%.40s\", which is not known", said);
  return 0;
}

static const json_t *list(struct object *o, const char *name, int *count) {
  const json_t *value = field(o, name);
  if (!json_is_array(value)) BAD(o, name, "must be a list");
  *count = (int)json_array_size(value);
  return value;
}

// Reads a list of integers, all of at least `least`, into `out` of room for `limit`; NULL: allocated.
static int64_t *integers(struct object *o, const char *name, int64_t least, int64_t *out, int limit, int *count) {
  const json_t *value = list(o, name, count), *element;
  if (out && *count > limit) {
    BAD(o, name, "must have at most %d numbers", limit);
    *count = 0;
    return out;
  }
  if (!out) out = ARENA_ARRAY(o->reader->memory, int64_t, *count);
  for (int i = 0; i < *count; ++i) {
    element = json_array_get(value, (size_t)i);
    out[i] = json_integer_value(element);
    if (!json_is_integer(element) || out[i] < least)
      bad(o->reader, &(struct place){&o->place, name, i}, "must be an integer of at least %lld", (long long)least);
  }
  return out;
}

// A shape's elements, -1 where they cannot be counted.
static int64_t elements_of(const int64_t *shape, int rank) {
  int64_t elements = 1;
  for (int i = 0; i < rank; ++i)
    if (__builtin_mul_overflow(elements, shape[i], &elements) || elements > INT64_MAX / 16) return -1;
  return elements;
}

// Whether `elements` of 4 bytes at `offset` lie within `bytes`.
static bool inside(int64_t offset, int64_t elements, int64_t bytes) {
  return elements >= 0 && offset >= 0 && offset % 4 == 0 && offset <= bytes && elements <= (bytes - offset) / 4;
}

static void read_parameter(struct object *o, plan_parameter *p) {
  p->name = string(o, "name");
  integers(o, "shape", 0, p->shape, 2, &p->rank);
  if (p->rank < 1) BAD(o, "shape", "must have one or two sizes");
  if (p->rank == 1) p->shape[1] = 1;
  p->elements = elements_of(p->shape, p->rank);
  p->offset = integer(o, "offset", 0);
  if (!inside(p->offset, p->elements, o->reader->plan->parameter_bytes))
    BAD(o, "offset", "is %lld: the parameter does not lie in the %lld bytes of all", (long long)p->offset,
        (long long)o->reader->plan->parameter_bytes);
  p->group = string(o, "group");
  p->matrix = flag(o, "matrix");
  p->source = choice(o, "source", source_names, LENGTH(source_names));
  if (p->source == SOURCE_TENSOR) {
    p->directory = string(o, "directory");
    p->tensor = string(o, "tensor");
  }
  if (p->source == SOURCE_NORMAL) {
    p->mean = real(o, "mean");
    p->std = real(o, "std");
  }
}

static void read_rotary(struct object *o, plan_rotary *r) {
  r->offset = integer(o, "offset", 0);
  r->length = integer(o, "length", 0);
  r->dim = integer(o, "dim", 0);
  if (!inside(r->offset, elements_of((const int64_t[]){r->length, r->dim}, 2), o->reader->plan->constant_bytes))
    BAD(o, "offset", "is %lld: the table does not lie in the %lld bytes of all", (long long)r->offset,
        (long long)o->reader->plan->constant_bytes);
  int64_t kind = integer(o, "kind", 1);
  if (kind > 3) BAD(o, "kind", "must be 1, 2 or 3");
  r->kind = kind > 3 ? 1 : (int)kind;
  r->theta = real(o, "theta");
  r->factor = real(o, "factor");
  r->low_frequency_factor = real(o, "low_frequency_factor");
  r->high_frequency_factor = real(o, "high_frequency_factor");
  r->original_length = integer(o, "original_length", 0);
}

static void read_trained(struct object *o, plan_phase *p) {
  const plan *whole = o->reader->plan;
  const json_t *trained = list(o, "trained", &p->trained_count);
  p->trained = ARENA_ARRAY(o->reader->memory, plan_trained, p->trained_count);
  for (int i = 0; i < p->trained_count; ++i) {
    const json_t *pair = json_array_get(trained, (size_t)i), *parameter = json_array_get(pair, 0),
                 *offset = json_array_get(pair, 1);
    struct place at = {&o->place, "trained", i};
    int64_t index = json_integer_value(parameter);
    if (json_array_size(pair) != 2 || !json_is_integer(parameter) || !json_is_integer(offset) || index < 0 ||
        index >= whole->parameter_count) {
      bad(o->reader, &at, "must be a parameter's number, below %d, and an offset", whole->parameter_count);
      return;
    }
    p->trained[i] = (plan_trained){(int)index, json_integer_value(offset)};
    if (!inside(p->trained[i].offset, whole->parameters[index].elements, p->gradient_bytes))
      bad(o->reader, &at, "offset %lld: the gradient does not lie in the %lld bytes of all",
          (long long)p->trained[i].offset, (long long)p->gradient_bytes);
  }
}

static uint64_t seed(struct object *o) {
  const char *digits = string(o, "seed");
  char *end;
  uint64_t value = strtoumax(digits, &end, 10);
  if (!*digits || *end || strspn(digits, "0123456789") != strlen(digits)) BAD(o, "seed", "must be a number, as text");
  return value;
}

static void read_phase(struct object *o, plan_phase *p) {
  p->name = string(o, "name");
  p->gradient_bytes = integer(o, "gradient_bytes", 0);
  read_trained(o, p);
  p->lr = real(o, "lr");
  p->beta1 = real(o, "beta1");
  p->beta2 = real(o, "beta2");
  p->eps = real(o, "eps");
  p->weight_decay = real(o, "weight_decay");
  p->clip = real(o, "clip");
  p->label_smoothing = real(o, "label_smoothing");
  p->decay_all = flag(o, "decay_all");
  int64_t schedule = integer(o, "schedule", 0);
  if (schedule > 2) BAD(o, "schedule", "must be 0, 1 or 2");
  p->schedule = schedule > 2 ? 0 : (int)schedule;
  p->schedule_final = real(o, "schedule_final");
  p->warmup = integer_or(o, "warmup", 0);
  p->steps = integer_or(o, "steps", 0);
  p->epochs = integer_or(o, "epochs", 0);
  p->batch = integer_or(o, "batch", 0);
  p->length = integer_or(o, "length", 0);
  p->accumulate = integer_or(o, "accumulate", 0);
  p->evaluate_every = integer_or(o, "evaluate_every", 0);
  p->save_every = integer_or(o, "save_every", 0);
  p->seed = seed(o);
  p->data = string_or_null(o, "data");
  p->validation = string_or_null(o, "validation");
  p->prompt = string_or_null(o, "prompt");
  p->completion = string_or_null(o, "completion");
}

// The bytes of each space as the entry sees them.
static void space_bytes(const plan *p, const plan_entry *e, int64_t bytes[SPACE_COUNT]) {
  int64_t gradient = e->phase >= 0 ? p->phases[e->phase].gradient_bytes : 0;
  const int64_t all[SPACE_COUNT] = {
      [SPACE_PARAMETER] = p->parameter_bytes,
      [SPACE_GRADIENT] = gradient,
      [SPACE_MOMENT1] = gradient,
      [SPACE_MOMENT2] = gradient,
      [SPACE_ARENA] = e->arena_bytes,
      [SPACE_INPUT] = e->input_bytes,
      [SPACE_OUTPUT] = e->output_bytes,
      [SPACE_CONSTANT] = p->constant_bytes,
      [SPACE_CACHE] = e->cache_bytes,
  };
  memcpy(bytes, all, sizeof all);
}

// "arena:4096", an offset within its space.
static plan_ref read_ref(struct reader *r, const json_t *value, const struct place *at,
                         const int64_t bytes[SPACE_COUNT]) {
  plan_ref ref = {0};
  const char *said = json_string_value(value), *colon = said ? strchr(said, ':') : NULL;
  size_t length = colon ? (size_t)(colon - said) : 0;
  while (colon && ref.space < SPACE_COUNT &&
         (strncmp(plan_space_names[ref.space], said, length) || plan_space_names[ref.space][length]))
    ++ref.space;
  if (!colon || ref.space == SPACE_COUNT || !colon[1]) {
    bad(r, at, "must be a space and an offset, as \"arena:4096\"");
    return (plan_ref){0};
  }
  for (const char *digit = colon + 1; *digit; ++digit) {
    if (*digit < '0' || *digit > '9' || __builtin_mul_overflow(ref.offset, 10, &ref.offset) ||
        __builtin_add_overflow(ref.offset, *digit - '0', &ref.offset)) {
      bad(r, at, "must be a space and an offset, as \"arena:4096\"");
      return (plan_ref){0};
    }
  }
  if (!inside(ref.offset, 0, bytes[ref.space]))
    bad(r, at, "\"%s\" must be a multiple of 4 within the %lld bytes of the space", said, (long long)bytes[ref.space]);
  return ref;
}

static void read_value(struct object *o, plan_value *v, bool input, const int64_t bytes[SPACE_COUNT]) {
  v->name = string(o, "name");
  v->type = choice(o, "type", type_names, LENGTH(type_names));
  integers(o, "shape", 0, v->shape, 4, &v->rank);
  v->at = read_ref(o->reader, field(o, "at"), &(struct place){&o->place, "at", -1}, bytes);
  if (input && v->at.space != SPACE_INPUT) BAD(o, "at", "must be in input");
  if (!inside(v->at.offset, elements_of(v->shape, v->rank), bytes[v->at.space]))
    BAD(o, "at", "the value does not lie in the %lld bytes of the space", (long long)bytes[v->at.space]);
}

// The elements from the first to the last of a matrix with a leading dimension; -1 where it cannot be one.
static int64_t extent(int64_t rows, int64_t columns, int64_t leading) {
  int64_t elements;
  if (rows == 0 || columns == 0) return 0;
  if (leading < columns || __builtin_mul_overflow(rows - 1, leading, &elements) ||
      __builtin_add_overflow(elements, columns, &elements))
    return -1;
  return elements;
}

static void read_gemm(struct object *o, plan_launch *l, const int64_t bytes[SPACE_COUNT]) {
  int64_t n[7] = {0};
  int count;
  integers(o, "gemm", 0, n, 7, &count);
  plan_gemm *g = &l->gemm;
  *g = (plan_gemm){
      n[0], n[1], n[2], n[3], n[4], n[5], n[6], flag(o, "trans_a"), flag(o, "trans_b"), flag(o, "accumulate")};
  if (count != 7) BAD(o, "gemm", "must be m, n, k, lda, ldb, ldc, groups");
  if (g->groups > l->arg_count / 3) {
    BAD(o, "args", "are %d, too few for %lld groups", l->arg_count, (long long)g->groups);
    return;
  }
  const int64_t extents[3] = {g->trans_a ? extent(g->k, g->m, g->lda) : extent(g->m, g->k, g->lda),
                              g->trans_b ? extent(g->n, g->k, g->ldb) : extent(g->k, g->n, g->ldb),
                              extent(g->m, g->n, g->ldc)};
  for (int operand = 0; operand < 3; ++operand)
    for (int64_t group = 0; group < g->groups; ++group) {
      plan_ref ref = l->args[operand * g->groups + group];
      if (!inside(ref.offset, extents[operand], bytes[ref.space]))
        bad(o->reader, &(struct place){&o->place, "args", (int)(operand * g->groups + group)},
            "matrix %c does not lie in the %lld bytes of the space", "ABC"[operand], (long long)bytes[ref.space]);
    }
}

static void read_launch(struct object *o, plan_launch *l, const int64_t bytes[SPACE_COUNT]) {
  l->kernel = string_or_null(o, "kernel");
  if (l->kernel &&
      (!*l->kernel || l->kernel[strspn(l->kernel, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")]))
    BAD(o, "kernel", "\"%.60s\" is no kernel's name", l->kernel);
  l->what = string_or_null(o, "what");
  l->tasks = integer_or(o, "tasks", 0);
  l->grain = integer_or(o, "grain", 0);
  l->scratch = integer_or(o, "scratch", 0);
  const json_t *args = list(o, "args", &l->arg_count);
  l->args = ARENA_ARRAY(o->reader->memory, plan_ref, l->arg_count);
  for (int i = 0; i < l->arg_count && !o->reader->failed; ++i)
    l->args[i] = read_ref(o->reader, json_array_get(args, (size_t)i), &(struct place){&o->place, "args", i}, bytes);
  if (json_object_get(o->json, "dims")) l->dims = integers(o, "dims", INT64_MIN, NULL, 0, &l->dim_count);
  l->kind = json_object_get(o->json, "gemm") ? LAUNCH_GEMM : LAUNCH_KERNEL;
  if (l->kind == LAUNCH_GEMM && !o->reader->failed) read_gemm(o, l, bytes);
  if (l->kind == LAUNCH_KERNEL && !l->kernel) BAD(o, "kernel", "is missing");
}

// Reads the list `name` of objects by `read`, which sees `o` (of element i) and `element`.
#define READ_LIST(outer, name, array, array_count, type, read)                                                         \
  do {                                                                                                                 \
    const json_t *elements = list(outer, name, &(array_count));                                                        \
    (array) = ARENA_ARRAY((outer)->reader->memory, type, array_count);                                                 \
    for (int i = 0; i < (array_count) && !(outer)->reader->failed; ++i) {                                              \
      struct object element =                                                                                          \
          open_object((outer)->reader, json_array_get(elements, (size_t)i), (struct place){&(outer)->place, name, i}); \
      type *item = &(array)[i];                                                                                        \
      if (!element.reader->failed) read;                                                                               \
      close_object(&element);                                                                                          \
    }                                                                                                                  \
  } while (0)

static void read_entry(struct object *o, plan_entry *e) {
  const plan *whole = o->reader->plan;
  int64_t bytes[SPACE_COUNT], phase = integer_or(o, "phase", -1);
  e->name = string(o, "name");
  e->kind = choice(o, "kind", entry_kind_names, LENGTH(entry_kind_names));
  if (phase >= whole->phase_count) BAD(o, "phase", "is %lld; there are %d", (long long)phase, whole->phase_count);
  e->batch = integer_or(o, "batch", 0);
  e->length = integer_or(o, "length", 0);
  e->capacity = integer_or(o, "capacity", 0);
  e->packed = flag(o, "packed");
  e->arena_bytes = integer(o, "arena_bytes", 0);
  e->input_bytes = integer(o, "input_bytes", 0);
  e->output_bytes = integer(o, "output_bytes", 0);
  e->cache_bytes = integer_or(o, "cache_bytes", 0);
  e->vertex_runs = integer_or(o, "vertex_runs", 0);
  e->vertices = integer_or(o, "vertices", 0);
  e->masks = integer_or(o, "masks", 0);
  e->mask_uses = integer_or(o, "mask_uses", 0);
  e->flops = integer_or(o, "flops", 0);
  if (o->reader->failed) return;
  e->phase = (int)phase;
  space_bytes(whole, e, bytes);
  READ_LIST(o, "inputs", e->inputs, e->input_count, plan_value, read_value(&element, item, true, bytes));
  READ_LIST(o, "outputs", e->outputs, e->output_count, plan_value, read_value(&element, item, false, bytes));
  READ_LIST(o, "launches", e->launches, e->launch_count, plan_launch, read_launch(&element, item, bytes));
}

static void read_plan(struct object *o, plan *p) {
  int64_t format = integer(o, "format", 0);
  if (format != PLAN_FORMAT) BAD(o, "format", "is %lld; this program reads %d", (long long)format, PLAN_FORMAT);
  p->network = string(o, "network");
  p->target = string(o, "target");
  p->cpu = string_or_null(o, "cpu");
  p->cpu_features = string_or_null(o, "cpu_features");
  p->tokenizer = string_or_null(o, "tokenizer");
  p->vocabulary = integer(o, "vocabulary", 1);
  p->classes = integer_or(o, "classes", 0);
  p->prefix = integer_or(o, "prefix", 0);
  p->positions = integer_or(o, "positions", 0);
  p->learned_positions = flag(o, "learned_positions");
  p->bos = integer(o, "bos", -1);
  p->pad = integer(o, "pad", -1);
  integers(o, "eos", 0, p->eos, LENGTH(p->eos), &p->eos_count);
  p->parameter_bytes = integer(o, "parameter_bytes", 0);
  p->constant_bytes = integer(o, "constant_bytes", 0);
  READ_LIST(o, "parameters", p->parameters, p->parameter_count, plan_parameter, read_parameter(&element, item));
  READ_LIST(o, "rotary", p->rotary, p->rotary_count, plan_rotary, read_rotary(&element, item));
  READ_LIST(o, "phases", p->phases, p->phase_count, plan_phase, read_phase(&element, item));
  READ_LIST(o, "entries", p->entries, p->entry_count, plan_entry, read_entry(&element, item));
}

bool plan_read(arena *a, const char *path, plan **result, lmn_error *error) {
  char *data;
  size_t length;
  if (!file_read(path, (size_t)1 << 30, &data, &length, error)) return false;
  json_error_t cause;
  json_t *root = json_loadb(data, length, JSON_REJECT_DUPLICATES, &cause);
  free(data);
  if (!root) return fail(error, "%s:%d:%d: %s; compile the network again", path, cause.line, cause.column, cause.text);
  struct reader r = {.memory = a, .path = path, .error = error, .plan = ARENA_NEW(a, plan)};
  struct object o = open_object(&r, root, (struct place){NULL, NULL, -1});
  if (!r.failed) read_plan(&o, r.plan);
  close_object(&o);
  json_decref(root);
  if (r.failed) return false;
  *result = r.plan;
  return true;
}
