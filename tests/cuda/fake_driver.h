// What a test can ask of the fake driver: the library exports one of these as `fake_cuda`. A test that opens the
// library has the same one as the runtime under it.
#ifndef LMN_FAKE_DRIVER_H
#define LMN_FAKE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct fake_cuda_state {
  // What it says of itself.
  int version, gpus, major, minor, processors;
  const char *name; // NULL: "Fake GPU 0"
  int64_t memory;   // bytes of the GPU
  // What goes wrong: the call `fail_at` (counted from 0; -1: none) returns `fail_with`; the `fault_at`-th launch of the
  // kernel `fault` (NULL: none) has a fault, after which everything fails.
  int64_t fail_at;
  int fail_with;
  const char *fault;
  int64_t fault_at;
  bool eager; // what is copied beside a run is copied at once, not as late as it may be
  // What was done.
  int64_t calls, launches, tables, maps; // tables: launches whose parameters are an address; maps: that kernels had
  int64_t allocated, most_allocated, pinned;
  int modules, streams, events, contexts, graphs;
  int told, asked;  // the variable `processors` of every module, and how often one was asked for
  char order[4096]; // the calls that copy, launch or wait since it was emptied: "in fake_clear fake_loss out wait";
                    // ahead: a copy on another stream than the first
} fake_cuda_state;

#endif
