#include "ir/timings.h"

#include <string.h>

void timings_put(timings *t, const char *group, const char *name, double seconds) {
  if (!t) return;
  int i = 0;
  while (i < t->count && (strcmp(t->items[i].name, name) || strcmp(t->items[i].group, group))) ++i;
  if (i == TIMINGS_MAX) return;
  if (i == t->count) t->items[t->count++] = (timing){.group = group, .name = name};
  ++t->items[i].count;
  t->items[i].seconds += seconds;
}

double timings_add(timings *t, const char *group, const char *name, double began) {
  double now = clock_seconds();
  timings_put(t, group, name, now - began);
  return now;
}
