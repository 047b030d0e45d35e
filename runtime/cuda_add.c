// The runtime's one kernel of its own, in PTX, which the driver compiles in a moment: float32 numbers added to others.
#include "runtime/cuda_kernels.h"

// to[i] += from[i] for i < count, a thread each.
static const char add_ptx[] = ".version 7.0\n"
                              ".target sm_80\n"
                              ".address_size 64\n"
                              ".visible .entry lmn_add(.param .u64 to, .param .u64 from, .param .u64 count) {\n"
                              "  .reg .pred %out;\n"
                              "  .reg .f32 %x, %y;\n"
                              "  .reg .u32 %block, %threads, %thread;\n"
                              "  .reg .u64 %to, %from, %count, %i;\n"
                              "  ld.param.u64 %to, [to];\n"
                              "  ld.param.u64 %from, [from];\n"
                              "  ld.param.u64 %count, [count];\n"
                              "  cvta.to.global.u64 %to, %to;\n"
                              "  cvta.to.global.u64 %from, %from;\n"
                              "  mov.u32 %block, %ctaid.x;\n"
                              "  mov.u32 %threads, %ntid.x;\n"
                              "  mov.u32 %thread, %tid.x;\n"
                              "  cvt.u64.u32 %i, %thread;\n"
                              "  mad.wide.u32 %i, %block, %threads, %i;\n"
                              "  setp.ge.u64 %out, %i, %count;\n"
                              "  @%out ret;\n"
                              "  shl.b64 %i, %i, 2;\n"
                              "  add.u64 %to, %to, %i;\n"
                              "  add.u64 %from, %from, %i;\n"
                              "  ld.global.f32 %x, [%to];\n"
                              "  ld.global.f32 %y, [%from];\n"
                              "  add.rn.f32 %x, %x, %y;\n"
                              "  st.global.f32 [%to], %x;\n"
                              "  ret;\n"
                              "}\n";

CUresult cuda_add(const cuda_driver *c, loaded_kernel *k, CUdeviceptr to, CUdeviceptr from, int64_t count,
                  CUstream stream) {
  enum { THREADS = 256 };
  CUresult result = 0;
  if (!k->module) {
    result = c->cuModuleLoadData(&k->module, add_ptx);
    if (result) return k->module = NULL, result;
    result = c->cuModuleGetFunction(&k->function, k->module, "lmn_add");
    if (result) return result;
  }
  struct {
    CUdeviceptr to, from;
    int64_t count;
  } parameters = {to, from, count};
  size_t size = sizeof parameters;
  void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &parameters, CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                   CU_LAUNCH_PARAM_END};
  return c->cuLaunchKernel(k->function, (unsigned)((count + THREADS - 1) / THREADS), 1, 1, THREADS, 1, 1, 0, stream,
                           NULL, extra);
}
