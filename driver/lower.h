// One entry from the graph, or from an emitted text, down to kernels.
#ifndef LMN_DRIVER_LOWER_H
#define LMN_DRIVER_LOWER_H

#include "driver/emitted.h"
#include "passes/pipeline.h"

typedef struct lowering {
  compilation *c;
  MlirContext context;
  plan *plan;
  lmn_error *error;
  int plain_from;        // as in pipeline_options
  pipeline_trace *trace; // NULL: not wanted
  bool memory_only;      // asked for its memory alone: goes through all levels, whatever is to be printed, unverified
} lowering;

// An entry that the emitted text has: verified, and known to speak only of what the network has.
ir *lower_read(lowering *l, const emitted_part *part);
// An entry's ops as built from the graph. NULL: error.
ir *lower_build(lowering *l, entry_shape shape, int recompute);
// How much to remake (see ir.h), as the options ask by name; -1: there is no such thing.
int lower_recompute(const compilation *c, const entry_shape *shape, lmn_error *error);
// Runs the passes over `m`, which came from `part` (NULL: from lower_build). If one of them fails, the entry as it was
// before is written to a file beside, which the message names.
pipeline_result lower_run(lowering *l, ir *m, const emitted_part *part);
// The options of `c` for the passes.
pipeline_options lower_options(const compilation *c);

#endif
