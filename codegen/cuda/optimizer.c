// kernel.gradient_norm and kernel.adamw, over the phase's gradients and all its trained parameters; see optimizer.cuh.
#include "codegen/cuda/cuda.h"
#include "codegen/cuda/texts.h"

enum { TEAM = 512, THREADS = 256, PIECE = 16384, TABLE_ROW = 5 }; // the last two as in optimizer.cuh

static bool finish(cuda_entry *e, plan_launch *launch, const char *kind, const char *call, int64_t blocks,
                   int64_t threads, lmn_error *error) {
  cuda_source s = {.table = launch->table};
  cuda_grid(launch, blocks, 1, 1, threads);
  cuda_include(&s, cuda_text_team);
  cuda_include(&s, cuda_text_optimizer);
  text_printf(&s.body, "  %s(p);\n", call);
  return cuda_finish(e, launch, kind, &s, error);
}

// The scalars of the step that follows.
static bool scalars_of(cuda_entry *e, MlirOperation norm, plan_ref *scalars, lmn_error *error) {
  MlirOperation op = norm;
  while (op.ptr && ir_code(e->ir, op) != KERNEL_ADAMW) op = mlirOperationGetNextInBlock(op);
  if (!op.ptr) return fail(error, "kernel.gradient_norm: there is no kernel.adamw behind it");
  *scalars = ir_place(ir_operand(e->ir, op, 0));
  return true;
}

// The norm from `parts` sums of squares. early: where gradients are clipped; else where they are not.
static bool add_norm(cuda_entry *e, MlirOperation op, plan_ref partial, int64_t parts, plan_ref norm, plan_ref scalars,
                     bool early, lmn_error *error) {
  plan_launch *launch = cuda_launch(e, op);
  cuda_arg(e, launch, partial);
  cuda_arg(e, launch, norm);
  cuda_arg(e, launch, scalars);
  cuda_dim(e, launch, parts);
  cuda_dim(e, launch, early);
  launch->bytes = (parts + 1) * (int64_t)sizeof(float); // what the op moves besides is the other launch's
  return finish(e, launch, "gradient_norm", arena_printf(e->arena, "gradient_norm<%d>", TEAM), 1, TEAM, error);
}

bool cuda_emit_gradient_norm(cuda_entry *e, MlirOperation op, lmn_error *error) {
  MlirValue norm = ir_result(e->ir, op, 0), partial = ir_result(e->ir, op, 1);
  int64_t elements = ir_int(op, "bytes") / (int64_t)sizeof(float), parts = value_elements(partial);
  plan_ref scalars;
  if (!scalars_of(e, op, &scalars, error)) return false;
  plan_launch *launch = cuda_launch(e, op);
  cuda_arg(e, launch, (plan_ref){SPACE_GRADIENT, 0});
  cuda_arg_value(e, launch, partial);
  cuda_arg(e, launch, scalars);
  cuda_dim(e, launch, elements);
  cuda_dim(e, launch, blocks_of(elements, parts * 4) * 4); // parts of whole fours
  if (!finish(e, launch, "gradient_squares", arena_printf(e->arena, "gradient_squares<%d>", TEAM), parts, TEAM, error))
    return false;
  return add_norm(e, op, ir_place(partial), parts, ir_place(norm), scalars, true, error);
}

bool cuda_emit_adamw(cuda_entry *e, MlirOperation op, lmn_error *error) {
  int64_t index = ir_int(op, "phase");
  if (index < 0 || index >= e->plan->phase_count)
    return fail(error, "kernel.adamw: the plan has no phase %lld", (long long)index);
  const plan_phase *phase = &e->plan->phases[index];
  plan_launch *launch = cuda_launch(e, op);
  launch->table = true; // as many dims as the phase trains parameters
  cuda_arg_value(e, launch, ir_operand(e->ir, op, 0));
  cuda_arg_value(e, launch, ir_operand(e->ir, op, 1));
  for (plan_space space = SPACE_PARAMETER; space <= SPACE_MOMENT2; ++space) cuda_arg(e, launch, (plan_ref){space, 0});
  int64_t pieces = 0, size = sizeof(float);
  for (int i = 0; i < phase->trained_count; ++i)
    pieces += blocks_of(e->plan->parameters[phase->trained[i].parameter].elements, PIECE);
  plan_ref partial = cuda_scratch(e, pieces * size), scalars = ir_place(ir_operand(e->ir, op, 0));
  cuda_arg(e, launch, partial);
  bool copy = plan_is_bf16(e->plan);
  if (copy) cuda_arg(e, launch, (plan_ref){SPACE_WEIGHT, 0});
  cuda_dim(e, launch, phase->trained_count);
  int64_t first = 0;
  for (int i = 0; i < phase->trained_count; ++i) {
    const plan_parameter *p = &e->plan->parameters[phase->trained[i].parameter];
    const int64_t row[TABLE_ROW] = {first, p->offset / size, phase->trained[i].offset / size, p->elements,
                                    p->matrix || phase->decay_all};
    for (int c = 0; c < TABLE_ROW; ++c) cuda_dim(e, launch, row[c]);
    first += blocks_of(p->elements, PIECE);
  }
  const char *call = arena_printf(e->arena, "adamw<%d, %s>", THREADS, copy ? "true" : "false");
  return finish(e, launch, "adamw", call, pieces, THREADS, error) &&
         add_norm(e, op, partial, pieces, ir_place(ir_operand(e->ir, op, 1)), scalars, false, error);
}
