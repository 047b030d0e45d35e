// The CPU back end: kernel ops become launches of the plan and kernels in MLIR, those one shared object. One file an op
// or family of ops; each emitter writes the kernel's MLIR text once (kernels are shared by every op, group and entry
// that needs the same one) and appends launches.
#ifndef LMN_CPU_H
#define LMN_CPU_H

#include "codegen/cpu/abi.h"
#include "codegen/launches.h"
#include "ir/ir.h"
#include "ir/timings.h"

typedef struct cpu_codegen cpu_codegen;

// cache: folder of compiled kernels ("" or NULL: none), keyed by source, options, CPU and LLVM's version.
cpu_codegen *cpu_codegen_create(arena *a, const plan *p, const char *cache);
void cpu_codegen_destroy(cpu_codegen *cg);
void cpu_codegen_time(cpu_codegen *cg, timings *t); // where cpu_codegen_finish's time goes
// Appends the launches of a scheduled, placed kernel function to `entry`.
bool cpu_codegen_entry(cpu_codegen *cg, ir *m, plan_entry *entry, lmn_error *error);
// Compiles all kernels to the shared object `path`: MLIR to LLVM IR, O3 for this CPU, object, linked by cc or lld. From
// the cache if there.
bool cpu_codegen_finish(cpu_codegen *cg, const char *path, lmn_error *error);
// What --emit=mlir and --emit=llvm print. cpu_read_mlir reads the former, which began at `line` of `file`, in place of
// cpu_codegen_entry.
void cpu_print_mlir(const cpu_codegen *cg, text *out);
bool cpu_read_mlir(cpu_codegen *cg, const char *source, const char *file, int line, lmn_error *error);
bool cpu_print_llvm(cpu_codegen *cg, text *out, lmn_error *error);
const char *cpu_name(void); // LLVM's name of this CPU and its feature string, for plan.cpu and plan.cpu_features
const char *cpu_features(void);

// ---- for the emitters

// The entry being emitted.
typedef struct cpu_entry {
  cpu_codegen *cg;
  ir *ir;
  const plan *plan;
  arena *arena;
  launch_list launches;
} cpu_entry;

// One emitter an op code, listed in the table in cpu.c. False with a message where the op cannot be emitted.
typedef bool cpu_emitter(cpu_entry *e, MlirOperation op, lmn_error *error);
cpu_emitter cpu_emit_gemm, cpu_emit_row, cpu_emit_column, cpu_emit_glu, cpu_emit_glu_grad, cpu_emit_copy,
    cpu_emit_zero; // products.c, rows.c, copies.c
cpu_emitter cpu_emit_rope, cpu_emit_attention, cpu_emit_attention_grad, cpu_emit_attention_cached; // attention*.c
cpu_emitter cpu_emit_embed, cpu_emit_embed_grad, cpu_emit_prefix_grad, cpu_emit_select,
    cpu_emit_select_grad;                                                   // embedding.c
cpu_emitter cpu_emit_cross_entropy, cpu_emit_gradient_norm, cpu_emit_adamw; // loss.c, optimizer.c

// Adds the kernel `name` (its MLIR text: a func.func @name of the ABI below, and any private helpers whose names start
// with name) unless it is there. The ABI in MLIR, bare pointers:
//   func.func @name(%args: !llvm.ptr, %dims: !llvm.ptr, %begin: i64, %end: i64, %scratch: !llvm.ptr)
//   (kernel_function) func.func @name(%args: !llvm.ptr, %dims: !llvm.ptr, %row_begin: i64, %row_end: i64,
//   %column_begin: i64, %column_end: i64, %group: i64)
// Load the argument pointers first, then call an inner private function whose pointer arguments carry {llvm.noalias}:
// LLVM needs that to vectorise. Sizes that matter to speed (D, head size) are constants in the text and part of the
// name, counts of rows are dims.
bool cpu_has_kernel(const cpu_codegen *cg, const char *name);
void cpu_add_kernel(cpu_codegen *cg, const char *name, const char *mlir);
// A body of the entry's module (kernel.row's stages and the like) under a name unique to its text; adds it and every
// body it calls to the kernels' module; returns that name, to be called by func.call. math.exp, math.tanh, math.erf,
// math.log on f32 inside become this back end's own vectorisable polynomials when the kernels are compiled (math.rsqrt,
// math.sqrt, math.fma, math.absf stay).
const char *cpu_body(cpu_entry *e, const char *symbol);

// A new launch at the end of the entry; its `what` comes from the op's location and code.
plan_launch *cpu_launch(cpu_entry *e, MlirOperation op, launch_kind kind, const char *kernel);
void cpu_arg(cpu_entry *e, plan_launch *launch, plan_ref ref);
void cpu_arg_value(cpu_entry *e, plan_launch *launch, MlirValue value); // at its place
void cpu_dim(cpu_entry *e, plan_launch *launch, int64_t dim);

#endif
