// The sums of tiles that clusters of gemm_sm90.cuh cut along k: each block has the sums of its share of k, sends those of
// most places to the other blocks, into the memory of their stages, and adds what comes for the places that are its own:
// to its own sums those of the blocks after it, in their order.

// A warp's sums are EIGHTHS of columns, which the blocks own in turns: number i is of the block i + the warp, so that at
// one time as much is sent to each block.
constexpr int EIGHTHS = BLOCKS * BN / 8, EIGHTH_BYTES = 512, OWN = (EIGHTHS + CLUSTER_K - 1) / CLUSTER_K;
static __device__ __forceinline__ u32 consumer_warp() { return threadIdx.x / 32 - 4; }
// Where a lane's sums of a warp come to, from the block `after` their owner.
static __device__ __forceinline__ u32 place_of_sent(u32 sent, u32 after, u32 warp, u32 lane) {
  return sent + ((after - 1) * CONSUMER_WARPS + warp) * (OWN * EIGHTH_BYTES) + lane * 16;
}
static __device__ __forceinline__ u32 address_in(u32 block, u32 address) {
  u32 there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(block));
  return there;
}

static __device__ __forceinline__ void send(u32 to, u32 barrier, const float *sums) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%2, %3, %4, %5}, [%1];" ::"r"(to),
      "r"(barrier), "f"(sums[0]), "f"(sums[1]), "f"(sums[2]), "f"(sums[3])
      : "memory");
}
static __device__ __forceinline__ void wait_for_sent(u32 barrier) {
  u32 done;
  do
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], 0; "
                 "selp.u32 %0, 1, 0, p; }"
                 : "=r"(done)
                 : "r"(barrier)
                 : "memory");
  while (!done);
}
static __device__ __forceinline__ void add_sent(float (&sum)[4], u32 at) {
  float x[4];
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(x[0]), "=f"(x[1]), "=f"(x[2]), "=f"(x[3])
               : "r"(at)
               : "memory");
#pragma unroll
  for (int i = 0; i < 4; ++i) sum[i] += x[i];
}

// Adds what has come for the eighths from number FIRST on that this block owns, and makes their results.
template <int FIRST>
static __device__ __forceinline__ void finish_own(const parameters &p, const sums &acc, const work &w, u32 sent,
                                                  u32 warp, u32 lane, int row0, int column0) {
#pragma unroll
  for (int block = 0; block < BLOCKS; ++block) {
    const result_row upper = row_at(p, w.group, row0 + block * 64, column0),
                     lower = row_at(p, w.group, row0 + block * 64 + 8, column0);
#pragma unroll
    for (int i = 0; i < BN / 8; ++i) {
      const int eighth = block * (BN / 8) + i;
      if (eighth % CLUSTER_K != FIRST) continue;
      float sum[4] = {acc[block][4 * i], acc[block][4 * i + 1], acc[block][4 * i + 2], acc[block][4 * i + 3]};
#pragma unroll
      for (int after = 1; after < CLUSTER_K; ++after)
        add_sent(sum, place_of_sent(sent, after, warp, lane) + eighth / CLUSTER_K * EIGHTH_BYTES);
      finish_pair(p, upper, i * 8, sum[0], sum[1]);
      finish_pair(p, lower, i * 8, sum[2], sum[3]);
    }
  }
}
template <int FIRST>
static __device__ __forceinline__ void finish_first(const parameters &p, const sums &acc, const work &w, u32 sent,
                                                    u32 warp, u32 lane, u32 first, int row0, int column0) {
  if (first == FIRST) finish_own<FIRST>(p, acc, w, sent, warp, lane, row0, column0);
  else if constexpr (FIRST + 1 < CLUSTER_K)
    finish_first<FIRST + 1>(p, acc, w, sent, warp, lane, first, row0, column0);
}

// The results of a tile; sent: the memory for what others send; row0, column0: of the thread's first sums.
static __device__ __forceinline__ void finish_shares(const parameters &p, const sums &acc, const work &w, u32 sent,
                                                     u32 shares, int row0, int column0) {
  const u32 warp = consumer_warp(), lane = threadIdx.x % 32, rank = rank_in_cluster();
  const u32 barrier = shares + 8 * warp, first = (rank + CLUSTER_K - warp % CLUSTER_K) % CLUSTER_K;
  if (lane < CLUSTER_K) arrive_at(multiplied(shares), lane);
  if (lane == 0)
    expect_bytes(barrier, (EIGHTHS + CLUSTER_K - 1 - first) / CLUSTER_K * ((CLUSTER_K - 1) * EIGHTH_BYTES));
  wait(multiplied(shares), 0);
#pragma unroll
  for (int begin = 0; begin < CLUSTER_K; ++begin) {
    if (begin == first) continue;
    const u32 owner = (begin + warp) % CLUSTER_K, after = (first + CLUSTER_K - begin) % CLUSTER_K;
    const u32 to = address_in(owner, place_of_sent(sent, after, warp, lane)), barrier_there = address_in(owner, barrier);
#pragma unroll
    for (int i = begin; i < EIGHTHS; i += CLUSTER_K)
      send(to + i / CLUSTER_K * EIGHTH_BYTES, barrier_there, &acc[i / (BN / 8)][4 * (i % (BN / 8))]);
  }
  wait_for_sent(barrier);
  finish_first<0>(p, acc, w, sent, warp, lane, first, row0, column0);
}
