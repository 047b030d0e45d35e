// Tokenizers against what Hugging Face's tokenizers and SentencePiece give for the same files
// (tests/data/tokenizer/*/expected.json), and broken files, of which each must be a message and never a crash.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "runtime/tokenizer.h"
#include "temporary.h"

#include <cmocka.h> // last: it makes a macro of fail

static tokenizer *open_data(const char *name) {
  char path[512];
  lmn_error error = {0};
  snprintf(path, sizeof path, "%s/data/tokenizer/%s", LMN_TESTS, name);
  tokenizer *t = tokenizer_open(path, &error);
  if (!t) fail_msg("%s", error.text);
  return t;
}

static json_t *load(const char *path) {
  json_error_t bad;
  json_t *root = json_load_file(path, JSON_ALLOW_NUL, &bad);
  if (!root) fail_msg("%s: %s", path, bad.text);
  return root;
}

static void same_ids(const char *in, const json_t *expected, const int32_t *ids, int64_t count) {
  bool same = (size_t)count == json_array_size(expected);
  for (int64_t i = 0; same && i < count; ++i) same = json_integer_value(json_array_get(expected, (size_t)i)) == ids[i];
  if (same) return;
  char *dump = json_dumps(expected, JSON_COMPACT);
  fprintf(stderr, "\"%s\": expected %s, got", in, dump);
  for (int64_t i = 0; i < count; ++i) fprintf(stderr, " %d", ids[i]);
  fprintf(stderr, "\n");
  free(dump);
  fail();
}

static void same_text(const json_t *expected, const text *got) {
  if (!expected) return;
  size_t length = json_string_length(expected);
  if (length == got->length && (!length || !memcmp(json_string_value(expected), got->data, length))) return;
  fail_msg("expected \"%s\", got \"%s\"", json_string_value(expected), got->data ? got->data : "");
}

// Encodes, decodes at once and as a stream, with and without special tokens.
static void check_case(const tokenizer *t, const json_t *c) {
  const char *in = json_string_value(json_object_get(c, "text"));
  size_t length = json_string_length(json_object_get(c, "text"));
  lmn_error error = {0};
  int32_t *ids;
  int64_t count;
  for (int special = 0; special < 2; ++special) {
    const json_t *expected = json_object_get(c, special ? "special" : "ids");
    if (!expected) continue;
    assert_true(tokenizer_encode(t, in, length, special, &ids, &count, &error));
    same_ids(in, expected, ids, count);
    free(ids);
  }
  assert_true(tokenizer_encode(t, in, length, false, &ids, &count, &error));
  for (int skip = 0; skip < 2; ++skip) {
    text whole = {0}, streamed = {0};
    tokenizer_decode(t, ids, count, skip, &whole);
    same_text(json_object_get(c, skip ? "skipped" : "decoded"), &whole);
    tokenizer_stream *s = tokenizer_stream_open(t, skip);
    for (int64_t i = 0; i < count; ++i) {
      tokenizer_stream_push(s, ids[i], &streamed);
      // what is out so far stays: it is the start of the whole, and ends with a whole character
      assert_true(streamed.length <= whole.length);
      if (streamed.length) assert_memory_equal(streamed.data, whole.data, streamed.length);
      if (streamed.length < whole.length) assert_int_not_equal((unsigned char)whole.data[streamed.length] & 0xc0, 0x80);
    }
    tokenizer_stream_finish(s, &streamed);
    assert_int_equal(streamed.length, whole.length);
    tokenizer_stream_close(s);
    text_free(&whole);
    text_free(&streamed);
  }
  free(ids);
}

static void check_all(const tokenizer *t, const json_t *cases) {
  assert_true(json_array_size(cases) > 0);
  for (size_t i = 0; i < json_array_size(cases); ++i) check_case(t, json_array_get(cases, i));
}

static void test_expected(void **state) {
  (void)state;
  static const char *const names[] = {"bytes", "added", "llama", "metaspace", "files", "sentencepiece"};
  for (size_t i = 0; i < LENGTH(names); ++i) {
    char path[512];
    snprintf(path, sizeof path, "%s/data/tokenizer/%s/expected.json", LMN_TESTS, names[i]);
    json_t *cases = load(path);
    tokenizer *t = open_data(names[i]);
    check_all(t, cases);
    tokenizer_close(t);
    json_decref(cases);
  }
}

static void test_real(void **state) {
  (void)state;
  const char *data = getenv("LMN_TEST_DATA");
  if (!data) skip();
  char path[512];
  snprintf(path, sizeof path, "%s/tokenizers/expected.json", data);
  json_t *expected = load(path);
  snprintf(path, sizeof path, "%s/tokenizers/expected-smollm2-gguf.json", data);
  json_object_set_new(expected, "smollm2", load(path));
  const char *name;
  json_t *cases;
  json_object_foreach(expected, name, cases) {
    lmn_error error = {0};
    snprintf(path, sizeof path, "%s/tokenizers/%s", data, name);
    tokenizer *t = tokenizer_open(path, &error);
    assert_non_null(t);
    check_all(t, cases);
    tokenizer_close(t);
  }
  json_decref(expected);
}

// The tokenizer.json beside stories15m's tokenizer.model is another model's; its expected text is the one of
// tokenizer.model.
static void test_stories(void **state) {
  (void)state;
  const char *data = getenv("LMN_TEST_DATA");
  if (!data) skip();
  char path[512], *story;
  size_t length;
  lmn_error error = {0};
  snprintf(path, sizeof path, "%s/models/stories15m", data);
  tokenizer *t = tokenizer_open(path, &error);
  assert_non_null(t);
  assert_int_equal(tokenizer_id(t, "\xe2\x96\x81Once"), 9038);
  assert_int_equal(tokenizer_bos(t), 1);
  assert_int_equal(tokenizer_eos(t), 2);
  assert_non_null(tokenizer_warning(t));
  int32_t *ids;
  int64_t count;
  assert_true(tokenizer_encode(t, "", 0, true, &ids, &count, &error));
  assert_int_equal(count, 1);
  assert_int_equal(ids[0], 1);
  free(ids);
  snprintf(path, sizeof path, "%s/models/stories15m/expected_greedy_n256.txt", data);
  assert_true(file_read(path, 1 << 20, &story, &length, &error));
  assert_true(tokenizer_encode(t, story, length, true, &ids, &count, &error));
  static const int32_t start[] = {1, 9038, 2501, 263, 931, 29892, 727, 471, 263, 2217, 7826, 4257, 365};
  assert_memory_equal(ids, start, sizeof start);
  text out = {0};
  tokenizer_decode(t, ids, count, true, &out);
  assert_string_equal(out.data, story);
  text_free(&out);
  free(ids);
  free(story);
  tokenizer_close(t);
}

// A completion after a prompt decodes to exactly the two texts.
static void test_continue(void **state) {
  (void)state;
  static const char *const names[] = {"bytes", "llama", "metaspace", "sentencepiece"};
  for (size_t i = 0; i < LENGTH(names); ++i) {
    tokenizer *t = open_data(names[i]);
    tokenizer_encoder *e = tokenizer_encoder_open(t);
    token_list ids = {0};
    lmn_error error = {0};
    text out = {0};
    assert_true(tokenizer_encoder_add(e, "name[Loch] =>", 13, false, &ids, &error));
    assert_true(tokenizer_encoder_continue(e, " The", 4, &ids, &error));
    assert_true(tokenizer_encoder_continue(e, "n  so", 5, &ids, &error));
    tokenizer_decode(t, ids.ids, ids.count, true, &out);
    assert_string_equal(out.data, i == 2 ? "nameLoch  Then  so" : "name[Loch] => Then  so");
    text_free(&out);
    free(ids.ids);
    tokenizer_encoder_close(e);
    tokenizer_close(t);
  }
}

static void test_train(void **state) {
  (void)state;
  text in = {0};
  for (int i = 0; i < 50; ++i) text_printf(&in, "the cat %d sat on the mat.\nThe dog\xc3\xa9 barks<|endoftext|>", i);
  lmn_error error = {0};
  assert_false(tokenizer_train(in.data, in.length, 256, temporary_path("trained"), &error));
  assert_non_null(strstr(error.text, "257"));
  error.text[0] = 0;
  assert_true(tokenizer_train(in.data, in.length, 280, temporary_path("trained"), &error));
  tokenizer *t = tokenizer_open(temporary_path("trained"), &error);
  assert_non_null(t);
  assert_int_equal(tokenizer_vocabulary(t), 280);
  assert_int_equal(tokenizer_id(t, "<|endoftext|>"), 0);
  assert_int_equal(tokenizer_eos(t), 0);
  assert_int_equal(tokenizer_pad(t), 0);
  assert_true(tokenizer_id(t, "\xc4\xa0the") > 256); // " the"
  int32_t *ids;
  int64_t count;
  assert_true(tokenizer_encode(t, in.data, in.length, true, &ids, &count, &error));
  assert_true(count < (int64_t)in.length / 2);
  text out = {0};
  tokenizer_decode(t, ids, count, false, &out);
  assert_string_equal(out.data, in.data);
  text_free(&out);
  text_free(&in);
  free(ids);
  tokenizer_close(t);
  assert_false(tokenizer_train("\xff", 1, 300, temporary_path("trained"), &error));
  assert_non_null(strstr(error.text, "UTF-8"));
}

static void test_long_texts(void **state) {
  (void)state;
  static const char *const names[] = {"bytes", "llama", "added", "metaspace"};
  static const char *const pieces[] = {" ", "a", "ab", "\n ", "\xf0\x9f\x99\x82", "the the"};
  for (size_t n = 0; n < LENGTH(names); ++n) {
    tokenizer *t = open_data(names[n]);
    for (size_t p = 0; p < LENGTH(pieces); ++p) {
      text in = {0}, out = {0};
      while (in.length < 200000) text_add(&in, pieces[p]);
      int32_t *ids;
      int64_t count;
      lmn_error error = {0};
      double start = clock_seconds();
      assert_true(tokenizer_encode(t, in.data, in.length, false, &ids, &count, &error));
      tokenizer_decode(t, ids, count, false, &out);
      if (n < 3) assert_string_equal(out.data, in.data);
      assert_true(clock_seconds() - start < 20); // nothing in it is quadratic
      free(ids);
      text_free(&in);
      text_free(&out);
    }
    tokenizer_close(t);
  }
}

static void test_bad_text(void **state) {
  (void)state;
  tokenizer *t = open_data("bytes");
  static const char *const bad[] = {"ab\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80"};
  for (size_t i = 0; i < LENGTH(bad); ++i) {
    int32_t *ids;
    int64_t count;
    lmn_error error = {0};
    assert_false(tokenizer_encode(t, bad[i], strlen(bad[i]), false, &ids, &count, &error));
    assert_non_null(strstr(error.text, "UTF-8"));
    assert_null(ids);
  }
  // ids that are no tokens are left out, and bytes that are no UTF-8 become U+FFFD
  text out = {0};
  int32_t odd[] = {-1, 1 << 30, tokenizer_id(t, "\xc3\x83"), INT32_MIN};
  tokenizer_decode(t, odd, 4, false, &out);
  assert_string_equal(out.data, "\xef\xbf\xbd");
  text_free(&out);
  tokenizer_close(t);
}

// Opens `json` as a tokenizer.json in a folder of its own; the message, or "" if it opens.
static const char *open_message(const char *json, size_t length) {
  static lmn_error error;
  error.text[0] = 0;
  assert_true(directory_make(temporary_path("bad"), &error));
  temporary_file("bad/tokenizer.json", json, length);
  tokenizer *t = tokenizer_open(temporary_path("bad"), &error);
  if (t) { // then it must work
    int32_t *ids;
    int64_t count;
    lmn_error encode_error = {0};
    if (tokenizer_encode(t, "The \xc3\xa9 <mask> cat 12\n", 21, true, &ids, &count, &encode_error)) {
      text out = {0};
      tokenizer_decode(t, ids, count, false, &out);
      text_free(&out);
    } else {
      assert_true(encode_error.text[0]);
    }
    free(ids);
    assert_int_equal(error.text[0], 0);
  } else {
    assert_non_null(strstr(error.text, "bad"));
  }
  tokenizer_close(t);
  return error.text;
}

static void test_errors(void **state) {
  (void)state;
#define BPE(rest) "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}" rest "}"
  static const struct {
    const char *json, *message;
  } cases[] = {
      {"", "tokenizer.json:1"},
      {"[]", "must be a JSON object"},
      {"{}", "model: is missing"},
      {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "model.type: \"Unigram\""},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", "model.merges"},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "model.vocab"},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", "id 0 is given to"},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":99999999},\"merges\":[]}}", "no usable id"},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "model.merges[0]: \"b\""},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b c\"]}}", "model.merges[0]"},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}}", "model.dropout"},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"u\"}}",
       "model.unk_token: \"u\""},
      {BPE(",\"normalizer\":{\"type\":\"Precompiled\"}"), "normalizer of type \"Precompiled\""},
      {BPE(",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"BertNormalizer\"}]}"),
       "BertNormalizer"},
      {BPE(",\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}"), "pre_tokenizer of type \"UnicodeScripts\""},
      {BPE(",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}"),
       "cannot be compiled"},
      {BPE(",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Odd\"}"), "behavior"},
      {BPE(",\"decoder\":{\"type\":\"WordPiece\"}"), "decoder of type \"WordPiece\""},
      {BPE(",\"decoder\":{}"), "decoder.type"},
      {BPE(",\"post_processor\":{\"type\":\"Odd\"}"), "post_processor.type: \"Odd\""},
      {BPE(",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}]}"),
       "has no ids"},
      {BPE(",\"added_tokens\":[{\"id\":7}]"), "added_tokens[0]"},
      {BPE(",\"added_tokens\":[{\"id\":1,\"content\":\"x\"}]"), "another token's"},
      {BPE(",\"added_tokens\":[{\"id\":3,\"content\":\"\"}]"), "is empty"},
      {BPE(""), ""},
  };
  for (size_t i = 0; i < LENGTH(cases); ++i) {
    const char *message = open_message(cases[i].json, strlen(cases[i].json));
    if (!*cases[i].message ? *message != 0 : !strstr(message, cases[i].message))
      fail_msg("case %zu: \"%s\" is not in \"%s\"", i, cases[i].message, message);
  }
  lmn_error error = {0};
  assert_null(tokenizer_open(temporary_path("nowhere"), &error));
  assert_non_null(strstr(error.text, "no such model directory"));
}

// Folders with several files: what each of them may say, and that a broken one is named.
static void test_folders(void **state) {
  (void)state;
  lmn_error error = {0};
  const char *words = "{\"a\":0,\"b\":1,\"ab\":2,\"\xc4\xa0\":3,\"1\":4,\"2\":5,\"12\":6,\"<end>\":7}";
  const char *merges = "#version: 0.2\na b\n1 2\n";
  directory_make(temporary_path("folder"), &error);
  temporary_file("folder/vocab.json", words, strlen(words));
  temporary_file("folder/merges.txt", merges, strlen(merges));
  static const struct {
    const char *config, *message;
    int64_t count; // ids of " ab12<end>", with BOS and EOS
  } cases[] = {
      {"{}", "", 4},
      {"{\"tokenizer_class\": \"Qwen2Tokenizer\"}", "", 5}, // every digit by itself
      {"{\"bos_token\": {\"content\": \"<end>\"}, \"add_bos_token\": true}", "", 5},
      {"{\"added_tokens_decoder\": {\"9\": {\"content\": \" a\", \"special\": true}}}", "", 4},
      {"{\"tokenizer_class\": \"OddTokenizer\"}", "vocab.json: how a OddTokenizer cuts", 0},
      {"{\"added_tokens_decoder\": {\"x\": {}}}", "tokenizer_config.json: added_tokens_decoder", 0},
      {"{\"bos_token\"", "tokenizer_config.json:1", 0},
  };
  for (size_t i = 0; i < LENGTH(cases); ++i) {
    temporary_file("folder/tokenizer_config.json", cases[i].config, strlen(cases[i].config));
    error.text[0] = 0;
    tokenizer *t = tokenizer_open(temporary_path("folder"), &error);
    assert_int_equal(t != NULL, !*cases[i].message);
    assert_non_null(strstr(error.text, cases[i].message));
    if (!t) continue;
    int32_t *ids;
    int64_t count;
    assert_true(tokenizer_encode(t, " ab12<end>", 10, true, &ids, &count, &error));
    assert_int_equal(count, cases[i].count);
    assert_int_equal(ids[count - 1], 7);
    assert_true(tokenizer_is_special(t, 7));
    free(ids);
    tokenizer_close(t);
  }
  temporary_file("folder/tokenizer_config.json", "{}", 2);
  temporary_file("folder/merges.txt", "a b\nb q\n", 8);
  error.text[0] = 0;
  assert_null(tokenizer_open(temporary_path("folder"), &error));
  assert_non_null(strstr(error.text, "merges.txt:2: \"b q\""));
}

// Bytes changed, taken out, doubled, and the file cut off: it opens and works, or is a message.
static void mutate(const char *path, const char *name, int rounds, bool as_model) {
  char *data;
  size_t length;
  lmn_error error = {0};
  assert_true(file_read(path, 1 << 26, &data, &length, &error));
  random_stream r = random_named(1, name);
  static const char odd[] = "{}[]\",:0-9eE\\\xff\x80 \n";
  for (int round = 0; round < rounds; ++round) {
    text changed = {0};
    size_t at = random_next(&r) % length, size = random_next(&r) % 40;
    text_add_bytes(&changed, data, length);
    switch (random_next(&r) % 4) {
    case 0: changed.length = at; break;
    case 1: changed.data[at] = odd[random_next(&r) % (sizeof odd - 1)]; break;
    case 2: changed.data[at] ^= (char)(1 << random_next(&r) % 8); break;
    default:
      if (size > length - at) size = length - at;
      memmove(changed.data + at, changed.data + at + size, length - at - size);
      changed.length -= size;
    }
    if (!as_model) open_message(changed.data, changed.length);
    else {
      assert_true(directory_make(temporary_path("model"), &error));
      temporary_file("model/tokenizer.model", changed.data, changed.length);
      lmn_error broken = {0};
      tokenizer *t = tokenizer_open(temporary_path("model"), &broken);
      assert_true(t || broken.text[0]);
      tokenizer_close(t);
    }
    text_free(&changed);
  }
  free(data);
}

static void test_mutations(void **state) {
  (void)state;
  char path[512];
  static const char *const names[] = {"added", "llama", "metaspace", "sentencepiece"};
  for (size_t i = 0; i < LENGTH(names); ++i) {
    snprintf(path, sizeof path, "%s/data/tokenizer/%s/tokenizer.%s", LMN_TESTS, names[i], i == 3 ? "model" : "json");
    mutate(path, names[i], 500, i == 3);
  }
  const char *data = getenv("LMN_TEST_DATA");
  if (!data) return;
  snprintf(path, sizeof path, "%s/tokenizers/llama2/tokenizer.json", data);
  mutate(path, "real", 8, false);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_expected),  cmocka_unit_test(test_real),   cmocka_unit_test(test_stories),
      cmocka_unit_test(test_continue),  cmocka_unit_test(test_train),  cmocka_unit_test(test_long_texts),
      cmocka_unit_test(test_bad_text),  cmocka_unit_test(test_errors), cmocka_unit_test(test_folders),
      cmocka_unit_test(test_mutations),
  };
  return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
