// links: frontend
// Thousands of broken networks: each must give a graph or an error with a place in the file, never a crash, and soon.
// LMN_MUTATIONS sets how many, LMN_MUTATION_SEED where they start.
#include "lmn_text.h"
#include "frontend/resolve.h"

#include <glob.h>
#include <time.h>

typedef struct sample {
  char *data;
  size_t length;
} sample;

static sample samples[512];
static int sample_count;

static void add_samples(const char *pattern) {
  glob_t found;
  if (glob(pattern, 0, NULL, &found)) return;
  for (size_t i = 0; i < found.gl_pathc && sample_count < (int)LENGTH(samples); ++i) {
    sample *s = &samples[sample_count];
    if (file_read(found.gl_pathv[i], 8192, &s->data, &s->length, NULL)) ++sample_count;
  }
  globfree(&found);
}

static size_t below(random_stream *r, size_t limit) { return limit ? (size_t)(random_next(r) % limit) : 0; }

static const char *const words[] = {
    "network",
    "param",
    "model",
    "vertex",
    "edge",
    "default",
    "train",
    "phase",
    "for",
    "in",
    "if",
    "else",
    "then",
    "or",
    "and",
    "not",
    "true",
    "false",
    "input",
    "output",
    "v",
    "v[0]",
    "v[-1]",
    "qwen",
    "message",
    "linear",
    "linear(out = 48)",
    "decoder_layer",
    "attention(heads = 2)",
    "residual(",
    "mlp(",
    "identity",
    "aggregate",
    "concat",
    "project",
    "mean",
    "share",
    "prefix",
    "head",
    "classify(3)",
    "freeze",
    "models",
    "edges",
    "len(v)",
    "len(",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "=",
    ",",
    ";",
    ":",
    "->",
    "..",
    "==",
    "<",
    "+",
    "-",
    "*",
    "/",
    "%",
    "//",
    "/*",
    "*/",
    "\"",
    "\"qwen\"",
    "\\",
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "99999999999999999999",
    "65537",
    "1000000",
    "1e999",
    "0.5",
    "1.",
    "\n",
    "\t",
    "\xff",
    "\xe2\x82",
    "\xe2\x82\xac",
    "\r",
};

// Replaces `cut` bytes at `at` by `bytes`.
static void splice(text *t, size_t at, size_t cut, const char *bytes, size_t length) {
  text made = {0};
  text_add_bytes(&made, t->data, at);
  text_add_bytes(&made, bytes, length);
  text_add_bytes(&made, t->data + at + cut, t->length - at - cut);
  text_free(t);
  *t = made;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c) {
  return c == '_' || is_digit(c) || ((unsigned char)(c | 32) >= 'a' && (unsigned char)(c | 32) <= 'z');
}

// The end of the word, number or sign that starts at `at`.
static size_t token_end(const text *t, size_t at) {
  size_t end = at;
  while (end < t->length && is_word(t->data[end])) ++end;
  return end == at && at < t->length ? at + 1 : end;
}

// A word's first byte at random, of the wanted kind; the text's length where none is found soon.
static size_t pick_word(const text *t, random_stream *r, bool digits) {
  for (int tries = 0; tries < 50; ++tries) {
    size_t at = below(r, t->length);
    if (at < t->length && is_word(t->data[at]) && (at == 0 || !is_word(t->data[at - 1])) &&
        is_digit(t->data[at]) == digits)
      return at;
  }
  return t->length;
}

// A name in another one's place, or a number in another one's: mostly still a network by its grammar.
static void mutate_mildly(text *t, random_stream *r) {
  static const char *const numbers[] = {"0", "1", "2", "3", "5", "64", "65537", "9223372036854775807", "0.5"};
  bool digits = below(r, 2);
  size_t to = pick_word(t, r, digits), from = pick_word(t, r, digits);
  if (to == t->length) return;
  const char *number = numbers[below(r, LENGTH(numbers))];
  char word[64];
  size_t length = token_end(t, from) - from;
  if (length >= sizeof word) length = sizeof word - 1;
  memcpy(word, t->data + from, length);
  word[length] = 0;
  const char *chosen = digits ? number : word;
  splice(t, to, token_end(t, to) - to, chosen, strlen(chosen));
}

static void mutate(text *t, random_stream *r) {
  size_t at = below(r, t->length), left = t->length - at, span = 1 + below(r, 24);
  if (span > left) span = left;
  const sample *other = &samples[below(r, (size_t)sample_count)];
  const char *word = words[below(r, LENGTH(words))];
  switch (below(r, 10)) {
  case 0:
    if (left) t->data[at] = (char)(t->data[at] ^ (1 << below(r, 8)));
    break;
  case 1: splice(t, at, span, "", 0); break;
  case 2: splice(t, at, 0, t->data + at, span); break;
  case 3: splice(t, at, 0, word, strlen(word)); break;
  case 4: splice(t, at, token_end(t, at) - at, word, strlen(word)); break;
  case 5: t->length = at, t->data[at] = 0; break;
  case 6: {
    char bytes[8];
    for (size_t i = 0; i < sizeof bytes; ++i) bytes[i] = (char)random_next(r);
    splice(t, at, 0, bytes, 1 + below(r, sizeof bytes));
    break;
  }
  case 7: { // a token takes another one's place
    size_t from = below(r, t->length), length = token_end(t, from) - from;
    char token[64];
    if (length > sizeof token) length = sizeof token;
    memcpy(token, t->data + from, length);
    splice(t, at, token_end(t, at) - at, token, length);
    break;
  }
  case 8: { // a piece of another network
    size_t from = below(r, other->length), length = below(r, other->length - from < 200 ? other->length - from : 200);
    splice(t, at, 0, other->data + from, length);
    break;
  }
  default: { // much of one thing
    size_t count = 1 + below(r, 300);
    text many = {0};
    while (count--) text_add(&many, word);
    splice(t, at, 0, many.data, many.length);
    text_free(&many);
  }
  }
}

// Reads the text; fails the test unless there is a graph or an error whose place is in the file.
static bool read_text(const char *path, const text *t) {
  FILE *file = fopen(path, "wb"); // file_write would wait for the disk each time
  assert_non_null(file);
  assert_int_equal(fwrite(t->data ? t->data : "", 1, t->length, file), t->length);
  fclose(file);
  arena *a = arena_create();
  diagnostics d = {.arena = a};
  text messages = {0};
  const graph *g = graph_resolve(&d, path, NULL, 0, NULL, 0);
  assert_true((g != NULL) == (d.count == 0));
  for (int i = 0; i < d.count; ++i) {
    const label *at = &d.items[i]->labels[0];
    span p = at->place;
    if (p.line < 1 || p.column < 1 || p.line > at->source->line_count || (size_t)p.column > at->source->length + 2 ||
        p.end_line < p.line || (p.end_line == p.line && p.end_column < p.column))
      fail_msg("the place %d:%d of \"%s\" is not in the file", p.line, p.column, d.items[i]->message);
  }
  diagnostics_print(&d, &messages);
  if (g && g->node_count < 2000 && g->arrow_count < 5000) {
    const parameter_list *list = graph_parameters(a, g, false);
    bool *trained = ARENA_ARRAY(a, bool, list->count);
    for (int i = 0; i < g->phase_count; ++i) graph_trained(g, list, i, trained);
    graph_print(g, &messages);
    graph_draw_dot(g, &messages);
    graph_draw_mermaid(g, &messages);
    graph_draw_svg(g, &messages, NULL);
  }
  text_free(&messages);
  arena_destroy(a);
  return g != NULL;
}

static int64_t number_from(const char *variable, int64_t standard) {
  const char *value = getenv(variable);
  return value ? strtoll(value, NULL, 10) : standard;
}

static void mutations(void **state) {
  (void)state;
  add_samples(LMN_TESTS "/golden/*/net.lmn");
  int golden = sample_count;
  add_samples(LMN_TESTS "/../examples/*.lmn");
  add_samples(LMN_TESTS "/errors/*.lmn");
  assert_true(golden >= 8);
  setenv("LMN_MODELS",
         LMN_TESTS "/golden/single-qwen:" LMN_TESTS "/golden/paper-121-gpt2:" LMN_TESTS "/golden/tree-residual-llama",
         1);
  char path[] = "/tmp/lmn-mutate-XXXXXX";
  close(mkstemp(path));
  int64_t count = number_from("LMN_MUTATIONS", 4000), seed = number_from("LMN_MUTATION_SEED", 1), right = 0;
  for (int64_t i = 0; i < count; ++i) {
    char name[32];
    snprintf(name, sizeof name, "mutation %lld", (long long)(seed + i));
    random_stream r = random_named(0, name);
    const sample *s = &samples[below(&r, i % 2 ? (size_t)golden : (size_t)sample_count)];
    text t = {0};
    text_add_bytes(&t, s->data, s->length);
    for (size_t k = 1 + below(&r, 3); k; --k) (i % 3 ? mutate_mildly : mutate)(&t, &r);
    clock_t start = clock(); // of this process alone: the machine may be busy
    right += read_text(path, &t);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (seconds > 20) fail_msg("%s takes %.1f s: %s", name, seconds, t.data);
    text_free(&t);
  }
  unlink(path);
  print_message("%d of %d mutated networks are still right\n", (int)right, (int)count);
  assert_true(right > count / 25 && right < count); // some mutations are still networks, most are not
  for (int i = 0; i < sample_count; ++i) free(samples[i].data);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(mutations)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
