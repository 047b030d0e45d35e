// links: frontend
// The train block, options of the command line, and where models are found.
#include "lmn_text.h"

#include <sys/stat.h>

static void standard(void **state) {
  (void)state;
  arena *a = arena_create();
  const settings *s = &read_right(a, NET("vertex v : m; input -> v -> output;"))->phases[0];
  assert_string_equal(s->phase, "train");
  assert_true(s->label_smoothing == 0 && s->optimizer.lr == 1e-4 && s->optimizer.beta1 == 0.9 &&
              s->optimizer.beta2 == 0.95);
  assert_true(s->optimizer.eps == 1e-8 && s->optimizer.weight_decay == 0 && !s->optimizer.decay_all);
  assert_true(s->schedule.kind == SCHEDULE_CONSTANT && s->schedule.warmup == 0 && s->schedule.final == 0);
  assert_true(s->batch == 8 && s->length == 128 && s->accumulate == 1 && s->clip == 0 && s->seed == 0);
  assert_true(s->steps == 0 && s->epochs == 0 && s->evaluate_every == 0 && s->save_every == 0);
  assert_true(!s->data && !s->validation && !s->prompt && !s->completion && !s->freeze_count);
  s = &read_right(a, "network n { " GPT2 "vertex v : g; input -> v -> output; }")->phases[0];
  assert_int_equal(s->length, 64); // the model has no more positions
  arena_destroy(a);
}

static void phases(void **state) {
  (void)state;
  arena *a = arena_create();
  const graph *g = read_right(
      a,
      NET("vertex v : m; edge e = linear; input -> v [edge = e]; v -> output; "
          "train { optimizer = adamw(1e-3, [0.8, 0.9], weight_decay = 0.1, decay = all, eps = 1e-6); schedule = "
          "cosine(warmup = 10, final = 0.1); "
          "phase first { freeze = models; steps = 20; } "
          "loss = cross_entropy(label_smoothing = 0.1); epochs = 2; batch = 4; length = 16; accumulate = 3; clip = 1; "
          "seed = 7; data = \"a\"; "
          "validation = \"b\"; prompt = \"{x} =>\"; completion = \" {y}\"; evaluate_every = 5; save_every = 6; "
          "phase edge { optimizer = adamw(lr = 1e-5); schedule = linear; loss = cross_entropy; freeze = [e, m]; } }"));
  assert_int_equal(g->phase_count, 2);
  const settings *s = &g->phases[0];
  assert_string_equal(s->phase, "first");
  assert_true(s->optimizer.lr == 1e-3 && s->optimizer.beta1 == 0.8 && s->optimizer.beta2 == 0.9 &&
              s->optimizer.weight_decay == 0.1);
  assert_true(s->optimizer.decay_all && s->optimizer.eps == 1e-6 && s->label_smoothing == 0.1);
  assert_true(s->schedule.kind == SCHEDULE_COSINE && s->schedule.warmup == 10 && s->schedule.final == 0.1);
  assert_true(s->steps == 20 && s->epochs == 2 && s->batch == 4 && s->length == 16 && s->accumulate == 3 &&
              s->clip == 1 && s->seed == 7);
  assert_true(s->evaluate_every == 5 && s->save_every == 6);
  assert_string_equal(s->prompt, "{x} =>");
  assert_string_equal(s->completion, " {y}");
  s = &g->phases[1];
  assert_string_equal(s->phase, "edge");
  assert_true(s->optimizer.lr == 1e-5 && s->optimizer.beta1 == 0.9 && s->optimizer.weight_decay == 0 &&
              !s->optimizer.decay_all);
  assert_true(s->schedule.kind == SCHEDULE_LINEAR && s->schedule.warmup == 0 && s->label_smoothing == 0 &&
              s->steps == 0);
  assert_int_equal(s->freeze_count, 2);
  assert_string_equal(s->freeze[0], "e");
  arena_destroy(a);
}

static void overrides(void **state) {
  (void)state;
  static const char network[] = NET("param n = 5; vertex v : m; input -> v -> output; train { steps = n; phase a { "
                                    "steps = 3; } phase b { data = \"x\"; } }");
  const define given[] = {{"steps", "100"},         {"optimizer", "adamw(lr = 1e-2)"}, {"data", "my file.csv"},
                          {"prompt", "\"{a}\\n\""}, {"freeze", "[models, edges]"},     {"seed", "3"}};
  arena *a = arena_create();
  text messages = {0};
  const graph *g = read_with(a, network, NULL, 0, given, (int)LENGTH(given), &messages);
  if (!g) fail_msg("%s", messages.data);
  for (int i = 0; i < 2; ++i) {
    const settings *s = &g->phases[i];
    assert_true(s->steps == 100 && s->optimizer.lr == 1e-2 && s->seed == 3 && s->freeze_count == 2);
    assert_string_equal(s->data, "my file.csv");
    assert_string_equal(s->prompt, "{a}\n");
  }
  static const struct {
    define option;
    const char *expected;
  } wrong[] = {
      {{"step", "100"},
       "error[E0601]: `train` has no setting `step`\n --> command line:1:3\n  |\n1 | --step 100\n  |   ^^^^\n  = help: "
       "a setting that is close: `steps`"},
      {{"steps", "many"}, "error[E0101]: there is no param `many`\n --> command line:1:9"},
      {{"steps", "0"}, "error[E0202]: `steps` must be at least 1, not 0\n --> command line:1:9"},
      {{"optimizer", "adam"}, "error[E0108]: `optimizer` is `adamw`, not `adam`\n --> command line:1:13"},
      {{"schedule", "cosine(warmup"}, "error[E0006]: expected"},
      {{"loss", ""}, "error[E0006]: expected a value, saw its end"},
      {{"freeze", "v"}, "error[E0603]"},
  };
  for (size_t i = 0; i < LENGTH(wrong); ++i) {
    messages.length = 0;
    assert_null(read_with(a, network, NULL, 0, &wrong[i].option, 1, &messages));
    if (!strstr(messages.data, wrong[i].expected)) fail_msg("expected: %s\nsaw: %s", wrong[i].expected, messages.data);
  }
  text_free(&messages);
  arena_destroy(a);
}

static void put(const char *folder, const char *path, const char *bytes) {
  char name[1024];
  snprintf(name, sizeof name, "%s/%s", folder, path);
  *strrchr(name, '/') = 0;
  assert_true(directory_make(name, NULL));
  snprintf(name, sizeof name, "%s/%s", folder, path);
  assert_true(file_write(name, bytes, strlen(bytes), NULL));
}

// The directory that `model m = "name"` is found in, below `folder`.
static void expect_found(const char *folder, const char *name, const char *expected) {
  char network[1024], path[1024];
  snprintf(network, sizeof network, "network n { model m = \"%s\"; vertex v : m; input -> v -> output; }", name);
  put(folder, "net.lmn", network);
  snprintf(path, sizeof path, "%s/net.lmn", folder);
  arena *a = arena_create();
  text messages = {0};
  const graph *g = graph_read(a, path, NULL, 0, NULL, 0, &messages);
  if (expected && !g) fail_msg("%s", messages.data);
  if (expected) assert_string_equal(g->models[0].description.directory + strlen(folder), expected);
  else if (!strstr(messages.data, "error[E0301]")) fail_msg("%s: must not be found", name);
  text_free(&messages);
  arena_destroy(a);
}

static void lookup(void **state) {
  (void)state;
  char folder[] = "/tmp/lmn-models-XXXXXX", variable[1024], *config;
  size_t length;
  assert_non_null(mkdtemp(folder));
  assert_true(file_read(LMN_TESTS "/golden/single-qwen/qwen/config.json", 1 << 20, &config, &length, NULL));
  put(folder, "beside/config.json", config);
  put(folder, "first/both/config.json", config);
  put(folder, "second/both/config.json", config);
  put(folder, "second/only/config.json", config);
  put(folder, "hub/models--org--name/snapshots/aaa/config.json", config);
  put(folder, "hub/models--org--name/snapshots/bbb/config.json", config);
  put(folder, "hub/models--org--name/refs/main", "bbb");
  put(folder, "hub/models--gpt2/snapshots/ccc/config.json", config);
  put(folder, "hub/models--org--empty/refs/main", "../../../beside");
  unsetenv("HF_HUB_CACHE");
  setenv("HF_HOME", folder, 1);
  snprintf(variable, sizeof variable, ":%s/none:%s/first:%s/second", folder, folder, folder);
  setenv("LMN_MODELS", variable, 1);
  expect_found(folder, "beside", "/beside");
  expect_found(folder, "./beside", "/./beside");
  expect_found(folder, "both", "/first/both");
  expect_found(folder, "only", "/second/only");
  expect_found(folder, "org/name", "/hub/models--org--name/snapshots/bbb");
  expect_found(folder, "gpt2", "/hub/models--gpt2/snapshots/ccc");
  expect_found(folder, "org/empty", NULL);
  expect_found(folder, "org/none", NULL);
  expect_found(folder, "../..", NULL);
  expect_found(folder, "", NULL);
  unsetenv("LMN_MODELS");
  expect_found(folder, "both", NULL);
  free(config);
  directory_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(standard), cmocka_unit_test(phases), cmocka_unit_test(overrides),
                                     cmocka_unit_test(lookup)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
