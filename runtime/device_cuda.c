// A GPU as a device, through NVIDIA's driver: spaces in its memory, the plan's launches in order on one stream. Input
// and output have pinned memory of the host beside them, copied before and after a run. A run of an entry whose spaces
// have moved is done launch by launch, so that a kernel that fails is known by its name; LMN_CUDA_SYNC=1 does it
// always. The next one is recorded, copies and all, and it and those after it are one launch of that graph;
// LMN_CUDA_GRAPH=0 leaves that out. The results are the same.
#include "runtime/cuda_kernels.h"
#include "runtime/device_parts.h"
#include "runtime/safetensors_type.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct cuda_launch {
  CUfunction function;
  char *parameters; // what the kernel takes: its packed buffer, or that one's address in the tables
  size_t size;
  char *buffer; // the packed buffer: every arg's address, every dim
} cuda_launch;

typedef struct cuda_entry {
  cuda_launch *launches;
  char *memory, *table; // of all buffers; of those that go to the GPU as tables, one behind the other
  CUdeviceptr tables;
  int64_t table_bytes, layout; // layout: that the buffers are filled for
  CUgraphExec graph;           // of a whole run with these; NULL: none yet
} cuda_entry;

enum { PIECES = 8 };

struct device {
  device_base base;
  const char *artifact;
  cuda_driver cuda;
  int gpu, major, minor; // compute capability
  char name[128];
  CUdevice device;
  CUcontext context;
  CUstream stream;
  cuda_kernels kernels;
  cuda_kernel add;     // see cuda_add
  cuda_entry *entries; // of the plan
  CUdeviceptr spaces[SPACE_COUNT];
  void *host[SPACE_COUNT];               // pinned, of input and output
  int64_t layout;                        // counted up when a space moves
  bool always_sync, graphs, chain, lost; // chain: in a graph, too, each launch waits for the one before it
  pthread_mutex_t lock;                  // of the driver, and the pieces, where several threads write
  pthread_cond_t given;
  char *pieces; // PIECES of them; NULL: none yet
  bool taken[PIECES];
};

// ---- errors -------------------------------------------------------------------------------------

// Errors after which nothing more runs in this process: a kernel's fault, a GPU that went away.
static bool is_lasting(CUresult result) {
  enum { NOT_PERMITTED = 800 };
  return result == 46 || result == 214 || result == 226 || (result >= 700 && result < NOT_PERMITTED && result != 701) ||
         result == 999;
}

static bool failed(device *d, CUresult result, lmn_error *error, const char *what) {
  char text[CUDA_ERROR_TEXT];
  d->lost = d->lost || is_lasting(result);
  return fail(error, "GPU %d (%s): %s: %s%s", d->gpu, d->name, what, cuda_error_text(&d->cuda, result, text),
              cuda_remedy(result));
}

static bool fail_launch(device *d, CUresult result, const plan_launch *l, lmn_error *error) {
  char text[CUDA_ERROR_TEXT];
  d->lost = d->lost || is_lasting(result);
  return fail(error, "GPU %d (%s): %s (kernel %s) failed: %s%s", d->gpu, d->name, l->what ? l->what : "a launch",
              l->kernel, cuda_error_text(&d->cuda, result, text),
              d->lost ? "; what was in the GPU's memory is lost" : cuda_remedy(result));
}

static bool fail_run(device *d, CUresult result, lmn_error *error) {
  char text[CUDA_ERROR_TEXT];
  d->lost = true;
  return fail(error,
              "GPU %d (%s) failed: %s; what was in its memory is lost. LMN_CUDA_SYNC=1 shows in which kernel; "
              "nvidia-smi and dmesg say whether the GPU itself is at fault",
              d->gpu, d->name, cuda_error_text(&d->cuda, result, text));
}

// Makes the context current: the caller may be another thread than before.
static bool enter(device *d, lmn_error *error) {
  if (d->lost) return fail(error, "GPU %d (%s) has failed before; begin again", d->gpu, d->name);
  CUresult result = d->cuda.cuCtxSetCurrent(d->context);
  return !result || failed(d, result, error, "it cannot be used");
}

static bool wait(device *d, lmn_error *error) {
  CUresult result = d->cuda.cuStreamSynchronize(d->stream);
  return !result || fail_run(d, result, error);
}

// ---- memory -------------------------------------------------------------------------------------

static bool has_host(plan_space space) { return space == SPACE_INPUT || space == SPACE_OUTPUT; }

static void release(device *d, plan_space space) {
  if (d->spaces[space]) d->cuda.cuMemFree(d->spaces[space]);
  if (d->host[space]) d->cuda.cuMemFreeHost(d->host[space]);
  d->spaces[space] = 0;
  d->host[space] = NULL;
  d->layout++;
}

static int64_t available(const device *d) {
  size_t left = 0, total = 0;
  if (d->cuda.cuCtxSetCurrent(d->context) || d->cuda.cuMemGetInfo(&left, &total)) return INT64_MAX;
  return (int64_t)left;
}

static bool fail_memory(device *d, CUresult result, int64_t bytes, lmn_error *error) {
  if (result != CUDA_ERROR_OUT_OF_MEMORY) return failed(d, result, error, "memory cannot be had");
  return fail(error,
              "GPU %d (%s): %.1f MB cannot be had, %.1f MB are free; use a smaller batch or length, or compile "
              "with --memory-limit",
              d->gpu, d->name, (double)bytes / 1e6, (double)available(d) / 1e6);
}

// bytes of the GPU's memory, zeroed; none where bytes is 0.
static bool allocate(device *d, int64_t bytes, CUdeviceptr *address, lmn_error *error) {
  *address = 0;
  if (!bytes) return true;
  CUresult result = d->cuda.cuMemAlloc(address, (size_t)bytes);
  if (result) return *address = 0, fail_memory(d, result, bytes, error);
  result = d->cuda.cuMemsetD8Async(*address, 0, (size_t)bytes, d->stream);
  return !result || failed(d, result, error, "its memory cannot be cleared");
}

static bool reserve(device *d, plan_space space, int64_t bytes, lmn_error *error) {
  if (!enter(d, error)) return false;
  if (d->base.reserved[space] == bytes && (d->spaces[space] || !bytes)) return true;
  release(d, space);
  if (!allocate(d, bytes, &d->spaces[space], error)) return false;
  if (!has_host(space) || !bytes) return true;
  CUresult result = d->cuda.cuMemAllocHost(&d->host[space], (size_t)bytes);
  if (result) return d->host[space] = NULL, failed(d, result, error, "pinned memory of the host cannot be had");
  memset(d->host[space], 0, (size_t)bytes);
  return true;
}

static void *map(const device *d, plan_space space) { return d->host[space]; }

static bool copy_to(device *d, plan_space space, int64_t offset, const void *data, int64_t bytes, lmn_error *error) {
  CUresult result = d->cuda.cuMemcpyHtoDAsync(d->spaces[space] + (CUdeviceptr)offset, data, (size_t)bytes, d->stream);
  return !result || failed(d, result, error, "nothing can be copied to it");
}

// A piece of pinned memory, on its way to a space; parameters have their bf16 copy behind them.
enum { PIECE = 1 << 20 };

static char *take_piece(device *d, lmn_error *error) {
  char *piece = NULL;
  pthread_mutex_lock(&d->lock);
  if (!d->pieces && enter(d, error)) {
    CUresult result = d->cuda.cuMemAllocHost((void **)&d->pieces, (size_t)PIECES * (PIECE + PIECE / 2));
    if (result) d->pieces = NULL, failed(d, result, error, "pinned memory of the host cannot be had");
  }
  for (int i = 0; d->pieces && !piece;) {
    if (!d->taken[i]) d->taken[i] = true, piece = d->pieces + (size_t)i * (PIECE + PIECE / 2);
    else if (++i == PIECES) pthread_cond_wait(&d->given, &d->lock), i = 0;
  }
  pthread_mutex_unlock(&d->lock);
  return piece;
}

static void give_piece(device *d, const char *piece) {
  pthread_mutex_lock(&d->lock);
  d->taken[(size_t)(piece - d->pieces) / (PIECE + PIECE / 2)] = false;
  pthread_cond_signal(&d->given);
  pthread_mutex_unlock(&d->lock);
}

// What threads do side by side is filling their pieces; the driver is asked by one at a time.
static bool write_piece(device *d, plan_space space, int64_t offset, const void *data, int64_t bytes,
                        lmn_error *error) {
  bool weights = space == SPACE_PARAMETER && plan_is_bf16(d->base.plan);
  char *piece = take_piece(d, error);
  if (!piece) return false;
  memcpy(piece, data, (size_t)bytes);
  if (weights) floats_to_bf16((const float *)piece, bytes / (int64_t)sizeof(float), (uint16_t *)(piece + PIECE));
  pthread_mutex_lock(&d->lock);
  bool ok = enter(d, error) && copy_to(d, space, offset, piece, bytes, error) &&
            (!weights || copy_to(d, SPACE_WEIGHT, offset / 2, piece + PIECE, bytes / 2, error)) && wait(d, error);
  pthread_mutex_unlock(&d->lock);
  give_piece(d, piece);
  return ok;
}

static bool write_space(device *d, plan_space space, int64_t offset, const void *data, int64_t bytes,
                        lmn_error *error) {
  bool ok = true;
  for (int64_t at = 0; ok && at < bytes; at += PIECE)
    ok = write_piece(d, space, offset + at, (const char *)data + at, bytes - at < PIECE ? bytes - at : PIECE, error);
  return ok;
}

static bool read_space(device *d, plan_space space, int64_t offset, void *data, int64_t bytes, lmn_error *error) {
  if (!enter(d, error)) return false;
  CUresult result = d->cuda.cuMemcpyDtoHAsync(data, d->spaces[space] + (CUdeviceptr)offset, (size_t)bytes, d->stream);
  return result ? failed(d, result, error, "nothing can be copied from it") : wait(d, error);
}

static bool clear(device *d, plan_space space, lmn_error *error) {
  if (!enter(d, error)) return false;
  CUresult result = d->cuda.cuMemsetD8Async(d->spaces[space], 0, (size_t)d->base.reserved[space], d->stream);
  return !result || failed(d, result, error, "its memory cannot be cleared");
}

static bool copy_space(device *d, plan_space to, plan_space from, int64_t bytes, lmn_error *error) {
  if (!enter(d, error)) return false;
  CUresult result = d->cuda.cuMemcpyDtoDAsync(d->spaces[to], d->spaces[from], (size_t)bytes, d->stream);
  return !result || failed(d, result, error, "its memory cannot be copied");
}

static bool add_space(device *d, plan_space to, plan_space from, int64_t bytes, lmn_error *error) {
  if (!enter(d, error)) return false;
  CUresult result = cuda_add(&d->cuda, &d->add, d->spaces[to], d->spaces[from], bytes / 4, d->stream);
  return !result || failed(d, result, error, "numbers cannot be added in its memory");
}

// ---- parameters of the launches -----------------------------------------------------------------

enum { TABLE_MULTIPLE = 16 };

static size_t buffer_size(const plan_launch *l) { return (size_t)plan_parameter_bytes(l); }

static size_t table_size(const plan_launch *l) {
  return l->table ? (buffer_size(l) + TABLE_MULTIPLE - 1) / TABLE_MULTIPLE * TABLE_MULTIPLE : 0;
}

// Where each launch's buffer lies: tables together, so that they are one copy.
static void lay_out(device *d, int index) {
  const plan_entry *entry = &d->base.plan->entries[index];
  cuda_entry *e = &d->entries[index];
  size_t bytes = 0, tables = 0;
  for (int i = 0; i < entry->launch_count; ++i) {
    tables += table_size(&entry->launches[i]);
    bytes += entry->launches[i].table ? sizeof(CUdeviceptr) : buffer_size(&entry->launches[i]);
  }
  e->launches = memory_zero((size_t)(entry->launch_count + 1) * sizeof *e->launches);
  e->memory = memory_zero(tables + bytes + 1);
  e->table_bytes = (int64_t)tables;
  char *table = e->table = e->memory, *buffer = e->memory + tables;
  for (int i = 0; i < entry->launch_count; ++i) {
    const plan_launch *l = &entry->launches[i];
    cuda_launch *to = &e->launches[i];
    *to = (cuda_launch){.function = cuda_kernels_find(&d->kernels, l->kernel),
                        .parameters = buffer,
                        .size = l->table ? sizeof(CUdeviceptr) : buffer_size(l),
                        .buffer = l->table ? table : buffer};
    table += table_size(l);
    buffer += to->size;
  }
  e->layout = -1;
}

static void drop_graph(const device *d, cuda_entry *e) {
  if (e->graph) d->cuda.cuGraphExecDestroy(e->graph);
  e->graph = NULL;
}

// sizes, strides, box: fastest first; strides in bytes, of all but the fastest.
static bool encode_map(device *d, const plan_launch *l, const plan_map *m, char *to, lmn_error *error) {
  enum { MAP_ALIGNMENT = 64 };
  _Alignas(MAP_ALIGNMENT) char map[CUDA_MAP_BYTES] = "";
  const uint64_t sizes[] = {(uint64_t)m->columns, (uint64_t)m->rows, (uint64_t)m->count};
  const uint64_t strides[] = {(uint64_t)m->row_stride, (uint64_t)m->stride};
  const unsigned box[] = {(unsigned)m->box_columns, (unsigned)m->box_rows, 1}, steps[] = {1, 1, 1};
  int type = m->bytes == 2 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32, swizzle = 0;
  while (m->swizzle >> swizzle > 16) ++swizzle; // 32, 64, 128: 1, 2, 3
  CUdeviceptr address = d->spaces[m->at.space] + (CUdeviceptr)m->at.offset;
  CUresult result = d->cuda.cuTensorMapEncodeTiled(map, type, LENGTH(sizes), address, sizes, strides, box, steps, 0,
                                                   swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, 0);
  if (result) return fail_launch(d, result, l, error);
  memcpy(to, map, sizeof map);
  return true;
}

static bool fill_buffer(device *d, const plan_launch *l, char *buffer, lmn_error *error) {
  for (int i = 0; i < l->map_count; ++i, buffer += CUDA_MAP_BYTES)
    if (!encode_map(d, l, &l->maps[i], buffer, error)) return false;
  for (int i = 0; i < l->arg_count; ++i, buffer += sizeof(CUdeviceptr)) {
    CUdeviceptr address = d->spaces[l->args[i].space] + (CUdeviceptr)l->args[i].offset;
    memcpy(buffer, &address, sizeof address);
  }
  if (l->dim_count) memcpy(buffer, l->dims, 8 * (size_t)l->dim_count);
  return true;
}

// The addresses of where the spaces are now.
static bool fill_entry(device *d, int index, lmn_error *error) {
  const plan_entry *entry = &d->base.plan->entries[index];
  cuda_entry *e = &d->entries[index];
  drop_graph(d, e);
  if (e->table_bytes && !e->tables && !allocate(d, e->table_bytes, &e->tables, error)) return false;
  for (int i = 0; i < entry->launch_count; ++i) {
    const cuda_launch *l = &e->launches[i];
    if (!fill_buffer(d, &entry->launches[i], l->buffer, error)) return false;
    CUdeviceptr address = e->tables + (CUdeviceptr)(l->buffer - e->table);
    if (entry->launches[i].table) memcpy(l->parameters, &address, sizeof address);
  }
  if (!e->table_bytes) return true;
  CUresult result = d->cuda.cuMemcpyHtoDAsync(e->tables, e->table, (size_t)e->table_bytes, d->stream);
  return result ? failed(d, result, error, "nothing can be copied to it") : wait(d, error);
}

// ---- running ------------------------------------------------------------------------------------

static bool launch(device *d, const plan_launch *l, const cuda_launch *c, lmn_error *error) {
  size_t size = c->size;
  void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, c->parameters, CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                   CU_LAUNCH_PARAM_END};
  void *parameters[] = {c->parameters}; // with maps: only the driver knows how far from their start they are aligned
  CUresult result = d->cuda.cuLaunchKernel(c->function, (unsigned)l->grid[0], (unsigned)l->grid[1],
                                           (unsigned)l->grid[2], (unsigned)l->block, 1, 1, (unsigned)l->shared,
                                           d->stream, l->map_count ? parameters : NULL, l->map_count ? NULL : extra);
  return !result || fail_launch(d, result, l, error);
}

static bool copy_in(device *d, const plan_entry *entry, lmn_error *error) {
  if (!entry->input_bytes) return true;
  CUresult result =
      d->cuda.cuMemcpyHtoDAsync(d->spaces[SPACE_INPUT], d->host[SPACE_INPUT], (size_t)entry->input_bytes, d->stream);
  return !result || failed(d, result, error, "the input cannot be copied to it");
}

static bool copy_out(device *d, const plan_entry *entry, lmn_error *error) {
  if (!entry->output_bytes) return true;
  CUresult result =
      d->cuda.cuMemcpyDtoHAsync(d->host[SPACE_OUTPUT], d->spaces[SPACE_OUTPUT], (size_t)entry->output_bytes, d->stream);
  return !result || failed(d, result, error, "the output cannot be copied from it");
}

static bool run_all(device *d, int index, lmn_error *error) {
  const plan_entry *entry = &d->base.plan->entries[index];
  bool ok = copy_in(d, entry, error);
  for (int i = 0; ok && i < entry->launch_count; ++i)
    ok = launch(d, &entry->launches[i], &d->entries[index].launches[i], error);
  return ok && copy_out(d, entry, error);
}

// The nodes of what is recorded of an entry.
typedef struct recording {
  CUgraphNode *nodes, start; // of each launch; of the copy of the input, NULL: there is none
  bool *waited;              // of each launch: another one waits for it
  CUgraphNode *wanted;
} recording;

static bool recorded(device *d, CUgraphNode *node, lmn_error *error) {
  const CUgraphNode *nodes;
  size_t count;
  int status;
  CUresult result = d->cuda.cuStreamGetCaptureInfo(d->stream, &status, NULL, NULL, &nodes, &count);
  *node = !result && count == 1 ? nodes[0] : NULL;
  return !result || failed(d, result, error, "a run cannot be recorded");
}

// What is recorded next waits for the first `count` of r->wanted, or the start.
static bool wait_for(device *d, recording *r, size_t count, lmn_error *error) {
  if (!count && r->start) r->wanted[count++] = r->start;
  CUresult result =
      d->cuda.cuStreamUpdateCaptureDependencies(d->stream, r->wanted, count, CU_STREAM_SET_CAPTURE_DEPENDENCIES);
  return !result || failed(d, result, error, "a run cannot be recorded");
}

static bool record_launch(device *d, int index, int i, recording *r, lmn_error *error) {
  const plan_launch *l = &d->base.plan->entries[index].launches[i];
  size_t count = 0;
  for (int k = 0; k < (l->ordered ? l->after_count : i > 0); ++k) {
    int64_t other = l->ordered ? l->after[k] : i - 1;
    r->wanted[count++] = r->nodes[other];
    r->waited[other] = true;
  }
  return wait_for(d, r, count, error) && launch(d, l, &d->entries[index].launches[i], error) &&
         recorded(d, &r->nodes[i], error);
}

// Recorded, each launch waits for those alone that it has to.
static bool record_all(device *d, int index, recording *r, lmn_error *error) {
  const plan_entry *entry = &d->base.plan->entries[index];
  bool ok = copy_in(d, entry, error) && recorded(d, &r->start, error);
  for (int i = 0; ok && i < entry->launch_count; ++i) ok = record_launch(d, index, i, r, error);
  size_t last = 0;
  for (int i = 0; i < entry->launch_count; ++i)
    if (!r->waited[i]) r->wanted[last++] = r->nodes[i];
  return ok && wait_for(d, r, last, error) && copy_out(d, entry, error);
}

static bool record_run(device *d, int index, lmn_error *error) {
  size_t count = (size_t)d->base.plan->entries[index].launch_count + 1;
  recording r = {.nodes = memory_zero(count * sizeof *r.nodes),
                 .waited = memory_zero(count * sizeof *r.waited),
                 .wanted = memory_zero(count * sizeof *r.wanted)};
  bool ok = d->chain ? run_all(d, index, error) : record_all(d, index, &r, error);
  free(r.nodes);
  free(r.waited);
  free(r.wanted);
  return ok;
}

// What run_all asks for, recorded and not done. A GPU without memory for the graph does without.
static bool record(device *d, int index, lmn_error *error) {
  CUgraph graph = NULL;
  CUresult result = d->cuda.cuStreamBeginCapture(d->stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
  if (result) return failed(d, result, error, "a run cannot be recorded");
  bool ok = record_run(d, index, error);
  result = d->cuda.cuStreamEndCapture(d->stream, &graph);
  if (ok && !result) result = d->cuda.cuGraphInstantiateWithFlags(&d->entries[index].graph, graph, 0);
  if (graph) d->cuda.cuGraphDestroy(graph);
  if (!result) return ok;
  d->entries[index].graph = NULL;
  if (ok && result == CUDA_ERROR_OUT_OF_MEMORY) d->graphs = false;
  else failed(d, result, error, "a run cannot be recorded");
  return ok && !d->graphs;
}

static bool run_graph(device *d, int index, lmn_error *error) {
  if (!d->entries[index].graph && !record(d, index, error)) return false;
  if (!d->entries[index].graph) return run_all(d, index, error);
  CUresult result = d->cuda.cuGraphLaunch(d->entries[index].graph, d->stream);
  return !result || fail_run(d, result, error);
}

// Waits for every launch, so that one that fails is known.
static bool run_one_by_one(device *d, int index, lmn_error *error) {
  const plan_entry *entry = &d->base.plan->entries[index];
  if (!copy_in(d, entry, error)) return false;
  for (int i = 0; i < entry->launch_count; ++i) {
    if (!launch(d, &entry->launches[i], &d->entries[index].launches[i], error)) return false;
    CUresult result = d->cuda.cuStreamSynchronize(d->stream);
    if (result) return fail_launch(d, result, &entry->launches[i], error);
  }
  return copy_out(d, entry, error);
}

// An event before the first launch and after each, on the GPU's own clock.
static bool run_profiled(device *d, int index, lmn_error *error) {
  const plan_entry *entry = &d->base.plan->entries[index];
  int count = entry->launch_count + 1;
  CUevent *events = memory_zero((size_t)count * sizeof *events);
  CUresult result = 0;
  bool ok = copy_in(d, entry, error);
  for (int i = 0; i < count && !result; ++i) result = d->cuda.cuEventCreate(&events[i], 0);
  if (!result) result = d->cuda.cuEventRecord(events[0], d->stream);
  for (int i = 0; i + 1 < count && !result && ok; ++i) {
    ok = launch(d, &entry->launches[i], &d->entries[index].launches[i], error);
    if (ok) result = d->cuda.cuEventRecord(events[i + 1], d->stream);
  }
  ok = ok && !result && copy_out(d, entry, error) && wait(d, error);
  for (int i = 0; i + 1 < count && ok && !result; ++i) {
    float milliseconds = 0;
    result = d->cuda.cuEventElapsedTime(&milliseconds, events[i], events[i + 1]);
    d->base.profile[i] += milliseconds * 1e-3;
  }
  if (result) ok = failed(d, result, error, "events cannot be had");
  for (int i = 0; i < count; ++i)
    if (events[i]) d->cuda.cuEventDestroy(events[i]);
  free(events);
  return ok;
}

static bool run(device *d, int index, lmn_error *error) {
  const plan_entry *entry = &d->base.plan->entries[index];
  cuda_entry *e = &d->entries[index];
  if (!enter(d, error)) return false;
  bool moved = e->layout != d->layout;
  if (moved && !fill_entry(d, index, error)) return false;
  e->layout = d->layout;
  bool ok = d->base.profile           ? run_profiled(d, index, error)
            : moved || d->always_sync ? run_one_by_one(d, index, error)
            : d->graphs               ? run_graph(d, index, error)
                                      : run_all(d, index, error);
  ok = ok && wait(d, error);
  if (!ok) e->layout = -1; // the next one, if there is, looks closer
  for (int i = 0; ok && i < entry->launch_count; ++i) d->base.vertex_runs += entry->launches[i].vertices > 0;
  return ok;
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
  return !result || failed(d, result, error, "it says nothing of itself");
}

static bool start(device *d, lmn_error *error) {
  CUresult result = d->cuda.cuDevicePrimaryCtxRetain(&d->context, d->device);
  if (result) return d->context = NULL, failed(d, result, error, "it cannot be used");
  if (!enter(d, error)) return false;
  result = d->cuda.cuStreamCreate(&d->stream, CU_STREAM_NON_BLOCKING);
  return !result || failed(d, result, error, "it has no stream");
}

static bool says(const char *variable, bool usually) {
  const char *value = getenv(variable);
  return value && *value ? strcmp(value, "0") != 0 : usually;
}

static bool open_device(device *d, lmn_error *error) {
  d->always_sync = says("LMN_CUDA_SYNC", false);
  d->graphs = says("LMN_CUDA_GRAPH", true);
  d->chain = !strcmp(getenv("LMN_CUDA_GRAPH") ? getenv("LMN_CUDA_GRAPH") : "", "chain");
  double began = clock_seconds();
  if (!cuda_driver_open(&d->cuda, error) || !find_gpu(d, error) || !check_capability(d, error) || !start(d, error))
    return false;
  device_started(d, "driver", clock_seconds() - began);
  began = clock_seconds();
  if (!cuda_kernels_load(&d->cuda, d->base.plan, d->artifact, &d->kernels, error)) return false;
  device_started(d, "kernels", clock_seconds() - began);
  for (int i = 0; i < d->base.plan->entry_count; ++i) lay_out(d, i);
  return true;
}

static void close_device(device *d) {
  if (d->context && !d->cuda.cuCtxSetCurrent(d->context)) {
    for (int i = 0; i < SPACE_COUNT; ++i) release(d, (plan_space)i);
    if (d->pieces) d->cuda.cuMemFreeHost(d->pieces);
    for (int i = 0; i < d->base.plan->entry_count; ++i) {
      drop_graph(d, &d->entries[i]);
      if (d->entries[i].tables) d->cuda.cuMemFree(d->entries[i].tables);
    }
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
                                             .write = write_space,
                                             .read = read_space,
                                             .clear = clear,
                                             .copy = copy_space,
                                             .add = add_space,
                                             .run = run};
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
