#ifndef LMN_RANDOM_BREAK_H
#define LMN_RANDOM_BREAK_H

#include "runtime/base.h"

bool break_pass(const char *name, lmn_error *error); // from now on that pass is wrong

#endif
