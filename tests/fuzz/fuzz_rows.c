// Data files with templates. The first line says how they are read: format, prompt, completion and options with bars
// between ("csv|{mr} =>| {ref}|p"); empty: no such template. Options: p packed, c three classes, l Llama's tokenizer.
#include "tests/fuzz/fuzz.h"

#include "runtime/dataset.h"

static const tokenizer *tokenizer_of(bool llama) {
  static tokenizer *opened[2];
  if (!opened[llama])
    opened[llama] = tokenizer_open(llama ? LMN_TESTS "/data/tokenizer/llama" : LMN_TESTS "/data/tokenizer/bytes", NULL);
  return opened[llama];
}

static void use(dataset *d, const dataset_options *o) {
  for (int64_t epoch = 0; epoch < 2; ++epoch)
    for (int64_t i = 0; i < dataset_batches(d); ++i) {
      lmn_batch b;
      lmn_error error = {0};
      if (!dataset_batch(d, epoch, i, &b, &error)) abort();
      for (int64_t k = 0; k < b.batch * b.length; ++k)
        if (b.input_ids[k] < 0 || b.input_ids[k] >= o->vocabulary) abort();
    }
  dataset_count(d);
  dataset_warning(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  arena *a = arena_create();
  const char *line = fuzz_part(a, &data, &size, '\n');
  const uint8_t *rest = (const uint8_t *)line;
  size_t left = strlen(line);
  const char *format = fuzz_part(a, &rest, &left, '|'), *prompt = fuzz_part(a, &rest, &left, '|'),
             *completion = fuzz_part(a, &rest, &left, '|'), *flags = fuzz_part(a, &rest, &left, '|');
  static const char *const formats[] = {"csv", "tsv", "jsonl", "txt"};
  size_t known = 0;
  while (known < LENGTH(formats) && strcmp(format, formats[known])) ++known;
  const char *path = fuzz_file(arena_printf(a, "rows.%s", formats[known % LENGTH(formats)]), data, size);
  flags = flags ? flags : "";
  const tokenizer *t = tokenizer_of(strchr(flags, 'l') != NULL);
  dataset_options o = {.data = path,
                       .prompt = prompt && *prompt ? prompt : NULL,
                       .completion = completion && *completion ? completion : NULL,
                       .batch = 2,
                       .length = 24,
                       .vocabulary = tokenizer_vocabulary(t),
                       .classes = strchr(flags, 'c') ? 3 : 0,
                       .eos = -1,
                       .pad = -1,
                       .packed = strchr(flags, 'p') != NULL,
                       .shuffle = true,
                       .threads = 1};
  lmn_error error = {0};
  dataset *d = dataset_open(&o, t, &error);
  fuzz_expect(d, &error);
  if (d) use(d, &o);
  dataset_close(d);
  arena_destroy(a);
  return 0;
}
