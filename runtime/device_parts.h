// What device.c and the kinds of devices share. Each kind has a `struct device` of its own, which begins with a
// device_base; what comes after that only its own functions know.
#ifndef LMN_DEVICE_PARTS_H
#define LMN_DEVICE_PARTS_H

#include "runtime/device.h"

// As the functions of device.h. write, read, clear, copy and add are asked of spaces that are not mapped alone: a kind
// that maps them all leaves these out.
typedef struct device_functions {
  void (*close)(device *d);
  int (*threads)(const device *d);
  const char *(*name)(const device *d); // NULL: "CPU"
  bool (*reserve)(device *d, plan_space space, int64_t bytes, lmn_error *error);
  int64_t (*available)(const device *d); // NULL: not known
  void *(*map)(const device *d, plan_space space);
  bool (*write)(device *d, plan_space space, int64_t offset, const void *data, int64_t bytes, lmn_error *error);
  bool (*read)(device *d, plan_space space, int64_t offset, void *data, int64_t bytes, lmn_error *error);
  bool (*clear)(device *d, plan_space space, lmn_error *error);
  bool (*copy)(device *d, plan_space to, plan_space from, int64_t bytes, lmn_error *error);
  bool (*add)(device *d, plan_space to, plan_space from, int64_t bytes, lmn_error *error);
  bool (*run)(device *d, int entry, lmn_error *error);     // of plan.entries; its spaces are there
  bool (*ahead)(device *d, void **host, lmn_error *error); // NULL, as those below: there is no such memory
  bool (*send_ahead)(device *d, int64_t bytes, lmn_error *error);
  bool (*take_ahead)(device *d);
} device_functions;

typedef struct device_base {
  const device_functions *functions;
  const plan *plan;
  int64_t reserved[SPACE_COUNT]; // bytes
  int64_t parked;                // of those, what a GPU has in the host's memory
  int64_t most;                  // of all, ever
  int64_t vertex_runs;
  double *profile; // NULL: off
  start_part starts[DEVICE_STARTS];
  int start_count;
  void (*meanwhile)(void *context); // NULL: nothing
  void *meanwhile_context;
} device_base;

void device_do_meanwhile(device *d); // once: what there is to do beside a run

device *device_cpu_open(const plan *p, const char *artifact, int threads, lmn_error *error);
device *device_cuda_open(const plan *p, const char *artifact, int gpu, lmn_error *error);

#endif
