// Qwen2 and Qwen2.5: query, key and value always have a bias, the attention's output has none.
#include "models/config.h"

void qwen2_read(config *c, model *m) {
  decoder_read(c, m, 32768, 32);
  m->qkv_bias = true;
  config_full_attention(c, m->layers);
  config_must_be_bool(c, "use_mrope", false, "rotary positions of images are not computed here; use another model");
  config_token_ids(c, m, -1, -1);
  // transformers' Qwen2 reads neither attention_bias nor mlp_bias.
  static const char *const harmless[] = {"attention_bias", "attention_dropout", "max_window_layers", "mlp_bias",
                                         "sliding_window"};
  config_harmless(c, harmless, LENGTH(harmless));
}
