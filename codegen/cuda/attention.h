// Shared by the emitters of attention: attention.c, attention_mma.c.
#ifndef LMN_CUDA_ATTENTION_H
#define LMN_CUDA_ATTENTION_H

#include "codegen/cuda/cuda.h"

typedef struct attention {
  int64_t heads, key_heads, head, length, batch, segments, sequences;
  double scale;
  const char *element; // that its rows are stored as
  bool starts;
  int rows;               // of a warp
  MlirOperation rotation; // that turns the gradient back in its place (see ride-attention); null: none
} attention;

// dims: length, batch, segments, heads, key heads.
void attention_dims(cuda_entry *e, plan_launch *launch, const attention *a);

// On tensor cores: bf16, heads of a multiple of 8 columns.
bool attention_mma_can(const attention *a);
bool attention_mma(cuda_entry *e, MlirOperation op, const attention *a, lmn_error *error);
bool attention_mma_grad(cuda_entry *e, MlirOperation op, const attention *a, lmn_error *error);

// The same for sm_90a: heads of 64, 96 and 128 columns.
bool attention_sm90_can(const cuda_entry *e, const attention *a);
bool attention_sm90(cuda_entry *e, MlirOperation op, const attention *a, lmn_error *error);
bool attention_sm90_grad(cuda_entry *e, MlirOperation op, const attention *a, lmn_error *error);

// Two float32 of every query and head, from dQ's kernel to that of dK and dV: [2, sequences, heads, length rounded up
// to a multiple of 128].
plan_ref attention_workspace(cuda_entry *e, const attention *a);

#endif
