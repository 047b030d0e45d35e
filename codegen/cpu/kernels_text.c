// --emit=mlir: all kernels as one MLIR module, which is read again function by function.
#include "codegen/cpu/internal.h"

#include <string.h>

static const char *const titles[] = {"// body ", "// kernel "};

static void print_functions(const cpu_function *functions, int count, const char *title, text *out) {
  for (int i = 0; i < count; ++i) text_printf(out, "%s%s\n%s\n", title, functions[i].name, functions[i].mlir);
}

void cpu_print_mlir(const cpu_codegen *cg, text *out) {
  text_add(out, "module {\n");
  print_functions(cg->bodies, cg->body_count, titles[0], out);
  print_functions(cg->kernels, cg->kernel_count, titles[1], out);
  text_add(out, "}\n");
}

// So that a mistake is reported where it is in the file, not where it ends up in a piece of it.
static bool parses(const char *source, const char *file, int line, lmn_error *error) {
  text padded = {0};
  for (int i = 1; i < line; ++i) text_add(&padded, "\n");
  text_add(&padded, source);
  MlirContext context = cpu_context_create(error);
  MlirOperation module = mlirOperationCreateParse(context, mlirStringRefCreate(padded.data, padded.length),
                                                  mlirStringRefCreateFromCString(file));
  bool ok = !mlirOperationIsNull(module) || fail(error, "%s:%d: the kernels' MLIR does not parse", file, line);
  if (ok) mlirOperationDestroy(module);
  mlirContextDestroy(context);
  text_free(&padded);
  return ok;
}

static const char *line_end(const char *p) { return p + strcspn(p, "\n"); }

// Where the next function's title is, or the module's end.
static const char *next_title(const char *p) {
  for (; *p; p = line_end(p), p += *p == '\n')
    if (!strncmp(p, titles[0], strlen(titles[0])) || !strncmp(p, titles[1], strlen(titles[1])) || !strcmp(p, "}\n"))
      return p;
  return p;
}

static void add_body(cpu_codegen *cg, const char *name, const char *mlir) {
  GROW(cg->bodies, cg->body_count, cg->body_capacity);
  cg->bodies[cg->body_count++] = (cpu_function){name, mlir};
}

bool cpu_read_mlir(cpu_codegen *cg, const char *source, const char *file, int line, lmn_error *error) {
  static const char head[] = "module {\n";
  if (strncmp(source, head, sizeof head - 1)) return fail(error, "%s:%d: `module {` must stand here", file, line);
  if (!parses(source, file, line, error)) return false;
  const char *p = source + sizeof head - 1;
  if (next_title(p) != p)
    return fail(error, "%s:%d: `// body NAME` or `// kernel NAME` must stand here", file, line + 1);
  while (*p == '/') {
    bool kernel = !strncmp(p, titles[1], strlen(titles[1]));
    const char *name = p + strlen(titles[kernel]), *text = line_end(p) + 1, *end = next_title(text);
    const char *named = arena_copy(cg->arena, name, (size_t)(line_end(p) - name));
    const char *mlir = arena_copy(cg->arena, text, (size_t)(end - text) - (end > text));
    if (kernel) cpu_add_kernel(cg, named, mlir);
    else add_body(cg, named, mlir);
    p = end;
  }
  return *p || fail(error, "%s: the module's end, a line with `}` alone, is not there", file);
}
