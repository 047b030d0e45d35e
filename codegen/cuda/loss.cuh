// kernel.cross_entropy: what stands between its products. Needs team.cuh and fast.cuh.

template <typename T> static __device__ __forceinline__ float loss_exp(float x) {
  return sizeof(T) == 2 ? fast_exp(x) : expf(x);
}

// What a warp knows of the row: the largest, the sum of exp beside it, whether the label's logit is not the first of the
// largest, and, smoothing, the sum of what the others differ from it.
struct loss_part {
  float most, sum, differences;
  unsigned beaten;
};

// The parts of all the row's warps, those of the other blocks of its cluster too.
template <int TEAM, int CLUSTER> static __device__ __forceinline__ loss_part loss_meet(loss_part part) {
  constexpr int WARPS = TEAM / 32, PARTS = WARPS * CLUSTER;
  __shared__ __align__(16) loss_part all[PARTS];
  const int lane = threadIdx.x % 32, own = blockIdx.x % CLUSTER * WARPS + threadIdx.x / 32;
  if (CLUSTER == 1) {
    if (lane == 0) all[own] = part;
    __syncthreads();
  } else {
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); // the others have begun: see loss_row
    if (lane < CLUSTER) {
      const unsigned address = (unsigned)__cvta_generic_to_shared(&all[own]);
      asm volatile("{ .reg .b32 r; mapa.shared::cluster.u32 r, %0, %1; st.shared::cluster.v4.b32 [r], {%2, %3, %4, %5}; }" ::"r"(address),
                   "r"(lane), "r"(__float_as_uint(part.most)), "r"(__float_as_uint(part.sum)),
                   "r"(__float_as_uint(part.differences)), "r"(part.beaten)
                   : "memory");
    }
    asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
  }
  loss_part total = {-3.4e38f, 0.0f, 0.0f, 0};
#pragma unroll
  for (int i = 0; i < PARTS; i += 32)
    if (i + lane < PARTS) total.most = fmaxf(total.most, all[i + lane].most);
  total.most = warp_max(total.most);
#pragma unroll
  for (int i = 0; i < PARTS; i += 32)
    if (i + lane < PARTS) {
      const loss_part x = all[i + lane];
      total.sum += x.sum * expf(x.most - total.most), total.differences += x.differences, total.beaten |= x.beaten;
    }
  total.sum = warp_sum(total.sum), total.differences = warp_sum(total.differences);
  total.beaten = __any_sync(0xffffffffu, total.beaten);
  return total;
}

// CLUSTER blocks of TEAM threads a row of logits: its loss and whether the label is the first of the largest. With a
// gradient the logits become scale (softmax - (1 - e) onehot - e / V). Rows whose label is no class do not count. N:
// elements side by side that a row has a multiple of, with those behind its end. KEEP: what has been read stays in
// shared memory until it is changed, else it is read again. The last row first: it was the last to be written.
// args: logits, labels, scale, row losses, row hits. dims: vocabulary, from row to row.
template <int TEAM, int N, int CLUSTER, bool KEEP, bool GRADIENT, bool SMOOTH, typename T, typename P>
static __device__ __forceinline__ void loss_row(const P &p, float smoothing) {
  constexpr int AT_ONCE = 4, STEP = TEAM * N;
  extern __shared__ __align__(16) unsigned char memory[];
  const long long row = gridDim.x / CLUSTER - 1 - blockIdx.x / CLUSTER;
  const int vocabulary = (int)p.dims[0], each = (vocabulary + CLUSTER * N - 1) / (CLUSTER * N) * N;
  const int first = blockIdx.x % CLUSTER * each, end = first + each < vocabulary ? first + each : vocabulary;
  const int begin = first + N * threadIdx.x, label = ((const int *)p.args[1])[row];
  T *logits = (T *)p.args[0] + row * p.dims[1], *kept = (T *)memory - first;
  float *loss = (float *)p.args[3] + row, *hit = (float *)p.args[4] + row;
  if (label < 0 || label >= vocabulary) {
    for (int i = first + threadIdx.x; GRADIENT && i < end; i += TEAM) logits[i] = T(0.0f);
    if (threadIdx.x == 0) *loss = *hit = 0.0f;
    return;
  }
  if (CLUSTER > 1) asm volatile("barrier.cluster.arrive.release;" ::: "memory");
  const float target = lmn_load(logits, label);
  loss_part part = {-3.4e38f, 0.0f, 0.0f, 0};
  for (int at = begin; at < end; at += AT_ONCE * STEP) {
    many<T, N> v[AT_ONCE];
#pragma unroll
    for (int j = 0; j < AT_ONCE; ++j)
      if (at + j * STEP < end) v[j].load(logits + at + j * STEP);
#pragma unroll
    for (int j = 0; j < AT_ONCE; ++j) {
      const int i = at + j * STEP;
      if (i >= end) break;
      if (KEEP) v[j].store(kept + i);
      float x[N], most;
      v[j].open(x);
      if (i + N > end)
        for (int k = 0; k < N; ++k) x[k] = i + k < end ? x[k] : -INFINITY;
      most = x[0];
#pragma unroll
      for (int k = 1; k < N; ++k) most = fmaxf(most, x[k]);
      if (label >= i + N) part.beaten |= most >= target;
      else if (label < i) part.beaten |= most > target;
      else
        for (int k = 0; k < N; ++k) part.beaten |= i + k < label ? x[k] >= target : x[k] > target;
      if (most > part.most) {
        part.sum *= loss_exp<T>(part.most - most);
        part.most = most;
      }
#pragma unroll
      for (int k = 0; k < N; ++k) {
        part.sum += loss_exp<T>(x[k] - part.most);
        if (SMOOTH && i + k < end) part.differences += x[k] - target;
      }
    }
  }
  const float own = part.most;
  part.most = warp_max(own);
  part.sum = warp_sum(part.sum * expf(own - part.most));
  part.differences = SMOOTH ? warp_sum(part.differences) : 0.0f;
  part.beaten = __any_sync(0xffffffffu, part.beaten);
  const loss_part total = loss_meet<TEAM, CLUSTER>(part);
  const float even = smoothing / (float)vocabulary;
  if (threadIdx.x == 0 && blockIdx.x % CLUSTER == 0) {
    float value = logf(total.sum) - (1.0f - smoothing) * (target - total.most);
    if (SMOOTH) value -= even * (total.differences + (float)vocabulary * (target - total.most));
    *loss = value;
    *hit = target == total.most && !total.beaten ? 1.0f : 0.0f;
  }
  if (!GRADIENT) return;
  const float scale = *(const float *)p.args[2], factor = scale / total.sum, rest = -scale * even;
#pragma unroll 4
  for (int i = begin; i < end; i += STEP) {
    many<T, N> v;
    v.load(KEEP ? kept + i : logits + i);
    float x[N];
    v.open(x);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      x[k] = loss_exp<T>(x[k] - total.most) * factor;
      if (SMOOTH) x[k] += rest;
    }
    if (i <= label && label < i + N)
      for (int k = 0; k < N; ++k) x[k] -= i + k == label ? scale * (1.0f - smoothing) : 0.0f;
    v.close(x);
    v.store(logits + i);
  }
}

// One block: the row losses and hits added up. args: row losses, row hits, scale, loss, right. dims: rows.
template <int TEAM, typename P> static __device__ __forceinline__ void loss_sum(const P &p) {
  double loss = 0, right = 0;
  for (long long i = threadIdx.x; i < p.dims[0]; i += TEAM) {
    loss += ((const float *)p.args[0])[i];
    right += ((const float *)p.args[1])[i];
  }
  loss = team_sum<TEAM>(loss);
  right = team_sum<TEAM>(right);
  if (threadIdx.x) return;
  *(float *)p.args[3] = (float)(loss * *(const float *)p.args[2]);
  *(float *)p.args[4] = (float)right;
}
