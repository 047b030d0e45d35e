// The gradient of attention_mma.cuh, which it needs, in two kernels without atomics: dQ by blocks of queries, which
// also leaves lse in powers of 2 and delta = rowsum(dO O) in the workspace, then dK and dV by blocks of keys, over all
// query heads of the key head and all later segments. There the products are turned (keys are the rows), so that their
// results are the left sides of the next ones as they are. Tiles are double-buffered. args: qkv, out, lse, dout, dqkv,
// workspace[, starts]. dims: length, batch, segments, heads, key heads, padded length. workspace: [2, sequences, heads,
// padded length]; 0 behind a sequence.

static __device__ __forceinline__ float low(unsigned x) { return __uint_as_float(x << 16); }
static __device__ __forceinline__ float high(unsigned x) { return __uint_as_float(x & 0xffff0000u); }

// A quad's product of two rows of HEAD.
static __device__ __forceinline__ float row_product(const bits *x, const bits *y) {
  float sum = 0.0f;
#pragma unroll
  for (int c = threadIdx.x % 4 * 8; c < HEAD; c += 32) {
    const uint4 a = *(const uint4 *)(x + c), b = *(const uint4 *)(y + c);
    sum = fmaf(low(a.x), low(b.x), fmaf(high(a.x), high(b.x), sum));
    sum = fmaf(low(a.y), low(b.y), fmaf(high(a.y), high(b.y), sum));
    sum = fmaf(low(a.z), low(b.z), fmaf(high(a.z), high(b.z), sum));
    sum = fmaf(low(a.w), low(b.w), fmaf(high(a.w), high(b.w), sum));
  }
  return quad_sum(sum);
}

static __device__ __forceinline__ void fill(float (&to)[MT][2], float value) {
#pragma unroll
  for (int m = 0; m < MT; ++m) to[m][0] = to[m][1] = value;
}

template <typename P> static __device__ __forceinline__ void attention_grad_queries(const P &p) {
  const queries<P> b(p, 6);
  const int out_width = b.heads * HEAD;
  const long long out_at = (long long)b.row * out_width + b.head * HEAD, padded = p.dims[5];
  const long long at_workspace = (b.sequence * b.heads + b.head) * padded + b.position;
  const bits *qkv = (const bits *)p.args[0], *k = qkv + (long long)b.key_row * b.width + b.key_column,
             *v = k + b.key_heads * HEAD;
  const bits *out = (const bits *)p.args[1] + out_at, *dout = (const bits *)p.args[3] + out_at;
  bits *const query = shared, *const gradient = query + ROWS * PITCH, *const tiles = gradient + ROWS * PITCH;
  constexpr int STAGE = 2 * TILE * PITCH;
  load_tile<ROWS>(query, qkv + (long long)b.row * b.width + b.head * HEAD, b.width, b.count);
  load_tile<ROWS>(gradient, dout, out_width, b.count);
  key_tile at = {b.first_key, 0}, now = at;
  load_tile<TILE>(tiles, at.in(k, b), b.width, b.length - at.key);
  load_tile<TILE>(tiles + TILE * PITCH, at.in(v, b), b.width, b.length - at.key);
  copies_end();
  float lse[MT][2], delta[MT][2], *workspace = (float *)p.args[5];
  const long long half = (long long)gridDim.x * padded; // sequences x heads
#pragma unroll
  for (int m = 0; m < MT; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int r = b.row_of(m, h);
      const bool there = r < b.count;
      const int safe = there ? r : 0;
      delta[m][h] = row_product(out + safe * out_width, dout + safe * out_width);
      lse[m][h] = ((const float *)p.args[2])[(long long)(b.row + safe) * b.heads + b.head] * LOG2E;
      if (!there) delta[m][h] = lse[m][h] = 0.0f;
      if (threadIdx.x % 4 == 0) {
        workspace[at_workspace + r] = lse[m][h];
        workspace[half + at_workspace + r] = delta[m][h];
      }
    }
  sums<WIDE> dq;
  clear(dq);
  int stage = 0;
#pragma unroll 1
  for (; now.there(b); now = at, stage ^= 1) {
    at.next(b);
    if (at.there(b)) {
      bits *const to = tiles + (stage ^ 1) * STAGE;
      load_tile<TILE>(to, at.in(k, b), b.width, b.length - at.key);
      load_tile<TILE>(to + TILE * PITCH, at.in(v, b), b.width, b.length - at.key);
    }
    copies_end();
    copies_wait<1>();
    __syncthreads();
    if (!b.beyond(now.key)) {
      const bits *const keys = tiles + stage * STAGE, *const values = keys + TILE * PITCH;
      sums<TILE> s, g;
      product_turned(s, query, keys);
      product_turned(g, gradient, values);
      b.mask(s, now.key, -1e30f);
#pragma unroll
      for (int m = 0; m < MT; ++m)
#pragma unroll
        for (int n = 0; n < TILE / 8; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i)
            s.at[m][n][i] = power_of_2(fmaf(s.at[m][n][i], POWER, -lse[m][i / 2])) * (g.at[m][n][i] - delta[m][i / 2]);
      factors<TILE> ds;
      narrow(ds, s);
      product_add(dq, ds, keys);
    }
    __syncthreads();
  }
  float factor[MT][2];
  fill(factor, SCALE);
  store_rows((bits *)p.args[4] + (long long)b.row * b.width + b.head * HEAD, b.width, dq, factor, query, b.count, HEAD);
}

// One past the last query from `position` on that sees a key of the block.
static __device__ __forceinline__ int last_query(const int *starts, int position, int length) {
  int *const ends = (int *)shared, end = position;
  for (int i = position + threadIdx.x; i < length; i += THREADS)
    if (starts[i] < position + ROWS) end = max(end, i + 1);
#pragma unroll
  for (int o = 16; o; o >>= 1) end = max(end, __shfl_xor_sync(0xffffffffu, end, o));
  if (threadIdx.x % 32 == 0) ends[threadIdx.x / 32] = end;
  __syncthreads();
#pragma unroll
  for (int w = 0; w < THREADS / 32; ++w) end = max(end, ends[w]);
  __syncthreads();
  return end;
}

// Blocks: sequences x key heads, blocks of keys, the first ones, which most see, first, PARTS.
template <typename P> struct keys_block : shape<P> {
  int key_head, sequence, segment, position, end; // end: behind the last query that sees one of the keys
  const int *starts;
  int count;
  __device__ __forceinline__ keys_block(const P &p) : shape<P>(p) {
    key_head = blockIdx.x % this->key_heads, sequence = blockIdx.x / this->key_heads;
    segment = sequence / this->batch % this->segments, position = blockIdx.y * ROWS;
    count = min(this->length - position, ROWS);
    end = this->length, starts = nullptr;
    if (!STARTS) return;
    starts = (const int *)p.args[6] + sequence % this->batch * this->length;
    end = last_query(starts, position, this->length);
  }
};

// Tile after tile of queries, head after head, segment after segment.
struct query_tile {
  int query, head, segment;
  template <typename B> __device__ __forceinline__ void next(const B &b) {
    query += TILE;
    if (query < b.end) return;
    query = b.position;
    const int group = b.heads / b.key_heads;
    if (++head == (b.key_head + 1) * group) head = b.key_head * group, ++segment;
  }
  template <typename B> __device__ __forceinline__ bool there(const B &b) const { return segment < b.segments; }
  template <typename B> __device__ __forceinline__ int sequence(const B &b) const {
    return b.sequence + (segment - b.segment) * b.batch;
  }
  template <typename P, typename B> __device__ __forceinline__ void load(bits *to, const P &p, const B &b) const {
    const long long row = sequence(b) * b.length + query;
    const int left = b.length - query;
    load_tile<TILE>(to, (const bits *)p.args[0] + row * b.width + head * HEAD, b.width, left);
    load_tile<TILE>(to + TILE * PITCH, (const bits *)p.args[3] + (row * b.heads + head) * HEAD, b.heads * HEAD, left);
  }
};

// Powers of keys that a query does not see become 0.
template <typename B> static __device__ __forceinline__ void mask_powers(sums<TILE> &s, const B &b, int query) {
  const int first = threadIdx.x / 32 * 16 * MT, lane = threadIdx.x % 32;
  if (!STARTS && query >= b.position + first + 16 * MT - 1) return;
#pragma unroll
  for (int n = 0; n < TILE / 8; ++n)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int at = query - b.position + 8 * n + lane % 4 * 2 + i;
      const int start = STARTS ? b.starts[min(b.position + at, b.length - 1)] - b.position : 0;
#pragma unroll
      for (int m = 0; m < MT; ++m)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const int key = first + m * 16 + h * 8 + lane / 4;
          if (key > at || (STARTS && key < start)) s.at[m][n][2 * h + i] = 0.0f;
        }
    }
}

template <typename P> static __device__ __forceinline__ void attention_grad_keys(const P &p) {
  const keys_block<P> b(p);
  constexpr int STAGE = 2 * TILE * PITCH, COLUMNS = WIDE / PARTS;
  bits *const keys = shared, *const values = keys + ROWS * PITCH, *const tiles = values + ROWS * PITCH;
  const long long key_at = (long long)(b.sequence * b.length + b.position) * b.width + (b.heads + b.key_head) * HEAD;
  const long long value_at = key_at + b.key_heads * HEAD, padded = p.dims[5];
  const float *lses = (const float *)p.args[5], *deltas = lses + (int)gridDim.x / b.key_heads * b.heads * padded;
  const int column = threadIdx.x % 4 * 2, from = blockIdx.z * COLUMNS;
  load_tile<ROWS>(keys, (const bits *)p.args[0] + key_at, b.width, b.count);
  load_tile<ROWS>(values, (const bits *)p.args[0] + value_at, b.width, b.count);
  query_tile at = {b.position, b.key_head * (b.heads / b.key_heads), b.segment}, now = at;
  at.load(tiles, p, b);
  copies_end();
  sums<COLUMNS> dk, dv;
  clear(dk);
  clear(dv);
  int stage = 0;
#pragma unroll 1
  for (; now.there(b); now = at, stage ^= 1) {
    at.next(b);
    if (at.there(b)) at.load(tiles + (stage ^ 1) * STAGE, p, b);
    copies_end();
    copies_wait<1>();
    __syncthreads();
    if (now.query + TILE > b.position + threadIdx.x / 32 * 16 * MT) { // else all of it comes before the warp's keys
      const bits *const query = tiles + stage * STAGE, *const gradient = query + TILE * PITCH;
      const long long row = (now.sequence(b) * b.heads + now.head) * padded + now.query + column;
      float2 row_values[TILE / 8]; // lse, then delta
#pragma unroll
      for (int n = 0; n < TILE / 8; ++n) row_values[n] = *(const float2 *)(lses + row + 8 * n);
      sums<TILE> s, g;
      factors<TILE> left;
      product_turned(s, keys, query);
#pragma unroll
      for (int m = 0; m < MT; ++m)
#pragma unroll
        for (int n = 0; n < TILE / 8; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i)
            s.at[m][n][i] = power_of_2(fmaf(s.at[m][n][i], POWER, i % 2 ? -row_values[n].y : -row_values[n].x));
      mask_powers(s, b, now.query);
      narrow(left, s);
      product_add(dv, left, gradient + from);
#pragma unroll
      for (int n = 0; n < TILE / 8; ++n) row_values[n] = *(const float2 *)(deltas + row + 8 * n);
      product_turned(g, values, gradient);
#pragma unroll
      for (int m = 0; m < MT; ++m)
#pragma unroll
        for (int n = 0; n < TILE / 8; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i) s.at[m][n][i] *= g.at[m][n][i] - (i % 2 ? row_values[n].y : row_values[n].x);
      narrow(left, s);
      product_add(dk, left, query + from);
    }
    __syncthreads();
  }
  float factor[MT][2];
  bits *const to = (bits *)p.args[4] + from;
  fill(factor, SCALE);
  store_rows(to + key_at, b.width, dk, factor, keys, b.count, HEAD - from);
  fill(factor, 1.0f);
  store_rows(to + value_at, b.width, dv, factor, values, b.count, HEAD - from);
}
