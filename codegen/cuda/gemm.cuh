// C_g[m, n] = op(A_g)[m, k] op(B_g)[k, n] in float32 (no TF32): a block of 256 threads makes a tile BM x BN of C, each
// thread TM x TN of it in registers, from slices of A and B of BK steps in shared memory; the next slice is on its way
// while one is multiplied. A group is the sum of its pieces, one after the other. Every element is summed in the order
// of k. The text before fixes BM, BN, TRANS_A, TRANS_B, A_TYPE, B_TYPE; that behind does the epilogue.

constexpr int BK = 16, TM = BM / 16, TN = BN / 16;

// Element i of thread t of 16 along one side of a tile: fours, 64 apart.
template <int COUNT> static __device__ __forceinline__ int element_of(int t, int i) {
  constexpr int WIDE = COUNT < 4 ? COUNT : 4;
  return i / WIDE * (16 * WIDE) + t * WIDE + i % WIDE;
}

// Of a slice: rows `first` … of an operand (columns of B), steps `at` …; beyond its end 0.
template <bool K_CONTIGUOUS, int ROWS, typename T>
static __device__ __forceinline__ void fetch(float (&to)[ROWS * BK / 256], const T *x, long long ld, long long first,
                                             long long rows, long long at, long long k) {
#pragma unroll
  for (int i = 0; i < ROWS * BK / 256; ++i) {
    const int e = threadIdx.x + i * 256, r = K_CONTIGUOUS ? e / BK : e % ROWS, s = K_CONTIGUOUS ? e % BK : e / ROWS;
    const long long row = first + r, step = at + s;
    to[i] = row < rows && step < k ? lmn_load(x, K_CONTIGUOUS ? row * ld + step : step * ld + row) : 0.0f;
  }
}

template <bool K_CONTIGUOUS, int ROWS>
static __device__ __forceinline__ void keep(float (&to)[BK][ROWS + 4], const float (&from)[ROWS * BK / 256]) {
#pragma unroll
  for (int i = 0; i < ROWS * BK / 256; ++i) {
    const int e = threadIdx.x + i * 256, r = K_CONTIGUOUS ? e / BK : e % ROWS, s = K_CONTIGUOUS ? e % BK : e / ROWS;
    to[s][r] = from[i];
  }
}

// dims: m, n, k, lda, ldb, ldc. a, b: the pieces of the group.
template <typename FINISH>
static __device__ __forceinline__ void product(const long long *dims, void *const *a, void *const *b, int pieces,
                                               FINISH finish) {
  __shared__ __align__(16) float as[BK][BM + 4], bs[BK][BN + 4];
  const long long m = dims[0], n = dims[1], k = dims[2], lda = dims[3], ldb = dims[4];
  const long long m0 = (long long)blockIdx.x * BM, n0 = (long long)blockIdx.y * BN;
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  float sums[TM][TN] = {}, next_a[BM * BK / 256], next_b[BN * BK / 256];
  int piece = 0;
  long long at = 0;
  if (k > 0) {
    fetch<!TRANS_A, BM>(next_a, (const A_TYPE *)a[0], lda, m0, m, 0, k);
    fetch<TRANS_B, BN>(next_b, (const B_TYPE *)b[0], ldb, n0, n, 0, k);
  } else {
    piece = pieces;
  }
  while (piece < pieces) {
    __syncthreads(); // the slice before has been read
    keep<!TRANS_A, BM>(as, next_a);
    keep<TRANS_B, BN>(bs, next_b);
    __syncthreads();
    at += BK;
    if (at >= k) at = 0, ++piece;
    if (piece < pieces) {
      fetch<!TRANS_A, BM>(next_a, (const A_TYPE *)a[piece], lda, m0, m, at, k);
      fetch<TRANS_B, BN>(next_b, (const B_TYPE *)b[piece], ldb, n0, n, at, k);
    }
#pragma unroll
    for (int s = 0; s < BK; ++s) {
      float x[TM], y[TN];
#pragma unroll
      for (int i = 0; i < TM; ++i) x[i] = as[s][element_of<TM>(ty, i)];
#pragma unroll
      for (int j = 0; j < TN; ++j) y[j] = bs[s][element_of<TN>(tx, j)];
#pragma unroll
      for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) sums[i][j] = fmaf(x[i], y[j], sums[i][j]);
    }
  }
#pragma unroll
  for (int i = 0; i < TM; ++i)
#pragma unroll
    for (int j = 0; j < TN; ++j) {
      const long long row = m0 + element_of<TM>(ty, i), column = n0 + element_of<TN>(tx, j);
      if (row < m && column < n) finish(row, column, sums[i][j]);
    }
}
