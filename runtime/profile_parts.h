// Shared by profile*.c only.
#ifndef LMN_PROFILE_PARTS_H
#define LMN_PROFILE_PARTS_H

#include "runtime/gpu_rates.h"
#include "runtime/profile.h"

typedef struct profile_run_record { // one run of an entry, launch by launch
  int entry;                        // of plan.entries
  int64_t step;
  double began, *seconds; // on the host's clock; of each launch, one after the other
} profile_run_record;

struct profile {
  const plan *plan;
  const struct device *on;
  char device[160];
  const gpu_rates *rates; // NULL: not known
  int64_t step, tokens;   // steps begun; tokens of a step
  double began;
  profile_run_record *runs;
  int run_count, run_capacity;
  int64_t timed; // steps in these
  double *usual; // seconds of the steps that ran as usual
  int usual_count, usual_capacity;
  bool timing; // this step is one of the timed
};

const char *profile_group(const plan *p, const plan_launch *l); // the names; NULL: of no one node
// The launch's kernel without the hash in its name, and its shape.
void profile_kernel(const plan_launch *l, int riders, char name[128]);
// Launches that ride on the i-th.
int profile_riders(const plan_entry *e, int i);

#endif
