// Input ahead of its run: from pinned memory of the host, by a stream of its own, to memory beside the input space, and
// from there into the space in front of the run that takes it. A GPU without memory for that does without.
#include "runtime/device_cuda.h"

#include <string.h>

static bool open_ahead(device *d, lmn_error *error) {
  cuda_ahead *a = &d->ahead;
  size_t bytes = (size_t)d->base.reserved[SPACE_INPUT];
  CUresult result = d->cuda.cuMemAlloc(&a->there, bytes);
  if (result) a->there = 0;
  if (!result && (result = d->cuda.cuMemAllocHost(&a->host, bytes))) a->host = NULL;
  if (!result && (result = d->cuda.cuStreamCreate(&a->stream, CU_STREAM_NON_BLOCKING))) a->stream = NULL;
  if (!result && (result = d->cuda.cuEventCreate(&a->sent, CU_EVENT_DISABLE_TIMING))) a->sent = NULL;
  if (!result && (result = d->cuda.cuEventCreate(&a->taken, CU_EVENT_DISABLE_TIMING))) a->taken = NULL;
  if (!result) return true;
  gpu_drop_ahead(d);
  a->none = true;
  return result == CUDA_ERROR_OUT_OF_MEMORY || gpu_failed(d, result, error, "input cannot be copied ahead");
}

void gpu_drop_ahead(device *d) {
  cuda_ahead *a = &d->ahead;
  if (a->stream) d->cuda.cuStreamSynchronize(a->stream);
  if (a->taken) d->cuda.cuEventDestroy(a->taken);
  if (a->sent) d->cuda.cuEventDestroy(a->sent);
  if (a->stream) d->cuda.cuStreamDestroy(a->stream);
  if (a->host) d->cuda.cuMemFreeHost(a->host);
  if (a->there) d->cuda.cuMemFree(a->there);
  *a = (cuda_ahead){0};
}

// What was sent before has left the host's memory: it was, a step ago.
bool gpu_ahead(device *d, void **host, lmn_error *error) {
  cuda_ahead *a = &d->ahead;
  if (!gpu_enter(d, error)) return false;
  if (!a->host && !a->none && d->base.reserved[SPACE_INPUT] && !open_ahead(d, error)) return false;
  *host = a->host;
  if (!a->host) return true;
  CUresult result = d->cuda.cuStreamSynchronize(a->stream);
  return !result || gpu_fail_run(d, result, error);
}

bool gpu_send_ahead(device *d, int64_t bytes, lmn_error *error) {
  cuda_ahead *a = &d->ahead;
  CUresult result = d->cuda.cuStreamWaitEvent(a->stream, a->taken, 0); // what was there has been taken
  if (!result) result = d->cuda.cuMemcpyHtoDAsync(a->there, a->host, (size_t)bytes, a->stream);
  if (!result) result = d->cuda.cuEventRecord(a->sent, a->stream);
  a->bytes = result ? 0 : bytes;
  return !result || gpu_failed(d, result, error, "input cannot be copied ahead");
}

bool gpu_take_ahead(device *d) { return d->ahead.wanted = d->ahead.bytes > 0; }

bool gpu_copy_ahead(device *d, lmn_error *error) {
  cuda_ahead *a = &d->ahead;
  CUresult result = d->cuda.cuStreamWaitEvent(d->stream, a->sent, 0);
  if (!result) result = d->cuda.cuMemcpyDtoDAsync(d->spaces[SPACE_INPUT], a->there, (size_t)a->bytes, d->stream);
  if (!result) result = d->cuda.cuEventRecord(a->taken, d->stream);
  a->bytes = 0;
  return !result || gpu_failed(d, result, error, "the input cannot be copied to it");
}
