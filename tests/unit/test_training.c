// The trainer, its log and its checkpoints on a device without kernels; generation's chunks on the same.
#include "tests/unit/fake_device.h"

#include "runtime/checkpoint.h"
#include "runtime/network.h"
#include "runtime/schedule.h"
#include "runtime/train.h"

#include <setjmp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "run_files.h"

static char folder[] = "/tmp/lmn-training-XXXXXX";

static char *path_in(const char *format, ...) {
  static char paths[4][600];
  static int next;
  char *path = paths[next++ % 4];
  int length = snprintf(path, 600, "%s/", folder);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(path + length, 600 - (size_t)length, format, arguments);
  va_end(arguments);
  return path;
}

static lmn_network *open_fake(void) {
  lmn_error error = {0};
  lmn_network *n = lmn_open(folder, NULL, &error);
  if (!n) fail_msg("%s", error.text);
  assert_true(lmn_load(n, 0, &error));
  return n;
}

// ---- data: a batch is made from its epoch and number --------------------------------------------

static int64_t batches_until_stop = -1, batches_made;
static volatile sig_atomic_t stop;
static bool die;

static bool make_batch(void *context, int64_t epoch, int64_t index, lmn_batch *b, lmn_error *error) {
  static int32_t ids[FAKE_BATCH * FAKE_LENGTH], labels[FAKE_BATCH * FAKE_LENGTH];
  (void)error;
  ++batches_made;
  random_stream r = random_named((uint64_t)(epoch * 1000 + index), context);
  for (int i = 0; i < FAKE_BATCH * FAKE_LENGTH; ++i) {
    ids[i] = (int32_t)(random_next(&r) % FAKE_VOCABULARY);
    labels[i] = index == 2 || i == 5 ? -100 : ids[i] * ids[i] % FAKE_VOCABULARY;
  }
  if (batches_until_stop > 0 && --batches_until_stop == 0) {
    if (die) {
      snprintf(error->text, sizeof error->text, "killed");
      return false;
    }
    stop = 1;
  }
  *b = (lmn_batch){.batch = FAKE_BATCH, .length = FAKE_LENGTH, .input_ids = ids, .labels = labels};
  return true;
}

static bool train_into(const char *run, bool resume, train_report *report, lmn_error *error) {
  const train_phase phases[] = {{0, {"train", make_batch, 7}, {"validation", make_batch, 3}, 0},
                                {1, {"train", make_batch, 7}, {0}, 0}};
  train_options o = {.run = run, .resume = resume, .phases = phases, .phase_count = 2, .stop = &stop};
  *error = (lmn_error){0};
  stop = 0;
  lmn_network *n = open_fake();
  bool ok = train_run(n, &o, report, error);
  lmn_close(n);
  return ok;
}

// ---- tests --------------------------------------------------------------------------------------

static void test_whole_run(void **state) {
  (void)state;
  train_report report;
  lmn_error error;
  if (!train_into(path_in("whole"), false, &report, &error)) fail_msg("%s", error.text);
  assert_int_equal(report.steps, 20);
  assert_false(report.stopped);
  assert_true(report.validation_loss > 0);
  assert_true(file_exists(path_in("whole/checkpoints/step-00000020/state.json")));
  assert_true(directory_exists(path_in("whole/checkpoints/step-00000019"))); // second.save_every = 3: step 9 of it
  assert_false(directory_exists(path_in("whole/checkpoints/step-00000016")));
  char *log = run_log(path_in("whole"));
  int lines = 0;
  for (char *p = log; *p; ++p) lines += *p == '\n';
  assert_int_equal(lines, 21); // one before the first step
  free(log);
  assert_false(train_into(path_in("whole"), false, &report, &error));
  assert_non_null(strstr(error.text, "--resume"));
  assert_true(train_into(path_in("whole"), true, &report, &error));
  assert_true(report.complete_before);
}

// Stopped by a signal or dying anywhere, resumed as often as that happens: the same parameters and the same log.
static void test_resume_is_the_same(void **state) {
  (void)state;
  train_report report;
  lmn_error error;
  for (int64_t after = 1; after < 44; after += 5) {
    for (int kind = 0; kind < 2; ++kind) {
      char run[600];
      snprintf(run, sizeof run, "%s", path_in("cut-%d-%d", (int)after, kind));
      die = kind;
      bool done = false;
      for (int tries = 0; tries < 60 && !done; ++tries) {
        batches_until_stop = after + tries;
        bool ok = train_into(run, tries > 0, &report, &error);
        if (!ok && !strstr(error.text, "killed")) fail_msg("%s", error.text);
        done = ok && !report.stopped;
      }
      batches_until_stop = -1;
      assert_true(done);
      assert_same_run(path_in("whole"), run, "step-00000020");
    }
  }
  die = false;
}

// A CPU has nothing to do beside its runs: a step's time is its own, and the next one's batches are drawn behind it.
static void test_draws_between_steps(void **state) {
  (void)state;
  static const volatile sig_atomic_t now = 1;
  lmn_error error = {0};
  train_report report;
  const train_phase phase = {0, {"train", make_batch, 7}, {0}, 0};
  train_options o = {.run = path_in("one-step"), .phases = &phase, .phase_count = 1, .stop = &now};
  lmn_network *n = open_fake();
  batches_made = 0;
  if (!train_run(n, &o, &report, &error)) fail_msg("%s", error.text);
  assert_int_equal(report.steps, 1);
  assert_int_equal(batches_made, fake_settings.accumulate);
  lmn_close(n);
}

static void test_other_settings(void **state) {
  (void)state;
  train_report report;
  lmn_error error;
  plan_phase other = fake_settings;
  other.lr = 0.04;
  assert_true(fake_artifact(folder, &other, &error));
  assert_false(train_into(path_in("whole"), true, &report, &error));
  assert_non_null(strstr(error.text, "first lr was 0.05, and is 0.04 now"));
  assert_true(fake_artifact(folder, &fake_settings, &error));
}

static void test_not_finite(void **state) {
  (void)state;
  train_report report;
  lmn_error error;
  fake_poison = fake_runs + 3 + 5 * 3 + 3; // validation, five steps, validation after the fourth: in step 6
  assert_false(train_into(path_in("poison"), false, &report, &error));
  fake_poison = -1;
  assert_non_null(strstr(error.text, "step 6"));
  assert_non_null(strstr(error.text, "learning rate"));
  assert_non_null(strstr(error.text, "checkpoints/step-00000003"));
  assert_true(train_into(path_in("poison"), true, &report, &error));
  assert_same_run(path_in("whole"), path_in("poison"), "step-00000020");
}

static void test_bad_folder(void **state) {
  (void)state;
  train_report report;
  lmn_error error;
  assert_false(train_into("/proc/no/such", false, &report, &error));
  assert_non_null(strstr(error.text, "/proc/no"));
  // A checkpoint whose state was cut short.
  assert_true(file_write(path_in("whole/checkpoints/step-00000020/state.json"), "{\"version\": 1", 13, &error));
  assert_false(train_into(path_in("whole"), true, &report, &error));
  assert_non_null(strstr(error.text, "state.json"));
}

static void test_accumulation(void **state) {
  (void)state;
  lmn_error error = {0};
  lmn_network *n = open_fake();
  int32_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8}, one[] = {1, -100, 1, 1, 2, 2, 2, 2},
          two[] = {3, 3, -100, -100, -100, -100, -100, -100};
  lmn_batch batches[] = {{.batch = 2, .length = 4, .input_ids = ids, .labels = one},
                         {.batch = 2, .length = 4, .input_ids = ids, .labels = two}};
  double loss, norm;
  assert_true(lmn_step(n, 0, batches, 2, -1, &loss, &norm, &error));
  assert_float_equal(loss, (3 + 16 + 18) / 9.0, 1e-6); // 9 labels of both count
  float gradient[FAKE_VOCABULARY], values[FAKE_VOCABULARY];
  assert_true(lmn_read_gradient(n, 0, "w", gradient, &error));
  assert_float_equal(gradient[1], -2 * (1 + 3) / 9.0, 1e-6);
  assert_float_equal(gradient[2], -2 * 3 / 9.0, 1e-6);
  assert_float_equal(gradient[3], -2 * 1 / 9.0, 1e-6);
  assert_false(lmn_read_gradient(n, 0, "frozen", values, NULL));
  assert_false(lmn_read_gradient(n, 1, "w", values, NULL));
  assert_true(lmn_elements(n, "w") == FAKE_VOCABULARY && lmn_elements(n, "nothing") == -1);
  assert_true(lmn_read_parameter(n, "w", values, &error));
  assert_float_equal(values[1], 0, 0);
  ids[2] = FAKE_VOCABULARY;
  assert_false(lmn_step(n, 0, batches, 2, 1, &loss, &norm, &error));
  assert_non_null(strstr(error.text, "row 0, position 2 is 11"));
  lmn_close(n);
}

// Every row gets what it gets alone, however the tokens are cut and whatever the others do.
static void test_extend(void **state) {
  (void)state;
  lmn_error error = {0};
  lmn_network *n = open_fake();
  static const int32_t rows[FAKE_ROWS][FAKE_CAPACITY] = {
      {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4, 5, 6}, {9, 8, 7, 6, 5}, {4, 4, 4}};
  static const int counts[FAKE_ROWS] = {FAKE_CAPACITY, 5, 3};
  random_stream r = random_named(1, "cuts");
  for (int round = 0; round < 200; ++round) {
    int done[FAKE_ROWS] = {0};
    assert_true(lmn_reset(n, FAKE_ROWS, FAKE_CAPACITY, &error));
    const float *logits = NULL;
    while (done[0] < counts[0] || done[1] < counts[1] || done[2] < counts[2]) {
      int32_t ids[FAKE_ROWS][FAKE_CAPACITY] = {0}, take[FAKE_ROWS];
      for (int b = 0; b < FAKE_ROWS; ++b) {
        int left = counts[b] - done[b];
        take[b] = (int32_t)(random_next(&r) % (uint64_t)(left + 1));
        for (int i = 0; i < take[b]; ++i) ids[b][i] = rows[b][done[b] + i];
        done[b] += take[b];
      }
      if (!lmn_extend(n, &ids[0][0], FAKE_CAPACITY, take, &logits, &error)) fail_msg("%s", error.text);
    }
    for (int b = 0; b < FAKE_ROWS; ++b) {
      float sum = 0;
      for (int i = 0; i < counts[b]; ++i) sum += (float)((i + 1) * (rows[b][i] + 1));
      int last = rows[b][counts[b] - 1];
      assert_float_equal(logits[b * FAKE_VOCABULARY], sum, 0);
      assert_float_equal(logits[b * FAKE_VOCABULARY + last], sum + (float)last, 0);
    }
  }
  int32_t one[FAKE_ROWS] = {1, 1, 1}, id[FAKE_ROWS] = {0};
  assert_false(lmn_extend(n, id, 1, one, NULL, &error));
  assert_non_null(strstr(error.text, "the cache holds 16"));
  error = (lmn_error){0};
  assert_false(lmn_reset(n, FAKE_ROWS + 1, 1, &error));
  assert_non_null(strstr(error.text, "extend:4"));
  lmn_close(n);
}

static void test_schedule(void **state) {
  (void)state;
  assert_float_equal(schedule_rate(RATE_CONSTANT, 2, 0, 0, 0, 10), 2, 0);
  assert_float_equal(schedule_rate(RATE_CONSTANT, 2, 3, 0, 0, 10), 0.5, 1e-15);
  assert_float_equal(schedule_rate(RATE_CONSTANT, 2, 3, 0, 3, 10), 2, 0);
  assert_float_equal(schedule_rate(RATE_LINEAR, 1, 0, 0, 5, 10), 0.5, 1e-15);
  assert_float_equal(schedule_rate(RATE_LINEAR, 1, 0, 0.2, 10, 10), 0.2, 1e-15);
  assert_float_equal(schedule_rate(RATE_COSINE, 1, 2, 0.1, 2, 10), 1, 1e-15);
  assert_float_equal(schedule_rate(RATE_COSINE, 1, 2, 0.1, 6, 10), 0.55, 1e-15);
  assert_float_equal(schedule_rate(RATE_COSINE, 1, 20, 0.1, 25, 10), 0.1, 1e-15); // warmup longer than the phase
  const plan_phase steps = {.steps = 10}, epochs = {.epochs = 3, .accumulate = 4}, both = {.steps = 10, .epochs = 1},
                   none = {0};
  assert_int_equal(train_steps(&steps, 3), 10);
  assert_int_equal(train_steps(&epochs, 3), 3); // 9 micro-batches by 4
  assert_int_equal(train_steps(&both, 3), 3);
  assert_int_equal(train_steps(&none, 3), 3);
}

static int make_folder(void **state) {
  (void)state;
  lmn_error error = {0};
  if (!mkdtemp(folder) || !fake_artifact(folder, &fake_settings, &error)) return -1;
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  return directory_remove(folder) ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_schedule),
      cmocka_unit_test(test_accumulation),
      cmocka_unit_test(test_extend),
      cmocka_unit_test(test_whole_run),
      cmocka_unit_test(test_resume_is_the_same),
      cmocka_unit_test(test_draws_between_steps),
      cmocka_unit_test(test_other_settings),
      cmocka_unit_test(test_not_finite),
      cmocka_unit_test(test_bad_folder),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
