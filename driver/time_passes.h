// --time-passes: where the time of a compilation went.
#ifndef LMN_DRIVER_TIME_PASSES_H
#define LMN_DRIVER_TIME_PASSES_H

#include "ir/timings.h"

#include <jansson.h>

void time_passes_print(const timings *t, double total, FILE *out); // a table; total: seconds of the whole
json_t *time_passes_json(const timings *t, double total);

#endif
