// The epilogues of gemm_sm90.cuh: results through shared memory, by TMA.

// ---- the storers: a warp of each ring

// Results leave a tile in chunks, 64 * PART_BLOCKS rows and CHUNK columns each, through a ring of buffers: of each
// consumer one, or, with ONE_RING, of both, who then finish their tiles one after the other.
constexpr int PIECES = STRIPS * CHUNKS;
constexpr int EACH = PING_PONG && !ONE_RING ? 2 : 1; // of so many tiles a ring has one

static __device__ __forceinline__ int row_of(int piece) { return piece / CHUNKS * (64 * PART_BLOCKS); }
static __device__ __forceinline__ int column_of(int piece) { return piece % CHUNKS * CHUNK; }

// Loads ROWS row operands into a buffer, for the next chunk of the ring.
struct row_loads {
  work w;
  int item, piece;
  bool more;
};
static __device__ __forceinline__ void load_rows(const parameters &p, const schedule &s, row_loads &l, int row,
                                                 int column, u32 buffer, u32 barrier) {
  if (!l.more) return;
  expect_bytes(barrier, ROWS * PART_BYTES);
#pragma unroll
  for (int i = 0; i < ROWS; ++i) {
    int z;
    const tensor_map *map = map_of(p, maps_of(p, ROW_MAPS + i), l.w.group, z);
    load(buffer + i * PART_BYTES, map, l.w.column + column + column_of(l.piece), l.w.row + row + row_of(l.piece), z,
         barrier);
  }
  if (++l.piece < PIECES) return;
  l.piece = 0;
  l.item += EACH;
  l.more = result_at(p, s, l.item, EACH, l.w);
}

// Stores what is left in a ring's buffers, and loads the row operands of chunks to come; first: of its tiles; row,
// column: of its part of the cluster's tile.
static __device__ void store_all(const parameters &p, const schedule &s, int first, int row, int column, u32 buffers,
                                 u32 ready, u32 vacant) {
  ring at = {0, 0};
  row_loads loads = {};
  loads.item = first;
  if constexpr (ROWS > 0) {
    loads.more = result_at(p, s, loads.item, EACH, loads.w);
    for (int i = 0; i < BUFFERS; ++i) load_rows(p, s, loads, row, column, buffers + i * BUFFER_BYTES, vacant + 8 * i);
  }
  work w;
  for (int i = first; result_at(p, s, i, EACH, w); i += EACH) {
    for (int piece = 0; piece < PIECES; ++piece)
#pragma unroll
      for (int turn = 0; turn < TURNS; ++turn) {
        const u32 buffer = buffers + at.stage * BUFFER_BYTES;
        wait(ready + 8 * at.stage, at.phase);
#pragma unroll
        for (int i = 0, e = turn; i < TOGETHER; ++i, ++e) {
          int z; // asked for each time, as there are few registers
          const tensor_map *map = map_of(p, maps_of(p, RESULT_MAPS + e), w.group, z);
          store(map, w.column + column + column_of(piece), w.row + row + row_of(piece), z, buffer + i * PART_BYTES);
        }
        asm volatile("cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;" ::: "memory");
        if constexpr (ROWS > 0) load_rows(p, s, loads, row, column, buffer, vacant + 8 * at.stage);
        else arrive(vacant + 8 * at.stage);
        step<BUFFERS>(at);
      }
  }
  asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

// ---- the consumers

// Two neighbours of a result, whose sums begin with number `at`: sums, columns and row operands of both through the
// epilogue. Here an epilogue can see further columns of its row: one d columns away (a multiple of 8) is d / 2 sums away.
static __device__ __forceinline__ void epilogue_pair(const float (&acc)[BN / 2], int at,
                                                     const float (&columns)[2][KINDS ? KINDS : 1],
                                                     const float (&rows)[2][ROWS ? ROWS : 1], float (&y)[2][RESULTS]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float sums[SUMS];
#pragma unroll
    for (int s = 0; s < SUMS; ++s) {
      sums[s] = acc[at + i + s * PARTNER];
      // Else what one turn computes in passing would be kept for the next, for which there are no registers.
      if (TURNS > 1) asm volatile("" : "+f"(sums[s]));
    }
    epilogue(sums, columns[i], rows[i], y[i]);
  }
}

// Fragments of the row operands, 16 columns of 16 rows of a warp, one after the other.
typedef u32 row_fragments[ROWS ? ROWS : 1][4];
// Where there are registers for it, those of two steps at once: the next step's come while this one is computed.
constexpr int AT_ONCE = BLOCKS * BN / 2 + 4 * (2 * ROWS + TOGETHER) <= 216 ? 2 : 1;
static __device__ __forceinline__ void load_fragments(row_fragments &rows, u32 address) {
#pragma unroll
  for (int i = 0; i < ROWS; ++i)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(rows[i][0]), "=r"(rows[i][1]), "=r"(rows[i][2]), "=r"(rows[i][3])
                 : "r"(address + i * PART_BYTES)
                 : "memory");
}

// Results of a chunk, from column `column` on: the one of this turn, or all; base: of the lane's row in the buffer.
static __device__ __forceinline__ void finish_chunk(const parameters &p, const sums &acc, const work &w, int column,
                                                    int strip, int chunk, int turn, u32 base, u32 swizzle,
                                                    int lane) {
  constexpr int STEPS = CHUNK / 16 * PART_BLOCKS;
  const int half = lane >> 4; // of stmatrix: lanes 16 … have the 8 columns behind
  row_fragments rows[AT_ONCE];
  float columns[4][KINDS ? KINDS : 1];
  const auto address_of = [&](int i) {
    return base + i % PART_BLOCKS * (64 * CHUNK * 2) + (((2 * (i / PART_BLOCKS) + half) ^ swizzle) << 4);
  };
  if (AT_ONCE > 1) load_fragments(rows[0], address_of(0));
#pragma unroll
  for (int i = 0; i < STEPS; ++i) {
    const int j = i / PART_BLOCKS, block = i % PART_BLOCKS;
    const u32 address = address_of(i);
    u32 results[TOGETHER][4];
    // Those of the next step before this one's results: nothing may pass these.
    if (AT_ONCE == 1) load_fragments(rows[0], address);
    else if (i + 1 < STEPS) load_fragments(rows[(i + 1) % AT_ONCE], address_of(i + 1));
#pragma unroll
    for (int kind = 0; kind < KINDS && block == 0; ++kind)
#pragma unroll
      for (int k = 0; k < 4; ++k)
        columns[k][kind] =
            column_of(p, kind, w.group, column + 16 * j + 8 * (k / 2) + 2 * (lane & 3) + k % 2);
#pragma unroll
    for (int t = 0; t < 4; ++t) {
      const int at_sum = 4 * (chunk * CHUNK / 8 + 2 * j) + 2 * t;
      float row_pair[2][ROWS ? ROWS : 1], column_pair[2][KINDS ? KINDS : 1], y[2][RESULTS];
#pragma unroll
      for (int k = 0; k < ROWS; ++k)
        row_pair[0][k] = low_of(rows[i % AT_ONCE][k][t]), row_pair[1][k] = high_of(rows[i % AT_ONCE][k][t]);
#pragma unroll
      for (int k = 0; k < KINDS; ++k)
        column_pair[0][k] = columns[t / 2 * 2][k], column_pair[1][k] = columns[t / 2 * 2 + 1][k];
      epilogue_pair(acc[strip * PART_BLOCKS + block], at_sum, column_pair, row_pair, y);
#pragma unroll
      for (int k = 0; k < TOGETHER; ++k) results[k][t] = pack(y[0][turn + k], y[1][turn + k]);
    }
#pragma unroll
    for (int e = 0; e < TOGETHER; ++e)
      asm volatile(
          "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address + e * PART_BYTES),
          "r"(results[e][0]), "r"(results[e][1]), "r"(results[e][2]), "r"(results[e][3])
          : "memory");
  }
}

// The results of a tile, chunk by chunk through shared memory.
static __device__ __forceinline__ void finish_staged(const parameters &p, const sums &acc, const work &w, int column0,
                                                     ring &at, u32 buffers, u32 ready, u32 vacant, int warp, int lane) {
  const int row = warp * 16 + (lane & 15); // of stmatrix
  const u32 swizzle = CHUNK == 64 ? row & 7 : row >> 1 & 3;
  if (ONE_RING) asm volatile("bar.sync %0, 256;" ::"r"((u32)threadIdx.x / 128 + 4) : "memory");
#pragma unroll
  for (int piece = 0; piece < PIECES; ++piece)
#pragma unroll
    for (int turn = 0; turn < TURNS; ++turn) {
      wait(vacant + 8 * at.stage, ROWS > 0 ? at.phase : at.phase ^ 1);
      finish_chunk(p, acc, w, column0 + column_of(piece), piece / CHUNKS, piece % CHUNKS, turn,
                   buffers + at.stage * BUFFER_BYTES + row * (CHUNK * 2), swizzle, lane);
      asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
      __syncwarp();
      if (lane == 0) arrive(ready + 8 * at.stage);
      step<BUFFERS>(at);
    }
  // The other consumer may go on: its chunks follow these.
  if (ONE_RING) asm volatile("bar.arrive %0, 256;" ::"r"(threadIdx.x < 256 ? 6 : 5) : "memory");
}
