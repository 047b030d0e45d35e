// plan.json: what is read is written and read again as the same, and a network opened over it takes batches, on a
// device that runs nothing. A plan that wants more than a little memory is refused by the device, as on a small
// machine.
#include "tests/fuzz/fuzz.h"

#include "runtime/device_parts.h"
#include "runtime/network.h"

enum { SPACE_LIMIT = 1 << 20, TOKENS_LIMIT = 4096, VOCABULARY_LIMIT = 1 << 16 };

struct device {
  device_base base;
  void *spaces[SPACE_COUNT];
};

static void close_device(device *d) {
  for (int i = 0; i < SPACE_COUNT; ++i) free(d->spaces[i]);
  free(d);
}

static bool reserve(device *d, plan_space space, int64_t bytes, lmn_error *error) {
  free(d->spaces[space]);
  d->spaces[space] = NULL;
  if (bytes > SPACE_LIMIT) return fail(error, "no memory");
  d->spaces[space] = memory_zero((size_t)bytes);
  return true;
}

static int threads_of(const device *d) { return (void)d, 1; }
static void *map(const device *d, plan_space space) { return d->spaces[space]; }
static bool run(device *d, int entry, lmn_error *error) { return (void)d, (void)entry, (void)error, true; }

device *device_cpu_open(const plan *p, const char *artifact, int threads, lmn_error *error) {
  static const device_functions functions = {
      .close = close_device, .threads = threads_of, .reserve = reserve, .map = map, .run = run};
  (void)artifact, (void)threads, (void)error;
  device *d = memory_zero(sizeof *d);
  d->base = (device_base){.functions = &functions, .plan = p};
  return d;
}

static void same_again(arena *a, const plan *p) {
  text once = {0}, twice = {0};
  plan *again;
  lmn_error error = {0};
  plan_write(p, &once);
  if (!plan_read(a, fuzz_file("again.json", once.data, once.length), &again, &error)) abort();
  plan_write(again, &twice);
  if (strcmp(once.data, twice.data)) abort();
  text_free(&once);
  text_free(&twice);
}

static void run_entry(lmn_network *n, const plan_entry *e) {
  static int32_t zeros[TOKENS_LIMIT];
  lmn_batch b = {.batch = e->batch, .length = e->length, .input_ids = zeros, .labels = zeros, .last = zeros};
  double loss, norm;
  int64_t labels, right;
  lmn_error error = {0};
  bool ok = true;
  if (e->batch < 1 || e->batch > TOKENS_LIMIT || e->length > TOKENS_LIMIT / e->batch) return;
  if (lmn_plan(n)->vocabulary > VOCABULARY_LIMIT || lmn_plan(n)->classes > VOCABULARY_LIMIT) return; // logits
  if (e->kind == ENTRY_TRAIN) ok = lmn_step(n, e->phase, (lmn_batch[]){b, b}, 2, 0.1, &loss, &norm, &error);
  if (e->kind == ENTRY_EVALUATE) ok = lmn_evaluate(n, &b, &loss, &labels, &right, &error);
  if (e->kind == ENTRY_EXTEND) {
    int32_t counts[TOKENS_LIMIT];
    for (int64_t i = 0; i < e->batch; ++i) counts[i] = 1;
    const float *logits;
    if (lmn_reset(n, e->batch, e->capacity, &error))
      for (int i = 0; ok && i < 3; ++i) ok = lmn_extend(n, zeros, 1, counts, &logits, &error);
  }
  fuzz_expect(ok, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_file("plan.json", data, size);
  arena *a = arena_create();
  plan *p;
  lmn_error error = {0};
  if (plan_read(a, fuzz_path("plan.json"), &p, &error)) {
    same_again(a, p);
    lmn_network *n = lmn_open(fuzz_folder(), NULL, &error);
    fuzz_expect(n, &error);
    lmn_error missing = {0};
    if (n) fuzz_expect(lmn_load(n, 0, &missing), &missing);
    for (int i = 0; n && i < p->entry_count; ++i) run_entry(n, &p->entries[i]);
    lmn_close(n);
  } else fuzz_expect(false, &error);
  arena_destroy(a);
  return 0;
}
