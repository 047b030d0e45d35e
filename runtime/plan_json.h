// What plan_write.c and plan_read.c agree on.
#ifndef LMN_PLAN_JSON_H
#define LMN_PLAN_JSON_H

#include "runtime/plan.h"

enum { PLAN_FORMAT = 1 }; // counted up when a plan written before can no longer be read

static const char *const source_names[] = {"tensor", "normal", "ones", "zeros"}; // source_kind's order
static const char *const type_names[] = {"f32", "i32"};                          // plan_type's order

#endif
