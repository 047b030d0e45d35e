// What the runtime fills in and reads by name (see plan.h) must have the size that the entry's shape says, or it would
// write beyond it.
#include <string.h>

#include "runtime/plan_json.h"

typedef struct known_value {
  const char *name;
  plan_type type;
  int64_t elements; // -1: cannot be counted
} known_value;

// -1 where there are more than can be.
static int64_t product(int64_t a, int64_t b) { return __builtin_mul_overflow(a, b, &a) ? -1 : a; }

static bool check_value(const plan_value *v, const known_value *known, size_t count, plan_space space,
                        char why[PLAN_WHY]) {
  size_t k = 0;
  while (k < count && strcmp(v->name, known[k].name)) ++k;
  if (k == count) return true;
  int64_t elements = 1;
  for (int i = 0; i < v->rank; ++i) elements = product(elements, v->shape[i]);
  if (v->type == known[k].type && elements == known[k].elements && elements >= 0 && v->at.space == space) return true;
  snprintf(why, PLAN_WHY, "%s must be %lld elements of %s in %s", v->name, (long long)known[k].elements,
           type_names[known[k].type], plan_space_names[space]);
  return false;
}

bool plan_check_entry(const plan *p, const plan_entry *e, char why[PLAN_WHY]) {
  int64_t tokens = product(e->batch, e->length);
  const known_value inputs[] = {{"input_ids", TYPE_I32, tokens}, {"positions", TYPE_I32, tokens},
                                {"starts", TYPE_I32, tokens},    {"labels", TYPE_I32, p->classes ? e->batch : tokens},
                                {"last", TYPE_I32, e->batch},    {"lengths", TYPE_I32, e->batch},
                                {"counts", TYPE_I32, e->batch},  {"scale", TYPE_F32, 1},
                                {"scalars", TYPE_F32, 8}},
                    outputs[] = {{"loss", TYPE_F32, 1},
                                 {"correct", TYPE_F32, 1},
                                 {"gradient_norm", TYPE_F32, 1},
                                 {"logits", TYPE_F32, product(e->batch, p->classes ? p->classes : p->vocabulary)}};
  size_t output_count = LENGTH(outputs) - (e->kind == ENTRY_TRACE); // a trace has every position's logits
  bool ok = true;
  for (int i = 0; ok && i < e->input_count; ++i)
    ok = check_value(&e->inputs[i], inputs, LENGTH(inputs), SPACE_INPUT, why);
  for (int i = 0; ok && i < e->output_count; ++i)
    ok = check_value(&e->outputs[i], outputs, output_count, SPACE_OUTPUT, why);
  return ok;
}

// As cuTensorMapEncodeTiled has them.
static bool encodable(const plan_map *m) {
  enum { ALIGNMENT = 16, BOX = 256, SWIZZLE = 128 };
  const int64_t sizes = (int64_t)1 << 32, strides = (int64_t)1 << 40, row = m->box_columns * m->bytes;
  bool ok = (m->bytes == 2 || m->bytes == 4) && m->at.offset % ALIGNMENT == 0;
  ok = ok && m->columns >= 1 && m->columns < sizes && m->rows >= 1 && m->rows < sizes && m->count >= 1 &&
       m->count < sizes;
  ok = ok && m->row_stride % ALIGNMENT == 0 && m->row_stride >= 0 && m->row_stride < strides;
  ok = ok && m->stride % ALIGNMENT == 0 && m->stride >= 0 && m->stride < strides;
  ok = ok && m->box_columns >= 1 && m->box_columns <= BOX && m->box_rows >= 1 && m->box_rows <= BOX;
  ok = ok && (!m->pieces || (m->pieces >= 1 && m->pieces < sizes && m->columns * m->bytes % ALIGNMENT == 0 &&
                             m->box_pieces >= 1 && m->box_pieces <= BOX));
  bool power = !m->swizzle || m->swizzle == SWIZZLE / 4 || m->swizzle == SWIZZLE / 2 || m->swizzle == SWIZZLE;
  return ok && power && row % ALIGNMENT == 0 && (!m->swizzle || row <= m->swizzle);
}

bool plan_check_map(const plan_map *m, int64_t bytes, char why[PLAN_WHY]) {
  int64_t rows, matrices, row, end;
  if (!encodable(m)) {
    snprintf(why, PLAN_WHY, "is no tensor map that a GPU could take");
    return false;
  }
  bool ok = !__builtin_mul_overflow(m->rows - 1, m->row_stride, &rows) &&
            !__builtin_mul_overflow(m->count - 1, m->stride, &matrices) &&
            !__builtin_add_overflow(rows, matrices, &end) &&
            !__builtin_mul_overflow(m->columns * m->bytes, m->pieces ? m->pieces : 1, &row) &&
            !__builtin_add_overflow(end, row, &end) && !__builtin_add_overflow(end, m->at.offset, &end) && end <= bytes;
  if (!ok) snprintf(why, PLAN_WHY, "does not lie in the %lld bytes of the space", (long long)bytes);
  return ok;
}
