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

// Reads a list of integers, all of at least `least`, into `out` of room for `limit`.
static void integers(struct object *o, const char *name, int64_t least, int64_t *out, int limit, int *count) {
  const json_t *value = list(o, name, count), *element;
  if (*count > limit) {
    BAD(o, name, "must have at most %d numbers", limit);
    *count = 0;
  }
  for (int i = 0; i < *count; ++i) {
    element = json_array_get(value, (size_t)i);
    out[i] = json_integer_value(element);
    if (!json_is_integer(element) || out[i] < least)
      bad(o->reader, &(struct place){&o->place, name, i}, "must be an integer of at least %lld", (long long)least);
  }
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
  p->tied = flag(o, "tied");
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
    const plan_parameter *of = &whole->parameters[index];
    if (!inside(of->offset, of->elements, whole->parameter_bytes - whole->parked_bytes))
      bad(o->reader, &at, "%s is trained, and lies among the %lld parked bytes of the parameters", of->name,
          (long long)whole->parked_bytes);
    if (!inside(p->trained[i].offset, of->elements, p->gradient_bytes))
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

// Reads the number at *at and moves behind it; false where there is none that fits 64 bits.
static bool scan_number(const char **at, int64_t *value) {
  const char *p = *at + (**at == '-');
  int sign = **at == '-' ? -1 : 1;
  if (*p < '0' || *p > '9') return false;
  for (*value = 0; *p >= '0' && *p <= '9'; ++p)
    if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, sign * (*p - '0'), value))
      return false;
  *at = p;
  return true;
}

// "a4096", an offset within its space. False at what is none; the place then names it.
static bool scan_ref(struct reader *r, const char **at, const struct place *place, const int64_t bytes[SPACE_COUNT],
                     plan_ref *ref) {
  const char *start = *at, *letter = *start ? strchr(space_letters, *start) : NULL;
  *at += letter != NULL;
  if (!letter || !scan_number(at, &ref->offset)) {
    bad(r, place, "must be a space's letter and an offset, as \"a4096\"");
    return false;
  }
  ref->space = (plan_space)(letter - space_letters);
  int64_t multiple = plan_is_bf16(r->plan) ? 2 : 4;
  if (ref->offset >= 0 && ref->offset % multiple == 0 && ref->offset <= bytes[ref->space]) return true;
  bad(r, place, "%.*s must be a multiple of %d within the %lld bytes of space %s", (int)(*at - start), start,
      (int)multiple, (long long)bytes[ref->space], plan_space_names[ref->space]);
  return false;
}

// How many words a string of them has; -1 where they are not parted by one space each.
static int count_words(const char *string) {
  int count = *string != 0;
  for (const char *p = string; *p; ++p) {
    if (*p != ' ') continue;
    if (p == string || p[1] == ' ' || p[1] == 0) return -1;
    ++count;
  }
  return count;
}

// "4 -8 16"
static int64_t *scan_numbers(struct object *o, const char *name, const char *string, int *count) {
  *count = count_words(string);
  int64_t *numbers = ARENA_ARRAY(o->reader->memory, int64_t, *count < 0 ? 0 : *count);
  bool ok = *count >= 0;
  for (int i = 0; ok && i < *count; ++i) {
    ok = scan_number(&string, &numbers[i]) && (*string == ' ' || !*string);
    string += *string == ' ';
  }
  if (ok) return numbers;
  BAD(o, name, "must be numbers with one space between them");
  *count = 0;
  return numbers;
}

// "i0 p64 a4096"
static void read_args(struct object *o, plan_launch *l, const int64_t bytes[SPACE_COUNT]) {
  const json_t *value = field(o, "args");
  const char *string = json_string_value(value);
  l->arg_count = string ? count_words(string) : -1;
  if (l->arg_count < 0) {
    BAD(o, "args", "must be places with one space between them");
    return;
  }
  l->args = ARENA_ARRAY(o->reader->memory, plan_ref, l->arg_count);
  for (int i = 0; i < l->arg_count; ++i) {
    struct place place = {&o->place, "args", i};
    if (!scan_ref(o->reader, &string, &place, bytes, &l->args[i])) return;
    if (*string && *string++ != ' ') {
      bad(o->reader, &place, "must be a space's letter and an offset, as \"a4096\"");
      return;
    }
  }
}

static void read_value(struct object *o, plan_value *v, bool input, const int64_t bytes[SPACE_COUNT]) {
  v->name = string(o, "name");
  v->type = choice(o, "type", type_names, LENGTH(type_names));
  integers(o, "shape", 0, v->shape, 4, &v->rank);
  const char *at = string(o, "at");
  if (scan_ref(o->reader, &at, &(struct place){&o->place, "at", -1}, bytes, &v->at) && *at)
    BAD(o, "at", "must be one place");
  plan_space space = input ? SPACE_INPUT : SPACE_OUTPUT;
  if (v->at.space != space) BAD(o, "at", "must be in %s", plan_space_names[space]);
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

// Each group has a piece at least, and they are in order.
static bool pieces_fit(const plan_launch *l, const plan_gemm *g) {
  if (g->groups > l->dim_count || l->dim_count - g->groups <= GEMM_FIRST || l->dims[GEMM_FIRST]) return false;
  for (int64_t i = 0; i < g->groups; ++i)
    if (l->dims[GEMM_FIRST + i + 1] <= l->dims[GEMM_FIRST + i]) return false;
  return l->dims[GEMM_FIRST + g->groups] == g->pieces;
}

// "nt+ m n k lda ldb ldc groups", and pieces where groups have several
static void read_gemm(struct object *o, plan_launch *l, const int64_t bytes[SPACE_COUNT]) {
  const char *said = string(o, "gemm");
  plan_gemm *g = &l->gemm;
  bool letters = (said[0] == 'n' || said[0] == 't') && (said[1] == 'n' || said[1] == 't');
  g->trans_a = letters && said[0] == 't';
  g->trans_b = letters && said[1] == 't';
  g->accumulate = letters && said[2] == '+';
  int count = 0;
  int64_t *n =
      letters && said[2 + g->accumulate] == ' ' ? scan_numbers(o, "gemm", said + 3 + g->accumulate, &count) : NULL;
  for (int i = 0; i < count; ++i) count = n[i] < 0 ? 0 : count;
  if (count != 7 && count != 8) {
    BAD(o, "gemm", "must be as \"nt m n k lda ldb ldc groups\"");
    return;
  }
  g->m = n[0], g->n = n[1], g->k = n[2], g->lda = n[3], g->ldb = n[4], g->ldc = n[5], g->groups = n[6];
  g->pieces = count == 8 ? n[7] : 0;
  int64_t pieces = g->pieces ? g->pieces : g->groups;
  if (g->groups > l->arg_count || pieces > (l->arg_count - g->groups) / 2) {
    BAD(o, "args", "are %d, too few for %lld groups", l->arg_count, (long long)g->groups);
    return;
  }
  if (g->pieces && !pieces_fit(l, g)) {
    BAD(o, "dims", "do not say which of the %lld pieces each group has", (long long)g->pieces);
    return;
  }
  const int64_t extents[3] = {g->trans_a ? extent(g->k, g->m, g->lda) : extent(g->m, g->k, g->lda),
                              g->trans_b ? extent(g->n, g->k, g->ldb) : extent(g->k, g->n, g->ldb),
                              extent(g->m, g->n, g->ldc)};
  for (int operand = 0; operand < 3; ++operand)
    for (int64_t i = 0; i < (operand < 2 ? pieces : g->groups); ++i) {
      plan_ref ref = l->args[operand * pieces + i];
      if (!inside(ref.offset, extents[operand], bytes[ref.space]))
        bad(o->reader, &(struct place){&o->place, "args", (int)(operand * pieces + i)},
            "matrix %c does not lie in the %lld bytes of the space", "ABC"[operand], (long long)bytes[ref.space]);
    }
}

// ["a4096 2 896 4096 1 1792 0 64 128 128", …]; with pieces two more numbers
static void read_maps(struct object *o, plan_launch *l, const int64_t bytes[SPACE_COUNT]) {
  enum { NUMBERS = 9, PIECES = 11 };
  const json_t *all = list(o, "maps", &l->map_count);
  l->maps = ARENA_ARRAY(o->reader->memory, plan_map, l->map_count);
  for (int i = 0; i < l->map_count && !o->reader->failed; ++i) {
    struct place place = {&o->place, "maps", i};
    const char *at = json_string_value(json_array_get(all, (size_t)i));
    plan_map *m = &l->maps[i];
    int count = 0;
    bool ok = at && scan_ref(o->reader, &at, &place, bytes, &m->at) && *at++ == ' ';
    const int64_t *n = ok ? scan_numbers(o, "maps", at, &count) : NULL;
    if (count != NUMBERS && count != PIECES) {
      bad(o->reader, &place, "must be a place and %d numbers, or %d", NUMBERS, PIECES);
      return;
    }
    *m = (plan_map){m->at, n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], 0, 0};
    if (count == PIECES) m->pieces = n[9], m->box_pieces = n[10];
    char why[PLAN_WHY];
    if (!plan_check_map(m, bytes[m->at.space], why)) bad(o->reader, &place, "%s", why);
  }
}

// "grid x y z, threads, shared memory"
static void read_cuda(struct object *o, plan_launch *l, const int64_t bytes[SPACE_COUNT]) {
  enum { THREADS = 1024, GRID_YZ = 65535 };
  int count = 0;
  const int64_t *n = scan_numbers(o, "cuda", string(o, "cuda"), &count);
  bool ok = count == 5 && n[3] >= 1 && n[3] <= THREADS && n[4] >= 0 && n[4] <= CUDA_SHARED_BYTES;
  for (int i = 0; ok && i < 3; ++i) ok = n[i] >= 1 && n[i] <= (i ? GRID_YZ : INT32_MAX);
  if (!ok) {
    BAD(o, "cuda", "must be three sizes of a grid, up to %d threads and up to %d bytes of shared memory", THREADS,
        CUDA_SHARED_BYTES);
    return;
  }
  for (int i = 0; i < 3; ++i) l->grid[i] = n[i];
  l->block = n[3], l->shared = n[4];
  l->table = flag(o, "table");
  if (json_object_get(o->json, "maps")) read_maps(o, l, bytes);
  if (l->map_count && (l->table || plan_parameter_bytes(l) > CUDA_MAPS_PARAMETER_BYTES))
    BAD(o, "maps", "cannot be passed by value with %d args and %d dims", l->arg_count, l->dim_count);
  if (!l->map_count && !l->table && plan_parameter_bytes(l) > CUDA_PARAMETER_BYTES)
    BAD(o, "table", "must be true: %d args and %d dims are too many to be passed by value", l->arg_count, l->dim_count);
  if (l->rides || l->scratch) BAD(o, "cuda", "does not go with rides and scratch");
}

// "12 15": launches before this one, which is the index-th.
static void read_after(struct object *o, plan_launch *l, int index) {
  const char *said = string_or_null(o, "after");
  if (!said) return;
  l->ordered = true;
  l->after = scan_numbers(o, "after", said, &l->after_count);
  for (int i = 0; i < l->after_count; ++i)
    if (l->after[i] < (i ? l->after[i - 1] + 1 : 0) || l->after[i] >= index) {
      BAD(o, "after", "must be launches before this one, in order");
      return;
    }
}

static bool is_cpu(const plan *p) { return !strcmp(p->target, "cpu"); }

static void read_launch(struct object *o, plan_launch *l, int index, const int64_t bytes[SPACE_COUNT]) {
  l->kernel = string_or_null(o, "kernel");
  if (l->kernel &&
      (!*l->kernel || l->kernel[strspn(l->kernel, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")]))
    BAD(o, "kernel", "\"%.60s\" is no kernel's name", l->kernel);
  l->what = string_or_null(o, "what");
  l->shape = string_or_null(o, "shape");
  int64_t group = integer_or(o, "group", 0);
  if (group > o->reader->plan->group_count)
    BAD(o, "group", "is %lld; there are %d", (long long)group, o->reader->plan->group_count);
  l->group = (int)group;
  l->flops = integer_or(o, "flops", 0);
  l->bytes = integer_or(o, "bytes", 0);
  l->vertices = integer_or(o, "vertices", 0);
  l->rides = flag(o, "rides");
  l->tasks = integer_or(o, "tasks", 0);
  l->grain = integer_or(o, "grain", 0);
  l->scratch = integer_or(o, "scratch", 0);
  read_args(o, l, bytes);
  const char *dims = string_or_null(o, "dims");
  if (dims) l->dims = scan_numbers(o, "dims", dims, &l->dim_count);
  l->kind = json_object_get(o->json, "cuda")   ? LAUNCH_CUDA
            : json_object_get(o->json, "gemm") ? LAUNCH_GEMM
                                               : LAUNCH_KERNEL;
  if (is_cpu(o->reader->plan) != (l->kind != LAUNCH_CUDA))
    bad(o->reader, &o->place, "is no launch for the target %s", o->reader->plan->target);
  if (l->kind == LAUNCH_GEMM && !o->reader->failed) read_gemm(o, l, bytes);
  if (l->kind == LAUNCH_CUDA && !o->reader->failed) read_cuda(o, l, bytes);
  if (l->kind == LAUNCH_CUDA && !o->reader->failed) read_after(o, l, index);
  if (l->kind != LAUNCH_GEMM && !l->kernel) BAD(o, "kernel", "is missing");
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

// A rider does the rows of the product before it, all of them.
static void check_riders(struct object *o, const plan_entry *e) {
  const plan_launch *product = NULL;
  for (int i = 0; i < e->launch_count && !o->reader->failed; ++i) {
    const plan_launch *l = &e->launches[i];
    if (!l->rides) product = l->kind == LAUNCH_GEMM ? l : NULL;
    else if (!product || l->kind != LAUNCH_KERNEL || l->tasks != product->gemm.m * product->gemm.groups)
      bad(o->reader, &(struct place){&o->place, "launches", i}, "rides on no product of as many rows");
  }
}

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
  e->recompute = string_or_null(o, "recompute");
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
  plan_space_bytes(whole, e, bytes);
  READ_LIST(o, "inputs", e->inputs, e->input_count, plan_value, read_value(&element, item, true, bytes));
  READ_LIST(o, "outputs", e->outputs, e->output_count, plan_value, read_value(&element, item, false, bytes));
  char why[PLAN_WHY];
  if (!o->reader->failed && !plan_check_entry(whole, e, why)) bad(o->reader, &o->place, "%s", why);
  READ_LIST(o, "launches", e->launches, e->launch_count, plan_launch, read_launch(&element, item, i, bytes));
  check_riders(o, e);
}

static void read_groups(struct object *o, plan *p) {
  if (!json_object_get(o->json, "groups")) return;
  const json_t *names = list(o, "groups", &p->group_count);
  p->groups = ARENA_ARRAY(o->reader->memory, const char *, p->group_count + 1);
  for (int i = 0; i < p->group_count; ++i) {
    const char *name = json_string_value(json_array_get(names, (size_t)i));
    if (!name) bad(o->reader, &(struct place){&o->place, "groups", i}, "must be text");
    p->groups[i] = arena_string(o->reader->memory, name ? name : "");
  }
}

static void read_plan(struct object *o, plan *p) {
  int64_t format = integer(o, "format", 0);
  if (format != PLAN_FORMAT) BAD(o, "format", "is %lld; this program reads %d", (long long)format, PLAN_FORMAT);
  if (strcmp(string(o, "spaces"), space_legend)) BAD(o, "spaces", "must be \"%s\"", space_legend);
  p->network = string(o, "network");
  p->target = string(o, "target");
  p->precision = string_or_null(o, "precision");
  if (!p->precision) p->precision = usual_precision;
  else if (strcmp(p->precision, "f32") && strcmp(p->precision, "bf16"))
    BAD(o, "precision", "is \"%.40s\", which is not known", p->precision);
  if (!is_cpu(p) && strncmp(p->target, "sm_", 3)) BAD(o, "target", "is \"%.40s\", which is not known", p->target);
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
  p->parked_bytes = integer_or(o, "parked_bytes", 0);
  if (p->parked_bytes % 4 || p->parked_bytes > p->parameter_bytes || (p->parked_bytes && !plan_is_bf16(p)))
    BAD(o, "parked_bytes", "is %lld, of %lld bytes of parameters in %s", (long long)p->parked_bytes,
        (long long)p->parameter_bytes, p->precision);
  p->constant_bytes = integer(o, "constant_bytes", 0);
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
  struct object o = open_object(&r, root, (struct place){NULL, NULL, -1});
  if (!r.failed) read_plan(&o, r.plan);
  close_object(&o);
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
