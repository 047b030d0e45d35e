// Where a compilation's time goes (--time-passes): seconds by name, in the order in which the names first came up.
#ifndef LMN_TIMINGS_H
#define LMN_TIMINGS_H

#include "runtime/base.h"

typedef struct timing {
  const char *group, *name; // "pass", "cse"; texts that live as long as the timings
  int count;                // how often
  double seconds;
} timing;

enum { TIMINGS_MAX = 64 };
typedef struct timings {
  timing items[TIMINGS_MAX];
  int count;
} timings;

// Adds what went by since `began` (clock_seconds). Returns the time now, for what comes next. t NULL: nothing is kept.
double timings_add(timings *t, const char *group, const char *name, double began);
void timings_put(timings *t, const char *group, const char *name, double seconds);

#endif
