// The three dialects (lmn, nn, kernel; see ops.def) over the MLIR C API: one module an entry, its ops flat in one
// func.func, bodies of row formulas as private functions beside it. Builders, getters, the verifier and the printer.
#ifndef LMN_IR_H
#define LMN_IR_H

#include "frontend/graph.h"
#include "runtime/plan.h"

#include "mlir-c/BuiltinAttributes.h"
#include "mlir-c/BuiltinTypes.h"
#include "mlir-c/IR.h"

typedef enum {
#define OP(code, name, operands, results, attributes, flags) code,
#include "ir/ops.def"
#undef OP
  OP_COUNT,
  OP_OTHER = OP_COUNT // of an upstream dialect
} op_code;

enum { PURE = 1, SINK = 2, DERIVES = 4 };

// What an entry is compiled for. kind, phase, batch, length, capacity, packed: as in plan_entry.
typedef struct entry_shape {
  entry_kind kind;
  int phase;
  int64_t batch, length, capacity;
  bool packed, gradients; // gradients: a trace entry with --grad
} entry_shape;

// What the backward pass remakes instead of keeping, less memory and more work down the list; each with what is above
// it.
typedef enum {
  RECOMPUTE_NOTHING,
  RECOMPUTE_ROWS,         // norms and activations
  RECOMPUTE_FEED_FORWARD, // the products that activations read (gate and up)
  RECOMPUTE_LAYERS,       // all but the residual stream
  RECOMPUTE_LAYERS_2,     // all but every second, fourth, eighth sum of the residual stream: one a layer, …
  RECOMPUTE_LAYERS_4,
  RECOMPUTE_LAYERS_8,
  RECOMPUTE_POLICIES
} recompute_policy;
// How much is remade is counted in eighths of a policy: of RECOMPUTE_PARTS * RECOMPUTE_ROWS + 3, three eighths of the
// layers have what follows RECOMPUTE_ROWS, the others RECOMPUTE_ROWS.
enum { RECOMPUTE_PARTS = 8, RECOMPUTE_MOST = RECOMPUTE_PARTS * (RECOMPUTE_POLICIES - 1) };
// "rows+3/8"; "rows" where there is nothing besides. recompute_read: -1 where it is not the name of any.
const char *recompute_name(arena *a, int amount);
int recompute_read(const char *name);
void recompute_list(text *names); // of the policies

typedef struct ir {
  MlirContext context; // shared by all entries of a compilation
  MlirModule module;
  MlirOperation function; // func.func @entry
  MlirBlock block;        // its body; ends in func.return
  arena *arena;
  const graph *graph;
  const parameter_list *parameters;
  entry_shape shape;
  int recompute;                                   // how much, asked for; the pass recompute does it
  plan *plan;                                      // the artifact in the making: parameters, rotary tables, phases
  int64_t cache_bytes;                             // extend: of all KV caches, set by lower-lmn
  int64_t arena_bytes;                             // set by plan-memory
  int64_t vertex_runs, vertices, masks, mask_uses; // see lmn_count; set when the lmn passes have run
  bool *trained;                                   // set by freeze: by parameter, whether the entry makes its gradient
  lmn_error *error;                                // MLIR's diagnostics end here, with the .lmn place
} ir;

// A context with the dialects loaded; NULL with a message where MLIR refuses them.
// Once a program: where LLVM or MLIR finds no memory, it ends as memory_exhausted says.
void ir_guard_memory(void);
MlirContext ir_context_create(lmn_error *error);
void ir_context_destroy(MlirContext context);
// An empty entry function in a new module.
ir *ir_create(arena *a, MlirContext context, const graph *g, const parameter_list *parameters, entry_shape shape,
              lmn_error *error);
void ir_destroy(ir *m);
// MLIR's verifier and our own (ops.def: segments, attributes; shapes that an op's meaning fixes). The message has the
// .lmn place.
bool ir_verify(ir *m, lmn_error *error);
// False, with the op, its .lmn place and what is wrong with it as the message.
bool ir_bad(MlirOperation op, lmn_error *error, const char *what);
void ir_print(const ir *m, text *out);
// Where MLIR's own diagnostics go until the next call; NULL: nowhere.
void ir_diagnostics_to(lmn_error *error);
// Reads what ir_print wrote, or functions without a module around them. ir_parse_file: one module; messages name
// `file`.
bool ir_parse(ir *m, const char *source, lmn_error *error);
bool ir_parse_file(ir *m, const char *source, const char *file, lmn_error *error);
// The same with all that an entry is besides its ops: shape, counts, places in the .lmn file. ir_read reads what
// ir_emit wrote, which began at `line` of `file`, and leaves the entry unverified.
void ir_emit(ir *m, text *out);
bool ir_read(ir *m, const char *source, const char *file, int line, lmn_error *error);
// After ir_verify, for an entry that was read: what its ops name is there. placed: plan-memory has run.
bool ir_verify_read(ir *m, bool placed, lmn_error *error);

// Building. Ops go before `before`, or at the end of the block where it is null; each gets the location `place`.
typedef struct builder {
  ir *ir;
  MlirOperation before;
  MlirLocation place;
} builder;
builder builder_at_end(ir *m);
builder builder_before(ir *m, MlirOperation op);    // takes over its location
MlirLocation ir_place_of(ir *m, span place);        // file:line:column of the .lmn file
bool ir_place_print(MlirLocation place, text *out); // "file:line:column"; false: it says no such thing
// The place with the names of the nodes or arrows whose work is done there, and what it says of that (from `a`; NULL:
// nothing).
MlirLocation ir_place_named(ir *m, MlirLocation place, const char *names);
const char *ir_place_names(arena *a, MlirLocation place);

// An op under construction: begin, its operand segments in the order of ops.def (an optional one that is absent:
// op_segment with 0), result segments, attributes, end.
typedef struct op_spec {
  builder *builder;
  op_code code;
  MlirValue *operands;
  MlirType *results;
  MlirNamedAttribute *attributes;
  int operand_count, result_count, attribute_count, operand_capacity, result_capacity, attribute_capacity;
  int segments[8], segment_count, result_segments[8], result_segment_count;
} op_spec;
op_spec op_begin(builder *b, op_code code);
void op_operand(op_spec *s, MlirValue value);  // a segment of one
void op_optional(op_spec *s, MlirValue value); // a segment of one, or of none where value is null
void op_segment(op_spec *s, const MlirValue *values, int count);
void op_result(op_spec *s, MlirType type);
void op_results(op_spec *s, const MlirType *types, int count); // a segment
void op_int(op_spec *s, const char *name, int64_t value);
void op_real(op_spec *s, const char *name, double value);
void op_text(op_spec *s, const char *name, const char *value);
void op_symbol(op_spec *s, const char *name, const char *value);
void op_ints(op_spec *s, const char *name, const int64_t *values, int count);
void op_texts(op_spec *s, const char *name, const char *const *values, int count);
void op_symbols(op_spec *s, const char *name, const char *const *values, int count);
void op_attribute(op_spec *s, const char *name, MlirAttribute value);
MlirOperation op_end(op_spec *s);
MlirValue op_end_value(op_spec *s); // the op's first result

extern const MlirValue no_value;
static inline bool value_is(MlirValue v) { return v.ptr != NULL; }

// Types.
MlirType ir_matrix(ir *m, int64_t rows, int64_t columns);
MlirType ir_vector(ir *m, int64_t length);
MlirType ir_with_element(MlirType tensor, MlirType element);
MlirType ir_indices(ir *m, int64_t rows, int64_t columns); // i32; columns 0: rank 1
int64_t value_rows(MlirValue v);                           // first dimension
int64_t value_columns(MlirValue v);                        // last dimension
int64_t value_elements(MlirValue v);
MlirType value_element(MlirValue v); // f32, bf16, i32
bool value_is_bf16(MlirValue v);
int64_t value_element_bytes(MlirValue v); // 2 of bf16, else 4
int64_t value_bytes(MlirValue v);

// Reading.
op_code ir_code(const ir *m, MlirOperation op);
const char *op_name(op_code code);
int op_flags(op_code code);
int64_t ir_int(MlirOperation op, const char *name);
double ir_real(MlirOperation op, const char *name);
const char *ir_text(const ir *m, MlirOperation op, const char *name); // text or symbol, in the arena; NULL: absent
int ir_count(MlirOperation op, const char *name);                     // elements of ints, texts, symbols; 0: absent
int64_t ir_int_at(MlirOperation op, const char *name, int index);
const char *ir_text_at(const ir *m, MlirOperation op, const char *name, int index);
void ir_set_int(ir *m, MlirOperation op, const char *name, int64_t value);
void ir_set_ints(ir *m, MlirOperation op, const char *name, const int64_t *values, int count);
// Operand (result) segment `index` of ops.def: its first operand's number and its length.
typedef struct segment {
  int first, count;
} segment;
segment ir_operands(const ir *m, MlirOperation op, int index);
segment ir_results(const ir *m, MlirOperation op, int index);
MlirValue ir_operand(const ir *m, MlirOperation op,
                     int index); // of a segment of one; null where the optional one is absent
MlirValue ir_result(const ir *m, MlirOperation op, int index);
MlirOperation value_op(MlirValue v); // the op it is a result of
int value_index(MlirValue v);        // which result
bool value_used(MlirValue v);
int value_uses(MlirValue v);

// All ops of the entry in order (a snapshot: ops may be erased while it is walked).
typedef struct op_list {
  MlirOperation *items;
  int count;
} op_list;
op_list ir_ops(ir *m);
void ir_replace(MlirValue old, MlirValue with);
void ir_erase(MlirOperation op);

// Bodies: a private function given as MLIR text `func.func private @NAME(…) …`; the same name is added once. Returns
// the name.
const char *ir_body(ir *m, const char *name, const char *mlir);
MlirOperation ir_body_function(const ir *m, const char *symbol); // null: the module has no such body

// Places given by plan-memory.
bool ir_has_place(MlirValue v);
plan_ref ir_place(MlirValue v);
void ir_set_places(ir *m, MlirOperation op, const plan_ref *places, int count);

#endif
