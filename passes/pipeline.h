// All passes in order, from the lmn ops of one entry to scheduled kernels with places in memory.
#ifndef LMN_PIPELINE_H
#define LMN_PIPELINE_H

#include "passes/passes.h"

typedef struct pipeline_options {
  const char *const *disabled; // names of passes
  int disabled_count;
  const char *emit;        // "lmn", "nn" or "kernel": print there and stop; later levels run through; NULL: none
  const char *print_after; // a pass: printed each time that it ends; NULL: none
  text *printed;           // where to; needed for emit and print_after
} pipeline_options;

typedef enum {
  PIPELINE_DONE,
  PIPELINE_STOPPED, // printed what emit asked for
  PIPELINE_FAILED
} pipeline_result;

// Whether every name in the options is one; otherwise a message with the nearest and all of them.
bool pipeline_check(const pipeline_options *options, lmn_error *error);
// Checks the options, then runs. After PIPELINE_STOPPED and PIPELINE_FAILED the entry is in between levels.
pipeline_result pipeline_run(ir *m, const pipeline_options *options, lmn_error *error);

#endif
