// A hash map from a value's or an op's identity to a number, for passes that keep something beside the IR.
#ifndef LMN_MAP_H
#define LMN_MAP_H

#include "runtime/base.h"

typedef struct map {
  const void **keys;
  int64_t *numbers;
  size_t count, capacity;
} map;

void map_put(map *m, const void *key, int64_t number);        // replaces
int64_t map_get(const map *m, const void *key, int64_t none); // `none`: not there
void map_free(map *m);

#endif
