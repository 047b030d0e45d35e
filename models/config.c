#include "models/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Fields that any transformers config may carry and that change nothing of what a decoder computes here.
// PreTrainedConfig's own, the generation settings that old versions kept there, and what tools leave behind.
static const char *const generic_fields[] = {
    "architectures",
    "auto_map",
    "attn_implementation",
    "begin_suppress_tokens",
    "bad_words_ids",
    "chunk_size_feed_forward",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "experts_implementation",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "is_decoder",
    "label2id",
    "length_penalty",
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "model_max_length",
    "model_type",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "penalty_alpha",
    "prefix",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_last_hidden_states",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "transformers_weights",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
};

void config_fail(config *c, const char *name, const char *format, ...) {
  if (c->failed) return;
  c->failed = true;
  va_list arguments;
  va_start(arguments, format);
  text message = {0};
  text_vprintf(&message, format, arguments);
  va_end(arguments);
  fail(c->error, "%s: field \"%.80s\" %s", c->path, name, message.data);
  text_free(&message);
}

static void know(config *c, const char *name) {
  GROW(c->asked, c->asked_count, c->asked_capacity);
  c->asked[c->asked_count++] = name;
}

// The value as the file has it, short enough for a message.
static const char *shown(config *c, const json_t *value) {
  char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
  if (!dumped) return "?";
  const char *copy = arena_printf(c->memory, strlen(dumped) > 60 ? "%.60s…" : "%s", dumped);
  free(dumped);
  return copy;
}

bool config_says(config *c, const char *name) { return json_object_get(c->root, name) != NULL; }

const json_t *config_field(config *c, const char *name) {
  know(c, name);
  const json_t *value = json_object_get(c->root, name);
  return json_is_null(value) ? NULL : value;
}

static int64_t size_of(config *c, const char *name, int64_t fallback, int64_t limit, bool null_allowed) {
  const json_t *value = config_field(c, name);
  if (!value && config_says(c, name) && !null_allowed) config_fail(c, name, "is null; it must be an integer");
  if (!value && fallback == CONFIG_REQUIRED)
    config_fail(c, name, "is missing; a %s config.json must have it", c->family);
  if (!value) return c->failed ? 1 : fallback;
  int64_t size = json_is_integer(value) ? json_integer_value(value) : 0;
  if (!json_is_integer(value)) config_fail(c, name, "is %s; it must be an integer", shown(c, value));
  else if (size < 1 || size > limit)
    config_fail(c, name, "is %lld; it must be from 1 to %lld", (long long)size, (long long)limit);
  return c->failed ? 1 : size;
}

int64_t config_size(config *c, const char *name, int64_t fallback, int64_t limit) {
  return size_of(c, name, fallback, limit, false);
}

int64_t config_size_or_null(config *c, const char *name, int64_t fallback, int64_t limit) {
  return size_of(c, name, fallback, limit, true);
}

static double positive(config *c, const char *name, const json_t *value) {
  double number = json_number_value(value);
  if (!json_is_number(value) || !(number > 0) || !isfinite(number))
    config_fail(c, name, "is %s; it must be a number above 0", shown(c, value));
  return c->failed ? 1 : number;
}

double config_positive(config *c, const char *name, double fallback) {
  const json_t *value = config_field(c, name);
  if (value) return positive(c, name, value);
  if (config_says(c, name)) config_fail(c, name, "is null; it must be a number above 0");
  return fallback;
}

bool config_bool(config *c, const char *name, bool fallback) {
  const json_t *value = config_field(c, name);
  if (!value && config_says(c, name)) config_fail(c, name, "is null; it must be true or false");
  if (!value) return fallback;
  if (!json_is_boolean(value)) config_fail(c, name, "is %s; it must be true or false", shown(c, value));
  return json_is_true(value);
}

activation_kind config_activation(config *c, const char *name, const char *fallback) {
  static const struct {
    const char *name;
    activation_kind kind;
  } known[] = {
      {"silu", ACTIVATION_SILU},
      {"swish", ACTIVATION_SILU},
      {"relu", ACTIVATION_RELU},
      {"gelu", ACTIVATION_GELU_ERF},
      {"gelu_python", ACTIVATION_GELU_ERF},
      {"gelu_new", ACTIVATION_GELU_TANH},
      {"gelu_fast", ACTIVATION_GELU_TANH}, // the same function, its constant rounded
      {"gelu_accurate", ACTIVATION_GELU_TANH},
      {"gelu_pytorch_tanh", ACTIVATION_GELU_TANH},
      {"gelu_python_tanh", ACTIVATION_GELU_TANH},
  };
  const json_t *value = config_field(c, name);
  const char *said = value ? json_string_value(value) : fallback;
  if (!value && config_says(c, name)) said = NULL;
  for (size_t i = 0; said && i < LENGTH(known); ++i)
    if (!strcmp(said, known[i].name)) return known[i].kind;
  config_fail(c, name, "is %s; the activations computed here are silu, relu, gelu, gelu_new and gelu_pytorch_tanh",
              value ? shown(c, value) : "null");
  return ACTIVATION_SILU;
}

// A number of the rope dictionary: `where` is "rope_scaling" or "rope_parameters".
static double rope_number(config *c, const char *where, const json_t *scaling, const char *name, double fallback) {
  const json_t *value = json_object_get(scaling, name);
  const char *full = arena_printf(c->memory, "%s.%s", where, name);
  if (value) return positive(c, full, value);
  if (isnan(fallback)) config_fail(c, full, "is missing; rotary positions of this rope_type need it");
  return fallback;
}

static void check_rope_keys(config *c, const char *where, const json_t *scaling) {
  static const char *const known[] = {
      "rope_type",
      "type",
      "rope_theta",
      "factor",
      "low_freq_factor",
      "high_freq_factor",
      "original_max_position_embeddings",
      "partial_rotary_factor",
      "attention_factor",
      "beta_fast",
      "beta_slow",
      "mscale",
      "mscale_all_dim",
      "finetuned",
      "truncate",
  }; // those after partial_rotary_factor belong to types that are refused, and change nothing in the others
  const char *key;
  const json_t *value;
  json_object_foreach((json_t *)scaling, key, value) {
    size_t i = 0;
    while (i < LENGTH(known) && strcmp(key, known[i])) ++i;
    if (i < LENGTH(known)) continue;
    const char *near = config_nearest(key, known, LENGTH(known));
    config_fail(c, arena_printf(c->memory, "%s.%s", where, key),
                "is not known%s%s%s; remove it if it does not change what the model computes",
                near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
  }
}

// Both spellings, with transformers' precedence: rope_scaling before rope_parameters, a theta inside before one beside
// it.
rope config_rope(config *c, int64_t positions) {
  rope result = {.kind = ROPE_DEFAULT, .factor = 1, .low_frequency_factor = 1, .high_frequency_factor = 1};
  const json_t *old = config_field(c, "rope_scaling"), *new = config_field(c, "rope_parameters");
  const char *where = json_object_size(old) ? "rope_scaling" : "rope_parameters";
  const json_t *scaling = json_object_size(old) ? old : new;
  result.theta = config_positive(c, "rope_theta", 10000);
  config_must_be_number(c, "partial_rotary_factor", 1, "rotary positions turn whole heads here");
  int64_t original = config_size_or_null(c, "original_max_position_embeddings", 0, LIMIT_POSITIONS);
  if (old && !json_is_object(old)) config_fail(c, "rope_scaling", "is %s; it must be an object or null", shown(c, old));
  if (new && !json_is_object(new))
    config_fail(c, "rope_parameters", "is %s; it must be an object or null", shown(c, new));
  result.original_length = original ? original : positions;
  if (c->failed || !scaling) return result;

  check_rope_keys(c, where, scaling);
  const json_t *type = json_object_get(scaling, "rope_type");
  if (!type) type = json_object_get(scaling, "type");
  const char *kind = type ? json_string_value(type) : "default";
  result.theta = rope_number(c, where, scaling, "rope_theta", result.theta);
  if (json_object_get(scaling, "partial_rotary_factor") &&
      rope_number(c, where, scaling, "partial_rotary_factor", 1) != 1)
    config_fail(c, "partial_rotary_factor", "is not 1: rotary positions turn whole heads here; use another model");
  if (kind && !strcmp(kind, "default")) return result;
  if (kind && (!strcmp(kind, "linear") || !strcmp(kind, "llama3"))) {
    result.kind = !strcmp(kind, "linear") ? ROPE_LINEAR : ROPE_LLAMA3;
    result.factor = rope_number(c, where, scaling, "factor", NAN);
    if (result.kind == ROPE_LINEAR) return result;
    result.low_frequency_factor = rope_number(c, where, scaling, "low_freq_factor", NAN);
    result.high_frequency_factor = rope_number(c, where, scaling, "high_freq_factor", NAN);
    if (!(result.high_frequency_factor > result.low_frequency_factor))
      config_fail(c, where, "has a high_freq_factor that is not above its low_freq_factor");
    double length = rope_number(c, where, scaling, "original_max_position_embeddings", (double)positions);
    if (length != floor(length) || length > (double)LIMIT_POSITIONS)
      config_fail(c, where, "has an original_max_position_embeddings that is not an integer up to %lld",
                  (long long)LIMIT_POSITIONS);
    if (original && json_object_get(scaling, "original_max_position_embeddings") && (double)original != length)
      config_fail(c, "original_max_position_embeddings", "is %lld, and %s has %.0f; remove one of the two",
                  (long long)original, where, length);
    if (!original && !c->failed) result.original_length = (int64_t)length;
    return result;
  }
  config_fail(c, arena_printf(c->memory, "%s.rope_type", where),
              "is %s; the rotary positions computed here are default, linear and llama3; use another model",
              shown(c, type));
  return result;
}

// transformers only warns of an id outside the vocabulary: no token has it, so it is none.
static int64_t token_id(config *c, const char *name, const json_t *value, int64_t vocabulary) {
  if (!json_is_integer(value)) config_fail(c, name, "is %s; it must be a token id or null", shown(c, value));
  int64_t id = json_integer_value(value);
  return id >= 0 && id < vocabulary ? id : -1;
}

void config_token_ids(config *c, model *m, int64_t bos, int64_t eos) {
  const json_t *value = config_field(c, "bos_token_id");
  m->bos = value ? token_id(c, "bos_token_id", value, m->vocabulary) : config_says(c, "bos_token_id") ? -1 : bos;
  value = config_field(c, "pad_token_id");
  m->pad = value ? token_id(c, "pad_token_id", value, m->vocabulary) : -1;
  value = config_field(c, "eos_token_id");
  m->eos_count = 0;
  if (json_array_size(value) > LENGTH(m->eos))
    config_fail(c, "eos_token_id", "has %zu ids; at most %zu are kept", json_array_size(value), LENGTH(m->eos));
  if (c->failed) return;
  if (!value && !config_says(c, "eos_token_id") && eos >= 0 && eos < m->vocabulary) m->eos[m->eos_count++] = eos;
  size_t count = json_is_array(value) ? json_array_size(value) : value ? 1 : 0;
  for (size_t i = 0; i < count; ++i) {
    int64_t id = token_id(c, "eos_token_id", json_is_array(value) ? json_array_get(value, i) : value, m->vocabulary);
    if (id >= 0) m->eos[m->eos_count++] = id;
  }
  if (m->bos >= m->vocabulary) m->bos = -1;
}

void config_must_be_bool(config *c, const char *name, bool required, const char *why) {
  const json_t *value = config_field(c, name);
  if (value && (!json_is_boolean(value) || json_is_true(value) != required))
    config_fail(c, name, "is %s: %s; only %s is computed here", shown(c, value), why, required ? "true" : "false");
}

void config_must_be_number(config *c, const char *name, double required, const char *why) {
  const json_t *value = config_field(c, name);
  if (value && (!json_is_number(value) || json_number_value(value) != required))
    config_fail(c, name, "is %s: %s; only %g is computed here", shown(c, value), why, required);
}

void config_must_be_empty(config *c, const char *name, const char *why) {
  const json_t *value = config_field(c, name);
  bool empty = (json_is_object(value) && !json_object_size(value)) || (json_is_array(value) && !json_array_size(value));
  if (value && !empty && !json_is_false(value)) config_fail(c, name, "is %s: %s", shown(c, value), why);
}

void config_full_attention(config *c, int64_t layers) {
  config_must_be_bool(
      c, "use_sliding_window", false,
      "a sliding attention window is not computed here; set it to false if no layer uses it, or use another model");
  const json_t *types = config_field(c, "layer_types"), *type;
  if (!types) return;
  if (!json_is_array(types) || (int64_t)json_array_size(types) != layers) {
    config_fail(c, "layer_types", "is %s; it must be a list of one type for each of the %lld layers", shown(c, types),
                (long long)layers);
    return;
  }
  size_t i;
  json_array_foreach((json_t *)types, i, type) {
    if (json_is_string(type) && !strcmp(json_string_value(type), "full_attention")) continue;
    config_fail(c, "layer_types", "is %s for layer %zu; only \"full_attention\" is computed here; use another model",
                shown(c, type), i);
  }
}

void config_harmless(config *c, const char *const *names, int count) {
  for (int i = 0; i < count; ++i) know(c, names[i]);
}

bool config_check_unknown(config *c) {
  config_must_be_bool(c, "is_encoder_decoder", false, "an encoder is not computed here; use another model");
  config_must_be_bool(c, "add_cross_attention", false, "cross attention is not computed here; use another model");
  config_must_be_empty(c, "cross_attention_hidden_size", "cross attention is not computed here; use another model");
  config_must_be_empty(c, "pruned_heads", "pruned heads are not computed here; use a model with all its heads");
  config_must_be_empty(c, "per_layer_config",
                       "layers that differ from each other are not computed here; use another model");
  static const char quantized[] = "quantized weights are not read here; use the model's F32, F16 or BF16 directory";
  config_must_be_empty(c, "quantization_config", quantized);
  config_must_be_empty(c, "compression_config", quantized);
  config_must_be_empty(c, "quantization", quantized);
  config_harmless(c, generic_fields, LENGTH(generic_fields));
  const char *key;
  const json_t *value;
  json_object_foreach(c->root, key, value) {
    int i = 0;
    while (i < c->asked_count && strcmp(key, c->asked[i])) ++i;
    if (i < c->asked_count || key[0] == '_') continue;
    const char *near = config_nearest(key, c->asked, c->asked_count);
    config_fail(c, key,
                "is not known for model_type \"%s\"%s%s%s; remove it if it does not change what the model computes",
                c->family, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
  }
  return !c->failed;
}

// Levenshtein distance, cut at names of 63 bytes.
static int edits(const char *a, const char *b) {
  int rows = (int)strlen(a), columns = (int)strlen(b), row[64];
  if (rows > 63 || columns > 63) return 64;
  for (int j = 0; j <= columns; ++j) row[j] = j;
  for (int i = 1; i <= rows; ++i) {
    int diagonal = row[0];
    row[0] = i;
    for (int j = 1; j <= columns; ++j) {
      int above = row[j], change = diagonal + (a[i - 1] != b[j - 1]);
      row[j] = above + 1 < row[j - 1] + 1 ? above + 1 : row[j - 1] + 1;
      if (change < row[j]) row[j] = change;
      diagonal = above;
    }
  }
  return row[columns];
}

const char *config_nearest(const char *name, const char *const *names, int count) {
  const char *best = NULL;
  int least = (int)strlen(name) / 3 + 1;
  for (int i = 0; i < count; ++i) {
    int distance = edits(name, names[i]);
    if (distance > 0 && distance < least + (best == NULL)) least = distance, best = names[i];
  }
  return best;
}
