#include "codegen/cache.h"

#include <stdlib.h>
#include <string.h>

void cache_key_add(cache_key *key, const char *string) {
  size_t length = strlen(string) + 1;
  key->high = hash_bytes(key->high, string, length);
  key->low = hash_bytes(key->low, string, length);
}

void cache_path(text *path, const char *folder, cache_key key, const char *extension) {
  text_printf(path, "%s/%016llx%016llx.%s", folder, (unsigned long long)key.high, (unsigned long long)key.low,
              extension);
}

bool cache_read(const char *path, char **data, size_t *length) {
  uint64_t hash;
  if (!file_exists(path) || !file_read(path, (size_t)1 << 31, data, length, NULL)) return false;
  bool good = *length > sizeof hash;
  if (good) {
    *length -= sizeof hash;
    memcpy(&hash, *data + *length, sizeof hash);
    good = hash == hash_bytes(HASH_START, *data, *length);
  }
  if (!good) free(*data);
  return good;
}

void cache_write(const char *folder, const char *path, const char *data, size_t length) {
  if (!directory_make(folder, NULL)) return;
  uint64_t hash = hash_bytes(HASH_START, data, length);
  text entry = {0};
  text_add_bytes(&entry, data, length);
  text_add_bytes(&entry, &hash, sizeof hash);
  file_write_unsynced(path, entry.data, entry.length, NULL);
  text_free(&entry);
}
