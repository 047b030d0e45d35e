// lmnc sweep: a network trained at every point (a combination of params' values) and seed, each in a folder of its own.
// What is finished is read from there again, so that a sweep goes on where it was stopped.
#ifndef LMN_DRIVER_SWEEP_H
#define LMN_DRIVER_SWEEP_H

#include "driver/training.h"

typedef struct sweep_param { // of -D, with several values
  const char *name, **values;
  int count;
} sweep_param;

typedef struct sweep_cost { // of a point, from its plan
  int64_t parameters, trained, vertex_runs, memory, steps;
  double batch_flops, flops; // of a batch of the first phase; of the whole training
  double validation_flops;   // with --dry-run
} sweep_cost;

typedef struct sweep_point {
  const char *name, *folder; // "widths=1/2/1, n=2", "widths=1-2-1,n=2"
  const char **values;       // by place in sweep.params
  define *defines;           // every -D with this point's value
  sweep_cost cost;
  const char *error; // it cannot be compiled; NULL: it can
} sweep_point;

typedef struct sweep_run { // a point with a seed
  int point;
  uint64_t seed;
  const char *folder;
  json_t *result; // measures, or "error"; NULL: not run yet
} sweep_run;

typedef struct sweep_shared { // memory that this process and those it starts have in common
  volatile sig_atomic_t stop; // the signal that ends the sweep
  lmn_error error;
  sweep_cost cost;
  double seconds;
} sweep_shared;

typedef struct sweep {
  const run_options *options;
  arena *arena;
  const char *folder, *network;
  sweep_param *params;
  int param_count;
  sweep_point *points;
  int point_count;
  uint64_t *seeds;
  int seed_count;
  sweep_run *runs; // seed by seed, so that every point soon has something to show
  int run_count;
  bool classifier;
  sweep_shared *shared;
  FILE *progress; // NULL: silent
} sweep;

// points.c: the points of -D, the seeds of --seeds, and the runs of both (own: the network's seed, used without
// --seeds).
bool sweep_points(sweep *s, lmn_error *error);
bool sweep_seeds(sweep *s, lmn_error *error);
bool sweep_runs(sweep *s, uint64_t own, lmn_error *error);
// The options of a training at a point. run NULL: of no seed, for what is the same with all.
run_options sweep_options(sweep *s, const sweep_point *point, const sweep_run *run);

// process.c: work in a process of its own, which takes its memory, its threads and, if it comes to that, its crash with
// it. The result is that of `work`; where it is false, shared->error says why, or the sweep is to stop.
bool sweep_process(sweep *s, bool (*work)(sweep *s, void *context), void *context);
void sweep_catch_signals(sweep *s);

// plan.c: what the points are and cost, before anything is trained.
bool sweep_check(sweep *s, uint64_t *seed, lmn_error *error); // false where no point can be compiled
void sweep_count(sweep *s);                                   // fills in the costs of what is not finished
void sweep_count_plan(const plan *p, const int *phases, int count, sweep_cost *cost); // what a plan alone says
bool sweep_time_batch(sweep *s, double *flops_per_second); // measured on the cheapest point; false: shared->error
bool sweep_has_error(const sweep_run *r);
bool sweep_finished(const sweep_run *r);
double sweep_work_left(const sweep *s, int after); // FLOPs of the runs after `after` that are not finished
void sweep_print_plan(const sweep *s, double flops_per_second);

// settings.c: sweep.json, what the results depend on.
bool sweep_settings(sweep *s, lmn_error *error); // written, or compared with what is there

// run.c
bool sweep_load(sweep *s, sweep_run *run, lmn_error *error); // the result of an earlier time
bool sweep_train(sweep *s, int run, lmn_error *error);       // false: the sweep cannot go on

// log.c: a run's log.jsonl.
typedef struct sweep_curve {
  double *steps, *values;
  int count, capacity;
} sweep_curve;
typedef struct sweep_log {
  sweep_curve loss, validation;
  double accuracy;          // the last one of the validation; NAN: none
  double tokens_per_second; // over all steps
} sweep_log;
bool sweep_log_read(const char *run, sweep_log *log, lmn_error *error);
void sweep_log_free(sweep_log *log);

// table.c, charts.c: results.jsonl, table.json, table.md, plot.svg, curves.svg.
bool sweep_write_tables(const sweep *s, lmn_error *error);
void sweep_print_table(const sweep *s); // as --json says
bool sweep_write_charts(const sweep *s, lmn_error *error);

// statistics.c
typedef struct sweep_mean {
  int count;
  double mean, deviation, half; // half of the 95 % interval's width; deviation and half NAN with fewer than two
} sweep_mean;
sweep_mean mean_of(const double *values, int count);
sweep_mean sweep_mean_of(const sweep *s, int point, const char *measure); // over the finished seeds

#endif
