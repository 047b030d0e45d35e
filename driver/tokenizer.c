// lmnc tokenizer: trains a tokenizer on text, for a model of one's own.
#include "driver/commands.h"
#include "driver/options.h"
#include "runtime/tokenizer.h"

#include <stdlib.h>

enum { TEXT_BYTES = 1 << 30 };

static bool train(const char *file, int64_t vocabulary, const char *output, lmn_error *error) {
  char *data;
  size_t length;
  if (vocabulary > INT32_MAX) return fail(error, "--vocabulary %lld is too large", (long long)vocabulary);
  if (!file_read(file, TEXT_BYTES, &data, &length, error)) return false;
  bool ok = tokenizer_train(data, length, (int)vocabulary, output, error) || fail_in(error, "%s", file);
  free(data);
  return ok;
}

int command_tokenizer(int argument_count, char **arguments) {
  int64_t vocabulary = 4096;
  const char *output = NULL, *file;
  const command_option options[] = {
      {"vocabulary", 0, "N", "tokens at most, at least 257; default: 4096", OPTION_COUNT, &vocabulary},
      {"output", 'o', "FOLDER", "where tokenizer.json goes, beside a model's config.json", OPTION_TEXT, &output},
  };
  const command_usage usage = {
      "tokenizer", "Trains a byte-level BPE tokenizer on a text; <|endoftext|> is its token 0.",
      "TEXT.txt",  "corpus.txt --vocabulary 2000 -o model",
      options,     (int)LENGTH(options)};
  options_result result = options_parse(&usage, argument_count, arguments, &file);
  if (result != OPTIONS_RUN) return result == OPTIONS_DONE ? 0 : 2;
  if (!output) {
    fputs("error: tokenizer needs a folder to write: -o FOLDER\n", stderr);
    return 2;
  }
  lmn_error error = {0};
  if (train(file, vocabulary, output, &error)) {
    printf("%s/tokenizer.json\n", output);
    return 0;
  }
  fprintf(stderr, "error: %s\n", error.text);
  return 1;
}
