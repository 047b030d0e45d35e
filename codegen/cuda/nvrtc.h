// NVIDIA's compiler of CUDA C++, opened at run time: lmnc needs nothing of the toolkit to be built.
#ifndef LMN_CUDA_NVRTC_H
#define LMN_CUDA_NVRTC_H

#include "runtime/base.h"

typedef struct nvrtc_program nvrtc_program; // NVIDIA's _nvrtcProgram

typedef struct nvrtc {
  int major, minor;
  const char *(*error_string)(int result);
  int (*version)(int *major, int *minor);
  int (*create)(nvrtc_program **program, const char *source, const char *name, int headers, const char *const *texts,
                const char *const *names);
  int (*destroy)(nvrtc_program **program);
  int (*compile)(nvrtc_program *program, int options, const char *const *texts);
  int (*log_size)(nvrtc_program *program, size_t *size);
  int (*log)(nvrtc_program *program, char *to);
  int (*cubin_size)(nvrtc_program *program, size_t *size);
  int (*cubin)(nvrtc_program *program, char *to);
  int (*ptx_size)(nvrtc_program *program, size_t *size);
  int (*ptx)(nvrtc_program *program, char *to);
} nvrtc;

// NULL, with the remedy as the message, where the library is not there. LMN_NVRTC names it where it lies elsewhere.
const nvrtc *nvrtc_open(lmn_error *error);

#endif
