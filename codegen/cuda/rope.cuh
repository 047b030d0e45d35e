// kernel.rope: the first `heads` heads of a row turned by the table's row of its position, in halves: (a, b) to
// (a cos - b sin, b cos + a sin); the other columns are copied. y may be x's own memory: every thread reads its pair
// before it writes it.

// args: x, table, y[, lengths]. dims: heads, head size, columns, length, rows of the table, count of lengths.
// MANY: elements that a thread takes at once of each half.
template <bool INVERSE, bool LENGTHS, int MANY, typename T, typename P>
static __device__ __forceinline__ void rope(const P &p) {
  const long long row = blockIdx.x, length = p.dims[3], last = p.dims[4] - 1;
  const int heads = p.dims[0], size = p.dims[1], columns = p.dims[2], half = size / 2;
  long long position = row % length;
  if (LENGTHS) position += ((const int *)p.args[3])[row / length % p.dims[5]];
  position = position < 0 ? 0 : position > last ? last : position;
  const T *x = (const T *)p.args[0] + row * columns;
  const float *angles = (const float *)p.args[1] + position * size;
  T *y = (T *)p.args[2] + row * columns;
  for (int i = threadIdx.x * MANY; i < heads * half; i += blockDim.x * MANY) {
    const int d = i % half, at = i / half * size + d;
    float a[MANY], b[MANY], left[MANY], right[MANY];
    load_many<MANY>(x + at, a);
    load_many<MANY>(x + at + half, b);
#pragma unroll
    for (int q = 0; q < MANY; ++q) {
      const float cosine = angles[d + q], sine = INVERSE ? -angles[half + d + q] : angles[half + d + q];
      left[q] = a[q] * cosine - b[q] * sine;
      right[q] = b[q] * cosine + a[q] * sine;
    }
    store_many<MANY>(y + at, left);
    store_many<MANY>(y + at + half, right);
  }
  if (x == y) return;
  for (int i = heads * size + threadIdx.x * MANY; i < columns; i += blockDim.x * MANY) {
    float same[MANY];
    load_many<MANY>(x + i, same);
    store_many<MANY>(y + i, same);
  }
}
