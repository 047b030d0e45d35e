// One training of a sweep, in its own process: trained on from wherever it was, measured, and its result written down.
#include "driver/sweep/sweep.h"
#include "runtime/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool sweep_has_error(const sweep_run *r) { return r->result && json_object_get(r->result, "error"); }
bool sweep_finished(const sweep_run *r) { return r->result && !json_object_get(r->result, "error"); }

// ---- results ------------------------------------------------------------------------------------

static const char *in_folder(sweep *s, const sweep_run *r, const char *name) {
  return arena_printf(s->arena, "%s/%s", r->folder, name);
}

static json_t *begin_result(const sweep *s, const sweep_run *r) {
  const sweep_point *p = &s->points[r->point];
  json_t *params = json_object();
  for (int i = 0; i < s->param_count; ++i) json_object_set_new(params, s->params[i].name, json_string(p->values[i]));
  return json_pack("{s:s, s:o, s:I}", "point", p->name, "params", params, "seed", (json_int_t)r->seed);
}

static bool write_result(sweep *s, const sweep_run *r, json_t *result, lmn_error *error) {
  char *printed = json_dumps(result, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
  bool ok = printed && directory_make(r->folder, error) &&
            file_write(in_folder(s, r, "result.json"), printed, strlen(printed), error);
  free(printed);
  return ok;
}

static bool read_result(sweep *s, sweep_run *r, lmn_error *error) {
  const char *path = in_folder(s, r, "result.json");
  json_error_t fault;
  json_decref(r->result);
  r->result = json_load_file(path, 0, &fault);
  if (!r->result) return fail(error, "%s: cannot be read: %s; remove it to train this point again", path, fault.text);
  const char *point = json_string_value(json_object_get(r->result, "point"));
  if (point && !strcmp(point, s->points[r->point].name)) return true;
  return fail(error, "%s: is of the point %s, not %s; sweep into another folder", path, point ? point : "(none)",
              s->points[r->point].name);
}

static void remove_checkpoints(sweep *s, const sweep_run *r) {
  const char *folder = in_folder(s, r, "checkpoints");
  if (!s->options->keep && directory_exists(folder)) directory_remove(folder);
}

// A failed one is tried again: there may be room on the disk now.
bool sweep_load(sweep *s, sweep_run *r, lmn_error *error) {
  if (!file_exists(in_folder(s, r, "result.json"))) return true;
  if (!read_result(s, r, error)) return false;
  if (sweep_finished(r)) {
    remove_checkpoints(s, r); // killed before it could
    return true;
  }
  json_decref(r->result);
  r->result = NULL;
  return true;
}

// ---- measures -----------------------------------------------------------------------------------

static void set_real(json_t *to, const char *name, double value) {
  if (isfinite(value)) json_object_set_new(to, name, json_real(value));
}

static void set_count(json_t *to, const char *name, int64_t value) {
  json_object_set_new(to, name, json_integer((json_int_t)value));
}

static double last_of(const sweep_curve *c) { return c->count ? c->values[c->count - 1] : NAN; }

// Over the last tenth of the steps.
static double late_mean(const sweep_curve *c) {
  int count = (c->count + 9) / 10;
  return mean_of(c->values + c->count - count, count).mean;
}

static bool goes_on(void *context, int64_t done, int64_t all) {
  const sweep *s = context;
  return !s->shared->stop || done == all;
}

// The loss and accuracy that points are compared by.
static bool measure_test(sweep *s, training *t, const sweep_log *log, double *loss, double *accuracy,
                         lmn_error *error) {
  *loss = last_of(&log->validation);
  *accuracy = log->accuracy;
  if (!t->test) return isfinite(*loss) || fail(error, "the last phase has no validation data; give --test FILE");
  batch_source source = data_batches(t->test);
  evaluation e;
  if (!evaluate_source(t->network, &source, goes_on, s, &e, error)) return false;
  if (e.stopped) return false;
  *loss = evaluation_loss(&e);
  *accuracy = (double)e.right / (double)e.labels;
  return e.labels > 0 || fail(error, "no token of the test data counts: are the prompts longer than --length?");
}

static bool measure(sweep *s, sweep_run *r, training *t, const train_report *report, json_t *result, lmn_error *error) {
  sweep_log log;
  double loss, accuracy;
  if (!sweep_log_read(r->folder, &log, error)) return false;
  bool ok = measure_test(s, t, &log, &loss, &accuracy, error);
  if (ok) {
    sweep_cost cost = {0};
    sweep_count_plan(lmn_plan(t->network), t->indices, t->count, &cost);
    set_real(result, "loss", loss);
    set_real(result, "perplexity", exp(loss));
    if (s->classifier) set_real(result, "accuracy", accuracy);
    set_real(result, "validation_loss", last_of(&log.validation));
    set_real(result, "train_loss", late_mean(&log.loss));
    set_count(result, "steps", report->steps);
    set_real(result, "seconds", report->seconds);
    set_real(result, "tokens_per_second", log.tokens_per_second);
    set_count(result, "parameters", cost.parameters);
    set_count(result, "trained", cost.trained);
    set_count(result, "vertex_runs", cost.vertex_runs);
    set_real(result, "flops", s->points[r->point].cost.flops);
    set_count(result, "memory_bytes", cost.memory);
    set_count(result, "peak_bytes", memory_peak());
    json_object_set_new(result, "folder", json_string(r->folder));
  }
  sweep_log_free(&log);
  return ok;
}

// ---- the process that trains --------------------------------------------------------------------

// What follows on each phase, in multiples of its own work.
static void set_rest(const sweep *s, training *t, int run) {
  double later = sweep_work_left(s, run);
  for (int i = t->count - 1; i >= 0; --i) {
    const plan_phase *p = &t->source.phases[t->indices[i]];
    const plan_entry *e = plan_find(lmn_plan(t->network), ENTRY_TRAIN, t->indices[i], p->batch, p->length);
    double own = e ? (double)(e->flops * train_steps(p, t->phases[i].data.batches)) : 0;
    if (p->accumulate > 1) own *= (double)p->accumulate;
    t->phases[i].rest = own > 0 ? later / own : 0;
    later += own;
  }
}

static bool train_here(sweep *s, int run, training *t, json_t *result, lmn_error *error) {
  sweep_run *r = &s->runs[run];
  run_options o = sweep_options(s, &s->points[r->point], r);
  bool begun = directory_exists(r->folder);
  if (!training_open(t, &o, error) || !training_network(t, error)) return false;
  set_rest(s, t, run);
  train_options options = {.run = r->folder,
                           .resume = begun,
                           .phases = t->phases,
                           .phase_count = t->count,
                           .settings = t->settings,
                           .stop = &s->shared->stop,
                           .progress = s->progress};
  train_report report;
  return train_run(t->network, &options, &report, error) && !report.stopped && measure(s, r, t, &report, result, error);
}

static bool train_process(sweep *s, void *context) {
  int run = *(int *)context;
  sweep_run *r = &s->runs[run];
  training t = {0};
  json_t *result = begin_result(s, r);
  bool ok = train_here(s, run, &t, result, &s->shared->error) && write_result(s, r, result, &s->shared->error);
  json_decref(result);
  training_close(&t);
  return ok;
}

// ---- this process -------------------------------------------------------------------------------

static void say_begin(const sweep *s, int run) {
  double seconds = 0, work = 0;
  char left[32];
  for (int i = 0; i < s->run_count; ++i) {
    const json_t *result = s->runs[i].result;
    if (!sweep_finished(&s->runs[i])) continue;
    seconds += json_number_value(json_object_get(result, "seconds"));
    work += json_number_value(json_object_get(result, "flops"));
  }
  const sweep_run *r = &s->runs[run];
  if (!s->progress) return;
  fprintf(s->progress, "[%d/%d] %s, seed %llu", run + 1, s->run_count, s->points[r->point].name,
          (unsigned long long)r->seed);
  if (work > 0)
    fprintf(s->progress, "; about %s left", progress_duration(sweep_work_left(s, run - 1) * seconds / work, left));
  fputc('\n', s->progress);
}

static bool record_failure(sweep *s, sweep_run *r, const char *why, lmn_error *error) {
  r->result = begin_result(s, r);
  json_object_set_new(r->result, "error", json_string(why));
  if (s->progress) fprintf(s->progress, "failed: %s\n", why);
  return write_result(s, r, r->result, error);
}

bool sweep_train(sweep *s, int run, lmn_error *error) {
  sweep_run *r = &s->runs[run];
  say_begin(s, run);
  if (s->points[r->point].error) return record_failure(s, r, s->points[r->point].error, error);
  if (!sweep_process(s, train_process, &run))
    return s->shared->stop || record_failure(s, r, s->shared->error.text, error);
  if (!read_result(s, r, error)) return false;
  remove_checkpoints(s, r);
  if (s->progress)
    fprintf(s->progress, "loss %.4f  perplexity %.3f\n", json_number_value(json_object_get(r->result, "loss")),
            json_number_value(json_object_get(r->result, "perplexity")));
  return true;
}
