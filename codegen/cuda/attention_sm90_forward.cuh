// Forward; needs attention_sm90.cuh, KEYS a multiple of 32, and wgmma_half, scores of KEYS / 2 keys.
// maps: queries of qkv (boxes of TOKENS positions of GROUP heads), keys and values of qkv (KEYS / 2 rows), out (as the
// queries). args: qkv, out, lse.

constexpr int QUERY_BYTES = CONSUMERS * TILE_BYTES;
constexpr bool HALVES = KEYS > 64; // the last block may be half as wide

// An item's keys, in each of its segments: from block `begin` on `end` half blocks, walked from the last to the first; of
// the first segment walked, its own, the last block is half as wide where that is enough.
static __device__ __forceinline__ int halves_to(const shape &s, int position) {
  return (min(s.length, position) + KEYS / 2 - 1) / (KEYS / 2);
}

// Of the rows lane / 4 and 8 below of a warp.
struct softmax {
  float most_a, most_b, sum_a, sum_b, factor_a, factor_b;
};

// x: scores -> powers of 2; the largest score is raised only where it grew by much.
template <int N> static __device__ __forceinline__ void soften(softmax &s, float (&x)[KEYS / 2]) {
  float a = fmaxf(x[0], x[1]), b = fmaxf(x[2], x[3]);
#pragma unroll
  for (int q = 1; q < N / 8; ++q) {
    a = fmaxf(a, fmaxf(x[4 * q], x[4 * q + 1]));
    b = fmaxf(b, fmaxf(x[4 * q + 2], x[4 * q + 3]));
  }
  a = quad_max(a) * POWER, b = quad_max(b) * POWER;
  a = a > s.most_a + 8.0f ? a : s.most_a, b = b > s.most_b + 8.0f ? b : s.most_b;
  s.factor_a = power_of_2(s.most_a - a), s.factor_b = power_of_2(s.most_b - b);
  s.most_a = a, s.most_b = b;
  float a0 = 0, a1 = 0, b0 = 0, b1 = 0;
#pragma unroll
  for (int q = 0; q < N / 8; ++q) {
    x[4 * q] = power_of_2(fmaf(x[4 * q], POWER, -a)), x[4 * q + 1] = power_of_2(fmaf(x[4 * q + 1], POWER, -a));
    x[4 * q + 2] = power_of_2(fmaf(x[4 * q + 2], POWER, -b)), x[4 * q + 3] = power_of_2(fmaf(x[4 * q + 3], POWER, -b));
    a0 += x[4 * q], a1 += x[4 * q + 1], b0 += x[4 * q + 2], b1 += x[4 * q + 3];
  }
  s.sum_a = s.sum_a * s.factor_a + (a0 + a1), s.sum_b = s.sum_b * s.factor_b + (b0 + b1);
}

struct forward_memory {
  u32 query, staged, keys, values, items; // query, items: of two items
  u32 keys_full, keys_empty, values_full, values_empty, query_full, query_empty;
};

template <typename P>
static __device__ __forceinline__ void forward_produce(const P &p, const shape &s, const forward_memory &m) {
  ring kv = {0, 0}, q = {0, 0};
  item it;
  for (int i = 0; item_at(s, i, CONSUMERS * TOKENS, true, it); ++i) {
    it.begin = first_key(p, s, it, CONSUMERS * TOKENS) / KEYS, it.end = halves_to(s, it.first + CONSUMERS * TOKENS);
    if (threadIdx.x) continue;
    wait(m.query_empty + 8 * q.stage, q.phase ^ 1);
    put_item(m.items + q.stage * ITEM_BYTES, it);
    expect_bytes(m.query_full + 8 * q.stage, ROWS_BYTES);
    load_rows(m.query + q.stage * QUERY_BYTES, &p.maps[0], it, m.query_full + 8 * q.stage);
    q.next(2);
    const int end = (it.end + 1) / 2, each = end - it.begin;
    const int key_x = (s.heads + it.key_head) * HEAD, value_x = key_x + s.key_heads * HEAD;
    for (int n = 0; n < each * (it.segment + 1); ++n, kv.next(STAGES)) {
      const int row = (end - 1 - n % each) * KEYS, z = it.sequence - n / each * s.batch;
      const bool half = HALVES && n == 0 && it.end % 2;
      const u32 at[2] = {m.keys + kv.stage * BLOCK_BYTES, m.values + kv.stage * BLOCK_BYTES};
      const u32 full[2] = {m.keys_full + 8 * kv.stage, m.values_full + 8 * kv.stage};
      const u32 empty[2] = {m.keys_empty + 8 * kv.stage, m.values_empty + 8 * kv.stage};
      for (int v = 0; v < 2; ++v) {
        wait(empty[v], kv.phase ^ 1);
        expect_bytes(full[v], half ? BLOCK_BYTES / 2 : BLOCK_BYTES);
        load_boxes(at[v], KEYS * PITCH, &p.maps[1], v ? value_x : key_x, row, z, full[v]);
        if (!half)
          load_boxes(at[v] + KEYS / 2 * PITCH, KEYS * PITCH, &p.maps[1], v ? value_x : key_x, row + KEYS / 2, z,
                     full[v]);
      }
    }
  }
  if (threadIdx.x) return;
  wait(m.query_empty + 8 * q.stage, q.phase ^ 1);
  put_end(m.items + q.stage * ITEM_BYTES, m.query_full + 8 * q.stage);
}

// The log-sum-exp of an item's rows. Leaves their factors, 1 / sum, in sum_a and sum_b.
template <typename P>
static __device__ __forceinline__ void keep_sums(const P &p, const shape &s, const item &it, int w, softmax &soft) {
  const float sum_a = quad_sum(soft.sum_a), sum_b = quad_sum(soft.sum_b);
  const int thread = thread_again(), row = thread / 32 % 4 * 16 + thread % 32 / 4, least = it.first + w * TOKENS;
  if (thread % 4 == 0) {
    const int position_a = least + row / GROUP, position_b = least + (row + 8) / GROUP;
    float *lse = (float *)p.args[2] + (long long)it.sequence * s.length * s.heads + it.key_head * GROUP;
    if (row < TOKENS * GROUP && position_a < s.length)
      lse[position_a * s.heads + row % GROUP] = (soft.most_a + __log2f(sum_a)) * LN2;
    if (row + 8 < TOKENS * GROUP && position_b < s.length)
      lse[position_b * s.heads + (row + 8) % GROUP] = (soft.most_b + __log2f(sum_b)) * LN2;
  }
  soft.sum_a = __fdividef(1.0f, sum_a), soft.sum_b = __fdividef(1.0f, sum_b);
}

// An item's rows, of which all products are done.
template <typename P>
static __device__ __forceinline__ void keep_rows(const P &p, const forward_memory &m, u32 stage_of_item, int w,
                                                 const float (&o)[HEAD / 2], float factor_a, float factor_b) {
  const item it = get_item(m.items + stage_of_item * ITEM_BYTES);
  stores_read();
  named_sync(1 + w, 128);
  arrive(m.query_empty + 8 * stage_of_item);
  stage(m.staged + w * TILE_BYTES, o, factor_a, factor_b);
  fence_copies();
  named_sync(1 + w, 128);
  store_rows(m.staged + w * TILE_BYTES, &p.maps[2], it, it.first + w * TOKENS);
}

// One item's last values are multiplied together with the next one's first scores: so items follow each other as the
// blocks of one do.
template <typename P>
static __device__ __forceinline__ void forward_consume(const P &p, const shape &s, const forward_memory &m) {
  const int w = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0) - 1;
  u32 kv = 0; // blocks so far: registers are scarce here
  const auto stage_of = [](u32 n) { return n % STAGES; };
  const auto phase_of = [](u32 n) { return n / STAGES % 2; };
  if (w == CONSUMERS - 1) named_arrive(4, 256);
  // Scores in turn, so that one consumer's softmax runs under another's products.
  const auto take_turn = [&] { named_sync(4 + w, 256); };
  const auto give_turn = [&] { named_arrive(4 + (w + 1 == CONSUMERS ? 0 : w + 1), 256); };
  float x[KEYS / 2], o[HEAD / 2];
  u32 powers[KEYS / 4];
  softmax soft = {0.0f, 0.0f, 1.0f, 1.0f, 1.0f, 1.0f};
  const auto multiply_values = [&](u32 stage) {
    const u64 right = descriptor(m.values + stage * BLOCK_BYTES);
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < KEYS / 16; ++k)
      wgmma_values(o, powers[4 * k], powers[4 * k + 1], powers[4 * k + 2], powers[4 * k + 3], right + to_rows(k), 1);
    wgmma_end();
  };
#pragma unroll
  for (int e = 0; e < HEAD / 2; ++e) o[e] = 0.0f;
#pragma unroll
  for (int e = 0; e < KEYS / 4; ++e) powers[e] = 0;
  int i = 0;
#pragma unroll 1
  for (;; ++i) {
    wait(m.query_full + 8 * (i % 2), i / 2 % 2);
    item it = get_item(m.items + i % 2 * ITEM_BYTES);
    if (it.first < 0) break;
    int least = it.first + w * TOKENS, halves = halves_to(s, least + TOKENS);
    u32 before = kv - 1;
#pragma unroll 1
    for (int skip = (it.end + 1) / 2 - (halves + 1) / 2; skip; --skip, ++kv) { // keys that only the others see
      wait(m.values_full + 8 * stage_of(kv), phase_of(kv));
      arrive(m.keys_empty + 8 * stage_of(kv));
      arrive(m.values_empty + 8 * stage_of(kv));
      take_turn();
      give_turn();
    }
    if (!i) before = kv; // nothing, times what is there
    const row_starts starts(p, s, it, least);
    const u64 left = descriptor(m.query + i % 2 * QUERY_BYTES + w * TILE_BYTES);
    const auto multiply_keys = [&](u32 stage) {
      const u64 right = descriptor(m.keys + stage * BLOCK_BYTES);
      wgmma_begin();
#pragma unroll
      for (int k = 0; k < HEAD / 16; ++k)
        wgmma_scores(x, left + to_columns(k, 64), right + to_columns(k, KEYS), k);
      wgmma_end();
    };
    // Of the item before; then the first block's scores -> powers of 2.
    const auto keep_last = [&] {
      give_turn();
      wgmma_wait<1>();
      tie(x);
      arrive(m.keys_empty + 8 * stage_of(kv));
    };
    float factor_a, factor_b;
    const auto begin_sums = [&] {
      factor_a = soft.sum_a, factor_b = soft.sum_b;
      soft = {-1e20f, -1e20f, 0.0f, 0.0f, 1.0f, 1.0f};
    };
    const auto end_values = [&] {
      wgmma_wait<0>();
      tie(o);
      tie(powers);
    };
    if (i) keep_sums(p, s, get_item(m.items + (i + 1) % 2 * ITEM_BYTES), w, soft);
    wait(m.keys_full + 8 * stage_of(kv), phase_of(kv));
    wait(m.values_full + 8 * stage_of(before), phase_of(before));
    take_turn();
    if (HALVES && __shfl_sync(0xffffffffu, halves, 0) % 2) {
      const u64 right = descriptor(m.keys + stage_of(kv) * BLOCK_BYTES);
      wgmma_begin();
#pragma unroll
      for (int k = 0; k < HEAD / 16; ++k) wgmma_half(x, left + to_columns(k, 64), right + to_columns(k, KEYS), k);
      wgmma_end();
      multiply_values(stage_of(before));
      keep_last();
      begin_sums();
      mask_keys<KEYS / 2>(x, (halves - 1) * (KEYS / 2), least, starts);
      soften<KEYS / 2>(soft, x);
      end_values();
#pragma unroll
      for (int e = 0; e < KEYS / 8; ++e) {
        powers[e] = pack(x[2 * e], x[2 * e + 1]);
        powers[KEYS / 8 + e] = 0;
      }
    } else {
      multiply_keys(stage_of(kv));
      multiply_values(stage_of(before));
      keep_last();
      begin_sums();
      mask_keys<KEYS>(x, HALVES ? (halves - 2) * (KEYS / 2) : (halves - 1) / 2 * KEYS, least, starts);
      soften<KEYS>(soft, x);
      end_values();
#pragma unroll
      for (int e = 0; e < KEYS / 4; ++e) powers[e] = pack(x[2 * e], x[2 * e + 1]);
    }
    // Again, so that it lies in no registers meanwhile.
    it = get_item(m.items + i % 2 * ITEM_BYTES), least = it.first + w * TOKENS, halves = halves_to(s, least + TOKENS);
    if (i) {
      before = kv - 1 - ((it.end + 1) / 2 - (halves + 1) / 2);
      arrive(m.values_empty + 8 * stage_of(before));
      keep_rows(p, m, (i + 1) % 2, w, o, factor_a, factor_b);
    }
#pragma unroll
    for (int e = 0; e < HEAD / 2; ++e) o[e] = 0.0f;
    ++kv;
    const int first = STARTS ? it.begin : 0;
    u32 at = (u32)it.segment << 16 | ((halves + 1) / 2 - 1 - first); // in one register
#pragma unroll 1
    while (at) {
      if (at % 65536) --at;
      else at = at - 65536 + ((get_item(m.items + i % 2 * ITEM_BYTES).end + 1) / 2 - 1 - first);
      wait(m.keys_full + 8 * stage_of(kv), phase_of(kv));
      wait(m.values_full + 8 * stage_of(kv - 1), phase_of(kv - 1));
      take_turn();
      multiply_keys(stage_of(kv));
      multiply_values(stage_of(kv - 1));
      give_turn();
      wgmma_wait<1>();
      tie(x);
      arrive(m.keys_empty + 8 * stage_of(kv));
      mask_keys<KEYS>(x, (int)(at % 65536 + first) * KEYS, least, starts);
      soften<KEYS>(soft, x);
      wgmma_wait<0>();
      tie(o);
      tie(powers);
      arrive(m.values_empty + 8 * stage_of(kv - 1));
      if (__any_sync(0xffffffffu, soft.factor_a != 1.0f || soft.factor_b != 1.0f)) {
#pragma unroll
        for (int e = 0; e < HEAD / 8; ++e) {
          o[4 * e] *= soft.factor_a, o[4 * e + 1] *= soft.factor_a;
          o[4 * e + 2] *= soft.factor_b, o[4 * e + 3] *= soft.factor_b;
        }
      }
#pragma unroll
      for (int e = 0; e < KEYS / 4; ++e) powers[e] = pack(x[2 * e], x[2 * e + 1]);
      ++kv;
    }
  }
  wait(m.values_full + 8 * stage_of(kv - 1), phase_of(kv - 1));
  multiply_values(stage_of(kv - 1));
  keep_sums(p, s, get_item(m.items + (i + 1) % 2 * ITEM_BYTES), w, soft);
  wgmma_wait<0>();
  tie(o);
  keep_rows(p, m, (i + 1) % 2, w, o, soft.sum_a, soft.sum_b);
  stores_done();
}

template <typename P> static __device__ __forceinline__ void attention(const P &p) {
  __shared__ __align__(8) u64 barriers[4 * STAGES + 4];
  __shared__ __align__(16) unsigned char items[2 * ITEM_BYTES];
  const u32 first = shared_address(barriers);
  forward_memory m;
  m.query = (shared_address(memory) + 1023) & ~1023u, m.staged = m.query + 2 * QUERY_BYTES;
  m.keys = m.staged + QUERY_BYTES, m.values = m.keys + STAGES * BLOCK_BYTES, m.items = shared_address(items);
  m.keys_full = first, m.keys_empty = first + 8 * STAGES, m.values_full = first + 16 * STAGES;
  m.values_empty = first + 24 * STAGES, m.query_full = first + 32 * STAGES, m.query_empty = m.query_full + 16;
  fill_row_positions();
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
      barrier_init(m.keys_full + 8 * i, 1), barrier_init(m.values_full + 8 * i, 1);
      barrier_init(m.keys_empty + 8 * i, 4 * CONSUMERS), barrier_init(m.values_empty + 8 * i, 4 * CONSUMERS);
    }
    for (int i = 0; i < 2; ++i)
      barrier_init(m.query_full + 8 * i, 1), barrier_init(m.query_empty + 8 * i, 4 * CONSUMERS);
    barriers_ready();
  }
  // What half a block leaves out is multiplied by 0: it must not be NaN.
  for (u32 at = m.values + threadIdx.x * 16; at < m.values + STAGES * BLOCK_BYTES; at += THREADS * 16)
    asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(at), "r"(0) : "memory");
  fence_copies();
  __syncthreads();
  const shape s = shape_of(p);
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(FEW_REGISTERS));
    if (threadIdx.x < 32) forward_produce(p, s, m);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
    forward_consume(p, s, m);
  }
}
