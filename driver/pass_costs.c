#include "driver/pass_costs.h"

#include "codegen/backend.h"
#include "codegen/cost.h"
#include "codegen/plan.h"
#include "driver/lower.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

// Compiles the entry without the optimisations from step `plain_from` on; nothing is made machine code.
static bool cost_with(lowering *l, entry_shape shape, int plain_from, const char **name, entry_cost *result) {
  compilation *c = l->c;
  l->plan = plan_create(c->arena, c->graph, c->parameters, c->precision);
  l->plan->entries = ARENA_ARRAY(c->arena, plan_entry, 1);
  l->plain_from = plain_from;
  int recompute = lower_recompute(c, &shape, l->error);
  ir *m = recompute < 0 ? NULL : lower_build(l, shape, recompute);
  if (!m) return false;
  backend made = backend_create(c->arena, c->target, l->plan, NULL);
  bool ok = lower_run(l, m, NULL) == PIPELINE_DONE;
  if (ok) {
    plan_entry *entry = plan_add_entry(l->plan, m);
    ok = backend_entry(&made, m, entry, l->error);
    cost counted = cost_of(m);
    *name = entry->name;
    *result = (entry_cost){m->vertex_runs, plan_launches(entry), counted.flops, counted.bytes, m->arena_bytes};
  }
  backend_destroy(&made);
  ir_destroy(m);
  return ok;
}

static bool turned_off(const compilation *c, const char *pass) {
  for (int i = 0; i < c->options->disabled_count; ++i)
    if (!strcmp(c->options->disabled[i], pass)) return true;
  return false;
}

static bool count_passes(lowering *l, entry_shape shape, pass_costs *result) {
  pipeline_trace trace;
  entry_cost now;
  l->trace = &trace;
  if (!cost_with(l, shape, 1, &result->entry, &now)) return false;
  pipeline_trace steps = trace;
  result->passes = ARENA_ARRAY(l->c->arena, pass_cost, steps.count);
  for (int i = 0; i < steps.count; ++i) {
    const pass *pass = steps.steps[i];
    if (!pipeline_of_use(l->c->target, pass)) continue;
    pass_cost *p = &result->passes[result->count++];
    *p = (pass_cost){pass->name, pass->optimisation, turned_off(l->c, pass->name), now, now};
    if (p->optimisation && !p->off && !cost_with(l, shape, i + 2, &result->entry, &p->after)) return false;
    now = p->after;
  }
  return true;
}

bool pass_costs_count(compilation *c, entry_shape shape, pass_costs *result, lmn_error *error) {
  *result = (pass_costs){0};
  lowering l = {.c = c, .context = ir_context_create(error), .error = error};
  bool ok = l.context.ptr && count_passes(&l, shape, result);
  ir_context_destroy(l.context);
  return ok;
}

// ---- people

static void print_cost(const char *name, const char *mark, const entry_cost *c, FILE *out) {
  fprintf(out, "%-18s %-7s %11" PRId64 " %9" PRId64 " %10.3f %11.2f %10.2f\n", name, mark, c->vertex_runs, c->launches,
          (double)c->flops / 1e9, (double)c->bytes / 1048576, (double)c->arena_bytes / 1048576);
}

void pass_costs_print(const pass_costs *costs, FILE *out) {
  fprintf(
      out,
      "%s, compiled with the optimisations so far and without the later ones:\n\n%-18s %-7s %11s %9s %10s %11s %10s\n",
      costs->entry, "after", "", "vertex runs", "launches", "GFLOP", "MiB moved", "arena MiB");
  print_cost("(none)", "", &costs->passes[0].before, out);
  for (int i = 0; i < costs->count; ++i) {
    const pass_cost *p = &costs->passes[i];
    print_cost(p->pass, p->off ? "off" : p->optimisation ? "" : "needed", &p->after, out);
  }
}

// ---- scripts

static json_t *cost_json(const entry_cost *c) {
  return json_pack("{s:I, s:I, s:I, s:I, s:I}", "vertex_runs", (json_int_t)c->vertex_runs, "launches",
                   (json_int_t)c->launches, "flops", (json_int_t)c->flops, "bytes", (json_int_t)c->bytes, "arena_bytes",
                   (json_int_t)c->arena_bytes);
}

void pass_costs_print_json(const compilation *c, const pass_costs *costs, FILE *out) {
  json_t *passes = json_array();
  for (int i = 0; i < costs->count; ++i) {
    const pass_cost *p = &costs->passes[i];
    json_array_append_new(passes,
                          json_pack("{s:s, s:b, s:b, s:o, s:o}", "pass", p->pass, "optimisation", p->optimisation,
                                    "off", p->off, "before", cost_json(&p->before), "after", cost_json(&p->after)));
  }
  json_t *object = json_pack("{s:s, s:s, s:o}", "network", c->graph->name, "entry", costs->entry, "passes", passes);
  json_dumpf(object, out, JSON_PRESERVE_ORDER | JSON_INDENT(2));
  fputc('\n', out);
  json_decref(object);
}
