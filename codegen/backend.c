#include "codegen/backend.h"

#include <string.h>

backend backend_create(arena *a, const target *t, plan *p, const char *cache) {
  backend b = {.target = t};
  p->target = t->name;
  if (t->cuda) {
    b.cuda = cuda_codegen_create(a, p, t->name, cache);
  } else {
    p->cpu = cpu_name();
    p->cpu_features = cpu_features();
    b.cpu = cpu_codegen_create(a, p, cache);
  }
  return b;
}

void backend_destroy(backend *b) {
  cpu_codegen_destroy(b->cpu);
  cuda_codegen_destroy(b->cuda);
}

void backend_time(backend *b, timings *t) {
  if (b->cuda) cuda_codegen_time(b->cuda, t);
  else cpu_codegen_time(b->cpu, t);
}

bool backend_lines(backend *b, lmn_error *error) {
  if (!b->cuda) return fail(error, "--line-info is of GPUs; say --target sm_80, sm_89 or sm_90a");
  cuda_codegen_lines(b->cuda);
  return true;
}

bool backend_entry(backend *b, ir *m, plan_entry *entry, lmn_error *error) {
  return b->cuda ? cuda_codegen_entry(b->cuda, m, entry, error) : cpu_codegen_entry(b->cpu, m, entry, error);
}

bool backend_finish(backend *b, const char *folder, lmn_error *error) {
  if (b->cuda) return cuda_codegen_finish(b->cuda, folder, error);
  text library = {0};
  text_printf(&library, "%s/kernels.so", folder);
  bool ok = cpu_codegen_finish(b->cpu, library.data, error);
  text_free(&library);
  return ok;
}

static bool is_one(const char *level, const char *const *levels, size_t count) {
  for (size_t i = 0; i < count; ++i)
    if (!strcmp(level, levels[i])) return true;
  return false;
}

bool backend_check_level(const target *t, const char *level, lmn_error *error) {
  static const char *const cpu[] = {"mlir", "llvm"}, *const cuda[] = {"cuda", "ptx", "sass"};
  if (!level) return true;
  if (t->cuda && is_one(level, cpu, LENGTH(cpu)))
    return fail(error, "--emit=%s is a level of the CPU; the target %s has cuda, ptx and sass", level, t->name);
  if (!t->cuda && is_one(level, cuda, LENGTH(cuda)))
    return fail(error, "--emit=%s is a level of GPUs; say --target sm_80, sm_89 or sm_90a", level);
  return true;
}
