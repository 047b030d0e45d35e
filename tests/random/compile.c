// From .lmn texts to artifacts, many at a time: entries are lowered one by one, but all their kernels become one shared
// object, because compiling a kernel takes far longer than all the rest and most are the same in every variant.
#include "subject.h"

#include "codegen/plan.h"
#include "ir/build.h"
#include "passes/pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CAPACITY = 32, CHUNK = 9, ENTRIES = 8 }; // of KV caches; a chunk with two rows has more than 16 rows together

// ---- variants ------------------------------------------------------------------------------------

static int optimisations(const char *names[VARIANTS_MAX]) {
  int count = 0;
  for (int i = 0; i < pass_count; ++i)
    if (passes[i].optimisation) names[count++] = passes[i].name;
  return count;
}

int variant_count(void) {
  const char *names[VARIANTS_MAX];
  return VARIANT_FIRST_PASS + optimisations(names);
}

static int disabled_of(int variant, const char *names[VARIANTS_MAX]) {
  int count = optimisations(names);
  if (variant == VARIANT_ALL_OFF) return count;
  if (variant == VARIANT_ALL_ON) return 0;
  names[0] = names[variant - VARIANT_FIRST_PASS];
  return 1;
}

const char *variant_options(int variant) {
  static text options;
  const char *names[VARIANTS_MAX];
  int count = disabled_of(variant, names);
  options.length = 0;
  text_add(&options, "");
  for (int i = 0; i < count; ++i) text_printf(&options, "%s--disable-pass %s", i ? " " : "", names[i]);
  return options.data;
}

void finding_set(finding *f, int variant, const char *format, ...) {
  if (f->found) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(f->text, sizeof f->text, format, arguments);
  va_end(arguments);
  f->found = true;
  f->variant = variant;
}

// ---- kernels -------------------------------------------------------------------------------------

bool kernels_open(kernel_store *k, const char *root, lmn_error *error) {
  *k = (kernel_store){.root = root, .arena = arena_create()};
  k->all = cpu_codegen_create(k->arena, NULL, getenv("LMN_CACHE"));
  k->context = ir_context_create(error);
  return k->context.ptr != NULL;
}

static const char *library_path(const kernel_store *k, const char *name, int batch) {
  return arena_printf(k->arena, "%s/%s.%d.so", k->root, name, batch);
}

// kernels.<batch>.so: nothing but the need for the libraries so far, in which dlsym looks too.
static bool join_libraries(kernel_store *k, lmn_error *error) {
  text command = {0};
  text_printf(&command, "cc -shared -nostdlib -Wl,--no-as-needed -o '%s'", library_path(k, "kernels", k->batches));
  for (int i = 0; i < k->libraries; ++i) text_printf(&command, " '%s'", library_path(k, "new", i));
  bool ok = system(command.data) == 0 || fail(error, "the kernels could not be joined: %s", command.data);
  text_free(&command);
  return ok;
}

bool kernels_compile(kernel_store *k, lmn_error *error) {
  bool ok = true;
  if (k->all->kernel_count) ok = cpu_codegen_finish(k->all, library_path(k, "new", k->libraries++), error);
  ok = ok && join_libraries(k, error);
  k->batches++;
  k->kernels += k->all->kernel_count;
  k->all->kernel_count = 0;       // bodies stay: later kernels call them too
  ir_context_destroy(k->context); // it keeps every type and attribute that there ever was
  k->context = ir_context_create(error);
  return ok && k->context.ptr;
}

void kernels_close(kernel_store *k) {
  for (int i = 0; i < k->batches; ++i) unlink(library_path(k, "kernels", i));
  for (int i = 0; i < k->libraries; ++i) unlink(library_path(k, "new", i));
  cpu_codegen_destroy(k->all);
  if (k->context.ptr) ir_context_destroy(k->context);
  map_free(&k->names);
  arena_destroy(k->arena);
}

// False where another function has that name.
static bool keep(kernel_store *k, const cpu_function *f, cpu_function **list, int *count, int *capacity) {
  void *key = (void *)(uintptr_t)(hash_bytes(HASH_START, f->name, strlen(f->name)) | 1);
  const char *known = (const char *)(intptr_t)map_get(&k->names, key, 0);
  if (known) return !strcmp(known, f->mlir);
  GROW(*list, *count, *capacity);
  (*list)[*count] = (cpu_function){arena_string(k->arena, f->name), arena_string(k->arena, f->mlir)};
  map_put(&k->names, key, (int64_t)(intptr_t)(*list)[(*count)++].mlir);
  return true;
}

static bool keep_kernels(kernel_store *k, const cpu_codegen *from, lmn_error *error) {
  cpu_codegen *all = k->all;
  static const char message[] = "two kernels have the name %s, but not the same text";
  for (int i = 0; i < from->body_count; ++i)
    if (!keep(k, &from->bodies[i], &all->bodies, &all->body_count, &all->body_capacity))
      return fail(error, message, from->bodies[i].name);
  for (int i = 0; i < from->kernel_count; ++i)
    if (!keep(k, &from->kernels[i], &all->kernels, &all->kernel_count, &all->kernel_capacity))
      return fail(error, message, from->kernels[i].name);
  return true;
}

// ---- entries -------------------------------------------------------------------------------------

static int shapes_of(const subject *s, const plan *p, entry_shape shapes[ENTRIES]) {
  const run_shape *r = &s->shape;
  int count = 0;
  shapes[count++] = (entry_shape){.kind = ENTRY_TRACE,
                                  .phase = r->phase,
                                  .batch = r->batch,
                                  .length = r->length,
                                  .packed = r->packed,
                                  .gradients = true};
  shapes[count++] =
      (entry_shape){.kind = ENTRY_EVALUATE, .phase = -1, .batch = r->batch, .length = r->length, .packed = r->packed};
  if (p->phases[r->phase].gradient_bytes) {
    shapes[count] = shapes[0];
    shapes[count++].kind = ENTRY_TRAIN;
    shapes[count++] = (entry_shape){.kind = ENTRY_UPDATE, .phase = r->phase};
  }
  if (!s->capacity) return count;
  const int64_t chunks[] = {1, CHUNK, 0};
  for (int i = 0; i < (s->graph->prefix ? 3 : 2); ++i)
    shapes[count++] = (entry_shape){
        .kind = ENTRY_EXTEND, .phase = -1, .batch = r->batch, .length = chunks[i], .capacity = s->capacity};
  return count;
}

static bool lower(ir *m, int variant, lmn_error *error) {
  if (m->shape.kind == ENTRY_UPDATE)
    return ir_build_update(m, error) && pass_plan_memory(m, error) && ir_verify(m, error);
  const char *names[VARIANTS_MAX];
  pipeline_options options = {.disabled = names, .disabled_count = disabled_of(variant, names)};
  return ir_build_lmn(m, error) && pipeline_run(m, &options, error) == PIPELINE_DONE;
}

static bool lower_entry(subject *s, kernel_store *k, arena *a, plan *p, cpu_codegen *cg, entry_shape shape, int variant,
                        lmn_error *error) {
  ir *m = ir_create(a, k->context, s->graph, s->list, shape, error);
  if (!m) return false;
  m->plan = p;
  if (shape.kind == ENTRY_TRAIN || shape.gradients) m->recompute = s->shape.recompute;
  bool ok = lower(m, variant, error);
  ok = ok && cpu_codegen_entry(cg, m, plan_add_entry(p, m), error);
  ir_destroy(m);
  return ok || fail_in(error, "%s entry", entry_kind_names[shape.kind]);
}

static bool write_plan(const plan *p, const char *folder, const char *library, lmn_error *error) {
  text json = {0}, path = {0};
  plan_write(p, &json);
  text_printf(&path, "%s/plan.json", folder);
  bool ok = directory_make(folder, error);
  FILE *file = ok ? fopen(path.data, "wb") : NULL; // file_write would wait for the disk
  ok = ok && file && fwrite(json.data, 1, json.length, file) == json.length;
  if (file && fclose(file)) ok = false;
  path.length = 0;
  text_printf(&path, "%s/kernels.so", folder);
  unlink(path.data);
  ok = ok && !symlink(library, path.data);
  if (!ok) fail(error, "%s: cannot be written: %s", folder, strerror(errno));
  text_free(&path);
  text_free(&json);
  return ok;
}

static bool prepare_variant(subject *s, kernel_store *k, int variant, lmn_error *error) {
  arena *a = arena_create();
  plan *p = plan_create(a, s->graph, s->list, "f32");
  p->cpu = cpu_name();
  p->cpu_features = cpu_features();
  p->entries = ARENA_ARRAY(a, plan_entry, ENTRIES);
  cpu_codegen *cg = cpu_codegen_create(a, p, NULL);
  entry_shape shapes[ENTRIES];
  int count = shapes_of(s, p, shapes);
  bool ok = true;
  for (int i = 0; ok && i < count; ++i) ok = lower_entry(s, k, a, p, cg, shapes[i], variant, error);
  ok = ok && keep_kernels(k, cg, error) &&
       write_plan(p, arena_printf(a, "%s/%d", s->folder, variant), library_path(k, "kernels", k->batches), error);
  cpu_codegen_destroy(cg);
  arena_destroy(a);
  return ok;
}

void subject_prepare(subject *s, kernel_store *k, const char *folder, const char *lmn, run_shape shape,
                     unsigned variants) {
  *s = (subject){.shape = shape, .variants = variants | 1u << VARIANT_ALL_OFF, .arena = arena_create()};
  s->folder = arena_string(s->arena, folder);
  const char *file = lmn ? arena_printf(s->arena, "%s/net.lmn", folder) : shape.file;
  lmn_error error = {0};
  text messages = {0};
  if (directory_make(folder, &error) && (!lmn || file_write(file, lmn, strlen(lmn), &error)))
    s->graph = graph_read(s->arena, file, NULL, 0, NULL, 0, &messages);
  if (!s->graph) finding_set(&s->finding, VARIANT_ALL_ON, "%s%s", error.text, messages.data ? messages.data : "");
  text_free(&messages);
  if (!s->graph) return;
  if (shape.phase >= s->graph->phase_count) {
    finding_set(&s->finding, VARIANT_ALL_ON, "it has %d phases; there is no phase %d", s->graph->phase_count,
                shape.phase);
    return;
  }
  s->list = graph_parameters(s->arena, s->graph, true);
  if (shape.generates && !s->graph->classes && !shape.packed) {
    int64_t positions = s->graph->prefix + shape.length + GREEDY;
    s->capacity = positions < CAPACITY ? CAPACITY : positions;
  }
  for (int v = 0; v < variant_count(); ++v)
    if (s->variants >> v & 1 && !prepare_variant(s, k, v, &error))
      finding_set(&s->finding, v, "it cannot be compiled: %s", error.text);
}

void subject_close(subject *s) {
  for (int v = 0; s->folder && v < variant_count(); ++v)
    directory_remove(arena_printf(s->arena, "%s/%d", s->folder, v));
  if (s->arena) arena_destroy(s->arena);
  *s = (subject){0};
}
