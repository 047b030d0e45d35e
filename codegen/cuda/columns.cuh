// Sums over rows, by columns: the blocks that share the rows of a group each have a part of the sums, of `width`
// floats in the kernel's own memory. The last of FAN neighbours to end adds theirs up, and the last of those what they
// have: in the order of the parts, whichever block it is. So launches of one kernel may not overlap.

constexpr int FAN = 16;

// Whether this block is the last of `count` that come here; it sees what the others have written.
static __device__ __forceinline__ bool is_last(unsigned *done, unsigned count) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(done, 1) + 1 == count;
    if (last) *done = 0; // for the next launch
  }
  __syncthreads();
  const bool result = last;
  if (result) __threadfence();
  return result;
}

static __device__ __forceinline__ float sum_of_parts(const float *first, long long stride, int count) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < FAN; ++i)
    if (i < count) sum += __ldcg(first + i * stride);
  return sum;
}

// Of part number `part` of a group of at most FAN * FAN, whose parts begin at `partial`; done: FAN + 1 counters of the
// group. store(i, sum): takes sum number i.
template <typename S>
static __device__ __forceinline__ void add_parts(float *partial, unsigned *done, int width, int part, int parts,
                                                 S store) {
  const int first = part / FAN * FAN, count = parts - first < FAN ? parts - first : FAN, sets = (parts + FAN - 1) / FAN;
  float *mine = partial + (long long)first * width;
  if (!is_last(done + 1 + part / FAN, count)) return;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    const float sum = sum_of_parts(mine + i, width, count);
    if (sets == 1) store(i, sum);
    else mine[i] = sum; // this thread alone has read there
  }
  if (sets == 1 || !is_last(done, sets)) return;
  for (int i = threadIdx.x; i < width; i += blockDim.x)
    store(i, sum_of_parts(partial + i, (long long)FAN * width, sets));
}
