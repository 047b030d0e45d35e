// plan.json: one line a parameter, a value, a launch, so that a person can read it and diff shows what changed. Fields
// that have their usual value (0, false, none) are left out.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan_json.h"

// The length of the UTF-8 sequence at `s`, 0 where it is none.
static int utf8_length(const unsigned char *s) {
  int length = s[0] < 0x80                   ? 1
               : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
               : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
               : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                             : 0;
  for (int i = 1; i < length; ++i)
    if ((s[i] & 0xc0) != 0x80) return 0;
  bool too_long = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
  bool no_character = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
  return too_long || no_character ? 0 : length;
}

// JSON has UTF-8 only: a byte that is none becomes U+FFFD.
static void add_string(text *out, const char *string) {
  text_add(out, "\"");
  for (const unsigned char *s = (const unsigned char *)string; *s;) {
    int length = utf8_length(s);
    if (*s == '"' || *s == '\\') text_printf(out, "\\%c", *s);
    else if (*s < 0x20) text_printf(out, "\\u%04x", *s);
    else if (length) text_add_bytes(out, s, (size_t)length);
    else text_add(out, "\xef\xbf\xbd");
    s += length ? length : 1;
  }
  text_add(out, "\"");
}

// The shortest decimal number that reads back as the same double.
static void add_real(text *out, double value) {
  char buffer[40];
  for (int digits = 15; digits <= 17; ++digits) {
    snprintf(buffer, sizeof buffer, "%.*g", digits, value);
    if (strtod(buffer, NULL) == value) break;
  }
  text_add(out, isfinite(value) ? buffer : "null");
}

static void add_integer(text *out, int64_t value) {
  char digits[24], *end = digits + sizeof digits, *p = end;
  uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
  do *--p = (char)('0' + rest % 10);
  while (rest /= 10);
  if (value < 0) *--p = '-';
  text_add_bytes(out, p, (size_t)(end - p));
}

static void add_integers(text *out, const int64_t *values, int count) {
  text_add(out, "[");
  for (int i = 0; i < count; ++i) {
    if (i) text_add(out, ",");
    add_integer(out, values[i]);
  }
  text_add(out, "]");
}

// `"key":value`, after a comma unless it is the first of its object.
static void key(text *out, const char *name) {
  char last = out->data[out->length - 1];
  text_add(out, last == '{' ? "\"" : last == '\n' ? "\"" : ",\"");
  text_add(out, name);
  text_add(out, "\":");
}

static void string(text *out, const char *name, const char *value) {
  if (!value) return;
  key(out, name);
  add_string(out, value);
}

static void integer(text *out, const char *name, int64_t value) {
  key(out, name);
  add_integer(out, value);
}

static void integer_unless(text *out, const char *name, int64_t value, int64_t usual) {
  if (value != usual) integer(out, name, value);
}

static void real(text *out, const char *name, double value) {
  key(out, name);
  add_real(out, value);
}

static void flag(text *out, const char *name, bool value) {
  if (!value) return;
  key(out, name);
  text_add(out, "true");
}

static void add_ref(text *out, plan_ref ref) {
  text_add_bytes(out, &space_letters[ref.space], 1);
  add_integer(out, ref.offset);
}

// Numbers as one string, a space between them.
static void add_numbers(text *out, const int64_t *values, int count) {
  for (int i = 0; i < count; ++i) {
    if (i) text_add(out, " ");
    add_integer(out, values[i]);
  }
}

// A list with one element a line.
#define LIST(out, name, count, element)                                                                                \
  do {                                                                                                                 \
    key(out, name);                                                                                                    \
    text_add(out, "[");                                                                                                \
    for (int i = 0; i < (count); ++i) {                                                                                \
      text_add(out, i ? ",\n{" : "\n{");                                                                               \
      element;                                                                                                         \
      text_add(out, "}");                                                                                              \
    }                                                                                                                  \
    text_add(out, "]");                                                                                                \
  } while (0)

static void write_parameter(text *out, const plan_parameter *p) {
  string(out, "name", p->name);
  key(out, "shape");
  add_integers(out, p->shape, p->rank);
  integer(out, "offset", p->offset);
  string(out, "group", p->group);
  flag(out, "matrix", p->matrix);
  flag(out, "tied", p->tied);
  string(out, "source", source_names[p->source]);
  if (p->source == SOURCE_TENSOR) {
    string(out, "directory", p->directory);
    string(out, "tensor", p->tensor);
  }
  if (p->source == SOURCE_NORMAL) {
    real(out, "mean", p->mean);
    real(out, "std", p->std);
  }
}

static void write_rotary(text *out, const plan_rotary *r) {
  integer(out, "offset", r->offset);
  integer(out, "length", r->length);
  integer(out, "dim", r->dim);
  integer(out, "kind", r->kind);
  real(out, "theta", r->theta);
  real(out, "factor", r->factor);
  real(out, "low_frequency_factor", r->low_frequency_factor);
  real(out, "high_frequency_factor", r->high_frequency_factor);
  integer(out, "original_length", r->original_length);
}

static void write_trained(text *out, const plan_trained *trained, int count) {
  key(out, "trained");
  text_add(out, "[");
  for (int i = 0; i < count; ++i) {
    text_add(out, i ? "," : "");
    add_integers(out, (const int64_t[]){trained[i].parameter, trained[i].offset}, 2);
  }
  text_add(out, "]");
}

static void write_phase(text *out, const plan_phase *p) {
  string(out, "name", p->name);
  integer(out, "gradient_bytes", p->gradient_bytes);
  write_trained(out, p->trained, p->trained_count);
  text_add(out, ",\n");
  real(out, "lr", p->lr);
  real(out, "beta1", p->beta1);
  real(out, "beta2", p->beta2);
  real(out, "eps", p->eps);
  real(out, "weight_decay", p->weight_decay);
  real(out, "clip", p->clip);
  real(out, "label_smoothing", p->label_smoothing);
  flag(out, "decay_all", p->decay_all);
  integer(out, "schedule", p->schedule);
  real(out, "schedule_final", p->schedule_final);
  integer_unless(out, "warmup", p->warmup, 0);
  integer_unless(out, "steps", p->steps, 0);
  integer_unless(out, "epochs", p->epochs, 0);
  integer_unless(out, "batch", p->batch, 0);
  integer_unless(out, "length", p->length, 0);
  integer_unless(out, "accumulate", p->accumulate, 0);
  integer_unless(out, "evaluate_every", p->evaluate_every, 0);
  integer_unless(out, "save_every", p->save_every, 0);
  key(out, "seed"); // as text: JSON integers are signed
  text_printf(out, "\"%llu\"", (unsigned long long)p->seed);
  string(out, "data", p->data);
  string(out, "validation", p->validation);
  string(out, "prompt", p->prompt);
  string(out, "completion", p->completion);
}

static void write_value(text *out, const plan_value *v) {
  string(out, "name", v->name);
  string(out, "type", type_names[v->type]);
  key(out, "shape");
  add_integers(out, v->shape, v->rank);
  key(out, "at");
  text_add(out, "\"");
  add_ref(out, v->at);
  text_add(out, "\"");
}

static void write_maps(text *out, const plan_launch *l) {
  key(out, "maps");
  text_add(out, "[");
  for (int i = 0; i < l->map_count; ++i) {
    const plan_map *m = &l->maps[i];
    text_add(out, i ? ",\"" : "\"");
    add_ref(out, m->at);
    text_add(out, " ");
    add_numbers(out,
                (const int64_t[]){m->bytes, m->columns, m->rows, m->count, m->row_stride, m->stride, m->box_columns,
                                  m->box_rows, m->swizzle, m->pieces, m->box_pieces},
                m->pieces ? 11 : 9);
    text_add(out, "\"");
  }
  text_add(out, "]");
}

static void write_launch(text *out, const plan_launch *l) {
  if (l->kind == LAUNCH_GEMM) {
    const plan_gemm *g = &l->gemm;
    key(out, "gemm");
    text_printf(out, "\"%c%c%s ", g->trans_a ? 't' : 'n', g->trans_b ? 't' : 'n', g->accumulate ? "+" : "");
    add_numbers(out, (const int64_t[]){g->m, g->n, g->k, g->lda, g->ldb, g->ldc, g->groups, g->pieces},
                g->pieces ? 8 : 7);
    text_add(out, "\"");
  }
  if (l->kind == LAUNCH_CUDA) {
    key(out, "cuda");
    text_add(out, "\"");
    add_numbers(out, (const int64_t[]){l->grid[0], l->grid[1], l->grid[2], l->block, l->shared}, 5);
    text_add(out, "\"");
  }
  if (l->map_count) write_maps(out, l);
  if (l->room.args) {
    key(out, "room");
    text_add(out, "\"");
    add_numbers(out, (const int64_t[]){l->room.maps, l->room.args, l->room.dims}, 3);
    text_add(out, "\"");
  }
  if (l->ordered) {
    key(out, "after");
    text_add(out, "\"");
    add_numbers(out, l->after, l->after_count);
    text_add(out, "\"");
  }
  string(out, "kernel", l->kernel);
  flag(out, "table", l->table);
  flag(out, "processors", l->processors);
  flag(out, "rides", l->rides);
  integer_unless(out, "tasks", l->tasks, 0);
  integer_unless(out, "grain", l->grain, 0);
  integer_unless(out, "scratch", l->scratch, 0);
  if (l->dim_count) {
    key(out, "dims");
    text_add(out, "\"");
    add_numbers(out, l->dims, l->dim_count);
    text_add(out, "\"");
  }
  key(out, "args");
  text_add(out, "\"");
  for (int i = 0; i < l->arg_count; ++i) {
    if (i) text_add(out, " ");
    add_ref(out, l->args[i]);
  }
  text_add(out, "\"");
  string(out, "what", l->what);
  string(out, "shape", l->shape);
  integer_unless(out, "group", l->group, 0);
  integer_unless(out, "flops", l->flops, 0);
  integer_unless(out, "bytes", l->bytes, 0);
  integer_unless(out, "vertices", l->vertices, 0);
}

static void write_entry(text *out, const plan_entry *e) {
  string(out, "name", e->name);
  string(out, "kind", entry_kind_names[e->kind]);
  integer_unless(out, "phase", e->phase, -1);
  integer_unless(out, "batch", e->batch, 0);
  integer_unless(out, "length", e->length, 0);
  integer_unless(out, "capacity", e->capacity, 0);
  flag(out, "packed", e->packed);
  if (e->recompute) string(out, "recompute", e->recompute);
  integer(out, "arena_bytes", e->arena_bytes);
  integer(out, "input_bytes", e->input_bytes);
  integer(out, "output_bytes", e->output_bytes);
  integer_unless(out, "cache_bytes", e->cache_bytes, 0);
  integer_unless(out, "vertex_runs", e->vertex_runs, 0);
  integer_unless(out, "vertices", e->vertices, 0);
  integer_unless(out, "masks", e->masks, 0);
  integer_unless(out, "mask_uses", e->mask_uses, 0);
  integer_unless(out, "flops", e->flops, 0);
  text_add(out, ",\n");
  LIST(out, "inputs", e->input_count, write_value(out, &e->inputs[i]));
  LIST(out, "outputs", e->output_count, write_value(out, &e->outputs[i]));
  LIST(out, "launches", e->launch_count, write_launch(out, &e->launches[i]));
}

static void write_groups(text *out, const plan *p) {
  key(out, "groups");
  text_add(out, "[");
  for (int i = 0; i < p->group_count; ++i) {
    text_add(out, i ? ",\n" : "\n");
    add_string(out, p->groups[i]);
  }
  text_add(out, "]");
}

void plan_write(const plan *p, text *out) {
  text_add(out, "{");
  integer(out, "format", PLAN_FORMAT);
  string(out, "spaces", space_legend);
  string(out, "network", p->network);
  string(out, "target", p->target);
  if (p->precision && strcmp(p->precision, usual_precision)) string(out, "precision", p->precision);
  string(out, "cpu", p->cpu);
  string(out, "cpu_features", p->cpu_features);
  string(out, "tokenizer", p->tokenizer);
  text_add(out, ",\n");
  integer(out, "vocabulary", p->vocabulary);
  integer_unless(out, "classes", p->classes, 0);
  integer_unless(out, "prefix", p->prefix, 0);
  integer_unless(out, "positions", p->positions, 0);
  flag(out, "learned_positions", p->learned_positions);
  integer(out, "bos", p->bos);
  integer(out, "pad", p->pad);
  key(out, "eos");
  add_integers(out, p->eos, p->eos_count);
  text_add(out, ",\n");
  integer(out, "parameter_bytes", p->parameter_bytes);
  if (p->parked_bytes) integer(out, "parked_bytes", p->parked_bytes);
  integer(out, "constant_bytes", p->constant_bytes);
  text_add(out, ",\n");
  LIST(out, "parameters", p->parameter_count, write_parameter(out, &p->parameters[i]));
  LIST(out, "rotary", p->rotary_count, write_rotary(out, &p->rotary[i]));
  LIST(out, "phases", p->phase_count, write_phase(out, &p->phases[i]));
  if (p->group_count) write_groups(out, p);
  LIST(out, "entries", p->entry_count, write_entry(out, &p->entries[i]));
  text_add(out, "}\n");
}
