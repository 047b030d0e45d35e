// A small network on a GPU, over a driver without one (tests/cuda), and the same on the CPU: artifacts in a folder, and
// what the tests of it share. Includes <cmocka.h>.
#ifndef LMN_TEST_FAKE_GPU_H
#define LMN_TEST_FAKE_GPU_H

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
static const char *const kernels[] = {"fake_clear", "fake_loss", "fake_evaluate", "fake_update", "fake_extend"};
static const char made_by_13[] = "Cuda compilation tools, release 13.0, V13.0.88";

static inline char *path_in(const char *name) {
  static char paths[4][600];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, 600, "%s/%s", folder, name);
  return path;
}

// kernels/NAME.cubin: an ELF header for NVIDIA's GPUs, and a note.
static inline void write_cubin(const char *artifact, const char *name, const char *note) {
  char path[700], file[sizeof(Elf64_Ehdr) + 128] = "";
  Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64}, .e_type = ET_EXEC, .e_machine = EM_CUDA};
  lmn_error error = {0};
  memcpy(file, &header, sizeof header);
  snprintf(file + sizeof header, 128, "%s", note);
  snprintf(path, sizeof path, "%s/kernels/%s.cubin", artifact, name);
  if (!file_write(path, file, sizeof file, &error)) fail_msg("%s", error.text);
}

static inline void healthy(void) {
  *driver = (fake_cuda_state){
      .version = 13000, .gpus = 2, .major = 8, .minor = 6, .memory = (int64_t)1 << 30, .fail_at = -1, .fault = NULL};
}

static inline int make_folder(void **state) {
  (void)state;
  lmn_error error = {0};
  if (!mkdtemp(folder)) return -1;
  snprintf(on_cpu, sizeof on_cpu, "%s/cpu.lmnx", folder);
  snprintf(on_gpu, sizeof on_gpu, "%s/gpu.lmnx", folder);
  char inner[80];
  snprintf(inner, sizeof inner, "%s/kernels", on_gpu);
  if (!directory_make(on_cpu, &error) || !directory_make(inner, &error)) return -1;
  if (!fake_artifact(on_cpu, &fake_settings, &error) || !fake_artifact_for(on_gpu, &fake_settings, "sm_80", &error))
    return -1;
  for (size_t i = 0; i < LENGTH(kernels); ++i) write_cubin(on_gpu, kernels[i], made_by_13);
  setenv("LMN_CUDA_DRIVER", LMN_FAKE_CUDA, 1);
  void *library = dlopen(LMN_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
  driver = library ? dlsym(library, "fake_cuda") : NULL;
  if (!driver) return -1;
  healthy();
  return 0;
}

static inline int remove_folder(void **state) {
  (void)state;
  return directory_remove(folder) ? 0 : -1;
}

// Nothing of the driver's is kept.
static inline void assert_all_given_back(void) {
  assert_int_equal(driver->allocated, 0);
  assert_int_equal(driver->pinned, 0);
  assert_int_equal(driver->modules, 0);
  assert_int_equal(driver->streams, 0);
  assert_int_equal(driver->events, 0);
  assert_int_equal(driver->contexts, 0);
  assert_int_equal(driver->graphs, 0);
}

static inline lmn_network *open_gpu(const lmn_options *options, lmn_error *error) {
  *error = (lmn_error){0};
  return lmn_open(on_gpu, options, error);
}

static inline lmn_network *open_loaded(const char *artifact) {
  lmn_error error = {0};
  lmn_network *n = lmn_open(artifact, NULL, &error);
  if (!n || !lmn_load(n, 0, &error)) fail_msg("%s", error.text);
  return n;
}

static inline bool make_batch(void *context, int64_t epoch, int64_t index, lmn_batch *b, lmn_error *error) {
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

static inline bool train_into(const char *artifact, const char *run, bool resume, lmn_error *error) {
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

static inline void make_steps(lmn_network *n, int count) {
  lmn_error error = {0};
  int32_t ids[FAKE_BATCH * FAKE_LENGTH] = {1, 2, 3, 4, 5, 6, 7, 8};
  lmn_batch b = {.batch = FAKE_BATCH, .length = FAKE_LENGTH, .input_ids = ids, .labels = ids};
  for (int i = 0; i < count; ++i) {
    double loss, norm;
    if (!lmn_step(n, 0, &b, 1, 0.1, &loss, &norm, &error)) fail_msg("%s", error.text);
  }
}

#endif
