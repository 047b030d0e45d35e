// lmnc sweep.
#include "driver/commands.h"
#include "driver/sweep/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

// Held by the processes that train, too: it is free when the last of a killed sweep has ended.
static bool lock_folder(const sweep *s, int *lock, lmn_error *error) {
  enum { TRIES = 50 };
  const char *path = arena_printf(s->arena, "%s/lock", s->folder);
  *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (*lock < 0) return fail(error, "%s: cannot be written: %s", path, strerror(errno));
  for (int i = 0; i < TRIES; ++i) {
    if (flock(*lock, LOCK_EX | LOCK_NB) == 0) return true;
    usleep(20000);
  }
  return fail(error, "%s: another process is sweeping in this folder", s->folder);
}

static bool write_report(const sweep *s, lmn_error *error) {
  return sweep_write_tables(s, error) && sweep_write_charts(s, error);
}

static bool load_results(sweep *s, lmn_error *error) {
  for (int i = 0; i < s->run_count; ++i)
    if (!sweep_load(s, &s->runs[i], error)) return false;
  return true;
}

static bool run_all(sweep *s, lmn_error *error) {
  if (!load_results(s, error)) return false;
  sweep_count(s);
  for (int i = 0; i < s->run_count && !s->shared->stop; ++i) {
    if (sweep_finished(&s->runs[i])) continue;
    if (!sweep_train(s, i, error) || !write_report(s, error)) return false;
  }
  return write_report(s, error);
}

static int say_end(const sweep *s) {
  int failed = 0;
  for (int i = 0; i < s->run_count; ++i) failed += sweep_has_error(&s->runs[i]);
  if (s->shared->stop) {
    fputs("stopped; go on with:\n  ", stderr);
    run_print_command(s->options, stderr);
    fputc('\n', stderr);
    return 128 + s->shared->stop;
  }
  sweep_print_table(s);
  if (!s->options->json) printf("%s/table.md, table.json, results.jsonl, plot.svg, curves.svg\n", s->folder);
  if (failed)
    fprintf(stderr, "error: %d of %d trainings failed; the same command tries them again\n", failed, s->run_count);
  return failed ? 1 : 0;
}

static int run_sweep(sweep *s, lmn_error *error) {
  int lock = -1, status = 1;
  if (directory_make(s->folder, error) && lock_folder(s, &lock, error) && sweep_settings(s, error) && run_all(s, error))
    status = say_end(s);
  if (lock >= 0) close(lock);
  return status;
}

static int list_points(sweep *s, lmn_error *error) {
  double flops_per_second = NAN;
  sweep_count(s);
  if (s->shared->stop) return 128 + s->shared->stop;
  if (!sweep_time_batch(s, &flops_per_second)) {
    *error = s->shared->error;
    return s->shared->stop ? 128 + s->shared->stop : 1;
  }
  sweep_print_plan(s, flops_per_second);
  for (int i = 0; i < s->point_count; ++i)
    if (s->points[i].error) return 1;
  return 0;
}

static int sweep_command(const run_options *o) {
  lmn_error error = {0};
  uint64_t seed = 0;
  void *shared = mmap(NULL, sizeof(sweep_shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return run_failed((fail(&error, "no memory to share: %s", strerror(errno)), &error));
  sweep s = {.options = o,
             .arena = arena_create(),
             .folder = o->output ? o->output : "sweep",
             .shared = shared,
             .progress = o->json && !isatty(STDERR_FILENO) ? NULL : stderr};
  signal(SIGXFSZ, SIG_IGN); // a limit on file sizes is then an error of the write, as a full disk is
  sweep_catch_signals(&s);
  int status = 2;
  if (sweep_points(&s, &error) && sweep_seeds(&s, &error)) {
    bool ready = sweep_check(&s, &seed, &error) && sweep_runs(&s, seed, &error);
    status = !ready ? 1 : o->dry_run ? list_points(&s, &error) : run_sweep(&s, &error);
  }
  if (error.text[0]) run_failed(&error);
  for (int i = 0; i < s.run_count; ++i) json_decref(s.runs[i].result);
  arena_destroy(s.arena);
  munmap(shared, sizeof(sweep_shared));
  return status;
}

int command_sweep(int argument_count, char **arguments) {
  static const run_usage usage = {
      RUN_SWEEP, "sweep", "Trains a network at every combination of its params' values, and compares them.",
      " -D widths=1/1,1/2/1,1/4/1 --seeds 3 --data train.csv --validation dev.csv --prompt '{mr} =>' --completion ' "
      "{ref}' -o sweep"};
  run_options o;
  options_result result = run_options_parse(&usage, argument_count, arguments, &o);
  int status = result == OPTIONS_RUN ? sweep_command(&o) : result == OPTIONS_DONE ? 0 : 2;
  run_options_free(&o);
  return status;
}
