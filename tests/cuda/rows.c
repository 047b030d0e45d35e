// rows FOLDER <SPECS: an artifact for sm_90a with one entry for every line of the standard input, which is a norm, its
// gradient, a sum, sums by columns, a rotation, the loss or the gradient of an embedding, and FOLDER/cases.json, which
// says where its values lie. For scripts/bench/rows.py, which checks and times them on a GPU. A line is a name and
// words:
//   kind=rms|layer|rms_dx|layer_dx|sum|column|rope|embed_grad|loss rows=… (of a group) columns=… groups=… others=…
//   (rows that are added) reads=… (groups that read the same rows, where each has values of its own) f32 (else bf16)
//   vocabulary=… (of embed_grad and loss) chunk=… smooth (of loss) heads=… (of 64, that rope turns) inverse
//   dw db dout (sums by columns: the weight's gradient, of dy, of the result) fuse gather (the passes)
#include "passes/formulas.h"
#include "passes/passes.h"
#include "tests/cuda/cases.h"

#include <stdlib.h>
#include <string.h>

typedef struct spec {
  char name[64], kind[16];
  int rows, columns, groups, others, reads, vocabulary, heads, chunk;
  bool f32, dw, db, dout, fuse, gather, smooth, inverse;
} spec;

typedef struct writer {
  ir *m;
  builder b;
  const spec *s;
  text values; // of cases.json
} writer;

static bool read_spec(char *line, spec *s) {
  *s = (spec){.groups = 1};
  char *word = strtok(line, " \n");
  if (!word || *word == '#') return false;
  snprintf(s->name, sizeof s->name, "%s", word);
  while ((word = strtok(NULL, " \n"))) {
    const struct {
      const char *name;
      int *to;
    } numbers[] = {{"rows=", &s->rows},     {"columns=", &s->columns}, {"groups=", &s->groups},
                   {"others=", &s->others}, {"reads=", &s->reads},     {"vocabulary=", &s->vocabulary},
                   {"heads=", &s->heads},   {"chunk=", &s->chunk}};
    const struct {
      const char *name;
      bool *to;
    } flags[] = {{"f32", &s->f32},   {"dw", &s->dw},         {"db", &s->db},         {"dout", &s->dout},
                 {"fuse", &s->fuse}, {"gather", &s->gather}, {"smooth", &s->smooth}, {"inverse", &s->inverse}};
    for (size_t i = 0; i < LENGTH(numbers); ++i)
      if (!strncmp(word, numbers[i].name, strlen(numbers[i].name))) *numbers[i].to = atoi(strchr(word, '=') + 1);
    for (size_t i = 0; i < LENGTH(flags); ++i)
      if (!strcmp(word, flags[i].name)) *flags[i].to = true;
    if (!strncmp(word, "kind=", 5)) snprintf(s->kind, sizeof s->kind, "%s", word + 5);
  }
  return true;
}

// ---- values

static MlirType matrix(const writer *w, int64_t rows) {
  MlirType type = ir_matrix(w->m, rows, w->s->columns);
  return w->s->f32 ? type : ir_with_element(type, mlirBF16TypeGet(w->m->context));
}

// Values name0, name1 …: an operand a group, or one for all where `count` is 1.
static MlirValue *operands(writer *w, const char *name, int count, MlirType type) {
  MlirValue *values = ARENA_ARRAY(w->m->arena, MlirValue, count);
  for (int i = 0; i < count; ++i) {
    op_spec s = op_begin(&w->b, KERNEL_BUFFER);
    op_result(&s, type);
    op_text(&s, "space", "input");
    op_text(&s, "name", arena_printf(w->m->arena, "%s%d", name, i));
    values[i] = op_end_value(&s);
  }
  return values;
}

static void output(writer *w, const char *name, MlirValue v) {
  op_spec s = op_begin(&w->b, KERNEL_OUTPUT);
  op_operand(&s, v);
  op_text(&s, "name", name);
  op_end(&s);
}

typedef struct row_operands {
  MlirValue rows[64], scalars[64], columns[64];
  int row_count, scalar_count, column_count;
} row_operands;

static void append(MlirValue *to, int *count, const MlirValue *values, int more) {
  for (int i = 0; i < more; ++i) to[(*count)++] = values[i];
}

// A kind of rows or scalars: `shared` ones by the spec's reads.
static void append_kind(writer *w, MlirValue *to, int *count, const char *name, bool vector, bool shared) {
  const spec *s = w->s;
  int64_t rows = (int64_t)s->rows * (s->reads ? 1 : s->groups);
  MlirType type = vector ? ir_vector(w->m, rows) : matrix(w, rows);
  int values = !s->reads ? 1 : shared ? s->groups / s->reads : s->groups;
  MlirValue *v = operands(w, name, values, type);
  for (int g = 0; g < (s->reads ? s->groups : 1); ++g) append(to, count, &v[shared && s->reads ? g / s->reads : g], 1);
}

static MlirOperation row(writer *w, const row_operands *o, row_formula f, int scalar_results, bool reads) {
  const spec *s = w->s;
  int64_t rows = (int64_t)s->rows * s->groups;
  MlirType scalars[2] = {ir_vector(w->m, s->reads ? (int64_t)s->rows * (s->groups / s->reads) : rows)};
  scalars[1] = scalars[0];
  op_spec spec = op_begin(&w->b, KERNEL_ROW);
  op_segment(&spec, o->rows, o->row_count);
  op_segment(&spec, o->scalars, o->scalar_count);
  op_segment(&spec, o->columns, o->column_count);
  op_result(&spec, matrix(w, rows));
  op_results(&spec, scalars, scalar_results);
  op_int(&spec, "groups", s->groups);
  op_symbols(&spec, "stages", f.stages, f.stage_count);
  op_texts(&spec, "reductions", f.reductions, f.stage_count - 1);
  if (f.finish) op_symbol(&spec, "finish", f.finish);
  if (s->reads) op_int(&spec, "lists", 1);
  int64_t segments[64];
  for (int g = 0; g < s->groups; ++g) segments[g] = g / (s->reads ? s->reads : 1);
  if (s->reads && reads) op_ints(&spec, "reads", segments, s->groups);
  return op_end(&spec);
}

static void column(writer *w, const char *name, const row_operands *o, int rows, int scalars, const char *body,
                   bool lists) {
  const spec *s = w->s;
  MlirType types[64];
  for (int g = 0; g < s->groups; ++g) types[g] = ir_vector(w->m, s->columns);
  op_spec spec = op_begin(&w->b, KERNEL_COLUMN);
  op_segment(&spec, o->rows, rows);
  op_segment(&spec, o->scalars, scalars);
  op_results(&spec, types, s->groups);
  op_int(&spec, "groups", s->groups);
  op_symbol(&spec, "body", body);
  if (lists && s->reads) op_int(&spec, "lists", 1);
  MlirOperation op = op_end(&spec);
  for (int g = 0; g < s->groups; ++g)
    output(w, arena_printf(w->m->arena, "%s%d", name, g), mlirOperationGetResult(op, g));
}

// ---- cases

static void write_norm(writer *w, const char *kind) {
  enum { RMS = 3 };
  row_operands o = {0};
  bool layer = strcmp(kind, "rms") != 0;
  append_kind(w, o.rows, &o.row_count, "x", false, true);
  append(o.columns, &o.column_count, operands(w, "w", w->s->groups, ir_vector(w->m, w->s->columns)), w->s->groups);
  if (layer)
    append(o.columns, &o.column_count, operands(w, "b", w->s->groups, ir_vector(w->m, w->s->columns)), w->s->groups);
  MlirOperation op = row(w, &o, formula_norm(w->m, kind, w->s->columns, 1e-5), layer ? 2 : 1, true);
  output(w, "y", mlirOperationGetResult(op, 0));
  output(w, "rstd", mlirOperationGetResult(op, 1));
  if (layer) output(w, "mean", mlirOperationGetResult(op, 2));
}

// first, what else there is of `others`, added up.
static MlirValue write_sum(writer *w, MlirValue first) {
  int64_t rows = (int64_t)w->s->rows * w->s->groups;
  MlirValue *rest = operands(w, "r", w->s->others, matrix(w, rows));
  row_operands o = {.rows = {first}, .row_count = value_is(first) ? 1 : 0};
  append(o.rows, &o.row_count, rest, w->s->others);
  op_spec s = op_begin(&w->b, KERNEL_ROW);
  op_segment(&s, o.rows, o.row_count);
  op_segment(&s, NULL, 0);
  op_segment(&s, NULL, 0);
  op_result(&s, matrix(w, rows));
  op_results(&s, NULL, 0);
  op_int(&s, "groups", 1);
  const char *body = formula_sum(w->m, o.row_count, 1);
  op_symbols(&s, "stages", &body, 1);
  op_texts(&s, "reductions", NULL, 0);
  return op_end_value(&s);
}

static void write_norm_dx(writer *w, const char *kind) {
  const spec *s = w->s;
  row_operands o = {0}, out = {0};
  int each = s->reads ? s->groups : 1;
  append_kind(w, o.rows, &o.row_count, "dy", false, false);
  append_kind(w, o.rows, &o.row_count, "x", false, true);
  append_kind(w, o.scalars, &o.scalar_count, "rstd", true, true);
  if (strcmp(kind, "rms")) append_kind(w, o.scalars, &o.scalar_count, "mean", true, true);
  append(o.columns, &o.column_count, operands(w, "w", s->groups, ir_vector(w->m, s->columns)), s->groups);
  MlirValue y = mlirOperationGetResult(row(w, &o, formula_norm_dx(w->m, kind, s->columns), 0, false), 0);
  if (s->others) y = write_sum(w, y);
  if (s->dw) column(w, "dw", &o, o.row_count, o.scalar_count, formula_norm_dw(w->m, kind), true);
  if (s->db) column(w, "db", &o, each, 0, formula_identity(w->m), true);
  out.rows[0] = y;
  if (s->dout) column(w, "dout", &out, 1, 0, formula_identity(w->m), false);
  output(w, "y", y);
}

// ids of the batch's tokens, behind a prefix of `others` rows each.
static void write_embed_grad(writer *w) {
  const spec *s = w->s;
  int64_t rows = (int64_t)s->groups * (s->others + s->rows);
  op_spec spec = op_begin(&w->b, KERNEL_EMBED_GRAD);
  op_operand(&spec, *operands(w, "ids", 1, ir_indices(w->m, s->groups, s->rows)));
  op_operand(&spec, *operands(w, "dy", 1, matrix(w, rows)));
  op_segment(&spec, NULL, 0);
  op_result(&spec, ir_matrix(w->m, s->vocabulary, s->columns));
  op_int(&spec, "batch", s->groups);
  op_int(&spec, "length", s->rows);
  op_int(&spec, "prefix", s->others);
  output(w, "dtable", op_end_value(&spec));
}

static void write_rope(writer *w) {
  enum { SIZE = 64 };
  const spec *s = w->s;
  op_spec spec = op_begin(&w->b, KERNEL_ROPE);
  op_operand(&spec, *operands(w, "x", 1, matrix(w, (int64_t)s->groups * s->rows)));
  op_operand(&spec, *operands(w, "table", 1, ir_matrix(w->m, s->rows, SIZE)));
  op_result(&spec, matrix(w, (int64_t)s->groups * s->rows));
  op_int(&spec, "heads", s->heads);
  op_int(&spec, "head_size", SIZE);
  op_int(&spec, "length", s->rows);
  op_int(&spec, "inverse", s->inverse);
  output(w, "y", op_end_value(&spec));
}

static void write_loss(writer *w) {
  enum { RESULTS = 7, DHIDDEN = 5, STEP = 64 };
  const spec *s = w->s;
  static const char *const names[RESULTS] = {"loss", "right", NULL, NULL, NULL, "dhidden", "dweight"};
  int64_t stride = (s->vocabulary + STEP - 1) / STEP * STEP, chunk = s->chunk ? s->chunk : s->rows;
  MlirType logits = ir_matrix(w->m, chunk, s->f32 ? s->vocabulary : stride), rows = ir_vector(w->m, s->rows);
  if (!s->f32) logits = ir_with_element(logits, mlirBF16TypeGet(w->m->context));
  MlirType one = ir_vector(w->m, 1), dweight = ir_matrix(w->m, s->vocabulary, s->columns);
  MlirType types[RESULTS] = {one, one, logits, rows, rows, matrix(w, s->rows), dweight};
  op_spec spec = op_begin(&w->b, KERNEL_CROSS_ENTROPY);
  op_operand(&spec, *operands(w, "hidden", 1, matrix(w, s->rows)));
  op_operand(&spec, *operands(w, "weight", 1, matrix(w, s->vocabulary)));
  op_operand(&spec, *operands(w, "labels", 1, ir_indices(w->m, 1, s->rows)));
  op_operand(&spec, *operands(w, "scale", 1, one));
  op_segment(&spec, NULL, 0);
  for (int i = 0; i < DHIDDEN; ++i) op_result(&spec, types[i]);
  for (int i = DHIDDEN; i < RESULTS; ++i) op_results(&spec, &types[i], 1);
  op_real(&spec, "smoothing", s->smooth ? 0.1 : 0.0);
  op_int(&spec, "chunk", chunk);
  MlirOperation op = op_end(&spec);
  for (int i = 0; i < RESULTS; ++i)
    if (names[i]) output(w, names[i], mlirOperationGetResult(op, i));
}

static bool write_case(writer *w, lmn_error *error) {
  const char *kind = w->s->kind;
  row_operands o = {0};
  if (!strcmp(kind, "rms") || !strcmp(kind, "layer")) write_norm(w, kind);
  else if (!strcmp(kind, "rms_dx")) write_norm_dx(w, "rms");
  else if (!strcmp(kind, "layer_dx")) write_norm_dx(w, "layer");
  else if (!strcmp(kind, "sum")) output(w, "y", write_sum(w, no_value));
  else if (!strcmp(kind, "column")) {
    append_kind(w, o.rows, &o.row_count, "dy", false, false);
    column(w, "db", &o, o.row_count, 0, formula_identity(w->m), true);
  } else if (!strcmp(kind, "embed_grad")) write_embed_grad(w);
  else if (!strcmp(kind, "rope")) write_rope(w);
  else if (!strcmp(kind, "loss")) write_loss(w);
  else return fail(error, "no kind %s", kind);
  return true;
}

static const char *type_of(MlirValue v) {
  return value_is_bf16(v) ? "bf16" : mlirTypeIsAInteger(value_element(v)) ? "i32" : "f32";
}

static void describe(writer *w, const char *role, const char *name, MlirValue v) {
  MlirType type = mlirValueGetType(v);
  bool vector = mlirShapedTypeGetRank(type) == 1;
  text_printf(&w->values,
              ",\n{\"role\":\"%s\",\"name\":\"%s\",\"at\":%lld,\"rows\":%lld,\"columns\":%lld,\"type\":\"%s\"}", role,
              name, (long long)ir_place(v).offset, vector ? 0LL : (long long)value_rows(v), (long long)value_columns(v),
              type_of(v));
}

// Each value gets room of its own, with a strip behind it that nothing may write.
static int64_t place(writer *w) {
  enum { MULTIPLE = 256, STRIP = 256 };
  int64_t used = 0;
  op_list ops = ir_ops(w->m);
  for (int i = 0; i < ops.count; ++i) {
    int count = (int)mlirOperationGetNumResults(ops.items[i]);
    plan_ref places[80] = {{0}};
    for (int r = 0; r < count; ++r) {
      MlirValue v = mlirOperationGetResult(ops.items[i], r);
      places[r] = (plan_ref){SPACE_ARENA, used};
      if (ir_code(w->m, ops.items[i]) == KERNEL_VIEW)
        places[r].offset = ir_place(mlirOperationGetOperand(ops.items[i], 0)).offset + ir_int(ops.items[i], "offset");
      else used += (value_bytes(v) + MULTIPLE - 1) / MULTIPLE * MULTIPLE + STRIP;
    }
    if (count) ir_set_places(w->m, ops.items[i], places, count);
    if (ir_code(w->m, ops.items[i]) == KERNEL_BUFFER)
      describe(w, "operand", ir_text(w->m, ops.items[i], "name"), mlirOperationGetResult(ops.items[i], 0));
    if (ir_code(w->m, ops.items[i]) == KERNEL_OUTPUT)
      describe(w, "result", ir_text(w->m, ops.items[i], "name"), mlirOperationGetOperand(ops.items[i], 0));
  }
  return used;
}

static bool add_case(arena *a, plan *p, cuda_codegen *cg, MlirContext context, const spec *s, text *cases,
                     lmn_error *error) {
  plan_entry *e = &p->entries[p->entry_count++];
  *e = (plan_entry){.name = arena_string(a, s->name), .kind = ENTRY_EVALUATE, .phase = -1};
  ir *m = ir_create(a, context, NULL, NULL, (entry_shape){0}, error);
  if (!m) return false;
  writer w = {.m = m, .b = builder_at_end(m), .s = s};
  bool ok = write_case(&w, error) && (!s->fuse || pass_fuse_rows(m, error)) &&
            (!s->gather || pass_gather_sums(m, error)) && ir_verify(m, error);
  if (ok) e->arena_bytes = place(&w);
  int64_t values = e->arena_bytes;
  ok = ok && cuda_codegen_entry(cg, m, e, error);
  text_printf(cases,
              "%s{\"name\":\"%s\",\"kind\":\"%s\",\"group_rows\":%d,\"columns\":%d,\"groups\":%d,\"reads\":%d,"
              "\"others\":%d,\"vocabulary\":%d,\"heads\":%d,\"smooth\":%d,\"inverse\":%d,\"values_bytes\":%lld,"
              "\"values\":[%s]}",
              p->entry_count > 1 ? ",\n" : "", s->name, s->kind, s->rows, s->columns, s->groups, s->reads, s->others,
              s->vocabulary, s->heads, s->smooth, s->inverse, (long long)values,
              w.values.data ? w.values.data + 1 : "");
  ir_destroy(m);
  text_free(&w.values);
  return ok || fail_in(error, "%s", s->name);
}

static bool add_line(case_list *list, char *line, lmn_error *error) {
  spec s;
  return !read_spec(line, &s) || add_case(list->arena, list->plan, list->cg, list->context, &s, &list->json, error);
}

int main(int argc, char **argv) {
  return cases_main(&(case_program){"rows", "sm_90a", add_line, cases_no_spills}, argc, argv);
}
