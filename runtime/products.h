// The products of LAUNCH_GEMM on the CPU: how they are cut among the threads and what does the pieces, sgemm_avx512
// where the CPU has the instructions, else OpenBLAS. Every element of C is one sum over k in order whatever the cut:
// results do not depend on the threads.
#ifndef LMN_PRODUCTS_H
#define LMN_PRODUCTS_H

#include "runtime/plan.h"
#include "runtime/threads.h"

// Before the first product. Fails, naming the package, where OpenBLAS is needed and not installed. With
// LMN_PRODUCTS=openblas in the environment OpenBLAS does them on every CPU, to compare.
bool products_open(lmn_error *error);
const char *products_by(void); // "sgemm_avx512" or "OpenBLAS"
int64_t products_room(void);   // bytes of scratch memory that a thread needs

typedef struct product_run {
  const plan_launch *launch;
  void *const *args;      // of the launch, then of the riders behind it
  void *const *functions; // the epilogue or NULL, then the riders'
  int riders;
  thread_pool *pool;
  char *scratch; // of thread 0; scratch_stride bytes a thread
  int64_t scratch_stride;
} product_run;

void products_run(const product_run *r);

#endif
