#include "runtime/trace.h"

#include "runtime/network.h"
#include "runtime/safetensors.h"

#include <stdlib.h>
#include <string.h>

// ---- the batch ----------------------------------------------------------------------------------

static bool read_indices(const safetensors *file, const char *path, const char *name, arena *a, const int32_t **values,
                         const safetensors_tensor **tensor, lmn_error *error) {
  *tensor = safetensors_find(file, name);
  if (!*tensor) return true;
  const safetensors_tensor *t = *tensor;
  if (t->type != STORED_I64 && t->type != STORED_I32)
    return fail(error, "%s: %s is of type %s; it must be I64 or I32", path, name, t->type_name);
  int32_t *copy = ARENA_ARRAY(a, int32_t, t->elements ? t->elements : 1);
  *values = copy;
  return safetensors_integers(file, t, 0, t->elements, copy, error);
}

// Whether its shape is that of `ids`, up to `rank` sizes.
static bool has_shape(const safetensors_tensor *t, const safetensors_tensor *ids, int rank) {
  return t->rank == rank && !memcmp(t->shape, ids->shape, (size_t)rank * sizeof *t->shape);
}

static bool read_batch(const safetensors *file, const char *path, trace_batch *b, lmn_error *error) {
  const safetensors_tensor *ids, *labels, *last;
  char shape[SAFETENSORS_SHAPE_TEXT];
  if (!read_indices(file, path, "input_ids", b->arena, &b->input_ids, &ids, error)) return false;
  if (!ids) return fail(error, "%s: has no input_ids [B, T]", path);
  if ((ids->rank != 2 && ids->rank != 3) || !ids->elements)
    return fail(error, "%s: input_ids is %s; it must be [B, T], or [N, B, T] of several batches", path,
                safetensors_shape_text(ids->rank, ids->shape, shape));
  b->several = ids->rank == 3;
  b->count = b->several ? ids->shape[0] : 1;
  b->batch = ids->shape[b->several];
  b->length = ids->shape[b->several + 1];
  if (!read_indices(file, path, "labels", b->arena, &b->labels, &labels, error) ||
      !read_indices(file, path, "last", b->arena, &b->last, &last, error))
    return false;
  if (labels && !has_shape(labels, ids, ids->rank) && !has_shape(labels, ids, ids->rank - 1))
    return fail(error,
                "%s: labels is %s; with input_ids [%s%lld, %lld] it must be the same, or [%s%lld] for a classifier",
                path, safetensors_shape_text(labels->rank, labels->shape, shape), b->several ? "N, " : "",
                (long long)b->batch, (long long)b->length, b->several ? "N, " : "", (long long)b->batch);
  b->labels_count = labels ? labels->elements / b->count : 0;
  if (last && !has_shape(last, ids, ids->rank - 1))
    return fail(error, "%s: last is %s; it must be [%s%lld]", path,
                safetensors_shape_text(last->rank, last->shape, shape), b->several ? "N, " : "", (long long)b->batch);
  return true;
}

bool trace_read(const char *path, trace_batch *b, lmn_error *error) {
  *b = (trace_batch){.arena = arena_create()};
  safetensors *file = safetensors_open(path, error);
  bool ok = file && read_batch(file, path, b, error);
  safetensors_close(file);
  if (!ok) trace_free(b);
  return ok;
}

void trace_free(trace_batch *b) {
  arena_destroy(b->arena);
  *b = (trace_batch){0};
}

// One of the file's batches with what the file leaves out: labels are the next tokens, `last` is the row's end.
static bool complete_batch(const plan *p, const trace_batch *from, int64_t index, lmn_batch *b, arena *a,
                           lmn_error *error) {
  int64_t tokens = from->batch * from->length, wanted = p->classes ? from->batch : tokens;
  *b = (lmn_batch){.batch = from->batch,
                   .length = from->length,
                   .input_ids = from->input_ids + index * tokens,
                   .labels = from->labels ? from->labels + index * from->labels_count : NULL,
                   .last = from->last ? from->last + index * from->batch : NULL};
  if (b->labels && from->labels_count != wanted)
    return fail(error, "labels has %lld elements; %s", (long long)from->labels_count,
                p->classes ? "a classifier has one label a row, [B]"
                           : "a language model has one label a token, [B, T]");
  if (!b->labels && p->classes) return fail(error, "the batch has no labels [B]; a classifier needs them");
  if (!b->labels) {
    int32_t *labels = ARENA_ARRAY(a, int32_t, tokens);
    for (int64_t i = 0; i < tokens; ++i) labels[i] = (i + 1) % b->length ? b->input_ids[i + 1] : -100;
    b->labels = labels;
  }
  if (!b->last) {
    int32_t *last = ARENA_ARRAY(a, int32_t, b->batch);
    for (int64_t i = 0; i < b->batch; ++i) last[i] = (int32_t)b->length - 1;
    b->last = last;
  }
  return true;
}

// ---- what is written ----------------------------------------------------------------------------

typedef struct tracer {
  lmn_network *network;
  const trace_options *options;
  arena *arena;
  lmn_batch batch;
  const plan_entry *entry;
  float scale;
  bool several;
  int64_t batches, index; // of them, the one that runs
  safetensors_item *items;
  int count, capacity, at; // at: the item that comes next
} tracer;

// Room for a value of the batch that runs: an item of its own, or its part of one that has all batches'.
static void *add_room(tracer *t, const char *name, stored_type type, int rank, const int64_t *shape) {
  size_t bytes = type == STORED_I64 ? 8 : 4;
  for (int i = 0; i < rank; ++i) bytes *= (size_t)shape[i];
  if (t->index == 0) {
    GROW(t->items, t->count, t->capacity);
    safetensors_item *item = &t->items[t->count++];
    *item = (safetensors_item){.name = arena_string(t->arena, name), .type = type};
    if (t->several) item->shape[item->rank++] = t->batches;
    for (int i = 0; i < rank; ++i) item->shape[item->rank++] = shape[i];
    item->data = ARENA_ARRAY(t->arena, char, (int64_t)bytes * t->batches);
  }
  return (char *)t->items[t->at++].data + (size_t)t->index * bytes;
}

static void add_floats(tracer *t, const char *name, int rank, const int64_t *shape, const float *values) {
  int64_t elements = 1;
  for (int i = 0; i < rank; ++i) elements *= shape[i];
  memcpy(add_room(t, name, STORED_F32, rank, shape), values, (size_t)elements * sizeof *values);
}

static void add_indices(tracer *t, const char *name, int rank, const int64_t *shape, const int32_t *values) {
  int64_t elements = 1, *wide = add_room(t, name, STORED_I64, rank, shape);
  for (int i = 0; i < rank; ++i) elements *= shape[i];
  for (int64_t i = 0; i < elements; ++i) wide[i] = values[i];
}

static void add_outputs(tracer *t) {
  for (int i = 0; i < t->entry->output_count; ++i) {
    const plan_value *v = &t->entry->outputs[i];
    if (v->type != TYPE_F32) continue;
    bool loss = !strcmp(v->name, "loss");
    if (!loss && strcmp(v->name, "logits") && strncmp(v->name, "node.", 5)) continue;
    add_floats(t, v->name, loss ? 0 : v->rank, v->shape, network_output(t->network, t->entry, v->name));
  }
}

// The phase's trained parameters, or their gradients, as `prefix`name.
static bool add_trained(tracer *t, const char *prefix, bool gradients, lmn_error *error) {
  const plan *p = lmn_plan(t->network);
  const plan_phase *phase = &p->phases[t->options->phase];
  for (int i = 0; i < phase->trained_count; ++i) {
    const plan_parameter *parameter = &p->parameters[phase->trained[i].parameter];
    const char *name = arena_printf(t->arena, "%s%s", prefix, parameter->name);
    float *values = add_room(t, name, STORED_F32, parameter->rank, parameter->shape);
    if (gradients ? !lmn_read_gradient(t->network, t->options->phase, parameter->name, values, error)
                  : !lmn_read_parameter(t->network, parameter->name, values, error))
      return false;
  }
  return true;
}

// ---- the three parts ----------------------------------------------------------------------------

static bool compute(tracer *t, float *loss, lmn_error *error) {
  if (!network_compute(t->network, t->entry, &t->batch, t->scale, error)) return false;
  *loss = (float)network_loss(t->network, t->entry);
  return true;
}

static bool trace_greedy(tracer *t, lmn_error *error) {
  const plan *p = lmn_plan(t->network);
  int64_t n = t->options->greedy, width = p->vocabulary;
  if (p->classes) return fail(error, "greedy tokens need a language model head; this network classifies");
  if (t->batch.length < TRACE_PROMPT)
    return fail(error, "greedy tokens go on from the first %d tokens of row 0; the rows have %lld", TRACE_PROMPT,
                (long long)t->batch.length);
  int32_t *tokens = ARENA_ARRAY(t->arena, int32_t, TRACE_PROMPT + n);
  float *logits = ARENA_ARRAY(t->arena, float, n *width);
  memcpy(tokens, t->batch.input_ids, TRACE_PROMPT * sizeof *tokens);
  if (!lmn_reset(t->network, 1, p->prefix + TRACE_PROMPT + n, error)) return false;
  const int32_t *next = tokens;
  int32_t count = TRACE_PROMPT;
  for (int64_t i = 0; i < n; ++i) {
    const float *row;
    if (!lmn_extend(t->network, next, count, &count, &row, error)) return false;
    memcpy(logits + i * width, row, (size_t)width * sizeof *row);
    int32_t best = 0;
    for (int64_t k = 1; k < width; ++k)
      if (row[k] > row[best]) best = (int32_t)k;
    tokens[TRACE_PROMPT + i] = best;
    next = &tokens[TRACE_PROMPT + i];
    count = 1;
  }
  add_indices(t, "greedy", 2, (const int64_t[]){1, TRACE_PROMPT + n}, tokens);
  add_floats(t, "greedy_logits", 2, (const int64_t[]){n, width}, logits);
  return true;
}

static bool trace_steps(tracer *t, lmn_error *error) {
  int64_t steps = t->options->steps;
  int phase = t->options->phase;
  float *losses = ARENA_ARRAY(t->arena, float, steps + 1);
  if (!lmn_begin_phase(t->network, phase, error)) return false;
  for (int64_t i = 0; i < steps; ++i) {
    // Generation in between may have used the arena; the gradients are in a space of their own.
    if (!compute(t, &losses[i], error)) return false;
    if (!network_update(t->network, phase, lmn_plan(t->network)->phases[phase].lr, NULL, error)) return false;
  }
  if (!compute(t, &losses[steps], error)) return false;
  add_floats(t, "losses", 1, (const int64_t[]){steps + 1}, losses);
  return add_trained(t, arena_printf(t->arena, "after%lld.", (long long)steps), false, error);
}

static bool trace_batch_at(tracer *t, lmn_error *error) {
  const trace_options *o = t->options;
  const lmn_batch *b = &t->batch;
  int64_t labels = batch_labels(t->network, b);
  t->scale = labels ? (float)(1.0 / (double)labels) : 0;
  t->at = 0;
  float loss;
  if (!compute(t, &loss, error)) return false;
  const int64_t shape[2] = {b->batch, b->length};
  bool classes = lmn_plan(t->network)->classes;
  add_indices(t, "input_ids", 2, shape, b->input_ids);
  add_indices(t, "labels", classes ? 1 : 2, shape, b->labels);
  if (classes) add_indices(t, "last", 1, shape, b->last);
  add_outputs(t);
  if (o->gradients && !add_trained(t, "grad.", true, error)) return false;
  if (o->greedy && !trace_greedy(t, error)) return false;
  return !o->steps || trace_steps(t, error);
}

static bool trace_all(tracer *t, const trace_batch *batches, lmn_error *error) {
  const trace_options *o = t->options;
  const plan *p = lmn_plan(t->network);
  if (o->phase < 0 || o->phase >= p->phase_count) return fail(error, "there is no phase %d", o->phase);
  t->entry = network_entry(t->network, ENTRY_TRACE, o->phase, batches->batch, batches->length, false, error);
  if (!t->entry) return false;
  if ((o->gradients || o->steps) && !network_use_gradients(t->network, o->phase, error)) return false;
  for (t->index = 0; t->index < t->batches; ++t->index)
    if (!complete_batch(p, batches, t->index, &t->batch, t->arena, error) || !trace_batch_at(t, error)) return false;
  const safetensors_pair metadata[] = {{"network", p->network}, {"phase", p->phases[o->phase].name}};
  return safetensors_write(o->output, t->items, t->count, metadata, LENGTH(metadata), error);
}

bool trace_run(lmn_network *network, const trace_batch *batch, const trace_options *options, lmn_error *error) {
  tracer t = {.network = network,
              .options = options,
              .arena = arena_create(),
              .several = batch->several,
              .batches = batch->count};
  bool ok = trace_all(&t, batch, error);
  free(t.items);
  arena_destroy(t.arena);
  return ok;
}
