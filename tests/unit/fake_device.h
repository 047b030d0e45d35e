// A device without kernels, in place of device_cpu.c: it runs the entries of one small plan in plain C, so that the
// trainer, checkpoints and generation are tested by themselves. Include it in one file of a program.
#ifndef LMN_FAKE_DEVICE_H
#define LMN_FAKE_DEVICE_H

#include "runtime/device_parts.h"
#include "runtime/schedule.h"
#include "tests/unit/fake_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
  float *gradient = gradients ? d->spaces[SPACE_GRADIENT] : NULL, *loss = FAKE_OUTPUT("loss");
  if (gradients) memset(gradient, 0, FAKE_VOCABULARY * sizeof *gradient);
  fake_model_loss(d->spaces[SPACE_PARAMETER], FAKE_INPUT("input_ids"), FAKE_INPUT("labels"),
                  *(float *)FAKE_INPUT("scale"), e->batch * e->length, gradient, loss);
  if (fake_runs == fake_poison) *loss = NAN;
}

static void fake_update(device *d, const plan_entry *e) {
  fake_model_update(FAKE_INPUT("scalars"), d->spaces[SPACE_GRADIENT], d->spaces[SPACE_PARAMETER],
                    d->spaces[SPACE_MOMENT1], d->spaces[SPACE_MOMENT2], FAKE_OUTPUT("gradient_norm"));
}

static void fake_extend(device *d, const plan_entry *e) {
  fake_model_extend(FAKE_INPUT("input_ids"), FAKE_INPUT("lengths"), FAKE_INPUT("counts"), d->spaces[SPACE_CACHE],
                    FAKE_OUTPUT("logits"), e->batch, e->length, e->capacity);
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

static plan_launch fake_launches[16];
static plan_ref fake_args[96];
static int64_t fake_dims[32];
static int fake_launch_count, fake_arg_count, fake_dim_count;

// A launch of the kernel on inputs, outputs ("i0" is the first) and spaces ("p" …), and numbers.
static void fake_cuda_launch(plan_entry *e, const char *kernel, const char *args, int dims, const int64_t *values) {
  static const char letters[] = "pgmvaiock"; // plan_space's order
  plan_launch *l = &fake_launches[fake_launch_count++];
  *l = (plan_launch){.kind = LAUNCH_CUDA, .kernel = kernel, .what = kernel, .grid = {1, 1, 1}, .block = 32};
  l->args = &fake_args[fake_arg_count];
  l->dims = memcpy(&fake_dims[fake_dim_count], values, (size_t)dims * sizeof *values);
  l->dim_count = dims;
  for (const char *at = args; *at; ++at) {
    plan_space space = (plan_space)(strchr(letters, *at) - letters);
    const plan_value *of = space == SPACE_INPUT ? e->inputs : e->outputs;
    bool value = space == SPACE_INPUT || space == SPACE_OUTPUT;
    fake_args[fake_arg_count++] = value ? of[*++at - '0'].at : (plan_ref){space, 0};
  }
  l->arg_count = (int)(&fake_args[fake_arg_count] - l->args);
  fake_dim_count += dims;
}

static void fake_cuda_launches(plan_entry *e) {
  const int64_t tokens = e->batch * e->length, gradient = 64, extend[] = {e->batch, e->length, e->capacity};
  e->launches = &fake_launches[fake_launch_count];
  if (e->kind == ENTRY_TRAIN) fake_cuda_launch(e, "fake_clear", "g", 1, &gradient);
  if (e->kind == ENTRY_TRAIN) fake_cuda_launch(e, "fake_loss", "pi0i1i2o0g", 1, &tokens);
  if (e->kind == ENTRY_EVALUATE) fake_cuda_launch(e, "fake_evaluate", "pi0i1i2o0", 1, &tokens);
  if (e->kind == ENTRY_UPDATE) fake_cuda_launch(e, "fake_update", "i0gpmvo0", 0, &tokens);
  if (e->kind == ENTRY_EXTEND) fake_cuda_launch(e, "fake_extend", "i0i1i2ko0", 3, extend);
  e->launch_count = (int)(&fake_launches[fake_launch_count] - e->launches);
  e->launches[0].table = e->kind == ENTRY_UPDATE;
  e->launches[0].vertices = e->kind != ENTRY_UPDATE;
  static plan_map maps[] = {{{SPACE_PARAMETER, 0}, 4, 4, 2, 1, 16, 16, 4, 2, 0, 0, 0},
                            {{SPACE_GRADIENT, 16}, 4, 4, 2, 1, 16, 16, 4, 2, 0, 0, 0}};
  if (e->kind == ENTRY_TRAIN) e->launches[1].maps = maps, e->launches[1].map_count = 2;
  if (e->kind == ENTRY_UPDATE) e->launches[0].shared = 64 << 10; // more than is there without asking
  e->launches[0].processors = e->kind == ENTRY_UPDATE;
}

// Writes folder/plan.json: two phases that train the same parameter, the second at another learning rate.
static inline bool fake_artifact_for(const char *folder, const plan_phase *like, const char *target, lmn_error *error) {
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
  fake_value_count = fake_launch_count = fake_arg_count = fake_dim_count = 0;
  plan_entry entries[] = {fake_entry("train:first", ENTRY_TRAIN, 0, FAKE_BATCH, FAKE_LENGTH),
                          fake_entry("train:second", ENTRY_TRAIN, 1, FAKE_BATCH, FAKE_LENGTH),
                          fake_entry("update:first", ENTRY_UPDATE, 0, 0, 0),
                          fake_entry("update:second", ENTRY_UPDATE, 1, 0, 0),
                          fake_entry("evaluate", ENTRY_EVALUATE, -1, FAKE_BATCH, FAKE_LENGTH),
                          fake_entry("extend:1", ENTRY_EXTEND, -1, FAKE_ROWS, 1),
                          fake_entry("extend:4", ENTRY_EXTEND, -1, FAKE_ROWS, 4)};
  for (size_t i = 0; strcmp(target, "cpu") && i < LENGTH(entries); ++i) fake_cuda_launches(&entries[i]);
  plan p = {.network = "fake",
            .target = target,
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

// How most tests train it.
static const plan_phase fake_settings = {.lr = 0.05,
                                         .beta1 = 0.9,
                                         .beta2 = 0.95,
                                         .eps = 1e-8,
                                         .schedule = RATE_COSINE,
                                         .warmup = 3,
                                         .accumulate = 2,
                                         .steps = 10,
                                         .evaluate_every = 4,
                                         .save_every = 3};

static inline bool fake_artifact(const char *folder, const plan_phase *like, lmn_error *error) {
  return fake_artifact_for(folder, like, "cpu", error);
}

#endif
