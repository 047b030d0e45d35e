// Golden texts: tests/passes/PASS/CASE.mlir, run through PASS, must print as CASE.expected. LMN_UPDATE=1 in the
// environment writes the expected files anew: read the difference before committing it. Include after the headers of
// the parts under test and cmocka's.
#ifndef LMN_TEST_GOLDEN_H
#define LMN_TEST_GOLDEN_H

#include "ir/ir.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

typedef bool golden_pass(ir *m, lmn_error *error);
// An empty entry to read a case into.
typedef ir *golden_entry(void *user, lmn_error *error);

static inline bool golden_same(const char *path, const text *printed) {
  lmn_error error = {0};
  if (getenv("LMN_UPDATE") && !file_write(path, printed->data, printed->length, &error)) fail_msg("%s", error.text);
  char *expected = NULL;
  size_t length;
  if (!file_read(path, 1 << 20, &expected, &length, &error)) {
    print_error("%s\n", error.text);
    return false;
  }
  bool same = !strcmp(expected, printed->data);
  if (!same) print_error("%s differs; it should be\n%s\nbut is\n%s\n", path, expected, printed->data);
  free(expected);
  return same;
}

static inline bool golden_case(ir *m, golden_pass *pass, const char *folder, const char *name) {
  char *source, path[4096];
  size_t length;
  lmn_error error = {0};
  snprintf(path, sizeof path, "%s/%s.mlir", folder, name);
  if (!file_read(path, 1 << 20, &source, &length, &error)) fail_msg("%s", error.text);
  bool ok = ir_parse(m, source, &error) && ir_verify(m, &error) && pass(m, &error) && ir_verify(m, &error);
  if (!ok) fail_msg("%s: %s", path, error.text);
  text printed = {0};
  ir_print(m, &printed);
  snprintf(path, sizeof path, "%s/%s.expected", folder, name);
  ok = golden_same(path, &printed);
  text_free(&printed);
  free(source);
  return ok;
}

static inline void golden_folder(const char *pass_name, golden_pass *pass, golden_entry *entry, void *user) {
  char folder[2048];
  snprintf(folder, sizeof folder, LMN_TESTS "/passes/%s", pass_name);
  DIR *files = opendir(folder);
  assert_non_null(files);
  int cases = 0, failed = 0;
  for (struct dirent *file; (file = readdir(files));) {
    char *end = strstr(file->d_name, ".mlir");
    if (!end) continue;
    *end = 0;
    lmn_error error = {0};
    ir *m = entry(user, &error);
    if (!m) fail_msg("%s", error.text);
    ++cases;
    failed += !golden_case(m, pass, folder, file->d_name);
    ir_destroy(m);
  }
  closedir(files);
  assert_true(cases > 0);
  assert_int_equal(failed, 0);
}

#endif
