// links: frontend
// Parameter names, shapes, order, initial values, and what is trained; against the golden networks' files.
#include "lmn_text.h"

#include <dirent.h>
#include <jansson.h>

static json_t *safetensors_header(const char *path) {
  char *data;
  size_t length;
  lmn_error error = {{0}};
  if (!file_read(path, 1u << 30, &data, &length, &error)) return NULL;
  uint64_t bytes;
  memcpy(&bytes, data, sizeof bytes);
  json_t *header = json_loadb(data + 8, (size_t)bytes, 0, NULL);
  free(data);
  assert_non_null(header);
  json_object_del(header, "__metadata__");
  return header;
}

static bool shape_is(const parameter *p, const json_t *tensor) {
  const json_t *shape = json_object_get(tensor, "shape");
  bool same = (int)json_array_size(shape) == p->rank;
  for (int i = 0; same && i < p->rank; ++i) same = json_integer_value(json_array_get(shape, (size_t)i)) == p->shape[i];
  return same;
}

// Every tensor of the header under `prefix` is a parameter of that shape; with `trained`, exactly the trained ones are
// there.
static void compare(const char *network, const parameter_list *list, const char *path, const char *prefix,
                    const bool *trained) {
  json_t *header = safetensors_header(path), *tensor;
  if (!header) return; // a network without new parameters has no init.safetensors
  const char *key;
  int found = 0, expected = 0;
  json_object_foreach(header, key, tensor) {
    if (strncmp(key, prefix, strlen(prefix))) continue;
    int at = parameter_find(list, key + strlen(prefix));
    if (at < 0) fail_msg("%s: there is no parameter %s", network, key);
    if (!shape_is(&list->items[at], tensor)) fail_msg("%s: %s has another shape", network, key);
    if (trained && !trained[at]) fail_msg("%s: %s must be trained", network, key);
    ++found;
  }
  for (int i = 0; trained && i < list->count; ++i) expected += trained[i];
  if (trained) assert_int_equal(found, expected);
  assert_true(found > 0);
  json_decref(header);
}

static void golden(void **state) {
  (void)state;
  DIR *directory = opendir(LMN_TESTS "/golden");
  assert_non_null(directory);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(directory));) {
    if (entry->d_name[0] == '.') continue;
    char path[1024];
    snprintf(path, sizeof path, LMN_TESTS "/golden/%s/net.lmn", entry->d_name);
    if (!file_exists(path)) continue;
    arena *a = arena_create();
    text messages = {0};
    const graph *g = graph_read(a, path, NULL, 0, NULL, 0, &messages);
    if (!g) fail_msg("%s", messages.data);
    const parameter_list *list = graph_parameters(a, g, false);
    bool *trained = ARENA_ARRAY(a, bool, list->count);
    graph_trained(g, list, 0, trained);
    snprintf(path, sizeof path, LMN_TESTS "/golden/%s/init.safetensors", entry->d_name);
    compare(entry->d_name, list, path, "", NULL);
    snprintf(path, sizeof path, LMN_TESTS "/golden/%s/expected.safetensors", entry->d_name);
    compare(entry->d_name, list, path, "grad.", trained);
    int64_t elements = 0, models, added;
    for (int i = 0; i < list->count; ++i)
      elements += list->items[i].shape[0] * (list->items[i].rank == 2 ? list->items[i].shape[1] : 1);
    graph_elements(g, &models, &added);
    assert_int_equal(elements, models + added);
    arena_destroy(a);
    ++count;
  }
  closedir(directory);
  assert_true(count >= 8);
}

static const parameter *find(const parameter_list *list, const char *name) {
  int at = parameter_find(list, name);
  if (at < 0) fail_msg("there is no parameter %s", name);
  return &list->items[at];
}

// "name name …" must follow each other in memory order.
static void expect_order(const parameter_list *list, const char *const *names, int count) {
  int first = parameter_find(list, names[0]);
  assert_true(first >= 0);
  for (int i = 0; i < count; ++i) assert_string_equal(list->items[first + i].name, names[i]);
}

static void memory_order(void **state) {
  (void)state;
  arena *a = arena_create();
  const graph *g = read_right(a, NET("vertex v : m; input -> v [edge = decoder_layer then mlp(8)]; v -> output;"));
  const parameter_list *list = graph_parameters(a, g, false);
  static const char *const model[] = {
      "m.model.embed_tokens.weight",
      "m.model.layers.0.input_layernorm.weight",
      "m.model.layers.0.self_attn.q_proj.weight",
      "m.model.layers.0.self_attn.k_proj.weight",
      "m.model.layers.0.self_attn.v_proj.weight",
      "m.model.layers.0.self_attn.q_proj.bias",
      "m.model.layers.0.self_attn.k_proj.bias",
      "m.model.layers.0.self_attn.v_proj.bias",
      "m.model.layers.0.self_attn.o_proj.weight",
      "m.model.layers.0.post_attention_layernorm.weight",
      "m.model.layers.0.mlp.gate_proj.weight",
      "m.model.layers.0.mlp.up_proj.weight",
      "m.model.layers.0.mlp.down_proj.weight",
      "m.model.layers.1.input_layernorm.weight",
  };
  expect_order(list, model, (int)LENGTH(model));
  static const char *const edge[] = {
      "input->v.0.input_layernorm.weight",
      "input->v.0.self_attn.q_proj.weight",
      "input->v.0.self_attn.k_proj.weight",
      "input->v.0.self_attn.v_proj.weight",
      "input->v.0.self_attn.q_proj.bias",
      "input->v.0.self_attn.k_proj.bias",
      "input->v.0.self_attn.v_proj.bias",
      "input->v.0.self_attn.o_proj.weight",
      "input->v.0.post_attention_layernorm.weight",
      "input->v.0.mlp.gate_proj.weight",
      "input->v.0.mlp.up_proj.weight",
      "input->v.0.mlp.down_proj.weight",
      "input->v.1.up.weight",
      "input->v.1.up.bias",
      "input->v.1.down.weight",
      "input->v.1.down.bias",
  };
  expect_order(list, edge, (int)LENGTH(edge));
  assert_int_equal(parameter_find(list, edge[15]), list->count - 1);
  assert_int_equal(parameter_find(list, "m.lm_head.weight"), -1); // tied
  arena_destroy(a);
}

static void initial_values(void **state) {
  (void)state;
  arena *a = arena_create();
  const graph *g = read_right(
      a,
      NET(LLAMA
          "vertex v : m; vertex w : l [share = false, aggregate = project]; output [model = m, aggregate = project, "
          "head = classify(3)]; "
          "input [prefix = 2, prefix_init = normal(1, 2)]; input -> v [edge = residual(layer_norm then attention(2))]; "
          "{v, input} -> w [edge = linear]; w -> output [edge = decoder_layer then linear];"));
  const parameter_list *list = graph_parameters(a, g, false);
  const parameter *p = find(list, "m.model.norm.weight");
  assert_true(p->kind == PARAMETER_MODEL && p->init == INIT_TENSOR && p->model == 0 && p->rank == 1 && !p->matrix);
  assert_string_equal(p->tensor, "model.norm.weight");
  p = find(list, "w.model.layers.1.mlp.up_proj.weight");
  assert_true(p->kind == PARAMETER_VERTEX && p->init == INIT_TENSOR && p->model == 1 && p->node == 2 && p->matrix);
  assert_string_equal(p->tensor, "model.layers.1.mlp.up_proj.weight");
  p = find(list, "input->v.0.0.weight");
  assert_true(p->kind == PARAMETER_EDGE && p->init == INIT_ONES && p->shape[0] == 32 && p->arrow == 0);
  assert_true(find(list, "input->v.0.0.bias")->init == INIT_ZEROS);
  p = find(list, "input->v.0.1.qkv.weight");
  assert_true(p->init == INIT_NORMAL && p->std == 0.02 && p->mean == 0 && p->shape[0] == 96 && p->shape[1] == 32);
  p = find(list, "v->w.0.weight");
  assert_true(p->shape[0] == 40 && p->shape[1] == 32);
  p = find(list, "w.project.weight");
  assert_true(p->kind == PARAMETER_PROJECT && p->shape[0] == 40 && p->shape[1] == 80 && p->node == 2);
  p = find(list, "output.project.weight");
  assert_true(p->shape[0] == 32 && p->shape[1] == 32);
  p = find(list, "output.head.weight");
  assert_true(p->kind == PARAMETER_HEAD && p->shape[0] == 3 && p->shape[1] == 32 && p->init == INIT_NORMAL);
  p = find(list, "input.prefix");
  assert_true(p->kind == PARAMETER_PREFIX && p->shape[0] == 2 && p->shape[1] == 32 && p->mean == 1 && p->std == 2);
  assert_string_equal(list->items[list->count - 1].name, "input.prefix");
  assert_int_equal(parameter_find(list, "l.model.norm.weight"), -1);         // every vertex of l has its own
  assert_int_equal(parameter_find(list, "l.model.embed_tokens.weight"), -1); // not used
  list = graph_parameters(a, g, true);
  assert_true(find(list, "m.model.norm.weight")->init == INIT_ONES);
  assert_true(find(list, "m.model.layers.0.self_attn.q_proj.bias")->init == INIT_ZEROS);
  assert_true(find(list, "w.model.layers.1.mlp.up_proj.weight")->init == INIT_NORMAL);
  assert_true(find(list, "m.model.embed_tokens.weight")->std == 0.02);
  arena_destroy(a);
}

static void heads_and_tables(void **state) {
  (void)state;
  arena *a = arena_create();
  const graph *g = read_right(a, "network n { " GPT2 QWEN
                                 "vertex v : m; output [model = m]; input [model = m]; input -> v -> output; }");
  assert_int_equal(parameter_find(graph_parameters(a, g, false), "g.transformer.wte.weight"), -1);
  g = read_right(a, "network n { " GPT2 "vertex v : g; input -> v [edge = decoder_layer]; v -> output; }");
  const parameter_list *list = graph_parameters(a, g, false);
  const parameter *p = find(list, "g.transformer.wpe.weight");
  assert_true(p->shape[0] == 64 && p->shape[1] == 48);
  p = find(list, "input->v.0.attn.c_attn.weight"); // Conv1D: [in, out]
  assert_true(p->shape[0] == 48 && p->shape[1] == 144);
  g = read_right(a, "network n { " LLAMA "vertex v : l; input -> v -> output; }");
  list = graph_parameters(a, g, false);
  assert_string_equal(list->items[0].name, "l.model.embed_tokens.weight");
  assert_string_equal(list->items[list->count - 1].name, "l.lm_head.weight"); // untied
  g = read_right(a, "network n { " LLAMA "vertex v : l; input -> v -> output; output [head = classify(2)]; }");
  assert_int_equal(parameter_find(graph_parameters(a, g, false), "l.lm_head.weight"), -1);
  arena_destroy(a);
}

// Which of a few parameters the phases train: "1" or "0" each.
static void expect_trained(const char *freeze, const char *expected) {
  static const char *const names[] = {"m.model.norm.weight",    "l.model.embed_tokens.weight", "u[0].model.norm.weight",
                                      "u[1].model.norm.weight", "input->v.0.weight",           "v->u[0].0.weight",
                                      "u[0].project.weight",    "output.head.weight",          "input.prefix"};
  char network[2048];
  snprintf(network, sizeof network,
           "network n { " QWEN LLAMA
           "vertex v : m; vertex u[2] : l [share = false]; edge talk = linear; input [prefix = 1, model = l]; "
           "output [model = l, head = classify(2)]; input -> v [edge = talk]; v -> u [edge = linear]; input -> u[0]; u "
           "-> output; "
           "default aggregate = project; train { %s } }",
           freeze);
  arena *a = arena_create();
  const graph *g = read_right(a, network);
  const parameter_list *list = graph_parameters(a, g, false);
  bool *trained = ARENA_ARRAY(a, bool, list->count);
  graph_trained(g, list, 0, trained);
  char seen[LENGTH(names) + 1] = {0};
  for (size_t i = 0; i < LENGTH(names); ++i) seen[i] = trained[find(list, names[i]) - list->items] ? '1' : '0';
  if (strcmp(seen, expected)) fail_msg("%s: %s, not %s", freeze, seen, expected);
  arena_destroy(a);
}

static void frozen(void **state) {
  (void)state;
  expect_trained("", "111111111");
  expect_trained("freeze = models;", "000011111");
  expect_trained("freeze = edges;", "111100001");
  expect_trained("freeze = m;", "011111111");
  expect_trained("freeze = [m, l];", "001111111");
  expect_trained("freeze = u;", "110011111");
  expect_trained("freeze = u[-1];", "111011111");
  expect_trained("freeze = talk;", "111101111");
  expect_trained("freeze = [];", "111111111");
  expect_trained("freeze = m; phase a { freeze = [u[0], talk]; }", "110101111"); // the whole value is replaced
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(golden),           cmocka_unit_test(memory_order), cmocka_unit_test(initial_values),
      cmocka_unit_test(heads_and_tables), cmocka_unit_test(frozen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
