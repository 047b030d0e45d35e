// What Qwen2 and Llama have in common.
#include "models/config.h"

void decoder_read(config *c, model *m, int64_t default_positions, int64_t default_key_value_heads) {
  m->vocabulary = config_size(c, "vocab_size", CONFIG_REQUIRED, LIMIT_VOCABULARY);
  m->hidden = config_size(c, "hidden_size", CONFIG_REQUIRED, LIMIT_HIDDEN);
  m->layers = config_size(c, "num_hidden_layers", CONFIG_REQUIRED, LIMIT_LAYERS);
  m->heads = config_size(c, "num_attention_heads", CONFIG_REQUIRED, LIMIT_HEADS);
  m->feed_forward = config_size(c, "intermediate_size", CONFIG_REQUIRED, LIMIT_FEED_FORWARD);
  m->positions = config_size(c, "max_position_embeddings", default_positions, LIMIT_POSITIONS);
  // An absent field has the family's default, one that is null is the number of heads.
  bool absent = default_key_value_heads && !config_says(c, "num_key_value_heads");
  m->key_value_heads =
      config_size_or_null(c, "num_key_value_heads", absent ? default_key_value_heads : m->heads, LIMIT_HEADS);
  if (m->heads % m->key_value_heads)
    config_fail(c, "num_key_value_heads", "is %lld%s; num_attention_heads, %lld, must be a multiple of it",
                (long long)m->key_value_heads, absent ? ", the default," : "", (long long)m->heads);
  m->head_size = config_size_or_null(c, "head_dim", 0, LIMIT_HIDDEN);
  if (!m->head_size && m->hidden % m->heads)
    config_fail(c, "hidden_size", "is %lld; without head_dim it must be a multiple of num_attention_heads, %lld",
                (long long)m->hidden, (long long)m->heads);
  if (!m->head_size) m->head_size = m->hidden / m->heads;
  if (m->head_size % 2)
    config_fail(c, "head_dim", "is %lld; rotary positions need an even head size", (long long)m->head_size);
  m->norm = NORM_RMS;
  m->norm_eps = config_positive(c, "rms_norm_eps", 1e-6);
  m->activation = config_activation(c, "hidden_act", "silu");
  m->gated = true;
  m->rope = config_rope(c, m->positions);
  m->tied = config_bool(c, "tie_word_embeddings", false);
  m->initializer_range = config_positive(c, "initializer_range", 0.02);
}
