// links: codegen
// faults
// driver
// lmnc's commands that write, with a fault at one moment after the other: an allocation fails, the disk is full, the
// process is killed. What was there before stays whole, what is said is one clear error, and nothing is left behind.
// LMN_FAULT_ALL=1: at every moment also where there are thousands of them.
#include "runtime/base.h"
#include "tests/faults/faults.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

int lmnc_main(int argc, char **argv);

static char folder[64], said[80];

static const char net[] = "network n {\n"
                          "  model m = \"gpt2\";\n"
                          "  vertex v : m;\n"
                          "  input -> v [edge = linear];\n"
                          "  v -> output [edge = identity];\n"
                          "  train { phase a { freeze = models; steps = 2; } }\n"
                          "}\n";

typedef struct writer { // a command, and the files that it writes below the folder
  const char *arguments[16], *output, *files[8];
} writer;

static const writer compiles = {
    .arguments = {"lmnc", "compile", "net.lmn", "-B", "1", "-T", "4", "--for", "train", "-o", "net.lmnx"},
    .output = "net.lmnx",
    .files = {"plan.json", "kernels.so", "net.lmn", "kernel.mlir"}};
static const writer exports = {.arguments = {"lmnc", "export", "net.lmn", "-o", "exported"},
                               .output = "exported",
                               .files = {"config.json", "model.safetensors"}};
static const writer trains = {.arguments = {"lmnc", "tokenizer", "net.lmn", "--vocabulary", "270", "-o", "words"},
                              .output = "words",
                              .files = {"tokenizer.json", "tokenizer_config.json"}};

// ---- one run ------------------------------------------------------------------------------------

static int run(const writer *w, fault_kind kind, int64_t n) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (!child) {
    fault_signals();
    int errors = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0666), nowhere = open("/dev/null", O_WRONLY), count = 0;
    if (chdir(folder)) abort();
    dup2(nowhere, 1), dup2(errors, 2);
    char *arguments[16] = {0}; // getopt changes their order
    for (; w->arguments[count]; ++count) arguments[count] = memory_string(w->arguments[count]);
    fault_set(kind, n);
    int status = lmnc_main(count, arguments);
    bool reached = fault_reached();
    fault_set(FAULT_NONE, 0);
    exit(reached || status ? status : 100);
  }
  int status;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void assert_said(const writer *w, fault_kind kind, int64_t n, int status) {
  static char text[8192];
  FILE *file = fopen(said, "r");
  size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
  if (file) fclose(file);
  text[length] = 0;
  const char *first = strstr(text, "error: ");
  bool memory = kind == FAULT_MEMORY || kind == FAULT_NO_MEMORY, one = first && !strstr(first + 1, "error: ");
  bool good = kind == FAULT_KILL ? status == 0 || status == 128 + SIGKILL
              : memory           ? status == 1 && one && strstr(text, "out of memory")
                       : (status == 0 && !first) || (status == 1 && one && strstr(text, "No space left on device"));
  if (!good) fail_msg("%s: %s at %d: status %d: %s", w->arguments[1], fault_names[kind], (int)n, status, text);
}

// ---- what is left -------------------------------------------------------------------------------

static void assert_nothing_else(const char *path, fault_kind kind, int64_t n) {
  DIR *directory = opendir(path);
  for (struct dirent *entry; directory && (entry = readdir(directory));)
    if (strstr(entry->d_name, ".tmp.") || strstr(entry->d_name, ".old."))
      fail_msg("%s at %d: %s/%s is left", fault_names[kind], (int)n, path, entry->d_name);
  if (directory) closedir(directory);
}

static void assert_whole(const writer *w, fault_kind kind, int64_t n) {
  char path[300];
  for (int i = 0; w->files[i]; ++i) {
    char *a, *b;
    size_t m, k;
    lmn_error error = {0};
    snprintf(path, sizeof path, "%s/whole/%s/%s", folder, w->output, w->files[i]);
    assert_true(file_read(path, 1 << 24, &a, &m, &error));
    snprintf(path, sizeof path, "%s/%s/%s", folder, w->output, w->files[i]);
    if (!file_read(path, 1 << 24, &b, &k, &error)) fail_msg("%s at %d: %s", fault_names[kind], (int)n, error.text);
    if (m != k || memcmp(a, b, m)) fail_msg("%s at %d: %s is another", fault_names[kind], (int)n, path);
    free(a), free(b);
  }
  if (kind == FAULT_KILL) return;
  assert_nothing_else(folder, kind, n);
  snprintf(path, sizeof path, "%s/%s", folder, w->output);
  assert_nothing_else(path, kind, n);
}

static void clear_leftovers(void) { // of a killed process
  char command[200];
  snprintf(command, sizeof command, "rm -rf %s/*.tmp.* %s/*/*.tmp.*", folder, folder);
  assert_int_equal(system(command), 0);
}

// Every `step`-th moment until there is no further one.
static void through(const writer *w, fault_kind kind, int64_t step) {
  int64_t n = 1, tried = 0;
  if (getenv("LMN_FAULT_ALL")) step = 1;
  for (;; n += step, ++tried) {
    int status = run(w, kind, n);
    if (status == 100) break;
    assert_said(w, kind, n, status);
    assert_whole(w, kind, n);
    if (kind == FAULT_KILL) clear_leftovers();
  }
  print_message("%s, %s: %d of %d moments\n", w->arguments[1], fault_names[kind], (int)tried, (int)n - 1);
  assert_true(tried > 3);
}

static void write_whole(const writer *w) {
  char command[300];
  int status = run(w, FAULT_NONE, 0);
  if (status) assert_said(w, FAULT_NONE, 0, status);
  assert_int_equal(status, 0);
  snprintf(command, sizeof command, "mkdir -p %s/whole && cp -r %s/%s %s/whole/", folder, folder, w->output, folder);
  assert_int_equal(system(command), 0);
}

static void through_all(const writer *w, int64_t file_step, int64_t memory_step) {
  write_whole(w);
  through(w, FAULT_KILL, file_step);
  through(w, FAULT_FULL_DISK, file_step);
  through(w, FAULT_MEMORY, memory_step);
  through(w, FAULT_NO_MEMORY, memory_step);
}

static void test_compile(void **state) { (void)state, through_all(&compiles, 2, 293); }
static void test_export(void **state) { (void)state, through_all(&exports, 1, 41); }
static void test_tokenizer(void **state) { (void)state, through_all(&trains, 1, 41); }

static int make_folder(void **state) {
  (void)state;
  char path[128];
  snprintf(folder, sizeof folder, "%s/lmn-faults-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
  if (!mkdtemp(folder)) return -1;
  snprintf(said, sizeof said, "%s/said", folder);
  setenv("TMPDIR", folder, 1);
  setenv("LMN_MODELS", LMN_TESTS "/golden/paper-121-gpt2", 1);
  snprintf(path, sizeof path, "%s/cache", folder);
  setenv("LMN_CACHE", path, 1);
  snprintf(path, sizeof path, "%s/net.lmn", folder);
  return file_write(path, net, strlen(net), NULL) ? 0 : -1;
}

static int remove_folder(void **state) {
  (void)state;
  return directory_remove(folder) ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_export),
      cmocka_unit_test(test_tokenizer),
      cmocka_unit_test(test_compile),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
