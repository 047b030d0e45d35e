#include "codegen/cuda/cuda.h"
#include "codegen/cuda/texts.h"

bool cuda_emit_rope(cuda_entry *e, MlirOperation op, lmn_error *error) {
  if (mlirOperationEqual(e->done, op)) return true;
  MlirValue x = ir_operand(e->ir, op, 0), table = ir_operand(e->ir, op, 1), lengths = ir_operand(e->ir, op, 2);
  int64_t heads = ir_int(op, "heads"), size = ir_int(op, "head_size"), columns = value_columns(x);
  if (size % 2) return fail(error, "kernel.rope: head size %lld is odd, its halves cannot be rotated", (long long)size);
  if (heads * size > columns) return fail(error, "kernel.rope: its heads do not fit its columns");
  plan_launch *launch = cuda_launch(e, op);
  cuda_source s = {0};
  cuda_arg_value(e, launch, x);
  cuda_arg_value(e, launch, table);
  cuda_arg_value(e, launch, ir_result(e->ir, op, 0));
  if (value_is(lengths)) cuda_arg_value(e, launch, lengths);
  const int64_t dims[] = {
      heads, size, columns, ir_int(op, "length"), value_rows(table), value_is(lengths) ? value_elements(lengths) : 0};
  for (size_t i = 0; i < LENGTH(dims); ++i) cuda_dim(e, launch, dims[i]);
  cuda_grid(launch, value_rows(x), 1, 1, 128);
  cuda_include(&s, cuda_text_rope);
  enum { MANY = 4 }; // where rows and halves of heads are whole multiples of it
  int64_t bytes = MANY * value_element_bytes(x);
  bool many = size / 2 % MANY == 0 && columns % MANY == 0 && ir_place(x).offset % bytes == 0 &&
              ir_place(ir_result(e->ir, op, 0)).offset % bytes == 0;
  text_printf(&s.body, "  rope<%s, %s, %d, %s>(p);\n", ir_int(op, "inverse") ? "true" : "false",
              value_is(lengths) ? "true" : "false", many ? MANY : 1, cuda_type(x));
  return cuda_finish(e, launch, "rope", &s, error);
}
