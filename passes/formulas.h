// The row formulas that kernels run, as bodies (private functions of float32 scalars) of the entry's module. Each is
// written once here and lowered by every back end. Names say what they compute; the same name is the same function.
#ifndef LMN_FORMULAS_H
#define LMN_FORMULAS_H

#include "ir/ir.h"

// (x1 … xn) -> scale (x1 + … + xn). With scale 1 the name starts with "sum", see formula_is_sum.
const char *formula_sum(ir *m, int count, double scale);
bool formula_is_sum(const char *name);
const char *formula_bias(ir *m, int count); // (x, b1 … bn) -> x + b1 + … + bn
// kind: gelu_tanh, gelu_erf, silu, relu.
const char *formula_activation(ir *m, const char *kind);      // x -> y
const char *formula_activation_grad(ir *m, const char *kind); // (x, dy) -> dx
const char *formula_glu(ir *m, const char *kind);             // (gate, up) -> y
const char *formula_glu_grad(ir *m, const char *kind);        // (gate, up, dy) -> (dgate, dup)
const char *formula_glu_grad_value(ir *m, const char *kind);  // (gate, up, dy) -> (dgate, dup, y)
const char *formula_glu_kind(const char *body);               // of formula_glu's

// The stages of a kernel.row (see ops.def).
typedef struct row_formula {
  const char *stages[3], *reductions[2], *finish;
  int stage_count;
} row_formula;
row_formula formula_norm(ir *m, const char *kind, int64_t columns, double eps);
row_formula formula_norm_dx(ir *m, const char *kind, int64_t columns);
const char *formula_norm_dw(ir *m, const char *kind); // (dy, x, rstd[, mean]) -> term of dw
const char *formula_norm_value(ir *m);                // (x, w, rstd) -> the root mean square norm's y
const char *formula_identity(ir *m);                  // x -> x

// first(…) then second with its argument `at` replaced by first's result: takes (first's first argument, first's
// columns, second's columns, first's rows, second's other rows). Counts are arguments of each kind beside first's
// accumulator and second's replaced row.
const char *formula_compose(ir *m, const char *first, int first_columns, int first_rows, const char *second,
                            int second_columns, int second_rows, int at);
// first(…) and second of its result: both. Counts as above.
const char *formula_both(ir *m, const char *first, int first_columns, int first_rows, const char *second);

#endif
