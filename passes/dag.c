#include "passes/dag.h"

#include "passes/map.h"

dag dag_of(ir *m) {
  dag d = {.ops = ir_ops(m)};
  map numbers = {0};
  int total = 0;
  for (int i = 0; i < d.ops.count; ++i) {
    map_put(&numbers, d.ops.items[i].ptr, i);
    total += (int)mlirOperationGetNumOperands(d.ops.items[i]);
  }
  d.codes = ARENA_ARRAY(m->arena, op_code, d.ops.count);
  d.operands = ARENA_ARRAY(m->arena, int, total);
  d.starts = ARENA_ARRAY(m->arena, int, d.ops.count + 1);
  int at = 0;
  for (int i = 0; i < d.ops.count; ++i) {
    MlirOperation op = d.ops.items[i];
    d.codes[i] = ir_code(m, op);
    d.starts[i] = at;
    for (intptr_t k = 0; k < mlirOperationGetNumOperands(op); ++k)
      d.operands[at++] = (int)map_get(&numbers, value_op(mlirOperationGetOperand(op, k)).ptr, 0);
  }
  d.starts[d.ops.count] = at;
  map_free(&numbers);
  return d;
}

dag_users dag_users_of(ir *m, const dag *d) {
  int count = d->ops.count, total = d->starts[count];
  dag_users u = {.users = ARENA_ARRAY(m->arena, int, total), .starts = ARENA_ARRAY(m->arena, int, count + 2)};
  // Counted two places on and summed, starts[i + 1] is where op i's users begin; filling them in moves it to their end.
  for (int k = 0; k < total; ++k) ++u.starts[d->operands[k] + 2];
  for (int i = 2; i <= count + 1; ++i) u.starts[i] += u.starts[i - 1];
  for (int i = 0; i < count; ++i)
    for (int k = d->starts[i]; k < d->starts[i + 1]; ++k) u.users[u.starts[d->operands[k] + 1]++] = i;
  return u;
}

// Depth first through the operands, with a stack of its own: chains may be as long as the network.
void dag_sort(ir *m) {
  dag d = dag_of(m);
  int count = d.ops.count;
  int *next = ARENA_ARRAY(m->arena, int, count), *stack = ARENA_ARRAY(m->arena, int, count);
  bool *seen = ARENA_ARRAY(m->arena, bool, count);
  MlirOperation end = mlirBlockGetTerminator(m->block);
  for (int i = 0; i < count; ++i) {
    int depth = 0;
    if (!seen[i]) stack[depth++] = i, seen[i] = true, next[i] = d.starts[i];
    while (depth) {
      int op = stack[depth - 1];
      if (next[op] == d.starts[op + 1]) {
        mlirOperationMoveBefore(d.ops.items[op], end);
        --depth;
        continue;
      }
      int operand = d.operands[next[op]++];
      if (!seen[operand]) stack[depth++] = operand, seen[operand] = true, next[operand] = d.starts[operand];
    }
  }
}
