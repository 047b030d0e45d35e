#include "runtime/schedule.h"

#include <math.h>

const char *const schedule_names[3] = {"constant", "linear", "cosine"};

double schedule_rate(int kind, double rate, int64_t warmup, double final, int64_t step, int64_t steps) {
  if (step < warmup) return rate * (double)(step + 1) / (double)(warmup + 1);
  if (kind == RATE_CONSTANT) return rate;
  double part = steps > warmup ? (double)(step - warmup) / (double)(steps - warmup) : 1;
  if (part > 1) part = 1;
  double height = kind == RATE_LINEAR ? 1 - part : 0.5 * (1 + cos(M_PI * part));
  return rate * (final + (1 - final) * height);
}
