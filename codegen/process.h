// Other programs, and the cores that this one may use.
#ifndef LMN_CODEGEN_PROCESS_H
#define LMN_CODEGEN_PROCESS_H

#include "runtime/base.h"

// Runs a program; what it writes on its file `output_of` (1 or 2) goes to `output`. Returns its exit status, -1 if it
// could not be started.
int process_run(char *const *command, int output_of, text *output);
int process_cores(void);
// Calls work(user) in as many threads as there are cores, but `count` at most; returns when all have returned. Their
// stacks suit compilers, which recurse deeply: what a thread gets by default depends on the shell's limits.
void process_side_by_side(int count, void *(*work)(void *), void *user);

#endif
