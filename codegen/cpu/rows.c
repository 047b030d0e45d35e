// kernel.row, kernel.column, kernel.glu, kernel.glu_grad: loops over rows around bodies. D is a constant of the text,
// so that the loops over a row become straight vector code; counts of rows and groups are dims, so that every batch and
// group shares the kernel.
#include "codegen/cpu/kernel_text.h"
#include "codegen/cpu/rows.h"
#include "codegen/cpu/slots.h"

#include <math.h>
#include <string.h>

// About as many elements make a piece of work worth handing to a thread.
enum { PIECE_ELEMENTS = 16384 };

static int64_t grain_of(int64_t columns) { return columns < PIECE_ELEMENTS ? PIECE_ELEMENTS / columns : 1; }

static void finish_kernel(cpu_entry *e, kernel_text *k, const char *name) {
  cpu_add_kernel(e->cg, name, k->out.data);
  text_free(&k->out);
}

// ---- kernel.row

typedef struct row_kernel {
  int64_t columns;
  int row_count, scalar_count, kinds, row_result_count, scalar_result_count, stage_count, reduction_stages, groups;
  int *rows, *scalars, *row_results, *scalar_results; // slots
  const char **stages, **reductions, *finish, *name;
  slots slots;
  int reduction_count; // of all stages
  int argument_limit;  // no body takes more
  bool lists;          // rows and scalars are lists, kind by kind a value a group
  bool shared;         // the reductions are of the first row operand alone: made once for all groups that read it
} row_kernel;

// What a function over rows does: all of it; only the reductions, kept for a few rows; only the rest, from those.
typedef enum { ROWS_WHOLE, ROWS_REDUCE, ROWS_MAP } row_part;
enum { SHARED_ROWS = 16 }; // whose reductions are kept

enum { STAGE_REDUCTIONS_MAX = 32 };

static int word_count(const char *words) {
  int count = 0;
  for (const char *p = words; *p;) {
    p += strspn(p, " ");
    count += *p != 0;
    p += strcspn(p, " ");
  }
  return count;
}

static bool word_is(const char *words, int index, const char *word) {
  const char *p = words + strspn(words, " ");
  for (int i = 0; i < index; ++i) {
    p += strcspn(p, " ");
    p += strspn(p, " ");
  }
  return strcspn(p, " ") == strlen(word) && !strncmp(p, word, strlen(word));
}

static bool read_reductions(cpu_entry *e, MlirOperation op, row_kernel *r, text *signature, lmn_error *error) {
  r->reduction_stages = ir_count(op, "reductions");
  r->reductions = ARENA_ARRAY(e->arena, const char *, r->reduction_stages + 1);
  for (int i = 0; i < r->reduction_stages; ++i) {
    const char *words = r->reductions[i] = ir_text_at(e->ir, op, "reductions", i);
    int count = word_count(words);
    for (int w = 0; w < count; ++w)
      if (!word_is(words, w, "sum") && !word_is(words, w, "max"))
        return fail(error, "the reductions \"%s\" of a stage are not of \"sum\" and \"max\"", words);
    if (count < 1 || count > STAGE_REDUCTIONS_MAX) return fail(error, "a stage has %d reductions", count);
    r->reduction_count += count;
    text_printf(signature, "%s;", words);
  }
  return true;
}

static bool read_row_kernel(cpu_entry *e, MlirOperation op, row_kernel *r, lmn_error *error) {
  text signature = {0};
  segment rows = ir_operands(e->ir, op, 0), scalars = ir_operands(e->ir, op, 1), columns = ir_operands(e->ir, op, 2);
  segment row_results = ir_results(e->ir, op, 0), scalar_results = ir_results(e->ir, op, 1);
  r->groups = (int)ir_int(op, "groups");
  r->lists = ir_int(op, "lists") != 0;
  r->shared = ir_count(op, "reads") > 0;
  text_printf(&signature, "%d%d", r->lists, r->shared);
  if (r->lists) rows.count /= r->groups, scalars.count /= r->groups;
  r->rows = (r->lists ? list_slots : slots_of)(e, &r->slots, op, rows, false, &signature);
  r->scalars = (r->lists ? list_slots : slots_of)(e, &r->slots, op, scalars, false, &signature);
  r->row_results = slots_of(e, &r->slots, op, row_results, true, &signature);
  r->scalar_results = slots_of(e, &r->slots, op, scalar_results, true, &signature);
  r->row_count = rows.count, r->scalar_count = scalars.count;
  r->row_result_count = row_results.count, r->scalar_result_count = scalar_results.count;
  r->kinds = columns.count / r->groups;
  r->columns = rows.count ? value_columns(mlirOperationGetOperand(op, rows.first))
                          : value_columns(mlirOperationGetResult(op, row_results.first));
  r->stage_count = ir_count(op, "stages");
  r->stages = ARENA_ARRAY(e->arena, const char *, r->stage_count + 1);
  for (int i = 0; i < r->stage_count; ++i) {
    r->stages[i] = cpu_body(e, ir_text_at(e->ir, op, "stages", i));
    text_printf(&signature, "%s;", r->stages[i]);
  }
  const char *finish = ir_text(e->ir, op, "finish");
  r->finish = finish ? cpu_body(e, finish) : NULL;
  text_printf(&signature, "%d;%s;", r->kinds, r->finish ? r->finish : "");
  bool ok = read_reductions(e, op, r, &signature, error);
  r->argument_limit = r->row_count + r->scalar_count + r->kinds + r->reduction_count;
  r->name = kernel_name(e, "row", r->columns, &signature);
  if (ok && r->stage_count - r->reduction_stages != (r->row_result_count > 0))
    return fail(error, "%d stages with %d texts of reductions and %d row results do not go together", r->stage_count,
                r->reduction_stages, r->row_result_count);
  return ok && (!r->scalar_result_count || r->finish || fail(error, "scalar results need a finish body"));
}

// The row being made: values that all its stages share.
typedef struct row_values {
  ssa *pointers, *columns; // slots; column vectors
  ssa kept, kept_row;      // reductions that are kept: SHARED_ROWS of the first, then of the next
  ssa row, base, zero, one, width;
  ssa *scalars, *reductions, *arguments;
  int reduction_count;
} row_values;

// Loads the element at `column` of every row operand and column vector; the body's arguments.
static int body_arguments(kernel_text *k, const row_kernel *r, row_values *v, ssa column) {
  int n = 0;
  ssa at = k_add(k, v->base, column);
  for (int i = 0; i < r->row_count; ++i) v->arguments[n++] = k_load(k, v->pointers[r->rows[i]], at, K_F32);
  for (int i = 0; i < r->scalar_count; ++i) v->arguments[n++] = v->scalars[i];
  for (int i = 0; i < r->kinds; ++i) v->arguments[n++] = k_load(k, v->columns[i], column, K_F32);
  for (int i = 0; i < v->reduction_count; ++i) v->arguments[n++] = v->reductions[i];
  return n;
}

static void reduce_stage(kernel_text *k, const row_kernel *r, row_values *v, int stage) {
  const char *words = r->reductions[stage];
  int count = word_count(words);
  ssa *carried = v->reductions + v->reduction_count, values[STAGE_REDUCTIONS_MAX];
  for (int i = 0; i < count; ++i) carried[i] = k_float(k, word_is(words, i, "sum") ? 0 : -INFINITY);
  ssa column = k_for_carry(k, v->zero, v->width, v->one, carried, count);
  int arguments = body_arguments(k, r, v, column);
  k_call_body(k, r->stages[stage], v->arguments, arguments, values, count);
  for (int i = 0; i < count; ++i)
    values[i] = word_is(words, i, "sum") ? k_add_any_order(k, carried[i], values[i])
                                         : k_max_any_order(k, carried[i], values[i]);
  k_end_carry(k, values);
  v->reduction_count += count;
}

static void map_stage(cpu_entry *e, kernel_text *k, const row_kernel *r, row_values *v) {
  ssa *values = ARENA_ARRAY(e->arena, ssa, r->row_result_count);
  ssa column = k_for(k, v->zero, v->width, v->one);
  int arguments = body_arguments(k, r, v, column);
  k_call_body(k, r->stages[r->stage_count - 1], v->arguments, arguments, values, r->row_result_count);
  for (int i = 0; i < r->row_result_count; ++i)
    k_store(k, values[i], v->pointers[r->row_results[i]], k_add(k, v->base, column));
  k_end(k);
}

static void finish_row(cpu_entry *e, kernel_text *k, const row_kernel *r, row_values *v) {
  ssa *values = ARENA_ARRAY(e->arena, ssa, r->scalar_result_count);
  memcpy(v->arguments, v->scalars, (size_t)r->scalar_count * sizeof *v->scalars);
  memcpy(v->arguments + r->scalar_count, v->reductions, (size_t)v->reduction_count * sizeof *v->reductions);
  k_call_body(k, r->finish, v->arguments, r->scalar_count + v->reduction_count, values, r->scalar_result_count);
  for (int i = 0; i < r->scalar_result_count; ++i) k_store(k, values[i], v->pointers[r->scalar_results[i]], v->row);
}

static const char *const row_functions[] = {"rows", "reduce", "map"};

static ssa kept_at(kernel_text *k, const row_values *v, int reduction) {
  return k_add(k, v->kept_row, k_int(k, (int64_t)reduction * SHARED_ROWS));
}

static void reduce_row(kernel_text *k, const row_kernel *r, row_values *v, row_part part) {
  for (int i = 0; i < r->reduction_stages && part != ROWS_MAP; ++i) reduce_stage(k, r, v, i);
  for (int i = 0; i < r->reduction_count && part == ROWS_MAP; ++i)
    v->reductions[v->reduction_count++] = k_load(k, v->kept, kept_at(k, v, i), K_F32);
  for (int i = 0; i < r->reduction_count && part == ROWS_REDUCE; ++i)
    k_store(k, v->reductions[i], v->kept, kept_at(k, v, i));
}

// name_rows(slots …, columns …, begin, end): the rows of one group. name_reduce, name_map: with a pointer to the kept
// reductions behind the columns.
static void write_rows(cpu_entry *e, kernel_text *k, const row_kernel *r, row_part part) {
  int pointers = r->slots.count + r->kinds + (part != ROWS_WHOLE);
  ssa *parameters = ARENA_ARRAY(e->arena, ssa, pointers + 2);
  k_function(k, arena_printf(e->arena, "%s_%s", r->name, row_functions[part]), parameter_types(e, pointers, 2),
             parameters);
  row_values v = {.pointers = parameters, .columns = parameters + r->slots.count};
  v.scalars = ARENA_ARRAY(e->arena, ssa, r->scalar_count + 1);
  v.reductions = ARENA_ARRAY(e->arena, ssa, r->reduction_count + 1);
  v.arguments = ARENA_ARRAY(e->arena, ssa, r->argument_limit + 1);
  v.zero = k_int(k, 0), v.one = k_int(k, 1), v.width = k_int(k, r->columns);
  v.row = k_for(k, parameters[pointers], parameters[pointers + 1], v.one);
  v.base = k_mul(k, v.row, v.width);
  for (int i = 0; i < r->scalar_count; ++i) v.scalars[i] = k_load(k, v.pointers[r->scalars[i]], v.row, K_F32);
  v.kept = parameters[pointers - 1], v.kept_row = k_sub(k, v.row, parameters[pointers]);
  reduce_row(k, r, &v, part);
  if (r->row_result_count && part != ROWS_REDUCE) map_stage(e, k, r, &v);
  if (r->scalar_result_count && part != ROWS_MAP) finish_row(e, k, r, &v);
  k_end(k);
  k_return(k);
}

// Loads the column vectors of `group` to arguments[slots …].
static void load_columns(kernel_text *k, const row_kernel *r, kernel_abi abi, ssa groups, ssa group, ssa *arguments) {
  for (int i = 0; i < r->kinds; ++i) {
    ssa index = k_add(k, k_int(k, r->slots.count), k_add(k, k_mul(k, k_int(k, i), groups), group));
    arguments[r->slots.count + i] = k_load(k, abi.args, index, K_PTR);
  }
}

// The group's pointers of lists to arguments, as if its rows began at row `start`.
static void load_lists(kernel_text *k, const row_kernel *r, kernel_abi abi, ssa groups, ssa group, ssa start,
                       ssa *arguments) {
  for (int i = 0; i < r->row_count + r->scalar_count; ++i) {
    int slot = i < r->row_count ? r->rows[i] : r->scalars[i - r->row_count];
    ssa index = k_add(k, k_int(k, r->slots.count), k_add(k, k_mul(k, k_int(k, r->kinds + i), groups), group));
    ssa before = i < r->row_count ? k_mul(k, start, k_int(k, r->columns)) : start;
    arguments[slot] = k_at(k, k_load(k, abi.args, index, K_PTR), k_sub(k, k_int(k, 0), before));
  }
}

// Tasks are rows of the first operand: a few of them are reduced, then every group that reads them is made.
// dims: rows a group, groups, then for each segment of the first operand where its groups begin in the list behind
// that, and where the last one's end.
enum { ROW_DIM_LISTS = 2 };
static void write_shared_kernel(cpu_entry *e, const row_kernel *r) {
  kernel_text text = {0}, *k = &text;
  write_rows(e, k, r, ROWS_REDUCE);
  write_rows(e, k, r, ROWS_MAP);
  kernel_abi abi = k_kernel(k, r->name);
  int pointers = r->slots.count + r->kinds;
  ssa *arguments = ARENA_ARRAY(e->arena, ssa, pointers + 3);
  ssa one = k_int(k, 1), group_rows = k_dim(k, abi, 0), groups = k_dim(k, abi, 1);
  ssa lists = k_int(k, ROW_DIM_LISTS);
  ssa first = k_div(k, abi.begin, group_rows), last = k_div(k, k_sub(k, abi.end, one), group_rows);
  ssa segment = k_for(k, first, k_add(k, last, one), one), start = k_mul(k, segment, group_rows);
  ssa from = k_load(k, abi.dims, k_add(k, lists, segment), K_I64);
  ssa to = k_load(k, abi.dims, k_add(k, lists, k_add(k, segment, one)), K_I64);
  ssa end = k_min(k, abi.end, k_add(k, start, group_rows));
  k_if(k, k_compare(k, "slt", from, to));
  ssa row = k_for(k, k_max(k, abi.begin, start), end, k_int(k, SHARED_ROWS));
  for (int i = 0; i < r->slots.count; ++i) arguments[i] = k_argument(k, abi, i);
  ssa any = k_load(k, abi.dims, from, K_I64);
  load_lists(k, r, abi, groups, any, start, arguments);
  load_columns(k, r, abi, groups, any, arguments);
  arguments[pointers] = abi.scratch, arguments[pointers + 1] = row;
  arguments[pointers + 2] = k_min(k, end, k_add(k, row, k_int(k, SHARED_ROWS)));
  k_call(k, arena_printf(e->arena, "%s_reduce", r->name), arguments, pointers + 3);
  ssa at = k_for(k, from, to, one), group = k_load(k, abi.dims, at, K_I64);
  load_lists(k, r, abi, groups, group, start, arguments);
  load_columns(k, r, abi, groups, group, arguments);
  ssa moved = k_mul(k, k_sub(k, k_mul(k, group, group_rows), start), k_int(k, r->columns));
  for (int i = 0; i < r->row_result_count; ++i)
    arguments[r->row_results[i]] = k_at(k, k_argument(k, abi, r->row_results[i]), moved);
  k_call(k, arena_printf(e->arena, "%s_map", r->name), arguments, pointers + 3);
  for (int open = 0; open < 4; ++open) k_end(k);
  k_return(k);
  finish_kernel(e, k, r->name);
}

// args: slots, columns kind by kind, lists kind by kind. dims: rows a group, groups. tasks: rows.
static void write_row_kernel(cpu_entry *e, const row_kernel *r) {
  kernel_text k = {0};
  write_rows(e, &k, r, ROWS_WHOLE);
  kernel_abi abi = k_kernel(&k, r->name);
  int pointers = r->slots.count + r->kinds;
  ssa *arguments = ARENA_ARRAY(e->arena, ssa, pointers + 2);
  const char *rows = arena_printf(e->arena, "%s_rows", r->name);
  for (int i = 0; i < r->slots.count; ++i) arguments[i] = k_argument(&k, abi, i);
  arguments[pointers] = abi.begin, arguments[pointers + 1] = abi.end;
  if (r->kinds || r->lists) {
    ssa one = k_int(&k, 1), group_rows = k_dim(&k, abi, 0), groups = k_dim(&k, abi, 1);
    ssa first = k_div(&k, abi.begin, group_rows), last = k_div(&k, k_sub(&k, abi.end, one), group_rows);
    ssa group = k_for(&k, first, k_add(&k, last, one), one), start = k_mul(&k, group, group_rows);
    if (r->lists) load_lists(&k, r, abi, groups, group, start, arguments);
    load_columns(&k, r, abi, groups, group, arguments);
    arguments[pointers] = k_max(&k, abi.begin, start);
    arguments[pointers + 1] = k_min(&k, abi.end, k_add(&k, start, group_rows));
    k_call(&k, rows, arguments, pointers + 2);
    k_end(&k);
  } else {
    k_call(&k, rows, arguments, pointers + 2);
  }
  k_return(&k);
  finish_kernel(e, &k, r->name);
}

// Which groups read each of the `count` segments of the first row operand; offsets are numbers of dims.
static void shared_dims(cpu_entry *e, plan_launch *launch, MlirOperation op, int groups, int64_t count) {
  int64_t at = launch->dim_count + count + 1;
  cpu_dim(e, launch, at);
  for (int64_t s = 0; s < count; ++s) {
    for (int g = 0; g < groups; ++g) at += ir_int_at(op, "reads", g) == s;
    cpu_dim(e, launch, at);
  }
  for (int64_t s = 0; s < count; ++s)
    for (int g = 0; g < groups; ++g)
      if (ir_int_at(op, "reads", g) == s) cpu_dim(e, launch, g);
}

bool cpu_emit_row(cpu_entry *e, MlirOperation op, lmn_error *error) {
  if (cpu_is_long_sum(e, op)) return cpu_emit_long_sum(e, op);
  row_kernel r = {0};
  bool ok = read_row_kernel(e, op, &r, error);
  segment rows = ir_operands(e->ir, op, 0), scalars = ir_operands(e->ir, op, 1), columns = ir_operands(e->ir, op, 2);
  segment results = ir_results(e->ir, op, 0);
  if (ok && r.lists && (rows.count % r.groups || scalars.count % r.groups || !rows.count || !results.count))
    ok = fail(error, "lists of %d rows and %d scalars for %d groups", rows.count, scalars.count, r.groups);
  if (ok) {
    if (!cpu_has_kernel(e->cg, r.name)) r.shared ? write_shared_kernel(e, &r) : write_row_kernel(e, &r);
    bool whole = rows.count && !r.lists;
    MlirValue shape = whole ? mlirOperationGetOperand(op, rows.first) : mlirOperationGetResult(op, results.first);
    plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, r.name);
    for (int i = 0; i < r.slots.count; ++i) cpu_arg(e, launch, r.slots.places[i]);
    for (int i = 0; i < columns.count; ++i) cpu_arg_value(e, launch, mlirOperationGetOperand(op, columns.first + i));
    for (int i = 0; i < rows.count + scalars.count && r.lists; ++i)
      cpu_arg_value(e, launch, mlirOperationGetOperand(op, i));
    launch->tasks = value_elements(shape) / value_columns(shape);
    launch->grain = grain_of(r.columns);
    int64_t group_rows = launch->tasks / r.groups;
    cpu_dim(e, launch, group_rows);
    cpu_dim(e, launch, r.groups);
    if (r.shared) {
      launch->tasks = value_rows(mlirOperationGetResult(op, ir_results(e->ir, op, 1).first));
      launch->scratch = (int64_t)SHARED_ROWS * r.reduction_count * (int64_t)sizeof(float);
      shared_dims(e, launch, op, r.groups, launch->tasks / group_rows);
    }
  }
  slots_free(&r.slots);
  return ok;
}

// ---- kernel.column

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
  finish_kernel(e, k, c->name);
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
  launch->grain = grain_of(group_rows * COLUMN_BLOCK);
  launch->scratch = (int64_t)c.kinds * COLUMN_BLOCK * 2 * (int64_t)sizeof(float);
  cpu_dim(e, launch, group_rows);
  cpu_dim(e, launch, c.groups);
  return true;
}

// ---- kernel.glu and its gradient

// name_rows(slots …, begin, end). Of glu: x, y; of its gradient: x, dy, dx; slots: the pointer of each.
static void write_glu_rows(cpu_entry *e, kernel_text *k, const char *name, const char *body, int64_t width,
                           const int *slots, int slot_count, bool gradient) {
  ssa *p = ARENA_ARRAY(e->arena, ssa, slot_count + 2), arguments[3], values[2];
  k_function(k, name, parameter_types(e, slot_count, 2), p);
  ssa one = k_int(k, 1), half = k_int(k, width), both = k_int(k, 2 * width);
  ssa x = p[slots[0]], y = p[slots[1]], dx = p[slots[gradient ? 2 : 0]];
  ssa row = k_for(k, p[slot_count], p[slot_count + 1], one);
  ssa in = k_mul(k, row, both), out = k_mul(k, row, half);
  ssa column = k_for(k, k_int(k, 0), half, one);
  ssa gate = k_add(k, in, column), up = k_add(k, gate, half), at = k_add(k, out, column);
  arguments[0] = k_load(k, x, gate, K_F32);
  arguments[1] = k_load(k, x, up, K_F32);
  if (gradient) arguments[2] = k_load(k, y, at, K_F32);
  k_call_body(k, body, arguments, gradient ? 3 : 2, values, gradient ? 2 : 1);
  k_store(k, values[0], gradient ? dx : y, gradient ? gate : at);
  if (gradient) k_store(k, values[1], dx, up);
  k_end(k);
  k_end(k);
  k_return(k);
}

// args: slots. tasks: rows.
static bool emit_glu(cpu_entry *e, MlirOperation op, bool gradient) {
  slots s = {0};
  text signature = {0};
  segment all = {0, (int)mlirOperationGetNumOperands(op)}, one = {0, 1};
  const char *body = cpu_body(e, ir_text(e->ir, op, "body"));
  int list[3], *in = slots_of(e, &s, op, all, false, &signature), *out = slots_of(e, &s, op, one, true, &signature);
  memcpy(list, in, (size_t)all.count * sizeof *list);
  list[all.count] = *out;
  text_add(&signature, body);
  MlirValue x = mlirOperationGetOperand(op, 0);
  int64_t width = value_columns(x) / 2;
  const char *name = kernel_name(e, gradient ? "glu_grad" : "glu", width, &signature);
  if (!cpu_has_kernel(e->cg, name)) {
    kernel_text k = {0};
    const char *rows = arena_printf(e->arena, "%s_rows", name);
    write_glu_rows(e, &k, rows, body, width, list, s.count, gradient);
    kernel_abi abi = k_kernel(&k, name);
    ssa arguments[5];
    for (int i = 0; i < s.count; ++i) arguments[i] = k_argument(&k, abi, i);
    arguments[s.count] = abi.begin, arguments[s.count + 1] = abi.end;
    k_call(&k, rows, arguments, s.count + 2);
    k_return(&k);
    finish_kernel(e, &k, name);
  }
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  for (int i = 0; i < s.count; ++i) cpu_arg(e, launch, s.places[i]);
  launch->tasks = value_rows(x);
  launch->grain = grain_of(2 * width);
  slots_free(&s);
  return true;
}

bool cpu_emit_glu(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  return emit_glu(e, op, false);
}

bool cpu_emit_glu_grad(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  return emit_glu(e, op, true);
}
