// tokenizer.json of Hugging Face's tokenizers: the vocabulary, the merges, the added tokens and the post-processor's
// template. The steps of normalizer, pre_tokenizer and decoder are read in tokenizer_steps.c. The fields "truncation"
// and "padding" are left alone: they are settings of whoever saved the file, and a data set here has its own.
#include "runtime/tokenizer_parts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static bool read_vocabulary(tokenizer *t, const json_t *words, lmn_error *error) {
  if (!json_is_object(words)) return fail(error, "model.vocab: must be an object of tokens and their ids");
  // the highest id bounds the tables: a file with one absurd id must not ask for memory that its tokens do not need
  int64_t limit = (int64_t)json_object_size(words) * 4 + 65536;
  const char *token;
  json_t *value;
  json_object_foreach((json_t *)words, token, value) {
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id >= limit) return fail(error, "model.vocab: \"%.60s\" has no usable id", token);
    if (!vocabulary_put(&t->vocabulary, id, token, strlen(token)))
      return fail(error, "model.vocab: id %lld is given to \"%.60s\" and to \"%.60s\"", (long long)id,
                  tokenizer_token(t, (int32_t)id), token);
  }
  return true;
}

// A merge is "left right" or ["left", "right"].
static bool merge_parts(const json_t *merge, const char **left, size_t *left_length, const char **right,
                        size_t *right_length) {
  if (json_is_array(merge) && json_array_size(merge) == 2) {
    const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
    if (!json_is_string(a) || !json_is_string(b)) return false;
    *left = json_string_value(a), *left_length = json_string_length(a);
    *right = json_string_value(b), *right_length = json_string_length(b);
    return true;
  }
  if (!json_is_string(merge)) return false;
  const char *whole = json_string_value(merge);
  size_t length = json_string_length(merge);
  const char *space = memchr(whole, ' ', length);
  if (!space || memchr(space + 1, ' ', length - (size_t)(space + 1 - whole))) return false;
  *left = whole, *left_length = (size_t)(space - whole);
  *right = space + 1, *right_length = length - *left_length - 1;
  return true;
}

static bool read_merges(tokenizer *t, const json_t *merges, lmn_error *error) {
  if (!json_is_array(merges)) return fail(error, "model.merges: must be a list");
  const vocabulary *v = &t->vocabulary;
  size_t prefix = strlen(t->bpe.prefix), count = json_array_size(merges);
  bpe_reserve(&t->bpe, (int64_t)count);
  text joined = {0};
  bool ok = true;
  for (size_t rank = 0; ok && rank < count; ++rank) {
    const char *left, *right;
    size_t left_length, right_length;
    if (!merge_parts(json_array_get(merges, rank), &left, &left_length, &right, &right_length)) {
      ok = fail(error, "model.merges[%zu]: must be \"left right\" or [\"left\", \"right\"]", rank);
      break;
    }
    joined.length = 0;
    text_add_bytes(&joined, left, left_length);
    size_t skip = right_length >= prefix ? prefix : right_length;
    text_add_bytes(&joined, right + skip, right_length - skip);
    int32_t a = vocabulary_find(v, left, left_length), b = vocabulary_find(v, right, right_length);
    int32_t id = vocabulary_find(v, joined.data, joined.length);
    if (a < 0 || b < 0 || id < 0) {
      ok = fail(error, "model.merges[%zu]: \"%.*s\" is not in model.vocab", rank,
                (int)(a < 0   ? left_length
                      : b < 0 ? right_length
                              : joined.length),
                a < 0   ? left
                : b < 0 ? right
                        : joined.data);
      break;
    }
    bpe_add(&t->bpe, a, b, (int32_t)rank, id);
  }
  text_free(&joined);
  return ok;
}

// An optional string field; null and absent are "".
static bool read_string(tokenizer *t, const json_t *model, const char *key, const char **value, lmn_error *error) {
  const json_t *field = json_object_get(model, key);
  *value = "";
  if (!field || json_is_null(field)) return true;
  if (!json_is_string(field)) return fail(error, "model.%s: must be a string or null", key);
  *value = arena_string(t->memory, json_string_value(field));
  return true;
}

static bool read_flag(const json_t *object, const char *where, const char *key, bool *value, lmn_error *error) {
  const json_t *field = json_object_get(object, key);
  *value = json_is_true(field);
  return !field || json_is_null(field) || json_is_boolean(field) ||
         fail(error, "%s.%s: must be true or false", where, key);
}

static bool read_model(tokenizer *t, const json_t *model, lmn_error *error) {
  if (!json_is_object(model)) return fail(error, "model: is missing");
  const json_t *type = json_object_get(model, "type"), *dropout = json_object_get(model, "dropout");
  if (type ? !json_is_string(type) || strcmp(json_string_value(type), "BPE") : !json_object_get(model, "merges"))
    return fail(error, "model.type: \"%.60s\" is not supported; BPE is",
                json_is_string(type) ? json_string_value(type) : "");
  if (dropout && !json_is_null(dropout) && (!json_is_number(dropout) || json_number_value(dropout) != 0))
    return fail(error, "model.dropout: is not supported; set it to null");
  const char *unk;
  bpe *b = &t->bpe;
  if (!read_string(t, model, "unk_token", &unk, error) ||
      !read_string(t, model, "continuing_subword_prefix", &b->prefix, error) ||
      !read_string(t, model, "end_of_word_suffix", &b->suffix, error) ||
      !read_flag(model, "model", "byte_fallback", &b->byte_fallback, error) ||
      !read_flag(model, "model", "fuse_unk", &b->fuse_unk, error) ||
      !read_flag(model, "model", "ignore_merges", &b->ignore_merges, error) ||
      !read_vocabulary(t, json_object_get(model, "vocab"), error) ||
      !read_merges(t, json_object_get(model, "merges"), error))
    return false;
  b->unk = *unk ? tokenizer_id(t, unk) : -1;
  return !*unk || b->unk >= 0 || fail(error, "model.unk_token: \"%.60s\" is not in model.vocab", unk);
}

static bool read_added(tokenizer *t, const json_t *tokens, lmn_error *error) {
  if (!tokens || json_is_null(tokens)) return true;
  if (!json_is_array(tokens)) return fail(error, "added_tokens: must be a list");
  for (size_t i = 0; i < json_array_size(tokens); ++i) {
    const json_t *entry = json_array_get(tokens, i), *id = json_object_get(entry, "id"),
                 *content = json_object_get(entry, "content");
    if (!json_is_integer(id) || !json_is_string(content) || json_integer_value(id) < 0 ||
        json_integer_value(id) >= VOCABULARY_LIMIT)
      return fail(error, "added_tokens[%zu]: must have an id from 0 and a content", i);
    char where[40];
    snprintf(where, sizeof where, "added_tokens[%zu]", i);
    added_token a = {.id = (int32_t)json_integer_value(id),
                     .content = json_string_value(content),
                     .length = json_string_length(content)};
    if (!read_flag(entry, where, "single_word", &a.single_word, error) ||
        !read_flag(entry, where, "lstrip", &a.lstrip, error) || !read_flag(entry, where, "rstrip", &a.rstrip, error) ||
        !read_flag(entry, where, "normalized", &a.normalized, error) ||
        !read_flag(entry, where, "special", &a.special, error) || !tokenizer_add_token(t, &a, error))
      return false;
  }
  return true;
}

static void append_id(token_list *list, int32_t id) {
  GROW(list->ids, list->count, list->capacity);
  list->ids[list->count++] = id;
}

static void put_before(token_list *list, const token_list *ids) {
  token_list joined = {0};
  for (int64_t i = 0; i < ids->count; ++i) append_id(&joined, ids->ids[i]);
  for (int64_t i = 0; i < list->count; ++i) append_id(&joined, list->ids[i]);
  free(list->ids);
  *list = joined;
}

// The ids that TemplateProcessing's special token of that name stands for.
static bool template_ids(const tokenizer *t, const json_t *processor, const json_t *name, token_list *ids,
                         lmn_error *error) {
  const json_t *list =
      json_object_get(json_object_get(json_object_get(processor, "special_tokens"), json_string_value(name)), "ids");
  for (size_t i = 0; i < json_array_size(list); ++i) {
    const json_t *id = json_array_get(list, i);
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= t->vocabulary.size)
      return fail(error, "post_processor.special_tokens: \"%.60s\" has an id that no token has",
                  json_string_value(name));
    append_id(ids, (int32_t)json_integer_value(id));
  }
  return json_array_size(list) > 0 ||
         fail(error, "post_processor.special_tokens: \"%.60s\" has no ids", json_string_value(name));
}

static bool read_template(tokenizer *t, const json_t *processor, lmn_error *error) {
  const json_t *single = json_object_get(processor, "single");
  if (!json_is_array(single)) return fail(error, "post_processor.single: must be a list");
  token_list parts[2] = {{0}}; // before and after the text
  bool ok = true;
  int texts = 0;
  for (size_t i = 0; ok && i < json_array_size(single); ++i) {
    const json_t *part = json_array_get(single, i), *special = json_object_get(part, "SpecialToken");
    const json_t *name = json_object_get(special, "id");
    if (json_object_get(part, "Sequence")) ++texts;
    else if (json_is_string(name)) ok = template_ids(t, processor, name, &parts[texts > 0], error);
    else ok = fail(error, "post_processor.single[%zu]: must be a SpecialToken with an id, or a Sequence", i);
  }
  if (ok && texts != 1) ok = fail(error, "post_processor.single: must have the Sequence once");
  if (ok) {
    put_before(&t->prefix, &parts[0]);
    for (int64_t i = 0; i < parts[1].count; ++i) append_id(&t->suffix, parts[1].ids[i]);
  }
  free(parts[0].ids);
  free(parts[1].ids);
  return ok;
}

// BertProcessing and RobertaProcessing: "cls" before, "sep" after, each ["token", id].
static bool read_cls_sep(tokenizer *t, const json_t *processor, lmn_error *error) {
  json_t *cls = json_array_get(json_object_get(processor, "cls"), 1),
         *sep = json_array_get(json_object_get(processor, "sep"), 1);
  for (int i = 0; i < 2; ++i) {
    json_t *id = i ? sep : cls;
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= t->vocabulary.size)
      return fail(error, "post_processor.%s: must be [\"token\", id]", i ? "sep" : "cls");
    token_list one = {.ids = &(int32_t){(int32_t)json_integer_value(id)}, .count = 1};
    if (i) append_id(&t->suffix, one.ids[0]);
    else put_before(&t->prefix, &one);
  }
  return true;
}

static bool read_processor(tokenizer *t, const json_t *processor, int depth, lmn_error *error) {
  if (!processor || json_is_null(processor)) return true;
  const char *type = json_string_value(json_object_get(processor, "type"));
  if (!type) return fail(error, "post_processor: has no type");
  if (!strcmp(type, "ByteLevel")) return true; // changes offsets only
  if (!strcmp(type, "TemplateProcessing")) return read_template(t, processor, error);
  if (!strcmp(type, "BertProcessing") || !strcmp(type, "RobertaProcessing")) return read_cls_sep(t, processor, error);
  if (strcmp(type, "Sequence") || depth > 8)
    return fail(error, "post_processor.type: \"%.60s\" is not supported", type);
  const json_t *parts = json_object_get(processor, "processors");
  if (!json_is_array(parts)) return fail(error, "post_processor.processors: must be a list");
  for (size_t i = 0; i < json_array_size(parts); ++i)
    if (!read_processor(t, json_array_get(parts, i), depth + 1, error)) return false;
  return true;
}

bool tokenizer_read_json(tokenizer *t, const char *path, lmn_error *error) {
  char *data;
  size_t length;
  if (!file_read(path, TOKENIZER_FILE_LIMIT, &data, &length, error)) return false;
  json_error_t bad;
  json_t *root = json_loadb(data, length, JSON_ALLOW_NUL, &bad);
  free(data);
  if (!root) return fail(error, "%s:%d:%d: %s; get the file again", path, bad.line, bad.column, bad.text);
  bool ok = json_is_object(root) || fail(error, "must be a JSON object");
  ok = ok && read_model(t, json_object_get(root, "model"), error) &&
       read_added(t, json_object_get(root, "added_tokens"), error);
  ok = ok && tokenizer_read_steps(t, root, error) &&
       read_processor(t, json_object_get(root, "post_processor"), 0, error);
  json_decref(root);
  return ok || fail_in(error, "%s", path);
}
