// kernel.row, kernel.column, kernel.glu, kernel.glu_grad: loops over rows around bodies. The counts of rows and columns
// are dims, so that every shape shares the kernel.
#include "codegen/cuda/cuda.h"
#include "codegen/cuda/texts.h"
#include "passes/formulas.h"

#include <string.h>

enum { THREADS = 256, MANY = 4 }; // MANY: elements that a thread takes at once, where they are aligned to that

// Whether threads may take MANY elements of these at once, as far as where they begin goes.
static bool places_aligned(MlirOperation op, segment s, bool results) {
  bool aligned = true;
  for (int i = 0; i < s.count; ++i) {
    MlirValue v = results ? mlirOperationGetResult(op, s.first + i) : mlirOperationGetOperand(op, s.first + i);
    aligned &= ir_place(v).offset % (MANY * value_element_bytes(v)) == 0;
  }
  return aligned;
}

// ---- kernel.row

// args: rows, scalars (of lists a group each, kind by kind), columns kind by kind a group each, row results, scalar
// results. dims: rows, columns, rows a group; where several groups read a segment: the segment that each reads, and
// whether it is the first to.
typedef struct row_kernel {
  int rows, scalars, columns, row_results, scalar_results; // kinds
  int groups, stages, reductions;                          // reductions: so far
  bool lists, shared;
  int first_scalar, first_column, first_row_result, first_scalar_result; // of args
  const char *row_type, *result_type;
} row_kernel;

// Names prefix0, prefix1 … for the arguments of a body.
static void names(text *t, const char *prefix, int count, const char *behind, bool *some) {
  for (int i = 0; i < count; ++i) {
    text_printf(t, "%s%s%d%s", *some ? ", " : "", prefix, i, behind);
    *some = true;
  }
}

static void declare(text *t, const char *indent, const char *prefix, int count) {
  if (!count) return;
  bool some = false;
  text_printf(t, "%sfloat ", indent);
  names(t, prefix, count, "", &some);
  text_add(t, ";\n");
}

// The loop over a row, MANY elements at once, and the call of a stage's body on the q-th of them.
static void begin_stage(const row_kernel *r, text *t, const char *body, int results) {
  bool some = false;
  text_add(t, "  for (long long d = lane * MANY; d < columns; d += TEAM * MANY) {\n");
  for (int i = 0; i < r->rows; ++i)
    text_printf(t, "    float a%d[MANY];\n    load_many<MANY>(x%d + d, a%d);\n", i, i, i);
  for (int i = 0; i < r->row_results; ++i) text_printf(t, "    float b%d[MANY]; (void)b%d;\n", i, i);
  text_add(t, "#pragma unroll\n    for (int q = 0; q < MANY; ++q) {\n");
  declare(t, "      ", "v", results);
  text_printf(t, "      %s(", body);
  names(t, "a", r->rows, "[q]", &some);
  names(t, "s", r->scalars, "", &some);
  names(t, "c", r->columns, "[d + q]", &some);
  names(t, "r", r->reductions, "", &some);
  names(t, "v", results, "", &some);
  text_add(t, ");\n");
}

static bool is_word(const char *word, size_t length, const char *wanted) {
  return length == strlen(wanted) && !memcmp(word, wanted, length);
}

// A stage of reductions, "sum max".
static bool write_reductions(row_kernel *r, text *t, const char *body, const char *words, lmn_error *error) {
  enum { MOST = 32 };
  bool sums[MOST];
  int count = 0;
  for (const char *p = words + strspn(words, " "); *p; p += strspn(p, " ")) {
    size_t length = strcspn(p, " ");
    if (count == MOST || (!is_word(p, length, "sum") && !is_word(p, length, "max")))
      return fail(error, "the reductions \"%s\" of a stage are not of \"sum\" and \"max\"", words);
    sums[count++] = is_word(p, length, "sum");
    p += length;
  }
  if (!count) return fail(error, "a stage has no reductions");
  for (int i = 0; i < count; ++i)
    text_printf(t, "  float r%d = %s;\n", r->reductions + i, sums[i] ? "0.0f" : "-INFINITY");
  begin_stage(r, t, body, count);
  for (int i = 0; i < count; ++i)
    if (sums[i]) text_printf(t, "      r%d += v%d;\n", r->reductions + i, i);
    else text_printf(t, "      r%d = larger(r%d, v%d);\n", r->reductions + i, r->reductions + i, i);
  text_add(t, "    }\n  }\n");
  for (int i = 0; i < count; ++i)
    text_printf(t, "  r%d = team_%s<TEAM>(r%d);\n", r->reductions + i, sums[i] ? "sum" : "max", r->reductions + i);
  r->reductions += count;
  return true;
}

static void write_map(const row_kernel *r, text *t, const char *body) {
  begin_stage(r, t, body, r->row_results);
  for (int i = 0; i < r->row_results; ++i) text_printf(t, "      b%d[q] = v%d;\n", i, i);
  text_add(t, "    }\n");
  for (int i = 0; i < r->row_results; ++i) text_printf(t, "    store_many<MANY>(y%d + d, b%d);\n", i, i);
  text_add(t, "  }\n");
}

static void write_finish(const row_kernel *r, text *t, const char *body) {
  bool some = false;
  if (r->shared) text_printf(t, "  if (lane == 0 && p.dims[%d + group]) {\n", 3 + r->groups);
  else text_add(t, "  if (lane == 0) {\n");
  declare(t, "    ", "v", r->scalar_results);
  text_printf(t, "    %s(", body);
  names(t, "s", r->scalars, "", &some);
  names(t, "r", r->reductions, "", &some);
  names(t, "v", r->scalar_results, "", &some);
  text_add(t, ");\n");
  for (int i = 0; i < r->scalar_results; ++i)
    text_printf(t, "    ((float *)p.args[%d])[%s] = v%d;\n", r->first_scalar_result + i,
                r->shared ? "p.dims[3 + group] * p.dims[2] + in_group" : "row", i);
  text_add(t, "  }\n");
}

static void write_pointers(const row_kernel *r, text *t) {
  text_add(t, "  const long long rows = p.dims[0], columns = p.dims[1];\n"
              "  const long long row = (long long)blockIdx.x * (blockDim.x / TEAM) + threadIdx.x / TEAM;\n"
              "  const int lane = threadIdx.x % TEAM;\n"
              "  if (row >= rows) return;\n"
              "  const long long group = row / p.dims[2], in_group = row % p.dims[2];\n");
  const char *from = r->lists ? "in_group" : "row", *group = r->lists ? " + group" : "";
  int each = r->lists ? r->groups : 1;
  for (int i = 0; i < r->rows; ++i)
    text_printf(t, "  const %s *x%d = (const %s *)p.args[%d%s] + %s * columns;\n", r->row_type, i, r->row_type,
                i * each, group, from);
  for (int i = 0; i < r->scalars; ++i)
    text_printf(t, "  const float s%d = ((const float *)p.args[%d%s])[%s];\n", i, r->first_scalar + i * each, group,
                from);
  for (int i = 0; i < r->columns; ++i)
    text_printf(t, "  const float *c%d = (const float *)p.args[%d + group];\n", i, r->first_column + i * r->groups);
  for (int i = 0; i < r->row_results; ++i)
    text_printf(t, "  %s *y%d = (%s *)p.args[%d] + row * columns;\n", r->result_type, i, r->result_type,
                r->first_row_result + i);
}

static bool write_stages(cuda_entry *e, MlirOperation op, row_kernel *r, cuda_source *s, lmn_error *error) {
  int reducing = ir_count(op, "reductions");
  for (int i = 0; i < r->stages; ++i) {
    const char *body = cuda_body(e, s, ir_text_at(e->ir, op, "stages", i), error);
    if (!body) return false;
    if (i >= reducing) write_map(r, &s->body, body);
    else if (!write_reductions(r, &s->body, body, ir_text_at(e->ir, op, "reductions", i), error)) return false;
  }
  const char *finish = ir_text(e->ir, op, "finish");
  if (!r->scalar_results) return true;
  if (!finish) return fail(error, "scalar results need a finish body");
  const char *body = cuda_body(e, s, finish, error);
  if (body) write_finish(r, &s->body, body);
  return body != NULL;
}

static bool read_row_kernel(cuda_entry *e, MlirOperation op, row_kernel *r, lmn_error *error) {
  segment rows = ir_operands(e->ir, op, 0), scalars = ir_operands(e->ir, op, 1), columns = ir_operands(e->ir, op, 2);
  *r = (row_kernel){.groups = (int)ir_int(op, "groups"),
                    .lists = ir_int(op, "lists") != 0,
                    .shared = ir_count(op, "reads") > 0,
                    .row_results = ir_results(e->ir, op, 0).count,
                    .scalar_results = ir_results(e->ir, op, 1).count,
                    .stages = ir_count(op, "stages"),
                    .first_scalar = rows.count,
                    .first_column = rows.count + scalars.count,
                    .row_type = cuda_type_of(op, rows, false),
                    .result_type = cuda_type_of(op, ir_results(e->ir, op, 0), true)};
  int each = r->lists ? r->groups : 1;
  if (r->groups < 1 || rows.count % each || scalars.count % each || columns.count % r->groups)
    return fail(error, "lists of %d rows and %d scalars for %d groups", rows.count, scalars.count, r->groups);
  if ((r->lists || !rows.count) && !r->row_results) return fail(error, "rows in lists, and no row results");
  if (r->shared && (!r->lists || ir_count(op, "reads") != r->groups))
    return fail(error, "groups that share segments read lists, one value a group");
  if (r->stages - ir_count(op, "reductions") != (r->row_results > 0))
    return fail(error, "%d stages with %d texts of reductions and %d row results do not go together", r->stages,
                ir_count(op, "reductions"), r->row_results);
  r->rows = rows.count / each, r->scalars = scalars.count / each, r->columns = columns.count / r->groups;
  r->first_row_result = r->first_column + columns.count;
  r->first_scalar_result = r->first_row_result + r->row_results;
  return true;
}

static void shared_dims(cuda_entry *e, plan_launch *launch, MlirOperation op, int groups) {
  for (int g = 0; g < groups; ++g) cuda_dim(e, launch, ir_int_at(op, "reads", g));
  for (int g = 0; g < groups; ++g) {
    bool first = true;
    for (int before = 0; before < g; ++before) first &= ir_int_at(op, "reads", before) != ir_int_at(op, "reads", g);
    cuda_dim(e, launch, first);
  }
}

// kernel.row that only adds up many rows, as the gradients of a parameter that many vertices share: a thread an
// element, over the pointers. args: y, rows. dims: elements.
static bool is_long_sum(cuda_entry *e, MlirOperation op) {
  enum { INLINE = 16 };
  segment rows = ir_operands(e->ir, op, 0);
  return rows.count > INLINE && mlirOperationGetNumOperands(op) == rows.count && !ir_int(op, "lists") &&
         mlirOperationGetNumResults(op) == 1 && ir_count(op, "stages") == 1 &&
         formula_is_sum(ir_text_at(e->ir, op, "stages", 0));
}

static bool emit_long_sum(cuda_entry *e, MlirOperation op, lmn_error *error) {
  plan_launch *launch = cuda_launch(e, op);
  cuda_source s = {0};
  MlirValue y = mlirOperationGetResult(op, 0);
  const char *type = cuda_type_of(op, ir_operands(e->ir, op, 0), false);
  cuda_arg_value(e, launch, y);
  cuda_args(e, launch, op, ir_operands(e->ir, op, 0), false);
  cuda_dim(e, launch, value_elements(y));
  cuda_grid(launch, blocks_of(value_elements(y), THREADS), 1, 1, THREADS);
  text_printf(&s.body,
              "  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;\n"
              "  if (i >= p.dims[0]) return;\n"
              "  float sum = lmn_load((const %s *)p.args[1], i);\n"
              "  for (int row = 2; row < %d; ++row) sum += lmn_load((const %s *)p.args[row], i);\n"
              "  lmn_store((%s *)p.args[0], i, sum);\n",
              type, launch->arg_count, type, cuda_type(y));
  return cuda_finish(e, launch, "sum", &s, error);
}

bool cuda_emit_row(cuda_entry *e, MlirOperation op, lmn_error *error) {
  if (is_long_sum(e, op)) return emit_long_sum(e, op, error);
  enum { WARP_COLUMNS = 1024 }; // a warp a row up to here
  row_kernel r;
  if (!read_row_kernel(e, op, &r, error)) return false;
  segment rows = ir_operands(e->ir, op, 0);
  MlirValue shape = rows.count && !r.lists ? mlirOperationGetOperand(op, rows.first)
                                           : mlirOperationGetResult(op, ir_results(e->ir, op, 0).first);
  int64_t columns = value_columns(shape), count = columns ? value_elements(shape) / columns : 0;
  int team = columns <= WARP_COLUMNS ? 32 : THREADS;
  plan_launch *launch = cuda_launch(e, op);
  for (int i = 0; i < 3; ++i) cuda_args(e, launch, op, ir_operands(e->ir, op, i), false);
  for (int i = 0; i < 2; ++i) cuda_args(e, launch, op, ir_results(e->ir, op, i), true);
  cuda_dim(e, launch, count);
  cuda_dim(e, launch, columns);
  cuda_dim(e, launch, count / r.groups);
  if (r.shared) shared_dims(e, launch, op, r.groups);
  cuda_grid(launch, blocks_of(count, THREADS / team), 1, 1, THREADS);
  cuda_source s = {0};
  bool many =
      columns % MANY == 0 && places_aligned(op, rows, false) && places_aligned(op, ir_results(e->ir, op, 0), true);
  text_printf(&s.functions, "constexpr int TEAM = %d; // threads a row\nconstexpr int MANY = %d;\n\n", team,
              many ? MANY : 1);
  cuda_include(&s, cuda_text_team);
  write_pointers(&r, &s.body);
  return write_stages(e, op, &r, &s, error) ? cuda_finish(e, launch, "row", &s, error) : cuda_drop(&s);
}

// ---- kernel.column

// A block sums the columns of a part of one group's rows: LANES threads of MANY columns each, ROW_THREADS times, each
// every so many rows, then their sums in order. Where there are several parts, their sums lie in the kernel's own
// memory, and the block that is the last of its columns to end adds them up, in order too. args: rows, scalars (of
// lists a group each, kind by kind), sums kind by kind a group each. dims: rows a group, columns.
enum { LANES = 32, ROW_THREADS = 16, PART_ROWS = 256, MOST_PARTS = 32 };

typedef struct column_kernel {
  const char *body, *type;
  int rows, scalars, kinds, groups; // kinds: of sums
  bool lists;
} column_kernel;

// t0 … [MANY] = the sums of this thread's rows.
static void write_column_rows(const column_kernel *c, text *t) {
  const char *group = c->lists ? " + group" : "", *start = c->lists ? "0" : "group * rows";
  int each = c->lists ? c->groups : 1;
  text_printf(t,
              "  __shared__ float sums[%d][%d][MANY][%d + 1];\n"
              "  const long long rows = p.dims[0], columns = p.dims[1], group = blockIdx.y;\n"
              "  const int lane = threadIdx.x %% %d, part = threadIdx.x / %d;\n"
              "  const long long d = ((long long)blockIdx.x * %d + lane) * MANY, start = %s;\n"
              "  const long long share = (rows + gridDim.z - 1) / gridDim.z, first = share * blockIdx.z;\n"
              "  const long long end = start + (first + share < rows ? first + share : rows);\n",
              c->kinds, ROW_THREADS, LANES, LANES, LANES, LANES, start);
  for (int i = 0; i < c->kinds; ++i) text_printf(t, "  float t%d[MANY] = {};\n", i);
  text_printf(t, "#pragma unroll 2\n  for (long long r = start + first + part; d < columns && r < end; r += %d) {\n",
              ROW_THREADS);
  for (int i = 0; i < c->rows; ++i)
    text_printf(t, "    float a%d[MANY];\n    load_many<MANY>((const %s *)p.args[%d%s] + r * columns + d, a%d);\n", i,
                c->type, i * each, group, i);
  for (int i = 0; i < c->scalars; ++i)
    text_printf(t, "    const float s%d = ((const float *)p.args[%d%s])[r];\n", i, (c->rows + i) * each, group);
  text_add(t, "#pragma unroll\n    for (int q = 0; q < MANY; ++q) {\n");
  declare(t, "      ", "v", c->kinds);
  bool some = false;
  text_printf(t, "      %s(", c->body);
  names(t, "a", c->rows, "[q]", &some);
  names(t, "s", c->scalars, "", &some);
  names(t, "v", c->kinds, "", &some);
  text_add(t, ");\n");
  for (int i = 0; i < c->kinds; ++i) text_printf(t, "      t%d[q] += v%d;\n", i, i);
  text_add(t, "    }\n  }\n");
}

// The first warp is left, of every block. Its sums are seen by all before the count says that they are there.
static void write_column_sums(const column_kernel *c, text *t) {
  for (int i = 0; i < c->kinds; ++i)
    text_printf(t, "  for (int q = 0; q < MANY; ++q) sums[%d][part][q][lane] = t%d[q];\n", i, i);
  text_add(t, "  __syncthreads();\n  if (part) return;\n");
  for (int i = 0; i < c->kinds; ++i)
    text_printf(t,
                "  for (int q = 0; q < MANY; ++q) {\n    t%d[q] = 0.0f;\n"
                "    for (int i = 0; i < %d; ++i) t%d[q] += sums[%d][i][q][lane];\n  }\n",
                i, ROW_THREADS, i, i);
  text_printf(t,
              "  if (gridDim.z > 1) {\n"
              "    const unsigned place = blockIdx.y * gridDim.x + blockIdx.x;\n"
              "    float *mine = partial + (long long)place * gridDim.z * (%d * MANY) + lane;\n",
              c->kinds * LANES);
  for (int i = 0; i < c->kinds; ++i)
    text_printf(t, "    for (int q = 0; q < MANY; ++q) mine[((blockIdx.z * %d + %d) * MANY + q) * %d] = t%d[q];\n",
                c->kinds, i, LANES, i);
  text_add(t, "    __threadfence();\n    __syncwarp();\n"
              "    const unsigned before = __shfl_sync(0xffffffffu, lane ? 0 : atomicAdd(&done[place], 1), 0);\n"
              "    if (before + 1 != gridDim.z) return;\n"
              "    __threadfence();\n    if (!lane) done[place] = 0;\n");
  for (int i = 0; i < c->kinds; ++i)
    text_printf(t,
                "    for (int q = 0; q < MANY; ++q) t%d[q] = 0.0f;\n"
                "#pragma unroll 8\n    for (int i = 0; i < (int)gridDim.z; ++i)\n"
                "      for (int q = 0; q < MANY; ++q) t%d[q] += __ldcg(mine + ((i * %d + %d) * MANY + q) * %d);\n",
                i, i, c->kinds, i, LANES);
  text_add(t, "  }\n  if (d >= columns) return;\n");
  int first = (c->rows + c->scalars) * (c->lists ? c->groups : 1);
  for (int i = 0; i < c->kinds; ++i)
    text_printf(t, "  for (int q = 0; q < MANY; ++q) ((float *)p.args[%d + group])[d + q] = t%d[q];\n",
                first + i * c->groups, i);
}

// The kernel's own memory: for a power of two of blocks, so that few shapes have a kernel of their own.
static void write_partial(text *t, int64_t blocks, int kinds, int many) {
  int64_t most = 1;
  while (most < blocks) most *= 2;
  text_printf(t,
              "constexpr int MANY = %d; // columns a thread\n"
              "__device__ float partial[%lld];\n__device__ unsigned done[%lld];\n\n",
              many, (long long)(most * MOST_PARTS * kinds * LANES * many), (long long)most);
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
  int many = columns % MANY == 0 && places_aligned(op, rows, false) ? MANY : 1;
  int64_t parts = blocks_of(group_rows, PART_ROWS), blocks = blocks_of(columns, LANES * many);
  plan_launch *launch = cuda_launch(e, op);
  cuda_args(e, launch, op, rows, false);
  cuda_args(e, launch, op, scalars, false);
  cuda_args(e, launch, op, (segment){0, results}, true);
  cuda_dim(e, launch, group_rows);
  cuda_dim(e, launch, columns);
  cuda_grid(launch, blocks, groups, parts < MOST_PARTS ? parts : MOST_PARTS, LANES * ROW_THREADS);
  write_partial(&s.functions, blocks * groups, c.kinds, many);
  write_column_rows(&c, &s.body);
  write_column_sums(&c, &s.body);
  return cuda_finish(e, launch, "column", &s, error);
}

// ---- kernel.glu and its gradient

// A block some columns of a row, a thread MANY of them. args: x, y; of the gradient x, dy, dx. dims: columns of y.
static bool emit_glu(cuda_entry *e, MlirOperation op, bool gradient, lmn_error *error) {
  cuda_source s = {0};
  cuda_include(&s, cuda_text_team);
  const char *body = cuda_body(e, &s, ir_text(e->ir, op, "body"), error);
  if (!body) return cuda_drop(&s);
  MlirValue x = mlirOperationGetOperand(op, 0), y = mlirOperationGetResult(op, 0);
  MlirValue dy = mlirOperationGetOperand(op, gradient ? 1 : 0);
  int64_t width = value_columns(x) / 2;
  segment operands = {0, gradient ? 2 : 1}, result = {0, 1};
  int many = width % MANY == 0 && places_aligned(op, operands, false) && places_aligned(op, result, true) ? MANY : 1;
  plan_launch *launch = cuda_launch(e, op);
  cuda_args(e, launch, op, operands, false);
  cuda_args(e, launch, op, result, true);
  cuda_dim(e, launch, width);
  cuda_grid(launch, value_rows(x), blocks_of(width, THREADS * many), 1, THREADS);
  text_printf(&s.body,
              "  constexpr int MANY = %d;\n"
              "  const long long width = p.dims[0], row = blockIdx.x;\n"
              "  const long long d = ((long long)blockIdx.y * blockDim.x + threadIdx.x) * MANY;\n"
              "  if (d >= width) return;\n"
              "  const %s *x = (const %s *)p.args[0] + row * 2 * width;\n"
              "  float gate[MANY], up[MANY], y[MANY];\n"
              "  load_many<MANY>(x + d, gate);\n  load_many<MANY>(x + width + d, up);\n",
              many, cuda_type(x), cuda_type(x));
  if (gradient)
    text_printf(&s.body,
                "  float dgate[MANY], dup[MANY];\n"
                "  load_many<MANY>((const %s *)p.args[1] + row * width + d, y);\n"
                "#pragma unroll\n  for (int q = 0; q < MANY; ++q) %s(gate[q], up[q], y[q], dgate[q], dup[q]);\n"
                "  %s *dx = (%s *)p.args[2] + row * 2 * width;\n"
                "  store_many<MANY>(dx + d, dgate);\n  store_many<MANY>(dx + width + d, dup);\n",
                cuda_type(dy), body, cuda_type(y), cuda_type(y));
  else
    text_printf(&s.body,
                "#pragma unroll\n  for (int q = 0; q < MANY; ++q) %s(gate[q], up[q], y[q]);\n"
                "  store_many<MANY>((%s *)p.args[1] + row * width + d, y);\n",
                body, cuda_type(y));
  return cuda_finish(e, launch, gradient ? "glu_grad" : "glu", &s, error);
}

bool cuda_emit_glu(cuda_entry *e, MlirOperation op, lmn_error *error) { return emit_glu(e, op, false, error); }

bool cuda_emit_glu_grad(cuda_entry *e, MlirOperation op, lmn_error *error) { return emit_glu(e, op, true, error); }
