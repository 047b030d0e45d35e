// The folder of compiled kernels that compilations share; safe for several processes at once.
#ifndef LMN_CODEGEN_CACHE_H
#define LMN_CODEGEN_CACHE_H

#include "runtime/base.h"

typedef struct cache_key {
  uint64_t high, low;
} cache_key;
#define CACHE_KEY_START ((cache_key){HASH_START, 0x9ae16a3b2f90404fu})
void cache_key_add(cache_key *key, const char *string);
void cache_path(text *path, const char *folder, cache_key key, const char *extension);

// An entry is a file of data followed by a hash of it, so that a damaged one is seen and made anew.
bool cache_read(const char *path, char **data, size_t *length);
// Where it cannot be written there is no cache; nothing else needs it.
void cache_write(const char *folder, const char *path, const char *data, size_t length);

#endif
