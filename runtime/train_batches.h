// The micro-batches of a training's steps: those of the next step are drawn, and begin to be copied, while the device
// is at the one before.
#ifndef LMN_TRAIN_BATCHES_H
#define LMN_TRAIN_BATCHES_H

#include "runtime/train.h"

typedef struct step_batches {
  lmn_batch *items;
  int64_t batches, epoch, index; // as training_state has them once these are drawn
  struct owned_arrays *owned;    // of each item: a source's arrays live only until its next call
} step_batches;

typedef struct batch_feed {
  lmn_network *network;
  const batch_source *source;
  int phase, count;      // count: micro-batches of a step
  int64_t batches;       // drawn so far
  step_batches steps[2]; // in turn
  int next;              // of steps
  bool drawn, failed;    // the next step's: drawn ahead; could not be
  lmn_error error;       // why not
} batch_feed;

// feed: all zero. batches: where in the source's epochs the first step begins.
void feed_begin(batch_feed *feed, lmn_network *network, int phase, const batch_source *source, int count,
                int64_t batches);
void feed_end(batch_feed *feed);
// The next step's batches; they are there until the next call but one. NULL: none can be had.
const step_batches *feed_step(batch_feed *feed, lmn_error *error);
// Has the device's next run draw the step after this one meanwhile, where it runs beside the host.
void feed_ahead(batch_feed *feed);

#endif
