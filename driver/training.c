#include "driver/training.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

volatile sig_atomic_t training_stop;
static void ask_to_stop(int number) { training_stop = number; }

void training_catch_signals(void) {
  struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = (int)SA_RESETHAND};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

// ---- data ---------------------------------------------------------------------------------------

static bool describe_data(training *t, const plan_phase *p, const char *what, dataset *d, lmn_error *error) {
  char key[512], hash[32];
  if (!data_fingerprint(d, &t->source, hash, error)) return false;
  dataset_counts counts = dataset_count(d);
  snprintf(key, sizeof key, "%s %s rows", p->name, what);
  json_object_set_new(t->settings, key, json_integer((json_int_t)counts.rows));
  snprintf(key, sizeof key, "%s %s fingerprint", p->name, what);
  json_object_set_new(t->settings, key, json_string(hash));
  return true;
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && !strcmp(a, b)); }

static bool same_data(const plan_phase *a, const plan_phase *b) {
  return same_text(a->data, b->data) && same_text(a->validation, b->validation) && same_text(a->prompt, b->prompt) &&
         same_text(a->completion, b->completion) && a->batch == b->batch && a->length == b->length &&
         a->seed == b->seed;
}

static bool open_phase_data(training *t, int place, lmn_error *error) {
  const run_options *o = t->options;
  const plan_phase *p = &t->source.phases[t->indices[place]];
  for (int i = 0; i < place; ++i)
    if (same_data(p, &t->source.phases[t->indices[i]])) {
      t->data[place] = t->data[i];
      t->validation[place] = t->validation[i];
      return true;
    }
  if (!o->data && !p->data)
    return fail(error, "phase %s has no data; give --data FILE, or data = \"…\" in train { }", p->name);
  t->data[place] = data_open(o, &t->source, p, t->tokenizer, o->data, p->data, true, error);
  if (!t->data[place]) return false;
  if (!o->validation && !p->validation) return true;
  t->validation[place] = data_open(o, &t->source, p, t->tokenizer, o->validation, p->validation, false, error);
  return t->validation[place] != NULL;
}

// Held-out data: read as the last phase reads its own.
static bool open_test(training *t, lmn_error *error) {
  if (!t->options->test) return true;
  const plan_phase *p = &t->source.phases[t->indices[t->count - 1]];
  t->test = data_open(t->options, &t->source, p, t->tokenizer, t->options->test, NULL, false, error);
  return t->test != NULL;
}

static void close_data(training *t) {
  dataset_close(t->test);
  for (int i = 0; t->data && i < t->count; ++i) {
    bool shared = false;
    for (int k = 0; k < i; ++k) shared |= t->data[k] == t->data[i];
    if (shared) continue;
    dataset_close(t->data[i]);
    dataset_close(t->validation[i]);
  }
}

static bool open_data(training *t, lmn_error *error) {
  t->tokenizer = tokenizer_open(t->source.tokenizer, error);
  if (!t->tokenizer) return false;
  if (tokenizer_warning(t->tokenizer)) fprintf(stderr, "warning: %s\n", tokenizer_warning(t->tokenizer));
  for (int i = 0; i < t->count; ++i) {
    const plan_phase *p = &t->source.phases[t->indices[i]];
    char seed[32];
    if (!open_phase_data(t, i, error) || !describe_data(t, p, "data", t->data[i], error)) return false;
    if (t->validation[i] && !describe_data(t, p, "validation data", t->validation[i], error)) return false;
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)p->seed);
    char key[512];
    snprintf(key, sizeof key, "%s seed", p->name);
    json_object_set_new(t->settings, key, json_string(seed));
    t->phases[i] = (train_phase){.phase = t->indices[i], .data = data_batches(t->data[i])};
    if (t->validation[i]) t->phases[i].validation = data_batches(t->validation[i]);
  }
  return open_test(t, error);
}

// ---- entries ------------------------------------------------------------------------------------

static void want(training *t, entry_wanted wanted) {
  for (int i = 0; i < t->wanted_count; ++i)
    if (!memcmp(&t->wanted[i], &wanted, sizeof wanted)) return;
  t->wanted[t->wanted_count++] = wanted;
}

static void want_entries(training *t) {
  for (int i = 0; i < t->count; ++i) {
    const plan_phase *p = &t->source.phases[t->indices[i]];
    entry_wanted w;
    memset(&w, 0, sizeof w); // the padding too: wanted entries are compared as bytes
    w.kind = ENTRY_TRAIN, w.phase = t->indices[i], w.batch = p->batch, w.length = p->length,
    w.packed = t->options->pack;
    want(t, w);
    w.kind = ENTRY_EVALUATE, w.phase = -1;
    if (t->validation[i] || (t->test && i == t->count - 1)) want(t, w);
  }
}

// ---- all of it ----------------------------------------------------------------------------------

bool training_open(training *t, const run_options *o, lmn_error *error) {
  *t = (training){.options = o, .settings = json_object()};
  if (!run_source(o, &t->source, error)) return false;
  size_t room = (size_t)t->source.phase_count + 1;
  arena *a = t->source.arena;
  t->indices = ARENA_ARRAY(a, int, room);
  t->count = run_phases(o, &t->source, t->indices, error);
  if (t->count < 0) return false;
  t->data = ARENA_ARRAY(a, dataset *, room);
  t->validation = ARENA_ARRAY(a, dataset *, room);
  t->phases = ARENA_ARRAY(a, train_phase, room);
  t->wanted = ARENA_ARRAY(a, entry_wanted, 2 * room);
  return open_data(t, error);
}

bool training_network(training *t, lmn_error *error) {
  want_entries(t);
  t->network = run_network(t->options, &t->source, t->wanted, t->wanted_count, error);
  return t->network != NULL;
}

void training_close(training *t) {
  close_data(t);
  tokenizer_close(t->tokenizer);
  lmn_close(t->network);
  json_decref(t->settings);
  source_close(&t->source);
}
