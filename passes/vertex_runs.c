// Vertices of one kind (model instance, number of segments, shape) that are ready run together. With one kind in the
// network, running whatever is ready takes as few runs as the longest path has vertices, which is the least. With
// several, the order of the kinds decides, as in the shortest common supersequence, and that is hard: a kind that gains
// nothing by waiting runs first, which is never worse; where every kind would gain, a rule of thumb decides. The
// network is scheduled by each rule and the fewest runs are taken.
#include "passes/vertex_runs.h"

#include <stdlib.h>

typedef enum {
  RULE_HEIGHT, // the longest way still to go: the others' later vertices may join it
  RULE_STAY,   // the kind of the run before, while it has ready vertices
  RULE_COUNT,  // most ready vertices
  RULES
} rule;

typedef struct vertex_kind {
  int64_t model, instance, segments;
  MlirType type;
  int vertices;      // of the kind
  int left;          // of those, not run yet
  int *ready, count; // of those, the ones whose inputs are there: numbers of ops
  bool active;       // listed in scheduler.active
} vertex_kind;

typedef struct scheduler {
  const dag *dag;
  dag_users users;
  int *waiting;      // of each op: operands that are not there yet
  int *kind_of;      // of each op: the kind of a vertex, or -1
  int *height;       // of each op: vertices on the longest path from it, with itself
  uint64_t *blocked; // of each op: active kinds that must run before it, with its own; see complete_kinds
  bool *done;
  int first_left; // ops before it are done
  vertex_kind *kinds;
  int kind_count, kind_capacity, vertex_count, longest;
  int *active, active_count; // kinds with ready vertices
  int *plain, plain_count;   // other ops that are ready
  rule rule;
  int last;         // kind of the run before
  bool contested;   // the rule was asked
  int64_t patience; // operands that complete_kinds may still look at
} scheduler;

// ---- kinds -------------------------------------------------------------------------------------------------------

static bool kind_same(const vertex_kind *a, const vertex_kind *b) {
  return a->model == b->model && a->instance == b->instance && a->segments == b->segments &&
         mlirTypeEqual(a->type, b->type);
}

static vertex_kind describe(MlirOperation op) {
  return (vertex_kind){.model = ir_int(op, "model"),
                       .instance = ir_int(op, "instance"),
                       .segments = ir_int(op, "segments"),
                       .type = mlirValueGetType(mlirOperationGetResult(op, 0))};
}

static void find_kinds(scheduler *s) {
  size_t slot_count = 64;
  while (slot_count < 2 * (size_t)s->dag->ops.count) slot_count *= 2;
  int *slots = memory_zero(slot_count * sizeof *slots); // number of a kind + 1
  for (int i = 0; i < s->dag->ops.count; ++i) {
    s->kind_of[i] = -1;
    if (s->dag->codes[i] != LMN_VERTEX) continue;
    vertex_kind kind = describe(s->dag->ops.items[i]);
    bool alone = ir_count(s->dag->ops.items[i], "nodes") != 1; // runs several already
    int64_t numbers[] = {kind.model, kind.instance, kind.segments, (int64_t)(uintptr_t)kind.type.ptr};
    size_t at = hash_bytes(HASH_START, numbers, sizeof numbers) & (slot_count - 1);
    while (!alone && slots[at] && !kind_same(&s->kinds[slots[at] - 1], &kind)) at = (at + 1) & (slot_count - 1);
    if (alone || !slots[at]) {
      GROW(s->kinds, s->kind_count, s->kind_capacity);
      s->kinds[s->kind_count++] = kind;
      if (!alone) slots[at] = s->kind_count;
    }
    s->kind_of[i] = alone ? s->kind_count - 1 : slots[at] - 1;
    ++s->kinds[s->kind_of[i]].vertices;
    ++s->vertex_count;
  }
  free(slots);
}

// ---- what is ready -----------------------------------------------------------------------------------------------

static void make_ready(scheduler *s, int op) {
  if (s->kind_of[op] < 0) {
    s->plain[s->plain_count++] = op;
    return;
  }
  vertex_kind *kind = &s->kinds[s->kind_of[op]];
  kind->ready[kind->count++] = op;
  if (!kind->active) s->active[s->active_count++] = s->kind_of[op];
  kind->active = true;
}

static void finish(scheduler *s, int op) {
  s->done[op] = true;
  for (int k = s->users.starts[op]; k < s->users.starts[op + 1]; ++k)
    if (--s->waiting[s->users.users[k]] == 0) make_ready(s, s->users.users[k]);
}

// ---- which kind runs next ----------------------------------------------------------------------------------------

// Of the first 64 active kinds, those that gain nothing by waiting: every vertex of the kind that has none of its own
// kind before it is ready.
static uint64_t complete_kinds(scheduler *s) {
  int count = s->active_count < 64 ? s->active_count : 64;
  uint64_t gains = 0;
  while (s->first_left < s->dag->ops.count && s->done[s->first_left]) ++s->first_left;
  for (int op = s->first_left; op < s->dag->ops.count; ++op) {
    if (s->done[op]) continue;
    uint64_t blocked = 0, own = 0;
    for (int k = s->dag->starts[op]; k < s->dag->starts[op + 1]; ++k)
      if (!s->done[s->dag->operands[k]]) blocked |= s->blocked[s->dag->operands[k]];
    s->patience -= 1 + s->dag->starts[op + 1] - s->dag->starts[op];
    for (int i = 0; i < count && s->kind_of[op] >= 0; ++i)
      if (s->active[i] == s->kind_of[op]) own = (uint64_t)1 << i;
    if (s->waiting[op] && !(blocked & own)) gains |= own;
    s->blocked[op] = blocked | own;
  }
  return ~gains & (count == 64 ? ~(uint64_t)0 : ((uint64_t)1 << count) - 1);
}

static int greatest_height(const scheduler *s, const vertex_kind *kind) {
  int height = 0;
  for (int i = 0; i < kind->count; ++i)
    if (s->height[kind->ready[i]] > height) height = s->height[kind->ready[i]];
  return height;
}

static int64_t worth(const scheduler *s, int kind) {
  switch (s->rule) {
  case RULE_STAY:
    if (kind == s->last) return INT64_MAX;
    return greatest_height(s, &s->kinds[kind]);
  case RULE_COUNT: return s->kinds[kind].count;
  default: return greatest_height(s, &s->kinds[kind]);
  }
}

// The place in active of the kind to run now.
static int choose(scheduler *s) {
  if (s->active_count == 1) return 0;
  for (int i = s->active_count - 1; i >= 0; --i)
    if (s->kinds[s->active[i]].left == s->kinds[s->active[i]].count) return i;
  uint64_t complete = s->patience > 0 ? complete_kinds(s) : 0;
  for (int i = 0; i < s->active_count && i < 64; ++i)
    if (complete >> i & 1) return i;
  s->contested = true;
  int best = 0;
  for (int i = 1; i < s->active_count; ++i)
    if (worth(s, s->active[i]) > worth(s, s->active[best])) best = i;
  return best;
}

// ---- one schedule ------------------------------------------------------------------------------------------------

static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

// Runs all that is ready of one kind.
static void run_kind(scheduler *s, int place, vertex_runs *runs) {
  s->last = s->active[place];
  vertex_kind *kind = &s->kinds[s->last];
  s->active[place] = s->active[--s->active_count];
  kind->active = false;
  int count = kind->count, *members = runs->members + runs->starts[runs->count];
  for (int i = 0; i < count; ++i) members[i] = kind->ready[i];
  qsort(members, (size_t)count, sizeof *members, by_number); // in declared order, however they became ready
  kind->left -= count;
  kind->count = 0;
  runs->starts[runs->count + 1] = runs->starts[runs->count] + count;
  ++runs->count;
  for (int i = 0; i < count; ++i) finish(s, members[i]);
}

static vertex_runs runs_by(ir *m, scheduler *s, rule rule) {
  vertex_runs runs = {.starts = ARENA_ARRAY(m->arena, int, s->vertex_count + 1),
                      .members = ARENA_ARRAY(m->arena, int, s->vertex_count)};
  s->rule = rule;
  s->last = -1;
  s->first_left = 0;
  for (int i = 0; i < s->kind_count; ++i) s->kinds[i].left = s->kinds[i].vertices;
  for (int i = 0; i < s->dag->ops.count; ++i) {
    s->done[i] = false;
    s->waiting[i] = s->dag->starts[i + 1] - s->dag->starts[i];
  }
  for (int i = 0; i < s->dag->ops.count; ++i)
    if (s->dag->starts[i + 1] == s->dag->starts[i]) make_ready(s, i);
  while (s->plain_count || s->active_count) {
    while (s->plain_count) finish(s, s->plain[--s->plain_count]);
    if (s->active_count) run_kind(s, choose(s), &runs);
  }
  return runs;
}

static scheduler scheduler_of(ir *m, const dag *d) {
  scheduler s = {.dag = d, .users = dag_users_of(m, d), .patience = 200000000};
  int count = d->ops.count;
  s.waiting = ARENA_ARRAY(m->arena, int, count);
  s.kind_of = ARENA_ARRAY(m->arena, int, count);
  s.height = ARENA_ARRAY(m->arena, int, count);
  s.blocked = ARENA_ARRAY(m->arena, uint64_t, count);
  s.done = ARENA_ARRAY(m->arena, bool, count);
  s.plain = ARENA_ARRAY(m->arena, int, count);
  find_kinds(&s);
  s.active = ARENA_ARRAY(m->arena, int, s.kind_count);
  for (int i = 0; i < s.kind_count; ++i) s.kinds[i].ready = ARENA_ARRAY(m->arena, int, s.kinds[i].vertices);
  for (int i = count - 1; i >= 0; --i) {
    for (int k = s.users.starts[i]; k < s.users.starts[i + 1]; ++k)
      if (s.height[s.users.users[k]] > s.height[i]) s.height[i] = s.height[s.users.users[k]];
    s.height[i] += s.kind_of[i] >= 0;
    if (s.height[i] > s.longest) s.longest = s.height[i];
  }
  return s;
}

bool vertex_runs_of(ir *m, const dag *d, vertex_runs *runs, lmn_error *error) {
  scheduler s = scheduler_of(m, d);
  *runs = runs_by(m, &s, RULE_HEIGHT);
  for (rule rule = RULE_HEIGHT + 1; s.contested && rule < RULES && runs->count > s.longest; ++rule) {
    vertex_runs other = runs_by(m, &s, rule);
    if (other.count < runs->count) *runs = other;
  }
  free(s.kinds);
  return runs->starts[runs->count] == s.vertex_count || fail(error, "some vertices wait for each other");
}
