// Text to token ids and back, as a model's own tokenizer does it: tokenizer.json (Hugging Face tokenizers, BPE),
// vocab.json with merges.txt (GPT-2's files), or tokenizer.model (SentencePiece, BPE). Everything here may be used by
// many threads at once, except that a tokenizer_encoder and a tokenizer_stream belong to one thread at a time.
#ifndef LMN_TOKENIZER_H
#define LMN_TOKENIZER_H

#include "runtime/base.h"

typedef struct tokenizer tokenizer;

// Reads a model directory's tokenizer. NULL with a message that names the file and the field if it is missing, broken
// or of a kind that this project does not compute.
tokenizer *tokenizer_open(const char *directory, lmn_error *error);
void tokenizer_close(tokenizer *t);

int64_t tokenizer_vocabulary(const tokenizer *t);            // highest id + 1
int32_t tokenizer_id(const tokenizer *t, const char *token); // of a token as the file spells it; -1: none
const char *tokenizer_token(const tokenizer *t, int32_t id); // as the file spells it; NULL: none
bool tokenizer_is_special(const tokenizer *t, int32_t id);   // left out by skip_special
const char *tokenizer_file(const tokenizer *t);              // the file it was read from
const char *tokenizer_warning(const tokenizer *t);           // something the user should know of it; NULL: nothing
// Special tokens as tokenizer_config.json, special_tokens_map.json or the file itself name them; -1: not said. A
// model's config.json goes before these.
int32_t tokenizer_bos(const tokenizer *t);
int32_t tokenizer_eos(const tokenizer *t);
int32_t tokenizer_pad(const tokenizer *t);
// What encoding with `special` puts before and after a text (a Llama's BOS); *count of them.
const int32_t *tokenizer_prefix(const tokenizer *t, int64_t *count);
const int32_t *tokenizer_suffix(const tokenizer *t, int64_t *count);

// *ids (malloc'ed; free it) and *count of `length` bytes of UTF-8. special: with the prefix and suffix. Special tokens
// spelled out in the text become their ids, as in Hugging Face's tokenizers.
bool tokenizer_encode(const tokenizer *t, const char *text, size_t length, bool special, int32_t **ids, int64_t *count,
                      lmn_error *error);

// The same with working memory that lives from call to call (a cache of words), for many texts: appends to *ids.
typedef struct token_list {
  int32_t *ids; // malloc'ed
  int64_t count, capacity;
} token_list;
typedef struct tokenizer_encoder tokenizer_encoder;
tokenizer_encoder *tokenizer_encoder_open(const tokenizer *t);
bool tokenizer_encoder_add(tokenizer_encoder *e, const char *text, size_t length, bool special, token_list *ids,
                           lmn_error *error);
// Text that follows other text: without the prefix and suffix, and without the space that Llama's normalizer and others
// put at the start of a text, so that the ids decode, after those of the other text, to exactly this.
bool tokenizer_encoder_continue(tokenizer_encoder *e, const char *text, size_t length, token_list *ids,
                                lmn_error *error);
void tokenizer_encoder_close(tokenizer_encoder *e);

// Appends the text of the ids to *out. Always valid UTF-8; an id that is no token is left out.
void tokenizer_decode(const tokenizer *t, const int32_t *ids, int64_t count, bool skip_special, text *out);

// The same as tokens arrive: push appends what is certain by now, finish the rest; all of it together is what
// tokenizer_decode gives.
typedef struct tokenizer_stream tokenizer_stream;
tokenizer_stream *tokenizer_stream_open(const tokenizer *t, bool skip_special);
void tokenizer_stream_push(tokenizer_stream *s, int32_t id, text *out);
void tokenizer_stream_finish(tokenizer_stream *s, text *out); // afterwards the stream starts anew
void tokenizer_stream_close(tokenizer_stream *s);

// Trains a byte-level BPE of at most `vocabulary` tokens (at least 257: the bytes and <|endoftext|>, which is id 0,
// BOS, EOS and padding) on a text and writes out_directory/tokenizer.json and tokenizer_config.json, which Hugging
// Face's tokenizers read too.
bool tokenizer_train(const char *text, size_t length, int vocabulary, const char *out_directory, lmn_error *error);

#endif
