// What the user sees of a training: a bar that is redrawn on a terminal, now and then a plain line elsewhere.
#ifndef LMN_PROGRESS_H
#define LMN_PROGRESS_H

#include "runtime/base.h"

typedef struct progress {
  FILE *out; // NULL: silent
  bool terminal;
  const char *phase;
  int64_t first, steps; // of the phase: the step it began (or went on) at, and the last one
  double began, drawn, smoothed, weight, validation, tokens;
  double rest; // what follows on the phase, as a multiple of it; 0: nothing
} progress;

void progress_open(progress *p, FILE *out);
void progress_phase(progress *p, const char *phase, int64_t first, int64_t steps, double rest);
// After a step: `tokens` of this step. A validation loss is shown until the next one; NAN: none now.
void progress_step(progress *p, int64_t step, double loss, double validation, int64_t tokens);
void progress_validation(progress *p, int64_t done, int64_t all);           // in between, on a terminal
void progress_line(progress *p, const char *format, ...) PRINTF_LIKE(2, 3); // a line of its own, above the bar
void progress_close(progress *p);                                           // leaves the last state of the bar standing
// "1:05:09", "3:20" in `buffer`.
const char *progress_duration(double seconds, char buffer[32]);

#endif
