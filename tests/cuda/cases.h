// What attention.c, products.c and rows.c share: an artifact with an entry for every line of the standard input, and
// cases.json, which says what each is and where its values lie. For the scripts of the same names in scripts/bench.
#ifndef LMN_TESTS_CUDA_CASES_H
#define LMN_TESTS_CUDA_CASES_H

#include "codegen/cuda/cuda.h"
#include "codegen/plan.h"

enum { CASES_MOST = 4096 };

typedef struct case_list {
  arena *arena;
  MlirContext context;
  plan *plan; // its entries have room for CASES_MOST
  cuda_codegen *cg;
  text json; // of cases.json, between the brackets
} case_list;

typedef struct case_program {
  const char *name;
  const char *target;                                         // NULL: the first argument
  bool (*add)(case_list *list, char *line, lmn_error *error); // the cases of a line; none of a comment
  bool (*check)(cuda_codegen *cg, lmn_error *error);          // of the kernels, once they are compiled
} case_program;

// No kernel spills registers; prints how many there are.
bool cases_no_spills(cuda_codegen *cg, lmn_error *error);

// The program's main: [TARGET] FOLDER <SPECS.
int cases_main(const case_program *program, int argc, char **argv);

#endif
