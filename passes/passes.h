// Every pass. A pass changes the entry's ops in place and leaves them in program order; pipeline.c says in which order
// they run and verifies after each. Those marked as optimisations may be turned off (--disable-pass): the results stay
// the same but for rounding.
#ifndef LMN_PASSES_H
#define LMN_PASSES_H

#include "ir/ir.h"

//   function        name              optimisation  title
#define LMN_PASSES(PASS)                                                                                               \
  PASS(share_vertices, "share-vertices", true, "run vertices of the same parameters once, stacked")                    \
  PASS(fuse_edges, "fuse-edges", true, "make edges of one frontier and one structure one grouped op")                  \
  PASS(reuse_masks, "reuse-masks", true, "keep one mask and one rotary table of each kind")                            \
  PASS(freeze, "freeze", false, "decide which parameters get gradients")                                               \
  PASS(lower_lmn, "lower-lmn", false, "open vertices and edges into layers")                                           \
  PASS(differentiate, "differentiate", false, "add the gradients of the trained parameters")                           \
  PASS(cse, "cse", true, "merge ops that compute the same")                                                            \
  PASS(dce, "dce", true, "remove ops that nothing reads")                                                              \
  PASS(recompute, "recompute", true, "remake in the backward pass what the memory limit does not let it keep")         \
  PASS(merge_products, "merge-products", true, "make products that edges share or add up one product")                 \
  PASS(lower_nn, "lower-nn", false, "turn layers into kernels and their bodies")                                       \
  PASS(fuse_kernels, "fuse-kernels", true, "let neighbouring kernels run as one")                                      \
  PASS(ride_products, "ride-products", true, "let row formulas run on a product's pieces as they are made")            \
  PASS(fuse_rows, "fuse-rows", true, "let row kernels over the same rows run as one")                                  \
  PASS(gather_sums, "gather-sums", true, "add up all sums by columns in one kernel at the end")                        \
  PASS(ride_attention, "ride-attention", true, "let attention turn back the gradients that it makes")                  \
  PASS(narrow, "narrow", false, "store values and weights in bf16")                                                    \
  PASS(fuse_activations, "fuse-activations", true, "make activations and gated units in the products before them")     \
  PASS(schedule, "schedule", false, "order the kernels")                                                               \
  PASS(plan_memory, "plan-memory", false, "give every value its place by its lifetime")

#define PASS(function, name, optimisation, title) bool pass_##function(ir *m, lmn_error *error);
LMN_PASSES(PASS)
#undef PASS

typedef struct pass {
  bool (*run)(ir *m, lmn_error *error);
  const char *name, *title;
  bool optimisation;
} pass;
extern const pass passes[];
extern const int pass_count;

// What sharing and reuse came to; for an entry whose lmn passes have run. vertices: what the vertex runs stand for;
// mask_uses: vertices and attending edges of the network, each of which would have a mask of its own.
void lmn_count(ir *m, int64_t *vertex_runs, int64_t *vertices, int64_t *masks, int64_t *mask_uses);

#endif
