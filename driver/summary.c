// lmnc summary: what a network is and what it costs: nodes and shapes, parameters, work, memory, and what the passes
// made of it.
#include "driver/commands.h"
#include "driver/kernel_table.h"
#include "driver/network_options.h"
#include "driver/pass_costs.h"
#include "runtime/lmn.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct request {
  network_options network;
  int64_t batch, length;
  bool json, run, passes, kernels;
  const char *mode;
} request;

typedef struct totals { // of parameters, by where they belong
  int64_t models, edges, others, trained;
} totals;

static totals count_parameters(const plan *p, int phase) {
  totals t = {0};
  for (int i = 0; i < p->parameter_count; ++i) {
    const plan_parameter *q = &p->parameters[i];
    bool model = !strcmp(q->group, "model") || !strcmp(q->group, "vertex");
    *(model ? &t.models : !strcmp(q->group, "edge") ? &t.edges : &t.others) += q->elements;
  }
  t.trained = p->phases[phase].gradient_bytes / (int64_t)sizeof(float);
  return t;
}

static int64_t runs_in_launches(const plan_entry *e) {
  int64_t runs = 0;
  for (int i = 0; i < e->launch_count; ++i) runs += e->launches[i].vertices > 0;
  return runs;
}

// "1,234,567"
static const char *grouped(arena *a, int64_t number) {
  char digits[32], out[48];
  int length = snprintf(digits, sizeof digits, "%" PRId64, number), at = 0;
  for (int i = 0; i < length; ++i) {
    if (i && (length - i) % 3 == 0 && digits[i - 1] != '-') out[at++] = ',';
    out[at++] = digits[i];
  }
  return arena_copy(a, out, (size_t)at);
}

static const char *megabytes(arena *a, int64_t bytes) { return arena_printf(a, "%.1f MiB", (double)bytes / 1048576.0); }

// ---- people -------------------------------------------------------------------------------------

static void print_nodes(const graph *g, const plan_phase *phase) {
  static const char *const aggregates[] = {"sum", "mean", "concat", "project"};
  printf("%-16s %-12s %-7s %-9s %-8s %s\n", "node", "model", "shared", "aggregate", "incoming", "value [B, T, D]");
  for (int i = 0; i < g->node_count; ++i) {
    const graph_node *n = &g->nodes[i];
    int64_t width = g->models[n->model].description.hidden;
    bool vertex = n->kind == NODE_VERTEX;
    printf("%-16s %-12s %-7s %-9s %-8d [%" PRId64 ", %" PRId64 ", %" PRId64 "]\n", n->name, g->models[n->model].name,
           vertex ? n->shared ? "yes" : "no" : "-", n->incoming_count > 1 ? aggregates[n->aggregate] : "-",
           n->incoming_count, phase->batch, phase->length + g->prefix, width);
  }
}

static void print_entry(arena *a, const plan_entry *e, int64_t tokens) {
  printf("%-28s %6d launches  %10.2f GFLOP (%.1f MFLOP a token)  arena %s", e->name, plan_launches(e),
         (double)e->flops / 1e9, (double)e->flops / 1e6 / (double)tokens, megabytes(a, e->arena_bytes));
  if (e->recompute) printf("  remade: %s", e->recompute);
  putchar('\n');
}

static void print_summary(arena *a, const compilation *c, const plan *p, int64_t ran) {
  const graph *g = c->graph;
  print_nodes(g, &p->phases[0]);
  totals t = count_parameters(p, 0);
  printf("\nparameters: %s (models %s, edges %s, other %s)\n", grouped(a, t.models + t.edges + t.others),
         grouped(a, t.models), grouped(a, t.edges), grouped(a, t.others));
  for (int i = 0; i < p->phase_count; ++i)
    printf("phase %s: %s trained, %s frozen\n", p->phases[i].name, grouped(a, count_parameters(p, i).trained),
           grouped(a, t.models + t.edges + t.others - count_parameters(p, i).trained));
  const plan_entry *first = &p->entries[0];
  printf("\nvertex runs: %" PRId64 " for %" PRId64 " vertices%s\nmasks: %" PRId64 " for %" PRId64 " uses\n\n",
         ran >= 0 ? ran : runs_in_launches(first), first->vertices, ran >= 0 ? " (counted while running)" : "",
         first->masks, first->mask_uses);
  int64_t largest = 0, gradients = 0;
  for (int i = 0; i < p->entry_count; ++i) {
    const plan_entry *e = &p->entries[i];
    if (e->arena_bytes > largest) largest = e->arena_bytes;
    if (e->kind != ENTRY_UPDATE) print_entry(a, e, e->batch * e->length);
  }
  for (int i = 0; i < p->phase_count; ++i)
    if (p->phases[i].gradient_bytes > gradients) gradients = p->phases[i].gradient_bytes;
  int64_t parameters = p->parameter_bytes - p->parked_bytes + plan_weight_bytes(p);
  printf("\nmemory to train: %s = parameters %s + gradients %s + optimizer %s + arena %s\n",
         megabytes(a, parameters + 3 * gradients + largest), megabytes(a, parameters), megabytes(a, gradients),
         megabytes(a, 2 * gradients), megabytes(a, largest));
  if (p->parked_bytes) printf("the host keeps %s of frozen parameters in float32\n", megabytes(a, p->parked_bytes));
}

// ---- scripts ------------------------------------------------------------------------------------

static json_t *nodes_json(const graph *g, const plan_phase *phase) {
  static const char *const aggregates[] = {"sum", "mean", "concat", "project"};
  json_t *nodes = json_array();
  for (int i = 0; i < g->node_count; ++i) {
    const graph_node *n = &g->nodes[i];
    json_array_append_new(nodes, json_pack("{s:s, s:s, s:b, s:s, s:i, s:[I, I, I]}", "name", n->name, "model",
                                           g->models[n->model].name, "shared", n->shared, "aggregate",
                                           aggregates[n->aggregate], "incoming", n->incoming_count, "shape",
                                           (json_int_t)phase->batch, (json_int_t)(phase->length + g->prefix),
                                           (json_int_t)g->models[n->model].description.hidden));
  }
  return nodes;
}

static void print_json(const compilation *c, const plan *p, int64_t ran) {
  totals t = count_parameters(p, 0);
  json_t *entries = json_array(), *phases = json_array();
  for (int i = 0; i < p->entry_count; ++i) {
    const plan_entry *e = &p->entries[i];
    json_array_append_new(entries, json_pack("{s:s, s:i, s:I, s:I, s:s*}", "name", e->name, "launches",
                                             plan_launches(e), "flops", (json_int_t)e->flops, "arena_bytes",
                                             (json_int_t)e->arena_bytes, "recompute", e->recompute));
  }
  for (int i = 0; i < p->phase_count; ++i)
    json_array_append_new(phases, json_pack("{s:s, s:I, s:I}", "name", p->phases[i].name, "trained",
                                            (json_int_t)count_parameters(p, i).trained, "gradient_bytes",
                                            (json_int_t)p->phases[i].gradient_bytes));
  const plan_entry *first = &p->entries[0];
  json_t *object = json_pack(
      "{s:s, s:o, s:{s:I, s:I, s:I, s:I}, s:o, s:I, s:I, s:I, s:I, s:o}", "network", c->graph->name, "nodes",
      nodes_json(c->graph, &p->phases[0]), "parameters", "all", (json_int_t)(t.models + t.edges + t.others), "models",
      (json_int_t)t.models, "edges", (json_int_t)t.edges, "other", (json_int_t)t.others, "phases", phases,
      "vertex_runs", (json_int_t)(ran >= 0 ? ran : runs_in_launches(first)), "vertices", (json_int_t)first->vertices,
      "masks", (json_int_t)first->masks, "mask_uses", (json_int_t)first->mask_uses, "entries", entries);
  char *printed = json_dumps(object, JSON_PRESERVE_ORDER | JSON_INDENT(2));
  puts(printed ? printed : "{}");
  free(printed);
  json_decref(object);
}

// ---- the command --------------------------------------------------------------------------------

// Runs one batch of zeros and returns how often a vertex' layers ran; -1: error.
static int64_t counted_runs(compilation *c, const entry_shape *shape, lmn_error *error) {
  char artifact[4096];
  if (!compile_temporary(artifact, error) || !compile_entries(c, shape, 1, artifact, error)) return -1;
  lmn_network *n = lmn_open(artifact, NULL, error);
  int64_t ran = -1, rows = shape->batch, labels = 0;
  int32_t *zeros = memory_zero((size_t)(shape->batch * shape->length) * sizeof *zeros);
  lmn_batch batch = {rows, shape->length, zeros, zeros, c->graph->classes ? zeros : NULL, zeros, NULL};
  double loss;
  if (n && lmn_load(n, 0, error) && lmn_evaluate(n, &batch, &loss, &labels, NULL, error)) ran = lmn_vertex_runs(n);
  free(zeros);
  lmn_close(n);
  return ran;
}

static entry_shape evaluation_of(const graph *g) {
  return (entry_shape){.kind = ENTRY_EVALUATE, .batch = g->phases[0].batch, .length = g->phases[0].length};
}

// A training step of each phase, and an evaluation.
static entry_shape *shapes_of(const compilation *c, int *count) {
  const graph *g = c->graph;
  entry_shape *shapes = ARENA_ARRAY(c->arena, entry_shape, g->phase_count + 1);
  for (int i = 0; i < g->phase_count; ++i)
    shapes[i] = (entry_shape){
        .kind = ENTRY_TRAIN, .phase = i, .batch = g->phases[i].batch, .length = g->phases[i].length, .gradients = true};
  shapes[g->phase_count] = evaluation_of(g);
  *count = g->phase_count + 1;
  return shapes;
}

static bool summarize_all(const request *r, compilation *c, lmn_error *error) {
  int count;
  const entry_shape *shapes = shapes_of(c, &count), evaluate = evaluation_of(c->graph);
  const plan *p = compile_plan(c, shapes, count, error);
  int64_t ran = p && r->run ? counted_runs(c, &evaluate, error) : -1;
  bool ok = p && (!r->run || ran >= 0);
  if (ok && r->json) print_json(c, p, ran);
  else if (ok) print_summary(c->arena, c, p, ran);
  return ok;
}

// ---- --passes ----------------------------------------------------------------------------------------------------

static const char *const modes[] = {"train", "edges", "evaluate", "decode",
                                    "prefill"}; // as bench has them, and evaluate

static bool mode_is(const request *r, const char *mode) { return !strcmp(r->mode ? r->mode : "train", mode); }

static bool check_mode(const request *r, lmn_error *error) {
  bool known = false;
  for (size_t i = 0; i < LENGTH(modes); ++i) known |= mode_is(r, modes[i]);
  if (!known) return fail(error, "--mode %s: it is train, edges, evaluate, decode or prefill", r->mode);
  if (r->mode && !r->passes) return fail(error, "--mode goes with --passes");
  if (r->network.memory_limit && r->passes)
    return fail(error, "--memory-limit does not go with --passes; say --recompute with what the summary names");
  if (r->kernels && (r->passes || r->run)) return fail(error, "--kernels does not go with --passes and --run");
  if (r->run && r->network.target) return fail(error, "--run does not go with --target: the CPU runs it");
  return !(r->run && r->passes) || fail(error, "--run does not go with --passes: nothing is run");
}

// The first phase's step, or an evaluation; new tokens over caches of -T tokens, for one prompt unless -B says more.
static bool shape_of_mode(const request *r, const graph *g, entry_shape *shape, lmn_error *error) {
  const settings *phase = &g->phases[0];
  *shape = (entry_shape){
      .kind = mode_is(r, "evaluate") ? ENTRY_EVALUATE : ENTRY_TRAIN, .batch = phase->batch, .length = phase->length};
  shape->gradients = shape->kind == ENTRY_TRAIN;
  if (!mode_is(r, "decode") && !mode_is(r, "prefill")) return true;
  if (g->classes)
    return fail(error, "%s: a classifier does not generate; --mode is train, edges or evaluate", r->network.net);
  *shape = (entry_shape){.kind = ENTRY_EXTEND,
                         .batch = r->batch ? r->batch : 1,
                         .length = mode_is(r, "decode") ? 1 : phase->length,
                         .capacity = g->prefix + phase->length};
  return true;
}

static bool summarize_passes(const request *r, compilation *c, lmn_error *error) {
  entry_shape shape;
  pass_costs costs;
  if (!shape_of_mode(r, c->graph, &shape, error) || !pass_costs_count(c, shape, &costs, error)) return false;
  if (r->json) pass_costs_print_json(c, &costs, stdout);
  else pass_costs_print(&costs, stdout);
  return true;
}

// Those of steps, of the evaluation and, where it can generate, of prompts and single tokens.
static bool summarize_kernels(const request *r, compilation *c, lmn_error *error) {
  static const int64_t chunks[] = {1, 16, 128};
  int64_t length = c->graph->phases[0].length;
  int count;
  const entry_shape *some = shapes_of(c, &count);
  entry_shape *shapes = ARENA_ARRAY(c->arena, entry_shape, (size_t)count + LENGTH(chunks));
  memcpy(shapes, some, (size_t)count * sizeof *shapes);
  for (size_t i = 0; i < LENGTH(chunks) && chunks[i] <= length && !c->graph->classes; ++i)
    shapes[count++] =
        (entry_shape){.kind = ENTRY_EXTEND, .batch = 1, .length = chunks[i], .capacity = c->graph->prefix + length};
  return kernel_table_print(c, shapes, count, r->json, error);
}

static bool summarize(request *r, text *messages, lmn_error *error) {
  if (!check_mode(r, error)) return false;
  if (mode_is(r, "edges")) {
    define_list *overrides = &r->network.overrides;
    GROW(overrides->items, overrides->count, overrides->capacity);
    overrides->items[overrides->count++] = (define){"freeze", "models"};
  }
  compile_options o = network_compile_options(&r->network);
  compilation *c = compile_open(&o, messages);
  if (!c) return false;
  for (int i = 0; i < c->graph->phase_count; ++i) {
    if (r->batch) c->graph->phases[i].batch = r->batch;
    if (r->length) c->graph->phases[i].length = r->length;
  }
  bool ok = r->kernels  ? summarize_kernels(r, c, error)
            : r->passes ? summarize_passes(r, c, error)
                        : summarize_all(r, c, error);
  compile_close(c);
  return ok;
}

int command_summary(int argument_count, char **arguments) {
  request r = {0};
  const command_option options[] = {
      {"batch", 'B', "N", "sequences of a step; default: the phase's", OPTION_COUNT, &r.batch},
      {"length", 'T', "N", "tokens of a sequence; default: the phase's", OPTION_COUNT, &r.length},
      {"run", 0, NULL, "run one batch and count the vertex runs as they happen", OPTION_FLAG, &r.run},
      {"passes", 0, NULL, "what each pass is worth: runs, launches, work, memory", OPTION_FLAG, &r.passes},
      {"kernels", 0, NULL, "of a GPU: each kernel's registers, spills, shared memory", OPTION_FLAG, &r.kernels},
      {"mode", 0, "MODE", "with --passes: train (the default), edges, evaluate, decode, prefill", OPTION_TEXT, &r.mode},
      NETWORK_OPTIONS(&r.network),
      {"json", 0, NULL, "one JSON object", OPTION_FLAG, &r.json},
  };
  const command_usage usage = {"summary", "Says what a network is and costs: nodes, shapes, parameters, work, memory.",
                               "NET",     "net.lmn -D widths=1/4/4/4/1 -B 4 -T 128",
                               options,   (int)LENGTH(options)};
  options_result result = options_parse(&usage, argument_count, arguments, &r.network.net);
  int status = result == OPTIONS_DONE ? 0 : 2;
  if (result == OPTIONS_RUN) {
    text messages = {0};
    lmn_error error = {0};
    status = summarize(&r, &messages, &error) ? 0 : 1;
    if (messages.data) fputs(messages.data, stderr);
    if (error.text[0]) fprintf(stderr, "error: %s\n", error.text);
    text_free(&messages);
  }
  network_options_free(&r.network);
  return status;
}
