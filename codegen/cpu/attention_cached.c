// kernel.attention_cached: causal attention of `length` new positions of each sequence over its cache. Keys and values
// of a sequence lie at sequence * capacity rows of key_value_heads * head_size, the values of all sequences after the
// keys; the segments of one sequence are `batch` sequences apart. The cost grows with the lengths at run time, not with
// the capacity; nothing is written beyond it. One new position: a task is a key head of a sequence; keys and values are
// read once for all query heads that share them. Without segments it stores its own key and value first, else a launch
// before stores all. More positions: the blocks of attention.c.
#include "codegen/cpu/attention.h"

// The first position of the new ones in the cache of sequence `sequence`; never negative.
static ssa cached_length(kernel_text *k, ssa lengths, ssa sequence, ssa batch) {
  return k_max(k, k_convert(k, k_load(k, lengths, k_rem(k, sequence, batch), K_I32), K_I64), k_int(k, 0));
}

// args: qkv, lengths, keys, values of the cache. dims: length, batch, capacity. tasks: rows.
static void store_kernel(kernel_text *k, const char *name, const attention_shape *s) {
  int64_t key_columns = s->key_value_heads * s->head_size;
  kernel_abi abi = k_kernel(k, name);
  ssa qkv = k_argument(k, abi, 0), lengths = k_argument(k, abi, 1), keys = k_argument(k, abi, 2),
      values = k_argument(k, abi, 3);
  ssa length = k_dim(k, abi, 0), batch = k_dim(k, abi, 1), capacity = k_dim(k, abi, 2), columns = k_int(k, key_columns);
  ssa row = k_for(k, abi.begin, abi.end, k_int(k, 1));
  ssa sequence = k_div(k, row, length),
      position = k_add(k, cached_length(k, lengths, sequence, batch), k_rem(k, row, length));
  k_if(k, k_compare(k, "slt", position, capacity));
  ssa to = k_mul(k, k_add(k, k_mul(k, sequence, capacity), position), columns);
  ssa from = k_add(k, k_mul(k, row, k_int(k, attention_columns(s))), k_int(k, s->heads * s->head_size));
  k_copy(k, k_at(k, keys, to), k_at(k, qkv, from), columns);
  k_copy(k, k_at(k, values, to), k_at(k, qkv, k_add(k, from, columns)), columns);
  k_end(k);
  k_end(k);
  k_return(k);
}

// args: qkv, lengths, keys, values, out. dims: length, batch, capacity, segments, sequences, query blocks. tasks: as
// attention.c's.
static void blocks_kernel(kernel_text *k, const char *name, const attention_shape *s) {
  int64_t columns = attention_columns(s), key_columns = s->key_value_heads * s->head_size,
          out_columns = s->heads * s->head_size;
  attention_block(k, name, s, (attention_block_shape){columns, key_columns, out_columns, 0});
  kernel_abi abi = k_kernel(k, name);
  ssa qkv = k_argument(k, abi, 0), lengths = k_argument(k, abi, 1), keys = k_argument(k, abi, 2),
      values = k_argument(k, abi, 3);
  ssa out = k_argument(k, abi, 4), length = k_dim(k, abi, 0), batch = k_dim(k, abi, 1), capacity = k_dim(k, abi, 2);
  ssa segments = k_dim(k, abi, 3), sequences = k_dim(k, abi, 4), blocks = k_dim(k, abi, 5), one = k_int(k, 1);
  ssa heads = k_int(k, s->heads), size = k_int(k, s->head_size), group = k_int(k, s->heads / s->key_value_heads);
  ssa round = k_mul(k, sequences, heads), none = k_null(k);
  ssa task = k_for(k, abi.begin, abi.end, one);
  ssa block = k_sub(k, k_sub(k, blocks, one), k_div(k, task, round)), rest = k_rem(k, task, round);
  ssa sequence = k_div(k, rest, heads), head = k_rem(k, rest, heads),
      segment = k_rem(k, k_div(k, sequence, batch), segments);
  ssa first = k_mul(k, block, k_int(k, QUERY_BLOCK)), count = k_min(k, k_int(k, QUERY_BLOCK), k_sub(k, length, first));
  ssa row = k_add(k, k_mul(k, sequence, length), first);
  ssa query = k_add(k, k_mul(k, row, k_int(k, columns)), k_mul(k, head, size));
  ssa first_sequence = k_sub(k, sequence, k_mul(k, segment, batch)), key_width = k_int(k, key_columns);
  ssa key = k_add(k, k_mul(k, k_mul(k, first_sequence, capacity), key_width), k_mul(k, k_div(k, head, group), size));
  ssa result = k_add(k, k_mul(k, row, k_int(k, out_columns)), k_mul(k, head, size));
  ssa position = k_add(k, cached_length(k, lengths, sequence, batch), first);
  char function[160];
  snprintf(function, sizeof function, "%s_block", name);
  K_CALL(k, function, k_at(k, qkv, query), k_at(k, keys, key), k_at(k, values, key), k_at(k, out, result), none, none,
         count, position, k_add(k, segment, one), k_mul(k, k_mul(k, batch, capacity), key_width), capacity,
         abi.scratch);
  k_end(k);
  k_return(k);
}

// ---- one new position

enum { DECODE_KEYS = 64 }; // keys that all query heads of a key head go over while they are in the nearest cache

// Sums across the lanes of `lanes` vectors: lane i of the result is that of vector i. Halves are added until one vector
// is left.
static ssa sum_each(kernel_text *k, ssa *vectors, int lanes) {
  for (int half = lanes / 2; half; half /= 2) {
    int low[16], high[16];
    for (int i = 0; i < lanes; ++i) { // the lanes whose bit `half` is clear (set), of both, in place
      low[i] = i & half ? lanes + i - half : i;
      high[i] = i & half ? lanes + i : i + half;
    }
    for (int i = 0; i < half; ++i)
      vectors[i] =
          k_add(k, k_shuffle(k, vectors[i], vectors[i + half], low), k_shuffle(k, vectors[i], vectors[i + half], high));
  }
  return vectors[0];
}

// query · keys[j] for `count` keys from `first` on, as one partial sum a lane.
static void partial_scores(kernel_text *k, const attention_shape *s, ssa query, ssa keys, ssa first, ssa *sums,
                           int count) {
  int lanes = attention_lanes();
  int64_t whole = s->head_size / lanes * lanes, key_columns = s->key_value_heads * s->head_size;
  ssa start = k_mul(k, first, k_int(k, key_columns));
  for (int j = 0; j < count; ++j) sums[j] = k_splat(k, k_float(k, 0), lanes);
  for (int64_t d = 0; d < whole; d += lanes) {
    ssa part = k_load_vector(k, query, k_int(k, d), lanes);
    for (int j = 0; j < count; ++j)
      sums[j] = k_fma(k, part, k_load_vector(k, keys, k_add(k, start, k_int(k, j * key_columns + d)), lanes), sums[j]);
  }
}

// The rest of the head, beyond whole vectors.
static ssa rest_of_score(kernel_text *k, const attention_shape *s, ssa query, ssa keys, ssa key) {
  int lanes = attention_lanes(), tail = (int)(s->head_size % lanes);
  int64_t whole = s->head_size - tail;
  ssa at = k_add(k, k_mul(k, key, k_int(k, s->key_value_heads * s->head_size)), k_int(k, whole));
  return k_sum_lanes(k, k_mul(k, k_load_vector(k, query, k_int(k, whole), tail), k_load_vector(k, keys, at, tail)));
}

// NAME_scores(query, keys, scores, count): scores[j] = scale query · keys[j], a vector of keys at a time.
static void decode_scores(kernel_text *k, const char *name, const attention_shape *s) {
  ssa p[4], sums[16];
  k_function(k, name, "!nnni", p);
  int lanes = attention_lanes();
  ssa zero = k_int(k, 0), one = k_int(k, 1), vector = k_int(k, lanes), scale = k_float(k, s->scale);
  ssa whole = k_sub(k, p[3], k_rem(k, p[3], vector));
  ssa j = k_for(k, zero, whole, vector);
  partial_scores(k, s, p[0], p[1], j, sums, lanes);
  k_store(k, k_mul(k, sum_each(k, sums, lanes), k_splat(k, scale, lanes)), p[2], j);
  k_end(k);
  j = k_for(k, whole, p[3], one);
  partial_scores(k, s, p[0], p[1], j, sums, 1);
  k_store(k, k_mul(k, k_sum_lanes(k, sums[0]), scale), p[2], j);
  k_end(k);
  if (s->head_size % lanes) {
    j = k_for(k, zero, p[3], one);
    k_store(k, k_fma(k, rest_of_score(k, s, p[0], p[1], j), scale, k_load(k, p[2], j, K_F32)), p[2], j);
    k_end(k);
  }
  k_return(k);
}

// NAME_values(out, values, scores, count): out += scores[j] values[j], as many columns at a time as registers hold.
static void decode_values(kernel_text *k, const char *name, const attention_shape *s) {
  ssa p[4];
  k_function(k, name, "!nnni", p);
  int64_t most = 8 * attention_lanes();
  for (int64_t column = 0; column < s->head_size; column += most) {
    int lanes = (int)(s->head_size - column < most ? s->head_size - column : most);
    ssa at = k_int(k, column), sum = k_load_vector(k, p[0], at, lanes);
    ssa j = k_for_carry(k, k_int(k, 0), p[3], k_int(k, 1), &sum, 1);
    ssa row = k_add(k, k_mul(k, j, k_int(k, s->key_value_heads * s->head_size)), at);
    ssa next = k_fma(k, k_splat(k, k_load(k, p[2], j, K_F32), lanes), k_load_vector(k, p[1], row, lanes), sum);
    k_end_carry(k, &next);
    k_store(k, sum, p[0], at);
  }
  k_return(k);
}

// NAME_softmax(scores, count): scores of one query head to probabilities.
static void decode_softmax(kernel_text *k, const char *name) {
  ssa p[2];
  k_function(k, name, "!ni", p);
  ssa zero = k_int(k, 0), one = k_int(k, 1), maximum = k_load(k, p[0], zero, K_F32), sum = k_float(k, 0);
  ssa i = k_for_carry(k, zero, p[1], one, &maximum, 1);
  ssa larger = k_max(k, maximum, k_load(k, p[0], i, K_F32));
  k_end_carry(k, &larger);
  i = k_for_carry(k, zero, p[1], one, &sum, 1);
  ssa power = k_math(k, "exp", k_sub(k, k_load(k, p[0], i, K_F32), maximum));
  k_store(k, power, p[0], i);
  ssa more = k_add_any_order(k, sum, power);
  k_end_carry(k, &more);
  ssa inverse = k_div(k, k_float(k, 1), sum);
  i = k_for(k, zero, p[1], one);
  k_store(k, k_mul(k, k_load(k, p[0], i, K_F32), inverse), p[0], i);
  k_end(k);
  k_return(k);
}

// NAME_pass(rows, keys or values, scores, seen segments, segment stride, count, score stride): calls `function` with
// each query head's row of queries or outputs, each segment's keys or values by DECODE_KEYS, and their scores.
static void decode_pass(kernel_text *k, const char *name, const char *function, const attention_shape *s) {
  ssa p[7];
  k_function(k, name, "pppiiii", p);
  ssa zero = k_int(k, 0), one = k_int(k, 1), step = k_int(k, DECODE_KEYS), size = k_int(k, s->head_size);
  ssa segment = k_for(k, zero, p[3], one), first = k_for(k, zero, p[5], step);
  ssa keys = k_add(k, k_mul(k, segment, p[4]), k_mul(k, first, k_int(k, s->key_value_heads * s->head_size)));
  ssa scores = k_at(k, p[2], k_add(k, k_mul(k, segment, p[5]), first)), count = k_min(k, step, k_sub(k, p[5], first));
  ssa q = k_for(k, zero, k_int(k, s->heads / s->key_value_heads), one);
  K_CALL(k, function, k_at(k, p[0], k_mul(k, q, size)), k_at(k, p[1], keys), k_at(k, scores, k_mul(k, q, p[6])), count);
  k_end(k);
  k_end(k);
  k_end(k);
  k_return(k);
}

typedef struct decode_names {
  char scores[160], values[160], softmax[160], score_pass[160], value_pass[160];
} decode_names;

static decode_names add_decode_functions(kernel_text *k, const char *name, const attention_shape *s) {
  decode_names n;
  snprintf(n.scores, sizeof n.scores, "%s_scores", name);
  snprintf(n.values, sizeof n.values, "%s_values", name);
  snprintf(n.softmax, sizeof n.softmax, "%s_softmax", name);
  snprintf(n.score_pass, sizeof n.score_pass, "%s_score_pass", name);
  snprintf(n.value_pass, sizeof n.value_pass, "%s_value_pass", name);
  decode_scores(k, n.scores, s);
  decode_values(k, n.values, s);
  decode_softmax(k, n.softmax);
  decode_pass(k, n.score_pass, n.scores, s);
  decode_pass(k, n.value_pass, n.values, s);
  return n;
}

// args: qkv, lengths, keys, values, out. dims: batch, capacity, segments. tasks: sequences x key heads. scratch: scores
// of a group of heads over all segments.
static void decode_kernel(kernel_text *k, const char *name, const attention_shape *s, bool store) {
  decode_names n = add_decode_functions(k, name, s);
  int64_t key_columns = s->key_value_heads * s->head_size, group = s->heads / s->key_value_heads;
  kernel_abi abi = k_kernel(k, name);
  ssa qkv = k_argument(k, abi, 0), lengths = k_argument(k, abi, 1), keys = k_argument(k, abi, 2);
  ssa values = k_argument(k, abi, 3), out = k_argument(k, abi, 4);
  ssa batch = k_dim(k, abi, 0), capacity = k_dim(k, abi, 1), segments = k_dim(k, abi, 2);
  ssa zero = k_int(k, 0), one = k_int(k, 1), size = k_int(k, s->head_size), key_heads = k_int(k, s->key_value_heads);
  ssa key_width = k_int(k, key_columns), score_stride = k_mul(k, segments, capacity);
  ssa segment_stride = k_mul(k, k_mul(k, batch, capacity), key_width);
  ssa task = k_for(k, abi.begin, abi.end, one);
  ssa sequence = k_div(k, task, key_heads), key_head = k_rem(k, task, key_heads);
  ssa segment = k_rem(k, k_div(k, sequence, batch), segments);
  ssa position = cached_length(k, lengths, sequence, batch), count = k_min(k, k_add(k, position, one), capacity);
  ssa row = k_mul(k, sequence, k_int(k, attention_columns(s))), head_offset = k_mul(k, key_head, size);
  if (store) {
    k_if(k, k_compare(k, "slt", position, capacity));
    ssa to = k_add(k, k_mul(k, k_add(k, k_mul(k, sequence, capacity), position), key_width), head_offset);
    ssa from = k_add(k, k_add(k, row, k_int(k, s->heads * s->head_size)), head_offset);
    k_copy(k, k_at(k, keys, to), k_at(k, qkv, from), size);
    k_copy(k, k_at(k, values, to), k_at(k, qkv, k_add(k, from, key_width)), size);
    k_end(k);
  }
  ssa head = k_mul(k, head_offset, k_int(k, group)), queries = k_at(k, qkv, k_add(k, row, head));
  ssa result = k_at(k, out, k_add(k, k_mul(k, sequence, k_int(k, s->heads * s->head_size)), head));
  ssa first = k_mul(k, k_sub(k, sequence, k_mul(k, segment, batch)), capacity), seen = k_add(k, segment, one);
  ssa key = k_add(k, k_mul(k, first, key_width), head_offset);
  K_CALL(k, n.score_pass, queries, k_at(k, keys, key), abi.scratch, seen, segment_stride, count, score_stride);
  ssa q = k_for(k, zero, k_int(k, group), one);
  K_CALL(k, n.softmax, k_at(k, abi.scratch, k_mul(k, q, score_stride)), k_mul(k, seen, count));
  k_end(k);
  k_zero(k, result, k_int(k, group * s->head_size));
  K_CALL(k, n.value_pass, result, k_at(k, values, key), abi.scratch, seen, segment_stride, count, score_stride);
  k_end(k);
  k_return(k);
}

// ---- launches -----------------------------------------------------------------------------------

typedef struct cached {
  attention_shape shape;
  int64_t capacity;
  plan_ref keys, values;
} cached;

static plan_launch *cached_launch(cpu_entry *e, MlirOperation op, const cached *c, const char *name,
                                  const int64_t *dims, int dim_count) {
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  cpu_arg_value(e, launch, ir_operand(e->ir, op, 0));
  cpu_arg_value(e, launch, ir_operand(e->ir, op, 1));
  cpu_arg(e, launch, c->keys);
  cpu_arg(e, launch, c->values);
  for (int i = 0; i < dim_count; ++i) cpu_dim(e, launch, dims[i]);
  return launch;
}

static const char *add_kernel(cpu_entry *e, const char *name, const cached *c,
                              void write(kernel_text *, const char *, const attention_shape *)) {
  if (cpu_has_kernel(e->cg, name)) return name;
  kernel_text k = {0};
  write(&k, name, &c->shape);
  cpu_add_kernel(e->cg, name, k.out.data);
  text_free(&k.out);
  return name;
}

static void decode(kernel_text *k, const char *name, const attention_shape *s) { decode_kernel(k, name, s, false); }
static void store_and_decode(kernel_text *k, const char *name, const attention_shape *s) {
  decode_kernel(k, name, s, true);
}

static void emit_store(cpu_entry *e, MlirOperation op, const cached *c) {
  const attention_shape *s = &c->shape;
  const char *name = add_kernel(e, attention_name(e, "attention_store", s), c, store_kernel);
  int64_t dims[] = {s->length, s->batch, c->capacity};
  plan_launch *launch = cached_launch(e, op, c, name, dims, LENGTH(dims));
  launch->tasks = s->sequences * s->length;
  launch->grain = 64;
}

static void emit_decode(cpu_entry *e, MlirOperation op, const cached *c) {
  const attention_shape *s = &c->shape;
  bool together = s->segments == 1;
  if (!together) emit_store(e, op, c);
  const char *name = attention_name(e, together ? "attention_store_decode" : "attention_decode", s);
  add_kernel(e, name, c, together ? store_and_decode : decode);
  int64_t dims[] = {s->batch, c->capacity, s->segments}, group = s->heads / s->key_value_heads;
  plan_launch *launch = cached_launch(e, op, c, name, dims, LENGTH(dims));
  cpu_arg_value(e, launch, ir_result(e->ir, op, 0));
  launch->tasks = s->sequences * s->key_value_heads;
  launch->grain = attention_grain(4.0 * (double)(group * s->head_size) * (double)(c->capacity / 2 * s->segments));
  launch->scratch = group * s->segments * c->capacity * (int64_t)sizeof(float);
}

static void emit_blocks(cpu_entry *e, MlirOperation op, const cached *c) {
  const attention_shape *s = &c->shape;
  emit_store(e, op, c);
  const char *name = add_kernel(e, attention_name(e, "attention_cached", s), c, blocks_kernel);
  int64_t blocks = attention_query_blocks(s);
  int64_t dims[] = {s->length, s->batch, c->capacity, s->segments, s->sequences, blocks};
  plan_launch *launch = cached_launch(e, op, c, name, dims, LENGTH(dims));
  cpu_arg_value(e, launch, ir_result(e->ir, op, 0));
  launch->tasks = blocks * s->sequences * s->heads;
  launch->grain = attention_grain(4.0 * (double)(s->length < QUERY_BLOCK ? s->length : QUERY_BLOCK) *
                                  (double)(s->length * s->segments * s->head_size));
  launch->scratch = attention_block_scratch(s);
}

bool cpu_emit_attention_cached(cpu_entry *e, MlirOperation op, lmn_error *error) {
  cached c = {.shape = attention_shape_of(e, op), .capacity = ir_int(op, "capacity")};
  if (c.capacity < 1) return fail(error, "kernel.attention_cached: its capacity must be positive");
  int64_t bytes = c.shape.sequences * c.capacity * c.shape.key_value_heads * c.shape.head_size * (int64_t)sizeof(float);
  c.keys = (plan_ref){SPACE_CACHE, ir_int(op, "cache")};
  c.values = (plan_ref){SPACE_CACHE, c.keys.offset + bytes};
  if (c.shape.length == 1) emit_decode(e, op, &c);
  else emit_blocks(e, op, &c);
  return true;
}
