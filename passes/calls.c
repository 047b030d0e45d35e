#include "passes/calls.h"

void body_choose(body_choice *c, int first, int count) {
  for (int i = 0; i < count && c->count < (int)LENGTH(c->items); ++i) c->items[c->count++] = first + i;
}

static void write_types(text *t, int count) {
  for (int i = 0; i < count; ++i) text_add(t, i ? ", f32" : "f32");
}

// In front of `definitions` the callee as it is declared, in `t` the call.
static void write_call(text *definitions, text *t, const char *callee, const body_choice *c, int results,
                       const char *to) {
  text_printf(definitions, "func.func private @%s(", callee); // it is in the module already: ir_body leaves this out
  write_types(definitions, c->count);
  text_add(definitions, results > 1 ? ") -> (" : ") -> ");
  write_types(definitions, results);
  text_add(definitions, results > 1 ? ")\n" : "\n");
  text_printf(t, "  %%%s", to);
  if (results > 1) text_printf(t, ":%d", results);
  text_printf(t, " = func.call @%s(", callee);
  for (int i = 0; i < c->count; ++i)
    if (c->items[i] < 0) text_add(t, i ? ", %v" : "%v");
    else text_printf(t, "%s%%x%d", i ? ", " : "", c->items[i]);
  text_add(t, ") : (");
  write_types(t, c->count);
  text_add(t, results > 1 ? ") -> (" : ") -> ");
  write_types(t, results);
  text_add(t, results > 1 ? ")\n" : "\n");
}

const char *body_of_calls(ir *m, const char *name, int arguments, const char *first, const body_choice *of_first,
                          int results, const char *second, const body_choice *of_second) {
  text definitions = {0}, calls = {0};
  write_call(&definitions, &calls, first, of_first, results, second ? "v" : "y");
  if (second) write_call(&definitions, &calls, second, of_second, 1, "y");
  text_printf(&definitions, "func.func private @%s(", name);
  for (int i = 0; i < arguments; ++i) text_printf(&definitions, "%s%%x%d: f32", i ? ", " : "", i);
  text_add(&definitions, results > 1 ? ") -> (" : ") -> ");
  write_types(&definitions, results);
  text_printf(&definitions, "%s {\n%s  return ", results > 1 ? ")" : "", calls.data);
  for (int i = 0; i < results; ++i)
    if (results > 1) text_printf(&definitions, "%s%%y#%d", i ? ", " : "", i);
    else text_add(&definitions, "%y");
  text_add(&definitions, " : ");
  write_types(&definitions, results);
  text_add(&definitions, "\n}\n");
  ir_body(m, name, definitions.data);
  text_free(&definitions);
  text_free(&calls);
  return name;
}

const char *body_of_both(ir *m, const char *name, int arguments, const char *first, const body_choice *of_first,
                         const char *second, const body_choice *of_second) {
  text definitions = {0}, calls = {0};
  write_call(&definitions, &calls, first, of_first, 1, "y");
  write_call(&definitions, &calls, second, of_second, 1, "z");
  text_printf(&definitions, "func.func private @%s(", name);
  for (int i = 0; i < arguments; ++i) text_printf(&definitions, "%s%%x%d: f32", i ? ", " : "", i);
  text_printf(&definitions, ") -> (f32, f32) {\n%s  return %%y, %%z : f32, f32\n}\n", calls.data);
  ir_body(m, name, definitions.data);
  text_free(&definitions);
  text_free(&calls);
  return name;
}
