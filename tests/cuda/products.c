// products FOLDER <SPECS: an artifact for sm_90a with one entry for every line of the standard input, which is a
// product of kernel.gemm, and FOLDER/cases.json, which says what it is and where its values lie. For
// scripts/bench/products.py, which checks and times them on a GPU. A line is a name and words:
//   m=… n=… k=… groups=… pieces=… (of each group) kinds=… rows=… extras=… pad=… (columns beyond A, B and C)
//   tiles=WIDTHxBLOCKS[p],1x1[c][,STAGES,CHUNK,BUFFERS] or tiles=all (by its shape, then all that suit it) ta tb f32
//   (result) acc stacked (groups in one value) lists (rows each a value)
//   glu (the value of [gate | up] alone) glu keep (C too) glu grad (C is its gradient; extras=1: the value again) here
//   (C in the place of the row operand) gelu (the sum times GELU's slope at the row operand)
#include "tests/cuda/cases.h"

#include <stdlib.h>
#include <string.h>

typedef struct spec {
  char name[64], tiles[64];
  int m, n, k, groups, pieces, kinds, rows, extras, pad;
  bool ta, tb, f32, acc, stacked, lists, glu, keep, grad, here, gelu;
} spec;

// How many of C, and of how many columns it, the row operands and the extras are.
static int stored(const spec *s) { return s->glu && !s->keep && !s->grad ? 0 : s->stacked ? 1 : s->groups; }
static int wide(const spec *s) { return s->grad ? 2 * s->n : s->n; }
static int narrow(const spec *s) { return s->glu && !s->grad ? s->n / 2 : s->n; }

typedef struct writer {
  text ops, cases, functions;
  int64_t used; // bytes of the arena
  int values;
} writer;

static bool read_spec(char *line, spec *s) {
  *s = (spec){.groups = 1, .pieces = 1};
  char *word = strtok(line, " \n");
  if (!word || *word == '#') return false;
  snprintf(s->name, sizeof s->name, "%s", word);
  while ((word = strtok(NULL, " \n"))) {
    const struct {
      const char *name;
      int *to;
    } numbers[] = {{"m=", &s->m},           {"n=", &s->n},           {"k=", &s->k},
                   {"groups=", &s->groups}, {"pieces=", &s->pieces}, {"kinds=", &s->kinds},
                   {"rows=", &s->rows},     {"extras=", &s->extras}, {"pad=", &s->pad}};
    const struct {
      const char *name;
      bool *to;
    } flags[] = {{"ta", &s->ta},           {"tb", &s->tb},       {"f32", &s->f32},  {"acc", &s->acc},
                 {"stacked", &s->stacked}, {"lists", &s->lists}, {"glu", &s->glu},  {"keep", &s->keep},
                 {"grad", &s->grad},       {"here", &s->here},   {"gelu", &s->gelu}};
    for (size_t i = 0; i < LENGTH(numbers); ++i)
      if (!strncmp(word, numbers[i].name, strlen(numbers[i].name))) *numbers[i].to = atoi(strchr(word, '=') + 1);
    for (size_t i = 0; i < LENGTH(flags); ++i)
      if (!strcmp(word, flags[i].name)) *flags[i].to = true;
    if (!strncmp(word, "tiles=", 6)) snprintf(s->tiles, sizeof s->tiles, "%s", word + 6);
  }
  if ((s->glu && s->grad) || s->gelu) s->rows = 1;
  else if (s->glu) s->extras = 1;
  for (char *c = s->tiles; *c; ++c)
    if (*c == ',') *c = ' ';
  return true;
}

// Room for a value, with a strip behind it that nothing may write.
static int64_t room(writer *w, int64_t bytes) {
  enum { MULTIPLE = 256, STRIP = 256 };
  int64_t at = w->used;
  w->used += (bytes + MULTIPLE - 1) / MULTIPLE * MULTIPLE + STRIP;
  return at;
}

// `count` values of a kind: "name":[offsets …], and, of operands, kernel.buffer %name_i.
static int64_t *values(writer *w, const char *name, int count, int64_t rows, int64_t columns, bool f32, bool operand) {
  int64_t *at = memory_zero((size_t)(count + 1) * sizeof *at);
  text_printf(&w->cases, ",\"%s\":[", name);
  for (int i = 0; i < count; ++i) {
    at[i] = room(w, rows * columns * (f32 ? 4 : 2));
    text_printf(&w->cases, "%s%lld", i ? "," : "", (long long)at[i]);
    if (!operand) continue;
    text_printf(
        &w->ops,
        "    %%%s_%d = \"kernel.buffer\"() {space = \"arena\", name = \"%s\", places = array<i64: %d, %lld>} : () -> ",
        name, i, name, SPACE_ARENA, (long long)at[i]);
    if (strcmp(name, "column"))
      text_printf(&w->ops, "tensor<%lldx%lldx%s>\n", (long long)rows, (long long)columns, f32 ? "f32" : "bf16");
    else text_printf(&w->ops, "tensor<%lldxf32>\n", (long long)columns);
  }
  text_add(&w->cases, "]");
  return at;
}

static void names(writer *w, const char *name, int count, bool *first) {
  for (int i = 0; i < count; ++i, *first = false) text_printf(&w->ops, "%s%%%s_%d", *first ? "" : ", ", name, i);
}

static void types(writer *w, int count, int64_t rows, int64_t columns, bool f32, bool vector, bool *first) {
  for (int i = 0; i < count; ++i, *first = false)
    if (vector) text_printf(&w->ops, "%stensor<%lldxf32>", *first ? "" : ", ", (long long)columns);
    else
      text_printf(&w->ops, "%stensor<%lldx%lldx%s>", *first ? "" : ", ", (long long)rows, (long long)columns,
                  f32 ? "f32" : "bf16");
}

static void places(writer *w, const int64_t *at, int count, bool *first) {
  for (int i = 0; i < count; ++i, *first = false)
    text_printf(&w->ops, "%s%d, %lld", *first ? "" : ", ", SPACE_ARENA, (long long)at[i]);
}

static void write_glu(const spec *s, text *t) {
  const char *value = "    %one = arith.constant 1.0 : f32\n    %n = arith.negf %g : f32\n    %e = math.exp %n : f32\n"
                      "    %d = arith.addf %one, %e : f32\n    %a = arith.divf %g, %d : f32\n"
                      "    %y = arith.mulf %a, %u : f32\n";
  if (!s->grad) {
    text_printf(t, "  func.func private @finish(%%g: f32, %%u: f32) -> f32 {\n%s    return %%y : f32\n  }\n", value);
    return;
  }
  text_printf(t,
              "  func.func private @finish(%%g: f32, %%u: f32, %%dy: f32) -> (f32, f32%s) {\n%s"
              "    %%s = arith.divf %%one, %%d : f32\n    %%r = arith.subf %%one, %%s : f32\n"
              "    %%p = arith.mulf %%g, %%r : f32\n    %%q = arith.addf %%one, %%p : f32\n"
              "    %%slope = arith.mulf %%s, %%q : f32\n    %%v = arith.mulf %%dy, %%u : f32\n"
              "    %%dg = arith.mulf %%v, %%slope : f32\n    %%du = arith.mulf %%dy, %%a : f32\n",
              s->extras ? ", f32" : "", value);
  text_add(t, s->extras ? "    return %dg, %du, %y : f32, f32, f32\n  }\n" : "    return %dg, %du : f32, f32\n  }\n");
}

// GELU's slope by its tanh form.
static void write_gelu(text *t) {
  text_add(t, "  func.func private @finish(%c: f32, %x: f32) -> f32 {\n    %one = arith.constant 1.0 : f32\n"
              "    %half = arith.constant 0.5 : f32\n    %k0 = arith.constant 0.797884583 : f32\n"
              "    %k1 = arith.constant 0.0356774069 : f32\n    %k2 = arith.constant 0.107032225 : f32\n"
              "    %xx = arith.mulf %x, %x : f32\n    %a0 = arith.mulf %k1, %xx : f32\n"
              "    %a1 = arith.addf %k0, %a0 : f32\n    %a2 = arith.mulf %x, %a1 : f32\n"
              "    %th = math.tanh %a2 : f32\n    %b0 = arith.addf %one, %th : f32\n"
              "    %b1 = arith.mulf %th, %th : f32\n    %b2 = arith.subf %one, %b1 : f32\n"
              "    %b3 = arith.mulf %k2, %xx : f32\n    %b4 = arith.addf %k0, %b3 : f32\n"
              "    %b5 = arith.mulf %b2, %b4 : f32\n    %b6 = arith.mulf %x, %b5 : f32\n"
              "    %b7 = arith.addf %b0, %b6 : f32\n    %slope = arith.mulf %half, %b7 : f32\n"
              "    %y = arith.mulf %slope, %c : f32\n    return %y : f32\n  }\n");
}

// s = sum + columns …; the result is s + rows …, extras are 2 s, 3 s …
static void write_epilogue(writer *w, const spec *s) {
  text *t = &w->functions;
  if (s->glu) {
    write_glu(s, t);
    return;
  }
  if (s->gelu) {
    write_gelu(t);
    return;
  }
  int inputs = s->kinds + s->rows;
  text_add(t, "  func.func private @finish(%c: f32");
  for (int i = 0; i < inputs; ++i) text_printf(t, ", %%x%d: f32", i);
  text_add(t, ") -> (f32");
  for (int i = 0; i < s->extras; ++i) text_add(t, ", f32");
  text_add(t, ") {\n    %zero = arith.constant 0.0 : f32\n    %s0 = arith.addf %c, %zero : f32\n");
  for (int i = 0; i < inputs; ++i) text_printf(t, "    %%s%d = arith.addf %%s%d, %%x%d : f32\n", i + 1, i, i);
  for (int i = 0; i < s->extras; ++i)
    text_printf(t, "    %%f%d = arith.constant %d.0 : f32\n    %%e%d = arith.mulf %%s%d, %%f%d : f32\n", i, i + 2, i,
                s->kinds, i);
  text_printf(t, "    return %%s%d", inputs);
  for (int i = 0; i < s->extras; ++i) text_printf(t, ", %%e%d", i);
  text_add(t, " : f32");
  for (int i = 0; i < s->extras; ++i) text_add(t, ", f32");
  text_add(t, "\n  }\n");
}

static void write_attributes(writer *w, const spec *s, int64_t lda, int64_t ldb, int64_t ldc, bool epilogue) {
  text *t = &w->ops;
  int pieces = s->groups * s->pieces;
  text_printf(
      t, ") {m = %d : i64, n = %d : i64, k = %d : i64, groups = %d : i64, trans_a = %d : i64, trans_b = %d : i64, ",
      s->m, s->n, s->k, s->groups, s->ta, s->tb);
  text_printf(t,
              "lda = %lld : i64, ldb = %lld : i64, ldc = %lld : i64, a_stride = %lld : i64, b_stride = %lld : i64, "
              "c_stride = %lld : i64, ",
              (long long)lda, (long long)ldb, (long long)ldc, (long long)(s->stacked ? (s->ta ? s->k : s->m) * lda : 0),
              (long long)(s->stacked ? (s->tb ? s->n : s->k) * ldb : 0), (long long)(s->stacked ? s->m * ldc : 0));
  if (epilogue) text_add(t, "epilogue = @finish, ");
  if (s->glu) text_printf(t, "glu = \"%s\", ", s->grad ? "grad" : "value");
  if (s->lists) text_add(t, "lists = 1 : i64, ");
  if (s->pieces > 1) {
    text_add(t, "pieces = array<i64: ");
    for (int g = 0; g < s->groups; ++g) text_printf(t, "%s%d", g ? ", " : "", s->pieces);
    text_add(t, ">, ");
  }
  int c = stored(s), ab = s->stacked ? 1 : pieces;
  text_printf(t,
              "operandSegmentSizes = array<i32: %d, %d, %d, %d, %d>, resultSegmentSizes = array<i32: %d, %d>, places = "
              "array<i64: ",
              ab, ab, s->acc ? c : 0, s->kinds * s->groups, s->rows * (s->lists ? s->groups : 1), c, s->extras);
}

// The entry's module, and its line of cases.json.
static void write_case(writer *w, const spec *s) {
  bool epilogue = s->kinds || s->rows || s->extras, first = true; // a gated unit has at least one of them
  int pieces = s->groups * s->pieces, stack = s->stacked ? s->groups : 1, ab = s->stacked ? 1 : pieces, c = stored(s);
  int rows = s->rows * (s->lists ? s->groups : 1);
  int64_t a_rows = (s->ta ? s->k : s->m) * (int64_t)stack, lda = (s->ta ? s->m : s->k) + s->pad,
          row_rows = s->m * (int64_t)(s->lists ? 1 : s->groups);
  int64_t b_rows = (s->tb ? s->n : s->k) * (int64_t)stack, ldb = (s->tb ? s->k : s->n) + s->pad,
          c_rows = s->m * (int64_t)stack, ldc = wide(s) + s->pad;
  text_printf(&w->cases,
              "{\"name\":\"%s\",\"m\":%d,\"n\":%d,\"k\":%d,\"groups\":%d,\"pieces\":%d,\"kinds\":%d,\"rows\":%d,"
              "\"extras\":%d,\"pad\":%d,"
              "\"ta\":%d,\"tb\":%d,\"f32\":%d,\"acc\":%d,\"stacked\":%d,"
              "\"lists\":%d,\"glu\":%d,\"grad\":%d,\"gelu\":%d",
              s->name, s->m, s->n, s->k, s->groups, s->pieces, s->kinds, s->rows, s->extras, s->pad, s->ta, s->tb,
              s->f32, s->acc, s->stacked, s->lists, s->glu, s->grad, s->gelu);
  free(values(w, "a", ab, a_rows, lda, false, true));
  free(values(w, "b", ab, b_rows, ldb, false, true));
  free(values(w, "column", s->kinds * s->groups, 1, s->n, true, true));
  int64_t *from = values(w, "row", rows, row_rows, wide(s), false, true), *to = from;
  if (s->here) text_printf(&w->cases, ",\"c\":[%lld]", (long long)*from);
  else to = values(w, "c", c, c_rows, ldc, s->f32, s->acc);
  int64_t *extras = values(w, "extra", s->extras, s->m * (int64_t)s->groups, narrow(s), false, false);
  if (epilogue) write_epilogue(w, s);
  text_printf(&w->ops, "    %%r:%d = \"kernel.gemm\"(", c + s->extras);
  names(w, "a", ab, &first);
  names(w, "b", ab, &first);
  names(w, "c", s->acc ? c : 0, &first);
  names(w, "column", s->kinds * s->groups, &first);
  names(w, "row", rows, &first);
  write_attributes(w, s, lda, ldb, ldc, epilogue);
  first = true;
  places(w, to, c, &first);
  places(w, extras, s->extras, &first);
  text_add(&w->ops, ">} : (");
  first = true;
  types(w, ab, a_rows, lda, false, false, &first);
  types(w, ab, b_rows, ldb, false, false, &first);
  types(w, s->acc ? c : 0, c_rows, ldc, s->f32, false, &first);
  types(w, s->kinds * s->groups, 1, s->n, true, true, &first);
  types(w, rows, row_rows, wide(s), false, false, &first);
  text_add(&w->ops, ") -> (");
  first = true;
  types(w, c, c_rows, ldc, s->f32, false, &first);
  types(w, s->extras, s->m * (int64_t)s->groups, narrow(s), false, false, &first);
  text_add(&w->ops, ")\n");
  if (to != from) free(to);
  free(from);
  free(extras);
}

static bool add_case(arena *a, plan *p, cuda_codegen *cg, MlirContext context, const spec *s, text *cases,
                     lmn_error *error) {
  writer w = {0};
  write_case(&w, s);
  text module = {0};
  text_printf(&module, "module {\n%s  func.func @entry() {\n%s    return\n  }\n}\n",
              w.functions.data ? w.functions.data : "", w.ops.data);
  plan_entry *e = &p->entries[p->entry_count++];
  *e = (plan_entry){.name = arena_string(a, s->name), .kind = ENTRY_EVALUATE, .phase = -1, .arena_bytes = w.used};
  ir *m = ir_create(a, context, NULL, NULL, (entry_shape){0}, error);
  bool ok = m && (ir_parse(m, module.data, error) || fail_in(error, "%s", module.data));
  cuda_codegen_tiles(cg, *s->tiles ? arena_string(a, s->tiles) : NULL);
  ok = ok && cuda_codegen_entry(cg, m, e, error);
  text_printf(cases, "%s%s,\"values_bytes\":%lld}", p->entry_count > 1 ? ",\n" : "", w.cases.data, (long long)w.used);
  ir_destroy(m);
  text_free(&module);
  text_free(&w.ops);
  text_free(&w.cases);
  text_free(&w.functions);
  return ok || fail_in(error, "%s", s->name);
}

// One for every tiles that suit, its name NAME.TILES.
static bool add_all(arena *a, plan *p, cuda_codegen *cg, MlirContext context, const spec *s, text *cases,
                    lmn_error *error) {
  spec one = *s;
  *one.tiles = 0;
  snprintf(one.name, sizeof one.name, "%.40s.auto", s->name);
  if (!add_case(a, p, cg, context, &one, cases, error)) return false;
  const char *tiles;
  for (int i = 0; (tiles = cuda_tiles(a, i)) && p->entry_count < CASES_MOST; ++i) {
    snprintf(one.tiles, sizeof one.tiles, "%s", tiles);
    snprintf(one.name, sizeof one.name, "%.40s.%s", s->name, tiles);
    *strchr(one.name, ' ') = '.';
    size_t length = cases->length;
    lmn_error unsuited;
    if (add_case(a, p, cg, context, &one, cases, &unsuited)) continue;
    --p->entry_count;
    cases->data[cases->length = length] = 0;
  }
  return true;
}

static bool add_line(case_list *list, char *line, lmn_error *error) {
  spec s;
  return !read_spec(line, &s) || (strcmp(s.tiles, "all") ? add_case : add_all)(list->arena, list->plan, list->cg,
                                                                               list->context, &s, &list->json, error);
}

// LMN_PRINT: the kernels' text too.
static bool check(cuda_codegen *cg, lmn_error *error) {
  if (!cases_no_spills(cg, error)) return false;
  if (!getenv("LMN_PRINT")) return true;
  text source = {0};
  cuda_print_source(cg, &source);
  fputs(source.data, stdout);
  text_free(&source);
  return true;
}

int main(int argc, char **argv) {
  return cases_main(&(case_program){"products", "sm_90a", add_line, check}, argc, argv);
}
