// fuse-rows: row kernels that read the same rows become one, for a GPU, where each reads them from memory again.
//
// 1. A formula that is the only reader of a row kernel's result (the residual's gradient that is added to a norm's)
// becomes part of its last stage:
//      %d = "kernel.row"(%dy, %x, …)   %s = "kernel.row"(%d, %r) {stages = [@sum2]}       becomes
//      %s = "kernel.row"(%dy, %x, %r, …)
// 2. Sums by columns of rows that a row kernel reads or makes (gradients of the norm's weight and biases) become
// results of it:
//      %d = "kernel.row"(%dy, %x, …)   %w = "kernel.column"(%dy, %x, …)       becomes
//      %d, %w = "kernel.row_sums"(%dy, %x, …)
// Not fused: what would have to run before the rows are there, and rows that would not fit in registers.
#include "passes/passes.h"

#include "passes/calls.h"
#include "passes/fuse_remade.h"

#include <string.h>

enum { MOST_ROWS = 5, MOST_COLUMNS = 8192, MOST_SUMS = 4 };

// A row kernel in the making: kinds of operands, each of them one value or, of lists, one a group.
typedef struct row_parts {
  MlirOperation op;
  bool lists;
  int groups, each; // each: values a kind of rows and scalars
  segment rows, scalars, columns, row_results, scalar_results, sums;
} row_parts;

static row_parts parts_of(ir *m, MlirOperation op) {
  row_parts p = {.op = op, .lists = ir_int(op, "lists") != 0, .groups = (int)ir_int(op, "groups")};
  p.each = p.lists ? p.groups : 1;
  p.rows = ir_operands(m, op, 0), p.scalars = ir_operands(m, op, 1), p.columns = ir_operands(m, op, 2);
  p.row_results = ir_results(m, op, 0), p.scalar_results = ir_results(m, op, 1);
  p.sums = ir_code(m, op) == KERNEL_ROW_SUMS ? ir_results(m, op, 2) : (segment){0, 0};
  return p;
}

static MlirValue *values_of(ir *m, MlirOperation op, segment s, int room) {
  MlirValue *values = ARENA_ARRAY(m->arena, MlirValue, s.count + room);
  for (int i = 0; i < s.count; ++i) values[i] = mlirOperationGetOperand(op, s.first + i);
  return values;
}

static MlirType *types_of(ir *m, MlirOperation op, segment s, int room) {
  MlirType *types = ARENA_ARRAY(m->arena, MlirType, s.count + room);
  for (int i = 0; i < s.count; ++i) types[i] = mlirValueGetType(mlirOperationGetResult(op, s.first + i));
  return types;
}

// ---- rebuilding -------------------------------------------------------------------------------------------------

typedef struct changes {
  const MlirValue *rows; // all of them, and stages that take them
  int row_count;
  const char *const *stages;
  const MlirType *sum_types; // those that come to the ones that are there
  int sum_count;
  const char *sum;
} changes;

// The kernel with its changes, before `before`.
static MlirOperation rebuilt(ir *m, const row_parts *p, MlirOperation before, const changes *c) {
  static const char *const kept[] = {"finish", "groups", "lists", "reads", "reductions"};
  builder b = {m, before, mlirOperationGetLocation(p->op)};
  int sums = ir_count(p->op, "sums"), stages = ir_count(p->op, "stages");
  const char **sum_bodies = ARENA_ARRAY(m->arena, const char *, sums + 1),
             **stage_bodies = ARENA_ARRAY(m->arena, const char *, stages);
  op_spec s = op_begin(&b, sums || c->sum ? KERNEL_ROW_SUMS : KERNEL_ROW);
  op_segment(&s, c->rows, c->row_count);
  op_segment(&s, values_of(m, p->op, p->scalars, 0), p->scalars.count);
  op_segment(&s, values_of(m, p->op, p->columns, 0), p->columns.count);
  op_results(&s, types_of(m, p->op, p->row_results, 0), p->row_results.count);
  op_results(&s, types_of(m, p->op, p->scalar_results, 0), p->scalar_results.count);
  if (sums || c->sum) {
    MlirType *types = types_of(m, p->op, p->sums, c->sum_count);
    for (int i = 0; i < c->sum_count; ++i) types[p->sums.count + i] = c->sum_types[i];
    op_results(&s, types, p->sums.count + c->sum_count);
    for (int i = 0; i < sums; ++i) sum_bodies[i] = ir_text_at(m, p->op, "sums", i);
    if (c->sum) sum_bodies[sums] = c->sum;
    op_symbols(&s, "sums", sum_bodies, sums + (c->sum ? 1 : 0));
  }
  for (int i = 0; i < stages; ++i) stage_bodies[i] = c->stages ? c->stages[i] : ir_text_at(m, p->op, "stages", i);
  op_symbols(&s, "stages", stage_bodies, stages);
  for (size_t i = 0; i < LENGTH(kept); ++i) {
    MlirAttribute a = mlirOperationGetAttributeByName(p->op, mlirStringRefCreateFromCString(kept[i]));
    if (!mlirAttributeIsNull(a)) op_attribute(&s, kept[i], a);
  }
  return op_end(&s);
}

// ---- formulas behind a row kernel -------------------------------------------------------------------------------

static int words(const char *text) {
  int count = 0;
  for (text += strspn(text, " "); *text; text += strspn(text, " ")) text += strcspn(text, " "), ++count;
  return count;
}

static bool is_formula(ir *m, MlirOperation op) { // one stage, no scalars, no columns: an element at a time
  return ir_code(m, op) == KERNEL_ROW && ir_count(op, "stages") == 1 &&
         ir_operands(m, op, 0).count == mlirOperationGetNumOperands(op) && !ir_int(op, "lists") &&
         mlirOperationGetNumResults(op) == 1;
}

static bool reduces(ir *m, MlirOperation op) {
  return ir_code(m, op) == KERNEL_ROW && ir_count(op, "reductions") && ir_results(m, op, 0).count == 1 &&
         value_columns(mlirOperationGetResult(op, 0)) <= MOST_COLUMNS;
}

// The stages of a row kernel that reads `others` more rows; the last one then is `formula`, with what it made as
// argument `at`.
static const char **stages_then(ir *m, const row_parts *p, const char *formula, int others, int at) {
  int stages = ir_count(p->op, "stages"), rows = p->rows.count / p->each, reductions = 0;
  const char **bodies = ARENA_ARRAY(m->arena, const char *, stages);
  for (int i = 0; i < stages; ++i) {
    const char *stage = ir_text_at(m, p->op, "stages", i);
    int rest = p->scalars.count / p->each + p->columns.count / p->groups + reductions;
    body_choice own = {0}, second = {0};
    body_choose(&own, 0, rows);
    body_choose(&own, rows + others, rest);
    if (i + 1 < stages) {
      const char *name = arena_printf(m->arena, "%s_beside%d", stage, others);
      int results = words(ir_text_at(m, p->op, "reductions", i));
      bodies[i] = body_of_calls(m, name, rows + others + rest, stage, &own, results, NULL, NULL);
      reductions += results;
      continue;
    }
    body_choose(&second, rows, at);
    body_choose(&second, -1, 1);
    body_choose(&second, rows + at, others - at);
    const char *name = arena_printf(m->arena, "%s_then_row_%s_%d", stage, formula, at);
    bodies[i] = body_of_calls(m, name, rows + others + rest, stage, &own, 1, formula, &second);
  }
  return bodies;
}

// Piece `group` of a value, where the kernel takes a list.
static MlirValue piece(ir *m, MlirOperation before, MlirValue x, int group, int groups) {
  builder b = builder_before(m, before);
  int64_t elements = value_elements(x) / groups, columns = value_columns(x);
  op_spec s = op_begin(&b, KERNEL_VIEW);
  op_operand(&s, x);
  op_int(&s, "offset", group * elements * value_element_bytes(x));
  op_result(&s, ir_with_element(ir_matrix(m, elements / columns, columns), value_element(x)));
  return op_end_value(&s);
}

// The kernel with the formula behind it; null: there is none that fits.
static MlirOperation fuse_formula(ir *m, MlirOperation row) {
  const MlirOperation none = {NULL};
  row_parts p = parts_of(m, row);
  MlirValue made = mlirOperationGetResult(row, 0);
  if (p.scalar_results.count || value_uses(made) != 1) return none;
  MlirOpOperand use = mlirValueGetFirstUse(made);
  MlirOperation formula = mlirOpOperandGetOwner(use);
  int at = (int)mlirOpOperandGetOperandNumber(use);
  if (!is_formula(m, formula) ||
      !mlirTypeEqual(mlirValueGetType(mlirOperationGetResult(formula, 0)), mlirValueGetType(made)))
    return none;
  int others = (int)mlirOperationGetNumOperands(formula) - 1, count = p.rows.count;
  if (count / p.each + others > MOST_ROWS) return none;
  MlirValue *rows = values_of(m, row, p.rows, others * p.each);
  for (int i = 0; i <= others; ++i)
    for (int g = 0; i != at && g < p.each; ++g) {
      MlirValue x = mlirOperationGetOperand(formula, i);
      rows[count++] = p.each > 1 ? piece(m, formula, x, g, p.each) : x;
    }
  const char **stages = stages_then(m, &p, ir_text_at(m, formula, "stages", 0), others, at);
  MlirOperation fused = rebuilt(m, &p, formula, &(changes){.rows = rows, .row_count = count, .stages = stages});
  ir_replace(mlirOperationGetResult(formula, 0), mlirOperationGetResult(fused, 0));
  ir_erase(formula);
  ir_erase(row);
  return fused;
}

// ---- sums by columns --------------------------------------------------------------------------------------------

static bool same(ir *m, MlirValue a, MlirValue b) { // or two views of the same piece
  if (mlirValueEqual(a, b)) return true;
  MlirOperation x = value_op(a), y = value_op(b);
  return ir_code(m, x) == KERNEL_VIEW && ir_code(m, y) == KERNEL_VIEW &&
         mlirTypeEqual(mlirValueGetType(a), mlirValueGetType(b)) && ir_int(x, "offset") == ir_int(y, "offset") &&
         same(m, mlirOperationGetOperand(x, 0), mlirOperationGetOperand(y, 0));
}

// Which kind among the operands `of` the column's operands from `first` on are; -1: none.
static int kind_of(ir *m, const row_parts *p, segment of, MlirOperation column, int first) {
  for (int kind = 0; kind < of.count / p->each; ++kind) {
    int g = 0;
    while (g < p->each && same(m, mlirOperationGetOperand(p->op, of.first + kind * p->each + g),
                               mlirOperationGetOperand(column, first + g)))
      ++g;
    if (g == p->each) return kind;
  }
  return -1;
}

// The sum's body over what the row kernel has at hand (rows, scalars, its result); NULL: that is not all it needs.
static const char *sum_body(ir *m, const row_parts *p, MlirOperation column) {
  int rows = p->rows.count / p->each, scalars = p->scalars.count / p->each;
  segment from = ir_operands(m, column, 0), of = ir_operands(m, column, 1);
  body_choice c = {0};
  for (int i = 0; i < from.count / p->each; ++i) {
    int kind = kind_of(m, p, p->rows, column, from.first + i * p->each);
    bool result = kind < 0 && p->each == 1 &&
                  mlirValueEqual(mlirOperationGetOperand(column, from.first + i), mlirOperationGetResult(p->op, 0));
    if (kind < 0 && !result) return NULL;
    body_choose(&c, result ? rows + scalars : kind, 1);
  }
  for (int i = 0; i < of.count / p->each; ++i) {
    int kind = kind_of(m, p, p->scalars, column, of.first + i * p->each);
    if (kind < 0) return NULL;
    body_choose(&c, rows + kind, 1);
  }
  text name = {0};
  const char *body = ir_text(m, column, "body");
  text_printf(&name, "%s_of_%d_%d", body, rows, scalars);
  for (int i = 0; i < c.count; ++i) text_printf(&name, "_%d", c.items[i]);
  const char *added = body_of_calls(m, arena_string(m->arena, name.data), rows + scalars + 1, body, &c, 1, NULL, NULL);
  text_free(&name);
  return added;
}

static bool all_behind(MlirOperation op, MlirOperation column) { // the readers of the column's sums
  for (intptr_t r = 0; r < mlirOperationGetNumResults(column); ++r)
    for (MlirOpOperand use = mlirValueGetFirstUse(mlirOperationGetResult(column, r)); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use))
      if (!mlirOperationIsBeforeInBlock(op, mlirOpOperandGetOwner(use))) return false;
  return true;
}

static bool fuse_sum(ir *m, MlirOperation row, MlirOperation column) {
  if (ir_code(m, row) != KERNEL_ROW_SUMS && !reduces(m, row)) return false;
  row_parts p = parts_of(m, row);
  segment rows = ir_operands(m, column, 0);
  int count = (int)mlirOperationGetNumResults(column);
  bool lists = ir_int(column, "lists") != 0;
  if (ir_int(column, "groups") != p.groups || (lists != p.lists && p.groups > 1) || count != p.groups ||
      ir_count(row, "sums") >= MOST_SUMS || !rows.count || !all_behind(row, column))
    return false;
  const char *body = sum_body(m, &p, column);
  if (!body) return false;
  changes c = {.rows = values_of(m, row, p.rows, 0),
               .row_count = p.rows.count,
               .sum_types = types_of(m, column, (segment){0, count}, 0),
               .sum_count = count,
               .sum = body};
  MlirOperation fused = rebuilt(m, &p, row, &c);
  int before = (int)mlirOperationGetNumResults(row);
  for (int i = 0; i < before; ++i) ir_replace(mlirOperationGetResult(row, i), mlirOperationGetResult(fused, i));
  for (int i = 0; i < count; ++i)
    ir_replace(mlirOperationGetResult(column, i), mlirOperationGetResult(fused, before + i));
  ir_erase(column);
  ir_erase(row);
  return true;
}

// Tries the kernels that read a value, or a view of it.
static bool fuse_with_readers(ir *m, MlirValue x, MlirOperation column) {
  for (MlirOpOperand use = mlirValueGetFirstUse(x); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
    MlirOperation reader = mlirOpOperandGetOwner(use);
    op_code code = ir_code(m, reader);
    if (code == KERNEL_VIEW && fuse_with_readers(m, mlirOperationGetResult(reader, 0), column)) return true;
    if ((code == KERNEL_ROW || code == KERNEL_ROW_SUMS) && fuse_sum(m, reader, column)) return true;
  }
  return false;
}

static void fuse_column(ir *m, MlirOperation column) {
  MlirValue x = mlirOperationGetOperand(column, 0);
  MlirOperation made_by = value_op(x);
  if ((ir_code(m, made_by) == KERNEL_ROW || ir_code(m, made_by) == KERNEL_ROW_SUMS) && fuse_sum(m, made_by, column))
    return;
  while (ir_code(m, value_op(x)) == KERNEL_VIEW) x = mlirOperationGetOperand(value_op(x), 0);
  fuse_with_readers(m, x, column);
}

bool pass_fuse_rows(ir *m, lmn_error *error) {
  (void)error;
  op_list ops = ir_ops(m);
  MlirOperation *rows = ARENA_ARRAY(m->arena, MlirOperation, ops.count + 1),
                *columns = ARENA_ARRAY(m->arena, MlirOperation, ops.count + 1);
  int row_count = 0, column_count = 0; // what is fused into those is in neither list
  for (int i = 0; i < ops.count; ++i)
    if (reduces(m, ops.items[i])) rows[row_count++] = ops.items[i];
    else if (ir_code(m, ops.items[i]) == KERNEL_COLUMN) columns[column_count++] = ops.items[i];
  for (int i = 0; i < row_count; ++i)
    for (MlirOperation row = rows[i]; !mlirOperationIsNull(row);) row = fuse_formula(m, row);
  for (int i = 0; i < column_count; ++i) fuse_column(m, columns[i]);
  fuse_remade(m);
  return true;
}
