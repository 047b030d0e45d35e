// tokenizer.model of SentencePiece (a protocol buffer), its BPE kind as Llama has it. Of neighbours, those whose joined
// piece has the best score are merged first: a merge's rank is the order of its piece by score, however the piece is
// cut in two.
#include "runtime/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

typedef enum { PIECE_NORMAL = 1, PIECE_UNKNOWN, PIECE_CONTROL, PIECE_USER, PIECE_UNUSED, PIECE_BYTE } piece_kind;
typedef struct piece {
  const char *text;
  size_t length;
  float score;
  uint64_t kind;
  int32_t id;
} piece;

typedef struct cursor { // in a message of the protocol buffer
  const unsigned char *at, *end;
} cursor;
typedef struct field {
  uint64_t number, kind, value; // value: of a varint, or the bits of a fixed one
  const unsigned char *bytes;   // of kind 2
  size_t length;
} field;

static bool read_varint(cursor *c, uint64_t *value) {
  *value = 0;
  for (int shift = 0; c->at < c->end && shift < 64; shift += 7) {
    *value |= (uint64_t)(*c->at & 0x7f) << shift;
    if (!(*c->at++ & 0x80)) return true;
  }
  return false;
}

static bool read_field(cursor *c, field *f) {
  uint64_t key;
  *f = (field){0};
  if (!read_varint(c, &key)) return false;
  f->number = key >> 3, f->kind = key & 7;
  if (f->kind == 0) return read_varint(c, &f->value);
  uint64_t length = f->kind == 1 ? 8 : f->kind == 5 ? 4 : 0;
  if (f->kind != 1 && f->kind != 5 && (f->kind != 2 || !read_varint(c, &length))) return false;
  if (length > (uint64_t)(c->end - c->at)) return false;
  f->bytes = c->at, f->length = (size_t)length;
  if (f->kind != 2) memcpy(&f->value, c->at, f->length);
  c->at += length;
  return true;
}

static bool read_piece(field message, piece *p) {
  cursor c = {message.bytes, message.bytes + message.length};
  *p = (piece){.kind = PIECE_NORMAL, .text = ""};
  for (field f; c.at < c.end;) {
    if (!read_field(&c, &f)) return false;
    if (f.number == 1 && f.kind == 2) p->text = (const char *)f.bytes, p->length = f.length;
    if (f.number == 2 && f.kind == 5) memcpy(&p->score, f.bytes, 4);
    if (f.number == 3 && f.kind == 0) p->kind = f.value;
  }
  return utf8_valid(p->text, p->length, NULL);
}

typedef struct settings { // SentencePiece's defaults
  uint64_t model, prefix, squeeze, escape, suffix;
  size_t charsmap;
} settings;

// TrainerSpec (2) and NormalizerSpec (3).
static bool read_settings(field message, settings *s) {
  cursor c = {message.bytes, message.bytes + message.length};
  for (field f; c.at < c.end;) {
    if (!read_field(&c, &f)) return false;
    if (message.number == 2 && f.number == 3) s->model = f.value;
    if (message.number == 2 && f.number == 24) s->suffix = f.value; // treat_whitespace_as_suffix
    if (message.number == 3 && f.number == 2) s->charsmap = f.length;
    if (message.number == 3 && f.number == 3) s->prefix = f.value;
    if (message.number == 3 && f.number == 4) s->squeeze = f.value;
    if (message.number == 3 && f.number == 5) s->escape = f.value;
  }
  return true;
}

static bool supported(const settings *s, lmn_error *error) {
  if (s->model != 2)
    return fail(error, "trainer_spec.model_type is %llu; only 2 (BPE) is supported", (unsigned long long)s->model);
  if (s->charsmap)
    return fail(error, "normalizer_spec.precompiled_charsmap is not supported; convert it to a tokenizer.json");
  if (s->squeeze)
    return fail(error, "normalizer_spec.remove_extra_whitespaces is not supported; convert it to a tokenizer.json");
  if (!s->escape)
    return fail(error, "normalizer_spec.escape_whitespaces = false is not supported; convert it to a tokenizer.json");
  if (s->suffix)
    return fail(error, "trainer_spec.treat_whitespace_as_suffix is not supported; convert it to a tokenizer.json");
  return true;
}

static bool add_piece(tokenizer *t, const piece *p, lmn_error *error) {
  vocabulary *v = &t->vocabulary;
  if (p->kind == PIECE_UNKNOWN || p->kind == PIECE_CONTROL || p->kind == PIECE_USER) {
    added_token a = {.id = p->id, .content = p->text, .length = p->length, .special = p->kind != PIECE_USER};
    if (p->kind == PIECE_UNKNOWN) t->bpe.unk = p->id;
    return tokenizer_add_token(t, &a, error);
  }
  return vocabulary_put(v, p->id, p->text, p->length) ||
         fail(error, "the piece \"%.*s\" is there twice", (int)(p->length < 60 ? p->length : 60), p->text);
}

static int by_score(const void *left, const void *right) {
  const piece *a = left, *b = right;
  if (a->score != b->score) return a->score > b->score ? -1 : 1;
  return a->id < b->id ? -1 : a->id > b->id;
}

static void add_merges(tokenizer *t, piece *pieces, int64_t count) {
  qsort(pieces, (size_t)count, sizeof *pieces, by_score);
  int32_t rank = 0;
  for (int64_t i = 0; i < count; ++i) {
    const piece *p = &pieces[i];
    if (i && p->score != pieces[i - 1].score) rank = (int32_t)i;
    if (p->kind != PIECE_NORMAL) continue;
    for (size_t cut = 1; cut < p->length; ++cut) {
      if (((unsigned char)p->text[cut] & 0xc0) == 0x80) continue;
      int32_t left = vocabulary_find(&t->vocabulary, p->text, cut);
      int32_t right = left < 0 ? -1 : vocabulary_find(&t->vocabulary, p->text + cut, p->length - cut);
      if (right >= 0) bpe_add(&t->bpe, left, right, rank, p->id);
    }
  }
}

#define SPACE_MARK "\xe2\x96\x81"

static void add_steps(tokenizer *t, bool prefix) {
  arena *m = t->memory;
  if (prefix) step_add_content(&t->normalizer, m, NORMALIZE_PREPEND, SPACE_MARK, 3);
  step_add_content(&t->normalizer, m, NORMALIZE_REPLACE, SPACE_MARK, 3)->pattern =
      (pattern){.string = " ", .length = 1};
  step_add_content(&t->decoder, m, DECODE_REPLACE, " ", 1)->pattern = (pattern){.string = SPACE_MARK, .length = 3};
  step_add(&t->decoder, DECODE_BYTE_FALLBACK);
  step_add(&t->decoder, DECODE_FUSE);
  if (prefix) step_add_content(&t->decoder, m, DECODE_STRIP, " ", 1)->start = 1;
}

static bool read_pieces(tokenizer *t, cursor c, piece **pieces, int64_t *count, settings *s, lmn_error *error) {
  int64_t capacity = 0;
  const unsigned char *start = c.at;
  for (field f; c.at < c.end;) {
    piece p;
    long long at = c.at - start;
    if (!read_field(&c, &f))
      return fail(error, "byte %lld: is not a SentencePiece model, or cut off; get the file again", at);
    if (f.kind == 2 && (f.number == 2 || f.number == 3) && !read_settings(f, s))
      return fail(error, "byte %lld: broken settings", at);
    if (f.number != 1 || f.kind != 2) continue;
    if (!read_piece(f, &p)) return fail(error, "byte %lld: broken piece %lld", at, (long long)*count);
    GROW(*pieces, *count, capacity);
    p.id = (int32_t)*count;
    (*pieces)[(*count)++] = p;
    if (!add_piece(t, &p, error)) return false;
    t->bpe.byte_fallback |= p.kind == PIECE_BYTE;
  }
  return *count > 0 || fail(error, "has no pieces");
}

bool tokenizer_read_sentencepiece(tokenizer *t, const char *path, lmn_error *error) {
  char *data;
  size_t length;
  if (!file_read(path, TOKENIZER_FILE_LIMIT, &data, &length, error)) return false;
  piece *pieces = NULL;
  int64_t count = 0;
  settings s = {.model = 1, .prefix = 1, .squeeze = 1, .escape = 1};
  cursor c = {(unsigned char *)data, (unsigned char *)data + length};
  bool ok = read_pieces(t, c, &pieces, &count, &s, error) && supported(&s, error);
  t->bpe.fuse_unk = true;
  if (ok) {
    add_merges(t, pieces, count);
    add_steps(t, s.prefix);
    t->bos = tokenizer_id(t, "<s>"), t->eos = tokenizer_id(t, "</s>");
    if (t->bos >= 0) { // as transformers' LlamaTokenizer
      token_list *list = &t->prefix;
      GROW(list->ids, list->count, list->capacity);
      list->ids[list->count++] = t->bos;
    }
  }
  free(pieces);
  free(data);
  return ok || fail_in(error, "%s", path);
}
