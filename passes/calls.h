// Bodies (see ops.def) that only call others, with arguments in another order or besides those that they need.
#ifndef LMN_CALLS_H
#define LMN_CALLS_H

#include "ir/ir.h"

// Numbers of a body's arguments, to be handed to another; -1: what the first call gave.
typedef struct body_choice {
  int items[64], count;
} body_choice;
void body_choose(body_choice *c, int first, int count); // first and those behind it

// The body `name` of `arguments`: `first`, which gives `results`, of those chosen, and, where there is one, `second` of
// its choice, which gives one. Both are in the module.
const char *body_of_calls(ir *m, const char *name, int arguments, const char *first, const body_choice *of_first,
                          int results, const char *second, const body_choice *of_second);

// The same of two that give one result each: both.
const char *body_of_both(ir *m, const char *name, int arguments, const char *first, const body_choice *of_first,
                         const char *second, const body_choice *of_second);

#endif
