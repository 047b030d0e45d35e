// tokenizer.json's normalizer, pre_tokenizer and decoder, each a component or a Sequence of them, as flat lists of
// steps. Components that are a split by some pattern become that.
#include "runtime/tokenizer_parts.h"

#include <jansson.h>
#include <string.h>

typedef struct reader {
  tokenizer *t;
  const char *field; // "normalizer", …
  step_list *list;
  lmn_error *error;
} reader;

static bool wrong(const reader *r, const char *key, const char *must) {
  return fail(r->error, "%s.%s: %s", r->field, key, must);
}

static bool flag(const reader *r, const json_t *object, const char *key, bool otherwise, bool *value) {
  const json_t *field = json_object_get(object, key);
  *value = field && !json_is_null(field) ? json_is_true(field) : otherwise;
  return !field || json_is_null(field) || json_is_boolean(field) || wrong(r, key, "must be true or false");
}

// A string field that must be there and, where `filled`, not be empty.
static bool string(const reader *r, const json_t *object, const char *key, bool filled, const char **value,
                   size_t *length) {
  const json_t *field = json_object_get(object, key);
  if (!json_is_string(field) || (filled && !json_string_length(field)))
    return wrong(r, key, filled ? "must be a string that is not empty" : "must be a string");
  *value = json_string_value(field), *length = json_string_length(field);
  return true;
}

static bool read_pattern(const reader *r, const json_t *object, pattern *p) {
  const json_t *field = json_object_get(object, "pattern");
  const json_t *plain = json_object_get(field, "String"), *regex = json_object_get(field, "Regex");
  if (json_is_string(field)) plain = field; // as files of the first versions have it
  if (json_is_string(regex))
    return pattern_compile(p, json_string_value(regex), json_string_length(regex), r->error) ||
           fail_in(r->error, "%s.pattern", r->field);
  if (!json_is_string(plain) || !json_string_length(plain))
    return wrong(r, "pattern", "must be {\"String\": …} or {\"Regex\": …}, and not empty");
  p->length = json_string_length(plain);
  p->string = arena_copy(r->t->memory, json_string_value(plain), p->length);
  return true;
}

static bool read_replace(const reader *r, const json_t *object, step_kind kind) {
  const char *content;
  size_t length;
  return string(r, object, "content", false, &content, &length) &&
         read_pattern(r, object, &step_add_content(r->list, r->t->memory, kind, content, length)->pattern);
}

static bool add_split(const reader *r, const char *expression, split_behaviour behaviour, bool invert) {
  step *s = step_add(r->list, SPLIT_PATTERN);
  s->behaviour = behaviour, s->invert = invert;
  return pattern_compile(&s->pattern, expression, strlen(expression), r->error);
}

static bool read_behaviour(const reader *r, const json_t *object, split_behaviour otherwise,
                           split_behaviour *behaviour) {
  static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
  const json_t *field = json_object_get(object, "behavior");
  *behaviour = otherwise;
  if (!field) return true;
  for (int i = 0; i < 5; ++i)
    if (json_is_string(field) && !strcmp(json_string_value(field), names[i]))
      return *behaviour = (split_behaviour)i, true;
  return wrong(r, "behavior", "must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

// Both spellings: add_prefix_space, and prepend_scheme with split.
static bool read_scheme(const reader *r, const json_t *object, prepend_scheme *scheme) {
  static const char *const names[] = {"always", "first", "never"};
  const json_t *field = json_object_get(object, "prepend_scheme");
  bool prefix;
  if (!flag(r, object, "add_prefix_space", true, &prefix)) return false;
  *scheme = prefix ? SCHEME_ALWAYS : SCHEME_NEVER;
  if (!field || json_is_null(field)) return true;
  for (int i = 0; i < 3; ++i)
    if (json_is_string(field) && !strcmp(json_string_value(field), names[i])) return *scheme = (prepend_scheme)i, true;
  return wrong(r, "prepend_scheme", "must be always, first or never");
}

static bool read_metaspace(const reader *r, const json_t *object, step_kind kind) {
  const char *mark;
  size_t length;
  prepend_scheme scheme;
  bool cut;
  if (!string(r, object, "replacement", true, &mark, &length) || !read_scheme(r, object, &scheme) ||
      !flag(r, object, "split", true, &cut))
    return false;
  step *s = step_add_content(r->list, r->t->memory, kind, mark, length);
  s->scheme = scheme;
  if (kind == DECODE_METASPACE || !cut) return true;
  const char *content = s->content;
  s = step_add(r->list, SPLIT_PATTERN);
  s->behaviour = SPLIT_MERGED_NEXT;
  s->pattern = (pattern){.string = content, .length = length};
  return true;
}

static bool read_byte_level(const reader *r, const json_t *object) {
  bool prefix, words;
  if (!flag(r, object, "add_prefix_space", true, &prefix) || !flag(r, object, "use_regex", true, &words)) return false;
  if (prefix) step_add_content(r->list, r->t->memory, SPLIT_PREFIX, " ", 1);
  if (words && !add_split(r, gpt2_words, SPLIT_ISOLATED, false)) return false;
  step_add(r->list, SPLIT_BYTES);
  return true;
}

static bool read_split(const reader *r, const json_t *object) {
  split_behaviour behaviour;
  bool invert;
  if (!read_behaviour(r, object, SPLIT_ISOLATED, &behaviour) || !flag(r, object, "invert", false, &invert))
    return false;
  step *s = step_add(r->list, SPLIT_PATTERN);
  s->behaviour = behaviour, s->invert = invert;
  return read_pattern(r, object, &s->pattern);
}

static bool read_delimiter(const reader *r, const json_t *object) {
  const char *mark;
  size_t length;
  if (!string(r, object, "delimiter", true, &mark, &length)) return false;
  step *s = step_add_content(r->list, r->t->memory, SPLIT_PATTERN, mark, length);
  s->behaviour = SPLIT_REMOVED;
  s->pattern = (pattern){.string = s->content, .length = length};
  return true;
}

static bool pre_tokenizer(const reader *r, const char *type, const json_t *object) {
  split_behaviour behaviour;
  bool individual;
  if (!strcmp(type, "ByteLevel")) return read_byte_level(r, object);
  if (!strcmp(type, "Split")) return read_split(r, object);
  if (!strcmp(type, "Metaspace")) return read_metaspace(r, object, SPLIT_METASPACE);
  if (!strcmp(type, "Digits"))
    return flag(r, object, "individual_digits", false, &individual) &&
           add_split(r, "\\p{N}", individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, false);
  if (!strcmp(type, "Punctuation"))
    return read_behaviour(r, object, SPLIT_ISOLATED, &behaviour) && add_split(r, "[\\p{P}$+<=>^`|~]", behaviour, false);
  if (!strcmp(type, "Whitespace")) return add_split(r, "\\w+|[^\\w\\s]+", SPLIT_REMOVED, true);
  if (!strcmp(type, "WhitespaceSplit")) return add_split(r, "\\s", SPLIT_REMOVED, false);
  if (!strcmp(type, "CharDelimiterSplit")) return read_delimiter(r, object);
  return wrong(r, "type", "is not one that is supported");
}

static bool normalizer(const reader *r, const char *type, const json_t *object) {
  static const struct {
    const char *type;
    step_kind kind;
  } plain[] = {{"NFC", NORMALIZE_NFC},
               {"NFD", NORMALIZE_NFD},
               {"NFKC", NORMALIZE_NFKC},
               {"NFKD", NORMALIZE_NFKD},
               {"Lowercase", NORMALIZE_LOWERCASE},
               {"StripAccents", NORMALIZE_STRIP_ACCENTS},
               {"ByteLevel", NORMALIZE_BYTES}};
  for (size_t i = 0; i < LENGTH(plain); ++i)
    if (!strcmp(type, plain[i].type)) return step_add(r->list, plain[i].kind), true;
  const char *content;
  size_t length;
  if (!strcmp(type, "Replace")) return read_replace(r, object, NORMALIZE_REPLACE);
  if (!strcmp(type, "Prepend")) {
    if (!string(r, object, "prepend", false, &content, &length)) return false;
    return step_add_content(r->list, r->t->memory, NORMALIZE_PREPEND, content, length), true;
  }
  if (!strcmp(type, "Strip")) {
    step *s = step_add(r->list, NORMALIZE_STRIP);
    return flag(r, object, "strip_left", true, &s->left) && flag(r, object, "strip_right", true, &s->right);
  }
  return wrong(r, "type", "is not one that is supported");
}

static bool read_strip(const reader *r, const json_t *object) {
  const char *content;
  size_t length;
  const json_t *start = json_object_get(object, "start"), *stop = json_object_get(object, "stop");
  if (!string(r, object, "content", true, &content, &length)) return false;
  if ((start && !json_is_integer(start)) || (stop && !json_is_integer(stop)) || json_integer_value(start) < 0 ||
      json_integer_value(stop) < 0)
    return wrong(r, "start", "and stop must be numbers from 0");
  step *s = step_add_content(r->list, r->t->memory, DECODE_STRIP, content, length);
  s->start = json_integer_value(start), s->stop = json_integer_value(stop);
  return true;
}

static bool decoder(const reader *r, const char *type, const json_t *object) {
  const char *suffix;
  size_t length;
  if (!strcmp(type, "Replace")) return read_replace(r, object, DECODE_REPLACE);
  if (!strcmp(type, "ByteFallback")) return step_add(r->list, DECODE_BYTE_FALLBACK), true;
  if (!strcmp(type, "Fuse")) return step_add(r->list, DECODE_FUSE), true;
  if (!strcmp(type, "Strip")) return read_strip(r, object);
  if (!strcmp(type, "ByteLevel")) return step_add(r->list, DECODE_BYTE_LEVEL), true;
  if (!strcmp(type, "Metaspace")) return read_metaspace(r, object, DECODE_METASPACE);
  if (!strcmp(type, "BPEDecoder")) {
    if (!string(r, object, "suffix", true, &suffix, &length)) return false;
    return step_add_content(r->list, r->t->memory, DECODE_BPE, suffix, length), true;
  }
  return wrong(r, "type", "is not one that is supported");
}

typedef bool component_function(const reader *r, const char *type, const json_t *object);

static bool read_component(const reader *r, const json_t *object, const char *parts, component_function *read,
                           int depth) {
  if (!object || json_is_null(object)) return true;
  const char *type = json_string_value(json_object_get(object, "type"));
  if (!type) return wrong(r, "type", "is missing");
  if (strcmp(type, "Sequence"))
    return read(r, type, object) || fail_in(r->error, "%s of type \"%.60s\"", r->field, type);
  const json_t *list = json_object_get(object, parts);
  if (!json_is_array(list)) return wrong(r, parts, "must be a list");
  if (depth > 8) return wrong(r, parts, "are nested too deeply");
  for (size_t i = 0; i < json_array_size(list); ++i)
    if (!read_component(r, json_array_get(list, i), parts, read, depth + 1)) return false;
  return true;
}

bool tokenizer_read_steps(tokenizer *t, const json_t *root, lmn_error *error) {
  reader n = {t, "normalizer", &t->normalizer, error}, p = {t, "pre_tokenizer", &t->splitter, error},
         d = {t, "decoder", &t->decoder, error};
  return read_component(&n, json_object_get(root, "normalizer"), "normalizers", normalizer, 0) &&
         read_component(&p, json_object_get(root, "pre_tokenizer"), "pretokenizers", pre_tokenizer, 0) &&
         read_component(&d, json_object_get(root, "decoder"), "decoders", decoder, 0);
}
