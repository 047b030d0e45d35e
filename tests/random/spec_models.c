// The models that random networks are drawn over. Few sizes, so that few kernels are compiled; among them some that no
// vector divides, grouped heads, heads that do not add up to the hidden size, every rotary kind, tied and untied heads.
#include "spec.h"

#include <string.h>

#define DECODER(type, hidden, layers, heads, key_value_heads, head_size, feed_forward, tied, more)                     \
  "{\"model_type\": \"" type "\", \"vocab_size\": 37, \"max_position_embeddings\": 64, \"hidden_size\": " #hidden      \
  ", \"num_hidden_layers\": " #layers ", \"num_attention_heads\": " #heads                                             \
  ", \"num_key_value_heads\": " #key_value_heads ", \"head_dim\": " #head_size                                         \
  ", \"intermediate_size\": " #feed_forward ", \"tie_word_embeddings\": " #tied more "}\n"
#define GPT2(width, layers, heads, inner, tied, activation)                                                            \
  "{\"model_type\": \"gpt2\", \"vocab_size\": 37, \"n_positions\": 24, \"n_embd\": " #width ", \"n_layer\": " #layers  \
  ", \"n_head\": " #heads ", \"n_inner\": " #inner ", \"tie_word_embeddings\": " #tied                                 \
  ", \"activation_function\": \"" activation "\"}\n"

const spec_model spec_models[SPEC_MODEL_ROWS] = {
    {"qwen-16", 16, 24, DECODER("qwen2", 16, 1, 4, 2, 4, 24, true, "")},
    {"qwen-24", 24, 40, DECODER("qwen2", 24, 2, 3, 1, 8, 40, false, ", \"rope_theta\": 1000000.0")},
    {"llama-16", 16, 24,
     DECODER(
         "llama", 16, 2, 4, 4, 4, 24, false,
         ", \"attention_bias\": true, \"mlp_bias\": true, \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": "
         "2.0}")},
    {"llama-24", 24, 40,
     DECODER("llama", 24, 1, 2, 1, 8, 40, true,
             ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, "
             "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 16}")},
    {"gpt2-16", 16, 40, GPT2(16, 1, 4, 40, true, "gelu_new")},
    {"gpt2-20", 20, 24, GPT2(20, 2, 2, 24, false, "gelu")},
};
bool spec_write_models(const char *folder, lmn_error *error) {
  bool ok = true;
  for (int i = 0; ok && i < SPEC_MODEL_ROWS; ++i) {
    text path = {0};
    text_printf(&path, "%s/%s", folder, spec_models[i].name);
    ok = directory_make(path.data, error);
    text_add(&path, "/config.json");
    ok = ok && file_write(path.data, spec_models[i].config, strlen(spec_models[i].config), error);
    text_free(&path);
  }
  return ok;
}
