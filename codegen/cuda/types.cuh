// What values are stored as: float, or bf16, the upper half of one. Kernels compute in float.

struct bf16 {
  unsigned short bits;
  bf16() = default;
  __device__ __forceinline__ bf16(float x) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
  __device__ __forceinline__ operator float() const { return __uint_as_float((unsigned)bits << 16); }
};

template <typename T> static __device__ __forceinline__ float lmn_load(const T *from, long long at) {
  return (float)from[at];
}
template <typename T> static __device__ __forceinline__ void lmn_store(T *to, long long at, float x) { to[at] = T(x); }

// N elements that lie side by side, aligned to all of them together or to 16 bytes: N is 1, 2, 4 or 8. As they are
// stored, in whole words.
template <typename T, int N> struct many {
  static constexpr int BYTES = N * sizeof(T), WORDS = (BYTES + 3) / 4;
  unsigned words[WORDS];
  __device__ __forceinline__ void load(const T *from) {
    if constexpr (BYTES == 2) words[0] = *(const unsigned short *)from;
    else if constexpr (BYTES == 4) words[0] = *(const unsigned *)from;
    else if constexpr (BYTES == 8) {
      const uint2 v = *(const uint2 *)from;
      words[0] = v.x, words[1] = v.y;
    } else
#pragma unroll
      for (int i = 0; i < WORDS; i += 4) {
        const uint4 v = ((const uint4 *)from)[i / 4];
        words[i] = v.x, words[i + 1] = v.y, words[i + 2] = v.z, words[i + 3] = v.w;
      }
  }
  __device__ __forceinline__ void store(T *to) const {
    if constexpr (BYTES == 2) *(unsigned short *)to = (unsigned short)words[0];
    else if constexpr (BYTES == 4) *(unsigned *)to = words[0];
    else if constexpr (BYTES == 8) *(uint2 *)to = make_uint2(words[0], words[1]);
    else
#pragma unroll
      for (int i = 0; i < WORDS; i += 4)
        ((uint4 *)to)[i / 4] = make_uint4(words[i], words[i + 1], words[i + 2], words[i + 3]);
  }
  __device__ __forceinline__ void open(float *x) const {
#pragma unroll
    for (int q = 0; q < N; ++q)
      if constexpr (sizeof(T) == 4) x[q] = __uint_as_float(words[q]);
      else x[q] = __uint_as_float(q % 2 ? words[q / 2] & 0xffff0000u : words[q / 2] << 16);
  }
  __device__ __forceinline__ void close(const float *x) {
#pragma unroll
    for (int q = 0; q < N; ++q)
      if constexpr (sizeof(T) == 4) words[q] = __float_as_uint(x[q]);
      else if (q % 2) words[q / 2] |= (unsigned)bf16(x[q]).bits << 16;
      else words[q / 2] = bf16(x[q]).bits;
  }
};

template <int N, typename T> static __device__ __forceinline__ void load_many(const T *from, float *x) {
  many<T, N> v;
  v.load(from);
  v.open(x);
}
template <int N, typename T> static __device__ __forceinline__ void store_many(T *to, const float *x) {
  many<T, N> v;
  v.close(x);
  v.store(to);
}
