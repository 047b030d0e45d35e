// plan-memory: gives every value its place. Parameters, inputs and rotary tables have theirs in their own spaces;
// outputs and gradients are made where they are wanted; everything else lies in one arena, where two values share bytes
// if they are never alive together.
//
//   %y = "kernel.gemm"(%x, %w) …       becomes       %y = "kernel.gemm"(%x, %w) {places = array<i64: 4, 65536>, …}
// A view lies inside what it views; an accumulating op and a rotation write over their operand, and the gradient of a
// gated unit over its gate and up; the parts of a stack
// are made inside the stack where nothing else reads them first, so that the stack itself costs nothing (its copy finds
// them in place).
#include "passes/passes.h"

#include "passes/constants.h"
#include "passes/copy.h"
#include "passes/map.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

// A piece of memory: one value, or several that alias each other.
typedef struct root {
  int64_t bytes, offset, first, last; // first, last: numbers of the ops between which it is alive
  plan_space space;
  int into; // the root that has absorbed this one, `offset` bytes into it; -1: none
  bool placed;
} root;

typedef struct slot { // where a value lies: `offset` bytes into a root
  int root;
  int64_t offset;
} slot;

typedef struct memory {
  ir *m;
  op_list ops;
  map order, slots; // op -> number; value -> index into slot_items
  slot *slot_items;
  int slot_count, slot_capacity;
  root *roots;
  int root_count, root_capacity;
  lmn_error *error;
} memory;

static int64_t aligned(int64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

// ---- sinks: what is an output or a gradient must own its memory ---------------------------------

static bool is_sink(op_code code) { return code == KERNEL_OUTPUT || code == KERNEL_GRADIENT; }

// The value is made in the sink's place only if that is its one place and nothing else claims it.
static bool can_own(ir *m, MlirValue v, const map *claimed) {
  op_code code = ir_code(m, value_op(v));
  return code != KERNEL_BUFFER && code != KERNEL_VIEW && !map_get(claimed, v.ptr, 0);
}

static void own_sinks(ir *m) {
  op_list ops = ir_ops(m);
  map claimed = {0};
  for (int i = 0; i < ops.count; ++i) {
    op_code code = ir_code(m, ops.items[i]);
    // What is written over later cannot be an output: the accumulators and what a rotation turns in place.
    if (code == KERNEL_GEMM || code == KERNEL_EMBED_GRAD || code == KERNEL_CROSS_ENTROPY) {
      segment s = ir_operands(m, ops.items[i], code == KERNEL_CROSS_ENTROPY ? 4 : 2);
      for (int k = 0; k < s.count; ++k) map_put(&claimed, mlirOperationGetOperand(ops.items[i], s.first + k).ptr, 1);
    }
    if (!is_sink(code)) continue;
    MlirValue v = mlirOperationGetOperand(ops.items[i], 0);
    if (!can_own(m, v, &claimed)) {
      builder b = builder_before(m, ops.items[i]);
      v = copy_of(&b, v, mlirValueGetType(v));
      mlirOperationSetOperand(ops.items[i], 0, v);
    }
    map_put(&claimed, v.ptr, 1);
  }
  map_free(&claimed);
}

// ---- aliases ------------------------------------------------------------------------------------

static slot *slot_of(memory *p, MlirValue v) {
  int64_t at = map_get(&p->slots, v.ptr, -1);
  return at < 0 ? NULL : &p->slot_items[at];
}

static void put_slot(memory *p, MlirValue v, int root, int64_t offset) {
  GROW(p->slot_items, p->slot_count, p->slot_capacity);
  p->slot_items[p->slot_count] = (slot){root, offset};
  map_put(&p->slots, v.ptr, p->slot_count++);
}

static int new_root(memory *p, int64_t bytes, int64_t first) {
  GROW(p->roots, p->root_count, p->root_capacity);
  p->roots[p->root_count] = (root){.bytes = bytes, .first = first, .last = first, .space = SPACE_ARENA, .into = -1};
  return p->root_count++;
}

static int64_t last_reader(memory *p, MlirValue v) {
  int64_t last = map_get(&p->order, value_op(v).ptr, 0);
  for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
    int64_t at = map_get(&p->order, mlirOpOperandGetOwner(use).ptr, 0);
    if (at > last) last = at;
  }
  return last;
}

// The value, where nobody else reads it, now or through a view.
static MlirValue only_here(ir *m, MlirValue x) {
  op_code made_by = ir_code(m, value_op(x));
  return value_uses(x) == 1 && made_by != KERNEL_BUFFER && made_by != KERNEL_VIEW ? x : no_value;
}

// The operand whose memory result `index` takes over; null: none.
static MlirValue taken_over(memory *p, MlirOperation op, int index) {
  ir *m = p->m;
  segment accumulators = {0, 0}, results = {0, 1};
  switch (ir_code(m, op)) {
  case KERNEL_VIEW: return mlirOperationGetOperand(op, 0);
  case KERNEL_GEMM:
    if (ir_text(m, op, "glu") && ir_operands(m, op, 4).count && !index) return only_here(m, ir_operand(m, op, 4));
    accumulators = ir_operands(m, op, 2), results = ir_results(m, op, 0);
    break;
  case KERNEL_EMBED_GRAD: accumulators = ir_operands(m, op, 2); break;
  case KERNEL_CROSS_ENTROPY: accumulators = ir_operands(m, op, 4), results = ir_results(m, op, 6); break;
  case KERNEL_ROPE: return only_here(m, mlirOperationGetOperand(op, 0));
  default: return no_value;
  }
  if (!accumulators.count || index < results.first || index >= results.first + results.count) return no_value;
  return mlirOperationGetOperand(op, accumulators.first + index - results.first);
}

static bool is_stack(ir *m, MlirOperation op) {
  return ir_code(m, op) == KERNEL_COPY && ir_int(op, "n0") == 1 && !ir_int(op, "from") && !ir_int(op, "zero") &&
         ir_int(op, "columns") == ir_int(op, "from1") && ir_int(op, "columns") == ir_int(op, "to1") &&
         mlirOperationGetNumOperands(op) > 1 &&
         value_is_bf16(mlirOperationGetOperand(op, 0)) == value_is_bf16(mlirOperationGetResult(op, 0));
}

// Whether an op writes over the value's memory (other than to look at a piece of it).
static bool written_over(memory *p, MlirValue v) {
  for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
    MlirOperation op = mlirOpOperandGetOwner(use);
    if (ir_code(p->m, op) == KERNEL_VIEW) continue;
    for (int r = 0; r < (int)mlirOperationGetNumResults(op); ++r)
      if (mlirValueEqual(taken_over(p, op, r), v)) return true;
  }
  return false;
}

// Moves the root of each part of a stack into the stack's, where the part is the whole of its root and no later stack
// has it.
static void absorb_parts(memory *p, MlirOperation stack, slot into, const map *absorbed) {
  root *whole = &p->roots[into.root];
  for (intptr_t i = 0; i < mlirOperationGetNumOperands(stack); ++i) {
    MlirValue part = mlirOperationGetOperand(stack, i);
    slot at = *slot_of(p, part);
    root *from = &p->roots[at.root];
    if (from->into >= 0 || at.root == into.root || at.offset || from->placed || from->bytes != value_bytes(part))
      continue;
    if (map_get(absorbed, part.ptr, 0)) continue;
    from->into = into.root;
    from->offset = into.offset + ir_int_at(stack, "to", (int)i) * value_element_bytes(part);
    if (from->first < whole->first) whole->first = from->first;
    if (from->last > whole->last) whole->last = from->last;
  }
}

// A root that went into another hands its values on.
static void resolve(const memory *p, slot *s) {
  while (p->roots[s->root].into >= 0) {
    s->offset += p->roots[s->root].offset;
    s->root = p->roots[s->root].into;
  }
}

// ---- spaces whose layout is given ---------------------------------------------------------------

static int64_t input_bytes(const ir *m, const char *name);

// false: of a parameter in float32 that a GPU does not have.
static bool parameter_place(const ir *m, const char *name, bool weight, plan_ref *place, lmn_error *error) {
  int64_t offset = m->plan->parameters[parameter_find(m->parameters, name)].offset;
  *place = weight ? (plan_ref){SPACE_WEIGHT, offset / 2} : (plan_ref){SPACE_PARAMETER, offset};
  if (weight || !m->plan->parked_bytes || offset < m->plan->parameter_bytes - m->plan->parked_bytes) return true;
  return fail(error,
              "%s is read in float32, and is parked: a pass has left it out, or codegen/plan.c should not park it",
              name);
}

static bool fixed_place(memory *p, MlirOperation op, plan_ref *place) {
  ir *m = p->m;
  const char *space = ir_text(m, op, "space"), *name = ir_text(m, op, "name");
  bool weight = !strcmp(space, "weight");
  if (weight || !strcmp(space, "parameter")) return parameter_place(m, name, weight, place, p->error);
  if (!strcmp(space, "input")) {
    *place = (plan_ref){SPACE_INPUT, input_bytes(m, name)};
    return true;
  }
  *place = (plan_ref){SPACE_CONSTANT, 0};
  return constants_place(m, name, &place->offset, p->error);
}

// Inputs lie in the order of their first use in the module, each aligned.
static int64_t input_bytes(const ir *m, const char *name) {
  int64_t offset = 0;
  for (MlirOperation op = mlirBlockGetFirstOperation(m->block); !mlirOperationIsNull(op);
       op = mlirOperationGetNextInBlock(op)) {
    if (ir_code(m, op) != KERNEL_BUFFER || strcmp(ir_text(m, op, "space"), "input")) continue;
    if (!strcmp(ir_text(m, op, "name"), name)) return offset;
    offset += aligned(value_bytes(mlirOperationGetResult(op, 0)));
  }
  return offset;
}

static int64_t gradient_offset(const ir *m, const char *name) {
  int index = parameter_find(m->parameters, name);
  const plan_phase *phase = &m->plan->phases[m->shape.phase];
  int low = 0, high = phase->trained_count;
  while (low < high) { // by parameter index, ascending
    int middle = (low + high) / 2;
    if (phase->trained[middle].parameter < index) low = middle + 1;
    else high = middle;
  }
  return phase->trained[low].offset;
}

// ---- collecting roots ---------------------------------------------------------------------------

static void make_roots(memory *p) {
  ir *m = p->m;
  for (int i = 0; i < p->ops.count; ++i) {
    MlirOperation op = p->ops.items[i];
    for (int r = 0; r < (int)mlirOperationGetNumResults(op); ++r) {
      MlirValue v = mlirOperationGetResult(op, r), over = taken_over(p, op, r);
      if (value_is(over)) {
        slot s = *slot_of(p, over);
        put_slot(p, v, s.root, s.offset + (ir_code(m, op) == KERNEL_VIEW ? ir_int(op, "offset") : 0));
      } else put_slot(p, v, new_root(p, aligned(value_bytes(v)), map_get(&p->order, op.ptr, i)), 0);
      root *at = &p->roots[slot_of(p, v)->root];
      int64_t last = last_reader(p, v);
      if (last > at->last) at->last = last;
      plan_ref place = {SPACE_ARENA, 0};
      if (ir_code(m, op) == KERNEL_BUFFER && fixed_place(p, op, &place))
        at->space = place.space, at->offset = place.offset, at->placed = true;
    }
  }
}

static void place_sinks(memory *p) {
  ir *m = p->m;
  int64_t output = 0;
  for (int i = 0; i < p->ops.count; ++i) {
    op_code code = ir_code(m, p->ops.items[i]);
    if (!is_sink(code)) continue;
    MlirValue v = mlirOperationGetOperand(p->ops.items[i], 0);
    root *at = &p->roots[slot_of(p, v)->root];
    at->placed = true;
    at->space = code == KERNEL_OUTPUT ? SPACE_OUTPUT : SPACE_GRADIENT;
    at->offset = code == KERNEL_OUTPUT ? output : gradient_offset(m, ir_text_at(m, p->ops.items[i], "names", 0));
    if (code == KERNEL_OUTPUT) output += aligned(value_bytes(v));
  }
}

// Latest stacks first: a stack may itself be a part of a later one.
static void absorb_stacks(memory *p) {
  map absorbed = {0};
  for (int i = p->ops.count - 1; i >= 0; --i) {
    MlirOperation op = p->ops.items[i];
    if (!is_stack(p->m, op) || written_over(p, mlirOperationGetResult(op, 0))) continue;
    slot into = *slot_of(p, mlirOperationGetResult(op, 0));
    resolve(p, &into);
    absorb_parts(p, op, into, &absorbed);
    for (intptr_t k = 0; k < mlirOperationGetNumOperands(op); ++k)
      map_put(&absorbed, mlirOperationGetOperand(op, k).ptr, 1);
  }
  map_free(&absorbed);
}

// ---- the arena ----------------------------------------------------------------------------------

typedef struct hole {
  int64_t offset, bytes;
} hole;
typedef struct holes {
  hole *items; // by offset
  int count, capacity;
  int64_t end; // of the arena so far
} holes;

static int64_t take(holes *h, int64_t bytes) { // best fit
  int best = -1;
  for (int i = 0; i < h->count; ++i)
    if (h->items[i].bytes >= bytes && (best < 0 || h->items[i].bytes < h->items[best].bytes)) best = i;
  if (best < 0) {
    int64_t offset = h->end;
    if (h->count && h->items[h->count - 1].offset + h->items[h->count - 1].bytes == h->end)
      offset = h->items[--h->count].offset;
    h->end = offset + bytes;
    return offset;
  }
  int64_t offset = h->items[best].offset;
  h->items[best].offset += bytes;
  h->items[best].bytes -= bytes;
  if (!h->items[best].bytes) {
    memmove(&h->items[best], &h->items[best + 1], (size_t)(h->count - best - 1) * sizeof(hole));
    --h->count;
  }
  return offset;
}

static void give_back(holes *h, int64_t offset, int64_t bytes) {
  int at = 0, high = h->count;
  while (at < high) {
    int middle = (at + high) / 2;
    if (h->items[middle].offset < offset) at = middle + 1;
    else high = middle;
  }
  GROW(h->items, h->count, h->capacity);
  memmove(&h->items[at + 1], &h->items[at], (size_t)(h->count - at) * sizeof(hole));
  h->items[at] = (hole){offset, bytes};
  ++h->count;
  if (at + 1 < h->count && h->items[at].offset + h->items[at].bytes == h->items[at + 1].offset) {
    h->items[at].bytes += h->items[at + 1].bytes;
    memmove(&h->items[at + 1], &h->items[at + 2], (size_t)(h->count - at - 2) * sizeof(hole));
    --h->count;
  }
  if (at > 0 && h->items[at - 1].offset + h->items[at - 1].bytes == h->items[at].offset) {
    h->items[at - 1].bytes += h->items[at].bytes;
    memmove(&h->items[at], &h->items[at + 1], (size_t)(h->count - at - 1) * sizeof(hole));
    --h->count;
  }
}

typedef struct event {
  int64_t time;
  int root;
} event;
static int by_time(const void *a, const void *b) {
  const event *x = a, *y = b;
  if (x->time != y->time) return x->time < y->time ? -1 : 1;
  return x->root - y->root;
}

// In order of time: a root's bytes are taken before its first op and given back after its last.
static int64_t place_arena(memory *p) {
  int count = 0;
  event *starts = memory_alloc((size_t)(p->root_count + 1) * sizeof *starts),
        *ends = memory_alloc((size_t)(p->root_count + 1) * sizeof *ends);
  for (int i = 0; i < p->root_count; ++i) {
    if (p->roots[i].placed || p->roots[i].into >= 0) continue;
    starts[count] = (event){p->roots[i].first, i};
    ends[count++] = (event){p->roots[i].last, i};
  }
  qsort(starts, (size_t)count, sizeof *starts, by_time);
  qsort(ends, (size_t)count, sizeof *ends, by_time);
  holes h = {0};
  for (int s = 0, e = 0; s < count; ++s) {
    for (; ends[e].time < starts[s].time; ++e)
      give_back(&h, p->roots[ends[e].root].offset, p->roots[ends[e].root].bytes);
    root *r = &p->roots[starts[s].root];
    r->offset = take(&h, r->bytes);
    r->placed = true;
  }
  free(starts);
  free(ends);
  free(h.items);
  return h.end;
}

static void write_places(memory *p) {
  for (int i = 0; i < p->ops.count; ++i) {
    int count = (int)mlirOperationGetNumResults(p->ops.items[i]);
    if (!count) continue;
    plan_ref *places = memory_alloc((size_t)count * sizeof *places);
    for (int r = 0; r < count; ++r) {
      slot s = *slot_of(p, mlirOperationGetResult(p->ops.items[i], r));
      resolve(p, &s);
      places[r] = (plan_ref){p->roots[s.root].space, p->roots[s.root].offset + s.offset};
    }
    ir_set_places(p->m, p->ops.items[i], places, count);
    free(places);
  }
}

// Numbers in program order. Riders have their product's, as has what stands between: pieces of all of them are done in
// turns, so none may lie where another reads.
static void number_ops(memory *p) {
  int host = -1;
  for (int i = 0; i < p->ops.count; ++i) {
    MlirOperation op = p->ops.items[i];
    op_code code = ir_code(p->m, op);
    bool rides = ir_int(op, "rides") != 0;
    if (!rides && code != KERNEL_VIEW) host = i;
    map_put(&p->order, op.ptr, rides ? host : i);
  }
}

bool pass_plan_memory(ir *m, lmn_error *error) {
  own_sinks(m);
  memory p = {.m = m, .ops = ir_ops(m), .error = error};
  number_ops(&p);
  make_roots(&p);
  place_sinks(&p);
  absorb_stacks(&p);
  m->arena_bytes = place_arena(&p);
  write_places(&p);
  map_free(&p.order);
  map_free(&p.slots);
  free(p.slot_items);
  free(p.roots);
  return !error->text[0];
}
