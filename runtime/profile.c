#include "runtime/profile_parts.h"

#include <stdlib.h>
#include <string.h>

enum { TIMED_STEPS = 10 };

profile *profile_create(const plan *p, const device *d) {
  profile *result = memory_zero(sizeof *result);
  result->plan = p;
  result->on = d;
  snprintf(result->device, sizeof result->device, "%s", device_name(d));
  result->rates = gpu_rates_of(result->device);
  return result;
}

void profile_destroy(profile *p) {
  if (!p) return;
  for (int i = 0; i < p->run_count; ++i) free(p->runs[i].seconds);
  free(p->runs);
  free(p->usual);
  free(p);
}

// ---- steps --------------------------------------------------------------------------------------

void profile_step_begin(profile *p) {
  p->timing = p->step % 2 == 1 && p->timed < TIMED_STEPS;
  p->step++;
  p->began = clock_seconds();
}

void profile_step_end(profile *p, int64_t tokens) {
  double seconds = clock_seconds() - p->began;
  p->tokens = tokens;
  if (p->timing) p->timed++;
  else if (p->step > 1) {
    GROW(p->usual, p->usual_count, p->usual_capacity);
    p->usual[p->usual_count++] = seconds;
  }
  p->timing = false;
}

bool profile_run(profile *p, device *d, const plan_entry *entry, lmn_error *error) {
  if (!p->timing) return device_run(d, entry, error);
  profile_run_record r = {.entry = (int)(entry - p->plan->entries),
                          .step = p->step,
                          .seconds = memory_zero((size_t)(entry->launch_count + 1) * sizeof *r.seconds)};
  device_profile(d, r.seconds);
  r.began = clock_seconds();
  bool ok = device_run(d, entry, error);
  device_profile(d, NULL);
  GROW(p->runs, p->run_count, p->run_capacity);
  p->runs[p->run_count++] = r;
  return ok;
}

// ---- launches -----------------------------------------------------------------------------------

const char *profile_group(const plan *p, const plan_launch *l) { return l->group ? p->groups[l->group - 1] : NULL; }

int profile_riders(const plan_entry *e, int i) {
  int riders = 0;
  while (i + riders + 1 < e->launch_count && e->launches[i + riders + 1].rides) ++riders;
  return riders;
}

// Without "_0123456789abcdef" at its end.
static int name_length(const char *kernel) {
  enum { HASH = 16 };
  int length = (int)strlen(kernel), hash = (int)strspn(length > HASH ? kernel + length - HASH : "", "0123456789abcdef");
  return length > HASH + 1 && hash == HASH && kernel[length - HASH - 1] == '_' ? length - HASH - 1 : length;
}

void profile_kernel(const plan_launch *l, int riders, char name[128]) {
  const char *kernel = l->kind == LAUNCH_GEMM ? "gemm" : l->kernel;
  snprintf(name, 128, "%.*s%s%s%s", name_length(kernel), kernel, l->shape ? " " : "", l->shape ? l->shape : "",
           l->kind == LAUNCH_GEMM && l->kernel ? " + epilogue" : "");
  size_t length = strlen(name);
  if (riders) snprintf(name + length, 128 - length, " + %d riding", riders);
}
