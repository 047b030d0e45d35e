// A training made ready: data, entries and the network of the phases asked for. For the commands that train.
#ifndef LMN_DRIVER_TRAINING_H
#define LMN_DRIVER_TRAINING_H

#include "driver/data.h"

#include <signal.h>

typedef struct training {
  const run_options *options;
  network_source source;
  tokenizer *tokenizer;
  dataset **data, **validation; // by place in `phases`
  dataset *test;                // of --test, measured when all is trained; NULL: none
  train_phase *phases;
  entry_wanted *wanted;
  int *indices, count, wanted_count; // indices: of the phases to train, in source.phases
  json_t *settings;
  lmn_network *network;
} training;

// The source, the phases and the data; then the network compiled and loaded. What is there is closed by training_close,
// also after an error.
bool training_open(training *t, const run_options *o, lmn_error *error);
bool training_network(training *t, lmn_error *error);
void training_close(training *t);

// The first SIGINT or SIGTERM after that sets training_stop, a second one ends the process as usual.
extern volatile sig_atomic_t training_stop;
void training_catch_signals(void);

#endif
