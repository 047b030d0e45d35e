#include "passes/map.h"

#include <stdlib.h>

static size_t slot_of(const map *m, const void *key) {
  size_t at = (size_t)(((uintptr_t)key >> 4) * 0x9e3779b97f4a7c15u >> 20) & (m->capacity - 1);
  while (m->keys[at] && m->keys[at] != key) at = (at + 1) & (m->capacity - 1);
  return at;
}

static void rehash(map *m) {
  map bigger = {.capacity = m->capacity ? m->capacity * 2 : 64, .count = m->count};
  bigger.keys = memory_zero(bigger.capacity * sizeof *bigger.keys);
  bigger.numbers = memory_zero(bigger.capacity * sizeof *bigger.numbers);
  for (size_t i = 0; i < m->capacity; ++i) {
    if (!m->keys[i]) continue;
    size_t at = slot_of(&bigger, m->keys[i]);
    bigger.keys[at] = m->keys[i];
    bigger.numbers[at] = m->numbers[i];
  }
  map_free(m);
  *m = bigger;
}

void map_put(map *m, const void *key, int64_t number) {
  if (2 * m->count >= m->capacity) rehash(m);
  size_t at = slot_of(m, key);
  m->count += !m->keys[at];
  m->keys[at] = key;
  m->numbers[at] = number;
}

int64_t map_get(const map *m, const void *key, int64_t none) {
  if (!m->capacity) return none;
  size_t at = slot_of(m, key);
  return m->keys[at] ? m->numbers[at] : none;
}

void map_free(map *m) {
  free(m->keys);
  free(m->numbers);
  *m = (map){0};
}
