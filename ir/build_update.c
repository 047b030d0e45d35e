// The optimizer step of a phase: an entry without a network, built at the kernel level.
#include "ir/build.h"

bool ir_build_update(ir *m, lmn_error *error) {
  const plan_phase *phase = &m->plan->phases[m->shape.phase];
  if (!phase->gradient_bytes) return fail(error, "phase %s trains nothing: everything is frozen", phase->name);
  builder b = builder_at_end(m);
  op_spec s = op_begin(&b, KERNEL_BUFFER);
  op_text(&s, "space", "input");
  op_text(&s, "name", "scalars");
  op_result(&s, ir_vector(m, 8));
  MlirValue scalars = op_end_value(&s);
  s = op_begin(&b, KERNEL_GRADIENT_NORM);
  op_int(&s, "phase", m->shape.phase);
  op_int(&s, "bytes", phase->gradient_bytes);
  op_result(&s, ir_vector(m, 1));
  op_result(&s, ir_vector(m, ir_norm_blocks(phase->gradient_bytes)));
  MlirValue norm = op_end_value(&s);
  s = op_begin(&b, KERNEL_ADAMW);
  op_operand(&s, scalars);
  op_operand(&s, norm);
  op_int(&s, "phase", m->shape.phase);
  op_end(&s);
  s = op_begin(&b, KERNEL_OUTPUT);
  op_operand(&s, norm);
  op_text(&s, "name", "gradient_norm");
  op_end(&s);
  return true;
}
