// The artifact net.lmnx/: what to run, in plan.json, beside the compiled kernels. Written by codegen/, read by the
// runtime; both go through this structure. It says nothing of .lmn, of MLIR or of the compiler.
#ifndef LMN_PLAN_H
#define LMN_PLAN_H

#include "runtime/base.h"

// Every buffer is a byte offset in one of a few spaces, each one allocation.
typedef enum {
  SPACE_PARAMETER, // all parameters, float32; of a GPU the host has the last parked_bytes of them
  SPACE_GRADIENT,  // of the phase's trained parameters, float32; MOMENT1 and MOMENT2 have the same layout
  SPACE_MOMENT1,
  SPACE_MOMENT2,
  SPACE_ARENA,    // of the entry: every value by its lifetime
  SPACE_INPUT,    // of the entry: what the host fills in before a run
  SPACE_OUTPUT,   // of the entry: what the host reads after it
  SPACE_CONSTANT, // rotary tables, filled once after opening
  SPACE_CACHE,    // KV caches of `extend` entries of one (B, capacity)
  SPACE_WEIGHT,   // of precision bf16: all parameters in bf16, each at half its offset in SPACE_PARAMETER
  SPACE_SUM,      // of no launch: the gradients of the micro-batches so far, as in SPACE_GRADIENT
  SPACE_COUNT
} plan_space;
extern const char *const plan_space_names[SPACE_COUNT]; // "parameter", …

typedef struct plan_ref {
  plan_space space;
  int64_t offset; // bytes
} plan_ref;

typedef enum { TYPE_F32, TYPE_I32 } plan_type;

typedef enum { SOURCE_TENSOR, SOURCE_NORMAL, SOURCE_ONES, SOURCE_ZEROS } source_kind;
typedef struct plan_parameter {
  const char *name; // checkpoint name
  int rank;
  int64_t shape[2], offset, elements; // offset: bytes in SPACE_PARAMETER
  source_kind source;
  const char *directory, *tensor; // SOURCE_TENSOR: model directory and Hugging Face name
  double mean, std;               // SOURCE_NORMAL, from the stream named `name`
  const char *group;              // "model", "vertex", "edge", "project", "head", "prefix"
  bool matrix;
  bool tied; // the embedding table of a model whose head it is too
} plan_parameter;

// A rotary table [length, dim] float32: cos in columns 0 … dim/2 - 1, sin in the rest, computed in float32 as
// transformers does.
typedef struct plan_rotary {
  int64_t offset, length, dim; // offset in SPACE_CONSTANT
  int kind;                    // rope_kind's order: 1 default, 2 linear, 3 llama3
  double theta, factor, low_frequency_factor, high_frequency_factor;
  int64_t original_length;
} plan_rotary;

typedef struct plan_value { // a named input or output of an entry
  const char *name;
  plan_type type;
  int rank;
  int64_t shape[4];
  plan_ref at;
} plan_value;

// One product over `groups` problems: C[m, n] = op(A)[m, k] op(B)[k, n] (+ C where accumulate), row-major with leading
// dimensions; op is the transpose where trans_a (A stored [k, m]) or trans_b (B stored [n, k]). After a tile of C is
// ready the epilogue kernel, if any, runs on it (see codegen/cpu/abi.h). Where `pieces` is not 0, a group is the
// sum of several products, its pieces: those of group g are dims[GEMM_FIRST + g] up to dims[GEMM_FIRST + g + 1] of
// `pieces` in all. args: A of every group (piece), B of every group (piece), C of every group, then the epilogue's.
enum { GEMM_FIRST = 7 };
typedef struct plan_gemm {
  int64_t m, n, k, lda, ldb, ldc, groups;
  bool trans_a, trans_b, accumulate;
  int64_t pieces;
} plan_gemm;

// The CPU cuts C by columns too where it has fewer rows, or is more than so many times wider than high (B would be
// packed again for every few rows): then no row of it is whole before all of it is.
enum { GEMM_FEW_ROWS = 192, GEMM_WIDE = 8 };

// A tensor map, with which the GPU copies boxes between global and shared memory: `count` row-major matrices, each
// `stride` bytes behind the one before, of bf16 (bytes 2) or float32 (4). What lies outside of a matrix is read as 0
// and not written. swizzle: 0, or the bytes of a row of the box, 32, 64 or 128, in which 16-byte pieces change places.
// pieces: 0, or a row is so many pieces of `columns` side by side, and a box has `box_pieces` of each of its rows.
typedef struct plan_map {
  plan_ref at;
  int64_t bytes, columns, rows, count, row_stride, stride, box_columns, box_rows, swizzle, pieces, box_pieces;
} plan_map;

// LAUNCH_CUDA: `kernel` is the extern "C" __global__ function of that name in kernels/NAME.cubin. Its parameters are
// one packed buffer: every tensor map (128 bytes), every arg as a 64-bit device address, every dim as an int64, filled
// up to a multiple of 64 bytes where there are maps. A kernel for launches of several sizes takes `room` of each: what
// a launch has less is zero. Up to CUDA_PARAMETER_BYTES of them, CUDA_MAPS_PARAMETER_BYTES with maps, are passed by
// value; with `table` the buffer, then without maps, lies in device memory and the kernel takes its address.
enum {
  CUDA_PARAMETER_BYTES = 4000,
  CUDA_MAPS_PARAMETER_BYTES = 32000,
  CUDA_MAP_BYTES = 128,
  CUDA_SHARED_BYTES = 232448
};
typedef enum { LAUNCH_KERNEL, LAUNCH_GEMM, LAUNCH_CUDA } launch_kind;
typedef struct cuda_room {
  int64_t maps, args, dims;
} cuda_room;
typedef struct plan_launch {
  launch_kind kind;
  const char *kernel;   // symbol in kernels.so; of a gemm, its epilogue's or NULL; of CUDA, the cubin's name too
  const char *what;     // for people: "gemm net.lmn:7:3"
  const char *shape;    // for people: "4096x896x4864 nt, 4 groups"; NULL: nothing to say
  int group;            // whose work it is: so many-th of plan.groups, from 1; 0: of no one node
  int64_t flops, bytes; // of products and attention; read and written, each value once
  int64_t vertices;     // the run of a vertex' layers begins here, of so many vertices stacked; 0: none does
  plan_ref *args;
  int arg_count;
  int64_t *dims; // what the kernel's header comment says
  int dim_count;
  int64_t tasks, grain; // a kernel runs over [0, tasks), split in pieces of at least `grain`
  bool rides;           // a kernel over the rows of the product before it: runs on each piece of that as it is ready
  int64_t scratch;      // bytes of scratch memory for each thread
  plan_gemm gemm;
  int64_t grid[3], block, shared; // of CUDA: blocks, threads of one (x only), bytes of dynamic shared memory
  bool table;
  bool processors; // of CUDA: the kernel's global of that name is told how many multiprocessors this process may use
  plan_map *maps;
  int map_count;
  cuda_room room; // of CUDA, where the kernel has room for more than there is; else all 0
  bool ordered;   // of CUDA: runs when those launches of `after` have; else when the one before it has
  int64_t *after;
  int after_count;
} plan_launch;

typedef enum { ENTRY_TRAIN, ENTRY_UPDATE, ENTRY_EVALUATE, ENTRY_EXTEND, ENTRY_TRACE } entry_kind;
extern const char *const entry_kind_names[5];

// An entry is compiled for its own static shape.
// train:    inputs input_ids [B, T], labels [B, T] (classify: [B]), scale [1] (1 / number of counted labels in the
// whole step),
//           optionally positions [B, T] (learned positions), starts [B, T] (packed: first visible key of each token),
//           last [B] (classify); output loss [1] (already scaled); fills SPACE_GRADIENT.
// update:   inputs scalars [8]: lr, beta1, beta2, eps, weight_decay, 1 - beta1^t, 1 - beta2^t, clip (0: none); output
// gradient_norm [1]. evaluate: as train, without gradients; also output correct [1] for classify (number of rows
// right). trace:    as train, its outputs also every node's value, logits. extend:   inputs input_ids [B, C], lengths
// [B] (positions already in the cache), counts [B] (how many of the C are real, 1 … C),
//           positions [B, C] if learned; output logits [B, V] of each row's last real token; with prefix, an entry of C
//           = 0 runs the prefix.
typedef struct plan_entry {
  const char *name; // "train:edges:4x128", "update:edges", "evaluate:4x128", "extend:1x16:256"
  entry_kind kind;
  int phase;                       // index into plan.phases; -1
  int64_t batch, length, capacity; // length: T or C
  bool packed;
  const char *recompute; // what the backward pass remakes to save memory: "rows", "layers" …; NULL: nothing
  int64_t arena_bytes, input_bytes, output_bytes, cache_bytes;
  plan_value *inputs, *outputs;
  int input_count, output_count;
  plan_launch *launches;
  int launch_count;
  int64_t vertex_runs, vertices, masks, mask_uses,
      flops; // counted at compile time, checked against the runtime's own count of runs
} plan_entry;

// One trained parameter of a phase: its place in SPACE_GRADIENT.
typedef struct plan_trained {
  int parameter;
  int64_t offset;
} plan_trained;

typedef struct plan_phase {
  const char *name;
  plan_trained *trained;
  int trained_count;
  int64_t gradient_bytes;
  // how to train: what the .lmn said, for the trainer
  double lr, beta1, beta2, eps, weight_decay, clip, label_smoothing;
  bool decay_all;
  int schedule; // schedule_kind's order
  int64_t warmup, steps, epochs, batch, length, accumulate, evaluate_every, save_every;
  double schedule_final;
  uint64_t seed;
  const char *data, *validation, *prompt, *completion; // NULL: not said
} plan_phase;

typedef struct plan {
  const char *network, *target;                   // "cpu", or an architecture of CUDA: "sm_90a"
  const char *precision;                          // of weights and activations: "f32" or "bf16"
  const char *cpu, *cpu_features;                 // what kernels.so needs (LLVM's names)
  const char *tokenizer;                          // directory of the input model, where tokenizer.json is
  int64_t vocabulary, classes, prefix, positions; // positions: the longest sequence of learned positions, 0: any
  int64_t bos, pad, eos[8];
  int eos_count;
  bool learned_positions;
  // parked_bytes: of the parameters that no launch reads or writes as float32, which come last: in bf16 matrices that
  // are never trained, of which launches read the copy in SPACE_WEIGHT.
  int64_t parameter_bytes, parked_bytes, constant_bytes;
  plan_parameter *parameters;
  int parameter_count;
  plan_rotary *rotary;
  int rotary_count;
  plan_phase *phases;
  int phase_count;
  plan_entry *entries;
  int entry_count;
  // Nodes and arrows whose work is done together: "v[1][0], v[1][1]" run stacked, "v[0] -> w[0], v[0] -> w[1]" grouped.
  const char **groups;
  int group_count;
} plan;

// plan.json <-> plan. Reading checks everything a wrong file could break (offsets inside their spaces, counts, kinds)
// and names the place.
bool plan_read(arena *a, const char *path, plan **result, lmn_error *error);
bool plan_read_text(arena *a, const char *path, const char *json, plan **result,
                    lmn_error *error);     // path: for messages
void plan_write(const plan *p, text *out); // as JSON
// Model folders that are not where they were when it was compiled are taken from the folders of LMN_MODELS.
void plan_find_models(plan *p, arena *a);
int plan_launches(const plan_entry *e);             // without riders
int64_t gemm_pieces(const plan_gemm *g);            // of all groups
cuda_room plan_room(const plan_launch *l);          // what the kernel of a launch of CUDA takes
int64_t plan_parameter_bytes(const plan_launch *l); // of its packed buffer
// The memory that running `e` takes: parameters, gradients and optimizer state of its phase, and its own spaces; of
// each space, and of all.
void plan_space_bytes(const plan *p, const plan_entry *e, int64_t bytes[SPACE_COUNT]);
int64_t plan_bytes(const plan *p, const plan_entry *e);
int64_t plan_weight_bytes(const plan *p); // of SPACE_WEIGHT; 0: the plan has no bf16
bool plan_is_bf16(const plan *p);
const plan_entry *plan_find(const plan *p, entry_kind kind, int phase, int64_t batch, int64_t length); // NULL: none

#endif
