// What plan_read.c and plan_read_launch.c read JSON by: objects whose fields are looked up by name and counted, with
// errors that say where.
#ifndef LMN_PLAN_FIELDS_H
#define LMN_PLAN_FIELDS_H

#include "runtime/plan_json.h"

#include <jansson.h>
#include <string.h>

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

// The first error is the reader's, and names the place.
void field_bad(struct reader *r, const struct place *at, const char *format, ...) PRINTF_LIKE(3, 4);
#define FIELD_BAD(o, field, ...) field_bad((o)->reader, &(struct place){&(o)->place, field, -1}, __VA_ARGS__)

struct object object_open(struct reader *r, const json_t *json, struct place place);
void object_close(struct object *o); // an error where it has fields that nobody asked for

// A field's value; where it is missing or another kind, an error and some value of that kind.
const json_t *field_get(struct object *o, const char *name); // NULL: there is none
int64_t field_integer(struct object *o, const char *name, int64_t least);
int64_t field_integer_or(struct object *o, const char *name, int64_t usual); // not below 0
double field_real(struct object *o, const char *name);
bool field_flag(struct object *o, const char *name); // missing: false
const char *field_string(struct object *o, const char *name);
const char *field_string_or_null(struct object *o, const char *name);
int field_choice(struct object *o, const char *name, const char *const *names, int count); // its number
const json_t *field_list(struct object *o, const char *name, int *count);
// A list of integers, all of at least `least`, into `out` of room for `limit`.
void field_integers(struct object *o, const char *name, int64_t least, int64_t *out, int limit, int *count);
// "4 -8 16", of the field `name`.
int64_t *field_numbers(struct object *o, const char *name, const char *string, int *count);
// "a4096", an offset within its space; *at moves behind it. False at what is none; the place then names it.
bool field_ref(struct reader *r, const char **at, const struct place *place, const int64_t bytes[SPACE_COUNT],
               plan_ref *ref);
int words_of(const char *string); // -1 where they are not parted by one space each

int64_t shape_elements(const int64_t *shape, int rank); // -1 where they cannot be counted
// Whether `elements` of 4 bytes at `offset` lie within `bytes`.
bool space_holds(int64_t offset, int64_t elements, int64_t bytes);

static inline bool plan_is_cpu(const plan *p) { return !strcmp(p->target, "cpu"); }

// plan_read_launch.c: the index-th launch of an entry, whose spaces have these bytes.
void read_launch(struct object *o, plan_launch *l, int index, const int64_t bytes[SPACE_COUNT]);

#endif
