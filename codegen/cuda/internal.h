// Shared by cuda.c and compile.c only; emitters include cuda.h.
#ifndef LMN_CUDA_INTERNAL_H
#define LMN_CUDA_INTERNAL_H

#include "codegen/cuda/cuda.h"

struct cuda_codegen {
  arena *arena;
  const plan *plan;
  const char *architecture, *cache, *tiles;
  timings *timings;
  cuda_kernel *kernels;
  int kernel_count, kernel_capacity;
  bool lines; // for profilers: cubins say which lines their code comes from
};

// lines.c
extern const char cuda_line_of_place[]; // stands in a kernel's text in front of what an emitter wrote
// The kernel's text with #line directives. each: in front of each line that an emitter wrote, as they are all of one
// line of the .lmn file; else, to be read, where they begin.
void cuda_add_lines(const cuda_kernel *k, bool each, text *out);

#endif
