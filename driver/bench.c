// bench: time and memory of training steps, decoding and prefill, on random tokens. A .lmn file is compiled first; the
// measurement runs in a fresh process, so that the compiler's memory is not in its peak.
#include "driver/run_options.h"
#include "runtime/network.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum { BENCH_TRAIN, BENCH_EDGES, BENCH_DECODE, BENCH_PREFILL } bench_mode;
static const char *const mode_names[] = {"train", "edges", "decode", "prefill"};

typedef struct bench {
  const run_options *options;
  bench_mode mode;
  lmn_network *network;
  int32_t *ids, *labels, *last, *counts;
  double began, first; // when the command did; seconds from there to the end of the first run
} bench;

static bool mode_of(const char *name, bench_mode *mode, lmn_error *error) {
  for (size_t i = 0; name && i < LENGTH(mode_names); ++i)
    if (!strcmp(name, mode_names[i])) {
      *mode = (bench_mode)i;
      return true;
    }
  return fail(error, "bench needs --mode train, edges, decode or prefill%s%s", name ? ", not " : "", name ? name : "");
}

static bool trains(bench_mode mode) { return mode == BENCH_TRAIN || mode == BENCH_EDGES; }

static int want_entries(const run_options *o, const network_source *s, bench_mode mode, entry_wanted wanted[3]) {
  int count = 0;
  if (trains(mode)) {
    wanted[count++] = (entry_wanted){.kind = ENTRY_TRAIN, .batch = o->batch, .length = o->length};
    return count;
  }
  entry_wanted w = {.kind = ENTRY_EXTEND, .phase = -1, .batch = o->batch, .capacity = s->prefix + o->length};
  if (s->prefix) wanted[count++] = w;
  w.length = mode == BENCH_DECODE ? 1 : o->length;
  wanted[count++] = w;
  return count;
}

// ---- one run ------------------------------------------------------------------------------------

static void fill_random(bench *b, const plan *p) {
  int64_t rows = b->options->batch, length = b->options->length, tokens = rows * length;
  random_stream r = random_named(0, "bench");
  b->ids = memory_zero((size_t)tokens * sizeof *b->ids);
  b->labels = memory_zero((size_t)tokens * sizeof *b->labels);
  b->last = memory_zero((size_t)rows * sizeof *b->last);
  b->counts = memory_zero((size_t)rows * sizeof *b->counts);
  for (int64_t i = 0; i < tokens; ++i) b->ids[i] = (int32_t)(random_next(&r) % (uint64_t)p->vocabulary);
  for (int64_t i = 0; i < tokens; ++i) b->labels[i] = b->ids[i / length * length + (i + 1) % length];
  for (int64_t i = 0; i < rows; ++i) {
    b->last[i] = (int32_t)length - 1;
    b->counts[i] = b->mode == BENCH_PREFILL ? (int32_t)length : 1;
    if (p->classes) b->labels[i] = (int32_t)(i % p->classes);
  }
}

static bool run_once(bench *b, lmn_error *error) {
  const run_options *o = b->options;
  const plan *p = lmn_plan(b->network);
  if (trains(b->mode)) {
    double loss, norm;
    lmn_batch batch = {
        .batch = o->batch, .length = o->length, .input_ids = b->ids, .labels = b->labels, .last = b->last};
    return lmn_step(b->network, 0, &batch, 1, 1e-5, &loss, &norm, error);
  }
  const float *logits;
  int64_t stride = b->mode == BENCH_PREFILL ? o->length : 1, width = p->classes ? p->classes : p->vocabulary;
  network_rewind(b->network, p->prefix + o->length - stride);
  if (!lmn_extend(b->network, b->ids, stride, b->counts, &logits, error)) return false;
  random_stream unused = {0};
  sample_options greedy = {.top_p = 1};
  for (int64_t i = 0; i < o->batch; ++i) b->labels[i] = sample_token(&greedy, &unused, logits + i * width, width);
  return true;
}

// ---- measuring ----------------------------------------------------------------------------------

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static bool median_seconds(bench *b, double *median, lmn_error *error) {
  int64_t n = b->options->repeats > 0 ? b->options->repeats : 1;
  double *seconds = memory_alloc((size_t)n * sizeof *seconds);
  double first = clock_seconds();
  bool ok = run_once(b, error);
  b->first = clock_seconds() - b->began;
  device_started(b->network->device, "first run with its memory", clock_seconds() - first);
  ok = ok && run_once(b, error);
  for (int64_t i = 0; ok && i < n; ++i) {
    double began = clock_seconds();
    ok = run_once(b, error);
    seconds[i] = clock_seconds() - began;
  }
  if (ok) qsort(seconds, (size_t)n, sizeof *seconds, compare_doubles);
  *median = ok ? seconds[n / 2] : 0;
  free(seconds);
  return ok;
}

static int64_t tokens_of(const bench *b) {
  return b->mode == BENCH_DECODE ? b->options->batch : b->options->batch * b->options->length;
}

// Of a step, or of what is measured.
static int launches_of(const plan *p) {
  int count = 0;
  for (int i = 0; i < p->entry_count; ++i)
    if (p->entries[i].kind != ENTRY_EXTEND || p->entries[i].length) count += plan_launches(&p->entries[i]);
  return count;
}

static bool measure(bench *b, lmn_error *error) {
  const run_options *o = b->options;
  const plan *p = lmn_plan(b->network);
  if (p->positions && o->length > p->positions)
    return fail(error, "-T %lld, but the model has %lld positions", (long long)o->length, (long long)p->positions);
  fill_random(b, p);
  double seconds;
  if (!trains(b->mode) && !lmn_reset(b->network, o->batch, p->prefix + o->length, error)) return false;
  if (!median_seconds(b, &seconds, error)) return false;
  const device *d = b->network->device;
  json_t *root =
      json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:i, s:I, s:i}", "network", p->network,
                "mode", mode_names[b->mode], "device", device_name(d), "precision", p->precision, "ms", seconds * 1e3,
                "tok_s", (double)tokens_of(b) / seconds, "first_s", b->first, "peak_bytes", (json_int_t)memory_peak(),
                "device_bytes", (json_int_t)device_most_bytes(d), "planned_bytes", (json_int_t)lmn_bytes(b->network),
                "B", (json_int_t)o->batch, "T", (json_int_t)o->length, "threads", device_threads(d), "vertex_runs",
                (json_int_t)lmn_vertex_runs(b->network), "launches", launches_of(p));
  json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
  putchar('\n');
  json_decref(root);
  return true;
}

// ---- the profile --------------------------------------------------------------------------------

// A few more runs, every second of them launch by launch.
static bool profile_runs(bench *b, lmn_error *error) {
  enum { RUNS = 8 };
  const run_options *o = b->options;
  if (!o->profile && !o->trace_file) return true;
  profile *p = b->network->profile = profile_create(lmn_plan(b->network), b->network->device);
  bool ok = true;
  for (int i = 0; ok && i < RUNS; ++i) {
    profile_step_begin(p);
    ok = run_once(b, error);
    profile_step_end(p, tokens_of(b));
  }
  ok = run_show_profile(o, p, ok, error);
  b->network->profile = NULL;
  profile_destroy(p);
  return ok;
}

static bool measure_artifact(const run_options *o, network_source *s, bench_mode mode, double began, lmn_error *error) {
  entry_wanted wanted[3];
  int count = want_entries(o, s, mode, wanted);
  bench b = {.options = o, .mode = mode, .began = began, .network = run_network(o, s, wanted, count, error)};
  bool ok = b.network && measure(&b, error) && profile_runs(&b, error);
  lmn_close(b.network);
  free(b.ids);
  free(b.labels);
  free(b.last);
  free(b.counts);
  return ok;
}

// ---- the two processes --------------------------------------------------------------------------

// lmn-run beside this program, which does not even load the compiler's libraries; else this program.
static const char *measuring_program(arena *a) {
  char self[4096];
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length > 0) {
    self[length] = 0;
    char *slash = strrchr(self, '/');
    const char *beside = arena_printf(a, "%.*s/lmn-run", (int)(slash - self), self);
    if (access(beside, X_OK) == 0) return beside;
  }
  return "/proc/self/exe";
}

static bool measure_elsewhere(const run_options *o, network_source *s, bench_mode mode, lmn_error *error) {
  entry_wanted wanted[3];
  int count = want_entries(o, s, mode, wanted);
  const char *artifact = source_artifact(s, wanted, count, error);
  if (!artifact) return false;
  const char *names[] = {"-B", "-T", "-n", "--threads", "--device"};
  const int64_t values[] = {o->batch, o->length, o->repeats, o->threads, o->gpu};
  const char *arguments[24] = {"lmnc", "bench", artifact, "--discard", "--mode", mode_names[mode]};
  int at = 6;
  for (size_t i = 0; i < LENGTH(names); ++i) {
    arguments[at++] = names[i];
    arguments[at++] = arena_printf(s->arena, "%lld", (long long)values[i]);
  }
  if (o->profile) arguments[at++] = "--profile";
  if (o->trace_file) arguments[at++] = "--trace-file", arguments[at++] = o->trace_file;
  execv(measuring_program(s->arena), (char *const *)arguments);
  return fail(error, "the measuring process cannot be started: %s", strerror(errno));
}

int bench_command(const run_options *given) {
  double began = clock_seconds();
  lmn_error error = {0};
  network_source s = {0};
  bench_mode mode = BENCH_TRAIN;
  run_options o = *given;
  const define freeze = {"freeze", o.mode && !strcmp(o.mode, mode_names[BENCH_EDGES]) ? "models" : "[]"};
  bool ok = mode_of(o.mode, &mode, &error);
  bool artifact = ok && directory_exists(o.source.net);
  if (ok && (o.batch < 1 || o.length < 1)) ok = fail(&error, "-B and -T must be at least 1");
  if (ok && !artifact && trains(mode)) {
    o.source.settings = &freeze;
    o.source.setting_count = 1;
  }
  ok = ok && run_source(&o, &s, &error);
  if (ok && o.discard) directory_remove(o.source.net); // its kernels are loaded
  ok = ok && (artifact ? measure_artifact(&o, &s, mode, began, &error) : measure_elsewhere(&o, &s, mode, &error));
  source_close(&s);
  return ok ? 0 : run_failed(&error);
}
