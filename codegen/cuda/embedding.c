// kernel.embed, embed_grad, prefix_grad, select, select_grad; see embedding.cuh.
#include "codegen/cuda/cuda.h"
#include "codegen/cuda/texts.h"

enum { THREADS = 256 };

// A block a row, of the kernel that `call` is.
static bool finish(cuda_entry *e, plan_launch *launch, const char *kind, const char *call, int64_t rows,
                   lmn_error *error) {
  cuda_source s = {0};
  cuda_grid(launch, rows, 1, 1, THREADS);
  cuda_include(&s, cuda_text_embedding);
  text_printf(&s.body, "  %s(p);\n", call);
  return cuda_finish(e, launch, kind, &s, error);
}

// The kernel for the types of what it reads and, where it is given, writes.
static const char *typed(cuda_entry *e, const char *name, MlirValue from, MlirValue to) {
  if (!value_is(to)) return arena_printf(e->arena, "%s<%s>", name, cuda_type(from));
  return arena_printf(e->arena, "%s<%s, %s>", name, cuda_type(from), cuda_type(to));
}

bool cuda_emit_embed(cuda_entry *e, MlirOperation op, lmn_error *error) {
  MlirValue ids = ir_operand(e->ir, op, 0), table = ir_operand(e->ir, op, 1), positions = ir_operand(e->ir, op, 2);
  MlirValue position_table = ir_operand(e->ir, op, 3), prefix = ir_operand(e->ir, op, 4),
            hidden = ir_result(e->ir, op, 0);
  int64_t length = ir_int(op, "length"), prefix_rows = ir_int(op, "prefix");
  if (length > 0 && (!value_is(ids) || !value_is(table)))
    return fail(error, "kernel.embed: tokens, but no ids or table");
  if (prefix_rows > 0 && !value_is(prefix)) return fail(error, "kernel.embed: prefix rows, but no prefix");
  if (value_is(positions) != value_is(position_table))
    return fail(error, "kernel.embed: positions without their table");
  plan_launch *launch = cuda_launch(e, op);
  MlirValue args[] = {hidden, ids, table, positions, position_table, prefix};
  for (size_t i = 0; i < LENGTH(args); ++i) cuda_arg_value(e, launch, value_is(args[i]) ? args[i] : hidden);
  cuda_dim(e, launch, value_columns(hidden));
  cuda_dim(e, launch, prefix_rows + length);
  cuda_dim(e, launch, prefix_rows);
  cuda_dim(e, launch, length);
  cuda_dim(e, launch, value_is(table) ? value_rows(table) : 1);
  cuda_dim(e, launch, value_is(position_table) ? value_rows(position_table) : 1);
  MlirValue stored = value_is(table) ? table : prefix;
  const char *call = arena_printf(e->arena, "embed<%s, %s, %s>", value_is(positions) ? "true" : "false",
                                  cuda_type(hidden), cuda_type(stored));
  return finish(e, launch, "embed", call, value_rows(hidden), error);
}

bool cuda_emit_embed_grad(cuda_entry *e, MlirOperation op, lmn_error *error) {
  MlirValue ids = ir_operand(e->ir, op, 0), dy = ir_operand(e->ir, op, 1), accumulate = ir_operand(e->ir, op, 2),
            dtable = ir_result(e->ir, op, 0);
  if (value_is(accumulate)) {
    plan_ref from = ir_place(accumulate), to = ir_place(dtable);
    if (from.space != to.space || from.offset != to.offset) return fail(error, "kernel.embed_grad: adds in place only");
  } else if (!cuda_zero(e, op, dtable, error)) return false;
  plan_launch *launch = cuda_launch(e, op);
  cuda_arg_value(e, launch, ids);
  cuda_arg_value(e, launch, dy);
  cuda_arg_value(e, launch, dtable);
  int64_t tokens = ir_int(op, "batch") * ir_int(op, "length");
  cuda_dim(e, launch, value_columns(dy));
  cuda_dim(e, launch, tokens);
  cuda_dim(e, launch, ir_int(op, "length"));
  cuda_dim(e, launch, ir_int(op, "prefix"));
  cuda_dim(e, launch, value_rows(dtable));
  enum { MANY = 4, BLOCKS = 1024 }; // MANY: elements that a thread takes at once, where rows are whole multiples of it
  bool many = value_columns(dy) % MANY == 0 && ir_place(dy).offset % (MANY * value_element_bytes(dy)) == 0 &&
              ir_place(dtable).offset % (MANY * value_element_bytes(dtable)) == 0;
  const char *call = arena_printf(e->arena, "embed_grad<%d, %s>", many ? MANY : 1, cuda_type(dy));
  return finish(e, launch, "embed_grad", call, BLOCKS, error);
}

bool cuda_emit_prefix_grad(cuda_entry *e, MlirOperation op, lmn_error *error) {
  MlirValue dy = ir_operand(e->ir, op, 0);
  plan_launch *launch = cuda_launch(e, op);
  cuda_arg_value(e, launch, dy);
  cuda_arg_value(e, launch, ir_result(e->ir, op, 0));
  cuda_dim(e, launch, value_columns(dy));
  cuda_dim(e, launch, ir_int(op, "batch"));
  cuda_dim(e, launch, ir_int(op, "prefix") + ir_int(op, "length"));
  return finish(e, launch, "prefix_grad", typed(e, "prefix_grad", dy, no_value), ir_int(op, "prefix"), error);
}

bool cuda_emit_select(cuda_entry *e, MlirOperation op, lmn_error *error) {
  MlirValue y = ir_result(e->ir, op, 0);
  plan_launch *launch = cuda_launch(e, op);
  cuda_arg_value(e, launch, ir_operand(e->ir, op, 0));
  cuda_arg_value(e, launch, ir_operand(e->ir, op, 1));
  cuda_arg_value(e, launch, y);
  cuda_dim(e, launch, value_columns(y));
  cuda_dim(e, launch, ir_int(op, "length"));
  cuda_dim(e, launch, ir_int(op, "minus_one") ? 1 : 0);
  return finish(e, launch, "select", typed(e, "select", ir_operand(e->ir, op, 0), y), value_rows(y), error);
}

bool cuda_emit_select_grad(cuda_entry *e, MlirOperation op, lmn_error *error) {
  MlirValue dx = ir_result(e->ir, op, 0);
  plan_launch *launch = cuda_launch(e, op);
  cuda_arg_value(e, launch, ir_operand(e->ir, op, 0));
  cuda_arg_value(e, launch, ir_operand(e->ir, op, 1));
  cuda_arg_value(e, launch, dx);
  cuda_dim(e, launch, value_columns(dx));
  cuda_dim(e, launch, ir_int(op, "length"));
  return finish(e, launch, "select_grad", typed(e, "select_grad", ir_operand(e->ir, op, 0), dx), value_rows(dx), error);
}
