// kernel.glu and its gradient, kernel.glu_grad: a row's first half is the gate, its second half what it lets through.
#include "codegen/cpu/rows.h"
#include "codegen/cpu/slots.h"

#include <string.h>

// name_rows(slots …, begin, end). Of glu: x, y; of its gradient: x, dy, dx; slots: the pointer of each.
static void write_glu_rows(cpu_entry *e, kernel_text *k, const char *name, const char *body, int64_t width,
                           const int *slots, int slot_count, bool gradient) {
  ssa *p = ARENA_ARRAY(e->arena, ssa, slot_count + 2), arguments[3], values[2];
  k_function(k, name, parameter_types(e, slot_count, 2), p);
  ssa one = k_int(k, 1), half = k_int(k, width), both = k_int(k, 2 * width);
  ssa x = p[slots[0]], y = p[slots[1]], dx = p[slots[gradient ? 2 : 0]];
  ssa row = k_for(k, p[slot_count], p[slot_count + 1], one);
  ssa in = k_mul(k, row, both), out = k_mul(k, row, half);
  ssa column = k_for(k, k_int(k, 0), half, one);
  ssa gate = k_add(k, in, column), up = k_add(k, gate, half), at = k_add(k, out, column);
  arguments[0] = k_load(k, x, gate, K_F32);
  arguments[1] = k_load(k, x, up, K_F32);
  if (gradient) arguments[2] = k_load(k, y, at, K_F32);
  k_call_body(k, body, arguments, gradient ? 3 : 2, values, gradient ? 2 : 1);
  k_store(k, values[0], gradient ? dx : y, gradient ? gate : at);
  if (gradient) k_store(k, values[1], dx, up);
  k_end(k);
  k_end(k);
  k_return(k);
}

// args: slots. tasks: rows.
static bool emit_glu(cpu_entry *e, MlirOperation op, bool gradient) {
  slots s = {0};
  text signature = {0};
  segment all = {0, (int)mlirOperationGetNumOperands(op)}, one = {0, 1};
  const char *body = cpu_body(e, ir_text(e->ir, op, "body"));
  int list[3], *in = slots_of(e, &s, op, all, false, &signature), *out = slots_of(e, &s, op, one, true, &signature);
  memcpy(list, in, (size_t)all.count * sizeof *list);
  list[all.count] = *out;
  text_add(&signature, body);
  MlirValue x = mlirOperationGetOperand(op, 0);
  int64_t width = value_columns(x) / 2;
  const char *name = kernel_name(e, gradient ? "glu_grad" : "glu", width, &signature);
  if (!cpu_has_kernel(e->cg, name)) {
    kernel_text k = {0};
    const char *rows = arena_printf(e->arena, "%s_rows", name);
    write_glu_rows(e, &k, rows, body, width, list, s.count, gradient);
    kernel_abi abi = k_kernel(&k, name);
    ssa arguments[5];
    for (int i = 0; i < s.count; ++i) arguments[i] = k_argument(&k, abi, i);
    arguments[s.count] = abi.begin, arguments[s.count + 1] = abi.end;
    k_call(&k, rows, arguments, s.count + 2);
    k_return(&k);
    rows_finish(e, &k, name);
  }
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  for (int i = 0; i < s.count; ++i) cpu_arg(e, launch, s.places[i]);
  launch->tasks = value_rows(x);
  launch->grain = rows_grain(2 * width);
  slots_free(&s);
  return true;
}

bool cpu_emit_glu(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  return emit_glu(e, op, false);
}

bool cpu_emit_glu_grad(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  return emit_glu(e, op, true);
}
