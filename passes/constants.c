#include "passes/constants.h"

#include <string.h>

// The rotary table's place in SPACE_CONSTANT; entries and models that turn alike share one.
static int64_t rotary_place(ir *m, int model_index, int64_t length) {
  const model *d = &m->graph->models[model_index].description;
  plan *p = m->plan;
  plan_rotary wanted = {.offset = p->constant_bytes,
                        .length = length,
                        .dim = d->head_size,
                        .kind = (int)d->rope.kind,
                        .theta = d->rope.theta,
                        .factor = d->rope.factor,
                        .low_frequency_factor = d->rope.low_frequency_factor,
                        .high_frequency_factor = d->rope.high_frequency_factor,
                        .original_length = d->rope.original_length};
  for (int i = 0; i < p->rotary_count; ++i) {
    plan_rotary same = p->rotary[i];
    if (same.length == wanted.length && same.dim == wanted.dim && same.kind == wanted.kind &&
        same.theta == wanted.theta && same.factor == wanted.factor &&
        same.low_frequency_factor == wanted.low_frequency_factor &&
        same.high_frequency_factor == wanted.high_frequency_factor && same.original_length == wanted.original_length)
      return same.offset;
  }
  plan_rotary *more = ARENA_ARRAY(m->arena, plan_rotary, p->rotary_count + 1);
  for (int i = 0; i < p->rotary_count; ++i) more[i] = p->rotary[i];
  more[p->rotary_count++] = wanted;
  p->rotary = more;
  p->constant_bytes += (length * d->head_size * 4 + 63) / 64 * 64;
  return wanted.offset;
}

bool constants_place(ir *m, const char *name, int64_t *offset, lmn_error *error) {
  long long model = 0, length = 0;
  if (sscanf(name, "%lld.%lld", &model, &length) != 2 || model < 0 || model >= m->graph->model_count || length < 1)
    return fail(error, "internal error: no constant is called %s", name);
  *offset = rotary_place(m, (int)model, length);
  return true;
}

bool constants_restore(ir *m, lmn_error *error) {
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i) {
    MlirOperation op = ops.items[i];
    if (ir_code(m, op) != KERNEL_BUFFER || strcmp(ir_text(m, op, "space"), "constant")) continue;
    const char *name = ir_text(m, op, "name");
    int64_t offset;
    if (!constants_place(m, name, &offset, error)) return false;
    if (ir_place(mlirOperationGetResult(op, 0)).offset != offset)
      return fail(error, "the constant %s is not at the place that its order gives it", name);
  }
  return true;
}
