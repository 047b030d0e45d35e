// The network that a command runs: a .lmn file, compiled on the way into a temporary artifact, or an artifact that is
// there already. What a command has to know before it can say which entries it needs (phases, prefix, tokenizer) is
// read first. lmnc has both; lmn-run, which has no compiler, the latter.
#ifndef LMN_DRIVER_SOURCE_H
#define LMN_DRIVER_SOURCE_H

#include "frontend/graph.h"
#include "runtime/lmn.h"

typedef struct source_request {
  const char *net;                  // .lmn file or artifact
  const define *defines, *settings; // -D name=value; settings of `train`, in .lmn syntax
  int define_count, setting_count;
  const char *const *disabled; // --disable-pass
  int disabled_count;
  bool random_weights;
  const char *recompute;          // what the backward pass remakes at least; NULL: nothing
  int64_t memory_limit;           // bytes that training may take; 0: any
  const char *target, *precision; // what a .lmn file is compiled for, as compile_options has them; NULL: the usual
  lmn_options options;            // how it is opened
  text *messages;                 // gets the errors of a .lmn file; NULL: they are printed
} source_request;

// An entry that a command needs; as in plan_entry. gradients: of a trace entry.
typedef struct entry_wanted {
  entry_kind kind;
  int phase;
  int64_t batch, length, capacity;
  bool packed, gradients;
} entry_wanted;

typedef struct network_source {
  const source_request *request;
  arena *arena;
  const char *network, *folder; // folder: where relative paths in the .lmn file start
  const char *tokenizer;        // directory of the input model
  int64_t vocabulary, classes, prefix, positions, bos, eos[8];
  int eos_count;
  plan_phase
      *phases; // with the settings of the command line; trained, gradient_bytes are not filled in for a .lmn file
  int phase_count;
  int64_t rows;        // most prompts at once; 0: any number
  void *compilation;   // of a .lmn file
  lmn_network *opened; // of an artifact
} network_source;

// False with a message; errors of a .lmn file go to request->messages as they are, and the message is left empty.
bool source_open(network_source *s, const source_request *request, lmn_error *error);
void source_close(network_source *s); // the network stays open
// Compiles the entries (or checks that the artifact has them), opens the network, loads the parameters: from `seed`
// where they are new.
lmn_network *source_network(network_source *s, const entry_wanted *wanted, int count, uint64_t seed, lmn_error *error);
// Compiles only: the artifact's folder, in the source's arena. Of an artifact: itself.
const char *source_artifact(network_source *s, const entry_wanted *wanted, int count, lmn_error *error);

// The part for artifacts, shared by both programs.
bool artifact_is(const char *net); // a folder with a plan.json
bool artifact_open(network_source *s, lmn_error *error);
bool artifact_has(network_source *s, const entry_wanted *wanted, int count, lmn_error *error);
// Whether the device has memory for each of them.
bool artifact_fits(lmn_network *n, const entry_wanted *wanted, int count, lmn_error *error);

int source_phase(const network_source *s, const char *name, lmn_error *error); // index; -1: none, with the nearest name

#endif
