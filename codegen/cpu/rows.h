// What the kernels over rows (rows.c, columns.c, glu.c) share, and kernel.row's special case, which rows.c hands on.
#ifndef LMN_CPU_ROWS_H
#define LMN_CPU_ROWS_H

#include "codegen/cpu/cpu.h"
#include "codegen/cpu/kernel_text.h"

int64_t rows_grain(int64_t columns); // of such rows, as many as are worth handing to a thread
void rows_finish(cpu_entry *e, kernel_text *k, const char *name); // the text is whole: adds and frees it

bool cpu_is_long_sum(cpu_entry *e, MlirOperation op); // adds up many rows and does nothing else
bool cpu_emit_long_sum(cpu_entry *e, MlirOperation op);

#endif
