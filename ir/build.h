// What an entry starts as.
#ifndef LMN_BUILD_H
#define LMN_BUILD_H

#include "ir/ir.h"

// Fills the empty entry `m` with the ops of its graph for m->shape: every arrow, mask and vertex on its own, nothing
// shared yet: the lmn level, where passes/ start. Not for update entries, which have no network. Fails where the shape
// is impossible.
bool ir_build_lmn(ir *m, lmn_error *error);
// The update entry of phase m->shape.phase: gradient norm and AdamW, as scheduled kernels; only places are missing.
bool ir_build_update(ir *m, lmn_error *error);
// Elements of kernel.gradient_norm's workspace: one partial sum of squares a block of NORM_BLOCK gradients.
enum { NORM_BLOCK = 65536 };
static inline int64_t ir_norm_blocks(int64_t gradient_bytes) {
  return (gradient_bytes / 4 + NORM_BLOCK - 1) / NORM_BLOCK;
}

#endif
