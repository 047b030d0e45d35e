// The resolved network as lmn ops: the level that passes/ start from.
#ifndef LMN_BUILD_H
#define LMN_BUILD_H

#include "ir/ir.h"

// Fills the empty entry `m` with the ops of its graph for m->shape: every arrow, mask and vertex on its own, nothing
// shared yet. Not for update entries, which have no network. Fails where the shape is impossible.
bool ir_build_lmn(ir *m, lmn_error *error);

#endif
