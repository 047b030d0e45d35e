// Products of bf16 for sm_90a: C = op(A) op(B) by wgmma from tiles that TMA brings into a ring of STAGES in shared
// memory, summed in float32. A block is a producer warpgroup (warp 0 loads, the others store) and two or three
// CONSUMERS, which share a tile BM x BN or, two with PING_PONG, take turns: one multiplies while the other finishes its
// tile. As many blocks as multiprocessors; each does one tile after the other. Tiles that are too few for all blocks are
// cut along k: with SPLIT partial sums go to scratch memory, and at the end all blocks add them, a few rows and columns
// each, in their order; with CLUSTER_K > 1 each cluster of so many blocks does one tile (gemm_sm90_shares.cuh).
// What the text before this fixes: the constants in capitals; sums, wgmma(), which adds to them, declare_sums() in front
// of it and read_sums() behind; where the operands are (gemm_sm90_places.cuh); epilogue(); and finish_element(), all of
// it for one element. Behind this stand gemm_sm90_epilogue.cuh and gemm_sm90_shares.cuh.

constexpr int A_BYTES = BM * 128, B_BYTES = TRANS_B ? BN * 128 : (BN + 63) / 64 * 8192, STAGE_BYTES = A_BYTES + B_BYTES;
// An element of a result takes SUMS sums, PARTNER registers apart: with two, a tile has columns of the first half of B
// and as many of the second, in that order, and its results half as many columns as it has itself.
constexpr int WIDTH = BN / SUMS, PARTNER = WIDTH / 2;
// A buffer has the row operands of a chunk, which all its results replace; or, of a gated unit's value, one result.
constexpr int TURNS = SUMS > 1 ? RESULTS : 1, TOGETHER = RESULTS / TURNS;
constexpr int CHUNKS = WIDTH / CHUNK, STRIPS = BLOCKS / PART_BLOCKS, PARTS = ROWS > TOGETHER ? ROWS : TOGETHER;
constexpr int PART_BYTES = 64 * PART_BLOCKS * CHUNK * 2, BUFFER_BYTES = PARTS * PART_BYTES;
constexpr int RINGS = ONE_RING ? 1 : CONSUMERS, STAGING_BYTES = STAGED ? RINGS * BUFFERS * BUFFER_BYTES : 0;

// ---- barriers, copies, fragments

static __device__ __forceinline__ u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }
static __device__ __forceinline__ void barrier_init(u32 barrier, u32 count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
static __device__ __forceinline__ void expect_bytes(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
static __device__ __forceinline__ void arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
static __device__ __forceinline__ void arrive_at(u32 barrier, u32 block) { // of the cluster
  asm volatile(
      "{ .reg .b32 r; mapa.shared::cluster.u32 r, %0, %1; mbarrier.arrive.shared::cluster.b64 _, [r]; }" ::"r"(barrier),
      "r"(block)
      : "memory");
}
static __device__ __forceinline__ void wait(u32 barrier, u32 phase) {
  u32 done;
  do
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done)
                 : "r"(barrier), "r"(phase)
                 : "memory");
  while (!done);
}
static __device__ __forceinline__ void cluster_wait() {
  if (CLUSTER * CLUSTER_K > 1) asm volatile("barrier.cluster.arrive.release; barrier.cluster.wait.acquire;" ::: "memory");
}

// A box of a tensor map at column x, row y of matrix z.
static __device__ __forceinline__ void load(u32 to, const tensor_map *map, int x, int y, int z, u32 barrier) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], "
               "[%5];" ::"r"(to),
               "l"(map), "r"(x), "r"(y), "r"(z), "r"(barrier)
               : "memory");
}
static __device__ __forceinline__ void load_both(u32 to, const tensor_map *map, int x, int y, int z, u32 barrier) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
               "[%1, {%2, %3, %4}], [%5], %6;" ::"r"(to),
               "l"(map), "r"(x), "r"(y), "r"(z), "r"(barrier), "h"((unsigned short)3)
               : "memory");
}
static __device__ __forceinline__ void store(const tensor_map *map, int x, int y, int z, u32 from) {
  asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%1, %2, %3}], [%4];" ::"l"(map), "r"(x),
               "r"(y), "r"(z), "r"(from)
               : "memory");
}
static __device__ __forceinline__ u32 pack(float low, float high) {
  u32 both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
static __device__ __forceinline__ float low_of(u32 both) { return __uint_as_float(both << 16); }
static __device__ __forceinline__ float high_of(u32 both) { return __uint_as_float(both & 0xffff0000u); }

// A matrix in shared memory for wgmma, swizzled by 128 bytes: 8 rows every 1024 bytes, blocks of 64 columns every 8192.
static __device__ __forceinline__ u64 descriptor(u32 address) {
  return (u64)((address & 0x3ffff) >> 4) | (u64)(8192 >> 4) << 16 | (u64)(1024 >> 4) << 32 | 1ull << 62;
}

// The map of matrix i of an operand, and the matrix' number z in it.
static __device__ __forceinline__ const tensor_map *map_of(const parameters &p, operand_maps o, int i, int &z) {
  z = i * o.step;
  return &p.maps[o.first + i * o.each];
}

// ---- which tile when

// A tile, or a part of it: `stages` steps of 64 along k from `start`, over all pieces of the group.
struct work {
  int group, row, column, start, stages, slot; // slot: of a partial sum; -1: the whole sum
  int cut;                                     // which of the tiles that are cut
};

// Whether results are made of it; those of tiles that are cut are made at the end.
static __device__ __forceinline__ bool has_results(const work &w) { return !SPLIT || w.slot < 0; }

struct schedule {
  int rows, columns, tiles;     // of tiles, each of a cluster
  int clusters, cluster, steps; // steps: of 64 of one piece
  split_plan split;             // with SPLIT
};

static __device__ __forceinline__ u32 rank_in_cluster() {
  u32 rank = 0;
  if (CLUSTER * CLUSTER_K > 1) asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

static __device__ __forceinline__ int first_piece(const parameters &p, int group) {
  return SEVERAL ? (int)p.dims[DIM_FIRST + group] : group;
}

static __device__ __forceinline__ schedule schedule_of(const parameters &p) {
  schedule s;
  s.rows = ((int)p.dims[DIM_M] + BM * CLUSTER_M - 1) / (BM * CLUSTER_M);
  s.columns = ((int)p.dims[DIM_N] + BN * CLUSTER_N - 1) / (BN * CLUSTER_N);
  s.tiles = s.rows * s.columns * (int)p.dims[DIM_GROUPS];
  s.clusters = gridDim.x / (CLUSTER * CLUSTER_K);
  s.cluster = blockIdx.x / (CLUSTER * CLUSTER_K);
  s.steps = ((int)p.dims[DIM_K] + 63) / 64;
  if (SPLIT) s.split = split_of(s.tiles, s.clusters, first_piece(p, 1) * s.steps);
  return s;
}

static __device__ __forceinline__ work tile_at(const parameters &p, const schedule &s, int tile) {
  const tile_place t = place_of(tile, s.rows, s.columns);
  return {t.group,
          t.row * (BM * CLUSTER_M),
          t.column * (WIDTH * CLUSTER_N),
          0,
          (first_piece(p, t.group + 1) - first_piece(p, t.group)) * s.steps,
          -1,
          0};
}

// Item i of this cluster; false: there is none.
static __device__ __forceinline__ bool work_at(const parameters &p, const schedule &s, int i, work &w) {
  int tile = s.cluster + i * s.clusters;
  if constexpr (SPLIT) {
    const split_part part = split_part_of(s.split, s.cluster, i);
    if (part.stages) {
      w = tile_at(p, s, s.split.first + part.tile);
      w.start = part.start, w.stages = part.stages, w.slot = part.slot, w.cut = part.tile;
      return true;
    }
    tile = s.cluster + (i - part.before) * s.clusters;
    if (tile >= s.split.first) return false;
  } else if (tile >= s.tiles) {
    return false;
  }
  w = tile_at(p, s, tile);
  if (CLUSTER_K > 1) { // this block's share
    const int all = w.stages, share = (int)rank_in_cluster();
    w.start = all * share / CLUSTER_K, w.stages = all * (share + 1) / CLUSTER_K - w.start;
  }
  return true;
}

// The same from item i on, whose results are asked for; each: of so many items one.
static __device__ __forceinline__ bool result_at(const parameters &p, const schedule &s, int &i, int each, work &w) {
  for (; work_at(p, s, i, w); i += each)
    if (has_results(w)) return true;
  return false;
}

// ---- the producer

// Loads one stage: A at column (k) x and row y, B likewise (and its second half from `half` on); in a cluster each block
// loads half of what both need.
static __device__ __forceinline__ void load_stage(u32 a, u32 rank, const tensor_map *map_a, const tensor_map *map_b,
                                                  int k, int row, int column, int half, int za, int zb, u32 full) {
  const u32 b = a + A_BYTES;
  if constexpr (TRANS_A) {
#pragma unroll
    for (int i = 0; i < BM / 64 / CLUSTER_N; ++i) {
      const int y = CLUSTER_N > 1 ? rank * (BM / 128) + i : i;
      if (CLUSTER_N > 1) load_both(a + y * 8192, map_a, row + y * 64, k, za, full);
      else load(a + y * 8192, map_a, row + y * 64, k, za, full);
    }
  } else if constexpr (CLUSTER_N > 1) {
    load_both(a + rank * (A_BYTES / 2), map_a, k, row + rank * (BM / 2), za, full);
  } else {
    load(a, map_a, k, row, za, full);
  }
  if constexpr (!TRANS_B) {
#pragma unroll
    for (int i = 0; i < (BN + 63) / 64; ++i)
      if (CLUSTER_M > 1) load_both(b + i * 8192 + rank * 4096, map_b, column + i * 64, k + rank * 32, zb, full);
      else load(b + i * 8192, map_b, column + i * 64, k, zb, full);
  } else if constexpr (CLUSTER_M > 1) {
    load_both(b + rank * (B_BYTES / 2), map_b, k, column + rank * (SUMS > 1 ? half : BN / 2), zb, full);
  } else if constexpr (SUMS > 1) {
    load(b, map_b, k, column, zb, full);
    load(b + B_BYTES / 2, map_b, k, column + half, zb, full);
  } else {
    load(b, map_b, k, column, zb, full);
  }
}

struct ring { // where a warp is in one: the stage, and the parity of its round
  u32 stage, phase;
};
template <int SIZE> static __device__ __forceinline__ void step(ring &r) {
  if (++r.stage == SIZE) r.stage = 0, r.phase ^= 1;
}
template <int SIZE> static __device__ __forceinline__ void step(ring &r, int count) {
  const u32 next = r.stage + count;
  r.phase ^= next / SIZE & 1, r.stage = next % SIZE;
}

// What C is added to is to be in the L2 cache when the sums are there: brings rows of a tile's C into it, some each stage.
struct row_prefetch {
  int each, first; // rows of a stage; the first such stage
};
static __device__ __forceinline__ row_prefetch prefetch_of(const work &w) {
  enum { EACH = 8 };
  const int each = max(EACH, (BM + w.stages - 1) / w.stages);
  return {each, w.stages - (BM + each - 1) / each};
}
static __device__ __forceinline__ void prefetch_rows(const parameters &p, const work &w, row_prefetch f, int stage,
                                                     int row0, int column) {
  const int m = (int)p.dims[DIM_M], n = (int)p.dims[DIM_N], from = (stage - f.first) * f.each;
  if (w.start > 0 || stage < f.first || column >= n) return;
  for (int i = from; i < min(from + f.each, BM) && row0 + i < m; ++i)
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"((const float *)c_of(p, w.group) +
                                                                      (row0 + i) * p.dims[DIM_LDC] + column),
                 "r"(4 * min(BN, n - column))
                 : "memory");
}

static __device__ void load_all(const parameters &p, const schedule &s, u32 rank, u32 stages, u32 full, u32 empty) {
  ring at = {0, 0};
  work w;
  for (int i = 0; work_at(p, s, i, w); ++i) {
    const int row = w.row + (CLUSTER_M > 1 ? rank * BM : 0), column = w.column + (CLUSTER_N > 1 ? rank * WIDTH : 0);
    int piece = first_piece(p, w.group) + w.start / s.steps, step_of_piece = w.start % s.steps;
    const row_prefetch prefetch = prefetch_of(w);
    for (int stage = 0; stage < w.stages; ++stage) {
      wait(empty + 8 * at.stage, at.phase ^ 1);
      expect_bytes(full + 8 * at.stage, STAGE_BYTES);
      int za, zb;
      const tensor_map *map_a = map_of(p, maps_of(p, 0), piece, za), *map_b = map_of(p, maps_of(p, 1), piece, zb);
      load_stage(stages + at.stage * STAGE_BYTES, rank, map_a, map_b, step_of_piece * 64, row, column,
                 (int)p.dims[DIM_N] / 2, za, zb, full + 8 * at.stage);
      if (PAIRS && adds(p) == ADDS_ROWS) prefetch_rows(p, w, prefetch, stage, row, column);
      step<STAGES>(at);
      if (++step_of_piece == s.steps) step_of_piece = 0, ++piece;
    }
  }
}

// ---- the consumers

static __device__ __forceinline__ void release(u32 barrier, int lane) {
  if (CLUSTER == 1) {
    if (lane == 0) arrive(barrier);
  } else if (lane < CLUSTER) {
    arrive_at(barrier, lane);
  }
}

// The product of `count` stages. A stage is free once the next one's products are under way.
static __device__ __forceinline__ void multiply(sums &acc, int count, ring &at, u32 a0, u32 b0, u32 full, u32 empty,
                                                int lane) {
  u32 before = 0;
#pragma unroll 1
  for (int i = 0; i < count; ++i) {
    wait(full + 8 * at.stage, at.phase);
    const u64 a = descriptor(a0 + at.stage * STAGE_BYTES), b = descriptor(b0 + at.stage * STAGE_BYTES);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int k = 0; k < 4; ++k)
#pragma unroll
      for (int block = 0; block < BLOCKS; ++block)
        wgmma(acc, block, a + (u64)((TRANS_A ? k * 2048 : k * 32) + block * 8192) / 16,
              b + (u64)(TRANS_B ? k * 32 : k * 2048) / 16, k ? 1 : i);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
    if (i > 0) release(empty + 8 * before, lane);
    before = at.stage;
    step<STAGES>(at);
  }
  // The other consumer may begin: its products follow these.
  if (PING_PONG) asm volatile("bar.arrive %0, 256;" ::"r"(threadIdx.x < 256 ? 2 : 1) : "memory");
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  read_sums(acc);
  release(empty + 8 * before, lane);
}

// Results through shared memory: gemm_sm90_epilogue.cuh.
static __device__ void store_all(const parameters &p, const schedule &s, int first, int row, int column, u32 buffers,
                                 u32 ready, u32 vacant);
static __device__ __forceinline__ void finish_staged(const parameters &p, const sums &acc, const work &w, int column0,
                                                     ring &at, u32 buffers, u32 ready, u32 vacant, int warp, int lane);

// Of a tile that a cluster cuts: gemm_sm90_shares.cuh. At `shares`, a barrier of every warp of the consumers for the
// sums that others send it, and one that says that all blocks of the cluster have multiplied theirs.
constexpr int CONSUMER_WARPS = 4 * SHARING;
static __device__ __forceinline__ u32 multiplied(u32 shares) { return shares + 8 * CONSUMER_WARPS; }
static __device__ __forceinline__ void finish_shares(const parameters &p, const sums &acc, const work &w, u32 sent,
                                                     u32 shares, int row0, int column0);

// Two neighbours of a result straight to memory: those at `at` of a row with `room` columns. PAIRS: of an even width in
// float32, without an epilogue.
struct result_row {
  float *to; // with PAIRS
  int group, row, column, room;
};
static __device__ __forceinline__ result_row row_at(const parameters &p, int group, int row, int column) {
  result_row r = {nullptr, group, row, column, row < (int)p.dims[DIM_M] ? (int)p.dims[DIM_N] - column : 0};
  if (PAIRS) r.to = (float *)c_of(p, group) + (long long)row * p.dims[DIM_LDC] + column;
  return r;
}
static __device__ __forceinline__ void finish_pair(const parameters &p, const result_row &r, int at, float s0,
                                                   float s1) {
  if constexpr (PAIRS && FIXED_ADDS) {
    if (at >= r.room) return;
    if (ADDS) asm volatile("red.global.add.v2.f32 [%0], {%1, %2};" ::"l"(r.to + at), "f"(s0), "f"(s1) : "memory");
    else *(float2 *)(r.to + at) = make_float2(s0, s1);
  } else if constexpr (PAIRS) { // without branches, of which so many take long to compile
    asm volatile("{ .reg .pred adds, add, set; setp.ne.b32 adds, %5, 0; setp.lt.and.s32 add, %3, %4, adds; "
                 "setp.lt.and.s32 set, %3, %4, !adds; "
                 "@add red.global.add.v2.f32 [%0], {%1, %2}; @set st.global.v2.f32 [%0], {%1, %2}; }" ::"l"(r.to + at),
                 "f"(s0), "f"(s1), "r"(at), "r"(r.room), "r"(adds(p))
                 : "memory");
  } else {
    if (at >= r.room) return;
    finish_element(p, r.group, r.row, r.column + at, s0);
    if (at + 1 < r.room) finish_element(p, r.group, r.row, r.column + at + 1, s1);
  }
}

// The results of a tile straight to memory, row by row.
static __device__ __forceinline__ void finish_direct(const parameters &p, const sums &acc, const work &w, int row0,
                                                     int column0) {
#pragma unroll
  for (int block = 0; block < BLOCKS; ++block)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      result_row r = row_at(p, w.group, row0 + block * 64 + half * 8, column0);
#pragma unroll
      for (int i = 0; i < BN / 8; ++i)
        finish_pair(p, r, i * 8, acc[block][4 * i + 2 * half], acc[block][4 * i + 2 * half + 1]);
    }
}

// ---- sums of tiles that are cut

// Of every such tile of every block of a cluster and each of its consumers: how many partial sums are there; and how many
// consumers have seen all that they wait for. All are 0 again when a launch ends.
__device__ u32 arrivals[SPLIT ? ARRIVALS : 1];
__device__ u32 seen_by;
extern "C" __device__ u32 processors = 0; // that may be used; the runtime says it (cuda_kernels.c), 0: all

constexpr int EIGHTS = BLOCKS * BN / 8; // of columns of a consumer's part of a tile

static __device__ __forceinline__ float4 *partial_at(const parameters &p, int slot, u32 rank, int consumer) {
  return (float4 *)scratch_of(p) + (long long)((slot * CLUSTER + rank) * SHARING + consumer) * (EIGHTS * 128) +
         threadIdx.x % 128;
}
static __device__ __forceinline__ void consumer_sync() {
  asm volatile("bar.sync %0, 128;" ::"r"((u32)threadIdx.x / 128 + 2) : "memory");
}

// Leaves a partial sum, in the order of the threads' registers.
static __device__ __forceinline__ void give(const parameters &p, const sums &acc, const work &w, u32 rank,
                                            int consumer) {
  float4 *to = partial_at(p, w.slot, rank, consumer);
#pragma unroll
  for (int i = 0; i < EIGHTS; ++i) {
    const float *from = &acc[i / (BN / 8)][4 * (i % (BN / 8))];
    __stcg(to + i * 128, make_float4(from[0], from[1], from[2], from[3]));
  }
  consumer_sync();
  if (threadIdx.x % 128 == 0) {
    __threadfence();
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrivals + (w.cut * CLUSTER + rank) * SHARING +
                                                                  consumer)
                 : "memory");
  }
}

// What is there of a part, or zeros: without branches, of which so many take long to compile.
static __device__ __forceinline__ float4 part_there(const float4 *from, bool there) {
  float4 x = make_float4(0, 0, 0, 0);
  asm volatile("{ .reg .pred there; setp.ne.b32 there, %5, 0; @there ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4]; }"
               : "+f"(x.x), "+f"(x.y), "+f"(x.z), "+f"(x.w)
               : "l"(from), "r"((int)there)
               : "memory");
  return x;
}

// Adds the parts of some eighths of a consumer's part of a tile, `at` of all such, and makes their results.
constexpr int EIGHTS_TOGETHER = PAIRS ? 8 : 4, PARTS_TOGETHER = 4; // as there are registers
static __device__ __forceinline__ void add_parts(const parameters &p, const schedule &s, int at, int eighth,
                                                 int count) {
  const int consumer = at % SHARING, rank = at / SHARING % CLUSTER, tile = at / SHARING / CLUSTER;
  const tile_parts parts = parts_of(s.split, tile);
  const int part_count = parts.wholes + parts.tails;
  float4 sum[EIGHTS_TOGETHER];
#pragma unroll
  for (int i = 0; i < EIGHTS_TOGETHER; ++i) sum[i] = make_float4(0, 0, 0, 0);
#pragma unroll 1
  for (int first = 0; first < part_count; first += PARTS_TOGETHER) {
    float4 x[PARTS_TOGETHER][EIGHTS_TOGETHER];
#pragma unroll
    for (int k = 0; k < PARTS_TOGETHER; ++k) {
      const int part = first + k, slot = part < parts.wholes ? parts.whole + part : parts.tail + part - parts.wholes;
      const float4 *from = partial_at(p, slot, rank, consumer) + eighth * 128;
#pragma unroll
      for (int i = 0; i < EIGHTS_TOGETHER; ++i)
        x[k][i] = part_there(from + i * 128, part < part_count && i < count);
    }
#pragma unroll
    for (int k = 0; k < PARTS_TOGETHER; ++k)
#pragma unroll
      for (int i = 0; i < EIGHTS_TOGETHER; ++i)
        sum[i].x += x[k][i].x, sum[i].y += x[k][i].y, sum[i].z += x[k][i].z, sum[i].w += x[k][i].w;
  }
  const work w = tile_at(p, s, s.split.first + tile);
  const int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
  const int row0 = w.row + (CLUSTER_M > 1 ? rank * BM : 0) + consumer * 64 * BLOCKS + warp * 16 + lane / 4,
            column0 = w.column + (CLUSTER_N > 1 ? rank * BN : 0) + 2 * (lane & 3);
#pragma unroll
  for (int i = 0; i < EIGHTS_TOGETHER; ++i) {
    if (i >= count) break;
    const int row = row0 + (eighth + i) / (BN / 8) * 64, column = column0 + (eighth + i) % (BN / 8) * 8;
    finish_pair(p, row_at(p, w.group, row, column), 0, sum[i].x, sum[i].y);
    finish_pair(p, row_at(p, w.group, row + 8, column), 0, sum[i].z, sum[i].w);
  }
}

// The first block whose consumers add parts: that of the first cluster that had none, if there are enough of those; but
// only blocks that start last and run at one time, so that none waits for one that has yet to start.
static __device__ __forceinline__ int first_adding(const schedule &s) {
  u32 all;
  asm("mov.u32 %0, %%nsmid;" : "=r"(all));
  const u32 usable = processors ? processors : all;
  const int idle = s.clusters - s.split.clusters >= s.clusters / 4 ? s.split.clusters * CLUSTER : 0;
  return max(idle, (int)gridDim.x - (int)usable);
}

// Waits for the parts of the tiles that are cut, and makes this consumer's share of their results.
static __device__ __forceinline__ void add_all_parts(const parameters &p, const schedule &s, int c) {
  const split_plan &split = s.split;
  const int first = first_adding(s), adding = 2 * ((int)gridDim.x - first),
            me = 2 * ((int)blockIdx.x - first) + c;
  if (me < 0 || !split.left) return;
  const int all = split.left * CLUSTER * SHARING, from = all * EIGHTS * me / adding,
            to = all * EIGHTS * (me + 1) / adding;
  u32 seen = 0;
  if (threadIdx.x % 128 == 0) {
    for (int at = from / EIGHTS; at * EIGHTS < to; ++at) {
      const tile_parts parts = parts_of(split, at / SHARING / CLUSTER);
      u32 there;
      do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(there) : "l"(arrivals + at) : "memory");
      while (there < (u32)(parts.wholes + parts.tails));
    }
    seen = atomicInc(&seen_by, adding - 1);
  }
  consumer_sync();
  for (int i = from, count; i < to; i += count) {
    count = min(min(EIGHTS_TOGETHER, to - i), EIGHTS - i % EIGHTS);
    add_parts(p, s, i / EIGHTS, i % EIGHTS, count);
  }
  if (threadIdx.x % 128 == 0 && seen == (u32)adding - 1)
    for (int i = 0; i < all; ++i) arrivals[i] = 0;
}

static __device__ __forceinline__ void consume_all(const parameters &p, const schedule &s, u32 rank, int c, u32 stages,
                                                   u32 full, u32 empty, u32 buffers, u32 ready, u32 vacant,
                                                   u32 shares) {
  const int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
  const u32 a0 = stages + (PING_PONG ? 0 : c * BLOCKS * 8192), b0 = stages + A_BYTES;
  const int row = (CLUSTER_M > 1 ? rank * BM : 0) + (PING_PONG ? 0 : c * 64 * BLOCKS),
            column = CLUSTER_N > 1 ? rank * WIDTH : 0;
  const int own = ONE_RING ? 0 : c;
  sums acc;
  ring at = {0, 0}, buffer = {0, 0};
  work w;
  if (PING_PONG && c == 1) asm volatile("bar.arrive 1, 256;" ::: "memory"); // the first tile is consumer 0's
  if (ONE_RING && c == 1) asm volatile("bar.arrive 5, 256;" ::: "memory"); // and its results are the first
  for (int i = 0; work_at(p, s, i, w); ++i) {
    if (PING_PONG && i % 2 != c) { // the other consumer's: step over its stages
      step<STAGES>(at, w.stages);
      if (ONE_RING) step<BUFFERS>(buffer, STRIPS * CHUNKS * TURNS); // and buffers
      continue;
    }
    // In turns: else a consumer could wait for a stage more than one round ahead, and the parity would deceive it.
    if (PING_PONG) asm volatile("bar.sync %0, 256;" ::"r"(1 + c) : "memory");
    multiply(acc, w.stages, at, a0, b0, full, empty, lane);
    if constexpr (SPLIT) {
      const int consumer = PING_PONG ? 0 : c;
      if (w.slot >= 0) {
        give(p, acc, w, rank, consumer);
        continue;
      }
    }
    if constexpr (CLUSTER_K > 1)
      finish_shares(p, acc, w, stages, shares, w.row + row + warp * 16 + lane / 4, w.column + 2 * (lane & 3));
    else if constexpr (STAGED)
      finish_staged(p, acc, w, w.column + column, buffer,
                    buffers + own * BUFFERS * BUFFER_BYTES, ready + 8 * BUFFERS * own, vacant + 8 * BUFFERS * own, warp,
                    lane);
    else finish_direct(p, acc, w, w.row + row + warp * 16 + lane / 4, w.column + column + 2 * (lane & 3));
  }
  if constexpr (SPLIT) add_all_parts(p, s, c);
}

static __device__ __forceinline__ void product(const parameters &p) {
  declare_sums(); // in front of all that uses them
  extern __shared__ unsigned char raw[];
  __shared__ __align__(8) u64 barriers[2 * STAGES + 2 * CONSUMERS * BUFFERS + (CLUSTER_K > 1 ? CONSUMER_WARPS + 1 : 0)];
  const u32 buffers = shared_address(raw) + 1023 & ~1023u,
            stages = buffers + STAGING_BYTES; // each piece a multiple of 1024
  const u32 full = shared_address(barriers), empty = full + 8 * STAGES, ready = empty + 8 * STAGES,
            vacant = ready + 8 * CONSUMERS * BUFFERS, shares = vacant + 8 * CONSUMERS * BUFFERS;
  const int group = threadIdx.x / 128, warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
  __shared__ schedule s; // shared: beside the sums of a tile there are few registers
  const u32 rank = CLUSTER > 1 ? rank_in_cluster() : 0;
  if (threadIdx.x == 0) {
    s = schedule_of(p);
    for (int i = 0; i < STAGES; ++i)
      barrier_init(full + 8 * i, 1), barrier_init(empty + 8 * i, 4 * SHARING * CLUSTER);
    for (int i = 0; i < CONSUMERS * BUFFERS; ++i) barrier_init(ready + 8 * i, 4), barrier_init(vacant + 8 * i, 1);
    if (CLUSTER_K > 1) {
      for (int i = 0; i < CONSUMER_WARPS; ++i) barrier_init(shares + 8 * i, 1);
      barrier_init(multiplied(shares), CONSUMER_WARPS * CLUSTER_K);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  if (CLUSTER * CLUSTER_K > 1) cluster_wait();
  else __syncthreads();
  if (group == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(CONSUMERS > 2 ? 32 : 40));
    const int c = warp - 1;
    if (warp == 0 && lane == 0) load_all(p, s, rank, stages, full, empty);
    if (STAGED && c >= 0 && c < RINGS && lane == 0)
      store_all(p, s, PING_PONG ? c : 0, (CLUSTER_M > 1 ? rank * BM : 0) + (PING_PONG ? 0 : c * 64 * BLOCKS),
                CLUSTER_N > 1 ? rank * WIDTH : 0, buffers + c * BUFFERS * BUFFER_BYTES, ready + 8 * BUFFERS * c,
                vacant + 8 * BUFFERS * c);
    __syncwarp();
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(CONSUMERS > 2 ? 160 : 232));
    consume_all(p, s, rank, group - 1, stages, full, empty, buffers, ready, vacant, shares);
  }
  cluster_wait(); // a block may still send to one that is done
}
