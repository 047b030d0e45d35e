// reuse-masks: one mask a distinct (length, segments, starts) and one rotary table a distinct (rotary base and scaling,
// length, dim) are left, at the top of the entry; every vertex and edge reads those.
//
//   %m0 = lmn.mask() {length = 16, segments = 1}      %m = lmn.mask() {length = 16, segments = 1}
//   %e = lmn.edge(%x, %m0) …                     →    %e = lmn.edge(%x, %m) …
//   %m1 = lmn.mask() {length = 16, segments = 1}      %y = lmn.vertex(%e, %m) …
//   %y = lmn.vertex(%e, %m1) …
//
// Models that turn alike share their table, under the name of the first of them; cse would not see that.
#include "passes/passes.h"

#include <stdlib.h>

static bool same_rope(const model *a, const model *b) {
  const rope *x = &a->rope, *y = &b->rope;
  if (x->kind != y->kind || x->theta != y->theta) return false;
  if (x->kind == ROPE_DEFAULT) return true; // what scaling there might be written is not read
  if (x->factor != y->factor) return false;
  return x->kind != ROPE_LLAMA3 ||
         (x->low_frequency_factor == y->low_frequency_factor && x->high_frequency_factor == y->high_frequency_factor &&
          x->original_length == y->original_length);
}

static int first_alike(const graph *g, int model) {
  for (int i = 0; i < model; ++i)
    if (g->models[i].description.head_size == g->models[model].description.head_size &&
        same_rope(&g->models[i].description, &g->models[model].description))
      return i;
  return model;
}

// What is kept of one kind of mask or table. There are few kinds, so a list is searched.
typedef struct kept {
  op_code code;
  int64_t numbers[3];
  MlirValue starts, value;
} kept;

static kept describe(ir *m, MlirOperation op, op_code code, const int *alike) {
  kept k = {.code = code, .value = mlirOperationGetResult(op, 0)};
  k.numbers[0] = ir_int(op, "length");
  if (code == LMN_MASK) {
    k.numbers[1] = ir_int(op, "segments");
    k.starts = ir_operand(m, op, 0);
  } else {
    k.numbers[1] = alike[ir_int(op, "model")];
    k.numbers[2] = ir_int(op, "dim");
  }
  return k;
}

static bool same_kind(const kept *a, const kept *b) {
  return a->code == b->code && a->numbers[0] == b->numbers[0] && a->numbers[1] == b->numbers[1] &&
         a->numbers[2] == b->numbers[2] && a->starts.ptr == b->starts.ptr;
}

static void to_top(MlirBlock block, MlirOperation op) {
  MlirOperation first = mlirBlockGetFirstOperation(block);
  if (first.ptr != op.ptr) mlirOperationMoveBefore(op, first);
}

bool pass_reuse_masks(ir *m, lmn_error *error) {
  (void)error;
  int *alike = ARENA_ARRAY(m->arena, int, m->graph->model_count);
  for (int i = 0; i < m->graph->model_count; ++i) alike[i] = first_alike(m->graph, i);
  kept *items = NULL;
  int count = 0, capacity = 0;
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i) {
    op_code code = ir_code(m, ops.items[i]);
    if (code != LMN_MASK && code != LMN_ROTARY) continue;
    kept now = describe(m, ops.items[i], code, alike);
    int at = 0;
    while (at < count && !same_kind(&items[at], &now)) ++at;
    if (at < count) {
      ir_replace(now.value, items[at].value);
      ir_erase(ops.items[i]);
      continue;
    }
    if (code == LMN_ROTARY) ir_set_int(m, ops.items[i], "model", now.numbers[1]);
    GROW(items, count, capacity);
    items[count++] = now;
  }
  for (int i = count - 1; i >= 0; --i) to_top(m->block, value_op(items[i].value));
  for (int i = 0; i < count; ++i)
    if (value_is(items[i].starts)) to_top(m->block, value_op(items[i].starts));
  free(items);
  return true;
}
