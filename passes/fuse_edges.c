// fuse-edges: edges of one frontier whose chains have the same structure become one grouped op, so that 16 edges of a
// 4 → 4 layer take as many launches as one.
//
//   %a = lmn.edge(%x, %m0) {arrows = [3]}
//   %b = lmn.edge(%y, %m1) {arrows = [4]}   →   %a, %b = lmn.edge(%x, %y, %m0) {arrows = [3, 4]}
//
// Frontier: as many vertices stand before the source, on the longest path. An edge whose target waits for vertices of
// later frontiers may wait with it, and does where that saves an op: each op is made at the first frontier that a
// target needs it, of all edges that are ready then. Structure: the same modules of the same sizes, settings and kinds
// of layers; each keeps parameters of its own. No cycle can come of it: what a source of a frontier needs was there
// before the frontier, and what an edge of it leads to comes behind it.
#include "passes/dag.h"
#include "passes/passes.h"

#include <stdlib.h>
#include <string.h>

static bool chain_same(const graph *g, const chain *a, const chain *b);

// Whether decoder layers of two models compute the same, each with its own parameters.
static bool layer_same(const model *a, const model *b) {
  const rope *x = &a->rope, *y = &b->rope;
  return !strcmp(a->family, b->family) && a->hidden == b->hidden && a->heads == b->heads &&
         a->key_value_heads == b->key_value_heads && a->head_size == b->head_size &&
         a->feed_forward == b->feed_forward && a->norm == b->norm && a->norm_eps == b->norm_eps &&
         a->activation == b->activation && a->gated == b->gated && a->input_major == b->input_major &&
         a->fused_qkv == b->fused_qkv && a->qkv_bias == b->qkv_bias && a->output_bias == b->output_bias &&
         a->feed_forward_bias == b->feed_forward_bias && x->kind == y->kind && x->theta == y->theta &&
         x->factor == y->factor && x->low_frequency_factor == y->low_frequency_factor &&
         x->high_frequency_factor == y->high_frequency_factor && x->original_length == y->original_length;
}

static bool module_same(const graph *g, const module *a, const module *b) {
  if (a->kind != b->kind || a->in != b->in || a->out != b->out || a->bias != b->bias ||
      a->activation != b->activation || a->hidden != b->hidden || a->heads != b->heads || a->eps != b->eps)
    return false;
  bool layers = a->kind == MODULE_DECODER_LAYER && a->model != b->model;
  return (!layers || layer_same(&g->models[a->model].description, &g->models[b->model].description)) &&
         chain_same(g, &a->inner, &b->inner);
}

static bool chain_same(const graph *g, const chain *a, const chain *b) {
  if (a->count != b->count) return false;
  if (a->modules == b->modules) return true;
  for (int i = 0; i < a->count; ++i)
    if (!module_same(g, &a->modules[i], &b->modules[i])) return false;
  return true;
}

static uint64_t chain_hash(uint64_t hash, const chain *c) {
  hash = hash_bytes(hash, &c->count, sizeof c->count);
  for (int i = 0; i < c->count; ++i) {
    const module *module = &c->modules[i];
    int64_t sizes[] = {module->kind, module->in, module->out, module->hidden, module->heads};
    hash = chain_hash(hash_bytes(hash, sizes, sizeof sizes), &module->inner);
  }
  return hash;
}

// An edge that its group has: it is ready from frontier `ready` on, and its first target runs behind frontier `due`.
typedef struct member {
  int op, ready, due;
} member;

// Edges of the same structure, whichever frontier they are of.
typedef struct edge_group {
  uint64_t hash;
  const chain *chain;
  MlirType from, to;
  bool masked, turned;
  member *members;
  int count, capacity;
} edge_group;

static bool group_same(const graph *g, const edge_group *a, const edge_group *b) {
  return a->hash == b->hash && a->masked == b->masked && a->turned == b->turned && mlirTypeEqual(a->from, b->from) &&
         mlirTypeEqual(a->to, b->to) && chain_same(g, a->chain, b->chain);
}

static edge_group describe(ir *m, MlirOperation op) {
  edge_group g = {.chain = &m->graph->arrows[ir_int_at(op, "arrows", 0)].chain};
  g.from = mlirValueGetType(ir_operand(m, op, 0));
  g.to = mlirValueGetType(mlirOperationGetResult(op, 0));
  g.masked = value_is(ir_operand(m, op, 1));
  g.turned = value_is(ir_operand(m, op, 2));
  g.hash = chain_hash(HASH_START, g.chain);
  g.hash = hash_bytes(g.hash, &g.from.ptr, sizeof g.from.ptr);
  return g;
}

// The first op's mask and table do for all: those of one entry see the same positions.
static void merge(ir *m, const dag *d, const member *members, int count, MlirType type) {
  MlirOperation first = d->ops.items[members[0].op];
  builder b = builder_before(m, first);
  MlirValue *sources = memory_alloc((size_t)count * sizeof *sources);
  MlirType *types = memory_alloc((size_t)count * sizeof *types);
  int64_t *arrows = memory_alloc((size_t)count * sizeof *arrows);
  for (int i = 0; i < count; ++i) {
    MlirOperation op = d->ops.items[members[i].op];
    sources[i] = ir_operand(m, op, 0);
    types[i] = type;
    arrows[i] = ir_int_at(op, "arrows", 0);
  }
  op_spec s = op_begin(&b, LMN_EDGE);
  op_segment(&s, sources, count);
  op_optional(&s, ir_operand(m, first, 1));
  op_optional(&s, ir_operand(m, first, 2));
  op_results(&s, types, count);
  op_ints(&s, "arrows", arrows, count);
  MlirOperation merged = op_end(&s);
  for (int i = 0; i < count; ++i) {
    MlirOperation op = d->ops.items[members[i].op];
    ir_replace(mlirOperationGetResult(op, 0), mlirOperationGetResult(merged, i));
    ir_erase(op);
  }
  free(sources);
  free(types);
  free(arrows);
}

static int by_due(const void *a, const void *b) {
  const member *x = a, *y = b;
  return x->due != y->due ? x->due - y->due : x->op - y->op;
}

// As few ops as there can be: the first is made when an edge is first due, of all that are ready by then; and so on.
static void merge_group(ir *m, const dag *d, edge_group *g) {
  qsort(g->members, (size_t)g->count, sizeof *g->members, by_due);
  member *now = memory_alloc((size_t)g->count * sizeof *now);
  while (g->count) {
    int count = 0, left = 0, due = g->members[0].due;
    for (int i = 0; i < g->count; ++i)
      if (g->members[i].ready <= due) now[count++] = g->members[i];
      else g->members[left++] = g->members[i];
    g->count = left;
    for (int i = 0; i < count; ++i) now[i].due = 0;
    qsort(now, (size_t)count, sizeof *now, by_due); // in program order
    if (count > 1) merge(m, d, now, count, g->to);
  }
  free(now);
}

typedef struct edge_groups {
  edge_group *items;
  int count, capacity;
  int *slots; // number of a group + 1
  size_t slot_count;
} edge_groups;

static void add(const graph *graph, edge_groups *groups, edge_group one, member member) {
  size_t at = one.hash & (groups->slot_count - 1);
  while (groups->slots[at] && !group_same(graph, &groups->items[groups->slots[at] - 1], &one))
    at = (at + 1) & (groups->slot_count - 1);
  if (!groups->slots[at]) {
    GROW(groups->items, groups->count, groups->capacity);
    groups->items[groups->count++] = one;
    groups->slots[at] = groups->count;
  }
  edge_group *g = &groups->items[groups->slots[at] - 1];
  GROW(g->members, g->count, g->capacity);
  g->members[g->count++] = member;
}

// The frontier of each op, and the last at which its readers still can wait for it.
static void collect(ir *m, const dag *d, edge_groups *groups) {
  int count = d->ops.count, *level = ARENA_ARRAY(m->arena, int, count), *due = ARENA_ARRAY(m->arena, int, count),
      last = 0;
  for (int i = 0; i < count; ++i) {
    for (int k = d->starts[i]; k < d->starts[i + 1]; ++k)
      if (level[d->operands[k]] > level[i]) level[i] = level[d->operands[k]];
    level[i] += d->codes[i] == LMN_VERTEX;
    if (level[i] > last) last = level[i];
  }
  for (int i = 0; i < count; ++i) due[i] = last;
  for (int i = count - 1; i >= 0; --i)
    for (int k = d->starts[i]; k < d->starts[i + 1]; ++k) {
      int latest = d->codes[i] == LMN_VERTEX ? level[i] - 1 : due[i], *of = &due[d->operands[k]];
      if (latest < *of) *of = latest;
    }
  for (int i = 0; i < count; ++i)
    if (d->codes[i] == LMN_EDGE && ir_count(d->ops.items[i], "arrows") == 1)
      add(m->graph, groups, describe(m, d->ops.items[i]), (member){i, level[i], due[i]});
}

bool pass_fuse_edges(ir *m, lmn_error *error) {
  (void)error;
  dag d = dag_of(m);
  edge_groups groups = {.slot_count = 64};
  while (groups.slot_count < 2 * (size_t)d.ops.count) groups.slot_count *= 2;
  groups.slots = memory_zero(groups.slot_count * sizeof *groups.slots);
  collect(m, &d, &groups);
  for (int i = 0; i < groups.count; ++i) {
    merge_group(m, &d, &groups.items[i]);
    free(groups.items[i].members);
  }
  free(groups.items);
  free(groups.slots);
  dag_sort(m);
  return true;
}
