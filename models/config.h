// Reading config.json for the families: a field is asked for by name, with its limits; the first thing wrong becomes
// the error. A field that nobody asked for and that is not known to be harmless is an error too, so that no value that
// changes the computation is missed.
#ifndef LMN_CONFIG_H
#define LMN_CONFIG_H

#include <jansson.h>

#include "models/model.h"

typedef struct config {
  arena *memory;
  const char *path, *family;
  json_t *root;
  const char **asked; // names of the fields that the family knows
  int asked_count, asked_capacity;
  bool failed;
  lmn_error *error;
} config;

// What a getter returns for a field that is absent. A field that is null counts as absent only for the getters that say
// so.
#define CONFIG_REQUIRED INT64_MIN

// The field's value, or `fallback`; `path: field "name" …` is the error, and the config has failed.
void config_fail(config *c, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);
const json_t *config_field(config *c, const char *name);                                   // NULL: absent or null
bool config_says(config *c, const char *name);                                             // present, null or not
int64_t config_size(config *c, const char *name, int64_t fallback, int64_t limit);         // 1 … limit
int64_t config_size_or_null(config *c, const char *name, int64_t fallback, int64_t limit); // null: fallback
double config_positive(config *c, const char *name, double fallback);                      // a number > 0
bool config_bool(config *c, const char *name, bool fallback);
activation_kind config_activation(config *c, const char *name, const char *fallback);
rope config_rope(config *c, int64_t positions);
void config_token_ids(config *c, model *m, int64_t bos, int64_t eos); // defaults for absent ids, -1: none

// Fields that must have the one value that this project computes; absent and null are that value.
void config_must_be_bool(config *c, const char *name, bool value, const char *why);
void config_must_be_number(config *c, const char *name, double value, const char *why);
void config_must_be_empty(config *c, const char *name, const char *why); // null, {} or []
void config_full_attention(config *c, int64_t layers);                   // layer_types, use_sliding_window

// Fields that change nothing here (dropout: training has none; what generation starts from; labels of other heads).
void config_harmless(config *c, const char *const *names, int count);
bool config_check_unknown(config *c);

// The name of `count` that is fewest edits from `name`, or NULL where none is close.
const char *config_nearest(const char *name, const char *const *names, int count);

// The families.
void qwen2_read(config *c, model *m);
void llama_read(config *c, model *m);
void gpt2_read(config *c, model *m);
// What Qwen2 and Llama have in common: sizes, norms, rotary positions, a gated feed-forward.
void decoder_read(config *c, model *m, int64_t default_positions, int64_t default_key_value_heads);

#define LIMIT_VOCABULARY ((int64_t)1 << 27)
#define LIMIT_HIDDEN ((int64_t)1 << 20)
#define LIMIT_FEED_FORWARD ((int64_t)1 << 24)
#define LIMIT_LAYERS ((int64_t)1 << 14)
#define LIMIT_HEADS ((int64_t)1 << 16)
#define LIMIT_POSITIONS ((int64_t)INT32_MAX)

#endif
