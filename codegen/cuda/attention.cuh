// Causal attention by blocks of queries: 4 warps, each with ROWS queries; of a block of 32 keys each lane has one score
// of every query of its warp, and of the result every 32nd column. The softmax runs with a running maximum: where a
// block of keys raises it, the sums and the output so far are scaled down. A query's mask is a range of keys. Needs
// team.cuh. The text before fixes HEAD (its size), ROWS, SCALE, STARTS (packed sequences) and
// element, as which rows are stored.

constexpr int THREADS = 128, BLOCK_ROWS = THREADS / 32 * ROWS, KEYS = 32, CHUNKS = (HEAD + 31) / 32;
constexpr int PADDED = HEAD | 1; // between rows of shared memory that the lanes read side by side: no two in one bank

extern __shared__ __align__(16) float shared[];

// `count` rows of a head, up to `rows` zeros; times `factor`.
static __device__ __forceinline__ void load_rows(float *to, int to_stride, const element *from, long long stride,
                                                 int count, int rows, float factor) {
  for (int i = threadIdx.x; i < rows * HEAD; i += THREADS) {
    const int r = i / HEAD, d = i % HEAD;
    to[r * to_stride + d] = r < count ? lmn_load(from, r * stride + d) * factor : 0.0f;
  }
}

struct attention_block {
  const element *q, *k, *v;
  element *out;
  float *lse; // lse null: not wanted
  long long q_stride, kv_stride, segment_stride, out_stride, lse_stride;
  int segments, count;       // segments seen; queries
  long long position, limit; // of the first query; there are no keys from `limit` on
  const int *starts;         // of the queries
};

// The first key that any of `count` queries sees.
static __device__ __forceinline__ long long first_start(const int *starts, int count) {
  int least = 0x7fffffff;
  for (int i = threadIdx.x % 32; i < count; i += 32) least = min(least, starts[i]);
#pragma unroll
  for (int o = 16; o; o >>= 1) least = min(least, __shfl_xor_sync(0xffffffffu, least, o));
  return least < 0 ? 0 : least;
}

// ONE_POSITION: all queries stand at the same position (the query heads of one key head).
template <bool ONE_POSITION> static __device__ __forceinline__ void attend(const attention_block &b) {
  float *const queries = shared, *const keys = queries + BLOCK_ROWS * HEAD, *const values = keys + KEYS * PADDED;
  const int lane = threadIdx.x % 32, row0 = threadIdx.x / 32 * ROWS;
  float most[ROWS], sums[ROWS], out[ROWS][CHUNKS] = {};
  int start[ROWS];
  load_rows(queries, HEAD, b.q, b.q_stride, b.count, BLOCK_ROWS, SCALE);
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    most[r] = -1e30f, sums[r] = 0.0f;
    start[r] = STARTS ? b.starts[min(row0 + r, b.count - 1)] : 0;
  }
  const long long first_key = STARTS ? first_start(b.starts, b.count) : 0;
  const long long seen_end = b.position + (ONE_POSITION ? 1 : b.count), end = seen_end < b.limit ? seen_end : b.limit;
  for (int segment = 0; segment < b.segments; ++segment)
    for (long long first = first_key; first < end; first += KEYS) {
      const int block = end - first < KEYS ? (int)(end - first) : KEYS;
      const long long from = segment * b.segment_stride + first * b.kv_stride;
      __syncthreads(); // the block before has been read
      load_rows(keys, PADDED, b.k + from, b.kv_stride, block, KEYS, 1.0f);
      load_rows(values, PADDED, b.v + from, b.kv_stride, block, KEYS, 1.0f);
      __syncthreads();
      float s[ROWS] = {};
#pragma unroll 4
      for (int d = 0; d < HEAD; ++d) {
        const float key = keys[lane * PADDED + d];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) s[r] = fmaf(queries[(row0 + r) * HEAD + d], key, s[r]);
      }
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        const long long key = first + lane, position = b.position + (ONE_POSITION ? 0 : row0 + r);
        const bool seen = lane < block && key <= position && (!STARTS || key >= start[r]);
        const float now = fmaxf(most[r], warp_max(seen ? s[r] : -1e30f)), power = seen ? expf(s[r] - now) : 0.0f;
        const float factor = expf(most[r] - now);
        sums[r] = sums[r] * factor + warp_sum(power);
        most[r] = now, s[r] = power;
#pragma unroll
        for (int c = 0; c < CHUNKS; ++c) out[r][c] *= factor;
      }
      for (int j = 0; j < block; ++j) {
        float value[CHUNKS];
#pragma unroll
        for (int c = 0; c < CHUNKS; ++c) value[c] = lane + 32 * c < HEAD ? values[j * PADDED + lane + 32 * c] : 0.0f;
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
          const float power = __shfl_sync(0xffffffffu, s[r], j);
#pragma unroll
          for (int c = 0; c < CHUNKS; ++c) out[r][c] = fmaf(power, value[c], out[r][c]);
        }
      }
    }
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    if (row0 + r >= b.count) continue;
#pragma unroll
    for (int c = 0; c < CHUNKS; ++c)
      if (lane + 32 * c < HEAD) b.out[(row0 + r) * b.out_stride + lane + 32 * c] = element(out[r][c] / sums[r]);
    if (b.lse && lane == 0) b.lse[(row0 + r) * b.lse_stride] = most[r] + logf(sums[r]);
  }
}

// Blocks: sequences x heads, blocks of queries, the last ones, which see most, first. args: qkv, out, lse[, starts].
// dims: length, batch, segments, heads, key heads.
template <typename P> static __device__ __forceinline__ void attention(const P &p) {
  const long long length = p.dims[0], batch = p.dims[1], segments = p.dims[2], heads = p.dims[3], key_heads = p.dims[4];
  const long long sequence = blockIdx.x / heads, head = blockIdx.x % heads, segment = sequence / batch % segments;
  const long long position = (long long)(gridDim.y - 1 - blockIdx.y) * BLOCK_ROWS, row = sequence * length + position;
  const long long width = (heads + 2 * key_heads) * HEAD, key_row = (sequence - segment * batch) * length;
  const element *qkv = (const element *)p.args[0];
  attention_block b;
  b.q = qkv + row * width + head * HEAD;
  b.k = qkv + key_row * width + (heads + head / (heads / key_heads)) * HEAD;
  b.v = b.k + key_heads * HEAD;
  b.out = (element *)p.args[1] + row * heads * HEAD + head * HEAD;
  b.lse = (float *)p.args[2] + row * heads + head;
  b.q_stride = b.kv_stride = width, b.segment_stride = batch * length * width;
  b.out_stride = heads * HEAD, b.lse_stride = heads;
  b.segments = (int)segment + 1;
  b.count = length - position < BLOCK_ROWS ? (int)(length - position) : BLOCK_ROWS;
  b.position = position, b.limit = length;
  b.starts = nullptr;
  if (STARTS) b.starts = (const int *)p.args[3] + sequence % batch * length + position;
  attend<false>(b);
}

// ---- over a KV cache: keys [sequence, capacity, key heads, HEAD], the values likewise; the segments of a sequence are
// `batch` sequences apart. args: qkv, lengths, keys, values[, out]. dims: length, batch, capacity, segments, heads, key
// heads.

static __device__ __forceinline__ long long cached_length(const int *lengths, long long sequence, long long batch) {
  const int length = lengths[sequence % batch];
  return length < 0 ? 0 : length;
}

// A block a new row: its keys and values to their position; nothing beyond the capacity.
template <typename P> static __device__ __forceinline__ void attention_store(const P &p) {
  const long long row = blockIdx.x, length = p.dims[0], capacity = p.dims[2], heads = p.dims[4], key_heads = p.dims[5];
  const long long sequence = row / length, columns = key_heads * HEAD;
  const long long position = cached_length((const int *)p.args[1], sequence, p.dims[1]) + row % length;
  if (position >= capacity) return;
  const element *from = (const element *)p.args[0] + row * (heads + 2 * key_heads) * HEAD + heads * HEAD;
  const long long to = (sequence * capacity + position) * columns;
  for (long long i = threadIdx.x; i < columns; i += blockDim.x) {
    ((element *)p.args[2])[to + i] = from[i];
    ((element *)p.args[3])[to + i] = from[columns + i];
  }
}

// Blocks as of attention. DECODE: one new position; a block's rows are the query heads of a key head, blocks of them in
// y, and the blocks in x are sequences x key heads.
template <bool DECODE, typename P> static __device__ __forceinline__ void attention_cached(const P &p) {
  const long long length = p.dims[0], batch = p.dims[1], capacity = p.dims[2], segments = p.dims[3], heads = p.dims[4];
  const long long key_heads = p.dims[5], group = heads / key_heads, each = DECODE ? key_heads : heads;
  const long long sequence = blockIdx.x / each, in_sequence = blockIdx.x % each, segment = sequence / batch % segments;
  const long long first = (long long)(gridDim.y - 1 - blockIdx.y) * BLOCK_ROWS;
  const long long key_head = DECODE ? in_sequence : in_sequence / group;
  const long long head = DECODE ? key_head * group + first : in_sequence, row = DECODE ? sequence : sequence * length + first;
  const long long all = DECODE ? group : length, columns = key_heads * HEAD, out_columns = heads * HEAD;
  const long long key = (sequence - segment * batch) * capacity * columns + key_head * HEAD;
  attention_block b;
  b.q = (const element *)p.args[0] + row * (out_columns + 2 * columns) + head * HEAD;
  b.k = (const element *)p.args[2] + key;
  b.v = (const element *)p.args[3] + key;
  b.out = (element *)p.args[4] + row * out_columns + head * HEAD;
  b.lse = nullptr, b.starts = nullptr;
  b.q_stride = DECODE ? HEAD : out_columns + 2 * columns, b.out_stride = DECODE ? HEAD : out_columns;
  b.kv_stride = columns, b.segment_stride = batch * capacity * columns, b.lse_stride = 0;
  b.segments = (int)segment + 1;
  b.count = all - first < BLOCK_ROWS ? (int)(all - first) : BLOCK_ROWS;
  b.position = cached_length((const int *)p.args[1], sequence, batch) + (DECODE ? 0 : first), b.limit = capacity;
  attend<DECODE>(b);
}
