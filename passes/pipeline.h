// All passes in order, from the lmn ops of one entry to scheduled kernels with places in memory.
#ifndef LMN_PIPELINE_H
#define LMN_PIPELINE_H

#include "ir/timings.h"
#include "passes/passes.h"
#include "passes/target.h"

// What a run went through. A step is one run of a pass; steps have numbers from 1, those left out and turned off too.
enum { PIPELINE_STEPS = 64 };
typedef struct pipeline_trace {
  const pass *steps[PIPELINE_STEPS];  // step n is steps[n - 1]
  const char *levels[PIPELINE_STEPS]; // the last level that the entry was at before it, "lmn" from the start
  int count, failed;                  // failed: the number of the step that did; 0: none
} pipeline_trace;

typedef struct pipeline_options {
  const target *target;        // what the kernels will be compiled for; NULL: the CPU
  const char *const *disabled; // names of passes
  int disabled_count;
  const char *emit;        // "lmn", "nn" or "kernel": stop there; later levels run through; NULL: none
  const char *print_after; // a pass: printed each time that it ends; NULL: none
  text *printed;           // where to; needed for print_after
  const char *from;        // the entry stands at this level already, the steps before it are left out; NULL: as built
  int first;               // … or rather in front of this step, a run of `first_pass`; 0: at the level
  const char *first_pass;
  int stop_before;       // stop in front of this step; 0: nowhere
  bool unverified;       // the verifier does not run
  int plain_from;        // optimisations from this step on are left out; 0: nowhere
  timings *timings;      // of every pass; NULL: not wanted
  pipeline_trace *trace; // NULL: not wanted
} pipeline_options;

typedef enum {
  PIPELINE_DONE,
  PIPELINE_STOPPED, // where emit or stop_before said
  PIPELINE_FAILED
} pipeline_result;

// Whether every name in the options is one; otherwise a message with the nearest and all of them.
bool pipeline_check(const pipeline_options *options, lmn_error *error);
bool pipeline_of_use(const target *wanted, const pass *pass); // for that target (NULL: the CPU); others are left out
bool pipeline_level_known(const char *name);                  // "lmn", "nn", "kernel"
// Checks the options, then runs. After PIPELINE_STOPPED and PIPELINE_FAILED the entry is in between levels.
pipeline_result pipeline_run(ir *m, const pipeline_options *options, lmn_error *error);

#endif
