// kernel.column: sums over the rows of a group.
#include "codegen/cpu/rows.h"
#include "codegen/cpu/slots.h"

// A task sums COLUMN_BLOCK columns of one group: whole cache lines of each row, accumulators that fit in registers.
// Rows are summed in blocks of ROW_BLOCK and the blocks' sums added, which keeps the rounding error of long columns
// small; the order is fixed.
enum { COLUMN_BLOCK = 32, ROW_BLOCK = 64 };

typedef struct column_kernel {
  int64_t columns;
  int row_count, scalar_count, kinds, groups;
  bool lists; // as of row_kernel
  const char *body, *name;
} column_kernel;

// for c in 0 … width: to[c] = 0, or to[c] += from[c] for each kind
static void each_column(kernel_text *k, int kinds, ssa zero, ssa one, ssa width, ssa to, const ssa *from) {
  for (int i = 0; i < kinds; ++i) {
    ssa base = k_int(k, (int64_t)i * COLUMN_BLOCK);
    ssa c = k_for(k, zero, width, one), at = k_add(k, base, c);
    ssa value = from ? k_add(k, k_load(k, to, at, K_F32), k_load(k, *from, at, K_F32)) : k_float(k, 0);
    k_store(k, value, to, at);
    k_end(k);
  }
}

// One row's addends into `sums`.
static void add_row(cpu_entry *e, kernel_text *k, const column_kernel *c, const ssa *p, ssa row, ssa first, ssa width,
                    ssa sums) {
  int inputs = c->row_count + c->scalar_count;
  ssa *arguments = ARENA_ARRAY(e->arena, ssa, inputs + 1), *values = ARENA_ARRAY(e->arena, ssa, c->kinds + 1);
  for (int i = c->row_count; i < inputs; ++i) arguments[i] = k_load(k, p[i], row, K_F32);
  ssa base = k_add(k, k_mul(k, row, k_int(k, c->columns)), first);
  ssa column = k_for(k, k_int(k, 0), width, k_int(k, 1));
  for (int i = 0; i < c->row_count; ++i) arguments[i] = k_load(k, p[i], k_add(k, base, column), K_F32);
  k_call_body(k, c->body, arguments, inputs, values, c->kinds);
  for (int i = 0; i < c->kinds; ++i) {
    ssa at = k_add(k, k_int(k, (int64_t)i * COLUMN_BLOCK), column);
    k_store(k, k_add(k, k_load(k, sums, at, K_F32), values[i]), sums, at);
  }
  k_end(k);
}

// name_block(rows …, scalars …, sums …, block sums, total, row begin, row end, first column[, width])
static void write_block(cpu_entry *e, kernel_text *k, const column_kernel *c, const char *name) {
  bool whole = c->columns % COLUMN_BLOCK == 0;
  int inputs = c->row_count + c->scalar_count, pointers = inputs + c->kinds + 2;
  ssa *p = ARENA_ARRAY(e->arena, ssa, pointers + 4);
  k_function(k, name, parameter_types(e, pointers, whole ? 3 : 4), p);
  ssa block_sums = p[pointers - 2], total = p[pointers - 1];
  ssa begin = p[pointers], end = p[pointers + 1], first = p[pointers + 2];
  ssa zero = k_int(k, 0), one = k_int(k, 1), step = k_int(k, ROW_BLOCK);
  ssa width = whole ? k_int(k, COLUMN_BLOCK) : p[pointers + 3];
  each_column(k, c->kinds, zero, one, width, total, NULL);
  ssa block = k_for(k, begin, end, step), block_end = k_min(k, end, k_add(k, block, step));
  each_column(k, c->kinds, zero, one, width, block_sums, NULL);
  ssa row = k_for(k, block, block_end, one);
  add_row(e, k, c, p, row, first, width, block_sums);
  k_end(k);
  each_column(k, c->kinds, zero, one, width, total, &block_sums);
  k_end(k);
  for (int i = 0; i < c->kinds; ++i) {
    ssa column = k_for(k, zero, width, one);
    ssa sum = k_load(k, total, k_add(k, k_int(k, (int64_t)i * COLUMN_BLOCK), column), K_F32);
    k_store(k, sum, p[inputs + i], k_add(k, first, column));
    k_end(k);
  }
  k_return(k);
}

// args: rows, scalars (of lists a group each, kind by kind), sums kind by kind. dims: rows a group, groups. tasks:
// groups x column blocks.
static void write_column_kernel(cpu_entry *e, const column_kernel *c) {
  kernel_text text = {0}, *k = &text;
  const char *block_name = arena_printf(e->arena, "%s_block", c->name);
  write_block(e, k, c, block_name);
  kernel_abi abi = k_kernel(k, c->name);
  int inputs = c->row_count + c->scalar_count, n = 0;
  ssa *arguments = ARENA_ARRAY(e->arena, ssa, inputs + c->kinds + 6);
  ssa one = k_int(k, 1), group_rows = k_dim(k, abi, 0), groups = k_dim(k, abi, 1);
  ssa blocks = k_int(k, (c->columns + COLUMN_BLOCK - 1) / COLUMN_BLOCK), block_length = k_int(k, COLUMN_BLOCK);
  ssa task = k_for(k, abi.begin, abi.end, one);
  ssa group = k_div(k, task, blocks), first = k_mul(k, k_rem(k, task, blocks), block_length);
  for (; n < inputs; ++n)
    arguments[n] =
        c->lists ? k_load(k, abi.args, k_add(k, k_mul(k, k_int(k, n), groups), group), K_PTR) : k_argument(k, abi, n);
  ssa first_sum = c->lists ? k_mul(k, k_int(k, inputs), groups) : k_int(k, inputs);
  for (int i = 0; i < c->kinds; ++i) {
    ssa index = k_add(k, first_sum, k_add(k, k_mul(k, k_int(k, i), groups), group));
    arguments[n++] = k_load(k, abi.args, index, K_PTR);
  }
  arguments[n++] = abi.scratch;
  arguments[n++] = k_at(k, abi.scratch, k_int(k, (int64_t)c->kinds * COLUMN_BLOCK));
  arguments[n++] = c->lists ? k_int(k, 0) : k_mul(k, group, group_rows);
  arguments[n++] = c->lists ? group_rows : k_mul(k, k_add(k, group, one), group_rows);
  arguments[n++] = first;
  if (c->columns % COLUMN_BLOCK) arguments[n++] = k_min(k, block_length, k_sub(k, k_int(k, c->columns), first));
  k_call(k, block_name, arguments, n);
  k_end(k);
  k_return(k);
  rows_finish(e, k, c->name);
}

bool cpu_emit_column(cpu_entry *e, MlirOperation op, lmn_error *error) {
  segment rows = ir_operands(e->ir, op, 0), scalars = ir_operands(e->ir, op, 1);
  int results = (int)mlirOperationGetNumResults(op);
  column_kernel c = {.groups = (int)ir_int(op, "groups"), .lists = ir_int(op, "lists") != 0};
  if (!rows.count || results % c.groups || (c.lists && (rows.count % c.groups || scalars.count % c.groups)))
    return fail(error, "%d rows, %d scalars and %d sums in %d groups", rows.count, scalars.count, results, c.groups);
  c.row_count = rows.count / (c.lists ? c.groups : 1), c.scalar_count = scalars.count / (c.lists ? c.groups : 1);
  MlirValue shape = mlirOperationGetOperand(op, rows.first);
  c.columns = value_columns(shape);
  c.kinds = results / c.groups;
  c.body = cpu_body(e, ir_text(e->ir, op, "body"));
  text signature = {0};
  text_printf(&signature, "%d;%d;%d;%d;%s", c.row_count, c.scalar_count, c.kinds, c.lists, c.body);
  c.name = kernel_name(e, "column", c.columns, &signature);
  if (!cpu_has_kernel(e->cg, c.name)) write_column_kernel(e, &c);
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, c.name);
  for (int i = 0; i < rows.count + scalars.count; ++i) cpu_arg_value(e, launch, mlirOperationGetOperand(op, i));
  for (int i = 0; i < results; ++i) cpu_arg_value(e, launch, mlirOperationGetResult(op, i));
  launch->tasks = c.groups * ((c.columns + COLUMN_BLOCK - 1) / COLUMN_BLOCK);
  int64_t group_rows = value_rows(shape) / (c.lists ? 1 : c.groups);
  launch->grain = rows_grain(group_rows * COLUMN_BLOCK);
  launch->scratch = (int64_t)c.kinds * COLUMN_BLOCK * 2 * (int64_t)sizeof(float);
  cpu_dim(e, launch, group_rows);
  cpu_dim(e, launch, c.groups);
  return true;
}
