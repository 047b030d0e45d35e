// Networks on a GPU, over a driver without one (tests/cuda): the same results as on the CPU bit for bit, the order of
// what the driver is asked for, and every way in which that can go wrong.
#include "tests/cuda/fake_driver.h"
#include "tests/unit/fake_device.h"

#include "runtime/checkpoint.h"
#include "runtime/network.h"
#include "runtime/schedule.h"
#include "runtime/train.h"

#include <dlfcn.h>
#include <elf.h>
#include <setjmp.h>
#include <unistd.h>

#include <cmocka.h>

#include "run_files.h"

static char folder[] = "/tmp/lmn-cuda-XXXXXX";
static char on_cpu[64], on_gpu[64]; // artifacts
static fake_cuda_state *driver;
static const plan_phase settings = {.lr = 0.05,
                                    .beta1 = 0.9,
                                    .beta2 = 0.95,
                                    .eps = 1e-8,
                                    .schedule = RATE_COSINE,
                                    .warmup = 3,
                                    .accumulate = 2,
                                    .steps = 10,
                                    .evaluate_every = 4,
                                    .save_every = 3};
static const char *const kernels[] = {"fake_clear", "fake_loss", "fake_evaluate", "fake_update", "fake_extend"};
static const char made_by_13[] = "Cuda compilation tools, release 13.0, V13.0.88";

static char *path_in(const char *name) {
  static char paths[4][600];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, 600, "%s/%s", folder, name);
  return path;
}

// kernels/NAME.cubin: an ELF header for NVIDIA's GPUs, and a note.
static void write_cubin(const char *artifact, const char *name, const char *note) {
  char path[700], file[sizeof(Elf64_Ehdr) + 128] = "";
  Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64}, .e_type = ET_EXEC, .e_machine = EM_CUDA};
  lmn_error error = {0};
  memcpy(file, &header, sizeof header);
  snprintf(file + sizeof header, 128, "%s", note);
  snprintf(path, sizeof path, "%s/kernels/%s.cubin", artifact, name);
  if (!file_write(path, file, sizeof file, &error)) fail_msg("%s", error.text);
}

static void healthy(void) {
  *driver = (fake_cuda_state){
      .version = 13000, .gpus = 2, .major = 8, .minor = 6, .memory = (int64_t)1 << 30, .fail_at = -1, .fault = NULL};
}

static int make_folder(void **state) {
  (void)state;
  lmn_error error = {0};
  if (!mkdtemp(folder)) return -1;
  snprintf(on_cpu, sizeof on_cpu, "%s/cpu.lmnx", folder);
  snprintf(on_gpu, sizeof on_gpu, "%s/gpu.lmnx", folder);
  char inner[80];
  snprintf(inner, sizeof inner, "%s/kernels", on_gpu);
  if (!directory_make(on_cpu, &error) || !directory_make(inner, &error)) return -1;
  if (!fake_artifact(on_cpu, &settings, &error) || !fake_artifact_for(on_gpu, &settings, "sm_80", &error)) return -1;
  for (size_t i = 0; i < LENGTH(kernels); ++i) write_cubin(on_gpu, kernels[i], made_by_13);
  setenv("LMN_CUDA_DRIVER", LMN_FAKE_CUDA, 1);
  void *library = dlopen(LMN_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
  driver = library ? dlsym(library, "fake_cuda") : NULL;
  if (!driver) return -1;
  healthy();
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  return directory_remove(folder) ? 0 : -1;
}

// Nothing of the driver's is kept.
static void assert_all_given_back(void) {
  assert_int_equal(driver->allocated, 0);
  assert_int_equal(driver->pinned, 0);
  assert_int_equal(driver->modules, 0);
  assert_int_equal(driver->streams, 0);
  assert_int_equal(driver->events, 0);
  assert_int_equal(driver->contexts, 0);
  assert_int_equal(driver->graphs, 0);
}

static lmn_network *open_gpu(const lmn_options *options, lmn_error *error) {
  *error = (lmn_error){0};
  return lmn_open(on_gpu, options, error);
}

static lmn_network *open_loaded(const char *artifact) {
  lmn_error error = {0};
  lmn_network *n = lmn_open(artifact, NULL, &error);
  if (!n || !lmn_load(n, 0, &error)) fail_msg("%s", error.text);
  return n;
}

// ---- what cannot be opened ----------------------------------------------------------------------

// The message has all of these; nothing is left.
static void assert_refused(const lmn_options *options, const char *a, const char *b, const char *c) {
  lmn_error error;
  const char *const parts[] = {a, b, c};
  lmn_network *n = open_gpu(options, &error);
  if (n) fail_msg("was opened; expected: %s … %s", a, b);
  for (size_t i = 0; i < LENGTH(parts); ++i)
    if (!strstr(error.text, parts[i])) fail_msg("\"%s\" has no \"%s\"", error.text, parts[i]);
  assert_all_given_back();
  healthy();
}

static void test_no_driver(void **state) {
  (void)state;
  setenv("LMN_CUDA_DRIVER", "libcuda-that-is-not-there.so.1", 1);
  assert_refused(NULL, "libcuda-that-is-not-there.so.1", "install NVIDIA's driver", "--target cpu");
  setenv("LMN_CUDA_DRIVER", "libm.so.6", 1);
  assert_refused(NULL, "libm.so.6", "too old", "cuInit");
  setenv("LMN_CUDA_DRIVER", LMN_FAKE_CUDA, 1);
  driver->fail_at = 0, driver->fail_with = 34;
  assert_refused(NULL, "stub", "LD_LIBRARY_PATH", "install NVIDIA's driver");
  driver->fail_at = 0, driver->fail_with = 803;
  assert_refused(NULL, "cannot be started", "CUDA_ERROR_803", "nvidia-smi");
}

// What only the driver knows of: said with what can be done, in whichever of its calls it comes up.
static void test_remedies(void **state) {
  (void)state;
  const struct {
    int result;
    const char *what, *remedy;
  } cases[] = {{802, "cannot be started", "fabric manager"},
               {803, "cannot be started", "start the machine again"},
               {2, "it cannot be used", "nvidia-smi lists them"},
               {46, "it cannot be used", "another program may have it for itself"},
               {2, "cannot be loaded", "other programs may have its memory"}};
  enum { CALLS = 40 };
  for (size_t i = 0; i < LENGTH(cases); ++i) {
    int found = 0;
    for (int at = 0; at < CALLS; ++at) {
      lmn_error error;
      healthy();
      driver->fail_at = at, driver->fail_with = cases[i].result;
      lmn_close(open_gpu(NULL, &error));
      if (!strstr(error.text, cases[i].what)) continue;
      if (!strstr(error.text, cases[i].remedy)) fail_msg("%s", error.text);
      ++found;
    }
    if (!found) fail_msg("no call fails with \"%s\"", cases[i].what);
  }
  healthy();
  *driver = (fake_cuda_state){.allocated = 0};
  healthy();
}

static void test_no_gpu(void **state) {
  (void)state;
  driver->gpus = 0;
  assert_refused(NULL, "shows no GPU", "CUDA_VISIBLE_DEVICES", "--target cpu");
  assert_refused(&(lmn_options){.gpu = 2}, "there is no GPU 2", "from 0 to 1", "--device");
}

static void test_capability(void **state) {
  (void)state;
  const struct {
    int major, minor;
    const char *remedy;
  } others[] = {{9, 0, "--target sm_90a"}, {7, 5, "--target cpu"}, {10, 0, "--target cpu"}, {12, 0, "another GPU"}};
  for (size_t i = 0; i < LENGTH(others); ++i) {
    char capability[32];
    driver->major = others[i].major, driver->minor = others[i].minor;
    snprintf(capability, sizeof capability, "capability %d.%d", others[i].major, others[i].minor);
    assert_refused(NULL, "compiled for sm_80", capability, others[i].remedy);
  }
  lmn_error error;
  driver->minor = 9; // a later one of the same major version runs it
  lmn_network *n = open_gpu(NULL, &error);
  assert_non_null(n);
  lmn_close(n);
  assert_true(fake_artifact_for(on_gpu, &settings, "sm_90a", &error));
  driver->major = 9, driver->minor = 1; // the architecture's own features are in no later one
  assert_refused(NULL, "compiled for sm_90a", "capability 9.1", "cpu");
  assert_refused(NULL, "compiled for sm_90a", "capability 8.6", "--target sm_80");
  assert_true(fake_artifact_for(on_gpu, &settings, "sm_80", &error));
}

static void test_old_driver(void **state) {
  (void)state;
  lmn_error error;
  driver->version = 12040;
  assert_refused(NULL, "made by CUDA 13.0", "it is of CUDA 12.4", "install one of CUDA 13.0 or newer");
  driver->version = 14000;
  lmn_network *n = open_gpu(NULL, &error);
  assert_non_null(n);
  lmn_close(n);
  write_cubin(on_gpu, "fake_loss", "who made this is not said");
  driver->version = 12040;
  assert_refused(NULL, "made by CUDA 13.0", "too old", "CUDA 12"); // the others say it
  write_cubin(on_gpu, "fake_loss", made_by_13);
}

static void test_broken_kernels(void **state) {
  (void)state;
  lmn_error error = {0};
  char path[700];
  snprintf(path, sizeof path, "%s/kernels/fake_loss.cubin", on_gpu);
  assert_int_equal(truncate(path, 30), 0);
  assert_refused(NULL, "kernels/fake_loss.cubin", "no whole cubin", "compile the network again");
  assert_true(
      file_write(path, "\177ELF of another machine, or no ELF at all: long enough to have a header", 72, &error));
  assert_refused(NULL, "kernels/fake_loss.cubin", "no whole cubin", "compile the network again");
  unlink(path);
  assert_refused(NULL, "kernels/fake_loss.cubin", "", "");
  write_cubin(on_gpu, "fake_loss", made_by_13);
}

// What does not fit is said before any memory is asked for.
static void test_memory_foreseen(void **state) {
  (void)state;
  lmn_error error;
  driver->memory = 1 << 20;
  lmn_network *n = open_gpu(NULL, &error);
  assert_null(n);
  assert_non_null(strstr(error.text, "GB for it on the device"));
  assert_int_equal(driver->most_allocated, 0);
  assert_all_given_back();
  healthy();
  n = open_loaded(on_gpu);
  driver->memory = driver->allocated + (1 << 20);
  int64_t before = driver->allocated;
  int32_t ids[FAKE_BATCH * FAKE_LENGTH] = {0};
  lmn_batch b = {.batch = FAKE_BATCH, .length = FAKE_LENGTH, .input_ids = ids, .labels = ids};
  double loss;
  int64_t labels;
  assert_false(lmn_evaluate(n, &b, &loss, &labels, NULL, &error));
  assert_non_null(strstr(error.text, "evaluate needs"));
  assert_non_null(strstr(error.text, "would fit"));
  assert_int_equal(driver->allocated, before);
  lmn_close(n);
  healthy();
}

// ---- runs ---------------------------------------------------------------------------------------

static bool make_batch(void *context, int64_t epoch, int64_t index, lmn_batch *b, lmn_error *error) {
  static int32_t ids[FAKE_BATCH * FAKE_LENGTH], labels[FAKE_BATCH * FAKE_LENGTH];
  (void)error;
  random_stream r = random_named((uint64_t)(epoch * 1000 + index), context);
  for (int i = 0; i < FAKE_BATCH * FAKE_LENGTH; ++i) {
    ids[i] = (int32_t)(random_next(&r) % FAKE_VOCABULARY);
    labels[i] = i == 5 ? -100 : ids[i] * ids[i] % FAKE_VOCABULARY;
  }
  *b = (lmn_batch){.batch = FAKE_BATCH, .length = FAKE_LENGTH, .input_ids = ids, .labels = labels};
  return true;
}

static bool train_into(const char *artifact, const char *run, bool resume, lmn_error *error) {
  const train_phase phases[] = {{0, {"train", make_batch, 7}, {"validation", make_batch, 3}, 0},
                                {1, {"train", make_batch, 7}, {0}, 0}};
  train_options o = {.run = run, .resume = resume, .phases = phases, .phase_count = 2};
  train_report report;
  *error = (lmn_error){0};
  lmn_network *n = lmn_open(artifact, NULL, error);
  bool ok = n && lmn_load(n, 0, error) && train_run(n, &o, &report, error);
  lmn_close(n);
  return ok;
}

static void test_training_is_the_cpus(void **state) {
  (void)state;
  lmn_error error;
  if (!train_into(on_cpu, path_in("cpu"), false, &error)) fail_msg("%s", error.text);
  if (!train_into(on_gpu, path_in("gpu"), false, &error)) fail_msg("%s", error.text);
  assert_same_run(path_in("cpu"), path_in("gpu"), NULL);
  assert_same_file(path_in("cpu"), path_in("gpu"), "checkpoints/step-00000020/optimizer.safetensors");
  setenv("LMN_CUDA_GRAPH", "0", 1);
  if (!train_into(on_gpu, path_in("no-graph"), false, &error)) fail_msg("%s", error.text);
  unsetenv("LMN_CUDA_GRAPH");
  assert_same_run(path_in("gpu"), path_in("no-graph"), "step-00000020");
  assert_true(driver->tables >= 20);
  assert_true(driver->maps >= 40);
  assert_all_given_back();
}

// The next step's batch is copied while the device is at a step, however late or early the copies are done; where the
// GPU has no memory for that, before the step.
static void test_next_batch(void **state) {
  (void)state;
  lmn_error error;
  for (int i = 0; i < 3; ++i) {
    char run[64];
    snprintf(run, sizeof run, "%s/ahead-%d", folder, i);
    healthy();
    driver->eager = i == 1;
    setenv("LMN_CUDA_GRAPH", i == 2 ? "0" : "1", 1);
    driver->order[0] = 0;
    if (!train_into(on_gpu, run, false, &error)) fail_msg("%s", error.text);
    assert_same_run(path_in("gpu"), run, "step-00000020");
    const char *expected = i == 2 ? "copy fake_clear fake_loss out ahead wait" : "copy graph ahead wait";
    if (!strstr(driver->order, expected)) fail_msg("no \"%s\" in %s", expected, driver->order);
    assert_all_given_back();
  }
  unsetenv("LMN_CUDA_GRAPH");
  healthy();
}

// A kernel that fails at any time: its name is said, the checkpoint before is whole, and the training goes on from it.
static void test_fault(void **state) {
  (void)state;
  lmn_error error;
  for (int64_t at = 0; at < 40; at += 13) {
    char run[64];
    snprintf(run, sizeof run, "%s/fault-%d", folder, (int)at);
    driver->fault = "fake_loss", driver->fault_at = at;
    setenv("LMN_CUDA_SYNC", at % 2 ? "1" : "0", 1);
    assert_false(train_into(on_gpu, run, false, &error));
    unsetenv("LMN_CUDA_SYNC");
    const char *named = at == 0 || at % 2 ? "fake_loss (kernel fake_loss) failed: CUDA_ERROR_700" : "LMN_CUDA_SYNC=1";
    if (!strstr(error.text, named) || !strstr(error.text, "GPU 0 (Fake GPU 0)") || !strstr(error.text, "train:"))
      fail_msg("at %d: %s", (int)at, error.text);
    if (at >= 13) assert_non_null(strstr(error.text, "the last checkpoint is"));
    healthy();
    if (!train_into(on_gpu, run, true, &error)) fail_msg("%s", error.text);
    assert_same_run(path_in("gpu"), run, "step-00000020");
  }
}

// The GPU goes away at any call of a training, in the midst of a checkpoint's copy too: one message, what was saved is
// whole, and the training goes on from it.
static void test_gpu_lost(void **state) {
  (void)state;
  enum { LOST = 719, STRIDE = 61 };
  lmn_error error;
  if (!train_into(on_gpu, path_in("unharmed"), false, &error)) fail_msg("%s", error.text);
  int64_t calls = driver->calls;
  for (int64_t at = STRIDE; at < calls; at += STRIDE) {
    char run[64];
    snprintf(run, sizeof run, "%s/lost-%d", folder, (int)at);
    healthy();
    driver->fail_at = at, driver->fail_with = LOST;
    if (!train_into(on_gpu, run, false, &error)) {
      if (!strstr(error.text, "CUDA_ERROR_719")) fail_msg("call %d: %s", (int)at, error.text);
      healthy();
      if (!train_into(on_gpu, run, true, &error)) fail_msg("call %d: %s", (int)at, error.text);
    }
    assert_same_run(path_in("unharmed"), run, "step-00000020");
    directory_remove(run);
  }
  healthy();
}

static void make_steps(lmn_network *n, int count) {
  lmn_error error = {0};
  int32_t ids[FAKE_BATCH * FAKE_LENGTH] = {1, 2, 3, 4, 5, 6, 7, 8};
  lmn_batch b = {.batch = FAKE_BATCH, .length = FAKE_LENGTH, .input_ids = ids, .labels = ids};
  for (int i = 0; i < count; ++i) {
    double loss, norm;
    if (!lmn_step(n, 0, &b, 1, 0.1, &loss, &norm, &error)) fail_msg("%s", error.text);
  }
}

// Steps made while a checkpoint is written are not in it; one that cannot be written is said when it is looked at.
static void test_checkpoint_meanwhile(void **state) {
  (void)state;
  lmn_error error = {0};
  json_t *said = json_pack("{s:s}", "data", "none");
  lmn_network *n = open_loaded(on_gpu);
  make_steps(n, 3);
  float then[FAKE_VOCABULARY], later[FAKE_VOCABULARY], read[FAKE_VOCABULARY];
  assert_true(lmn_read_parameter(n, "w", then, &error));
  checkpoint_writer *w = checkpoint_writer_create(n, path_in("meanwhile"), 2);
  assert_true(checkpoint_begin(w, &(training_state){.step = 3, .total_step = 3}, said, &error));
  make_steps(n, 2);
  assert_true(checkpoint_wait(w, &error) && lmn_read_parameter(n, "w", later, &error));
  assert_memory_not_equal(then, later, sizeof then);
  assert_non_null(strstr(checkpoint_last(w), "meanwhile/checkpoints/step-00000003"));
  training_state at;
  assert_true(checkpoint_read_state(checkpoint_last(w), said, &at, &error) && at.step == 3);
  assert_true(checkpoint_load(n, checkpoint_last(w), &at, &error) && lmn_read_parameter(n, "w", read, &error));
  assert_memory_equal(then, read, sizeof then);
  make_steps(n, 2); // from there on as from the steps before
  assert_true(lmn_read_parameter(n, "w", read, &error));
  assert_memory_equal(later, read, sizeof later);
  checkpoint_writer_destroy(w);

  assert_true(directory_make(path_in("blocked"), &error) && file_write(path_in("blocked/checkpoints"), "", 0, &error));
  w = checkpoint_writer_create(n, path_in("blocked"), 2);
  bool ok = checkpoint_begin(w, &(training_state){.step = 7, .total_step = 7}, said, &error);
  for (int i = 0; ok && i < 1000; ++i, usleep(1000)) ok = checkpoint_settle(w, &error);
  assert_false(ok);
  assert_non_null(strstr(error.text, "no checkpoint of step 7 could be written"));
  assert_string_equal(checkpoint_last(w), "");
  checkpoint_writer_destroy(w);
  lmn_close(n);
  json_decref(said);
  assert_false(train_into(on_gpu, path_in("blocked"), false, &error));
  assert_non_null(strstr(error.text, "no checkpoint of step 3 could be written"));
  assert_all_given_back();
}

// Every call that the driver can refuse, one after the other: one message, and nothing is kept.
static void test_every_call_fails(void **state) {
  (void)state;
  lmn_error error;
  int32_t ids[FAKE_BATCH * FAKE_LENGTH] = {1, 2, 3, 4, 5, 6, 7, 8};
  lmn_batch b = {.batch = FAKE_BATCH, .length = FAKE_LENGTH, .input_ids = ids, .labels = ids};
  for (int64_t at = 0;; ++at) {
    healthy();
    driver->fail_at = at, driver->fail_with = at % 2 ? 2 : 1;
    lmn_network *n = open_gpu(NULL, &error);
    double loss, norm;
    bool ok = n && lmn_load(n, 0, &error) && lmn_step(n, 0, &b, 1, 0.1, &loss, &norm, &error);
    bool reached = driver->calls > at;
    if (ok && reached && error.text[0]) fail_msg("call %d: %s", (int)at, error.text);
    if (!ok && (!reached || !error.text[0])) fail_msg("call %d: no message: %s", (int)at, error.text);
    int64_t closing = driver->calls;
    lmn_close(n);
    if (at < closing) assert_all_given_back();
    if (!reached) break;
    assert_true(at < 1000);
  }
  healthy();
  *driver = (fake_cuda_state){.allocated = 0};
  healthy();
}

static void check_order(bool graphs) {
  lmn_error error = {0};
  setenv("LMN_CUDA_GRAPH", graphs ? "1" : "0", 1);
  int32_t ids[FAKE_BATCH * FAKE_LENGTH] = {1, 2, 3, 4, 5, 6, 7, 8};
  lmn_batch b = {.batch = FAKE_BATCH, .length = FAKE_LENGTH, .input_ids = ids, .labels = ids};
  lmn_network *n = open_loaded(on_gpu);
  double loss, norm;
  // The first run waits for every launch; then a step is one wait an entry.
  driver->order[0] = 0;
  assert_true(lmn_step(n, 0, &b, 1, -1, &loss, NULL, &error));
  assert_string_equal(driver->order, "in fake_clear wait fake_loss wait out wait");
  assert_true(lmn_step(n, 0, &b, 1, 0.1, &loss, &norm, &error)); // the optimizer's spaces are new
  assert_true(lmn_step(n, 0, &b, 1, 0.1, &loss, &norm, &error)); // so that everything looked again
  driver->order[0] = 0;
  assert_true(lmn_step(n, 0, &b, 1, 0.1, &loss, &norm, &error));
  if (graphs) assert_string_equal(driver->order, "in [ fake_clear fake_loss out ] graph wait in graph wait");
  driver->order[0] = 0;
  assert_true(lmn_step(n, 0, &b, 1, 0.1, &loss, &norm, &error));
  assert_string_equal(driver->order, graphs ? "in graph wait in graph wait"
                                            : "in fake_clear fake_loss out wait in fake_update out wait");
  assert_int_equal(lmn_vertex_runs(n), 1);
  // A profile has a time for each launch.
  const plan_entry *e = network_entry(n, ENTRY_TRAIN, 0, b.batch, b.length, false, &error);
  double seconds[2] = {0};
  device_profile(n->device, seconds);
  assert_true(network_compute(n, e, &b, 1, &error));
  device_profile(n->device, NULL);
  assert_float_equal(seconds[0], 2e-3, 1e-9);
  assert_float_equal(seconds[1], 2e-3, 1e-9);
  lmn_close(n);
  unsetenv("LMN_CUDA_GRAPH");
  assert_all_given_back();
}

// With graphs and without.
static void test_order(void **state) {
  (void)state;
  check_order(false);
  check_order(true);
}

// The gradient of label 0 after a step in a graph whose second launch waits for what is said.
static float gradient_after(const int64_t *after, int count) {
  lmn_error error = {0};
  lmn_network *n = open_loaded(on_gpu);
  plan_entry *e = (plan_entry *)network_entry(n, ENTRY_TRAIN, 0, FAKE_BATCH, FAKE_LENGTH, false, &error);
  e->launches[1].ordered = true, e->launches[1].after = (int64_t *)after, e->launches[1].after_count = count;
  make_steps(n, 4);
  float gradient[FAKE_VOCABULARY];
  assert_true(lmn_read_gradient(n, 0, "w", gradient, &error));
  lmn_close(n);
  assert_all_given_back();
  return gradient[1];
}

// In a graph a launch waits for those that it says: the fake driver turns around all others.
static void test_dependencies(void **state) {
  (void)state;
  const int64_t clear = 0;
  setenv("LMN_CUDA_GRAPH", "0", 1);
  float expected = gradient_after(NULL, 0);
  setenv("LMN_CUDA_GRAPH", "chain", 1);
  assert_float_equal(gradient_after(NULL, 0), expected, 0);
  unsetenv("LMN_CUDA_GRAPH");
  assert_float_equal(gradient_after(&clear, 1), expected, 0);
  assert_true(gradient_after(NULL, 0) != expected); // cleared after it was computed
}

// Large copies are made by several threads; a call of one of them that fails is said.
static void test_large_copies(void **state) {
  (void)state;
  enum { BYTES = (80 << 20) + 12, AT = 64 };
  lmn_error error = {0};
  lmn_network *n = open_loaded(on_gpu);
  uint32_t *there = memory_alloc(BYTES), *back = memory_zero(BYTES);
  for (uint32_t i = 0; i < BYTES / sizeof *there; ++i) there[i] = i * 2654435761u;
  assert_true(device_reserve(n->device, SPACE_MOMENT1, BYTES + AT, &error));
  assert_true(device_write(n->device, SPACE_MOMENT1, AT, there, BYTES, &error));
  assert_true(device_read(n->device, SPACE_MOMENT1, AT, back, BYTES, &error));
  assert_memory_equal(there, back, BYTES);
  driver->fail_at = driver->calls + 100, driver->fail_with = 719;
  assert_false(device_read(n->device, SPACE_MOMENT1, AT, back, BYTES, &error));
  assert_non_null(strstr(error.text, "CUDA_ERROR_719"));
  lmn_close(n);
  free(there);
  free(back);
  *driver = (fake_cuda_state){.allocated = 0};
  healthy();
}

// Micro-batches: the sums of the gradients are the CPU's, and stay on the GPU.
static void test_accumulation(void **state) {
  (void)state;
  lmn_error error = {0};
  int32_t ids[3][FAKE_BATCH * FAKE_LENGTH] = {
      {1, 2, 3, 4, 5, 6, 7, 8}, {3, 3, 3, 9, 9, 1, 2, 0}, {7, 1, 7, 1, 8, 8, 2, 2}};
  float gradients[2][FAKE_VOCABULARY];
  for (int device = 0; device < 2; ++device) {
    lmn_network *n = open_loaded(device ? on_gpu : on_cpu);
    lmn_batch batches[3] = {0};
    for (int i = 0; i < 3; ++i)
      batches[i] = (lmn_batch){.batch = FAKE_BATCH, .length = FAKE_LENGTH, .input_ids = ids[i], .labels = ids[2 - i]};
    double loss, norm;
    for (int i = 0; i < 3; ++i) assert_true(lmn_step(n, 0, batches, 3, 0.1, &loss, &norm, &error));
    assert_true(lmn_read_gradient(n, 0, "w", gradients[device], &error));
    lmn_close(n);
  }
  assert_memory_equal(gradients[0], gradients[1], sizeof gradients[0]);
  assert_all_given_back();
}

// ---- profiles -----------------------------------------------------------------------------------

// Six steps; every launch takes 2 ms, as the fake driver's clock has it.
static char *profile_of(const char *gpu) {
  lmn_error error = {0};
  driver->name = gpu;
  lmn_network *n = open_loaded(on_gpu);
  int32_t ids[FAKE_BATCH * FAKE_LENGTH] = {1, 2, 3, 4, 5, 6, 7, 8};
  lmn_batch b = {.batch = FAKE_BATCH, .length = FAKE_LENGTH, .input_ids = ids, .labels = ids};
  const char *groups[] = {"v[0], v[1]"};
  plan_entry *e = (plan_entry *)network_entry(n, ENTRY_TRAIN, 0, b.batch, b.length, false, &error);
  n->plan->groups = groups, n->plan->group_count = 1;
  e->launches[1].flops = 2000000000, e->launches[1].bytes = 67000000, e->launches[1].group = 1;
  e->launches[1].shape = "8x11";
  n->profile = profile_create(n->plan, n->device);
  for (int i = 0; i < 6; ++i) {
    double loss, norm;
    profile_step_begin(n->profile);
    if (!lmn_step(n, 0, &b, 1, 0.1, &loss, &norm, &error)) fail_msg("%s", error.text);
    profile_step_end(n->profile, FAKE_BATCH * FAKE_LENGTH);
  }
  char *printed = NULL;
  size_t length;
  FILE *out = open_memstream(&printed, &length);
  profile_print(n->profile, out);
  fclose(out);
  assert_true(profile_trace(n->profile, path_in("trace.json"), &error));
  profile_destroy(n->profile);
  lmn_close(n);
  healthy();
  return printed;
}

static void assert_says(const char *text, const char *part) {
  if (!strstr(text, part)) fail_msg("\"%s\" is not in\n%s", part, text);
}

static void test_profile(void **state) {
  (void)state;
  char *printed = profile_of("NVIDIA H100 80GB HBM3");
  assert_says(printed, "NVIDIA H100 80GB HBM3: at most 66.9 TFLOP/s (float32) and 3350 GB/s");
  assert_says(printed, "its 3 launches one by one: 6.00 ms (mean of 3)");
  // 2 GFLOP and 67 MB in 2 ms.
  assert_says(printed, "    2.000  33.3      1.0        1    1 %     33.5    1 %  fake_loss 8x11\n");
  assert_says(printed, "    2.000  33.3      1.0        -      -        -      -  fake_update\n");
  assert_says(printed, "  2 vertices (share-vertices): v[0] … v[1]\n");
  assert_says(printed, "    1.000  16.7      0.5        1    1 %     33.5    1 %  v[1]\n");
  double said, token, rate, peak;
  assert_int_equal(sscanf(strstr(printed, "MFU "), "MFU %lf %% = %lf GFLOP a token x %lf tokens/s / %lf TFLOP/s", &said,
                          &token, &rate, &peak),
                   4);
  assert_float_equal(token, 2.0 / (FAKE_BATCH * FAKE_LENGTH), 1e-3);
  assert_float_equal(said, 100 * token * rate / peak / 1e3, 0.06);
  free(printed);
  char *trace;
  size_t length;
  lmn_error error = {0};
  assert_true(file_read(path_in("trace.json"), 1 << 20, &trace, &length, &error));
  assert_says(trace, "\"name\":\"v[0], v[1]\",\"ph\":\"X\",\"pid\":1,\"tid\":2");
  assert_says(trace, "\"shape\":\"8x11\",\"nodes\":\"v[0], v[1]\",\"TFLOP/s\":1.0");
  free(trace);
  printed = profile_of(NULL);
  assert_says(printed, "Fake GPU 0: its limits are not known here, so there is no MFU\n");
  assert_null(strstr(printed, "MFU "));
  free(printed);
}

static void test_generation_is_the_cpus(void **state) {
  (void)state;
  lmn_error error = {0};
  lmn_network *networks[] = {open_loaded(on_cpu), open_loaded(on_gpu)};
  const float *logits[2];
  int32_t ids[FAKE_ROWS][6] = {{1, 2, 3, 4, 5, 6}, {9, 8, 7}, {4}}, counts[FAKE_ROWS] = {6, 3, 1};
  for (int i = 0; i < 2; ++i) {
    assert_true(lmn_reset(networks[i], FAKE_ROWS, FAKE_CAPACITY, &error));
    for (int round = 0; round < 2; ++round)
      assert_true(lmn_extend(networks[i], &ids[0][0], 6, counts, &logits[i], &error));
  }
  assert_memory_equal(logits[0], logits[1], FAKE_ROWS * FAKE_VOCABULARY * sizeof(float));
  lmn_close(networks[0]);
  lmn_close(networks[1]);
}

static void test_parameters(void **state) {
  (void)state;
  lmn_error error = {0};
  lmn_network *n = open_loaded(on_gpu);
  float values[FAKE_VOCABULARY] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5}, again[FAKE_VOCABULARY], frozen[4];
  assert_true(lmn_write_parameter(n, "w", values, &error));
  assert_true(lmn_read_parameter(n, "w", again, &error) && lmn_read_parameter(n, "frozen", frozen, &error));
  assert_memory_equal(values, again, sizeof values);
  assert_float_equal(frozen[3], 1, 0);
  assert_null(device_map(n->device, SPACE_PARAMETER));
  assert_true(lmn_save(n, path_in("saved.safetensors"), &error));
  lmn_close(n);
  n = open_loaded(on_gpu);
  assert_true(lmn_replace(n, path_in("saved.safetensors"), &error) && lmn_read_parameter(n, "w", again, &error));
  assert_memory_equal(values, again, sizeof values);
  assert_false(lmn_read_parameter(n, "nothing", again, &error));
  lmn_close(n);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_driver),
      cmocka_unit_test(test_no_gpu),
      cmocka_unit_test(test_remedies),
      cmocka_unit_test(test_capability),
      cmocka_unit_test(test_old_driver),
      cmocka_unit_test(test_broken_kernels),
      cmocka_unit_test(test_memory_foreseen),
      cmocka_unit_test(test_parameters),
      cmocka_unit_test(test_order),
      cmocka_unit_test(test_training_is_the_cpus),
      cmocka_unit_test(test_next_batch),
      cmocka_unit_test(test_fault),
      cmocka_unit_test(test_gpu_lost),
      cmocka_unit_test(test_checkpoint_meanwhile),
      cmocka_unit_test(test_dependencies),
      cmocka_unit_test(test_large_copies),
      cmocka_unit_test(test_accumulation),
      cmocka_unit_test(test_profile),
      cmocka_unit_test(test_every_call_fails),
      cmocka_unit_test(test_generation_is_the_cpus),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
