// Shared by rows.c and columns.c: loops over rows around bodies.
#ifndef LMN_CUDA_ROWS_H
#define LMN_CUDA_ROWS_H

#include "codegen/cuda/cuda.h"

// How many elements side by side a thread may take at once (1, 2, 4, 8; 16 bytes of what is narrowest) of the rows of
// `elements`, operand segments 0 and 2 and the first `results` result segments, by their types and where they begin.
int cuda_row_many(cuda_entry *e, MlirOperation op, int64_t elements, int operands, int results);
// Appends prefix0, prefix1 … for the arguments of a body, each with `behind` behind it, and commas between.
void cuda_names(text *t, const char *prefix, int count, const char *behind, bool *some);

// Sums by columns of one op. Each of `parts` blocks of a group has a part of its rows, and leaves what it sums in row
// blockIdx.x of a matrix a kind and group. Those are the op's results, or scratch memory, and a second launch adds
// them.
int64_t cuda_sum_parts(MlirOperation op, int64_t rows, int64_t columns, bool whole_rows);
// The matrices as args of the launch; false: they are not those that `parts` says.
bool cuda_sum_args(cuda_entry *e, plan_launch *launch, MlirOperation op, segment sums, int64_t parts, int64_t columns,
                   lmn_error *error);
// After the launch.
bool cuda_finish_sums(cuda_entry *e, MlirOperation op, segment sums, int64_t parts, int64_t columns, lmn_error *error);

#endif
