// kernel.copy and kernel.zero: one kernel each for all shapes.
#include "codegen/cpu/cpu.h"
#include "codegen/cpu/kernel_text.h"

// Elements that one task moves at most.
enum { CHUNK = 16384 };

static int64_t chunks_of(int64_t elements) { return (elements + CHUNK - 1) / CHUNK; }

// args: y. dims: elements. tasks: chunks of CHUNK elements.
static const char *zero_kernel(cpu_entry *e) {
  static const char name[] = "zero";
  if (cpu_has_kernel(e->cg, name)) return name;
  kernel_text k = {0};
  kernel_abi abi = k_kernel(&k, name);
  ssa y = k_argument(&k, abi, 0), elements = k_dim(&k, abi, 0), chunk = k_int(&k, CHUNK);
  ssa begin = k_mul(&k, abi.begin, chunk), end = k_min(&k, k_mul(&k, abi.end, chunk), elements);
  k_zero(&k, k_at(&k, y, begin), k_sub(&k, end, begin));
  k_return(&k);
  cpu_add_kernel(e->cg, name, k.out.data);
  text_free(&k.out);
  return name;
}

static void launch_zero(cpu_entry *e, MlirOperation op, MlirValue y) {
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, zero_kernel(e));
  cpu_arg_value(e, launch, y);
  cpu_dim(e, launch, value_elements(y));
  launch->tasks = chunks_of(value_elements(y));
}

bool cpu_emit_zero(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  launch_zero(e, op, mlirOperationGetResult(op, 0));
  return true;
}

// args: source, y (each from where its first element is). dims: n1, columns, chunks a run of columns, strides from0,
// from1, to0, to1. tasks: n0 x n1 x chunks.
static const char *copy_kernel(cpu_entry *e) {
  static const char name[] = "copy";
  if (cpu_has_kernel(e->cg, name)) return name;
  kernel_text text = {0}, *k = &text;
  kernel_abi abi = k_kernel(k, name);
  ssa source = k_argument(k, abi, 0), y = k_argument(k, abi, 1);
  ssa n1 = k_dim(k, abi, 0), columns = k_dim(k, abi, 1), chunks = k_dim(k, abi, 2), length = k_int(k, CHUNK);
  ssa from0 = k_dim(k, abi, 3), from1 = k_dim(k, abi, 4), to0 = k_dim(k, abi, 5), to1 = k_dim(k, abi, 6);
  ssa task = k_for(k, abi.begin, abi.end, k_int(k, 1));
  ssa run = k_div(k, task, chunks), first = k_mul(k, k_rem(k, task, chunks), length);
  ssa i = k_div(k, run, n1), j = k_rem(k, run, n1);
  ssa from = k_add(k, k_add(k, k_mul(k, i, from0), k_mul(k, j, from1)), first);
  ssa to = k_add(k, k_add(k, k_mul(k, i, to0), k_mul(k, j, to1)), first);
  k_copy(k, k_at(k, y, to), k_at(k, source, from), k_min(k, length, k_sub(k, columns, first)));
  k_end(k);
  k_return(k);
  cpu_add_kernel(e->cg, name, text.out.data);
  text_free(&text.out);
  return name;
}

static plan_ref moved(plan_ref place, int64_t elements) {
  place.offset += elements * (int64_t)sizeof(float);
  return place;
}

bool cpu_emit_copy(cpu_entry *e, MlirOperation op, lmn_error *error) {
  MlirValue y = mlirOperationGetResult(op, 0);
  segment sources = ir_operands(e->ir, op, 0);
  if (ir_count(op, "to") != sources.count)
    return fail(error, "%d sources and %d places for them", sources.count, ir_count(op, "to"));
  copy_shape s = copy_shape_of(op);
  if (ir_int(op, "zero")) launch_zero(e, op, y);
  for (int i = 0; i < sources.count; ++i) {
    plan_ref from = moved(ir_place(mlirOperationGetOperand(op, sources.first + i)), ir_int(op, "from"));
    plan_ref to = moved(ir_place(y), ir_int_at(op, "to", i));
    if (copy_is_there(&s, from, to)) {
      if (ir_int(op, "zero")) return fail(error, "source %d lies in the result, which is cleared first", i);
      continue;
    }
    plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, copy_kernel(e));
    cpu_arg(e, launch, from);
    cpu_arg(e, launch, to);
    const int64_t dims[] = {s.n1, s.columns, chunks_of(s.columns), s.from0, s.from1, s.to0, s.to1};
    for (size_t d = 0; d < LENGTH(dims); ++d) cpu_dim(e, launch, dims[d]);
    launch->tasks = s.n0 * s.n1 * chunks_of(s.columns);
    launch->grain = s.columns < CHUNK ? CHUNK / s.columns : 1;
  }
  return true;
}
