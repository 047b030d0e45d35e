// Between the host and the spaces of a GPU, in pieces through a little pinned memory: copies to and from other memory
// are several times slower. What threads do side by side is filling and emptying their pieces; the driver is asked by
// one at a time.
#include "runtime/device_cuda.h"
#include "runtime/safetensors_type.h"
#include "runtime/threads.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// A piece, and behind it what parameters have in SPACE_WEIGHT.
enum { PIECE = 1 << 20, WITH_WEIGHTS = PIECE + PIECE / 2 };

typedef struct copy {
  device *d;
  plan_space space;
  int64_t offset, bytes;
  const char *from; // of a write
  char *to;         // of a read
  atomic_llong next;
  atomic_bool failed;
  pthread_mutex_t mutex; // of *error
  lmn_error *error;
} copy;

// ---- pieces -------------------------------------------------------------------------------------

static char *take_piece(device *d, lmn_error *error) {
  char *piece = NULL;
  pthread_mutex_lock(&d->lock);
  if (!d->pieces && gpu_enter(d, error)) {
    CUresult result = d->cuda.cuMemAllocHost((void **)&d->pieces, (size_t)PIECES * WITH_WEIGHTS);
    if (result) d->pieces = NULL, gpu_failed(d, result, error, "pinned memory of the host cannot be had");
  }
  for (int i = 0; d->pieces && !piece;) {
    if (!d->taken[i]) d->taken[i] = true, piece = d->pieces + (size_t)i * WITH_WEIGHTS;
    else if (++i == PIECES) pthread_cond_wait(&d->given, &d->lock), i = 0;
  }
  pthread_mutex_unlock(&d->lock);
  return piece;
}

static void give_piece(device *d, const char *piece) {
  pthread_mutex_lock(&d->lock);
  d->taken[(size_t)(piece - d->pieces) / WITH_WEIGHTS] = false;
  pthread_cond_signal(&d->given);
  pthread_mutex_unlock(&d->lock);
}

static bool send(device *d, plan_space space, int64_t offset, const char *piece, int64_t bytes, lmn_error *error) {
  CUresult result = d->cuda.cuMemcpyHtoDAsync(d->spaces[space] + (CUdeviceptr)offset, piece, (size_t)bytes, d->stream);
  return !result || gpu_failed(d, result, error, "nothing can be copied to it");
}

static bool fetch(device *d, plan_space space, int64_t offset, char *piece, int64_t bytes, lmn_error *error) {
  CUresult result = d->cuda.cuMemcpyDtoHAsync(piece, d->spaces[space] + (CUdeviceptr)offset, (size_t)bytes, d->stream);
  return !result || gpu_failed(d, result, error, "nothing can be copied from it");
}

// How many of `bytes` at `offset` the GPU has; those behind are parked, at *parked.
static int64_t on_gpu(const device *d, plan_space space, int64_t offset, int64_t bytes, char **parked) {
  int64_t all = d->base.plan->parameter_bytes - d->base.parked, here = all > offset ? all - offset : 0;
  if (space != SPACE_PARAMETER || !d->parked || here >= bytes) return bytes;
  *parked = d->parked + (offset + here - all);
  return here;
}

static bool write_piece(const copy *c, char *piece, int64_t at, int64_t bytes, lmn_error *error) {
  device *d = c->d;
  bool weights = c->space == SPACE_PARAMETER && plan_is_bf16(d->base.plan);
  char *parked = NULL;
  int64_t offset = c->offset + at, here = on_gpu(d, c->space, offset, bytes, &parked);
  memcpy(piece, c->from + at, (size_t)bytes);
  if (parked) memcpy(parked, piece + here, (size_t)(bytes - here));
  if (weights) floats_to_bf16((const float *)piece, bytes / (int64_t)sizeof(float), (uint16_t *)(piece + PIECE));
  pthread_mutex_lock(&d->lock);
  bool ok = gpu_enter(d, error) && (!here || send(d, c->space, offset, piece, here, error)) &&
            (!weights || send(d, SPACE_WEIGHT, offset / 2, piece + PIECE, bytes / 2, error)) && gpu_wait(d, error);
  pthread_mutex_unlock(&d->lock);
  return ok;
}

static bool read_piece(const copy *c, char *piece, int64_t at, int64_t bytes, lmn_error *error) {
  device *d = c->d;
  char *parked = NULL;
  int64_t here = on_gpu(d, c->space, c->offset + at, bytes, &parked);
  if (parked) memcpy(c->to + at + here, parked, (size_t)(bytes - here));
  if (!here) return true;
  pthread_mutex_lock(&d->lock);
  bool ok = gpu_enter(d, error) && fetch(d, c->space, c->offset + at, piece, here, error) && gpu_wait(d, error);
  pthread_mutex_unlock(&d->lock);
  if (ok) memcpy(c->to + at, piece, (size_t)here);
  return ok;
}

static bool copy_piece(const copy *c, int64_t at, lmn_error *error) {
  int64_t bytes = c->bytes - at < PIECE ? c->bytes - at : PIECE;
  char *piece = take_piece(c->d, error);
  if (!piece) return false;
  bool ok = c->to ? read_piece(c, piece, at, bytes, error) : write_piece(c, piece, at, bytes, error);
  give_piece(c->d, piece);
  return ok;
}

// ---- threads ------------------------------------------------------------------------------------

static void *copy_pieces(void *context) {
  copy *c = context;
  for (int64_t at; !atomic_load(&c->failed) && (at = atomic_fetch_add(&c->next, PIECE)) < c->bytes;) {
    lmn_error own = {0};
    if (copy_piece(c, at, &own)) continue;
    pthread_mutex_lock(&c->mutex);
    if (!atomic_exchange(&c->failed, true)) fail(c->error, "%s", own.text);
    pthread_mutex_unlock(&c->mutex);
  }
  return NULL;
}

// Several threads where there is much: what others copy meanwhile waits for pieces.
static bool copy_all(copy *c) {
  enum { LARGE = 64 * PIECE, THREADS = 6 };
  pthread_t threads[THREADS];
  int started = 0, wanted = c->bytes < LARGE ? 0 : cores_available() - 1;
  if (wanted > THREADS) wanted = THREADS;
  while (started < wanted && !pthread_create(&threads[started], NULL, copy_pieces, c)) ++started;
  copy_pieces(c); // what no other thread could be started for is done here
  for (int i = 0; i < started; ++i) pthread_join(threads[i], NULL);
  return !atomic_load(&c->failed);
}

bool gpu_write(device *d, plan_space space, int64_t offset, const void *data, int64_t bytes, lmn_error *error) {
  copy c = {.d = d, .space = space, .offset = offset, .bytes = bytes, .from = data, .error = error};
  c.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
  return copy_all(&c);
}

bool gpu_read(device *d, plan_space space, int64_t offset, void *data, int64_t bytes, lmn_error *error) {
  copy c = {.d = d, .space = space, .offset = offset, .bytes = bytes, .to = data, .error = error};
  c.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
  return copy_all(&c);
}
