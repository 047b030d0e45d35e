// links: models
// model_read: every family, both spellings, what is refused and how it is said, and that no config breaks it.
#include <jansson.h>

#include "models/model.h"
#include "runtime/safetensors.h"
#include "tests/unit/temporary.h"

#include <setjmp.h>
#include <cmocka.h> // after base.h: it has a macro fail

static const char qwen2_new[] =
    "{\"model_type\":\"qwen2\",\"architectures\":[\"Qwen2ForCausalLM\"],\"attention_dropout\":0.0,\"bos_token_id\":"
    "null,"
    "\"dtype\":\"float32\",\"eos_token_id\":[3,4],\"hidden_act\":\"silu\",\"hidden_size\":32,\"initializer_range\":0."
    "02,"
    "\"intermediate_size\":88,\"layer_types\":[\"full_attention\",\"full_attention\"],\"max_position_embeddings\":128,"
    "\"max_window_layers\":28,\"num_attention_heads\":2,\"num_hidden_layers\":2,\"num_key_value_heads\":1,\"pad_token_"
    "id\":null,"
    "\"rms_norm_eps\":1e-06,\"rope_parameters\":{\"rope_theta\":1000000.0,\"rope_type\":\"default\"},\"sliding_"
    "window\":null,"
    "\"tie_word_embeddings\":true,\"transformers_version\":\"5.0.0\",\"use_cache\":true,\"use_sliding_window\":false,"
    "\"vocab_size\":131}";
static const char qwen2_old[] =
    "{\"model_type\":\"qwen2\",\"_name_or_path\":\"x\",\"eos_token_id\":[3,4],\"hidden_act\":\"silu\",\"hidden_size\":"
    "32,"
    "\"intermediate_size\":88,\"max_position_embeddings\":128,\"num_attention_heads\":2,\"num_hidden_layers\":2,"
    "\"num_key_value_heads\":1,\"rms_norm_eps\":1e-06,\"rope_theta\":1000000,\"rope_scaling\":null,\"tie_word_"
    "embeddings\":true,"
    "\"torch_dtype\":\"bfloat16\",\"use_mrope\":false,\"use_sliding_window\":false,\"vocab_size\":131}";
static const char llama[] =
    "{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":172,\"num_hidden_layers\":5,\"num_attention_"
    "heads\":8,"
    "\"num_key_value_heads\":4,\"head_dim\":16,\"vocab_size\":512,\"max_position_embeddings\":131072,\"rms_norm_eps\":"
    "1e-05,"
    "\"rope_theta\":500000.0,\"rope_scaling\":{\"factor\":32.0,\"high_freq_factor\":4.0,\"low_freq_factor\":1.0,"
    "\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"},\"attention_bias\":true,\"mlp_bias\":true,"
    "\"is_llama_config\":true,\"rope_interleaved\":false,\"pretraining_tp\":1,\"quantization_config\":null}";
static const char gpt2[] = "{\"model_type\":\"gpt2\",\"activation_function\":\"gelu_new\",\"n_ctx\":64,\"n_embd\":48,"
                           "\"n_head\":3,\"n_layer\":2,"
                           "\"n_positions\":64,\"n_inner\":null,\"n_special\":0,\"predict_special_tokens\":true,"
                           "\"summary_type\":\"cls_index\","
                           "\"layer_norm_epsilon\":1e-05,\"resid_pdrop\":0.1,\"task_specific_params\":{\"text-"
                           "generation\":{\"do_sample\":true}},"
                           "\"vocab_size\":113}";

static bool read_text(arena *a, const char *json, size_t length, model *m, lmn_error *error) {
  temporary_file("config.json", json, length);
  *error = (lmn_error){0};
  memset(m, 0, sizeof *m);
  return model_read(a, temporary, m, error);
}

static model read_good(arena *a, const char *json) {
  model m;
  lmn_error error;
  if (!read_text(a, json, strlen(json), &m, &error)) fail_msg("%s\n%s", error.text, json);
  return m;
}

// `json` with the field set to a value (JSON), or removed where that is NULL.
static char *edited(const char *json, const char *field, const char *value) {
  json_t *root = json_loads(json, 0, NULL);
  assert_non_null(root);
  if (value) {
    json_t *parsed = json_loads(value, JSON_DECODE_ANY, NULL);
    assert_non_null(parsed);
    json_object_set_new(root, field, parsed);
  } else {
    json_object_del(root, field);
  }
  char *result = json_dumps(root, JSON_COMPACT);
  json_decref(root);
  return result;
}

static void check_qwen2(const model *m) {
  assert_string_equal(m->family, "qwen2");
  assert_int_equal(m->vocabulary, 131);
  assert_int_equal(m->hidden, 32);
  assert_int_equal(m->layers, 2);
  assert_int_equal(m->heads, 2);
  assert_int_equal(m->key_value_heads, 1);
  assert_int_equal(m->head_size, 16);
  assert_int_equal(m->feed_forward, 88);
  assert_int_equal(m->positions, 128);
  assert_int_equal(m->norm, NORM_RMS);
  assert_true(m->norm_eps == 1e-6 && m->initializer_range == 0.02);
  assert_int_equal(m->activation, ACTIVATION_SILU);
  assert_true(m->gated && m->tied && m->qkv_bias && !m->output_bias && !m->feed_forward_bias);
  assert_true(!m->learned_positions && !m->input_major && !m->fused_qkv);
  assert_int_equal(m->rope.kind, ROPE_DEFAULT);
  assert_true(m->rope.theta == 1e6);
  assert_int_equal(m->bos, -1);
  assert_int_equal(m->pad, -1);
  assert_int_equal(m->eos_count, 2);
  assert_int_equal(m->eos[1], 4);
}

static void both_spellings(void **state) {
  (void)state;
  arena *a = arena_create();
  model new = read_good(a, qwen2_new), old = read_good(a, qwen2_old);
  check_qwen2(&new);
  check_qwen2(&old);
  arena_destroy(a);
}

static void llama_fields(void **state) {
  (void)state;
  arena *a = arena_create();
  model m = read_good(a, llama);
  assert_int_equal(m.head_size, 16);
  assert_int_equal(m.rope.kind, ROPE_LLAMA3);
  assert_true(m.rope.theta == 5e5 && m.rope.factor == 32 && m.rope.low_frequency_factor == 1 &&
              m.rope.high_frequency_factor == 4);
  assert_int_equal(m.rope.original_length, 8192);
  assert_true(m.qkv_bias && m.output_bias && m.feed_forward_bias && !m.tied);
  assert_int_equal(m.bos, 1);
  assert_int_equal(m.eos[0], 2);
  assert_int_equal(model_tensor_of(&m, TENSOR_QUERY).shape[0], 128);
  assert_int_equal(model_tensor_of(&m, TENSOR_KEY).shape[0], 64);
  assert_int_equal(model_tensor_of(&m, TENSOR_ATTENTION_OUT).shape[1], 128);
  assert_string_equal(model_tensor_of(&m, TENSOR_GATE_BIAS).name, "mlp.gate_proj.bias");
  assert_int_equal(model_tensor_of(&m, TENSOR_GATE_BIAS).shape[0], 172);
  assert_int_equal(model_tensor_of(&m, TENSOR_DOWN_BIAS).shape[0], 64);
  arena_destroy(a);
}

static void gpt2_fields(void **state) {
  (void)state;
  arena *a = arena_create();
  model m = read_good(a, gpt2);
  assert_int_equal(m.feed_forward, 192);
  assert_int_equal(m.head_size, 16);
  assert_int_equal(m.activation, ACTIVATION_GELU_TANH);
  assert_int_equal(m.rope.kind, ROPE_NONE);
  assert_true(m.norm == NORM_LAYER && m.tied && m.learned_positions && m.input_major && m.fused_qkv && !m.gated);
  assert_int_equal(m.bos, -1); // 50256, the default, is outside this vocabulary
  assert_int_equal(m.eos_count, 0);
  assert_int_equal(model_tensor_of(&m, TENSOR_QKV).shape[0], 48);
  assert_int_equal(model_tensor_of(&m, TENSOR_QKV).shape[1], 144);
  char *inner = edited(gpt2, "n_inner", "96");
  assert_int_equal(read_good(a, inner).feed_forward, 96);
  free(inner);
  arena_destroy(a);
}

// Values that change what is read, or that change nothing and must be taken.
static void accepted(void **state) {
  (void)state;
  static const struct {
    const char *json, *field, *value;
  } cases[] = {
      {qwen2_new, "attention_bias", "true"},
      {qwen2_new, "sliding_window", "4096"},
      {qwen2_new, "_anything", "{\"a\":1}"},
      {qwen2_new, "pad_token_id", "-1"},
      {qwen2_new, "rope_parameters", "{}"},
      {qwen2_new, "head_dim", "null"},
      {llama, "rope_scaling", "{\"type\":\"linear\",\"factor\":2}"},
      {llama, "rope_scaling", "null"},
      {llama, "pretraining_tp", "null"},
      {llama, "quantization_config", "{}"},
      {llama, "unsloth_version", "\"1\""},
      {llama, "hidden_act", "\"gelu_pytorch_tanh\""},
      {llama, "num_key_value_heads", "null"},
      {gpt2, "reorder_and_upcast_attn", "true"},
      {gpt2, "gradient_checkpointing", "false"},
      {gpt2, "hidden_size", "48"},
      {gpt2, "tie_word_embeddings", "false"},
  };
  arena *a = arena_create();
  for (size_t i = 0; i < LENGTH(cases); ++i) {
    char *json = edited(cases[i].json, cases[i].field, cases[i].value);
    read_good(a, json);
    free(json);
  }
  char *json = edited(llama, "num_key_value_heads", NULL);
  assert_int_equal(read_good(a, json).key_value_heads, 8);
  free(json);
  json = edited(llama, "rope_scaling", "{\"type\":\"linear\",\"factor\":2}");
  assert_int_equal(read_good(a, json).rope.kind, ROPE_LINEAR);
  free(json);
  arena_destroy(a);
}

static void refused(void **state) {
  (void)state;
  static const struct {
    const char *json, *field, *value, *expected;
  } cases[] = {
      {qwen2_new, "use_sliding_window", "true",
       "field \"use_sliding_window\" is true: a sliding attention window is not computed"},
      {qwen2_new, "layer_types", "[\"full_attention\",\"sliding_attention\"]", "is \"sliding_attention\" for layer 1"},
      {qwen2_new, "layer_types", "[\"full_attention\"]", "for each of the 2 layers"},
      {qwen2_new, "rope_parameters", "{\"rope_type\":\"yarn\",\"factor\":4.0}",
       "rope_type\" is \"yarn\"; the rotary positions computed"},
      {qwen2_new, "rope_scaling", "{\"type\":\"dynamic\",\"factor\":4.0}", "rope_scaling.rope_type\" is \"dynamic\""},
      {qwen2_new, "rope_scaling", "{\"type\":\"linear\"}", "rope_scaling.factor\" is missing"},
      {qwen2_new, "rope_scaling", "{\"type\":\"linear\",\"factr\":2}", "did you mean \"factor\"?"},
      {qwen2_new, "rope_scaling", "[1]", "must be an object or null"},
      {qwen2_new, "partial_rotary_factor", "0.5", "field \"partial_rotary_factor\" is 0.5"},
      {qwen2_new, "hidden_act", "\"quick_gelu\"",
       "field \"hidden_act\" is \"quick_gelu\"; the activations computed here are"},
      {qwen2_new, "hidden_act", "null", "field \"hidden_act\" is null"},
      {qwen2_new, "quantization_config", "{\"bits\":4}", "quantized weights are not read"},
      {qwen2_new, "hidden_size", NULL, "field \"hidden_size\" is missing; a qwen2 config.json must have it"},
      {qwen2_new, "hidden_size", "0", "field \"hidden_size\" is 0; it must be from 1 to"},
      {qwen2_new, "hidden_size", "-4", "field \"hidden_size\" is -4"},
      {qwen2_new, "hidden_size", "32.5", "field \"hidden_size\" is 32.5; it must be an integer"},
      {qwen2_new, "hidden_size", "\"32\"", "field \"hidden_size\" is \"32\"; it must be an integer"},
      {qwen2_new, "hidden_size", "9223372036854775807", "it must be from 1 to"},
      {qwen2_new, "hidden_size", "33", "must be a multiple of num_attention_heads, 2"},
      {qwen2_new, "num_key_value_heads", "3",
       "field \"num_key_value_heads\" is 3; num_attention_heads, 2, must be a multiple"},
      {qwen2_new, "num_key_value_heads", NULL, "is 32, the default,; num_attention_heads"},
      {qwen2_new, "head_dim", "15", "rotary positions need an even head size"},
      {qwen2_new, "rms_norm_eps", "-1", "field \"rms_norm_eps\" is -1"},
      {qwen2_new, "tie_word_embeddings", "1", "must be true or false"},
      {qwen2_new, "rope_theta", "0", "field \"rope_theta\" is 0"},
      {qwen2_new, "use_mrope", "true", "field \"use_mrope\""},
      {qwen2_new, "eos_token_id", "\"a\"", "field \"eos_token_id\""},
      {qwen2_new, "eos_token_id", "[1,2,3,4,5,6,7,8,9]", "at most 8"},
      {qwen2_new, "is_encoder_decoder", "true", "an encoder is not computed"},
      {qwen2_new, "vocab_sizes", "12",
       "field \"vocab_sizes\" is not known for model_type \"qwen2\"; did you mean \"vocab_size\"?"},
      {qwen2_new, "logit_scale", "0.5", "remove it if it does not change what the model computes"},
      {qwen2_new, "model_type", "\"qwen3\"",
       "field \"model_type\" is \"qwen3\", which is not known; did you mean \"qwen2\"?"},
      {qwen2_new, "model_type", "\"mamba\"", "the model types known are qwen2, llama and gpt2"},
      {qwen2_new, "model_type", NULL, "field \"model_type\" is missing"},
      {llama, "rope_interleaved", "true", "field \"rope_interleaved\" is true"},
      {llama, "pretraining_tp", "2", "field \"pretraining_tp\" is 2"},
      {llama, "rope_scaling", "{\"rope_type\":\"llama3\",\"factor\":8}", "low_freq_factor\" is missing"},
      {llama, "original_max_position_embeddings", "4096", "is 4096, and rope_scaling has 8192; remove one of the two"},
      {llama, "num_hidden_layers", "16385", "it must be from 1 to 16384"},
      {gpt2, "scale_attn_weights", "false", "field \"scale_attn_weights\" is false"},
      {gpt2, "scale_attn_by_inverse_layer_idx", "true", "field \"scale_attn_by_inverse_layer_idx\" is true"},
      {gpt2, "add_cross_attention", "true", "field \"add_cross_attention\" is true"},
      {gpt2, "n_embd", "49", "must be a multiple of n_head, 3"},
      {gpt2, "hidden_size", "49", "is not the same as \"n_embd\""},
      {gpt2, "n_positions", NULL, "field \"n_positions\" is missing"},
      {gpt2, "rope_theta", "10000", "field \"rope_theta\" is not known for model_type \"gpt2\""},
      {gpt2, "pruned_heads", "{\"1\":[0]}", "pruned heads"},
  };
  arena *a = arena_create();
  for (size_t i = 0; i < LENGTH(cases); ++i) {
    char *json = edited(cases[i].json, cases[i].field, cases[i].value);
    model m;
    lmn_error error;
    if (read_text(a, json, strlen(json), &m, &error)) fail_msg("taken: %s", json);
    if (!strstr(error.text, cases[i].expected)) fail_msg("%s\nhas no: %s", error.text, cases[i].expected);
    if (strncmp(error.text, temporary, strlen(temporary)) || !strstr(error.text, "/config.json"))
      fail_msg("no file in: %s", error.text);
    free(json);
  }
  arena_destroy(a);
}

static void bad_files(void **state) {
  (void)state;
  arena *a = arena_create();
  model m;
  lmn_error error;
  static const char broken[] = "{\n  \"model_type\": \"qwen2\",\n  \"hidden_size\": 32 33\n}";
  assert_false(read_text(a, broken, strlen(broken), &m, &error));
  assert_non_null(strstr(error.text, "config.json:3:"));
  static const char twice[] = "{\"model_type\": \"qwen2\",\n \"model_type\": \"llama\"}";
  assert_false(read_text(a, twice, strlen(twice), &m, &error));
  assert_non_null(strstr(error.text, "config.json:2:"));
  assert_false(read_text(a, "[]", 2, &m, &error));
  assert_non_null(strstr(error.text, "must be a JSON object"));
  assert_false(read_text(a, "", 0, &m, &error));
  error.text[0] = 0;
  assert_false(model_read(a, "/nowhere/at/all", &m, &error));
  assert_non_null(strstr(error.text, "/nowhere/at/all: there is no such folder"));
  error.text[0] = 0;
  assert_false(model_read(a, "x.gguf", &m, &error));
  assert_non_null(strstr(error.text, "GGUF"));
  assert_false(model_read(a, "x.gguf", &m, NULL)); // a caller may not want the message
  temporary_file("config.json", "{}", 2);
  assert_false(model_read(a, temporary, &m, NULL));
  arena_destroy(a);
}

static void generation_config(void **state) {
  (void)state;
  arena *a = arena_create();
  static const char good[] = "{\"eos_token_id\":[7,8,9],\"bos_token_id\":5,\"top_p\":0.8}",
                    cut[] = "{\"eos_token_id\":";
  temporary_file("generation_config.json", good, strlen(good));
  model m = read_good(a, qwen2_new);
  assert_int_equal(m.eos_count, 3);
  assert_int_equal(m.eos[2], 9);
  assert_int_equal(m.bos, 5);
  temporary_file("generation_config.json", cut, strlen(cut));
  lmn_error error;
  assert_false(read_text(a, qwen2_new, strlen(qwen2_new), &m, &error));
  assert_non_null(strstr(error.text, "generation_config.json:1:"));
  unlink(temporary_path("generation_config.json"));
  arena_destroy(a);
}

// The names and shapes that the description gives are those of the file that transformers wrote, all of them.
static void check_tensors(const char *directory) {
  arena *a = arena_create();
  lmn_error error = {0};
  model m;
  if (!model_read(a, directory, &m, &error)) fail_msg("%s", error.text);
  safetensors *file = safetensors_open(directory, &error);
  if (!file) fail_msg("%s", error.text);
  int found = 0;
  for (int role = 0; role < TENSOR_ROLES; ++role) {
    if (!model_has(&m, role)) continue;
    model_tensor t = model_tensor_of(&m, role);
    bool in_layer = model_role_in_layer(role);
    for (int64_t layer = 0; layer < (in_layer ? m.layers : 1); ++layer) {
      const char *name = in_layer ? arena_printf(a, "%s%d.%s", model_layer_prefix(&m), (int)layer, t.name) : t.name;
      const safetensors_tensor *stored = safetensors_find(file, name);
      if (!stored) fail_msg("%s has no %s", directory, name);
      assert_int_equal(stored->rank, t.rank);
      for (int i = 0; i < t.rank; ++i) assert_int_equal(stored->shape[i], t.shape[i]);
      ++found;
    }
  }
  assert_int_equal(found, safetensors_count(file));
  safetensors_close(file);
  arena_destroy(a);
}

static void golden_tensors(void **state) {
  (void)state;
  static const char *const directories[] = {"single-qwen/qwen", "code-14441-qwen/qwen", "paper-121-gpt2/gpt2",
                                            "e2e-121-gpt2/gpt2", "tree-residual-llama/llama"};
  for (size_t i = 0; i < LENGTH(directories); ++i) {
    char path[512];
    snprintf(path, sizeof path, "%s/golden/%s", LMN_TESTS, directories[i]);
    check_tensors(path);
  }
}

static void real_models(void **state) {
  (void)state;
  const char *data = getenv("LMN_TEST_DATA");
  if (!data) skip();
  char path[512];
  static const char *const models[] = {"stories15m", "stories260k"};
  for (size_t i = 0; i < LENGTH(models); ++i) {
    snprintf(path, sizeof path, "%s/models/%s", data, models[i]);
    check_tensors(path);
  }
  static const struct {
    const char *name;
    int64_t hidden, head_size;
    rope_kind rope;
  } configs[] = {{"qwen2.5-0.5b", 896, 64, ROPE_DEFAULT},
                 {"qwen2.5-1.5b", 1536, 128, ROPE_DEFAULT},
                 {"llama-3.2-1b", 2048, 64, ROPE_LLAMA3},
                 {"gpt2-medium", 1024, 64, ROPE_NONE},
                 {"smollm2-135m", 576, 64, ROPE_DEFAULT}};
  for (size_t i = 0; i < LENGTH(configs); ++i) {
    arena *a = arena_create();
    lmn_error error = {0};
    model m;
    snprintf(path, sizeof path, "%s/configs/%s", data, configs[i].name);
    if (!model_read(a, path, &m, &error)) fail_msg("%s", error.text);
    assert_int_equal(m.hidden, configs[i].hidden);
    assert_int_equal(m.head_size, configs[i].head_size);
    assert_int_equal(m.rope.kind, configs[i].rope);
    arena_destroy(a);
  }
}

// Whatever was read can be computed with: no size that overflows, no division by zero behind this.
static void check_sane(const model *m) {
  assert_true(m->vocabulary > 0 && m->hidden > 0 && m->layers > 0 && m->heads > 0 && m->key_value_heads > 0 &&
              m->head_size > 0);
  assert_true(m->feed_forward > 0 && m->positions > 0 && m->heads % m->key_value_heads == 0);
  assert_true(m->norm_eps > 0 && m->initializer_range > 0);
  assert_true(m->rope.kind == ROPE_NONE ||
              (m->head_size % 2 == 0 && m->rope.theta > 0 && m->rope.factor > 0 && m->rope.original_length > 0));
  assert_true(m->eos_count >= 0 && m->eos_count <= 8 && m->bos < m->vocabulary && m->pad < m->vocabulary);
  for (int i = 0; i < m->eos_count; ++i) assert_true(m->eos[i] >= 0 && m->eos[i] < m->vocabulary);
}

static void check_any(const char *json, size_t length) {
  arena *a = arena_create();
  model m;
  lmn_error error;
  if (read_text(a, json, length, &m, &error)) check_sane(&m);
  else assert_non_null(strstr(error.text, "config.json"));
  arena_destroy(a);
}

static void mutated_values(void **state) {
  (void)state;
  static const char *const values[] = {"null",
                                       "0",
                                       "1",
                                       "-1",
                                       "2.5",
                                       "1e308",
                                       "1e-320",
                                       "9223372036854775807",
                                       "134217728",
                                       "\"\"",
                                       "\"llama3\"",
                                       "true",
                                       "[]",
                                       "[null]",
                                       "{}",
                                       "{\"rope_type\":\"llama3\",\"factor\":1,\"low_freq_factor\":1e-300,"
                                       "\"high_freq_factor\":1e300,\"original_max_position_embeddings\":1e300}"};
  static const char *const texts[] = {qwen2_new, qwen2_old, llama, gpt2};
  for (size_t t = 0; t < LENGTH(texts); ++t) {
    json_t *root = json_loads(texts[t], 0, NULL);
    const char *field;
    json_t *old;
    json_object_foreach(root, field, old) {
      for (size_t v = 0; v <= LENGTH(values); ++v) {
        char *json = edited(texts[t], field, v < LENGTH(values) ? values[v] : NULL);
        check_any(json, strlen(json));
        free(json);
      }
    }
    json_decref(root);
  }
}

static void mutated_bytes(void **state) {
  (void)state;
  static const char *const texts[] = {qwen2_new, llama, gpt2};
  static const char alphabet[] = "0123456789-+.eE\"\\{}[],: nulltruefalse\x01\xff\xc3";
  random_stream r = random_named(1, "configs");
  for (int i = 0; i < 4000; ++i) {
    const char *text = texts[random_next(&r) % LENGTH(texts)];
    char copy[2048];
    size_t length = strlen(text);
    memcpy(copy, text, length);
    for (uint64_t edits = random_next(&r) % 4; edits > 0; --edits)
      copy[random_next(&r) % length] = alphabet[random_next(&r) % (sizeof alphabet - 1)];
    if (random_next(&r) % 4 == 0) length = random_next(&r) % length;
    check_any(copy, length);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(both_spellings),    cmocka_unit_test(llama_fields),   cmocka_unit_test(gpt2_fields),
      cmocka_unit_test(accepted),          cmocka_unit_test(refused),        cmocka_unit_test(bad_files),
      cmocka_unit_test(generation_config), cmocka_unit_test(golden_tensors), cmocka_unit_test(real_models),
      cmocka_unit_test(mutated_values),    cmocka_unit_test(mutated_bytes),
  };
  return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
