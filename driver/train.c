// train: a training made ready, then runtime/train.
#include "driver/training.h"
#include "runtime/network.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

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

static void say_how_to_go_on(const run_options *o, const train_report *r) {
  if (!r->checkpoint[0]) {
    fputs("stopped before the first step\n", stderr);
    return;
  }
  fprintf(stderr, "stopped after step %lld, saved in %s; go on with:\n  ", (long long)r->steps, r->checkpoint);
  run_print_command(o, stderr);
  fprintf(stderr, "%s\n", o->resume ? "" : " --resume");
}

static bool train_profiled(training *t, train_options *options, train_report *report, lmn_error *error) {
  const run_options *o = t->options;
  if (o->profile || o->trace_file) options->profile = profile_create(lmn_plan(t->network), t->network->device);
  bool ok = train_run(t->network, options, report, error);
  ok = run_show_profile(o, options->profile, ok, error);
  profile_destroy(options->profile);
  return ok;
}

static int train(training *t, lmn_error *error) {
  const run_options *o = t->options;
  const char *run = o->output ? o->output : "run";
  train_report report;
  training_catch_signals();
  train_options options = {.run = run,
                           .resume = o->resume,
                           .phases = t->phases,
                           .phase_count = t->count,
                           .settings = t->settings,
                           .stop = &training_stop,
                           .progress = o->json && !isatty(STDERR_FILENO) ? NULL : stderr};
  if (!train_profiled(t, &options, &report, error)) return run_failed(error);
  if (o->json) print_json(t, &report, run);
  if (report.stopped) {
    say_how_to_go_on(o, &report);
    return 128 + training_stop;
  }
  if (!o->json) printf("%s%s/parameters.safetensors\n", report.complete_before ? "complete already: " : "", run);
  return 0;
}

int train_command(const run_options *o) {
  lmn_error error = {0};
  training t;
  bool ready = training_open(&t, o, &error) && training_network(&t, &error);
  int status = ready ? train(&t, &error) : run_failed(&error);
  training_close(&t);
  return status;
}
