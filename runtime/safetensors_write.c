#include "runtime/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/safetensors_type.h"

static size_t item_bytes(const safetensors_item *item) {
  size_t bytes = stored_type_size(item->type);
  for (int i = 0; i < item->rank; ++i) bytes *= (size_t)item->shape[i];
  return bytes;
}

static int by_size_and_name(const void *a, const void *b) {
  const safetensors_item *const *x = a, *const *y = b;
  size_t first = stored_type_size((*x)->type), second = stored_type_size((*y)->type);
  if (first != second) return first > second ? -1 : 1;
  return strcmp((*x)->name, (*y)->name);
}

// Adds {"dtype": …, "shape": […], "data_offsets": [begin, begin + bytes]} under the item's name.
static bool describe(json_t *header, const safetensors_item *item, size_t begin) {
  if (json_object_get(header, item->name) || !strcmp(item->name, "__metadata__")) return false;
  json_t *shape = json_array();
  for (int i = 0; i < item->rank; ++i) json_array_append_new(shape, json_integer(item->shape[i]));
  json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", stored_type_name(item->type), "shape", shape,
                            "data_offsets", (json_int_t)begin, (json_int_t)(begin + item_bytes(item)));
  return json_object_set_new(header, item->name, entry) == 0;
}

// The header, padded with spaces so that the data begin at a multiple of 8; NULL with a message.
static char *make_header(const safetensors_item **sorted, int count, const safetensors_pair *metadata,
                         int metadata_count, const char *path, lmn_error *error) {
  json_t *root = json_object(), *pairs = json_object();
  bool ok = true;
  for (int i = 0; ok && i < metadata_count; ++i)
    if (json_object_set_new(pairs, metadata[i].key, json_string(metadata[i].value)))
      ok = fail(error, "%s: cannot be written: metadata \"%s\" is not UTF-8 text", path, metadata[i].key);
  size_t begin = 0;
  for (int i = 0; ok && i < count; ++i) {
    if (!describe(root, sorted[i], begin))
      ok = fail(error, "%s: cannot be written: the tensor name \"%s\" is there twice, or not UTF-8 text", path,
                sorted[i]->name);
    begin += item_bytes(sorted[i]);
  }
  if (ok && metadata_count) json_object_set(root, "__metadata__", pairs);
  char *dumped = ok ? json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
  json_decref(pairs);
  json_decref(root);
  if (!dumped) return NULL;
  size_t length = strlen(dumped), padded = (length + 7) / 8 * 8;
  char *header = memory_alloc(8 + padded + 1);
  for (int i = 0; i < 8; ++i) header[i] = (char)(padded >> (8 * i) & 255);
  memcpy(header + 8, dumped, length);
  memset(header + 8 + length, ' ', padded - length);
  header[8 + padded] = 0;
  free(dumped);
  return header;
}

static bool write_all(int descriptor, const void *data, size_t length) {
  const char *bytes = data;
  for (size_t done = 0; done < length;) {
    ssize_t n = write(descriptor, bytes + done, length - done < (1u << 30) ? length - done : 1u << 30);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += (size_t)n;
  }
  return true;
}

static bool write_aside(const char *aside, const char *path, const char *header, const safetensors_item **sorted,
                        int count) {
  int descriptor = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) return false;
  bool ok = write_all(descriptor, header, 8 + strlen(header + 8));
  for (int i = 0; ok && i < count; ++i) ok = write_all(descriptor, sorted[i]->data, item_bytes(sorted[i]));
  ok = ok && fsync(descriptor) == 0;
  int cause = errno;
  if (close(descriptor) && ok) return false;
  errno = cause;
  return ok && rename(aside, path) == 0;
}

bool safetensors_write(const char *path, const safetensors_item *items, int count, const safetensors_pair *metadata,
                       int metadata_count, lmn_error *error) {
  const safetensors_item **sorted = memory_alloc((size_t)count * sizeof *sorted);
  for (int i = 0; i < count; ++i) sorted[i] = &items[i];
  qsort(sorted, (size_t)count, sizeof *sorted, by_size_and_name);
  char *header = make_header(sorted, count, metadata, metadata_count, path, error);
  bool ok = header != NULL;
  if (ok) {
    text aside = {0};
    text_printf(&aside, "%s.tmp.%d", path, (int)getpid());
    temporary_add(aside.data);
    ok = write_aside(aside.data, path, header, sorted, count);
    if (!ok) {
      int cause = errno;
      unlink(aside.data);
      fail_write(error, path, cause);
    }
    temporary_drop(aside.data);
    text_free(&aside);
  }
  free(header);
  free(sorted);
  return ok;
}
