#include "codegen/launches.h"

#include <string.h>

// Grows when the count reaches a power of two, so that no capacity need be kept.
static void *grown(arena *a, void *items, int count, size_t size) {
  if (count & (count - 1)) return items;
  void *more = arena_alloc(a, size * (count ? (size_t)count * 2 : 1));
  if (count) memcpy(more, items, size * (size_t)count);
  return more;
}

// The group of that name, which is added where it is not there; from 1, 0: none.
static int group_of(arena *a, plan *p, MlirLocation place) {
  const char *names = ir_place_names(a, place);
  if (!names) return 0;
  for (int i = p->group_count - 1; i >= 0; --i) // mostly that of the op before
    if (!strcmp(p->groups[i], names)) return i + 1;
  p->groups = grown(a, p->groups, p->group_count, sizeof *p->groups);
  p->groups[p->group_count++] = names;
  return p->group_count;
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
  MlirLocation place = mlirOperationGetLocation(op);
  text where = {0};
  text_add(&what, dot ? dot + 1 : name);
  if (ir_place_print(place, &where)) text_printf(&what, " %s", where.data);
  text_free(&where);
  plan_launch *launch = &entry->launches[entry->launch_count++];
  *launch = (plan_launch){.kind = kind, .group = group_of(l->arena, m->plan, place), .vertices = l->vertices};
  l->vertices = 0;
  launch->kernel = kernel ? arena_string(l->arena, kernel) : NULL;
  launch->what = arena_string(l->arena, what.data);
  text_free(&what);
  return launch;
}

void launch_arg(arena *a, plan_launch *launch, plan_ref place) {
  launch->args = grown(a, launch->args, launch->arg_count, sizeof *launch->args);
  launch->args[launch->arg_count++] = place;
}

void launch_map(arena *a, plan_launch *launch, plan_map map) {
  launch->maps = grown(a, launch->maps, launch->map_count, sizeof *launch->maps);
  launch->maps[launch->map_count++] = map;
}

void launch_shape(arena *a, plan_launch *launch, const plan_gemm *g) {
  int64_t pieces = gemm_pieces(g);
  text shape = {0};
  text_printf(&shape, "%lldx%lldx%lld %c%c%s", (long long)g->m, (long long)g->n, (long long)g->k,
              g->trans_a ? 't' : 'n', g->trans_b ? 't' : 'n', g->accumulate ? " +=" : "");
  if (g->groups > 1) text_printf(&shape, ", %lld groups", (long long)g->groups);
  if (pieces > g->groups) text_printf(&shape, " of %lld pieces", (long long)pieces);
  launch->shape = arena_string(a, shape.data);
  text_free(&shape);
}

void launch_product(arena *a, plan_launch *launch, const plan_gemm *g, const int bytes[3]) {
  launch_shape(a, launch, g);
  int64_t pieces = gemm_pieces(g), c = g->groups * g->m * g->n;
  launch->flops = 2 * g->m * g->n * g->k * pieces;
  launch->bytes = pieces * g->k * (g->m * bytes[0] + g->n * bytes[1]) + (g->accumulate ? 2 : 1) * c * bytes[2];
}

void launches_cost(launch_list *l, int first, cost c) {
  plan_launch *launches = l->entry->launches;
  int count = l->entry->launch_count, silent = 0, shaped = 0, paid = 0;
  for (int i = first; i < count; ++i) {
    c.flops -= launches[i].flops;
    c.bytes -= launches[i].bytes;
    silent += !launches[i].bytes;
    shaped += !launches[i].bytes && launches[i].shape;
  }
  int sharing = shaped ? shaped : silent;
  for (int i = first; i < count; ++i) {
    if (launches[i].bytes || (shaped && !launches[i].shape)) continue;
    ++paid;
    if (c.flops > 0) launches[i].flops = c.flops * paid / sharing - c.flops * (paid - 1) / sharing;
    if (c.bytes > 0) launches[i].bytes = c.bytes * paid / sharing - c.bytes * (paid - 1) / sharing;
  }
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
