// kernel.row's special case, which rows.c hands on.
#ifndef LMN_CPU_ROWS_H
#define LMN_CPU_ROWS_H

#include "codegen/cpu/cpu.h"

bool cpu_is_long_sum(cpu_entry *e, MlirOperation op); // adds up many rows and does nothing else
bool cpu_emit_long_sum(cpu_entry *e, MlirOperation op);

#endif
