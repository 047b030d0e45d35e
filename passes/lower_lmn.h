// lower-lmn's three files: lower_lmn.c (the pass), lower_lmn_modules.c (what is in vertices and edges), lower_lmn_ops.c
// (single nn ops).
#ifndef LMN_LOWER_LMN_H
#define LMN_LOWER_LMN_H

#include "ir/ir.h"
#include "passes/map.h"

typedef struct lowering {
  ir *m;
  builder b;
  map parameters; // index of its first parameter -> index into values
  MlirValue *values;
  int value_count, value_capacity;
  MlirOperation top; // parameters go before it
  lmn_error *error;
  bool ok;
} lowering;

// Where a run of layers takes its parameters from: one name prefix a group ("qwen.", "v[0]->w.0.").
typedef struct owners {
  const char **prefixes;
  int count;
} owners;

// What attention needs beside its input.
typedef struct context {
  MlirValue starts, table; // either may be absent
  int64_t segments;
} context;

// ---- lower_lmn_ops.c ----------------------------------------------------------------------------

owners owners_inside(lowering *l, owners o, const char *part); // ("qwen.", "model.") -> "qwen.model."
// The parameter of that name, or several adjacent ones as one matrix (names[0] … names[count - 1]).
MlirValue nn_parameter(lowering *l, const char *const *names, int count);
MlirValue nn_input(lowering *l, const char *name, MlirType type);
// A value that edges read of their sources is an nn.segment_sum; the ops with parameters read the sources themselves
// instead.
MlirValue nn_linear(lowering *l, MlirValue x, const MlirValue *weights, const MlirValue *biases, int groups,
                    bool input_major);
// Of the owners' parameters of these names; several (`parts`): one matrix. biases may be NULL.
MlirValue nn_linear_of(lowering *l, MlirValue x, owners o, const char *const *weights, const char *const *biases,
                       int parts, bool input_major);
MlirValue nn_norm(lowering *l, MlirValue x, owners o, norm_kind kind, double eps, const char *weight, const char *bias);
MlirValue nn_activation(lowering *l, MlirValue x, activation_kind kind, bool gated);
MlirValue nn_add(lowering *l, const MlirValue *values, int count, double scale);
MlirValue nn_add_residual(lowering *l, MlirValue x, MlirValue y, int groups);
MlirValue nn_stack(lowering *l, const MlirValue *values, int count);
MlirValue nn_unstack(lowering *l, MlirValue x, int64_t index, int64_t count);
// The values' sums, each of them opened where it is made of segments itself.
MlirValue nn_sum_segments(lowering *l, const MlirValue *values, int count, int64_t rows, double scale);
// The segments reads[0] … reads[count - 1] of x.
MlirValue nn_spread_out(lowering *l, MlirValue x, const int64_t *reads, int count, int64_t rows);
bool nn_is_segment_sum(ir *m, MlirValue v);
bool nn_is_part(ir *m, MlirValue v); // of others' segments: a sum of them, or one

// ---- lower_lmn_modules.c ------------------------------------------------------------------------

MlirValue lower_layers(lowering *l, MlirValue x, const model *d, owners o, context c); // a vertex: with its final norm
MlirValue lower_chain(lowering *l, MlirValue x, const chain *chain, owners o, context c); // an edge, or several alike

#endif
