// kernel.rope: the first `heads` heads of a row turned by the table's row of its position, in halves: (a, b) to
// (a cos - b sin, b cos + a sin); the other columns are copied. y may be x's own memory: every thread reads its pair
// before it writes it.

// args: x, table, y[, lengths]. dims: heads, head size, columns, length, rows of the table, count of lengths.
template <bool INVERSE, bool LENGTHS, typename T, typename P> static __device__ __forceinline__ void rope(const P &p) {
  const long long row = blockIdx.x, heads = p.dims[0], size = p.dims[1], columns = p.dims[2], length = p.dims[3];
  const long long half = size / 2, last = p.dims[4] - 1;
  long long position = row % length;
  if (LENGTHS) position += ((const int *)p.args[3])[row / length % p.dims[5]];
  position = position < 0 ? 0 : position > last ? last : position;
  const T *x = (const T *)p.args[0] + row * columns;
  const float *angles = (const float *)p.args[1] + position * size;
  T *y = (T *)p.args[2] + row * columns;
  for (long long i = threadIdx.x; i < heads * half; i += blockDim.x) {
    const long long d = i % half, at = i / half * size + d;
    const float cosine = angles[d], sine = INVERSE ? -angles[half + d] : angles[half + d];
    const float a = x[at], b = x[at + half];
    y[at] = a * cosine - b * sine;
    y[at + half] = b * cosine + a * sine;
  }
  if (x == y) return;
  for (long long i = heads * size + threadIdx.x; i < columns; i += blockDim.x) y[i] = x[i];
}
