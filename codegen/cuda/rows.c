// kernel.row, kernel.row_sums, kernel.glu, kernel.glu_grad: loops over rows around bodies. The counts of rows are dims,
// so that every number of them shares the kernel.
#include "codegen/cuda/rows.h"

#include "codegen/cuda/texts.h"
#include "passes/formulas.h"

#include <string.h>

enum { THREADS = 256, MANY = 4 }; // MANY: elements that a thread takes at once, where they are aligned to that

// Whether threads may take `many` elements of these at once, as far as where they begin goes.
static bool places_aligned(MlirOperation op, segment s, bool results, int many) {
  enum { WIDEST = 16 };
  bool aligned = true;
  for (int i = 0; i < s.count; ++i) {
    MlirValue v = results ? mlirOperationGetResult(op, s.first + i) : mlirOperationGetOperand(op, s.first + i);
    int64_t bytes = many * value_element_bytes(v);
    aligned &= ir_place(v).offset % (bytes < WIDEST ? bytes : WIDEST) == 0;
  }
  return aligned;
}

int cuda_row_many(cuda_entry *e, MlirOperation op, int64_t elements, int operands, int results) {
  bool narrow = false;
  if (operands) narrow |= !strcmp(cuda_type_of(op, ir_operands(e->ir, op, 0), false), "bf16");
  for (int i = 0; i < results; ++i) narrow |= !strcmp(cuda_type_of(op, ir_results(e->ir, op, i), true), "bf16");
  int many = narrow ? 8 : 4;
  for (; many > 1; many /= 2) {
    bool aligned = elements % many == 0;
    for (int i = 0; i < operands; i += 2) aligned &= places_aligned(op, ir_operands(e->ir, op, i), false, many);
    for (int i = 0; i < results; ++i) aligned &= places_aligned(op, ir_results(e->ir, op, i), true, many);
    if (aligned) break;
  }
  return many;
}

// ---- rows

// args: rows, scalars (of lists a group each, kind by kind), columns kind by kind a group each, row results, scalar
// results, sums kind by kind a group each. dims: rows, columns, rows a group; where several groups read a segment: the
// segment that each reads, and whether it is the first to.
typedef struct row_kernel {
  int rows, scalars, columns, row_results, scalar_results, sums; // kinds
  int groups, stages, reductions;                                // reductions: so far
  int team, many, steps; // threads a row; elements a thread takes at once, so many times; 0 times: any, in a loop
  bool lists, shared;
  int first_scalar, first_column, first_row_result, first_scalar_result, first_sum; // of args
  const char *row_type, *result_type;
  const char *const *sum_bodies;
} row_kernel;

void cuda_names(text *t, const char *prefix, int count, const char *behind, bool *some) {
  for (int i = 0; i < count; ++i) {
    text_printf(t, "%s%s%d%s", *some ? ", " : "", prefix, i, behind);
    *some = true;
  }
}

static void declare(text *t, const char *indent, const char *prefix, int count) {
  if (!count) return;
  bool some = false;
  text_printf(t, "%sfloat ", indent);
  cuda_names(t, prefix, count, "", &some);
  text_add(t, ";\n");
}

// The loop over a row: element d and those beside it, for the k-th time.
static void write_loop(const row_kernel *r, text *t) {
  if (r->steps)
    text_add(t,
             "#pragma unroll\n    for (int k = 0, d = lane * MANY; k < STEPS; ++k, d += TEAM * MANY) if (d < columns) "
             "{\n");
  else text_add(t, "    for (int d = lane * MANY; d < columns; d += TEAM * MANY) {\n");
}

// The loop over a row and the call of a stage's body on the q-th of the elements that are taken at once.
static void begin_stage(const row_kernel *r, text *t, const char *body, int results) {
  bool some = false;
  write_loop(r, t);
  for (int i = 0; i < r->rows; ++i)
    if (r->steps) text_printf(t, "      float a%d[MANY];\n      h%d[k].open(a%d);\n", i, i, i);
    else text_printf(t, "      float a%d[MANY];\n      load_many<MANY>(x%d + d, a%d);\n", i, i, i);
  for (int i = 0; i < r->columns; ++i)
    text_printf(t, "      float w%d[MANY];\n      load_many<MANY>(c%d + d, w%d);\n", i, i, i);
  for (int i = 0; i < r->row_results; ++i) text_printf(t, "      float b%d[MANY]; (void)b%d;\n", i, i);
  text_add(t, "#pragma unroll\n      for (int q = 0; q < MANY; ++q) {\n");
  declare(t, "        ", "v", results);
  text_printf(t, "        %s(", body);
  cuda_names(t, "a", r->rows, "[q]", &some);
  cuda_names(t, "s", r->scalars, "", &some);
  cuda_names(t, "w", r->columns, "[q]", &some);
  cuda_names(t, "r", r->reductions, "", &some);
  cuda_names(t, "v", results, "", &some);
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
    text_printf(t, "    float r%d = %s;\n", r->reductions + i, sums[i] ? "0.0f" : "-INFINITY");
  begin_stage(r, t, body, count);
  for (int i = 0; i < count; ++i)
    if (sums[i]) text_printf(t, "        r%d += v%d;\n", r->reductions + i, i);
    else text_printf(t, "        r%d = larger(r%d, v%d);\n", r->reductions + i, r->reductions + i, i);
  text_add(t, "      }\n    }\n");
  for (int i = 0; i < count; ++i)
    text_printf(t, "    r%d = team_%s<TEAM, TEAMS>(r%d);\n", r->reductions + i, sums[i] ? "sum" : "max",
                r->reductions + i);
  r->reductions += count;
  return true;
}

// The last stage, and what each element adds to the sums of its column.
static void write_map(const row_kernel *r, text *t, const char *body) {
  begin_stage(r, t, body, r->row_results);
  for (int i = 0; i < r->row_results; ++i) text_printf(t, "        b%d[q] = v%d;\n", i, i);
  for (int i = 0; i < r->sums; ++i) {
    bool some = false;
    text_printf(t, "        float u%d;\n        %s(", i, r->sum_bodies[i]);
    cuda_names(t, "a", r->rows, "[q]", &some);
    cuda_names(t, "s", r->scalars, "", &some);
    cuda_names(t, "v", r->row_results, "", &some);
    text_printf(t, ", u%d);\n        t%d[k][q] += u%d;\n", i, i, i);
  }
  text_add(t, "      }\n");
  for (int i = 0; i < r->row_results; ++i) text_printf(t, "      store_many<MANY>(y%d + d, b%d);\n", i, i);
  text_add(t, "    }\n");
}

static void write_finish(const row_kernel *r, text *t, const char *body) {
  bool some = false;
  if (r->shared) text_printf(t, "    if (lane == 0 && p.dims[%d + group]) {\n", 3 + r->groups);
  else text_add(t, "    if (lane == 0) {\n");
  declare(t, "      ", "v", r->scalar_results);
  text_printf(t, "      %s(", body);
  cuda_names(t, "s", r->scalars, "", &some);
  cuda_names(t, "r", r->reductions, "", &some);
  cuda_names(t, "v", r->scalar_results, "", &some);
  text_add(t, ");\n");
  for (int i = 0; i < r->scalar_results; ++i)
    text_printf(t, "      ((float *)p.args[%d])[%s] = v%d;\n", r->first_scalar_result + i,
                r->shared ? "p.dims[3 + group] * p.dims[2] + in_group" : "row", i);
  text_add(t, "    }\n");
}

// A row a team, or, where there are sums, every so many rows. The last ones first: what wrote them has just done so,
// and they are still in the cache; and what comes next begins with the first ones.
static void begin_rows(const row_kernel *r, text *t, int64_t columns) {
  if (r->steps) text_printf(t, "  constexpr int columns = %lld;\n", (long long)columns);
  else text_add(t, "  const int columns = (int)p.dims[1];\n");
  text_add(t, "  const int lane = threadIdx.x % TEAM, team = threadIdx.x / TEAM;\n");
  if (!r->sums) {
    text_add(t, "  const long long row = p.dims[0] - 1 - ((long long)blockIdx.x * TEAMS + team);\n"
                "  if (row >= 0) {\n");
    text_add(t, r->groups == 1 ? "    const long long group = 0, in_group = row;\n"
                               : "    const unsigned group = (unsigned)row / (unsigned)p.dims[2];\n"
                                 "    const long long in_group = row - group * p.dims[2];\n");
    return;
  }
  text_add(t, "  const long long group = blockIdx.y, step = (long long)gridDim.x * TEAMS;\n"
              "  const long long own = (long long)blockIdx.x * TEAMS + team;\n"
              "  const long long last = own < p.dims[2] ? own + (p.dims[2] - 1 - own) / step * step : -1;\n");
  for (int i = 0; i < r->sums; ++i) text_printf(t, "  float t%d[STEPS][MANY] = {};\n", i);
  text_add(t, "  for (long long in_group = last; in_group >= 0; in_group -= step) {\n"
              "    const long long row = group * p.dims[2] + in_group;\n");
}

static void write_reads(const row_kernel *r, text *t) {
  const char *from = r->lists ? "in_group" : "row", *group = r->lists ? " + group" : "";
  int each = r->lists ? r->groups : 1;
  for (int i = 0; i < r->rows; ++i)
    text_printf(t, "    const %s *x%d = (const %s *)p.args[%d%s] + %s * columns;\n", r->row_type, i, r->row_type,
                i * each, group, from);
  for (int i = 0; i < r->columns; ++i)
    text_printf(t, "    const float *c%d = (const float *)p.args[%d + group];\n", i, r->first_column + i * r->groups);
  for (int i = 0; i < r->row_results; ++i)
    text_printf(t, "    %s *y%d = (%s *)p.args[%d] + row * columns;\n", r->result_type, i, r->result_type,
                r->first_row_result + i);
  for (int i = 0; i < r->scalars; ++i)
    text_printf(t, "    const float s%d = ((const float *)p.args[%d%s])[%s];\n", i, r->first_scalar + i * each, group,
                from);
  if (r->steps) {
    for (int i = 0; i < r->rows; ++i) text_printf(t, "    many<%s, MANY> h%d[STEPS];\n", r->row_type, i);
    write_loop(r, t);
    for (int i = 0; i < r->rows; ++i) text_printf(t, "      h%d[k].load(x%d + d);\n", i, i);
    text_add(t, "    }\n");
  }
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
                    .sums = ir_count(op, "sums"),
                    .stages = ir_count(op, "stages"),
                    .first_scalar = rows.count,
                    .first_column = rows.count + scalars.count,
                    .row_type = cuda_type_of(op, rows, false),
                    .result_type = cuda_type_of(op, ir_results(e->ir, op, 0), true)};
  int each = r->lists ? r->groups : 1;
  if (r->groups < 1 || rows.count % each || scalars.count % each || columns.count % r->groups)
    return fail(error, "lists of %d rows and %d scalars for %d groups", rows.count, scalars.count, r->groups);
  if ((r->lists || !rows.count || r->sums) && !r->row_results)
    return fail(error, "rows in lists or sums, and no row results");
  if (r->shared && (!r->lists || ir_count(op, "reads") != r->groups))
    return fail(error, "groups that share segments read lists, one value a group");
  if (r->stages - ir_count(op, "reductions") != (r->row_results > 0))
    return fail(error, "%d stages with %d texts of reductions and %d row results do not go together", r->stages,
                ir_count(op, "reductions"), r->row_results);
  r->rows = rows.count / each, r->scalars = scalars.count / each, r->columns = columns.count / r->groups;
  r->first_row_result = r->first_column + columns.count;
  r->first_scalar_result = r->first_row_result + r->row_results;
  r->first_sum = r->first_scalar_result + r->scalar_results;
  return true;
}

enum { SUM_THREADS = 512 }; // a block of a kernel with sums; without them it has ROW_THREADS
enum { ROW_THREADS = 128 };

static int teams_of(const row_kernel *r) {
  int threads = r->sums ? SUM_THREADS : ROW_THREADS;
  return r->team < threads ? threads / r->team : 1;
}

// Whether the threads of a team have room for a row, and for the sums, which meet in shared memory.
static bool fits(const row_kernel *r, int64_t columns) {
  enum {
    HELD = 32,
    WORDS = 80,
    SHARED = 48 * 1024 - 256
  }; // elements a thread has of each row; words of rows and
     // sums; bytes beside those of team.cuh
  int64_t elements = blocks_of(columns, (int64_t)r->team * r->many) * r->many;
  int halves = 1 + 2 * r->sums + r->rows * (strcmp(r->row_type, "bf16") ? 2 : 1);
  if (elements > HELD) return false;
  return !r->sums || (elements * halves <= 2 * WORDS &&
                      (teams_of(r) == 1 || teams_of(r) * (columns + 3) * (int64_t)sizeof(float) <= SHARED));
}

// How many threads share a row, so that it fits in their registers: a warp if that is enough.
static void choose_team(row_kernel *r, int64_t columns) {
  enum { MOST = 1024 };
  for (r->team = 32; r->team < MOST && !fits(r, columns); r->team *= 2) {
  }
  r->steps = (int)blocks_of(columns, (int64_t)r->team * r->many);
  if (!fits(r, columns)) r->steps = 0, r->team = THREADS;
}

static void shared_dims(cuda_entry *e, plan_launch *launch, MlirOperation op, int groups) {
  for (int g = 0; g < groups; ++g) cuda_dim(e, launch, ir_int_at(op, "reads", g));
  for (int g = 0; g < groups; ++g) {
    bool first = true;
    for (int before = 0; before < g; ++before) first &= ir_int_at(op, "reads", before) != ir_int_at(op, "reads", g);
    cuda_dim(e, launch, first);
  }
}

// Frame, args and dims of a row kernel; s: its text so far.
static plan_launch *begin_launch(cuda_entry *e, MlirOperation op, row_kernel *r, int teams, cuda_source *s) {
  segment rows = ir_operands(e->ir, op, 0);
  MlirValue shape = rows.count && !r->lists ? mlirOperationGetOperand(op, rows.first)
                                            : mlirOperationGetResult(op, ir_results(e->ir, op, 0).first);
  int64_t columns = value_columns(shape), count = columns ? value_elements(shape) / columns : 0;
  plan_launch *launch = cuda_launch(e, op);
  for (int i = 0; i < 3; ++i) cuda_args(e, launch, op, ir_operands(e->ir, op, i), false);
  for (int i = 0; i < 2; ++i) cuda_args(e, launch, op, ir_results(e->ir, op, i), true);
  cuda_dim(e, launch, count);
  cuda_dim(e, launch, columns);
  cuda_dim(e, launch, count / r->groups);
  if (r->shared) shared_dims(e, launch, op, r->groups);
  text_printf(&s->functions,
              "constexpr int TEAM = %d, TEAMS = %d; // threads a row, rows at once\n"
              "constexpr int MANY = %d, STEPS = %d; // elements a thread takes at once, and how often\n\n",
              r->team, teams, r->many, r->steps);
  cuda_include(s, cuda_text_team);
  return launch;
}

static int64_t row_columns(cuda_entry *e, MlirOperation op) {
  segment rows = ir_operands(e->ir, op, 0);
  return value_columns(rows.count ? mlirOperationGetOperand(op, rows.first)
                                  : mlirOperationGetResult(op, ir_results(e->ir, op, 0).first));
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

// A formula of elements alone, whatever row they are in. args: rows, results. dims: elements.
static bool is_elementwise(cuda_entry *e, MlirOperation op) {
  return ir_operands(e->ir, op, 0).count == mlirOperationGetNumOperands(op) && mlirOperationGetNumOperands(op) &&
         !ir_int(op, "lists") && ir_results(e->ir, op, 0).count && !ir_results(e->ir, op, 1).count &&
         ir_count(op, "stages") == 1;
}

static bool emit_elementwise(cuda_entry *e, MlirOperation op, lmn_error *error) {
  cuda_source s = {0};
  segment rows = ir_operands(e->ir, op, 0), results = ir_results(e->ir, op, 0);
  const char *type = cuda_type_of(op, rows, false), *result_type = cuda_type_of(op, results, true);
  cuda_include(&s, cuda_text_team);
  const char *body = cuda_body(e, &s, ir_text_at(e->ir, op, "stages", 0), error);
  if (!body) return cuda_drop(&s);
  int64_t elements = value_elements(mlirOperationGetResult(op, results.first));
  int many = cuda_row_many(e, op, elements, 1, 1);
  plan_launch *launch = cuda_launch(e, op);
  cuda_args(e, launch, op, rows, false);
  cuda_args(e, launch, op, results, true);
  cuda_dim(e, launch, elements);
  cuda_grid(launch, blocks_of(elements, (int64_t)THREADS * many), 1, 1, THREADS);
  bool some = false;
  text_printf(&s.body,
              "  constexpr int MANY = %d;\n"
              "  const long long i = ((long long)(gridDim.x - 1 - blockIdx.x) * blockDim.x + threadIdx.x) * MANY;\n"
              "  if (i >= p.dims[0]) return;\n",
              many);
  for (int i = 0; i < rows.count; ++i)
    text_printf(&s.body, "  float a%d[MANY];\n  load_many<MANY>((const %s *)p.args[%d] + i, a%d);\n", i, type, i, i);
  for (int i = 0; i < results.count; ++i) text_printf(&s.body, "  float b%d[MANY];\n", i);
  text_printf(&s.body, "#pragma unroll\n  for (int q = 0; q < MANY; ++q) %s(", body);
  cuda_names(&s.body, "a", rows.count, "[q]", &some);
  cuda_names(&s.body, "b", results.count, "[q]", &some);
  text_add(&s.body, ");\n");
  for (int i = 0; i < results.count; ++i)
    text_printf(&s.body, "  store_many<MANY>((%s *)p.args[%d] + i, b%d);\n", result_type, rows.count + i, i);
  return cuda_finish(e, launch, "row", &s, error);
}

bool cuda_emit_row(cuda_entry *e, MlirOperation op, lmn_error *error) {
  if (is_long_sum(e, op)) return emit_long_sum(e, op, error);
  if (is_elementwise(e, op)) return emit_elementwise(e, op, error);
  row_kernel r;
  if (!read_row_kernel(e, op, &r, error)) return false;
  int64_t columns = row_columns(e, op);
  r.many = cuda_row_many(e, op, columns, 3, 1);
  choose_team(&r, columns);
  int teams = teams_of(&r);
  cuda_source s = {0};
  plan_launch *launch = begin_launch(e, op, &r, teams, &s);
  cuda_grid(launch, blocks_of(launch->dims[0], teams), 1, 1, teams * r.team);
  begin_rows(&r, &s.body, columns);
  write_reads(&r, &s.body);
  if (!write_stages(e, op, &r, &s, error)) return cuda_drop(&s);
  text_add(&s.body, "  }\n");
  return cuda_finish(e, launch, "row", &s, error);
}

// ---- kernel.row_sums

// ---- kernel.row_sums

// What a block has summed becomes its part of the group's sums; the sums of its teams are added in order.
static void write_block_sums(const row_kernel *r, text *t, int teams) {
  if (teams > 1) text_add(t, "  __shared__ __align__(16) float sums[TEAMS][(columns + 3) / 4 * 4];\n");
  for (int i = 0; i < r->sums; ++i) {
    if (teams > 1 && i) text_add(t, "  __syncthreads();\n");
    text_printf(t,
                "  float *z%d = (float *)p.args[%d + group] + (long long)blockIdx.x * columns;\n"
                "#pragma unroll\n  for (int k = 0, d = lane * MANY; k < STEPS; ++k, d += TEAM * MANY)\n"
                "    if (d < columns) ",
                i, r->first_sum + i * r->groups);
    if (teams == 1) text_printf(t, "store_many<MANY>(z%d + d, t%d[k]);\n", i, i);
    else
      text_printf(t,
                  "store_many<MANY>(sums[team] + d, t%d[k]);\n  __syncthreads();\n"
                  "  for (int d = threadIdx.x; d < columns; d += blockDim.x) {\n    float sum = sums[0][d];\n"
                  "#pragma unroll\n    for (int i = 1; i < TEAMS; ++i) sum += sums[i][d];\n"
                  "    z%d[d] = sum;\n  }\n",
                  i, i);
  }
}

static bool read_sums(cuda_entry *e, MlirOperation op, row_kernel *r, cuda_source *s, lmn_error *error) {
  if (ir_results(e->ir, op, 2).count != r->sums * r->groups)
    return fail(error, "%d sums of %d bodies in %d groups", ir_results(e->ir, op, 2).count, r->sums, r->groups);
  const char **bodies = ARENA_ARRAY(e->arena, const char *, r->sums);
  for (int i = 0; i < r->sums; ++i)
    if (!(bodies[i] = cuda_body(e, s, ir_text_at(e->ir, op, "sums", i), error))) return false;
  r->sum_bodies = bodies;
  return true;
}

bool cuda_emit_row_sums(cuda_entry *e, MlirOperation op, lmn_error *error) {
  row_kernel r;
  if (!read_row_kernel(e, op, &r, error)) return false;
  int64_t columns = row_columns(e, op);
  r.many = cuda_row_many(e, op, columns, 3, 1);
  choose_team(&r, columns);
  if (!r.steps) return fail(error, "sums over rows of %lld columns: those are too many", (long long)columns);
  int teams = teams_of(&r);
  segment sums = ir_results(e->ir, op, 2);
  cuda_source s = {0};
  plan_launch *launch = begin_launch(e, op, &r, teams, &s);
  int64_t parts = cuda_sum_parts(op, launch->dims[2], columns, true);
  cuda_grid(launch, parts, r.groups, 1, teams * r.team);
  if (!cuda_sum_args(e, launch, op, sums, parts, columns, error)) return cuda_drop(&s);
  if (!read_sums(e, op, &r, &s, error)) return cuda_drop(&s);
  begin_rows(&r, &s.body, columns);
  write_reads(&r, &s.body);
  if (!write_stages(e, op, &r, &s, error)) return cuda_drop(&s);
  text_add(&s.body, "  }\n");
  write_block_sums(&r, &s.body, teams);
  return cuda_finish(e, launch, "row_sums", &s, error) && cuda_finish_sums(e, op, sums, parts, columns, error);
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
  int many = width % MANY == 0 && places_aligned(op, operands, false, MANY) && places_aligned(op, result, true, MANY)
                 ? MANY
                 : 1;
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
