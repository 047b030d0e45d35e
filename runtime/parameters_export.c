// A trained model as a Hugging Face directory again.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/parameters.h"
#include "runtime/parameters_source.h"

static const char *const copied_files[] = {
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json",  "special_tokens_map.json", "added_tokens.json",
    "vocab.json",     "merges.txt",      "generation_config.json", "chat_template.jinja",     "chat_template.json",
};

static bool copy_file(const char *source, const char *directory, const char *name, lmn_error *error) {
  text from = {0}, to = {0};
  text_printf(&from, "%s/%s", source, name);
  text_printf(&to, "%s/%s", directory, name);
  char *data = NULL;
  size_t length;
  bool ok = !file_exists(from.data) ||
            (file_read(from.data, (size_t)1 << 30, &data, &length, error) && file_write(to.data, data, length, error));
  free(data);
  text_free(&from);
  text_free(&to);
  return ok;
}

// config.json as it was, but for the type of the weights, which are float32 now.
static bool copy_config(const char *source, const char *directory, lmn_error *error) {
  text from = {0}, to = {0};
  text_printf(&from, "%s/config.json", source);
  text_printf(&to, "%s/config.json", directory);
  json_error_t cause;
  json_t *root = json_load_file(from.data, 0, &cause);
  bool ok = json_is_object(root) ||
            fail(error, "%s:%d:%d: %s", from.data, cause.line, cause.column, root ? "must be an object" : cause.text);
  if (ok) {
    json_object_set_new(root, json_object_get(root, "torch_dtype") ? "torch_dtype" : "dtype", json_string("float32"));
    char *dumped = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    ok = file_write(to.data, dumped, strlen(dumped), error);
    free(dumped);
  }
  json_decref(root);
  text_free(&from);
  text_free(&to);
  return ok;
}

struct export {
  arena *memory;
  safetensors_item *items;
  int count, capacity;
};

static void add(struct export *e, safetensors_item item) {
  GROW(e->items, e->count, e->capacity);
  e->items[e->count++] = item;
}

// The parameters named after the model, without its name.
static void add_parameters(struct export *e, const plan *p, const float *base, const char *model) {
  size_t length = strlen(model);
  for (int i = 0; i < p->parameter_count; ++i) {
    const plan_parameter *parameter = &p->parameters[i];
    bool own = !strncmp(parameter->name, model, length) && parameter->name[length] == '.' &&
               (!strcmp(parameter->group, "model") || !strcmp(parameter->group, "vertex"));
    if (own) add(e, parameters_item(parameter, base, parameter->name + length + 1));
  }
}

static bool is_tied(const plan *p, const char *model) {
  size_t length = strlen(model);
  for (int i = 0; i < p->parameter_count; ++i)
    if (p->parameters[i].tied && !strncmp(p->parameters[i].name, model, length) && p->parameters[i].name[length] == '.')
      return true;
  return false;
}

static bool is_among(const safetensors_item *items, int count, const safetensors *file,
                     const safetensors_tensor *tensor) {
  for (int i = 0; i < count; ++i)
    if (source_tensor(file, items[i].name) == tensor) return true;
  return false;
}

// What the source has besides, but for GPT-2's masks and old rotary tables, which are no parameters, and for a copy of
// a tied table, which would no longer be one. The full name is the one that source_tensor would find it by.
static bool add_rest(struct export *e, const safetensors *file, bool gpt2, bool tied, lmn_error *error) {
  int own = e->count;
  for (int i = 0; i < safetensors_count(file); ++i) {
    const safetensors_tensor *tensor = safetensors_at(file, i);
    static const char *const buffers[] = {".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"};
    bool skip = is_among(e->items, own, file, tensor) || (tied && !strcmp(tensor->name, SOURCE_HEAD));
    for (size_t j = 0; !skip && j < LENGTH(buffers); ++j) {
      size_t length = strlen(tensor->name), tail = strlen(buffers[j]);
      skip = length > tail && !strcmp(tensor->name + length - tail, buffers[j]);
    }
    if (skip) continue;
    float *values = arena_alloc(e->memory, (size_t)tensor->elements * sizeof *values);
    if (!safetensors_floats(file, tensor, 0, tensor->elements, values, error)) return false;
    const char *prefix = gpt2 ? "transformer." : "model.";
    bool full = !strncmp(tensor->name, prefix, strlen(prefix)) || !strncmp(tensor->name, "lm_head.", 8);
    safetensors_item item = {full ? tensor->name : arena_printf(e->memory, "%s%s", prefix, tensor->name),
                             STORED_F32,
                             tensor->rank,
                             {0},
                             values};
    memcpy(item.shape, tensor->shape, sizeof item.shape);
    add(e, item);
  }
  return true;
}

static bool has_weights(const char *directory) {
  text single = {0}, index = {0};
  text_printf(&single, "%s/model.safetensors", directory);
  text_printf(&index, "%s/model.safetensors.index.json", directory);
  bool has = file_exists(single.data) || file_exists(index.data);
  text_free(&single);
  text_free(&index);
  return has;
}

static bool write_weights(struct export *e, bool tied, const char *source, const char *directory, lmn_error *error) {
  bool gpt2 = false;
  for (int i = 0; i < e->count; ++i) gpt2 |= !strncmp(e->items[i].name, "transformer.", 12);
  safetensors *file = has_weights(source) ? safetensors_open(source, error) : NULL;
  if (!file && has_weights(source)) return false;
  bool ok = !file || add_rest(e, file, gpt2, tied, error);
  const safetensors_pair metadata = {"format", "pt"}; // what transformers looks for
  const char *path = arena_printf(e->memory, "%s/model.safetensors", directory);
  ok = ok && safetensors_write(path, e->items, e->count, &metadata, 1, error);
  safetensors_close(file);
  return ok;
}

static const char *source_of(const plan *p, const char *model) {
  size_t length = strlen(model);
  for (int i = 0; i < p->parameter_count; ++i)
    if (p->parameters[i].directory && !strncmp(p->parameters[i].name, model, length) &&
        p->parameters[i].name[length] == '.')
      return p->parameters[i].directory;
  return NULL;
}

bool parameters_save_model(const plan *p, const float *base, const char *model, const char *source,
                           const char *directory, lmn_error *error) {
  if (!source) source = source_of(p, model);
  if (!source)
    return fail(error, "\"%s\" was not read from a model directory; name the directory that has its config.json",
                model);
  struct export e = {.memory = arena_create()};
  add_parameters(&e, p, base, model);
  bool ok = e.count > 0 || fail(error, "the network has no parameters of a model or unshared vertex \"%s\"", model);
  ok = ok && directory_make(directory, error) && copy_config(source, directory, error) &&
       write_weights(&e, is_tied(p, model), source, directory, error);
  for (size_t i = 0; ok && i < LENGTH(copied_files); ++i) ok = copy_file(source, directory, copied_files[i], error);
  free(e.items);
  arena_destroy(e.memory);
  return ok;
}
