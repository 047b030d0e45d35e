// A driver without a GPU: what the runtime asks of libcuda.so.1, on the host's memory. Work on a stream is done when
// the stream is waited for, as late as it may be; with `eager` that of all streams but the first at once, as early as
// it may be. Addresses of the GPU are no addresses of the host, and only what lies in memory that was allocated is
// touched. A cubin is any ELF file; its kernel is the function of that name here.
#include "tests/cuda/fake_driver.h"

#include "runtime/cuda_driver.h"
#include "tests/unit/fake_model.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ILLEGAL_VALUE = 1, NOT_INITIALIZED = 3, BAD_CONTEXT = 201, ILLEGAL_ADDRESS = 700, RECORDING = 900 };
static const CUdeviceptr elsewhere = 1ull << 62;

fake_cuda_state fake_cuda;

typedef void kernel_function(void *const *args, const int64_t *dims);
typedef struct kernel {
  const char *name;
  kernel_function *run;
  int args, dims;
  bool table;
  int shared, maps;
} kernel;

// What the fake driver makes of a tensor map.
typedef struct fake_map {
  CUdeviceptr address;
  uint64_t columns, rows, stride;
} fake_map;
enum { MAP_BYTES = 128 };

static size_t parameter_bytes(const kernel *k) {
  size_t bytes = MAP_BYTES * (size_t)k->maps + 8 * (size_t)(k->args + k->dims);
  return k->maps ? (bytes + 63) / 64 * 64 : bytes;
}

typedef struct block {
  char *memory;
  size_t bytes;
  bool pinned;
} block;
static block blocks[256];

typedef enum { WORK_IN, WORK_OUT, WORK_SET, WORK_COPY, WORK_KERNEL, WORK_WAIT } work_kind;
enum { WAITS = 8 };
typedef struct work {
  work_kind kind;
  CUstream stream, other; // other, until: of a wait, for the work of that stream up to that number
  int64_t number, until;
  bool done;
  CUdeviceptr device, from;
  char *host;
  size_t bytes;
  unsigned char value;
  const kernel *kernel;
  char parameters[4096];
  int after[WAITS], after_count; // recorded: work of the same graph
} work;
static work queue[512];
static int queued;
static int64_t numbers; // of all work so far

struct CUstream_st {
  bool first;
};
struct CUevent_st {
  CUstream stream; // that it was recorded on last; NULL: none
  int64_t number;
};
static int recording = -1;      // -1: off; else what was queued before
static CUgraphNode last[WAITS]; // what is recorded next waits for: n of the recorded work, as the address n + 1
static int last_count;

struct CUgraph_st {
  int count;
  work work[];
};

static bool started;
static CUcontext current;
static CUresult lasting;

// ---- calls --------------------------------------------------------------------------------------

static CUresult enter(bool needs_context) {
  if (fake_cuda.calls++ == fake_cuda.fail_at) return fake_cuda.fail_with;
  if (lasting) return lasting;
  if (needs_context && !current) return BAD_CONTEXT;
  return started ? 0 : NOT_INITIALIZED;
}

#define ENTER(needs_context)                                                                                           \
  do {                                                                                                                 \
    CUresult entered = enter(needs_context);                                                                           \
    if (entered) return entered;                                                                                       \
  } while (0)

static void note(const char *what) {
  size_t length = strlen(fake_cuda.order), more = strlen(what) + 2;
  if (length + more < sizeof fake_cuda.order)
    snprintf(fake_cuda.order + length, sizeof fake_cuda.order - length, "%s%s", length ? " " : "", what);
}

CUresult cuInit(unsigned flags) {
  (void)flags;
  started = true;
  lasting = 0;
  ENTER(false);
  return fake_cuda.gpus ? 0 : CUDA_ERROR_NO_DEVICE;
}

CUresult cuDriverGetVersion(int *version) {
  ENTER(false);
  *version = fake_cuda.version;
  return 0;
}

CUresult cuGetErrorName(CUresult result, const char **name) {
  static char names[32];
  snprintf(names, sizeof names, "CUDA_ERROR_%d", result);
  *name = names;
  return 0;
}

CUresult cuGetErrorString(CUresult result, const char **string) {
  *string = result == CUDA_ERROR_OUT_OF_MEMORY ? "out of memory" : "something went wrong";
  return 0;
}

CUresult cuDeviceGetCount(int *count) {
  ENTER(false);
  *count = fake_cuda.gpus;
  return 0;
}

CUresult cuDeviceGet(CUdevice *device, int number) {
  ENTER(false);
  *device = number;
  return number < fake_cuda.gpus ? 0 : ILLEGAL_VALUE;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
  ENTER(false);
  if (fake_cuda.name) snprintf(name, (size_t)length, "%s", fake_cuda.name);
  else snprintf(name, (size_t)length, "Fake GPU %d", device);
  return 0;
}

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
  (void)device;
  ENTER(false);
  *value = attribute == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT       ? fake_cuda.processors
           : attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? fake_cuda.major
                                                                       : fake_cuda.minor;
  return 0;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  (void)device;
  ENTER(false);
  fake_cuda.contexts++;
  *context = (CUcontext)&fake_cuda;
  return 0;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  (void)device;
  ENTER(false);
  fake_cuda.contexts--;
  current = NULL;
  return 0;
}

CUresult cuCtxSetCurrent(CUcontext context) {
  ENTER(false);
  current = context;
  return 0;
}

// ---- memory -------------------------------------------------------------------------------------

static block *find_block(const char *memory, size_t bytes) {
  for (size_t i = 0; i < LENGTH(blocks); ++i)
    if (blocks[i].memory && memory >= blocks[i].memory && bytes <= blocks[i].bytes &&
        memory <= blocks[i].memory + (blocks[i].bytes - bytes))
      return &blocks[i];
  return NULL;
}

static block *take_block(size_t bytes, bool pinned) {
  for (size_t i = 0; i < LENGTH(blocks); ++i)
    if (!blocks[i].memory) {
      blocks[i] = (block){malloc(bytes), bytes, pinned};
      memset(blocks[i].memory, 0xa5, bytes);
      return &blocks[i];
    }
  abort();
}

static CUresult give_block(char *memory, bool pinned) {
  block *b = find_block(memory, 0);
  if (!b || b->memory != memory || b->pinned != pinned) return ILLEGAL_VALUE;
  *(pinned ? &fake_cuda.pinned : &fake_cuda.allocated) -= (int64_t)b->bytes;
  free(b->memory);
  *b = (block){0};
  return 0;
}

static char *host_of(CUdeviceptr address) { return (char *)(uintptr_t)(address ^ elsewhere); } // NOLINT

CUresult cuMemGetInfo_v2(size_t *available, size_t *total) {
  ENTER(true);
  *total = (size_t)fake_cuda.memory;
  *available = (size_t)(fake_cuda.memory - fake_cuda.allocated);
  return 0;
}

CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  ENTER(true);
  if (!bytes) return ILLEGAL_VALUE;
  if (fake_cuda.allocated + (int64_t)bytes > fake_cuda.memory) return CUDA_ERROR_OUT_OF_MEMORY;
  fake_cuda.allocated += (int64_t)bytes;
  if (fake_cuda.allocated > fake_cuda.most_allocated) fake_cuda.most_allocated = fake_cuda.allocated;
  *address = (CUdeviceptr)(uintptr_t)take_block(bytes, false)->memory ^ elsewhere;
  return 0;
}

CUresult cuMemFree_v2(CUdeviceptr address) {
  ENTER(true);
  return give_block(host_of(address), false);
}

CUresult cuMemAllocHost_v2(void **memory, size_t bytes) {
  ENTER(true);
  fake_cuda.pinned += (int64_t)bytes;
  *memory = take_block(bytes, true)->memory;
  return 0;
}

CUresult cuMemFreeHost(void *memory) {
  ENTER(true);
  return give_block(memory, true);
}

// ---- work ---------------------------------------------------------------------------------------

static CUresult added(CUstream stream);

static work *add_work(work_kind kind, CUstream stream) {
  if (queued == (int)LENGTH(queue)) abort();
  work *w = &queue[queued++];
  *w = (work){.kind = kind, .stream = stream, .number = ++numbers};
  if (recording < 0) return w;
  for (int i = 0; i < last_count; ++i) w->after[w->after_count++] = (int)(intptr_t)last[i] - 1;
  last[0] = (CUgraphNode)(intptr_t)(queued - recording); // NOLINT
  last_count = 1;
  return w;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  ENTER(true);
  work *w = add_work(WORK_IN, stream);
  w->device = to, w->host = (char *)from, w->bytes = bytes;
  note(stream->first ? "in" : "ahead");
  return added(stream);
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  ENTER(true);
  work *w = add_work(WORK_OUT, stream);
  w->device = from, w->host = to, w->bytes = bytes;
  note("out");
  return 0;
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  ENTER(true);
  work *w = add_work(WORK_COPY, stream);
  w->device = to, w->from = from, w->bytes = bytes;
  note("copy");
  return 0;
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
  ENTER(true);
  work *w = add_work(WORK_SET, stream);
  w->device = to, w->value = value, w->bytes = bytes;
  return 0;
}

static CUresult run_kernel(const work *w) {
  enum { MOST = 16 };
  void *args[MOST];
  int64_t dims[MOST] = {0};
  const kernel *k = w->kernel;
  const char *parameters = w->parameters;
  size_t bytes = parameter_bytes(k);
  if (k->table) {
    CUdeviceptr table;
    memcpy(&table, parameters, sizeof table);
    parameters = host_of(table);
    if (!find_block(parameters, bytes)) return ILLEGAL_ADDRESS;
    fake_cuda.tables++;
  }
  for (int i = 0; i < k->maps; ++i, parameters += MAP_BYTES) {
    fake_map map;
    memcpy(&map, parameters, sizeof map);
    if (!find_block(host_of(map.address), (map.rows - 1) * map.stride + 4 * map.columns)) return ILLEGAL_ADDRESS;
    fake_cuda.maps++;
  }
  for (int i = 0; i < k->args; ++i) {
    CUdeviceptr address;
    memcpy(&address, parameters + 8 * i, sizeof address);
    args[i] = host_of(address);
    block *b = find_block(args[i], 4);
    if (!b || b->pinned) return ILLEGAL_ADDRESS;
  }
  if (k->dims) memcpy(dims, parameters + 8 * k->args, 8 * (size_t)k->dims);
  fake_cuda.launches++;
  if (fake_cuda.fault && !strcmp(fake_cuda.fault, k->name) && fake_cuda.fault_at-- == 0) return ILLEGAL_ADDRESS;
  k->run(args, dims);
  return 0;
}

CUresult cuTensorMapEncodeTiled(void *to, int type, unsigned rank, CUdeviceptr address, const uint64_t *sizes,
                                const uint64_t *strides, const unsigned *box, const unsigned *steps, int interleave,
                                int swizzle, int promotion, int fill) {
  ENTER(true);
  bool right = (uintptr_t)to % 64 == 0 && type == CU_TENSOR_MAP_DATA_TYPE_FLOAT32 && rank == 3 && sizes[2] == 1 &&
               strides[0] % 16 == 0 && box[0] == 4 && box[1] == 2 && box[2] == 1 && steps[0] == 1 && !interleave &&
               swizzle == 0 && promotion == CU_TENSOR_MAP_L2_PROMOTION_L2_256B && !fill;
  if (!right) return ILLEGAL_VALUE;
  memset(to, 0xa5, MAP_BYTES);
  memcpy(to, &(fake_map){address, sizes[0], sizes[1], strides[0]}, sizeof(fake_map));
  return 0;
}

static CUresult do_work(const work *w) {
  if (w->kind == WORK_KERNEL) return run_kernel(w);
  block *b = find_block(host_of(w->device), w->bytes);
  if (!b || b->pinned) return ILLEGAL_ADDRESS;
  if (w->kind == WORK_IN) memcpy(host_of(w->device), w->host, w->bytes);
  if (w->kind == WORK_OUT) memcpy(w->host, host_of(w->device), w->bytes);
  if (w->kind == WORK_COPY && !find_block(host_of(w->from), w->bytes)) return ILLEGAL_ADDRESS;
  if (w->kind == WORK_COPY) memcpy(host_of(w->device), host_of(w->from), w->bytes);
  if (w->kind == WORK_SET) memset(host_of(w->device), w->value, w->bytes);
  return 0;
}

// The work of a stream up to a number, in its order, and what it waits for.
static CUresult finish(CUstream stream, int64_t until) {
  for (int i = 0; i < queued && !lasting; ++i) {
    work *w = &queue[i];
    if (w->stream != stream || w->done || w->number > until) continue;
    w->done = true;
    CUresult result = w->kind == WORK_WAIT ? finish(w->other, w->until) : do_work(w);
    if (result) lasting = result;
  }
  return lasting;
}

static void forget_done(void) {
  int kept = 0;
  for (int i = 0; i < queued; ++i)
    if (!queue[i].done) queue[kept++] = queue[i];
  queued = kept;
}

// After work was put on a stream.
static CUresult added(CUstream stream) {
  return stream->first || !fake_cuda.eager || recording >= 0 ? 0 : finish(stream, INT64_MAX);
}

CUresult cuStreamSynchronize(CUstream stream) {
  ENTER(true);
  if (recording >= 0) return RECORDING;
  if (stream->first) note("wait");
  CUresult result = finish(stream, INT64_MAX);
  forget_done();
  return result;
}

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  (void)flags;
  ENTER(true);
  *stream = malloc(sizeof **stream);
  (*stream)->first = !fake_cuda.streams++;
  return 0;
}

CUresult cuStreamDestroy_v2(CUstream stream) {
  for (int i = 0; i < queued; ++i) queue[i].done = queue[i].done || queue[i].stream == stream;
  forget_done();
  free(stream);
  fake_cuda.streams--;
  ENTER(true);
  return 0;
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  ENTER(true);
  if (flags || recording >= 0) return ILLEGAL_VALUE;
  if (!event->stream) return 0;
  work *w = add_work(WORK_WAIT, stream);
  w->other = event->stream, w->until = event->number;
  return added(stream);
}

CUresult cuEventCreate(CUevent *event, unsigned flags) {
  (void)flags;
  ENTER(true);
  fake_cuda.events++;
  *event = calloc(1, sizeof **event);
  return 0;
}

CUresult cuEventDestroy_v2(CUevent event) {
  free(event);
  fake_cuda.events--;
  return 0;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  ENTER(true);
  *event = (struct CUevent_st){stream, numbers};
  return 0;
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent from, CUevent to) {
  ENTER(true);
  *milliseconds = from == to ? 0 : 2;
  return 0;
}

// ---- graphs -------------------------------------------------------------------------------------

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
  (void)stream, (void)mode;
  ENTER(true);
  recording = queued;
  last_count = 0;
  note("[");
  return 0;
}

static struct CUgraph_st *copy_graph(int count, const work *from) {
  struct CUgraph_st *graph = malloc(sizeof *graph + (size_t)count * sizeof *from);
  graph->count = count;
  memcpy(graph->work, from, (size_t)count * sizeof *from);
  fake_cuda.graphs++;
  return graph;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  (void)stream;
  int from = recording, count = queued - from;
  recording = -1;
  queued = from;
  ENTER(true);
  *graph = copy_graph(count, &queue[from]);
  note("]");
  return 0;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags) {
  (void)flags;
  ENTER(true);
  *exec = (CUgraphExec)copy_graph(graph->count, graph->work);
  return 0;
}

CUresult cuStreamGetCaptureInfo_v2(CUstream stream, int *status, unsigned long long *id, CUgraph *graph,
                                   const CUgraphNode **nodes, size_t *count) {
  (void)stream, (void)id, (void)graph;
  ENTER(true);
  *status = recording >= 0;
  *nodes = last;
  *count = (size_t)last_count;
  return 0;
}

CUresult cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode *nodes, size_t count, unsigned flags) {
  (void)stream;
  ENTER(true);
  if (recording < 0 || flags != CU_STREAM_SET_CAPTURE_DEPENDENCIES || count > WAITS) return ILLEGAL_VALUE;
  for (size_t i = 0; i < count; ++i)
    if (!nodes[i]) return ILLEGAL_VALUE;
  if (count) memcpy(last, nodes, count * sizeof *nodes);
  last_count = (int)count;
  return 0;
}

static bool ready(const work *w, const bool *done) {
  for (int i = 0; i < w->after_count; ++i)
    if (!done[w->after[i]]) return false;
  return true;
}

// In the order furthest from that of the recording that its work's waits leave.
CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  const struct CUgraph_st *graph = (const struct CUgraph_st *)exec;
  bool done[LENGTH(queue)] = {false};
  ENTER(true);
  for (int n = 0; n < graph->count; ++n) {
    int i = graph->count - 1;
    while (i >= 0 && (done[i] || !ready(&graph->work[i], done))) --i;
    if (i < 0) return ILLEGAL_VALUE;
    work *w = add_work(WORK_SET, stream);
    int64_t number = w->number;
    *w = graph->work[i];
    w->number = number;
    done[i] = true;
  }
  note("graph");
  return 0;
}

CUresult cuGraphDestroy(CUgraph graph) {
  free(graph);
  fake_cuda.graphs--;
  return 0;
}

CUresult cuGraphExecDestroy(CUgraphExec exec) { return cuGraphDestroy((CUgraph)exec); }

// ---- kernels ------------------------------------------------------------------------------------

static void fake_clear(void *const *args, const int64_t *dims) { memset(args[0], 0, (size_t)dims[0]); }

static void fake_loss(void *const *args, const int64_t *dims) { // w, ids, labels, scale, loss, gradient; tokens
  fake_model_loss(args[0], args[1], args[2], *(float *)args[3], dims[0], args[5], args[4]);
}

static void fake_evaluate(void *const *args, const int64_t *dims) { // w, ids, labels, scale, loss; tokens
  fake_model_loss(args[0], args[1], args[2], *(float *)args[3], dims[0], NULL, args[4]);
}

static void fake_update(void *const *args, const int64_t *dims) { // scalars, g, w, m, v, norm
  (void)dims;
  fake_model_update(args[0], args[1], args[2], args[3], args[4], args[5]);
}

static void fake_extend(void *const *args, const int64_t *dims) { // ids, lengths, counts, cache, logits
  fake_model_extend(args[0], args[1], args[2], args[3], args[4], dims[0], dims[1], dims[2]);
}

static void fake_add(void *const *args, const int64_t *dims) { // to, from; numbers
  for (int64_t i = 0; i < dims[0]; ++i) ((float *)args[0])[i] += ((const float *)args[1])[i];
}

static void fake_sleep(void *const *args, const int64_t *dims) { // some memory; microseconds
  (void)args;
  struct timespec time = {.tv_nsec = dims[0] * 1000};
  nanosleep(&time, NULL);
}

static kernel kernels[] = {
    {"fake_sleep", fake_sleep, 1, 1, false, 0, 0},

    {"lmn_add", fake_add, 2, 1, false, 0, 0},       {"fake_clear", fake_clear, 1, 1, false, 0, 0},
    {"fake_loss", fake_loss, 6, 1, false, 0, 2},    {"fake_evaluate", fake_evaluate, 5, 1, false, 0, 0},
    {"fake_update", fake_update, 6, 0, true, 0, 0}, {"fake_extend", fake_extend, 5, 3, false, 0, 0}};

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
  ENTER(true);
  static const char ptx[] = ".version ";
  if (memcmp(image, "\177ELF", 4) && memcmp(image, ptx, sizeof ptx - 1)) return CUDA_ERROR_INVALID_IMAGE;
  fake_cuda.modules++;
  *module = (CUmodule)&fake_cuda;
  return 0;
}

CUresult cuModuleUnload(CUmodule module) {
  (void)module;
  ENTER(true);
  fake_cuda.modules--;
  return 0;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  (void)module;
  ENTER(true);
  for (size_t i = 0; i < LENGTH(kernels); ++i)
    if (!strcmp(kernels[i].name, name)) {
      *function = (CUfunction)&kernels[i];
      return 0;
    }
  return CUDA_ERROR_NOT_FOUND;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *bytes, CUmodule module, const char *name) {
  (void)module;
  ENTER(true);
  if (strcmp(name, "processors")) return CUDA_ERROR_NOT_FOUND;
  ++fake_cuda.asked;
  *address = (CUdeviceptr)&fake_cuda.told, *bytes = sizeof fake_cuda.told;
  return 0;
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
  ENTER(true);
  memcpy((void *)to, from, bytes);
  return 0;
}

CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value) {
  ENTER(true);
  if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) ((kernel *)function)->shared = value;
  return 0;
}

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared, CUstream stream, void **parameters,
                        void **extra) {
  ENTER(true);
  const kernel *k = (const kernel *)function;
  if (!parameters == !extra || !parameters == (k->maps > 0)) return ILLEGAL_VALUE;
  size_t size = extra ? *(size_t *)extra[3] : parameter_bytes(k);
  bool right = grid_x && grid_y && grid_z && block_x <= 1024 && block_y == 1 && block_z == 1;
  if (extra)
    right = right && extra[0] == CU_LAUNCH_PARAM_BUFFER_POINTER && extra[2] == CU_LAUNCH_PARAM_BUFFER_SIZE && !extra[4];
  if (!right || size != (k->table ? 8 : parameter_bytes(k))) return ILLEGAL_VALUE;
  if (shared > 48 << 10 && (int)shared > k->shared) return ILLEGAL_VALUE;
  work *w = add_work(WORK_KERNEL, stream);
  w->kernel = k;
  memcpy(w->parameters, extra ? extra[1] : parameters[0], size);
  note(k->name);
  return 0;
}
