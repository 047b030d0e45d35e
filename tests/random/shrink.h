#ifndef LMN_RANDOM_SHRINK_H
#define LMN_RANDOM_SHRINK_H

#include "spec.h"

// Whether a changed network is one, and fails as the first did.
typedef bool still_fails(const net_spec *candidate, void *user);
void spec_shrink(net_spec *s, still_fails *fails, void *user);

#endif
