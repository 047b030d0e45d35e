// What the runtime asks of a device: memory for the plan's spaces and the running of an entry's launches. device_cpu.c
// is one.
#ifndef LMN_DEVICE_H
#define LMN_DEVICE_H

#include "runtime/plan.h"

typedef struct device device;

// Opens kernels.so of the artifact, resolves every kernel symbol of the plan, starts the threads. threads: 0 for every
// core this process may use. Fails, naming the remedy, where the CPU lacks a feature the kernels need, a library or a
// symbol is missing.
device *device_cpu_open(const plan *p, const char *artifact, int threads, lmn_error *error);
void device_close(device *d);
int device_threads(const device *d);

// Memory of a space, 64-byte aligned, zeroed; the device keeps it until close or until it is reserved anew with another
// size. Returns NULL with a message where there is no memory. Reserving a size that is there already keeps the
// contents.
void *device_reserve(device *d, plan_space space, int64_t bytes, lmn_error *error);
void *device_space(const device *d, plan_space space);
int64_t device_bytes(const device *d); // all spaces together

// Runs the entry's launches in order over the reserved spaces; returns when all are done.
bool device_run(device *d, const plan_entry *entry, lmn_error *error);
// Runs of a vertex' layers since opening, counted as their launches are done.
int64_t device_vertex_runs(const device *d);
// With a profile: seconds of each launch, entry->launch_count of them, added up. NULL: off.
void device_profile(device *d, double *seconds);

#endif
