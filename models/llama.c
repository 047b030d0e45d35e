// Llama and what uses its architecture: SmolLM2, TinyLlama, tinyllamas.
#include "models/config.h"

void llama_read(config *c, model *m) {
  decoder_read(c, m, 2048, 0);
  m->qkv_bias = m->output_bias = config_bool(c, "attention_bias", false);
  m->feed_forward_bias = config_bool(c, "mlp_bias", false);
  config_full_attention(c, m->layers);
  config_must_be_bool(c, "rope_interleaved", false,
                      "rotary positions of neighbouring dimensions are not computed here; use another model");
  config_must_be_number(c, "pretraining_tp", 1,
                        "products cut into slices are not computed here; set it to 1 for the same model");
  config_token_ids(c, m, 1, 2);
  static const char *const harmless[] = {"attention_dropout", "is_llama_config", "max_sequence_length",
                                         "max_window_layers", "sliding_window"};
  config_harmless(c, harmless, LENGTH(harmless));
}
