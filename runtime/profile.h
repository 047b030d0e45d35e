// Where the time of training steps goes: of each launch, gathered by kernel, by what passes have put together and by
// node of the network; a table for people and a trace for Perfetto. Of every two steps one runs as usual and gives the
// step's time; the other, of the first few, launch by launch with a time for each.
#ifndef LMN_PROFILE_H
#define LMN_PROFILE_H

#include "runtime/device.h"

typedef struct profile profile;
profile *profile_create(const plan *p, const device *d); // both outlive it
void profile_destroy(profile *p);

// Around every step. The first one, which is cold, counts for nothing.
void profile_step_begin(profile *p);
void profile_step_end(profile *p, int64_t tokens);
// device_run, with a time for each launch where this step is one of those.
bool profile_run(profile *p, device *d, const plan_entry *entry, lmn_error *error);

void profile_print(const profile *p, FILE *out);
// A Chrome trace, JSON: a track each of entries, of nodes and of kernels.
bool profile_trace(const profile *p, const char *path, lmn_error *error);

#endif
