// Shared by rows.c and columns.c: loops over rows around bodies.
#ifndef LMN_CUDA_ROWS_H
#define LMN_CUDA_ROWS_H

#include "codegen/cuda/cuda.h"

// How many elements side by side a thread may take at once (1, 2, 4, 8; 16 bytes of what is narrowest) of the rows of
// `elements`, operand segments 0 and 2 and the first `results` result segments, by their types and where they begin.
int cuda_row_many(cuda_entry *e, MlirOperation op, int64_t elements, int operands, int results);
// Appends prefix0, prefix1 … for the arguments of a body, each with `behind` behind it, and commas between.
void cuda_names(text *t, const char *prefix, int count, const char *behind, bool *some);

// Sums by columns (columns.cuh). Blocks that share a group's rows, and how many rows are a multiple of `at_once`.
enum { COLUMN_FAN = 16 };                                                  // as in columns.cuh
int64_t cuda_column_parts(int64_t rows, int64_t most, int64_t at_once);
// Includes columns.cuh, and the kernel's own memory for that many parts of `width` sums of so many groups.
void cuda_column_memory(cuda_source *s, int64_t groups, int64_t parts, int64_t width);

#endif
