// tokenizer.json; behind a 0 byte a text of its own to encode.
#include "tests/fuzz/fuzz_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const uint8_t *end = size ? memchr(data, 0, size) : NULL;
  size_t json = end ? (size_t)(end - data) : size;
  fuzz_file("tokenizer.json", data, json);
  open_and_use(end ? (const char *)end + 1 : NULL, end ? size - json - 1 : 0);
  return 0;
}
