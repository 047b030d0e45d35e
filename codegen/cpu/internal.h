// Shared by what makes a library of kernels' texts; emitters include cpu.h.
#ifndef LMN_CPU_INTERNAL_H
#define LMN_CPU_INTERNAL_H

#include "codegen/cpu/cpu.h"

typedef struct cpu_function { // a kernel with its helpers, or a body
  const char *name, *mlir;
} cpu_function;

struct cpu_codegen {
  arena *arena;
  const plan *plan;
  const char *cache;
  timings *timings;
  cpu_function *kernels, *bodies; // bodies: those that a body calls are here as well
  int kernel_count, kernel_capacity, body_count, body_capacity;
};

// MLIR with all upstream dialects, whose messages go to `error`, which must live as long.
MlirContext cpu_context_create(lmn_error *error);

// Replaces math.exp, tanh, erf and log on f32 (and vectors of f32) by calls of private functions of arith and math.fma,
// which it adds to the module; gives every float op of a body the contract flag, so that a product and a sum become one
// fma. False: MLIR refused a helper.
bool cpu_math_replace(MlirContext context, MlirModule module, lmn_error *error);
// Names of functions that are inlined wherever they are called start with one of these.
#define CPU_BODY_PREFIX "body_"
#define CPU_MATH_PREFIX "math_"

#endif
