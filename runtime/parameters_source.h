// Where the parameters with a source tensor come from: model directories, each opened once.
#ifndef LMN_PARAMETERS_SOURCE_H
#define LMN_PARAMETERS_SOURCE_H

#include "runtime/plan.h"
#include "runtime/safetensors.h"

#define SOURCE_HEAD "lm_head.weight" // every family calls the head so

struct source {
  const safetensors *file;
  const safetensors_tensor *tensor; // of the parameter's shape
};
struct sources;

// Opens every directory that the plan's parameters name and finds each tensor. NULL with a message where one is missing
// or of another shape, or where a tied table has a head beside it that differs.
struct sources *sources_open(const plan *p, lmn_error *error);
void sources_close(struct sources *s);
const struct source *sources_of(const struct sources *s); // one a parameter; NULL file: not from a tensor

// The tensor of a Hugging Face name, also where the file was saved from the model without its head and so lacks the
// names' first part
// ("transformer." or "model.").
const safetensors_tensor *source_tensor(const safetensors *file, const char *name);

bool parameters_same_shape(const plan_parameter *parameter, const safetensors_tensor *tensor, lmn_error *error);
safetensors_item parameters_item(const plan_parameter *parameter, const float *base, const char *name);

#endif
