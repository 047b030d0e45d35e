#include "driver/compile.h"

#include "codegen/cpu/cpu.h"
#include "codegen/plan.h"
#include "ir/build.h"
#include "passes/pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

compilation *compile_open(const compile_options *options, text *messages) {
  arena *a = arena_create();
  compilation *c = ARENA_NEW(a, compilation);
  *c = (compilation){.arena = a, .options = options};
  c->graph = graph_read(a, options->file, options->defines, options->define_count, options->overrides,
                        options->override_count, messages);
  if (!c->graph) {
    arena_destroy(a);
    return NULL;
  }
  c->parameters = graph_parameters(a, c->graph, options->random_weights);
  return c;
}

void compile_close(compilation *c) {
  if (c) arena_destroy(c->arena);
}

// ---- entries ------------------------------------------------------------------------------------

typedef struct session { // one compile_entries
  compilation *c;
  MlirContext context;
  plan *plan;
  cpu_codegen *codegen;
  text kernels; // kernel.mlir of the artifact
  lmn_error *error;
} session;

static bool emits(const session *s, const char *level) {
  return s->c->options->emit && !strcmp(s->c->options->emit, level);
}

static pipeline_result lower_entry(session *s, ir *m) {
  if (m->shape.kind == ENTRY_UPDATE) {
    bool ok = ir_build_update(m, s->error) && pass_plan_memory(m, s->error) && ir_verify(m, s->error);
    if (ok && emits(s, "kernel")) ir_print(m, s->c->options->printed);
    return ok ? PIPELINE_DONE : PIPELINE_FAILED;
  }
  const compile_options *o = s->c->options;
  pipeline_options options = {o->disabled, o->disabled_count, o->emit, o->print_after, o->printed};
  if (!ir_build_lmn(m, s->error)) return PIPELINE_FAILED;
  return pipeline_run(m, &options, s->error);
}

// The entry on the kernel level, its backward pass remaking what `policy` says; NULL: an error, or it was to be printed
// only and is.
static ir *lowered(session *s, entry_shape shape, recompute_policy policy, bool *ok) {
  ir *m = ir_create(s->c->arena, s->context, s->c->graph, s->c->parameters, shape, s->error);
  *ok = m != NULL;
  if (!m) return NULL;
  m->plan = s->plan;
  m->recompute = policy;
  pipeline_result result = lower_entry(s, m);
  *ok = result != PIPELINE_FAILED;
  if (result == PIPELINE_DONE) return m;
  ir_destroy(m);
  return NULL;
}

static bool too_large(session *s, const plan_entry *e, int64_t least, int64_t limit) {
  int64_t fixed = plan_bytes(s->plan, e) - e->arena_bytes, room = limit - fixed;
  int64_t batch = least > fixed && room > 0 ? e->batch * room / (least - fixed) : 0;
  text remedy = {0};
  if (batch > 0) text_printf(&remedy, "a batch of %lld might fit (-B %lld)", (long long)batch, (long long)batch);
  else
    text_printf(&remedy,
                "%.1f MiB are parameters, gradients and optimizer state: freeze more of the network, or "
                "allow more",
                (double)fixed / 1048576.0);
  fail(s->error, "%s: needs %.1f MiB, and %.1f MiB with all remade that can be; --memory-limit is %.1f MiB; %s",
       e->name, (double)plan_bytes(s->plan, e) / 1048576.0, (double)least / 1048576.0, (double)limit / 1048576.0,
       remedy.data);
  text_free(&remedy);
  return false;
}

static int recompute_named(const char *name, lmn_error *error) {
  text names = {0};
  int found = name ? -1 : RECOMPUTE_NOTHING;
  for (int i = 0; i < RECOMPUTE_POLICIES; ++i) {
    if (name && !strcmp(name, recompute_names[i])) found = i;
    text_printf(&names, "%s%s", i ? ", " : "", recompute_names[i]);
  }
  if (found < 0) fail(error, "--recompute %s: it is one of %s", name, names.data);
  text_free(&names);
  return found;
}

// An entry with gradients remakes as little as fits the memory limit: the policies are tried from the first on.
static bool compile_entry(session *s, entry_shape shape) {
  int64_t limit = s->c->options->memory_limit, least = INT64_MAX;
  bool gradients = shape.kind == ENTRY_TRAIN || shape.gradients, limited = limit && gradients, ok = true;
  plan_entry first = {0};
  int start = gradients ? recompute_named(s->c->options->recompute, s->error) : RECOMPUTE_NOTHING;
  if (start < 0) return false;
  for (int policy = start; policy < RECOMPUTE_POLICIES; ++policy) {
    ir *m = lowered(s, shape, (recompute_policy)policy, &ok);
    if (!m) return ok;
    plan_entry *entry = plan_add_entry(s->plan, m);
    int64_t bytes = plan_bytes(s->plan, entry);
    if (policy == start) first = *entry;
    if (bytes < least) least = bytes;
    bool fits = !limited || bytes <= limit;
    if (fits) {
      text_printf(&s->kernels, "// %s\n", entry->name);
      ir_print(m, &s->kernels);
      ok = cpu_codegen_entry(s->codegen, m, entry, s->error) || fail_in(s->error, "entry %s", entry->name);
    } else --s->plan->entry_count; // it was only asked for its memory
    ir_destroy(m);
    if (fits) return ok;
  }
  return too_large(s, &first, least, limit);
}

static bool same_shape(const entry_shape *a, const entry_shape *b) {
  return a->kind == b->kind && a->phase == b->phase && a->batch == b->batch && a->length == b->length &&
         a->capacity == b->capacity && a->packed == b->packed && a->gradients == b->gradients;
}

// The shapes asked for without repeats, each training phase followed by its update; returns their number.
static int complete_shapes(const plan *p, const entry_shape *shapes, int count, entry_shape *all) {
  int total = 0;
  for (int i = 0; i < count; ++i) {
    entry_shape wanted[2] = {shapes[i], {.kind = ENTRY_UPDATE, .phase = shapes[i].phase}};
    bool trains = shapes[i].kind == ENTRY_TRAIN ||
                  (shapes[i].kind == ENTRY_TRACE && shapes[i].gradients && p->phases[shapes[i].phase].gradient_bytes);
    if (wanted[0].kind == ENTRY_UPDATE) wanted[0] = wanted[1];
    for (int k = 0; k < (trains ? 2 : 1); ++k) {
      bool there = false;
      for (int j = 0; j < total; ++j) there |= same_shape(&all[j], &wanted[k]);
      if (!there) all[total++] = wanted[k];
    }
  }
  return total;
}

// ---- the artifact's folder ----------------------------------------------------------------------

static bool write_in(const char *folder, const char *name, const char *data, size_t length, lmn_error *error) {
  text path = {0};
  text_printf(&path, "%s/%s", folder, name);
  bool ok = file_write(path.data, data, length, error);
  text_free(&path);
  return ok;
}

static bool write_folder(session *s, const char *folder) {
  text json = {0}, library = {0};
  text_printf(&library, "%s/kernels.so", folder);
  bool ok = directory_make(folder, s->error) && cpu_codegen_finish(s->codegen, library.data, s->error);
  if (ok) {
    plan_write(s->plan, &json);
    ok = write_in(folder, "plan.json", json.data, json.length, s->error) &&
         write_in(folder, "net.lmn", s->c->graph->source, strlen(s->c->graph->source), s->error) &&
         write_in(folder, "kernel.mlir", s->kernels.data, s->kernels.length, s->error);
  }
  text_free(&json);
  text_free(&library);
  return ok;
}

// Written aside, then put in the place of what was there.
static bool write_artifact(session *s, const char *artifact) {
  text aside = {0}, old = {0};
  text_printf(&aside, "%s.tmp.%d", artifact, (int)getpid());
  text_printf(&old, "%s.old.%d", artifact, (int)getpid());
  bool ok = write_folder(s, aside.data);
  if (ok && directory_exists(artifact)) {
    ok = rename(artifact, old.data) == 0 || fail(s->error, "%s: cannot be replaced: %s", artifact, strerror(errno));
    if (ok && rename(aside.data, artifact)) {
      fail(s->error, "%s: cannot be written: %s", artifact, strerror(errno));
      ok = rename(old.data, artifact) && false;
    }
  } else if (ok)
    ok = rename(aside.data, artifact) == 0 || fail(s->error, "%s: cannot be written: %s", artifact, strerror(errno));
  if (!ok && directory_exists(aside.data)) directory_remove(aside.data);
  if (directory_exists(old.data)) directory_remove(old.data);
  text_free(&aside);
  text_free(&old);
  return ok;
}

// Where compiled kernels are kept; empty: nowhere.
static const char *cache_folder(compilation *c) {
  if (c->options->cache) return c->options->cache;
  const char *own = getenv("LMN_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (own) return own;
  if (xdg && *xdg) return arena_printf(c->arena, "%s/lmnc", xdg);
  return home && *home ? arena_printf(c->arena, "%s/.cache/lmnc", home) : "";
}

static bool print_or_write(session *s, const char *artifact) {
  text *printed = s->c->options->printed;
  if (emits(s, "mlir")) return cpu_print_mlir(s->codegen, printed), true;
  if (emits(s, "llvm")) return cpu_print_llvm(s->codegen, printed, s->error);
  if (emits(s, "plan")) return plan_write(s->plan, printed), true;
  if (s->c->options->emit) return true; // an earlier level, printed already
  return write_artifact(s, artifact);
}

// Lowers all entries: the plan is complete, and the kernels are there as MLIR.
static bool begin_session(session *s, compilation *c, const entry_shape *shapes, int count, lmn_error *error) {
  *s = (session){.c = c, .error = error, .plan = plan_create(c->arena, c->graph, c->parameters)};
  entry_shape *all = ARENA_ARRAY(c->arena, entry_shape, 2 * count + 1);
  int total = complete_shapes(s->plan, shapes, count, all);
  s->plan->cpu = cpu_name();
  s->plan->cpu_features = cpu_features();
  s->plan->entries = ARENA_ARRAY(c->arena, plan_entry, total);
  s->context = ir_context_create(error);
  if (!s->context.ptr) return false;
  s->codegen = cpu_codegen_create(c->arena, s->plan, cache_folder(c));
  bool ok = true;
  for (int i = 0; ok && i < total; ++i) ok = compile_entry(s, all[i]);
  return ok;
}

static void end_session(session *s) {
  cpu_codegen_destroy(s->codegen);
  ir_context_destroy(s->context);
  text_free(&s->kernels);
}

bool compile_entries(compilation *c, const entry_shape *shapes, int count, const char *artifact, lmn_error *error) {
  session s;
  bool ok = begin_session(&s, c, shapes, count, error) && print_or_write(&s, artifact);
  end_session(&s);
  return ok;
}

const plan *compile_plan(compilation *c, const entry_shape *shapes, int count, lmn_error *error) {
  session s;
  bool ok = begin_session(&s, c, shapes, count, error);
  end_session(&s);
  return ok ? s.plan : NULL;
}

// ---- temporary artifacts ------------------------------------------------------------------------

static char **temporary;
static int temporary_count, temporary_capacity;
static pid_t temporary_owner; // a forked child must not remove its parent's

static void remove_temporary(void) {
  if (getpid() != temporary_owner) return;
  for (int i = 0; i < temporary_count; ++i) directory_remove(temporary[i]);
}

bool compile_temporary(char path[4096], lmn_error *error) {
  const char *folder = getenv("TMPDIR");
  snprintf(path, 4096, "%s/lmnc-XXXXXX", folder && *folder ? folder : "/tmp");
  if (!mkdtemp(path))
    return fail(error, "%s: no temporary folder can be made there: %s; set TMPDIR to a folder with room", path,
                strerror(errno));
  if (!temporary_count) temporary_owner = getpid(), atexit(remove_temporary);
  GROW(temporary, temporary_count, temporary_capacity);
  temporary[temporary_count++] = memory_string(path);
  return true;
}
