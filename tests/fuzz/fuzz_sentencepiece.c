// tokenizer.model, SentencePiece's.
#include "tests/fuzz/fuzz_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_file("tokenizer.model", data, size);
  open_and_use(NULL, 0);
  return 0;
}
