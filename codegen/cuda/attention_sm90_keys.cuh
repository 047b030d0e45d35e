// dK and dV: a consumer has 64 keys and walks the query blocks of all heads of the key head and of all later segments;
// products are turned (keys are the rows), so that their results are the left sides of the next ones. Needs
// attention_sm90.cuh with KEYS as the queries of a block, BUFFERS (of keys and values), wgmma_scores with A in registers
// or in shared memory. maps: qkv (boxes of 64 rows), dqkv (of 16), qkv, dout (of KEYS). args: qkv, out, lse, dout, dqkv,
// workspace.

constexpr int ROWS = CONSUMERS * 64, WARPS = 4 / CLUSTER, WARP_BYTES = 16 * 2 * HEAD * 4;
constexpr bool LEFTS_IN_REGISTERS = HEAD == 64; // faster, where there are enough of them
constexpr bool POWERS_AGAIN = HEAD > 64;        // dS from the powers as dV takes them: fewer registers

struct keys_memory {
  u32 keys, values, staged, query, gradient, peers, table; // keys, values: BUFFERS times
  u32 rows, items;                                         // rows: of a stage lse, then delta; items: BUFFERS
  u32 cuts, lasts; // cuts: BUFFERS; lasts: of each consumer
  u32 full, empty, keys_full, keys_empty, peers_full, peers_empty, turns_full;
};

// The last query that sees any of an item's keys. By a whole warp.
template <typename P> static __device__ __forceinline__ int last_query(const P &p, const shape &s, const item &it) {
  if (!STARTS) return s.length - 1;
  const int *starts = row_starts::at(p, s, it);
  int last = it.first;
#pragma unroll 4
  for (int i = it.first + threadIdx.x % 32; i < s.length; i += 32)
    if (starts[i] < it.first + ROWS) last = i;
  for (int o = 16; o; o >>= 1) last = max(last, __shfl_xor_sync(0xffffffffu, last, o));
  return last;
}

// Of the query blocks that see an item's keys, in each head and segment, one after the other, a block of the cluster takes
// every CLUSTER-th.
static __device__ __forceinline__ int rank() { return CLUSTER > 1 ? blockIdx.x % CLUSTER : 0; }

// ---- CUT: the query blocks of all heads and items, one item after the other, are dealt out evenly. Who has a part of an item
// leaves its sums in the workspace, behind lse and delta: first counters, 0 from dQ's kernel, then two parts of every
// block, of an item that it begins with and of one that it ends with. Who is last to do so adds the parts up, in order.

struct cut {
  int first, count; // query blocks of the item
  int part, parts;  // of the item; one: it is whole
};
constexpr u32 CUT_BYTES = 16;

// The work of this block from query block `from` of all on, up to `to`. By one thread.
static __device__ __forceinline__ bool cut_at(const shape &s, int from, int to, item &it, cut &c) {
  if (from >= to) return false;
  const int each = s.sequences * s.key_heads;
  int before = 0, all = 0, size = 0;
  it.first = -ROWS, it.end = (s.length + KEYS - 1) / KEYS;
  for (int first = 0; first < s.length; first += ROWS) {
    if (from >= all) it.first = first, before = all, size = GROUP * (it.end - first / KEYS);
    all += each * GROUP * (it.end - first / KEYS);
  }
  const int n = (from - before) / size;
  const int begin = before + n * size;
  const auto owner = [&](int block) { return (int)(((block + 1) * gridDim.x - 1) / all); };
  it.key_head = n % s.key_heads, it.sequence = n / s.key_heads, it.segment = 0, it.begin = it.first / KEYS;
  c.first = from - begin, c.count = min(to - from, size - c.first);
  c.part = (int)blockIdx.x - owner(begin), c.parts = owner(begin + size - 1) - owner(begin) + 1;
  return true;
}

// Where a block's share of all query blocks begins.
static __device__ __forceinline__ int share(const shape &s, u32 worker) {
  int all = 0;
  for (int first = 0; first < s.length; first += ROWS) all += (s.length + KEYS - 1) / KEYS - first / KEYS;
  return all * s.sequences * s.key_heads * GROUP * worker / gridDim.x;
}

static __device__ __forceinline__ cut get_cut(u32 from) {
  cut c;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(c.first), "=r"(c.count), "=r"(c.part), "=r"(c.parts)
               : "r"(from)
               : "memory");
  return c;
}

// Leaves a part of the consumer's sums; true for the consumer that is the last to do so: it then has them all.
template <typename P>
static __device__ __forceinline__ bool add_parts(const P &p, const shape &s, u32 at, u32 last, float (&dk)[HEAD / 2],
                                                 float (&dv)[HEAD / 2], int w) {
  const cut c = get_cut(at);
  if (c.parts == 1) return true;
  float *const workspace = (float *)p.args[5] + 2ll * s.sequences * s.heads * s.padded;
  const int owner = blockIdx.x - c.part, thread = threadIdx.x % 128;
  const auto part_at = [&](int part) { // where the float4s of a thread lie
    return (float4 *)(workspace + CUT_COUNTERS) +
           ((2ll * (owner + part) + !part) * CONSUMERS + w) * (HEAD / 4 * 128) + thread;
  };
  float4 *to = part_at(c.part);
#pragma unroll
  for (int e = 0; e < HEAD / 4; ++e) {
    const float(&o)[HEAD / 2] = e < HEAD / 8 ? dk : dv;
    const int i = 4 * (e % (HEAD / 8));
    __stcg(to + e * 128, make_float4(o[i], o[i + 1], o[i + 2], o[i + 3]));
  }
  __threadfence();
  named_sync(1 + w, 128);
  if (thread == 0) {
    const u32 seen = atomicAdd((u32 *)workspace + owner * CONSUMERS + w, 1);
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(last + 4 * w), "r"(seen) : "memory");
  }
  named_sync(1 + w, 128);
  u32 seen;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(seen) : "r"(last + 4 * w) : "memory");
  if (seen + 1 < (u32)c.parts) return false;
  __threadfence();
#pragma unroll
  for (int e = 0; e < HEAD / 2; ++e) dk[e] = dv[e] = 0.0f;
#pragma unroll 1
  for (int part = 0; part < c.parts; ++part) {
    const float4 *from = part_at(part);
#pragma unroll
    for (int e = 0; e < HEAD / 4; ++e) {
      float(&o)[HEAD / 2] = e < HEAD / 8 ? dk : dv;
      const int i = 4 * (e % (HEAD / 8));
      const float4 v = __ldcg(from + e * 128);
      o[i] += v.x, o[i + 1] += v.y, o[i + 2] += v.z, o[i + 3] += v.w;
    }
  }
  return true;
}

// An item's keys, values, and queries with what belongs to them. By one thread.
template <typename P>
static __device__ __forceinline__ void keys_load(const P &p, const shape &s, const keys_memory &m, const item &it,
                                                 const cut &c, ring &q, const ring &kv) {
  const float *lse = (const float *)p.args[5], *delta = lse + (long long)s.sequences * s.heads * s.padded;
  const int key_x = (s.heads + it.key_head) * HEAD, value_x = key_x + s.key_heads * HEAD;
  const u32 keys_full = m.keys_full + 8 * kv.stage, at = kv.stage * CONSUMERS * TILE_BYTES;
  wait(m.keys_empty + 8 * kv.stage, kv.phase ^ 1);
  put_item(m.items + kv.stage * ITEM_BYTES, it);
  if (CUT)
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(m.cuts + kv.stage * CUT_BYTES), "r"(c.first),
                 "r"(c.count), "r"(c.part), "r"(c.parts)
                 : "memory");
  expect_bytes(keys_full, 2 * CONSUMERS * TILE_BYTES);
  for (int w = 0; w < CONSUMERS; ++w) {
    load_boxes(m.keys + at + w * TILE_BYTES, 64 * PITCH, &p.maps[0], key_x, it.first + 64 * w, it.sequence, keys_full);
    load_boxes(m.values + at + w * TILE_BYTES, 64 * PITCH, &p.maps[0], value_x, it.first + 64 * w, it.sequence, keys_full);
  }
  const int blocks = it.end - it.begin, skipped = CUT ? c.first / blocks : 0;
  int j = it.begin + (CUT ? c.first % blocks : rank()), left = c.count;
  for (int z = it.sequence; z < it.sequence + (s.segments - it.segment) * s.batch; z += s.batch)
    for (int h = it.key_head * GROUP + skipped; h < (it.key_head + 1) * GROUP; ++h, j -= blocks)
      for (; j < it.end && (!CUT || left-- > 0); j += CLUSTER, q.next(STAGES)) {
        const u32 full = m.full + 8 * q.stage, rows = m.rows + q.stage * 8 * KEYS;
        const long long from = (long long)(z * s.heads + h) * s.padded + j * KEYS;
        wait(m.empty + 8 * q.stage, q.phase ^ 1);
        expect_bytes(full, 2 * BLOCK_BYTES + 8 * KEYS);
        load_boxes(m.query + q.stage * BLOCK_BYTES, KEYS * PITCH, &p.maps[2], h * HEAD, j * KEYS, z, full);
        load_floats(rows, lse + from, 4 * KEYS, full);
        load_boxes(m.gradient + q.stage * BLOCK_BYTES, KEYS * PITCH, &p.maps[3], h * HEAD, j * KEYS, z, full);
        load_floats(rows + 4 * KEYS, delta + from, 4 * KEYS, full);
      }
}

template <typename P>
static __device__ __forceinline__ void keys_produce(const P &p, const shape &s, const keys_memory &m) {
  ring q = {0, 0}, kv = {0, 0};
  item it;
  cut c = {};
  if (CUT) {
    if (threadIdx.x) return;
    const int to = share(s, blockIdx.x + 1);
    for (int from = share(s, blockIdx.x); cut_at(s, from, to, it, c); from += c.count, kv.next(BUFFERS))
      keys_load(p, s, m, it, c, q, kv);
  } else
    for (int i = 0; item_at(s, i, ROWS, false, it); ++i, kv.next(BUFFERS)) {
      it.begin = it.first / KEYS, it.end = (last_query(p, s, it) + KEYS) / KEYS;
      if (threadIdx.x == 0) keys_load(p, s, m, it, c, q, kv);
    }
  if (threadIdx.x) return;
  wait(m.keys_empty + 8 * kv.stage, kv.phase ^ 1);
  put_end(m.items + kv.stage * ITEM_BYTES, m.keys_full + 8 * kv.stage);
}

// ---- sums of a cluster: each block gathers dK and dV of some of every consumer's rows, those of WARPS of its four warps.
// compute-sanitizer's racecheck does not follow barriers in a cluster: it reports these sums, and copies by TMA that it
// finds right in kernels without clusters.

static __device__ __forceinline__ u32 address_at(u32 address, int rank) { // of a block of the cluster
  u32 there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
  return there;
}
static __device__ __forceinline__ void arrive_at(u32 barrier, int rank) { // by one lane of a warp
  __syncwarp();
  if (threadIdx.x % 32 == 0)
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(address_at(barrier, rank))
                 : "memory");
}
static __device__ __forceinline__ void wait_cluster(u32 barrier, u32 phase) {
  u32 done;
  do
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2; selp.u32 %0, "
                 "1, 0, p; }"
                 : "=r"(done)
                 : "r"(barrier), "r"(phase)
                 : "memory");
  while (!done);
}
static __device__ __forceinline__ void cluster_sync() {
  if (CLUSTER > 1) asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

// Where the floats of a warp lie that come from another block: 16 bytes of all lanes side by side.
static __device__ __forceinline__ u32 peer_place(const keys_memory &m, int from, int to, int w) {
  const int slot = (from - to - 1 + CLUSTER) % CLUSTER, warp = threadIdx.x / 32 % WARPS;
  return m.peers + ((slot * CONSUMERS + w) * WARPS + warp) * WARP_BYTES + threadIdx.x % 32 * 16;
}
static __device__ __forceinline__ int gathering_rank() { return threadIdx.x / 32 % 4 / WARPS; } // of the warp's rows
static __device__ __forceinline__ void send(const keys_memory &m, const float (&dk)[HEAD / 2], const float (&dv)[HEAD / 2],
                                            int w) {
  const u32 to = address_at(peer_place(m, rank(), gathering_rank(), w), gathering_rank());
#pragma unroll
  for (int e = 0; e < HEAD / 4; ++e) {
    const float(&o)[HEAD / 2] = e < HEAD / 8 ? dk : dv;
    const int at = 4 * (e % (HEAD / 8));
    asm volatile("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(to + e * 512), "f"(o[at]), "f"(o[at + 1]),
                 "f"(o[at + 2]), "f"(o[at + 3])
                 : "memory");
  }
  arrive_at(m.peers_full, gathering_rank());
}
static __device__ __forceinline__ void receive(const keys_memory &m, float (&dk)[HEAD / 2], float (&dv)[HEAD / 2], int w,
                                               u32 phase) {
  wait_cluster(m.peers_full, phase);
#pragma unroll 1
  for (int other = 1; other < CLUSTER; ++other) {
    const u32 from = peer_place(m, (rank() + other) % CLUSTER, rank(), w);
#pragma unroll
    for (int e = 0; e < HEAD / 4; ++e) {
      float(&o)[HEAD / 2] = e < HEAD / 8 ? dk : dv;
      const int at = 4 * (e % (HEAD / 8));
      float4 v;
      asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                   : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                   : "r"(from + e * 512)
                   : "memory");
      o[at] += v.x, o[at + 1] += v.y, o[at + 2] += v.z, o[at + 3] += v.w;
    }
    arrive_at(m.peers_empty, (rank() + other) % CLUSTER);
  }
}

// Powers of a block of queries from `query` on whose sequences start behind a row's key become 0. first: the consumer's
// first key.
static __device__ __forceinline__ void mask_queries(float (&x)[KEYS / 2], const int *starts, int query, int length,
                                                    int first) {
  const int lane = threadIdx.x % 32, key = first + threadIdx.x / 32 % 4 * 16 + lane / 4, last = length - 1;
  const bool behind = starts[min(query + lane, last)] > first || starts[min(query + 32 + lane, last)] > first;
  if (!__any_sync(0xffffffffu, behind)) return;
#pragma unroll
  for (int e = 0; e < KEYS / 4; ++e) {
    const int start = starts[min(query + e / 2 * 8 + lane % 4 * 2 + e % 2, last)], at = e / 2 * 4 + e % 2;
    if (start > key) x[at] = 0.0f;
    if (start > key + 8) x[at + 2] = 0.0f;
  }
}

// Products of 64 keys or values, rows of a tile or read from there already, with a block of queries or gradients.
static __device__ __forceinline__ void multiply_turned(float (&d)[KEYS / 2], const u32 (&left)[HEAD / 4], u32 tile,
                                                       u64 right) {
#pragma unroll
  for (int k = 0; k < HEAD / 16; ++k)
    if (LEFTS_IN_REGISTERS)
      wgmma_scores(d, left[4 * k], left[4 * k + 1], left[4 * k + 2], left[4 * k + 3], right + to_columns(k, KEYS), k);
    else wgmma_scores(d, descriptor(tile) + to_columns(k, 64), right + to_columns(k, KEYS), k);
}

template <typename P>
static __device__ __forceinline__ void keys_consume(const P &p, const shape &s, const keys_memory &m) {
  const int w = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0) - 1; // in a uniform register
  const int lane = threadIdx.x % 32, row = threadIdx.x / 32 % 4 * 16 + lane / 4;
  const turning turns(m.table, m.turns_full, w);
  ring q = {0, 0}, kv = {0, 0};
#pragma unroll 1
  for (int i = 0;; ++i, kv.next(BUFFERS)) {
    wait(m.keys_full + 8 * kv.stage, kv.phase);
    const item it = get_item(m.items + kv.stage * ITEM_BYTES);
    if (it.first < 0) break;
    const int first = it.first + 64 * w;
    float x[KEYS / 2], y[KEYS / 2], dk[HEAD / 2], dv[HEAD / 2];
    u32 keys[HEAD / 4], values[HEAD / 4], powers[KEYS / 4], left[KEYS / 4];
    const u32 at = (kv.stage * CONSUMERS + w) * TILE_BYTES;
    turns.fetch(p, first);
#pragma unroll
    for (int e = 0; e < HEAD / 2; ++e) dk[e] = dv[e] = 0.0f;
    const int *starts = STARTS ? row_starts::at(p, s, it) : nullptr;
    int j = it.begin + rank(), left_blocks = 0;
    if (CUT) {
      const cut c = get_cut(m.cuts + kv.stage * CUT_BYTES);
      j = __shfl_sync(0xffffffffu, it.begin + c.first % (it.end - it.begin), 0);
      left_blocks = __shfl_sync(0xffffffffu, c.count, 0);
    }
#pragma unroll 1
    for (int walk = CUT ? 1 : GROUP * (s.segments - it.segment); walk; j -= it.end - it.begin) {
      const int end = CUT ? min(it.end, j + left_blocks) : it.end;
      left_blocks -= end - j;
      walk = CUT ? left_blocks > 0 : walk - 1;
      for (; j < end && (j + 1) * KEYS <= first; j += CLUSTER, q.next(STAGES)) { // queries before these keys
        wait(m.full + 8 * q.stage, q.phase);
        arrive(m.empty + 8 * q.stage);
      }
#pragma unroll 1
      for (; j < end; j += CLUSTER, q.next(STAGES)) {
        const u64 query = descriptor(m.query + q.stage * BLOCK_BYTES);
        const u64 gradient = descriptor(m.gradient + q.stage * BLOCK_BYTES);
        if (LEFTS_IN_REGISTERS) {
          load_left(keys, m.keys + at); // each time anew: else ptxas may lose them
          load_left(values, m.values + at);
        }
        wait(m.full + 8 * q.stage, q.phase);
        wgmma_begin();
        multiply_turned(x, keys, m.keys + at, query);
        wgmma_end();
        multiply_turned(y, values, m.values + at, gradient);
        wgmma_end();
        wgmma_wait<1>();
        tie(x);
        const u32 lse = m.rows + q.stage * 8 * KEYS + 8 * (lane % 4), delta = lse + 4 * KEYS;
#pragma unroll
        for (int e = 0; e < KEYS / 8; ++e) {
          const float2 l = shared_floats(lse + 32 * e);
          x[4 * e] = power_of_2(fmaf(x[4 * e], POWER, -l.x)),
                x[4 * e + 1] = power_of_2(fmaf(x[4 * e + 1], POWER, -l.y));
          x[4 * e + 2] = power_of_2(fmaf(x[4 * e + 2], POWER, -l.x));
          x[4 * e + 3] = power_of_2(fmaf(x[4 * e + 3], POWER, -l.y));
        }
        if (j * KEYS < first + 63) { // queries before a key
          const int least_a = first + row - j * KEYS - 2 * (lane % 4), least_b = least_a + 8;
#pragma unroll
          for (int e = 0; e < KEYS / 8; ++e) {
            if (8 * e < least_a) x[4 * e] = 0.0f;
            if (8 * e + 1 < least_a) x[4 * e + 1] = 0.0f;
            if (8 * e < least_b) x[4 * e + 2] = 0.0f;
            if (8 * e + 1 < least_b) x[4 * e + 3] = 0.0f;
          }
        }
        if (STARTS) mask_queries(x, starts, j * KEYS, s.length, first);
#pragma unroll
        for (int e = 0; e < KEYS / 4; ++e) powers[e] = pack(x[2 * e], x[2 * e + 1]);
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < KEYS / 16; ++k)
          wgmma_values(dv, powers[4 * k], powers[4 * k + 1], powers[4 * k + 2], powers[4 * k + 3], gradient + to_rows(k), 1);
        wgmma_end();
        wgmma_wait<1>();
        tie(y);
#pragma unroll
        for (int e = 0; e < KEYS / 8; ++e) {
          const float2 l = shared_floats(delta + 32 * e);
          if (POWERS_AGAIN) {
            x[4 * e] = low(powers[2 * e]), x[4 * e + 1] = high(powers[2 * e]);
            x[4 * e + 2] = low(powers[2 * e + 1]), x[4 * e + 3] = high(powers[2 * e + 1]);
          }
          left[2 * e] = pack(x[4 * e] * (y[4 * e] - l.x), x[4 * e + 1] * (y[4 * e + 1] - l.y));
          left[2 * e + 1] = pack(x[4 * e + 2] * (y[4 * e + 2] - l.x), x[4 * e + 3] * (y[4 * e + 3] - l.y));
        }
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < KEYS / 16; ++k)
          wgmma_values(dk, left[4 * k], left[4 * k + 1], left[4 * k + 2], left[4 * k + 3], query + to_rows(k), 1);
        wgmma_end();
        wgmma_wait<0>();
        tie(dk);
        tie(dv);
        tie(powers);
        tie(left);
        if (LEFTS_IN_REGISTERS) {
          tie(keys);
          tie(values);
        }
        arrive(m.empty + 8 * q.stage);
      }
    }
    bool gathers = CLUSTER == 1 || rank() == gathering_rank();
    if (CUT) gathers = add_parts(p, s, m.cuts + kv.stage * CUT_BYTES, m.lasts, dk, dv, w);
    __syncwarp();
    arrive(m.keys_empty + 8 * kv.stage);
    if (CLUSTER > 1) {
      wait_cluster(m.peers_empty, i % 2 ^ 1);
      if (gathers) receive(m, dk, dv, w, i % 2);
      else send(m, dk, dv, w);
    }
    if (gathers) turns.back(dk, row, row + 8, i);
    else if (CUT) turns.skip(i);
    if (TURNS) named_sync(1 + w, 128);
    if (!gathers) continue;
    const u32 staged = m.staged + w * 2 * TILE_BYTES;
    stores_read();
    __syncwarp();
    stage(staged, dk, SCALE, SCALE);
    stage(staged + TILE_BYTES, dv, 1.0f, 1.0f);
    fence_copies();
    __syncwarp();
    if (lane == 0) {
      const int x_at = (s.heads + it.key_head) * HEAD, warp = threadIdx.x / 32 % 4 * 16;
      store_boxes(&p.maps[1], x_at, first + warp, it.sequence, staged + warp * PITCH);
      store_boxes(&p.maps[1], x_at + s.key_heads * HEAD, first + warp, it.sequence, staged + TILE_BYTES + warp * PITCH);
      stores_end();
    }
  }
  stores_done();
}

template <typename P> static __device__ __forceinline__ void attention_grad_keys(const P &p) {
  __shared__ __align__(8) u64 barriers[2 * STAGES + 6 + CONSUMERS];
  __shared__ __align__(16) float rows[STAGES][2 * KEYS];
  __shared__ __align__(16) unsigned char items[BUFFERS * ITEM_BYTES], cuts[BUFFERS * CUT_BYTES];
  __shared__ u32 lasts[CONSUMERS];
  const u32 barrier = shared_address(barriers);
  keys_memory m;
  m.keys = (shared_address(memory) + 1023) & ~1023u, m.values = m.keys + BUFFERS * CONSUMERS * TILE_BYTES;
  m.staged = m.values + BUFFERS * CONSUMERS * TILE_BYTES, m.query = m.staged + CONSUMERS * 2 * TILE_BYTES;
  m.gradient = m.query + STAGES * BLOCK_BYTES, m.peers = m.gradient + STAGES * BLOCK_BYTES;
  m.rows = shared_address(rows), m.items = shared_address(items);
  m.cuts = shared_address(cuts), m.lasts = shared_address(lasts);
  m.full = barrier, m.empty = barrier + 8 * STAGES, m.keys_full = barrier + 16 * STAGES;
  m.keys_empty = m.keys_full + 16, m.peers_full = m.keys_empty + 16, m.peers_empty = m.peers_full + 8;
  m.table = m.peers + (CLUSTER - 1) * CONSUMERS * WARPS * WARP_BYTES, m.turns_full = m.peers_empty + 8;
  if (threadIdx.x == 0) {
    for (int i = 0; TURNS && i < CONSUMERS; ++i) barrier_init(m.turns_full + 8 * i, 1);
    for (int i = 0; i < STAGES; ++i) barrier_init(m.full + 8 * i, 1), barrier_init(m.empty + 8 * i, 4 * CONSUMERS);
    for (int i = 0; i < BUFFERS; ++i)
      barrier_init(m.keys_full + 8 * i, 1), barrier_init(m.keys_empty + 8 * i, 4 * CONSUMERS);
    for (u32 peers : {m.peers_full, m.peers_empty})
      if (CLUSTER > 1) barrier_init(peers, (CLUSTER - 1) * CONSUMERS * WARPS);
    barriers_ready();
  }
  __syncthreads();
  cluster_sync();
  const shape s = shape_of(p);
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(FEW_REGISTERS));
    if (threadIdx.x < 32) keys_produce(p, s, m);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
    keys_consume(p, s, m);
  }
  cluster_sync(); // nobody ends while others may still write here
}
