// What goes between the host and a GPU, over a driver without one: parameters, batches ahead of their step, sums of
// micro-batches.
#include "fake_gpu.h"

#include "runtime/safetensors_type.h"

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

// The next step's batch is copied while the device is at a step, however late or early the copies are done.
static void test_next_batch(void **state) {
  (void)state;
  lmn_error error;
  if (!train_into(on_cpu, path_in("cpu"), false, &error)) fail_msg("%s", error.text);
  for (int i = 0; i < 3; ++i) {
    char run[64];
    snprintf(run, sizeof run, "%s/ahead-%d", folder, i);
    healthy();
    driver->eager = i == 1;
    setenv("LMN_CUDA_GRAPH", i == 2 ? "0" : "1", 1);
    driver->order[0] = 0;
    if (!train_into(on_gpu, run, false, &error)) fail_msg("%s", error.text);
    assert_same_run(path_in("cpu"), run, NULL);
    const char *expected = i == 2 ? "copy fake_clear fake_loss out ahead wait" : "copy graph ahead wait";
    if (!strstr(driver->order, expected)) fail_msg("no \"%s\" in %s", expected, driver->order);
    assert_all_given_back();
  }
  unsetenv("LMN_CUDA_GRAPH");
  healthy();
}

// Without memory for that it is copied before its step.
static void test_no_memory_ahead(void **state) {
  (void)state;
  enum { CALLS = 400 };
  lmn_error error;
  int without = 0;
  if (!train_into(on_cpu, path_in("beside"), false, &error)) fail_msg("%s", error.text);
  for (int at = 0; at < CALLS && !without; ++at) {
    healthy();
    driver->fail_at = at, driver->fail_with = 2;
    driver->order[0] = 0;
    bool ok = train_into(on_gpu, path_in("refused"), false, &error);
    assert_true(ok || error.text[0]);
    if (ok) assert_same_run(path_in("beside"), path_in("refused"), NULL);
    without += ok && !strstr(driver->order, "ahead");
    directory_remove(path_in("refused"));
  }
  assert_int_equal(without, 1);
  healthy();
  *driver = (fake_cuda_state){.allocated = 0};
  healthy();
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

// Parameters that no launch needs in float32 stay with the host; their copies in bf16 are on the GPU.
static void test_parked(void **state) {
  (void)state;
  enum { COUNT = 600000, HERE = 300001, BYTES = 4 * COUNT }; // the border lies within a piece
  lmn_error error = {0};
  lmn_network *n = open_loaded(on_gpu);
  plan *p = (plan *)lmn_plan(n);
  const plan before = *p;
  p->precision = "bf16", p->parameter_bytes = BYTES, p->parked_bytes = BYTES - 4 * HERE;
  int64_t allocated = driver->allocated, most = device_bytes(n->device);
  float *there = memory_alloc(BYTES), *back = memory_zero(BYTES);
  uint16_t *weights = memory_alloc(BYTES / 2), *expected = memory_alloc(BYTES / 2);
  for (int i = 0; i < COUNT; ++i) there[i] = 1.0f + (float)i / COUNT;
  floats_to_bf16(there, COUNT, expected);
  assert_true(device_reserve(n->device, SPACE_WEIGHT, BYTES / 2, &error));
  allocated = driver->allocated;
  assert_true(device_reserve(n->device, SPACE_PARAMETER, BYTES, &error));
  assert_true(driver->allocated <= allocated + 4 * HERE);
  assert_true(device_bytes(n->device) <= most + 4 * HERE + BYTES / 2);
  assert_true(device_write(n->device, SPACE_PARAMETER, 0, there, BYTES, &error));
  assert_true(device_write(n->device, SPACE_PARAMETER, 4 * (HERE + 7), there, 4, &error));
  there[HERE + 7] = there[0], expected[HERE + 7] = expected[0];
  assert_true(device_read(n->device, SPACE_PARAMETER, 0, back, BYTES, &error));
  assert_memory_equal(there, back, BYTES);
  assert_true(device_read(n->device, SPACE_PARAMETER, 4 * (HERE - 3), back, 4 * 10, &error));
  assert_memory_equal(there + HERE - 3, back, 4 * 10);
  assert_true(device_read(n->device, SPACE_WEIGHT, 0, weights, BYTES / 2, &error));
  assert_memory_equal(weights, expected, BYTES / 2);
  *p = before;
  lmn_close(n);
  free(there), free(back), free(weights), free(expected);
  assert_all_given_back();
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parameters),   cmocka_unit_test(test_next_batch), cmocka_unit_test(test_no_memory_ahead),
      cmocka_unit_test(test_large_copies), cmocka_unit_test(test_parked),     cmocka_unit_test(test_accumulation),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
