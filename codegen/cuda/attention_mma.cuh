// Causal attention in bf16 on tensor cores (mma.sync m16n8k16), for every architecture from sm_80 on; heads of a
// multiple of 8 columns. A block has a head's ROWS = 64 · MT queries (or, for dK and dV, keys), a warp 16 · MT of them;
// it walks tiles of TILE rows of the other side in shared memory. Powers are of 2; tiles that nobody sees are skipped.
// The text before fixes HEAD, MT, TILE, PARTS (1 but for dK and dV: each block makes one of PARTS column ranges), SCALE
// and STARTS (packed sequences).

typedef unsigned short bits; // of a bf16

constexpr int THREADS = 128, ROWS = 64 * MT, WIDE = (HEAD + 16 * PARTS - 1) / (16 * PARTS) * (16 * PARTS);
constexpr int PITCH =
    WIDE + 8; // of rows in shared memory: an odd number of 16-byte pieces, so that 8 rows share no bank
constexpr float LOG2E = 1.4426950408889634f, LN2 = 0.6931471805599453f, POWER = SCALE * LOG2E;

extern __shared__ __align__(16) bits shared[];

// ---- the instructions

static __device__ __forceinline__ unsigned shared_address(const void *p) {
  return (unsigned)__cvta_generic_to_shared(p);
}

static __device__ __forceinline__ void copy_16(unsigned to, const bits *from, bool there) { // else zeros
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}
static __device__ __forceinline__ void copies_end() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LEFT> static __device__ __forceinline__ void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

template <bool TURNED> static __device__ __forceinline__ void load_matrices(unsigned (&r)[4], unsigned address) {
  if (TURNED)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

static __device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ float power_of_2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

static __device__ __forceinline__ unsigned pack(float low, float high) {
  unsigned r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}

// Over the 4 lanes that share a row of an accumulator.
static __device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}
static __device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

// ---- tiles. Of the accumulator of 16 rows a lane has rows lane / 4 (elements 0, 1) and 8 more (2, 3), columns
// 8 n + lane % 4 * 2 and the next.

template <int N> struct sums { float at[MT][N / 8][4]; };        // a warp's rows by N columns
template <int N> struct factors { unsigned at[MT][N / 16][4]; }; // the same in bf16, as the left side of a product

template <int N> static __device__ __forceinline__ void clear(sums<N> &s) {
#pragma unroll
  for (int m = 0; m < MT; ++m)
#pragma unroll
    for (int n = 0; n < N / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) s.at[m][n][i] = 0.0f;
}

template <int N> static __device__ __forceinline__ void narrow(factors<N> &to, const sums<N> &from) {
#pragma unroll
  for (int m = 0; m < MT; ++m)
#pragma unroll
    for (int k = 0; k < N / 16; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        to.at[m][k][i] = pack(from.at[m][2 * k + i / 2][i % 2 * 2], from.at[m][2 * k + i / 2][i % 2 * 2 + 1]);
}

// `count` rows of HEAD columns; zeros behind them and beside them.
template <int N> static __device__ __forceinline__ void load_tile(bits *to, const bits *from, int stride, int count) {
  constexpr int PIECES = WIDE / 8;
#pragma unroll
  for (int i = threadIdx.x; i < N * PIECES; i += THREADS) {
    const int r = i / PIECES, c = i % PIECES;
    const bool there = r < count && c < HEAD / 8;
    copy_16(shared_address(to + r * PITCH + c * 8), there ? from + r * stride + c * 8 : from, there);
  }
}

// s = x yᵀ: x the warp's rows, y a tile.
template <int N> static __device__ __forceinline__ void product_turned(sums<N> &s, const bits *x, const bits *y) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const unsigned left = shared_address(x + (warp * 16 * MT + lane % 16) * PITCH + lane / 16 * 8);
  const unsigned right = shared_address(y + (lane % 8 + lane / 16 * 8) * PITCH + lane / 8 % 2 * 8);
  clear(s);
#pragma unroll
  for (int k = 0; k < WIDE / 16; ++k) {
    unsigned a[MT][4];
#pragma unroll
    for (int m = 0; m < MT; ++m) load_matrices<false>(a[m], left + (m * 16 * PITCH + k * 16) * 2);
#pragma unroll
    for (int n = 0; n < N / 16; ++n) {
      unsigned b[4];
      load_matrices<false>(b, right + (n * 16 * PITCH + k * 16) * 2);
#pragma unroll
      for (int m = 0; m < MT; ++m) {
        multiply(s.at[m][2 * n], a[m], b[0], b[1]);
        multiply(s.at[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

// s += x y: y a tile, COLUMNS of it.
template <int COLUMNS, int N>
static __device__ __forceinline__ void product_add(sums<COLUMNS> &s, const factors<N> &x, const bits *y) {
  const int lane = threadIdx.x % 32;
  const unsigned right = shared_address(y + lane % 16 * PITCH + lane / 16 * 8);
#pragma unroll
  for (int k = 0; k < N / 16; ++k)
#pragma unroll
    for (int n = 0; n < COLUMNS / 16; ++n) {
      unsigned b[4];
      load_matrices<true>(b, right + (k * 16 * PITCH + n * 16) * 2);
#pragma unroll
      for (int m = 0; m < MT; ++m) {
        multiply(s.at[m][2 * n], x.at[m][k], b[0], b[1]);
        multiply(s.at[m][2 * n + 1], x.at[m][k], b[2], b[3]);
      }
    }
}

// The warp's rows times factor to global memory by way of its part of `stage`, ROWS rows that only it still needs.
template <int N>
static __device__ __forceinline__ void store_rows(bits *to, int stride, const sums<N> &from,
                                                  const float (&factor)[MT][2], bits *stage, int count, int columns) {
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32 * 16 * MT;
  __syncwarp();
#pragma unroll
  for (int m = 0; m < MT; ++m)
#pragma unroll
    for (int n = 0; n < N / 8; ++n)
#pragma unroll
      for (int h = 0; h < 2; ++h)
        *(unsigned *)(stage + (first + m * 16 + h * 8 + lane / 4) * PITCH + n * 8 + lane % 4 * 2) =
            pack(from.at[m][n][2 * h] * factor[m][h], from.at[m][n][2 * h + 1] * factor[m][h]);
  __syncwarp();
#pragma unroll 4
  for (int i = lane; i < 16 * MT * (N / 8); i += 32) {
    const int r = first + i / (N / 8), c = i % (N / 8) * 8;
    if (r < count && c < columns) *(int4 *)(to + r * stride + c) = *(const int4 *)(stage + r * PITCH + c);
  }
  __syncwarp();
}

// ---- where a block is

template <typename P> struct shape {
  int length, batch, segments, heads, key_heads, width;
  __device__ __forceinline__ shape(const P &p)
      : length((int)p.dims[0]), batch((int)p.dims[1]), segments((int)p.dims[2]), heads((int)p.dims[3]),
        key_heads((int)p.dims[4]), width((heads + 2 * key_heads) * HEAD) {}
};

// A block of queries: sequences x heads in x, blocks of queries, the last ones, which see most, first in y.
template <typename P> struct queries : shape<P> {
  int head, sequence, segment, position, row, key_row, key_column; // row: the block's first; key_row: of segment 0
  int count, start[MT][2], first_key,
      last_start; // the rows' first keys; the least of the block, the largest of the warp
  __device__ __forceinline__ queries(const P &p, int starts_arg) : shape<P>(p) {
    head = blockIdx.x % this->heads, sequence = blockIdx.x / this->heads;
    segment = sequence / this->batch % this->segments;
    position = (int)(gridDim.y - 1 - blockIdx.y) * ROWS, row = sequence * this->length + position;
    key_row = (sequence - segment * this->batch) * this->length;
    key_column = (this->heads + head / (this->heads / this->key_heads)) * HEAD;
    count = min(this->length - position, ROWS);
    first_key = last_start = 0;
    if (!STARTS) return;
    const int *starts = (const int *)p.args[starts_arg] + sequence % this->batch * this->length + position;
    int least = 0x7fffffff;
    for (int i = threadIdx.x % 32; i < count; i += 32) least = min(least, starts[i]);
    const int first = threadIdx.x / 32 * 16 * MT + threadIdx.x % 32 / 4;
#pragma unroll
    for (int m = 0; m < MT; ++m)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        start[m][h] = starts[min(first + m * 16 + h * 8, count - 1)];
        last_start = max(last_start, start[m][h]);
      }
#pragma unroll
    for (int o = 16; o; o >>= 1) {
      least = min(least, __shfl_xor_sync(0xffffffffu, least, o));
      last_start = max(last_start, __shfl_xor_sync(0xffffffffu, last_start, o));
    }
    first_key = max(least, 0) / TILE * TILE;
  }
  __device__ __forceinline__ int row_of(int m, int h) const {
    return threadIdx.x / 32 * 16 * MT + m * 16 + h * 8 + threadIdx.x % 32 / 4;
  }
  // The warp sees nothing of the keys from `key` on.
  __device__ __forceinline__ bool beyond(int key) const {
    return key > position + threadIdx.x / 32 * 16 * MT + 16 * MT - 1;
  }
  // Scores of keys that are not seen become `none`.
  __device__ __forceinline__ void mask(sums<TILE> &s, int key, float none) const {
    if (key + TILE - 1 <= position + threadIdx.x / 32 * 16 * MT && (!STARTS || key >= last_start)) return;
    const int column = threadIdx.x % 4 * 2;
#pragma unroll
    for (int m = 0; m < MT; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int last = position - key + row_of(m, i / 2) - column - i % 2;
        const int least = STARTS ? start[m][i / 2] - key - column - i % 2 : 0;
#pragma unroll
        for (int n = 0; n < TILE / 8; ++n)
          if (8 * n > last || (STARTS && 8 * n < least)) s.at[m][n][i] = none;
      }
  }
};

// Tile after tile of keys, segment after segment.
struct key_tile {
  int key, segment;
  template <typename Q> __device__ __forceinline__ void next(const Q &q) {
    key += TILE;
    if (key >= q.position + q.count) key = q.first_key, ++segment;
  }
  template <typename Q> __device__ __forceinline__ bool there(const Q &q) const { return segment <= q.segment; }
  template <typename Q> __device__ __forceinline__ const bits *in(const bits *from, const Q &q) const {
    return from + (long long)(segment * q.batch * q.length + key) * q.width;
  }
};

// ---- forward. args: qkv, out, lse[, starts]. dims: length, batch, segments, heads, key heads.

struct softmax {
  float most[MT][2], sum[MT][2]; // most: the largest score so far, in powers of 2; sum: of this lane's columns alone
};

// s: scores -> powers; out: scaled down where the largest grew.
template <int N> static __device__ __forceinline__ void soften(softmax &x, sums<TILE> &s, sums<N> &out) {
  float factor[MT][2];
  bool grew = false;
#pragma unroll
  for (int m = 0; m < MT; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float most = -1e30f, sum = 0.0f;
#pragma unroll
      for (int n = 0; n < TILE / 8; ++n) most = fmaxf(most, fmaxf(s.at[m][n][2 * h], s.at[m][n][2 * h + 1]));
      most = fmaxf(x.most[m][h], quad_max(most) * POWER);
      factor[m][h] = power_of_2(x.most[m][h] - most);
      grew = grew || most != x.most[m][h];
      x.most[m][h] = most;
#pragma unroll
      for (int n = 0; n < TILE / 8; ++n)
#pragma unroll
        for (int i = 2 * h; i < 2 * h + 2; ++i) {
          s.at[m][n][i] = power_of_2(fmaf(s.at[m][n][i], POWER, -most));
          sum += s.at[m][n][i];
        }
      x.sum[m][h] = x.sum[m][h] * factor[m][h] + sum;
    }
  if (!__any_sync(0xffffffffu, grew)) return;
#pragma unroll
  for (int m = 0; m < MT; ++m)
#pragma unroll
    for (int n = 0; n < N / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) out.at[m][n][i] *= factor[m][i / 2];
}

// K's next tile arrives under this one's softmax and second product, V's under the first product.
template <typename P> static __device__ __forceinline__ void attention(const P &p) {
  const queries<P> b(p, 3);
  bits *const query = shared, *const keys = query + ROWS * PITCH, *const values = keys + TILE * PITCH;
  const bits *qkv = (const bits *)p.args[0], *k = qkv + (long long)b.key_row * b.width + b.key_column,
             *v = k + b.key_heads * HEAD;
  sums<WIDE> out;
  softmax soft;
  clear(out);
#pragma unroll
  for (int m = 0; m < MT; ++m) soft.most[m][0] = soft.most[m][1] = -1e20f, soft.sum[m][0] = soft.sum[m][1] = 0.0f;
  load_tile<ROWS>(query, qkv + (long long)b.row * b.width + b.head * HEAD, b.width, b.count);
  key_tile at = {b.first_key, 0};
  load_tile<TILE>(keys, at.in(k, b), b.width, b.length - at.key);
  copies_end();
#pragma unroll 1
  while (at.there(b)) {
    const key_tile now = at;
    copies_wait<0>();
    __syncthreads();
    load_tile<TILE>(values, now.in(v, b), b.width, b.length - now.key);
    copies_end();
    const bool seen = !b.beyond(now.key);
    sums<TILE> s;
    if (seen) product_turned(s, query, keys);
    copies_wait<0>();
    __syncthreads();
    at.next(b);
    if (at.there(b)) load_tile<TILE>(keys, at.in(k, b), b.width, b.length - at.key);
    copies_end();
    if (!seen) continue;
    b.mask(s, now.key, -1e30f);
    soften(soft, s, out);
    factors<TILE> powers;
    narrow(powers, s);
    product_add(out, powers, values);
  }
  float factor[MT][2], *lse = (float *)p.args[2] + (long long)b.row * b.heads + b.head;
#pragma unroll
  for (int m = 0; m < MT; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float sum = quad_sum(soft.sum[m][h]);
      factor[m][h] = 1.0f / sum;
      if (threadIdx.x % 4 == 0 && b.row_of(m, h) < b.count)
        lse[b.row_of(m, h) * b.heads] = (soft.most[m][h] + log2f(sum)) * LN2;
    }
  store_rows((bits *)p.args[1] + ((long long)b.row * b.heads + b.head) * HEAD, b.heads * HEAD, out, factor, query,
             b.count, HEAD);
}
