// kernel.row: loops over rows around bodies. D is a constant of the text, so that the loops over a row become straight
// vector code; counts of rows and groups are dims, so that every batch and group shares the kernel.
#include "codegen/cpu/rows.h"
#include "codegen/cpu/slots.h"

#include <math.h>
#include <string.h>

int64_t rows_grain(int64_t columns) {
  enum { PIECE_ELEMENTS = 16384 };
  return columns < PIECE_ELEMENTS ? PIECE_ELEMENTS / columns : 1;
}

void rows_finish(cpu_entry *e, kernel_text *k, const char *name) {
  cpu_add_kernel(e->cg, name, k->out.data);
  text_free(&k->out);
}

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
  rows_finish(e, k, r->name);
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
  rows_finish(e, &k, r->name);
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
    launch->grain = rows_grain(r.columns);
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
