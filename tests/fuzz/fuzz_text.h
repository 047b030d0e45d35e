// Texts through a tokenizer and back, for the targets that read tokenizers.
#ifndef LMN_FUZZ_TEXT_H
#define LMN_FUZZ_TEXT_H

#include "tests/fuzz/fuzz.h"

#include "runtime/tokenizer.h"
#include "runtime/tokenizer_text.h"

static void encode_and_decode(const tokenizer *t, const char *string, size_t length) {
  int32_t *ids = NULL;
  int64_t count = 0;
  lmn_error error = {0};
  bool ok = tokenizer_encode(t, string, length, true, &ids, &count, &error);
  fuzz_expect(ok, &error);
  if (!ok) return;
  text whole = {0}, streamed = {0};
  tokenizer_decode(t, ids, count, false, &whole);
  tokenizer_stream *s = tokenizer_stream_open(t, false);
  for (int64_t i = 0; i < count; ++i) {
    if (ids[i] < 0 || ids[i] >= tokenizer_vocabulary(t)) abort();
    tokenizer_stream_push(s, ids[i], &streamed);
  }
  tokenizer_stream_finish(s, &streamed);
  tokenizer_stream_close(s);
  size_t bad;
  if (whole.length != streamed.length || (whole.length && memcmp(whole.data, streamed.data, whole.length))) abort();
  if (whole.length && !utf8_valid(whole.data, whole.length, &bad)) abort();
  text_free(&whole);
  text_free(&streamed);
  free(ids);
}

static void use_tokenizer(const tokenizer *t, const char *own, size_t length) {
  static const char *const texts[] = {"", "Hello world, it's 2024!\n\n  x",
                                      "\xc3\xa9 e\xcc\x81 \xe2\x96\x81 \xf0\x9f\x98\x80 <s></s>"};
  for (size_t i = 0; i < LENGTH(texts); ++i) encode_and_decode(t, texts[i], strlen(texts[i]));
  if (own) encode_and_decode(t, own, length);
}

static void open_and_use(const char *own, size_t length) {
  lmn_error error = {0};
  tokenizer *t = tokenizer_open(fuzz_folder(), &error);
  fuzz_expect(t, &error);
  if (t) use_tokenizer(t, own, length);
  tokenizer_close(t);
}

#endif
