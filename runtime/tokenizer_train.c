// Trains a byte-level BPE: the words of the text (GPT-2's pattern) are counted once; then again and again the commonest
// pair of neighbours becomes a token. Counts of pairs are kept up to date by the words that have the pair, so a merge
// costs what it changes.
#include "runtime/tokenizer_parts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define END_OF_TEXT "<|endoftext|>"

typedef struct word {
  int32_t *symbols;
  int32_t length;
  int64_t count;
} word;

typedef struct pair_count {
  uint64_t pair; // left << 32 | right
  int64_t count;
  int32_t *words; // those that have or had it
  int32_t word_count, word_capacity;
} pair_count;

typedef struct candidate { // a pair as it stood when it was pushed
  int64_t count;
  uint64_t pair;
} candidate;

typedef struct trainer {
  arena *memory;
  vocabulary words_seen, vocabulary; // words_seen: id of a word's bytes is its index
  word *words;
  int64_t word_count, word_capacity;
  pair_count *pairs;
  int64_t pairs_used, pair_capacity;
  int32_t *slots; // hash table into pairs
  uint32_t mask;
  candidate *heap;
  int64_t heap_count, heap_capacity;
  json_t *merges;
} trainer;

static bool better(candidate a, candidate b) { return a.count != b.count ? a.count > b.count : a.pair < b.pair; }

static void push(trainer *t, candidate c) {
  GROW(t->heap, t->heap_count, t->heap_capacity);
  int64_t i = t->heap_count++;
  for (; i > 0 && better(c, t->heap[(i - 1) / 2]); i = (i - 1) / 2) t->heap[i] = t->heap[(i - 1) / 2];
  t->heap[i] = c;
}

static candidate pop(trainer *t) {
  candidate top = t->heap[0], last = t->heap[--t->heap_count];
  int64_t i = 0;
  for (int64_t child; (child = 2 * i + 1) < t->heap_count; i = child) {
    if (child + 1 < t->heap_count && better(t->heap[child + 1], t->heap[child])) ++child;
    if (!better(t->heap[child], last)) break;
    t->heap[i] = t->heap[child];
  }
  t->heap[i] = last;
  return top;
}

static uint32_t slot_of(const trainer *t, uint64_t pair) {
  uint32_t slot = (uint32_t)((pair * 0x9e3779b97f4a7c15u) >> 32) & t->mask;
  while (t->slots[slot] >= 0 && t->pairs[t->slots[slot]].pair != pair) slot = (slot + 1) & t->mask;
  return slot;
}

static void grow_slots(trainer *t) {
  uint32_t size = t->slots ? (t->mask + 1) * 2 : 4096;
  t->slots = memory_grow(t->slots, size * sizeof *t->slots);
  memset(t->slots, -1, size * sizeof *t->slots);
  t->mask = size - 1;
  for (int64_t i = 0; i < t->pairs_used; ++i) t->slots[slot_of(t, t->pairs[i].pair)] = (int32_t)i;
}

static pair_count *find_pair(trainer *t, uint64_t pair) {
  if (!t->slots || (uint64_t)t->pairs_used * 2 > t->mask) grow_slots(t);
  uint32_t slot = slot_of(t, pair);
  if (t->slots[slot] < 0) {
    GROW(t->pairs, t->pairs_used, t->pair_capacity);
    t->slots[slot] = (int32_t)t->pairs_used;
    t->pairs[t->pairs_used++] = (pair_count){.pair = pair};
  }
  return &t->pairs[t->slots[slot]];
}

// All pairs of a word, with their count times `sign`.
static void count_pairs(trainer *t, int32_t index, int sign) {
  const word *w = &t->words[index];
  for (int32_t i = 0; i + 1 < w->length; ++i) {
    pair_count *p = find_pair(t, (uint64_t)(uint32_t)w->symbols[i] << 32 | (uint32_t)w->symbols[i + 1]);
    p->count += sign * w->count;
    if (sign < 0) continue;
    if (!p->word_count || p->words[p->word_count - 1] != index) {
      GROW(p->words, p->word_count, p->word_capacity);
      p->words[p->word_count++] = index;
    }
  }
}

static void push_pairs(trainer *t, int32_t index) {
  const word *w = &t->words[index];
  for (int32_t i = 0; i + 1 < w->length; ++i) {
    const pair_count *p = find_pair(t, (uint64_t)(uint32_t)w->symbols[i] << 32 | (uint32_t)w->symbols[i + 1]);
    push(t, (candidate){p->count, p->pair});
  }
}

static void count_word(trainer *t, const char *bytes, size_t length) {
  int32_t known = vocabulary_find(&t->words_seen, bytes, length);
  if (known >= 0) {
    ++t->words[known].count;
    return;
  }
  if (vocabulary_add(&t->words_seen, bytes, length) < 0) return; // 16 million different words are enough to learn from
  GROW(t->words, t->word_count, t->word_capacity);
  word *w = &t->words[t->word_count++];
  *w = (word){.symbols = arena_alloc(t->memory, length * sizeof *w->symbols), .length = (int32_t)length, .count = 1};
  for (size_t i = 0; i < length; ++i) {
    const char *character = byte_level_character((unsigned char)bytes[i]);
    w->symbols[i] = vocabulary_find(&t->vocabulary, character, strlen(character));
  }
}

static bool count_words(trainer *t, const char *in, size_t length, lmn_error *error) {
  pattern words = {0};
  pattern_work work = {0};
  if (!pattern_compile(&words, gpt2_words, strlen(gpt2_words), error)) return false;
  int found = 0;
  for (size_t at = 0; found >= 0 && at < length;) {
    const char *mark = memmem(in + at, length - at, END_OF_TEXT, strlen(END_OF_TEXT));
    size_t stop = mark ? (size_t)(mark - in) : length, start, end;
    while (at < stop && (found = pattern_next(&words, &work, in, stop, at, &start, &end, error)) == 1) {
      count_word(t, in + start, end - start);
      at = end;
    }
    at = mark ? stop + strlen(END_OF_TEXT) : length;
  }
  pattern_work_free(&work);
  pcre2_code_free(words.code);
  return found >= 0;
}

// Replaces the pair in one word by the new token, from left to right.
static void merge_in_word(trainer *t, int32_t index, int32_t left, int32_t right, int32_t id) {
  word *w = &t->words[index];
  int32_t kept = 0;
  for (int32_t i = 0; i < w->length; ++i) {
    bool here = i + 1 < w->length && w->symbols[i] == left && w->symbols[i + 1] == right;
    w->symbols[kept++] = here ? id : w->symbols[i];
    i += here;
  }
  w->length = kept;
}

static bool merge_best(trainer *t) {
  while (t->heap_count) {
    candidate c = pop(t);
    pair_count *p = find_pair(t, c.pair);
    if (p->count != c.count) { // out of date; what it is now goes back
      if (p->count > 0 && p->count < c.count) push(t, (candidate){p->count, p->pair});
      continue;
    }
    if (c.count < 2) return false;
    int32_t left = (int32_t)(c.pair >> 32), right = (int32_t)c.pair;
    const vocabulary *v = &t->vocabulary;
    text joined = {0};
    text_add(&joined, v->tokens[left]);
    text_add(&joined, v->tokens[right]);
    json_array_append_new(t->merges, json_pack("[s, s]", v->tokens[left], v->tokens[right]));
    int32_t id = vocabulary_add(&t->vocabulary, joined.data, joined.length);
    text_free(&joined);
    if (id < 0) return false;
    int32_t *words = p->words, count = p->word_count;
    p->words = NULL, p->word_count = p->word_capacity = 0;
    for (int32_t i = 0; i < count; ++i) {
      count_pairs(t, words[i], -1);
      merge_in_word(t, words[i], left, right, id);
      count_pairs(t, words[i], 1);
    }
    for (int32_t i = 0; i < count; ++i) push_pairs(t, words[i]);
    free(words);
    return true;
  }
  return false;
}

static bool train(trainer *t, const char *in, size_t length, int vocabulary, lmn_error *error) {
  vocabulary_add(&t->vocabulary, END_OF_TEXT, strlen(END_OF_TEXT));
  for (int own = 1; own >= 0; --own) // in the order of the characters, as Hugging Face's trainer has them
    for (int byte = 0; byte < 256; ++byte) {
      const char *character = byte_level_character((unsigned char)byte);
      bool itself = (unsigned char)character[0] < 0xc4; // below U+0100
      if (itself == own) vocabulary_add(&t->vocabulary, character, strlen(character));
    }
  if (!count_words(t, in, length, error)) return false;
  for (int64_t i = 0; i < t->word_count; ++i) count_pairs(t, (int32_t)i, 1);
  for (int64_t i = 0; i < t->pairs_used; ++i) push(t, (candidate){t->pairs[i].count, t->pairs[i].pair});
  while (t->vocabulary.size < vocabulary && merge_best(t)) continue;
  return true;
}

static bool write_json(json_t *root, const char *directory, const char *name, lmn_error *error) {
  text path = {0};
  text_printf(&path, "%s/%s", directory, name);
  char *dump = json_dumps(root, JSON_INDENT(1));
  bool ok = dump ? file_write(path.data, dump, strlen(dump), error)
                 : fail(error, "%s: the tokens are no valid JSON", path.data);
  free(dump);
  json_decref(root);
  text_free(&path);
  return ok;
}

static bool write_tokenizer(trainer *t, const char *directory, lmn_error *error) {
  json_t *words = json_object();
  for (int64_t id = 0; id < t->vocabulary.size; ++id)
    json_object_set_new(words, t->vocabulary.tokens[id], json_integer(id));
  json_t *end = json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", 0, "content", END_OF_TEXT, "single_word", 0,
                          "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1);
  json_t *model = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:O}", "type", "BPE", "dropout", "unk_token",
                            "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                            "ignore_merges", 0, "vocab", words, "merges", t->merges);
  const char *level = "{s:s, s:b, s:b, s:b}";
  json_t *root = json_pack(
      "{s:s, s:n, s:n, s:[o], s:n, s:o, s:n, s:o, s:o}", "version", "1.0", "truncation", "padding", "added_tokens", end,
      "normalizer", "pre_tokenizer",
      json_pack(level, "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 1), "post_processor",
      "decoder", json_pack(level, "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 1),
      "model", model);
  json_t *config = json_pack("{s:s, s:s, s:s, s:s}", "tokenizer_class", "PreTrainedTokenizerFast", "bos_token",
                             END_OF_TEXT, "eos_token", END_OF_TEXT, "pad_token", END_OF_TEXT);
  return write_json(root, directory, "tokenizer.json", error) &
         write_json(config, directory, "tokenizer_config.json", error);
}

bool tokenizer_train(const char *in, size_t length, int vocabulary, const char *out_directory, lmn_error *error) {
  size_t bad;
  if (vocabulary < 257 || vocabulary > VOCABULARY_LIMIT)
    return fail(error,
                "a vocabulary of %d is not possible: it must have the 256 bytes and " END_OF_TEXT
                ", so at least 257 tokens",
                vocabulary);
  if (!utf8_valid(in, length, &bad))
    return fail(error, "the text is not UTF-8: byte %zu is 0x%02x; convert it first, with iconv for example", bad,
                (unsigned char)in[bad]);
  arena *memory = arena_create();
  trainer t = {.memory = memory, .merges = json_array()};
  t.words_seen.memory = t.vocabulary.memory = memory;
  bool ok = train(&t, in, length, vocabulary, error) && directory_make(out_directory, error) &&
            write_tokenizer(&t, out_directory, error);
  json_decref(t.merges);
  for (int64_t i = 0; i < t.pairs_used; ++i) free(t.pairs[i].words);
  free(t.pairs);
  free(t.slots);
  free(t.heap);
  free(t.words);
  vocabulary_free(&t.words_seen);
  vocabulary_free(&t.vocabulary);
  arena_destroy(memory);
  return ok;
}
