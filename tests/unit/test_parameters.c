// Parameters from model directories and seeds, from and to checkpoints, and out again as a model directory.
#include <jansson.h>
#include <math.h>

#include "runtime/parameters.h"
#include "tests/unit/temporary.h"

#include <setjmp.h>
#include <cmocka.h> // after base.h: it has a macro fail

static const char llama_directory[] = LMN_TESTS "/golden/tree-residual-llama/llama";
static const char gpt2_directory[] = LMN_TESTS "/golden/paper-121-gpt2/gpt2";

// A plan of the parameters given: offsets one after the other.
static plan *plan_of(arena *a, const plan_parameter *parameters, int count) {
  plan *p = ARENA_NEW(a, plan);
  p->parameters = ARENA_ARRAY(a, plan_parameter, count);
  p->parameter_count = count;
  for (int i = 0; i < count; ++i) {
    plan_parameter *q = &p->parameters[i];
    *q = parameters[i];
    q->elements = q->shape[0] * (q->rank == 2 ? q->shape[1] : 1);
    q->offset = p->parameter_bytes;
    p->parameter_bytes += (q->elements * 4 + 63) / 64 * 64;
  }
  return p;
}

static safetensors *open_good(const char *path) {
  lmn_error error = {0};
  safetensors *s = safetensors_open(path, &error);
  if (!s) fail_msg("%s", error.text);
  return s;
}

// Every tensor of a model directory, as parameters of a model called `model`.
static plan *plan_of_directory(arena *a, const char *directory, const char *model, const char *group) {
  safetensors *s = open_good(directory);
  int count = safetensors_count(s);
  plan_parameter *parameters = ARENA_ARRAY(a, plan_parameter, count);
  for (int i = 0; i < count; ++i) {
    const safetensors_tensor *t = safetensors_at(s, i);
    const char *name = arena_string(a, t->name);
    parameters[i] = (plan_parameter){.name = arena_printf(a, "%s.%s", model, name),
                                     .rank = t->rank,
                                     .shape = {t->shape[0], t->rank == 2 ? t->shape[1] : 1},
                                     .source = SOURCE_TENSOR,
                                     .directory = directory,
                                     .tensor = name,
                                     .group = group,
                                     .matrix = t->rank == 2};
  }
  safetensors_close(s);
  return plan_of(a, parameters, count);
}

static float *memory_of(arena *a, const plan *p) { return ARENA_ARRAY(a, float, p->parameter_bytes / 4); }

static float *loaded(arena *a, const plan *p, uint64_t seed) {
  float *base = memory_of(a, p);
  lmn_error error = {0};
  if (!parameters_load(p, &(parameters_place){.base = base}, seed, &error)) fail_msg("%s", error.text);
  return base;
}

static void check_equal(const plan *p, const float *base, const char *directory, float tolerance) {
  safetensors *s = open_good(directory);
  lmn_error error = {0};
  for (int i = 0; i < p->parameter_count; ++i) {
    const plan_parameter *q = &p->parameters[i];
    const safetensors_tensor *t = safetensors_find(s, q->tensor);
    float *expected = memory_alloc((size_t)q->elements * 4);
    assert_true(safetensors_floats(s, t, 0, q->elements, expected, &error));
    for (int64_t j = 0; j < q->elements; ++j)
      assert_true(fabsf(base[q->offset / 4 + j] - expected[j]) <= tolerance * fabsf(expected[j]));
    free(expected);
  }
  safetensors_close(s);
}

static void from_directories(void **state) {
  (void)state;
  arena *a = arena_create();
  plan *p = plan_of_directory(a, llama_directory, "llama", "model");
  assert_true(p->parameter_count > 20);
  check_equal(p, loaded(a, p, 1), llama_directory, 0);
  p = plan_of_directory(a, gpt2_directory, "gpt2", "model");
  check_equal(p, loaded(a, p, 1), gpt2_directory, 0);
  arena_destroy(a);
}

// The directory's tensors in another type (the upper 16 bits of each float32 are a BF16), without the first part of
// their names.
static const char *converted(arena *a, const char *directory, const char *name, bool bf16, const char *prefix) {
  lmn_error error = {0};
  const char *target = arena_string(a, temporary_path(name));
  safetensors *s = open_good(directory);
  int count = safetensors_count(s);
  safetensors_item *items = ARENA_ARRAY(a, safetensors_item, count);
  for (int i = 0; i < count; ++i) {
    const safetensors_tensor *t = safetensors_at(s, i);
    uint16_t *upper = ARENA_ARRAY(a, uint16_t, t->elements);
    for (int64_t j = 0; j < t->elements; ++j) memcpy(&upper[j], t->data + 4 * j + 2, 2);
    bool cut = prefix && !strncmp(t->name, prefix, strlen(prefix));
    items[i] = (safetensors_item){arena_string(a, t->name + (cut ? strlen(prefix) : 0)),
                                  bf16 ? STORED_BF16 : STORED_F32,
                                  t->rank,
                                  {t->shape[0], t->shape[1]},
                                  bf16 ? (const void *)upper : arena_copy(a, t->data, t->bytes)};
  }
  assert_true(directory_make(target, &error));
  if (!safetensors_write(arena_printf(a, "%s/model.safetensors", target), items, count, NULL, 0, &error))
    fail_msg("%s", error.text);
  safetensors_close(s);
  return target;
}

static void with_directory(plan *p, const char *directory) {
  for (int i = 0; i < p->parameter_count; ++i) p->parameters[i].directory = directory;
}

static void other_spellings(void **state) {
  (void)state;
  arena *a = arena_create();
  plan *p = plan_of_directory(a, llama_directory, "llama", "model");
  with_directory(p, converted(a, llama_directory, "bf16", true, NULL));
  check_equal(p, loaded(a, p, 1), llama_directory, 1.0f / 128);
  with_directory(p, converted(a, llama_directory, "headless", false, "model."));
  check_equal(p, loaded(a, p, 1), llama_directory, 0);
  p = plan_of_directory(a, gpt2_directory, "gpt2", "model");
  with_directory(p, converted(a, gpt2_directory, "gpt2-headless", false, "transformer."));
  check_equal(p, loaded(a, p, 1), gpt2_directory, 0);
  arena_destroy(a);
}

static void from_seeds(void **state) {
  (void)state;
  const plan_parameter parameters[] = {
      {.name = "large", .rank = 2, .shape = {1300, 1000}, .source = SOURCE_NORMAL, .mean = 0.5, .std = 0.02},
      {.name = "small", .rank = 1, .shape = {7, 1}, .source = SOURCE_NORMAL, .std = 1},
      {.name = "ones", .rank = 1, .shape = {5, 1}, .source = SOURCE_ONES},
      {.name = "none", .rank = 2, .shape = {0, 5}, .source = SOURCE_ONES},
      {.name = "zeros", .rank = 1, .shape = {5, 1}, .source = SOURCE_ZEROS},
  };
  arena *a = arena_create();
  plan *p = plan_of(a, parameters, LENGTH(parameters));
  float *base = memory_of(a, p);
  memset(base, 0xff, (size_t)p->parameter_bytes);
  assert_true(parameters_load(p, &(parameters_place){.base = base}, 7, NULL));
  double sum = 0, squares = 0;
  random_stream r = random_named(7, "large");
  for (int64_t i = 0; i < 1300000; ++i) {
    float expected = (float)(0.5 + 0.02 * random_normal(&r));
    if (base[i] != expected) fail_msg("element %d is %g, not %g", (int)i, base[i], expected);
    sum += base[i];
    squares += (base[i] - 0.5) * (base[i] - 0.5);
  }
  assert_true(fabs(sum / 1300000 - 0.5) < 1e-4 && fabs(sqrt(squares / 1300000) - 0.02) < 1e-4);
  for (int i = 0; i < 5; ++i)
    assert_true(base[p->parameters[2].offset / 4 + i] == 1 && base[p->parameters[4].offset / 4 + i] == 0);
  plan *alone = plan_of(a, &parameters[1], 1); // a tensor's values do not depend on what else there is
  assert_memory_equal(loaded(a, alone, 7), base + p->parameters[1].offset / 4, 28);
  assert_memory_not_equal(loaded(a, alone, 8), base + p->parameters[1].offset / 4, 28);
  arena_destroy(a);
}

static void expect_load_error(const plan *p, const char *expected) {
  arena *a = arena_create();
  lmn_error error = {0};
  if (parameters_load(p, &(parameters_place){.base = memory_of(a, p)}, 1, &error))
    fail_msg("loaded; expected: %s", expected);
  if (!strstr(error.text, expected)) fail_msg("%s\nhas no: %s", error.text, expected);
  arena_destroy(a);
}

static void bad_sources(void **state) {
  (void)state;
  arena *a = arena_create();
  plan_parameter q = {.name = "m.model.norm.weight",
                      .rank = 1,
                      .shape = {40, 1},
                      .source = SOURCE_TENSOR,
                      .directory = llama_directory,
                      .tensor = "model.norm.weight",
                      .group = "model"};
  loaded(a, plan_of(a, &q, 1), 1);
  q.shape[0] = 41;
  expect_load_error(
      plan_of(a, &q, 1),
      "llama/model.safetensors: tensor \"model.norm.weight\" has shape [40]; parameter \"m.model.norm.weight\" "
      "of the network needs [41]");
  q.rank = 2;
  expect_load_error(plan_of(a, &q, 1),
                    "has shape [40]; parameter \"m.model.norm.weight\" of the network needs [41, 1]");
  q.tensor = "model.no.weight";
  expect_load_error(plan_of(a, &q, 1),
                    "llama: has no tensor \"model.no.weight\", which parameter \"m.model.norm.weight\" is read from");
  q.directory = gpt2_directory, q.tensor = "lm_head.weight";
  expect_load_error(plan_of(a, &q, 1), "\"tie_word_embeddings\": true");
  q.directory = "/nowhere";
  expect_load_error(plan_of(a, &q, 1), "parameter \"m.model.norm.weight\": /nowhere: ");
  arena_destroy(a);
}

static void replaced_and_saved(void **state) {
  (void)state;
  arena *a = arena_create();
  lmn_error error = {0};
  plan *p = plan_of_directory(a, llama_directory, "llama", "model");
  float *base = loaded(a, p, 1), *other = memory_of(a, p);
  const safetensors_pair metadata = {"step", "12"};
  const char *path = temporary_path("checkpoint.safetensors");
  if (!parameters_save(p, base, path, &metadata, 1, &error)) fail_msg("%s", error.text);
  if (!parameters_replace(p, &(parameters_place){.base = other}, path, &error)) fail_msg("%s", error.text);
  assert_memory_equal(base, other, (size_t)p->parameter_bytes);
  safetensors *s = open_good(path);
  assert_string_equal(safetensors_metadata(s, "step"), "12");
  assert_int_equal(safetensors_count(s), p->parameter_count);
  safetensors_close(s);

  float one[40];
  for (int i = 0; i < 40; ++i) one[i] = (float)i;
  const safetensors_item some[] = {{"llama.model.norm.weight", STORED_F32, 1, {40}, one},
                                   {"llama.unknown", STORED_F32, 1, {1}, one}};
  const safetensors_item wrong = {"llama.model.norm.weight", STORED_F32, 2, {4, 10}, one};
  const char *few = temporary_path("few.safetensors");
  assert_true(safetensors_write(few, some, 2, NULL, 0, &error));
  assert_false(parameters_replace(p, &(parameters_place){.base = other}, few, &error));
  assert_non_null(
      strstr(error.text,
             "few.safetensors: tensor \"llama.unknown\" is no parameter of this network (1 of the file's 2 are not)"));
  assert_memory_equal(base, other, (size_t)p->parameter_bytes); // nothing was replaced
  error.text[0] = 0;
  assert_true(safetensors_write(few, &wrong, 1, NULL, 0, &error));
  assert_false(parameters_replace(p, &(parameters_place){.base = other}, few, &error));
  assert_non_null(
      strstr(error.text, "has shape [4, 10]; parameter \"llama.model.norm.weight\" of the network needs [40]"));
  error.text[0] = 0;
  assert_true(safetensors_write(few, some, 1, NULL, 0, &error));
  assert_true(parameters_replace(p, &(parameters_place){.base = other}, few, &error));
  const plan_parameter *norm = parameters_find(p, "llama.model.norm.weight");
  assert_memory_equal(other + norm->offset / 4, one, sizeof one);
  memcpy(other + norm->offset / 4, base + norm->offset / 4, sizeof one);
  assert_memory_equal(base, other, (size_t)p->parameter_bytes); // and only that one
  assert_null(parameters_find(p, "llama.unknown"));
  assert_false(parameters_replace(p, &(parameters_place){.base = other}, "/nowhere.safetensors", &error));
  arena_destroy(a);
}

static void exported(void **state) {
  (void)state;
  arena *a = arena_create();
  lmn_error error = {0};
  plan *p = plan_of_directory(a, llama_directory, "llama", "model");
  float *base = loaded(a, p, 1);
  for (int64_t i = 0; i < p->parameter_bytes / 4; ++i) base[i] *= 2; // trained
  const char *out = arena_string(a, temporary_path("out/model"));
  if (!parameters_save_model(p, base, "llama", NULL, out, &error)) fail_msg("%s", error.text);
  check_equal(p, base, out, 0);
  safetensors *s = open_good(out);
  assert_int_equal(safetensors_count(s), p->parameter_count);
  assert_string_equal(safetensors_metadata(s, "format"), "pt");
  safetensors_close(s);
  json_t *before = json_load_file(LMN_TESTS "/golden/tree-residual-llama/llama/config.json", 0, NULL);
  json_t *after = json_load_file(arena_printf(a, "%s/config.json", out), 0, NULL);
  assert_true(json_equal(before, after)); // the golden one is float32
  json_decref(before);
  json_decref(after);
  assert_true(file_exists(arena_printf(a, "%s/generation_config.json", out)));

  assert_false(parameters_save_model(p, base, "lama", NULL, out, &error));
  assert_non_null(strstr(error.text, "\"lama\" was not read from a model directory"));
  error.text[0] = 0;
  assert_false(parameters_save_model(p, base, "lama", llama_directory, out, &error));
  assert_non_null(strstr(error.text, "no parameters of a model or unshared vertex \"lama\""));
  arena_destroy(a);
}

// An unshared vertex has no embedding and no head: those come from the source. GPT-2 files may lack the first part of
// the names, and may have masks that are no parameters.
static void exported_vertex(void **state) {
  (void)state;
  arena *a = arena_create();
  lmn_error error = {0};
  plan *p = plan_of_directory(a, gpt2_directory, "leaf[2]", "vertex");
  const char *headless = converted(a, gpt2_directory, "gpt2-export", false, "transformer.");
  static const char before[] = "{\"torch_dtype\":\"float16\",\"x\":1e-05}";
  assert_true(file_write(arena_printf(a, "%s/config.json", headless), before, strlen(before), &error));
  assert_true(file_write(arena_printf(a, "%s/tokenizer.json", headless), "{}", 2, &error));
  with_directory(p, headless);
  float *base = loaded(a, p, 1);
  int kept = 0;
  for (int i = 0; i < p->parameter_count; ++i)
    if (!strstr(p->parameters[i].tensor, ".wte.") && !strstr(p->parameters[i].tensor, ".wpe."))
      p->parameters[kept++] = p->parameters[i];
  assert_int_equal(p->parameter_count - kept, 2);
  int all = p->parameter_count;
  p->parameter_count = kept;
  const char *out = arena_string(a, temporary_path("leaf"));
  if (!parameters_save_model(p, base, "leaf[2]", NULL, out, &error)) fail_msg("%s", error.text);
  safetensors *s = open_good(out);
  assert_int_equal(safetensors_count(s), all);
  assert_non_null(safetensors_find(s, "transformer.wte.weight"));
  safetensors_close(s);
  check_equal(p, base, out, 0);
  char *config;
  size_t length;
  assert_true(file_read(arena_printf(a, "%s/config.json", out), 4096, &config, &length, &error));
  assert_non_null(strstr(config, "\"torch_dtype\": \"float32\""));
  free(config);
  assert_true(file_exists(arena_printf(a, "%s/tokenizer.json", out)));
  arena_destroy(a);
}

// A file may have a tied head as a copy of the table. Another head is refused; an export has none, since the table has
// changed.
static void tied_head(void **state) {
  (void)state;
  arena *a = arena_create();
  lmn_error error = {0};
  float values[2][8] = {{1, 2, 3, 4, 5, 6, 7, 8}, {1, 2, 3, 4, 5, 6, 7, 9}};
  const char *directory = arena_string(a, temporary_path("tied"));
  assert_true(directory_make(directory, &error));
  assert_true(file_write(arena_printf(a, "%s/config.json", directory), "{}", 2, &error));
  plan_parameter q = {.name = "m.model.embed_tokens.weight",
                      .rank = 2,
                      .shape = {4, 2},
                      .source = SOURCE_TENSOR,
                      .directory = directory,
                      .tensor = "model.embed_tokens.weight",
                      .group = "model",
                      .tied = true};
  safetensors_item items[] = {{"model.embed_tokens.weight", STORED_F32, 2, {4, 2}, values[0]},
                              {"lm_head.weight", STORED_F32, 2, {4, 2}, values[0]}};
  const char *file = arena_printf(a, "%s/model.safetensors", directory);
  assert_true(safetensors_write(file, items, 2, NULL, 0, &error));
  plan *p = plan_of(a, &q, 1);
  float *base = loaded(a, p, 1);
  base[0] = 10; // trained
  const char *out = arena_string(a, temporary_path("tied-export"));
  if (!parameters_save_model(p, base, "m", NULL, out, &error)) fail_msg("%s", error.text);
  safetensors *s = open_good(out);
  assert_int_equal(safetensors_count(s), 1);
  safetensors_close(s);

  items[1].data = values[1];
  assert_true(safetensors_write(file, items, 2, NULL, 0, &error));
  expect_load_error(p, "tied: tensor \"lm_head.weight\" differs from \"model.embed_tokens.weight\", but config.json");
  p->parameters[0].tied = false;
  loaded(a, p, 1);
  arena_destroy(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(from_directories), cmocka_unit_test(other_spellings),    cmocka_unit_test(from_seeds),
      cmocka_unit_test(bad_sources),      cmocka_unit_test(replaced_and_saved), cmocka_unit_test(exported),
      cmocka_unit_test(exported_vertex),  cmocka_unit_test(tied_head),
  };
  return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
