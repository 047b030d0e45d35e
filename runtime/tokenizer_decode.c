// Ids to text. Every decoder step takes tokens as they come and passes on what is certain, so a whole decode is a
// stream pushed to its end, and the two cannot differ. A token may arrive in several parts; its last part says so.
#include "runtime/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

typedef struct stage {
  text token;   // parts of the token that is still arriving
  text held;    // bytes, or a token, that later ones decide about
  int64_t seen; // tokens so far; for DECODE_STRIP characters stripped of this one
  bool open;    // DECODE_STRIP: past the start of the token
} stage;

struct tokenizer_stream {
  const tokenizer *tokenizer;
  bool skip_special;
  stage *stages;
  pattern_work pattern;
  text *out;
};

tokenizer_stream *tokenizer_stream_open(const tokenizer *t, bool skip_special) {
  tokenizer_stream *s = memory_zero(sizeof *s);
  s->tokenizer = t;
  s->skip_special = skip_special;
  s->stages = memory_zero(sizeof *s->stages * (size_t)(t->decoder.count + 1));
  return s;
}

void tokenizer_stream_close(tokenizer_stream *s) {
  if (!s) return;
  for (int i = 0; i < s->tokenizer->decoder.count; ++i) {
    text_free(&s->stages[i].token);
    text_free(&s->stages[i].held);
  }
  free(s->stages);
  pattern_work_free(&s->pattern);
  free(s);
}

static void pass(tokenizer_stream *s, int i, const char *bytes, size_t length, bool end);

// A run of byte tokens: text if it is UTF-8 as a whole, else U+FFFD for each byte.
static void flush_bytes(tokenizer_stream *s, int i) {
  text *held = &s->stages[i].held;
  if (!held->length) return;
  if (utf8_valid(held->data, held->length, NULL)) pass(s, i + 1, held->data, held->length, true);
  else
    for (size_t k = 0; k < held->length; ++k) pass(s, i + 1, "\xef\xbf\xbd", 3, true);
  held->length = 0;
}

static int hexadecimal(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

static void byte_fallback(tokenizer_stream *s, int i, const char *token, size_t length) {
  if (length == 6 && !memcmp(token, "<0x", 3) && token[5] == '>' && hexadecimal(token[3]) >= 0 &&
      hexadecimal(token[4]) >= 0) {
    char byte = (char)(hexadecimal(token[3]) * 16 + hexadecimal(token[4]));
    text_add_bytes(&s->stages[i].held, &byte, 1);
    return;
  }
  flush_bytes(s, i);
  pass(s, i + 1, token, length, true);
}

// Passes on what of the held bytes is decided, with U+FFFD for what is no UTF-8; a cut-off character waits unless this
// is the end.
static void pass_utf8(tokenizer_stream *s, int i, bool end) {
  text *held = &s->stages[i].held, valid = {0};
  size_t at = 0;
  while (at < held->length) {
    int size = utf8_character(held->data + at, held->length - at);
    if (size == 0 && !end) break;
    if (size > 0) text_add_bytes(&valid, held->data + at, (size_t)size);
    else text_add(&valid, "\xef\xbf\xbd");
    at += size > 0 ? (size_t)size : size < 0 ? (size_t)-size : held->length - at;
  }
  if (at) memmove(held->data, held->data + at, held->length - at);
  held->length -= at;
  if (valid.length) pass(s, i + 1, valid.data, valid.length, false);
  text_free(&valid);
}

static void byte_level(tokenizer_stream *s, int i, const char *token, size_t length) {
  text bytes = {0};
  bool mapped = true;
  int size;
  for (size_t k = 0; mapped && k < length; k += (size_t)size) {
    utf8_decode(token + k, &size);
    int byte = byte_level_byte(token + k);
    mapped = byte >= 0;
    char c = (char)byte;
    text_add_bytes(&bytes, &c, 1);
  }
  if (mapped) text_add_bytes(&s->stages[i].held, bytes.data, bytes.length);
  else text_add_bytes(&s->stages[i].held, token, length); // an added token, in its own letters
  text_free(&bytes);
  pass_utf8(s, i, false);
}

static void metaspace(tokenizer_stream *s, int i, const char *token, size_t length) {
  const step *step = &s->tokenizer->decoder.steps[i];
  bool first = s->stages[i].seen++ == 0 && step->scheme != SCHEME_NEVER;
  pattern mark = {.string = step->content, .length = step->length};
  text out = {0};
  pattern_replace(&mark, &s->pattern, token, length, " ", first ? 0 : 1, &out, NULL);
  pass(s, i + 1, out.data, out.length, true);
  text_free(&out);
}

static bool is_content(const step *step, const char *token, size_t length, size_t at) {
  return at + step->length <= length && !memcmp(token + at, step->content, step->length);
}

// Strips what it can of a part as it comes; only where the end is to be stripped too must the whole token be there.
static void strip_part(tokenizer_stream *s, int i, const char *part, size_t length, bool end) {
  const step *step = &s->tokenizer->decoder.steps[i];
  stage *state = &s->stages[i];
  if (step->stop > 0) {
    text_add_bytes(&state->token, part, length);
    if (!end) return;
    part = state->token.data, length = state->token.length;
  }
  size_t from = 0, to = length;
  while (!state->open && state->seen < step->start && is_content(step, part, length, from))
    from += step->length, ++state->seen;
  if (from < length || state->seen >= step->start) state->open = true;
  for (int64_t k = 0; k < step->stop && to >= from + step->length && is_content(step, part, to, to - step->length); ++k)
    to -= step->length;
  if (to > from || end) pass(s, i + 1, part + from, to - from, end);
  if (!end) return;
  state->seen = 0, state->open = false, state->token.length = 0;
}

// BPEDecoder: the suffix at the end of a word is a space, but of the last token nothing; so one token waits.
static void flush_word(tokenizer_stream *s, int i, bool last) {
  const step *step = &s->tokenizer->decoder.steps[i];
  stage *state = &s->stages[i];
  if (!state->seen) return;
  pattern suffix = {.string = step->content, .length = step->length};
  text out = {0};
  pattern_replace(&suffix, &s->pattern, state->held.data, state->held.length, " ", last ? 0 : 1, &out, NULL);
  pass(s, i + 1, out.data, out.length, true);
  text_free(&out);
  state->held.length = 0;
  state->seen = 0;
}

static void whole_token(tokenizer_stream *s, int i, const char *token, size_t length) {
  const step *step = &s->tokenizer->decoder.steps[i];
  stage *state = &s->stages[i];
  text out = {0};
  switch (step->kind) {
  case DECODE_REPLACE:
    if (!pattern_replace(&step->pattern, &s->pattern, token, length, step->content, step->length, &out, NULL)) break;
    pass(s, i + 1, out.data, out.length, true);
    break;
  case DECODE_BYTE_FALLBACK: byte_fallback(s, i, token, length); break;
  case DECODE_BYTE_LEVEL: byte_level(s, i, token, length); break;
  case DECODE_METASPACE: metaspace(s, i, token, length); break;
  case DECODE_BPE:
    flush_word(s, i, false);
    text_add_bytes(&state->held, token, length);
    state->seen = 1;
    break;
  case DECODE_JOIN:
    if (state->seen++) pass(s, i + 1, " ", 1, true);
    pass(s, i + 1, token, length, true);
    break;
  default: break;
  }
  text_free(&out);
}

static void pass(tokenizer_stream *s, int i, const char *bytes, size_t length, bool end) {
  if (i == s->tokenizer->decoder.count) {
    text_add_bytes(s->out, bytes, length);
    return;
  }
  step_kind kind = s->tokenizer->decoder.steps[i].kind;
  stage *state = &s->stages[i];
  if (kind == DECODE_FUSE) {
    if (length) pass(s, i + 1, bytes, length, false);
  } else if (kind == DECODE_STRIP) {
    strip_part(s, i, bytes, length, end);
  } else if (end && !state->token.length) {
    whole_token(s, i, bytes ? bytes : "", length);
  } else {
    text_add_bytes(&state->token, bytes, length);
    if (!end) return;
    whole_token(s, i, state->token.data, state->token.length);
    state->token.length = 0;
  }
}

void tokenizer_stream_push(tokenizer_stream *s, int32_t id, text *out) {
  const tokenizer *t = s->tokenizer;
  const char *token = tokenizer_token(t, id);
  if (!token || (s->skip_special && tokenizer_is_special(t, id))) return;
  s->out = out;
  pass(s, 0, token, t->vocabulary.lengths[id], true);
}

void tokenizer_stream_finish(tokenizer_stream *s, text *out) {
  s->out = out;
  for (int i = 0; i < s->tokenizer->decoder.count; ++i) {
    stage *state = &s->stages[i];
    switch (s->tokenizer->decoder.steps[i].kind) {
    case DECODE_BYTE_FALLBACK: flush_bytes(s, i); break;
    case DECODE_BPE: flush_word(s, i, true); break;
    case DECODE_BYTE_LEVEL:
      pass_utf8(s, i, true);
      pass(s, i + 1, "", 0, true);
      break;
    case DECODE_FUSE: pass(s, i + 1, "", 0, true); break;
    default: break;
    }
    state->seen = 0, state->open = false, state->token.length = state->held.length = 0;
  }
}

void tokenizer_decode(const tokenizer *t, const int32_t *ids, int64_t count, bool skip_special, text *out) {
  tokenizer_stream *s = tokenizer_stream_open(t, skip_special);
  for (int64_t i = 0; i < count; ++i) tokenizer_stream_push(s, ids[i], out);
  tokenizer_stream_finish(s, out);
  tokenizer_stream_close(s);
}
