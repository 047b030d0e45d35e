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

// Writes checkpoints of a network into a run's folder and keeps the last `keep`. Where the device's memory is not the
// host's, a copy is taken and written by another thread while the network goes on; else begin returns when it is
// written. settings: what the training depends on, see checkpoint_read_state.
typedef struct checkpoint_writer checkpoint_writer;
checkpoint_writer *checkpoint_writer_create(lmn_network *network, const char *run, int keep);
// Waits for the one before, whose error it gives.
bool checkpoint_begin(checkpoint_writer *w, const training_state *state, const json_t *settings, lmn_error *error);
bool checkpoint_settle(checkpoint_writer *w, lmn_error *error); // its error, if it has come to its end by now
bool checkpoint_wait(checkpoint_writer *w, lmn_error *error);   // until it has; true where none was begun
const char *checkpoint_last(const checkpoint_writer *w);        // the last whole one's folder; "": none
void checkpoint_writer_destroy(checkpoint_writer *w);           // waits too

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
