// Opening a tokenizer: which file it is read from, its added tokens, and what other files beside it say.
#include "runtime/tokenizer_parts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

step *step_add(step_list *list, step_kind kind) {
  GROW(list->steps, list->count, list->capacity);
  step *s = &list->steps[list->count++];
  *s = (step){.kind = kind};
  return s;
}

step *step_add_content(step_list *list, arena *memory, step_kind kind, const char *content, size_t length) {
  step *s = step_add(list, kind);
  s->content = arena_copy(memory, content, length);
  s->length = length;
  return s;
}

bool tokenizer_add_token(tokenizer *t, const added_token *token, lmn_error *error) {
  vocabulary *v = &t->vocabulary;
  added_token a = *token;
  if (!a.length) return fail(error, "added_tokens: the token of id %d is empty", a.id);
  // like Hugging Face's: a token that the vocabulary has keeps the vocabulary's id
  int32_t known = vocabulary_find(v, a.content, a.length);
  if (known >= 0) a.id = known;
  else if (!vocabulary_put(v, a.id, a.content, a.length))
    return fail(error, "added_tokens: \"%.*s\" cannot have the id %d: it is %s", (int)(a.length < 60 ? a.length : 60),
                a.content, a.id, a.id < 0 || a.id >= VOCABULARY_LIMIT ? "out of range" : "another token's");
  a.content = v->tokens[a.id];
  GROW(t->added, t->added_count, t->added_capacity);
  t->added[t->added_count++] = a;
  return true;
}

static int by_first_byte(const void *left, const void *right) {
  const added_token *a = *(const added_token *const *)left, *b = *(const added_token *const *)right;
  int first = (unsigned char)a->content[0] - (unsigned char)b->content[0];
  if (first) return first;
  if (a->length != b->length) return a->length > b->length ? -1 : 1;
  return a->id < b->id ? -1 : a->id > b->id;
}

static void index_added(tokenizer *t, added_index *index, bool normalized) {
  index->tokens = arena_alloc(t->memory, (size_t)(t->added_count + 1) * sizeof *index->tokens);
  int32_t count = 0;
  for (int64_t i = 0; i < t->added_count; ++i)
    if (t->added[i].normalized == normalized && t->added[i].length) index->tokens[count++] = &t->added[i];
  if (count) qsort(index->tokens, (size_t)count, sizeof *index->tokens, by_first_byte);
  for (int byte = 0, at = 0; byte <= 256; ++byte) {
    while (byte < 256 && at < count && (unsigned char)index->tokens[at]->content[0] < byte) ++at;
    index->begin[byte] = byte == 256 ? count : at;
  }
}

static bool finish(tokenizer *t, lmn_error *error) {
  bpe_finish(&t->bpe, &t->vocabulary);
  t->special = arena_alloc(t->memory, (size_t)t->vocabulary.size + 1);
  pattern_work work = {0};
  bool ok = true;
  for (int64_t i = 0; ok && i < t->added_count; ++i) {
    added_token *a = &t->added[i];
    t->special[a->id] |= a->special;
    if (!a->normalized || !t->normalizer.count) continue;
    text content = {0}; // such a token is looked for in normalized text, so it is normalized itself
    ok = tokenizer_normalize(&t->normalizer, &work, true, a->content, a->length, &content, error);
    if (ok) a->content = arena_copy(t->memory, content.data, content.length), a->length = content.length;
    text_free(&content);
  }
  pattern_work_free(&work);
  index_added(t, &t->raw, false);
  index_added(t, &t->normalized, true);
  if (!t->decoder.count) step_add(&t->decoder, DECODE_JOIN);
  return ok && (t->vocabulary.used || fail(error, "the vocabulary is empty"));
}

// The id of a special token as a configuration names it: "…", or {"content": "…"}.
static void read_special(const tokenizer *t, const json_t *root, const char *key, int32_t *id) {
  json_t *value = json_object_get(root, key);
  if (json_is_object(value)) value = json_object_get(value, "content");
  if (json_is_string(value)) *id = vocabulary_find(&t->vocabulary, json_string_value(value), json_string_length(value));
}

static bool flag(const json_t *object, const char *key) { return json_is_true(json_object_get(object, key)); }

static bool read_added_decoder(tokenizer *t, json_t *tokens, lmn_error *error) {
  const char *key;
  json_t *value;
  json_object_foreach(tokens, key, value) {
    json_t *content = json_object_get(value, "content");
    char *end;
    long id = strtol(key, &end, 10);
    if (*end || end == key || id < 0 || id >= VOCABULARY_LIMIT || !json_is_string(content))
      return fail(error, "added_tokens_decoder: entry \"%.60s\" is not an id with a content", key);
    added_token a = {.id = (int32_t)id,
                     .content = json_string_value(content),
                     .length = json_string_length(content),
                     .single_word = flag(value, "single_word"),
                     .lstrip = flag(value, "lstrip"),
                     .rstrip = flag(value, "rstrip"),
                     .normalized = flag(value, "normalized"),
                     .special = flag(value, "special")};
    if (!tokenizer_add_token(t, &a, error)) return false;
  }
  return true;
}

json_t *tokenizer_load_config(const char *directory, const char *name, lmn_error *error) {
  text path = {0};
  char *data;
  size_t length;
  json_t *root = NULL;
  text_printf(&path, "%s/%s", directory, name);
  if (file_exists(path.data) && file_read(path.data, TOKENIZER_FILE_LIMIT, &data, &length, error)) {
    json_error_t bad;
    root = json_loadb(data, length, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &bad); // some have integers of 100 bits
    if (!root) fail(error, "%s:%d:%d: %s; get the file again", path.data, bad.line, bad.column, bad.text);
    free(data);
  }
  text_free(&path);
  return root;
}

// add_bos_token and add_eos_token, where they are set and their token is known.
static void read_around(token_list *list, const json_t *root, const char *key, int32_t id) {
  const json_t *value = json_object_get(root, key);
  if (!json_is_boolean(value)) return;
  list->count = 0;
  if (!json_is_true(value) || id < 0) return;
  GROW(list->ids, list->count, list->capacity);
  list->ids[list->count++] = id;
}

bool tokenizer_read_config(tokenizer *t, const char *directory, bool alone, lmn_error *error) {
  static const char *const names[] = {"special_tokens_map.json", "tokenizer_config.json"};
  for (int i = 0; i < 2; ++i) {
    lmn_error broken = {0};
    json_t *root = tokenizer_load_config(directory, names[i], &broken);
    if (broken.text[0]) return fail(error, "%s", broken.text);
    bool ok = !alone || read_added_decoder(t, json_object_get(root, "added_tokens_decoder"), error) ||
              fail_in(error, "%s/%s", directory, names[i]);
    read_special(t, root, "bos_token", &t->bos);
    read_special(t, root, "eos_token", &t->eos);
    read_special(t, root, "pad_token", &t->pad);
    if (alone)
      read_around(&t->prefix, root, "add_bos_token", t->bos), read_around(&t->suffix, root, "add_eos_token", t->eos);
    json_decref(root);
    if (!ok) return false;
  }
  return true;
}

static tokenizer *create(void) {
  tokenizer *t = memory_zero(sizeof *t);
  t->memory = arena_create();
  t->vocabulary.memory = t->memory;
  t->bpe.unk = -1;
  t->bpe.prefix = t->bpe.suffix = "";
  t->bos = t->eos = t->pad = -1;
  return t;
}

// The first of the names that is a file in the directory, as a path in the arena; NULL: none.
static const char *find(tokenizer *t, const char *directory, const char *const *names) {
  for (; *names; ++names) {
    const char *path = arena_printf(t->memory, "%s/%s", directory, *names);
    if (file_exists(path)) return path;
  }
  return NULL;
}

static tokenizer *open_sentencepiece(const char *directory, const char *path, lmn_error *error) {
  tokenizer *t = create();
  t->file = arena_string(t->memory, path);
  if (tokenizer_read_sentencepiece(t, path, error) && tokenizer_read_config(t, directory, true, error) &&
      finish(t, error))
    return t;
  tokenizer_close(t);
  return NULL;
}

// tokenizer.json of a SentencePiece model is converted from tokenizer.model, token by token. Where more than one in a
// hundred differ, the two are of different models: the original is the one that the weights know.
static tokenizer *prefer_original(tokenizer *t, const char *directory) {
  const char *path = find(t, directory, (const char *const[]){"tokenizer.model", NULL});
  lmn_error ignored = {0};
  tokenizer *original = path ? open_sentencepiece(directory, path, &ignored) : NULL;
  if (!original) return t; // not of a kind that can be compared
  int64_t differ = 0, first = -1, size = original->vocabulary.size;
  for (int64_t id = 0; id < size; ++id) {
    const char *a = tokenizer_token(t, (int32_t)id), *b = original->vocabulary.tokens[id];
    if (!b || (a && !strcmp(a, b))) continue;
    if (!differ++) first = id;
  }
  tokenizer *kept = differ * 100 > size ? original : t, *other = kept == t ? original : t;
  if (kept == original) {
    const char *wrong = tokenizer_token(t, (int32_t)first);
    original->warning =
        arena_printf(original->memory,
                     "%s/tokenizer.json is not the tokenizer of tokenizer.model beside it: %lld of %lld tokens differ, "
                     "the first is id "
                     "%lld, \"%.40s\" and \"%.40s\"; tokenizer.model is used. Remove the wrong one of the two",
                     directory, (long long)differ, (long long)size, (long long)first, wrong ? wrong : "",
                     original->vocabulary.tokens[first]);
  }
  tokenizer_close(other);
  return kept;
}

static bool open_files(tokenizer *t, const char *directory, const char *words, const char *merges, lmn_error *error) {
  lmn_error broken = {0};
  json_t *config = tokenizer_load_config(directory, "tokenizer_config.json", &broken);
  const char *class = json_string_value(json_object_get(config, "tokenizer_class"));
  bool ok = broken.text[0] ? fail(error, "%s", broken.text) : tokenizer_read_files(t, class, words, merges, error);
  json_decref(config);
  return ok;
}

tokenizer *tokenizer_open(const char *directory, lmn_error *error) {
  tokenizer *t = create();
  const char *json = find(t, directory, (const char *const[]){"tokenizer.json", NULL});
  const char *words = find(t, directory, (const char *const[]){"vocab.json", "encoder.json", NULL});
  const char *merges = find(t, directory, (const char *const[]){"merges.txt", "vocab.bpe", NULL});
  const char *original = find(t, directory, (const char *const[]){"tokenizer.model", NULL});
  bool ok;
  if (json || (words && merges)) {
    t->file = json ? json : words;
    ok = json ? tokenizer_read_json(t, json, error) : open_files(t, directory, words, merges, error);
    ok = ok && tokenizer_read_config(t, directory, !json, error);
    ok = ok && (finish(t, error) || fail_in(error, "%s", t->file));
    if (ok) return json && original ? prefer_original(t, directory) : t;
  } else if (original) {
    tokenizer *result = open_sentencepiece(directory, original, error);
    tokenizer_close(t);
    return result;
  } else if (!directory_exists(directory)) {
    fail(error, "%s: there is no such model directory, so there is no tokenizer", directory);
  } else {
    fail(error,
         "%s: no tokenizer: there is no tokenizer.json, no vocab.json with merges.txt and no tokenizer.model; copy the "
         "one of the model into it",
         directory);
  }
  tokenizer_close(t);
  return NULL;
}

static void free_steps(step_list *list) {
  for (int i = 0; i < list->count; ++i) pcre2_code_free(list->steps[i].pattern.code);
  free(list->steps);
}

void tokenizer_close(tokenizer *t) {
  if (!t) return;
  free_steps(&t->normalizer);
  free_steps(&t->splitter);
  free_steps(&t->decoder);
  vocabulary_free(&t->vocabulary);
  free(t->bpe.merges);
  free(t->added);
  free(t->prefix.ids);
  free(t->suffix.ids);
  arena_destroy(t->memory);
  free(t);
}

int64_t tokenizer_vocabulary(const tokenizer *t) { return t->vocabulary.size; }
int32_t tokenizer_id(const tokenizer *t, const char *token) {
  return vocabulary_find(&t->vocabulary, token, strlen(token));
}
const char *tokenizer_token(const tokenizer *t, int32_t id) {
  return id >= 0 && id < t->vocabulary.size ? t->vocabulary.tokens[id] : NULL;
}
bool tokenizer_is_special(const tokenizer *t, int32_t id) {
  return id >= 0 && id < t->vocabulary.size && t->special[id];
}
const char *tokenizer_file(const tokenizer *t) { return t->file; }
const char *tokenizer_warning(const tokenizer *t) { return t->warning; }
int32_t tokenizer_bos(const tokenizer *t) { return t->bos; }
int32_t tokenizer_eos(const tokenizer *t) { return t->eos; }
int32_t tokenizer_pad(const tokenizer *t) { return t->pad; }
const int32_t *tokenizer_prefix(const tokenizer *t, int64_t *count) { return *count = t->prefix.count, t->prefix.ids; }
const int32_t *tokenizer_suffix(const tokenizer *t, int64_t *count) { return *count = t->suffix.count, t->suffix.ids; }
