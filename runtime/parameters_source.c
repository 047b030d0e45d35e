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

// In steps: a file that has been cut since it was opened is an error, not a crash.
static bool same_values(const safetensors *file, const safetensors_tensor *a, const safetensors_tensor *b, bool *same,
                        lmn_error *error) {
  enum { STEP = 1 << 16 };
  *same = a->elements == b->elements;
  float *values = memory_alloc(2 * STEP * sizeof *values);
  bool ok = true;
  for (int64_t at = 0; ok && *same && at < a->elements; at += STEP) {
    int64_t count = a->elements - at < STEP ? a->elements - at : STEP;
    ok = safetensors_floats(file, a, at, count, values, error) &&
         safetensors_floats(file, b, at, count, values + STEP, error);
    *same = ok && !memcmp(values, values + STEP, (size_t)count * sizeof *values);
  }
  free(values);
  return ok;
}

// Some tools write a tied head too, as a second copy of the table; with other values it is a head that the model has.
static bool check_tied(const struct source *table, const plan_parameter *parameter, lmn_error *error) {
  const safetensors_tensor *head = source_tensor(table->file, SOURCE_HEAD);
  bool same;
  if (!head) return true;
  if (!same_values(table->file, table->tensor, head, &same, error)) return false;
  return same || fail(error,
                      "%s: tensor \"" SOURCE_HEAD "\" differs from \"%s\", but config.json ties them; set "
                      "\"tie_word_embeddings\" to false if the model has a head of its own, or remove the tensor",
                      parameter->directory, table->tensor->name);
}

static bool find(struct sources *s, const plan_parameter *parameter, struct source *result, lmn_error *error) {
  result->file = open_once(s, parameter->directory, error);
  if (!result->file) return fail_in(error, "parameter \"%s\"", parameter->name);
  result->tensor = source_tensor(result->file, parameter->tensor);
  if (result->tensor)
    return parameters_same_shape(parameter, result->tensor, error) &&
           (!parameter->tied || check_tied(result, parameter, error));
  bool head = !strcmp(parameter->tensor, SOURCE_HEAD);
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
