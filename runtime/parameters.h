// The memory of SPACE_PARAMETER: filled from model directories and seeded streams, replaced from and saved to
// checkpoints.
#ifndef LMN_PARAMETERS_H
#define LMN_PARAMETERS_H

#include "runtime/plan.h"
#include "runtime/safetensors.h"

// `base` is the plan's parameter_bytes of memory, aligned for float.

// Where values go: to `base`, or, where that is NULL, a piece at a time through `write` (offset: bytes in
// SPACE_PARAMETER), which several threads call at once.
typedef struct parameters_place {
  float *base;
  bool (*write)(void *context, int64_t offset, const float *values, int64_t count, lmn_error *error);
  void *context;
} parameters_place;

// Fills every parameter from its source, in several threads. The same seed gives the same values, whatever the number
// of threads.
bool parameters_load(const plan *p, const parameters_place *to, uint64_t seed, lmn_error *error);

// Replaces those that the file has. A tensor that is no parameter of the network, or has another shape, is an error,
// found before anything is replaced.
bool parameters_replace(const plan *p, const parameters_place *to, const char *file, lmn_error *error);

// Writes all of them by name, as float32, with the metadata given.
bool parameters_save(const plan *p, const float *base, const char *file, const safetensors_pair *metadata,
                     int metadata_count, lmn_error *error);

// Exports a model's (or an unshared vertex's) parameters, those named `<model>.…`, as a Hugging Face directory:
// model.safetensors under Hugging Face names, config.json (its dtype float32), the tokenizer's files. What the network
// does not use (a model's embedding, say) comes from `source`, the directory it was read from; NULL: the one the plan
// says.
bool parameters_save_model(const plan *p, const float *base, const char *model, const char *source,
                           const char *directory, lmn_error *error);

const plan_parameter *parameters_find(const plan *p, const char *name); // NULL: none

#endif
