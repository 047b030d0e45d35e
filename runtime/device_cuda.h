// Shared by device_cuda*.c only.
#ifndef LMN_DEVICE_CUDA_H
#define LMN_DEVICE_CUDA_H

#include "runtime/cuda_kernels.h"
#include "runtime/device_parts.h"

#include <pthread.h>

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

// device_cuda_ahead.c
typedef struct cuda_ahead {
  CUstream stream;
  CUevent sent, taken; // the host's memory has been copied to `there`; that into the input space
  CUdeviceptr there;   // as large as the input space, as is host
  void *host;          // pinned; NULL: none yet, or `none`: none can be had
  int64_t bytes;       // that were sent and not taken yet
  bool wanted, none;   // wanted: by the next run
} cuda_ahead;

struct device {
  device_base base;
  const char *artifact;
  cuda_driver cuda;
  int gpu, major, minor; // compute capability
  int processors;        // multiprocessors that this process may use
  char name[128];
  CUdevice device;
  CUcontext context;
  CUstream stream;
  cuda_kernels kernels;
  loaded_kernel add;   // see cuda_add
  cuda_entry *entries; // of the plan
  CUdeviceptr spaces[SPACE_COUNT];
  void *host[SPACE_COUNT]; // pinned, of input and output
  cuda_ahead ahead;
  char *parked;   // the last base.parked bytes of SPACE_PARAMETER; NULL: there are none
  int64_t layout; // counted up when a space moves
  bool always_sync, graphs;
  bool chain, wide;     // in a graph each launch waits for the one before it, or for those alone that it has to, always
  CUresult lost;        // after which nothing more runs; 0: none
  pthread_mutex_t lock; // of the driver, and the pieces, where several threads write
  pthread_cond_t given;
  char *pieces; // PIECES of them; NULL: none yet
  bool taken[PIECES];
};

// Errors, which say of which GPU. fail_run: of a run, after which nothing of its memory is known.
bool gpu_failed(device *d, CUresult result, lmn_error *error, const char *what);
bool gpu_fail_launch(device *d, CUresult result, const plan_launch *l, lmn_error *error);
bool gpu_fail_run(device *d, CUresult result, lmn_error *error);
bool gpu_enter(device *d, lmn_error *error); // makes the context current: the caller may be another thread than before
bool gpu_wait(device *d, lmn_error *error);
// bytes of the GPU's memory, zeroed; none where bytes is 0.
bool gpu_allocate(device *d, int64_t bytes, CUdeviceptr *address, lmn_error *error);

// device_cuda_copy.c: see device_write, device_read
bool gpu_write(device *d, plan_space space, int64_t offset, const void *data, int64_t bytes, lmn_error *error);
bool gpu_read(device *d, plan_space space, int64_t offset, void *data, int64_t bytes, lmn_error *error);

// device_cuda_ahead.c: see device_ahead, device_send_ahead, device_take_ahead; copy: what was taken, in front of a run.
bool gpu_ahead(device *d, void **host, lmn_error *error);
bool gpu_send_ahead(device *d, int64_t bytes, lmn_error *error);
bool gpu_take_ahead(device *d);
bool gpu_copy_ahead(device *d, lmn_error *error);
void gpu_drop_ahead(device *d); // its memory, when the input space's goes

// device_cuda_run.c
void gpu_lay_out(device *d, int index); // an entry, before its first run
void gpu_drop(device *d, int index);    // what the GPU has of it
bool gpu_run(device *d, int index, lmn_error *error);

#endif
