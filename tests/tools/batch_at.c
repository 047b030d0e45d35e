// One of several batches: of every tensor of a file, in a batch that is given or in what `lmnc trace` wrote, the
// INDEX-th part along its first size. What a trace of that batch alone writes must be the same, byte for byte.
//
// usage: batch_at FILE.safetensors INDEX OUT.safetensors
#include "runtime/safetensors.h"

#include <stdlib.h>
#include <string.h>

int main(int argument_count, char **arguments) {
  if (argument_count != 4) {
    fprintf(stderr, "usage: batch_at FILE.safetensors INDEX OUT.safetensors\n");
    return 2;
  }
  lmn_error error = {0};
  const int64_t index = strtoll(arguments[2], NULL, 10);
  safetensors *file = safetensors_open(arguments[1], &error);
  const int count = file ? safetensors_count(file) : 0;
  safetensors_item *items = memory_alloc((size_t)(count + 1) * sizeof *items);
  bool ok = file;
  for (int i = 0; ok && i < count; ++i) {
    const safetensors_tensor *t = safetensors_at(file, i);
    if (t->rank < 1 || index < 0 || index >= t->shape[0]) {
      ok = fail(&error, "%s: %s has no part %s", arguments[1], t->name, arguments[2]);
      break;
    }
    items[i] = (safetensors_item){.name = t->name, .type = t->type, .rank = t->rank - 1};
    memcpy(items[i].shape, t->shape + 1, (size_t)items[i].rank * sizeof *t->shape);
    items[i].data = t->data + t->bytes / (size_t)t->shape[0] * (size_t)index;
  }
  safetensors_pair kept[2];
  int pairs = 0;
  static const char *const keys[] = {"network", "phase"};
  for (size_t i = 0; ok && i < LENGTH(keys); ++i) {
    const char *value = safetensors_metadata(file, keys[i]);
    if (value) kept[pairs++] = (safetensors_pair){keys[i], value};
  }
  ok = ok && safetensors_write(arguments[3], items, count, kept, pairs, &error);
  if (!ok) fprintf(stderr, "batch_at: %s\n", error.text);
  free(items);
  safetensors_close(file);
  return !ok;
}
