#include "driver/kernel_table.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void print_table(void *user, const cuda_kernel *kernels, int count) {
  (void)user;
  int width = 6;
  for (int i = 0; i < count; ++i)
    if ((int)strlen(kernels[i].name) > width) width = (int)strlen(kernels[i].name);
  printf("%-*s  threads  registers  spilled  stack  shared  dynamic  first for\n", width, "kernel");
  for (int i = 0; i < count; ++i) {
    const cuda_kernel *k = &kernels[i];
    const cuda_resources *r = &k->resources;
    printf("%-*s  %7lld  %9lld  %7lld  %5lld  %6lld  %7lld  %s\n", width, k->name, (long long)k->block,
           (long long)r->registers, (long long)(r->spill_stores + r->spill_loads), (long long)r->stack,
           (long long)r->shared, (long long)k->shared, k->what);
  }
}

static void print_json(void *user, const cuda_kernel *kernels, int count) {
  const target *t = user;
  json_t *list = json_array();
  for (int i = 0; i < count; ++i) {
    const cuda_kernel *k = &kernels[i];
    const cuda_resources *r = &k->resources;
    json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "kernel", k->name,
                                          "first_for", k->what, "threads", (json_int_t)k->block, "registers",
                                          (json_int_t)r->registers, "spill_stores", (json_int_t)r->spill_stores,
                                          "spill_loads", (json_int_t)r->spill_loads, "stack", (json_int_t)r->stack,
                                          "shared", (json_int_t)r->shared, "dynamic_shared", (json_int_t)k->shared));
  }
  json_t *object = json_pack("{s:s, s:o}", "target", t->name, "kernels", list);
  char *printed = json_dumps(object, JSON_PRESERVE_ORDER | JSON_INDENT(2));
  puts(printed ? printed : "{}");
  free(printed);
  json_decref(object);
}

bool kernel_table_print(compilation *c, const entry_shape *shapes, int count, bool json, lmn_error *error) {
  return compile_kernels(c, shapes, count, json ? print_json : print_table, (void *)c->target, error);
}
