// Checkpoints of a training: RUN/checkpoints/step-00000100/ with parameters.safetensors (every parameter by its name),
// optimizer.safetensors (moment1.<parameter>, moment2.<parameter>) and state.json. Each is written aside, synced and
// renamed, so one that is there is whole.
#ifndef LMN_CHECKPOINT_H
#define LMN_CHECKPOINT_H

#include "runtime/lmn.h"

#include <jansson.h>

// Where a training stands, between two steps.
typedef struct training_state {
  int phase;            // index into plan.phases
  int64_t step;         // optimizer steps done in the phase
  int64_t total_step;   // in all phases
  int64_t batches;      // micro-batches drawn in the phase: epoch and index follow from it
  int64_t epoch, index; // the same, as the data set counts: for people
  int64_t log_bytes;    // length of log.jsonl
  double seconds;       // trained so far
} training_state;

// Writes a checkpoint of the network and keeps the last `keep`. settings: what the training depends on, see
// checkpoint_compare.
bool checkpoint_save(lmn_network *network, const char *run, const training_state *state, const json_t *settings,
                     int keep, lmn_error *error);
// The newest checkpoint of a run: its folder in *newest (from `a`); NULL where there is none. Also clears away what a
// killed process left.
bool checkpoint_newest(arena *a, const char *run, const char **newest, lmn_error *error);
// Reads state.json and compares its settings with `settings`: false, with a message that names the first one that
// differs.
bool checkpoint_read_state(const char *checkpoint, const json_t *settings, training_state *state, lmn_error *error);
// Compares flat objects: what was once set, read from `path`, and what is now. False, with a message that names the
// first that differs, in the order of `now`. what, again: "training", "train", for the message.
bool settings_compare(const char *path, const char *what, const char *again, const json_t *then, const json_t *now,
                      lmn_error *error);
// Parameters, and the optimizer state of the state's phase.
bool checkpoint_load(lmn_network *network, const char *checkpoint, const training_state *state, lmn_error *error);

#endif
