#include "codegen/cuda/cuda.h"
#include "codegen/cuda/texts.h"

enum { THREADS = 256, WARP = 32, WIDEST = 16 }; // WIDEST: bytes that a thread takes at once

// Elements that a thread takes at once of rows of so many columns, whose halves of heads are `half` long.
static int many_of(MlirValue x, MlirValue table, MlirValue y, int64_t columns, int64_t half) {
  int many = (int)(WIDEST / value_element_bytes(x));
  bool aligned = columns % many == 0 && half % many == 0;
  MlirValue places[] = {x, table, y};
  for (size_t i = 0; i < LENGTH(places); ++i) aligned &= ir_place(places[i]).offset % WIDEST == 0;
  return aligned ? many : 1;
}

static bool same_place(MlirValue x, MlirValue y) {
  return ir_place(x).space == ir_place(y).space && ir_place(x).offset == ir_place(y).offset;
}

bool cuda_emit_rope(cuda_entry *e, MlirOperation op, lmn_error *error) {
  if (mlirOperationEqual(e->done, op)) return true;
  MlirValue x = ir_operand(e->ir, op, 0), table = ir_operand(e->ir, op, 1), lengths = ir_operand(e->ir, op, 2),
            y = ir_result(e->ir, op, 0);
  int64_t heads = ir_int(op, "heads"), size = ir_int(op, "head_size"), columns = value_columns(x);
  if (size % 2) return fail(error, "kernel.rope: head size %lld is odd, its halves cannot be rotated", (long long)size);
  if (heads * size > columns) return fail(error, "kernel.rope: its heads do not fit its columns");
  int many = many_of(x, table, y, columns, size / 2);
  int64_t items = (heads * size / 2 + (same_place(x, y) ? 0 : columns - heads * size)) / many; // of a row
  int64_t rows = items && items < THREADS ? THREADS / items : 1;                               // of a block
  int64_t threads = rows * items < THREADS ? rows * items : THREADS;
  plan_launch *launch = cuda_launch(e, op);
  cuda_source s = {0};
  cuda_arg_value(e, launch, x);
  cuda_arg_value(e, launch, table);
  cuda_arg_value(e, launch, y);
  if (value_is(lengths)) cuda_arg_value(e, launch, lengths);
  const int64_t dims[] = {heads,
                          size,
                          columns,
                          ir_int(op, "length"),
                          value_rows(table),
                          value_is(lengths) ? value_elements(lengths) : 0,
                          value_rows(x),
                          items};
  for (size_t i = 0; i < LENGTH(dims); ++i) cuda_dim(e, launch, dims[i]);
  cuda_grid(launch, items ? blocks_of(value_rows(x), rows) : 0, 1, 1, blocks_of(threads, WARP) * WARP);
  cuda_include(&s, cuda_text_rope);
  text_printf(&s.body, "  rope<%s, %s, %d, %s>(p);\n", ir_int(op, "inverse") ? "true" : "false",
              value_is(lengths) ? "true" : "false", many, cuda_type(x));
  return cuda_finish(e, launch, "rope", &s, error);
}
