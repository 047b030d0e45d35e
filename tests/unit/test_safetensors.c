// safetensors: every type, writing and reading back, shards, and that no damaged file is taken or breaks the reader.
#include <math.h>
#include <sys/stat.h>

#include "runtime/safetensors.h"
#include "tests/unit/temporary.h"

#include <setjmp.h>
#include <cmocka.h> // after base.h: it has a macro fail

// A file of a JSON header and data.
static const char *file_of(const char *name, const char *header, const void *data, size_t length) {
  char buffer[8192];
  size_t header_length = strlen(header);
  for (int i = 0; i < 8; ++i) buffer[i] = (char)(header_length >> (8 * i) & 255);
  memcpy(buffer + 8, header, header_length);
  if (length) memcpy(buffer + 8 + header_length, data, length);
  return temporary_file(name, buffer, 8 + header_length + length);
}

static void expect_error(const char *path, const char *expected) {
  lmn_error error = {0};
  safetensors *s = safetensors_open(path, &error);
  if (s) fail_msg("%s was taken; expected: %s", path, expected);
  if (!strstr(error.text, expected)) fail_msg("%s\nhas no: %s", error.text, expected);
}

static safetensors *open_good(const char *path) {
  lmn_error error = {0};
  safetensors *s = safetensors_open(path, &error);
  if (!s) fail_msg("%s", error.text);
  return s;
}

static void read_floats(const safetensors *s, const char *name, int64_t begin, int64_t count, float *out) {
  lmn_error error = {0};
  const safetensors_tensor *t = safetensors_find(s, name);
  assert_non_null(t);
  if (!safetensors_floats(s, t, begin, count, out, &error)) fail_msg("%s", error.text);
}

static void every_type(void **state) {
  (void)state;
  const double f64[2] = {0.1, -3e200};
  const float f32[2] = {1.5f, -0.0f};
  const uint16_t f16[8] = {0x3c00, 0xc000, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x7c00, 0xfe00}, bf16[2] = {0x3f80, 0xc049};
  const int64_t i64[2] = {-7, (int64_t)1 << 40};
  const int32_t i32[2] = {-7, 2000000000};
  const int16_t i16[2] = {-7, 300};
  const int8_t i8[2] = {-7, 100};
  const uint8_t u8[2] = {7, 200}, truth[3] = {0, 1, 1};
  const safetensors_item items[] = {
      {"bool", STORED_BOOL, 1, {3}, truth}, {"u8", STORED_U8, 1, {2}, u8},          {"i8", STORED_I8, 1, {2}, i8},
      {"i16", STORED_I16, 1, {2}, i16},     {"i32", STORED_I32, 2, {2, 1}, i32},    {"i64", STORED_I64, 1, {2}, i64},
      {"bf16", STORED_BF16, 1, {2}, bf16},  {"f16", STORED_F16, 1, {8}, f16},       {"f32", STORED_F32, 1, {2}, f32},
      {"f64", STORED_F64, 1, {2}, f64},     {"empty", STORED_F32, 2, {0, 4}, NULL}, {"scalar", STORED_F32, 0, {0}, f32},
  };
  const safetensors_pair pairs[] = {{"format", "pt"}, {"note", "an \"ümlaut\" \n"}};
  lmn_error error = {0};
  const char *path = temporary_path("types.safetensors");
  if (!safetensors_write(path, items, LENGTH(items), pairs, 2, &error)) fail_msg("%s", error.text);
  safetensors *s = open_good(path);
  assert_int_equal(safetensors_count(s), LENGTH(items));
  assert_string_equal(safetensors_metadata(s, "note"), "an \"ümlaut\" \n");
  assert_null(safetensors_metadata(s, "nothing"));
  assert_null(safetensors_find(s, "nothing"));
  float out[8];
  read_floats(s, "f64", 0, 2, out);
  assert_true(out[0] == 0.1f && isinf(out[1]));
  read_floats(s, "f32", 0, 2, out);
  assert_true(out[0] == 1.5f && out[1] == 0 && signbit(out[1]));
  read_floats(s, "f16", 0, 8, out);
  assert_true(out[0] == 1 && out[1] == -2 && out[2] == 0x1p-24f && out[3] == 0x1.ff8p-15f && out[4] == 0x1p-14f);
  assert_true(out[5] == 65504 && isinf(out[6]) && isnan(out[7]) && signbit(out[7]));
  read_floats(s, "bf16", 0, 2, out);
  assert_true(out[0] == 1 && out[1] == -3.140625f);
  read_floats(s, "i16", 1, 1, out);
  assert_true(out[0] == 300);
  read_floats(s, "i8", 0, 2, out);
  assert_true(out[0] == -7);
  read_floats(s, "u8", 0, 2, out);
  assert_true(out[1] == 200);
  read_floats(s, "bool", 0, 3, out);
  assert_true(out[0] == 0 && out[2] == 1);
  read_floats(s, "scalar", 0, 1, out);
  assert_true(out[0] == 1.5f);
  assert_int_equal(safetensors_find(s, "empty")->elements, 0);
  int32_t whole[2];
  assert_true(safetensors_integers(s, safetensors_find(s, "i32"), 0, 2, whole, &error));
  assert_true(whole[0] == -7 && whole[1] == 2000000000);
  assert_true(safetensors_integers(s, safetensors_find(s, "i64"), 0, 1, whole, &error));
  assert_false(safetensors_integers(s, safetensors_find(s, "i64"), 0, 2, whole, &error));
  assert_non_null(strstr(error.text, "types.safetensors: tensor \"i64\": element 1 does not fit"));
  error.text[0] = 0;
  assert_false(safetensors_integers(s, safetensors_find(s, "f32"), 0, 2, whole, &error));
  assert_non_null(strstr(error.text, "has dtype F32; it must be of integers"));
  error.text[0] = 0;
  assert_false(safetensors_floats(s, safetensors_find(s, "f32"), 1, 2, out, &error));
  for (int i = 0; i < safetensors_count(s); ++i) { // each aligned to its type in the file
    const safetensors_tensor *t = safetensors_at(s, i);
    if (t->elements) assert_int_equal((uintptr_t)t->data % (t->bytes / (size_t)t->elements), 0);
  }
  safetensors_close(s);
}

static void written_again(void **state) {
  (void)state;
  const float data[6] = {1, 2, 3, 4, 5, 6};
  const safetensors_item forward[] = {{"b", STORED_F32, 1, {6}, data}, {"a", STORED_F32, 2, {2, 3}, data}};
  const safetensors_item backward[] = {forward[1], forward[0]};
  lmn_error error = {0};
  char *first, *second;
  size_t first_length, second_length;
  assert_true(safetensors_write(temporary_path("a.safetensors"), forward, 2, NULL, 0, &error));
  assert_true(safetensors_write(temporary_path("b.safetensors"), backward, 2, NULL, 0, &error));
  assert_true(file_read(temporary_path("a.safetensors"), 1 << 20, &first, &first_length, &error));
  assert_true(file_read(temporary_path("b.safetensors"), 1 << 20, &second, &second_length, &error));
  assert_int_equal(first_length, second_length); // the order of the items does not show
  assert_memory_equal(first, second, first_length);
  assert_int_equal(first[0] % 8, 0);
  free(first);
  free(second);
  const safetensors_item twice[] = {forward[0], forward[0]};
  assert_false(safetensors_write(temporary_path("a.safetensors"), twice, 2, NULL, 0, &error));
  assert_non_null(strstr(error.text, "\"b\" is there twice"));
  error.text[0] = 0;
  assert_false(safetensors_write("/nowhere/x.safetensors", forward, 2, NULL, 0, &error));
  assert_non_null(strstr(error.text, "/nowhere/x.safetensors: cannot be written: No such file"));
}

static void damaged_headers(void **state) {
  (void)state;
  static const struct {
    const char *header;
    size_t data;
    const char *expected;
  } cases[] = {
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4,
       "ends at byte 8 of the data, of which the file has 4; it is cut short"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 12, "has 4 bytes behind its last tensor"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8,
       "has 8 bytes; its shape and dtype F32 need 12"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "shape[0]"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,0]}}", 0, "shape[1]"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,4294967296,4294967296],\"data_offsets\":[0,8]}}", 8,
       "has 8 bytes; its shape"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "shape must be a list"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "data_offsets"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "data_offsets"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets"},
      {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "has no dtype"},
      {"{\"a\":[]}", 8, "has no dtype"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_"
       "offsets\":[4,12]}}",
       12, "tensor \"b\" overlaps"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_"
       "offsets\":[8,12]}}",
       12, "tensor \"b\" does not follow"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_"
       "offsets\":[0,8]}}",
       8, "duplicate"},
      {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ must be an object of strings"},
      {"{\"__metadata__\":[]}", 0, "__metadata__ must be an object of strings"},
      {"[]", 0, "the header must be a JSON object"},
      {"{\"a\":", 0, "header, byte"},
      {"{} x", 0, "header, byte"},
  };
  char zeros[64] = {0};
  for (size_t i = 0; i < LENGTH(cases); ++i)
    expect_error(file_of("damaged.safetensors", cases[i].header, zeros, cases[i].data), cases[i].expected);
  expect_error(temporary_file("short.safetensors", "abc", 3), "has 3 bytes, too few");
  expect_error(temporary_file("long.safetensors", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10),
               "says that its header has");
  expect_error(temporary_file("page.safetensors", "<html>\nthis is no tensor file\n</html>", 37),
               "not a safetensors file");
  expect_error("/nowhere/at.all", "/nowhere/at.all: cannot be opened: No such file");
  safetensors *s = open_good(file_of("empty.safetensors", "{}", NULL, 0));
  assert_int_equal(safetensors_count(s), 0);
  assert_null(safetensors_find(s, "a"));
  safetensors_close(s);
}

static void unknown_types_do_no_harm(void **state) {
  (void)state;
  safetensors *s = open_good(file_of("other.safetensors",
                                     "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]},"
                                     "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}  ",
                                     "\0\0\0\0\0\0\x80\x3f", 8));
  float out[4];
  lmn_error error = {0};
  read_floats(s, "b", 0, 1, out);
  assert_true(out[0] == 1);
  assert_false(safetensors_floats(s, safetensors_find(s, "a"), 0, 4, out, &error));
  assert_non_null(strstr(error.text, "tensor \"a\" has dtype F8_E4M3"));
  safetensors_close(s);
}

static void cut_while_open(void **state) {
  (void)state;
  float data[4096] = {0}, out[4096];
  const safetensors_item item = {"a", STORED_F32, 1, {4096}, data};
  lmn_error error = {0};
  assert_true(safetensors_write(temporary_path("cut.safetensors"), &item, 1, NULL, 0, &error));
  safetensors *s = open_good(temporary_path("cut.safetensors"));
  assert_int_equal(truncate(temporary_path("cut.safetensors"), 100), 0);
  assert_false(safetensors_floats(s, safetensors_find(s, "a"), 0, 4096, out, &error));
  assert_non_null(strstr(error.text, "was cut while it was open"));
  safetensors_close(s);
}

static void write_index(const char *text) {
  temporary_file("sharded/model.safetensors.index.json", text, strlen(text));
}

static void directories(void **state) {
  (void)state;
  lmn_error error = {0};
  char directory[300];
  snprintf(directory, sizeof directory, "%s/sharded", temporary);
  assert_true(directory_make(directory, &error));
  expect_error(directory, "has neither model.safetensors nor");
  temporary_file("sharded/pytorch_model.bin", "x", 1);
  expect_error(directory,
               "has pytorch_model.bin only, which is a Python pickle and is not read; save it as safetensors");
  const float one[2] = {1, 2}, two[1] = {3};
  const safetensors_item first[] = {{"a", STORED_F32, 1, {2}, one}, {"both", STORED_F32, 1, {1}, one}};
  const safetensors_item second[] = {{"b", STORED_F32, 1, {1}, two}, {"both", STORED_F32, 1, {1}, two}};
  assert_true(safetensors_write(temporary_path("sharded/1.safetensors"), first, 2, NULL, 0, &error));
  assert_true(safetensors_write(temporary_path("sharded/2.safetensors"), second, 2, NULL, 0, &error));
  write_index("{\"metadata\":{\"total_size\":16},\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\","
              "\"both\":\"2.safetensors\"}}");
  safetensors *s = open_good(directory);
  assert_int_equal(safetensors_count(s), 3);
  float out[2];
  read_floats(s, "a", 0, 2, out);
  assert_true(out[1] == 2);
  read_floats(s, "both", 0, 1, out);
  assert_true(out[0] == 3);
  safetensors_close(s);
  write_index("{\"weight_map\":{\"a\":\"1.safetensors\",\"c\":\"2.safetensors\"}}");
  expect_error(directory, "\"c\" is not in 2.safetensors");
  write_index("{\"weight_map\":{\"a\":\"3.safetensors\"}}");
  expect_error(directory, "index.json names this file: ");
  write_index("{\"weight_map\":{\"a\":\"../1.safetensors\"}}");
  expect_error(directory, "must name a file in the same folder");
  write_index("{\"weight_map\":{\"a\":1}}");
  expect_error(directory, "must name a file in the same folder");
  write_index("{}");
  expect_error(directory, "has no weight_map");
  write_index("{\n");
  expect_error(directory, "index.json:");
}

// Opens whatever it is and reads all of it.
static void read_any(const void *data, size_t length) {
  lmn_error error = {0};
  safetensors *s = safetensors_open(temporary_file("any.safetensors", data, length), &error);
  if (!s) {
    assert_non_null(strstr(error.text, "any.safetensors: "));
    return;
  }
  for (int i = 0; i < safetensors_count(s); ++i) {
    const safetensors_tensor *t = safetensors_at(s, i);
    if (t->elements > 100000) { // possible only for a type that is not read
      assert_int_equal(t->type, STORED_OTHER);
      continue;
    }
    float *out = memory_alloc((size_t)t->elements * sizeof *out);
    bool ok = safetensors_floats(s, t, 0, t->elements, out, &error);
    assert_true(ok || t->type == STORED_OTHER);
    free(out);
  }
  safetensors_close(s);
}

// Each byte of the header changed in every bit, set to what JSON gives meaning to, and the file cut at each byte.
static void every_header_byte(void **state) {
  (void)state;
  static const char header[] =
      "{\"__metadata__\":{\"format\":\"pt\"},\"a.b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
      "\"c\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[24,26]}} ";
  char data[26] = {0}, *file;
  size_t length;
  lmn_error error = {0};
  assert_true(file_read(file_of("whole.safetensors", header, data, sizeof data), 1 << 20, &file, &length, &error));
  static const char meaning[] = "\"\\{}[],:0919-.eE\n\0\xff";
  for (size_t at = 0; at < 8 + strlen(header); ++at) {
    char kept = file[at];
    for (int bit = 0; bit < 8; ++bit) {
      file[at] = (char)(kept ^ (1 << bit));
      read_any(file, length);
    }
    for (size_t i = 0; i < sizeof meaning; ++i) {
      file[at] = meaning[i];
      read_any(file, length);
    }
    file[at] = kept;
  }
  for (size_t cut = 0; cut < length; ++cut) {
    temporary_file("any.safetensors", file, cut);
    expect_error(temporary_path("any.safetensors"), "any.safetensors: ");
  }
  free(file);
}

static void golden_file(void **state) {
  (void)state;
  safetensors *s = open_good(LMN_TESTS "/golden/single-qwen/expected.safetensors");
  const safetensors_tensor *ids = safetensors_find(s, "input_ids");
  assert_non_null(ids);
  assert_int_equal(ids->rank, 2);
  int32_t first;
  lmn_error error = {0};
  assert_true(safetensors_integers(s, ids, 0, 1, &first, &error));
  assert_true(first >= 0 && first < 131);
  safetensors_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_type),        cmocka_unit_test(written_again),
      cmocka_unit_test(damaged_headers),   cmocka_unit_test(unknown_types_do_no_harm),
      cmocka_unit_test(cut_while_open),    cmocka_unit_test(directories),
      cmocka_unit_test(every_header_byte), cmocka_unit_test(golden_file),
  };
  return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
