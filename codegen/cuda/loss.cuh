// kernel.cross_entropy: what stands between its products. Needs team.cuh.

// Every element of a row, N side by side at a time: visit(first column, values, count); what it leaves there is stored
// where STORE.
template <int TEAM, int N, bool STORE, typename T, typename F>
static __device__ __forceinline__ void loss_visit(T *logits, int vocabulary, F visit) {
  const int whole = vocabulary / N * N;
  float x[N];
#pragma unroll 4
  for (int i = N * threadIdx.x; i < whole; i += N * TEAM) {
    load_many<N>(logits + i, x);
    visit(i, x, N);
    if (STORE) store_many<N>(logits + i, x);
  }
  for (int i = whole + threadIdx.x; i < vocabulary; i += TEAM) {
    load_many<1>(logits + i, x);
    visit(i, x, 1);
    if (STORE) store_many<1>(logits + i, x);
  }
}

// A block of TEAM threads a row of logits: its loss and whether the label is the first of the largest. With a gradient
// the logits become scale (softmax - (1 - e) onehot - e / V). Rows whose label is no class do not count. N: elements
// side by side that a row begins at a multiple of.
// args: logits, labels, scale, row losses, row hits. dims: vocabulary, from row to row.
template <int TEAM, int N, bool GRADIENT, bool SMOOTH, typename T, typename P>
static __device__ __forceinline__ void loss_row(const P &p, float smoothing) {
  const long long row = blockIdx.x;
  const int vocabulary = (int)p.dims[0], label = ((const int *)p.args[1])[row];
  T *logits = (T *)p.args[0] + row * p.dims[1];
  float *loss = (float *)p.args[3] + row, *hit = (float *)p.args[4] + row;
  if (label < 0 || label >= vocabulary) {
    for (int i = threadIdx.x; GRADIENT && i < vocabulary; i += TEAM) logits[i] = T(0.0f);
    if (threadIdx.x == 0) *loss = *hit = 0.0f;
    return;
  }
  const float target = lmn_load(logits, label);
  float most = -3.4e38f, sum = 0.0f, differences = 0.0f; // the thread's largest, and the sum of exp beside it
  int first = 0;                                         // where that is
  loss_visit<TEAM, N, false>(logits, vocabulary, [&](int at, const float *x, int count) {
    float larger_one = x[0];
    for (int k = 1; k < count; ++k) larger_one = larger(larger_one, x[k]);
    if (larger_one > most) {
      sum *= expf(most - larger_one);
      most = larger_one;
      for (int k = count; k--;)
        if (x[k] == most) first = at + k;
    }
    for (int k = 0; k < count; ++k) {
      sum += expf(x[k] - most);
      if (SMOOTH) differences += x[k] - target;
    }
  });
  const float own = most;
  most = team_max<TEAM>(most);
  const int before = __syncthreads_or(own == most && first < label);
  sum = team_sum<TEAM>(sum * expf(own - most));
  if (SMOOTH) differences = team_sum<TEAM>(differences) + (float)vocabulary * (target - most);
  const float even = smoothing / (float)vocabulary;
  if (threadIdx.x == 0) {
    float value = logf(sum) - (1.0f - smoothing) * (target - most);
    if (SMOOTH) value -= even * differences;
    *loss = value;
    *hit = target == most && !before ? 1.0f : 0.0f;
  }
  if (!GRADIENT) return;
  const float scale = *(const float *)p.args[2], factor = scale / sum, rest = -scale * even;
  loss_visit<TEAM, N, true>(logits, vocabulary, [&](int at, float *x, int count) {
    for (int k = 0; k < count; ++k) {
      x[k] = expf(x[k] - most) * factor;
      if (SMOOTH) x[k] += rest;
      if (at + k == label) x[k] -= scale * (1.0f - smoothing);
    }
  });
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
