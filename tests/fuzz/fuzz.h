// What the fuzz targets share: libFuzzer's entry point, a folder for the files that the readers open, parts of an
// input.
#ifndef LMN_FUZZ_H
#define LMN_FUZZ_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Made once a process, below TMPDIR; scripts/fuzz sets that to a folder in memory, which it removes.
static const char *fuzz_folder(void) {
  static char folder[512];
  if (folder[0]) return folder;
  const char *parent = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/lmn-fuzz-XXXXXX", parent && *parent ? parent : "/tmp");
  if (!mkdtemp(folder)) abort();
  return folder;
}

// The path of a file in the folder; good until four more are asked for.
static inline const char *fuzz_path(const char *name) {
  static char paths[4][640];
  static int next;
  char *path = paths[next++ & 3];
  snprintf(path, sizeof paths[0], "%s/%s", fuzz_folder(), name);
  return path;
}

static inline const char *fuzz_file(const char *name, const void *data, size_t size) {
  const char *path = fuzz_path(name);
  FILE *file = fopen(path, "wb");
  if (!file || (size && fwrite(data, 1, size, file) != size) || fclose(file)) abort();
  return path;
}

// An input of several parts: what is before the next `end` byte, as a string from `a`; moves behind it. NULL: no part
// is left.
static inline char *fuzz_part(arena *a, const uint8_t **data, size_t *size, char end) {
  if (!*data) return NULL;
  const uint8_t *found = *size ? memchr(*data, end, *size) : NULL;
  size_t length = found ? (size_t)(found - *data) : *size;
  char *part = arena_copy(a, *data, length);
  *data = found ? found + 1 : NULL;
  *size = found ? *size - length - 1 : 0;
  return part;
}

// An error that goes up must say something.
static inline void fuzz_expect(bool ok, const lmn_error *error) {
  if (!ok && !error->text[0]) abort();
}

#endif
