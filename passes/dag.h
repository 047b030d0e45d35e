// The ops of an entry as a graph: whose results each op reads. Right also while program order is not, so that a pass
// may put a merged op anywhere and let dag_sort mend the order.
#ifndef LMN_DAG_H
#define LMN_DAG_H

#include "ir/ir.h"

typedef struct dag {
  op_list ops;    // in program order; an op's index here is its number
  op_code *codes; // of each op
  int *operands;  // numbers of the ops that op i reads, an op as often as it is read: operands[starts[i]] up to
  int *starts;    // operands[starts[i + 1]]
} dag;

dag dag_of(ir *m);
// The same, the other way: the ops that read op i's results.
typedef struct dag_users {
  int *users, *starts;
} dag_users;
dag_users dag_users_of(ir *m, const dag *d);
// Moves every op that stands before one it reads behind it; all others keep their order.
void dag_sort(ir *m);

#endif
