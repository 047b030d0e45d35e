// What a model directory's config.json says, as a description of layers. A family is one file in this folder that fills
// a `model` in; everything behind it (parameter names and shapes, the layers' nn ops) reads the description, never the
// family.
#ifndef LMN_MODEL_H
#define LMN_MODEL_H

#include "runtime/base.h"

typedef enum { NORM_RMS, NORM_LAYER } norm_kind; // LayerNorm has a bias, RMSNorm has none
typedef enum { ACTIVATION_GELU_TANH, ACTIVATION_GELU_ERF, ACTIVATION_SILU, ACTIVATION_RELU } activation_kind;
typedef enum { ROPE_NONE, ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3 } rope_kind;

// Rotary embedding of transformers' modeling_rope_utils; half-split layout (dimension i pairs with i + head_size / 2).
typedef struct rope {
  rope_kind kind;
  double theta, factor, low_frequency_factor, high_frequency_factor;
  int64_t original_length;
} rope;

typedef struct model {
  const char *family;    // "qwen2", "llama", "gpt2"
  const char *directory; // where config.json was read
  int64_t vocabulary, hidden, layers, heads, key_value_heads, head_size, feed_forward,
      positions; // positions: the longest sequence
  norm_kind norm;
  double norm_eps;
  activation_kind activation;
  bool gated;             // feed-forward: down(act(gate x) * up x); else down(act(up x))
  rope rope;              // kind ROPE_NONE for GPT-2
  bool learned_positions; // GPT-2: a position table is added to the embedding of the tokens
  bool input_major;       // GPT-2's Conv1D: weights are stored [in, out], not [out, in]
  bool fused_qkv;         // GPT-2: one c_attn instead of q_proj, k_proj, v_proj
  bool qkv_bias, output_bias, feed_forward_bias;
  bool tied; // the head is the embedding table
  double initializer_range;
  int64_t bos, pad; // token ids, -1: none
  int64_t eos[8];
  int eos_count;
} model;

// Reads `directory`/config.json (old and new spelling: torch_dtype or dtype, rope_theta and rope_scaling or
// rope_parameters; unknown harmless fields are ignored, a field whose value this project does not compute is an error
// that names it). Strings live in `a`.
bool model_read(arena *a, const char *directory, model *result, lmn_error *error);

// Every tensor a layer or a model may have, by its role. The order is the order in memory: query, key, value (and gate,
// up) follow each other, so that they are one product's weight without a copy.
typedef enum {
  TENSOR_EMBEDDING, // [vocabulary, hidden]
  TENSOR_POSITION,  // [positions, hidden]
  TENSOR_NORM1,
  TENSOR_NORM1_BIAS,
  TENSOR_QUERY,
  TENSOR_KEY,
  TENSOR_VALUE, // [heads * head_size, hidden], [key_value_heads * head_size, hidden] twice
  TENSOR_QUERY_BIAS,
  TENSOR_KEY_BIAS,
  TENSOR_VALUE_BIAS,
  TENSOR_QKV,
  TENSOR_QKV_BIAS, // GPT-2: [hidden, 3 hidden]
  TENSOR_ATTENTION_OUT,
  TENSOR_ATTENTION_OUT_BIAS,
  TENSOR_NORM2,
  TENSOR_NORM2_BIAS,
  TENSOR_GATE,
  TENSOR_UP,
  TENSOR_GATE_BIAS,
  TENSOR_UP_BIAS,
  TENSOR_DOWN,
  TENSOR_DOWN_BIAS,
  TENSOR_FINAL_NORM,
  TENSOR_FINAL_NORM_BIAS,
  TENSOR_HEAD, // [vocabulary, hidden]; absent when tied
  TENSOR_ROLES
} tensor_role;

typedef struct model_tensor {
  tensor_role role;
  const char *name; // transformers' named_parameters() name within the layer ("self_attn.q_proj.weight") or the model
                    // ("model.norm.weight")
  int rank;         // 1 or 2
  int64_t shape[2];
} model_tensor;

bool model_has(const model *m, tensor_role role);
bool model_role_in_layer(tensor_role role); // NORM1 … DOWN_BIAS
// The tensor of that role (which the model has). For a role in a layer the name is relative to the layer: its full name
// is model_layer_prefix(m) + layer + "." + name: "model.layers.3.self_attn.q_proj.weight",
// "transformer.h.3.attn.c_attn.weight".
model_tensor model_tensor_of(const model *m, tensor_role role);
const char *model_layer_prefix(const model *m); // "model.layers." or "transformer.h."

#endif
