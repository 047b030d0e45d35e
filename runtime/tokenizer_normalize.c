// The normalizer's steps, each from one text into the next.
#include "runtime/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static bool unicode_form(step_kind kind, const char *in, size_t length, text *out, lmn_error *error) {
  int options =
      UTF8PROC_STABLE | (kind == NORMALIZE_NFC || kind == NORMALIZE_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
  if (kind == NORMALIZE_NFKC || kind == NORMALIZE_NFKD) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t *result = NULL;
  utf8proc_ssize_t size = utf8proc_map((const utf8proc_uint8_t *)in, (utf8proc_ssize_t)length, &result, options);
  if (size == UTF8PROC_ERROR_NOMEM) memory_exhausted(0);
  if (size < 0) return fail(error, "the text cannot be normalized: %s", utf8proc_errmsg(size));
  text_add_bytes(out, result, (size_t)size);
  free(result);
  return true;
}

static void lowercase(const char *in, size_t length, text *out) {
  for (size_t i = 0; i < length;) {
    int size;
    uint32_t codepoint = utf8_decode(in + i, &size);
    char bytes[4];
    if (codepoint == 0x130) text_add(out, "i\xcc\x87"); // the one letter whose lower case is two
    else text_add_bytes(out, bytes, (size_t)utf8_write((uint32_t)utf8proc_tolower((utf8proc_int32_t)codepoint), bytes));
    i += (size_t)size;
  }
}

static void strip_accents(const char *in, size_t length, text *out) {
  for (size_t i = 0; i < length;) {
    int size;
    uint32_t codepoint = utf8_decode(in + i, &size);
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)codepoint);
    if (category != UTF8PROC_CATEGORY_MN && category != UTF8PROC_CATEGORY_MC && category != UTF8PROC_CATEGORY_ME)
      text_add_bytes(out, in + i, (size_t)size);
    i += (size_t)size;
  }
}

static void strip(const step *s, const char *in, size_t length, text *out) {
  size_t from = 0, to = length;
  int size;
  while (s->left && from < to && unicode_space(utf8_decode(in + from, &size))) from += (size_t)size;
  for (size_t last = to; s->right && to > from; to = last) {
    do --last;
    while (last > from && ((unsigned char)in[last] & 0xc0) == 0x80);
    if (!unicode_space(utf8_decode(in + last, &size))) break;
  }
  text_add_bytes(out, in + from, to - from);
}

static bool run(const step *s, pattern_work *work, const char *in, size_t length, text *out, lmn_error *error) {
  switch (s->kind) {
  case NORMALIZE_PREPEND:
    if (length) text_add_bytes(out, s->content, s->length);
    text_add_bytes(out, in, length);
    return true;
  case NORMALIZE_REPLACE: return pattern_replace(&s->pattern, work, in, length, s->content, s->length, out, error);
  case NORMALIZE_LOWERCASE: return lowercase(in, length, out), true;
  case NORMALIZE_STRIP_ACCENTS: return strip_accents(in, length, out), true;
  case NORMALIZE_STRIP: return strip(s, in, length, out), true;
  case NORMALIZE_BYTES: return byte_level_map(in, length, out), true;
  default: return unicode_form(s->kind, in, length, out, error);
  }
}

bool tokenizer_normalize(const step_list *normalizer, pattern_work *work, bool prepend, const char *in, size_t length,
                         text *out, lmn_error *error) {
  text from = {0}, to = {0};
  bool ok = true;
  for (int i = 0; ok && i < normalizer->count; ++i) {
    to.length = 0;
    if (normalizer->steps[i].kind == NORMALIZE_PREPEND && !prepend)
      text_add_bytes(&to, i ? from.data : in, i ? from.length : length);
    else ok = run(&normalizer->steps[i], work, i ? from.data : in, i ? from.length : length, &to, error);
    text swap = from;
    from = to;
    to = swap;
  }
  if (ok && normalizer->count) text_add_bytes(out, from.data, from.length);
  else if (ok) text_add_bytes(out, in, length);
  text_free(&from);
  text_free(&to);
  return ok;
}
