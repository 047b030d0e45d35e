// safetensors files. An input that begins with '{' is a header and, behind a 0 byte, the data: the length before it is
// put there. One that begins with '!' is an index.json over one whole shard. All others are files as they are.
#include "tests/fuzz/fuzz.h"

#include "runtime/safetensors.h"

enum { ELEMENTS_READ = 4096 };

static void read_all(const safetensors *s) {
  static float reals[ELEMENTS_READ];
  static int32_t integers[ELEMENTS_READ];
  char shape[SAFETENSORS_SHAPE_TEXT];
  for (int i = 0; i < safetensors_count(s); ++i) {
    const safetensors_tensor *t = safetensors_at(s, i);
    int64_t count = t->elements < ELEMENTS_READ ? t->elements : ELEMENTS_READ;
    lmn_error one = {0}, two = {0};
    fuzz_expect(safetensors_floats(s, t, t->elements - count, count, reals, &one), &one);
    fuzz_expect(safetensors_integers(s, t, 0, count, integers, &two), &two);
    safetensors_shape_text(t->rank, t->shape, shape);
    if (!safetensors_find(s, t->name)) abort();
  }
  safetensors_metadata(s, "format");
}

static void open_and_read(const char *path) {
  lmn_error error = {0};
  safetensors *s = safetensors_open(path, &error);
  fuzz_expect(s, &error);
  if (s) read_all(s);
  safetensors_close(s);
}

static void read_index(const uint8_t *index, size_t size) {
  static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}      ";
  static unsigned char shard[8 + sizeof header - 1 + 8];
  shard[0] = sizeof header - 1;
  memcpy(shard + 8, header, sizeof header - 1);
  fuzz_file("a.safetensors", shard, sizeof shard);
  fuzz_file("model.safetensors.index.json", index, size);
  open_and_read(fuzz_folder());
}

static void read_header(const uint8_t *data, size_t size) {
  const uint8_t *end = memchr(data, 0, size);
  size_t header = end ? (size_t)(end - data) : size, rest = end ? size - header - 1 : 0;
  text file = {0};
  for (int i = 0; i < 8; ++i) text_add_bytes(&file, &(char){(char)((uint64_t)header >> (8 * i))}, 1);
  text_add_bytes(&file, data, header);
  text_add_bytes(&file, data + size - rest, rest);
  open_and_read(fuzz_file("file.safetensors", file.data, file.length));
  text_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size && data[0] == '!') read_index(data + 1, size - 1);
  else if (size && data[0] == '{') read_header(data, size);
  else open_and_read(fuzz_file("file.safetensors", data, size));
  return 0;
}
