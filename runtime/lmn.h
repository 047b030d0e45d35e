// The public C API of the runtime: open a compiled network, load its parameters, train, evaluate and generate. Free of
// LLVM; thread-safe for different networks, one thread at a time for one network. Every function that can fail returns
// false (or NULL) with a message in *error. Arrays are row-major; B: batch, T: length in tokens, V: vocabulary.
#ifndef LMN_H
#define LMN_H

#include "runtime/base.h"
#include "runtime/plan.h"

typedef struct lmn_network lmn_network;

// How to open. threads: of the CPU; 0: every core (or LMN_THREADS). gpu: which of those that the driver shows.
typedef struct lmn_options {
  int threads, gpu;
} lmn_options;

// Opens net.lmnx/: plan.json and the kernels, on the device that it was compiled for. options: NULL for the usual.
lmn_network *lmn_open(const char *artifact, const lmn_options *options, lmn_error *error);
void lmn_close(lmn_network *network);
const plan *lmn_plan(const lmn_network *network);

// Parameters. load: each from its source (model directories, seeded normal values for new ones). replace: those that a
// safetensors file has, by name; a name that the network has not, or another shape, is an error. save: all of them, by
// name, float32, atomically.
bool lmn_load(lmn_network *network, uint64_t seed, lmn_error *error);
bool lmn_replace(lmn_network *network, const char *safetensors, lmn_error *error);
bool lmn_save(lmn_network *network, const char *safetensors, lmn_error *error);

// The values of one parameter, or of its gradient after a step, copied out of the device's memory or into it: as many
// as lmn_elements says (-1: there is no such parameter). False, with a message, where there is none of that name, or it
// is not trained in the phase.
int64_t lmn_elements(const lmn_network *network, const char *parameter);
bool lmn_read_parameter(lmn_network *network, const char *name, float *values, lmn_error *error);
bool lmn_write_parameter(lmn_network *network, const char *name, const float *values, lmn_error *error);
bool lmn_read_gradient(lmn_network *network, int phase, const char *name, float *values, lmn_error *error);

// A batch: input_ids and labels [B, T] (labels shifted, -100: not counted); for a classifier labels [B] and last [B],
// the row's last real token. positions and starts [B, T] for packed rows (NULL: rows start at 0 and see their whole
// past).
typedef struct lmn_batch {
  int64_t batch, length;
  const int32_t *input_ids, *labels, *last, *positions, *starts;
} lmn_batch;

// One optimizer step of `phase` over `count` micro-batches (gradient accumulation); the loss is the mean over all
// counted labels. learning_rate < 0: only compute loss and gradients, change nothing.
bool lmn_step(lmn_network *network, int phase, const lmn_batch *batches, int count, double learning_rate, double *loss,
              double *gradient_norm, lmn_error *error);
// A phase's optimizer state starts at zero, at step 0.
bool lmn_begin_phase(lmn_network *network, int phase, lmn_error *error);
// Sum of the losses and number of counted labels; for a classifier also of rows right.
bool lmn_evaluate(lmn_network *network, const lmn_batch *batch, double *loss_sum, int64_t *labels, int64_t *right,
                  lmn_error *error);

// Generation: B sequences, each with its own KV cache position. extend feeds counts[b] new tokens (ids [B, C] row by
// row, C = stride) to each and returns the logits [B, V] of the last one; rows with counts[b] = 0 are left alone. reset
// empties all rows.
bool lmn_reset(lmn_network *network, int64_t batch, int64_t capacity, lmn_error *error);
bool lmn_extend(lmn_network *network, const int32_t *ids, int64_t stride, const int32_t *counts, const float **logits,
                lmn_error *error);

// How often the layers of a vertex ran in the last call, counted as launches are done.
int64_t lmn_vertex_runs(const lmn_network *network);
int64_t
lmn_bytes(const lmn_network *network); // memory this network holds now: parameters, gradients, state, arenas, caches

#endif
