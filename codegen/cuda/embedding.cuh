// kernel.embed, embed_grad, prefix_grad, select, select_grad: rows gathered by index, and their gradients. Indices
// outside the table are taken as the nearest inside: the runtime refuses them, and nothing here may leave its memory.

static __device__ __forceinline__ long long index_of(int index, long long rows) {
  return index < 0 ? 0 : index < rows ? index : rows - 1;
}

// A block a row of hidden. args: hidden, ids, table, positions, position table, prefix (absent ones: hidden). dims:
// columns, prefix + length, prefix, length, rows of the table, rows of the position table.
template <bool POSITIONS, typename T, typename TABLE, typename P>
static __device__ __forceinline__ void embed(const P &p) {
  const long long row = blockIdx.x, columns = p.dims[0], all = p.dims[1], prefix = p.dims[2], t = row % all;
  T *to = (T *)p.args[0] + row * columns;
  if (t < prefix) {
    const TABLE *from = (const TABLE *)p.args[5] + t * columns;
    for (long long d = threadIdx.x; d < columns; d += blockDim.x) to[d] = T((float)from[d]);
    return;
  }
  const long long token = row / all * p.dims[3] + t - prefix;
  const TABLE *from = (const TABLE *)p.args[2] + index_of(((const int *)p.args[1])[token], p.dims[4]) * columns;
  const TABLE *more = nullptr;
  if (POSITIONS)
    more = (const TABLE *)p.args[4] + index_of(((const int *)p.args[3])[token], p.dims[5]) * columns;
  for (long long d = threadIdx.x; d < columns; d += blockDim.x) to[d] = T(POSITIONS ? lmn_load(from, d) + lmn_load(more, d) : lmn_load(from, d));
}

// A block of EMBED_THREADS has the rows of the table whose number is its own modulo the blocks (a power of two), so that
// no two blocks touch the same element. It looks for their tokens a window at a time; of each of those rows it then adds
// up the rows of dy, in the order of the tokens. args: ids, dy, dtable. dims: columns, tokens, length, prefix, rows of
// the table.
constexpr int EMBED_THREADS = 256, EMBED_EACH = 16, EMBED_WARPS = EMBED_THREADS / 32,
              EMBED_WINDOW = EMBED_THREADS * EMBED_EACH;

// Of the tokens of the window from `first` on that are the block's, in order: their rows of dy and of the table; returns
// how many.
template <typename P>
static __device__ __forceinline__ int embed_find(const P &p, int first, int *found, int *of_row) {
  __shared__ int counts[EMBED_WARPS];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int *ids = (const int *)p.args[0];
  const int tokens = (int)p.dims[1], length = (int)p.dims[2], prefix = (int)p.dims[3];
  unsigned votes[EMBED_EACH];
  int row[EMBED_EACH], own = 0, at = 0, count = 0;
#pragma unroll
  for (int i = 0; i < EMBED_EACH; ++i) {
    const int token = first + (warp * EMBED_EACH + i) * 32 + lane;
    row[i] = token < tokens ? (int)index_of(ids[token], p.dims[4]) : -1;
  }
#pragma unroll
  for (int i = 0; i < EMBED_EACH; ++i) {
    votes[i] = __ballot_sync(0xffffffffu, row[i] >= 0 && (row[i] & (gridDim.x - 1)) == blockIdx.x);
    own += __popc(votes[i]);
  }
  __syncthreads(); // what was found before has been read
  if (lane == 0) counts[warp] = own;
  __syncthreads();
  for (int w = 0; w < EMBED_WARPS; ++w) {
    if (w < warp) at += counts[w];
    count += counts[w];
  }
  if (!count) return 0;
#pragma unroll
  for (int i = 0; i < EMBED_EACH; ++i) {
    const int to = at + __popc(votes[i] & ((1u << lane) - 1)), token = first + (warp * EMBED_EACH + i) * 32 + lane;
    if (votes[i] >> lane & 1) found[to] = token + (token / length + 1) * prefix, of_row[to] = row[i];
    at += __popc(votes[i]);
  }
  __syncthreads();
  return count;
}

// sum += those of 32 rows of dy whose votes are set, in order.
template <int MANY, typename T>
static __device__ __forceinline__ void embed_add(const T *dy, long long columns, const int *found, unsigned votes,
                                                 bool in, float *sum) {
  constexpr int AT_ONCE = 16;
  while (votes) {
    many<T, MANY> x[AT_ONCE];
    const int count = __popc(votes);
#pragma unroll
    for (int i = 0; i < AT_ONCE; ++i) {
      if (i >= count) break;
      if (in) x[i].load(dy + found[__ffs(votes) - 1] * columns);
      votes &= votes - 1;
    }
#pragma unroll
    for (int i = 0; i < AT_ONCE; ++i) {
      if (i >= count) break;
      float a[MANY];
      x[i].open(a);
#pragma unroll
      for (int q = 0; q < MANY; ++q) sum[q] += a[q];
    }
  }
}

template <int MANY, typename T, typename P> static __device__ __forceinline__ void embed_grad(const P &p) {
  __shared__ int found[EMBED_WINDOW], of_row[EMBED_WINDOW];
  const long long columns = p.dims[0];
  const int tokens = (int)p.dims[1], lane = threadIdx.x % 32;
  for (int first = 0; first < tokens; first += EMBED_WINDOW) {
    const int count = embed_find(p, first, found, of_row);
    for (int i = 0; i < count; ++i) {
      const int row = of_row[i];
      bool before = false; // then the row's sum has been made
      for (int j = 0; j < i && !before; j += 32) before = __any_sync(0xffffffffu, j + lane < i && of_row[j + lane] == row);
      for (long long left = 0; !before && left < columns; left += EMBED_THREADS * MANY) {
        const long long d = left + threadIdx.x * MANY;
        const bool in = d < columns;
        float *to = (float *)p.args[2] + row * columns + d, sum[MANY];
        if (in) load_many<MANY>(to, sum);
        for (int j = i & ~31; j < count; j += 32) {
          const unsigned votes = __ballot_sync(0xffffffffu, j + lane < count && of_row[j + lane] == row);
          embed_add<MANY>((const T *)p.args[1] + d, columns, found + j, votes, in, sum);
        }
        if (in) store_many<MANY>(to, sum);
      }
    }
  }
}

// A block a row of the prefix: the sum over the batch, in order. args: dy, dprefix. dims: columns, batch, prefix +
// length.
template <typename T, typename P> static __device__ __forceinline__ void prefix_grad(const P &p) {
  const long long row = blockIdx.x, columns = p.dims[0], batch = p.dims[1], stride = p.dims[2] * columns;
  const T *dy = (const T *)p.args[0] + row * columns;
  for (long long d = threadIdx.x; d < columns; d += blockDim.x) {
    float sum = 0.0f;
    for (long long b = 0; b < batch; ++b) sum += lmn_load(dy, b * stride + d);
    ((float *)p.args[1])[row * columns + d] = sum;
  }
}

// A block a row of y. args: x, index, y. dims: columns, length, minus one.
template <typename T, typename R, typename P> static __device__ __forceinline__ void select(const P &p) {
  const long long b = blockIdx.x, columns = p.dims[0], length = p.dims[1];
  const long long t = index_of(((const int *)p.args[1])[b] - (int)p.dims[2], length);
  const T *x = (const T *)p.args[0] + (b * length + t) * columns;
  R *y = (R *)p.args[2] + b * columns;
  for (long long d = threadIdx.x; d < columns; d += blockDim.x) y[d] = R((float)x[d]);
}

// A block a row of dx, which is zero but for the selected ones. args: dy, index, dx. dims: columns, length.
template <typename T, typename R, typename P> static __device__ __forceinline__ void select_grad(const P &p) {
  const long long row = blockIdx.x, columns = p.dims[0], length = p.dims[1], b = row / length;
  const bool selected = row % length == index_of(((const int *)p.args[1])[b], length);
  const T *dy = (const T *)p.args[0] + b * columns;
  R *dx = (R *)p.args[2] + row * columns;
  for (long long d = threadIdx.x; d < columns; d += blockDim.x) dx[d] = R(selected ? lmn_load(dy, d) : 0.0f);
}
