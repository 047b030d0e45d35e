// summary --kernels: what each kernel for a GPU needs of it.
#ifndef LMN_KERNEL_TABLE_H
#define LMN_KERNEL_TABLE_H

#include "driver/compile.h"

bool kernel_table_print(compilation *c, const entry_shape *shapes, int count, bool json, lmn_error *error);

#endif
