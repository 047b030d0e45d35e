// Inside of the tokenizer: what its files agree on. Nobody else includes this.
#ifndef LMN_TOKENIZER_PARTS_H
#define LMN_TOKENIZER_PARTS_H

#include "runtime/tokenizer.h"
#include "runtime/tokenizer_text.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

// tokenizer_pattern.c: a string or a regular expression.
typedef struct pattern {
  const char *string; // where code is NULL
  size_t length;
  pcre2_code *code;
} pattern;
typedef struct pattern_work { // one thread's
  pcre2_match_data *match;
  pcre2_match_context *context;
  pcre2_jit_stack *stack;
} pattern_work;
bool pattern_compile(pattern *p, const char *expression, size_t length, lmn_error *error);
// The first match at or after `from`: 1 and its place, 0: none, -1: an error, in *error.
int pattern_next(const pattern *p, pattern_work *work, const char *text, size_t length, size_t from, size_t *start,
                 size_t *end, lmn_error *error);
bool pattern_replace(const pattern *p, pattern_work *work, const char *text_in, size_t length, const char *content,
                     size_t content_length, text *out, lmn_error *error);
void pattern_work_free(pattern_work *work);
extern const char gpt2_words[], qwen2_words[]; // their patterns for words

// tokenizer_bpe.c: the vocabulary and the merges.
typedef struct vocabulary {
  arena *memory;
  const char **tokens; // by id, NULL: none; 0-terminated
  uint32_t *lengths;
  int64_t size, capacity; // highest id + 1
  struct vocabulary_slot {
    uint32_t hash;
    int32_t id; // -1: free
  } * slots;
  uint32_t mask;
  int64_t used;
} vocabulary;
int32_t vocabulary_find(const vocabulary *v, const char *token, size_t length); // -1: none
#define VOCABULARY_LIMIT (1 << 24)
// Adds a token (copied into the arena); false if the id or the token is already there with another partner, or the id
// is out of range.
bool vocabulary_put(vocabulary *v, int64_t id, const char *token, size_t length);
// Finds it or adds it under the next free id; -1: there is no room.
int32_t vocabulary_add(vocabulary *v, const char *token, size_t length);
void vocabulary_free(vocabulary *v);

typedef struct merge {
  uint64_t pair; // left id << 32 | right id
  int32_t rank, id;
} merge;
typedef struct bpe {
  merge *merges; // hash table, id -1: free
  uint32_t mask;
  int64_t used;
  bool byte_fallback, fuse_unk, ignore_merges;
  int32_t unk;                 // -1: unknown characters are dropped
  int32_t bytes[256];          // of <0x00> …, -1: none
  const char *prefix, *suffix; // continuing_subword_prefix, end_of_word_suffix; "" for none
  const char *space; // the mark before which a text may be cut into words without changing the result; NULL: nowhere
} bpe;
void bpe_reserve(bpe *b, int64_t merges);
void bpe_add(bpe *b, int32_t left, int32_t right, int32_t rank, int32_t id);
// After all merges: finds the byte tokens and whether texts may be cut before U+2581.
void bpe_finish(bpe *b, const vocabulary *v);

typedef struct bpe_symbol {
  int32_t id, previous, next; // id -1: merged into the one before
} bpe_symbol;
typedef struct bpe_candidate {
  int32_t rank, position, id;
} bpe_candidate;
typedef struct bpe_work { // one thread's
  bpe_symbol *symbols;
  int64_t count, capacity;
  bpe_candidate *heap;
  int64_t heap_count, heap_capacity;
} bpe_work;
void bpe_word(const bpe *b, const vocabulary *v, bpe_work *work, const char *word, size_t length, token_list *ids);

// The steps of normalizer, pre_tokenizer and decoder, sequences laid flat.
typedef enum {
  NORMALIZE_PREPEND, // content
  NORMALIZE_REPLACE, // pattern by content
  NORMALIZE_NFC,
  NORMALIZE_NFD,
  NORMALIZE_NFKC,
  NORMALIZE_NFKD,
  NORMALIZE_LOWERCASE,
  NORMALIZE_STRIP, // left, right
  NORMALIZE_STRIP_ACCENTS,
  NORMALIZE_BYTES, // bytes to GPT-2's alphabet
  SPLIT_PATTERN,   // pattern, behaviour, invert
  SPLIT_PREFIX,    // content before a piece that does not begin with it
  SPLIT_METASPACE, // spaces to content; content before as scheme says
  SPLIT_BYTES,     // bytes to GPT-2's alphabet
  DECODE_REPLACE,  // pattern by content
  DECODE_BYTE_FALLBACK,
  DECODE_FUSE,
  DECODE_STRIP, // up to `start` and `stop` times content
  DECODE_BYTE_LEVEL,
  DECODE_METASPACE,
  DECODE_BPE, // content is the suffix
  DECODE_JOIN // no decoder: tokens with spaces between
} step_kind;
typedef enum {
  SPLIT_REMOVED,
  SPLIT_ISOLATED,
  SPLIT_MERGED_PREVIOUS,
  SPLIT_MERGED_NEXT,
  SPLIT_CONTIGUOUS
} split_behaviour;
typedef enum { SCHEME_ALWAYS, SCHEME_FIRST, SCHEME_NEVER } prepend_scheme;
typedef struct step {
  step_kind kind;
  pattern pattern;
  const char *content;
  size_t length; // of content
  split_behaviour behaviour;
  prepend_scheme scheme;
  bool invert, left, right;
  int64_t start, stop;
} step;
typedef struct step_list {
  step *steps;
  int count, capacity;
} step_list;
step *step_add(step_list *list, step_kind kind);
step *step_add_content(step_list *list, arena *memory, step_kind kind, const char *content, size_t length);

typedef struct added_token {
  int32_t id;
  const char *content; // normalized where the token is matched in normalized text
  size_t length;
  bool single_word, lstrip, rstrip, normalized, special;
} added_token;
typedef struct added_index { // those that begin with a byte, the longest first
  const added_token **tokens;
  int32_t begin[257];
} added_index;

struct tokenizer {
  arena *memory;
  const char *file, *warning;
  vocabulary vocabulary;
  bpe bpe;
  step_list normalizer, splitter, decoder;
  added_token *added;
  int64_t added_count, added_capacity;
  added_index raw, normalized;
  uint8_t *special; // by id
  token_list prefix, suffix;
  int32_t bos, eos, pad;
};

// tokenizer_json.c, tokenizer_files.c, tokenizer_sentencepiece.c: the three sources; each fills in an empty tokenizer.
bool tokenizer_read_json(tokenizer *t, const char *path, lmn_error *error);
struct json_t;
bool tokenizer_read_steps(tokenizer *t, const struct json_t *root, lmn_error *error); // tokenizer_steps.c
// A file of settings beside the tokenizer, to be freed with json_decref; NULL: it is broken (in *error) or not there.
struct json_t *tokenizer_load_config(const char *directory, const char *name, lmn_error *error);
// tokenizer_class: the class that transformers would read the files with, NULL: not said.
bool tokenizer_read_files(tokenizer *t, const char *tokenizer_class, const char *vocabulary_path,
                          const char *merges_path, lmn_error *error);
bool tokenizer_read_sentencepiece(tokenizer *t, const char *path, lmn_error *error);
// tokenizer_config.json and special_tokens_map.json beside it, where they are: bos, eos, pad; with `added` also the
// added tokens.
bool tokenizer_read_config(tokenizer *t, const char *directory, bool alone, lmn_error *error);
// Registers an added token under its id; an id or a content that is already used otherwise is an error.
bool tokenizer_add_token(tokenizer *t, const added_token *token, lmn_error *error);
#define TOKENIZER_FILE_LIMIT ((size_t)1 << 30)

// tokenizer_normalize.c
// prepend: false leaves NORMALIZE_PREPEND out.
bool tokenizer_normalize(const step_list *normalizer, pattern_work *work, bool prepend, const char *in, size_t length,
                         text *out, lmn_error *error);

#endif
