#include "runtime/plan_fields.h"

#include <math.h>

static void print_place(const struct place *at, text *out) {
  if (at->up) print_place(at->up, out);
  if (!at->name) return;
  text_add(out, out->length ? "." : "");
  text_add(out, at->name);
  if (at->index >= 0) text_printf(out, "[%d]", at->index);
}

void field_bad(struct reader *r, const struct place *at, const char *format, ...) {
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

struct object object_open(struct reader *r, const json_t *json, struct place place) {
  struct object o = {.reader = r, .json = json, .place = place};
  if (!json_is_object(json)) field_bad(r, &place, "must be an object");
  return o;
}

void object_close(struct object *o) {
  const char *name;
  json_t *value;
  if (o->reader->failed || json_object_size(o->json) == o->used_count) return;
  json_object_foreach((json_t *)o->json, name, value) {
    size_t i = 0;
    while (i < o->used_count && strcmp(name, o->used[i])) ++i;
    if (i == o->used_count) field_bad(o->reader, &o->place, "has a field \"%.60s\", which is not known", name);
  }
}

const json_t *field_get(struct object *o, const char *name) {
  const json_t *value = json_object_get(o->json, name);
  if (value) o->used[o->used_count++] = name;
  return value;
}

static int64_t integer_from(struct object *o, const char *name, const json_t *value, int64_t least) {
  if (!json_is_integer(value) || json_integer_value(value) < least) {
    FIELD_BAD(o, name, value ? "must be an integer of at least %lld" : "is missing (an integer of at least %lld)",
              (long long)least);
    return least;
  }
  return json_integer_value(value);
}

int64_t field_integer(struct object *o, const char *name, int64_t least) {
  return integer_from(o, name, field_get(o, name), least);
}

int64_t field_integer_or(struct object *o, const char *name, int64_t usual) {
  const json_t *value = field_get(o, name);
  return value ? integer_from(o, name, value, 0) : usual;
}

double field_real(struct object *o, const char *name) {
  const json_t *value = field_get(o, name);
  if (!json_is_number(value) || !isfinite(json_number_value(value))) FIELD_BAD(o, name, "must be a number");
  return json_number_value(value);
}

bool field_flag(struct object *o, const char *name) {
  const json_t *value = field_get(o, name);
  if (value && !json_is_boolean(value)) FIELD_BAD(o, name, "must be true or false");
  return json_is_true(value);
}

const char *field_string_or_null(struct object *o, const char *name) {
  const json_t *value = field_get(o, name);
  if (value && !json_is_string(value)) FIELD_BAD(o, name, "must be a string");
  return json_is_string(value) ? arena_copy(o->reader->memory, json_string_value(value), json_string_length(value))
                               : NULL;
}

const char *field_string(struct object *o, const char *name) {
  const char *value = field_string_or_null(o, name);
  if (!value) FIELD_BAD(o, name, "is missing");
  return value ? value : "";
}

int field_choice(struct object *o, const char *name, const char *const *names, int count) {
  const char *said = field_string(o, name);
  for (int i = 0; i < count; ++i)
    if (!strcmp(said, names[i])) return i;
  FIELD_BAD(o, name, "is \"%.40s\", which is not known", said);
  return 0;
}

const json_t *field_list(struct object *o, const char *name, int *count) {
  const json_t *value = field_get(o, name);
  if (!json_is_array(value)) FIELD_BAD(o, name, "must be a list");
  *count = (int)json_array_size(value);
  return value;
}

void field_integers(struct object *o, const char *name, int64_t least, int64_t *out, int limit, int *count) {
  const json_t *value = field_list(o, name, count), *element;
  if (*count > limit) {
    FIELD_BAD(o, name, "must have at most %d numbers", limit);
    *count = 0;
  }
  for (int i = 0; i < *count; ++i) {
    element = json_array_get(value, (size_t)i);
    out[i] = json_integer_value(element);
    if (!json_is_integer(element) || out[i] < least)
      field_bad(o->reader, &(struct place){&o->place, name, i}, "must be an integer of at least %lld",
                (long long)least);
  }
}

int64_t shape_elements(const int64_t *shape, int rank) {
  int64_t elements = 1;
  for (int i = 0; i < rank; ++i)
    if (__builtin_mul_overflow(elements, shape[i], &elements) || elements > INT64_MAX / 16) return -1;
  return elements;
}

bool space_holds(int64_t offset, int64_t elements, int64_t bytes) {
  return elements >= 0 && offset >= 0 && offset % 4 == 0 && offset <= bytes && elements <= (bytes - offset) / 4;
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

bool field_ref(struct reader *r, const char **at, const struct place *place, const int64_t bytes[SPACE_COUNT],
               plan_ref *ref) {
  const char *start = *at, *letter = *start ? strchr(space_letters, *start) : NULL;
  *at += letter != NULL;
  if (!letter || !scan_number(at, &ref->offset)) {
    field_bad(r, place, "must be a space's letter and an offset, as \"a4096\"");
    return false;
  }
  ref->space = (plan_space)(letter - space_letters);
  int64_t multiple = plan_is_bf16(r->plan) ? 2 : 4, end = bytes[ref->space];
  bool parked = ref->space == SPACE_PARAMETER && r->plan->parked_bytes && end; // the first of them is at the end
  if (ref->offset >= 0 && ref->offset % multiple == 0 && ref->offset <= end - parked) return true;
  field_bad(r, place, "%.*s must be a multiple of %d within the %lld bytes of space %s", (int)(*at - start), start,
            (int)multiple, (long long)end, plan_space_names[ref->space]);
  return false;
}

int words_of(const char *string) {
  int count = *string != 0;
  for (const char *p = string; *p; ++p) {
    if (*p != ' ') continue;
    if (p == string || p[1] == ' ' || p[1] == 0) return -1;
    ++count;
  }
  return count;
}

int64_t *field_numbers(struct object *o, const char *name, const char *string, int *count) {
  *count = words_of(string);
  int64_t *numbers = ARENA_ARRAY(o->reader->memory, int64_t, *count < 0 ? 0 : *count);
  bool ok = *count >= 0;
  for (int i = 0; ok && i < *count; ++i) {
    ok = scan_number(&string, &numbers[i]) && (*string == ' ' || !*string);
    string += *string == ' ';
  }
  if (ok) return numbers;
  FIELD_BAD(o, name, "must be numbers with one space between them");
  *count = 0;
  return numbers;
}
