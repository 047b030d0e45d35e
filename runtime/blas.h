// Single-threaded products by OpenBLAS, opened when a device first needs it.
#ifndef LMN_BLAS_H
#define LMN_BLAS_H

#include "codegen/cpu/abi.h"
#include "runtime/base.h"

// Fills host->sgemm. Fails, naming the package, where OpenBLAS is not installed. The library stays open as long as the
// process.
bool blas_open(struct kernel_host *host, lmn_error *error);

#endif
