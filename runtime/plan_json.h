// What plan_write.c and plan_read.c agree on.
#ifndef LMN_PLAN_JSON_H
#define LMN_PLAN_JSON_H

#include "runtime/plan.h"

enum { PLAN_FORMAT = 3 }; // counted up when a plan written before can no longer be read

static const char *const source_names[] = {"tensor", "normal", "ones", "zeros"}; // source_kind's order
static const char *const type_names[] = {"f32", "i32"};                          // plan_type's order
static const char usual_precision[] = "f32";                                     // left out

// A place is a space's letter and the offset: "a4096" is byte 4096 of the arena. A launch has many, and JSON readers
// are slow a value, so its args are one string of them, "i0 p64 a4096", and its dims one of numbers. A product is "nt+
// m n k lda ldb ldc groups": A as it is, B transposed, added to C; a launch of CUDA "grid x y z, threads, bytes of
// shared memory". A tensor map is "place, bytes of an element, columns, rows, count, stride of rows, of matrices, box
// columns, rows, swizzle", without the commas.
static const char space_letters[] = "pgmvaiockw"; // plan_space's order; what comes after them is in no plan
static const char space_legend[] =
    "p parameter, g gradient, m moment1, v moment2, a arena, i input, o output, c constant, k cache, w weight";

// plan_check.c: false, and why, where a value of the entry that the runtime knows by its name has another size.
enum { PLAN_WHY = 256 };
bool plan_check_entry(const plan *p, const plan_entry *e, char why[PLAN_WHY]);
// The same, where the driver could not take a tensor map or it goes beyond the `bytes` of its space.
bool plan_check_map(const plan_map *m, int64_t bytes, char why[PLAN_WHY]);

#endif
