// Compiled code before it is opened: the loader maps it, or the driver reads it, and dies of a file that was cut short.
#ifndef LMN_LIBRARY_H
#define LMN_LIBRARY_H

#include "runtime/base.h"

// Whether `path` is a 64-bit ELF shared object whose segments and section table all lie within the file.
bool library_check(const char *path, lmn_error *error);
// Whether these bytes are an ELF file for NVIDIA's GPUs whose tables and sections all lie within it.
bool cubin_whole(const char *data, size_t length);

#endif
