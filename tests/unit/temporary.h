// A folder of its own for a test program, and files in it written without ceremony.
#ifndef LMN_TEST_TEMPORARY_H
#define LMN_TEST_TEMPORARY_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base.h"

static char temporary[256];

static int temporary_make(void **state) {
  (void)state;
  const char *parent = getenv("TMPDIR");
  snprintf(temporary, sizeof temporary, "%s/lmn-test-XXXXXX", parent ? parent : "/tmp");
  return mkdtemp(temporary) ? 0 : -1;
}

static int temporary_remove(void **state) {
  (void)state;
  return directory_remove(temporary) ? 0 : -1;
}

// The path of a file in the folder; good until four more are asked for.
static inline const char *temporary_path(const char *name) {
  static char paths[4][512];
  static int next;
  char *path = paths[next++ & 3];
  snprintf(path, sizeof paths[0], "%s/%s", temporary, name);
  return path;
}

static inline const char *temporary_file(const char *name, const void *data, size_t length) {
  const char *path = temporary_path(name);
  unlink(path); // a file written over would be flushed to the disk when it is closed: slow, thousands of times
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(data, 1, length, file) != length || fclose(file)) abort();
  return path;
}

#endif
