// What bodies are made of where their results are stored in bf16: the device's approximations, which are some 1e-7 of
// the value away, or for a large exp 1e-6, with what is too small for a float as 0.

static __device__ __forceinline__ float fast_exp(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.4426950408889634f));
  return y;
}
static __device__ __forceinline__ float fast_quotient(float x, float by) { // of by and -by beyond 2^126: 0
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(by));
  return x * y;
}
static __device__ __forceinline__ float fast_tanh(float x) { return 1.0f - fast_quotient(2.0f, 1.0f + fast_exp(2.0f * x)); }
