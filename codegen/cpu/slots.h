// The distinct places among a kernel's operands and results, each one pointer of its inner function: a result in the
// place of an operand must not become a second pointer that claims to alias nothing.
#ifndef LMN_CPU_SLOTS_H
#define LMN_CPU_SLOTS_H

#include "codegen/cpu/cpu.h"

typedef struct slots {
  plan_ref *places;
  int count, capacity;
} slots;

int slot_of(slots *s, plan_ref place);
// The slots of a segment of operands (results); also adds them to `signature`, what makes the kernel's name.
int *slots_of(cpu_entry *e, slots *s, MlirOperation op, segment part, bool results, text *signature);
// Of lists with a value a group: a slot a kind, whose place is not used (each group has its own).
int *list_slots(cpu_entry *e, slots *s, MlirOperation op, segment part, bool results, text *signature);
void slots_free(slots *s);

// KIND_SIZE_HASH of the signature, which is freed.
const char *kernel_name(cpu_entry *e, const char *kind, int64_t size, text *signature);
// "nnn…ii" for k_function: noalias pointers, then integers.
char *parameter_types(cpu_entry *e, int pointers, int integers);

#endif
