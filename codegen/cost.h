// What an entry's kernels cost, counted from its kernel ops.
#ifndef LMN_CODEGEN_COST_H
#define LMN_CODEGEN_COST_H

#include "ir/ir.h"

typedef struct cost {
  int64_t flops; // of products and attention; a multiply-add is two
  int64_t bytes; // moved: what each kernel reads and writes, each value once, however often a cache would see it
} cost;
cost cost_of(ir *m);
cost cost_of_op(const ir *m, MlirOperation op);

#endif
