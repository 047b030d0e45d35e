#include "runtime/parameters_source.h"

#include <stdlib.h>
#include <string.h>

struct opened {
  const char *directory;
  safetensors *file;
};
struct sources {
  struct source *of;
  struct opened *opened;
  int count, capacity;
};

const safetensors_tensor *source_tensor(const safetensors *file, const char *name) {
  static const char *const prefixes[] = {"model.", "transformer."};
  const safetensors_tensor *tensor = safetensors_find(file, name);
  for (size_t i = 0; !tensor && i < LENGTH(prefixes); ++i)
    if (!strncmp(name, prefixes[i], strlen(prefixes[i]))) tensor = safetensors_find(file, name + strlen(prefixes[i]));
  return tensor;
}

static const safetensors *open_once(struct sources *s, const char *directory, lmn_error *error) {
  for (int i = 0; i < s->count; ++i)
    if (!strcmp(s->opened[i].directory, directory)) return s->opened[i].file;
  safetensors *file = safetensors_open(directory, error);
  if (!file) return NULL;
  GROW(s->opened, s->count, s->capacity);
  s->opened[s->count++] = (struct opened){directory, file};
  return file;
}

static bool find(struct sources *s, const plan_parameter *parameter, struct source *result, lmn_error *error) {
  result->file = open_once(s, parameter->directory, error);
  if (!result->file) return fail_in(error, "parameter \"%s\"", parameter->name);
  result->tensor = source_tensor(result->file, parameter->tensor);
  if (result->tensor) return parameters_same_shape(parameter, result->tensor, error);
  bool head = !strcmp(parameter->tensor, "lm_head.weight");
  return fail(error, "%s: has no tensor \"%s\", which parameter \"%s\" is read from; %s", parameter->directory,
              parameter->tensor, parameter->name,
              head ? "if the head is the embedding table, config.json must say \"tie_word_embeddings\": true"
                   : "config.json and the weights must be of the same model");
}

struct sources *sources_open(const plan *p, lmn_error *error) {
  struct sources *s = memory_zero(sizeof *s);
  s->of = memory_zero((size_t)p->parameter_count * sizeof *s->of);
  for (int i = 0; i < p->parameter_count; ++i) {
    if (p->parameters[i].source != SOURCE_TENSOR || find(s, &p->parameters[i], &s->of[i], error)) continue;
    sources_close(s);
    return NULL;
  }
  return s;
}

void sources_close(struct sources *s) {
  for (int i = 0; i < s->count; ++i) safetensors_close(s->opened[i].file);
  free(s->opened);
  free(s->of);
  free(s);
}

const struct source *sources_of(const struct sources *s) { return s->of; }
