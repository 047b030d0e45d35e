// Which vertices of an entry run together, and in which order.
#ifndef LMN_VERTEX_RUNS_H
#define LMN_VERTEX_RUNS_H

#include "passes/dag.h"

typedef struct vertex_runs {
  int count;
  int *starts;  // run i is members[starts[i]] up to members[starts[i + 1]]
  int *members; // numbers of ops, ascending in a run
} vertex_runs;

// As few runs as it finds. Vertices of one run have the same model, instance and segments, and none waits for another.
bool vertex_runs_of(ir *m, const dag *d, vertex_runs *runs, lmn_error *error);

#endif
