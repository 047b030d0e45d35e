// How the runtime calls the kernels in kernels.so. Included by both sides; plain C, no LLVM.
#ifndef LMN_CPU_ABI_H
#define LMN_CPU_ABI_H

#include <stdint.h>

// What a kernel may call back: single-threaded row-major products on float32 (OpenBLAS).
// C[m, n] = alpha op(A) op(B) + beta C; trans_a: A is stored [k, m]; trans_b: B is stored [n, k].
struct kernel_host {
  void (*sgemm)(int64_t trans_a, int64_t trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
};

// A launch's kernel: does tasks [begin, end). args and dims are the launch's; scratch is this thread's, 64-byte
// aligned.
typedef void kernel_function(void *const *args, const int64_t *dims, int64_t begin, int64_t end, void *scratch,
                             const struct kernel_host *host);

// A product's epilogue: does rows [row_begin, row_end), columns [column_begin, column_end) of group `group` of C, in
// place.
typedef void epilogue_function(void *const *args, const int64_t *dims, int64_t row_begin, int64_t row_end,
                               int64_t column_begin, int64_t column_end, int64_t group);

#endif
