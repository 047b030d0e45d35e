// What each launch waits for.
#ifndef LMN_CODEGEN_ORDER_H
#define LMN_CODEGEN_ORDER_H

#include "ir/ir.h"

// Sets `after` of the entry's launches: op i of `ops` has those from first[i] up to first[i + 1]. What lies in the
// arena from `scratch` on is memory between the launches of one op, and two ops that have some never run at once.
void order_launches(arena *a, ir *m, const op_list *ops, const int *first, int64_t scratch, plan_entry *entry);

#endif
