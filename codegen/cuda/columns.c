// kernel.column and kernel.total: sums over rows, by columns.
#include "codegen/cuda/rows.h"
#include "codegen/cuda/texts.h"
#include "passes/sum_parts.h"

#include <string.h>

enum { LANES = 32, WARPS = 8, AT_ONCE = 4 }; // AT_ONCE: rows a warp has in flight

// ---- parts

int64_t cuda_sum_parts(MlirOperation op, int64_t rows, int64_t columns, bool whole_rows) {
  int64_t parts = ir_int(op, "parts");
  return parts ? parts : sum_parts(rows, ir_int(op, "groups"), columns, whole_rows);
}

static plan_ref scratch_part(cuda_entry *e, int64_t part_bytes, int count, int i) {
  plan_ref at = cuda_scratch(e, part_bytes * count);
  at.offset += part_bytes * i;
  return at;
}

bool cuda_sum_args(cuda_entry *e, plan_launch *launch, MlirOperation op, segment sums, int64_t parts, int64_t columns,
                   lmn_error *error) {
  for (int i = 0; i < sums.count; ++i) {
    MlirValue sum = mlirOperationGetResult(op, sums.first + i);
    bool whole = !ir_int(op, "parts");
    if (value_elements(sum) != columns * (whole ? 1 : parts))
      return fail(error, "a sum of %lld elements of %lld columns in %lld parts", (long long)value_elements(sum),
                  (long long)columns, (long long)parts);
    if (whole) cuda_arg(e, launch, scratch_part(e, parts * columns * (int64_t)sizeof(float), sums.count, i));
    else cuda_arg_value(e, launch, sum);
  }
  return true;
}

// ---- kernel.total

// Parts to be added up: part j of `rows` rows; sum i of those from firsts[i] on.
typedef struct total {
  plan_ref *parts, *sums;
  int *firsts, part_count, sum_count;
  int64_t rows, columns;
} total;

static total new_total(cuda_entry *e, int parts, int sums, int64_t rows, int64_t columns) {
  return (total){.parts = ARENA_ARRAY(e->arena, plan_ref, parts),
                 .sums = ARENA_ARRAY(e->arena, plan_ref, sums),
                 .firsts = ARENA_ARRAY(e->arena, int, sums + 1),
                 .part_count = parts,
                 .sum_count = sums,
                 .rows = rows,
                 .columns = columns};
}

// A block some columns of a sum: its warps take every so many rows of each part, then their sums in order. args: parts,
// sums. dims: columns, rows of a part, parts, then the first part of each sum.
static bool emit_total(cuda_entry *e, MlirOperation op, const total *t, lmn_error *error) {
  cuda_source s = {0};
  plan_launch *launch = cuda_launch(e, op);
  bool aligned = t->columns % 4 == 0;
  for (int i = 0; i < t->part_count; ++i) aligned &= t->parts[i].offset % 16 == 0, cuda_arg(e, launch, t->parts[i]);
  for (int i = 0; i < t->sum_count; ++i) cuda_arg(e, launch, t->sums[i]);
  const int64_t dims[] = {t->columns, t->rows, t->part_count};
  for (size_t i = 0; i < LENGTH(dims); ++i) cuda_dim(e, launch, dims[i]);
  for (int i = 0; i <= t->sum_count; ++i) cuda_dim(e, launch, t->firsts[i]);
  cuda_make_room(launch, (cuda_room){.args = 320, .dims = 72});
  int many = aligned ? 4 : 1;
  cuda_grid(launch, blocks_of(t->columns, LANES * many), t->sum_count, 1, LANES * WARPS);
  text_printf(&s.body,
              "  constexpr int MANY = %d, SLICE = %d * MANY, WARPS = %d;\n"
              "  __shared__ __align__(16) float sums[WARPS][SLICE];\n"
              "  const int lane = threadIdx.x %% %d, warp = threadIdx.x / %d;\n"
              "  const long long columns = p.dims[0], left = (long long)blockIdx.x * SLICE, d = left + lane * MANY;\n"
              "  const int rows = (int)p.dims[1], end = (int)p.dims[4 + blockIdx.y];\n"
              "  float t[MANY] = {};\n"
              "  for (int i = (int)p.dims[3 + blockIdx.y]; d < columns && i < end; ++i) {\n"
              "    const float *x = (const float *)p.args[i] + d;\n"
              "#pragma unroll 8\n    for (int r = warp; r < rows; r += WARPS) {\n"
              "      float a[MANY];\n      load_many<MANY>(x + r * columns, a);\n"
              "#pragma unroll\n      for (int q = 0; q < MANY; ++q) t[q] += a[q];\n    }\n  }\n"
              "  store_many<MANY>(sums[warp] + lane * MANY, t);\n  __syncthreads();\n"
              "  if (threadIdx.x >= SLICE || left + threadIdx.x >= columns) return;\n"
              "  float sum = sums[0][threadIdx.x];\n"
              "#pragma unroll\n  for (int w = 1; w < WARPS; ++w) sum += sums[w][threadIdx.x];\n"
              "  ((float *)p.args[p.dims[2] + blockIdx.y])[left + threadIdx.x] = sum;\n",
              many, LANES, WARPS, LANES, LANES);
  return cuda_finish(e, launch, "total", &s, error);
}

bool cuda_emit_total(cuda_entry *e, MlirOperation op, lmn_error *error) {
  int parts = (int)mlirOperationGetNumOperands(op), sums = (int)mlirOperationGetNumResults(op), first = 0;
  if (!parts || ir_count(op, "counts") != sums) return fail(error, "%d parts and %d sums", parts, sums);
  MlirValue shape = mlirOperationGetOperand(op, 0);
  total t = new_total(e, parts, sums, value_rows(shape), value_columns(shape));
  for (int i = 0; i < parts; ++i) t.parts[i] = ir_place(mlirOperationGetOperand(op, i));
  for (int i = 0; i < sums; ++i) {
    MlirValue sum = mlirOperationGetResult(op, i);
    if (value_elements(sum) != t.columns) return fail(error, "sums and parts of different columns");
    t.sums[i] = ir_place(sum);
    int64_t count = ir_int_at(op, "counts", i);
    if (count < 0 || count > parts) return fail(error, "a sum of %lld of %d parts", (long long)count, parts);
    t.firsts[i] = first, first += (int)count;
  }
  t.firsts[sums] = first;
  if (first != parts) return fail(error, "%d parts, and sums of %d", parts, first);
  return emit_total(e, op, &t, error);
}

bool cuda_finish_sums(cuda_entry *e, MlirOperation op, segment sums, int64_t parts, int64_t columns, lmn_error *error) {
  if (ir_int(op, "parts")) return true;
  total t = new_total(e, sums.count, sums.count, parts, columns);
  for (int i = 0; i < sums.count; ++i) {
    t.parts[i] = scratch_part(e, parts * columns * (int64_t)sizeof(float), sums.count, i);
    t.sums[i] = ir_place(mlirOperationGetResult(op, sums.first + i));
    t.firsts[i] = i;
  }
  t.firsts[sums.count] = sums.count;
  return emit_total(e, op, &t, error);
}

// ---- kernel.column

// A block has LANES * MANY columns of a part of one group's rows: its warps take every so many rows, the last ones
// first (see rows.c), and their sums are added in order. args: rows, scalars (of lists a group each, kind by kind),
// parts of the sums kind by kind a group each. dims: rows a group, columns.
typedef struct column_kernel {
  const char *body, *type;
  int rows, scalars, kinds, groups; // kinds: of sums
  bool lists;
} column_kernel;

// t0 … [MANY] = the sums of this warp's rows.
static void write_rows(const column_kernel *c, text *t) {
  const char *group = c->lists ? " + group" : "", *start = c->lists ? "0" : "group * rows";
  int each = c->lists ? c->groups : 1;
  text_printf(
      t,
      "  const long long rows = p.dims[0], columns = p.dims[1], group = blockIdx.y;\n"
      "  const int lane = threadIdx.x %% %d, warp = threadIdx.x / %d;\n"
      "  const long long left = (long long)blockIdx.z * SLICE, d = left + lane * MANY;\n"
      "  const long long step = (long long)gridDim.x * %d, own = (long long)blockIdx.x * %d + warp;\n"
      "  const long long start = %s, last = d < columns && own < rows ? own + (rows - 1 - own) / step * step : -1;\n",
      LANES, LANES, WARPS, WARPS, start);
  for (int i = 0; i < c->kinds; ++i) text_printf(t, "  float t%d[MANY] = {};\n", i);
  text_printf(t,
              "#pragma unroll %d\n  for (long long in_group = last; in_group >= 0; in_group -= step) {\n"
              "    const long long r = start + in_group;\n",
              AT_ONCE);
  for (int i = 0; i < c->rows; ++i)
    text_printf(t, "    float a%d[MANY];\n    load_many<MANY>((const %s *)p.args[%d%s] + r * columns + d, a%d);\n", i,
                c->type, i * each, group, i);
  for (int i = 0; i < c->scalars; ++i)
    text_printf(t, "    const float s%d = ((const float *)p.args[%d%s])[r];\n", i, (c->rows + i) * each, group);
  text_add(t, "#pragma unroll\n    for (int q = 0; q < MANY; ++q) {\n      float ");
  bool some = false;
  cuda_names(t, "v", c->kinds, "", &some);
  text_printf(t, ";\n      %s(", c->body);
  some = false;
  cuda_names(t, "a", c->rows, "[q]", &some);
  cuda_names(t, "s", c->scalars, "", &some);
  cuda_names(t, "v", c->kinds, "", &some);
  text_add(t, ");\n");
  for (int i = 0; i < c->kinds; ++i) text_printf(t, "      t%d[q] += v%d;\n", i, i);
  text_add(t, "    }\n  }\n");
}

static void write_sums(const column_kernel *c, text *t) {
  text_printf(t, "  __shared__ __align__(16) float sums[%d][SLICE];\n", WARPS);
  for (int i = 0; i < c->kinds; ++i)
    text_printf(t,
                "%s  store_many<MANY>(sums[warp] + lane * MANY, t%d);\n  __syncthreads();\n"
                "  for (int i = threadIdx.x; i < SLICE && left + i < columns; i += blockDim.x) {\n"
                "    float sum = sums[0][i];\n"
                "#pragma unroll\n    for (int w = 1; w < %d; ++w) sum += sums[w][i];\n"
                "    ((float *)p.args[%d + group])[blockIdx.x * columns + left + i] = sum;\n  }\n",
                i ? "  __syncthreads();\n" : "", i, WARPS,
                (c->rows + c->scalars) * (c->lists ? c->groups : 1) + i * c->groups);
}

bool cuda_emit_column(cuda_entry *e, MlirOperation op, lmn_error *error) {
  segment rows = ir_operands(e->ir, op, 0), scalars = ir_operands(e->ir, op, 1), sums = ir_results(e->ir, op, 0);
  int results = (int)mlirOperationGetNumResults(op), groups = (int)ir_int(op, "groups");
  bool lists = ir_int(op, "lists") != 0;
  if (groups < 1 || !rows.count || results % groups || (lists && (rows.count % groups || scalars.count % groups)))
    return fail(error, "%d rows, %d scalars and %d sums in %d groups", rows.count, scalars.count, results, groups);
  MlirValue shape = mlirOperationGetOperand(op, rows.first);
  int each = lists ? groups : 1;
  cuda_source s = {0};
  cuda_include(&s, cuda_text_team);
  column_kernel c = {.body = cuda_body(e, &s, ir_text(e->ir, op, "body"), error),
                     .type = cuda_type_of(op, rows, false),
                     .rows = rows.count / each,
                     .scalars = scalars.count / each,
                     .kinds = results / groups,
                     .groups = groups,
                     .lists = lists};
  if (!c.body) return cuda_drop(&s);
  int64_t columns = value_columns(shape), group_rows = value_rows(shape) / (lists ? 1 : groups);
  int many = cuda_row_many(e, op, columns, 1, 0), slice = LANES * many;
  int64_t parts = cuda_sum_parts(op, group_rows, columns, false);
  plan_launch *launch = cuda_launch(e, op);
  cuda_args(e, launch, op, rows, false);
  cuda_args(e, launch, op, scalars, false);
  if (!cuda_sum_args(e, launch, op, sums, parts, columns, error)) return cuda_drop(&s);
  cuda_dim(e, launch, group_rows);
  cuda_dim(e, launch, columns);
  cuda_make_room(launch, (cuda_room){.args = 32, .dims = 2});
  cuda_grid(launch, parts, groups, blocks_of(columns, slice), LANES * WARPS);
  text_printf(&s.functions, "constexpr int MANY = %d, SLICE = %d; // columns a thread, a block\n", many, slice);
  write_rows(&c, &s.body);
  write_sums(&c, &s.body);
  return cuda_finish(e, launch, "column", &s, error) && cuda_finish_sums(e, op, sums, parts, columns, error);
}
