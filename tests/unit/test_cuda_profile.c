// Profiles of a network on a GPU, over a driver without one, whose every launch takes 2 ms.
#include "fake_gpu.h"

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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_profile),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
