// A GPU as a device, through NVIDIA's driver: spaces in its memory, the plan's launches on one stream
// (device_cuda_run.c). Input and output have pinned memory of the host beside them, copied before and after a run.
#include "runtime/device_cuda.h"

#include <stdlib.h>
#include <string.h>

// ---- errors -------------------------------------------------------------------------------------

// Errors after which nothing more runs in this process: a kernel's fault, a GPU that went away.
static bool is_lasting(CUresult result) {
  enum { NOT_PERMITTED = 800 };
  return result == 46 || result == 214 || result == 226 || (result >= 700 && result < NOT_PERMITTED && result != 701) ||
         result == 999;
}

static void note_lost(device *d, CUresult result, bool lost) {
  if (lost && !d->lost) d->lost = result;
}

bool gpu_failed(device *d, CUresult result, lmn_error *error, const char *what) {
  char text[CUDA_ERROR_TEXT];
  note_lost(d, result, is_lasting(result));
  return fail(error, "GPU %d (%s): %s: %s%s", d->gpu, d->name, what, cuda_error_text(&d->cuda, result, text),
              cuda_remedy(result));
}

bool gpu_fail_launch(device *d, CUresult result, const plan_launch *l, lmn_error *error) {
  char text[CUDA_ERROR_TEXT];
  note_lost(d, result, is_lasting(result));
  return fail(error, "GPU %d (%s): %s (kernel %s) failed: %s%s", d->gpu, d->name, l->what ? l->what : "a launch",
              l->kernel, cuda_error_text(&d->cuda, result, text),
              d->lost ? "; what was in the GPU's memory is lost" : cuda_remedy(result));
}

bool gpu_fail_run(device *d, CUresult result, lmn_error *error) {
  char text[CUDA_ERROR_TEXT];
  note_lost(d, result, true);
  return fail(error,
              "GPU %d (%s) failed: %s; what was in its memory is lost. LMN_CUDA_SYNC=1 shows in which kernel; "
              "nvidia-smi and dmesg say whether the GPU itself is at fault",
              d->gpu, d->name, cuda_error_text(&d->cuda, result, text));
}

// Makes the context current: the caller may be another thread than before.
bool gpu_enter(device *d, lmn_error *error) {
  char text[CUDA_ERROR_TEXT];
  if (d->lost)
    return fail(error, "GPU %d (%s) has failed before: %s; begin again", d->gpu, d->name,
                cuda_error_text(&d->cuda, d->lost, text));
  CUresult result = d->cuda.cuCtxSetCurrent(d->context);
  return !result || gpu_failed(d, result, error, "it cannot be used");
}

bool gpu_wait(device *d, lmn_error *error) {
  CUresult result = d->cuda.cuStreamSynchronize(d->stream);
  return !result || gpu_fail_run(d, result, error);
}

// ---- memory -------------------------------------------------------------------------------------

static bool has_host(plan_space space) { return space == SPACE_INPUT || space == SPACE_OUTPUT; }

static void release(device *d, plan_space space) {
  if (space == SPACE_INPUT) gpu_drop_ahead(d);
  if (d->spaces[space]) d->cuda.cuMemFree(d->spaces[space]);
  if (d->host[space]) d->cuda.cuMemFreeHost(d->host[space]);
  d->spaces[space] = 0;
  d->host[space] = NULL;
  if (space == SPACE_PARAMETER) free(d->parked), d->parked = NULL, d->base.parked = 0;
  d->layout++;
}

static int64_t available(const device *d) {
  size_t left = 0, total = 0;
  if (d->cuda.cuCtxSetCurrent(d->context) || d->cuda.cuMemGetInfo(&left, &total)) return INT64_MAX;
  return (int64_t)left;
}

static bool fail_memory(device *d, CUresult result, int64_t bytes, lmn_error *error) {
  if (result != CUDA_ERROR_OUT_OF_MEMORY) return gpu_failed(d, result, error, "memory cannot be had");
  return fail(error,
              "GPU %d (%s): %.1f MB cannot be had, %.1f MB are free; use a smaller batch or length, or compile "
              "with --memory-limit",
              d->gpu, d->name, (double)bytes / 1e6, (double)available(d) / 1e6);
}

// bytes of the GPU's memory, zeroed; none where bytes is 0.
bool gpu_allocate(device *d, int64_t bytes, CUdeviceptr *address, lmn_error *error) {
  *address = 0;
  if (!bytes) return true;
  CUresult result = d->cuda.cuMemAlloc(address, (size_t)bytes);
  if (result) return *address = 0, fail_memory(d, result, bytes, error);
  result = d->cuda.cuMemsetD8Async(*address, 0, (size_t)bytes, d->stream);
  return !result || gpu_failed(d, result, error, "its memory cannot be cleared");
}

// Takes the host's memory for the parameters that no launch needs; their bytes.
static int64_t park(device *d) {
  d->base.parked = d->base.plan->parked_bytes;
  if (d->base.parked) d->parked = memory_zero((size_t)d->base.parked);
  return d->base.parked;
}

static bool reserve(device *d, plan_space space, int64_t bytes, lmn_error *error) {
  if (!gpu_enter(d, error)) return false;
  bool parked = space == SPACE_PARAMETER && d->parked; // all of them, maybe
  if (d->base.reserved[space] == bytes && (d->spaces[space] || parked || !bytes)) return true;
  release(d, space);
  if (space == SPACE_PARAMETER && bytes == d->base.plan->parameter_bytes) bytes -= park(d);
  if (!gpu_allocate(d, bytes, &d->spaces[space], error)) return release(d, space), false;
  if (!has_host(space) || !bytes) return true;
  CUresult result = d->cuda.cuMemAllocHost(&d->host[space], (size_t)bytes);
  if (result) return d->host[space] = NULL, gpu_failed(d, result, error, "pinned memory of the host cannot be had");
  memset(d->host[space], 0, (size_t)bytes);
  return true;
}

static void *map(const device *d, plan_space space) { return d->host[space]; }

static bool clear(device *d, plan_space space, lmn_error *error) {
  if (!gpu_enter(d, error)) return false;
  int64_t parked = space == SPACE_PARAMETER ? d->base.parked : 0, here = d->base.reserved[space] - parked;
  if (parked) memset(d->parked, 0, (size_t)parked);
  CUresult result = here ? d->cuda.cuMemsetD8Async(d->spaces[space], 0, (size_t)here, d->stream) : 0;
  return !result || gpu_failed(d, result, error, "its memory cannot be cleared");
}

static bool copy_space(device *d, plan_space to, plan_space from, int64_t bytes, lmn_error *error) {
  if (!gpu_enter(d, error)) return false;
  CUresult result = d->cuda.cuMemcpyDtoDAsync(d->spaces[to], d->spaces[from], (size_t)bytes, d->stream);
  return !result || gpu_failed(d, result, error, "its memory cannot be copied");
}

static bool add_space(device *d, plan_space to, plan_space from, int64_t bytes, lmn_error *error) {
  if (!gpu_enter(d, error)) return false;
  CUresult result = cuda_add(&d->cuda, &d->add, d->spaces[to], d->spaces[from], bytes / 4, d->stream);
  return !result || gpu_failed(d, result, error, "numbers cannot be added in its memory");
}

// ---- opening ------------------------------------------------------------------------------------

// The target that this version compiles for that GPU; NULL: none.
static const char *target_of(int major, int minor) {
  if (major == 9 && minor == 0) return "sm_90a";
  if (major == 8) return minor == 9 ? "sm_89" : "sm_80";
  return NULL;
}

// Kernels for sm_89 run on 8.9 and later ones of 8; those for sm_90a on 9.0 alone.
static bool check_capability(const device *d, lmn_error *error) {
  const char *target = d->base.plan->target, *right = target_of(d->major, d->minor);
  char *end;
  long number = strtol(target + 3, &end, 10);
  int here = 10 * d->major + d->minor;
  bool ok = number / 10 == d->major && (*end ? number == here : number <= here);
  if (ok) return true;
  return fail(error,
              "%s: was compiled for %s, and GPU %d (%s) has compute capability %d.%d; compile it with --target %s",
              d->artifact, target, d->gpu, d->name, d->major, d->minor, right ? right : "cpu, or use another GPU");
}

static bool find_gpu(device *d, lmn_error *error) {
  cuda_driver *c = &d->cuda;
  int count = 0;
  CUresult result = c->cuDeviceGetCount(&count);
  if (!result && (d->gpu < 0 || d->gpu >= count))
    return fail(error, "there is no GPU %d; the driver shows %d, from 0 to %d (see --device and CUDA_VISIBLE_DEVICES)",
                d->gpu, count, count - 1);
  if (!result) result = c->cuDeviceGet(&d->device, d->gpu);
  if (!result) result = c->cuDeviceGetName(d->name, (int)sizeof d->name, d->device);
  if (!result) result = c->cuDeviceGetAttribute(&d->major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, d->device);
  if (!result) result = c->cuDeviceGetAttribute(&d->minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, d->device);
  if (!result) result = c->cuDeviceGetAttribute(&d->processors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, d->device);
  return !result || gpu_failed(d, result, error, "it says nothing of itself");
}

static bool start(device *d, lmn_error *error) {
  CUresult result = d->cuda.cuDevicePrimaryCtxRetain(&d->context, d->device);
  if (result) return d->context = NULL, gpu_failed(d, result, error, "it cannot be used");
  if (!gpu_enter(d, error)) return false;
  result = d->cuda.cuStreamCreate(&d->stream, CU_STREAM_NON_BLOCKING);
  return !result || gpu_failed(d, result, error, "it has no stream");
}

static bool says(const char *variable, bool usually) {
  const char *value = getenv(variable);
  return value && *value ? strcmp(value, "0") != 0 : usually;
}

static bool open_device(device *d, lmn_error *error) {
  d->always_sync = says("LMN_CUDA_SYNC", false);
  d->graphs = says("LMN_CUDA_GRAPH", true);
  const char *graph = getenv("LMN_CUDA_GRAPH");
  d->chain = graph && !strcmp(graph, "chain");
  d->wide = graph && !strcmp(graph, "wide");
  double began = clock_seconds();
  if (!cuda_driver_open(&d->cuda, error) || !find_gpu(d, error) || !check_capability(d, error) || !start(d, error))
    return false;
  device_started(d, "driver", clock_seconds() - began);
  began = clock_seconds();
  if (!cuda_kernels_load(&d->cuda, d->base.plan, d->artifact, d->processors, &d->kernels, error)) return false;
  device_started(d, "kernels", clock_seconds() - began);
  for (int i = 0; i < d->base.plan->entry_count; ++i) gpu_lay_out(d, i);
  return true;
}

static void close_device(device *d) {
  if (d->context && !d->cuda.cuCtxSetCurrent(d->context)) {
    for (int i = 0; i < SPACE_COUNT; ++i) release(d, (plan_space)i);
    if (d->pieces) d->cuda.cuMemFreeHost(d->pieces);
    for (int i = 0; i < d->base.plan->entry_count; ++i) gpu_drop(d, i);
    cuda_kernels_unload(&d->cuda, &d->kernels);
    if (d->add.module) d->cuda.cuModuleUnload(d->add.module);
    if (d->stream) d->cuda.cuStreamDestroy(d->stream);
    d->cuda.cuDevicePrimaryCtxRelease(d->device);
  }
  for (int i = 0; i < d->base.plan->entry_count; ++i) {
    free(d->entries[i].launches);
    free(d->entries[i].memory);
  }
  free(d->entries);
  free(d->parked); // of a GPU that went away
  free(d->kernels.items);
  cuda_driver_close(&d->cuda);
  free(d);
}

static int threads_of(const device *d) { return (void)d, 1; }
static const char *name_of(const device *d) { return d->name; }

device *device_cuda_open(const plan *p, const char *artifact, int gpu, lmn_error *error) {
  static const device_functions functions = {.close = close_device,
                                             .threads = threads_of,
                                             .name = name_of,
                                             .reserve = reserve,
                                             .available = available,
                                             .map = map,
                                             .write = gpu_write,
                                             .read = gpu_read,
                                             .clear = clear,
                                             .copy = copy_space,
                                             .add = add_space,
                                             .run = gpu_run,
                                             .ahead = gpu_ahead,
                                             .send_ahead = gpu_send_ahead,
                                             .take_ahead = gpu_take_ahead};
  device *d = memory_zero(sizeof *d);
  d->base = (device_base){.functions = &functions, .plan = p};
  d->artifact = artifact;
  d->gpu = gpu;
  d->layout = 1;
  d->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
  d->given = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
  d->entries = memory_zero((size_t)(p->entry_count + 1) * sizeof *d->entries);
  if (open_device(d, error)) return d;
  close_device(d);
  return NULL;
}
