// Networks drawn at random, through the compiler and the runtime with each optimisation on and off: every node's value,
// logits, losses, gradients, optimizer steps and generation, against a plain reference and against each other.
#include "subject.h"

#include "break.h"
#include "driver/options.h"
#include "report.h"
#include "shrink.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOGETHER = 25 }; // networks whose kernels are compiled together

typedef struct random_options {
  const char *folder, *net, *broken, *recompute;
  int64_t count, seed, step, batch, length, phase;
  bool packed, generates, quiet, whole;
} random_options;

// ---- crashes -------------------------------------------------------------------------------------

static char crash_text[8192]; // what to say if the network that is run now ends the program

static void crashed(int number) {
  if (write(STDOUT_FILENO, crash_text, strlen(crash_text)) < 0) _exit(4);
  signal(number, SIG_DFL);
  raise(number);
}

static void note_network(const random_options *o, uint64_t seed) {
  snprintf(
      crash_text, sizeof crash_text,
      "the program crashed in this network; to see it again:\n  build/tests/random_networks %s --seed %llu --count 1\n",
      o->folder, (unsigned long long)seed);
}

// ---- one network ---------------------------------------------------------------------------------

static run_shape shape_of(const net_spec *s) {
  return (run_shape){.seed = s->seed,
                     .phase = s->phase,
                     .batch = s->batch,
                     .length = s->length,
                     .packed = s->packed,
                     .generates = s->generates,
                     .recompute = s->recompute};
}

typedef struct shrinking {
  kernel_store *kernels;
  const char *folder;
  int variant, tries;
} shrinking;

static bool fails_too(const net_spec *candidate, void *user) {
  shrinking *s = user;
  subject small;
  lmn_error error = {0};
  text lmn = {0};
  spec_write(candidate, &lmn);
  unsigned variants = 1u << VARIANT_ALL_OFF | 1u << s->variant;
  subject_prepare(&small, s->kernels, s->folder, lmn.data, shape_of(candidate), variants);
  bool fails = small.graph && small.finding.found;
  if (small.graph && !fails && kernels_compile(s->kernels, &error)) {
    subject_check(&small);
    fails = small.finding.found;
  }
  subject_close(&small);
  text_free(&lmn);
  ++s->tries;
  return fails;
}

static void print_finding(const char *network, const finding *f) {
  printf("%s: %s\n", network, f->text);
  if (f->variant != VARIANT_ALL_ON) printf("  (with %s)\n", variant_options(f->variant));
  fflush(stdout);
}

static void shrink_and_report(const random_options *o, kernel_store *k, net_spec spec, const finding *f) {
  char name[64];
  snprintf(name, sizeof name, "network %llu", (unsigned long long)spec.seed);
  print_finding(name, f);
  if (o->whole) return;
  text folder = {0}, lmn = {0};
  text_printf(&folder, "%s/failed-%llu", o->folder, (unsigned long long)spec.seed);
  shrinking s = {.kernels = k, .folder = folder.data, .variant = f->variant};
  spec_shrink(&spec, fails_too, &s);
  printf("made smaller in %d tries; ", s.tries);
  spec_write(&spec, &lmn);
  report_failure(k, folder.data, lmn.data, shape_of(&spec), f->variant);
  text_free(&folder);
  text_free(&lmn);
}

// ---- many ----------------------------------------------------------------------------------------

static bool run_batch(const random_options *o, kernel_store *k, int64_t first, int64_t count, int *failures,
                      lmn_error *error) {
  net_spec *specs = memory_alloc((size_t)count * sizeof *specs);
  subject *subjects = memory_zero((size_t)count * sizeof *subjects);
  for (int64_t i = 0; i < count; ++i) {
    text lmn = {0}, folder = {0};
    specs[i] = spec_draw((uint64_t)(o->seed + (first + i) * o->step));
    spec_write(&specs[i], &lmn);
    text_printf(&folder, "%s/%lld", o->folder, (long long)i);
    note_network(o, specs[i].seed);
    subject_prepare(&subjects[i], k, folder.data, lmn.data, shape_of(&specs[i]), ~0u);
    text_free(&lmn);
    text_free(&folder);
  }
  bool ok = kernels_compile(k, error);
  for (int64_t i = 0; ok && i < count; ++i) {
    note_network(o, specs[i].seed);
    subject_check(&subjects[i]);
    *failures += subjects[i].finding.found;
    if (subjects[i].finding.found) shrink_and_report(o, k, specs[i], &subjects[i].finding);
  }
  for (int64_t i = 0; i < count; ++i) {
    directory_remove(subjects[i].folder);
    subject_close(&subjects[i]);
  }
  free(subjects);
  free(specs);
  return ok;
}

static bool run_networks(const random_options *o, kernel_store *k, int *failures, lmn_error *error) {
  double began = clock_seconds();
  bool ok = true;
  for (int64_t done = 0; ok && done < o->count;) {
    int64_t count = o->count - done < TOGETHER ? o->count - done : TOGETHER;
    ok = run_batch(o, k, done, count, failures, error);
    done += count;
    if (!o->quiet)
      printf("%lld of %lld networks, %d differ; %d kernels, %.0f s\n", (long long)done, (long long)o->count, *failures,
             k->kernels, clock_seconds() - began);
    fflush(stdout);
  }
  return ok;
}

static bool recompute_of(const random_options *o, int *result, lmn_error *error) {
  *result = o->recompute ? recompute_read(o->recompute) : RECOMPUTE_NOTHING;
  return *result >= 0 || fail(error, "--recompute %s: it is one of lmnc compile's", o->recompute);
}

// A network that is there already.
static bool run_file(const random_options *o, kernel_store *k, int *failures, lmn_error *error) {
  subject s;
  run_shape shape = {.file = o->net,
                     .seed = (uint64_t)o->seed,
                     .phase = (int)o->phase,
                     .batch = o->batch,
                     .length = o->length,
                     .packed = o->packed,
                     .generates = o->generates};
  if (!recompute_of(o, &shape.recompute, error)) return false;
  text folder = {0};
  text_printf(&folder, "%s/one", o->folder);
  subject_prepare(&s, k, folder.data, NULL, shape, ~0u);
  bool ok = s.finding.found || kernels_compile(k, error);
  if (ok) subject_check(&s);
  *failures += s.finding.found;
  if (s.finding.found) print_finding(o->net, &s.finding);
  subject_close(&s);
  directory_remove(folder.data);
  text_free(&folder);
  return ok;
}

static bool run(random_options *o, int *failures, lmn_error *error) {
  kernel_store kernels;
  text models = {0};
  char root[4096];
  if (!directory_make(o->folder, error)) return false;
  if (!realpath(o->folder, root)) return fail(error, "%s: there is no such folder", o->folder);
  o->folder = root;
  text_printf(&models, "%s/models", root);
  bool ok = (!o->broken || break_pass(o->broken, error)) && spec_write_models(models.data, error);
  setenv("LMN_MODELS", models.data, 1);
  text_free(&models);
  if (!ok || !kernels_open(&kernels, root, error)) return false;
  ok = o->net ? run_file(o, &kernels, failures, error) : run_networks(o, &kernels, failures, error);
  kernels_close(&kernels);
  if (ok && !*failures)
    printf("no difference; the worst, as parts of their bars: values %.2g of %lld, gradients %.2g of %lld, finite "
           "differences %.2g of %lld, optimizer steps %.2g of %lld\n",
           statistics.worst_value, (long long)statistics.values, statistics.worst_gradient,
           (long long)statistics.gradients, statistics.worst_direction, (long long)statistics.directions,
           statistics.worst_update, (long long)statistics.updates);
  return ok;
}

int main(int argument_count, char **arguments) {
  random_options o = {.count = 100, .seed = 1, .step = 1, .batch = 2, .length = 9};
  const command_option table[] = {
      {"count", 'n', "N", "how many networks; default: 100", OPTION_COUNT, &o.count},
      {"seed", 0, "N", "of the first network, the next ones count on; default: 1", OPTION_COUNT, &o.seed},
      {"step", 0, "N", "from a network's seed to the next one's; default: 1", OPTION_COUNT, &o.step},
      {"no-shrink", 0, NULL, "only name the networks that differ", OPTION_FLAG, &o.whole},
      {"quiet", 'q', NULL, "no progress", OPTION_FLAG, &o.quiet},
      {"break", 0, "PASS", "make a pass, or `update`, wrong, to see that it is found", OPTION_TEXT, &o.broken},
      {"net", 0, "FILE", "a .lmn file in place of drawn networks", OPTION_TEXT, &o.net},
      {"batch", 'B', "N", "with --net: sequences; default: 2", OPTION_COUNT, &o.batch},
      {"length", 'T', "N", "with --net: tokens; default: 9", OPTION_COUNT, &o.length},
      {"phase", 0, "N", "with --net: the phase that is trained, from 0", OPTION_COUNT, &o.phase},
      {"recompute", 0, "POLICY", "with --net: as lmnc compile takes it", OPTION_TEXT, &o.recompute},
      {"packed", 0, NULL, "with --net: packed rows", OPTION_FLAG, &o.packed},
      {"generate", 0, NULL, "with --net: also through KV caches", OPTION_FLAG, &o.generates},
  };
  const command_usage usage = {
      "random_networks",
      "Runs networks drawn at random with each optimisation on and off, and compares. FOLDER is for its own files.",
      "FOLDER",
      "/tmp/random --count 500 --seed 1",
      table,
      (int)LENGTH(table)};
  options_program = "";
  options_result result = options_parse(&usage, argument_count, arguments, &o.folder);
  if (result != OPTIONS_RUN) return result == OPTIONS_DONE ? 0 : 2;
  signal(SIGSEGV, crashed);
  signal(SIGABRT, crashed);
  lmn_error error = {0};
  int failures = 0;
  if (!run(&o, &failures, &error)) {
    fprintf(stderr, "error: %s\n", error.text);
    return 2;
  }
  return failures ? 1 : 0;
}
