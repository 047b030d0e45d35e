// fuse-edges: edges of one frontier whose chains have the same structure become one grouped op, so that 16 edges of a
// 4 → 4 layer take as many launches as one.
//
//   %a = lmn.edge(%x, %m0) {arrows = [3]}
//   %b = lmn.edge(%y, %m1) {arrows = [4]}   →   %a, %b = lmn.edge(%x, %y, %m0) {arrows = [3, 4]}
//
// Frontier: as many vertices stand before the source, on the longest path. Structure: the same modules of the same
// sizes, settings and models; each keeps parameters of its own. No cycle can come of it: what a source of a frontier
// needs was there before the frontier, and what an edge of it leads to comes behind it.
#include "passes/dag.h"
#include "passes/passes.h"

#include <stdlib.h>

static bool chain_same(const chain *a, const chain *b);

static bool module_same(const module *a, const module *b) {
  return a->kind == b->kind && a->in == b->in && a->out == b->out && a->bias == b->bias &&
         a->activation == b->activation && a->hidden == b->hidden && a->heads == b->heads && a->eps == b->eps &&
         a->model == b->model && chain_same(&a->inner, &b->inner);
}

static bool chain_same(const chain *a, const chain *b) {
  if (a->count != b->count) return false;
  if (a->modules == b->modules) return true;
  for (int i = 0; i < a->count; ++i)
    if (!module_same(&a->modules[i], &b->modules[i])) return false;
  return true;
}

static uint64_t chain_hash(uint64_t hash, const chain *c) {
  hash = hash_bytes(hash, &c->count, sizeof c->count);
  for (int i = 0; i < c->count; ++i) {
    const module *module = &c->modules[i];
    int64_t sizes[] = {module->kind, module->in, module->out, module->hidden, module->heads, module->model};
    hash = chain_hash(hash_bytes(hash, sizes, sizeof sizes), &module->inner);
  }
  return hash;
}

typedef struct edge_group {
  uint64_t hash;
  int level;
  const chain *chain;
  MlirType from, to;
  bool masked, turned;
  int *members, count, capacity; // numbers of ops
} edge_group;

static bool group_same(const edge_group *a, const edge_group *b) {
  return a->hash == b->hash && a->level == b->level && a->masked == b->masked && a->turned == b->turned &&
         mlirTypeEqual(a->from, b->from) && mlirTypeEqual(a->to, b->to) && chain_same(a->chain, b->chain);
}

static edge_group describe(ir *m, MlirOperation op, int level) {
  edge_group g = {.level = level, .chain = &m->graph->arrows[ir_int_at(op, "arrows", 0)].chain};
  g.from = mlirValueGetType(ir_operand(m, op, 0));
  g.to = mlirValueGetType(mlirOperationGetResult(op, 0));
  g.masked = value_is(ir_operand(m, op, 1));
  g.turned = value_is(ir_operand(m, op, 2));
  g.hash = chain_hash(hash_bytes(HASH_START, &level, sizeof level), g.chain);
  g.hash = hash_bytes(g.hash, &g.from.ptr, sizeof g.from.ptr);
  return g;
}

// The first op's mask and table do for all: those of one entry see the same positions.
static void merge(ir *m, const dag *d, const edge_group *g) {
  MlirOperation first = d->ops.items[g->members[0]];
  builder b = builder_before(m, first);
  MlirValue *sources = memory_alloc((size_t)g->count * sizeof *sources);
  MlirType *types = memory_alloc((size_t)g->count * sizeof *types);
  int64_t *arrows = memory_alloc((size_t)g->count * sizeof *arrows);
  for (int i = 0; i < g->count; ++i) {
    MlirOperation op = d->ops.items[g->members[i]];
    sources[i] = ir_operand(m, op, 0);
    types[i] = g->to;
    arrows[i] = ir_int_at(op, "arrows", 0);
  }
  op_spec s = op_begin(&b, LMN_EDGE);
  op_segment(&s, sources, g->count);
  op_optional(&s, ir_operand(m, first, 1));
  op_optional(&s, ir_operand(m, first, 2));
  op_results(&s, types, g->count);
  op_ints(&s, "arrows", arrows, g->count);
  MlirOperation merged = op_end(&s);
  for (int i = 0; i < g->count; ++i) {
    MlirOperation op = d->ops.items[g->members[i]];
    ir_replace(mlirOperationGetResult(op, 0), mlirOperationGetResult(merged, i));
    ir_erase(op);
  }
  free(sources);
  free(types);
  free(arrows);
}

typedef struct edge_groups {
  edge_group *items;
  int count, capacity;
  int *slots; // number of a group + 1
  size_t slot_count;
} edge_groups;

static void add(edge_groups *groups, edge_group one, int op) {
  size_t at = one.hash & (groups->slot_count - 1);
  while (groups->slots[at] && !group_same(&groups->items[groups->slots[at] - 1], &one))
    at = (at + 1) & (groups->slot_count - 1);
  if (!groups->slots[at]) {
    GROW(groups->items, groups->count, groups->capacity);
    groups->items[groups->count++] = one;
    groups->slots[at] = groups->count;
  }
  edge_group *g = &groups->items[groups->slots[at] - 1];
  GROW(g->members, g->count, g->capacity);
  g->members[g->count++] = op;
}

static void collect(ir *m, const dag *d, edge_groups *groups) {
  int *level = ARENA_ARRAY(m->arena, int, d->ops.count);
  for (int i = 0; i < d->ops.count; ++i) {
    for (int k = d->starts[i]; k < d->starts[i + 1]; ++k)
      if (level[d->operands[k]] > level[i]) level[i] = level[d->operands[k]];
    level[i] += d->codes[i] == LMN_VERTEX;
    if (d->codes[i] == LMN_EDGE && ir_count(d->ops.items[i], "arrows") == 1)
      add(groups, describe(m, d->ops.items[i], level[i]), i);
  }
}

bool pass_fuse_edges(ir *m, lmn_error *error) {
  (void)error;
  dag d = dag_of(m);
  edge_groups groups = {.slot_count = 64};
  while (groups.slot_count < 2 * (size_t)d.ops.count) groups.slot_count *= 2;
  groups.slots = memory_zero(groups.slot_count * sizeof *groups.slots);
  collect(m, &d, &groups);
  for (int i = 0; i < groups.count; ++i) {
    if (groups.items[i].count > 1) merge(m, &d, &groups.items[i]);
    free(groups.items[i].members);
  }
  free(groups.items);
  free(groups.slots);
  dag_sort(m);
  return true;
}
