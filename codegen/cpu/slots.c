#include "codegen/cpu/slots.h"

#include <stdlib.h>
#include <string.h>

int slot_of(slots *s, plan_ref place) {
  for (int i = 0; i < s->count; ++i)
    if (s->places[i].space == place.space && s->places[i].offset == place.offset) return i;
  GROW(s->places, s->count, s->capacity);
  s->places[s->count] = place;
  return s->count++;
}

int *slots_of(cpu_entry *e, slots *s, MlirOperation op, segment part, bool results, text *signature) {
  int *list = ARENA_ARRAY(e->arena, int, part.count + 1);
  for (int i = 0; i < part.count; ++i) {
    int n = part.first + i;
    list[i] = slot_of(s, ir_place(results ? mlirOperationGetResult(op, n) : mlirOperationGetOperand(op, n)));
    text_printf(signature, ",%d", list[i]);
  }
  text_add(signature, ";");
  return list;
}

int *list_slots(cpu_entry *e, slots *s, MlirOperation op, segment part, bool results, text *signature) {
  int *list = ARENA_ARRAY(e->arena, int, part.count + 1);
  for (int i = 0; i < part.count; ++i) {
    int n = part.first + i;
    GROW(s->places, s->count, s->capacity);
    s->places[s->count] = ir_place(results ? mlirOperationGetResult(op, n) : mlirOperationGetOperand(op, n));
    list[i] = s->count++;
    text_printf(signature, ",%d", list[i]);
  }
  text_add(signature, ";");
  return list;
}

void slots_free(slots *s) {
  free(s->places);
  *s = (slots){0};
}

const char *kernel_name(cpu_entry *e, const char *kind, int64_t size, text *signature) {
  uint64_t hash = hash_bytes(HASH_START, signature->data, signature->length);
  text_free(signature);
  return arena_printf(e->arena, "%s_%lld_%016llx", kind, (long long)size, (unsigned long long)hash);
}

char *parameter_types(cpu_entry *e, int pointers, int integers) {
  char *types = ARENA_ARRAY(e->arena, char, pointers + integers + 1);
  memset(types, 'n', (size_t)pointers);
  memset(types + pointers, 'i', (size_t)integers);
  return types;
}
