// A part of fuse-rows: norms that the backward pass makes again.
#ifndef LMN_FUSE_REMADE_H
#define LMN_FUSE_REMADE_H

#include "ir/ir.h"

void fuse_remade(ir *m);

#endif
