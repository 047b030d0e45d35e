// links: codegen
// driver
// Tiles measured on a GPU, over a driver without one whose kernels sleep: the fastest is kept, beside what other
// networks left in the file, and each thing that is wrong is said.
#include "driver/tune.h"
#include "runtime/plan.h"
#include "tests/cuda/fake_driver.h"

#include <dlfcn.h>
#include <elf.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/lmn-tune-XXXXXX";
static fake_cuda_state *driver;

static char *path_in(const char *name) {
  static char paths[4][300];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, 300, "%s/%s", folder, name);
  return path;
}

static void write_file(const char *name, const void *data, size_t length) {
  lmn_error error = {0};
  if (!file_write(path_in(name), data, length, &error)) fail_msg("%s", error.text);
}

static int trials; // since write_trials

// An entry of three launches, each of so many microseconds.
static plan_entry trial(const char *name, int64_t microseconds) {
  enum { MOST = 8 };
  static plan_launch launches[MOST][3];
  static plan_ref place = {SPACE_ARENA, 0};
  static int64_t dims[MOST];
  const int count = trials++;
  assert_true(count < MOST);
  dims[count] = microseconds;
  for (int i = 0; i < 3; ++i)
    launches[count][i] = (plan_launch){.kind = LAUNCH_CUDA,
                                       .kernel = "fake_sleep",
                                       .what = "gemm",
                                       .args = &place,
                                       .arg_count = 1,
                                       .dims = &dims[count],
                                       .dim_count = 1,
                                       .grid = {1, 1, 1},
                                       .block = 32};
  return (plan_entry){.name = name,
                      .kind = ENTRY_EVALUATE,
                      .phase = -1,
                      .arena_bytes = 256,
                      .launches = launches[count],
                      .launch_count = 3};
}

static void write_trials(plan_entry *entries, int count) {
  plan p = {.network = "trials",
            .target = "sm_90a",
            .precision = "bf16",
            .tokenizer = "",
            .vocabulary = 1,
            .entries = entries,
            .entry_count = count};
  text json = {0};
  plan_write(&p, &json);
  trials = 0;
  write_file("plan.json", json.data, json.length);
  text_free(&json);
}

static int make_folder(void **state) {
  (void)state;
  lmn_error error = {0};
  char cubin[sizeof(Elf64_Ehdr) + 64] = "";
  Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64}, .e_type = ET_EXEC, .e_machine = EM_CUDA};
  if (!mkdtemp(folder) || !directory_make(path_in("kernels"), &error)) return -1;
  memcpy(cubin, &header, sizeof header);
  write_file("kernels/fake_sleep.cubin", cubin, sizeof cubin);
  setenv("LMN_CUDA_DRIVER", LMN_FAKE_CUDA, 1);
  void *library = dlopen(LMN_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
  driver = library ? dlsym(library, "fake_cuda") : NULL;
  return driver ? 0 : -1;
}

static int remove_folder(void **state) {
  (void)state;
  return directory_remove(folder) ? 0 : -1;
}

static int healthy(void **state) {
  (void)state;
  *driver = (fake_cuda_state){
      .version = 13000, .gpus = 1, .major = 9, .minor = 0, .name = "NVIDIA H200", .memory = 1 << 30, .fail_at = -1};
  plan_entry entries[] = {trial("64x64x64 nt bf16: 192x1 1x1", 3000), trial("64x64x64 nt bf16: 64x1p 1x1", 300),
                          trial("64x64x64 nt bf16: 128x2 2x1c", 1500), trial("8x8x8 tn += float: 64x1 1x1", 300),
                          trial("8x8x8 tn += float: 128x1 1x1", 3000)};
  write_trials(entries, LENGTH(entries));
  unlink(path_in("tiles.json"));
  return 0;
}

static bool tune(lmn_error *error) {
  tune_options o = {.trials = folder, .output = path_in("tiles.json"), .json = true};
  return tune_artifact(&o, error);
}

static void test_fastest(void **state) {
  (void)state;
  lmn_error error = {0};
  if (!tune(&error)) fail_msg("%s", error.text);
  arena *a = arena_create();
  tiles_file f;
  assert_true(tiles_read(a, path_in("tiles.json"), &f, &error));
  assert_string_equal(f.gpu, "NVIDIA H200");
  assert_string_equal(f.architecture, "sm_90a");
  assert_int_equal(f.count, 2);
  const tiles_product *first = tiles_find(&f, "64x64x64 nt bf16"), *second = tiles_find(&f, "8x8x8 tn += float");
  assert_non_null(first);
  assert_string_equal(first->tiles, "64x1p 1x1");
  assert_string_equal(first->usual, "192x1 1x1");
  assert_true(first->seconds < first->usual_seconds);
  assert_non_null(second);
  assert_string_equal(second->tiles, "64x1 1x1"); // what is usual, where nothing is faster
  assert_null(tiles_find(&f, "8x8x8 tn float"));
  tiles_free(&f);
  arena_destroy(a);
}

// What another network left in the file stays.
static void test_beside(void **state) {
  (void)state;
  static const char before[] =
      "{\"gpu\": \"NVIDIA H200\", \"architecture\": \"sm_90a\", \"products\": {\"1x2x3 nn bf16\": "
      "{\"tiles\": \"64x1 1x1\", \"us\": 1.0, \"usual\": \"64x2 1x1\", \"usual_us\": 2.0}}}";
  lmn_error error = {0};
  write_file("tiles.json", before, strlen(before));
  assert_true(tune(&error));
  arena *a = arena_create();
  tiles_file f;
  assert_true(tiles_read(a, path_in("tiles.json"), &f, &error));
  assert_int_equal(f.count, 3);
  assert_string_equal(tiles_find(&f, "1x2x3 nn bf16")->tiles, "64x1 1x1");
  tiles_free(&f);
  arena_destroy(a);
}

static void says(const char *what) {
  lmn_error error = {0};
  assert_false(tune(&error));
  if (!strstr(error.text, what)) fail_msg("\"%s\" is not in: %s", what, error.text);
}

static void test_wrong(void **state) {
  static const char other[] = "{\"gpu\": \"NVIDIA A100\", \"architecture\": \"sm_90a\", \"products\": {}}";
  write_file("tiles.json", other, strlen(other));
  says("has tiles for NVIDIA A100");
  write_file("tiles.json", "{", 1);
  says("lmnc tune writes it");
  write_file("tiles.json", "{}", 2);
  says("needs \"gpu\"");
  healthy(state);
  plan_entry entry = trial("evaluate:1x1", 10);
  write_trials(&entry, 1);
  says("lmnc tune NET --prepare");
  healthy(state);
  driver->gpus = 0;
  says("shows no GPU");
  healthy(state);
  driver->fault = "fake_sleep";
  says("kernel fake_sleep) failed");
  assert_false(file_exists(path_in("tiles.json")));
}

// The GPU's own file in the folder of the cache.
static void test_kept(void **state) {
  (void)state;
  arena *a = arena_create();
  assert_null(tune_kept(a, folder, "sm_90a"));
  write_file("tiles-sm_90a-NVIDIA-H200.json", "{}", 2);
  const char *kept = tune_kept(a, folder, "sm_90a");
  assert_non_null(kept);
  assert_string_equal(kept, path_in("tiles-sm_90a-NVIDIA-H200.json"));
  assert_null(tune_kept(a, folder, "sm_80"));
  driver->name = "NVIDIA H100";
  assert_null(tune_kept(a, folder, "sm_90a"));
  driver->gpus = 0;
  assert_null(tune_kept(a, folder, "sm_90a"));
  arena_destroy(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_fastest, healthy),
      cmocka_unit_test_setup(test_beside, healthy),
      cmocka_unit_test_setup(test_wrong, healthy),
      cmocka_unit_test_setup(test_kept, healthy),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
