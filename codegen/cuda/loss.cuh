// kernel.cross_entropy: what stands between its products. Needs team.cuh.

// A block of TEAM threads a row of logits: its loss and whether the label is the first of the largest. With a gradient
// the logits become scale (softmax - (1 - e) onehot - e / V). Rows whose label is no class do not count.
// args: logits, labels, scale, row losses, row hits. dims: vocabulary.
template <int TEAM, bool GRADIENT, bool SMOOTH, typename T, typename P>
static __device__ __forceinline__ void loss_row(const P &p, float smoothing) {
  const long long row = blockIdx.x, vocabulary = p.dims[0];
  T *logits = (T *)p.args[0] + row * vocabulary;
  float *loss = (float *)p.args[3] + row, *hit = (float *)p.args[4] + row;
  const int label = ((const int *)p.args[1])[row];
  if (label < 0 || label >= vocabulary) {
    for (long long i = threadIdx.x; GRADIENT && i < vocabulary; i += TEAM) logits[i] = T(0.0f);
    if (threadIdx.x == 0) *loss = *hit = 0.0f;
    return;
  }
  const float target = lmn_load(logits, label);
  float most = -INFINITY, sum = 0.0f, differences = 0.0f;
  for (long long i = threadIdx.x; i < vocabulary; i += TEAM) most = larger(most, lmn_load(logits, i));
  most = team_max<TEAM>(most);
  int ties = target != most; // or one before the label
  for (long long i = threadIdx.x; i < label && target == most; i += TEAM) ties |= lmn_load(logits, i) == most;
  ties = __syncthreads_or(ties);
  for (long long i = threadIdx.x; i < vocabulary; i += TEAM) {
    const float difference = lmn_load(logits, i) - most, power = expf(difference);
    sum += power;
    if (SMOOTH) differences += difference;
  }
  sum = team_sum<TEAM>(sum);
  if (SMOOTH) differences = team_sum<TEAM>(differences);
  const float even = smoothing / (float)vocabulary;
  if (threadIdx.x == 0) {
    float value = logf(sum) - (1.0f - smoothing) * (target - most);
    if (SMOOTH) value -= even * differences;
    *loss = value;
    *hit = ties ? 0.0f : 1.0f;
  }
  if (!GRADIENT) return;
  const float scale = *(const float *)p.args[2], factor = scale / sum, rest = -scale * even;
  for (long long i = threadIdx.x; i < vocabulary; i += TEAM) {
    float gradient = expf(lmn_load(logits, i) - most) * factor;
    if (SMOOTH) gradient += rest;
    if (i == label) gradient -= scale * (1.0f - smoothing);
    logits[i] = T(gradient);
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
