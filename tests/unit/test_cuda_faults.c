// What goes wrong while a network runs on a GPU, over a driver without one: one message, and the last checkpoint is
// whole.
#include "fake_gpu.h"

// A kernel that fails at any time: its name is said, the checkpoint before is whole, and the training goes on from it.
static void test_fault(void **state) {
  (void)state;
  lmn_error error;
  if (!train_into(on_gpu, path_in("whole"), false, &error)) fail_msg("%s", error.text);
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
    assert_same_run(path_in("whole"), run, "step-00000020");
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fault),
      cmocka_unit_test(test_gpu_lost),
      cmocka_unit_test(test_checkpoint_meanwhile),
      cmocka_unit_test(test_every_call_fails),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
