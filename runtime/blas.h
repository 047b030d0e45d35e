// Single-threaded products by OpenBLAS, opened when first needed.
#ifndef LMN_BLAS_H
#define LMN_BLAS_H

#include "runtime/base.h"

// Fails, naming the package, where OpenBLAS is not installed. The library stays open as long as the process.
bool blas_open(lmn_error *error);

// C[m, n] = op(A) op(B) (+ C where adds), row-major with leading dimensions in elements; trans_a: A is stored [k, m];
// trans_b: B is stored [n, k]. Sizes below 2^31. After blas_open.
void blas_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                const float *b, int64_t ldb, bool adds, float *c, int64_t ldc);

#endif
