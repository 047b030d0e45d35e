// lower-nn's three files: lower_nn.c (the pass, moves and all the rest), lower_nn_products.c, lower_nn_rows.c.
#ifndef LMN_LOWER_NN_H
#define LMN_LOWER_NN_H

#include "ir/ir.h"

typedef struct lowering {
  ir *m;
  builder b;
} lowering;

// What all of them use.
MlirValue lower_operand(lowering *l, MlirOperation op, int i);
MlirValue *lower_segment(lowering *l, MlirOperation op, int index, int *count);
void lower_replace(MlirOperation op, MlirOperation with); // all results
// Segment `index` of x, of `rows` rows; x: a matrix or a number a row.
MlirValue lower_view(lowering *l, MlirValue x, int64_t rows, int64_t index);
MlirValue lower_row(lowering *l, const MlirValue *rows, int row_count, const MlirValue *columns, int column_count,
                    int64_t groups, const char *body, MlirType type); // kernel.row of one stage

// lower_nn_products.c
// y = x Wᵀ + b, and dx = dy W, which is the same product with the weight the other way round.
void lower_product(lowering *l, MlirOperation op, bool transposed);
void lower_weight_gradient(lowering *l, MlirOperation op);

// lower_nn_rows.c
void lower_norm(lowering *l, MlirOperation op);
void lower_norm_dx(lowering *l, MlirOperation op);
void lower_norm_dw(lowering *l, MlirOperation op);
void lower_column_sum(lowering *l, MlirOperation op);
void lower_activation(lowering *l, MlirOperation op, bool gradient);
void lower_glu(lowering *l, MlirOperation op, bool gradient);
void lower_add(lowering *l, MlirOperation op);

#endif
