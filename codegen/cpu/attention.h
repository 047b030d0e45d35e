// What the attention emitters share. A block of queries works on transposed scores [keys, QUERY_BLOCK]: a vector holds
// one key's scores of neighbouring queries, so that the softmax goes down the keys without a sum across lanes, and only
// the block's queries (and the gradients of its outputs) are ever packed; keys and values are read where they lie.
#ifndef LMN_CPU_ATTENTION_H
#define LMN_CPU_ATTENTION_H

#include "codegen/cpu/cpu.h"
#include "codegen/cpu/kernel_text.h"

enum { QUERY_BLOCK = 96, KEY_BLOCK = 128 };

typedef struct attention_shape {
  int64_t heads, key_value_heads, head_size, length, batch, segments,
      sequences; // sequences: of the whole stack, segments and all
  double scale;
  bool starts;
} attention_shape;

attention_shape attention_shape_of(const cpu_entry *e, MlirOperation op);
// A kernel name with everything in it that the text has as a constant.
char *attention_name(const cpu_entry *e, const char *prefix, const attention_shape *s);
int64_t attention_columns(const attention_shape *s);      // of a packed row: query, key, value heads
int64_t attention_query_blocks(const attention_shape *s); // of a sequence
// Tasks that do less than a few microseconds of work are not worth handing out one by one.
int64_t attention_grain(double flops_of_a_task);

// The strides, in elements, of the memory a block of queries works on.
typedef struct attention_block_shape {
  int64_t query_stride, key_value_stride, out_stride, lse_stride; // lse_stride 0: no lse
} attention_block_shape;
// Adds the private function NAME_block(queries, keys, values, out, lse, starts, count, position, segments,
// segment_stride, limit, scratch): `count` <= QUERY_BLOCK queries of one head at positions `position`, … over the keys
// of `segments` segments, each `limit` keys at most, a segment `segment_stride` elements after the other. The first of
// the `count` starts is that of the first query.
void attention_block(kernel_text *k, const char *name, const attention_shape *s, attention_block_shape strides);
int64_t attention_block_scratch(const attention_shape *s); // bytes
// The first key that any of the `count` queries from `position` on sees, where sequences are packed; else 0.
ssa attention_first_key(kernel_text *k, const attention_shape *s, ssa starts, ssa count, ssa position);

// ---- attention_tiles.c: products of a few rows, everything in registers -------------------------

int attention_lanes(void); // of this CPU's vectors
int attention_rows(void);  // of a tile

typedef enum { TILE_SET, TILE_ADD, TILE_SCALE_AND_ADD } tile_start; // C = AB; C += AB; C[r] = factors[r] C[r] + AB
// C [m, columns] from A [m, steps] and B [steps, columns]; element (r, s) of A is at r a_row + s a_step.
typedef struct tile_product {
  const char *name; // its functions' names start with it
  tile_start start;
  int64_t c_stride, a_row, a_step, b_stride;
} tile_product;
// Adds the functions for all heights and for columns `columns` wide (a head).
void tile_functions(kernel_text *k, const tile_product *t, int64_t columns);
// One strip of `rows` rows (attention_rows() or 1), all columns.
void tile_strip(kernel_text *k, const tile_product *t, int64_t columns, int rows, ssa c, ssa a, ssa b, ssa factors,
                ssa steps);
// Adds NAME(scores, rows, packed, count, first column, padded columns): scores[j][c] = rows[j] · packed[:, c] for
// `count` rows `stride` apart, each from the first query that sees it on. packed [head size, QUERY_BLOCK].
void attention_scores(kernel_text *k, const char *name, const attention_shape *s, int64_t stride);
// Adds NAME(out, exponentials, values, factors, count, seen, keys): rows of out from transposed exponentials and rows
// of values as `t` says, by strips of queries; the first of the `count` queries sees `seen` keys of the block, each
// later one one more, none more than `keys`.
void attention_by_queries(kernel_text *k, const char *name, const tile_product *t, const attention_shape *s);
// Adds NAME(packed, rows, count, stride, factor): packed [head size, QUERY_BLOCK] = factor times the transpose of
// `count` rows, `stride` apart, up to the next whole vector of columns.
void attention_pack(kernel_text *k, const char *name, const attention_shape *s);

// ---- the columns of a block of scores -----------------------------------------------------------

// The queries of one vector, and which keys of a block each of them sees.
typedef struct attention_view {
  ssa low, high; // vectors: the first and last key of the block; low only where sequences are packed
  ssa safe, end; // keys before `safe` are seen by all (0 where packed), none from `end` on
} attention_view;
attention_view attention_view_of(kernel_text *k, const attention_shape *s, ssa starts, ssa column, ssa position,
                                 ssa limit, ssa first, ssa keys);
// The vector `value` of key `key` where its queries see it, else `other`.
ssa attention_masked(kernel_text *k, const attention_shape *s, const attention_view *v, ssa key, ssa value, ssa other);

#endif
