// The back end of a target: kernel ops to launches of the plan and to machine code.
#ifndef LMN_CODEGEN_BACKEND_H
#define LMN_CODEGEN_BACKEND_H

#include "codegen/cpu/cpu.h"
#include "codegen/cuda/cuda.h"
#include "passes/target.h"

typedef struct backend {
  const target *target;
  cpu_codegen *cpu; // one of the two
  cuda_codegen *cuda;
} backend;

// Says in the plan what it is for. cache: folder of compiled kernels ("" or NULL: none).
backend backend_create(arena *a, const target *t, plan *p, const char *cache);
void backend_destroy(backend *b);
void backend_time(backend *b, timings *t);
bool backend_lines(backend *b, lmn_error *error); // kernels that tell profilers the lines they come from
// Appends the launches of a scheduled, placed kernel function to `entry`.
bool backend_entry(backend *b, ir *m, plan_entry *entry, lmn_error *error);
// Compiles all kernels into the artifact's folder.
bool backend_finish(backend *b, const char *folder, lmn_error *error);
// Whether --emit=LEVEL is of this target; a level that every target has is.
bool backend_check_level(const target *t, const char *level, lmn_error *error);

#endif
