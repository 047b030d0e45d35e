// kernel.gradient_norm and kernel.adamw. Needs team.cuh. Only where gradients are clipped is their norm needed before the
// step; else AdamW, which reads them anyhow, leaves the sums of squares.

enum { LR, BETA1, BETA2, EPS, DECAY, CORRECTION1, CORRECTION2, CLIP }; // scalars

static __device__ __forceinline__ bool clips(const void *scalars) { return ((const float *)scalars)[CLIP] > 0; }

// A block a part of the gradients: the sum of its squares. args: gradients, partial, scalars. dims: elements, elements a
// part.
template <int TEAM, typename P> static __device__ __forceinline__ void gradient_squares(const P &p) {
  if (!clips(p.args[2])) return;
  const float *gradients = (const float *)p.args[0];
  const long long begin = blockIdx.x * p.dims[1];
  const long long end = begin + p.dims[1] < p.dims[0] ? begin + p.dims[1] : p.dims[0];
  const long long whole = end > begin ? end - (end - begin) % 4 : begin; // a part begins at a multiple of 4
  double sum = 0;
#pragma unroll 4
  for (long long i = begin + threadIdx.x * 4; i < whole; i += TEAM * 4) {
    float x[4];
    load_many<4>(gradients + i, x);
#pragma unroll
    for (int q = 0; q < 4; ++q) sum += (double)x[q] * x[q];
  }
  for (long long i = whole + threadIdx.x; i < end; i += TEAM) sum += (double)gradients[i] * gradients[i];
  sum = team_sum<TEAM>(sum);
  if (threadIdx.x == 0) ((float *)p.args[1])[blockIdx.x] = (float)sum;
}

// One block. args: partial, norm, scalars. dims: parts, whether they are there where gradients are clipped, or are not.
template <int TEAM, typename P> static __device__ __forceinline__ void gradient_norm(const P &p) {
  if (clips(p.args[2]) != (p.dims[1] != 0)) return;
  double sum = 0;
  for (long long i = threadIdx.x; i < p.dims[0]; i += TEAM) sum += ((const float *)p.args[0])[i];
  sum = team_sum<TEAM>(sum);
  if (threadIdx.x == 0) *(float *)p.args[1] = (float)sqrt(sum);
}

constexpr long long PIECE = 16384;
constexpr int TABLE_ROW = 5; // first piece, parameter, gradient, elements, whether it decays; offsets in elements

// A block a piece of a parameter; torch.optim.AdamW's order: weight decay, moments, the step; m += (1 - beta1) (g - m),
// as torch does it. args: scalars, norm, parameters, gradients, moments 1, moments 2, a partial sum of squares a block; of
// COPY the parameters in bf16 too, which are written as the others are. dims: rows, then the table, first
// pieces ascending.
template <int TEAM, bool COPY, typename P> static __device__ __forceinline__ void adamw(const P &p) {
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
  double squares = 0;
  const auto update = [&](float gradient, float &first, float &second, float &parameter) {
    if (!(clip > 0)) squares += (double)gradient * gradient;
    gradient *= factor;
    first += new1 * (gradient - first);
    second = beta2 * second + new2 * gradient * gradient;
    parameter = parameter * keep - step * (first / (sqrtf(second) * root + scalars[EPS]));
  };
  constexpr int MANY = 4, AT_ONCE = 2; // elements side by side, and how often in flight
  const long long wide = (row[1] | row[2]) % MANY ? begin : end - (end - begin) % MANY;
  for (long long i = begin + threadIdx.x * MANY; i < wide; i += blockDim.x * (MANY * AT_ONCE)) {
    many<float, MANY> read[AT_ONCE][4];
#pragma unroll
    for (int k = 0; k < AT_ONCE; ++k) {
      const long long at = i + k * blockDim.x * MANY;
      if (at >= wide) continue;
      read[k][0].load(gradients + at), read[k][1].load(m + at);
      read[k][2].load(v + at), read[k][3].load(parameters + at);
    }
#pragma unroll
    for (int k = 0; k < AT_ONCE; ++k) {
      const long long at = i + k * blockDim.x * MANY;
      if (at >= wide) continue;
      float gradient[MANY], first[MANY], second[MANY], parameter[MANY];
      read[k][0].open(gradient), read[k][1].open(first), read[k][2].open(second), read[k][3].open(parameter);
#pragma unroll
      for (int q = 0; q < MANY; ++q) update(gradient[q], first[q], second[q], parameter[q]);
      store_many<MANY>(m + at, first), store_many<MANY>(v + at, second), store_many<MANY>(parameters + at, parameter);
      if (COPY) store_many<MANY>((bf16 *)p.args[7] + row[1] + at, parameter);
    }
  }
  for (long long i = wide + threadIdx.x; i < end; i += blockDim.x) {
    update(gradients[i], m[i], v[i], parameters[i]);
    if (COPY) lmn_store((bf16 *)p.args[7] + row[1], i, parameters[i]);
  }
  if (clip > 0) return;
  squares = team_sum<TEAM>(squares);
  if (threadIdx.x == 0) ((float *)p.args[6])[blockIdx.x] = (float)squares;
}
