// vocab.json (or encoder.json) with merges.txt (or vocab.bpe): the byte-level BPE of GPT-2. Such files do not say which
// tokens are special: a token of several characters that no merge makes can only stand for itself, so it is one
// (<|endoftext|>).
#include "runtime/tokenizer_parts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static bool read_words(tokenizer *t, const char *path, lmn_error *error) {
  char *data;
  size_t length;
  if (!file_read(path, TOKENIZER_FILE_LIMIT, &data, &length, error)) return false;
  json_error_t bad;
  json_t *root = json_loadb(data, length, JSON_ALLOW_NUL, &bad);
  free(data);
  if (!root) return fail(error, "%s:%d:%d: %s; get the file again", path, bad.line, bad.column, bad.text);
  bool ok = json_is_object(root) || fail(error, "%s: must be an object of tokens and their ids", path);
  int64_t limit = (int64_t)json_object_size(root) * 4 + 65536;
  const char *token;
  json_t *value;
  json_object_foreach(root, token, value) {
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id >= limit || !vocabulary_put(&t->vocabulary, id, token, strlen(token))) {
      ok = fail(error, "%s: \"%.60s\" has no id of its own", path, token);
      break;
    }
  }
  json_decref(root);
  return ok;
}

static bool add_merge(tokenizer *t, const char *line, size_t length, int32_t rank, uint8_t *made) {
  const char *space = memchr(line, ' ', length);
  if (!space || space == line || space + 1 == line + length) return false;
  size_t left = (size_t)(space - line), right = length - left - 1;
  char small[512], *joined = length < sizeof small ? small : memory_alloc(length);
  memcpy(joined, line, left);
  memcpy(joined + left, space + 1, right);
  const vocabulary *v = &t->vocabulary;
  int32_t a = vocabulary_find(v, line, left), b = vocabulary_find(v, space + 1, right),
          id = vocabulary_find(v, joined, left + right);
  if (joined != small) free(joined);
  if (a < 0 || b < 0 || id < 0) return false;
  bpe_add(&t->bpe, a, b, rank, id);
  made[id] = 1;
  return true;
}

static bool read_merges(tokenizer *t, const char *path, uint8_t *made, lmn_error *error) {
  char *data;
  size_t length;
  if (!file_read(path, TOKENIZER_FILE_LIMIT, &data, &length, error)) return false;
  bool ok = true;
  int32_t rank = 0;
  long number = 1;
  for (size_t at = 0; ok && at < length; ++number) {
    const char *line = data + at, *newline = memchr(line, '\n', length - at);
    size_t size = newline ? (size_t)(newline - line) : length - at;
    at += size + 1;
    if (size && line[size - 1] == '\r') --size;
    if (!size || (number == 1 && size >= 8 && !memcmp(line, "#version", 8))) continue;
    ok = add_merge(t, line, size, rank++, made) ||
         fail(error, "%s:%ld: \"%.*s\" is not two tokens of the vocabulary that make a third", path, number,
              (int)(size < 60 ? size : 60), line);
  }
  free(data);
  return ok;
}

static bool add_specials(tokenizer *t, const uint8_t *made, lmn_error *error) {
  for (int64_t id = 0, size = t->vocabulary.size; id < size; ++id) {
    const char *token = t->vocabulary.tokens[id];
    int first;
    if (!token || !token[0] || made[id]) continue;
    utf8_decode(token, &first);
    if ((uint32_t)first == t->vocabulary.lengths[id]) continue;
    added_token a = {.id = (int32_t)id, .content = token, .length = t->vocabulary.lengths[id], .special = true};
    if (!tokenizer_add_token(t, &a, error)) return false;
  }
  t->bos = t->eos = tokenizer_id(t, "<|endoftext|>");
  return true;
}

bool tokenizer_read_files(tokenizer *t, const char *tokenizer_class, const char *vocabulary_path,
                          const char *merges_path, lmn_error *error) {
  const char *class = tokenizer_class ? tokenizer_class : "GPT2Tokenizer";
  bool qwen2 = !strncmp(class, "Qwen2Tokenizer", 14);
  if (!qwen2 && strncmp(class, "GPT2Tokenizer", 13))
    return fail(error,
                "%s: how a %.60s cuts texts into words is said in a tokenizer.json only; make one with transformers",
                vocabulary_path, class);
  if (!read_words(t, vocabulary_path, error)) return false;
  uint8_t *made = memory_zero((size_t)t->vocabulary.size + 1);
  bool ok = read_merges(t, merges_path, made, error) && add_specials(t, made, error);
  free(made);
  const char *words = qwen2 ? qwen2_words : gpt2_words;
  if (qwen2) step_add(&t->normalizer, NORMALIZE_NFC);
  step *s = step_add(&t->splitter, SPLIT_PATTERN);
  s->behaviour = SPLIT_ISOLATED;
  ok = ok && pattern_compile(&s->pattern, words, strlen(words), error);
  step_add(&t->splitter, SPLIT_BYTES);
  step_add(&t->decoder, DECODE_BYTE_LEVEL);
  return ok;
}
