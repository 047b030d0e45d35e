// The artifact in the making: what the graph says of parameters, phases and tokens, and one entry after the other.
#ifndef LMN_CODEGEN_PLAN_H
#define LMN_CODEGEN_PLAN_H

#include "ir/ir.h"

// A plan without entries, in `a`. The parameters lie next to each other in the list's order, the parked ones behind
// the others, in bf16 with gaps between vectors and matrices; a phase's gradients in the list's order. precision: "f32"
// or "bf16".
plan *plan_create(arena *a, const graph *g, const parameter_list *parameters, const char *precision);
// How to train, of one phase; the arrays of what it trains are not filled in.
plan_phase plan_phase_of(const settings *s);
// A new entry for the scheduled, placed kernels of `m`: shape, inputs, outputs and counts; the back end adds the
// launches. `entries` has room for it.
plan_entry *plan_add_entry(plan *p, ir *m);

#endif
