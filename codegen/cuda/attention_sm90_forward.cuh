// Forward; needs attention_sm90.cuh, KEYS a multiple of 32, and wgmma_half, scores of KEYS / 2 keys.
// maps: queries of qkv (box 64 x TOKENS), keys and values of qkv (64 x KEYS / 2), out (64 x TOKENS). args: qkv, out,
// lse.

constexpr int QUERY_BYTES = CONSUMERS * TILE_BYTES;
constexpr bool HALVES = KEYS > 64; // the last block may be half as wide

// Blocks of keys of an item, in each of its segments, from the last, end - 1, to the first; of the first segment walked,
// its own, the last block is half as wide where that is enough.
struct key_blocks {
  int first, end;
  bool half;
};
template <typename P>
static __device__ __forceinline__ key_blocks blocks_of(const P &p, const shape &s, const item &it) {
  const int halves = (min(s.length, it.first + CONSUMERS * TOKENS) + KEYS / 2 - 1) / (KEYS / 2);
  return {first_key(p, s, it, CONSUMERS * TOKENS) / KEYS, (halves + 1) / 2, HALVES && halves % 2 != 0};
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

struct forward_barriers {
  u32 keys_full, keys_empty, values_full, values_empty, query_full, query_empty;
};

template <typename P>
static __device__ __forceinline__ void forward_produce(const P &p, const shape &s, const forward_barriers &b, u32 query,
                                                       u32 keys, u32 values) {
  ring kv = {0, 0}, q = {0, 0};
  item it;
  for (int i = 0; item_at(s, i, CONSUMERS * TOKENS, true, it); ++i) {
    __syncwarp();
    wait(b.query_empty + 8 * q.stage, q.phase ^ 1);
    if (threadIdx.x == 0) expect_bytes(b.query_full + 8 * q.stage, CONSUMERS * GROUP * TOKENS * HEAD * 2);
    __syncwarp();
    load_rows(query + q.stage * QUERY_BYTES, &p.maps[0], it, b.query_full + 8 * q.stage);
    q.next(2);
    const key_blocks blocks = blocks_of(p, s, it);
    if (threadIdx.x) continue;
    const int each = blocks.end - blocks.first;
    const int key_x = (s.heads + it.key_head) * HEAD, value_x = key_x + s.key_heads * HEAD;
    for (int n = 0; n < each * (it.segment + 1); ++n, kv.next(STAGES)) {
      const int row = (blocks.end - 1 - n % each) * KEYS, z = it.sequence - n / each * s.batch;
      const bool half = n == 0 && blocks.half;
      const u32 at[2] = {keys + kv.stage * BLOCK_BYTES, values + kv.stage * BLOCK_BYTES};
      const u32 full[2] = {b.keys_full + 8 * kv.stage, b.values_full + 8 * kv.stage};
      const u32 empty[2] = {b.keys_empty + 8 * kv.stage, b.values_empty + 8 * kv.stage};
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
}

template <typename P>
static __device__ __forceinline__ void forward_consume(const P &p, const shape &s, const forward_barriers &b, u32 query,
                                                       u32 staged, u32 keys, u32 values) {
  const int w = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0) - 1;
  u32 kv = 0; // blocks so far: registers are scarce here
  const auto stage_of = [](u32 n) { return n % STAGES; };
  const auto phase_of = [](u32 n) { return n / STAGES % 2; };
  if (w == CONSUMERS - 1) named_arrive(4, 256);
  // Scores in turn, so that one consumer's softmax runs under another's products.
  const auto take_turn = [&] { named_sync(4 + w, 256); };
  const auto give_turn = [&] { named_arrive(4 + (w + 1 == CONSUMERS ? 0 : w + 1), 256); };
  item it;
#pragma unroll 1
  for (int i = 0; item_at(s, i, CONSUMERS * TOKENS, true, it); ++i) {
    const int least = it.first + w * TOKENS;
    const key_blocks blocks = blocks_of(p, s, it);
    const int first = STARTS ? blocks.first : 0;
    const int halves =
        least < s.length ? (min(s.length, least + TOKENS) + KEYS / 2 - 1) / (KEYS / 2) : 2 * first + 1;
#pragma unroll 1
    for (int skip = blocks.end - (halves + 1) / 2; skip; --skip, ++kv) { // keys that only the others see
      wait(b.values_full + 8 * stage_of(kv), phase_of(kv));
      arrive(b.keys_empty + 8 * stage_of(kv));
      arrive(b.values_empty + 8 * stage_of(kv));
      take_turn();
      give_turn();
    }
    const row_starts starts(p, s, it, least);
    float x[KEYS / 2], o[HEAD / 2];
    u32 powers[KEYS / 4];
    softmax soft = {-1e20f, -1e20f, 0.0f, 0.0f, 1.0f, 1.0f};
    const u64 left = descriptor(query + (i % 2) * QUERY_BYTES + w * TILE_BYTES);
    const auto multiply_values = [&](u32 stage) {
      const u64 right = descriptor(values + stage * BLOCK_BYTES);
      wgmma_begin();
#pragma unroll
      for (int k = 0; k < KEYS / 16; ++k)
        wgmma_values(o, powers[4 * k], powers[4 * k + 1], powers[4 * k + 2], powers[4 * k + 3], right + to_rows(k), 1);
      wgmma_end();
    };
    const auto multiply_keys = [&](u32 stage) {
      const u64 right = descriptor(keys + stage * BLOCK_BYTES);
      wgmma_begin();
#pragma unroll
      for (int k = 0; k < HEAD / 16; ++k)
        wgmma_scores(x, left + to_columns(k, 64), right + to_columns(k, KEYS), k);
      wgmma_end();
    };
    wait(b.query_full + 8 * (i % 2), i / 2 % 2);
#pragma unroll
    for (int e = 0; e < HEAD / 2; ++e) o[e] = 0.0f;
    wait(b.keys_full + 8 * stage_of(kv), phase_of(kv));
    take_turn();
    if (HALVES && __shfl_sync(0xffffffffu, halves, 0) % 2) {
      const u64 right = descriptor(keys + stage_of(kv) * BLOCK_BYTES);
      wgmma_begin();
#pragma unroll
      for (int k = 0; k < HEAD / 16; ++k) wgmma_half(x, left + to_columns(k, 64), right + to_columns(k, KEYS), k);
      wgmma_end();
      give_turn();
      wgmma_wait<0>();
      tie(x);
      arrive(b.keys_empty + 8 * stage_of(kv));
      mask_keys<KEYS / 2>(x, (halves - 1) * (KEYS / 2), least, starts);
      soften<KEYS / 2>(soft, x);
#pragma unroll
      for (int e = 0; e < KEYS / 8; ++e) {
        powers[e] = pack(x[2 * e], x[2 * e + 1]);
        powers[KEYS / 8 + e] = 0;
      }
    } else {
      multiply_keys(stage_of(kv));
      give_turn();
      wgmma_wait<0>();
      tie(x);
      arrive(b.keys_empty + 8 * stage_of(kv));
      mask_keys<KEYS>(x, HALVES ? (halves - 2) * (KEYS / 2) : (halves - 1) / 2 * KEYS, least, starts);
      soften<KEYS>(soft, x);
#pragma unroll
      for (int e = 0; e < KEYS / 4; ++e) powers[e] = pack(x[2 * e], x[2 * e + 1]);
    }
    ++kv;
    u32 at = (u32)it.segment << 16 | ((halves + 1) / 2 - 1 - first); // in one register
#pragma unroll 1
    while (at) {
      if (at % 65536) --at;
      else {
        asm volatile("" : "+r"(i));
        item_at(s, i, CONSUMERS * TOKENS, true, it);
        at = at - 65536 + (blocks_of(p, s, it).end - 1 - first);
      }
      wait(b.keys_full + 8 * stage_of(kv), phase_of(kv));
      wait(b.values_full + 8 * stage_of(kv - 1), phase_of(kv - 1));
      take_turn();
      multiply_keys(stage_of(kv));
      multiply_values(stage_of(kv - 1));
      give_turn();
      wgmma_wait<1>();
      tie(x);
      arrive(b.keys_empty + 8 * stage_of(kv));
      mask_keys<KEYS>(x, (int)(at % 65536 + first) * KEYS, least, starts);
      soften<KEYS>(soft, x);
      wgmma_wait<0>();
      tie(o);
      tie(powers);
      arrive(b.values_empty + 8 * stage_of(kv - 1));
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
    wait(b.values_full + 8 * stage_of(kv - 1), phase_of(kv - 1));
    multiply_values(stage_of(kv - 1));
    const float sum_a = quad_sum(soft.sum_a), sum_b = quad_sum(soft.sum_b);
    asm volatile("" : "+r"(i));
    item_at(s, i, CONSUMERS * TOKENS, true, it); // again, so that it lies in no registers meanwhile
    const int thread = thread_again(), row = thread / 32 % 4 * 16 + thread % 32 / 4;
    if (thread % 4 == 0) {
      const int position_a = least + row % TOKENS, position_b = least + (row + 8) % TOKENS;
      float *lse = (float *)p.args[2] + (long long)it.sequence * s.length * s.heads + it.key_head * GROUP;
      if (row < TOKENS * GROUP && position_a < s.length)
        lse[position_a * s.heads + row / TOKENS] = (soft.most_a + __log2f(sum_a)) * LN2;
      if (row + 8 < TOKENS * GROUP && position_b < s.length)
        lse[position_b * s.heads + (row + 8) / TOKENS] = (soft.most_b + __log2f(sum_b)) * LN2;
    }
    stores_read();
    wgmma_wait<0>();
    tie(o);
    arrive(b.values_empty + 8 * stage_of(kv - 1));
    arrive(b.query_empty + 8 * (i % 2));
    named_sync(1 + w, 128);
    stage(staged + w * TILE_BYTES, o, __fdividef(1.0f, sum_a), __fdividef(1.0f, sum_b));
    fence_copies();
    named_sync(1 + w, 128);
    store_rows(staged + w * TILE_BYTES, &p.maps[2], it, least);
  }
  stores_done();
}

template <typename P> static __device__ __forceinline__ void attention(const P &p) {
  __shared__ __align__(8) u64 barriers[4 * STAGES + 4];
  const u32 query = (shared_address(memory) + 1023) & ~1023u, staged = query + 2 * QUERY_BYTES;
  const u32 keys = staged + QUERY_BYTES, values = keys + STAGES * BLOCK_BYTES, first = shared_address(barriers);
  const forward_barriers b = {first,
                              first + 8 * STAGES,
                              first + 16 * STAGES,
                              first + 24 * STAGES,
                              first + 32 * STAGES,
                              first + 32 * STAGES + 16};
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
      barrier_init(b.keys_full + 8 * i, 1), barrier_init(b.values_full + 8 * i, 1);
      barrier_init(b.keys_empty + 8 * i, 4 * CONSUMERS), barrier_init(b.values_empty + 8 * i, 4 * CONSUMERS);
    }
    for (int i = 0; i < 2; ++i)
      barrier_init(b.query_full + 8 * i, 1), barrier_init(b.query_empty + 8 * i, 4 * CONSUMERS);
    barriers_ready();
  }
  // What half a block leaves out is multiplied by 0: it must not be NaN.
  for (u32 at = values + threadIdx.x * 16; at < values + STAGES * BLOCK_BYTES; at += THREADS * 16)
    asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(at), "r"(0) : "memory");
  fence_copies();
  __syncthreads();
  const shape s = shape_of(p);
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(FEW_REGISTERS));
    if (threadIdx.x < 32) forward_produce(p, s, b, query, keys, values);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
    forward_consume(p, s, b, query, staged, keys, values);
  }
}
