#include "passes/segments.h"

#include <stdlib.h>
#include <string.h>

segment_sums segments_begin(arena *a, int64_t rows, double scale) {
  return (segment_sums){.arena = a, .rows = rows, .scale = scale};
}

void segments_free(segment_sums *s) {
  free(s->values);
  free(s->counts);
  free(s->terms);
  *s = (segment_sums){0};
}

void segments_sum(segment_sums *s) {
  GROW(s->counts, s->count, s->capacity);
  s->counts[s->count++] = 0;
}

void segments_term(segment_sums *s, MlirValue value, int64_t index) {
  int at = 0;
  while (at < s->value_count && !mlirValueEqual(s->values[at], value)) ++at;
  if (at == s->value_count) {
    GROW(s->values, s->value_count, s->value_capacity);
    s->values[s->value_count++] = value;
  }
  GROW(s->terms, s->term_count, s->term_capacity);
  s->terms[s->term_count++] = (struct segment_term){at, index};
  ++s->counts[s->count - 1];
}

// A segment that a value is, or a part of a value: where it was unstacked from, that.
static void add_segment(ir *m, segment_sums *s, MlirValue value, int64_t index) {
  MlirOperation op = value_op(value);
  if (value_rows(value) == s->rows && ir_code(m, op) == NN_UNSTACK)
    segments_term(s, mlirOperationGetOperand(op, 0), ir_int(op, "index"));
  else segments_term(s, value, index);
}

static bool whole_segments(MlirOperation op, int64_t rows) {
  for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i)
    if (value_rows(mlirOperationGetOperand(op, i)) % rows) return false;
  return mlirOperationGetNumOperands(op) && value_rows(mlirOperationGetResult(op, 0)) % rows == 0;
}

bool segments_read(ir *m, MlirOperation op, int64_t rows, segment_sums *s) {
  op_code code = ir_code(m, op);
  if ((code != NN_ADD && code != NN_STACK && code != NN_UNSTACK && code != NN_SEGMENT_SUM) || !whole_segments(op, rows))
    return false;
  int64_t own = value_rows(mlirOperationGetResult(op, 0)) / rows;
  if (code == NN_SEGMENT_SUM && ir_count(op, "counts") != own) return false;
  *s = segments_begin(m->arena, rows, code == NN_ADD || code == NN_SEGMENT_SUM ? ir_real(op, "scale") : 1);
  for (int64_t j = 0, term = 0; j < own; ++j) {
    segments_sum(s);
    if (code == NN_UNSTACK) segments_term(s, mlirOperationGetOperand(op, 0), ir_int(op, "index") * own + j);
    else if (code == NN_STACK) {
      MlirValue first = mlirOperationGetOperand(op, 0);
      int64_t each = value_rows(first) / rows;
      add_segment(m, s, mlirOperationGetOperand(op, j / each), j % each);
    } else if (code == NN_SEGMENT_SUM)
      for (int64_t end = term + ir_int_at(op, "counts", (int)j); term < end; ++term)
        add_segment(m, s, mlirOperationGetOperand(op, term), 0);
    else
      for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i)
        segments_term(s, mlirOperationGetOperand(op, i), j);
  }
  return true;
}

bool segments_open_value(ir *m, segment_sums *s, int value) {
  segment_sums inner;
  if (!segments_read(m, value_op(s->values[value]), s->rows, &inner)) return false;
  bool opens = inner.scale == 1;
  segment_sums result = segments_begin(s->arena, s->rows, s->scale);
  for (int j = 0, term = 0; opens && j < s->count; ++j) {
    segments_sum(&result);
    for (int64_t end = term + s->counts[j]; term < end; ++term) {
      struct segment_term t = s->terms[term];
      if (t.value != value) {
        segments_term(&result, s->values[t.value], t.index);
        continue;
      }
      int first = 0;
      for (int64_t i = 0; i < t.index; ++i) first += (int)inner.counts[i];
      for (int i = first; i < first + inner.counts[t.index]; ++i)
        segments_term(&result, inner.values[inner.terms[i].value], inner.terms[i].index);
    }
  }
  segments_free(&inner);
  if (!opens) return segments_free(&result), false;
  segments_free(s);
  *s = result;
  return true;
}

void segments_open(ir *m, segment_sums *s, bool (*may)(ir *m, MlirValue value)) {
  for (int i = 0; i < s->value_count;)
    if (may(m, s->values[i]) && segments_open_value(m, s, i)) i = 0;
    else ++i;
}

bool segments_even(const segment_sums *s, int64_t *terms) {
  for (int j = 0; j < s->count; ++j)
    if (s->counts[j] != s->counts[0]) return false;
  *terms = s->count ? s->counts[0] : 0;
  return s->count > 0;
}

static MlirValue segment_value(builder *b, const segment_sums *s, MlirValue value, int64_t index) {
  if (value_rows(value) == s->rows) return value;
  op_spec spec = op_begin(b, NN_UNSTACK);
  op_operand(&spec, value);
  op_int(&spec, "index", index);
  op_int(&spec, "count", value_rows(value) / s->rows);
  op_result(&spec, ir_matrix(b->ir, s->rows, value_columns(value)));
  return op_end_value(&spec);
}

// Whether the sums are one of whole values, or one whole value: every value's segments in order.
static bool whole_values(const segment_sums *s, MlirType type) {
  int64_t each;
  if (!segments_even(s, &each) || each != s->value_count || !each) return false;
  for (int i = 0; i < s->value_count; ++i)
    if (!mlirTypeEqual(mlirValueGetType(s->values[i]), type)) return false;
  for (int i = 0; i < s->term_count; ++i)
    if (s->terms[i].value != i % each || s->terms[i].index != i / each) return false;
  return true;
}

MlirValue segments_end(builder *b, segment_sums *s, MlirType type) {
  int64_t each = 0;
  bool whole = whole_values(s, type), moved = segments_even(s, &each) && each == 1 && s->scale == 1;
  MlirValue *terms = s->values;
  int count = s->value_count;
  if (!whole) {
    count = s->term_count;
    terms = ARENA_ARRAY(s->arena, MlirValue, count + 1);
    for (int i = 0; i < count; ++i) terms[i] = segment_value(b, s, s->values[s->terms[i].value], s->terms[i].index);
  }
  MlirValue value = terms[0];
  if (!moved || (!whole && count > 1)) {
    op_spec spec = op_begin(b, whole ? NN_ADD : NN_SEGMENT_SUM);
    op_segment(&spec, terms, count);
    op_result(&spec, type);
    if (!whole) op_ints(&spec, "counts", s->counts, s->count);
    op_real(&spec, "scale", s->scale);
    value = op_end_value(&spec);
  }
  segments_free(s);
  return value;
}

bool segments_spread(ir *m, MlirValue v, int64_t rows, MlirValue *from, int64_t **reads) {
  segment_sums s;
  op_code code = ir_code(m, value_op(v));
  if ((code != NN_SEGMENT_SUM && code != NN_STACK) || !segments_read(m, value_op(v), rows, &s)) return false;
  int64_t each;
  bool spread = segments_even(&s, &each) && each == 1 && s.value_count == 1 && s.scale == 1;
  if (spread) {
    *from = s.values[0];
    *reads = ARENA_ARRAY(m->arena, int64_t, s.count);
    for (int j = 0; j < s.count; ++j) (*reads)[j] = s.terms[j].index;
  }
  segments_free(&s);
  return spread;
}
