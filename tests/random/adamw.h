// The optimizer once more, as docs/language.md says it, in double precision: what becomes of one tensor.
#ifndef LMN_RANDOM_ADAMW_H
#define LMN_RANDOM_ADAMW_H

#include "frontend/graph.h"

typedef struct adamw {
  const settings *settings;
  bool decays;
  int64_t elements, step;
  double *moment1, *moment2; // of the gradients that there were
  double *size;              // as moment1, of their magnitudes
} adamw;

adamw adamw_begin(arena *a, const settings *settings, const parameter *p, int64_t elements);
// The next step: by how much `after` misses what `gradient` makes of `before`, as a part of what rounding allows.
double adamw_step(adamw *a, const double *before, const float *gradient, const float *after);

#endif
