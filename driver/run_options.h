// The options of the commands that run a network: train, eval, generate, trace, bench (the same in lmnc and lmn-run),
// and of sweep.
#ifndef LMN_DRIVER_RUN_OPTIONS_H
#define LMN_DRIVER_RUN_OPTIONS_H

#include "driver/options.h"
#include "driver/source.h"
#include "runtime/profile.h"
#include "runtime/sample.h"

typedef enum {
  RUN_TRAIN = 1,
  RUN_EVAL = 2,
  RUN_GENERATE = 4,
  RUN_TRACE = 8,
  RUN_BENCH = 16,
  RUN_SWEEP = 32
} run_command;

typedef struct run_options {
  char **arguments; // the command and what follows it
  int argument_count;
  char **copies; // of these, which the texts below point into
  source_request source;
  define_list defines, settings;
  text_list disabled, phases, prompts, stops;
  bool json, pack, resume, gradients, ids, raw, echo, special, discard, profile, keep, dry_run;
  const char *init, *data, *validation, *test, *prompt, *completion, *text, *output, *prompts_file, *batch_file, *mode,
      *seeds, *trace_file;
  int64_t threads, gpu, batch, length, steps, greedy, max_tokens, repeats, seed;
  sample_options sample;
} run_options;

typedef struct run_usage {
  run_command command;
  const char *name, *about, *example; // example: what follows "lmnc NAME net.lmn"
} run_usage;
// The options of one command; to be freed whatever the result.
options_result run_options_parse(const run_usage *usage, int argument_count, char **arguments, run_options *o);
void run_options_free(run_options *o);

// The commands: each prints its own result, and its error as "error: …" on stderr. They return the exit status.
int train_command(const run_options *o);
int eval_command(const run_options *o);
int generate_command(const run_options *o);
int trace_command(const run_options *o);
int bench_command(const run_options *o);
// The command `name` of these five with its options; -1: it is none of them.
int run_command_named(const char *name, int argument_count, char **arguments);
bool run_command_known(const char *name);                // whether it is one of them
int run_failed(const lmn_error *error);                  // prints the message unless it is empty; 1
void run_print_command(const run_options *o, FILE *out); // the command line as it was, for a shell

// Prints and writes what --profile and --trace-file ask for, where `ok` and there is a profile.
bool run_show_profile(const run_options *o, const profile *p, bool ok, lmn_error *error);

// Opens the source, with --threads and the like.
bool run_source(const run_options *o, network_source *s, lmn_error *error);
// The phases of --phase in the network's order, all without one: count of them in `phases` (room for
// source.phase_count); -1: an error.
int run_phases(const run_options *o, const network_source *s, int *phases, lmn_error *error);
// The network with the entries, its parameters loaded and those of --init replaced.
lmn_network *run_network(const run_options *o, network_source *s, const entry_wanted *wanted, int count,
                         lmn_error *error);

#endif
