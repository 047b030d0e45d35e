// The vocabulary (token <-> id) and byte pair encoding: of all neighbours that a merge joins, the one of the lowest
// rank first, the leftmost of equals; a heap of candidates over a linked list of symbols makes that n log n.
#include "runtime/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

static uint32_t spread(uint64_t key) {
  key *= 0x9e3779b97f4a7c15u;
  return (uint32_t)(key >> 32);
}

static uint32_t token_hash(const char *token, size_t length) { return spread(hash_bytes(HASH_START, token, length)); }

int32_t vocabulary_find(const vocabulary *v, const char *token, size_t length) {
  if (!v->slots) return -1;
  uint32_t hash = token_hash(token, length);
  for (uint32_t slot = hash & v->mask; v->slots[slot].id >= 0; slot = (slot + 1) & v->mask) {
    int32_t id = v->slots[slot].id;
    if (v->slots[slot].hash == hash && v->lengths[id] == length && !memcmp(v->tokens[id], token, length)) return id;
  }
  return -1;
}

static void place_token(vocabulary *v, struct vocabulary_slot token) {
  uint32_t slot = token.hash & v->mask;
  while (v->slots[slot].id >= 0) slot = (slot + 1) & v->mask;
  v->slots[slot] = token;
}

static void grow_slots(vocabulary *v) {
  struct vocabulary_slot *old = v->slots;
  uint32_t old_size = old ? v->mask + 1 : 0, size = old ? old_size * 2 : 1024;
  v->slots = memory_alloc(size * sizeof *v->slots);
  for (uint32_t i = 0; i < size; ++i) v->slots[i].id = -1;
  v->mask = size - 1;
  for (uint32_t i = 0; i < old_size; ++i)
    if (old[i].id >= 0) place_token(v, old[i]);
  free(old);
}

static void grow_ids(vocabulary *v, int64_t size) {
  if (size > v->capacity) {
    v->capacity = size > v->capacity * 2 ? size : v->capacity * 2;
    v->tokens = memory_grow(v->tokens, (size_t)v->capacity * sizeof *v->tokens);
    v->lengths = memory_grow(v->lengths, (size_t)v->capacity * sizeof *v->lengths);
  }
  for (; v->size < size; ++v->size) v->tokens[v->size] = NULL, v->lengths[v->size] = 0;
}

bool vocabulary_put(vocabulary *v, int64_t id, const char *token, size_t length) {
  if (id < 0 || id >= VOCABULARY_LIMIT || length > UINT32_MAX) return false;
  int32_t known = vocabulary_find(v, token, length);
  if (known >= 0) return known == id;
  if (id < v->size && v->tokens[id]) return false;
  if (id >= v->size) grow_ids(v, id + 1);
  if (!v->slots || (uint64_t)(v->used + 1) * 2 > v->mask) grow_slots(v);
  v->tokens[id] = arena_copy(v->memory, token, length);
  v->lengths[id] = (uint32_t)length;
  place_token(v, (struct vocabulary_slot){token_hash(token, length), (int32_t)id});
  ++v->used;
  return true;
}

int32_t vocabulary_add(vocabulary *v, const char *token, size_t length) {
  int32_t known = vocabulary_find(v, token, length);
  if (known >= 0) return known;
  return vocabulary_put(v, v->size, token, length) ? (int32_t)v->size - 1 : -1;
}

void vocabulary_free(vocabulary *v) {
  free(v->tokens);
  free(v->lengths);
  free(v->slots);
}

void bpe_reserve(bpe *b, int64_t merges) {
  uint32_t size = 16;
  while (size < (uint64_t)merges * 3 / 2 + 1 && size < 1u << 30) size *= 2;
  merge *old = b->merges;
  uint32_t old_size = old ? b->mask + 1 : 0;
  if (size <= old_size) return;
  b->merges = memory_alloc(size * sizeof *b->merges);
  for (uint32_t i = 0; i < size; ++i) b->merges[i].id = -1;
  b->mask = size - 1;
  b->used = 0;
  for (uint32_t i = 0; i < old_size; ++i)
    if (old[i].id >= 0) bpe_add(b, (int32_t)(old[i].pair >> 32), (int32_t)old[i].pair, old[i].rank, old[i].id);
  free(old);
}

static merge *find_merge(const bpe *b, int32_t left, int32_t right) {
  uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
  uint32_t slot = spread(pair) & b->mask;
  while (b->merges[slot].id >= 0 && b->merges[slot].pair != pair) slot = (slot + 1) & b->mask;
  return &b->merges[slot];
}

void bpe_add(bpe *b, int32_t left, int32_t right, int32_t rank, int32_t id) {
  bpe_reserve(b, b->used + 1);
  merge *m = find_merge(b, left, right);
  if (m->id < 0) ++b->used;
  *m = (merge){(uint64_t)(uint32_t)left << 32 | (uint32_t)right, rank, id};
}

#define SPACE_MARK "\xe2\x96\x81" // U+2581, the space of SentencePiece

void bpe_finish(bpe *b, const vocabulary *v) {
  bpe_reserve(b, 1);
  for (int i = 0; i < 256; ++i) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", i);
    b->bytes[i] = vocabulary_find(v, name, 6);
  }
  // No merge joins another character to a following mark: then no token reaches over that place, and words are
  // independent.
  b->space =
      vocabulary_find(v, SPACE_MARK, 3) >= 0 && !b->ignore_merges && !b->prefix[0] && !b->suffix[0] ? SPACE_MARK : NULL;
  for (uint32_t i = 0; b->space && i <= b->mask; ++i) {
    if (b->merges[i].id < 0) continue;
    int32_t left = (int32_t)(b->merges[i].pair >> 32), right = (int32_t)b->merges[i].pair;
    bool marked = v->lengths[right] >= 3 && !memcmp(v->tokens[right], SPACE_MARK, 3);
    bool marks = v->lengths[left] >= 3 && !memcmp(v->tokens[left] + v->lengths[left] - 3, SPACE_MARK, 3);
    if (marked && !marks) b->space = NULL;
  }
}

static void add_symbol(bpe_work *work, int32_t id) {
  GROW(work->symbols, work->count, work->capacity);
  int32_t at = (int32_t)work->count++;
  work->symbols[at] = (bpe_symbol){id, at - 1, at + 1};
}

// The bytes of a character as <0x..> tokens; false if one of them is missing.
static bool add_bytes(const bpe *b, bpe_work *work, const char *bytes, size_t length) {
  for (size_t i = 0; i < length; ++i)
    if (b->bytes[(unsigned char)bytes[i]] < 0) return false;
  for (size_t i = 0; i < length; ++i) add_symbol(work, b->bytes[(unsigned char)bytes[i]]);
  return true;
}

static int32_t find_character(const bpe *b, const vocabulary *v, const char *character, size_t length, bool first,
                              bool last) {
  if ((first || !b->prefix[0]) && (!last || !b->suffix[0])) return vocabulary_find(v, character, length);
  text full = {0};
  if (!first) text_add(&full, b->prefix);
  text_add_bytes(&full, character, length);
  if (last) text_add(&full, b->suffix);
  int32_t id = vocabulary_find(v, full.data, full.length);
  text_free(&full);
  return id;
}

// One symbol a character. Unknown characters wait until a known one comes, so that with fuse_unk a run of them is one.
static void start_symbols(const bpe *b, const vocabulary *v, bpe_work *work, const char *word, size_t length) {
  work->count = 0;
  bool unknown = false;
  for (size_t i = 0; i < length;) {
    int size = utf8_character(word + i, length - i);
    size_t n = size > 0 ? (size_t)size : 1;
    int32_t id = find_character(b, v, word + i, n, i == 0, i + n == length);
    if (id >= 0) {
      if (unknown) add_symbol(work, b->unk);
      unknown = false;
      add_symbol(work, id);
    } else if (!b->byte_fallback || !add_bytes(b, work, word + i, n)) {
      if (unknown && !b->fuse_unk) add_symbol(work, b->unk);
      unknown = b->unk >= 0;
    }
    i += n;
  }
  if (unknown) add_symbol(work, b->unk);
  if (work->count) work->symbols[work->count - 1].next = -1;
}

static bool before(bpe_candidate a, bpe_candidate b) {
  return a.rank != b.rank ? a.rank < b.rank : a.position < b.position;
}

static void heap_push(bpe_work *work, bpe_candidate c) {
  GROW(work->heap, work->heap_count, work->heap_capacity);
  int64_t i = work->heap_count++;
  for (; i > 0 && before(c, work->heap[(i - 1) / 2]); i = (i - 1) / 2) work->heap[i] = work->heap[(i - 1) / 2];
  work->heap[i] = c;
}

static bpe_candidate heap_pop(bpe_work *work) {
  bpe_candidate top = work->heap[0], last = work->heap[--work->heap_count];
  int64_t i = 0, count = work->heap_count;
  for (int64_t child; (child = 2 * i + 1) < count; i = child) {
    if (child + 1 < count && before(work->heap[child + 1], work->heap[child])) ++child;
    if (!before(work->heap[child], last)) break;
    work->heap[i] = work->heap[child];
  }
  work->heap[i] = last;
  return top;
}

static void consider(const bpe *b, bpe_work *work, int32_t left) {
  if (left < 0 || work->symbols[left].next < 0) return;
  const merge *m = find_merge(b, work->symbols[left].id, work->symbols[work->symbols[left].next].id);
  if (m->id >= 0) heap_push(work, (bpe_candidate){m->rank, left, m->id});
}

void bpe_word(const bpe *b, const vocabulary *v, bpe_work *work, const char *word, size_t length, token_list *ids) {
  int32_t whole = b->ignore_merges ? vocabulary_find(v, word, length) : -1;
  work->count = work->heap_count = 0;
  if (whole >= 0) add_symbol(work, whole), work->symbols[0].next = -1;
  else start_symbols(b, v, work, word, length);
  for (int64_t i = 0; whole < 0 && i + 1 < work->count; ++i) consider(b, work, (int32_t)i);
  while (work->heap_count) {
    bpe_candidate c = heap_pop(work);
    bpe_symbol *left = &work->symbols[c.position];
    if (left->id < 0 || left->next < 0) continue;
    const merge *m = find_merge(b, left->id, work->symbols[left->next].id);
    if (m->id != c.id) continue; // one of the two has changed since
    bpe_symbol *right = &work->symbols[left->next];
    left->id = c.id;
    left->next = right->next;
    right->id = -1;
    if (left->next >= 0) work->symbols[left->next].previous = c.position;
    consider(b, work, left->previous);
    consider(b, work, c.position);
  }
  for (int64_t i = work->count ? 0 : -1; i >= 0; i = work->symbols[i].next) {
    GROW(ids->ids, ids->count, ids->capacity);
    ids->ids[ids->count++] = work->symbols[i].id;
  }
}
