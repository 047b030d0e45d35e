// kernel.gradient_norm and kernel.adamw. Needs team.cuh.

// A block a part of the gradients: the sum of its squares. args: gradients, partial. dims: elements, elements a part.
template <int TEAM, typename P> static __device__ __forceinline__ void gradient_squares(const P &p) {
  const float *gradients = (const float *)p.args[0];
  const long long begin = blockIdx.x * p.dims[1];
  const long long end = begin + p.dims[1] < p.dims[0] ? begin + p.dims[1] : p.dims[0];
  double sum = 0;
  for (long long i = begin + threadIdx.x; i < end; i += TEAM) sum += (double)gradients[i] * gradients[i];
  sum = team_sum<TEAM>(sum);
  if (threadIdx.x == 0) ((float *)p.args[1])[blockIdx.x] = (float)sum;
}

// One block. args: partial, norm. dims: parts.
template <int TEAM, typename P> static __device__ __forceinline__ void gradient_norm(const P &p) {
  double sum = 0;
  for (long long i = threadIdx.x; i < p.dims[0]; i += TEAM) sum += ((const float *)p.args[0])[i];
  sum = team_sum<TEAM>(sum);
  if (threadIdx.x == 0) *(float *)p.args[1] = (float)sqrt(sum);
}

constexpr long long PIECE = 16384;
constexpr int TABLE_ROW = 5; // first piece, parameter, gradient, elements, whether it decays; offsets in elements

// A block a piece of a parameter; torch.optim.AdamW's order: weight decay, moments, the step; m += (1 - beta1) (g - m),
// as torch does it. args: scalars, norm, parameters, gradients, moments 1, moments 2; of
// COPY the parameters in bf16 too, which are written as the others are. dims: rows, then the table, first
// pieces ascending.
template <bool COPY, typename P> static __device__ __forceinline__ void adamw(const P &p) {
  enum { LR, BETA1, BETA2, EPS, DECAY, CORRECTION1, CORRECTION2, CLIP };
  const float *scalars = (const float *)p.args[0], norm = *(const float *)p.args[1];
  const float clip = scalars[CLIP], clipped = smaller(1.0f, clip / (norm + 1e-6f)), factor = clip > 0 ? clipped : 1.0f;
  const long long *table = p.dims + 1;
  long long low = 0, high = p.dims[0];
  while (high - low > 1) {
    const long long middle = (low + high) / 2;
    if (table[middle * TABLE_ROW] <= blockIdx.x) low = middle;
    else high = middle;
  }
  const long long *row = table + low * TABLE_ROW, begin = (blockIdx.x - row[0]) * PIECE;
  const long long end = begin + PIECE < row[3] ? begin + PIECE : row[3];
  float *parameters = (float *)p.args[2] + row[1], *m = (float *)p.args[4] + row[2], *v = (float *)p.args[5] + row[2];
  const float *gradients = (const float *)p.args[3] + row[2];
  const float keep = row[4] ? 1.0f - scalars[LR] * scalars[DECAY] : 1.0f, new1 = 1.0f - scalars[BETA1];
  const float beta2 = scalars[BETA2], new2 = 1.0f - beta2, root = 1.0f / sqrtf(scalars[CORRECTION2]);
  const float step = scalars[LR] / scalars[CORRECTION1];
  for (long long i = begin + threadIdx.x; i < end; i += blockDim.x) {
    const float gradient = gradients[i] * factor, first = m[i] + new1 * (gradient - m[i]);
    const float second = beta2 * v[i] + new2 * gradient * gradient;
    m[i] = first;
    v[i] = second;
    const float updated = parameters[i] * keep - step * (first / (sqrtf(second) * root + scalars[EPS]));
    parameters[i] = updated;
    if (COPY) lmn_store((bf16 *)p.args[6] + row[1], i, updated);
  }
}
