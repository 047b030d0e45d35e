// kernel.column: sums over the rows of each group, by columns.
#include "codegen/cuda/rows.h"
#include "codegen/cuda/texts.h"

#include <string.h>

// A block has LANES * MANY columns of a part of one group's rows: its warps take every so many rows, and their sums are
// added in order. args: rows, scalars (of lists a group each, kind by kind), sums kind by kind a group each. dims: rows
// a group, columns.
enum { LANES = 32, WARPS = 8, AT_ONCE = 4, BLOCKS = 528 }; // AT_ONCE: rows a warp has in flight; BLOCKS: about

typedef struct column_kernel {
  const char *body, *type;
  int rows, scalars, kinds, groups; // kinds: of sums
  bool lists;
} column_kernel;

int64_t cuda_column_parts(int64_t rows, int64_t most, int64_t at_once) {
  most = most < 1 ? 1 : most > COLUMN_FAN * COLUMN_FAN ? COLUMN_FAN * COLUMN_FAN : most;
  int64_t share = blocks_of(blocks_of(rows, most), at_once) * at_once;
  return share ? blocks_of(rows, share) : 0;
}

static int64_t power_of_two(int64_t from) { // so that few shapes have a kernel of their own
  int64_t power = 1;
  while (power < from) power *= 2;
  return power;
}

void cuda_column_memory(cuda_source *s, int64_t groups, int64_t parts, int64_t width) {
  cuda_include(s, cuda_text_columns);
  text_printf(&s->functions, "__device__ __align__(16) float partial[%lld];\n__device__ unsigned done[%lld];\n\n",
              (long long)power_of_two(groups * parts * width), (long long)power_of_two(groups * (COLUMN_FAN + 1)));
}

// t0 … [MANY] = the sums of this warp's rows.
static void write_rows(const column_kernel *c, text *t) {
  const char *group = c->lists ? " + group" : "", *start = c->lists ? "0" : "group * rows";
  int each = c->lists ? c->groups : 1;
  text_printf(t,
              "  const long long rows = p.dims[0], columns = p.dims[1], group = blockIdx.y;\n"
              "  const int lane = threadIdx.x %% %d, warp = threadIdx.x / %d;\n"
              "  const long long left = (long long)blockIdx.z * SLICE, d = left + lane * MANY;\n"
              "  const long long share = (rows + gridDim.x - 1) / gridDim.x, first = share * blockIdx.x;\n"
              "  const long long start = %s, end = start + (first + share < rows ? first + share : rows);\n",
              LANES, LANES, start);
  for (int i = 0; i < c->kinds; ++i) text_printf(t, "  float t%d[MANY] = {};\n", i);
  text_printf(t, "#pragma unroll %d\n  for (long long r = start + first + warp; d < columns && r < end; r += %d) {\n",
              AT_ONCE, WARPS);
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
  text_printf(t,
              "  __shared__ __align__(16) float sums[%d][SLICE];\n"
              "  const long long place = group * gridDim.z + blockIdx.z;\n"
              "  float *parts = partial + place * gridDim.x * (%d * SLICE), *mine = parts + blockIdx.x * (%d * SLICE);\n",
              WARPS, c->kinds, c->kinds);
  for (int i = 0; i < c->kinds; ++i)
    text_printf(t,
                "%s  store_many<MANY>(sums[warp] + lane * MANY, t%d);\n  __syncthreads();\n"
                "  for (int i = threadIdx.x; i < SLICE; i += blockDim.x) {\n    float sum = sums[0][i];\n"
                "#pragma unroll\n    for (int w = 1; w < %d; ++w) sum += sums[w][i];\n    mine[%d * SLICE + i] = sum;\n  }\n",
                i ? "  __syncthreads();\n" : "", i, WARPS, i);
  text_printf(t,
              "  add_parts(parts, done + place * (FAN + 1), %d * SLICE, blockIdx.x, gridDim.x, [&](int i, float sum) {\n"
              "    if (left + i %% SLICE < columns) ((float *)p.args[%d + i / SLICE * %d + group])[left + i %% SLICE] = "
              "sum;\n  });\n",
              c->kinds, (c->rows + c->scalars) * (c->lists ? c->groups : 1), c->groups);
}

bool cuda_emit_column(cuda_entry *e, MlirOperation op, lmn_error *error) {
  segment rows = ir_operands(e->ir, op, 0), scalars = ir_operands(e->ir, op, 1);
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
  int64_t slices = blocks_of(columns, slice);
  int64_t parts = cuda_column_parts(group_rows, slices ? BLOCKS / (groups * slices) : 1, WARPS * AT_ONCE);
  plan_launch *launch = cuda_launch(e, op);
  cuda_args(e, launch, op, rows, false);
  cuda_args(e, launch, op, scalars, false);
  cuda_args(e, launch, op, (segment){0, results}, true);
  cuda_dim(e, launch, group_rows);
  cuda_dim(e, launch, columns);
  cuda_grid(launch, parts, groups, slices, LANES * WARPS);
  text_printf(&s.functions, "constexpr int MANY = %d, SLICE = %d; // columns a thread, a block\n", many, slice);
  cuda_column_memory(&s, groups * slices, parts, (int64_t)c.kinds * slice);
  write_rows(&c, &s.body);
  write_sums(&c, &s.body);
  return cuda_finish(e, launch, "column", &s, error);
}
