// What kernels can be compiled for.
#ifndef LMN_TARGET_H
#define LMN_TARGET_H

#include "runtime/base.h"

typedef struct target {
  const char *name, *title;
  bool cuda;
  bool rides;     // a product hands its pieces to row kernels as they are made (see ride-products)
  bool activates; // products make the activation behind them, in bf16 a gated unit too (see fuse-activations)
} target;
extern const target cpu_target;
// NULL is "cpu". NULL, with a message that lists all: there is none of that name.
const target *target_find(const char *name, lmn_error *error);

#endif
