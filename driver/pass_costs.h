// lmnc summary --passes: what each pass is worth.
#ifndef LMN_DRIVER_PASS_COSTS_H
#define LMN_DRIVER_PASS_COSTS_H

#include "driver/compile.h"

// What the user pays for an entry. Before the kernel level an entry has no launches and no memory, so the cost "after a
// pass" is that of the entry compiled with the optimisations up to that pass and without all later ones. A pass that
// every answer needs thus costs what the one before it does.
typedef struct entry_cost {
  int64_t vertex_runs, launches, flops, bytes, arena_bytes;
} entry_cost;

typedef struct pass_cost {
  const char *pass;
  bool optimisation, off; // off: --disable-pass
  entry_cost before, after;
} pass_cost;

typedef struct pass_costs {
  const char *entry; // its name in the artifact
  pass_cost *passes; // in the order in which they run
  int count;
} pass_costs;

bool pass_costs_count(compilation *c, entry_shape shape, pass_costs *result, lmn_error *error);
void pass_costs_print(const pass_costs *costs, FILE *out);
void pass_costs_print_json(const compilation *c, const pass_costs *costs, FILE *out);

#endif
