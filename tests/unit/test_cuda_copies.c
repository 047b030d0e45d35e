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

// Two batches of other labels: their losses differ.
static int32_t ahead_ids[2][FAKE_BATCH * FAKE_LENGTH] = {{1, 2, 3, 4, 5, 6, 7, 8}, {9, 9, 9, 9, 9, 9, 9, 9}};
static lmn_batch ahead_batch(int i) {
  return (lmn_batch){.batch = FAKE_BATCH, .length = FAKE_LENGTH, .input_ids = ahead_ids[i], .labels = ahead_ids[i]};
}

static double loss_of(lmn_network *n, int phase, const lmn_batch *batches, int count) {
  lmn_error error = {0};
  double loss;
  if (!lmn_step(n, phase, batches, count, -1, &loss, NULL, &error)) fail_msg("%s", error.text);
  return loss;
}

// What was sent is for one batch, entry and scale, and for the input space as it was then.
static void test_sent_for_another(void **state) {
  (void)state;
  lmn_error error = {0};
  const lmn_batch b[] = {ahead_batch(0), ahead_batch(1)};
  lmn_network *cpu = open_loaded(on_cpu), *n = open_loaded(on_gpu);
  double first = loss_of(cpu, 0, &b[0], 1), second = loss_of(cpu, 0, &b[1], 1), both = loss_of(cpu, 0, b, 2), loss;
  int64_t labels, right, tokens = FAKE_BATCH * FAKE_LENGTH;
  assert_true(first != second && first != both);
  assert_float_equal(loss_of(n, 0, &b[0], 1), first, 0); // there is an input space
  for (int moved = 0; moved < 2; ++moved) {
    assert_true(network_send_ahead(n, 0, &b[0], tokens, &error));
    assert_float_equal(loss_of(n, 0, &b[1], 1), second, 0);
    assert_float_equal(loss_of(n, 0, b, 2), both, 0); // the same batch at another scale
    assert_true(network_send_ahead(n, 1, &b[0], tokens, &error));
    assert_float_equal(loss_of(n, 0, &b[0], 1), first, 0);
    assert_true(network_send_ahead(n, 0, &b[0], tokens, &error));
    assert_true(lmn_evaluate(n, &b[1], &loss, &labels, &right, &error));
    assert_float_equal(loss, second * (double)tokens, 1e-3);
    if (moved) assert_true(network_reserve(n, SPACE_INPUT, 2 * n->space_bytes[SPACE_INPUT], &error));
    driver->order[0] = 0;
    assert_float_equal(loss_of(n, 0, &b[0], 1), first, 0);
    assert_true(!strstr(driver->order, "in") == !moved);
  }
  lmn_close(cpu);
  lmn_close(n);
  assert_all_given_back();
}

// A run that fails before it takes what was sent leaves nothing for the next one.
static void test_sent_for_a_failure(void **state) {
  (void)state;
  enum { CALLS = 40 };
  lmn_error error = {0};
  const lmn_batch b[] = {ahead_batch(0), ahead_batch(1)};
  int failed = 0;
  for (int at = 0; at < CALLS; ++at) {
    lmn_network *n = open_loaded(on_gpu);
    double first = loss_of(n, 0, &b[0], 1), second = loss_of(n, 0, &b[1], 1), loss;
    assert_true(first != second && network_send_ahead(n, 0, &b[0], FAKE_BATCH * FAKE_LENGTH, &error));
    driver->fail_at = driver->calls + at, driver->fail_with = 1;
    bool ok = lmn_step(n, 0, &b[0], 1, -1, &loss, NULL, &error);
    healthy();
    failed += !ok;
    error.text[0] = 0;
    ok = lmn_step(n, 0, &b[1], 1, -1, &loss, NULL, &error);
    if (ok) assert_float_equal(loss, second, 0);
    else assert_non_null(strstr(error.text, "has failed before"));
    lmn_close(n);
    *driver = (fake_cuda_state){.allocated = 0};
    healthy();
  }
  assert_true(failed > 3);
}

// A training that was stopped early goes on in the same network: what was sent last is gone with its arrays.
static void test_stopped(void **state) {
  (void)state;
  static const volatile sig_atomic_t now = 1;
  lmn_error error = {0};
  const train_phase phases[] = {{0, {"train", make_batch, 7}, {0}, 0}, {1, {"train", make_batch, 7}, {0}, 0}};
  train_options whole = {.run = path_in("through"), .phases = phases, .phase_count = 2}, part = whole;
  train_report report;
  lmn_network *n = open_loaded(on_cpu);
  if (!train_run(n, &whole, &report, &error)) fail_msg("%s", error.text);
  lmn_close(n);
  n = open_loaded(on_gpu);
  part.run = path_in("stopped"), part.stop = &now;
  for (int i = 0; i < 3; ++i, part.resume = true) { // after one step and after another; then to the end
    if (i == 2) part.stop = NULL;
    if (!train_run(n, &part, &report, &error)) fail_msg("%s", error.text);
    assert_null(n->ahead_ids);
    assert_int_equal(report.steps, i == 2 ? 20 : i + 1);
  }
  lmn_close(n);
  assert_same_run(whole.run, part.run, NULL);
  assert_all_given_back();
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
  assert_true(device_clear(n->device, SPACE_PARAMETER, &error));
  assert_true(device_read(n->device, SPACE_PARAMETER, 0, back, BYTES, &error));
  for (int i = 0; i < COUNT; ++i) assert_true(back[i] == 0);
  // Without memory for the others nothing is parked either.
  assert_true(device_reserve(n->device, SPACE_PARAMETER, 0, &error));
  most = device_bytes(n->device);
  driver->fail_at = driver->calls + 1, driver->fail_with = 2;
  assert_false(device_reserve(n->device, SPACE_PARAMETER, BYTES, &error));
  assert_int_equal(device_bytes(n->device), most);
  driver->fail_at = -1;
  // All of them parked: they stay when as much is asked for again.
  p->parked_bytes = BYTES;
  assert_true(device_reserve(n->device, SPACE_PARAMETER, BYTES, &error));
  assert_true(device_write(n->device, SPACE_PARAMETER, 0, there, BYTES, &error));
  assert_true(device_reserve(n->device, SPACE_PARAMETER, BYTES, &error));
  assert_true(device_read(n->device, SPACE_PARAMETER, 0, back, BYTES, &error));
  assert_memory_equal(there, back, BYTES);
  *p = before;
  lmn_close(n);
  free(there), free(back), free(weights), free(expected);
  assert_all_given_back();
}

// The artifact for a GPU, its frozen parameter parked.
static const char *parked_artifact(void) {
  static const char all[] = "\"parameter_bytes\":128", parked[] = "\"precision\":\"bf16\",\"parked_bytes\":64,";
  lmn_error error = {0};
  char *json, *at, kernels[700];
  size_t length;
  text out = {0};
  const char *artifact = path_in("parked.lmnx");
  if (!file_read(path_in("gpu.lmnx/plan.json"), 1 << 20, &json, &length, &error)) fail_msg("%s", error.text);
  assert_non_null(at = strstr(json, all));
  text_printf(&out, "%.*s%s%s", (int)(at - json), json, parked, at);
  snprintf(kernels, sizeof kernels, "%s/kernels", on_gpu);
  assert_true(directory_make(artifact, &error) &&
              file_write(path_in("parked.lmnx/plan.json"), out.data, out.length, &error));
  assert_int_equal(symlink(kernels, path_in("parked.lmnx/kernels")), 0);
  free(json);
  text_free(&out);
  return artifact;
}

// With parked parameters a training, its checkpoints, going on after a failure, saving and replacing are as without.
static void test_parked_network(void **state) {
  (void)state;
  lmn_error error = {0};
  char artifact[600];
  snprintf(artifact, sizeof artifact, "%s", parked_artifact());
  if (!train_into(on_gpu, path_in("whole"), false, &error)) fail_msg("%s", error.text);
  driver->fault = "fake_loss", driver->fault_at = 13;
  assert_false(train_into(artifact, path_in("part"), false, &error));
  assert_non_null(strstr(error.text, "the last checkpoint is"));
  healthy();
  if (!train_into(artifact, path_in("part"), true, &error)) fail_msg("%s", error.text);
  assert_same_run(path_in("whole"), path_in("part"), "step-00000020");
  float values[4] = {3, 1, 4, 1.5f}, again[4];
  uint16_t weights[4], expected[4];
  floats_to_bf16(values, 4, expected);
  lmn_network *n = open_loaded(artifact);
  assert_int_equal(lmn_plan(n)->parked_bytes, 64);
  assert_true(lmn_write_parameter(n, "frozen", values, &error) && lmn_save(n, path_in("parked.safetensors"), &error));
  lmn_close(n);
  n = open_loaded(artifact);
  assert_true(lmn_replace(n, path_in("parked.safetensors"), &error) && lmn_read_parameter(n, "frozen", again, &error));
  assert_memory_equal(values, again, sizeof values);
  assert_true(device_read(n->device, SPACE_WEIGHT, 32, weights, sizeof weights, &error));
  assert_memory_equal(weights, expected, sizeof weights);
  lmn_close(n);
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
      cmocka_unit_test(test_parameters),
      cmocka_unit_test(test_next_batch),
      cmocka_unit_test(test_sent_for_another),
      cmocka_unit_test(test_stopped),
      cmocka_unit_test(test_sent_for_a_failure),
      cmocka_unit_test(test_parked_network),
      cmocka_unit_test(test_no_memory_ahead),
      cmocka_unit_test(test_large_copies),
      cmocka_unit_test(test_parked),
      cmocka_unit_test(test_accumulation),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
