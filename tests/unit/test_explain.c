// links: frontend
// The examples of `lmnc --explain`: what stands under "wrong" has the error, and no other, and "right" has none.
#include "lmn_text.h"
#include "frontend/resolve.h"

#define MODELS "  model qwen = \"qwen2.5-0.5b\";\n  model gpt2 = \"gpt2-medium\";\n  model small = \"stories15m\";\n"

// The network that an example stands in.
static void put_in_network(const char *example, text *out) {
  bool whole = strstr(example, "output") != NULL;
  text_add(out, "network n {\n" MODELS);
  if (!whole) text_add(out, "  vertex a : qwen;\n  vertex b : qwen;\n  input -> a -> b -> output;\n");
  text_printf(out, "%s\n}\n", example);
}

// Checks the example: the code of its errors, NULL for none. An example of the command line stands for its options.
static const char *code_of(const char *example) {
  static const char command[] = "lmnc check ";
  bool line = !strncmp(example, command, strlen(command));
  arena *a = arena_create();
  diagnostics d = {.arena = a};
  text network = {0};
  define defined = {0};
  int define_count = 0;
  const char *option = line ? strstr(example, " -D ") : NULL;
  if (option) {
    char *name = arena_string(a, option + 4), *value = strchr(name, '=');
    *value++ = 0;
    defined = (define){name, value};
    define_count = 1;
  }
  put_in_network(line ? "param widths = [1, 2, 1];" : example, &network);
  written w = write_text(network.data, network.length);
  bool missing = line && strncmp(example + strlen(command), "net.lmn", 7) != 0;
  const graph *g = graph_resolve(&d, missing ? "/nowhere/net.lmn" : w.path, &defined, define_count, NULL, 0);
  unlink(w.path);
  const char *code = d.count ? error_entries[d.items[0]->code].code : NULL;
  assert_true((g == NULL) == (d.count > 0));
  for (int i = 1; i < d.count; ++i)
    if (d.items[i]->code != d.items[0]->code) code = "another, too", print_error("%s\n", d.items[i]->message);
  text_free(&network);
  arena_destroy(a);
  return code;
}

static void examples(void **state) {
  (void)state;
  setenv("LMN_MODELS", LMN_TESTS "/../examples/models:" LMN_TESTS "/errors/models", 1);
  int failed = 0;
  for (size_t i = 0; i < ERROR_CODES; ++i) {
    const error_entry *e = &error_entries[i];
    bool long_one = !strcmp(e->code, "E0801") || !strcmp(e->code, "E0805"); // 200 brackets, 65,536 elements
    assert_true((e->wrong == NULL) == long_one && (e->right == NULL) == long_one);
    if (long_one) continue;
    const char *wrong = code_of(e->wrong), *right = code_of(e->right);
    if (!wrong || strcmp(wrong, e->code))
      print_error("%s: the wrong example has %s\n", e->code, wrong ? wrong : "none");
    if (right) print_error("%s: the right example has %s\n", e->code, right);
    failed += !wrong || strcmp(wrong, e->code) || right;
  }
  assert_int_equal(failed, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(examples)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
