// Data sets: which rows, tokens, labels and batches files give, and the message for every row that is wrong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/dataset.h"
#include "temporary.h"

#include <cmocka.h> // last: it makes a macro of fail

static tokenizer *bytes, *llama;

static tokenizer *open_tokenizer(const char *name) {
  char path[512];
  snprintf(path, sizeof path, "%s/data/tokenizer/%s", LMN_TESTS, name);
  return tokenizer_open(path, NULL);
}

static int setup(void **state) {
  bytes = open_tokenizer("bytes");
  llama = open_tokenizer("llama");
  return bytes && llama ? temporary_make(state) : -1;
}

static int teardown(void **state) {
  tokenizer_close(bytes);
  tokenizer_close(llama);
  return temporary_remove(state);
}

static dataset_options defaults(const char *data) {
  return (dataset_options){
      .data = data, .batch = 2, .length = 32, .vocabulary = 1000, .eos = -1, .pad = -1, .threads = 2};
}

static const char *file(const char *name, const char *content) {
  return temporary_file(name, content, strlen(content));
}

static dataset *open_or_fail(const dataset_options *o, const tokenizer *t) {
  lmn_error error = {0};
  dataset *d = dataset_open(o, t, &error);
  if (!d) fail_msg("%s", error.text);
  return d;
}

static lmn_batch batch_of(dataset *d, int64_t epoch, int64_t index) {
  lmn_batch b;
  lmn_error error = {0};
  assert_true(dataset_batch(d, epoch, index, &b, &error));
  return b;
}

// A row's inputs up to the padding as text, a bar before the first counted label's own token: "prompt| completion".
static const char *row_text(const tokenizer *t, const lmn_batch *b, int64_t row) {
  static text out;
  out.length = 0;
  text_add(&out, "");
  const int32_t *ids = b->input_ids + row * b->length, *labels = b->labels + row * b->length;
  int64_t last = b->last[row];
  bool marked = false;
  tokenizer_stream *s = tokenizer_stream_open(t, false);
  for (int64_t i = 0; i <= last + 1; ++i) {
    bool counted = i > 0 && labels[i - 1] != -100;
    if (counted && !marked) text_add(&out, "|"), marked = true;
    if (i <= last) tokenizer_stream_push(s, ids[i], &out);
    else if (counted) tokenizer_stream_push(s, labels[last], &out);
    if (i > 0 && i <= last && counted) assert_int_equal(labels[i - 1], ids[i]); // labels are shifted already
  }
  tokenizer_stream_finish(s, &out);
  tokenizer_stream_close(s);
  for (int64_t i = last + 1; i < b->length; ++i) assert_int_equal(labels[i], -100);
  return out.data;
}

static void test_csv(void **state) {
  (void)state;
  dataset_options o = defaults(file("a.csv", "\xef\xbb\xbfmr,ref,\"odd, \"\"name\"\"\"\r\n"
                                             "\"name[Loch], food\",A \"b\" c,1\r\n\r\n"
                                             "two\nlines,x,y\n" // an unquoted line end: too few fields, below
                                    ));
  lmn_error error = {0};
  o.prompt = "{mr} =>", o.completion = " {ref}";
  assert_null(dataset_open(&o, bytes, &error));
  assert_non_null(strstr(error.text, "a.csv:4: the row has 1 fields, the header 3"));
  o.data = file("a.csv", "\xef\xbb\xbfmr,ref,\"odd, \"\"name\"\"\"\r\n\"name[Loch], food\",A \"b\" c,1\r\n\r\n"
                         "\"two\nli\"\"nes\",,\"\"\"\"");
  o.prompt = "{mr} {{=>}}", o.completion = " {ref}{odd, \"name\"}";
  o.length = 64;
  dataset *d = open_or_fail(&o, bytes);
  assert_int_equal(dataset_sequences(d), 2);
  assert_int_equal(dataset_batches(d), 1);
  lmn_batch b = batch_of(d, 0, 0);
  assert_string_equal(row_text(bytes, &b, 0), "name[Loch], food {=>}| A \"b\" c1<|endoftext|>");
  assert_string_equal(row_text(bytes, &b, 1), "two\nli\"nes {=>}| \"<|endoftext|>");
  assert_null(b.positions);
  assert_null(b.starts);
  assert_null(dataset_warning(d));
  dataset_close(d);
}

// The tokenizer's BOS comes first, and no space comes between prompt and completion that is not there.
static void test_llama_prefix(void **state) {
  (void)state;
  dataset_options o = defaults(file("a.csv", "a,b\nname, The cat \n,x\n"));
  o.prompt = "{a} :", o.completion = "{b}";
  dataset *d = open_or_fail(&o, llama);
  assert_non_null(strstr(dataset_warning(d), "end-of-text")); // that file names none
  dataset_close(d);
  o.eos = tokenizer_id(llama, "</s>");
  d = open_or_fail(&o, llama);
  assert_null(dataset_warning(d));
  lmn_batch b = batch_of(d, 0, 0);
  assert_int_equal(b.input_ids[0], 1);
  assert_string_equal(row_text(llama, &b, 0), "<s> name :| The cat </s>");
  dataset_close(d);
  o.prompt = "{a}"; // with nothing before it, the completion begins the text
  d = open_or_fail(&o, llama);
  b = batch_of(d, 0, 0);
  assert_string_equal(row_text(llama, &b, 1), "<s>| x</s>");
  dataset_close(d);
}

static void test_jsonl(void **state) {
  (void)state;
  dataset_options o = defaults(
      file("a.jsonl", "{\"q\": \"2+2\", \"choices\": {\"text\": [\"four\", 5, true, 1.5]}, \"a.b\": \"dot\"}\n\n"
                      "  {\"q\": \"\\u00e9\\n\", \"choices\": {\"text\": [1, 2, false, -2]}, \"a.b\": \"\"}\r\n"));
  o.prompt = "{q}{a.b} {choices.text[0]}", o.completion = " {choices.text[1]} {choices.text[2]} {choices.text[3]}";
  o.length = 64;
  dataset *d = open_or_fail(&o, bytes);
  lmn_batch b = batch_of(d, 0, 0);
  assert_string_equal(row_text(bytes, &b, 0), "2+2dot four| 5 true 1.5<|endoftext|>");
  assert_string_equal(row_text(bytes, &b, 1), "\xc3\xa9\n 1| 2 false -2<|endoftext|>");
  dataset_close(d);
}

static void test_text_stream(void **state) {
  (void)state;
  text in = {0};
  for (int i = 0; i < 40000; ++i)
    text_printf(&in, "Line %d: the quick  brown fox,\n%s", i, i % 7 ? "" : "  indented\n\n");
  dataset_options o = defaults(temporary_file("a.txt", in.data, in.length));
  for (int which = 0; which < 2; ++which) {
    const tokenizer *t = which ? llama : bytes;
    dataset *d = open_or_fail(&o, t);
    int32_t *ids;
    int64_t count;
    lmn_error error = {0};
    assert_true(tokenizer_encode(t, in.data, in.length, true, &ids, &count, &error));
    // the pieces that the cores took make the same stream as the whole; every id but the first is a label once
    assert_int_equal(dataset_count(d).tokens, count - 1);
    assert_int_equal(dataset_count(d).labels, count - 1);
    int64_t at = 0;
    for (int64_t i = 0; i < dataset_batches(d); ++i) {
      lmn_batch b = batch_of(d, 0, i);
      for (int64_t k = 0; k < b.batch * b.length && at < count - 1; ++k, ++at) {
        assert_int_equal(b.input_ids[k], ids[at]);
        assert_int_equal(b.labels[k], ids[at + 1]);
      }
    }
    assert_int_equal(at, count - 1);
    free(ids);
    dataset_close(d);
  }
  text_free(&in);
}

static void test_documents(void **state) {
  (void)state;
  dataset_options o = defaults(file("a.jsonl", "{\"text\": \"One.\"}\n{\"text\": \"Two two.\"}\n{\"text\": \"\"}\n"));
  dataset *d = open_or_fail(&o, bytes);
  lmn_batch b = batch_of(d, 0, 0);
  assert_int_equal(dataset_sequences(d), 2); // an empty text has nothing to predict
  assert_string_equal(row_text(bytes, &b, 1) + 1, "|wo two.<|endoftext|>");
  dataset_close(d);
  o.text = "body";
  lmn_error error = {0};
  assert_null(dataset_open(&o, bytes, &error));
  assert_non_null(strstr(error.text, "a.jsonl:1: there is no column \"body\", which text names; the columns are text"));
}

static void test_classes(void **state) {
  (void)state;
  dataset_options o = defaults(file("a.csv", "q,a\nfirst,0\nsecond, C \nthird,b\n"));
  o.prompt = "{q}", o.completion = "{a}", o.classes = 3;
  dataset *d = open_or_fail(&o, bytes);
  assert_int_equal(dataset_batches(d), 2);
  lmn_batch b = batch_of(d, 0, 0);
  int32_t *ids;
  int64_t count;
  assert_true(tokenizer_encode(bytes, "second", 6, false, &ids, &count, NULL));
  assert_int_equal(b.labels[0], 0);
  assert_int_equal(b.labels[1], 2);
  assert_int_equal(b.last[1], count - 1);
  assert_memory_equal(b.input_ids + b.length, ids, (size_t)count * sizeof *ids);
  free(ids);
  b = batch_of(d, 0, 1);
  assert_int_equal(b.labels[0], 1);
  assert_int_equal(b.labels[1], -100); // filled up
  assert_int_equal(b.last[1], 0);
  dataset_close(d);
}

// Every row of every batch of an epoch, once; another order in another epoch; the same in another process of the same
// seed.
static void test_shuffle(void **state) {
  (void)state;
  text in = {0};
  text_add(&in, "a,b\n");
  for (int i = 0; i < 101; ++i) text_printf(&in, "%d,%d\n", i, i);
  dataset_options o = defaults(temporary_file("a.csv", in.data, in.length));
  o.prompt = "{a}", o.completion = "{b}", o.shuffle = true, o.seed = 11, o.batch = 4;
  dataset *d = open_or_fail(&o, bytes), *again = open_or_fail(&o, bytes);
  o.seed = 12;
  dataset *other = open_or_fail(&o, bytes);
  int64_t cells = o.batch * o.length, same = 0, same_epoch = 0, seen = 0, batches = dataset_batches(d);
  assert_int_equal(batches, 26);
  int32_t *kept = memory_alloc((size_t)cells * sizeof *kept);
  for (int64_t i = 0; i < batches; ++i) {
    lmn_batch b = batch_of(d, 3, i);
    memcpy(kept, b.input_ids, (size_t)cells * sizeof *kept);
    for (int64_t k = 0; k < o.batch; ++k) seen += b.labels[k * o.length + b.last[k]] == tokenizer_eos(bytes);
    batch_of(again, 1, 5); // what was asked before changes nothing
    assert_memory_equal(kept, batch_of(again, 3, i).input_ids, (size_t)cells * sizeof *kept);
    same += !memcmp(kept, batch_of(other, 3, i).input_ids, (size_t)cells * sizeof *kept);
    same_epoch += !memcmp(kept, batch_of(again, 4, i).input_ids, (size_t)cells * sizeof *kept);
  }
  assert_int_equal(seen, 101);
  assert_true(same < 2 && same_epoch < 2);
  free(kept);
  text_free(&in);
  dataset_close(d);
  dataset_close(again);
  dataset_close(other);
}

static void test_packed(void **state) {
  (void)state;
  text in = {0};
  text_add(&in, "a,b\n");
  for (int i = 0; i < 200; ++i) text_printf(&in, "%.*s,%d\n", i % 23 + 1, "abcdefghijklmnopqrstuvwxyz", i);
  dataset_options o = defaults(temporary_file("a.csv", in.data, in.length));
  o.prompt = "{a}", o.completion = "{b}", o.shuffle = true;
  dataset *padded = open_or_fail(&o, bytes);
  o.packed = true;
  dataset *d = open_or_fail(&o, bytes);
  assert_int_equal(dataset_sequences(padded), 200);
  assert_int_equal(dataset_count(d).labels, dataset_count(padded).labels);
  assert_int_equal(dataset_count(d).tokens, dataset_count(padded).tokens);
  int64_t least = (dataset_count(d).tokens + o.length - 1) / o.length, labels = 0, ends = 0;
  assert_true(dataset_sequences(d) <= least + least / 10 + 1); // few gaps
  for (int64_t i = 0; i < dataset_batches(d); ++i) {
    lmn_batch b = batch_of(d, 0, i);
    for (int64_t k = 0; k < b.batch * b.length; ++k) {
      int64_t t = k % b.length, start = b.starts[k];
      assert_true(start <= t);
      assert_int_equal(b.positions[k], t - start); // positions begin anew where the row does
      if (start < t) assert_int_equal(b.starts[k - 1], start);
      labels += b.labels[k] != -100;
      ends += b.labels[k] == tokenizer_eos(bytes);
      // the last label of a row is its end, the row after it begins anew
      if (b.labels[k] == tokenizer_eos(bytes) && t + 1 < b.length) assert_int_equal(b.starts[k + 1], t + 1);
    }
  }
  assert_int_equal(labels, dataset_count(d).labels);
  assert_int_equal(ends, 200);
  text_free(&in);
  dataset_close(d);
  dataset_close(padded);
}

static void test_cut(void **state) {
  (void)state;
  text in = {0};
  text_add(&in, "a,b\n0123456789,short\n0123,");
  for (int i = 0; i < 50; ++i) text_printf(&in, "%d", i % 10);
  text_add(&in, "\n");
  for (int i = 0; i < 50; ++i) text_printf(&in, "%d", i % 10);
  text_add(&in, "end,xyz\n");
  dataset_options o = defaults(temporary_file("a.csv", in.data, in.length));
  o.prompt = "{a}", o.completion = "{b}", o.batch = 3, o.length = 19;
  dataset *d = open_or_fail(&o, bytes);
  lmn_batch b = batch_of(d, 0, 0);
  assert_string_equal(row_text(bytes, &b, 1), "0123|0123456789012345");
  assert_int_equal(dataset_count(d).cut_completions, 1);
  assert_int_equal(dataset_count(d).cut_prompts, 1);
  assert_non_null(strstr(dataset_warning(d), "1 of 3 rows are longer than 19 tokens"));
  const char *third = row_text(bytes, &b, 2), *bar = strchr(third, '|');
  assert_string_equal(bar, "|xyz<|endoftext|>");
  assert_memory_equal(bar - 3, "end", 3);
  dataset_close(d);
  d = open_or_fail(&o, llama); // its BOS stays when the prompt is cut
  b = batch_of(d, 0, 0);
  assert_int_equal(b.input_ids[2 * o.length], 1);
  dataset_close(d);
  for (o.length = 1; o.length < 60; ++o.length) { // whatever the length, no row is lost
    o.packed = o.length % 2;
    d = open_or_fail(&o, o.length % 3 ? llama : bytes);
    assert_true(dataset_count(d).labels >= 3);
    for (int64_t i = 0; i < dataset_batches(d); ++i) batch_of(d, 0, i);
    dataset_close(d);
  }
  o.classes = 26, o.packed = false, o.prompt = "{b}", o.completion = "A", o.length = 4;
  d = open_or_fail(&o, bytes);
  b = batch_of(d, 0, 0);
  assert_int_equal(b.last[1], 3);
  assert_int_equal(b.input_ids[o.length + 3], tokenizer_id(bytes, "9"));
  dataset_close(d);
  text_free(&in);
}

static void test_files(void **state) {
  (void)state;
  char list[1200];
  directory_make(temporary_path("folder"), NULL);
  file("folder/b.TXT", "bb bb");
  file("folder/a.jsonl", "{\"text\": \"aa aa\"}");
  file("folder/notes.md", "ignored");
  snprintf(list, sizeof list, "%s, %s", temporary_path("folder/*.jsonl"), temporary_path("folder/b.TXT"));
  const char *const ways[] = {temporary_path("folder"), list};
  for (size_t i = 0; i < LENGTH(ways); ++i) {
    dataset_options o = defaults(ways[i]);
    dataset *d = open_or_fail(&o, bytes);
    assert_int_equal(dataset_sequences(d), 2);
    dataset_close(d);
  }
}

typedef struct bad_case {
  const char *name, *content, *prompt, *completion;
  int64_t classes;
  const char *message;
} bad_case;

static const bad_case bad_cases[] = {
    {"e.csv", "", "{a}", "{b}", 0, "e.csv: has no header row"},
    {"e.csv", "a,b\n", "{a}", "{b}", 0, "e.csv: has no rows"},
    {"e.csv", "a,a\n1,2\n", "{a}", "{a}", 0, "e.csv:1: the header has the column \"a\" twice"},
    {"e.csv", "a,b\n1,2\n1,2,3\n", "{a}", "{b}", 0, "e.csv:3: the row has 3 fields, the header 2"},
    {"e.csv", "a,b\n1,\"2\n\n", "{a}", "{b}", 0, "e.csv:2: the double quote opened in line 2 is never closed"},
    {"e.csv", "a,b\n\"1\"x,2\n", "{a}", "{b}", 0, "e.csv:2: line 2 has text behind the closing quote"},
    {"e.csv", "a,b\n1,2\n3,\xff\n", "{a}", "{b}", 0, "e.csv:3: byte 10 of the file, 0xff, is not UTF-8"},
    {"e.csv", "a,b\n1,2\n", "{a}", "{c}", 0,
     "e.csv:1: there is no column \"c\", which completion names; the columns are a, b"},
    {"e.csv", "a,b\n1,2\n", "{a", "{b}", 0, "prompt: \"{a\" has a { that no name and } follow at character 1"},
    {"e.csv", "a,b\n1,2\n", "a}", "{b}", 0, "} without {"},
    {"e.csv", "a,b\n1,2\n", "{a}{}", "{b}", 0, "at character 4"},
    {"e.csv", "a,b\n1,2\n", "{a}", NULL, 0, "completion is not"},
    {"e.csv", "a,b\n1,2\n", NULL, NULL, 0, "no column \"text\""},
    {"e.csv", "a,b\n1,2\n", NULL, "{a}", 3, "a classifier needs prompt and completion"},
    {"e.csv", "a,b\n1,2\n1,3\n", "{a}", "{b}", 3, "e.csv:3: the label \"3\" is none of the 3 classes"},
    {"e.csv", "a,b\n1,1x\n", "{a}", "{b}", 3, "the label \"1x\""},
    {"e.csv", "a,b\n1,-1\n", "{a}", "{b}", 3, "the label \"-1\""},
    {"e.csv", "a,b\n1,D\n", "{a}", "{b}", 3, "the label \"D\""},
    {"e.csv", "a,b\n1,\n", "{a}", "{b}", 3, "the label \"\""},
    {"e.csv", "a,b\n,1\n", "{a}", "{b}", 3, "e.csv:2: the prompt is empty"},
    {"e.jsonl", "\n \n", "{a}", "{b}", 0, "e.jsonl: has no rows"},
    {"e.jsonl", "{\"a\":1,\"b\":2}\n{\"a\":1,\n", "{a}", "{b}", 0, "e.jsonl:2:"},
    {"e.jsonl", "[1]\n", "{a}", "{b}", 0, "e.jsonl:1: the line is not a JSON object"},
    {"e.jsonl", "{\"a\":1}\n", "{a}", "{b}", 0,
     "e.jsonl:1: there is no column \"b\", which completion names; the columns are a"},
    {"e.jsonl", "{\"a\":1,\"b\":null}\n", "{a}", "{b}", 0, "e.jsonl:1: \"b\" is null"},
    {"e.jsonl", "{\"a\":1,\"b\":[1]}\n", "{a}", "{b}", 0, "e.jsonl:1: \"b\" is a list; name one of its elements"},
    {"e.jsonl", "{\"a\":1,\"b\":[1]}\n", "{a}", "{b[1]}", 0, "there is no column \"b[1]\""},
    {"e.jsonl", "{\"a\":1,\"b\":[1]}\n", "{a}", "{b[x]}", 0, "there is no column \"b[x]\""},
    {"e.jsonl", "{\"a\":1,\"b\":{}}\n", "{a}", "{b}", 0, "is an object; name one of its fields"},
    {"e.txt", "", NULL, NULL, 0, "e.txt: has no text"},
    {"e.txt", "some text", "{a}", "{b}", 0, "e.txt: a text file has no columns"},
    {"e.txt", "a\nb\n\xc3(", NULL, NULL, 0, "e.txt:3: byte 4 of the file, 0xc3, is not UTF-8"},
    {"e.md", "text", NULL, NULL, 0, "data are read from .txt, .csv, .tsv and .jsonl files"},
};

static void test_errors(void **state) {
  (void)state;
  for (size_t i = 0; i < LENGTH(bad_cases); ++i) {
    const bad_case *c = &bad_cases[i];
    dataset_options o = defaults(file(c->name, c->content));
    o.prompt = c->prompt, o.completion = c->completion, o.classes = c->classes;
    lmn_error error = {0};
    dataset *d = dataset_open(&o, bytes, &error);
    if (d || !strstr(error.text, c->message)) fail_msg("case %zu: \"%s\" is not in \"%s\"", i, c->message, error.text);
  }
  lmn_error error = {0};
  dataset_options o = defaults(temporary_path("nowhere.csv"));
  assert_null(dataset_open(&o, bytes, &error));
  assert_non_null(strstr(error.text, "nowhere.csv: there is no such data file"));
  error.text[0] = 0;
  o = defaults(file("v.txt", "the vocabulary"));
  o.vocabulary = 20;
  assert_null(dataset_open(&o, bytes, &error));
  assert_non_null(strstr(error.text, "but the network's vocabulary is 20"));
}

// Of many wrong rows, the first one is told, whatever thread comes to it first.
static void test_first_error(void **state) {
  (void)state;
  text in = {0};
  for (int i = 0; i < 3000; ++i) text_add(&in, i > 700 && i % 3 == 0 ? "{\"text\": 1 2}\n" : "{\"text\": \"fine\"}\n");
  dataset_options o = defaults(temporary_file("a.jsonl", in.data, in.length));
  for (int round = 0; round < 20; ++round) {
    lmn_error error = {0};
    o.threads = round % 4 + 1;
    assert_null(dataset_open(&o, bytes, &error));
    assert_non_null(strstr(error.text, "a.jsonl:703:"));
  }
  text_free(&in);
}

static void test_mutations(void **state) {
  (void)state;
  static const char csv[] =
      "mr,ref\n\"name[A], food[B]\",\"It is \"\"good\"\".\"\nplain,text here\n\"two\nlines\",\xc3\xa9\n";
  static const char jsonl[] =
      "{\"mr\": \"name[A]\", \"ref\": [\"x\", {\"y\": 1}]}\n{\"mr\": \"\\u00e9\", \"ref\": [2.5, {\"y\": \"z\"}]}\n";
  static const char odd[] = "\",\n\r{}[]:\\\xff\xc3 0";
  random_stream r = random_named(1, "mutations");
  for (int round = 0; round < 3000; ++round) {
    bool json = round & 1;
    char data[256];
    size_t length = json ? sizeof jsonl - 1 : sizeof csv - 1;
    memcpy(data, json ? jsonl : csv, length);
    for (uint64_t n = random_next(&r) % 3; n < 3; ++n)
      data[random_next(&r) % length] = odd[random_next(&r) % (sizeof odd - 1)];
    if (random_next(&r) % 4 == 0) length = random_next(&r) % length;
    dataset_options o = defaults(temporary_file(json ? "m.jsonl" : "m.csv", data, length));
    o.prompt = "{mr} =>", o.completion = json ? " {ref[1].y}" : " {ref}", o.packed = round & 2, o.threads = 1;
    lmn_error error = {0};
    dataset *d = dataset_open(&o, bytes, &error);
    if (d) batch_of(d, 0, 0);
    else if (!strstr(error.text, json ? "m.jsonl" : "m.csv")) fail_msg("no place: %s", error.text);
    dataset_close(d);
  }
}

static void test_real(void **state) {
  (void)state;
  const char *folder = getenv("LMN_TEST_DATA");
  if (!folder) skip();
  static const struct {
    const char *path, *prompt, *completion;
    int64_t classes, rows;
  } cases[] = {
      {"datasets/e2e/dev.csv", "{mr} =>", " {ref}", 0, 0},
      {"datasets/gsm8k/test.jsonl", "Question: {question}\nAnswer:", " {answer}", 0, 1319},
      {"datasets/mmlu/test", "{question}\nA. {choice0}\nB. {choice1}\nC. {choice2}\nD. {choice3}\nAnswer:", "{answer}",
       4, 0},
      {"datasets/arc_challenge/ARC-Challenge-test.jsonl", "{question}\n{choices.text[0]}\n{choices.text[2]}",
       "{answerKey}", 5, 1172},
      {"datasets/tinyshakespeare/input.txt", NULL, NULL, 0, 1},
  };
  char path[600];
  snprintf(path, sizeof path, "%s/models/stories15m", folder);
  tokenizer *t = tokenizer_open(path, NULL);
  assert_non_null(t);
  for (size_t i = 0; i < LENGTH(cases); ++i) {
    snprintf(path, sizeof path, "%s/%s", folder, cases[i].path);
    dataset_options o = defaults(path);
    o.prompt = cases[i].prompt, o.completion = cases[i].completion, o.classes = cases[i].classes;
    o.length = 256, o.batch = 4, o.vocabulary = 32000, o.packed = !o.classes, o.shuffle = true;
    dataset *d = open_or_fail(&o, t);
    if (cases[i].rows) assert_int_equal(dataset_count(d).rows, cases[i].rows);
    int64_t labels = 0;
    for (int64_t k = 0; k < dataset_batches(d); ++k) {
      lmn_batch b = batch_of(d, 0, k);
      for (int64_t x = 0; x < (o.classes ? b.batch : b.batch * b.length); ++x) labels += b.labels[x] != -100;
    }
    assert_int_equal(labels, dataset_count(d).labels);
    dataset_close(d);
  }
  tokenizer_close(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_csv),         cmocka_unit_test(test_llama_prefix), cmocka_unit_test(test_jsonl),
      cmocka_unit_test(test_text_stream), cmocka_unit_test(test_documents),    cmocka_unit_test(test_classes),
      cmocka_unit_test(test_shuffle),     cmocka_unit_test(test_packed),       cmocka_unit_test(test_cut),
      cmocka_unit_test(test_files),       cmocka_unit_test(test_errors),       cmocka_unit_test(test_first_error),
      cmocka_unit_test(test_mutations),   cmocka_unit_test(test_real)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
