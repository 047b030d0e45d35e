// share-vertices: vertices with the same parameters that are ready at the same time run once, on their inputs stacked.
//
//   %a = lmn.vertex(%x, …) {nodes = [2]}          %s = lmn.stack(%x, %y)
//   %b = lmn.vertex(%y, …) {nodes = [3]}     →    %v = lmn.vertex(%s, …) {nodes = [2, 3]}
//                                                 %a = lmn.unstack(%v) {index = 0, count = 2}
//                                                 %b = lmn.unstack(%v) {index = 1, count = 2}
//
// Which run together does not depend on the layers that the user drew: see vertex_runs.c.
#include "passes/passes.h"
#include "passes/vertex_runs.h"

#include <stdlib.h>

static MlirValue unstack(builder *b, MlirValue stacked, int64_t index, int64_t count, MlirType type) {
  op_spec s = op_begin(b, LMN_UNSTACK);
  op_operand(&s, stacked);
  op_result(&s, type);
  op_int(&s, "index", index);
  op_int(&s, "count", count);
  return op_end_value(&s);
}

// Readers of a vertex's value read `stacked` at `index` of `count` instead; a reader that takes one segment of it takes
// it directly.
static void redirect(ir *m, MlirValue old, MlirValue stacked, int64_t index, int64_t count) {
  MlirValue whole = no_value;
  while (value_used(old)) {
    MlirOperation user = mlirOpOperandGetOwner(mlirValueGetFirstUse(old));
    builder b = builder_before(m, user);
    if (ir_code(m, user) == LMN_UNSTACK) {
      int64_t parts = ir_int(user, "count");
      MlirValue part = mlirOperationGetResult(user, 0);
      ir_replace(part,
                 unstack(&b, stacked, index * parts + ir_int(user, "index"), count * parts, mlirValueGetType(part)));
      ir_erase(user);
      continue;
    }
    b = builder_before(m, value_op(old));
    whole = unstack(&b, stacked, index, count, mlirValueGetType(old));
    ir_replace(old, whole);
  }
}

static void run_together(ir *m, const dag *d, const int *members, int count) {
  MlirOperation first = d->ops.items[members[0]];
  builder b = builder_before(m, first);
  MlirValue hidden = ir_operand(m, first, 0);
  MlirType type = ir_matrix(m, value_rows(hidden) * count, value_columns(hidden));
  op_spec stack = op_begin(&b, LMN_STACK);
  MlirValue *values = memory_alloc((size_t)count * sizeof *values);
  int64_t *nodes = memory_alloc((size_t)count * sizeof *nodes);
  for (int i = 0; i < count; ++i) {
    values[i] = ir_operand(m, d->ops.items[members[i]], 0);
    nodes[i] = ir_int_at(d->ops.items[members[i]], "nodes", 0);
  }
  op_segment(&stack, values, count);
  op_result(&stack, type);
  MlirValue stacked = op_end_value(&stack);
  op_spec s = op_begin(&b, LMN_VERTEX); // the first vertex's mask and table do for all: they see the same positions
  op_operand(&s, stacked);
  op_operand(&s, ir_operand(m, first, 1));
  op_optional(&s, ir_operand(m, first, 2));
  op_result(&s, type);
  op_int(&s, "model", ir_int(first, "model"));
  op_int(&s, "instance", ir_int(first, "instance"));
  op_ints(&s, "nodes", nodes, count);
  op_int(&s, "segments", ir_int(first, "segments"));
  MlirValue value = op_end_value(&s);
  for (int i = 0; i < count; ++i) redirect(m, mlirOperationGetResult(d->ops.items[members[i]], 0), value, i, count);
  for (int i = 0; i < count; ++i) ir_erase(d->ops.items[members[i]]);
  free(values);
  free(nodes);
}

bool pass_share_vertices(ir *m, lmn_error *error) {
  dag d = dag_of(m);
  vertex_runs runs;
  if (!vertex_runs_of(m, &d, &runs, error)) return false;
  for (int i = 0; i < runs.count; ++i) {
    const int *members = runs.members + runs.starts[i];
    int count = runs.starts[i + 1] - runs.starts[i];
    if (count > 1) run_together(m, &d, members, count);
  }
  dag_sort(m);
  return true;
}
