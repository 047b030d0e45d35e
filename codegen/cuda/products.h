// A product as the files of the CUDA back end that make kernels of it see it.
#ifndef LMN_CUDA_PRODUCTS_H
#define LMN_CUDA_PRODUCTS_H

#include "codegen/cuda/cuda.h"

// See kernel.gemm's glu.
typedef enum { GLU_NONE, GLU_VALUE, GLU_GRAD } glu_form;

typedef struct product {
  plan_gemm gemm;
  int64_t pieces; // of all groups
  bool several;   // pieces a group
  const char *body;
  int kinds, rows, extras; // kinds of columns, of rows
  bool lists;
  int64_t *first; // where several: of every group, and their end
  cuda_product_types types;
  const char *row_type, *extra_type;
  glu_form glu;
  bool stored; // C: only a product with a gated unit's value can be without
} product;

// Of one element: sums that the epilogue takes, and what lies beside it in memory, read and written.
static inline int sums_of(const product *p) { return p->glu == GLU_VALUE ? 2 : 1; }
static inline int row_parts(const product *p) { return p->glu == GLU_GRAD ? 2 : p->rows; }
static inline int result_parts(const product *p) { return (p->glu ? 2 * p->stored : 1) + p->extras; }

// products_sm90.c: a product by wgmma and TMA. Whether it is one for that kernel; `launch` has all args.
bool sm90_takes(const cuda_entry *e, const plan_launch *launch, const product *p);
// Completes the launch, which has all args and the first dims; `s`: with the body in it.
bool sm90_product(cuda_entry *e, plan_launch *launch, const product *p, cuda_source *s, lmn_error *error);

// products_sm90_trials.c: notes the product, whose launch has all args and the first dims, in the entry's trials.
bool sm90_try(cuda_entry *e, const plan_launch *launch, const product *p, const cuda_source *s, bool staged,
              lmn_error *error);

#endif
