// train: data, entries and the network for the phases asked for, then runtime/train.
#include "driver/data.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stop_signal;
static void ask_to_stop(int number) { stop_signal = number; }

// A second signal ends the process as usual.
static void catch_signals(void) {
  struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = (int)SA_RESETHAND};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

typedef struct training {
  const run_options *options;
  network_source source;
  tokenizer *tokenizer;
  dataset **data, **validation; // by place in `phases`
  train_phase *phases;
  entry_wanted *wanted;
  int *indices, count, wanted_count;
  json_t *settings;
  lmn_network *network;
} training;

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

static void close_data(training *t) {
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
  return true;
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
    if (t->validation[i]) want(t, w);
  }
}

// ---- the result ---------------------------------------------------------------------------------

static void add_real(json_t *to, const char *name, double value) {
  if (!isnan(value)) json_object_set_new(to, name, json_real(value));
}

static void print_json(const training *t, const train_report *r, const char *run) {
  json_t *root = json_object();
  json_object_set_new(root, "network", json_string(t->source.network));
  json_object_set_new(root, "run", json_string(run));
  json_object_set_new(root, "steps", json_integer((json_int_t)r->steps));
  add_real(root, "loss", r->loss);
  add_real(root, "validation_loss", r->validation_loss);
  add_real(root, "seconds", r->seconds);
  json_object_set_new(root, "stopped", json_boolean(r->stopped));
  if (r->checkpoint[0]) json_object_set_new(root, "checkpoint", json_string(r->checkpoint));
  json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
  putchar('\n');
  json_decref(root);
}

static void print_argument(FILE *out, const char *argument) {
  bool plain =
      *argument &&
      strspn(argument, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=,:+@%") == strlen(argument);
  if (plain) {
    fprintf(out, " %s", argument);
    return;
  }
  fputs(" '", out);
  for (const char *p = argument; *p; ++p) *p == '\'' ? (void)fputs("'\\''", out) : (void)fputc(*p, out);
  fputc('\'', out);
}

static void say_how_to_go_on(const run_options *o, const train_report *r, char **original) {
  if (!r->checkpoint[0]) {
    fputs("stopped before the first step\n", stderr);
    return;
  }
  fprintf(stderr, "stopped after step %lld, saved in %s; go on with:\n  %s", (long long)r->steps, r->checkpoint,
          options_program);
  for (int i = 0; i < o->argument_count; ++i) print_argument(stderr, original[i]);
  fprintf(stderr, "%s\n", o->resume ? "" : " --resume");
}

// ---- all of it ----------------------------------------------------------------------------------

static bool prepare(training *t, lmn_error *error) {
  if (!run_source(t->options, &t->source, error)) return false;
  size_t room = (size_t)t->source.phase_count + 1;
  arena *a = t->source.arena;
  t->indices = ARENA_ARRAY(a, int, room);
  t->count = run_phases(t->options, &t->source, t->indices, error);
  if (t->count < 0) return false;
  t->data = ARENA_ARRAY(a, dataset *, room);
  t->validation = ARENA_ARRAY(a, dataset *, room);
  t->phases = ARENA_ARRAY(a, train_phase, room);
  t->wanted = ARENA_ARRAY(a, entry_wanted, 2 * room);
  if (!open_data(t, error)) return false;
  want_entries(t);
  t->network = run_network(t->options, &t->source, t->wanted, t->wanted_count, error);
  return t->network != NULL;
}

static int train(training *t, lmn_error *error) {
  const run_options *o = t->options;
  const char *run = o->output ? o->output : "run";
  train_report report;
  catch_signals();
  train_options options = {.run = run,
                           .resume = o->resume,
                           .phases = t->phases,
                           .phase_count = t->count,
                           .settings = t->settings,
                           .stop = &stop_signal,
                           .progress = o->json && !isatty(STDERR_FILENO) ? NULL : stderr};
  if (!train_run(t->network, &options, &report, error)) return run_failed(error);
  if (o->json) print_json(t, &report, run);
  if (report.stopped) {
    say_how_to_go_on(o, &report, o->arguments);
    return 128 + stop_signal;
  }
  if (!o->json) printf("%s%s/parameters.safetensors\n", report.complete_before ? "complete already: " : "", run);
  return 0;
}

int train_command(const run_options *o) {
  lmn_error error = {0};
  training t = {.options = o, .settings = json_object()};
  bool ready = prepare(&t, &error);
  int status = ready ? train(&t, &error) : run_failed(&error);
  close_data(&t);
  tokenizer_close(t.tokenizer);
  lmn_close(t.network);
  json_decref(t.settings);
  source_close(&t.source);
  return status;
}
