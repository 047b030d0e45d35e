// Text from prompts: several at once, each as it would be alone.
#ifndef LMN_GENERATE_H
#define LMN_GENERATE_H

#include "runtime/lmn.h"
#include "runtime/sample.h"
#include "runtime/tokenizer.h"

typedef struct generate_options {
  int64_t max_tokens;
  sample_options sample;
  const char *const *stops; // a text that has one of these ends before it
  int stop_count;
  bool special; // special tokens are in the text
  // Text as it becomes certain, of prompt `index`; NULL: none. False: stop generating that row.
  bool (*on_text)(void *context, int index, const char *text, size_t length);
  void *context;
} generate_options;

typedef enum { END_LENGTH, END_TOKEN, END_STOP, END_CAPACITY } generation_end;
extern const char *const generation_end_names[4]; // "length", "eos", "stop", "capacity"

typedef struct generation {
  token_list ids; // generated, without the end token
  text text;      // what they say; nothing without a tokenizer
  generation_end end;
} generation;

// Prompts as ids, at least one token each. Needs extend entries for `count` rows and a capacity of prefix + longest
// prompt + max_tokens. tokenizer NULL: ids only. results: count of them, zeroed; free each with generation_free.
bool generate_run(lmn_network *network, const tokenizer *tokenizer, const token_list *prompts, int count,
                  const generate_options *options, generation *results, lmn_error *error);
void generation_free(generation *g);

// A text prompt's ids: what the tokenizer puts before every text (a Llama's BOS) in front, unless raw, as in training
// data. An empty prompt is at least the model's `bos` (-1: the tokenizer's); that there is none is an error then.
bool generate_prompt(const tokenizer *tokenizer, const char *prompt, int64_t bos, bool raw, token_list *ids,
                     lmn_error *error);

#endif
