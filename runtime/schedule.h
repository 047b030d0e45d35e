// The learning rate over a phase's steps.
#ifndef LMN_SCHEDULE_H
#define LMN_SCHEDULE_H

#include "runtime/base.h"

enum { RATE_CONSTANT, RATE_LINEAR, RATE_COSINE }; // plan_phase.schedule
extern const char *const schedule_names[3];

// Of step 0 … steps - 1: rises in equal amounts over `warmup` steps, is `rate` at step `warmup`, then stays (constant),
// or falls in a line or half a cosine, so that it would be final * rate at step `steps` (with final = 0 the last step
// still learns a little).
double schedule_rate(int kind, double rate, int64_t warmup, double final, int64_t step, int64_t steps);

#endif
