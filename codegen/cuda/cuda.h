// The CUDA back end: kernel ops become launches of the plan and kernels in CUDA C++, each of them one cubin by NVRTC.
// One file an op or family of ops. An emitter fills in a launch (args, dims, grid) and writes the kernel's text: what
// is the same for all shapes stands in a .cuh file, what depends on the op (the bodies, the order of its operands) it
// writes itself.
#ifndef LMN_CUDA_H
#define LMN_CUDA_H

#include "codegen/launches.h"
#include "ir/ir.h"
#include "ir/timings.h"
#include "runtime/tiles.h"

typedef struct cuda_codegen cuda_codegen;

// What a kernel needs of the device, as the assembler says it.
typedef struct cuda_resources {
  int64_t registers, spill_stores, spill_loads, stack, shared; // bytes but for registers; shared: the static part
  int64_t warnings;                                            // of its own about wgmma, which it then runs one by one
} cuda_resources;

typedef struct cuda_kernel {
  const char *name, *source; // source: the whole program
  const char *what;          // and place that it was first written for, "gemm net.lmn:7:3"
  const char *comment;       // the same with sizes
  int64_t block, shared;     // threads; bytes of dynamic shared memory, of its first launch
  char *cubin;               // once it is compiled
  size_t cubin_length;
  cuda_resources resources;
} cuda_kernel;

// architecture: "sm_90a". cache: folder of compiled kernels ("" or NULL: none).
cuda_codegen *cuda_codegen_create(arena *a, const plan *p, const char *architecture, const char *cache);
void cuda_codegen_destroy(cuda_codegen *cg);
void cuda_codegen_time(cuda_codegen *cg, timings *t);
void cuda_codegen_lines(cuda_codegen *cg); // cubins that tell profilers their lines; they say whose, so are not shared
void cuda_codegen_tiles(cuda_codegen *cg, const char *tiles); // of the products to come, for measurements
// Tiles i of all those that products for sm_90a may have; NULL: there are no more. Not all suit every product.
const char *cuda_tiles(arena *a, int i);
// Appends the launches of a scheduled, placed kernel function to `entry`.
bool cuda_codegen_entry(cuda_codegen *cg, ir *m, plan_entry *entry, lmn_error *error);
// Products to come have the tiles that were measured for them, where they were; the file outlives the codegen.
void cuda_codegen_measured(cuda_codegen *cg, const tiles_file *measured);
// Products to come are noted in `trials`, each once, with the tiles that are worth measuring.
typedef struct cuda_trials cuda_trials;
void cuda_codegen_try(cuda_codegen *cg, cuda_trials *trials);
cuda_trials *cuda_trials_create(arena *a, const char *architecture, const char *cache);
void cuda_trials_destroy(cuda_trials *t);
int cuda_trials_count(const cuda_trials *t); // products
// Compiles them, and writes an artifact that `lmn-run tune` times.
bool cuda_trials_finish(cuda_trials *t, const char *folder, lmn_error *error);
// Compiles all kernels, from the cache where they are there.
bool cuda_codegen_compile(cuda_codegen *cg, lmn_error *error);
// Compiles, and writes kernels/NAME.cubin in `folder`.
bool cuda_codegen_finish(cuda_codegen *cg, const char *folder, lmn_error *error);
const cuda_kernel *cuda_kernels(const cuda_codegen *cg, int *count);
// What --emit=cuda, ptx and sass print.
void cuda_print_source(const cuda_codegen *cg, text *out);
bool cuda_print_ptx(cuda_codegen *cg, text *out, lmn_error *error);
bool cuda_print_sass(cuda_codegen *cg, text *out, lmn_error *error);

// ---- for the emitters

// The entry being emitted.
typedef struct cuda_entry {
  cuda_codegen *cg;
  ir *ir;
  const plan *plan;
  arena *arena;
  launch_list launches;
  const char *architecture, *tiles; // tiles: of every product, for measurements; NULL: by its shape
  int64_t arena_bytes;              // without scratch memory
  const tiles_file *measured;       // NULL: none
  cuda_trials *trials;              // NULL: not wanted
  MlirOperation done;               // a rider (see ride-attention) that its host's launches have done; null: none
} cuda_entry;

// One emitter an op code, listed in the table in cuda.c.
typedef bool cuda_emitter(cuda_entry *e, MlirOperation op, lmn_error *error);
cuda_emitter cuda_emit_gemm, cuda_emit_row, cuda_emit_row_sums, cuda_emit_glu, cuda_emit_glu_grad; // products.c, rows.c
cuda_emitter cuda_emit_column, cuda_emit_total;                                                    // columns.c
cuda_emitter cuda_emit_copy, cuda_emit_zero, cuda_emit_rope;                                       // copies.c, rope.c
cuda_emitter cuda_emit_attention, cuda_emit_attention_grad, cuda_emit_attention_cached;            // attention.c
cuda_emitter cuda_emit_embed, cuda_emit_embed_grad, cuda_emit_prefix_grad, cuda_emit_select,
    cuda_emit_select_grad;                                                      // embedding.c
cuda_emitter cuda_emit_cross_entropy, cuda_emit_gradient_norm, cuda_emit_adamw; // loss.c, optimizer.c

// The text of a kernel in the making: functions in front of it, and what it does itself, where `p` has the launch's
// args and dims.
typedef struct cuda_source {
  text functions, body;
  const char **bodies; // printed already
  int body_count, body_capacity;
  bool table;             // its parameters always lie in device memory
  bool fast;              // bodies by fast.cuh, which is in front of them; all results are bf16
  const char *attributes; // of the kernel, as "__cluster_dims__(2, 1, 1) "
} cuda_source;

void cuda_include(cuda_source *s, const char *cuh); // a text of texts.h
// Adds a body of the entry's module (kernel.row's stages and the like) and those it calls as functions
// body_SYMBOL(float argument …, float &result …); returns that name. NULL: it has an op that is not known here.
const char *cuda_body(cuda_entry *e, cuda_source *s, const char *symbol, lmn_error *error);
void cuda_float(text *out, double value); // as a literal with the same bits
// What a value is stored as in a kernel's text: "float" or "bf16" (types.cuh); the values of a segment are all alike.
const char *cuda_type(MlirValue value);
const char *cuda_type_of(MlirOperation op, segment part, bool results);

plan_launch *cuda_launch(cuda_entry *e, MlirOperation op);
void cuda_arg(cuda_entry *e, plan_launch *launch, plan_ref ref);
void cuda_arg_value(cuda_entry *e, plan_launch *launch, MlirValue value); // at its place
void cuda_args(cuda_entry *e, plan_launch *launch, MlirOperation op, segment part, bool results);
void cuda_dim(cuda_entry *e, plan_launch *launch, int64_t dim);
// Memory for the launches of one op, behind the entry's values, and the same for all of them: no two ops that have some
// run at once (order.c). Products cut along k count on that: their blocks wait for each other.
plan_ref cuda_scratch(cuda_entry *e, int64_t bytes);
// The kernel takes so much, where that is enough for what the launch has by now, so that launches share it.
void cuda_make_room(plan_launch *launch, cuda_room room);
void cuda_grid(plan_launch *launch, int64_t x, int64_t y, int64_t z, int64_t threads);
// The launch, whose args, dims and grid are complete, runs the kernel of that text, which is freed; its name begins
// with `kind`. A launch of no blocks goes away.
bool cuda_finish(cuda_entry *e, plan_launch *launch, const char *kind, cuda_source *s, lmn_error *error);
bool cuda_drop(cuda_source *s); // frees a text that will not be a kernel; returns false

static inline int64_t blocks_of(int64_t elements, int64_t each) { return (elements + each - 1) / each; }

bool cuda_zero(cuda_entry *e, MlirOperation op, MlirValue y, lmn_error *error); // copies.c: clears y
// products.c: a product of one group without an epilogue, for other emitters.
typedef struct cuda_product_types {
  const char *a, *b, *c;
} cuda_product_types;
bool cuda_product(cuda_entry *e, MlirOperation op, const plan_gemm *g, cuda_product_types types, plan_ref a, plan_ref b,
                  plan_ref c, lmn_error *error);

#endif
