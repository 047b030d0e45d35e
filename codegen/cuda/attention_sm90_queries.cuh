// dQ, and for dK and dV lse in powers of 2 and delta = rowsum(dO O) in the workspace [2, sequences, heads, padded], 0
// behind a sequence; needs attention_sm90.cuh, wgmma_scores with A in registers. maps: queries of qkv (boxes of TOKENS
// positions of GROUP heads), keys and values of qkv (KEYS rows), out, dout, queries of dqkv (as the queries). args: qkv,
// out, lse, dout, dqkv, workspace.

constexpr int QUERY_BYTES = CONSUMERS * TILE_BYTES;

static __device__ __forceinline__ int blocks_to(const shape &s, int position) { // in each segment
  return (min(s.length, position) + KEYS - 1) / KEYS;
}

struct queries_memory {
  u32 query, gradient, out, staged, keys, values, table, items; // items: two
  u32 keys_full, keys_empty, values_full, values_empty, query_full, query_empty, turns_full;
};

template <typename P>
static __device__ __forceinline__ void queries_produce(const P &p, const shape &s, const queries_memory &m) {
  ring kv = {0, 0};
  u32 phase = 0;
  item it;
  int i = 0;
  for (; item_at(s, i, CONSUMERS * TOKENS, true, it); ++i, phase ^= 1) {
    it.begin = first_key(p, s, it, CONSUMERS * TOKENS) / KEYS, it.end = blocks_to(s, it.first + CONSUMERS * TOKENS);
    if (threadIdx.x) continue;
    wait(m.query_empty, phase ^ 1);
    put_item(m.items + i % 2 * ITEM_BYTES, it);
    expect_bytes(m.query_full, 3 * ROWS_BYTES);
    load_rows(m.query, &p.maps[0], it, m.query_full);
    load_rows(m.gradient, &p.maps[3], it, m.query_full);
    load_rows(m.out, &p.maps[2], it, m.query_full);
    const int blocks = it.end - it.begin;
    const int key_x = (s.heads + it.key_head) * HEAD, value_x = key_x + s.key_heads * HEAD;
    for (int n = 0; n < blocks * (it.segment + 1); ++n, kv.next(STAGES)) {
      const int row = (it.begin + n % blocks) * KEYS, z = it.sequence - n / blocks * s.batch;
      wait(m.keys_empty + 8 * kv.stage, kv.phase ^ 1);
      expect_bytes(m.keys_full + 8 * kv.stage, BLOCK_BYTES);
      load_boxes(m.keys + kv.stage * BLOCK_BYTES, KEYS * PITCH, &p.maps[1], key_x, row, z, m.keys_full + 8 * kv.stage);
      wait(m.values_empty + 8 * kv.stage, kv.phase ^ 1);
      expect_bytes(m.values_full + 8 * kv.stage, BLOCK_BYTES);
      load_boxes(m.values + kv.stage * BLOCK_BYTES, KEYS * PITCH, &p.maps[1], value_x, row, z, m.values_full + 8 * kv.stage);
    }
  }
  if (threadIdx.x) return;
  wait(m.query_empty, phase ^ 1);
  put_end(m.items + i % 2 * ITEM_BYTES, m.query_full);
}

// lse and delta of a row, at a place of the workspace.
template <typename P>
static __device__ __forceinline__ void keep_row(const P &p, const shape &s, const item &it, int head, int position,
                                                float lse, float delta) {
  float *to =
      (float *)p.args[5] + (long long)(it.sequence * s.heads + it.key_head * GROUP + head) * s.padded + position;
  to[0] = lse, to[(long long)s.sequences * s.heads * s.padded] = delta;
}

template <typename P>
static __device__ __forceinline__ void queries_consume(const P &p, const shape &s, const queries_memory &m) {
  const int w = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0) - 1; // in a uniform register
  const int lane = threadIdx.x % 32, row = threadIdx.x / 32 % 4 * 16 + lane / 4;
  const turning turns(m.table, m.turns_full, w);
  ring kv = {0, 0};
  u32 phase = 0;
#pragma unroll 1
  for (int i = 0;; ++i) {
    wait(m.query_full, phase);
    phase ^= 1;
    const item it = get_item(m.items + i % 2 * ITEM_BYTES);
    if (it.first < 0) break;
    const int least = it.first + w * TOKENS;
    const int position_a = least + row / GROUP, position_b = least + (row + 8) / GROUP;
    const int own = TOKENS < KEYS ? it.end : blocks_to(s, least + TOKENS); // hardly ever fewer
    const row_starts starts(p, s, it, least);
    const bool there_a = row < TOKENS * GROUP && position_a < s.length;
    const bool there_b = row + 8 < TOKENS * GROUP && position_b < s.length;
    const float *lse = (const float *)p.args[2] + (long long)it.sequence * s.length * s.heads + it.key_head * GROUP;
    const float lse_a = there_a ? lse[position_a * s.heads + row % GROUP] * LOG2E : 0.0f;
    const float lse_b = there_b ? lse[position_b * s.heads + (row + 8) % GROUP] * LOG2E : 0.0f;
    float x[KEYS / 2], y[KEYS / 2], dq[HEAD / 2], delta_a = 0.0f, delta_b = 0.0f;
    u32 query[HEAD / 4], gradient[HEAD / 4], left[KEYS / 4];
    turns.fetch(p, least);
    load_left(query, m.out + w * TILE_BYTES); // for delta
    load_left(gradient, m.gradient + w * TILE_BYTES);
#pragma unroll
    for (int e = 0; e < HEAD / 4; ++e) {
      const float product = low(query[e]) * low(gradient[e]) + high(query[e]) * high(gradient[e]);
      if (e % 2) delta_b += product;
      else delta_a += product;
    }
    load_left(query, m.query + w * TILE_BYTES);
    __syncwarp();
    arrive(m.query_empty);
    delta_a = quad_sum(delta_a), delta_b = quad_sum(delta_b);
    if (lane % 4 == 0 && there_a) keep_row(p, s, it, row % GROUP, position_a, lse_a, delta_a);
    if (lane % 4 == 0 && there_b) keep_row(p, s, it, (row + 8) % GROUP, position_b, lse_b, delta_b);
    if (CUT && blockIdx.x == 0 && i == 0)
#pragma unroll 1
      for (int at = threadIdx.x - 128; at < CUT_COUNTERS; at += THREADS - 128)
        ((u32 *)p.args[5] + 2ll * s.sequences * s.heads * s.padded)[at] = 0;
    if (it.first + CONSUMERS * TOKENS >= s.length)
#pragma unroll 1
      for (int h = 0; h < GROUP; ++h)
#pragma unroll 1
        for (int at = s.length + threadIdx.x - 128; at < s.padded; at += THREADS - 128) keep_row(p, s, it, h, at, 0, 0);
#pragma unroll
    for (int e = 0; e < HEAD / 2; ++e) dq[e] = 0.0f;
#pragma unroll
    for (int e = 0; e < KEYS / 4; ++e) left[e] = 0;
#pragma unroll 1
    for (int walk = it.segment; walk >= 0; --walk) {
      u32 before = 0;
      int block = it.begin;
#pragma unroll 1
      for (; block < own; ++block) {
        const u64 keys = descriptor(m.keys + kv.stage * BLOCK_BYTES),
                  values = descriptor(m.values + kv.stage * BLOCK_BYTES);
        wait(m.keys_full + 8 * kv.stage, kv.phase);
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < HEAD / 16; ++k)
          wgmma_scores(x, query[4 * k], query[4 * k + 1], query[4 * k + 2], query[4 * k + 3], keys + to_columns(k, KEYS), k);
        wgmma_end();
        wait(m.values_full + 8 * kv.stage, kv.phase);
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < HEAD / 16; ++k)
          wgmma_scores(y, gradient[4 * k], gradient[4 * k + 1], gradient[4 * k + 2], gradient[4 * k + 3],
                       values + to_columns(k, KEYS), k);
        wgmma_end();
        wgmma_wait<1>();
        tie(x);
        tie(left);
        tie(query);
        tie(gradient);
        if (block > it.begin) arrive(m.keys_empty + 8 * before);
        mask_keys<KEYS>(x, block * KEYS, least, starts);
#pragma unroll
        for (int q = 0; q < KEYS / 8; ++q) {
          x[4 * q] = power_of_2(fmaf(x[4 * q], POWER, -lse_a));
          x[4 * q + 1] = power_of_2(fmaf(x[4 * q + 1], POWER, -lse_a));
          x[4 * q + 2] = power_of_2(fmaf(x[4 * q + 2], POWER, -lse_b));
          x[4 * q + 3] = power_of_2(fmaf(x[4 * q + 3], POWER, -lse_b));
        }
        wgmma_wait<0>();
        tie(y);
        arrive(m.values_empty + 8 * kv.stage);
#pragma unroll
        for (int q = 0; q < KEYS / 8; ++q) {
          left[2 * q] = pack(x[4 * q] * (y[4 * q] - delta_a), x[4 * q + 1] * (y[4 * q + 1] - delta_a));
          left[2 * q + 1] = pack(x[4 * q + 2] * (y[4 * q + 2] - delta_b), x[4 * q + 3] * (y[4 * q + 3] - delta_b));
        }
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < KEYS / 16; ++k)
          wgmma_values(dq, left[4 * k], left[4 * k + 1], left[4 * k + 2], left[4 * k + 3], keys + to_rows(k), 1);
        wgmma_end();
        before = kv.stage;
        kv.next(STAGES);
      }
      wgmma_wait<0>();
      tie(dq);
      tie(left);
      arrive(m.keys_empty + 8 * before);
#pragma unroll 1
      for (; block < it.end; ++block, kv.next(STAGES)) { // keys that only the others see
        wait(m.values_full + 8 * kv.stage, kv.phase);
        arrive(m.keys_empty + 8 * kv.stage);
        arrive(m.values_empty + 8 * kv.stage);
      }
    }
    stores_read();
    const int thread = thread_again(), place = thread / 32 % 4 * 16 + thread % 32 / 4;
    turns.back(dq, place / GROUP, (place + 8) / GROUP, i);
    named_sync(1 + w, 128);
    stage(m.staged + w * TILE_BYTES, dq, SCALE, SCALE);
    fence_copies();
    named_sync(1 + w, 128);
    store_rows(m.staged + w * TILE_BYTES, &p.maps[4], it, least);
  }
  stores_done();
}

template <typename P> static __device__ __forceinline__ void attention_grad_queries(const P &p) {
  __shared__ __align__(8) u64 barriers[4 * STAGES + 2 + CONSUMERS];
  __shared__ __align__(16) unsigned char items[2 * ITEM_BYTES];
  const u32 first = shared_address(barriers);
  queries_memory m;
  m.query = (shared_address(memory) + 1023) & ~1023u, m.gradient = m.query + QUERY_BYTES;
  m.out = m.gradient + QUERY_BYTES, m.staged = m.out + QUERY_BYTES;
  m.keys = m.staged + QUERY_BYTES, m.values = m.keys + STAGES * BLOCK_BYTES;
  m.keys_full = first, m.keys_empty = first + 8 * STAGES, m.values_full = first + 16 * STAGES;
  m.values_empty = first + 24 * STAGES, m.query_full = first + 32 * STAGES, m.query_empty = m.query_full + 8;
  m.table = m.values + STAGES * BLOCK_BYTES, m.turns_full = m.query_empty + 8, m.items = shared_address(items);
  fill_row_positions();
  if (threadIdx.x == 0) {
    for (int i = 0; TURNS && i < CONSUMERS; ++i) barrier_init(m.turns_full + 8 * i, 1);
    for (int i = 0; i < STAGES; ++i) {
      barrier_init(m.keys_full + 8 * i, 1), barrier_init(m.values_full + 8 * i, 1);
      barrier_init(m.keys_empty + 8 * i, 4 * CONSUMERS), barrier_init(m.values_empty + 8 * i, 4 * CONSUMERS);
    }
    barrier_init(m.query_full, 1), barrier_init(m.query_empty, 4 * CONSUMERS);
    barriers_ready();
  }
  __syncthreads();
  const shape s = shape_of(p);
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(FEW_REGISTERS));
    if (threadIdx.x < 32) queries_produce(p, s, m);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
    queries_consume(p, s, m);
  }
}
