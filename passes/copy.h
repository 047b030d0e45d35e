// A copy of a whole value, as a kernel.
#ifndef LMN_COPY_H
#define LMN_COPY_H

#include "ir/ir.h"

MlirValue copy_of(builder *b, MlirValue v, MlirType type); // type: v's, or the same shape of other elements

#endif
