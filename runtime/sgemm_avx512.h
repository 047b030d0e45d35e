// Single-threaded products on CPUs with AVX-512. Faster there than OpenBLAS (docs/performance.md), most of all where
// one operand is the weights of a model: they are read once, ahead of their use, and not packed where that can be
// helped.
#ifndef LMN_SGEMM_AVX512_H
#define LMN_SGEMM_AVX512_H

#include "runtime/base.h"

// Bytes of workspace of a product, 64-byte aligned.
int64_t sgemm_avx512_room(void);

// C[m, n] = op(A) op(B) (+ C where adds), float32, row-major with leading dimensions in elements; trans_a: A is stored
// [k, m]; trans_b: B is stored [n, k]. Every element of C is one sum over k in order, in parts that depend on k alone:
// how a product is cut by rows and columns changes no bit.
void sgemm_avx512(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                  const float *b, int64_t ldb, bool adds, float *c, int64_t ldc, void *room);

#endif
