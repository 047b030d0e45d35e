// The kernels of an artifact for a GPU: kernels/NAME.cubin, each a module of one function.
#ifndef LMN_CUDA_KERNELS_H
#define LMN_CUDA_KERNELS_H

#include "runtime/cuda_driver.h"
#include "runtime/plan.h"

typedef struct loaded_kernel {
  const char *name;
  int64_t shared;  // the most dynamic shared memory that a launch takes
  bool processors; // it is told how many there are (plan.h)
  CUmodule module;
  CUfunction function;
} loaded_kernel;

typedef struct cuda_kernels {
  loaded_kernel *items; // by name
  int count;
} cuda_kernels;

// Loads every kernel of the plan into the current context, for so many multiprocessors. What was loaded is there for
// unload, also after a failure.
bool cuda_kernels_load(const cuda_driver *c, const plan *p, const char *artifact, int processors, cuda_kernels *kernels,
                       lmn_error *error);
void cuda_kernels_unload(const cuda_driver *c, cuda_kernels *kernels);
CUfunction cuda_kernels_find(const cuda_kernels *kernels, const char *name); // of a kernel that the plan names

// to[i] += from[i], float32. k: that kernel, all zero before the first call; cuModuleUnload gives it back.
CUresult cuda_add(const cuda_driver *c, loaded_kernel *k, CUdeviceptr to, CUdeviceptr from, int64_t count,
                  CUstream stream);

#endif
