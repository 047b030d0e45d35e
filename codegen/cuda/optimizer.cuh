// kernel.gradient_norm and kernel.adamw. Needs team.cuh.

// A block a part of the gradients: the sum of its squares. args: gradients, partial. dims: elements, elements a part,
// a multiple of 4.
template <int TEAM, typename P> static __device__ __forceinline__ void gradient_squares(const P &p) {
  const float *gradients = (const float *)p.args[0];
  const long long begin = blockIdx.x * p.dims[1];
  const long long end = begin + p.dims[1] < p.dims[0] ? begin + p.dims[1] : p.dims[0], whole = end / 4 * 4;
  double sum = 0;
#pragma unroll 4
  for (long long i = begin + 4 * threadIdx.x; i < whole; i += 4 * TEAM) {
    float g[4];
    load_many<4>(gradients + i, g);
    float part = 0; // of four alone in float
    for (int k = 0; k < 4; ++k) part += g[k] * g[k];
    sum += part;
  }
  for (long long i = (whole > begin ? whole : begin) + threadIdx.x; i < end; i += TEAM)
    sum += (double)gradients[i] * gradients[i];
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

struct adamw_step { // the same for all elements of a parameter
  float factor, keep, new1, beta2, root, eps, step;
};

// N elements side by side, aligned to all of them together.
template <int N, bool COPY>
static __device__ __forceinline__ void adamw_elements(const adamw_step &s, float *parameters, const float *gradients,
                                                      float *m, float *v, bf16 *copy) {
  float w[N], g[N], first[N], second[N];
  load_many<N>(gradients, g);
  load_many<N>(m, first);
  load_many<N>(v, second);
  load_many<N>(parameters, w);
  for (int k = 0; k < N; ++k) {
    const float gradient = g[k] * s.factor;
    first[k] += s.new1 * (gradient - first[k]);
    second[k] = s.beta2 * second[k] + (1.0f - s.beta2) * gradient * gradient;
    w[k] = w[k] * s.keep - s.step * (first[k] / (sqrtf(second[k]) * s.root + s.eps));
  }
  store_many<N>(m, first);
  store_many<N>(v, second);
  store_many<N>(parameters, w);
  if (COPY) store_many<N>(copy, w);
}

// A block a piece of a parameter; torch.optim.AdamW's order: weight decay, moments, the step; m += (1 - beta1) (g - m),
// as torch does it. args: scalars, norm, parameters, gradients, moments 1, moments 2; of
// COPY the parameters in bf16 too, which are written as the others are. dims: rows, then the table, first
// pieces ascending.
template <bool COPY, typename P> static __device__ __forceinline__ void adamw(const P &p) {
  enum { LR, BETA1, BETA2, EPS, DECAY, CORRECTION1, CORRECTION2, CLIP };
  const float *scalars = (const float *)p.args[0], norm = *(const float *)p.args[1];
  const float clip = scalars[CLIP], clipped = smaller(1.0f, clip / (norm + 1e-6f));
  const long long *table = p.dims + 1;
  long long low = 0, high = p.dims[0];
  while (high - low > 1) {
    const long long middle = (low + high) / 2;
    if (table[middle * TABLE_ROW] <= blockIdx.x) low = middle;
    else high = middle;
  }
  const long long *row = table + low * TABLE_ROW, begin = (blockIdx.x - row[0]) * PIECE;
  const long long left = row[3] - begin;
  const int count = (int)(left < PIECE ? left : PIECE);
  const adamw_step s = {clip > 0 ? clipped : 1.0f,          row[4] ? 1.0f - scalars[LR] * scalars[DECAY] : 1.0f,
                        1.0f - scalars[BETA1],              scalars[BETA2],
                        1.0f / sqrtf(scalars[CORRECTION2]), scalars[EPS],
                        scalars[LR] / scalars[CORRECTION1]};
  float *parameters = (float *)p.args[2] + row[1] + begin;
  const float *gradients = (const float *)p.args[3] + row[2] + begin;
  float *m = (float *)p.args[4] + row[2] + begin, *v = (float *)p.args[5] + row[2] + begin;
  bf16 *copy = COPY ? (bf16 *)p.args[6] + row[1] + begin : nullptr;
  const int whole = row[1] % 4 || row[2] % 4 ? 0 : count / 4 * 4;
#pragma unroll 2
  for (int i = 4 * threadIdx.x; i < whole; i += 4 * blockDim.x)
    adamw_elements<4, COPY>(s, parameters + i, gradients + i, m + i, v + i, copy + i);
  for (int i = whole + threadIdx.x; i < count; i += blockDim.x)
    adamw_elements<1, COPY>(s, parameters + i, gradients + i, m + i, v + i, copy + i);
}
