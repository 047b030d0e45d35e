// What a training starts from, for other programs to train on the same: the parameters that a seed gives and the
// batches of the first steps, as lmn-run train --seed sees them.
//
// usage: training_start NET.lmnx SEED STEPS DATA PROMPT COMPLETION PARAMETERS.safetensors BATCHES.safetensors
// The second file has input_ids and labels [STEPS, B, T], of the artifact's first phase.
#include "runtime/dataset.h"
#include "runtime/parameters.h"
#include "runtime/plan.h"
#include "runtime/safetensors.h"

#include <stdlib.h>
#include <string.h>

typedef struct start {
  arena *arena;
  plan *plan;
  uint64_t seed;
  int64_t steps, batch, length;
} start;

// The shape that the phase's step was compiled for.
static bool take_shape(start *s, lmn_error *error) {
  for (int i = 0; i < s->plan->entry_count; ++i) {
    const plan_entry *e = &s->plan->entries[i];
    if (e->kind != ENTRY_TRAIN) continue;
    s->batch = e->batch, s->length = e->length;
    return true;
  }
  return fail(error, "the artifact has no training step");
}

static bool write_parameters(const start *s, const char *path, lmn_error *error) {
  float *base = memory_zero((size_t)s->plan->parameter_bytes);
  bool ok = parameters_load(s->plan, base, s->seed, error) && parameters_save(s->plan, base, path, NULL, 0, error);
  free(base);
  return ok;
}

static bool copy_batches(const start *s, dataset *d, int32_t *ids, int32_t *labels, lmn_error *error) {
  size_t size = (size_t)(s->batch * s->length);
  int64_t in_epoch = dataset_batches(d);
  for (int64_t i = 0; i < s->steps; ++i) {
    lmn_batch b;
    if (!dataset_batch(d, i / in_epoch, i % in_epoch, &b, error)) return false;
    memcpy(ids + (size_t)i * size, b.input_ids, size * sizeof *ids);
    memcpy(labels + (size_t)i * size, b.labels, size * sizeof *labels);
  }
  return true;
}

static bool write_batches(const start *s, dataset *d, const char *path, lmn_error *error) {
  size_t bytes = (size_t)(s->steps * s->batch * s->length) * sizeof(int32_t);
  int32_t *ids = memory_alloc(bytes), *labels = memory_alloc(bytes);
  const safetensors_item items[] = {{"input_ids", STORED_I32, 3, {s->steps, s->batch, s->length}, ids},
                                    {"labels", STORED_I32, 3, {s->steps, s->batch, s->length}, labels}};
  bool ok = copy_batches(s, d, ids, labels, error) && safetensors_write(path, items, LENGTH(items), NULL, 0, error);
  free(ids), free(labels);
  return ok;
}

static bool run(start *s, char **arguments, lmn_error *error) {
  const char *path = arena_printf(s->arena, "%s/plan.json", arguments[1]);
  if (!plan_read(s->arena, path, &s->plan, error) || !take_shape(s, error)) return false;
  plan_find_models(s->plan, s->arena);
  s->seed = strtoull(arguments[2], NULL, 10), s->steps = strtoll(arguments[3], NULL, 10);
  tokenizer *t = tokenizer_open(s->plan->tokenizer, error);
  dataset_options options = {.data = arguments[4],
                             .prompt = arguments[5],
                             .completion = arguments[6],
                             .batch = s->batch,
                             .length = s->length,
                             .vocabulary = s->plan->vocabulary,
                             .classes = s->plan->classes,
                             .eos = s->plan->eos_count ? s->plan->eos[0] : -1,
                             .pad = -1,
                             .shuffle = true,
                             .seed = s->seed};
  dataset *d = t ? dataset_open(&options, t, error) : NULL;
  bool ok = d && write_parameters(s, arguments[7], error) && write_batches(s, d, arguments[8], error);
  dataset_close(d);
  tokenizer_close(t);
  return ok;
}

int main(int argument_count, char **arguments) {
  if (argument_count != 9) {
    fprintf(stderr, "usage: training_start NET.lmnx SEED STEPS DATA PROMPT COMPLETION PARAMETERS BATCHES\n");
    return 2;
  }
  lmn_error error = {0};
  start s = {.arena = arena_create()};
  bool ok = run(&s, arguments, &error);
  if (!ok) fprintf(stderr, "training_start: %s\n", error.text);
  arena_destroy(s.arena);
  return !ok;
}
