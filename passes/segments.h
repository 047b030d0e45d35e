// Sums of segments, as the edges of a frontier make them: what each of several values of equal rows is the sum of.
// nn.add, nn.stack, nn.unstack and nn.segment_sum all say such a thing; here they are read as one, joined, and written
// as the simplest op that says it.
#ifndef LMN_SEGMENTS_H
#define LMN_SEGMENTS_H

#include "ir/ir.h"

typedef struct segment_sums {
  arena *arena;
  int64_t rows; // of a segment
  double scale;
  MlirValue *values;
  int value_count, value_capacity;
  int64_t *counts; // of the terms of each sum
  int count, capacity;
  struct segment_term {
    int value; // index into values
    int64_t index;
  } * terms; // those of the first sum first
  int term_count, term_capacity;
} segment_sums;

// Without sums yet.
segment_sums segments_begin(arena *a, int64_t rows, double scale);
void segments_sum(segment_sums *s); // the next sum begins
void segments_term(segment_sums *s, MlirValue value, int64_t index);
// What `op` says of segments of so many rows; false: it is none of those ops, or its segments are others.
bool segments_read(ir *m, MlirOperation op, int64_t rows, segment_sums *s);
// Puts what makes it in the place of each value that `may` allows, where that is a sum too (and not scaled).
void segments_open(ir *m, segment_sums *s, bool (*may)(ir *m, MlirValue value));
bool segments_open_value(ir *m, segment_sums *s, int value); // the one; false: it is no such sum
// The sums as one value; `type` has their rows. Frees s.
MlirValue segments_end(builder *b, segment_sums *s, MlirType type);
void segments_free(segment_sums *s);

// Whether every sum has as many terms; how many.
bool segments_even(const segment_sums *s, int64_t *terms);
// Whether v only gives out segments of one value, unscaled: that, and which of its segments each of v's is.
bool segments_spread(ir *m, MlirValue v, int64_t rows, MlirValue *from, int64_t **reads);

#endif
