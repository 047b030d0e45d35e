// What the runtime asks of a device: memory for the plan's spaces and the running of an entry's launches. The kinds,
// device_cpu.c and device_cuda.c, are tables of functions behind this (device_parts.h).
#ifndef LMN_DEVICE_H
#define LMN_DEVICE_H

#include "runtime/plan.h"

typedef struct device device;

typedef struct device_options {
  int threads; // of the CPU; 0: every core this process may use
  int gpu;     // which of the GPUs that the driver shows
} device_options;

// Opens the device that plan.target says, with the kernels of the artifact. Fails, naming the remedy, where the device
// is missing or cannot run them.
device *device_open(const plan *p, const char *artifact, const device_options *options, lmn_error *error);
void device_close(device *d);
int device_threads(const device *d);      // of the CPU; 1 of a GPU
const char *device_name(const device *d); // of a GPU: as its driver says it; "CPU"

// Where the time from the start of a program to the end of its first step goes, in parts ("driver", "parameters"): in
// seconds, added up by name, which is to be a constant.
enum { DEVICE_STARTS = 12 };
typedef struct start_part {
  const char *what;
  double seconds;
} start_part;
void device_started(device *d, const char *what, double seconds);
const start_part *device_starts(const device *d, int *count);

// Memory of a space, 64-byte aligned, zeroed; the device keeps it until close or until it is reserved anew with another
// size. False with a message where there is no memory. Reserving a size that is there already keeps the contents.
bool device_reserve(device *d, plan_space space, int64_t bytes, lmn_error *error);
int64_t device_bytes(const device *d);      // all spaces together
int64_t device_most_bytes(const device *d); // the most that they ever were
int64_t device_available(const device *d);  // bytes that could be reserved besides; INT64_MAX: that is not known

// A space's bytes in the host's memory, or NULL: they are on a GPU, reached by write and read alone. Input and output
// are always there: a GPU gets the one before a run and gives the other after it.
void *device_map(const device *d, plan_space space);
// write: also by several threads at once, to places of their own.
bool device_write(device *d, plan_space space, int64_t offset, const void *data, int64_t bytes, lmn_error *error);
bool device_read(device *d, plan_space space, int64_t offset, void *data, int64_t bytes, lmn_error *error);
bool device_clear(device *d, plan_space space, lmn_error *error); // zeros
// The first bytes of one space become those of another, or are added to it, as float32.
bool device_copy(device *d, plan_space to, plan_space from, int64_t bytes, lmn_error *error);
bool device_add(device *d, plan_space to, plan_space from, int64_t bytes, lmn_error *error);

// Runs the entry's launches in order over the reserved spaces; returns when all are done.
bool device_run(device *d, const plan_entry *entry, lmn_error *error);
// Work of the host's beside a run: done once, in the next one, before it waits for the device; never on the CPU, whose
// runs are the host's own work. NULL: none.
void device_meanwhile(device *d, void (*work)(void *context), void *context);
// Input ahead of its run. ahead: memory of the host, as large as the input space, for a later run's; *host NULL: there
// is none, as on the CPU. send: its first bytes begin to be copied, beside what the device is at. take: the next run
// reads what was sent, not what is in the input space's own memory; false: nothing is there, or the space has moved.
bool device_ahead(device *d, void **host, lmn_error *error);
bool device_send_ahead(device *d, int64_t bytes, lmn_error *error);
bool device_take_ahead(device *d);
// Runs of a vertex' layers since opening, counted as their launches are done.
int64_t device_vertex_runs(const device *d);
// With a profile: seconds of each launch, entry->launch_count of them, added up. NULL: off.
void device_profile(device *d, double *seconds);

#endif
