// Networks on a GPU, over a driver without one: the same results as on the CPU bit for bit, and the order of what the
// driver is asked for, with graphs and without.
#include "fake_gpu.h"

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
static float gradient_after(const int64_t *after, int count, int64_t flops) {
  lmn_error error = {0};
  lmn_network *n = open_loaded(on_gpu);
  plan_entry *e = (plan_entry *)network_entry(n, ENTRY_TRAIN, 0, FAKE_BATCH, FAKE_LENGTH, false, &error);
  e->flops = flops;
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
  float expected = gradient_after(NULL, 0, 0);
  setenv("LMN_CUDA_GRAPH", "chain", 1);
  assert_float_equal(gradient_after(NULL, 0, 0), expected, 0);
  setenv("LMN_CUDA_GRAPH", "wide", 1);
  assert_float_equal(gradient_after(&clear, 1, 0), expected, 0);
  unsetenv("LMN_CUDA_GRAPH");
  assert_true(gradient_after(NULL, 0, 0) != expected);                 // cleared after it was computed
  assert_float_equal(gradient_after(NULL, 0, INT64_MAX), expected, 0); // long launches are a chain
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_training_is_the_cpus),
      cmocka_unit_test(test_order),
      cmocka_unit_test(test_dependencies),
      cmocka_unit_test(test_generation_is_the_cpus),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
