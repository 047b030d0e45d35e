// kernel.zero and kernel.copy: a block moves CHUNK elements.

constexpr long long CHUNK = 4096;

// args: y. dims: elements.
template <typename T, typename P> static __device__ __forceinline__ void zero(const P &p) {
  T *y = (T *)p.args[0];
  const long long first = blockIdx.x * CHUNK, elements = p.dims[0];
  for (long long i = first + threadIdx.x; i < first + CHUNK && i < elements; i += blockDim.x) y[i] = T(0.0f);
}

// args: source, y (each from where its first element is). dims: n1, columns, chunks a run of columns, strides from0,
// from1, to0, to1.
template <typename FROM, typename TO, typename P> static __device__ __forceinline__ void copy(const P &p) {
  const long long n1 = p.dims[0], columns = p.dims[1], chunks = p.dims[2];
  const long long run = blockIdx.x / chunks, first = blockIdx.x % chunks * CHUNK, i = run / n1, j = run % n1;
  const FROM *from = (const FROM *)p.args[0] + i * p.dims[3] + j * p.dims[4];
  TO *to = (TO *)p.args[1] + i * p.dims[5] + j * p.dims[6];
  for (long long c = first + threadIdx.x; c < first + CHUNK && c < columns; c += blockDim.x) to[c] = TO((float)from[c]);
}
