// NVIDIA's driver, libcuda.so.1, opened when a network for a GPU is: no header and no library of the CUDA toolkit is
// needed to build or run. The names are the driver's own.
#ifndef LMN_CUDA_DRIVER_H
#define LMN_CUDA_DRIVER_H

#include "runtime/base.h"

typedef int CUresult, CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphNode_st *CUgraphNode;
typedef struct CUgraphExec_st *CUgraphExec;

enum { // CUresult
  CUDA_SUCCESS = 0,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_STUB_LIBRARY = 34,
  CUDA_ERROR_DEVICE_UNAVAILABLE = 46,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_IMAGE = 200,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_SYSTEM_NOT_READY = 802,
  CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803,
};
enum { // CUdevice_attribute
  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
};
enum { CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8, CU_STREAM_NON_BLOCKING = 1, CU_EVENT_DISABLE_TIMING = 2 };
enum { // of cuTensorMapEncodeTiled
  CU_TENSOR_MAP_DATA_TYPE_FLOAT32 = 7,
  CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 = 9,
  CU_TENSOR_MAP_L2_PROMOTION_L2_256B = 3,
};
enum { CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1, CU_STREAM_SET_CAPTURE_DEPENDENCIES = 1 };
#define CU_LAUNCH_PARAM_END ((void *)0)
#define CU_LAUNCH_PARAM_BUFFER_POINTER ((void *)1)
#define CU_LAUNCH_PARAM_BUFFER_SIZE ((void *)2)

// X(name, symbol, parameters): as cuda.h declares them; `symbol` is the version of it that cuda.h takes.
#define CUDA_DRIVER_FUNCTIONS(X)                                                                                       \
  X(cuInit, cuInit, (unsigned flags))                                                                                  \
  X(cuDriverGetVersion, cuDriverGetVersion, (int *version))                                                            \
  X(cuGetErrorName, cuGetErrorName, (CUresult result, const char **name))                                              \
  X(cuGetErrorString, cuGetErrorString, (CUresult result, const char **string))                                        \
  X(cuDeviceGetCount, cuDeviceGetCount, (int *count))                                                                  \
  X(cuDeviceGet, cuDeviceGet, (CUdevice * device, int number))                                                         \
  X(cuDeviceGetName, cuDeviceGetName, (char *name, int length, CUdevice device))                                       \
  X(cuDeviceGetAttribute, cuDeviceGetAttribute, (int *value, int attribute, CUdevice device))                          \
  X(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))                        \
  X(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, (CUdevice device))                                        \
  X(cuCtxSetCurrent, cuCtxSetCurrent, (CUcontext context))                                                             \
  X(cuMemGetInfo, cuMemGetInfo_v2, (size_t * available, size_t * total))                                               \
  X(cuMemAlloc, cuMemAlloc_v2, (CUdeviceptr * address, size_t bytes))                                                  \
  X(cuMemFree, cuMemFree_v2, (CUdeviceptr address))                                                                    \
  X(cuMemAllocHost, cuMemAllocHost_v2, (void **memory, size_t bytes))                                                  \
  X(cuMemFreeHost, cuMemFreeHost, (void *memory))                                                                      \
  X(cuMemcpyHtoD, cuMemcpyHtoD_v2, (CUdeviceptr to, const void *from, size_t bytes))                                   \
  X(cuMemcpyHtoDAsync, cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t bytes, CUstream stream))        \
  X(cuMemcpyDtoHAsync, cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t bytes, CUstream stream))              \
  X(cuMemcpyDtoDAsync, cuMemcpyDtoDAsync_v2, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))        \
  X(cuMemsetD8Async, cuMemsetD8Async, (CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream))            \
  X(cuModuleLoadData, cuModuleLoadData, (CUmodule * module, const void *image))                                        \
  X(cuModuleUnload, cuModuleUnload, (CUmodule module))                                                                 \
  X(cuModuleGetFunction, cuModuleGetFunction, (CUfunction * function, CUmodule module, const char *name))              \
  X(cuModuleGetGlobal, cuModuleGetGlobal_v2,                                                                           \
    (CUdeviceptr * address, size_t * bytes, CUmodule module, const char *name))                                        \
  X(cuFuncSetAttribute, cuFuncSetAttribute, (CUfunction function, int attribute, int value))                           \
  X(cuLaunchKernel, cuLaunchKernel,                                                                                    \
    (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,       \
     unsigned block_z, unsigned shared, CUstream stream, void **parameters, void **extra))                             \
  X(cuTensorMapEncodeTiled, cuTensorMapEncodeTiled,                                                                    \
    (void *map, int type, unsigned rank, CUdeviceptr address, const uint64_t *sizes, const uint64_t *strides,          \
     const unsigned *box, const unsigned *steps, int interleave, int swizzle, int promotion, int fill))                \
  X(cuStreamCreate, cuStreamCreate, (CUstream * stream, unsigned flags))                                               \
  X(cuStreamDestroy, cuStreamDestroy_v2, (CUstream stream))                                                            \
  X(cuStreamSynchronize, cuStreamSynchronize, (CUstream stream))                                                       \
  X(cuStreamWaitEvent, cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags))                            \
  X(cuEventCreate, cuEventCreate, (CUevent * event, unsigned flags))                                                   \
  X(cuEventDestroy, cuEventDestroy_v2, (CUevent event))                                                                \
  X(cuEventRecord, cuEventRecord, (CUevent event, CUstream stream))                                                    \
  X(cuEventElapsedTime, cuEventElapsedTime, (float *milliseconds, CUevent from, CUevent to))                           \
  X(cuStreamBeginCapture, cuStreamBeginCapture_v2, (CUstream stream, int mode))                                        \
  X(cuStreamEndCapture, cuStreamEndCapture, (CUstream stream, CUgraph * graph))                                        \
  X(cuStreamGetCaptureInfo, cuStreamGetCaptureInfo_v2,                                                                 \
    (CUstream stream, int *status, unsigned long long *id, CUgraph *graph, const CUgraphNode **nodes, size_t *count))  \
  X(cuStreamUpdateCaptureDependencies, cuStreamUpdateCaptureDependencies,                                              \
    (CUstream stream, CUgraphNode * nodes, size_t count, unsigned flags))                                              \
  X(cuGraphInstantiateWithFlags, cuGraphInstantiateWithFlags,                                                          \
    (CUgraphExec * exec, CUgraph graph, unsigned long long flags))                                                     \
  X(cuGraphLaunch, cuGraphLaunch, (CUgraphExec exec, CUstream stream))                                                 \
  X(cuGraphExecDestroy, cuGraphExecDestroy, (CUgraphExec exec))                                                        \
  X(cuGraphDestroy, cuGraphDestroy, (CUgraph graph))

typedef struct cuda_driver {
  void *library;
  int version; // of CUDA: 12040 is 12.4
#define CUDA_DRIVER_POINTER(name, symbol, parameters) CUresult(*name) parameters;
  CUDA_DRIVER_FUNCTIONS(CUDA_DRIVER_POINTER)
#undef CUDA_DRIVER_POINTER
} cuda_driver;

// Opens the driver (LMN_CUDA_DRIVER: another file than libcuda.so.1) and starts it. Fails, naming the remedy, where
// there is none, it is too old or the toolkit's stub, or it shows no GPU.
bool cuda_driver_open(cuda_driver *c, lmn_error *error);
void cuda_driver_close(cuda_driver *c);

// "CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected", in `out`, which is returned.
enum { CUDA_ERROR_TEXT = 256 };
const char *cuda_error_text(const cuda_driver *c, CUresult result, char out[CUDA_ERROR_TEXT]);

// What can be done about it, as the end of a message ("; …"); "": nothing is known.
const char *cuda_remedy(CUresult result);

#endif
