// What cannot be opened on a GPU, over a driver without one: one message with the remedy, and nothing is kept.
#include "fake_gpu.h"

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
  assert_true(fake_artifact_for(on_gpu, &fake_settings, "sm_90a", &error));
  driver->major = 9, driver->minor = 1; // the architecture's own features are in no later one
  assert_refused(NULL, "compiled for sm_90a", "capability 9.1", "cpu");
  assert_refused(NULL, "compiled for sm_90a", "capability 8.6", "--target sm_80");
  assert_true(fake_artifact_for(on_gpu, &fake_settings, "sm_80", &error));
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

// Kernels that need it know how many multiprocessors this process may use; of others nothing is asked.
static void test_processors(void **state) {
  (void)state;
  lmn_error error;
  driver->processors = 66;
  lmn_close(open_gpu(NULL, &error));
  assert_int_equal(driver->told, 66);
  assert_int_equal(driver->asked, 1);
  healthy();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_driver),       cmocka_unit_test(test_no_gpu),     cmocka_unit_test(test_remedies),
      cmocka_unit_test(test_capability),      cmocka_unit_test(test_old_driver), cmocka_unit_test(test_broken_kernels),
      cmocka_unit_test(test_memory_foreseen), cmocka_unit_test(test_processors),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
