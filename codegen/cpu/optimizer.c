// kernel.gradient_norm and kernel.adamw, over the phase's gradients and all its trained parameters.
#include "codegen/cpu/cpu.h"
#include "codegen/cpu/kernel_text.h"

static void add_kernel(cpu_entry *e, const char *name, void write(kernel_text *, const char *)) {
  if (cpu_has_kernel(e->cg, name)) return;
  kernel_text k = {0};
  write(&k, name);
  cpu_add_kernel(e->cg, name, k.out.data);
  text_free(&k.out);
}

// ---- gradient_norm

// args: gradients, partial. dims: elements, elements a block. tasks: blocks; each the sum of squares of one, in double.
static void squares_kernel(kernel_text *k, const char *name) {
  kernel_abi abi = k_kernel(k, name);
  ssa gradients = k_argument(k, abi, 0), partial = k_argument(k, abi, 1), elements = k_dim(k, abi, 0),
      length = k_dim(k, abi, 1);
  ssa one = k_int(k, 1), nought = k_double(k, 0);
  ssa block = k_for(k, abi.begin, abi.end, one);
  ssa begin = k_mul(k, block, length), end = k_min(k, k_add(k, begin, length), elements), sum = nought;
  ssa i = k_for_carry(k, begin, end, one, &sum, 1);
  ssa value = k_convert(k, k_load(k, gradients, i, K_F32), K_F64),
      next = k_add_any_order(k, sum, k_mul(k, value, value));
  k_end_carry(k, &next);
  k_store(k, k_convert(k, sum, K_F32), partial, block);
  k_end(k);
  k_return(k);
}

// args: partial, norm. dims: blocks. One task: the square root of the sum, in order.
static void norm_kernel(kernel_text *k, const char *name) {
  kernel_abi abi = k_kernel(k, name);
  ssa partial = k_argument(k, abi, 0), zero = k_int(k, 0), sum = k_double(k, 0);
  ssa i = k_for_carry(k, zero, k_dim(k, abi, 0), k_int(k, 1), &sum, 1);
  ssa next = k_add(k, sum, k_convert(k, k_load(k, partial, i, K_F32), K_F64));
  k_end_carry(k, &next);
  k_store(k, k_convert(k, k_math(k, "sqrt", sum), K_F32), k_argument(k, abi, 1), zero);
  k_return(k);
}

bool cpu_emit_gradient_norm(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  MlirValue norm = ir_result(e->ir, op, 0), partial = ir_result(e->ir, op, 1);
  int64_t elements = ir_int(op, "bytes") / (int64_t)sizeof(float), blocks = value_elements(partial);
  int64_t length = (elements + blocks - 1) / blocks;
  add_kernel(e, "gradient_squares", squares_kernel);
  add_kernel(e, "gradient_norm", norm_kernel);
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, "gradient_squares");
  cpu_arg(e, launch, (plan_ref){SPACE_GRADIENT, 0});
  cpu_arg_value(e, launch, partial);
  cpu_dim(e, launch, elements);
  cpu_dim(e, launch, (length + 15) / 16 * 16);
  launch->tasks = blocks;
  launch->grain = length > 0 && length < 65536 ? 65536 / length : 1;
  launch = cpu_launch(e, op, LAUNCH_KERNEL, "gradient_norm");
  cpu_arg_value(e, launch, partial);
  cpu_arg_value(e, launch, norm);
  cpu_dim(e, launch, blocks);
  launch->tasks = launch->grain = 1;
  return true;
}

// ---- adamw

enum { PIECE = 16384, TABLE_ROW = 5 }; // elements a task; first piece, parameter, gradient, elements, decays

// torch.optim.AdamW's order: weight decay, moments, the step. m += (1 - beta1) (g - m), as torch does it.
static void write_update(kernel_text *k, const char *name) {
  enum { PARAMETER, GRADIENT, MOMENT1, MOMENT2, COUNT, FACTOR, KEEP, NEW1, BETA2, NEW2, ROOT, EPS, STEP, INPUTS };
  ssa p[INPUTS];
  k_function(k, name, "nnnniffffffff", p);
  ssa i = k_for(k, k_int(k, 0), p[COUNT], k_int(k, 1));
  ssa gradient = k_mul(k, k_load(k, p[GRADIENT], i, K_F32), p[FACTOR]);
  ssa m = k_load(k, p[MOMENT1], i, K_F32), v = k_load(k, p[MOMENT2], i, K_F32);
  m = k_add(k, m, k_mul(k, p[NEW1], k_sub(k, gradient, m)));
  v = k_add(k, k_mul(k, p[BETA2], v), k_mul(k, k_mul(k, p[NEW2], gradient), gradient));
  k_store(k, m, p[MOMENT1], i);
  k_store(k, v, p[MOMENT2], i);
  ssa denominator = k_add(k, k_mul(k, k_math(k, "sqrt", v), p[ROOT]), p[EPS]);
  ssa kept = k_mul(k, k_load(k, p[PARAMETER], i, K_F32), p[KEEP]);
  k_store(k, k_sub(k, kept, k_mul(k, p[STEP], k_div(k, m, denominator))), p[PARAMETER], i);
  k_end(k);
  k_return(k);
}

// The row of the table (first pieces ascending) that piece `task` is of.
static ssa find_row(kernel_text *k, ssa table, ssa count, ssa task) {
  ssa zero = k_int(k, 0), two = k_int(k, 2), width = k_int(k, TABLE_ROW), range[2] = {zero, count}, next[2];
  k_for_carry(k, zero, k_int(k, 32), k_int(k, 1), range, 2);
  ssa middle = k_div(k, k_add(k, range[0], range[1]), two);
  ssa before = k_compare(k, "sle", k_load(k, table, k_mul(k, middle, width), K_I64), task);
  next[0] = k_select(k, before, middle, range[0]);
  next[1] = k_select(k, before, range[1], middle);
  k_end_carry(k, next);
  return range[0];
}

// args: scalars, norm, parameters, gradients, moments 1, moments 2. dims: rows, then the table of TABLE_ROW columns
// (offsets in elements). tasks: pieces of PIECE elements.
static void adamw_kernel(kernel_text *k, const char *name) {
  char update[64];
  snprintf(update, sizeof update, "%s_update", name);
  write_update(k, update);
  enum { LR, BETA1, BETA2, EPS, DECAY, CORRECTION1, CORRECTION2, CLIP, SCALARS };
  kernel_abi abi = k_kernel(k, name);
  ssa scalars = k_argument(k, abi, 0), zero = k_int(k, 0), one = k_int(k, 1), unit = k_float(k, 1),
      nought = k_float(k, 0), s[SCALARS];
  for (int i = 0; i < SCALARS; ++i) s[i] = k_load(k, scalars, k_int(k, i), K_F32);
  ssa norm = k_load(k, k_argument(k, abi, 1), zero, K_F32);
  ssa clipped = k_min(k, unit, k_div(k, s[CLIP], k_add(k, norm, k_float(k, 1e-6))));
  ssa factor = k_select(k, k_compare(k, "ogt", s[CLIP], nought), clipped, unit);
  ssa decayed = k_sub(k, unit, k_mul(k, s[LR], s[DECAY])), new1 = k_sub(k, unit, s[BETA1]),
      new2 = k_sub(k, unit, s[BETA2]);
  ssa root = k_div(k, unit, k_math(k, "sqrt", s[CORRECTION2])), step = k_div(k, s[LR], s[CORRECTION1]);
  ssa table = k_at(k, abi.dims, k_int(k, 2)), rows = k_dim(k, abi, 0), piece = k_int(k, PIECE); // one i64: two f32

  ssa task = k_for(k, abi.begin, abi.end, one);
  ssa row = k_mul(k, find_row(k, table, rows, task), k_int(k, TABLE_ROW)), column[TABLE_ROW];
  for (int i = 0; i < TABLE_ROW; ++i) column[i] = k_load(k, table, k_add(k, row, k_int(k, i)), K_I64);
  ssa begin = k_mul(k, k_sub(k, task, column[0]), piece), count = k_min(k, piece, k_sub(k, column[3], begin));
  ssa parameter = k_add(k, column[1], begin), gradient = k_add(k, column[2], begin);
  ssa keep = k_select(k, k_compare(k, "ne", column[4], zero), decayed, unit);
  K_CALL(k, update, k_at(k, k_argument(k, abi, 2), parameter), k_at(k, k_argument(k, abi, 3), gradient),
         k_at(k, k_argument(k, abi, 4), gradient), k_at(k, k_argument(k, abi, 5), gradient), count, factor, keep, new1,
         s[BETA2], new2, root, s[EPS], step);
  k_end(k);
  k_return(k);
}

bool cpu_emit_adamw(cpu_entry *e, MlirOperation op, lmn_error *error) {
  int64_t index = ir_int(op, "phase");
  if (index < 0 || index >= e->plan->phase_count)
    return fail(error, "kernel.adamw: the plan has no phase %lld", (long long)index);
  const plan_phase *phase = &e->plan->phases[index];
  add_kernel(e, "adamw", adamw_kernel);
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, "adamw");
  cpu_arg_value(e, launch, ir_operand(e->ir, op, 0));
  cpu_arg_value(e, launch, ir_operand(e->ir, op, 1));
  for (plan_space space = SPACE_PARAMETER; space <= SPACE_MOMENT2; ++space) cpu_arg(e, launch, (plan_ref){space, 0});
  cpu_dim(e, launch, phase->trained_count);
  int64_t pieces = 0, size = sizeof(float);
  for (int i = 0; i < phase->trained_count; ++i) {
    const plan_parameter *p = &e->plan->parameters[phase->trained[i].parameter];
    const int64_t row[TABLE_ROW] = {pieces, p->offset / size, phase->trained[i].offset / size, p->elements,
                                    p->matrix || phase->decay_all};
    for (int c = 0; c < TABLE_ROW; ++c) cpu_dim(e, launch, row[c]);
    pieces += (p->elements + PIECE - 1) / PIECE;
  }
  launch->tasks = pieces;
  launch->grain = 2;
  return true;
}
