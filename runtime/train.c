#include "runtime/train.h"

#include "runtime/checkpoint.h"
#include "runtime/network.h"
#include "runtime/progress.h"
#include "runtime/schedule.h"
#include "runtime/train_batches.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { CHECKPOINTS_KEPT = 2, SECONDS_BETWEEN_SAVES = 600 };

typedef struct trainer {
  lmn_network *network;
  const train_options *options;
  arena *arena;
  json_t *settings;
  training_state state;
  int log; // file descriptor
  const char *log_path;
  progress progress;
  batch_feed feed;
  double began, saved; // clock
  train_report *report;
  checkpoint_writer *writer;
  bool told; // that it will stop
} trainer;

// ---- evaluation ---------------------------------------------------------------------------------

bool evaluate_source(lmn_network *n, const batch_source *source, bool (*tick)(void *, int64_t, int64_t), void *context,
                     evaluation *result, lmn_error *error) {
  *result = (evaluation){0};
  for (int64_t i = 0; i < source->batches && !result->stopped; ++i) {
    lmn_batch b;
    double loss;
    int64_t labels, right;
    if (!source->batch(source->context, 0, i, &b, error) || !lmn_evaluate(n, &b, &loss, &labels, &right, error))
      return false;
    result->loss_sum += loss;
    result->labels += labels;
    result->right += right;
    result->stopped = tick && !tick(context, i + 1, source->batches);
  }
  return true;
}

double evaluation_loss(const evaluation *e) { return e->labels ? e->loss_sum / (double)e->labels : NAN; }

// ---- the log ------------------------------------------------------------------------------------

static bool log_failed(const trainer *t, lmn_error *error) { return fail_write(error, t->log_path, errno); }

// Opened for this process alone; cut back to where the checkpoint was written, so that no line comes twice.
static bool open_log(trainer *t, lmn_error *error) {
  t->log_path = arena_printf(t->arena, "%s/log.jsonl", t->options->run);
  t->log = open(t->log_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (t->log < 0) return log_failed(t, error);
  if (flock(t->log, LOCK_EX | LOCK_NB))
    return fail(error, "%s: another process is training in this folder", t->options->run);
  return true;
}

static bool cut_log(trainer *t, lmn_error *error) {
  off_t length = lseek(t->log, 0, SEEK_END);
  if (length < t->state.log_bytes)
    return fail(error, "%s: is shorter than at the checkpoint (%lld bytes, not %lld): it was changed", t->log_path,
                (long long)length, (long long)t->state.log_bytes);
  if (ftruncate(t->log, t->state.log_bytes) || lseek(t->log, 0, SEEK_END) < 0) return log_failed(t, error);
  return true;
}

static bool log_text(trainer *t, const text *line, lmn_error *error) {
  for (size_t done = 0; done < line->length;) {
    ssize_t n = write(t->log, line->data + done, line->length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return log_failed(t, error);
    done += (size_t)n;
  }
  t->state.log_bytes += (int64_t)line->length;
  return true;
}

typedef struct step_record {
  double loss, rate, norm, tokens_per_second; // loss NAN: before the first step
  const evaluation *validation;               // NULL: none now
} step_record;

static bool log_step(trainer *t, const step_record *r, lmn_error *error) {
  const plan *p = lmn_plan(t->network);
  text line = {0};
  text_printf(&line, "{\"phase\": \"%s\", \"step\": %lld, \"total_step\": %lld", p->phases[t->state.phase].name,
              (long long)t->state.step, (long long)t->state.total_step);
  if (!isnan(r->loss))
    text_printf(&line,
                ", \"epoch\": %lld, \"loss\": %.9g, \"lr\": %.9g, \"gradient_norm\": %.9g, \"tokens_per_second\": %.1f",
                (long long)t->state.epoch, r->loss, r->rate, r->norm, r->tokens_per_second);
  if (r->validation && r->validation->labels) {
    text_printf(&line, ", \"validation_loss\": %.9g", evaluation_loss(r->validation));
    if (p->classes)
      text_printf(&line, ", \"validation_accuracy\": %.9g",
                  (double)r->validation->right / (double)r->validation->labels);
  }
  text_add(&line, "}\n");
  bool ok = log_text(t, &line, error);
  text_free(&line);
  return ok;
}

// ---- checkpoints --------------------------------------------------------------------------------

static void note_checkpoint(trainer *t) {
  const char *last = checkpoint_last(t->writer);
  if (*last) snprintf(t->report->checkpoint, sizeof t->report->checkpoint, "%s", last);
}

static bool save(trainer *t, lmn_error *error) {
  if (fsync(t->log)) return log_failed(t, error);
  t->state.seconds += clock_seconds() - t->began;
  t->began = t->saved = clock_seconds();
  bool ok = checkpoint_begin(t->writer, &t->state, t->settings, error);
  note_checkpoint(t);
  return ok;
}

// What is still being written, too.
static bool wait_for_checkpoint(trainer *t, lmn_error *error) {
  bool ok = checkpoint_wait(t->writer, error);
  note_checkpoint(t);
  return ok;
}

// A validation that is begun is finished, so that the log is the same as without the interruption; only the one before
// the first step, with nothing to save yet, is broken off.
static bool validation_tick(void *context, int64_t done, int64_t all) {
  trainer *t = context;
  progress_validation(&t->progress, done, all);
  if (!t->options->stop || !*t->options->stop || done == all) return true;
  if (t->state.step == 0 && t->state.total_step == 0) return false;
  if (!t->told)
    progress_line(&t->progress, "stopping after this validation; interrupt again to stop at once, without saving");
  t->told = true;
  return true;
}

static bool phase_validation(trainer *t, const train_phase *phase, evaluation *result, lmn_error *error) {
  double began = clock_seconds();
  if (!evaluate_source(t->network, &phase->validation, validation_tick, t, result, error))
    return fail_in(error, "validation");
  t->progress.began += clock_seconds() - began;
  if (result->stopped) return true;
  if (!result->labels)
    return fail(error, "no token of the validation data counts: are the prompts longer than --length?");
  t->report->validation_loss = evaluation_loss(result);
  return true;
}

// ---- a phase ------------------------------------------------------------------------------------

static bool one_step(trainer *t, const train_phase *phase, int64_t steps, step_record *r, lmn_error *error) {
  const plan_phase *p = &lmn_plan(t->network)->phases[phase->phase];
  const step_batches *s = feed_step(&t->feed, error);
  if (!s) return false;
  t->state.batches = s->batches, t->state.epoch = s->epoch, t->state.index = s->index;
  if (t->state.step + 1 < steps) feed_ahead(&t->feed);
  double began = clock_seconds();
  int64_t tokens = 0;
  for (int i = 0; i < t->feed.count; ++i) tokens += s->items[i].batch * s->items[i].length;
  r->rate = schedule_rate(p->schedule, p->lr, p->warmup, p->schedule_final, t->state.step, steps);
  profile *profile = t->network->profile = t->options->profile;
  if (profile) profile_step_begin(profile);
  bool ok = lmn_step(t->network, phase->phase, s->items, t->feed.count, r->rate, &r->loss, &r->norm, error);
  if (profile) profile_step_end(profile, tokens);
  t->network->profile = NULL;
  if (!ok) return false;
  t->state.step++;
  t->state.total_step++;
  r->tokens_per_second = (double)tokens / (clock_seconds() - began);
  t->report->loss = r->loss;
  return true;
}

static bool due(int64_t every, int64_t step) { return every > 0 && step % every == 0; }

static bool step_and_record(trainer *t, const train_phase *phase, int64_t steps, lmn_error *error) {
  const plan_phase *p = &lmn_plan(t->network)->phases[phase->phase];
  step_record record = {0};
  evaluation validation;
  if (!one_step(t, phase, steps, &record, error)) return false;
  bool last = t->state.step == steps;
  if (phase->validation.batch && (last || due(p->evaluate_every, t->state.step))) {
    if (!phase_validation(t, phase, &validation, error)) return false;
    record.validation = &validation;
  }
  if (!log_step(t, &record, error) || !checkpoint_settle(t->writer, error)) return false;
  int64_t tokens = p->batch * p->length * (p->accumulate > 1 ? p->accumulate : 1);
  progress_step(&t->progress, t->state.step, record.loss, record.validation ? evaluation_loss(&validation) : NAN,
                tokens);
  t->report->stopped = !last && t->options->stop && *t->options->stop;
  bool long_ago = !p->save_every && clock_seconds() - t->saved > SECONDS_BETWEEN_SAVES;
  bool now = last || due(p->save_every, t->state.step) || long_ago || t->report->stopped;
  return !now || save(t, error);
}

// Before the first step: what there is to improve on.
static bool validate_untrained(trainer *t, const train_phase *phase, lmn_error *error) {
  evaluation validation;
  if (!phase->validation.batch) return true;
  step_record record = {.loss = NAN, .validation = &validation};
  if (!phase_validation(t, phase, &validation, error)) return false;
  t->report->stopped = validation.stopped;
  if (validation.stopped) return true;
  if (!log_step(t, &record, error)) return false;
  progress_line(&t->progress, "%s before the first step: validation %.4f",
                lmn_plan(t->network)->phases[phase->phase].name, evaluation_loss(&validation));
  return true;
}

static bool run_phase(trainer *t, const train_phase *phase, bool resumed, lmn_error *error) {
  const plan_phase *p = &lmn_plan(t->network)->phases[phase->phase];
  if (phase->data.batches < 1) return fail(error, "phase %s: the data make no batch", p->name);
  if (!p->trained_count) return fail(error, "phase %s: freeze leaves nothing to train", p->name);
  int64_t steps = train_steps(p, phase->data.batches);
  if (!resumed) {
    t->state.phase = phase->phase;
    t->state.step = t->state.batches = t->state.epoch = t->state.index = 0;
    if (!lmn_begin_phase(t->network, phase->phase, error)) return false;
  }
  feed_begin(&t->feed, t->network, phase->phase, &phase->data, p->accumulate > 1 ? (int)p->accumulate : 1,
             t->state.batches);
  progress_phase(&t->progress, p->name, t->state.step, steps, phase->rest);
  if (t->state.total_step == 0 && !validate_untrained(t, phase, error)) return false;
  while (t->state.step < steps && !t->report->stopped) {
    int64_t step = t->state.step + 1;
    if (!step_and_record(t, phase, steps, error))
      return fail_in(error, "phase %s, step %lld", p->name, (long long)step);
  }
  return true;
}

int64_t train_steps(const plan_phase *phase, int64_t batches) {
  int64_t accumulate = phase->accumulate > 1 ? phase->accumulate : 1;
  int64_t in_epoch = (batches + accumulate - 1) / accumulate;
  int64_t epochs = phase->epochs > 0 ? phase->epochs : phase->steps > 0 ? 0 : 1;
  // A step's micro-batches may reach into the next epoch: counted over all epochs.
  int64_t of_epochs = epochs ? (epochs * batches + accumulate - 1) / accumulate : INT64_MAX;
  if (of_epochs < in_epoch) of_epochs = in_epoch;
  return phase->steps > 0 && phase->steps < of_epochs ? phase->steps : of_epochs;
}

int64_t train_validations(const plan_phase *phase, int64_t steps) {
  int64_t every = phase->evaluate_every, regular = every > 0 ? steps / every : 0;
  return regular + (regular * every != steps);
}

// ---- all of it ----------------------------------------------------------------------------------

static uint64_t hash_text(uint64_t hash, const char *string) {
  return string ? hash_bytes(hash, string, strlen(string) + 1) : hash_bytes(hash, "", 1);
}

// What the network computes, as far as the artifact says: its parameters, and the launches of the entries that train.
static uint64_t hash_network(const plan *p) {
  uint64_t hash = hash_text(HASH_START, p->network);
  for (int i = 0; i < p->parameter_count; ++i) {
    const plan_parameter *parameter = &p->parameters[i];
    hash = hash_text(hash, parameter->name);
    hash = hash_bytes(hash, parameter->shape, sizeof parameter->shape[0] * (size_t)parameter->rank);
  }
  for (int i = 0; i < p->entry_count; ++i) {
    const plan_entry *e = &p->entries[i];
    if (e->kind != ENTRY_TRAIN) continue;
    for (int k = 0; k < e->launch_count; ++k) {
      hash = hash_text(hash, e->launches[k].kernel);
      hash = hash_bytes(hash, e->launches[k].dims, sizeof(int64_t) * (size_t)e->launches[k].dim_count);
    }
  }
  return hash;
}

static void set_text(json_t *to, const char *phase, const char *name, const char *value) {
  char key[512];
  snprintf(key, sizeof key, "%s %s", phase, name);
  if (value) json_object_set_new(to, key, json_string(value));
}

static void set_number(json_t *to, const char *phase, const char *name, double value) {
  char key[512];
  snprintf(key, sizeof key, "%s %s", phase, name);
  json_object_set_new(to, key,
                      value == floor(value) && fabs(value) < 1e15 ? json_integer((json_int_t)value) : json_real(value));
}

static void add_phase_settings(json_t *to, const plan_phase *p) {
  const struct {
    const char *name;
    double value;
  } numbers[] = {{"steps", (double)p->steps},
                 {"epochs", (double)p->epochs},
                 {"batch", (double)p->batch},
                 {"length", (double)p->length},
                 {"accumulate", (double)p->accumulate},
                 {"lr", p->lr},
                 {"beta1", p->beta1},
                 {"beta2", p->beta2},
                 {"eps", p->eps},
                 {"weight_decay", p->weight_decay},
                 {"decay_all", p->decay_all},
                 {"clip", p->clip},
                 {"label_smoothing", p->label_smoothing},
                 {"warmup", (double)p->warmup},
                 {"final", p->schedule_final},
                 {"evaluate_every", (double)p->evaluate_every},
                 {"trained parameters", p->trained_count}};
  for (size_t i = 0; i < LENGTH(numbers); ++i) set_number(to, p->name, numbers[i].name, numbers[i].value);
  set_text(to, p->name, "schedule", schedule_names[p->schedule]);
}

static json_t *all_settings(const plan *p, const train_options *o) {
  json_t *settings = o->settings ? json_deep_copy(o->settings) : json_object();
  text phases = {0};
  for (int i = 0; i < o->phase_count; ++i) {
    const plan_phase *phase = &p->phases[o->phases[i].phase];
    text_printf(&phases, "%s%s", i ? ", " : "", phase->name);
    add_phase_settings(settings, phase);
  }
  json_object_set_new(settings, "phases", json_string(phases.data ? phases.data : ""));
  text_free(&phases);
  char hash[32];
  snprintf(hash, sizeof hash, "%016llx", (unsigned long long)hash_network(p));
  json_object_set_new(settings, "network", json_string(p->network));
  json_object_set_new(settings, "network's parameters and kernels", json_string(hash));
  return settings;
}

// The place in options->phases to begin at. -1: nothing is left; -2: an error.
static int begin(trainer *t, lmn_error *error) {
  const train_options *o = t->options;
  const char *newest;
  if (!checkpoint_newest(t->arena, o->run, &newest, error)) return -2;
  bool begun = newest || lseek(t->log, 0, SEEK_END) > 0;
  if (begun && !o->resume) {
    fail(error, "%s: has a training already; go on with it by --resume, or train into another folder", o->run);
    return -2;
  }
  int place = 0;
  if (newest) {
    snprintf(t->report->checkpoint, sizeof t->report->checkpoint, "%s", newest);
    if (!checkpoint_read_state(newest, t->settings, &t->state, error)) return -2;
    while (place < o->phase_count && o->phases[place].phase != t->state.phase) ++place;
    if (place == o->phase_count) {
      fail(error, "%s: is in a phase that is not to be trained now", newest);
      return -2;
    }
    if (!checkpoint_load(t->network, newest, &t->state, error)) return -2;
  } else if (o->resume)
    progress_line(&t->progress, "%s: has no checkpoint yet; training begins at the first step", o->run);
  if (!cut_log(t, error)) return -2;
  t->report->steps = t->state.total_step;
  bool last = place == o->phase_count - 1;
  const train_phase *phase = &o->phases[place];
  bool done = newest && t->state.step >= train_steps(&lmn_plan(t->network)->phases[phase->phase], phase->data.batches);
  if (newest && !(done && last))
    progress_line(&t->progress, "going on after step %lld of phase %s", (long long)t->state.step,
                  lmn_plan(t->network)->phases[t->state.phase].name);
  return done && last ? -1 : place;
}

static bool train_all(trainer *t, lmn_error *error) {
  const train_options *o = t->options;
  if (!directory_make(o->run, error) || !open_log(t, error)) return false;
  t->settings = all_settings(lmn_plan(t->network), o);
  int place = begin(t, error);
  if (place == -2) return false;
  bool resumed = t->state.total_step > 0;
  t->began = t->saved = clock_seconds();
  for (int i = place; place >= 0 && i < o->phase_count && !t->report->stopped; ++i)
    if (!run_phase(t, &o->phases[i], resumed && i == place, error)) {
      wait_for_checkpoint(t, NULL);
      if (t->report->checkpoint[0]) {
        text advice = {0};
        text_printf(&advice, "%s; the last checkpoint is %s", error->text, t->report->checkpoint);
        snprintf(error->text, sizeof error->text, "%s", advice.data);
        text_free(&advice);
      }
      return false;
    }
  if (!wait_for_checkpoint(t, error)) return false;
  t->report->steps = t->state.total_step;
  t->report->seconds = t->state.seconds;
  t->report->complete_before = place == -1;
  if (t->report->stopped) return true;
  return lmn_save(t->network, arena_printf(t->arena, "%s/parameters.safetensors", o->run), error);
}

bool train_run(lmn_network *network, const train_options *options, train_report *report, lmn_error *error) {
  *report = (train_report){.loss = NAN, .validation_loss = NAN};
  trainer t = {.network = network, .options = options, .report = report, .log = -1, .arena = arena_create()};
  t.writer = checkpoint_writer_create(network, options->run, CHECKPOINTS_KEPT);
  progress_open(&t.progress, options->progress);
  bool ok = train_all(&t, error);
  progress_close(&t.progress);
  checkpoint_writer_destroy(t.writer);
  if (t.log >= 0) close(t.log);
  feed_end(&t.feed);
  json_decref(t.settings);
  arena_destroy(t.arena);
  return ok;
}
