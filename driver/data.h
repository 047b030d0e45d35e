// Data sets for train and eval: what the .lmn file and the command line say of them.
#ifndef LMN_DRIVER_DATA_H
#define LMN_DRIVER_DATA_H

#include "driver/run_options.h"
#include "runtime/dataset.h"
#include "runtime/train.h"

// said: the paths of the command line, NULL: none; in_file: those of the .lmn file. Relative paths of the command line
// start in the working folder, those of the file beside it (or, if there is nothing, in the working folder).
dataset *data_open(const run_options *o, const network_source *s, const plan_phase *phase, const tokenizer *t,
                   const char *said, const char *in_file, bool shuffle, lmn_error *error);
// The files that data_open opens, between commas, in the source's arena.
const char *data_paths(const network_source *s, const char *said, const char *in_file);
batch_source data_batches(dataset *d);
// A number for everything that the network would read in the first epoch.
bool data_fingerprint(dataset *d, const network_source *s, char text[32], lmn_error *error);

#endif
