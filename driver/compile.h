// From a .lmn file to an artifact that the runtime opens: what every command of lmnc that runs a network calls first.
#ifndef LMN_DRIVER_COMPILE_H
#define LMN_DRIVER_COMPILE_H

#include "codegen/cuda/cuda.h"
#include "ir/ir.h"
#include "ir/timings.h"
#include "passes/target.h"
#include "runtime/plan.h"

typedef struct compile_options {
  const char *file; // the .lmn file
  const define *defines, *overrides;
  int define_count, override_count;
  bool random_weights;
  const char *const *disabled; // names of passes, --disable-pass
  int disabled_count;
  const char *emit;        // --emit=LEVEL: print that level to `printed`, and stop there; NULL: none
  const char *print_after; // --print-after=PASS: printed to `printed` as the pass ends
  text *printed;
  const char *recompute; // the least to remake in the backward pass, see recompute_name; NULL: nothing
  int64_t memory_limit;  // bytes for a training step and all it needs; 0: none
  const char *from;      // --from=LEVEL: `file` is what --emit=LEVEL printed; NULL: it is a .lmn file
  timings *timings;      // --time-passes; NULL: not wanted
  const char *target;    // "cpu", "sm_90a" …; NULL: the CPU
  const char *precision; // "f32" or, of GPUs, "bf16"; NULL: the target's usual one
  const char *tiles;     // --tiles: a file that lmnc tune wrote; NULL: what it wrote for the GPU here; "": none
  bool line_info;        // kernels of GPUs tell profilers their lines
  const char *cache;     // NULL: $LMN_CACHE, $XDG_CACHE_HOME/lmnc or ~/.cache/lmnc; "": no cache
} compile_options;

typedef struct emitted emitted; // driver/emitted.h

// The parsed network of a compilation; lives until compile_close.
typedef struct compilation {
  arena *arena;
  graph *graph;
  parameter_list *parameters;
  const compile_options *options;
  const target *target;
  bool random_weights;
  const char *precision; // "f32" or "bf16"
  int entry_count;       // of the last compile_entries
  emitted *emitted;      // with options->from: what was read
} compilation;

extern const char compile_from_levels[]; // "lmn, nn, kernel or mlir"
// Reads the file. On errors in it, `messages` has them as they are to be printed, and NULL is returned.
compilation *compile_open(const compile_options *options, text *messages);
void compile_close(compilation *c);
// Compiles the entries asked for into the folder `artifact` (made, or replaced as a whole). With options->emit only
// prints. A train shape also brings its phase's update entry. With options->from the entries are those of the text.
bool compile_entries(compilation *c, const entry_shape *shapes, int count, const char *artifact, lmn_error *error);
// The plan alone: what the entries' launches are, how much memory they need; nothing is compiled to machine code or
// written. NULL: error.
const plan *compile_plan(compilation *c, const entry_shape *shapes, int count, lmn_error *error);
// Compiles the kernels for a GPU, writes nothing, and shows them.
bool compile_kernels(compilation *c, const entry_shape *shapes, int count,
                     void visit(void *user, const cuda_kernel *kernels, int count), void *user, lmn_error *error);
// Every product of the entries with the tiles that are worth measuring, as an artifact for tune_artifact (tune.h);
// products: how many there are.
bool compile_trials(compilation *c, const entry_shape *shapes, int count, const char *artifact, int *products,
                    lmn_error *error);
// Where compiled kernels, and tiles that were measured, are kept; empty: nowhere.
const char *compile_cache(const compilation *c);
// A fresh temporary folder for an artifact that lives as long as the process; removed at exit.
bool compile_temporary(char path[4096], lmn_error *error);

#endif
