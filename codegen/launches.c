#include "codegen/launches.h"

#include <stdlib.h>
#include <string.h>

// For people: the op's code, and what its location says (a name, or the place in the .lmn file).
static void describe_location(MlirLocation place, text *out) {
  if (mlirLocationIsAName(place)) {
    MlirStringRef name = mlirIdentifierStr(mlirLocationNameGetName(place));
    text_printf(out, " %.*s", (int)name.length, name.data);
  } else if (mlirLocationIsAFused(place) && mlirLocationFusedGetNumLocations(place) > 0) {
    unsigned count = mlirLocationFusedGetNumLocations(place);
    MlirLocation *parts = memory_alloc(count * sizeof *parts);
    mlirLocationFusedGetLocations(place, parts);
    describe_location(parts[0], out);
    free(parts);
  } else if (mlirLocationIsAFileLineColRange(place)) {
    text_add(out, " ");
    ir_place_print(place, out);
  }
}

launch_list launches_of(arena *a, plan_entry *entry) {
  return (launch_list){.arena = a, .entry = entry, .capacity = entry->launch_count};
}

plan_launch *launch_add(launch_list *l, const ir *m, MlirOperation op, launch_kind kind, const char *kernel) {
  plan_entry *entry = l->entry;
  if (entry->launch_count == l->capacity) {
    int capacity = l->capacity ? l->capacity * 2 : 64;
    plan_launch *launches = ARENA_ARRAY(l->arena, plan_launch, capacity);
    if (entry->launch_count) memcpy(launches, entry->launches, (size_t)entry->launch_count * sizeof *launches);
    entry->launches = launches;
    l->capacity = capacity;
  }
  text what = {0};
  const char *name = op_name(ir_code(m, op)), *dot = strchr(name, '.');
  text_add(&what, dot ? dot + 1 : name);
  describe_location(mlirOperationGetLocation(op), &what);
  plan_launch *launch = &entry->launches[entry->launch_count++];
  *launch = (plan_launch){.kind = kind, .vertices = l->vertices};
  l->vertices = 0;
  launch->kernel = kernel ? arena_string(l->arena, kernel) : NULL;
  launch->what = arena_string(l->arena, what.data);
  text_free(&what);
  return launch;
}

// Grows when the count reaches a power of two, so that no capacity need be kept.
static void *grown(arena *a, void *items, int count, size_t size) {
  if (count & (count - 1)) return items;
  void *more = arena_alloc(a, size * (count ? (size_t)count * 2 : 1));
  if (count) memcpy(more, items, size * (size_t)count);
  return more;
}

void launch_arg(arena *a, plan_launch *launch, plan_ref place) {
  launch->args = grown(a, launch->args, launch->arg_count, sizeof *launch->args);
  launch->args[launch->arg_count++] = place;
}

void launch_map(arena *a, plan_launch *launch, plan_map map) {
  launch->maps = grown(a, launch->maps, launch->map_count, sizeof *launch->maps);
  launch->maps[launch->map_count++] = map;
}

void launch_dim(arena *a, plan_launch *launch, int64_t dim) {
  launch->dims = grown(a, launch->dims, launch->dim_count, sizeof *launch->dims);
  launch->dims[launch->dim_count++] = dim;
}

copy_shape copy_shape_of(MlirOperation op) {
  copy_shape s = {ir_int(op, "n0"),    ir_int(op, "n1"),  ir_int(op, "columns"), ir_int(op, "from0"),
                  ir_int(op, "from1"), ir_int(op, "to0"), ir_int(op, "to1")};
  if (s.n1 == 1 || (s.from1 == s.columns && s.to1 == s.columns)) s.columns *= s.n1, s.n1 = 1;
  if (s.n1 == 1 && (s.n0 == 1 || (s.from0 == s.columns && s.to0 == s.columns))) s.columns *= s.n0, s.n0 = 1;
  return s;
}

bool copy_is_there(const copy_shape *s, plan_ref from, plan_ref to) {
  bool same_steps = (s->n0 == 1 || s->from0 == s->to0) && (s->n1 == 1 || s->from1 == s->to1);
  return from.space == to.space && from.offset == to.offset && same_steps;
}
