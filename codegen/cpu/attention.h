// What the attention emitters share.
#ifndef LMN_CPU_ATTENTION_H
#define LMN_CPU_ATTENTION_H

#include "codegen/cpu/cpu.h"
#include "codegen/cpu/kernel_text.h"

enum { QUERY_BLOCK = 96, KEY_BLOCK = 384, SCORE_STRIDE = KEY_BLOCK + 16 };

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
// segment_stride, limit, scratch, host): `count` <= QUERY_BLOCK queries of one head at positions `position`, … over the
// keys of `segments` segments, each `limit` keys at most, a segment `segment_stride` elements after the other. The
// first of the `count` starts is that of the first query.
void attention_block(kernel_text *k, const char *name, const attention_shape *s, attention_block_shape strides);
int64_t attention_block_scratch(void); // bytes
// The first key that any of the `count` queries from `position` on sees, where sequences are packed; else 0.
ssa attention_first_key(kernel_text *k, const attention_shape *s, ssa starts, ssa count, ssa position);
// The keys [*low, *high) of the `keys` from key `first` on that query `i` of the block sees.
void attention_visible(kernel_text *k, const attention_shape *s, ssa starts, ssa i, ssa position, ssa limit, ssa first,
                       ssa keys, ssa *low, ssa *high);

#endif
