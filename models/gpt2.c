// GPT-2: LayerNorm, learned positions, one product for query, key and value, weights stored [in, out] (Conv1D).
#include "models/config.h"

// A size that transformers knows under two names (its attribute_map).
static int64_t either_size(config *c, const char *name, const char *alias, int64_t limit) {
  bool first = config_says(c, name), second = config_says(c, alias);
  int64_t size =
      second && !first ? config_size(c, alias, CONFIG_REQUIRED, limit) : config_size(c, name, CONFIG_REQUIRED, limit);
  if (first && second && config_size(c, alias, CONFIG_REQUIRED, limit) != size)
    config_fail(c, alias, "is not the same as \"%s\"; remove one of the two", name);
  if (!second) config_harmless(c, (const char *const[]){alias}, 1);
  return size;
}

void gpt2_read(config *c, model *m) {
  m->vocabulary = config_size(c, "vocab_size", CONFIG_REQUIRED, LIMIT_VOCABULARY);
  m->hidden = either_size(c, "n_embd", "hidden_size", LIMIT_HIDDEN);
  m->layers = either_size(c, "n_layer", "num_hidden_layers", LIMIT_LAYERS);
  m->heads = m->key_value_heads = either_size(c, "n_head", "num_attention_heads", LIMIT_HEADS);
  m->positions = either_size(c, "n_positions", "max_position_embeddings", LIMIT_POSITIONS);
  m->feed_forward = config_size_or_null(c, "n_inner", 4 * m->hidden, LIMIT_FEED_FORWARD);
  if (m->hidden % m->heads)
    config_fail(c, "n_embd", "is %lld; it must be a multiple of n_head, %lld", (long long)m->hidden,
                (long long)m->heads);
  m->head_size = m->hidden / m->heads;
  m->norm = NORM_LAYER;
  m->norm_eps = config_positive(c, "layer_norm_epsilon", 1e-5);
  m->activation = config_activation(c, "activation_function", "gelu_new");
  m->learned_positions = m->input_major = m->fused_qkv = true;
  m->qkv_bias = m->output_bias = m->feed_forward_bias = true;
  m->tied = config_bool(c, "tie_word_embeddings", true);
  m->initializer_range = config_positive(c, "initializer_range", 0.02);
  config_must_be_bool(c, "scale_attn_weights", true,
                      "attention without its 1/sqrt(head size) is not computed here; use another model");
  config_must_be_bool(c, "scale_attn_by_inverse_layer_idx", false,
                      "attention scaled by its layer is not computed here; use another model");
  config_token_ids(c, m, 50256, 50256);
  // reorder_and_upcast_attn: the order of operations of reduced precision; in float32 the same function.
  static const char *const harmless[] = {
      "attn_pdrop",
      "embd_pdrop",
      "n_ctx",
      "n_special",
      "predict_special_tokens",
      "reorder_and_upcast_attn",
      "resid_pdrop",
      "summary_type",
      "summary_activation",
      "summary_first_dropout",
      "summary_proj_to_labels",
      "summary_last_dropout",
      "summary_use_proj",
      "vocab_size_or_config_json_file",
  };
  config_harmless(c, harmless, LENGTH(harmless));
}
