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

// A block of 256 threads a token: that of a token's first place adds up all its rows of dy, in their order, so that no
// two blocks touch the same element. args: ids, dy, dtable. dims: columns, tokens, length, prefix, rows of the table.
template <typename T, typename P> static __device__ __forceinline__ void embed_grad(const P &p) {
  __shared__ int matches[256], counts[8];
  const int *ids = (const int *)p.args[0];
  const long long columns = p.dims[0], tokens = p.dims[1], length = p.dims[2], prefix = p.dims[3], rows = p.dims[4];
  const long long own = blockIdx.x, id = index_of(ids[own], rows);
  int before = 0;
  for (long long j = threadIdx.x; j < own && !before; j += 256) before = index_of(ids[j], rows) == id;
  if (__syncthreads_or(before)) return;
  float *to = (float *)p.args[2] + id * columns;
  for (long long first = own; first < tokens; first += 256) {
    const long long j = first + threadIdx.x;
    const bool match = j < tokens && index_of(ids[j], rows) == id;
    const unsigned votes = __ballot_sync(0xffffffffu, match);
    if (threadIdx.x % 32 == 0) counts[threadIdx.x / 32] = __popc(votes);
    __syncthreads();
    int at = __popc(votes & ((1u << threadIdx.x % 32) - 1)), count = 0;
    for (int w = 0; w < 8; ++w) {
      if (w < threadIdx.x / 32) at += counts[w];
      count += counts[w];
    }
    if (match) matches[at] = threadIdx.x;
    __syncthreads();
    for (long long d = threadIdx.x; d < columns && count; d += 256) {
      float sum = to[d];
      for (int i = 0; i < count; ++i) {
        const long long token = first + matches[i];
        const long long row = token / length * (prefix + length) + prefix + token % length;
        sum += lmn_load((const T *)p.args[1], row * columns + d);
      }
      to[d] = sum;
    }
    __syncthreads(); // matches have been read
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
