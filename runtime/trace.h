// One batch through a network, everything written down: every node's value, logits, loss, gradients, a few optimizer
// steps, greedy tokens.
#ifndef LMN_TRACE_H
#define LMN_TRACE_H

#include "runtime/lmn.h"

typedef struct trace_batch {
  arena *arena;
  int64_t batch, length, count; // count: of batches
  bool several;                 // whether the file's tensors are of several batches, even of one
  const int32_t *input_ids, *labels,
      *last;            // labels [B, T], or [B] with `last` for a classifier; NULL: the file has none
  int64_t labels_count; // of a batch
} trace_batch;

// A safetensors file with input_ids [B, T], labels [B, T] or [B], last [B]; I64 or I32; or of several batches, with one
// more size before these.
bool trace_read(const char *path, trace_batch *batch, lmn_error *error);
void trace_free(trace_batch *batch);

enum { TRACE_PROMPT = 4 }; // first tokens of row 0 that greedy generation goes on from
typedef struct trace_options {
  const char *output; // a safetensors file
  int phase;
  bool gradients;
  int64_t steps, greedy; // 0: none
} trace_options;

// Needs the trace entry of the batch's shape (with gradients for gradients and steps), with steps the phase's update
// entry, with greedy extend entries for 1 x (prefix + 4 + greedy). Writes, under these names: input_ids, labels, last,
// node.<name>, logits, loss, grad.<parameter>; losses [steps + 1] (before the first step and after each),
// after<steps>.<parameter>; greedy [1, 4 + n] and greedy_logits [n, V]. The steps are at the phase's learning rate,
// without its schedule. Of several batches, for which there are neither steps nor greedy tokens, each of these has all,
// one after the other: loss [N], logits [N, B, T, V].
bool trace_run(lmn_network *network, const trace_batch *batch, const trace_options *options, lmn_error *error);

#endif
