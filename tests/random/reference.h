// What a network computes, written down once more as plainly as possible: forward only, one op after the other, in
// double precision, from the graph and docs/language.md alone. Nothing of the compiler behind the graph is used.
#ifndef LMN_RANDOM_REFERENCE_H
#define LMN_RANDOM_REFERENCE_H

#include "frontend/graph.h"

typedef struct reference {
  const graph *graph;
  const parameter_list *list;
  double **parameters; // of each parameter in the list
  int64_t batch, length;
  const int32_t *ids, *positions, *starts, *labels, *last; // as in lmn_batch; positions and starts may be NULL
  double smoothing;
  // the result, in an arena of its own
  arena *arena;
  double **nodes; // of each node [B (prefix + T), D]
  double *logits; // [B T, V or classes]
  double loss;    // mean over the labels that count, with the smoothing
  double plain;   // sum of the losses without it
  int64_t counted, right;
  double kink; // how near to 0 relu is asked, as a part of the largest magnitude that it is asked together with
} reference;

void reference_run(reference *r); // frees the result before
void reference_free(reference *r);

#endif
