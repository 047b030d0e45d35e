// What the points of a sweep are and cost, before anything is trained.
#include "driver/compile.h"
#include "driver/sweep/sweep.h"
#include "runtime/network.h"
#include "runtime/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- the networks -------------------------------------------------------------------------------

static bool has_held_out(const sweep *s, const network_source *source, const int *phases, int count) {
  const run_options *o = s->options;
  return o->test || o->validation || (count && source->phases[phases[count - 1]].validation);
}

static bool learn_network(sweep *s, const run_options *o, network_source *source, uint64_t *seed, lmn_error *error) {
  int *phases = ARENA_ARRAY(source->arena, int, source->phase_count + 1), count;
  if ((count = run_phases(o, source, phases, error)) < 0) return false;
  s->network = arena_string(s->arena, source->network);
  s->classifier = source->classes != 0;
  *seed = source->phases[phases[0]].seed;
  return has_held_out(s, source, phases, count) ||
         fail(error, "a sweep compares its points by data that they are not trained on; give --validation FILE, "
                     "--test FILE, or validation = \"…\" in train { }");
}

// The errors of a .lmn file are for the user as they are; as the reason of a failed point they are without blank ends.
static const char *kept_message(sweep *s, const text *messages, const lmn_error *error) {
  size_t length = messages->length;
  while (length && strchr("\n ", messages->data[length - 1])) --length;
  return length ? arena_copy(s->arena, messages->data, length) : arena_string(s->arena, error->text);
}

bool sweep_check(sweep *s, uint64_t *seed, lmn_error *error) {
  bool ok = true;
  for (int i = 0; ok && i < s->point_count; ++i) {
    sweep_point *p = &s->points[i];
    run_options o = sweep_options(s, p, NULL);
    text messages = {0};
    lmn_error wrong = {0};
    network_source source;
    o.source.messages = &messages;
    if (!run_source(&o, &source, &wrong)) p->error = kept_message(s, &messages, &wrong);
    else {
      if (!s->network && messages.length) fputs(messages.data, stderr); // warnings, once
      if (!s->network) ok = learn_network(s, &o, &source, seed, error);
      source_close(&source);
    }
    text_free(&messages);
  }
  if (!ok || s->network) return ok;
  fprintf(stderr, "%s\n", s->points[0].error);
  return s->point_count == 1 ? false : fail(error, "none of the %d points can be compiled", s->point_count);
}

// ---- costs --------------------------------------------------------------------------------------

void sweep_count_plan(const plan *p, const int *phases, int count, sweep_cost *cost) {
  bool *trained = memory_zero((size_t)p->parameter_count + 1);
  for (int i = 0; i < count; ++i)
    for (int k = 0; k < p->phases[phases[i]].trained_count; ++k)
      trained[p->phases[phases[i]].trained[k].parameter] = true;
  cost->parameters = cost->trained = 0;
  for (int i = 0; i < p->parameter_count; ++i) {
    cost->parameters += p->parameters[i].elements;
    if (trained[i]) cost->trained += p->parameters[i].elements;
  }
  free(trained);
  for (int i = p->entry_count - 1; i >= 0; --i) {
    const plan_entry *e = &p->entries[i];
    if (e->kind != ENTRY_TRAIN) continue;
    int64_t bytes = plan_bytes(p, e);
    if (bytes > cost->memory) cost->memory = bytes;
    cost->vertex_runs = e->vertex_runs;
  }
}

static bool count_batches(const run_options *o, network_source *source, const plan_phase *p, const char *said,
                          const char *in_file, int64_t *batches, lmn_error *error) {
  tokenizer *t = tokenizer_open(source->tokenizer, error);
  dataset *d = t ? data_open(o, source, p, t, said, in_file, false, error) : NULL;
  if (d) *batches = dataset_batches(d);
  dataset_close(d);
  tokenizer_close(t);
  return d != NULL;
}

// Only steps that depend on the data's size need the data. --dry-run reads it all the same, to say what is wrong with
// it.
static bool phase_steps(const run_options *o, network_source *source, const plan_phase *p, int64_t *steps,
                        lmn_error *error) {
  int64_t batches;
  *steps = p->steps;
  if (p->steps > 0 && p->epochs <= 0 && !o->dry_run) return true;
  if (!o->data && !p->data) return fail(error, "phase %s has no data; give --data FILE", p->name);
  if (!count_batches(o, source, p, o->data, p->data, &batches, error)) return false;
  *steps = train_steps(p, batches);
  return true;
}

// The phase's validations, and what the last phase's network is measured on in the end: for --dry-run only, as it reads
// the data.
static bool add_validations(const run_options *o, network_source *source, const plan *p, int place, int count,
                            const plan_phase *settings, int64_t steps, sweep_cost *cost, lmn_error *error) {
  const plan_entry *e = plan_find(p, ENTRY_EVALUATE, -1, settings->batch, settings->length);
  int64_t batches = 0, all = 0;
  if (o->validation || settings->validation) {
    if (!count_batches(o, source, settings, o->validation, settings->validation, &batches, error)) return false;
    all = batches * (train_validations(settings, steps) + (place == 0)); // the first one before the first step
  }
  if (o->test && place == count - 1) {
    if (!count_batches(o, source, settings, o->test, NULL, &batches, error)) return false;
    all += batches;
  }
  cost->validation_flops += (double)e->flops * (double)all;
  return true;
}

static bool add_phase(const run_options *o, network_source *source, const plan *p, const int *phases, int place,
                      int count, sweep_cost *cost, lmn_error *error) {
  const plan_phase *settings = &source->phases[phases[place]];
  const plan_entry *e = plan_find(p, ENTRY_TRAIN, phases[place], settings->batch, settings->length);
  int64_t steps, batches = settings->accumulate > 1 ? settings->accumulate : 1;
  if (!phase_steps(o, source, settings, &steps, error)) return false;
  cost->steps += steps;
  if (!cost->batch_flops) cost->batch_flops = (double)e->flops;
  cost->flops += (double)e->flops * (double)(steps * batches);
  return !o->dry_run || add_validations(o, source, p, place, count, settings, steps, cost, error);
}

static bool count_source(const run_options *o, network_source *source, sweep_cost *cost, lmn_error *error) {
  int *phases = ARENA_ARRAY(source->arena, int, source->phase_count + 1);
  int count = run_phases(o, source, phases, error);
  entry_shape *shapes = ARENA_ARRAY(source->arena, entry_shape, 2 * count + 2);
  int shape_count = 0;
  for (int i = 0; i < count; ++i) {
    const plan_phase *p = &source->phases[phases[i]];
    entry_shape shape = {
        .kind = ENTRY_TRAIN, .phase = phases[i], .batch = p->batch, .length = p->length, .packed = o->pack};
    shapes[shape_count++] = shape;
    shape.kind = ENTRY_EVALUATE, shape.phase = -1;
    if (o->dry_run) shapes[shape_count++] = shape;
  }
  const plan *p = count > 0 ? compile_plan(source->compilation, shapes, shape_count, error) : NULL;
  if (!p) return false;
  sweep_count_plan(p, phases, count, cost);
  bool ok = true;
  for (int i = 0; ok && i < count; ++i) ok = add_phase(o, source, p, phases, i, count, cost, error);
  return ok;
}

static bool count_point(sweep *s, void *context) {
  run_options o = sweep_options(s, context, NULL);
  network_source source;
  s->shared->cost = (sweep_cost){0};
  bool ok = run_source(&o, &source, &s->shared->error);
  if (!ok) return false;
  ok = count_source(&o, &source, &s->shared->cost, &s->shared->error);
  source_close(&source);
  return ok;
}

static bool waits(const sweep *s, int point) {
  for (int i = 0; i < s->run_count; ++i)
    if (s->runs[i].point == point && !sweep_finished(&s->runs[i])) return true;
  return false;
}

void sweep_count(sweep *s) {
  for (int i = 0; i < s->point_count && !s->shared->stop; ++i) {
    sweep_point *p = &s->points[i];
    if (p->error || !waits(s, i)) continue;
    if (sweep_process(s, count_point, p)) p->cost = s->shared->cost;
    else if (!s->shared->stop) p->error = arena_string(s->arena, s->shared->error.text);
  }
}

// ---- time ---------------------------------------------------------------------------------------

// The second of two passes over a batch, as an optimizer step that changes nothing.
static bool time_batch(sweep *s, void *context) {
  run_options o = sweep_options(s, context, NULL);
  training t;
  lmn_error *error = &s->shared->error;
  lmn_batch batch;
  double loss, norm;
  bool ok = training_open(&t, &o, error) && training_network(&t, error);
  for (int i = 0; ok && i < 2; ++i) {
    double began = clock_seconds();
    ok = t.phases[0].data.batch(t.phases[0].data.context, 0, 0, &batch, error) &&
         lmn_step(t.network, t.phases[0].phase, &batch, 1, -1, &loss, &norm, error);
    s->shared->seconds = clock_seconds() - began;
  }
  training_close(&t);
  return ok;
}

bool sweep_time_batch(sweep *s, double *flops_per_second) {
  sweep_point *cheapest = NULL;
  for (int i = 0; i < s->point_count; ++i)
    if (!s->points[i].error && (!cheapest || s->points[i].cost.batch_flops < cheapest->cost.batch_flops))
      cheapest = &s->points[i];
  *flops_per_second = NAN;
  if (!cheapest) return true;
  if (!sweep_process(s, time_batch, cheapest)) return false;
  *flops_per_second = cheapest->cost.batch_flops / s->shared->seconds;
  return true;
}

static double work_of(const sweep_cost *c) { return c->flops + c->validation_flops; }

double sweep_work_left(const sweep *s, int after) {
  double work = 0;
  for (int i = after + 1; i < s->run_count; ++i)
    if (!sweep_finished(&s->runs[i]) && !s->points[s->runs[i].point].error)
      work += work_of(&s->points[s->runs[i].point].cost);
  return work;
}

// ---- --dry-run ----------------------------------------------------------------------------------

static json_t *point_json(const sweep *s, const sweep_point *p, double seconds) {
  json_t *params = json_object();
  for (int i = 0; i < s->param_count; ++i) json_object_set_new(params, s->params[i].name, json_string(p->values[i]));
  json_t *o = json_pack("{s:s, s:o}", "point", p->name, "params", params);
  if (p->error) {
    json_object_set_new(o, "error", json_string(p->error));
    return o;
  }
  json_t *costs =
      json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:I}", "parameters", (json_int_t)p->cost.parameters, "trained",
                (json_int_t)p->cost.trained, "vertex_runs", (json_int_t)p->cost.vertex_runs, "steps",
                (json_int_t)p->cost.steps, "batch_flops", p->cost.batch_flops, "flops", p->cost.flops,
                "validation_flops", p->cost.validation_flops, "memory_bytes", (json_int_t)p->cost.memory);
  json_object_update(o, costs);
  json_decref(costs);
  if (isfinite(seconds)) json_object_set_new(o, "seconds", json_real(seconds));
  return o;
}

static void print_plan_json(const sweep *s, double flops_per_second) {
  json_t *points = json_array();
  for (int i = 0; i < s->point_count; ++i)
    json_array_append_new(points, point_json(s, &s->points[i], work_of(&s->points[i].cost) / flops_per_second));
  json_t *root = json_pack("{s:s, s:i, s:o}", "network", s->network, "runs", s->run_count, "points", points);
  if (isfinite(flops_per_second))
    json_object_set_new(root, "seconds", json_real(sweep_work_left(s, -1) / flops_per_second));
  json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
  putchar('\n');
  json_decref(root);
}

void sweep_print_plan(const sweep *s, double flops_per_second) {
  if (s->options->json) {
    print_plan_json(s, flops_per_second);
    return;
  }
  int width = 5;
  char time[32];
  for (int i = 0; i < s->point_count; ++i)
    if ((int)strlen(s->points[i].name) > width) width = (int)strlen(s->points[i].name);
  printf("%-*s %13s %13s %6s %9s %14s %11s %10s\n", width, "point", "parameters", "trained", "runs", "steps",
         "GFLOP a batch", "memory MiB", "time");
  for (int i = 0; i < s->point_count; ++i) {
    const sweep_point *p = &s->points[i];
    const sweep_cost *c = &p->cost;
    if (p->error) printf("%-*s cannot be trained: %s\n", width, p->name, p->error);
    else
      printf("%-*s %13lld %13lld %6lld %9lld %14.2f %11.1f %10s\n", width, p->name, (long long)c->parameters,
             (long long)c->trained, (long long)c->vertex_runs, (long long)c->steps, c->batch_flops / 1e9,
             (double)c->memory / 1048576.0, progress_duration(work_of(c) / flops_per_second, time));
  }
  printf("%d trainings (%d points, %d seeds): about %s\n", s->run_count, s->point_count, s->seed_count,
         progress_duration(sweep_work_left(s, -1) / flops_per_second, time));
}
