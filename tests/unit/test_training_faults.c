// links: runtime
// faults
// A training over two phases, with epochs that end within them, in which something goes wrong at one moment: the
// process is killed, the disk is full, an allocation fails; at every moment, one after the other. What is left must be
// whole, what is said one clear error, and the training resumed must end with the bits of one that was left alone.
// LMN_FAULT_ALL=1: at every moment also where there are thousands of them.
#include "tests/faults/faults.h"
#include "tests/unit/fake_device.h"

#include "runtime/safetensors.h"
#include "runtime/schedule.h"
#include "runtime/train.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "run_files.h"

static char folder[64]; // in memory where that can be: a disk is slow, thousands of times
static char whole[80], broken[80], half[80], said[80];
static const plan_phase settings = {.lr = 0.05,
                                    .beta1 = 0.9,
                                    .beta2 = 0.95,
                                    .eps = 1e-8,
                                    .schedule = RATE_COSINE,
                                    .warmup = 2,
                                    .accumulate = 2,
                                    .steps = 5,
                                    .evaluate_every = 3,
                                    .save_every = 2};
enum { STEPS = 10, ENDED = 3 }; // ENDED: exit status of a child whose training gave an error
static const char last[] = "step-00000010";

static bool make_batch(void *context, int64_t epoch, int64_t index, lmn_batch *b, lmn_error *error) {
  static int32_t ids[FAKE_BATCH * FAKE_LENGTH], labels[FAKE_BATCH * FAKE_LENGTH], starts[FAKE_BATCH * FAKE_LENGTH];
  (void)error;
  random_stream r = random_named((uint64_t)(epoch * 1000 + index), context);
  for (int i = 0; i < FAKE_BATCH * FAKE_LENGTH; ++i) {
    ids[i] = (int32_t)(random_next(&r) % FAKE_VOCABULARY);
    labels[i] = i == 5 ? -100 : ids[i] * ids[i] % FAKE_VOCABULARY;
    starts[i] = i % FAKE_LENGTH / 2 * 2; // two rows packed in a sequence
  }
  *b = (lmn_batch){.batch = FAKE_BATCH, .length = FAKE_LENGTH, .input_ids = ids, .labels = labels, .starts = starts};
  return true;
}

static bool train(const char *run, bool resume, int64_t *steps, lmn_error *error) {
  const train_phase phases[] = {{0, {"train", make_batch, 7}, {"validation", make_batch, 2}, 0},
                                {1, {"train", make_batch, 7}, {0}, 0}};
  train_options o = {.run = run, .resume = resume, .phases = phases, .phase_count = 2};
  train_report report;
  lmn_network *n = lmn_open(folder, NULL, error);
  bool ok = n && lmn_load(n, 0, error) && train_run(n, &o, &report, error);
  *steps = ok ? report.steps : 0;
  lmn_close(n);
  return ok;
}

// What AddressSanitizer keeps of freed memory is more than a training uses; every fork copies the page tables of it.
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "quarantine_size_mb=8"; }

// ---- one training with a fault, in a process of its own -----------------------------------------

static int with_fault(fault_kind kind, int64_t n, bool resume) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (!child) {
    fault_signals();
    int errors = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(errors, 2);
    lmn_error error = {0};
    int64_t steps;
    fault_set(kind, n);
    bool ok = train(broken, resume, &steps, &error);
    bool reached = fault_reached();
    fault_set(FAULT_NONE, 0);
    if (!ok) fprintf(stderr, "error: %s\n", error.text);
    _exit(!ok ? ENDED : reached ? 0 : 100);
  }
  int status;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const char *what_was_said(void) {
  static char text[4096];
  FILE *file = fopen(said, "r");
  size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
  if (file) fclose(file);
  text[length] = 0;
  return text;
}

// One message; it names what it is about, and what to do.
static void assert_said(fault_kind kind, int64_t n, int status) {
  const char *text = what_was_said(), *first = strstr(text, "error: ");
  bool memory = kind == FAULT_MEMORY || kind == FAULT_NO_MEMORY;
  if (kind == FAULT_KILL || kind == FAULT_KILL_HALF) {
    if (status != 128 + SIGKILL && status) fail_msg("%s at %d: status %d: %s", fault_names[kind], (int)n, status, text);
    return;
  }
  if (status == 0 && !*text && !memory) return; // what failed was not needed
  if (status != (memory ? 1 : ENDED) || first != text || strstr(text + 1, "error: "))
    fail_msg("%s at %d: status %d: %s", fault_names[kind], (int)n, status, text);
  if (memory ? !strstr(text, "out of memory") : !strstr(text, broken) || !strstr(text, "No space left on device"))
    fail_msg("%s at %d: not clear: %s", fault_names[kind], (int)n, text);
}

// ---- what is left -------------------------------------------------------------------------------

// Calls with the path of each name in a folder.
static void each_name(const char *path, void (*use)(const char *folder, const char *name, fault_kind kind),
                      fault_kind kind) {
  DIR *directory = opendir(path);
  for (struct dirent *entry; directory && (entry = readdir(directory));)
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) use(path, entry->d_name, kind);
  if (directory) closedir(directory);
}

static void assert_no_leftover(const char *path, const char *name, fault_kind kind) {
  bool killed = kind == FAULT_KILL || kind == FAULT_KILL_HALF;
  bool disk = kind == FAULT_DISK && !strcmp(name, ".removing"); // it could not be removed: next time
  if (!killed && !disk && (strstr(name, ".tmp.") || name[0] == '.'))
    fail_msg("%s: %s/%s is left", fault_names[kind], path, name);
}

static void assert_whole(const char *path, const char *name, fault_kind kind) {
  assert_no_leftover(path, name, kind);
  if (strncmp(name, "step-", 5)) return;
  static const char *const files[] = {"parameters.safetensors", "optimizer.safetensors"};
  char file[512];
  lmn_error error = {0};
  for (size_t i = 0; i < LENGTH(files); ++i) {
    snprintf(file, sizeof file, "%s/%s/%s", path, name, files[i]);
    safetensors *s = safetensors_open(file, &error);
    if (!s) fail_msg("%s: a checkpoint is not whole: %s", fault_names[kind], error.text);
    safetensors_close(s);
  }
  snprintf(file, sizeof file, "%s/%s/state.json", path, name);
  assert_true(file_exists(file));
}

static void assert_left(fault_kind kind) {
  char path[128];
  snprintf(path, sizeof path, "%s/checkpoints", broken);
  each_name(broken, assert_no_leftover, kind);
  each_name(path, assert_whole, kind);
}

static void assert_resumes(fault_kind kind, int64_t n) {
  lmn_error error = {0};
  int64_t steps;
  if (!train(broken, true, &steps, &error)) fail_msg("%s at %d, resumed: %s", fault_names[kind], (int)n, error.text);
  assert_int_equal(steps, STEPS);
  assert_same_run(whole, broken, last);
  char path[128];
  snprintf(path, sizeof path, "%s/checkpoints", broken);
  each_name(broken, assert_no_leftover, FAULT_NONE);
  each_name(path, assert_whole, FAULT_NONE);
}

// ---- through all moments ------------------------------------------------------------------------

static void copy_folder(const char *from, const char *to) {
  char command[300];
  directory_remove(to);
  snprintf(command, sizeof command, "cp -r %s %s", from, to);
  assert_int_equal(system(command), 0);
}

// From the beginning, or (resumed) from where `half` stands; every `step`-th moment until there is no further one.
static void through(fault_kind kind, bool resumed, int64_t step) {
  int64_t n = 1, last_n = 0;
  if (getenv("LMN_FAULT_ALL")) step = 1;
  for (int status = 0; status != 100; n += step) {
    if (resumed) copy_folder(half, broken);
    else directory_remove(broken);
    status = with_fault(kind, n, resumed);
    last_n = n;
    if (status == 100) break;
    assert_said(kind, n, status);
    assert_left(kind);
    assert_resumes(kind, n);
  }
  print_message("%s, %s: %d moments\n", fault_names[kind], resumed ? "resumed" : "from the beginning", (int)last_n);
  assert_true(last_n > 50);
}

static void test_killed(void **state) {
  (void)state;
  through(FAULT_KILL, false, 1);
  through(FAULT_KILL_HALF, false, 1);
  through(FAULT_KILL, true, 5);
}

// Killed again and again, each time some operations further on.
static void test_killed_often(void **state) {
  (void)state;
  for (int64_t n = 40; n < 120; n += 8) {
    directory_remove(broken);
    int status = with_fault(FAULT_KILL, n, false), tries = 0;
    for (; status == 128 + SIGKILL && tries < 60; ++tries) status = with_fault(FAULT_KILL, n + tries, true);
    assert_true(status == 0 || status == 100);
    assert_true(tries > 0);
    assert_resumes(FAULT_KILL, n);
  }
}

static void test_disk(void **state) {
  (void)state;
  through(FAULT_DISK, false, 1);
  through(FAULT_FULL_DISK, false, 1);
  through(FAULT_FULL_DISK, true, 5);
}

static void test_short_writes(void **state) {
  (void)state;
  directory_remove(broken);
  assert_int_equal(with_fault(FAULT_SHORT_WRITES, 1, false), 0);
  assert_same_run(whole, broken, last);
}

static void test_memory(void **state) {
  (void)state;
  through(FAULT_MEMORY, false, 11);
  through(FAULT_NO_MEMORY, false, 41);
  through(FAULT_MEMORY, true, 37);
}

// ---- before and after ---------------------------------------------------------------------------

static int make_folder(void **state) {
  (void)state;
  lmn_error error = {0};
  int64_t steps;
  snprintf(folder, sizeof folder, "%s/lmn-faults-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
  if (!mkdtemp(folder)) return -1;
  snprintf(whole, sizeof whole, "%s/whole", folder);
  snprintf(broken, sizeof broken, "%s/broken", folder);
  snprintf(half, sizeof half, "%s/half", folder);
  snprintf(said, sizeof said, "%s/said", folder);
  fault_set(FAULT_NONE, 0);
  if (!fake_artifact(folder, &settings, &error) || !train(whole, false, &steps, &error)) {
    print_error("%s\n", error.text);
    return -1;
  }
  // Half of a training: killed in the middle of its operations.
  if (with_fault(FAULT_KILL, fault_file_operations() / 2, false) != 128 + SIGKILL) return -1;
  return rename(broken, half);
}

static int remove_folder(void **state) {
  (void)state;
  return directory_remove(folder) ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_killed),       cmocka_unit_test(test_killed_often), cmocka_unit_test(test_disk),
      cmocka_unit_test(test_short_writes), cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
