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

// N elements that lie side by side, aligned to all of them together: N is 1 or 4.
template <int N> static __device__ __forceinline__ void load_many(const float *from, float *x) {
  if constexpr (N == 4) {
    const float4 v = *(const float4 *)from;
    x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
  } else x[0] = from[0];
}
template <int N> static __device__ __forceinline__ void load_many(const bf16 *from, float *x) {
  if constexpr (N == 4) {
    const uint2 v = *(const uint2 *)from;
    x[0] = __uint_as_float(v.x << 16), x[1] = __uint_as_float(v.x & 0xffff0000u);
    x[2] = __uint_as_float(v.y << 16), x[3] = __uint_as_float(v.y & 0xffff0000u);
  } else x[0] = (float)from[0];
}
template <int N> static __device__ __forceinline__ void store_many(float *to, const float *x) {
  if constexpr (N == 4) *(float4 *)to = make_float4(x[0], x[1], x[2], x[3]);
  else to[0] = x[0];
}
template <int N> static __device__ __forceinline__ void store_many(bf16 *to, const float *x) {
  if constexpr (N == 4) {
    const bf16 a(x[0]), b(x[1]), c(x[2]), d(x[3]);
    *(uint2 *)to = make_uint2(a.bits | (unsigned)b.bits << 16, c.bits | (unsigned)d.bits << 16);
  } else to[0] = bf16(x[0]);
}
