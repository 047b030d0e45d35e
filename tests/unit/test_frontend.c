// links: frontend
// What the language means: values, loops, vertex arrays, arrows, edges.
#include "lmn_text.h"

static int vertices_of(const char *network) {
  arena *a = arena_create();
  int count = read_right(a, network)->node_count - 2;
  arena_destroy(a);
  return count;
}

static void integers(void **state) {
  (void)state;
  static const struct {
    const char *value;
    int result;
  } cases[] = {
      {"7 / 2", 3},
      {"10 + -7 / 2", 6},
      {"-7 % 2", 1},
      {"7 % -2 + 5", 4},
      {"2 + 3 * 4", 14},
      {"(2 + 3) * 4", 20},
      {"10 - 2 - 3", 5},
      {"12 / 3 / 2", 2},
      {"- 3 + 5", 2},
      {"len([1, 2, 3])", 3},
      {"[4, 5, 6][-1]", 6},
      {"[[1, 2], [3]][0][1]", 2},
      {"[[1, 2], [3]][-1]", 3},
      {"len([]) + 1", 1},
      {"k", 9},
      {"k * k - 80", 1},
      {"9223372036854775807 - 9223372036854775800", 7},
      {"-9223372036854775807 % 10", 3},
      {"1 - -1", 2},
      {"--2", 2},
  };
  for (size_t i = 0; i < LENGTH(cases); ++i) {
    char network[1024];
    snprintf(network, sizeof network, NET("param k = 9; param x = %s; vertex v[x] : m; input -> v -> output;"),
             cases[i].value);
    if (vertices_of(network) != cases[i].result)
      fail_msg("%s is %d, not %d", cases[i].value, vertices_of(network), cases[i].result);
  }
}

static void conditions(void **state) {
  (void)state;
  static const struct {
    const char *value;
    bool result;
  } cases[] = {
      {"true", true},
      {"not true", false},
      {"1 < 2", true},
      {"2 <= 1", false},
      {"2 >= 2", true},
      {"3 > 3", false},
      {"1 == 1.0", true},
      {"0.1 + 0.2 > 0.3", true},
      {"\"a\" == \"a\"", true},
      {"\"a\" != \"b\"", true},
      {"true == false", false},
      {"1 < 2 and 2 < 1", false},
      {"1 < 2 or 1 / 0 == 1", true},
      {"false and 1 / 0 == 1", false},
      {"not 1 == 2", true},
      {"not false and false", false},
      {"true or true and false", true},
      {"-7.5 / 2 < -3", true},
      {"1e-3 == 0.001", true},
      {"7.5 % 2 == 1.5", true},
      {"-7 / 2 == -4", true},
  };
  for (size_t i = 0; i < LENGTH(cases); ++i) {
    char network[1024];
    snprintf(network, sizeof network,
             NET("if %s { vertex v[3] : m; } else if true { vertex v[4] : m; } else { vertex v[5] : m; } input -> v -> "
                 "output;"),
             cases[i].value);
    if (vertices_of(network) != (cases[i].result ? 3 : 4))
      fail_msg("%s is not %s", cases[i].value, cases[i].result ? "true" : "false");
  }
}

// The arrows as "a>b a>c", in declared order.
static void expect_arrows(const char *network, const char *expected) {
  arena *a = arena_create();
  const graph *g = read_right(a, network);
  text arrows = {0};
  for (int i = 0; i < g->arrow_count; ++i)
    text_printf(&arrows, "%s%s>%s", i ? " " : "", g->nodes[g->arrows[i].from].name, g->nodes[g->arrows[i].to].name);
  if (strcmp(arrows.data, expected)) fail_msg("%s\nexpected: %s\nsaw:      %s", network, expected, arrows.data);
  text_free(&arrows);
  arena_destroy(a);
}

static void arrows(void **state) {
  (void)state;
  expect_arrows(NET("vertex v[1, 2] : m; input -> v[0] -> v[1] -> output;"),
                "input>v[0][0] v[0][0]>v[1][0] v[0][0]>v[1][1] v[1][0]>output v[1][1]>output");
  expect_arrows(NET("vertex v[2, 1, 2] : m; input -> v[0]; for l in 1..len(v) { v[l - 1] -> v[l]; } v[-1][-1] -> "
                    "output; v[2][0] -> output;"),
                "input>v[0][0] input>v[0][1] v[0][0]>v[1][0] v[0][1]>v[1][0] v[1][0]>v[2][0] v[1][0]>v[2][1] "
                "v[2][1]>output v[2][0]>output");
  expect_arrows(NET("vertex a[3] : m; vertex b : m; input -> a[0..2]; input -> {a[2], b}; {a b} -> output;"),
                "input>a[0] input>a[1] input>a[2] input>b a[0]>output a[1]>output a[2]>output b>output");
  expect_arrows(
      NET("vertex r[2][3] : m; input -> r[0]; for i in 0..3 { r[0][i] -> r[1][(i + 1) % 3]; } r[1] -> output;"),
      "input>r[0][0] input>r[0][1] input>r[0][2] r[0][0]>r[1][1] r[0][1]>r[1][2] r[0][2]>r[1][0] r[1][0]>output "
      "r[1][1]>output r[1][2]>output");
  expect_arrows(NET("vertex r[3][2] : m; input -> r[0..2][1]; input -> r[-1..3]; input -> r[0..2][0]; r -> output;"),
                "input>r[0][1] input>r[1][1] input>r[2][0] input>r[2][1] input>r[0][0] input>r[1][0] r[0][0]>output "
                "r[0][1]>output "
                "r[1][0]>output r[1][1]>output r[2][0]>output r[2][1]>output");
  expect_arrows(NET("vertex v[1, 3, 1] : m; input -> v[0]; v[0] -> v[1][0..2] -> v[2]; v[0] -> v[1][-1] -> v[2]; v[2] "
                    "-> output;"),
                "input>v[0][0] v[0][0]>v[1][0] v[0][0]>v[1][1] v[1][0]>v[2][0] v[1][1]>v[2][0] v[0][0]>v[1][2] "
                "v[1][2]>v[2][0] v[2][0]>output");
  expect_arrows(NET("vertex a[2] : m; for i in 5..2 { a[9] -> output; } a[0..0] -> output; input -> a -> output;"),
                "input>a[0] input>a[1] a[0]>output a[1]>output");
  expect_arrows(
      NET("vertex v[[2]] : m; vertex w[len(v[0])] : m; input -> v -> w -> output;"),
      "input>v[0][0] input>v[0][1] v[0][0]>w[0] v[0][0]>w[1] v[0][1]>w[0] v[0][1]>w[1] w[0]>output w[1]>output");
  expect_arrows(NET("input [model = m]; input -> output;"), "input>output");
}

static void order(void **state) {
  (void)state;
  arena *a = arena_create();
  const graph *g = read_right(a, NET("vertex late : m; vertex x : m; vertex early : m; input -> early -> late; input "
                                     "-> x -> late -> output; early -> output;"));
  static const char *const names[] = {"input", "x", "early", "late", "output"};
  static const int layers[] = {0, 1, 1, 2, 3};
  for (int i = 0; i < 5; ++i) {
    assert_string_equal(g->nodes[i].name, names[i]);
    assert_int_equal(g->nodes[i].layer, layers[i]);
  }
  assert_int_equal(g->nodes[3].incoming_count, 2);
  assert_int_equal(g->arrows[g->nodes[3].incoming[0]].from, 2); // in declared order
  assert_int_equal(g->arrows[g->nodes[3].incoming[1]].from, 1);
  arena_destroy(a);
}

// The chain of the network's first arrow, as print shows it with sizes.
static void expect_chain(const char *network, const char *expected) {
  arena *a = arena_create();
  const graph *g = read_right(a, network);
  text printed = {0};
  graph_print(g, &printed);
  if (!strstr(printed.data, expected)) fail_msg("%s\nexpected: %s\nsaw: %s", network, expected, printed.data);
  text_free(&printed);
  arena_destroy(a);
}

static void chains(void **state) {
  (void)state;
  expect_chain(NET("vertex v : m; edge a = linear; edge b = a then gelu then a; input -> v [edge = b then identity "
                   "then b]; v -> output;"),
               "input -> v linear then gelu then linear then linear then gelu then linear\n");
  expect_chain(NET("vertex v : m; edge a = layer_norm then linear; input -> v [edge = residual(a then "
                   "residual(gelu))]; v -> output;"),
               "input -> v residual(layer_norm(1e-05) then linear then residual(gelu))\n");
  expect_chain(NET(LLAMA "vertex v : m; vertex w : l; input -> v -> w [edge = linear then gelu then linear then "
                         "layer_norm]; w -> output [edge = linear];"),
               "v -> w linear then gelu then linear 32->40 then layer_norm(1e-05)\n");
  expect_chain(NET(LLAMA "vertex v : m; vertex w : l; input -> v; v -> w [edge = decoder_layer then linear then "
                         "decoder_layer(l)]; w -> output [edge = decoder_layer then linear];"),
               "v -> w decoder_layer(m) then linear 32->40 then decoder_layer(l)\n");
  expect_chain(NET(LLAMA "vertex v : m; vertex w : l; input -> v -> w [edge = linear(out = 64) then mlp(hidden = 7, "
                         "activation = gelu(exact = true)) then linear(bias = false)]; w -> output [edge = linear];"),
               "v -> w linear 32->64 then mlp(7, gelu(exact = true)) then linear(bias = false) 64->40\n");
  expect_chain(NET("vertex v : m; default edge = attention(4, bias = false) then rms_norm(eps = 1e-4) then silu then "
                   "relu; input -> v; v -> output [edge = identity];"),
               "input -> v attention(4, bias = false) then rms_norm(0.0001) then silu then relu\n");
  expect_chain(NET("vertex v[2] : m; for i in 0..2 { input -> v[i] [edge = linear(out = 8 * (i + 1)) then linear]; } v "
                   "-> output;"),
               "input -> v[1] linear 32->16 then linear 16->32\n");
  expect_chain(NET("vertex v[2] : m; for i in 0..2 { param n = 8 + i; edge e = linear(out = n) then linear; input -> "
                   "v[i] [edge = e]; } v -> output;"),
               "input -> v[1] [e] linear 32->9 then linear 9->32\n");
}

static void options(void **state) {
  (void)state;
  arena *a = arena_create();
  const graph *g = read_right(
      a, NET(GPT2 "vertex v : m [aggregate = concat]; vertex w : m [share = false]; default aggregate = mean; "
                  "input [prefix = 3]; input [prefix_init = normal(1, 0.5), prefix_frozen = true]; "
                  "input -> v -> w; input -> w -> output; output [aggregate = project, head = classify(7)];"));
  assert_int_equal(g->nodes[1].aggregate, AGGREGATE_CONCAT);
  assert_int_equal(g->nodes[2].aggregate, AGGREGATE_MEAN);
  assert_int_equal(g->nodes[3].aggregate, AGGREGATE_PROJECT);
  assert_true(g->nodes[1].shared && !g->nodes[2].shared);
  assert_int_equal(g->prefix, 3);
  assert_true(g->prefix_mean == 1 && g->prefix_std == 0.5 && g->prefix_frozen);
  assert_int_equal(g->classes, 7);
  g = read_right(a, NET(GPT2 "vertex v : m; input [model = g]; output [model = g]; input -> v [edge = linear]; v -> "
                             "output [edge = linear];"));
  assert_int_equal(g->nodes[0].model, 1);
  assert_int_equal(g->nodes[1].model, 0);
  assert_int_equal(g->nodes[2].model, 1);
  assert_true(g->prefix == 0 && g->prefix_std == 0.02);
  arena_destroy(a);
}

static void defines(void **state) {
  (void)state;
  static const char network[] =
      "network n { param widths = [1, 2, 1]; param deep = false; param rate = 0.5; param model_path = \"none\"; "
      "param how = \"sum\"; param xs = [1.5]; model m = model_path; default aggregate = how; "
      "vertex v[widths] : m; if deep { vertex w : m; input -> w -> output; } "
      "input -> v[0]; for l in 1..len(v) { v[l - 1] -> v[l]; } v[-1] -> output; "
      "train { clip = rate * xs[-1]; } }";
  define given[] = {{"widths", "2/3"}, {"deep", "true"}, {"rate", "2"},
                    {"how", "mean"},   {"xs", "1/2"},    {"model_path", LMN_TESTS "/golden/single-qwen/qwen"}};
  arena *a = arena_create();
  text messages = {0};
  const graph *g = read_with(a, network, given, (int)LENGTH(given), NULL, 0, &messages);
  if (!g) fail_msg("%s", messages.data);
  assert_int_equal(g->node_count, 2 + 5 + 1);
  assert_int_equal(g->nodes[g->node_count - 1].aggregate, AGGREGATE_MEAN);
  assert_true(g->phases[0].clip == 4);
  given[0].value = "[1, 1 + 1]"; // also as a list of the language
  assert_int_equal(read_with(a, network, given, (int)LENGTH(given), NULL, 0, &messages)->node_count, 2 + 3 + 1);
  given[0].value = "3";
  assert_int_equal(read_with(a, network, given, (int)LENGTH(given), NULL, 0, &messages)->node_count, 2 + 3 + 1);
  static const char *const wrong[] = {"a/b", "1/", "/", "1.5", "[1", "true", "\"1\"", "1/2/", "[[1]]"};
  for (size_t i = 0; i < LENGTH(wrong); ++i) {
    given[0].value = wrong[i];
    messages.length = 0;
    assert_null(read_with(a, network, given, (int)LENGTH(given), NULL, 0, &messages));
    assert_non_null(strstr(messages.data, "command line:1:"));
  }
  text_free(&messages);
  arena_destroy(a);
}

static void limits(void **state) {
  (void)state;
  text network = {0};
  text_add(&network, "network n { param x = [0");
  for (int i = 0; i < 65536; ++i) text_add(&network, ",0");
  text_add(&network, "]; }");
  read_wrong(network.data, "E0805]: this list has 65537 elements; at most 65536 are allowed");
  text_add(&network, "//");
  while (network.length < 1100000) text_add(&network, "0123456789");
  read_wrong(network.data, "error[E0001]: ");
  text_free(&network);
  arena *a = arena_create();
  text messages = {0};
  assert_null(graph_read(a, "/nowhere/net.lmn", NULL, 0, NULL, 0, &messages));
  assert_non_null(strstr(messages.data, "error[E0001]: /nowhere/net.lmn: cannot be opened"));
  assert_null(graph_read(a, "/tmp", NULL, 0, NULL, 0, &messages));
  text_free(&messages);
  arena_destroy(a);
  read_wrong("network n { param x = 1; } // no vertex", "E0410");
}

// Fully connected layers and long chains must not take quadratic time.
static void large(void **state) {
  (void)state;
  arena *a = arena_create();
  double start = clock_seconds();
  assert_int_equal(
      read_right(
          a,
          NET("vertex v[64, 64, 64, 64, 64, 64, 64, 64] : m; default edge = decoder_layer then linear; input -> v[0]; "
              "for l in 1..len(v) { v[l - 1] -> v[l]; } v[-1] -> output;"))
          ->arrow_count,
      64 + 7 * 4096 + 64);
  assert_int_equal(read_right(a, NET("vertex v[20000] : m; input -> v[0]; for i in 1..len(v) { v[i - 1] -> v[i] [edge "
                                     "= linear]; } v[-1] -> output;"))
                       ->nodes[20001]
                       .layer,
                   20001);
  assert_true(clock_seconds() - start < 5); // about 0.1 s; the machine may be busy
  arena_destroy(a);
}

// --emit=ast prints the language itself: what it prints parses to the same.
static void printed_ast(void **state) {
  (void)state;
  static const char *const files[] = {"classify-121-qwen", "code-14441-qwen", "concat-project-qwen", "e2e-121-gpt2",
                                      "tree-residual-llama"};
  for (size_t i = 0; i < LENGTH(files); ++i) {
    char path[512];
    snprintf(path, sizeof path, LMN_TESTS "/golden/%s/net.lmn", files[i]);
    text first = {0}, second = {0}, messages = {0};
    assert_true(graph_print_ast(path, &first, &messages));
    written w = write_text(first.data, first.length);
    if (!graph_print_ast(w.path, &second, &messages)) fail_msg("%s", messages.data);
    unlink(w.path);
    assert_string_equal(first.data, second.data);
    text_free(&first);
    text_free(&second);
    text_free(&messages);
  }
}

static void drawings(void **state) {
  (void)state;
  arena *a = arena_create();
  const graph *g = read_right(
      a, NET("vertex v[2] : m; edge talk = linear; input -> v; v[0] -> output [edge = talk]; v[1] -> output;"));
  text dot = {0}, mermaid = {0};
  graph_draw_dot(g, &dot);
  graph_draw_mermaid(g, &mermaid);
  assert_non_null(strstr(dot.data, "digraph \"n\" {"));
  assert_non_null(strstr(dot.data, "n1 -> n3 [label = \"talk\"];"));
  assert_non_null(strstr(dot.data, "{ rank = same; n1; n2; }"));
  assert_non_null(strstr(mermaid.data, "n1 -->|\"talk\"| n3"));
  assert_non_null(strstr(mermaid.data, "n2 -.-> n3"));
  text_free(&dot);
  text_free(&mermaid);
  arena_destroy(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(integers), cmocka_unit_test(conditions),  cmocka_unit_test(arrows),   cmocka_unit_test(order),
      cmocka_unit_test(chains),   cmocka_unit_test(options),     cmocka_unit_test(defines),  cmocka_unit_test(limits),
      cmocka_unit_test(large),    cmocka_unit_test(printed_ast), cmocka_unit_test(drawings),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
