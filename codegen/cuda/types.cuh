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
