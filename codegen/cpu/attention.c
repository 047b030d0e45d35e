// kernel.attention: causal attention by blocks of queries. A task is one block of one head of one sequence; the scores
// of a block against KEY_BLOCK keys are all that is ever stored of the T x T matrix, and keys that no query of the
// block sees are not touched. The softmax runs with a running maximum: where a key block raises it, the sums and the
// output so far are scaled down. A row's mask is a range of keys, so nothing is ever set to -inf: what lies outside the
// range becomes probability 0.
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

ssa attention_first_key(kernel_text *k, const attention_shape *s, ssa starts, ssa count, ssa position) {
  ssa zero = k_int(k, 0);
  if (!s->starts) return zero;
  ssa first = position;
  ssa i = k_for_carry(k, zero, count, k_int(k, 1), &first, 1);
  ssa next = k_min(k, first, k_convert(k, k_load(k, starts, i, K_I32), K_I64));
  k_end_carry(k, &next);
  return k_max(k, first, zero);
}

void attention_visible(kernel_text *k, const attention_shape *s, ssa starts, ssa i, ssa position, ssa limit, ssa first,
                       ssa keys, ssa *low, ssa *high) {
  ssa zero = k_int(k, 0), own = k_add(k, position, i);
  *low = zero;
  // A query sees itself at least, whatever its start says.
  if (s->starts) *low = k_sub(k, k_min(k, k_convert(k, k_load(k, starts, i, K_I32), K_I64), own), first);
  *low = k_clamp(k, *low, zero, keys);
  ssa end = k_sub(k, k_min(k, k_add(k, own, k_int(k, 1)), limit), first);
  *high = k_max(k, k_min(k, end, keys), *low);
}

// One query's scores of one key block: to exp(score - maximum), and the running maximum and sum with it.
static void softmax_row(kernel_text *k, const char *name, const attention_shape *s) {
  ssa p[7]; // scores, out, maximum, sum, low, high, keys
  char function[160];
  snprintf(function, sizeof function, "%s_softmax", name);
  k_function(k, function, "nnnniii", p);
  ssa scores = p[0], out = p[1], low = p[4], high = p[5], zero = k_int(k, 0), one = k_int(k, 1);
  ssa before = k_load(k, p[2], zero, K_F32), maximum = before, sum = k_float(k, 0);
  ssa i = k_for_carry(k, low, high, one, &maximum, 1);
  ssa larger = k_max(k, maximum, k_load(k, scores, i, K_F32));
  k_end_carry(k, &larger);
  i = k_for_carry(k, low, high, one, &sum, 1);
  ssa power = k_math(k, "exp", k_sub(k, k_load(k, scores, i, K_F32), maximum));
  k_store(k, power, scores, i);
  ssa more = k_add_any_order(k, sum, power);
  k_end_carry(k, &more);
  ssa shrink = k_math(k, "exp", k_sub(k, before, maximum));
  k_store(k, maximum, p[2], zero);
  k_store(k, k_fma(k, k_load(k, p[3], zero, K_F32), shrink, sum), p[3], zero);
  k_zero(k, scores, low);
  k_zero(k, k_at(k, scores, high), k_sub(k, p[6], high));
  k_if(k, k_compare(k, "olt", before, maximum));
  ssa d = k_for(k, zero, k_int(k, s->head_size), one);
  k_store(k, k_mul(k, k_load(k, out, d, K_F32), shrink), out, d);
  k_end(k);
  k_end(k);
  k_return(k);
}

// At the end: out / sum, and the log of the sum of exponentials.
static void finish_row(kernel_text *k, const char *name, const attention_shape *s) {
  ssa p[2]; // out, sum
  char function[160];
  snprintf(function, sizeof function, "%s_finish", name);
  k_function(k, function, "nf", p);
  ssa inverse = k_div(k, k_float(k, 1), p[1]);
  ssa d = k_for(k, k_int(k, 0), k_int(k, s->head_size), k_int(k, 1));
  k_store(k, k_mul(k, k_load(k, p[0], d, K_F32), inverse), p[0], d);
  k_end(k);
  k_return(k);
}

int64_t attention_block_scratch(void) { return QUERY_BLOCK * (SCORE_STRIDE + 2) * (int64_t)sizeof(float); }

void attention_block(kernel_text *k, const char *name, const attention_shape *s, attention_block_shape strides) {
  softmax_row(k, name, s);
  finish_row(k, name, s);
  char block[160], softmax[160], finish[160];
  snprintf(block, sizeof block, "%s_block", name);
  snprintf(softmax, sizeof softmax, "%s_softmax", name);
  snprintf(finish, sizeof finish, "%s_finish", name);
  ssa p[13];
  k_function(k, block, "ppppppiiiiipp", p);
  ssa queries = p[0], keys = p[1], values = p[2], out = p[3], lse = p[4], starts = p[5], count = p[6], position = p[7];
  ssa segments = p[8], segment_stride = p[9], limit = p[10], scores = p[11], host = p[12];
  ssa zero = k_int(k, 0), one = k_int(k, 1), nought = k_float(k, 0), unit = k_float(k, 1);
  ssa size = k_int(k, s->head_size), key_block = k_int(k, KEY_BLOCK), score_stride = k_int(k, SCORE_STRIDE);
  ssa query_stride = k_int(k, strides.query_stride), key_stride = k_int(k, strides.key_value_stride);
  ssa out_stride = k_int(k, strides.out_stride);
  ssa maxima = k_at(k, scores, k_int(k, QUERY_BLOCK * SCORE_STRIDE)), sums = k_at(k, maxima, k_int(k, QUERY_BLOCK));

  ssa first_key = attention_first_key(k, s, starts, count, position);
  ssa last_key = k_min(k, k_add(k, position, count), limit);
  ssa lowest = k_float(k, -1e30);
  ssa i = k_for(k, zero, count, one);
  k_store(k, lowest, maxima, i);
  k_store(k, nought, sums, i);
  ssa d = k_for(k, zero, size, one); // so that scaling what is not there yet is harmless
  k_store(k, nought, out, k_add(k, k_mul(k, i, out_stride), d));
  k_end(k);
  k_end(k);

  ssa segment = k_for(k, zero, segments, one);
  ssa offset = k_mul(k, segment, segment_stride);
  ssa first = k_for(k, first_key, last_key, key_block);
  ssa n = k_min(k, key_block, k_sub(k, last_key, first));
  ssa at = k_add(k, offset, k_mul(k, first, key_stride));
  k_sgemm(k, host,
          (k_product){false, true, count, n, size, k_float(k, s->scale), queries, query_stride, k_at(k, keys, at),
                      key_stride, nought, scores, score_stride});
  i = k_for(k, zero, count, one);
  ssa low, high;
  attention_visible(k, s, starts, i, position, limit, first, n, &low, &high);
  K_CALL(k, softmax, k_at(k, scores, k_mul(k, i, score_stride)), k_at(k, out, k_mul(k, i, out_stride)),
         k_at(k, maxima, i), k_at(k, sums, i), low, high, n);
  k_end(k);
  k_sgemm(k, host,
          (k_product){false, false, count, size, n, unit, scores, score_stride, k_at(k, values, at), key_stride, unit,
                      out, out_stride});
  k_end(k);
  k_end(k);

  i = k_for(k, zero, count, one);
  ssa sum = k_load(k, sums, i, K_F32);
  K_CALL(k, finish, k_at(k, out, k_mul(k, i, out_stride)), sum);
  if (strides.lse_stride)
    k_store(k, k_add(k, k_load(k, maxima, i, K_F32), k_math(k, "log", sum)), lse,
            k_mul(k, i, k_int(k, strides.lse_stride)));
  k_end(k);
  k_return(k);
}

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
         k_add(k, segment, one), k_mul(k, k_mul(k, batch, length), width), length, abi.scratch, abi.host);
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
  launch->scratch = attention_block_scratch();
  return true;
}
