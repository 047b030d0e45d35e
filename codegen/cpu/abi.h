// How the runtime calls the kernels in kernels.so. Included by both sides; plain C, no LLVM.
#ifndef LMN_CPU_ABI_H
#define LMN_CPU_ABI_H

#include <stdint.h>

// A launch's kernel: does tasks [begin, end). args and dims are the launch's; scratch is this thread's, 64-byte
// aligned.
typedef void kernel_function(void *const *args, const int64_t *dims, int64_t begin, int64_t end, void *scratch);

// A product's epilogue: does rows [row_begin, row_end), columns [column_begin, column_end) of group `group` of C, in
// place.
typedef void epilogue_function(void *const *args, const int64_t *dims, int64_t row_begin, int64_t row_end,
                               int64_t column_begin, int64_t column_end, int64_t group);

#endif
