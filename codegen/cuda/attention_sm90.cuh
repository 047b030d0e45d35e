// Causal attention in bf16 for sm_90a, heads of 64, 96 and 128 columns: wgmma on tiles that TMA brings. A block is a
// producer warp and CONSUMERS warpgroups; as many blocks as multiprocessors, which do one item after the other, the
// longest first and back and forth. A consumer's 64 rows are TOKENS positions of all GROUP query heads that share a key
// head, position by position, so that keys and values are loaded once for all of them. The next scores and the last
// block's values are multiplied while the softmax runs. The text before fixes GROUP, TOKENS, SCALE, CONSUMERS, KEYS
// (keys of a block), STAGES, CLUSTER (blocks that share an item), TURNS (gradients are turned back), TURN_MAP, CUT
// (items of dK and dV are cut into parts), CUT_COUNTERS (words for them in the workspace), STARTS
// (sequences are packed), STARTS_ARG, CONSUMER_ROWS (positions of a consumer), u32, u64, wgmma_scores (A of 64 rows, B
// of KEYS rows of 64), wgmma_values (A in registers, B of rows of 64 as they are).
//
// Registers that a wgmma reads or writes must be tied down by hand until it has been waited for: ptxas may hand them
// out again, without a word. Every change here needs its results checked on a GPU.

constexpr int TILE_BYTES = 64 * HEAD * 2, BLOCK_BYTES = KEYS * HEAD * 2;
// Rows lie in boxes of BOX columns, one behind the other, swizzled by as many bytes as those have.
constexpr int BOX = HEAD % 64 ? 32 : 64, PITCH = BOX * 2;
constexpr int THREADS = (CONSUMERS + 1) * 128, REGISTERS = CONSUMERS == 3 ? 160 : 224,
              FEW_REGISTERS = CONSUMERS == 3 ? 32 : 56;
constexpr float LOG2E = 1.4426950408889634f, LN2 = 0.6931471805599453f, POWER = SCALE * LOG2E;

extern __shared__ unsigned char memory[];

// ---- barriers, copies, fragments

static __device__ __forceinline__ u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }
static __device__ __forceinline__ void barrier_init(u32 barrier, u32 count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
static __device__ __forceinline__ void expect_bytes(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
static __device__ __forceinline__ void arrive_one(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
static __device__ __forceinline__ void arrive(u32 barrier) { // by one lane of a warp
  if (threadIdx.x % 32 == 0) arrive_one(barrier);
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
static __device__ __forceinline__ void barriers_ready() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
static __device__ __forceinline__ void named_sync(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
static __device__ __forceinline__ void named_arrive(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

// A box of a tensor map at column x, row y of matrix z.
static __device__ __forceinline__ void load(u32 to, const tensor_map *map, int x, int y, int z, u32 barrier) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], "
               "[%5];" ::"r"(to),
               "l"(map), "r"(x), "r"(y), "r"(z), "r"(barrier)
               : "memory");
}
// A box of each BOX columns of a head, `apart` bytes from one to the next.
static __device__ __forceinline__ void load_boxes(u32 to, int apart, const tensor_map *map, int x, int y, int z,
                                                  u32 barrier) {
#pragma unroll
  for (int i = 0; i < HEAD / BOX; ++i) load(to + i * apart, map, x + i * BOX, y, z, barrier);
}
static __device__ __forceinline__ void store(const tensor_map *map, int x, int y, int z, u32 from) {
  asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%1, %2, %3}], [%4];" ::"l"(map), "r"(x),
               "r"(y), "r"(z), "r"(from)
               : "memory");
}
static __device__ __forceinline__ void load_floats(u32 to, const float *from, u32 bytes, u32 barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(from), "r"(bytes), "r"(barrier)
               : "memory");
}
static __device__ __forceinline__ float2 shared_floats(u32 at) {
  float2 v;
  asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(v.x), "=f"(v.y) : "r"(at));
  return v;
}
// The same of all GROUP heads of a key head from position y on: rows of boxes are those heads' of one position.
static __device__ __forceinline__ void load_heads(u32 to, const tensor_map *map, int head, int y, int z, u32 barrier) {
#pragma unroll
  for (int i = 0; i < HEAD / BOX; ++i)
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, "
                 "%5}], [%6];" ::"r"(to + i * 64 * PITCH),
                 "l"(map), "r"(i * BOX), "r"(head), "r"(y), "r"(z), "r"(barrier)
                 : "memory");
}
static __device__ __forceinline__ void store_heads(const tensor_map *map, int head, int y, int z, u32 from) {
#pragma unroll
  for (int i = 0; i < HEAD / BOX; ++i)
    asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%1, %2, %3, %4}], [%5];" ::"l"(map),
                 "r"(i * BOX), "r"(head), "r"(y), "r"(z), "r"(from + i * 64 * PITCH)
                 : "memory");
}
static __device__ __forceinline__ void store_boxes(const tensor_map *map, int x, int y, int z, u32 from) {
#pragma unroll
  for (int i = 0; i < HEAD / BOX; ++i) store(map, x + i * BOX, y, z, from + i * 64 * PITCH);
}
static __device__ __forceinline__ void stores_end() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
static __device__ __forceinline__ void stores_read() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }
static __device__ __forceinline__ void stores_done() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }
static __device__ __forceinline__ void fence_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

static __device__ __forceinline__ void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
static __device__ __forceinline__ void wgmma_end() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int LEFT> static __device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}
template <int N> static __device__ __forceinline__ void tie(float (&x)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) asm volatile("" : "+f"(x[i])::"memory");
}
template <int N> static __device__ __forceinline__ void tie(u32 (&x)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) asm volatile("" : "+r"(x[i])::"memory");
}

// A matrix in shared memory: 8 rows every 8 * PITCH bytes, boxes KEYS rows long (where that matters: in what is read by
// its rows).
static __device__ __forceinline__ u64 descriptor(u32 address) {
  return (u64)((address & 0x3ffff) >> 4) | (u64)(KEYS * PITCH >> 4) << 16 | (u64)(8 * PITCH >> 4) << 32 |
         (BOX == 64 ? 1ull : 2ull) << 62;
}
// To its 16 columns number k, in boxes of so many rows, and to its 16 rows number k.
static __device__ __forceinline__ constexpr u64 to_columns(int k, int rows) {
  return (k / (BOX / 16) * rows * PITCH + k % (BOX / 16) * 32) >> 4;
}
static __device__ __forceinline__ constexpr u64 to_rows(int k) { return k * PITCH; }
static __device__ __forceinline__ float power_of_2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
static __device__ __forceinline__ u32 pack(float low, float high) {
  u32 both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
static __device__ __forceinline__ float low(u32 both) { return __uint_as_float(both << 16); }
static __device__ __forceinline__ float high(u32 both) { return __uint_as_float(both & 0xffff0000u); }
static __device__ __forceinline__ float quad_sum(float x) { // over the lanes that share a row of an accumulator
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}
static __device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

// A warp's 16 rows of a tile of 64 x HEAD: piece `chunk` of 16 bytes of the lane's row.
static __device__ __forceinline__ u32 tile_place(u32 tile, int chunk) {
  const int row = threadIdx.x / 32 % 4 * 16 + threadIdx.x % 16, swizzle = BOX == 64 ? row & 7 : row >> 1 & 3;
  return tile + chunk / (BOX / 8) * 64 * PITCH + row * PITCH + ((chunk % (BOX / 8) ^ swizzle) << 4);
}
// Accumulators, times first in rows lane / 4 and second 8 rows below, to a tile in bf16.
static __device__ __forceinline__ void stage(u32 tile, const float (&o)[HEAD / 2], float first, float second) {
#pragma unroll
  for (int j = 0; j < HEAD / 16; ++j)
    asm volatile(
        "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
            tile_place(tile, 2 * j + threadIdx.x % 32 / 16)),
        "r"(pack(o[8 * j] * first, o[8 * j + 1] * first)), "r"(pack(o[8 * j + 2] * second, o[8 * j + 3] * second)),
        "r"(pack(o[8 * j + 4] * first, o[8 * j + 5] * first)), "r"(pack(o[8 * j + 6] * second, o[8 * j + 7] * second))
        : "memory");
}
// The warp's rows of a tile as the left side of wgmma.
static __device__ __forceinline__ void load_left(u32 (&r)[HEAD / 4], u32 tile) {
#pragma unroll
  for (int k = 0; k < HEAD / 16; ++k)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[4 * k]), "=r"(r[4 * k + 1]), "=r"(r[4 * k + 2]), "=r"(r[4 * k + 3])
                 : "r"(tile_place(tile, 2 * k + threadIdx.x % 32 / 16))
                 : "memory");
}

// ---- the work. dims: length, batch, segments, heads, key heads, padded length, sequences.

struct shape {
  int length, batch, segments, heads, key_heads, padded, sequences;
};
template <typename P> static __device__ __forceinline__ shape shape_of(const P &p) {
  return {(int)p.dims[0], (int)p.dims[1], (int)p.dims[2], (int)p.dims[3],
          (int)p.dims[4], (int)p.dims[5], (int)p.dims[6]};
}

// first: position, -1: no more work; begin, end: its blocks of the other side, as each kernel counts them.
struct item {
  int first, key_head, sequence, segment, begin, end;
};

// Item i of this block, or of this cluster of CLUSTER blocks: `rows` positions of a key head; the last ones, which see
// most, first where `down`. Divisions are slow: the producer does them, and hands the items on in shared memory.
static __device__ __forceinline__ bool item_at(const shape &s, int i, int rows, bool down, item &it) {
  const int each = s.sequences * s.key_heads, blocks = (s.length + rows - 1) / rows;
  const int worker = blockIdx.x / CLUSTER, workers = gridDim.x / CLUSTER;
  const int n = i * workers + (i % 2 ? workers - 1 - worker : worker);
  if (n >= each * blocks) return false;
  const int block = n / each, rest = n % each;
  it.first = (down ? blocks - 1 - block : block) * rows;
  it.key_head = rest % s.key_heads, it.sequence = rest / s.key_heads;
  it.segment = it.sequence / s.batch % s.segments;
  return true;
}

constexpr u32 ITEM_BYTES = 32;
// By one thread, before it arrives at the barrier that the consumers wait for.
static __device__ __forceinline__ void put_item(u32 to, const item &it) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};\n st.shared.v2.b32 [%0 + 16], {%5, %6};" ::"r"(to), "r"(it.first),
               "r"(it.key_head), "r"(it.sequence), "r"(it.segment), "r"(it.begin), "r"(it.end)
               : "memory");
}
// In uniform registers. By a whole warp.
static __device__ __forceinline__ item get_item(u32 from) {
  item it;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%6];\n ld.shared.v2.b32 {%4, %5}, [%6 + 16];"
               : "=r"(it.first), "=r"(it.key_head), "=r"(it.sequence), "=r"(it.segment), "=r"(it.begin), "=r"(it.end)
               : "r"(from)
               : "memory");
  const auto uniform = [](int &x) { x = __shfl_sync(0xffffffffu, x, 0); };
  uniform(it.first), uniform(it.key_head), uniform(it.sequence), uniform(it.segment), uniform(it.begin), uniform(it.end);
  return it;
}
// The consumers' end: after the last item. By one thread.
static __device__ __forceinline__ void put_end(u32 to, u32 barrier) {
  put_item(to, {-1, 0, 0, 0, 0, 0});
  arrive_one(barrier);
}

// A ring of stages: which comes next and in which phase.
struct ring {
  u32 stage, phase;
  __device__ __forceinline__ void next(u32 count) {
    if (++stage == count) stage = 0, phase ^= 1;
  }
};

// The rows of an item, and of one consumer: of all GROUP heads of TOKENS positions, one after the other. By one thread.
constexpr u32 ROWS_BYTES = CONSUMERS * GROUP * TOKENS * HEAD * 2;
static __device__ __forceinline__ void load_rows(u32 to, const tensor_map *map, const item &it, u32 barrier) {
#pragma unroll 1
  for (int w = 0; w < CONSUMERS; ++w)
    load_heads(to + w * TILE_BYTES, map, it.key_head * GROUP, it.first + w * TOKENS, it.sequence, barrier);
}
static __device__ __forceinline__ void store_rows(u32 from, const tensor_map *map, const item &it, int first) {
  if (threadIdx.x % 128) return;
  store_heads(map, it.key_head * GROUP, first, it.sequence, from);
  stores_end();
}

// threadIdx.x, in a way that what follows from it is worked out where it is needed and lies in no registers meanwhile.
static __device__ __forceinline__ int thread_again() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread;
}

// The position of a consumer's row among its own. Two consumers take it from a table, three divide: whether registers
// suffice for wgmmas in flight hangs on such things (tests/cuda/attention.txt shows it).
constexpr bool DIVIDES = CONSUMERS == 3;
__shared__ int row_positions[64];
static __device__ __forceinline__ void fill_row_positions() { // all threads of the block, before they meet
  if (!DIVIDES && threadIdx.x < 64) row_positions[threadIdx.x] = threadIdx.x / GROUP;
}
static __device__ __forceinline__ int row_position(int row) {
  if (DIVIDES) return row / GROUP;
  int position;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(position) : "r"(shared_address(row_positions) + 4 * row));
  return position;
}

// The table [positions, cosines | sines] that turns gradients back: each consumer fetches the rows of its positions as it
// begins an item, in two swizzled boxes of maps[TURN_MAP].
struct turning {
  static constexpr u32 ROW_BYTES = CONSUMER_ROWS * 128, BOX_BYTES = (ROW_BYTES + 1023) / 1024 * 1024;
  u32 cosines, full; // of the consumer
  __device__ __forceinline__ turning(u32 memory, u32 barriers, int w)
      : cosines(memory + 2 * w * BOX_BYTES), full(barriers + 8 * w) {}
  template <typename P> __device__ __forceinline__ void fetch(const P &p, int position) const {
    if constexpr (TURNS) {
      if (threadIdx.x % 128) return;
      expect_bytes(full, 2 * ROW_BYTES);
      load(cosines, &p.maps[TURN_MAP], 0, position, 0, full);
      load(cosines + BOX_BYTES, &p.maps[TURN_MAP], HEAD / 2, position, 0, full);
    }
  }
  __device__ __forceinline__ void skip(int item) const { // instead: nothing is turned, and the next fetch may come
    if (TURNS) wait(full, item % 2);
  }
  // Turns the rows a and b of the consumer, of its item number `item`; columns i and i + HEAD / 2 are a pair, both of
  // this thread. All of the consumer's threads must have come here before the next fetch.
  __device__ __forceinline__ void back(float (&o)[HEAD / 2], int a, int b, int item) const {
    if (!TURNS) return;
    wait(full, item % 2);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = half ? b : a;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const u32 at = row * 128 + (((2 * j + threadIdx.x % 4 / 2) ^ (row & 7)) << 4) + threadIdx.x % 2 * 8;
        const float2 cosine = shared_floats(cosines + at), sine = shared_floats(cosines + BOX_BYTES + at);
        float &x = o[4 * j + 2 * half], &x_pair = o[4 * j + 2 * half + 16];
        float &y = o[4 * j + 2 * half + 1], &y_pair = o[4 * j + 2 * half + 17];
        const float x_was = x, y_was = y;
        x = x_was * cosine.x + x_pair * sine.x, x_pair = x_pair * cosine.x - x_was * sine.x;
        y = y_was * cosine.y + y_pair * sine.y, y_pair = y_pair * cosine.y - y_was * sine.y;
      }
    }
  }
};

// Where packed sequences start, of an item's positions; else none of this is there.
struct row_starts {
  const int *of; // position 0
  int length, most; // most: the largest of the warp's rows
  template <typename P> static __device__ __forceinline__ const int *at(const P &p, const shape &s, const item &it) {
    return (const int *)p.args[STARTS_ARG] + (long long)(it.sequence % s.batch) * s.length;
  }
  template <typename P> __device__ __forceinline__ row_starts(const P &p, const shape &s, const item &it, int least) {
    if (!STARTS) return;
    const int thread = thread_again(), row = thread / 32 % 4 * 16 + thread % 32 / 4;
    of = at(p, s, it), length = s.length;
    most = max((*this)[least + row / GROUP], (*this)[least + (row + 8) / GROUP]);
    for (int o = 16; o; o >>= 1) most = max(most, __shfl_xor_sync(0xffffffffu, most, o));
  }
  __device__ __forceinline__ int operator[](int position) const { return of[min(position, length - 1)]; }
};

// The first of all keys that an item's `rows` positions see. By a whole warp.
template <typename P>
static __device__ __forceinline__ int first_key(const P &p, const shape &s, const item &it, int rows) {
  if (!STARTS) return 0;
  const int *starts = row_starts::at(p, s, it);
  int least = it.first;
  for (int i = it.first + threadIdx.x % 32; i < min(s.length, it.first + rows); i += 32) least = min(least, starts[i]);
  for (int o = 16; o; o >>= 1) least = min(least, __shfl_xor_sync(0xffffffffu, least, o));
  return max(least, 0);
}

// Scores of keys from `key` on that a row does not see become none. least: the consumer's first position. N columns.
template <int N, int SIZE>
static __device__ __forceinline__ void mask_keys(float (&x)[SIZE], int key, int least, const row_starts &starts) {
  least = __shfl_sync(0xffffffffu, least, 0); // in a uniform register: the others are all in use
  if (key + N - 1 <= least && (!STARTS || key >= starts.most)) return;
  const int thread = thread_again(), row = thread / 32 % 4 * 16 + thread % 32 / 4, column = thread % 4 * 2;
  const int last_a = least + row_position(row) - key - column, last_b = least + row_position(row + 8) - key - column;
#pragma unroll
  for (int q = 0; q < N / 8; ++q) {
    if (8 * q > last_a) x[4 * q] = -1e30f;
    if (8 * q + 1 > last_a) x[4 * q + 1] = -1e30f;
    if (8 * q > last_b) x[4 * q + 2] = -1e30f;
    if (8 * q + 1 > last_b) x[4 * q + 3] = -1e30f;
  }
  if (!STARTS || key >= starts.most) return;
  const int first_a = starts[least + row_position(row)] - key - column;
  const int first_b = starts[least + row_position(row + 8)] - key - column;
#pragma unroll
  for (int q = 0; q < N / 8; ++q) {
    if (8 * q < first_a) x[4 * q] = -1e30f;
    if (8 * q + 1 < first_a) x[4 * q + 1] = -1e30f;
    if (8 * q < first_b) x[4 * q + 2] = -1e30f;
    if (8 * q + 1 < first_b) x[4 * q + 3] = -1e30f;
  }
}
