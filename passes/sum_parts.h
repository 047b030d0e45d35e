// In how many parts sums by columns are made (kernel.column, kernel.row_sums, kernel.total).
#ifndef LMN_SUM_PARTS_H
#define LMN_SUM_PARTS_H

#include <stdbool.h>
#include <stdint.h>

// Of the rows of each group: one a processor of a large GPU where a part has whole rows, and more where it has some of
// their columns; fewer of few rows. The same whatever the rows are, where they are many.
static inline int64_t sum_parts(int64_t rows, int64_t groups, int64_t columns, bool whole_rows) {
  enum { PROCESSORS = 128, BLOCKS = 6 * PROCESSORS, SLICE = 256, MOST = 192, LEAST_ROWS = 16 };
  int64_t slices = (columns + SLICE - 1) / SLICE, most = (rows + LEAST_ROWS - 1) / LEAST_ROWS,
          parts = whole_rows ? PROCESSORS / groups : BLOCKS / (groups * (slices ? slices : 1));
  if (parts > MOST) parts = MOST;
  if (parts > most) parts = most;
  return parts < 1 ? 1 : parts;
}

#endif
