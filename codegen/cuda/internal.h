// Shared by cuda.c and compile.c only; emitters include cuda.h.
#ifndef LMN_CUDA_INTERNAL_H
#define LMN_CUDA_INTERNAL_H

#include "codegen/cuda/cuda.h"

struct cuda_codegen {
  arena *arena;
  const plan *plan;
  const char *architecture, *cache, *tiles;
  const tiles_file *measured;
  cuda_trials *trials;
  timings *timings;
  cuda_kernel *kernels;
  int kernel_count, kernel_capacity;
};

#endif
