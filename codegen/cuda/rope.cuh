// kernel.rope: the first `heads` heads of a row turned by the table's row of its position, in halves: (a, b) to
// (a cos - b sin, b cos + a sin); the other columns are copied. y may be x's own memory: every thread reads its pair
// before it writes it.

// args: x, table, y[, lengths]. dims: heads, head size, columns, length, rows of the table, count of lengths, rows, items
// a row. An item is MANY elements of both halves of a head, or, where y is not x, of the columns that are copied; a block
// has as many rows as it has threads for, and the last ones first: what wrote them has just done so.
template <bool INVERSE, bool LENGTHS, int MANY, typename T, typename P>
static __device__ __forceinline__ void rope(const P &p) {
  const int heads = (int)p.dims[0], size = (int)p.dims[1], columns = (int)p.dims[2], half = size / 2;
  const unsigned items = (unsigned)p.dims[7], rows = blockDim.x < items ? 1 : blockDim.x / items;
  const unsigned length = (unsigned)p.dims[3], row = (gridDim.x - 1 - blockIdx.x) * rows + threadIdx.x / items;
  if (threadIdx.x >= rows * items || row >= p.dims[6]) return;
  long long position = row % length;
  if (LENGTHS) position += ((const int *)p.args[3])[row / length % (unsigned)p.dims[5]];
  position = position < 0 ? 0 : position < p.dims[4] ? position : p.dims[4] - 1;
  const T *x = (const T *)p.args[0] + (long long)row * columns;
  const float *angles = (const float *)p.args[1] + position * size;
  T *y = (T *)p.args[2] + (long long)row * columns;
  for (int item = threadIdx.x % items; item < items; item += blockDim.x) {
    const int i = item * MANY, head = i / half, d = i - head * half, at = head * size + d;
    if (head >= heads) {
      const int to = i + heads * half; // behind the heads
      many<T, MANY> same;
      same.load(x + to);
      same.store(y + to);
      continue;
    }
    float a[MANY], b[MANY], cosines[MANY], sines[MANY], left[MANY], right[MANY];
    load_many<MANY>(x + at, a);
    load_many<MANY>(x + at + half, b);
    load_many<MANY>(angles + d, cosines);
    load_many<MANY>(angles + half + d, sines);
#pragma unroll
    for (int q = 0; q < MANY; ++q) {
      const float sine = INVERSE ? -sines[q] : sines[q];
      left[q] = a[q] * cosines[q] - b[q] * sine;
      right[q] = b[q] * cosines[q] + a[q] * sine;
    }
    store_many<MANY>(y + at, left);
    store_many<MANY>(y + at + half, right);
  }
}
