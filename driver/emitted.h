// The text of a level, as --emit prints it and --from reads it: a header of comments that says what network it is of,
// then the entries' modules, or at the mlir level the kernels. The one file is enough to go on from, with the models'
// folders that it names. Reproducers are such files too.
//
//   // lmnc 0.1 at nn                     or: at nn before step 9 dce
//   // file "net.lmn"
//   // define "widths" "1/2/1"            of each -D; setting: of each --freeze and the like
//   // random-weights                     where it was asked for
//   // model "m" "/models/Qwen2.5-0.5B"   of each model
//   // source                             the .lmn file, a line each
//   // | network first {
//   // note …                           of reproducers: for the reader
//   // plan, // kernel.mlir               mlir level: these files of the artifact, likewise
//   // entry 1                            its module follows; or: // kernels
#ifndef LMN_DRIVER_EMITTED_H
#define LMN_DRIVER_EMITTED_H

#include "driver/compile.h"

typedef struct emitted_part {
  const char *text;
  int line; // where it begins in the file
} emitted_part;

struct emitted {
  const char *path, *level; // "lmn", "nn", "kernel" or "mlir"
  int step;                 // a reproducer stands before this step, a run of `pass`; 0: at the level
  const char *pass;
  bool random_weights;
  kept_network network;
  emitted_part *entries;
  int entry_count;
  emitted_part plan, kernel_mlir, kernels; // mlir
};

// All but the parts, which the caller adds.
void emitted_header(const compilation *c, const char *level, int step, const char *pass, text *out);
void emitted_note(text *out, const char *note);
void emitted_block(text *out, const char *name, const char *content); // "// name", then the content as comments
// Reads a file of `level`; the message has its line.
emitted *emitted_read(arena *a, const char *path, const char *level, lmn_error *error);

#endif
