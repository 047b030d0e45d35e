// kernel.attention_grad: the probabilities are made again from the scores and lse. A task is one key head of one
// sequence of the stack with all its segments, so that every gradient of a key and value is summed by one task, in one
// order:
//   for each block of queries, of each head that shares the key head, and each block of keys it sees:
//     P = exp(scale Q Kᵀ - lse), dP = dO Vᵀ, dS = scale P (dP - rowsum(dO O)); dV += Pᵀ dO, dK += dSᵀ Q, dQ += dS K
#include "codegen/cpu/attention.h"

// One query's scores and dP of one key block: to P and dS, 0 where the query sees no key.
static void grad_row(kernel_text *k, const char *name, const attention_shape *s) {
  ssa p[7]; // scores, dP, lse, delta, low, high, keys
  k_function(k, name, "nnffiii", p);
  ssa scores = p[0], gradients = p[1], low = p[4], high = p[5], scale = k_float(k, s->scale);
  ssa i = k_for(k, low, high, k_int(k, 1));
  ssa probability = k_math(k, "exp", k_sub(k, k_load(k, scores, i, K_F32), p[2]));
  k_store(k, probability, scores, i);
  ssa gradient = k_sub(k, k_load(k, gradients, i, K_F32), p[3]);
  k_store(k, k_mul(k, k_mul(k, probability, gradient), scale), gradients, i);
  k_end(k);
  ssa after = k_sub(k, p[6], high);
  k_zero(k, scores, low);
  k_zero(k, gradients, low);
  k_zero(k, k_at(k, scores, high), after);
  k_zero(k, k_at(k, gradients, high), after);
  k_return(k);
}

// delta = dO · O of one query.
static void delta_row(kernel_text *k, const char *name, const attention_shape *s) {
  ssa p[3]; // delta, dO, O
  k_function(k, name, "nnn", p);
  ssa zero = k_int(k, 0), sum = k_float(k, 0);
  ssa d = k_for_carry(k, zero, k_int(k, s->head_size), k_int(k, 1), &sum, 1);
  ssa product = k_mul(k, k_load(k, p[1], d, K_F32), k_load(k, p[2], d, K_F32));
  ssa next = k_add_any_order(k, sum, product);
  k_end_carry(k, &next);
  k_store(k, sum, p[0], zero);
  k_return(k);
}

// A block of queries of one head: adds to dK and dV of the keys it sees, and writes its dQ.
static void grad_block(kernel_text *k, const char *block, const char *row, const char *delta,
                       const attention_shape *s) {
  enum {
    QUERIES,
    KEYS,
    VALUES,
    OUT,
    LSE,
    DOUT,
    DQUERIES,
    DKEYS,
    DVALUES,
    STARTS,
    COUNT,
    POSITION,
    SEGMENTS,
    SEGMENT_STRIDE,
    LENGTH_,
    SCRATCH,
    HOST,
    PARAMETERS
  };
  ssa p[PARAMETERS];
  k_function(k, block, "ppppppppppiiiiipp", p);
  ssa scores = p[SCRATCH], gradients = k_at(k, scores, k_int(k, QUERY_BLOCK * SCORE_STRIDE));
  ssa deltas = k_at(k, gradients, k_int(k, QUERY_BLOCK * SCORE_STRIDE));
  ssa zero = k_int(k, 0), one = k_int(k, 1), nought = k_float(k, 0), unit = k_float(k, 1),
      size = k_int(k, s->head_size);
  ssa width = k_int(k, attention_columns(s)), out_width = k_int(k, s->heads * s->head_size), heads = k_int(k, s->heads);
  ssa score_stride = k_int(k, SCORE_STRIDE), key_block = k_int(k, KEY_BLOCK), count = p[COUNT], host = p[HOST];

  ssa i = k_for(k, zero, count, one);
  ssa out_at = k_mul(k, i, out_width);
  K_CALL(k, delta, k_at(k, deltas, i), k_at(k, p[DOUT], out_at), k_at(k, p[OUT], out_at));
  k_zero(k, k_at(k, p[DQUERIES], k_mul(k, i, width)), size);
  k_end(k);

  ssa first_key = attention_first_key(k, s, p[STARTS], count, p[POSITION]);
  ssa last_key = k_min(k, k_add(k, p[POSITION], count), p[LENGTH_]);
  ssa segment = k_for(k, zero, p[SEGMENTS], one);
  ssa first = k_for(k, first_key, last_key, key_block);
  ssa n = k_min(k, key_block, k_sub(k, last_key, first));
  ssa at = k_add(k, k_mul(k, segment, p[SEGMENT_STRIDE]), k_mul(k, first, width));
  ssa keys = k_at(k, p[KEYS], at), values = k_at(k, p[VALUES], at);
  ssa dkeys = k_at(k, p[DKEYS], at), dvalues = k_at(k, p[DVALUES], at);
  k_sgemm(k, host,
          (k_product){false, true, count, n, size, k_float(k, s->scale), p[QUERIES], width, keys, width, nought, scores,
                      score_stride});
  k_sgemm(k, host,
          (k_product){false, true, count, n, size, unit, p[DOUT], out_width, values, width, nought, gradients,
                      score_stride});
  i = k_for(k, zero, count, one);
  ssa low, high, score_at = k_mul(k, i, score_stride);
  attention_visible(k, s, p[STARTS], i, p[POSITION], p[LENGTH_], first, n, &low, &high);
  K_CALL(k, row, k_at(k, scores, score_at), k_at(k, gradients, score_at), k_load(k, p[LSE], k_mul(k, i, heads), K_F32),
         k_load(k, deltas, i, K_F32), low, high, n);
  k_end(k);
  k_sgemm(
      k, host,
      (k_product){true, false, n, size, count, unit, scores, score_stride, p[DOUT], out_width, unit, dvalues, width});
  k_sgemm(
      k, host,
      (k_product){true, false, n, size, count, unit, gradients, score_stride, p[QUERIES], width, unit, dkeys, width});
  k_sgemm(
      k, host,
      (k_product){false, false, count, size, n, unit, gradients, score_stride, keys, width, unit, p[DQUERIES], width});
  k_end(k);
  k_end(k);
  k_return(k);
}

// args: qkv, out, lse, dout, dqkv, starts. dims: length, batch, segments. tasks: sequences of the stack x key heads.
static void grad_kernel(kernel_text *k, const char *name, const char *block_function, const attention_shape *s) {
  kernel_abi abi = k_kernel(k, name);
  ssa qkv = k_argument(k, abi, 0), out = k_argument(k, abi, 1), lse = k_argument(k, abi, 2),
      dout = k_argument(k, abi, 3);
  ssa dqkv = k_argument(k, abi, 4), starts = s->starts ? k_argument(k, abi, 5) : k_null(k);
  ssa length = k_dim(k, abi, 0), batch = k_dim(k, abi, 1), segments = k_dim(k, abi, 2);
  ssa zero = k_int(k, 0), one = k_int(k, 1), size = k_int(k, s->head_size), width = k_int(k, attention_columns(s));
  ssa key_heads = k_int(k, s->key_value_heads), heads = k_int(k, s->heads),
      group = k_int(k, s->heads / s->key_value_heads);
  ssa out_width = k_int(k, s->heads * s->head_size), query_block = k_int(k, QUERY_BLOCK);
  ssa value_offset = k_int(k, s->key_value_heads * s->head_size), segment_rows = k_mul(k, batch, length);

  ssa task = k_for(k, abi.begin, abi.end, one);
  ssa sequence = k_div(k, task, key_heads), key_head = k_rem(k, task, key_heads), b = k_rem(k, sequence, batch);
  // Of the stack: sequence b of group g, whose segments are segment_rows apart.
  ssa first_row = k_add(k, k_mul(k, k_div(k, sequence, batch), k_mul(k, segments, segment_rows)), k_mul(k, b, length));
  ssa key = k_add(k, k_mul(k, first_row, width), k_mul(k, k_add(k, heads, key_head), size));
  ssa value = k_add(k, key, value_offset);

  ssa segment = k_for(k, zero, segments, one);
  ssa t = k_for(k, zero, length, one);
  ssa row = k_mul(k, k_add(k, k_mul(k, segment, segment_rows), t), width);
  k_zero(k, k_at(k, dqkv, k_add(k, key, row)), size);
  k_zero(k, k_at(k, dqkv, k_add(k, value, row)), size);
  k_end(k);
  k_end(k);

  segment = k_for(k, zero, segments, one);
  ssa position = k_for(k, zero, length, query_block);
  ssa in_group = k_for(k, zero, group, one);
  ssa count = k_min(k, query_block, k_sub(k, length, position)), head = k_add(k, k_mul(k, key_head, group), in_group);
  ssa query_row = k_add(k, first_row, k_add(k, k_mul(k, segment, segment_rows), position));
  ssa query = k_add(k, k_mul(k, query_row, width), k_mul(k, head, size));
  ssa result = k_add(k, k_mul(k, query_row, out_width), k_mul(k, head, size));
  K_CALL(k, block_function, k_at(k, qkv, query), k_at(k, qkv, key), k_at(k, qkv, value), k_at(k, out, result),
         k_at(k, lse, k_add(k, k_mul(k, query_row, heads), head)), k_at(k, dout, result), k_at(k, dqkv, query),
         k_at(k, dqkv, key), k_at(k, dqkv, value), k_at(k, starts, k_add(k, k_mul(k, b, length), position)), count,
         position, k_add(k, segment, one), k_mul(k, segment_rows, width), length, abi.scratch, abi.host);
  k_end(k);
  k_end(k);
  k_end(k);
  k_end(k);
  k_return(k);
}

bool cpu_emit_attention_grad(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  attention_shape s = attention_shape_of(e, op);
  MlirValue starts = ir_operand(e->ir, op, 4);
  s.starts = value_is(starts);
  const char *name = attention_name(e, "attention_grad", &s);
  if (!cpu_has_kernel(e->cg, name)) {
    const char *row = arena_printf(e->arena, "%s_row", name), *delta = arena_printf(e->arena, "%s_delta", name);
    const char *block = arena_printf(e->arena, "%s_block", name);
    kernel_text k = {0};
    grad_row(&k, row, &s);
    delta_row(&k, delta, &s);
    grad_block(&k, block, row, delta, &s);
    grad_kernel(&k, name, block, &s);
    cpu_add_kernel(e->cg, name, k.out.data);
    text_free(&k.out);
  }
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  for (int i = 0; i < 4; ++i) cpu_arg_value(e, launch, ir_operand(e->ir, op, i));
  cpu_arg_value(e, launch, ir_result(e->ir, op, 0));
  if (s.starts) cpu_arg_value(e, launch, starts);
  int64_t dims[] = {s.length, s.batch, s.segments};
  for (size_t i = 0; i < LENGTH(dims); ++i) cpu_dim(e, launch, dims[i]);
  launch->tasks = s.sequences / s.segments * s.key_value_heads;
  launch->grain =
      attention_grain(5.0 * (double)(s.length * s.length) * (double)(s.segments * s.segments * s.head_size));
  launch->scratch = QUERY_BLOCK * (2 * SCORE_STRIDE + 1) * (int64_t)sizeof(float);
  return true;
}
