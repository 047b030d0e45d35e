// Text to ids: added tokens cut the text, the normalizer and the pre-tokenizer's steps run on what is between them, and
// every word goes through the merges (or comes from the cache of words).
#include "runtime/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

typedef struct span {
  size_t start, end;
  bool match;
} span;

typedef struct depth { // working memory of one step of the pre-tokenizer
  span *spans;
  int64_t count, capacity;
  text buffer;
} depth;

typedef struct cached_word {
  size_t key; // where in keys
  uint32_t length, count;
  int64_t ids; // where in words
} cached_word;

enum { CACHE_SLOTS = 1 << 15, CACHE_LONGEST = 96 };

struct tokenizer_encoder {
  const tokenizer *tokenizer;
  pattern_work pattern;
  bpe_work bpe;
  depth *depths;
  text normalized;
  cached_word *cache; // hash table; count 0 and length 0: free
  int64_t cached;
  text keys;
  token_list words, *out;
  bool continued; // the text follows another
  lmn_error *error;
};

tokenizer_encoder *tokenizer_encoder_open(const tokenizer *t) {
  tokenizer_encoder *e = memory_zero(sizeof *e);
  e->tokenizer = t;
  e->depths = memory_zero(sizeof *e->depths * (size_t)(t->splitter.count + 1));
  e->cache = memory_zero(CACHE_SLOTS * sizeof *e->cache);
  return e;
}

void tokenizer_encoder_close(tokenizer_encoder *e) {
  if (!e) return;
  for (int i = 0; i <= e->tokenizer->splitter.count; ++i) {
    free(e->depths[i].spans);
    text_free(&e->depths[i].buffer);
  }
  free(e->depths);
  free(e->cache);
  free(e->words.ids);
  free(e->bpe.symbols);
  free(e->bpe.heap);
  text_free(&e->keys);
  text_free(&e->normalized);
  pattern_work_free(&e->pattern);
  free(e);
}

static void add_ids(token_list *list, const int32_t *ids, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    GROW(list->ids, list->count, list->capacity);
    list->ids[list->count++] = ids[i];
  }
}

static void forget_words(tokenizer_encoder *e) {
  memset(e->cache, 0, CACHE_SLOTS * sizeof *e->cache);
  e->cached = e->words.count = 0;
  e->keys.length = 0;
}

static void encode_word(tokenizer_encoder *e, const char *word, size_t length) {
  const tokenizer *t = e->tokenizer;
  if (length > CACHE_LONGEST) {
    bpe_word(&t->bpe, &t->vocabulary, &e->bpe, word, length, e->out);
    return;
  }
  if (e->cached > CACHE_SLOTS / 2) forget_words(e);
  uint64_t hash = hash_bytes(HASH_START, word, length);
  uint32_t slot = (uint32_t)(hash ^ hash >> 32) & (CACHE_SLOTS - 1);
  for (; e->cache[slot].length; slot = (slot + 1) & (CACHE_SLOTS - 1)) {
    cached_word *c = &e->cache[slot];
    if (c->length != length || memcmp(e->keys.data + c->key, word, length)) continue;
    if (c->count) add_ids(e->out, e->words.ids + c->ids, c->count);
    return;
  }
  int64_t from = e->words.count;
  bpe_word(&t->bpe, &t->vocabulary, &e->bpe, word, length, &e->words);
  e->cache[slot] = (cached_word){e->keys.length, (uint32_t)length, (uint32_t)(e->words.count - from), from};
  text_add_bytes(&e->keys, word, length);
  ++e->cached;
  if (e->words.count > from) add_ids(e->out, e->words.ids + from, e->words.count - from);
}

// A piece of the pre-tokenizer. Where the merges allow it, it is cut before the marks of spaces: same result, and words
// can be cached.
static void encode_piece(tokenizer_encoder *e, const char *piece, size_t length) {
  const char *mark = e->tokenizer->bpe.space;
  while (mark && length > 3) {
    size_t at = 0;
    while (at + 3 <= length && !memcmp(piece + at, mark, 3)) at += 3;
    const char *next = memmem(piece + at, length - at, mark, 3);
    if (!next) break;
    encode_word(e, piece, (size_t)(next - piece));
    length -= (size_t)(next - piece);
    piece = next;
  }
  if (length) encode_word(e, piece, length);
}

static void add_span(depth *d, size_t start, size_t end, bool match) {
  GROW(d->spans, d->count, d->capacity);
  d->spans[d->count++] = (span){start, end, match};
}

static bool find_spans(tokenizer_encoder *e, const step *s, depth *d, const char *piece, size_t length) {
  size_t done = 0, from = 0, start, end;
  int found = 0;
  d->count = 0;
  while (from < length &&
         (found = pattern_next(&s->pattern, &e->pattern, piece, length, from, &start, &end, e->error)) == 1) {
    if (start > done) add_span(d, done, start, s->invert);
    add_span(d, start, end, !s->invert);
    done = end;
    from = end > start ? end : end + (end < length ? (size_t)utf8_character(piece + end, length - end) : 1);
  }
  if (done < length) add_span(d, done, length, s->invert);
  return found >= 0;
}

// Joins spans as the behaviour says; what is joined is kept in the first of them, in place.
static void join_spans(depth *d, split_behaviour behaviour) {
  int64_t kept = 0;
  bool previous = false;
  if (behaviour == SPLIT_MERGED_NEXT) { // a match goes with the span after it, unless that one is a match too
    for (int64_t i = d->count - 1; i >= 0; --i) {
      bool match = d->spans[i].match;
      if (match && !previous && i + 1 < d->count) {
        d->spans[i].end = d->spans[i + 1].end;
        d->spans[i + 1].end = d->spans[i + 1].start;
      }
      previous = match;
    }
    return;
  }
  for (int64_t i = 0; i < d->count; ++i) {
    span s = d->spans[i];
    bool join = kept > 0 && (behaviour == SPLIT_CONTIGUOUS        ? s.match == previous
                             : behaviour == SPLIT_MERGED_PREVIOUS ? s.match && !previous
                                                                  : false);
    if (join) d->spans[kept - 1].end = s.end;
    else if (behaviour != SPLIT_REMOVED || !s.match) d->spans[kept++] = s;
    previous = s.match;
  }
  d->count = kept;
}

// Runs step `i` on a piece and the later steps on what comes of it. first: the piece begins where the text begins.
static bool split(tokenizer_encoder *e, int i, const char *piece, size_t length, bool first) {
  if (!length) return true;
  if (i == e->tokenizer->splitter.count) return encode_piece(e, piece, length), true;
  const step *s = &e->tokenizer->splitter.steps[i];
  depth *d = &e->depths[i];
  if (s->kind == SPLIT_PATTERN) {
    if (!find_spans(e, s, d, piece, length)) return false;
    if (s->behaviour != SPLIT_ISOLATED) join_spans(d, s->behaviour);
    for (int64_t k = 0; k < d->count; ++k) {
      span part = d->spans[k];
      if (!split(e, i + 1, piece + part.start, part.end - part.start, first && part.start == 0)) return false;
    }
    return true;
  }
  d->buffer.length = 0;
  if (s->kind == SPLIT_BYTES) byte_level_map(piece, length, &d->buffer);
  else {
    pattern space = {.string = " ", .length = 1};
    bool metaspace = s->kind == SPLIT_METASPACE;
    bool present = (length >= s->length && !memcmp(piece, s->content, s->length)) || (metaspace && piece[0] == ' ');
    bool wanted = s->scheme == SCHEME_ALWAYS || (s->scheme == SCHEME_FIRST && first);
    if (wanted && !present && !(first && e->continued)) text_add_bytes(&d->buffer, s->content, s->length);
    if (!metaspace) text_add_bytes(&d->buffer, piece, length);
    else if (!pattern_replace(&space, &e->pattern, piece, length, s->content, s->length, &d->buffer, e->error))
      return false;
  }
  return split(e, i + 1, d->buffer.data, d->buffer.length, first);
}

static size_t spaces_before(const char *in, size_t at, size_t from) {
  while (at > from) {
    size_t last = at;
    int size;
    do --last;
    while (last > from && ((unsigned char)in[last] & 0xc0) == 0x80);
    if (!unicode_space(utf8_decode(in + last, &size))) break;
    at = last;
  }
  return at;
}

static size_t spaces_after(const char *in, size_t length, size_t at) {
  int size;
  while (at < length && unicode_space(utf8_decode(in + at, &size))) at += (size_t)size;
  return at;
}

static bool stands_alone(const char *in, size_t length, size_t start, size_t end) {
  int size;
  size_t last = start;
  while (last > 0 && ((unsigned char)in[--last] & 0xc0) == 0x80) continue;
  return (start == 0 || !unicode_word(utf8_decode(in + last, &size))) &&
         (end == length || !unicode_word(utf8_decode(in + end, &size)));
}

// The leftmost and there the longest added token at or after `from`; NULL: none.
static const added_token *find_added(const added_index *index, const char *in, size_t length, size_t from, size_t *at) {
  if (!index->begin[256]) return NULL;
  for (size_t i = from; i < length; ++i) {
    unsigned char c = (unsigned char)in[i];
    for (int32_t k = index->begin[c]; k < index->begin[c + 1]; ++k) {
      const added_token *token = index->tokens[k];
      if (token->length > length - i || memcmp(token->content, in + i, token->length)) continue;
      *at = i;
      return token;
    }
  }
  return NULL;
}

typedef bool segment_function(tokenizer_encoder *e, const char *in, size_t length, bool first);

// Emits the ids of the added tokens found in `in`, and calls `other` for the text between them.
static bool cut(tokenizer_encoder *e, const added_index *index, const char *in, size_t length, bool first,
                segment_function *other) {
  size_t done = 0, at;
  const added_token *token;
  for (size_t from = 0; (token = find_added(index, in, length, from, &at));) {
    size_t start = at, end = at + token->length;
    from = end;
    if (token->single_word && !stands_alone(in, length, start, end)) continue;
    if (token->lstrip) start = spaces_before(in, start, done);
    if (token->rstrip) end = spaces_after(in, length, end);
    if (start > done && !other(e, in + done, start - done, first && done == 0)) return false;
    add_ids(e->out, &token->id, 1);
    done = end; // but the search goes on behind the token itself, as in Hugging Face's
  }
  return done >= length || other(e, in + done, length - done, first && done == 0);
}

static bool split_segment(tokenizer_encoder *e, const char *in, size_t length, bool first) {
  return split(e, 0, in, length, first);
}

static bool normalize_segment(tokenizer_encoder *e, const char *in, size_t length, bool first) {
  const tokenizer *t = e->tokenizer;
  if (!t->normalizer.count) return cut(e, &t->normalized, in, length, first, split_segment);
  e->normalized.length = 0;
  return tokenizer_normalize(&t->normalizer, &e->pattern, !(first && e->continued), in, length, &e->normalized,
                             e->error) &&
         cut(e, &t->normalized, e->normalized.data, e->normalized.length, first, split_segment);
}

static bool encode(tokenizer_encoder *e, const char *in, size_t length, token_list *ids, lmn_error *error) {
  size_t bad;
  if (length > INT32_MAX / 4) return fail(error, "a text of %zu bytes is too long to be encoded at once", length);
  if (!utf8_valid(in, length, &bad))
    return fail(error, "the text is not UTF-8: byte %zu is 0x%02x; convert it first, with iconv for example", bad,
                (unsigned char)in[bad]);
  e->out = ids;
  e->error = error;
  return cut(e, &e->tokenizer->raw, in, length, true, normalize_segment);
}

bool tokenizer_encoder_add(tokenizer_encoder *e, const char *in, size_t length, bool special, token_list *ids,
                           lmn_error *error) {
  const tokenizer *t = e->tokenizer;
  e->continued = false;
  if (special) add_ids(ids, t->prefix.ids, t->prefix.count);
  bool ok = encode(e, in, length, ids, error);
  if (ok && special) add_ids(ids, t->suffix.ids, t->suffix.count);
  return ok;
}

bool tokenizer_encoder_continue(tokenizer_encoder *e, const char *in, size_t length, token_list *ids,
                                lmn_error *error) {
  e->continued = true;
  return encode(e, in, length, ids, error);
}

bool tokenizer_encode(const tokenizer *t, const char *in, size_t length, bool special, int32_t **ids, int64_t *count,
                      lmn_error *error) {
  tokenizer_encoder *e = tokenizer_encoder_open(t);
  token_list list = {0};
  bool ok = tokenizer_encoder_add(e, in, length, special, &list, error);
  tokenizer_encoder_close(e);
  *ids = ok ? list.ids ? list.ids : memory_alloc(1) : NULL;
  *count = ok ? list.count : 0;
  if (!ok) free(list.ids);
  return ok;
}
