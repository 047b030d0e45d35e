#include "passes/pipeline.h"

#include "frontend/diagnostic.h"

#include <string.h>

const pass passes[] = {
#define PASS(function, name, optimisation, title) {pass_##function, name, title, optimisation},
    LMN_PASSES(PASS)
#undef PASS
};
const int pass_count = LENGTH(passes);

// A run through the pipeline: once it is not PIPELINE_DONE any more, every further step is left out.
typedef struct progress {
  ir *ir;
  const pipeline_options *options;
  lmn_error *error;
  pipeline_result result;
  pipeline_trace *trace;
  const char *level; // the last one that was reached
  bool waiting;      // the entry was read from text and stands further on
} progress;

static void step(progress *p, bool (*run)(ir *m, lmn_error *error));
static void level(progress *p, const char *name);

pipeline_result pipeline_run(ir *m, const pipeline_options *options, lmn_error *error) {
  pipeline_trace own, *trace = options->trace ? options->trace : &own;
  *trace = (pipeline_trace){0};
  progress p = {m, options, error, PIPELINE_DONE, trace, "lmn", options->from != NULL};
  if (!pipeline_check(options, error)) return PIPELINE_FAILED;
  // What freeze decides is kept beside the IR: an entry that was read from text needs it once more.
  if (p.waiting && !pass_freeze(m, error)) return PIPELINE_FAILED;

  // First, while every vertex and edge is still one op: what can run together is then plain to see.
  step(&p, pass_share_vertices);
  // After sharing: vertices that run together have their arrows start at the same frontier.
  step(&p, pass_fuse_edges);
  // After both, which have left fewer uses to look at.
  step(&p, pass_reuse_masks);
  // Before differentiate, which asks it; the graph is at hand here.
  step(&p, pass_freeze);
  if (!p.waiting) lmn_count(m, &m->vertex_runs, &m->vertices, &m->masks, &m->mask_uses);
  level(&p, "lmn");

  step(&p, pass_lower_lmn);
  // On nn, where every op is a formula with a derivative, before kernels hide which formulas they are.
  step(&p, pass_differentiate);
  // Forward and backward ask for the same parameters, tables and stacks.
  step(&p, pass_cse);
  // The backward rules make gradients of inputs that nobody wants, and sharing leaves stacks behind.
  step(&p, pass_dce);
  // After cse, which would merge what is made twice with what is kept; it needs to see the readers that dce has left.
  step(&p, pass_recompute);
  // After differentiate, so that derivatives need not know of merged products, and after dce: it merges what nobody
  // else reads.
  step(&p, pass_merge_products);
  level(&p, "nn");

  step(&p, pass_lower_nn);
  // Last before the order is fixed: it needs to see all producers and readers of a value.
  step(&p, pass_fuse_kernels);
  // After fuse-kernels, whose epilogues are cheaper still: they need no memory of their own.
  step(&p, pass_ride_products);
  // After fuse-kernels too, which leaves the sums that no product takes. Where ride-products has none: on a GPU.
  step(&p, pass_fuse_rows);
  // After it, which says which sums are kernels of their own.
  step(&p, pass_gather_sums);
  // Of GPUs alone, where nothing rides on products: a CPU's attention has its gradients in memory.
  step(&p, pass_ride_attention);
  // What was fused has no readers of its own any more.
  step(&p, pass_dce);
  // When all kernels are what they will be: it decides value by value what kernels read and write.
  step(&p, pass_narrow);
  // After narrow: gated units only products of bf16 can make, and no other pass has to know of them.
  step(&p, pass_fuse_activations);
  // Lifetimes, and with them the memory needed, follow from the order.
  step(&p, pass_schedule);
  step(&p, pass_plan_memory);
  level(&p, "kernel");
  if (!p.waiting) return p.result;
  fail(error, "step %d of the passes is not %s; print the text again", options->first, options->first_pass);
  return PIPELINE_FAILED;
}

static bool disabled(const pipeline_options *options, const char *name) {
  for (int i = 0; i < options->disabled_count; ++i)
    if (!strcmp(options->disabled[i], name)) return true;
  return false;
}

static const pass *pass_of(bool (*run)(ir *m, lmn_error *error)) {
  int i = 0;
  while (passes[i].run != run) ++i;
  return &passes[i];
}

static bool fail_step(progress *p, const char *what, const pass *pass, const lmn_error *cause) {
  p->result = PIPELINE_FAILED;
  p->trace->failed = p->trace->count;
  return fail(p->error, "%s %s: %s", what, pass->name, cause->text[0] ? cause->text : "failed");
}

static bool run_pass(progress *p, const pass *pass) {
  lmn_error cause = {0};
  double began = clock_seconds();
  bool ok = pass->run(p->ir, &cause);
  began = timings_add(p->options->timings, "pass", pass->name, began);
  if (!ok) return fail_step(p, "pass", pass, &cause);
  if (p->options->unverified) return true;
  ok = ir_verify(p->ir, &cause);
  timings_add(p->options->timings, "verification", "after each pass", began);
  return ok || fail_step(p, "after pass", pass, &cause);
}

bool pipeline_of_use(const target *wanted, const pass *pass) {
  const target *t = wanted ? wanted : &cpu_target;
  if (pass->run == pass_ride_products) return t->rides;
  if (pass->run == pass_fuse_activations) return t->activates;
  if (pass->run == pass_fuse_rows || pass->run == pass_gather_sums || pass->run == pass_ride_attention) return t->cuda;
  return true;
}

static void step(progress *p, bool (*run)(ir *m, lmn_error *error)) {
  if (p->result != PIPELINE_DONE) return;
  const pass *pass = pass_of(run);
  const pipeline_options *o = p->options;
  p->trace->levels[p->trace->count] = p->level;
  p->trace->steps[p->trace->count++] = pass;
  int number = p->trace->count;
  if (p->waiting && number == o->first && !strcmp(pass->name, o->first_pass)) p->waiting = false;
  if (p->waiting) return;
  if (number == o->stop_before) {
    p->result = PIPELINE_STOPPED;
    return;
  }
  bool off = disabled(o, pass->name) || (pass->optimisation && o->plain_from && number >= o->plain_from) ||
             !pipeline_of_use(o->target, pass);
  if (!off && !run_pass(p, pass)) return;
  if (!o->print_after || strcmp(o->print_after, pass->name)) return;
  text_printf(o->printed, "// after %s%s\n", pass->name, off ? " (turned off)" : "");
  ir_print(p->ir, o->printed);
}

static void level(progress *p, const char *name) {
  if (p->result != PIPELINE_DONE) return;
  p->level = name;
  if (p->waiting && !p->options->first && !strcmp(p->options->from, name)) p->waiting = false;
  if (!p->waiting && p->options->emit && !strcmp(p->options->emit, name)) p->result = PIPELINE_STOPPED;
}

// ---- names of the command line -----------------------------------------------------------------------------------

static bool unknown(const char *what, const char *wanted, const char *const *names, int count, lmn_error *error) {
  text list = {0};
  nearest best = {.wanted = wanted};
  for (int i = 0; i < count; ++i) {
    text_printf(&list, "%s%s", i ? ", " : "", names[i]);
    nearest_try(&best, names[i]);
  }
  if (best.best)
    fail(error, "there is no %s `%s`; did you mean `%s`? There are: %s", what, wanted, best.best, list.data);
  else fail(error, "there is no %s `%s`; there are: %s", what, wanted, list.data);
  text_free(&list);
  return false;
}

static int find(const char *name, const char *const *names, int count) {
  int i = 0;
  while (i < count && strcmp(names[i], name)) ++i;
  return i < count ? i : -1;
}

bool pipeline_level_known(const char *name) {
  static const char *const levels[] = {"lmn", "nn", "kernel"};
  return find(name, levels, LENGTH(levels)) >= 0;
}

bool pipeline_check(const pipeline_options *options, lmn_error *error) {
  static const char *const levels[] = {"ast",  "graph", "lmn",  "nn",  "kernel", "mlir",
                                       "llvm", "plan",  "cuda", "ptx", "sass"};
  const char *all[LENGTH(passes)], *optional[LENGTH(passes)];
  int optional_count = 0;
  for (int i = 0; i < pass_count; ++i) {
    all[i] = passes[i].name;
    if (passes[i].optimisation) optional[optional_count++] = passes[i].name;
  }
  for (int i = 0; i < options->disabled_count; ++i) {
    const char *name = options->disabled[i];
    if (find(name, optional, optional_count) >= 0) continue;
    if (find(name, all, pass_count) < 0)
      return unknown("pass that can be turned off named", name, optional, optional_count, error);
    return fail(error, "the pass `%s` cannot be turned off: it is no optimisation, the answer needs it", name);
  }
  if (options->print_after && find(options->print_after, all, pass_count) < 0)
    return unknown("pass", options->print_after, all, pass_count, error);
  if (options->emit && find(options->emit, levels, LENGTH(levels)) < 0)
    return unknown("level", options->emit, levels, LENGTH(levels), error);
  return true;
}
