// ride-products: what works row by row on a product's result runs on each piece of it as soon as the piece is there,
// while it is in the cache: norms and their gradients, SwiGLU and its gradient, rotations, sums.
//
//   %c = "kernel.gemm"(%a, %w)   …   %y = "kernel.glu"(%c)       becomes
//   %c = "kernel.gemm"(%a, %w)   %y = "kernel.glu"(%c) {rides = 1}
// Riders stand right behind their product (views may stand between); plan-memory takes them and the product for one
// op, since their rows are done in turns. Not riders: what reads a value that is made after the product, or rows of
// another number; anything on a product that the back end would cut by columns (see GEMM_FEW_ROWS), where no row is
// whole before all are; and what stands many products further on, whose result would be kept all the while (what
// recompute makes again stands there for that reason).
#include "passes/passes.h"

#include "passes/map.h"

#include <stdlib.h>

typedef struct riding {
  ir *m;
  map order; // op -> its number in program order
  map host;  // rider -> its product's number + 1
  map last;  // product's number -> the op that the next rider goes behind, by its number
  op_list ops;
  int *products; // of each op: products before it
} riding;

enum { NEAR = 8 }; // products between a product and its rider at most

static bool works_by_rows(ir *m, MlirOperation op) {
  switch (ir_code(m, op)) {
  case KERNEL_ROW: return ir_operands(m, op, 0).count > 0 && !ir_int(op, "lists");
  case KERNEL_GLU:
  case KERNEL_GLU_GRAD:
  case KERNEL_ROPE: return true;
  default: return false;
  }
}

static bool carries(ir *m, MlirOperation product) {
  int64_t rows = ir_int(product, "m"), columns = ir_int(product, "n");
  MlirValue c = mlirOperationGetResult(product, 0);
  return rows >= GEMM_FEW_ROWS && columns <= GEMM_WIDE * rows && ir_int(product, "ldc") == columns &&
         ir_results(m, product, 0).count == 1 && value_elements(c) == rows * ir_int(product, "groups") * columns;
}

// The op that made the memory behind a value.
static MlirOperation maker(ir *m, MlirValue v) {
  MlirOperation op = value_op(v);
  while (ir_code(m, op) == KERNEL_VIEW) op = value_op(mlirOperationGetOperand(op, 0));
  return op;
}

// The number of the product that a value comes with, as its result or from a rider on it; -1: none.
static int64_t product_of(const riding *r, MlirValue v) {
  MlirOperation op = value_op(v);
  if (ir_code(r->m, op) == KERNEL_GEMM) return carries(r->m, op) ? map_get(&r->order, op.ptr, -1) : -1;
  return map_get(&r->host, op.ptr, 0) - 1;
}

static int64_t rows_of(MlirOperation op) {
  MlirValue first = mlirOperationGetOperand(op, 0);
  return value_elements(first) / value_columns(first);
}

// Whether the op may run with product `host`: all else that it reads is there before, and its rows are the product's.
static bool fits(const riding *r, MlirOperation op, int64_t host) {
  ir *m = r->m;
  MlirOperation product = r->ops.items[host];
  if (rows_of(op) != ir_int(product, "m") * ir_int(product, "groups")) return false;
  if (r->products[map_get(&r->order, op.ptr, 0)] - r->products[host] > NEAR) return false;
  for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
    MlirValue v = mlirOperationGetOperand(op, i);
    if (product_of(r, v) == host) continue;
    MlirOperation made_by = maker(m, v);
    op_code code = ir_code(m, made_by);
    int64_t there = map_get(&r->host, made_by.ptr, 0) - 1;
    if (there < 0) there = map_get(&r->order, made_by.ptr, 0);
    if (code == KERNEL_ZERO || (code != KERNEL_BUFFER && there >= host)) return false;
  }
  return true;
}

// Buffers, and views of what is there before the product, go in front of it.
static void move_views(riding *r, MlirOperation op, MlirOperation product) {
  for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
    MlirOperation view = value_op(mlirOperationGetOperand(op, i));
    op_code code = ir_code(r->m, view);
    if ((code != KERNEL_VIEW && code != KERNEL_BUFFER) || mlirOperationIsBeforeInBlock(view, product)) continue;
    move_views(r, view, product);
    mlirOperationMoveBefore(view, product);
  }
}

static void ride(riding *r, MlirOperation op, int64_t host) {
  MlirOperation product = r->ops.items[host];
  move_views(r, op, product);
  mlirOperationMoveAfter(op, r->ops.items[map_get(&r->last, product.ptr, host)]);
  int64_t number = map_get(&r->order, op.ptr, 0);
  map_put(&r->last, product.ptr, number);
  map_put(&r->host, op.ptr, host + 1);
  ir_set_int(r->m, op, "rides", 1);
}

bool pass_ride_products(ir *m, lmn_error *error) {
  (void)error;
  riding r = {.m = m, .ops = ir_ops(m)};
  r.products = ARENA_ARRAY(m->arena, int, r.ops.count + 1);
  for (int i = 0; i < r.ops.count; ++i) {
    map_put(&r.order, r.ops.items[i].ptr, i);
    r.products[i + 1] = r.products[i] + (ir_code(m, r.ops.items[i]) == KERNEL_GEMM);
  }
  for (int i = 0; i < r.ops.count; ++i) {
    MlirOperation op = r.ops.items[i];
    if (!works_by_rows(m, op)) continue;
    int64_t host = -1;
    for (intptr_t k = 0; k < mlirOperationGetNumOperands(op); ++k) {
      int64_t at = product_of(&r, mlirOperationGetOperand(op, k));
      if (at > host) host = at;
    }
    if (host >= 0 && fits(&r, op, host)) ride(&r, op, host);
  }
  map_free(&r.order);
  map_free(&r.host);
  map_free(&r.last);
  return true;
}
