// Every variant of a network run and held against the reference and against the variant without optimisations. The bars
// are those of tests/tools/compare.c:
//   node values, logits   within 2e-5 of the tensor's largest magnitude, of the reference in double precision
//   losses                within 1e-5 max(1, |loss|), of the reference
//   gradients             within 1e-4 of the tensor's largest magnitude, plus 1e-7, of the variant without; that one's
//                         are held against finite differences, see gradient.c. Not where relu is asked so near to 0
//                         that rounding decides which way its derivative goes
//   optimizer steps       within the rounding of AdamW in float32, of AdamW in double precision on the same gradients,
//                         see adamw.c
// AdamW divides by the gradient's own size: where a gradient is nothing but rounding (a key's bias has none; others
// pass through 0), variants that are all right go a learning rate apart, and from there their losses. So each variant
// makes each step where the one without optimisations made it, from the same parameters.
#include "subject.h"

#include "adamw.h"
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 3, STRIDE = 9 };
#define KINK 2e-6 // a tenth of the bar for values

struct statistics statistics;

// ---- what is run ---------------------------------------------------------------------------------

static float draw_element(const parameter *p, random_stream *r) {
  bool table = p->kind == PARAMETER_PREFIX ||
               (p->tensor && (strstr(p->tensor, "embed") || strstr(p->tensor, ".wte") || strstr(p->tensor, ".wpe")));
  double normal = random_normal(r);
  if (table) return (float)(0.7 * normal);
  if (p->rank == 2) return (float)(normal / sqrt((double)p->shape[1]));
  bool weight = p->init == INIT_ONES;
  return (float)(weight ? 1 + 0.2 * normal : 0.1 * normal);
}

static void draw_parameters(const subject *s, run_data *data) {
  const parameter_list *list = s->list;
  data->parameters = ARENA_ARRAY(s->arena, float *, list->count);
  data->exact = ARENA_ARRAY(s->arena, double *, list->count);
  for (int i = 0; i < list->count; ++i) {
    const parameter *p = &list->items[i];
    int64_t elements = p->shape[0] * (p->rank == 2 ? p->shape[1] : 1);
    random_stream r = random_named(s->shape.seed, p->name);
    data->parameters[i] = ARENA_ARRAY(s->arena, float, elements);
    data->exact[i] = ARENA_ARRAY(s->arena, double, elements);
    for (int64_t k = 0; k < elements; ++k) data->exact[i][k] = data->parameters[i][k] = draw_element(p, &r);
  }
}

static void draw_packing(const subject *s, lmn_batch *b, random_stream *r) {
  int64_t tokens = b->batch * b->length;
  int32_t *positions = ARENA_ARRAY(s->arena, int32_t, tokens), *starts = ARENA_ARRAY(s->arena, int32_t, tokens);
  for (int64_t i = 0; i < tokens; ++i) {
    int32_t at = (int32_t)(i % b->length);
    starts[i] = at == 0 || random_next(r) % 4 == 0 ? at : starts[i - 1];
    positions[i] = at - starts[i];
  }
  b->positions = positions;
  b->starts = starts;
}

run_data data_draw(const subject *s) {
  run_data data = {.batch = {.batch = s->shape.batch, .length = s->shape.length}};
  lmn_batch *b = &data.batch;
  const graph *g = s->graph;
  int64_t tokens = b->batch * b->length, count = g->classes ? b->batch : tokens;
  uint64_t vocabulary = (uint64_t)g->models[g->nodes[0].model].description.vocabulary,
           kinds = g->classes ? (uint64_t)g->classes : vocabulary;
  random_stream r = random_named(s->shape.seed, "batch");
  int32_t *ids = ARENA_ARRAY(s->arena, int32_t, tokens), *labels = ARENA_ARRAY(s->arena, int32_t, count),
          *last = ARENA_ARRAY(s->arena, int32_t, b->batch);
  for (int64_t i = 0; i < tokens; ++i) ids[i] = (int32_t)(random_next(&r) % vocabulary);
  for (int64_t i = 0; i < count; ++i)
    labels[i] = i && random_next(&r) % 5 == 0 ? -100 : (int32_t)(random_next(&r) % kinds);
  for (int64_t i = 0; i < b->batch; ++i) last[i] = (int32_t)(random_next(&r) % (uint64_t)b->length);
  b->input_ids = ids;
  b->labels = labels;
  b->last = last;
  if (s->shape.packed) draw_packing(s, b, &r);
  draw_parameters(s, &data);
  return data;
}

// ---- comparing -----------------------------------------------------------------------------------

typedef struct check {
  subject *s;
  run_data data;
  reference exact;   // of the batch
  reference greedy;  // of the rows that generation made, in the variant that was run last
  int32_t *sequence; // those rows
  int variant;
  lmn_network *network;
  // where the variant without optimisations came to, before each step
  double **path[STEPS + 1]; // its parameters
  float *gradients[STEPS + 1];
  double losses[STEPS + 1], kinks[STEPS + 1]; // of the reference
} check;

static void wrong(check *c, const char *what, const char *of, double ratio) {
  finding_set(&c->s->finding, c->variant, "%s%s: %.3g times its bar", what, of, ratio);
}

static bool judge(double ratio, double *worst) {
  if (!(ratio <= 1)) return false;
  *worst = fmax(*worst, ratio);
  return true;
}

static void compare_values(check *c, const char *what, const char *of, const float *got, const double *expected,
                           int64_t count) {
  double largest = 0, difference = 0;
  for (int64_t i = 0; i < count; ++i) {
    double d = fabs(got[i] - expected[i]);
    largest = fmax(largest, fabs(expected[i]));
    difference = d >= 0 && d <= difference ? difference : isnan(d) ? INFINITY : d;
  }
  double ratio = difference == 0 ? 0 : difference / (2e-5 * largest);
  statistics.values++;
  if (!judge(ratio, &statistics.worst_value)) wrong(c, what, of, ratio);
}

static void compare_loss(check *c, const char *what, double got, double expected) {
  double ratio = fabs(got - expected) / (1e-5 * fmax(1, fabs(expected)));
  if (!judge(ratio, &statistics.worst_value)) wrong(c, what, "", ratio);
}

static void compare_gradient(check *c, const char *what, const plan_parameter *p, const float *got,
                             const float *expected) {
  double largest = 0, difference = 0;
  for (int64_t i = 0; i < p->elements; ++i) {
    double d = fabs((double)got[i] - expected[i]);
    largest = fmax(largest, fabs((double)expected[i]));
    difference = d >= 0 && d <= difference ? difference : isnan(d) ? INFINITY : d;
  }
  double ratio = difference == 0 ? 0 : difference / (1e-4 * largest + 1e-7);
  statistics.gradients++;
  if (!judge(ratio, &statistics.worst_gradient)) wrong(c, what, p->name, ratio);
}

// ---- the parts -----------------------------------------------------------------------------------

static bool failed(check *c, const lmn_error *error) {
  finding_set(&c->s->finding, c->variant, "it cannot be run: %s", error->text);
  return false;
}

// A parameter's values now, to be freed.
static float *read_parameter(check *c, const char *name, int64_t *elements) {
  *elements = lmn_elements(c->network, name);
  float *values = memory_alloc((size_t)*elements * sizeof *values);
  lmn_read_parameter(c->network, name, values, NULL);
  return values;
}

static void put_parameters(check *c, int step) {
  for (int i = 0; i < c->s->list->count; ++i) {
    const char *name = c->s->list->items[i].name;
    int64_t elements = lmn_elements(c->network, name);
    float *values = memory_alloc((size_t)elements * sizeof *values);
    for (int64_t k = 0; k < elements; ++k) values[k] = (float)c->path[step][i][k];
    lmn_write_parameter(c->network, name, values, NULL);
    free(values);
  }
}

// What there is now is where this step is made from.
static void keep_parameters(check *c, int step) {
  c->path[step] = ARENA_ARRAY(c->s->arena, double *, c->s->list->count);
  for (int i = 0; i < c->s->list->count; ++i) {
    int64_t elements;
    float *values = read_parameter(c, c->s->list->items[i].name, &elements);
    c->path[step][i] = ARENA_ARRAY(c->s->arena, double, elements);
    for (int64_t k = 0; k < elements; ++k) c->path[step][i][k] = values[k];
    free(values);
  }
  reference moved = c->exact;
  moved.arena = NULL;
  moved.parameters = c->path[step];
  reference_run(&moved);
  c->losses[step] = moved.loss;
  c->kinks[step] = moved.kink;
  reference_free(&moved);
}

// No entry may read what it has not written: everything is NaN before it runs.
static void poison(check *c) {
  const plan_space spaces[] = {SPACE_ARENA, SPACE_OUTPUT, SPACE_GRADIENT};
  for (size_t i = 0; i < LENGTH(spaces); ++i) {
    void *memory = device_map(c->network->device, spaces[i]);
    if (memory) memset(memory, 0xff, (size_t)c->network->space_bytes[spaces[i]]);
  }
}

static bool reserve(check *c, lmn_error *error) {
  const plan *p = lmn_plan(c->network);
  bool ok = network_use_gradients(c->network, c->s->shape.phase, error);
  for (int i = 0; ok && i < p->entry_count; ++i) ok = network_prepare(c->network, &p->entries[i], error);
  return ok || failed(c, error);
}

static const float *gradient_memory(const check *c) { return device_map(c->network->device, SPACE_GRADIENT); }

// The gradients there are now, against those of the variant without optimisations; its own, of the parameters as they
// were drawn, against finite differences.
static void check_gradients(check *c, const char *what, int step) {
  const plan *p = lmn_plan(c->network);
  const plan_phase *phase = &p->phases[c->s->shape.phase];
  if (!phase->gradient_bytes) return;
  if (!c->gradients[step]) {
    c->gradients[step] = arena_alloc(c->s->arena, (size_t)phase->gradient_bytes);
    memcpy(c->gradients[step], gradient_memory(c), (size_t)phase->gradient_bytes);
    char text[1024];
    trained_gradients g = {phase, p, c->gradients[step]};
    if (step) return;
    if (!gradients_right(c->s, &c->exact, g, text, sizeof text)) finding_set(&c->s->finding, c->variant, "%s", text);
    return;
  }
  if (c->kinks[step] < KINK) return;
  for (int i = 0; i < phase->trained_count; ++i) {
    int64_t offset = phase->trained[i].offset / (int64_t)sizeof(float);
    compare_gradient(c, what, &p->parameters[phase->trained[i].parameter], gradient_memory(c) + offset,
                     c->gradients[step] + offset);
  }
}

static bool check_trace(check *c) {
  const subject *s = c->s;
  lmn_network *n = c->network;
  lmn_error error = {0};
  const lmn_batch *b = &c->data.batch;
  const plan_entry *e = network_entry(n, ENTRY_TRACE, s->shape.phase, b->batch, b->length, s->shape.packed, &error);
  float scale = (float)(1.0 / (double)c->exact.counted);
  poison(c);
  if (!e || !network_compute(n, e, b, scale, &error)) return failed(c, &error);
  for (int i = 0; i < s->graph->node_count; ++i) {
    text name = {0};
    text_printf(&name, "node.%s", s->graph->nodes[i].name);
    const plan_value *value = entry_output(e, name.data);
    compare_values(c, "", name.data, network_output(n, e, name.data), c->exact.nodes[i], value_elements_of(value));
    text_free(&name);
  }
  compare_values(c, "", "logits", network_output(n, e, "logits"), c->exact.logits,
                 value_elements_of(entry_output(e, "logits")));
  compare_loss(c, "loss of trace", network_loss(n, e), c->exact.loss);
  check_gradients(c, "gradient (trace) of ", 0);
  return true;
}

static bool check_evaluate(check *c) {
  lmn_error error = {0};
  double sum;
  int64_t labels, right;
  poison(c);
  if (!lmn_evaluate(c->network, &c->data.batch, &sum, &labels, &right, &error)) return failed(c, &error);
  double count = (double)c->exact.counted;
  compare_loss(c, "loss of evaluate", sum / count, c->exact.plain / count);
  if (labels != c->exact.counted || (c->s->graph->classes && right != c->exact.right))
    finding_set(&c->s->finding, c->variant, "evaluate counts %lld labels, %lld right; there are %lld, %lld",
                (long long)labels, (long long)right, (long long)c->exact.counted, (long long)c->exact.right);
  return true;
}

// What is frozen must be as it was, bit for bit.
static void check_frozen(check *c) {
  const subject *s = c->s;
  bool *trained = ARENA_ARRAY(s->arena, bool, s->list->count + 1);
  graph_trained(s->graph, s->list, s->shape.phase, trained);
  for (int i = 0; i < s->list->count; ++i) {
    int64_t elements;
    float *now = read_parameter(c, s->list->items[i].name, &elements);
    if (!trained[i] && memcmp(now, c->data.parameters[i], (size_t)elements * sizeof *now))
      finding_set(&c->s->finding, c->variant, "%s is frozen, but training changes it", s->list->items[i].name);
    free(now);
  }
}

// What the step made of the parameters.
static void check_update(check *c, adamw *states, int step) {
  const plan_phase *phase = &lmn_plan(c->network)->phases[c->s->shape.phase];
  for (int i = 0; i < phase->trained_count; ++i) {
    int at = phase->trained[i].parameter; // list and plan have the same order
    const parameter *p = &c->s->list->items[at];
    const float *gradient = gradient_memory(c) + phase->trained[i].offset / (int64_t)sizeof(float);
    int64_t elements;
    float *after = read_parameter(c, p->name, &elements);
    if (!step) states[i] = adamw_begin(c->s->arena, &c->s->graph->phases[c->s->shape.phase], p, elements);
    double ratio = adamw_step(&states[i], c->path[step][at], gradient, after);
    free(after);
    statistics.updates++;
    if (!judge(ratio, &statistics.worst_update)) wrong(c, "optimizer step of ", p->name, ratio);
  }
  check_frozen(c);
}

// Steps, and a last time the gradients alone.
static bool check_training(check *c) {
  lmn_network *n = c->network;
  lmn_error error = {0};
  int phase = c->s->shape.phase;
  const plan_phase *p = &lmn_plan(n)->phases[phase];
  double loss;
  if (!p->gradient_bytes) return true;
  adamw *states = ARENA_ARRAY(c->s->arena, adamw, p->trained_count);
  if (!lmn_begin_phase(n, phase, &error)) return failed(c, &error);
  for (int i = 0; i <= STEPS; ++i) {
    if (!c->path[i]) keep_parameters(c, i);
    put_parameters(c, i);
    poison(c);
    if (!lmn_step(n, phase, &c->data.batch, 1, i < STEPS ? p->lr : -1, &loss, NULL, &error)) return failed(c, &error);
    compare_loss(c, i ? "loss after optimizer steps" : "loss of train", loss, c->losses[i]);
    if (i == 0 || i == STEPS) check_gradients(c, i ? "gradient after optimizer steps of " : "gradient (train) of ", i);
    if (i < STEPS) check_update(c, states, i);
  }
  put_parameters(c, 0);
  return true;
}

// ---- generation ----------------------------------------------------------------------------------

typedef struct seen_logits { // [V] that came for a position of a row
  int64_t row, position;
  float *values;
} seen_logits;

typedef struct generation {
  check *c;
  int64_t length, width; // of the rows in the end; of logits
  int32_t *sequence;
  int64_t *done;
  seen_logits *seen;
  int count, capacity;
} generation;

// Feeds counts[b] tokens of each row and keeps the logits that come.
static bool feed(generation *g, const int32_t *counts, lmn_error *error) {
  int64_t batch = g->c->data.batch.batch;
  int32_t *ids = memory_zero((size_t)(batch * STRIDE) * sizeof *ids);
  const float *logits;
  for (int64_t b = 0; b < batch; ++b)
    memcpy(ids + b * STRIDE, g->sequence + b * g->length + g->done[b], (size_t)counts[b] * sizeof *ids);
  poison(g->c);
  bool ok = lmn_extend(g->c->network, ids, STRIDE, counts, &logits, error);
  free(ids);
  for (int64_t b = 0; ok && b < batch; ++b) {
    if (!counts[b]) continue;
    g->done[b] += counts[b];
    GROW(g->seen, g->count, g->capacity);
    seen_logits *s = &g->seen[g->count++];
    *s = (seen_logits){b, g->done[b] - 1, memory_alloc((size_t)g->width * sizeof(float))};
    memcpy(s->values, logits + b * g->width, (size_t)g->width * sizeof(float));
    int32_t best = 0;
    for (int32_t k = 1; k < g->width; ++k)
      if (s->values[k] > s->values[best]) best = k;
    if (g->done[b] >= g->c->data.batch.length && g->done[b] < g->length) g->sequence[b * g->length + g->done[b]] = best;
  }
  return ok;
}

// The batch's rows in pieces of any size, each row at a pace of its own; then a few greedy tokens.
static bool generate(generation *g, lmn_error *error) {
  check *c = g->c;
  const lmn_batch *b = &c->data.batch;
  random_stream r = random_named(c->s->shape.seed, "pieces");
  int32_t *counts = ARENA_ARRAY(c->s->arena, int32_t, b->batch);
  if (!lmn_reset(c->network, b->batch, c->s->graph->prefix + g->length, error)) return false;
  for (bool left = true; left;) {
    left = false;
    for (int64_t i = 0; i < b->batch; ++i) {
      int64_t rest = b->length - g->done[i], most = rest < STRIDE ? rest : STRIDE;
      counts[i] = (int32_t)(random_next(&r) % (uint64_t)(most + 1));
      left |= counts[i] < rest;
    }
    if (!feed(g, counts, error)) return false;
  }
  for (int64_t i = 0; i < b->batch; ++i) counts[i] = 1;
  for (int k = 0; k < GREEDY; ++k)
    if (!feed(g, counts, error)) return false;
  return true;
}

// The reference's logits for whole rows.
static void whole_rows(check *c, const int32_t *sequence, int64_t length) {
  size_t bytes = (size_t)(c->data.batch.batch * length) * sizeof *sequence;
  if (c->greedy.arena && !memcmp(c->sequence, sequence, bytes)) return; // as the variant before
  if (!c->sequence) c->sequence = arena_alloc(c->s->arena, bytes);
  memcpy(c->sequence, sequence, bytes);
  c->greedy = (reference){.graph = c->s->graph,
                          .list = c->s->list,
                          .parameters = c->data.exact,
                          .batch = c->data.batch.batch,
                          .length = length,
                          .ids = c->sequence,
                          .arena = c->greedy.arena};
  reference_run(&c->greedy);
}

static bool check_generation(check *c) {
  const lmn_batch *b = &c->data.batch;
  if (!c->s->capacity) return true;
  lmn_error error = {0};
  generation g = {.c = c, .length = b->length + GREEDY, .width = lmn_plan(c->network)->vocabulary};
  g.sequence = ARENA_ARRAY(c->s->arena, int32_t, b->batch * g.length);
  g.done = ARENA_ARRAY(c->s->arena, int64_t, b->batch);
  for (int64_t i = 0; i < b->batch; ++i)
    memcpy(g.sequence + i * g.length, b->input_ids + i * b->length, (size_t)b->length * sizeof *g.sequence);
  bool ok = generate(&g, &error) || failed(c, &error);
  if (ok) whole_rows(c, g.sequence, g.length);
  for (int i = 0; ok && i < g.count; ++i) {
    char where[64];
    snprintf(where, sizeof where, "row %lld, position %lld", (long long)g.seen[i].row, (long long)g.seen[i].position);
    compare_values(c, "logits through the KV cache, ", where, g.seen[i].values,
                   c->greedy.logits + (g.seen[i].row * g.length + g.seen[i].position) * g.width, g.width);
  }
  for (int i = 0; i < g.count; ++i) free(g.seen[i].values);
  free(g.seen);
  return ok;
}

// ---- all of it -----------------------------------------------------------------------------------

static void check_variant(check *c, int variant) {
  lmn_error error = {0};
  c->variant = variant;
  text artifact = {0};
  text_printf(&artifact, "%s/%d", c->s->folder, variant);
  c->network = lmn_open(artifact.data, &(lmn_options){.threads = variant == VARIANT_ALL_ON ? 2 : 1}, &error);
  text_free(&artifact);
  if (!c->network) {
    failed(c, &error);
    return;
  }
  put_parameters(c, 0);
  if (reserve(c, &error) && check_trace(c) && check_evaluate(c) && check_training(c)) check_generation(c);
  lmn_close(c->network);
}

void subject_check(subject *s) {
  if (s->finding.found) return;
  check c = {.s = s, .data = data_draw(s)};
  const lmn_batch *b = &c.data.batch;
  c.exact = (reference){.graph = s->graph,
                        .list = s->list,
                        .parameters = c.data.exact,
                        .batch = b->batch,
                        .length = b->length,
                        .ids = b->input_ids,
                        .positions = b->positions,
                        .starts = b->starts,
                        .labels = b->labels,
                        .last = b->last,
                        .smoothing = s->graph->phases[s->shape.phase].label_smoothing};
  reference_run(&c.exact);
  c.path[0] = c.data.exact;
  c.losses[0] = c.exact.loss;
  c.kinks[0] = c.exact.kink;
  for (int v = 0; v < variant_count() && !s->finding.found; ++v)
    if (s->variants >> v & 1) check_variant(&c, v);
  reference_free(&c.exact);
  reference_free(&c.greedy);
}
