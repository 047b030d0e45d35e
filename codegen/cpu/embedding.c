// kernel.embed, embed_grad, prefix_grad, select, select_grad: rows gathered by index, and their gradients. Indices
// outside the table are taken as the nearest inside: the runtime refuses them, and nothing here may crash.
#include "codegen/cpu/cpu.h"
#include "codegen/cpu/kernel_text.h"

static ssa index_of(kernel_text *k, ssa indices, ssa at, ssa rows) {
  return k_clamp(k, k_convert(k, k_load(k, indices, at, K_I32), K_I64), k_int(k, 0), k_sub(k, rows, k_int(k, 1)));
}

static void add_kernel(cpu_entry *e, const char *name, kernel_text *k) {
  cpu_add_kernel(e->cg, name, k->out.data);
  text_free(&k->out);
}

// ---- embed --------------------------------------------------------------------------------------

// args: hidden, ids, table, positions, position_table, prefix (absent ones: hidden). dims: prefix + length, prefix,
// length, rows of the table, rows of the position table. tasks: rows of hidden.
static void embed_kernel(kernel_text *k, const char *name, int64_t columns, bool positions) {
  char add[160];
  snprintf(add, sizeof add, "%s_add", name);
  if (positions) {
    ssa p[3]; // row, token's, position's
    k_function(k, add, "nnn", p);
    ssa d = k_for(k, k_int(k, 0), k_int(k, columns), k_int(k, 1));
    k_store(k, k_add(k, k_load(k, p[1], d, K_F32), k_load(k, p[2], d, K_F32)), p[0], d);
    k_end(k);
    k_return(k);
  }
  kernel_abi abi = k_kernel(k, name);
  ssa hidden = k_argument(k, abi, 0), ids = k_argument(k, abi, 1), table = k_argument(k, abi, 2),
      prefix = k_argument(k, abi, 5);
  ssa all = k_dim(k, abi, 0), prefix_rows = k_dim(k, abi, 1), length = k_dim(k, abi, 2), width = k_int(k, columns);
  ssa row = k_for(k, abi.begin, abi.end, k_int(k, 1));
  ssa t = k_rem(k, row, all), to = k_at(k, hidden, k_mul(k, row, width));
  k_if(k, k_compare(k, "slt", t, prefix_rows));
  k_copy(k, to, k_at(k, prefix, k_mul(k, t, width)), width);
  k_else(k);
  ssa token = k_add(k, k_mul(k, k_div(k, row, all), length), k_sub(k, t, prefix_rows));
  ssa from = k_at(k, table, k_mul(k, index_of(k, ids, token, k_dim(k, abi, 3)), width));
  if (positions) {
    ssa position = index_of(k, k_argument(k, abi, 3), token, k_dim(k, abi, 4));
    K_CALL(k, add, to, from, k_at(k, k_argument(k, abi, 4), k_mul(k, position, width)));
  } else {
    k_copy(k, to, from, width);
  }
  k_end(k);
  k_end(k);
  k_return(k);
}

bool cpu_emit_embed(cpu_entry *e, MlirOperation op, lmn_error *error) {
  MlirValue ids = ir_operand(e->ir, op, 0), table = ir_operand(e->ir, op, 1), positions = ir_operand(e->ir, op, 2);
  MlirValue position_table = ir_operand(e->ir, op, 3), prefix = ir_operand(e->ir, op, 4),
            hidden = ir_result(e->ir, op, 0);
  int64_t length = ir_int(op, "length"), prefix_rows = ir_int(op, "prefix"), columns = value_columns(hidden);
  if (length > 0 && (!value_is(ids) || !value_is(table)))
    return fail(error, "kernel.embed: tokens, but no ids or table");
  if (prefix_rows > 0 && !value_is(prefix)) return fail(error, "kernel.embed: prefix rows, but no prefix");
  if (value_is(positions) != value_is(position_table))
    return fail(error, "kernel.embed: positions without their table");
  const char *name = arena_printf(e->arena, "embed_%d%s", (int)columns, value_is(positions) ? "_positions" : "");
  if (!cpu_has_kernel(e->cg, name)) {
    kernel_text k = {0};
    embed_kernel(&k, name, columns, value_is(positions));
    add_kernel(e, name, &k);
  }
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  MlirValue args[] = {hidden, ids, table, positions, position_table, prefix};
  for (size_t i = 0; i < LENGTH(args); ++i) cpu_arg_value(e, launch, value_is(args[i]) ? args[i] : hidden);
  cpu_dim(e, launch, prefix_rows + length);
  cpu_dim(e, launch, prefix_rows);
  cpu_dim(e, launch, length);
  cpu_dim(e, launch, value_is(table) ? value_rows(table) : 1);
  cpu_dim(e, launch, value_is(position_table) ? value_rows(position_table) : 1);
  launch->tasks = value_rows(hidden);
  launch->grain = 1 + 16384 / columns;
  return true;
}

// ---- embed_grad ---------------------------------------------------------------------------------

enum { CLEAR_FLOATS = 1 << 16, GRADIENT_COLUMNS = 32 };

// args: y. dims: elements. tasks: pieces of CLEAR_FLOATS.
static void clear_kernel(kernel_text *k, const char *name) {
  kernel_abi abi = k_kernel(k, name);
  ssa y = k_argument(k, abi, 0), elements = k_dim(k, abi, 0), piece = k_int(k, CLEAR_FLOATS);
  ssa from = k_mul(k, abi.begin, piece), to = k_min(k, k_mul(k, abi.end, piece), elements);
  k_zero(k, k_at(k, y, from), k_sub(k, to, from));
  k_return(k);
}

static void emit_clear(cpu_entry *e, MlirOperation op, MlirValue y) {
  static const char name[] = "embed_clear";
  if (!cpu_has_kernel(e->cg, name)) {
    kernel_text k = {0};
    clear_kernel(&k, name);
    add_kernel(e, name, &k);
  }
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  cpu_arg_value(e, launch, y);
  cpu_dim(e, launch, value_elements(y));
  launch->tasks = (value_elements(y) + CLEAR_FLOATS - 1) / CLEAR_FLOATS;
  launch->grain = 4;
}

// args: ids, dy, dtable. dims: batch, length, prefix, rows of the table. tasks: strips of GRADIENT_COLUMNS columns, so
// that the rows of one token add up in order and no two tasks touch the same element.
static void embed_grad_kernel(kernel_text *k, const char *name, int64_t columns) {
  char add[160];
  snprintf(add, sizeof add, "%s_add", name);
  ssa p[3]; // to, from, count
  k_function(k, add, "nni", p);
  ssa d = k_for(k, k_int(k, 0), p[2], k_int(k, 1));
  k_store(k, k_add(k, k_load(k, p[0], d, K_F32), k_load(k, p[1], d, K_F32)), p[0], d);
  k_end(k);
  k_return(k);

  kernel_abi abi = k_kernel(k, name);
  ssa ids = k_argument(k, abi, 0), dy = k_argument(k, abi, 1), dtable = k_argument(k, abi, 2);
  ssa batch = k_dim(k, abi, 0), length = k_dim(k, abi, 1), prefix = k_dim(k, abi, 2), vocabulary = k_dim(k, abi, 3);
  ssa zero = k_int(k, 0), one = k_int(k, 1), width = k_int(k, columns), strip = k_int(k, GRADIENT_COLUMNS);
  ssa task = k_for(k, abi.begin, abi.end, one);
  ssa column = k_mul(k, task, strip), count = k_min(k, strip, k_sub(k, width, column));
  ssa b = k_for(k, zero, batch, one);
  ssa t = k_for(k, zero, length, one);
  ssa id = index_of(k, ids, k_add(k, k_mul(k, b, length), t), vocabulary);
  ssa row = k_add(k, k_add(k, k_mul(k, b, k_add(k, prefix, length)), prefix), t);
  K_CALL(k, add, k_at(k, dtable, k_add(k, k_mul(k, id, width), column)),
         k_at(k, dy, k_add(k, k_mul(k, row, width), column)), count);
  k_end(k);
  k_end(k);
  k_end(k);
  k_return(k);
}

bool cpu_emit_embed_grad(cpu_entry *e, MlirOperation op, lmn_error *error) {
  MlirValue ids = ir_operand(e->ir, op, 0), dy = ir_operand(e->ir, op, 1), accumulate = ir_operand(e->ir, op, 2),
            dtable = ir_result(e->ir, op, 0);
  int64_t columns = value_columns(dy);
  if (value_is(accumulate)) {
    plan_ref from = ir_place(accumulate), to = ir_place(dtable);
    if (from.space != to.space || from.offset != to.offset) return fail(error, "kernel.embed_grad: adds in place only");
  } else {
    emit_clear(e, op, dtable);
  }
  const char *name = arena_printf(e->arena, "embed_grad_%d", (int)columns);
  if (!cpu_has_kernel(e->cg, name)) {
    kernel_text k = {0};
    embed_grad_kernel(&k, name, columns);
    add_kernel(e, name, &k);
  }
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  cpu_arg_value(e, launch, ids);
  cpu_arg_value(e, launch, dy);
  cpu_arg_value(e, launch, dtable);
  cpu_dim(e, launch, ir_int(op, "batch"));
  cpu_dim(e, launch, ir_int(op, "length"));
  cpu_dim(e, launch, ir_int(op, "prefix"));
  cpu_dim(e, launch, value_rows(dtable));
  launch->tasks = (columns + GRADIENT_COLUMNS - 1) / GRADIENT_COLUMNS;
  return true;
}

// ---- prefix_grad --------------------------------------------------------------------------------

// args: dy, dprefix. dims: batch, prefix + length. tasks: rows of the prefix; each the sum over the batch, in order.
static void prefix_grad_kernel(kernel_text *k, const char *name, int64_t columns) {
  char row_sum[160];
  snprintf(row_sum, sizeof row_sum, "%s_row", name);
  ssa p[4]; // dprefix row, first dy row, batch, stride
  k_function(k, row_sum, "nnii", p);
  ssa zero = k_int(k, 0), one = k_int(k, 1);
  k_copy(k, p[0], p[1], k_int(k, columns));
  ssa b = k_for(k, one, p[2], one), from = k_at(k, p[1], k_mul(k, b, p[3]));
  ssa d = k_for(k, zero, k_int(k, columns), one);
  k_store(k, k_add(k, k_load(k, p[0], d, K_F32), k_load(k, from, d, K_F32)), p[0], d);
  k_end(k);
  k_end(k);
  k_return(k);

  kernel_abi abi = k_kernel(k, name);
  ssa dy = k_argument(k, abi, 0), dprefix = k_argument(k, abi, 1), batch = k_dim(k, abi, 0);
  ssa width = k_int(k, columns), stride = k_mul(k, k_dim(k, abi, 1), width);
  ssa row = k_for(k, abi.begin, abi.end, k_int(k, 1)), at = k_mul(k, row, width);
  K_CALL(k, row_sum, k_at(k, dprefix, at), k_at(k, dy, at), batch, stride);
  k_end(k);
  k_return(k);
}

bool cpu_emit_prefix_grad(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  MlirValue dy = ir_operand(e->ir, op, 0), dprefix = ir_result(e->ir, op, 0);
  const char *name = arena_printf(e->arena, "prefix_grad_%d", (int)value_columns(dy));
  if (!cpu_has_kernel(e->cg, name)) {
    kernel_text k = {0};
    prefix_grad_kernel(&k, name, value_columns(dy));
    add_kernel(e, name, &k);
  }
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  cpu_arg_value(e, launch, dy);
  cpu_arg_value(e, launch, dprefix);
  cpu_dim(e, launch, ir_int(op, "batch"));
  cpu_dim(e, launch, ir_int(op, "prefix") + ir_int(op, "length"));
  launch->tasks = ir_int(op, "prefix");
  return true;
}

// ---- select -------------------------------------------------------------------------------------

// args: x, index, y. dims: length, minus_one. tasks: rows of y.
static void select_kernel(kernel_text *k, const char *name, int64_t columns) {
  kernel_abi abi = k_kernel(k, name);
  ssa x = k_argument(k, abi, 0), index = k_argument(k, abi, 1), y = k_argument(k, abi, 2);
  ssa length = k_dim(k, abi, 0), minus = k_dim(k, abi, 1), width = k_int(k, columns), one = k_int(k, 1);
  ssa b = k_for(k, abi.begin, abi.end, one);
  ssa t = k_sub(k, k_convert(k, k_load(k, index, b, K_I32), K_I64), minus);
  ssa row = k_add(k, k_mul(k, b, length), k_clamp(k, t, k_int(k, 0), k_sub(k, length, one)));
  k_copy(k, k_at(k, y, k_mul(k, b, width)), k_at(k, x, k_mul(k, row, width)), width);
  k_end(k);
  k_return(k);
}

bool cpu_emit_select(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  MlirValue x = ir_operand(e->ir, op, 0), y = ir_result(e->ir, op, 0);
  const char *name = arena_printf(e->arena, "select_%d", (int)value_columns(x));
  if (!cpu_has_kernel(e->cg, name)) {
    kernel_text k = {0};
    select_kernel(&k, name, value_columns(x));
    add_kernel(e, name, &k);
  }
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  cpu_arg_value(e, launch, x);
  cpu_arg_value(e, launch, ir_operand(e->ir, op, 1));
  cpu_arg_value(e, launch, y);
  cpu_dim(e, launch, ir_int(op, "length"));
  cpu_dim(e, launch, ir_int(op, "minus_one") ? 1 : 0);
  launch->tasks = value_rows(y);
  launch->grain = 1 + 16384 / value_columns(y);
  return true;
}

// args: dy, index, dx. dims: length. tasks: rows of dx, zero but for the selected ones.
static void select_grad_kernel(kernel_text *k, const char *name, int64_t columns) {
  kernel_abi abi = k_kernel(k, name);
  ssa dy = k_argument(k, abi, 0), index = k_argument(k, abi, 1), dx = k_argument(k, abi, 2);
  ssa length = k_dim(k, abi, 0), width = k_int(k, columns);
  ssa row = k_for(k, abi.begin, abi.end, k_int(k, 1));
  ssa b = k_div(k, row, length), to = k_at(k, dx, k_mul(k, row, width));
  k_if(k, k_compare(k, "eq", k_rem(k, row, length), index_of(k, index, b, length)));
  k_copy(k, to, k_at(k, dy, k_mul(k, b, width)), width);
  k_else(k);
  k_zero(k, to, width);
  k_end(k);
  k_end(k);
  k_return(k);
}

bool cpu_emit_select_grad(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  MlirValue dy = ir_operand(e->ir, op, 0), dx = ir_result(e->ir, op, 0);
  const char *name = arena_printf(e->arena, "select_grad_%d", (int)value_columns(dy));
  if (!cpu_has_kernel(e->cg, name)) {
    kernel_text k = {0};
    select_grad_kernel(&k, name, value_columns(dy));
    add_kernel(e, name, &k);
  }
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  cpu_arg_value(e, launch, dy);
  cpu_arg_value(e, launch, ir_operand(e->ir, op, 1));
  cpu_arg_value(e, launch, dx);
  cpu_dim(e, launch, ir_int(op, "length"));
  launch->tasks = value_rows(dx);
  launch->grain = 1 + 16384 / value_columns(dx);
  return true;
}
