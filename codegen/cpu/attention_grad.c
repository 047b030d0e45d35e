// kernel.attention_grad: the probabilities are made again from the scores and lse. A task is one key head of one
// sequence of the stack with all its segments, so that every gradient of a key and value is summed by one task, in one
// order:
//   for each block of queries, of each head that shares the key head, and each block of keys it sees:
//     P = exp(scale Q Kᵀ - lse), dP = dO Vᵀ, dS = scale P (dP - rowsum(dO O)); dV += Pᵀ dO, dK += dSᵀ Q, dQ += dS K
// Scores, P, dP and dS are kept transposed (attention.h).
#include "codegen/cpu/attention.h"

// The scratch of a thread, in floats: scores and dP, packed queries and dO, then for each query its lse, delta and
// start.
enum { LSE, DELTAS, STARTS, VECTORS };

static int64_t grad_scratch(const attention_shape *s) {
  return QUERY_BLOCK * (2 * (KEY_BLOCK + s->head_size) + VECTORS) * (int64_t)sizeof(float);
}

// NAME_softmax(scores, dP, vectors, count, position, limit, first key, keys): to P and dS, 0 where a query sees no key.
static void grad_function(kernel_text *k, const char *name, const attention_shape *s) {
  ssa p[8];
  k_function(k, name, "!pppiiiii", p);
  int lanes = attention_lanes();
  ssa zero = k_int(k, 0), one = k_int(k, 1), width = k_int(k, QUERY_BLOCK);
  ssa scale = k_splat(k, k_float(k, s->scale), lanes), nothing = k_splat(k, k_float(k, 0), lanes);
  ssa column = k_for(k, zero, p[3], k_int(k, lanes)), at[VECTORS];
  for (int i = 0; i < VECTORS; ++i) at[i] = k_add(k, column, k_int(k, i * QUERY_BLOCK));
  attention_view view =
      attention_view_of(k, s, k_at(k, p[2], k_int(k, STARTS * QUERY_BLOCK)), column, p[4], p[5], p[6], p[7]);
  ssa lse = k_load_vector(k, p[2], at[LSE], lanes), delta = k_load_vector(k, p[2], at[DELTAS], lanes);
  for (int masked = s->starts; masked < 2; ++masked) {
    ssa j = k_for(k, masked ? view.safe : zero, masked ? view.end : view.safe, one),
        to = k_add(k, k_mul(k, j, width), column);
    ssa probability = k_math(k, "exp", k_sub(k, k_load_vector(k, p[0], to, lanes), lse));
    ssa gradient = k_mul(k, k_mul(k, k_sub(k, k_load_vector(k, p[1], to, lanes), delta), scale), probability);
    if (masked) {
      probability = attention_masked(k, s, &view, j, probability, nothing);
      gradient = attention_masked(k, s, &view, j, gradient, nothing);
    }
    k_store(k, probability, p[0], to);
    k_store(k, gradient, p[1], to);
    k_end(k);
  }
  k_end(k);
  k_return(k);
}

// NAME_start(vectors, dO, O, lse, starts, dQ, count): delta = rowsum(dO O), lse and starts of the queries side by side;
// dQ = 0.
static void start_function(kernel_text *k, const char *name, const attention_shape *s) {
  ssa p[7];
  k_function(k, name, "npppppi", p);
  ssa zero = k_int(k, 0), one = k_int(k, 1), size = k_int(k, s->head_size),
      out_width = k_int(k, s->heads * s->head_size);
  ssa i = k_for(k, zero, k_int(k, QUERY_BLOCK), one);
  ssa query = k_min(k, i, k_sub(k, p[6], one)), row = k_mul(k, query, out_width),
      sum = k_float(k, 0); // beyond the last: the last again
  ssa d = k_for_carry(k, zero, size, one, &sum, 1), at = k_add(k, row, d);
  ssa next = k_add_any_order(k, sum, k_mul(k, k_load(k, p[1], at, K_F32), k_load(k, p[2], at, K_F32)));
  k_end_carry(k, &next);
  k_store(k, sum, p[0], k_add(k, i, k_int(k, DELTAS * QUERY_BLOCK)));
  k_store(k, k_load(k, p[3], k_mul(k, query, k_int(k, s->heads)), K_F32), p[0], i);
  if (s->starts)
    k_store(k, k_convert(k, k_convert(k, k_load(k, p[4], query, K_I32), K_I64), K_F32), p[0],
            k_add(k, i, k_int(k, STARTS * QUERY_BLOCK)));
  k_end(k);
  i = k_for(k, zero, p[6], one);
  k_zero(k, k_at(k, p[5], k_mul(k, i, k_int(k, attention_columns(s)))), size);
  k_end(k);
  k_return(k);
}

// NAME_keys(dV, P, dO, keys, column, count): dV += P dO for `keys` rows of P, whose queries before `column` + row are
// 0.
static void keys_function(kernel_text *k, const char *name, const tile_product *t, const attention_shape *s) {
  tile_functions(k, t, s->head_size);
  ssa p[6];
  k_function(k, name, "!pppiii", p);
  ssa zero = k_int(k, 0), tile = k_int(k, attention_rows()), one = k_int(k, 1);
  ssa whole = k_sub(k, p[3], k_rem(k, p[3], tile));
  for (int single = 0; single < 2; ++single) {
    ssa j = k_for(k, single ? whole : zero, single ? p[3] : whole, single ? one : tile);
    ssa query = k_clamp(k, k_add(k, p[4], j), zero, p[5]);
    tile_strip(k, t, s->head_size, single ? 1 : attention_rows(), k_at(k, p[0], k_mul(k, j, k_int(k, t->c_stride))),
               k_at(k, p[1], k_add(k, k_mul(k, j, k_int(k, QUERY_BLOCK)), query)),
               k_at(k, p[2], k_mul(k, query, k_int(k, t->b_stride))), p[0], k_sub(k, p[5], query));
    k_end(k);
  }
  k_return(k);
}

typedef struct grad_names {
  const char *block, *pack, *scores, *softmax, *start, *queries, *keys, *values, *query_tile, *key_tile, *value_tile;
} grad_names;

// A block of queries of one head: adds to dK and dV of the keys it sees, and writes its dQ.
static void grad_block(kernel_text *k, const grad_names *n, const attention_shape *s) {
  enum {
    QUERIES,
    KEYS,
    VALUES,
    OUT,
    LSE_AT,
    DOUT,
    DQUERIES,
    DKEYS,
    DVALUES,
    STARTS_AT,
    COUNT,
    POSITION,
    SEGMENTS,
    SEGMENT_STRIDE,
    LENGTH_OF,
    SCRATCH,
    PARAMETERS
  };
  ssa p[PARAMETERS];
  k_function(k, n->block, "ppppppppppiiiiip", p);
  ssa scores = p[SCRATCH], gradients = k_at(k, scores, k_int(k, QUERY_BLOCK * KEY_BLOCK));
  ssa packed_size = k_int(k, QUERY_BLOCK * s->head_size),
      packed = k_at(k, gradients, k_int(k, QUERY_BLOCK * KEY_BLOCK));
  ssa packed_out = k_at(k, packed, packed_size), vectors = k_at(k, packed_out, packed_size);
  ssa zero = k_int(k, 0), one = k_int(k, 1), lanes = k_int(k, attention_lanes()), key_block = k_int(k, KEY_BLOCK);
  ssa width = k_int(k, attention_columns(s)), count = p[COUNT];
  ssa up = k_sub(k, k_add(k, count, lanes), one), padded = k_sub(k, up, k_rem(k, up, lanes));
  K_CALL(k, n->pack, packed, p[QUERIES], count, width, k_float(k, s->scale));
  K_CALL(k, n->pack, packed_out, p[DOUT], count, k_int(k, s->heads * s->head_size), k_float(k, 1));
  K_CALL(k, n->start, vectors, p[DOUT], p[OUT], p[LSE_AT], p[STARTS_AT], p[DQUERIES], count);

  ssa first_key = attention_first_key(k, s, p[STARTS_AT], count, p[POSITION]);
  ssa last_key = k_min(k, k_add(k, p[POSITION], count), p[LENGTH_OF]);
  ssa segment = k_for(k, zero, p[SEGMENTS], one);
  ssa first = k_for(k, first_key, last_key, key_block);
  ssa keys = k_min(k, key_block, k_sub(k, last_key, first)), column = k_sub(k, first, p[POSITION]);
  ssa at = k_add(k, k_mul(k, segment, p[SEGMENT_STRIDE]), k_mul(k, first, width));
  K_CALL(k, n->scores, scores, k_at(k, p[KEYS], at), packed, keys, column, padded);
  K_CALL(k, n->scores, gradients, k_at(k, p[VALUES], at), packed_out, keys, column, padded);
  K_CALL(k, n->softmax, scores, gradients, vectors, count, p[POSITION], p[LENGTH_OF], first, keys);
  K_CALL(k, n->values, k_at(k, p[DVALUES], at), scores, p[DOUT], keys, column, count);
  K_CALL(k, n->keys, k_at(k, p[DKEYS], at), gradients, p[QUERIES], keys, column, count);
  ssa seen = k_sub(k, one, column);
  K_CALL(k, n->queries, p[DQUERIES], gradients, k_at(k, p[KEYS], at), vectors, count, seen, keys);
  k_end(k);
  k_end(k);
  k_return(k);
}

static void grad_functions(cpu_entry *e, kernel_text *k, const char *name, const attention_shape *s) {
  arena *a = e->arena;
  int64_t width = attention_columns(s), out_width = s->heads * s->head_size;
  const grad_names n = {arena_printf(a, "%s_block", name),      arena_printf(a, "%s_pack", name),
                        arena_printf(a, "%s_scores", name),     arena_printf(a, "%s_softmax", name),
                        arena_printf(a, "%s_start", name),      arena_printf(a, "%s_queries", name),
                        arena_printf(a, "%s_keys", name),       arena_printf(a, "%s_values", name),
                        arena_printf(a, "%s_query_tile", name), arena_printf(a, "%s_key_tile", name),
                        arena_printf(a, "%s_value_tile", name)};
  const tile_product queries = {n.query_tile, TILE_ADD, width, 1, QUERY_BLOCK, width};
  const tile_product keys = {n.key_tile, TILE_ADD, width, QUERY_BLOCK, 1, width};
  const tile_product values = {n.value_tile, TILE_ADD, width, QUERY_BLOCK, 1, out_width};
  attention_pack(k, n.pack, s);
  attention_scores(k, n.scores, s, width);
  grad_function(k, n.softmax, s);
  start_function(k, n.start, s);
  attention_by_queries(k, n.queries, &queries, s);
  keys_function(k, n.keys, &keys, s);
  keys_function(k, n.values, &values, s);
  grad_block(k, &n, s);
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
         position, k_add(k, segment, one), k_mul(k, segment_rows, width), length, abi.scratch);
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
    kernel_text k = {0};
    grad_functions(e, &k, name, &s);
    grad_kernel(&k, name, arena_printf(e->arena, "%s_block", name), &s);
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
  launch->scratch = grad_scratch(&s);
  return true;
}
