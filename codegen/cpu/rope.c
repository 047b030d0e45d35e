// kernel.rope: the first `heads` heads of each row turned by the table's row of its position, in halves: (a, b) to (a
// cos - b sin, b cos + a sin); the other columns are copied, unless y is x's own memory.
#include "codegen/cpu/cpu.h"
#include "codegen/cpu/kernel_text.h"

typedef struct rope_shape {
  int64_t heads, head_size, columns;
  bool inverse, in_place, lengths;
} rope_shape;

// args: x, table, y, lengths. dims: length, rows of the table, count of lengths. tasks: rows.
static void rope_kernel(kernel_text *k, const char *name, const rope_shape *s) {
  kernel_abi abi = k_kernel(k, name);
  int half = (int)(s->head_size / 2);
  ssa x = k_argument(k, abi, 0), table = k_argument(k, abi, 1), y = k_argument(k, abi, 2);
  ssa length = k_dim(k, abi, 0), last = k_sub(k, k_dim(k, abi, 1), k_int(k, 1));
  ssa zero = k_int(k, 0), one = k_int(k, 1), size = k_int(k, s->head_size), columns = k_int(k, s->columns);
  ssa turned = k_int(k, s->heads * s->head_size), half_size = k_int(k, half);
  ssa row = k_for(k, abi.begin, abi.end, one);
  ssa position = k_rem(k, row, length);
  if (s->lengths) {
    ssa sequence = k_rem(k, k_div(k, row, length), k_dim(k, abi, 2));
    position = k_add(k, position, k_convert(k, k_load(k, k_argument(k, abi, 3), sequence, K_I32), K_I64));
  }
  ssa angles = k_mul(k, k_clamp(k, position, zero, last), size);
  ssa cosine = k_load_vector(k, table, angles, half), sine = k_load_vector(k, table, k_add(k, angles, half_size), half);
  if (s->inverse) sine = k_sub(k, k_splat(k, k_float(k, 0), half), sine);
  ssa start = k_mul(k, row, columns), end = k_add(k, start, turned);
  ssa at = k_for(k, start, end, size), second = k_add(k, at, half_size);
  ssa a = k_load_vector(k, x, at, half), b = k_load_vector(k, x, second, half);
  k_store(k, k_sub(k, k_mul(k, a, cosine), k_mul(k, b, sine)), y, at);
  k_store(k, k_add(k, k_mul(k, b, cosine), k_mul(k, a, sine)), y, second);
  k_end(k);
  if (!s->in_place) k_copy(k, k_at(k, y, end), k_at(k, x, end), k_sub(k, columns, turned));
  k_end(k);
  k_return(k);
}

bool cpu_emit_rope(cpu_entry *e, MlirOperation op, lmn_error *error) {
  MlirValue x = ir_operand(e->ir, op, 0), table = ir_operand(e->ir, op, 1), lengths = ir_operand(e->ir, op, 2),
            y = ir_result(e->ir, op, 0);
  plan_ref from = ir_place(x), to = ir_place(y);
  rope_shape s = {.heads = ir_int(op, "heads"),
                  .head_size = ir_int(op, "head_size"),
                  .columns = value_columns(x),
                  .inverse = ir_int(op, "inverse"),
                  .in_place = from.space == to.space && from.offset == to.offset,
                  .lengths = value_is(lengths)};
  if (s.head_size % 2)
    return fail(error, "kernel.rope: head size %lld is odd, its halves cannot be rotated", (long long)s.head_size);
  if (s.heads * s.head_size > s.columns) return fail(error, "kernel.rope: its heads do not fit its columns");
  const char *name =
      arena_printf(e->arena, "rope_h%d_d%d_c%d%s%s%s", (int)s.heads, (int)s.head_size, (int)s.columns,
                   s.inverse ? "_inverse" : "", s.in_place ? "_in_place" : "", s.lengths ? "_lengths" : "");
  if (!cpu_has_kernel(e->cg, name)) {
    kernel_text k = {0};
    rope_kernel(&k, name, &s);
    cpu_add_kernel(e->cg, name, k.out.data);
    text_free(&k.out);
  }
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  cpu_arg_value(e, launch, x);
  cpu_arg_value(e, launch, table);
  cpu_arg_value(e, launch, y);
  if (s.lengths) cpu_arg_value(e, launch, lengths);
  cpu_dim(e, launch, ir_int(op, "length"));
  cpu_dim(e, launch, value_rows(table));
  cpu_dim(e, launch, s.lengths ? value_elements(lengths) : 0);
  launch->tasks = value_rows(x);
  launch->grain = 1 + 16384 / s.columns;
  return true;
}
