#include "runtime/train_batches.h"

#include "runtime/network.h"

#include <stdlib.h>
#include <string.h>

typedef struct owned_arrays {
  int32_t *arrays[5];
} owned_arrays;

static void keep_array(owned_arrays *o, int which, const int32_t **array, int64_t count) {
  if (!*array) return;
  o->arrays[which] = memory_grow(o->arrays[which], (size_t)count * sizeof(int32_t));
  memcpy(o->arrays[which], *array, (size_t)count * sizeof(int32_t));
  *array = o->arrays[which];
}

static void keep_batch(owned_arrays *o, lmn_batch *b, bool classifier) {
  int64_t tokens = b->batch * b->length;
  keep_array(o, 0, &b->input_ids, tokens);
  keep_array(o, 1, &b->labels, classifier ? b->batch : tokens);
  keep_array(o, 2, &b->last, b->batch);
  keep_array(o, 3, &b->positions, tokens);
  keep_array(o, 4, &b->starts, tokens);
}

static bool draw(batch_feed *f, step_batches *s, int i, lmn_error *error) {
  s->epoch = f->batches / f->source->batches;
  s->index = f->batches % f->source->batches;
  if (!f->source->batch(f->source->context, s->epoch, s->index, &s->items[i], error)) return false;
  s->batches = ++f->batches;
  keep_batch(&s->owned[i], &s->items[i], lmn_plan(f->network)->classes != 0);
  return true;
}

// Where none of a step's labels counts (every prompt fills its row), the next ones are taken.
static bool draw_step(batch_feed *f, step_batches *s, int64_t *labels, lmn_error *error) {
  *labels = 0;
  for (int64_t tried = 0; !*labels && tried <= f->source->batches; tried += f->count)
    for (int i = 0; i < f->count; ++i) {
      if (!draw(f, s, i, error)) return false;
      *labels += batch_labels(f->network, &s->items[i]);
    }
  return *labels || fail(error, "no token of the training data counts: are the prompts longer than --length?");
}

static void free_steps(batch_feed *f) {
  for (size_t k = 0; k < LENGTH(f->steps); ++k) {
    for (int i = 0; i < f->count; ++i)
      for (size_t j = 0; j < LENGTH(f->steps[k].owned[i].arrays); ++j) free(f->steps[k].owned[i].arrays[j]);
    free(f->steps[k].items);
    free(f->steps[k].owned);
  }
}

void feed_begin(batch_feed *f, lmn_network *network, int phase, const batch_source *source, int count,
                int64_t batches) {
  feed_end(f);
  *f = (batch_feed){.network = network, .source = source, .phase = phase, .count = count, .batches = batches};
  for (size_t k = 0; k < LENGTH(f->steps); ++k) {
    f->steps[k].items = memory_zero((size_t)count * sizeof *f->steps[k].items);
    f->steps[k].owned = memory_zero((size_t)count * sizeof *f->steps[k].owned);
  }
}

void feed_end(batch_feed *f) {
  if (f->network) {
    device_meanwhile(f->network->device, NULL, NULL);
    f->network->ahead_ids = NULL; // they are freed here: another batch may come to lie there
  }
  if (f->count) free_steps(f);
  *f = (batch_feed){0};
}

const step_batches *feed_step(batch_feed *f, lmn_error *error) {
  step_batches *s = &f->steps[f->next];
  int64_t labels;
  if (f->failed) return fail(error, "%s", f->error.text), NULL;
  if (!f->drawn && !draw_step(f, s, &labels, error)) return NULL;
  f->drawn = false;
  f->next = !f->next;
  return s;
}

// An error is the next step's.
static void draw_ahead(void *context) {
  batch_feed *f = context;
  step_batches *s = &f->steps[f->next];
  int64_t labels;
  f->drawn =
      draw_step(f, s, &labels, &f->error) && network_send_ahead(f->network, f->phase, &s->items[0], labels, &f->error);
  f->failed = !f->drawn;
}

void feed_ahead(batch_feed *f) {
  if (!f->drawn) device_meanwhile(f->network->device, draw_ahead, f);
}
