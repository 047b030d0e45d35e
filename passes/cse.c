// cse: of ops that compute the same, the first is kept.
//
//   %a = nn.rope(%x, %table) {heads = 2, …}        %a = nn.rope(%x, %table) {heads = 2, …}
//   %b = nn.rope(%x, %table) {heads = 2, …}   →    %c = nn.add(%a, %a)
//   %c = nn.add(%a, %b)
//
// The same: op, operands, attributes (but where plan-memory puts it) and result types of two PURE ops. One sweep is
// enough, since what an op reads is merged before it is looked at. The location is the first one's.
#include "passes/passes.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t hash, const void *pointer) {
  hash = (hash ^ (uint64_t)(uintptr_t)pointer) * 0x9e3779b97f4a7c15u;
  return hash ^ hash >> 29;
}

static bool counts(MlirNamedAttribute attribute) {
  MlirStringRef name = mlirIdentifierStr(attribute.name);
  return name.length != 6 || memcmp(name.data, "places", 6) != 0;
}

// Names, attributes and types are unique in their context: their addresses tell them apart.
static uint64_t hash_of(MlirOperation op) {
  uint64_t hash = mix(HASH_START, mlirOperationGetName(op).ptr);
  for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) hash = mix(hash, mlirOperationGetOperand(op, i).ptr);
  for (intptr_t i = 0; i < mlirOperationGetNumResults(op); ++i)
    hash = mix(hash, mlirValueGetType(mlirOperationGetResult(op, i)).ptr);
  for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op); ++i) {
    MlirNamedAttribute attribute = mlirOperationGetAttribute(op, i);
    if (counts(attribute)) hash = mix(mix(hash, attribute.name.ptr), attribute.attribute.ptr);
  }
  return hash;
}

static bool same_attributes(MlirOperation a, MlirOperation b) {
  intptr_t a_count = mlirOperationGetNumAttributes(a), b_count = mlirOperationGetNumAttributes(b), i = 0, k = 0;
  for (;; ++i, ++k) { // both are sorted by name
    while (i < a_count && !counts(mlirOperationGetAttribute(a, i))) ++i;
    while (k < b_count && !counts(mlirOperationGetAttribute(b, k))) ++k;
    if (i >= a_count || k >= b_count) return i >= a_count && k >= b_count;
    MlirNamedAttribute x = mlirOperationGetAttribute(a, i), y = mlirOperationGetAttribute(b, k);
    if (x.name.ptr != y.name.ptr || x.attribute.ptr != y.attribute.ptr) return false;
  }
}

static bool same(MlirOperation a, MlirOperation b) {
  if (mlirOperationGetName(a).ptr != mlirOperationGetName(b).ptr ||
      mlirOperationGetNumOperands(a) != mlirOperationGetNumOperands(b) ||
      mlirOperationGetNumResults(a) != mlirOperationGetNumResults(b))
    return false;
  for (intptr_t i = 0; i < mlirOperationGetNumOperands(a); ++i)
    if (mlirOperationGetOperand(a, i).ptr != mlirOperationGetOperand(b, i).ptr) return false;
  for (intptr_t i = 0; i < mlirOperationGetNumResults(a); ++i)
    if (mlirValueGetType(mlirOperationGetResult(a, i)).ptr != mlirValueGetType(mlirOperationGetResult(b, i)).ptr)
      return false;
  return same_attributes(a, b);
}

bool pass_cse(ir *m, lmn_error *error) {
  (void)error;
  op_list ops = ir_ops(m);
  size_t capacity = 64;
  while (capacity < 2 * (size_t)ops.count) capacity *= 2;
  MlirOperation *slots = memory_zero(capacity * sizeof *slots);
  uint64_t *hashes = memory_zero(capacity * sizeof *hashes);
  for (int i = 0; i < ops.count; ++i) {
    MlirOperation op = ops.items[i];
    if (!(op_flags(ir_code(m, op)) & PURE) || mlirOperationGetNumResults(op) == 0) continue;
    uint64_t hash = hash_of(op);
    size_t at = hash & (capacity - 1);
    while (slots[at].ptr && (hashes[at] != hash || !same(slots[at], op))) at = (at + 1) & (capacity - 1);
    if (!slots[at].ptr) {
      slots[at] = op;
      hashes[at] = hash;
      continue;
    }
    for (intptr_t k = 0; k < mlirOperationGetNumResults(op); ++k)
      ir_replace(mlirOperationGetResult(op, k), mlirOperationGetResult(slots[at], k));
    ir_erase(op);
  }
  free(slots);
  free(hashes);
  return true;
}
