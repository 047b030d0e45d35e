#ifndef LMN_RANDOM_REPORT_H
#define LMN_RANDOM_REPORT_H

#include "subject.h"

// Writes a network that fails to `folder` with its parameters and its batch, prints it and how it is seen again.
void report_failure(kernel_store *k, const char *folder, const char *lmn, run_shape shape, int variant);

#endif
