// The launches of an entry on a GPU. A run of an entry whose spaces have moved is done launch by launch, so that a
// kernel that fails is known by its name; LMN_CUDA_SYNC=1 does it always. The next one is recorded, the output's copy
// too, and it and those after it are the input's copy and one launch of that graph; LMN_CUDA_GRAPH=0 leaves that out.
// In the graph a launch waits for those that the plan says; where launches are long, for the one before it, which is
// faster (is_chain). LMN_CUDA_GRAPH=wide and chain do the one or the other always. The results are the same.
#include "runtime/device_cuda.h"

#include <stdlib.h>
#include <string.h>

// ---- parameters of the launches -----------------------------------------------------------------

// As many bytes as a kernel may have for its parameters: the driver reads what the kernel says, not what the plan does.
enum { TABLE_MULTIPLE = 16, PARAMETERS_MOST = 32764 };

static size_t buffer_size(const plan_launch *l) { return (size_t)plan_parameter_bytes(l); }

static size_t table_size(const plan_launch *l) {
  return l->table ? (buffer_size(l) + TABLE_MULTIPLE - 1) / TABLE_MULTIPLE * TABLE_MULTIPLE : 0;
}

// Where each launch's buffer lies: tables together, so that they are one copy.
void gpu_lay_out(device *d, int index) {
  const plan_entry *entry = &d->base.plan->entries[index];
  cuda_entry *e = &d->entries[index];
  size_t bytes = 0, tables = 0;
  for (int i = 0; i < entry->launch_count; ++i) {
    tables += table_size(&entry->launches[i]);
    bytes += entry->launches[i].table ? sizeof(CUdeviceptr) : buffer_size(&entry->launches[i]);
  }
  e->launches = memory_zero((size_t)(entry->launch_count + 1) * sizeof *e->launches);
  e->memory = memory_zero(tables + bytes + PARAMETERS_MOST);
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
  const uint64_t sizes[] = {(uint64_t)m->columns, (uint64_t)m->pieces, (uint64_t)m->rows, (uint64_t)m->count};
  const uint64_t strides[] = {(uint64_t)(m->columns * m->bytes), (uint64_t)m->row_stride, (uint64_t)m->stride};
  const unsigned box[] = {(unsigned)m->box_columns, (unsigned)m->box_pieces, (unsigned)m->box_rows, 1};
  const unsigned steps[] = {1, 1, 1, 1};
  int type = m->bytes == 2 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32, swizzle = 0;
  while (m->swizzle >> swizzle > 16) ++swizzle; // 32, 64, 128: 1, 2, 3
  CUdeviceptr address = d->spaces[m->at.space] + (CUdeviceptr)m->at.offset;
  const int whole = !m->pieces; // rows are no pieces: one dimension less
  uint64_t size[LENGTH(sizes)] = {sizes[0]};
  unsigned boxed[LENGTH(sizes)] = {box[0]};
  for (size_t i = 1; i + whole < LENGTH(sizes); ++i) size[i] = sizes[i + whole], boxed[i] = box[i + whole];
  CUresult result = d->cuda.cuTensorMapEncodeTiled(map, type, LENGTH(sizes) - whole, address, size, strides + whole,
                                                   boxed, steps, 0, swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, 0);
  if (result) return gpu_fail_launch(d, result, l, error);
  memcpy(to, map, sizeof map);
  return true;
}

static bool fill_buffer(device *d, const plan_launch *l, char *buffer, lmn_error *error) {
  const cuda_room room = plan_room(l);
  char *args = buffer + CUDA_MAP_BYTES * room.maps, *dims = args + 8 * room.args;
  for (int i = 0; i < l->map_count; ++i)
    if (!encode_map(d, l, &l->maps[i], buffer + (size_t)CUDA_MAP_BYTES * i, error)) return false;
  for (int i = 0; i < l->arg_count; ++i) {
    CUdeviceptr address = d->spaces[l->args[i].space] + (CUdeviceptr)l->args[i].offset;
    memcpy(args + sizeof address * i, &address, sizeof address);
  }
  if (l->dim_count) memcpy(dims, l->dims, 8 * (size_t)l->dim_count);
  return true;
}

// The addresses of where the spaces are now.
static bool fill_entry(device *d, int index, lmn_error *error) {
  const plan_entry *entry = &d->base.plan->entries[index];
  cuda_entry *e = &d->entries[index];
  drop_graph(d, e);
  if (e->table_bytes && !e->tables && !gpu_allocate(d, e->table_bytes, &e->tables, error)) return false;
  for (int i = 0; i < entry->launch_count; ++i) {
    const cuda_launch *l = &e->launches[i];
    if (!fill_buffer(d, &entry->launches[i], l->buffer, error)) return false;
    CUdeviceptr address = e->tables + (CUdeviceptr)(l->buffer - e->table);
    if (entry->launches[i].table) memcpy(l->parameters, &address, sizeof address);
  }
  if (!e->table_bytes) return true;
  CUresult result = d->cuda.cuMemcpyHtoDAsync(e->tables, e->table, (size_t)e->table_bytes, d->stream);
  return result ? gpu_failed(d, result, error, "nothing can be copied to it") : gpu_wait(d, error);
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
  return !result || gpu_fail_launch(d, result, l, error);
}

static bool copy_in(device *d, const plan_entry *entry, bool ahead, lmn_error *error) {
  if (!entry->input_bytes) return true;
  if (ahead) return gpu_copy_ahead(d, error);
  CUresult result =
      d->cuda.cuMemcpyHtoDAsync(d->spaces[SPACE_INPUT], d->host[SPACE_INPUT], (size_t)entry->input_bytes, d->stream);
  return !result || gpu_failed(d, result, error, "the input cannot be copied to it");
}

static bool copy_out(device *d, const plan_entry *entry, lmn_error *error) {
  if (!entry->output_bytes) return true;
  CUresult result =
      d->cuda.cuMemcpyDtoHAsync(d->host[SPACE_OUTPUT], d->spaces[SPACE_OUTPUT], (size_t)entry->output_bytes, d->stream);
  return !result || gpu_failed(d, result, error, "the output cannot be copied from it");
}

static bool run_all(device *d, int index, lmn_error *error) {
  const plan_entry *entry = &d->base.plan->entries[index];
  bool ok = true;
  for (int i = 0; ok && i < entry->launch_count; ++i)
    ok = launch(d, &entry->launches[i], &d->entries[index].launches[i], error);
  return ok && copy_out(d, entry, error);
}

// The nodes of what is recorded of an entry.
typedef struct recording {
  CUgraphNode *nodes; // of each launch
  bool *waited;       // of each launch: another one waits for it
  CUgraphNode *wanted;
} recording;

static bool recorded(device *d, CUgraphNode *node, lmn_error *error) {
  const CUgraphNode *nodes;
  size_t count;
  int status;
  CUresult result = d->cuda.cuStreamGetCaptureInfo(d->stream, &status, NULL, NULL, &nodes, &count);
  *node = !result && count == 1 ? nodes[0] : NULL;
  return !result || gpu_failed(d, result, error, "a run cannot be recorded");
}

// What is recorded next waits for the first `count` of r->wanted.
static bool wait_for(device *d, recording *r, size_t count, lmn_error *error) {
  CUresult result =
      d->cuda.cuStreamUpdateCaptureDependencies(d->stream, r->wanted, count, CU_STREAM_SET_CAPTURE_DEPENDENCIES);
  return !result || gpu_failed(d, result, error, "a run cannot be recorded");
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
  bool ok = true;
  for (int i = 0; ok && i < entry->launch_count; ++i) ok = record_launch(d, index, i, r, error);
  size_t last = 0;
  for (int i = 0; i < entry->launch_count; ++i)
    if (!r->waited[i]) r->wanted[last++] = r->nodes[i];
  return ok && wait_for(d, r, last, error) && copy_out(d, entry, error);
}

// Measured on an H100: with 52 to 56 GFLOP a launch (Qwen2.5-0.5B, 1/4/4/4/1) a chain is 3 % faster, with 15 and 20 as
// fast, with 24 0.8 % slower.
static bool is_chain(const device *d, const plan_entry *entry) {
  const int64_t enough = 40000000000; // FLOP a launch
  return d->chain || (!d->wide && entry->launch_count && entry->flops / entry->launch_count >= enough);
}

static bool record_run(device *d, int index, lmn_error *error) {
  size_t count = (size_t)d->base.plan->entries[index].launch_count + 1;
  recording r = {.nodes = memory_zero(count * sizeof *r.nodes),
                 .waited = memory_zero(count * sizeof *r.waited),
                 .wanted = memory_zero(count * sizeof *r.wanted)};
  bool ok = is_chain(d, &d->base.plan->entries[index]) ? run_all(d, index, error) : record_all(d, index, &r, error);
  free(r.nodes);
  free(r.waited);
  free(r.wanted);
  return ok;
}

// What run_all asks for, recorded and not done. A GPU without memory for the graph does without.
static bool record(device *d, int index, lmn_error *error) {
  CUgraph graph = NULL;
  CUresult result = d->cuda.cuStreamBeginCapture(d->stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
  if (result) return gpu_failed(d, result, error, "a run cannot be recorded");
  bool ok = record_run(d, index, error);
  result = d->cuda.cuStreamEndCapture(d->stream, &graph);
  if (ok && !result) result = d->cuda.cuGraphInstantiateWithFlags(&d->entries[index].graph, graph, 0);
  if (graph) d->cuda.cuGraphDestroy(graph);
  if (!result) return ok;
  d->entries[index].graph = NULL;
  if (ok && result == CUDA_ERROR_OUT_OF_MEMORY) d->graphs = false;
  else gpu_failed(d, result, error, "a run cannot be recorded");
  return ok && !d->graphs;
}

static bool run_graph(device *d, int index, lmn_error *error) {
  if (!d->entries[index].graph && !record(d, index, error)) return false;
  if (!d->entries[index].graph) return run_all(d, index, error);
  CUresult result = d->cuda.cuGraphLaunch(d->entries[index].graph, d->stream);
  return !result || gpu_fail_run(d, result, error);
}

// Waits for every launch, so that one that fails is known.
static bool run_one_by_one(device *d, int index, lmn_error *error) {
  const plan_entry *entry = &d->base.plan->entries[index];
  for (int i = 0; i < entry->launch_count; ++i) {
    if (!launch(d, &entry->launches[i], &d->entries[index].launches[i], error)) return false;
    CUresult result = d->cuda.cuStreamSynchronize(d->stream);
    if (result) return gpu_fail_launch(d, result, &entry->launches[i], error);
  }
  return copy_out(d, entry, error);
}

// An event before the first launch and after each, on the GPU's own clock.
static bool run_profiled(device *d, int index, lmn_error *error) {
  const plan_entry *entry = &d->base.plan->entries[index];
  int count = entry->launch_count + 1;
  CUevent *events = memory_zero((size_t)count * sizeof *events);
  CUresult result = 0;
  bool ok = true;
  for (int i = 0; i < count && !result; ++i) result = d->cuda.cuEventCreate(&events[i], 0);
  if (!result) result = d->cuda.cuEventRecord(events[0], d->stream);
  for (int i = 0; i + 1 < count && !result && ok; ++i) {
    ok = launch(d, &entry->launches[i], &d->entries[index].launches[i], error);
    if (ok) result = d->cuda.cuEventRecord(events[i + 1], d->stream);
  }
  ok = ok && !result && copy_out(d, entry, error) && gpu_wait(d, error);
  for (int i = 0; i + 1 < count && ok && !result; ++i) {
    float milliseconds = 0;
    result = d->cuda.cuEventElapsedTime(&milliseconds, events[i], events[i + 1]);
    d->base.profile[i] += milliseconds * 1e-3;
  }
  if (result) ok = gpu_failed(d, result, error, "events cannot be had");
  for (int i = 0; i < count; ++i)
    if (events[i]) d->cuda.cuEventDestroy(events[i]);
  free(events);
  return ok;
}

bool gpu_run(device *d, int index, lmn_error *error) {
  const plan_entry *entry = &d->base.plan->entries[index];
  cuda_entry *e = &d->entries[index];
  bool ahead = d->ahead.wanted;
  d->ahead.wanted = false; // by this run alone, however far it comes
  if (!gpu_enter(d, error)) return false;
  bool moved = e->layout != d->layout;
  if (moved && !fill_entry(d, index, error)) return false;
  e->layout = d->layout;
  bool ok = copy_in(d, entry, ahead, error);
  if (ok)
    ok = d->base.profile           ? run_profiled(d, index, error)
         : moved || d->always_sync ? run_one_by_one(d, index, error)
         : d->graphs               ? run_graph(d, index, error)
                                   : run_all(d, index, error);
  if (ok) device_do_meanwhile(d);
  ok = ok && gpu_wait(d, error);
  if (!ok) e->layout = -1; // the next one, if there is, looks closer
  for (int i = 0; ok && i < entry->launch_count; ++i) d->base.vertex_runs += entry->launches[i].vertices > 0;
  return ok;
}

void gpu_drop(device *d, int index) {
  cuda_entry *e = &d->entries[index];
  drop_graph(d, e);
  if (e->tables) d->cuda.cuMemFree(e->tables);
}
