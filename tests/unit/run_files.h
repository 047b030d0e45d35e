// What a training leaves in its folder, compared: two runs that are the same differ in times alone. Include it after
// <cmocka.h>.
#ifndef LMN_TEST_RUN_FILES_H
#define LMN_TEST_RUN_FILES_H

#include "runtime/base.h"

#include <stdlib.h>
#include <string.h>

static inline char *run_file(const char *run, const char *name, size_t *length) {
  char *data, path[1024];
  lmn_error error = {0};
  snprintf(path, sizeof path, "%s/%s", run, name);
  if (!file_read(path, 1 << 20, &data, length, &error)) fail_msg("%s", error.text);
  return data;
}

// Every number behind `key` becomes one mark: times have different lengths.
static inline void blot_numbers(char *text, const char *key) {
  for (char *at = text; (at = strstr(at, key));) {
    at += strlen(key);
    char *end = at + strspn(at, "0123456789.eE+-");
    *at = '#';
    memmove(at + 1, end, strlen(end) + 1);
  }
}

// The log without its times.
static inline char *run_log(const char *run) {
  size_t length;
  char *log = run_file(run, "log.jsonl", &length);
  blot_numbers(log, "\"tokens_per_second\": ");
  return log;
}

static inline void assert_same_file(const char *a, const char *b, const char *name) {
  size_t m, n;
  char *x = run_file(a, name, &m), *y = run_file(b, name, &n);
  assert_int_equal(m, n);
  assert_memory_equal(x, y, m);
  free(x), free(y);
}

// Parameters, log and, where `checkpoint` is its name, the last checkpoint.
static inline void assert_same_run(const char *a, const char *b, const char *checkpoint) {
  char *x = run_log(a), *y = run_log(b), name[256];
  assert_string_equal(x, y);
  free(x), free(y);
  assert_same_file(a, b, "parameters.safetensors");
  if (!checkpoint) return;
  snprintf(name, sizeof name, "checkpoints/%s/parameters.safetensors", checkpoint);
  assert_same_file(a, b, name);
  snprintf(name, sizeof name, "checkpoints/%s/optimizer.safetensors", checkpoint);
  assert_same_file(a, b, name);
  size_t length;
  snprintf(name, sizeof name, "checkpoints/%s/state.json", checkpoint);
  x = run_file(a, name, &length), y = run_file(b, name, &length);
  static const char *const times[] = {"\"seconds\": ", "\"log_bytes\": "};
  for (size_t i = 0; i < LENGTH(times); ++i) blot_numbers(x, times[i]), blot_numbers(y, times[i]);
  assert_string_equal(x, y);
  free(x), free(y);
}

#endif
