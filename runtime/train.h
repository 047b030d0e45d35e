// The training loop: phases one after another, each with its data, validation, log and checkpoints.
#ifndef LMN_TRAIN_H
#define LMN_TRAIN_H

#include "runtime/lmn.h"
#include "runtime/profile.h"

#include <jansson.h>
#include <signal.h>

// Where batches come from: any batch of any epoch by its number, always the same, so that a resumed training sees what
// an uninterrupted one would. The arrays of a batch are valid until the next call.
typedef struct batch_source {
  void *context;
  bool (*batch)(void *context, int64_t epoch, int64_t index, lmn_batch *batch, lmn_error *error);
  int64_t batches; // in an epoch; the last one filled up with labels of -100
} batch_source;

typedef struct train_phase {
  int phase;                     // index into plan.phases
  batch_source data, validation; // validation.batch NULL: none
  double rest; // work that follows on this phase, as a multiple of its own, for the time left; 0: none
} train_phase;

typedef struct train_options {
  const char *run; // folder of log.jsonl, checkpoints/ and, in the end, parameters.safetensors
  bool resume;
  const train_phase *phases;
  int phase_count;
  const json_t *settings;            // what the result depends on, flat, beside what the plan says; kept in checkpoints
  const volatile sig_atomic_t *stop; // not 0: finish the step, save and return; NULL: never
  FILE *progress;                    // NULL: silent
  profile *profile;                  // gets the steps; NULL: none
} train_options;

typedef struct train_report {
  bool stopped;                 // by options->stop, before the end
  bool complete_before;         // nothing was left to do
  int64_t steps;                // done in all, those before a resume too
  double loss, validation_loss; // the last ones; NAN: none
  double seconds;
  char checkpoint[512]; // the last one written
} train_report;

bool train_run(lmn_network *network, const train_options *options, train_report *report, lmn_error *error);
// Steps of a phase: `steps`, or `epochs` times its batches; the smaller of the two where both are said; one epoch where
// none is.
int64_t train_steps(const plan_phase *phase, int64_t batches_in_epoch);
// Validations in so many steps of a phase that has the data; the first phase has one more, before its first step.
int64_t train_validations(const plan_phase *phase, int64_t steps);

typedef struct evaluation {
  double loss_sum;
  int64_t labels, right; // right: of a classifier
  bool stopped;          // by `tick`, before the end
} evaluation;
// tick: after each batch; false ends the evaluation. NULL: none.
bool evaluate_source(lmn_network *network, const batch_source *source,
                     bool (*tick)(void *context, int64_t done, int64_t all), void *context, evaluation *result,
                     lmn_error *error);
double evaluation_loss(const evaluation *e); // mean; NAN where no label counts

#endif
