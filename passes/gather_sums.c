// gather-sums: sums by columns leave the parts that their blocks make, and one kernel adds up those of all sums at the
// end, with the sums over several runs of a parameter. For a GPU, where a launch waits for the last one to end.
//
//   %w1 = "kernel.column"(%x)   %w2 = "kernel.column"(%y)   %w = "kernel.row"(%w1, %w2) {stages = [@sum2]} becomes %p1
//   = "kernel.column"(%x) {parts = 128}   %p2 = "kernel.column"(%y) {parts = 128}   … %w = "kernel.total"(%p1, %p2)
//   {counts = [2]}
// A sum that something else reads than what keeps gradients is added up as soon as its parts are there.
#include "passes/passes.h"

#include "passes/formulas.h"
#include "passes/map.h"
#include "passes/sum_parts.h"

#include <stdlib.h>

typedef struct sum {
  MlirValue value;     // the sum as it stands
  MlirOperation op;    // what makes it: a kernel with sums, or the formula that adds up several
  MlirValue parts[16]; // what it is the sum of, once the kernels leave parts
  int count;
  bool last; // only gradients are made of it
} sum;

typedef struct gathering {
  ir *m;
  map parts; // a sum of a kernel -> its number in part_items
  MlirValue *part_items;
  int part_count, part_capacity;
  sum *sums;
  int sum_count, sum_capacity;
} gathering;

static bool makes_sums(ir *m, MlirOperation op) {
  op_code code = ir_code(m, op);
  return (code == KERNEL_COLUMN || code == KERNEL_ROW_SUMS) && !ir_int(op, "parts");
}

static segment sums_of(ir *m, MlirOperation op) { return ir_results(m, op, ir_code(m, op) == KERNEL_COLUMN ? 0 : 2); }

// ---- kernels that leave parts

static int64_t parts_of(ir *m, MlirOperation op) {
  bool column = ir_code(m, op) == KERNEL_COLUMN, lists = ir_int(op, "lists") != 0;
  int64_t groups = ir_int(op, "groups");
  MlirValue rows = column ? mlirOperationGetOperand(op, 0) : mlirOperationGetResult(op, 0);
  int64_t columns = value_columns(rows), count = value_elements(rows) / columns;
  return sum_parts(column && lists ? count : count / groups, groups, columns, !column);
}

// The kernel anew; its old sums stay where they are read, and are mapped to the parts of the new one.
static void leave_parts(gathering *g, MlirOperation op) {
  ir *m = g->m;
  segment sums = sums_of(m, op);
  int64_t parts = parts_of(m, op);
  builder b = {m, op, mlirOperationGetLocation(op)};
  op_spec s = op_begin(&b, ir_code(m, op));
  for (int i = 0; i < (ir_code(m, op) == KERNEL_COLUMN ? 2 : 3); ++i) {
    segment of = ir_operands(m, op, i);
    MlirValue *values = ARENA_ARRAY(m->arena, MlirValue, of.count);
    for (int k = 0; k < of.count; ++k) values[k] = mlirOperationGetOperand(op, of.first + k);
    op_segment(&s, values, of.count);
  }
  for (int i = 0; i < (ir_code(m, op) == KERNEL_COLUMN ? 1 : 3); ++i) {
    segment of = ir_results(m, op, i);
    MlirType *types = ARENA_ARRAY(m->arena, MlirType, of.count);
    for (int k = 0; k < of.count; ++k) {
      MlirValue v = mlirOperationGetResult(op, of.first + k);
      types[k] = of.first == sums.first ? ir_matrix(m, parts, value_elements(v)) : mlirValueGetType(v);
    }
    op_results(&s, types, of.count);
  }
  static const char *const kept[] = {"body", "finish", "groups", "lists", "reads", "reductions", "stages", "sums"};
  for (size_t i = 0; i < LENGTH(kept); ++i) {
    MlirAttribute a = mlirOperationGetAttributeByName(op, mlirStringRefCreateFromCString(kept[i]));
    if (!mlirAttributeIsNull(a)) op_attribute(&s, kept[i], a);
  }
  op_int(&s, "parts", parts);
  MlirOperation with = op_end(&s);
  for (int i = 0; i < sums.first; ++i) ir_replace(mlirOperationGetResult(op, i), mlirOperationGetResult(with, i));
  for (int i = sums.first; i < sums.first + sums.count; ++i) {
    GROW(g->part_items, g->part_count, g->part_capacity);
    g->part_items[g->part_count] = mlirOperationGetResult(with, i);
    map_put(&g->parts, mlirOperationGetResult(op, i).ptr, g->part_count++);
  }
}

// ---- what is added up

static MlirValue part_of(const gathering *g, MlirValue v) {
  int64_t at = map_get(&g->parts, v.ptr, -1);
  return at < 0 ? no_value : g->part_items[at];
}

static bool is_sum(ir *m, MlirOperation op) {
  return ir_code(m, op) == KERNEL_ROW && ir_count(op, "stages") == 1 && !ir_int(op, "lists") &&
         mlirOperationGetNumResults(op) == 1 && ir_operands(m, op, 0).count == mlirOperationGetNumOperands(op) &&
         formula_is_sum(ir_text_at(m, op, "stages", 0));
}

// The formula that adds up this sum and others like it, and reads them alone; null: there is none.
static MlirOperation formula_of(const gathering *g, MlirValue v) {
  const MlirOperation none = {NULL};
  if (value_uses(v) != 1) return none;
  MlirOperation op = mlirOpOperandGetOwner(mlirValueGetFirstUse(v));
  if (!is_sum(g->m, op) || mlirOperationGetNumOperands(op) > (intptr_t)LENGTH(((sum *)0)->parts)) return none;
  for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
    MlirValue x = mlirOperationGetOperand(op, i), part = part_of(g, x);
    if (!value_is(part) || value_uses(x) != 1 ||
        !mlirTypeEqual(mlirValueGetType(part), mlirValueGetType(part_of(g, v))))
      return none;
  }
  return op;
}

static bool only_gradients(ir *m, MlirValue v) {
  bool only = true;
  for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use))
    only &= ir_code(m, mlirOpOperandGetOwner(use)) == KERNEL_GRADIENT;
  return only;
}

// Whatever is made of the old sums of a kernel, each once.
static void find_sums(gathering *g, MlirOperation op) {
  ir *m = g->m;
  segment of = sums_of(m, op);
  for (int i = of.first; i < of.first + of.count; ++i) {
    MlirValue v = mlirOperationGetResult(op, i);
    MlirOperation formula = formula_of(g, v);
    sum s = {.value = v, .op = op, .parts = {part_of(g, v)}, .count = 1};
    if (!mlirOperationIsNull(formula)) {
      if (!mlirValueEqual(mlirOperationGetOperand(formula, 0), v)) continue; // it comes with the first
      s.value = mlirOperationGetResult(formula, 0), s.op = formula;
      s.count = (int)mlirOperationGetNumOperands(formula);
      for (int k = 0; k < s.count; ++k) s.parts[k] = part_of(g, mlirOperationGetOperand(formula, k));
    }
    s.last = only_gradients(m, s.value);
    GROW(g->sums, g->sum_count, g->sum_capacity);
    g->sums[g->sum_count++] = s;
  }
}

// ---- totals

static void add_total(gathering *g, MlirOperation before, const int *which, int count) {
  ir *m = g->m;
  builder b = {m, before, mlirOperationGetLocation(g->sums[which[0]].op)};
  int total = 0;
  for (int i = 0; i < count; ++i) total += g->sums[which[i]].count;
  MlirValue *parts = ARENA_ARRAY(m->arena, MlirValue, total);
  MlirType *types = ARENA_ARRAY(m->arena, MlirType, count);
  int64_t *counts = ARENA_ARRAY(m->arena, int64_t, count);
  total = 0;
  for (int i = 0; i < count; ++i) {
    const sum *s = &g->sums[which[i]];
    for (int k = 0; k < s->count; ++k) parts[total++] = s->parts[k];
    types[i] = mlirValueGetType(s->value), counts[i] = s->count;
  }
  op_spec s = op_begin(&b, KERNEL_TOTAL);
  op_segment(&s, parts, total);
  op_results(&s, types, count);
  op_ints(&s, "counts", counts, count);
  MlirOperation op = op_end(&s);
  for (int i = 0; i < count; ++i) {
    MlirValue v = g->sums[which[i]].value;
    for (MlirOpOperand use = mlirValueGetFirstUse(v), next; !mlirOpOperandIsNull(use); use = next) {
      next = mlirOpOperandGetNextUse(use);
      MlirOperation reader = mlirOpOperandGetOwner(use);
      if (g->sums[which[i]].last && mlirOperationIsBeforeInBlock(reader, op)) mlirOperationMoveBefore(reader, before);
    }
    ir_replace(v, mlirOperationGetResult(op, i));
  }
}

static void add_totals(gathering *g) {
  ir *m = g->m;
  MlirOperation end = mlirBlockGetTerminator(m->block);
  int *which = ARENA_ARRAY(m->arena, int, g->sum_count + 1);
  bool *done = ARENA_ARRAY(m->arena, bool, g->sum_count + 1);
  for (int i = 0; i < g->sum_count; ++i) done[i] = false;
  for (int i = 0; i < g->sum_count; ++i) {
    int count = 0;
    if (done[i]) continue;
    which[count++] = i;
    for (int k = i + 1; k < g->sum_count && g->sums[i].last; ++k)
      if (g->sums[k].last && !done[k] &&
          mlirTypeEqual(mlirValueGetType(g->sums[k].parts[0]), mlirValueGetType(g->sums[i].parts[0])))
        which[count++] = k, done[k] = true;
    add_total(g, g->sums[i].last ? end : g->sums[i].op, which, count);
  }
}

bool pass_gather_sums(ir *m, lmn_error *error) {
  (void)error;
  gathering g = {.m = m};
  op_list ops = ir_ops(m);
  MlirOperation *kernels = ARENA_ARRAY(m->arena, MlirOperation, ops.count + 1);
  int count = 0;
  for (int i = 0; i < ops.count; ++i)
    if (makes_sums(m, ops.items[i])) kernels[count++] = ops.items[i];
  for (int i = 0; i < count; ++i) leave_parts(&g, kernels[i]);
  for (int i = 0; i < count; ++i) find_sums(&g, kernels[i]);
  add_totals(&g);
  for (int i = 0; i < g.sum_count; ++i)
    if (g.sums[i].count > 1) ir_erase(g.sums[i].op); // a formula
  for (int i = 0; i < count; ++i) ir_erase(kernels[i]);
  map_free(&g.parts);
  free(g.part_items);
  free(g.sums);
  return true;
}
