// A network under test: compiled once with every optimisation, with each of them off, with all of them off; run, and
// held against the reference.
#ifndef LMN_RANDOM_SUBJECT_H
#define LMN_RANDOM_SUBJECT_H

#include "codegen/cpu/internal.h"
#include "frontend/graph.h"
#include "passes/map.h"
#include "runtime/network.h"
#include "spec.h"

// Which optimisations are off. 0: all of them, what the others are held against; 1: none; then each alone, in the
// order of the passes' table.
enum { VARIANT_ALL_OFF, VARIANT_ALL_ON, VARIANT_FIRST_PASS, VARIANTS_MAX = 32 };
int variant_count(void);
const char *variant_options(int variant); // as lmnc takes them: "--disable-pass cse"

// What is wrong with a network.
typedef struct finding {
  bool found;
  int variant;
  char text[2304];
} finding;
void finding_set(finding *f, int variant, const char *format, ...) PRINTF_LIKE(3, 4); // the first one stays

// How a network is run: what its file does not say.
enum { GREEDY = 3 }; // tokens that generation adds to the batch's
typedef struct run_shape {
  const char *file; // where the network is; NULL: nowhere yet
  uint64_t seed;    // of parameters and batch
  int phase;
  int64_t batch, length;
  bool packed, generates; // generates: also through KV caches
  int recompute;          // how much, see ir.h; of the entries with gradients
} run_shape;

typedef struct subject {
  run_shape shape;
  unsigned variants; // bits: those that are compiled and run, VARIANT_ALL_OFF always
  arena *arena;
  char *folder; // net.lmn, and an artifact a variant: 0, 1, …
  graph *graph; // NULL: it is no network; see finding
  parameter_list *list;
  int64_t capacity; // of its KV caches, 0: it has no extend entries
  finding finding;
} subject;

// The kernels of all subjects, each compiled once. The new ones of a batch are a shared object, new.<n>.so;
// kernels.<batch>.so, which the artifacts have as their kernels.so, holds all of those together.
typedef struct kernel_store {
  const char *root; // folder of everything
  arena *arena;
  cpu_codegen *all;
  MlirContext context;
  map names; // hash of a function's name -> its text
  int batches, libraries, kernels;
} kernel_store;
bool kernels_open(kernel_store *k, const char *root, lmn_error *error);
bool kernels_compile(kernel_store *k,
                     lmn_error *error); // those that came since the last time; then subjects can be run
void kernels_close(kernel_store *k);

// Reads `lmn` (written to folder/net.lmn; NULL: shape.file) and lowers it in every variant; what goes wrong is a
// finding.
void subject_prepare(subject *s, kernel_store *k, const char *folder, const char *lmn, run_shape shape,
                     unsigned variants);
// Once the kernels are there: runs everything, compares everything.
void subject_check(subject *s);
void subject_close(subject *s);

// What subjects are run on, the same for every variant.
typedef struct run_data {
  float **parameters; // of each parameter in the list
  double **exact;     // the same numbers
  lmn_batch batch;
} run_data;
run_data data_draw(const subject *s);

// The directional derivatives of the reference's loss against the gradients, all trained parameters at once.
// gradients: of each trained parameter.
typedef struct trained_gradients {
  const plan_phase *phase;
  const plan *plan;
  const float *memory; // SPACE_GRADIENT
} trained_gradients;
struct reference;
bool gradients_right(const subject *s, struct reference *r, trained_gradients g, char *text, size_t size);

extern struct statistics {
  int64_t values, gradients, directions, updates;
  double worst_value, worst_gradient, worst_direction, worst_update; // as parts of their bars
} statistics;

#endif
