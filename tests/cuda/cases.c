#include "tests/cuda/cases.h"

#include <stdlib.h>

bool cases_no_spills(cuda_codegen *cg, lmn_error *error) {
  int count;
  const cuda_kernel *k = cuda_kernels(cg, &count);
  for (int i = 0; i < count; ++i)
    if (k[i].resources.spill_stores || k[i].resources.spill_loads)
      return fail(error, "%s: spills %lld bytes", k[i].name, (long long)k[i].resources.spill_stores);
  return printf("%d kernels\n", count) > 0;
}

static bool write_file(const char *folder, const char *name, const text *content, lmn_error *error) {
  text path = {0};
  text_printf(&path, "%s/%s", folder, name);
  bool ok = file_write(path.data, content->data, content->length, error);
  text_free(&path);
  return ok;
}

static bool run(const case_program *program, case_list *list, const char *target, const char *folder,
                lmn_error *error) {
  char line[1024];
  text json = {0};
  plan *p = list->plan = ARENA_NEW(list->arena, plan);
  *p = (plan){.network = program->name, .target = target, .tokenizer = "", .vocabulary = 1};
  p->entries = ARENA_ARRAY(list->arena, plan_entry, CASES_MOST);
  list->cg = cuda_codegen_create(list->arena, p, target, getenv("LMN_CACHE"));
  bool ok = true;
  text_add(&list->json, "[");
  while (ok && p->entry_count < CASES_MOST && fgets(line, sizeof line, stdin)) ok = program->add(list, line, error);
  text_add(&list->json, "]\n");
  ok = ok && directory_make(folder, error) && cuda_codegen_finish(list->cg, folder, error) &&
       program->check(list->cg, error);
  plan_write(p, &json);
  ok = ok && write_file(folder, "plan.json", &json, error) && write_file(folder, "cases.json", &list->json, error);
  cuda_codegen_destroy(list->cg);
  text_free(&list->json);
  text_free(&json);
  return ok;
}

int cases_main(const case_program *program, int argc, char **argv) {
  const int wanted = program->target ? 2 : 3;
  lmn_error error = {0};
  case_list list = {.arena = arena_create(), .context = ir_context_create(&error)};
  if (argc != wanted) fail(&error, "usage: %s %sFOLDER <SPECS", program->name, program->target ? "" : "TARGET ");
  bool ok = argc == wanted && list.context.ptr &&
            run(program, &list, program->target ? program->target : argv[1], argv[wanted - 1], &error);
  if (!ok) fprintf(stderr, "%s: %s\n", program->name, error.text);
  if (list.context.ptr) ir_context_destroy(list.context);
  arena_destroy(list.arena);
  return ok ? 0 : 1;
}
