// C_g[m, n] = op(A_g)[m, k] op(B_g)[k, n] of bf16 on tensor cores (mma.sync.m16n8k16), summed in float32: a block makes
// a tile BM x BN of C, each warp WM x WN of it in registers, from slices of A and B of BK steps in shared memory, STAGES
// of them on their way at once (cp.async). A group is the sum of its pieces, one after the other. What lies beyond the
// edges is 0. The text before fixes BM, BN, WM, WN, STAGES, TRANS_A, TRANS_B, and ALIGN_A, ALIGN_B, of how many elements
// the rows in memory are whole multiples; that behind does the epilogue.

constexpr int BK = 32, WARPS_N = BN / WN, THREADS = BM / WM * WARPS_N * 32, MI = WM / 16, NI = WN / 8;
constexpr int STAGED = WN + 8; // floats between rows of sums in shared memory: no two of a half warp in one bank

// ---- slices in shared memory

// A slice lies as it does in memory: rows of steps (K_CONTIGUOUS), or steps of rows. Chunks of 8 elements are swapped so
// that the 8 that ldmatrix reads together lie in different banks. The byte of one:
template <bool K_CONTIGUOUS, int ROWS> struct slice {
  static constexpr int CHUNKS = (K_CONTIGUOUS ? BK : ROWS) / 8, BYTES = ROWS * BK * 2;
  static __device__ __forceinline__ unsigned place(int row, int chunk) {
    return (row * CHUNKS + (CHUNKS >= 8 ? chunk ^ (row & 7) : chunk ^ (row >> 1 & 3))) * 16;
  }
};

template <int BYTES> static __device__ __forceinline__ void copy_async(unsigned to, const void *from, int bytes) {
  if (BYTES == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(BYTES), "r"(bytes)
                 : "memory");
}

// A chunk of which `count` elements are there; the others are 0.
template <int ALIGN> static __device__ __forceinline__ void copy_chunk(unsigned to, const bf16 *from, int count) {
#pragma unroll
  for (int e = 0; e < 8; e += ALIGN) {
    const int there = count - e < 0 ? 0 : count - e < ALIGN ? count - e : ALIGN;
    const bf16 *at = there ? from + e : from;
    if constexpr (ALIGN > 1) copy_async<ALIGN * 2>(to + e * 2, at, there * 2);
    else
      asm volatile("st.shared.u16 [%0], %1;" ::"r"(to + e * 2), "h"(there ? at->bits : (unsigned short)0) : "memory");
  }
}

// Rows `first` … of an operand (columns of B), steps `at` ….
template <bool K_CONTIGUOUS, int ROWS, int ALIGN>
static __device__ __forceinline__ void fetch(unsigned to, const bf16 *x, long long ld, long long first, long long rows,
                                             long long at, long long k) {
  using layout = slice<K_CONTIGUOUS, ROWS>;
#pragma unroll
  for (int i = 0; i < ROWS * BK / 8 / THREADS; ++i) {
    const int c = threadIdx.x + i * THREADS, line = c / layout::CHUNKS, chunk = c % layout::CHUNKS;
    const long long row = first + (K_CONTIGUOUS ? line : chunk * 8), step = at + (K_CONTIGUOUS ? chunk * 8 : line);
    const long long left = row < rows && step < k ? (K_CONTIGUOUS ? k - step : rows - row) : 0;
    const bf16 *from = left ? x + (K_CONTIGUOUS ? row * ld + step : step * ld + row) : x;
    copy_chunk<ALIGN>(to + layout::place(line, chunk), from, left < 8 ? (int)left : 8);
  }
}

// ---- fragments

template <bool TRANSPOSED> static __device__ __forceinline__ void load_matrices(unsigned (&to)[4], unsigned from) {
  if (TRANSPOSED)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
}

// 16 rows of A from `row`, 16 steps from `step`: quarters (rows 0-7, steps 0-7), (8-15, 0-7), (0-7, 8-15), (8-15, 8-15).
static __device__ __forceinline__ void load_a(unsigned (&to)[4], unsigned from, int row, int step) {
  const int lane = threadIdx.x % 32;
  if (TRANS_A)
    load_matrices<true>(to, from + slice<false, BM>::place(step + lane % 8 + lane / 16 * 8, row / 8 + lane / 8 % 2));
  else load_matrices<false>(to, from + slice<true, BM>::place(row + lane % 16, step / 8 + lane / 16));
}

// 16 columns of B: quarters (columns 0-7, steps 0-7), (0-7, 8-15), (8-15, 0-7), (8-15, 8-15).
static __device__ __forceinline__ void load_b(unsigned (&to)[4], unsigned from, int column, int step) {
  const int lane = threadIdx.x % 32;
  if (TRANS_B)
    load_matrices<false>(to, from + slice<true, BN>::place(column + lane % 8 + lane / 16 * 8, step / 8 + lane / 8 % 2));
  else
    load_matrices<true>(to, from + slice<false, BN>::place(step + lane % 8 + lane / 8 % 2 * 8, column / 8 + lane / 16));
}

static __device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ void multiply_slice(float (&sums)[MI][NI][4], unsigned a, unsigned b, int row,
                                                      int column) {
#pragma unroll
  for (int step = 0; step < BK; step += 16) {
    unsigned as[MI][4], bs[NI / 2][4];
#pragma unroll
    for (int i = 0; i < MI; ++i) load_a(as[i], a, row + i * 16, step);
#pragma unroll
    for (int j = 0; j < NI / 2; ++j) load_b(bs[j], b, column + j * 16, step);
#pragma unroll
    for (int i = 0; i < MI; ++i)
#pragma unroll
      for (int j = 0; j < NI; ++j) multiply(sums[i][j], as[i], bs[j / 2][j % 2 * 2], bs[j / 2][j % 2 * 2 + 1]);
  }
}

// ---- the product

// Which tile this block makes: 8 tiles down, then the next column of 8, so that blocks that run together read the same.
static __device__ __forceinline__ void find_tile(long long &m0, long long &n0) {
  constexpr int DOWN = 8;
  const int id = blockIdx.y * gridDim.x + blockIdx.x, first = id / (DOWN * gridDim.y) * DOWN;
  const int height = gridDim.x - first < DOWN ? gridDim.x - first : DOWN, within = id - first * gridDim.y;
  m0 = (long long)(first + within % height) * BM, n0 = (long long)(within / height) * BN;
}

// Through shared memory, so that the lanes of a warp finish elements that lie side by side.
template <typename FINISH>
static __device__ __forceinline__ void finish_sums(float *staged, const float (&sums)[MI][NI][4], long long row0,
                                                   long long column0, long long m, long long n, FINISH finish) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < MI; ++i) {
    __syncwarp();
#pragma unroll
    for (int j = 0; j < NI; ++j) {
      float *to = staged + lane / 4 * STAGED + j * 8 + lane % 4 * 2;
      to[0] = sums[i][j][0], to[1] = sums[i][j][1];
      to[8 * STAGED] = sums[i][j][2], to[8 * STAGED + 1] = sums[i][j][3];
    }
    __syncwarp();
#pragma unroll 4
    for (int r = 0; r < 16; ++r)
#pragma unroll
      for (int c = lane; c < WN; c += 32)
        if (row0 + i * 16 + r < m && column0 + c < n)
          finish(row0 + i * 16 + r, column0 + c, staged[r * STAGED + c]);
  }
}

// dims: m, n, k, lda, ldb, ldc. a, b: the pieces of the group.
template <typename FINISH>
static __device__ __forceinline__ void product(const long long *dims, void *const *a, void *const *b, int pieces,
                                               FINISH finish) {
  extern __shared__ __align__(128) unsigned char memory[];
  using slice_a = slice<!TRANS_A, BM>;
  constexpr int STAGE = slice_a::BYTES + slice<TRANS_B, BN>::BYTES;
  const unsigned base = (unsigned)__cvta_generic_to_shared(memory);
  const long long m = dims[0], n = dims[1], k = dims[2], lda = dims[3], ldb = dims[4];
  const int total = (int)((k + BK - 1) / BK) * pieces, warp = threadIdx.x / 32;
  const int row = warp / WARPS_N * WM, column = warp % WARPS_N * WN;
  long long m0, n0, at = 0;
  find_tile(m0, n0);
  int piece = 0, stage_in = 0, stage_out = 0;
  const auto fetch_next = [&](bool some) {
    if (some) {
      const unsigned to = base + stage_in * STAGE;
      fetch<!TRANS_A, BM, ALIGN_A>(to, (const bf16 *)a[piece], lda, m0, m, at, k);
      fetch<TRANS_B, BN, ALIGN_B>(to + slice_a::BYTES, (const bf16 *)b[piece], ldb, n0, n, at, k);
      at += BK;
      if (at >= k) at = 0, ++piece;
      stage_in = stage_in + 1 == STAGES ? 0 : stage_in + 1;
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  float sums[MI][NI][4] = {};
#pragma unroll
  for (int s = 0; s < STAGES - 1; ++s) fetch_next(s < total);
  for (int t = 0; t < total; ++t) {
    asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
    __syncthreads(); // this slice is there, and the one before has been read
    fetch_next(t + STAGES - 1 < total);
    const unsigned from = base + stage_out * STAGE;
    multiply_slice(sums, from, from + slice_a::BYTES, row, column);
    stage_out = stage_out + 1 == STAGES ? 0 : stage_out + 1;
  }
  asm volatile("cp.async.wait_group 0;" ::: "memory");
  __syncthreads();
  finish_sums((float *)memory + warp * 16 * STAGED, sums, m0 + row, n0 + column, m, n, finish);
}
