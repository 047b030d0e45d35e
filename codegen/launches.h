// The launches of an entry, as both back ends add them.
#ifndef LMN_CODEGEN_LAUNCHES_H
#define LMN_CODEGEN_LAUNCHES_H

#include "codegen/cost.h"

typedef struct launch_list {
  arena *arena;
  plan_entry *entry;
  int capacity;
  int64_t vertices; // of the mark before the next launch
} launch_list;

launch_list launches_of(arena *a, plan_entry *entry);
// A new launch at the end; its `what` and `group` come from the op's location and code.
plan_launch *launch_add(launch_list *l, const ir *m, MlirOperation op, launch_kind kind, const char *kernel);
void launch_arg(arena *a, plan_launch *launch, plan_ref place);
void launch_dim(arena *a, plan_launch *launch, int64_t dim);
void launch_map(arena *a, plan_launch *launch, plan_map map);

void launch_shape(arena *a, plan_launch *launch, const plan_gemm *gemm); // of a product, for people
// The shape, and what it costs, of a product that is a part of its op; bytes: of an element of A, B and C.
void launch_product(arena *a, plan_launch *launch, const plan_gemm *gemm, const int bytes[3]);
// The op whose launches begin at `first` costs that much in all: those that do not say what they cost share the rest,
// or those of them that have a shape, where one has: what follows on a product only puts its parts together.
void launches_cost(launch_list *l, int first, cost c);

// kernel.copy's runs; those that follow each other on both sides are one.
typedef struct copy_shape {
  int64_t n0, n1, columns, from0, from1, to0, to1;
} copy_shape;
copy_shape copy_shape_of(MlirOperation op);
bool copy_is_there(const copy_shape *s, plan_ref from, plan_ref to); // in its place: nothing need be copied

#endif
