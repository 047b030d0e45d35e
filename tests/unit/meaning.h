// What lmn ops mean, without a number computed: the value of every stacked part is a hash of all that it depends on,
// so that two entries mean the same where the hashes of their outputs do.
#ifndef LMN_TEST_MEANING_H
#define LMN_TEST_MEANING_H

#include "network.h"

#include "passes/map.h"

typedef struct parts {
  uint64_t *items;
  int count;
} parts;

static inline uint64_t meaning_mix(uint64_t hash, uint64_t with) { return hash_bytes(hash, &with, sizeof with); }

static inline parts meaning_of(map *values, MlirValue v) { return *(parts *)(intptr_t)map_get(values, v.ptr, 0); }

static inline void meaning_set(network *n, map *values, MlirValue v, const uint64_t *items, int count) {
  parts *p = ARENA_NEW(n->arena, parts);
  p->items = ARENA_ARRAY(n->arena, uint64_t, count);
  p->count = count;
  memcpy(p->items, items, (size_t)count * sizeof *items);
  map_put(values, v.ptr, (int64_t)(intptr_t)p);
}

static inline uint64_t meaning_attributes(MlirOperation op) {
  uint64_t hash = HASH_START;
  for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op); ++i)
    hash = meaning_mix(hash, (uintptr_t)mlirOperationGetAttribute(op, i).attribute.ptr);
  return hash;
}

// A vertex on n nodes of s segments: a segment's result depends on it and those before it.
static inline void meaning_vertex(network *n, map *values, MlirOperation op) {
  parts hidden = meaning_of(values, ir_operand(n->ir, op, 0)), mask = meaning_of(values, ir_operand(n->ir, op, 1));
  int segments = (int)ir_int(op, "segments"), nodes = ir_count(op, "nodes");
  assert_int_equal(hidden.count, segments * nodes);
  uint64_t *out = ARENA_ARRAY(n->arena, uint64_t, hidden.count), start = meaning_mix(mask.items[0], LMN_VERTEX);
  if (value_is(ir_operand(n->ir, op, 2)))
    start = meaning_mix(start, meaning_of(values, ir_operand(n->ir, op, 2)).items[0]);
  start = meaning_mix(meaning_mix(start, (uint64_t)ir_int(op, "model")), (uint64_t)ir_int(op, "instance"));
  for (int i = 0; i < hidden.count; ++i) out[i] = meaning_mix(i % segments ? out[i - 1] : start, hidden.items[i]);
  meaning_set(n, values, mlirOperationGetResult(op, 0), out, hidden.count);
}

static inline void meaning_edge(network *n, map *values, MlirOperation op) {
  segment sources = ir_operands(n->ir, op, 0);
  assert_int_equal(sources.count, ir_count(op, "arrows"));
  assert_int_equal(sources.count, mlirOperationGetNumResults(op));
  for (int i = 0; i < sources.count; ++i) {
    parts source = meaning_of(values, mlirOperationGetOperand(op, i));
    assert_int_equal(source.count, 1);
    uint64_t hash = meaning_mix(source.items[0], (uint64_t)ir_int_at(op, "arrows", i));
    for (int k = 1; k <= 2; ++k)
      if (value_is(ir_operand(n->ir, op, k)))
        hash = meaning_mix(hash, meaning_of(values, ir_operand(n->ir, op, k)).items[0]);
    meaning_set(n, values, mlirOperationGetResult(op, i), &hash, 1);
  }
}

static inline void meaning_joined(network *n, map *values, MlirOperation op) {
  uint64_t *all = NULL;
  int count = 0, capacity = 0;
  for (intptr_t k = 0; k < mlirOperationGetNumOperands(op); ++k) {
    parts p = meaning_of(values, mlirOperationGetOperand(op, k));
    for (int i = 0; i < p.count; ++i) {
      GROW(all, count, capacity);
      all[count++] = p.items[i];
    }
  }
  const char *kind = ir_text(n->ir, op, "kind");
  if (ir_code(n->ir, op) == LMN_STACK || (kind && !strcmp(kind, "concat"))) {
    meaning_set(n, values, mlirOperationGetResult(op, 0), all, count);
  } else {
    uint64_t hash = meaning_mix(meaning_attributes(op), ir_code(n->ir, op));
    for (int i = 0; i < count; ++i) hash = meaning_mix(hash, all[i]);
    for (intptr_t k = 0; k < mlirOperationGetNumResults(op); ++k) {
      uint64_t result = meaning_mix(hash, (uint64_t)k);
      meaning_set(n, values, mlirOperationGetResult(op, k), &result, 1);
    }
  }
  free(all);
}

// Tables are the same where their numbers are, whichever model they are named after.
static inline void meaning_rotary(network *n, map *values, MlirOperation op) {
  rope r = n->graph.models[ir_int(op, "model")].description.rope;
  uint64_t hash = meaning_mix(meaning_mix((uint64_t)r.theta, (uint64_t)ir_int(op, "length")), (uint64_t)r.kind);
  hash = meaning_mix(hash, (uint64_t)ir_int(op, "dim"));
  meaning_set(n, values, mlirOperationGetResult(op, 0), &hash, 1);
}

// The hash of everything the entry says.
static inline uint64_t meaning(network *n) {
  map values = {0};
  op_list ops = ir_ops(n->ir);
  uint64_t said = 0;
  for (int i = 0; i < ops.count; ++i) {
    MlirOperation op = ops.items[i];
    switch (ir_code(n->ir, op)) {
    case LMN_VERTEX: meaning_vertex(n, &values, op); break;
    case LMN_EDGE: meaning_edge(n, &values, op); break;
    case LMN_ROTARY: meaning_rotary(n, &values, op); break;
    case LMN_UNSTACK: {
      parts p = meaning_of(&values, mlirOperationGetOperand(op, 0));
      int count = (int)ir_int(op, "count"), each = p.count / count;
      assert_int_equal(p.count % count, 0);
      meaning_set(n, &values, mlirOperationGetResult(op, 0), p.items + ir_int(op, "index") * each, each);
      break;
    }
    case LMN_OUTPUT: // in any order
      said += meaning_mix(meaning_attributes(op), meaning_of(&values, mlirOperationGetOperand(op, 0)).items[0]);
      break;
    default: meaning_joined(n, &values, op);
    }
  }
  map_free(&values);
  return said;
}

#endif
