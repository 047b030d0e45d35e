// Other programs, and how many cores this one may use.
#ifndef LMN_CODEGEN_PROCESS_H
#define LMN_CODEGEN_PROCESS_H

#include "runtime/base.h"

// Runs a program; what it writes on its file `output_of` (1 or 2) goes to `output`. Returns its exit status, -1 if it
// could not be started.
int process_run(char *const *command, int output_of, text *output);
int process_cores(void);

#endif
