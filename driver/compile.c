#include "driver/compile.h"

#include "codegen/backend.h"
#include "codegen/plan.h"
#include "driver/lower.h"
#include "driver/tune.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char compile_from_levels[] = "lmn, nn, kernel or mlir";

static bool from_known(const char *level) { return pipeline_level_known(level) || !strcmp(level, "mlir"); }

static graph *read_emitted(compilation *c, const compile_options *o, text *messages) {
  lmn_error error = {0};
  if (!from_known(o->from)) fail(&error, "--from=%s: it is %s", o->from, compile_from_levels);
  else c->emitted = emitted_read(c->arena, o->file, o->from, &error);
  if (error.text[0]) text_printf(messages, "error: %s\n", error.text);
  if (!c->emitted) return NULL;
  c->random_weights = c->emitted->random_weights;
  return graph_read_kept(c->arena, &c->emitted->network, messages);
}

static bool read_precision(compilation *c, lmn_error *error) {
  const char *said = c->options->precision;
  c->precision = said ? said : c->target->cuda ? "bf16" : "f32";
  if (!strcmp(c->precision, "f32")) return true;
  if (strcmp(c->precision, "bf16")) return fail(error, "--precision %s: it is f32, or bf16 for GPUs", said);
  return c->target->cuda ||
         fail(error, "--precision bf16: the CPU computes in f32; GPUs (--target sm_90a …) have bf16");
}

compilation *compile_open(const compile_options *options, text *messages) {
  arena *a = arena_create();
  compilation *c = ARENA_NEW(a, compilation);
  *c = (compilation){.arena = a, .options = options, .random_weights = options->random_weights};
  double began = clock_seconds();
  lmn_error error = {0};
  c->target = target_find(options->target, &error);
  if (!c->target || !backend_check_level(c->target, options->emit, &error) || !read_precision(c, &error)) {
    text_printf(messages, "error: %s\n", error.text);
    arena_destroy(a);
    return NULL;
  }
  if (options->from) c->graph = read_emitted(c, options, messages);
  else
    c->graph = graph_read(a, options->file, options->defines, options->define_count, options->overrides,
                          options->override_count, messages);
  if (!c->graph) {
    arena_destroy(a);
    return NULL;
  }
  began = timings_add(options->timings, "front end", options->from ? "header" : "network", began);
  c->parameters = graph_parameters(a, c->graph, c->random_weights);
  timings_add(options->timings, "front end", "parameters", began);
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
  backend backend;
  text kernels; // kernel.mlir of the artifact
  int printed;  // entries
  ir **read;    // those of the emitted text, each NULL once it is used
  tiles_file measured;
  cuda_trials *trials; // of compile_trials
  lmn_error *error;
} session;

static lowering lowering_of(session *s) {
  return (lowering){.c = s->c, .context = s->context, .plan = s->plan, .error = s->error};
}

static bool emits(const session *s, const char *level) {
  return s->c->options->emit && !strcmp(s->c->options->emit, level);
}

static void print_entry(session *s, ir *m) {
  text *printed = s->c->options->printed;
  if (m->shape.kind == ENTRY_UPDATE && !emits(s, "kernel")) return; // it has that level only
  if (!s->printed++) emitted_header(s->c, s->c->options->emit, 0, NULL, printed);
  text_printf(printed, "// entry %d\n", s->printed);
  ir_emit(m, printed);
}

static bool make_launches(session *s, ir *m) {
  double began = clock_seconds();
  plan_entry *entry = plan_add_entry(s->plan, m);
  text_printf(&s->kernels, "// %s\n", entry->name);
  ir_print(m, &s->kernels);
  bool ok = backend_entry(&s->backend, m, entry, s->error) || fail_in(s->error, "entry %s", entry->name);
  timings_add(s->c->options->timings, "back end", "launches and kernels' text", began);
  return ok;
}

static bool same_shape(const entry_shape *a, const entry_shape *b);

// The entry of that shape in the emitted text, and where it was; NULL: it has none.
static ir *take_read(session *s, const entry_shape *shape, const emitted_part **part) {
  const emitted *e = s->c->emitted;
  for (int i = 0; e && i < e->entry_count; ++i) {
    ir *m = s->read[i];
    if (!m || !same_shape(&m->shape, shape)) continue;
    s->read[i] = NULL;
    *part = &e->entries[i];
    return m;
  }
  return NULL;
}

static bool finish_entry(session *s, ir *m, const emitted_part *part) {
  lowering l = lowering_of(s);
  pipeline_result result = lower_run(&l, m, part);
  bool ok = result != PIPELINE_FAILED;
  if (result == PIPELINE_STOPPED) print_entry(s, m);
  else if (ok) ok = make_launches(s, m);
  ir_destroy(m);
  return ok;
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

// The entry as the plan would have it; it is only asked for its memory. What is compiled is lowered, and verified,
// again.
static bool measure_entry(session *s, entry_shape shape, int recompute, plan_entry *entry) {
  lowering l = lowering_of(s);
  l.memory_only = true;
  ir *m = lower_build(&l, shape, recompute);
  bool ok = m && lower_run(&l, m, NULL) == PIPELINE_DONE;
  if (ok) {
    *entry = *plan_add_entry(s->plan, m);
    --s->plan->entry_count;
  }
  ir_destroy(m);
  return ok;
}

// Between `much`, with which the entry fits the memory limit, and `little`, with which it does not: the least that fits
// as far as halving finds it; -1: error.
static int least_fitting(session *s, entry_shape shape, int little, int much) {
  plan_entry entry;
  while (much - little > 1) {
    int middle = (little + much) / 2;
    if (!measure_entry(s, shape, middle, &entry)) return -1;
    if (plan_bytes(s->plan, &entry) <= s->c->options->memory_limit) much = middle;
    else little = middle;
  }
  return much;
}

// The least to remake, from `least` on, with which the entry fits the memory limit; -1: error.
static int fitting_recompute(session *s, entry_shape shape, int least) {
  int64_t limit = s->c->options->memory_limit, least_bytes = INT64_MAX;
  plan_entry first = {0}, entry;
  for (int before = -1, amount = least; amount <= RECOMPUTE_MOST;
       before = amount, amount += RECOMPUTE_PARTS - amount % RECOMPUTE_PARTS) {
    if (!measure_entry(s, shape, amount, &entry)) return -1;
    int64_t bytes = plan_bytes(s->plan, &entry);
    if (bytes <= limit) return before < 0 ? amount : least_fitting(s, shape, before, amount);
    if (!first.name) first = entry;
    if (bytes < least_bytes) least_bytes = bytes;
  }
  too_large(s, &first, least_bytes, limit);
  return -1;
}

static bool compile_entry(session *s, entry_shape shape) {
  const emitted_part *part = NULL;
  ir *m = take_read(s, &shape, &part);
  if (m) return finish_entry(s, m, part);
  int recompute = lower_recompute(s->c, &shape, s->error);
  bool gradients = shape.kind == ENTRY_TRAIN || shape.gradients;
  if (recompute >= 0 && gradients && s->c->options->memory_limit) recompute = fitting_recompute(s, shape, recompute);
  lowering l = lowering_of(s);
  if (recompute < 0 || !(m = lower_build(&l, shape, recompute))) return false;
  return finish_entry(s, m, NULL);
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
  double began;
  text json = {0};
  bool ok = directory_make(folder, s->error) && backend_finish(&s->backend, folder, s->error);
  if (ok) {
    began = clock_seconds();
    plan_write(s->plan, &json);
    ok = write_in(folder, "plan.json", json.data, json.length, s->error) &&
         write_in(folder, "net.lmn", s->c->graph->source, strlen(s->c->graph->source), s->error) &&
         write_in(folder, "kernel.mlir", s->kernels.data, s->kernels.length, s->error);
    timings_add(s->c->options->timings, "writing", "plan.json and texts", began);
  }
  text_free(&json);
  return ok;
}

// The folder in the place of what is there, if anything is: in one step where the file system can exchange names, so
// that there is always one under its name. What was there is then under the name `aside`.
static bool replace_folder(const char *aside, const char *path) {
  if (rename(aside, path) == 0) return true;
  if (errno != ENOTEMPTY && errno != EEXIST) return false;
  if (renameat2(AT_FDCWD, aside, AT_FDCWD, path, RENAME_EXCHANGE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  text old = {0};
  text_printf(&old, "%s.old.%d", path, (int)getpid());
  bool ok = rename(path, old.data) == 0;
  if (ok && rename(aside, path)) {
    int cause = errno;
    ok = rename(old.data, path) && false;
    errno = cause;
  }
  if (ok) directory_remove(old.data);
  text_free(&old);
  return ok;
}

// Written aside, then put in the place of what was there.
static bool write_artifact(session *s, const char *artifact) {
  text aside = {0};
  text_printf(&aside, "%s.tmp.%d", artifact, (int)getpid());
  temporary_add(aside.data);
  bool ok =
      write_folder(s, aside.data) && (replace_folder(aside.data, artifact) || fail_write(s->error, artifact, errno));
  if (directory_exists(aside.data)) directory_remove(aside.data);
  temporary_drop(aside.data);
  text_free(&aside);
  return ok;
}

const char *compile_cache(const compilation *c) {
  if (c->options->cache) return c->options->cache;
  const char *own = getenv("LMN_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (own) return own;
  if (xdg && *xdg) return arena_printf(c->arena, "%s/lmnc", xdg);
  return home && *home ? arena_printf(c->arena, "%s/.cache/lmnc", home) : "";
}

// All that the mlir level needs to become an artifact: its other files are there as comments.
static void print_mlir(session *s, text *printed) {
  text json = {0};
  plan_write(s->plan, &json);
  emitted_header(s->c, "mlir", 0, NULL, printed);
  emitted_block(printed, "plan", json.data);
  emitted_block(printed, "kernel.mlir", s->kernels.data);
  text_add(printed, "// kernels\n");
  cpu_print_mlir(s->backend.cpu, printed);
  text_free(&json);
}

static bool print_or_write(session *s, const char *artifact) {
  text *printed = s->c->options->printed;
  if (emits(s, "mlir")) return print_mlir(s, printed), true;
  if (emits(s, "llvm")) return cpu_print_llvm(s->backend.cpu, printed, s->error);
  if (emits(s, "cuda")) return cuda_print_source(s->backend.cuda, printed), true;
  if (emits(s, "ptx")) return cuda_print_ptx(s->backend.cuda, printed, s->error);
  if (emits(s, "sass")) return cuda_print_sass(s->backend.cuda, printed, s->error);
  if (emits(s, "plan")) return plan_write(s->plan, printed), true;
  if (s->c->options->emit) return true; // an earlier level, printed already
  return write_artifact(s, artifact);
}

// The mlir level: the plan and the kernels as they were.
static bool read_kernels(session *s) {
  emitted *e = s->c->emitted;
  if (!s->backend.cpu) return fail(s->error, "--from=mlir is of the CPU; leave --target out");
  if (!plan_read_text(s->c->arena, e->path, e->plan.text, &s->plan, s->error)) return false;
  text_add(&s->kernels, e->kernel_mlir.text);
  return cpu_read_mlir(s->backend.cpu, e->kernels.text, e->path, e->kernels.line, s->error);
}

// All entries of the emitted text; their shapes go to `shapes`.
static bool read_entries(session *s, entry_shape *shapes) {
  emitted *e = s->c->emitted;
  s->read = ARENA_ARRAY(s->c->arena, ir *, e->entry_count);
  lowering l = lowering_of(s);
  double began = clock_seconds();
  for (int i = 0; i < e->entry_count; ++i) {
    if (!(s->read[i] = lower_read(&l, &e->entries[i]))) return false;
    shapes[i] = s->read[i]->shape;
    for (int k = 0; k < i; ++k)
      if (same_shape(&shapes[k], &shapes[i]))
        return fail(s->error, "%s:%d: the entry below is there already, at line %d", e->path, e->entries[i].line,
                    e->entries[k].line);
  }
  timings_add(s->c->options->timings, "front end", "reading the IR", began);
  return true;
}

static bool lower_entries(session *s, const entry_shape *shapes, int count) {
  compilation *c = s->c;
  if (c->emitted) {
    entry_shape *own = ARENA_ARRAY(c->arena, entry_shape, c->emitted->entry_count + 1);
    if (!read_entries(s, own)) return false;
    shapes = own;
    count = c->emitted->entry_count;
  }
  entry_shape *all = ARENA_ARRAY(c->arena, entry_shape, 2 * count + 1);
  int total = complete_shapes(s->plan, shapes, count, all);
  s->plan->entries = ARENA_ARRAY(c->arena, plan_entry, total);
  bool ok = true;
  for (int i = 0; ok && i < total; ++i) ok = compile_entry(s, all[i]);
  return ok;
}

// Tiles of products that were measured: those of --tiles, else of the GPU here, if lmnc tune was run for it.
static bool use_measured(session *s) {
  compilation *c = s->c;
  const char *path = c->options->tiles ? c->options->tiles : tune_kept(c->arena, compile_cache(c), c->target->name);
  if (!path || !*path) return true;
  if (!tiles_read(c->arena, path, &s->measured, s->error)) return false;
  if (strcmp(s->measured.architecture, c->target->name))
    return fail(s->error, "--tiles %s: is of %s, and the target is %s", path, s->measured.architecture,
                c->target->name);
  cuda_codegen_measured(s->backend.cuda, &s->measured);
  return true;
}

// Lowers all entries: the plan is complete, and the kernels are there as MLIR.
static bool begin_session(session *s, compilation *c, const entry_shape *shapes, int count, lmn_error *error) {
  double began = clock_seconds();
  *s = (session){.c = c,
                 .error = error,
                 .plan = plan_create(c->arena, c->graph, c->parameters, c->precision),
                 .trials = s->trials};
  s->backend = backend_create(c->arena, c->target, s->plan, compile_cache(c));
  backend_time(&s->backend, c->options->timings);
  if (s->backend.cuda) cuda_codegen_try(s->backend.cuda, s->trials);
  if (s->backend.cuda && !s->trials && !use_measured(s)) return false;
  if (c->options->line_info && !backend_lines(&s->backend, error)) return false;
  if (c->emitted && !c->emitted->entry_count) return read_kernels(s);
  s->context = ir_context_create(error);
  timings_add(c->options->timings, "front end", "dialects and plan", began);
  return s->context.ptr && lower_entries(s, shapes, count);
}

static void end_session(session *s) {
  for (int i = 0; s->read && i < s->c->emitted->entry_count; ++i) ir_destroy(s->read[i]);
  backend_destroy(&s->backend);
  ir_context_destroy(s->context);
  text_free(&s->kernels);
  tiles_free(&s->measured);
}

bool compile_entries(compilation *c, const entry_shape *shapes, int count, const char *artifact, lmn_error *error) {
  session s = {0};
  bool ok = begin_session(&s, c, shapes, count, error) && print_or_write(&s, artifact);
  c->entry_count = s.plan->entry_count;
  end_session(&s);
  return ok;
}

const plan *compile_plan(compilation *c, const entry_shape *shapes, int count, lmn_error *error) {
  session s = {0};
  bool ok = begin_session(&s, c, shapes, count, error);
  end_session(&s);
  return ok ? s.plan : NULL;
}

bool compile_kernels(compilation *c, const entry_shape *shapes, int count,
                     void visit(void *user, const cuda_kernel *kernels, int count), void *user, lmn_error *error) {
  session s = {0};
  bool ok = begin_session(&s, c, shapes, count, error);
  if (ok && !s.backend.cuda) ok = fail(error, "kernels are listed of a GPU: say --target sm_80, sm_89 or sm_90a");
  ok = ok && cuda_codegen_compile(s.backend.cuda, error);
  int kernels;
  if (ok) {
    const cuda_kernel *first = cuda_kernels(s.backend.cuda, &kernels);
    visit(user, first, kernels);
  }
  end_session(&s);
  return ok;
}

bool compile_trials(compilation *c, const entry_shape *shapes, int count, const char *artifact, int *products,
                    lmn_error *error) {
  if (!c->target->cuda) return fail(error, "tiles are measured of products on a GPU: say --target sm_90a");
  session s = {.trials = cuda_trials_create(c->arena, c->target->name, compile_cache(c))};
  bool ok = begin_session(&s, c, shapes, count, error);
  *products = cuda_trials_count(s.trials);
  if (ok && !*products)
    ok = fail(error, "the network has no product whose tiles can be chosen; those of bf16 for sm_90a have");
  ok = ok && cuda_trials_finish(s.trials, artifact, error);
  end_session(&s);
  cuda_trials_destroy(s.trials);
  return ok;
}

// ---- temporary artifacts ------------------------------------------------------------------------

bool compile_temporary(char path[4096], lmn_error *error) {
  const char *folder = getenv("TMPDIR");
  snprintf(path, 4096, "%s/lmnc-XXXXXX", folder && *folder ? folder : "/tmp");
  if (!mkdtemp(path))
    return fail(error, "%s: no temporary folder can be made there: %s; set TMPDIR to a folder with room", path,
                strerror(errno));
  temporary_add(path);
  return true;
}
