// recompute: what the backward pass remakes instead of keeping. A value that only lives on because the backward pass
// reads it costs memory from one end of the step to the other; made again just before its first reader there, it does
// not.
//
//   %y, %r = "nn.norm"(%x, %w)   …   %dw = "nn.linear_dw"(%y, %dz)       becomes
//   %y, %r = "nn.norm"(%x, %w)   …   %y2, %r2 = "nn.norm"(%x, %w)   %dw = "nn.linear_dw"(%y2, %dz)
//
// ir.recompute says how much, in eighths of the layers (see ir.h); the driver asks for the least that fits the memory
// limit. Stays kept: what is
// not made by a formula (parameters, inputs, stacks, embeddings), small values such as a norm's statistics where the
// rest of their op is not wanted, and of the residual stream every n-th sum.
#include "passes/passes.h"

#include "passes/map.h"

#include <stdlib.h>
#include <string.h>

typedef struct remaking {
  ir *m;
  op_list ops;
  map backward; // op -> 1: it depends on the loss' gradient
  map depth;    // value of a sum -> sums in a row that lead to it
  map layers;   // op of the forward pass -> the attentions before it
  map clones;   // op -> its number in `made` + 1
  MlirOperation *made;
  int count, capacity;
} remaking;

// ---- names -------------------------------------------------------------------------------------------------------

static const char *const names[RECOMPUTE_POLICIES] = {"nothing",  "rows",     "feed-forward", "layers",
                                                      "layers-2", "layers-4", "layers-8"};

enum { NAME = 32 };
static const char *write_name(int amount, char out[NAME]) {
  int more = amount % RECOMPUTE_PARTS, length = snprintf(out, NAME, "%s", names[amount / RECOMPUTE_PARTS]);
  if (more) snprintf(out + length, NAME - (size_t)length, "+%d/%d", more, RECOMPUTE_PARTS);
  return out;
}

const char *recompute_name(arena *a, int amount) {
  char name[NAME];
  return arena_string(a, write_name(amount, name));
}

int recompute_read(const char *name) {
  char written[NAME];
  for (int amount = 0; amount <= RECOMPUTE_MOST; ++amount)
    if (!strcmp(name, write_name(amount, written))) return amount;
  return -1;
}

void recompute_list(text *list) {
  for (int i = 0; i < RECOMPUTE_POLICIES; ++i) text_printf(list, "%s%s", i ? ", " : "", names[i]);
}

// ---- what is remade ----------------------------------------------------------------------------------------------

static bool is_backward(const remaking *r, MlirOperation op) { return map_get(&r->backward, op.ptr, 0); }

// A product that only an activation reads: its result is wide, and cheap to make for its size.
static bool feeds_activation(const remaking *r, MlirOperation op) {
  bool any = false;
  for (MlirOpOperand use = mlirValueGetFirstUse(mlirOperationGetResult(op, 0)); !mlirOpOperandIsNull(use);
       use = mlirOpOperandGetNextUse(use)) {
    MlirOperation reader = mlirOpOperandGetOwner(use);
    if (is_backward(r, reader)) continue;
    op_code code = ir_code(r->m, reader);
    if (code != NN_GLU && code != NN_ACTIVATION) return false;
    any = true;
  }
  return any;
}

// The layers that have the next policy lie evenly among the others, and have it with every greater amount too.
static recompute_policy policy_of(const remaking *r, MlirOperation op) {
  static const int ranks[RECOMPUTE_PARTS] = {0, 4, 2, 6, 1, 5, 3, 7};
  bool next = ranks[map_get(&r->layers, op.ptr, 0) % RECOMPUTE_PARTS] < r->m->recompute % RECOMPUTE_PARTS;
  return (recompute_policy)(r->m->recompute / RECOMPUTE_PARTS + next);
}

static bool is_remade(const remaking *r, MlirOperation op) {
  recompute_policy policy = policy_of(r, op);
  switch (ir_code(r->m, op)) {
  case NN_NORM:
  case NN_ACTIVATION:
  case NN_GLU: return policy >= RECOMPUTE_ROWS;
  case NN_LINEAR: return policy >= RECOMPUTE_LAYERS || (policy == RECOMPUTE_FEED_FORWARD && feeds_activation(r, op));
  case NN_ROPE:
  case NN_ATTENTION:
  case NN_UNSTACK: return policy >= RECOMPUTE_LAYERS;
  case NN_ADD: {
    if (policy <= RECOMPUTE_LAYERS) return false;
    int64_t apart = (int64_t)1 << (policy - RECOMPUTE_LAYERS);
    return map_get(&r->depth, mlirOperationGetResult(op, 0).ptr, 0) % apart != 0;
  }
  default: return false;
  }
}

static void measure_depths(remaking *r) {
  for (int i = 0; i < r->ops.count; ++i) {
    MlirOperation op = r->ops.items[i];
    if (ir_code(r->m, op) != NN_ADD) continue;
    int64_t most = 0;
    for (intptr_t k = 0; k < mlirOperationGetNumOperands(op); ++k) {
      int64_t depth = map_get(&r->depth, mlirOperationGetOperand(op, k).ptr, 0);
      if (depth > most) most = depth;
    }
    map_put(&r->depth, mlirOperationGetResult(op, 0).ptr, most + 1);
  }
}

// From the loss' gradient on; before it are the layers.
static void find_backward(remaking *r) {
  int64_t layer = 0;
  for (int i = 0; i < r->ops.count; ++i) {
    MlirOperation op = r->ops.items[i];
    bool after = ir_code(r->m, op) == NN_CROSS_ENTROPY_GRAD;
    for (intptr_t k = 0; !after && k < mlirOperationGetNumOperands(op); ++k) {
      MlirValue v = mlirOperationGetOperand(op, k);
      after = mlirValueIsAOpResult(v) && is_backward(r, value_op(v));
    }
    map_put(after ? &r->backward : &r->layers, op.ptr, after ? 1 : layer);
    layer += ir_code(r->m, op) == NN_ATTENTION && !after;
  }
}

// ---- remaking ----------------------------------------------------------------------------------------------------

static MlirValue remade(remaking *r, MlirValue v, MlirOperation before);

static MlirOperation clone_of(remaking *r, MlirOperation op, MlirOperation before) {
  int64_t at = map_get(&r->clones, op.ptr, 0);
  if (at) return r->made[at - 1];
  MlirOperation clone = mlirOperationClone(op);
  for (intptr_t k = 0; k < mlirOperationGetNumOperands(op); ++k)
    mlirOperationSetOperand(clone, k, remade(r, mlirOperationGetOperand(op, k), before));
  mlirBlockInsertOwnedOperationBefore(r->m->block, before, clone);
  GROW(r->made, r->count, r->capacity);
  r->made[r->count++] = clone;
  map_put(&r->clones, op.ptr, r->count);
  return clone;
}

// The value as a reader in front of `before` should have it: made again, or as it is. Statistics of rows are small:
// they are only taken from a clone that is there for another reason.
static MlirValue remade(remaking *r, MlirValue v, MlirOperation before) {
  if (!mlirValueIsAOpResult(v)) return v;
  MlirOperation op = value_op(v);
  if (is_backward(r, op) || !is_remade(r, op)) return v;
  if (value_index(v) && !map_get(&r->clones, op.ptr, 0)) return v;
  return mlirOperationGetResult(clone_of(r, op, before), value_index(v));
}

bool pass_recompute(ir *m, lmn_error *error) {
  (void)error;
  if (m->recompute == RECOMPUTE_NOTHING) return true;
  remaking r = {.m = m, .ops = ir_ops(m)};
  find_backward(&r);
  measure_depths(&r);
  for (int i = 0; i < r.ops.count; ++i) {
    MlirOperation op = r.ops.items[i];
    if (!is_backward(&r, op)) continue;
    for (intptr_t k = 0; k < mlirOperationGetNumOperands(op); ++k) {
      MlirValue v = mlirOperationGetOperand(op, k), with = remade(&r, v, op);
      if (!mlirValueEqual(v, with)) mlirOperationSetOperand(op, k, with);
    }
  }
  map_free(&r.backward);
  map_free(&r.depth);
  map_free(&r.layers);
  map_free(&r.clones);
  free(r.made);
  return true;
}
