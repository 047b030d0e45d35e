// Reductions over a team of threads, in one order: a warp, or a whole block. Every thread of it gets the result.

template <typename T> static __device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
  for (int o = 16; o; o >>= 1) x += __shfl_xor_sync(0xffffffffu, x, o);
  return x;
}

// A NaN stays a NaN.
static __device__ __forceinline__ float larger(float a, float b) { return a > b || a != a ? a : b; }
static __device__ __forceinline__ float smaller(float a, float b) { return a < b || a != a ? a : b; }

static __device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int o = 16; o; o >>= 1) x = larger(x, __shfl_xor_sync(0xffffffffu, x, o));
  return x;
}

// Waits for the team; TEAMS of them in a block, which need not come here equally often.
template <int TEAM, int TEAMS> static __device__ __forceinline__ void team_wait() {
  if (TEAMS == 1) __syncthreads();
  else asm volatile("bar.sync %0, %1;" ::"r"(1 + threadIdx.x / TEAM), "n"(TEAM) : "memory");
}

template <int TEAM, int TEAMS = 1, typename T> static __device__ __forceinline__ T team_sum(T x) {
  x = warp_sum(x);
  if (TEAM == 32) return x;
  __shared__ T all[TEAMS][TEAM / 32];
  T *parts = all[TEAMS == 1 ? 0 : threadIdx.x / TEAM];
  team_wait<TEAM, TEAMS>(); // what was there has been read
  if (threadIdx.x % 32 == 0) parts[threadIdx.x % TEAM / 32] = x;
  team_wait<TEAM, TEAMS>();
  T sum = parts[0];
#pragma unroll
  for (int i = 1; i < TEAM / 32; ++i) sum += parts[i];
  return sum;
}

template <int TEAM, int TEAMS = 1> static __device__ __forceinline__ float team_max(float x) {
  x = warp_max(x);
  if (TEAM == 32) return x;
  __shared__ float all[TEAMS][TEAM / 32];
  float *parts = all[TEAMS == 1 ? 0 : threadIdx.x / TEAM];
  team_wait<TEAM, TEAMS>();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x % TEAM / 32] = x;
  team_wait<TEAM, TEAMS>();
  float most = parts[0];
#pragma unroll
  for (int i = 1; i < TEAM / 32; ++i) most = larger(most, parts[i]);
  return most;
}
