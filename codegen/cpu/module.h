// Modules of kernels through LLVM, one after the other in a thread.
#ifndef LMN_CPU_MODULE_H
#define LMN_CPU_MODULE_H

#include "codegen/cache.h"
#include "codegen/cpu/internal.h"

#include "llvm-c/TargetMachine.h"

// What a thread needs for one module after the other; {0} to begin with, and not moved while it is used.
typedef struct cpu_compiler {
  MlirContext mlir;
  LLVMTargetMachineRef machine;
  lmn_error error;                       // of the module at hand; MLIR writes it too
  double lowering, optimising, emitting; // seconds, of all modules
} cpu_compiler;

// The module's object to `out`; print: its LLVM IR as text instead.
bool cpu_module_compile(cpu_compiler *c, const text *mlir, bool print, text *out, lmn_error *error);
void cpu_compiler_close(cpu_compiler *c);
// All that the object depends on besides the module's text.
void cpu_key_add(cache_key *key);

#endif
