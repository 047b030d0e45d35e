// The partial sums of a product cut along k, added in the order of k: a block of 256 threads takes 4 columns of every
// thread of the consumers, of tile blockIdx.x and its blockIdx.y-th element.

static __device__ __forceinline__ void sum_parts(const parameters &p) {
  enum { DIM_M, DIM_N, DIM_LDC, DIM_GROUPS, DIM_CLUSTERS, DIM_STAGES };
  constexpr int EACH = BLOCKS * BN / 8; // float4 of a thread
  const int rows = ((int)p.dims[DIM_M] + BM * CLUSTER_M - 1) / (BM * CLUSTER_M);
  const int columns = ((int)p.dims[DIM_N] + BN * CLUSTER_N - 1) / (BN * CLUSTER_N);
  const split_plan s =
      split_of(rows * columns * (int)p.dims[DIM_GROUPS], (int)p.dims[DIM_CLUSTERS], (int)p.dims[DIM_STAGES]);
  const int left = blockIdx.x / CLUSTER, rank = blockIdx.x % CLUSTER, block = blockIdx.y / (BN / 8),
            at = blockIdx.y % (BN / 8);
  const float4 *from = (const float4 *)scratch_of(p) + (long long)rank * EACH * 256 + blockIdx.y * 256 + threadIdx.x;
  const long long slot = (long long)CLUSTER * EACH * 256;
  // Its parts: a share of each whole cluster, then one of each cluster that has some of the tail.
  int parts = s.whole, tail = 0;
  if (s.tail) {
    const int total = s.left * s.tail, first = ((left * s.tail + 1) * s.rest + total - 1) / total - 1;
    parts += ((left + 1) * s.tail * s.rest + total - 1) / total - first;
    tail = s.whole * s.left + first + left - s.whole;
  }
  const tile_place t = place_of(s.first + left, rows, columns);
  const int row = t.row * (BM * CLUSTER_M) + (CLUSTER_M > 1 ? rank * BM : 0) + threadIdx.x / 128 * 64 * BLOCKS +
                  block * 64 + threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4;
  const int column = t.column * (BN * CLUSTER_N) + (CLUSTER_N > 1 ? rank * BN : 0) + 8 * at + 2 * (threadIdx.x % 4);
  const int m = (int)p.dims[DIM_M], n = (int)p.dims[DIM_N];
  float *to = (float *)c_of(p, t.group) + (long long)row * p.dims[DIM_LDC] + column;
  float *places[4] = {to, to + 1, to + 8 * p.dims[DIM_LDC], to + 8 * p.dims[DIM_LDC] + 1};
  float sums[4] = {};
  bool inside[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    inside[i] = row + i / 2 * 8 < m && column + i % 2 < n;
    sums[i] = ACCUMULATE && inside[i] ? *places[i] : 0.0f; // on its way while the parts are
  }
  float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll 4
  for (int i = 0; i < parts; ++i) {
    const float4 x = from[(i < s.whole ? left * s.whole + i : tail + i) * slot];
    sum.x += x.x, sum.y += x.y, sum.z += x.z, sum.w += x.w;
  }
  const float added[4] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (inside[i]) *places[i] = sums[i] + added[i];
}
