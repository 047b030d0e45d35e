// Writes a kernel's MLIR text: one call an operation, values by handle. Everything is in func, scf, arith, math and
// bare llvm pointers.
//   kernel_text k = {0};
//   kernel_abi abi = k_kernel(&k, "double_it");
//   ssa x = k_load(&k, abi.args, k_int(&k, 0), K_PTR);
//   ssa i = k_for(&k, abi.begin, abi.end, k_int(&k, 1));
//   k_store(&k, k_mul(&k, k_load(&k, x, i, K_F32), k_float(&k, 2)), x, i);
//   k_end(&k);
//   k_return(&k);
#ifndef LMN_CPU_KERNEL_TEXT_H
#define LMN_CPU_KERNEL_TEXT_H

#include "runtime/base.h"

typedef enum { K_I1, K_I32, K_I64, K_F32, K_F64, K_PTR } scalar_type;

// An SSA value; lanes > 0: a vector of its type (f32, or i1 of a comparison).
typedef struct ssa {
  int id;
  short index;        // of a loop with several results; -1: the only one
  unsigned char type; // scalar_type
  int lanes;
} ssa;

typedef struct kernel_text {
  text out;
  int next, depth;
  // What the open loops and branches carry out, innermost last.
  struct {
    int count;
    ssa *carried; // of a carrying loop: overwritten by its results at the end
    int results;  // their number
  } open[16];
} kernel_text;

typedef struct kernel_abi {
  ssa args, dims, begin, end, scratch;
} kernel_abi;

// A function of the kernel ABI (codegen/cpu/abi.h), up to k_return.
kernel_abi k_kernel(kernel_text *k, const char *name);
// A private function. types: one letter a parameter: n noalias pointer, p pointer, i i64, f f32; a ! before them keeps
// LLVM from inlining it.
void k_function(kernel_text *k, const char *name, const char *types, ssa *parameters);
void k_public_function(kernel_text *k, const char *name, const char *types, ssa *parameters); // seen by the runtime
void k_return(kernel_text *k);
#define K_CALL(k, name, ...)                                                                                           \
  k_call(k, name, (const ssa[]){__VA_ARGS__}, (int)(sizeof((const ssa[]){__VA_ARGS__}) / sizeof(ssa)))
void k_call(kernel_text *k, const char *name, const ssa *arguments, int count);
// A body (see cpu_body): f32 arguments and results.
void k_call_body(kernel_text *k, const char *name, const ssa *arguments, int count, ssa *results, int result_count);

ssa k_int(kernel_text *k, int64_t value);
ssa k_float(kernel_text *k, double value);  // f32
ssa k_double(kernel_text *k, double value); // f64
ssa k_int32(kernel_text *k, int32_t value);
ssa k_null(kernel_text *k);

// Arithmetic on two values of one type: integers signed, floats (and vectors) with fused multiply-add allowed.
ssa k_add(kernel_text *k, ssa a, ssa b);
ssa k_sub(kernel_text *k, ssa a, ssa b);
ssa k_mul(kernel_text *k, ssa a, ssa b);
ssa k_div(kernel_text *k, ssa a, ssa b);
ssa k_rem(kernel_text *k, ssa a, ssa b);
ssa k_min(kernel_text *k, ssa a, ssa b); // a NaN stays a NaN
ssa k_max(kernel_text *k, ssa a, ssa b);
ssa k_add_any_order(kernel_text *k, ssa a, ssa b);       // of a reduction: the vectoriser may reorder it
ssa k_max_any_order(kernel_text *k, ssa a, ssa b);       // the same; of a reduction without NaN
ssa k_fma(kernel_text *k, ssa a, ssa b, ssa c);          // a b + c
ssa k_math(kernel_text *k, const char *function, ssa a); // "exp", "log", "sqrt"
// predicate: arith's, "slt", "eq", … of integers, "olt", "oeq", … of floats.
ssa k_compare(kernel_text *k, const char *predicate, ssa a, ssa b);
ssa k_and(kernel_text *k, ssa a, ssa b);
ssa k_select(kernel_text *k, ssa condition, ssa a, ssa b);
ssa k_clamp(kernel_text *k, ssa a, ssa low, ssa high);
ssa k_convert(kernel_text *k, ssa a, scalar_type to); // i32 to i64, f32 to f64, f64 to f32, i1 or i64 to f32, i1 to i64

// Memory. Indices are in elements of the type (of 4 bytes for k_at).
ssa k_at(kernel_text *k, ssa pointer, ssa index);
ssa k_load(kernel_text *k, ssa pointer, ssa index, scalar_type type);
void k_store(kernel_text *k, ssa value, ssa pointer, ssa index);
ssa k_load_vector(kernel_text *k, ssa pointer, ssa index, int lanes); // of f32
ssa k_splat(kernel_text *k, ssa value, int lanes);
ssa k_sum_lanes(kernel_text *k, ssa vector);
ssa k_lane_numbers(kernel_text *k, int lanes);                // 0, 1, … as f32
ssa k_shuffle(kernel_text *k, ssa a, ssa b, const int *from); // lane i: lane from[i] of a and b side by side
void k_copy(kernel_text *k, ssa to, ssa from, ssa elements);  // f32, no overlap
void k_zero(kernel_text *k, ssa to, ssa elements);            // f32
ssa k_argument(kernel_text *k, kernel_abi abi, int index);    // pointer number `index` of the launch's
ssa k_dim(kernel_text *k, kernel_abi abi, int index);

// Control flow: k_for and k_if open, k_end closes.
ssa k_for(kernel_text *k, ssa from, ssa to, ssa step);
// A loop over values: inside, carried[i] are this round's; k_end_carry gives the next round's and turns carried into
// the results.
ssa k_for_carry(kernel_text *k, ssa from, ssa to, ssa step, ssa *carried, int count);
void k_end_carry(kernel_text *k, const ssa *next);
void k_if(kernel_text *k, ssa condition);
void k_else(kernel_text *k);
void k_end(kernel_text *k);

#endif
