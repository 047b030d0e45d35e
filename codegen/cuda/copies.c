// kernel.copy and kernel.zero: one kernel each for all shapes.
#include "codegen/cuda/cuda.h"
#include "codegen/cuda/texts.h"

enum { CHUNK = 4096, THREADS = 256 }; // elements that one block moves; as in copies.cuh

bool cuda_zero(cuda_entry *e, MlirOperation op, MlirValue y, lmn_error *error) {
  plan_launch *launch = cuda_launch(e, op);
  cuda_source s = {0};
  cuda_arg_value(e, launch, y);
  cuda_dim(e, launch, value_elements(y));
  cuda_grid(launch, blocks_of(value_elements(y), CHUNK), 1, 1, THREADS);
  cuda_include(&s, cuda_text_copies);
  text_printf(&s.body, "  zero<%s>(p);\n", cuda_type(y));
  return cuda_finish(e, launch, "zero", &s, error);
}

bool cuda_emit_zero(cuda_entry *e, MlirOperation op, lmn_error *error) {
  return cuda_zero(e, op, mlirOperationGetResult(op, 0), error);
}

static plan_ref moved(MlirValue value, int64_t elements) {
  plan_ref place = ir_place(value);
  place.offset += elements * value_element_bytes(value);
  return place;
}

static bool launch_copy(cuda_entry *e, MlirOperation op, const copy_shape *c, plan_ref from, plan_ref to,
                        lmn_error *error) {
  plan_launch *launch = cuda_launch(e, op);
  cuda_source s = {0};
  cuda_arg(e, launch, from);
  cuda_arg(e, launch, to);
  int64_t chunks = blocks_of(c->columns, CHUNK);
  const int64_t dims[] = {c->n1, c->columns, chunks, c->from0, c->from1, c->to0, c->to1};
  for (size_t d = 0; d < LENGTH(dims); ++d) cuda_dim(e, launch, dims[d]);
  cuda_grid(launch, c->n0 * c->n1 * chunks, 1, 1, THREADS);
  cuda_include(&s, cuda_text_copies);
  text_printf(&s.body, "  copy<%s, %s>(p);\n", cuda_type_of(op, ir_operands(e->ir, op, 0), false),
              cuda_type_of(op, (segment){0, 1}, true));
  return cuda_finish(e, launch, "copy", &s, error);
}

bool cuda_emit_copy(cuda_entry *e, MlirOperation op, lmn_error *error) {
  MlirValue y = mlirOperationGetResult(op, 0);
  segment sources = ir_operands(e->ir, op, 0);
  if (ir_count(op, "to") != sources.count)
    return fail(error, "%d sources and %d places for them", sources.count, ir_count(op, "to"));
  copy_shape c = copy_shape_of(op);
  if (ir_int(op, "zero") && !cuda_zero(e, op, y, error)) return false;
  for (int i = 0; i < sources.count; ++i) {
    plan_ref from = moved(mlirOperationGetOperand(op, sources.first + i), ir_int(op, "from"));
    plan_ref to = moved(y, ir_int_at(op, "to", i));
    if (copy_is_there(&c, from, to)) {
      if (ir_int(op, "zero")) return fail(error, "source %d lies in the result, which is cleared first", i);
    } else if (!launch_copy(e, op, &c, from, to, error)) return false;
  }
  return true;
}
