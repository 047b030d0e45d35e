// A device without kernels, in place of device_cpu.c: it runs the entries of one small plan in plain C, so that the
// trainer, checkpoints and generation are tested by themselves. The model: loss = scale Σ (w[id] - label)² over counted
// labels, AdamW, and logits that tell which tokens a cache holds. Include it in one file of a program.
#ifndef LMN_FAKE_DEVICE_H
#define LMN_FAKE_DEVICE_H

#include "runtime/device_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FAKE_VOCABULARY = 11, FAKE_BATCH = 2, FAKE_LENGTH = 4, FAKE_ROWS = 3, FAKE_CAPACITY = 16 };

struct device {
  device_base base;
  void *spaces[SPACE_COUNT];
};
static int64_t fake_runs;        // entries run so far
static int64_t fake_poison = -1; // the run whose loss is not finite

static void fake_close(device *d) {
  for (int i = 0; i < SPACE_COUNT; ++i) free(d->spaces[i]);
  free(d);
}

static int fake_threads(const device *d) { return (void)d, 1; }

static bool fake_reserve(device *d, plan_space space, int64_t bytes, lmn_error *error) {
  (void)error;
  if (bytes == d->base.reserved[space] && d->spaces[space]) return true;
  free(d->spaces[space]);
  d->spaces[space] = memory_zero((size_t)bytes);
  return true;
}

static void *fake_map(const device *d, plan_space space) { return d->spaces[space]; }

static void *fake_value(const device *d, const plan_value *values, int count, const char *name) {
  for (int i = 0; i < count; ++i)
    if (!strcmp(values[i].name, name)) return (char *)d->spaces[values[i].at.space] + values[i].at.offset;
  return NULL;
}
#define FAKE_INPUT(name) fake_value(d, e->inputs, e->input_count, name)
#define FAKE_OUTPUT(name) fake_value(d, e->outputs, e->output_count, name)

static void fake_loss(device *d, const plan_entry *e, bool gradients) {
  const float *w = d->spaces[SPACE_PARAMETER], scale = *(float *)FAKE_INPUT("scale");
  const int32_t *ids = FAKE_INPUT("input_ids"), *labels = FAKE_INPUT("labels");
  float *gradient = d->spaces[SPACE_GRADIENT], sum = 0;
  if (gradients) memset(gradient, 0, FAKE_VOCABULARY * sizeof *gradient);
  for (int64_t i = 0; i < e->batch * e->length; ++i) {
    if (labels[i] < 0) continue;
    float apart = w[ids[i]] - (float)labels[i];
    sum += apart * apart;
    if (gradients) gradient[ids[i]] += 2 * scale * apart;
  }
  *(float *)FAKE_OUTPUT("loss") = fake_runs == fake_poison ? NAN : sum * scale;
}

static void fake_update(device *d, const plan_entry *e) {
  const float *s = FAKE_INPUT("scalars"), *g = d->spaces[SPACE_GRADIENT];
  float *w = d->spaces[SPACE_PARAMETER], *m = d->spaces[SPACE_MOMENT1], *v = d->spaces[SPACE_MOMENT2], sum = 0;
  for (int i = 0; i < FAKE_VOCABULARY; ++i) sum += g[i] * g[i];
  for (int i = 0; i < FAKE_VOCABULARY; ++i) {
    m[i] = s[1] * m[i] + (1 - s[1]) * g[i];
    v[i] = s[2] * v[i] + (1 - s[2]) * g[i] * g[i];
    w[i] -= s[0] * (m[i] / s[5] / (sqrtf(v[i] / s[6]) + s[3]) + s[4] * w[i]);
  }
  *(float *)FAKE_OUTPUT("gradient_norm") = sqrtf(sum);
}

// logits[b, v] = Σ over the positions i of the cache of (i + 1) (id + 1), plus v where v is the last id.
static void fake_extend(device *d, const plan_entry *e) {
  const int32_t *ids = FAKE_INPUT("input_ids"), *lengths = FAKE_INPUT("lengths"), *counts = FAKE_INPUT("counts");
  float *cache = d->spaces[SPACE_CACHE], *logits = FAKE_OUTPUT("logits");
  for (int64_t b = 0; b < e->batch; ++b) {
    float *row = cache + b * e->capacity, sum = 0;
    if (lengths[b] + e->length > e->capacity) abort();
    for (int64_t i = 0; i < e->length; ++i) row[lengths[b] + i] = (float)ids[b * e->length + i];
    int32_t end = lengths[b] + counts[b];
    for (int32_t i = 0; i < end; ++i) sum += (float)(i + 1) * (row[i] + 1);
    for (int v = 0; v < FAKE_VOCABULARY; ++v)
      logits[b * FAKE_VOCABULARY + v] = sum + (v == (int)row[end - 1] ? (float)v : 0);
  }
}

static bool fake_run(device *d, int entry, lmn_error *error) {
  const plan_entry *e = &d->base.plan->entries[entry];
  d->base.vertex_runs += e->vertex_runs;
  (void)error;
  if (e->kind == ENTRY_TRAIN) fake_loss(d, e, true);
  if (e->kind == ENTRY_EVALUATE) fake_loss(d, e, false);
  if (e->kind == ENTRY_UPDATE) fake_update(d, e);
  if (e->kind == ENTRY_EXTEND) fake_extend(d, e);
  fake_runs++;
  return true;
}

device *device_cpu_open(const plan *p, const char *artifact, int threads, lmn_error *error) {
  static const device_functions functions = {
      .close = fake_close, .threads = fake_threads, .reserve = fake_reserve, .map = fake_map, .run = fake_run};
  (void)artifact, (void)threads, (void)error;
  device *d = memory_zero(sizeof *d);
  d->base = (device_base){.functions = &functions, .plan = p};
  return d;
}

// ---- its plan -----------------------------------------------------------------------------------

static plan_value fake_values[24];
static plan_launch fake_launch = {
    .kind = LAUNCH_KERNEL, .kernel = "nothing", .what = "nothing", .tasks = 1, .grain = 1};
static int fake_value_count;

static plan_value *fake_io(plan_space space, const char *name, plan_type type, int64_t rows, int64_t columns,
                           int64_t *bytes) {
  plan_value *v = &fake_values[fake_value_count++];
  *v = (plan_value){
      .name = name, .type = type, .rank = columns ? 2 : 1, .shape = {rows, columns}, .at = {space, *bytes}};
  *bytes += (rows * (columns ? columns : 1) * 4 + 63) / 64 * 64;
  return v;
}

static plan_entry fake_entry(const char *name, entry_kind kind, int phase, int64_t batch, int64_t length) {
  plan_entry e = {.name = name, .kind = kind, .phase = phase, .batch = batch, .length = length, .arena_bytes = 64};
  e.launches = &fake_launch;
  e.launch_count = 1;
  e.inputs = &fake_values[fake_value_count];
  if (kind == ENTRY_UPDATE) fake_io(SPACE_INPUT, "scalars", TYPE_F32, 8, 0, &e.input_bytes);
  else fake_io(SPACE_INPUT, "input_ids", TYPE_I32, batch, length, &e.input_bytes);
  if (kind == ENTRY_TRAIN || kind == ENTRY_EVALUATE) {
    e.packed = true; // it does not look at `starts`
    fake_io(SPACE_INPUT, "labels", TYPE_I32, batch, length, &e.input_bytes);
    fake_io(SPACE_INPUT, "scale", TYPE_F32, 1, 0, &e.input_bytes);
  }
  if (kind == ENTRY_EXTEND) {
    fake_io(SPACE_INPUT, "lengths", TYPE_I32, batch, 0, &e.input_bytes);
    fake_io(SPACE_INPUT, "counts", TYPE_I32, batch, 0, &e.input_bytes);
    e.capacity = FAKE_CAPACITY;
    e.cache_bytes = batch * FAKE_CAPACITY * 4;
  }
  e.input_count = (int)(&fake_values[fake_value_count] - e.inputs);
  e.outputs = &fake_values[fake_value_count];
  if (kind == ENTRY_UPDATE) fake_io(SPACE_OUTPUT, "gradient_norm", TYPE_F32, 1, 0, &e.output_bytes);
  else if (kind == ENTRY_EXTEND) fake_io(SPACE_OUTPUT, "logits", TYPE_F32, batch, FAKE_VOCABULARY, &e.output_bytes);
  else fake_io(SPACE_OUTPUT, "loss", TYPE_F32, 1, 0, &e.output_bytes);
  e.output_count = 1;
  return e;
}

// Writes folder/plan.json: two phases that train the same parameter, the second at another learning rate.
static inline bool fake_artifact(const char *folder, const plan_phase *like, lmn_error *error) {
  static plan_parameter parameters[] = {{.name = "w",
                                         .rank = 1,
                                         .shape = {FAKE_VOCABULARY},
                                         .elements = FAKE_VOCABULARY,
                                         .source = SOURCE_ZEROS,
                                         .group = "edge"},
                                        {.name = "frozen",
                                         .rank = 1,
                                         .shape = {4},
                                         .offset = 64,
                                         .elements = 4,
                                         .source = SOURCE_ONES,
                                         .group = "model"}};
  static plan_trained trained = {.parameter = 0};
  plan_phase phases[2] = {*like, *like};
  phases[0].name = "first";
  phases[1].name = "second";
  phases[1].lr = like->lr / 2;
  for (int i = 0; i < 2; ++i) {
    phases[i].trained = &trained;
    phases[i].trained_count = 1;
    phases[i].gradient_bytes = 64;
    phases[i].batch = FAKE_BATCH;
    phases[i].length = FAKE_LENGTH;
  }
  fake_value_count = 0;
  plan_entry entries[] = {fake_entry("train:first", ENTRY_TRAIN, 0, FAKE_BATCH, FAKE_LENGTH),
                          fake_entry("train:second", ENTRY_TRAIN, 1, FAKE_BATCH, FAKE_LENGTH),
                          fake_entry("update:first", ENTRY_UPDATE, 0, 0, 0),
                          fake_entry("update:second", ENTRY_UPDATE, 1, 0, 0),
                          fake_entry("evaluate", ENTRY_EVALUATE, -1, FAKE_BATCH, FAKE_LENGTH),
                          fake_entry("extend:1", ENTRY_EXTEND, -1, FAKE_ROWS, 1),
                          fake_entry("extend:4", ENTRY_EXTEND, -1, FAKE_ROWS, 4)};
  plan p = {.network = "fake",
            .target = "cpu",
            .cpu = "any",
            .cpu_features = "",
            .vocabulary = FAKE_VOCABULARY,
            .bos = -1,
            .pad = -1,
            .parameter_bytes = 128,
            .parameters = parameters,
            .parameter_count = 2,
            .phases = phases,
            .phase_count = 2,
            .entries = entries,
            .entry_count = LENGTH(entries),
            .tokenizer = ""};
  text json = {0};
  plan_write(&p, &json);
  char path[4096];
  snprintf(path, sizeof path, "%s/plan.json", folder);
  bool ok = file_write(path, json.data, json.length, error);
  text_free(&json);
  return ok;
}

#endif
