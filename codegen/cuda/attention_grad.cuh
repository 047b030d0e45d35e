// kernel.attention_grad: the probabilities are made again from the scores and lse:
//   P = exp(scale Q Kᵀ - lse), dP = dO Vᵀ, dS = scale P (dP - rowsum(dO O)); dQ = dS K, dK = dSᵀ Q, dV = Pᵀ dO
// in two kernels, so that every gradient is summed by one warp in one order: dQ by blocks of queries, dK and dV by blocks
// of keys, over all query heads that share the key head and all later segments. Needs attention.cuh.
// args: qkv, out, lse, dout, dqkv[, starts]. dims: length, batch, segments, heads, key heads.

// Both scores of a warp's rows with the row of the other side that the lane has: x · y and u · v.
static __device__ __forceinline__ void two_scores(float (&s)[ROWS], float (&g)[ROWS], const float *x, const float *u,
                                                  const float *y, const float *v) {
  const int lane = threadIdx.x % 32, row0 = threadIdx.x / 32 * ROWS;
#pragma unroll 4
  for (int d = 0; d < HEAD; ++d) {
    const float other = y[lane * PADDED + d], other2 = v[lane * PADDED + d];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      s[r] = fmaf(x[(row0 + r) * HEAD + d], other, s[r]);
      g[r] = fmaf(u[(row0 + r) * HEAD + d], other2, g[r]);
    }
  }
}

// Row `row` of the lanes' side, its columns as the lane has them.
static __device__ __forceinline__ void columns_of(float (&to)[CHUNKS], const float *rows, int row) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int c = 0; c < CHUNKS; ++c) to[c] = lane + 32 * c < HEAD ? rows[row * PADDED + lane + 32 * c] : 0.0f;
}

static __device__ __forceinline__ float row_product(const element *x, const element *y) {
  float sum = 0.0f;
#pragma unroll
  for (int c = 0; c < CHUNKS; ++c) {
    const int d = threadIdx.x % 32 + 32 * c;
    if (d < HEAD) sum = fmaf(lmn_load(x, d), lmn_load(y, d), sum);
  }
  return warp_sum(sum);
}

static __device__ __forceinline__ void store_row(element *to, const float (&from)[CHUNKS]) {
#pragma unroll
  for (int c = 0; c < CHUNKS; ++c) {
    const int d = threadIdx.x % 32 + 32 * c;
    if (d < HEAD) to[d] = element(from[c]);
  }
}

// Blocks as of attention.
template <typename P> static __device__ __forceinline__ void attention_grad_queries(const P &p) {
  const long long length = p.dims[0], batch = p.dims[1], segments = p.dims[2], heads = p.dims[3], key_heads = p.dims[4];
  const long long sequence = blockIdx.x / heads, head = blockIdx.x % heads, segment = sequence / batch % segments;
  const long long position = (long long)(gridDim.y - 1 - blockIdx.y) * BLOCK_ROWS, row = sequence * length + position;
  const long long width = (heads + 2 * key_heads) * HEAD, out_width = heads * HEAD;
  const element *qkv = (const element *)p.args[0], *q = qkv + row * width + head * HEAD;
  const element *k = qkv + (sequence - segment * batch) * length * width + (heads + head / (heads / key_heads)) * HEAD;
  const element *v = k + key_heads * HEAD;
  const element *out = (const element *)p.args[1] + row * out_width + head * HEAD;
  const float *lse = (const float *)p.args[2] + row * heads + head;
  const element *dout = (const element *)p.args[3] + row * out_width + head * HEAD;
  element *dq = (element *)p.args[4] + row * width + head * HEAD;
  const int count = length - position < BLOCK_ROWS ? (int)(length - position) : BLOCK_ROWS;
  const int *starts = nullptr;
  if (STARTS) starts = (const int *)p.args[5] + sequence % batch * length + position;

  float *const queries = shared, *const douts = queries + BLOCK_ROWS * HEAD, *const keys = douts + BLOCK_ROWS * HEAD,
               *const values = keys + KEYS * PADDED;
  const int lane = threadIdx.x % 32, row0 = threadIdx.x / 32 * ROWS;
  float sums[ROWS][CHUNKS] = {}, lses[ROWS], deltas[ROWS];
  int start[ROWS];
  load_rows(queries, HEAD, q, width, count, BLOCK_ROWS, 1.0f);
  load_rows(douts, HEAD, dout, out_width, count, BLOCK_ROWS, 1.0f);
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    const long long at = min(row0 + r, count - 1); // beyond the last: the last again, not stored
    lses[r] = lse[at * heads];
    deltas[r] = row_product(dout + at * out_width, out + at * out_width);
    start[r] = STARTS ? starts[at] : 0;
  }
  const long long first_key = STARTS ? first_start(starts, count) : 0, end = position + count;
  for (long long s0 = 0; s0 <= segment; ++s0)
    for (long long first = first_key; first < end; first += KEYS) {
      const int block = end - first < KEYS ? (int)(end - first) : KEYS;
      const long long from = (s0 * batch * length + first) * width;
      __syncthreads(); // the block before has been read
      load_rows(keys, PADDED, k + from, width, block, KEYS, 1.0f);
      load_rows(values, PADDED, v + from, width, block, KEYS, 1.0f);
      __syncthreads();
      float s[ROWS] = {}, g[ROWS] = {};
      two_scores(s, g, queries, douts, keys, values);
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        const long long key = first + lane;
        const bool seen = lane < block && key <= position + row0 + r && (!STARTS || key >= start[r]);
        s[r] = seen ? expf(s[r] * SCALE - lses[r]) * (g[r] - deltas[r]) * SCALE : 0.0f;
      }
      for (int j = 0; j < block; ++j) {
        float key[CHUNKS];
        columns_of(key, keys, j);
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
          const float gradient = __shfl_sync(0xffffffffu, s[r], j);
#pragma unroll
          for (int c = 0; c < CHUNKS; ++c) sums[r][c] = fmaf(gradient, key[c], sums[r][c]);
        }
      }
    }
#pragma unroll
  for (int r = 0; r < ROWS; ++r)
    if (row0 + r < count) store_row(dq + (row0 + r) * width, sums[r]);
}

// Blocks: sequences x key heads, blocks of keys, the first ones, which most see, first.
template <typename P> static __device__ __forceinline__ void attention_grad_keys(const P &p) {
  const long long length = p.dims[0], batch = p.dims[1], segments = p.dims[2], heads = p.dims[3], key_heads = p.dims[4];
  const long long sequence = blockIdx.x / key_heads, key_head = blockIdx.x % key_heads, group = heads / key_heads;
  const long long segment = sequence / batch % segments, position = (long long)blockIdx.y * BLOCK_ROWS;
  const long long width = (heads + 2 * key_heads) * HEAD, out_width = heads * HEAD;
  const element *qkv = (const element *)p.args[0], *out = (const element *)p.args[1],
                *dout = (const element *)p.args[3];
  const float *lse = (const float *)p.args[2];
  const long long key_at = (sequence * length + position) * width + (heads + key_head) * HEAD;
  const long long value_at = key_at + key_heads * HEAD;
  element *dk = (element *)p.args[4] + key_at, *dv = (element *)p.args[4] + value_at;
  const int count = length - position < BLOCK_ROWS ? (int)(length - position) : BLOCK_ROWS;
  const int *starts = nullptr;
  if (STARTS) starts = (const int *)p.args[5] + sequence % batch * length;

  float *const keys = shared, *const values = keys + BLOCK_ROWS * HEAD, *const queries = values + BLOCK_ROWS * HEAD,
               *const douts = queries + KEYS * PADDED, *const lses = douts + KEYS * PADDED, *const deltas = lses + KEYS;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, row0 = warp * ROWS;
  float dk_sums[ROWS][CHUNKS] = {}, dv_sums[ROWS][CHUNKS] = {};
  load_rows(keys, HEAD, qkv + key_at, width, count, BLOCK_ROWS, 1.0f);
  load_rows(values, HEAD, qkv + value_at, width, count, BLOCK_ROWS, 1.0f);
  for (long long s0 = segment; s0 < segments; ++s0)
    for (long long head = key_head * group; head < (key_head + 1) * group; ++head)
      for (long long first = position; first < length; first += KEYS) {
        const int block = length - first < KEYS ? (int)(length - first) : KEYS;
        const long long row = (sequence + (s0 - segment) * batch) * length + first;
        const element *out_rows = out + row * out_width + head * HEAD, *dout_rows = dout + row * out_width + head * HEAD;
        __syncthreads(); // the block before has been read
        load_rows(queries, PADDED, qkv + row * width + head * HEAD, width, block, KEYS, 1.0f);
        load_rows(douts, PADDED, dout_rows, out_width, block, KEYS, 1.0f);
        for (int i = warp; i < KEYS; i += THREADS / 32) {
          const float delta = i < block ? row_product(dout_rows + i * out_width, out_rows + i * out_width) : 0.0f;
          if (lane) continue;
          deltas[i] = delta;
          lses[i] = i < block ? lse[(row + i) * heads + head] : 0.0f;
        }
        __syncthreads();
        float s[ROWS] = {}, g[ROWS] = {};
        two_scores(s, g, keys, values, queries, douts);
        const int start = STARTS && lane < block ? starts[first + lane] : 0;
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
          const long long key = position + row0 + r;
          const bool seen = lane < block && row0 + r < count && key <= first + lane && (!STARTS || key >= start);
          s[r] = seen ? expf(s[r] * SCALE - lses[lane]) : 0.0f;
          g[r] = seen ? s[r] * (g[r] - deltas[lane]) * SCALE : 0.0f;
        }
        for (int j = 0; j < block; ++j) {
          float query[CHUNKS], gradient[CHUNKS];
          columns_of(query, queries, j);
          columns_of(gradient, douts, j);
#pragma unroll
          for (int r = 0; r < ROWS; ++r) {
            const float power = __shfl_sync(0xffffffffu, s[r], j), change = __shfl_sync(0xffffffffu, g[r], j);
#pragma unroll
            for (int c = 0; c < CHUNKS; ++c) {
              dv_sums[r][c] = fmaf(power, gradient[c], dv_sums[r][c]);
              dk_sums[r][c] = fmaf(change, query[c], dk_sums[r][c]);
            }
          }
        }
      }
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    if (row0 + r >= count) continue;
    store_row(dk + (row0 + r) * width, dk_sums[r]);
    store_row(dv + (row0 + r) * width, dv_sums[r]);
  }
}
