// kernel.attention: causal attention by blocks of queries. A task is one block of one head of one sequence; the scores
// of a block against KEY_BLOCK keys are all that is ever stored of the T x T matrix, and keys that no query of the
// block sees are not touched. The softmax runs with a running maximum: where a key block raises it, the sums and the
// output so far are scaled down. A query's mask is a range of keys; nothing is ever set to -inf.
#include "codegen/cpu/attention.h"

#include <math.h>
#include <string.h>

attention_shape attention_shape_of(const cpu_entry *e, MlirOperation op) {
  attention_shape s = {.heads = ir_int(op, "heads"),
                       .key_value_heads = ir_int(op, "key_value_heads"),
                       .head_size = ir_int(op, "head_size"),
                       .length = ir_int(op, "length"),
                       .batch = ir_int(op, "batch"),
                       .segments = ir_int(op, "segments"),
                       .scale = ir_real(op, "scale")};
  s.sequences = value_rows(ir_operand(e->ir, op, 0)) / s.length;
  return s;
}

char *attention_name(const cpu_entry *e, const char *prefix, const attention_shape *s) {
  float scale = (float)s->scale;
  uint32_t bits;
  memcpy(&bits, &scale, sizeof bits);
  return arena_printf(e->arena, "%s_h%d_k%d_d%d_s%08x%s", prefix, (int)s->heads, (int)s->key_value_heads,
                      (int)s->head_size, bits, s->starts ? "_starts" : "");
}

int64_t attention_columns(const attention_shape *s) { return (s->heads + 2 * s->key_value_heads) * s->head_size; }
int64_t attention_query_blocks(const attention_shape *s) { return (s->length + QUERY_BLOCK - 1) / QUERY_BLOCK; }
int64_t attention_grain(double flops_of_a_task) {
  double grain = 3e5 / flops_of_a_task;
  return grain < 1 ? 1 : grain > 64 ? 64 : (int64_t)grain;
}

// ---- a block of queries -------------------------------------------------------------------------

// The scratch of a thread, in floats: scores, packed queries, then for each query its maximum, sum, factor and start.
enum { MAXIMA, SUMS, FACTORS, STARTS, VECTORS };

int64_t attention_block_scratch(const attention_shape *s) {
  return QUERY_BLOCK * (KEY_BLOCK + s->head_size + VECTORS) * (int64_t)sizeof(float);
}

// Goes down the keys of one vector of queries: the largest of the scores and `before`.
static ssa column_maximum(kernel_text *k, const attention_shape *s, const attention_view *v, ssa scores, ssa before) {
  ssa width = k_int(k, QUERY_BLOCK), one = k_int(k, 1), maximum = before;
  for (int masked = s->starts; masked < 2; ++masked) {
    ssa j = k_for_carry(k, masked ? v->safe : k_int(k, 0), masked ? v->end : v->safe, one, &maximum, 1);
    ssa score = k_load_vector(k, scores, k_mul(k, j, width), attention_lanes());
    if (masked) score = attention_masked(k, s, v, j, score, before);
    ssa larger = k_select(k, k_compare(k, "ogt", score, maximum), score, maximum);
    k_end_carry(k, &larger);
  }
  return maximum;
}

// Turns the scores into exp(score - maximum), 0 where unseen, and returns their sum.
static ssa column_exponentials(kernel_text *k, const attention_shape *s, const attention_view *v, ssa scores,
                               ssa maximum) {
  int lanes = attention_lanes();
  ssa width = k_int(k, QUERY_BLOCK), one = k_int(k, 1), nothing = k_splat(k, k_float(k, 0), lanes), sum = nothing;
  for (int masked = s->starts; masked < 2; ++masked) {
    ssa j = k_for_carry(k, masked ? v->safe : k_int(k, 0), masked ? v->end : v->safe, one, &sum, 1),
        at = k_mul(k, j, width);
    ssa power = k_math(k, "exp", k_sub(k, k_load_vector(k, scores, at, lanes), maximum));
    if (masked) power = attention_masked(k, s, v, j, power, nothing);
    k_store(k, power, scores, at);
    ssa more = k_add(k, sum, power);
    k_end_carry(k, &more);
  }
  return sum;
}

// NAME_softmax(scores, vectors, count, position, limit, first key, keys): the scores of a key block to exponentials
// against the running maximum; keeps the maximum and the sum; the factor is what the sums and outputs so far shrink by.
static void softmax_function(kernel_text *k, const char *name, const attention_shape *s) {
  ssa p[7];
  k_function(k, name, "!ppiiiii", p);
  int lanes = attention_lanes();
  ssa column = k_for(k, k_int(k, 0), p[2], k_int(k, lanes)), at[VECTORS];
  for (int i = 0; i < VECTORS; ++i) at[i] = k_add(k, column, k_int(k, i * QUERY_BLOCK));
  attention_view view =
      attention_view_of(k, s, k_at(k, p[1], k_int(k, STARTS * QUERY_BLOCK)), column, p[3], p[4], p[5], p[6]);
  ssa scores = k_at(k, p[0], column), before = k_load_vector(k, p[1], at[MAXIMA], lanes);
  ssa maximum = column_maximum(k, s, &view, scores, before), sum = column_exponentials(k, s, &view, scores, maximum);
  ssa factor = k_math(k, "exp", k_sub(k, before, maximum));
  k_store(k, maximum, p[1], at[MAXIMA]);
  k_store(k, factor, p[1], at[FACTORS]);
  k_store(k, k_fma(k, k_load_vector(k, p[1], at[SUMS], lanes), factor, sum), p[1], at[SUMS]);
  k_end(k);
  k_return(k);
}

// NAME_start(vectors, out, starts, count): no keys seen yet.
static void start_function(kernel_text *k, const char *name, const attention_shape *s, int64_t out_stride) {
  ssa p[4];
  k_function(k, name, "pppi", p);
  ssa zero = k_int(k, 0), one = k_int(k, 1), nought = k_float(k, 0), lowest = k_float(k, -1e30);
  ssa i = k_for(k, zero, k_int(k, QUERY_BLOCK), one);
  k_store(k, lowest, p[0], i);
  k_store(k, nought, p[0], k_add(k, i, k_int(k, SUMS * QUERY_BLOCK)));
  if (s->starts) { // beyond the last query: the last again
    ssa start = k_load(k, p[2], k_min(k, i, k_sub(k, p[3], one)), K_I32);
    k_store(k, k_convert(k, k_convert(k, start, K_I64), K_F32), p[0], k_add(k, i, k_int(k, STARTS * QUERY_BLOCK)));
  }
  k_end(k);
  i = k_for(k, zero, p[3], one);
  k_zero(k, k_at(k, p[1], k_mul(k, i, k_int(k, out_stride))), k_int(k, s->head_size));
  k_end(k);
  k_return(k);
}

// NAME_finish(vectors, out, lse, count): out / sum, and the log of the sum of exponentials.
static void finish_function(kernel_text *k, const char *name, const attention_shape *s, attention_block_shape strides) {
  ssa p[4];
  k_function(k, name, "nnni", p);
  ssa zero = k_int(k, 0), one = k_int(k, 1), i = k_for(k, zero, p[3], one);
  ssa sum = k_load(k, p[0], k_add(k, i, k_int(k, SUMS * QUERY_BLOCK)), K_F32), inverse = k_div(k, k_float(k, 1), sum);
  ssa row = k_mul(k, i, k_int(k, strides.out_stride)), d = k_for(k, zero, k_int(k, s->head_size), one),
      at = k_add(k, row, d);
  k_store(k, k_mul(k, k_load(k, p[1], at, K_F32), inverse), p[1], at);
  k_end(k);
  if (strides.lse_stride)
    k_store(k, k_add(k, k_load(k, p[0], i, K_F32), k_math(k, "log", sum)), p[2],
            k_mul(k, i, k_int(k, strides.lse_stride)));
  k_end(k);
  k_return(k);
}

typedef struct block_names {
  char block[160], pack[160], scores[160], softmax[160], start[160], finish[160], values[160], tile[160];
} block_names;

static block_names names_of(const char *name) {
  block_names n;
  snprintf(n.block, sizeof n.block, "%s_block", name);
  snprintf(n.pack, sizeof n.pack, "%s_pack", name);
  snprintf(n.scores, sizeof n.scores, "%s_scores", name);
  snprintf(n.softmax, sizeof n.softmax, "%s_softmax", name);
  snprintf(n.start, sizeof n.start, "%s_start", name);
  snprintf(n.finish, sizeof n.finish, "%s_finish", name);
  snprintf(n.values, sizeof n.values, "%s_values", name);
  snprintf(n.tile, sizeof n.tile, "%s_tile", name);
  return n;
}

void attention_block(kernel_text *k, const char *name, const attention_shape *s, attention_block_shape strides) {
  block_names n = names_of(name);
  const tile_product tile = {n.tile, TILE_SCALE_AND_ADD, strides.out_stride, 1, QUERY_BLOCK, strides.key_value_stride};
  attention_pack(k, n.pack, s);
  attention_scores(k, n.scores, s, strides.key_value_stride);
  softmax_function(k, n.softmax, s);
  start_function(k, n.start, s, strides.out_stride);
  finish_function(k, n.finish, s, strides);
  attention_by_queries(k, n.values, &tile, s);

  ssa p[12];
  k_function(k, n.block, "ppppppiiiiip", p);
  ssa queries = p[0], keys = p[1], values = p[2], out = p[3], lse = p[4], starts = p[5], count = p[6], position = p[7];
  ssa segments = p[8], segment_stride = p[9], limit = p[10], scores = p[11];
  ssa zero = k_int(k, 0), one = k_int(k, 1), key_block = k_int(k, KEY_BLOCK), lanes = k_int(k, attention_lanes());
  ssa packed = k_at(k, scores, k_int(k, QUERY_BLOCK * KEY_BLOCK)),
      vectors = k_at(k, packed, k_int(k, QUERY_BLOCK * s->head_size));
  ssa up = k_sub(k, k_add(k, count, lanes), one), padded = k_sub(k, up, k_rem(k, up, lanes));
  K_CALL(k, n.pack, packed, queries, count, k_int(k, strides.query_stride), k_float(k, s->scale));
  K_CALL(k, n.start, vectors, out, starts, count);

  ssa first_key = attention_first_key(k, s, starts, count, position),
      last_key = k_min(k, k_add(k, position, count), limit);
  ssa segment = k_for(k, zero, segments, one);
  ssa offset = k_mul(k, segment, segment_stride);
  ssa first = k_for(k, first_key, last_key, key_block);
  ssa seen_keys = k_min(k, key_block, k_sub(k, last_key, first));
  ssa at = k_add(k, offset, k_mul(k, first, k_int(k, strides.key_value_stride)));
  K_CALL(k, n.scores, scores, k_at(k, keys, at), packed, seen_keys, k_sub(k, first, position), padded);
  K_CALL(k, n.softmax, scores, vectors, count, position, limit, first, seen_keys);
  ssa seen = k_add(k, k_sub(k, position, first), one);
  K_CALL(k, n.values, out, scores, k_at(k, values, at), k_at(k, vectors, k_int(k, FACTORS * QUERY_BLOCK)), count, seen,
         seen_keys);
  k_end(k);
  k_end(k);
  K_CALL(k, n.finish, vectors, out, lse, count);
  k_return(k);
}

// ---- the kernel ---------------------------------------------------------------------------------

// args: qkv, out, lse, starts. dims: length, batch, segments, sequences, query blocks. tasks: query blocks x sequences
// x heads, the last blocks, which see most, first.
static void forward_kernel(kernel_text *k, const char *name, const attention_shape *s) {
  int64_t columns = attention_columns(s), out_columns = s->heads * s->head_size;
  attention_block(k, name, s, (attention_block_shape){columns, columns, out_columns, s->heads});
  kernel_abi abi = k_kernel(k, name);
  ssa qkv = k_argument(k, abi, 0), out = k_argument(k, abi, 1), lse = k_argument(k, abi, 2);
  ssa starts = s->starts ? k_argument(k, abi, 3) : k_null(k);
  ssa length = k_dim(k, abi, 0), batch = k_dim(k, abi, 1), segments = k_dim(k, abi, 2), sequences = k_dim(k, abi, 3);
  ssa blocks = k_dim(k, abi, 4), heads = k_int(k, s->heads), size = k_int(k, s->head_size), one = k_int(k, 1);
  ssa width = k_int(k, columns), group = k_int(k, s->heads / s->key_value_heads);
  ssa round = k_mul(k, sequences, heads);
  ssa task = k_for(k, abi.begin, abi.end, one);
  ssa block = k_sub(k, k_sub(k, blocks, one), k_div(k, task, round)), rest = k_rem(k, task, round);
  ssa sequence = k_div(k, rest, heads), head = k_rem(k, rest, heads);
  ssa segment = k_rem(k, k_div(k, sequence, batch), segments);
  ssa position = k_mul(k, block, k_int(k, QUERY_BLOCK));
  ssa count = k_min(k, k_int(k, QUERY_BLOCK), k_sub(k, length, position));
  ssa row = k_add(k, k_mul(k, sequence, length), position);
  ssa query = k_add(k, k_mul(k, row, width), k_mul(k, head, size));
  ssa key_row = k_mul(k, k_sub(k, sequence, k_mul(k, segment, batch)), length);
  ssa key_head = k_add(k, heads, k_div(k, head, group));
  ssa key = k_add(k, k_mul(k, key_row, width), k_mul(k, key_head, size));
  ssa value = k_add(k, key, k_int(k, s->key_value_heads * s->head_size));
  ssa result = k_add(k, k_mul(k, row, k_int(k, out_columns)), k_mul(k, head, size));
  ssa start = k_add(k, k_mul(k, k_rem(k, sequence, batch), length), position);
  char function[160];
  snprintf(function, sizeof function, "%s_block", name);
  K_CALL(k, function, k_at(k, qkv, query), k_at(k, qkv, key), k_at(k, qkv, value), k_at(k, out, result),
         k_at(k, lse, k_add(k, k_mul(k, row, heads), head)), k_at(k, starts, start), count, position,
         k_add(k, segment, one), k_mul(k, k_mul(k, batch, length), width), length, abi.scratch);
  k_end(k);
  k_return(k);
}

bool cpu_emit_attention(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  attention_shape s = attention_shape_of(e, op);
  MlirValue starts = ir_operand(e->ir, op, 1);
  s.starts = value_is(starts);
  const char *name = attention_name(e, "attention", &s);
  if (!cpu_has_kernel(e->cg, name)) {
    kernel_text k = {0};
    forward_kernel(&k, name, &s);
    cpu_add_kernel(e->cg, name, k.out.data);
    text_free(&k.out);
  }
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  cpu_arg_value(e, launch, ir_operand(e->ir, op, 0));
  cpu_arg_value(e, launch, ir_result(e->ir, op, 0));
  cpu_arg_value(e, launch, ir_result(e->ir, op, 1));
  if (s.starts) cpu_arg_value(e, launch, starts);
  int64_t blocks = attention_query_blocks(&s);
  int64_t dims[] = {s.length, s.batch, s.segments, s.sequences, blocks};
  for (size_t i = 0; i < LENGTH(dims); ++i) cpu_dim(e, launch, dims[i]);
  launch->tasks = blocks * s.sequences * s.heads;
  launch->grain = attention_grain(2.0 * (double)(s.length * s.segments * s.head_size) *
                                  (double)(s.length < QUERY_BLOCK ? s.length : QUERY_BLOCK));
  launch->scratch = attention_block_scratch(&s);
  return true;
}
