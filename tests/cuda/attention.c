// attention TARGET FOLDER <SPECS: an artifact of bf16 with one entry for every line of the standard input, which is a
// kernel.attention and its gradient, and FOLDER/cases.json, which says what it is and where its values lie. For
// scripts/bench/attention.py, which checks and times them on a GPU. A line is a name and words:
//   d=… (head size) heads=… kv=… (key heads) t=… (length) b=… (batch) segments=… vertices=… starts (packed sequences)
//   turned (a rotation rides on the gradient)
#include "tests/cuda/cases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct spec {
  char name[64];
  int d, heads, kv, t, b, segments, vertices;
  bool starts, turned;
} spec;

typedef struct writer {
  text ops, cases;
  int64_t used; // bytes of the arena
} writer;

static bool read_spec(char *line, spec *s) {
  *s = (spec){.d = 64, .heads = 1, .kv = 1, .t = 1, .b = 1, .segments = 1, .vertices = 1};
  char *word = strtok(line, " \n");
  if (!word || *word == '#') return false;
  snprintf(s->name, sizeof s->name, "%s", word);
  while ((word = strtok(NULL, " \n"))) {
    const struct {
      const char *name;
      int *to;
    } numbers[] = {{"d=", &s->d},
                   {"heads=", &s->heads},
                   {"kv=", &s->kv},
                   {"t=", &s->t},
                   {"b=", &s->b},
                   {"segments=", &s->segments},
                   {"vertices=", &s->vertices}};
    for (size_t i = 0; i < LENGTH(numbers); ++i)
      if (!strncmp(word, numbers[i].name, strlen(numbers[i].name))) *numbers[i].to = atoi(strchr(word, '=') + 1);
    if (!strcmp(word, "starts")) s->starts = true;
    if (!strcmp(word, "turned")) s->turned = true;
  }
  return true;
}

// Room for a value, with a strip behind it that nothing may write.
static int64_t room(writer *w, const char *name, int64_t bytes) {
  enum { MULTIPLE = 256, STRIP = 256 };
  int64_t at = w->used;
  w->used += (bytes + MULTIPLE - 1) / MULTIPLE * MULTIPLE + STRIP;
  text_printf(&w->cases, ",\"%s_at\":%lld", name, (long long)at);
  return at;
}

static void operand(writer *w, const char *name, int64_t rows, int64_t columns, const char *element, int64_t bytes) {
  int64_t at = room(w, name, rows * columns * bytes);
  text_printf(
      &w->ops,
      "    %%%s = \"kernel.buffer\"() {space = \"arena\", name = \"%s\", places = array<i64: %d, %lld>} : () -> "
      "tensor<%lldx%lldx%s>\n",
      name, name, SPACE_ARENA, (long long)at, (long long)rows, (long long)columns, element);
}

static void write_case(writer *w, const spec *s) {
  enum { BF16 = 2, WORD = 4 };
  long long rows = (long long)s->vertices * s->segments * s->b * s->t, columns = (s->heads + 2LL * s->kv) * s->d,
            out_columns = (long long)s->heads * s->d;
  char attributes[400], starts_type[64] = "";
  text_printf(&w->cases,
              "{\"name\":\"%s\",\"d\":%d,\"heads\":%d,\"kv\":%d,\"t\":%d,\"b\":%d,\"segments\":%d,\"vertices\":%d,"
              "\"starts\":%d,\"turned\":%d",
              s->name, s->d, s->heads, s->kv, s->t, s->b, s->segments, s->vertices, s->starts, s->turned);
  operand(w, "qkv", rows, columns, "bf16", BF16);
  operand(w, "dout", rows, out_columns, "bf16", BF16);
  if (s->starts) {
    operand(w, "starts", s->b, s->t, "i32", WORD);
    snprintf(starts_type, sizeof starts_type, ", tensor<%dx%dxi32>", s->b, s->t);
  }
  if (s->turned) operand(w, "table", s->t, s->d, "f32", WORD);
  snprintf(attributes, sizeof attributes,
           "heads = %d : i64, key_value_heads = %d : i64, head_size = %d : i64, length = %d : i64, batch = %d : i64, "
           "segments = %d : i64, scale = %.17e : f64",
           s->heads, s->kv, s->d, s->t, s->b, s->segments, 1.0 / sqrt(s->d));
  const char *starts = s->starts ? ", %starts" : "";
  long long out = room(w, "out", rows * out_columns * BF16), lse = room(w, "lse", rows * s->heads * WORD),
            dqkv = room(w, "dqkv", rows * columns * BF16);
  text_printf(&w->ops,
              "    %%out, %%lse = \"kernel.attention\"(%%qkv%s) {%s, places = array<i64: %d, %lld, %d, %lld>} : "
              "(tensor<%lldx%lldxbf16>%s) -> (tensor<%lldx%lldxbf16>, tensor<%lldx%dxf32>)\n",
              starts, attributes, SPACE_ARENA, out, SPACE_ARENA, lse, rows, columns, starts_type, rows, out_columns,
              rows, s->heads);
  text_printf(&w->ops,
              "    %%dqkv = \"kernel.attention_grad\"(%%qkv, %%out, %%lse, %%dout%s) {%s, places = array<i64: %d, "
              "%lld>} : (tensor<%lldx%lldxbf16>, tensor<%lldx%lldxbf16>, tensor<%lldx%dxf32>, "
              "tensor<%lldx%lldxbf16>%s) -> tensor<%lldx%lldxbf16>\n",
              starts, attributes, SPACE_ARENA, dqkv, rows, columns, rows, out_columns, rows, s->heads, rows,
              out_columns, starts_type, rows, columns);
  if (s->turned)
    text_printf(
        &w->ops,
        "    %%turned = \"kernel.rope\"(%%dqkv, %%table) {heads = %d : i64, head_size = %d : i64, length = %d : "
        "i64, inverse = 1 : i64, rides = 1 : i64, places = array<i64: %d, %lld>} : (tensor<%lldx%lldxbf16>, "
        "tensor<%dx%dxf32>) -> tensor<%lldx%lldxbf16>\n",
        s->heads + s->kv, s->d, s->t, SPACE_ARENA, dqkv, rows, columns, s->t, s->d, rows, columns);
}

static bool add_case(arena *a, plan *p, cuda_codegen *cg, MlirContext context, const spec *s, text *cases,
                     lmn_error *error) {
  writer w = {0};
  write_case(&w, s);
  text module = {0};
  text_printf(&module, "module {\n  func.func @entry() {\n%s    return\n  }\n}\n", w.ops.data);
  plan_entry *e = &p->entries[p->entry_count++];
  *e = (plan_entry){.name = arena_string(a, s->name), .kind = ENTRY_EVALUATE, .phase = -1, .arena_bytes = w.used};
  ir *m = ir_create(a, context, NULL, NULL, (entry_shape){0}, error);
  bool ok = m && (ir_parse(m, module.data, error) || fail_in(error, "%s", module.data));
  ok = ok && cuda_codegen_entry(cg, m, e, error);
  text_printf(cases, "%s%s,\"values_bytes\":%lld}", p->entry_count > 1 ? ",\n" : "", w.cases.data, (long long)w.used);
  ir_destroy(m);
  text_free(&module);
  text_free(&w.ops);
  text_free(&w.cases);
  return ok || fail_in(error, "%s", s->name);
}

// No kernel spills registers, and the assembler runs no kernel's wgmmas one by one.
static bool sound(cuda_codegen *cg, lmn_error *error) {
  int count, wrong = 0;
  const cuda_kernel *k = cuda_kernels(cg, &count);
  for (int i = 0; i < count; ++i) {
    const cuda_resources *r = &k[i].resources;
    printf("%s: %lld registers, %lld bytes spilled, %lld warnings about wgmma\n", k[i].name, (long long)r->registers,
           (long long)(r->spill_stores + r->spill_loads), (long long)r->warnings);
    wrong += r->spill_stores || r->spill_loads || r->warnings;
  }
  return !wrong || fail(error, "%d of %d kernels spill registers or run their wgmmas one by one", wrong, count);
}

static bool add_line(case_list *list, char *line, lmn_error *error) {
  spec s;
  return !read_spec(line, &s) || add_case(list->arena, list->plan, list->cg, list->context, &s, &list->json, error);
}

int main(int argc, char **argv) { return cases_main(&(case_program){"attention", NULL, add_line, sound}, argc, argv); }
