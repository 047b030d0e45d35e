#include "driver/lower.h"

#include "driver/options.h"
#include "ir/build.h"
#include "passes/constants.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ir *lower_read(lowering *l, const emitted_part *part) {
  const emitted *e = l->c->emitted;
  ir *m = ir_create(l->c->arena, l->context, l->c->graph, l->c->parameters, (entry_shape){0}, l->error);
  if (!m) return NULL;
  m->plan = l->plan;
  lmn_error cause = {0};
  bool placed = !strcmp(e->level, "kernel") && !e->step;
  bool ok =
      ir_read(m, part->text, e->path, part->line, &cause) && ir_verify(m, &cause) && ir_verify_read(m, placed, &cause);
  if (ok && m->shape.kind == ENTRY_UPDATE && !placed) ok = fail(&cause, "an update has no %s level", e->level);
  ok = ok && (!placed || constants_restore(m, &cause));
  if (ok) return m;
  ir_destroy(m);
  bool named = !strncmp(cause.text, e->path, strlen(e->path)); // with its line
  if (named) fail(l->error, "%s", cause.text);
  else fail(l->error, "%s:%d: in the entry below: %s", e->path, part->line, cause.text);
  return NULL;
}

int lower_recompute(const compilation *c, const entry_shape *shape, lmn_error *error) {
  const char *name = c->options->recompute;
  bool gradients = shape->kind == ENTRY_TRAIN || shape->gradients;
  int found = name ? recompute_read(name) : RECOMPUTE_NOTHING;
  if (found >= 0) return gradients ? found : RECOMPUTE_NOTHING;
  text names = {0};
  recompute_list(&names);
  fail(error, "--recompute %s: it is one of %s, or what lies between two of them, as rows+3/8", name, names.data);
  text_free(&names);
  return -1;
}

ir *lower_build(lowering *l, entry_shape shape, int recompute) {
  double began = clock_seconds();
  ir *m = ir_create(l->c->arena, l->context, l->c->graph, l->c->parameters, shape, l->error);
  if (!m) return NULL;
  m->plan = l->plan;
  m->recompute = recompute;
  bool ok = shape.kind == ENTRY_UPDATE ? ir_build_update(m, l->error) : ir_build_lmn(m, l->error);
  timings_add(l->c->options->timings, "front end", "building the IR", began);
  if (ok) return m;
  ir_destroy(m);
  return NULL;
}

pipeline_options lower_options(const compilation *c) {
  const compile_options *o = c->options;
  pipeline_options options = {.target = c->target,
                              .disabled = o->disabled,
                              .disabled_count = o->disabled_count,
                              .emit = o->emit,
                              .print_after = o->print_after,
                              .printed = o->printed,
                              .timings = o->timings};
  if (!c->emitted) return options;
  options.from = c->emitted->level;
  options.first = c->emitted->step;
  options.first_pass = c->emitted->pass;
  return options;
}

// ---- reproducers -------------------------------------------------------------------------------------------------

// The entry as it is before the step that fails. Passes do the same each time, so it is made anew rather than kept.
static ir *before_failure(lowering *l, const ir *broken, const emitted_part *part, int failed) {
  ir *m = part ? lower_read(l, part) : lower_build(l, broken->shape, broken->recompute);
  if (!m) return NULL;
  pipeline_options options = lower_options(l->c);
  options.stop_before = failed;
  options.timings = NULL;
  options.print_after = NULL;
  if (pipeline_run(m, &options, l->error) == PIPELINE_STOPPED) return m;
  ir_destroy(m);
  return NULL;
}

static const char *reproducer_path(arena *a, const char *pass) {
  const char *folder = getenv("TMPDIR");
  return arena_printf(a, "%s%slmnc-reproducer-%s-%d.mlir", folder ? folder : "", folder && *folder ? "/" : "", pass,
                      (int)getpid());
}

static const char *reproducer_command(const compilation *c, const char *level, const char *path) {
  text command = {0};
  text_printf(&command, "lmnc compile --from=%s", level);
  for (int i = 0; i < c->options->disabled_count; ++i)
    text_printf(&command, " --disable-pass=%s", c->options->disabled[i]);
  options_quote(path, &command);
  const char *result = arena_string(c->arena, command.data);
  text_free(&command);
  return result;
}

static void reproduce(lowering *l, const ir *failed, const emitted_part *part, const pipeline_trace *trace) {
  compilation *c = l->c;
  const char *pass = trace->steps[trace->failed - 1]->name, *level = trace->levels[trace->failed - 1];
  if (c->emitted && c->emitted->step == trace->failed) return; // it came from one
  lmn_error cause = *l->error, ignored = {0};
  lowering again = *l;
  again.error = &ignored;
  ir *m = before_failure(&again, failed, part, trace->failed);
  if (!m) return;
  const char *path = reproducer_path(c->arena, pass), *command = reproducer_command(c, level, path);
  text content = {0};
  emitted_header(c, level, trace->failed, pass, &content);
  emitted_note(&content, cause.text);
  emitted_note(&content, command);
  text_add(&content, "// entry 1\n");
  ir_emit(m, &content);
  if (file_write(path, content.data, content.length, &ignored)) {
    *l->error = (lmn_error){0};
    fail(l->error, "%.1200s\n  the entry before that pass is in %s; this goes on from there:\n    %s", cause.text, path,
         command);
  }
  text_free(&content);
  ir_destroy(m);
}

pipeline_result lower_run(lowering *l, ir *m, const emitted_part *part) {
  if (m->shape.kind == ENTRY_UPDATE) { // there is nothing to optimise in it
    bool ok = part || (pass_plan_memory(m, l->error) && ir_verify(m, l->error));
    const char *emit = l->c->options->emit;
    return !ok ? PIPELINE_FAILED : emit && pipeline_level_known(emit) ? PIPELINE_STOPPED : PIPELINE_DONE;
  }
  pipeline_trace own, *trace = l->trace ? l->trace : &own;
  pipeline_options options = lower_options(l->c);
  options.trace = trace;
  options.plain_from = l->plain_from;
  options.unverified = l->memory_only;
  if (l->memory_only) options.emit = options.print_after = NULL;
  pipeline_result result = pipeline_run(m, &options, l->error);
  if (result == PIPELINE_FAILED && trace->failed) reproduce(l, m, part, trace);
  return result;
}
