#include "models/model.h"

#include <stdlib.h>
#include <string.h>

#include "models/config.h"

// A new family: its file in this folder and a row here.
static const struct {
  const char *name;
  void (*read)(config *c, model *m);
} families[] = {{"qwen2", qwen2_read}, {"llama", llama_read}, {"gpt2", gpt2_read}};

static const int64_t limit_elements = (int64_t)1
                                      << 40; // of one model: products with the number of vertices stay far from 2^63

static bool unknown_family(const char *path, const json_t *type, lmn_error *error) {
  static const char remedy[] = "; the model types known are qwen2, llama and gpt2";
  if (!type) return fail(error, "%s: field \"model_type\" is missing%s", path, remedy);
  if (!json_is_string(type)) return fail(error, "%s: field \"model_type\" must be a string%s", path, remedy);
  const char *names[LENGTH(families)];
  for (size_t i = 0; i < LENGTH(families); ++i) names[i] = families[i].name;
  const char *said = json_string_value(type), *near = config_nearest(said, names, LENGTH(families));
  return fail(error, "%s: field \"model_type\" is \"%.60s\", which is not known%s%s%s%s", path, said,
              near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "", remedy);
}

// Counted in floating point: no overflow whatever the sizes, which are limited one by one only.
static void check_elements(config *c, const model *m) {
  double elements = 0;
  for (int role = 0; role < TENSOR_ROLES; ++role) {
    if (!model_has(m, role)) continue;
    model_tensor t = model_tensor_of(m, role);
    double own = (double)t.shape[0] * (t.rank == 2 ? (double)t.shape[1] : 1);
    elements += own * (model_role_in_layer(role) ? (double)m->layers : 1);
  }
  if (!c->failed && elements > (double)limit_elements) {
    c->failed = true;
    fail(c->error, "%s: the sizes give %.3g parameters; at most %.3g are possible", c->path, elements,
         (double)limit_elements);
  }
}

// generation_config.json, where there is one, is what transformers generates by: its stop tokens replace those of
// config.json.
static bool read_generation(config *c, model *m) {
  const char *path = arena_printf(c->memory, "%s/generation_config.json", m->directory);
  if (c->failed || !file_exists(path)) return !c->failed;
  char *data;
  size_t length;
  if (!file_read(path, 1 << 24, &data, &length, c->error)) return false;
  json_error_t cause;
  json_t *root = json_loadb(data, length, 0, &cause);
  free(data);
  if (!json_is_object(root)) {
    json_decref(root);
    return root ? fail(c->error, "%s: must be a JSON object", path)
                : fail(c->error, "%s:%d:%d: %s", path, cause.line, cause.column, cause.text);
  }
  config own = {.memory = c->memory, .path = path, .family = c->family, .root = root, .error = c->error};
  model read = *m;
  config_token_ids(&own, &read, m->bos, -1);
  if (json_is_integer(json_object_get(root, "bos_token_id"))) m->bos = read.bos;
  if (json_is_integer(json_object_get(root, "pad_token_id"))) m->pad = read.pad;
  if (config_field(&own, "eos_token_id")) {
    memcpy(m->eos, read.eos, sizeof m->eos);
    m->eos_count = read.eos_count;
  }
  free(own.asked);
  json_decref(root);
  return !own.failed;
}

static bool read_root(arena *a, const char *directory, const char *path, json_t *root, model *result,
                      lmn_error *error) {
  if (!json_is_object(root)) return fail(error, "%s: must be a JSON object, as transformers writes it", path);
  const json_t *type = json_object_get(root, "model_type");
  for (size_t i = 0; i < LENGTH(families); ++i) {
    if (!json_is_string(type) || strcmp(json_string_value(type), families[i].name)) continue;
    *result = (model){.family = families[i].name, .directory = arena_string(a, directory), .bos = -1, .pad = -1};
    config c = {.memory = a, .path = path, .family = families[i].name, .root = root, .error = error};
    families[i].read(&c, result);
    if (!c.failed) config_check_unknown(&c);
    if (!c.failed) check_elements(&c, result);
    bool ok = !c.failed && read_generation(&c, result);
    free(c.asked);
    return ok;
  }
  return unknown_family(path, type, error);
}

bool model_read(arena *a, const char *directory, model *result, lmn_error *error) {
  size_t length = strlen(directory);
  if (length > 5 && !strcmp(directory + length - 5, ".gguf"))
    return fail(error,
                "%s: GGUF files are not read; give the model's Hugging Face directory (config.json, model.safetensors)",
                directory);
  const char *path = arena_printf(a, "%s/config.json", directory);
  if (!directory_exists(directory))
    return fail(error,
                "%s: there is no such folder; a model is a Hugging Face directory (config.json, model.safetensors)",
                directory);
  if (!file_exists(path))
    return fail(error, "%s: there is no such file; a Hugging Face directory has it beside its weights", path);
  char *data;
  if (!file_read(path, 1 << 24, &data, &length, error)) return false;
  json_error_t cause;
  json_t *root = json_loadb(data, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &cause);
  free(data);
  if (!root) return fail(error, "%s:%d:%d: %s; the file must be JSON", path, cause.line, cause.column, cause.text);
  bool ok = read_root(a, directory, path, root, result, error);
  json_decref(root);
  return ok;
}

// The three layouts' names: gated decoders (Qwen2, Llama) and GPT-2.
static const char *const decoder_names[TENSOR_ROLES] = {
    [TENSOR_EMBEDDING] = "model.embed_tokens.weight",
    [TENSOR_NORM1] = "input_layernorm.weight",
    [TENSOR_QUERY] = "self_attn.q_proj.weight",
    [TENSOR_KEY] = "self_attn.k_proj.weight",
    [TENSOR_VALUE] = "self_attn.v_proj.weight",
    [TENSOR_QUERY_BIAS] = "self_attn.q_proj.bias",
    [TENSOR_KEY_BIAS] = "self_attn.k_proj.bias",
    [TENSOR_VALUE_BIAS] = "self_attn.v_proj.bias",
    [TENSOR_ATTENTION_OUT] = "self_attn.o_proj.weight",
    [TENSOR_ATTENTION_OUT_BIAS] = "self_attn.o_proj.bias",
    [TENSOR_NORM2] = "post_attention_layernorm.weight",
    [TENSOR_GATE] = "mlp.gate_proj.weight",
    [TENSOR_UP] = "mlp.up_proj.weight",
    [TENSOR_GATE_BIAS] = "mlp.gate_proj.bias",
    [TENSOR_UP_BIAS] = "mlp.up_proj.bias",
    [TENSOR_DOWN] = "mlp.down_proj.weight",
    [TENSOR_DOWN_BIAS] = "mlp.down_proj.bias",
    [TENSOR_FINAL_NORM] = "model.norm.weight",
    [TENSOR_HEAD] = "lm_head.weight",
};
static const char *const gpt2_names[TENSOR_ROLES] = {
    [TENSOR_EMBEDDING] = "transformer.wte.weight",
    [TENSOR_POSITION] = "transformer.wpe.weight",
    [TENSOR_NORM1] = "ln_1.weight",
    [TENSOR_NORM1_BIAS] = "ln_1.bias",
    [TENSOR_QKV] = "attn.c_attn.weight",
    [TENSOR_QKV_BIAS] = "attn.c_attn.bias",
    [TENSOR_ATTENTION_OUT] = "attn.c_proj.weight",
    [TENSOR_ATTENTION_OUT_BIAS] = "attn.c_proj.bias",
    [TENSOR_NORM2] = "ln_2.weight",
    [TENSOR_NORM2_BIAS] = "ln_2.bias",
    [TENSOR_UP] = "mlp.c_fc.weight",
    [TENSOR_UP_BIAS] = "mlp.c_fc.bias",
    [TENSOR_DOWN] = "mlp.c_proj.weight",
    [TENSOR_DOWN_BIAS] = "mlp.c_proj.bias",
    [TENSOR_FINAL_NORM] = "transformer.ln_f.weight",
    [TENSOR_FINAL_NORM_BIAS] = "transformer.ln_f.bias",
    [TENSOR_HEAD] = "lm_head.weight",
};

bool model_has(const model *m, tensor_role role) {
  switch (role) {
  case TENSOR_POSITION: return m->learned_positions;
  case TENSOR_NORM1_BIAS:
  case TENSOR_NORM2_BIAS:
  case TENSOR_FINAL_NORM_BIAS: return m->norm == NORM_LAYER;
  case TENSOR_QUERY:
  case TENSOR_KEY:
  case TENSOR_VALUE: return !m->fused_qkv;
  case TENSOR_QUERY_BIAS:
  case TENSOR_KEY_BIAS:
  case TENSOR_VALUE_BIAS: return !m->fused_qkv && m->qkv_bias;
  case TENSOR_QKV: return m->fused_qkv;
  case TENSOR_QKV_BIAS: return m->fused_qkv && m->qkv_bias;
  case TENSOR_ATTENTION_OUT_BIAS: return m->output_bias;
  case TENSOR_GATE: return m->gated;
  case TENSOR_GATE_BIAS: return m->gated && m->feed_forward_bias;
  case TENSOR_UP_BIAS:
  case TENSOR_DOWN_BIAS: return m->feed_forward_bias;
  case TENSOR_HEAD: return !m->tied;
  case TENSOR_ROLES: return false;
  default: return true;
  }
}

bool model_role_in_layer(tensor_role role) { return role >= TENSOR_NORM1 && role <= TENSOR_DOWN_BIAS; }

const char *model_layer_prefix(const model *m) { return m->fused_qkv ? "transformer.h." : "model.layers."; }

static model_tensor vector(const model *m, tensor_role role, int64_t size) {
  return (model_tensor){role, (m->fused_qkv ? gpt2_names : decoder_names)[role], 1, {size, 1}};
}

static model_tensor table(const model *m, tensor_role role, int64_t rows, int64_t columns) {
  return (model_tensor){role, (m->fused_qkv ? gpt2_names : decoder_names)[role], 2, {rows, columns}};
}

// A product's weight: [out, in], or [in, out] as GPT-2 stores it.
static model_tensor weight(const model *m, tensor_role role, int64_t out, int64_t in) {
  return m->input_major ? table(m, role, in, out) : table(m, role, out, in);
}

model_tensor model_tensor_of(const model *m, tensor_role role) {
  int64_t query = m->heads * m->head_size, key_value = m->key_value_heads * m->head_size;
  switch (role) {
  case TENSOR_EMBEDDING:
  case TENSOR_HEAD: return table(m, role, m->vocabulary, m->hidden);
  case TENSOR_POSITION: return table(m, role, m->positions, m->hidden);
  case TENSOR_QUERY: return weight(m, role, query, m->hidden);
  case TENSOR_KEY:
  case TENSOR_VALUE: return weight(m, role, key_value, m->hidden);
  case TENSOR_QUERY_BIAS: return vector(m, role, query);
  case TENSOR_KEY_BIAS:
  case TENSOR_VALUE_BIAS: return vector(m, role, key_value);
  case TENSOR_QKV: return weight(m, role, query + 2 * key_value, m->hidden);
  case TENSOR_QKV_BIAS: return vector(m, role, query + 2 * key_value);
  case TENSOR_ATTENTION_OUT: return weight(m, role, m->hidden, query);
  case TENSOR_GATE:
  case TENSOR_UP: return weight(m, role, m->feed_forward, m->hidden);
  case TENSOR_GATE_BIAS:
  case TENSOR_UP_BIAS: return vector(m, role, m->feed_forward);
  case TENSOR_DOWN: return weight(m, role, m->hidden, m->feed_forward);
  default: return vector(m, role, m->hidden); // norms and the biases of what ends in the hidden state
  }
}
