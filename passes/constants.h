// The plan's constants: rotary tables, which kernel.buffer names "MODEL.LENGTH".
#ifndef LMN_CONSTANTS_H
#define LMN_CONSTANTS_H

#include "ir/ir.h"

// Where the table lies in SPACE_CONSTANT; it is added to the plan unless it is there.
bool constants_place(ir *m, const char *name, int64_t *offset, lmn_error *error);
// For an entry whose kernels have their places already: adds the tables that it reads to the plan.
bool constants_restore(ir *m, lmn_error *error);

#endif
