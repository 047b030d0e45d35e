// lmnc compile: an artifact for lmn-run, or one of the levels on the way there.
#include "driver/commands.h"
#include "driver/network_options.h"
#include "driver/time_passes.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct request {
  network_options network;
  const char *output, *emit, *from, *print_after, *wanted;
  int64_t batch, length, capacity, rows;
  bool packed, json, time_passes, line_info;
  timings timings;
  double began;
} request;

enum { CHUNKS = 3 };
static const int64_t chunks[CHUNKS] = {1, 16, 128}; // new tokens of an extend entry: decoding, short and long prompts

static bool wants(const char *list, const char *name) {
  size_t length = strlen(name);
  for (const char *p = list; (p = strstr(p, name)); p += length)
    if ((p == list || p[-1] == ',') && (!p[length] || p[length] == ',')) return true;
  return false;
}

static bool check_wanted(const char *list, lmn_error *error) {
  static const char *const names[] = {"train", "evaluate", "generate", "trace"};
  for (const char *p = list; *p;) {
    size_t length = strcspn(p, ",");
    bool known = false;
    for (size_t i = 0; i < LENGTH(names); ++i) known |= strlen(names[i]) == length && !memcmp(names[i], p, length);
    if (!known)
      return fail(error, "--for %.*s: it is one of train, evaluate, generate, trace, or several with commas",
                  (int)length, p);
    p += length + (p[length] == ',');
  }
  return true;
}

// The entries of the command line; each phase trains with its own batch and length unless the command says others.
static int shapes_of(const request *r, const graph *g, entry_shape *shapes) {
  int count = 0;
  for (int phase = 0; phase < g->phase_count; ++phase) {
    entry_shape s = {.phase = phase,
                     .batch = r->batch ? r->batch : g->phases[phase].batch,
                     .length = r->length ? r->length : g->phases[phase].length,
                     .packed = r->packed,
                     .gradients = true};
    if (wants(r->wanted, "train")) s.kind = ENTRY_TRAIN, shapes[count++] = s;
    if (wants(r->wanted, "trace")) s.kind = ENTRY_TRACE, shapes[count++] = s;
    s.gradients = false;
    if (wants(r->wanted, "evaluate")) s.kind = ENTRY_EVALUATE, s.phase = 0, shapes[count++] = s;
  }
  if (!wants(r->wanted, "generate") || g->classes) return count;
  entry_shape s = {.kind = ENTRY_EXTEND, .batch = r->rows, .capacity = g->prefix + r->capacity};
  if (g->prefix) shapes[count++] = s; // no tokens: the prefix alone
  for (int i = 0; i < CHUNKS; ++i)
    if (chunks[i] <= r->capacity) s.length = chunks[i], shapes[count++] = s;
  return count;
}

static void print_result(const request *r, const compilation *c) {
  const char *network = c->graph->name;
  double total = clock_seconds() - r->began;
  if (!r->json) {
    if (!r->emit) fprintf(stderr, "%s: network %s, %d entries\n", r->output, network, c->entry_count);
    if (r->time_passes) time_passes_print(&r->timings, total, stderr);
    return;
  }
  if (r->emit) return; // the level is what was asked for
  json_t *object =
      json_pack("{s:b, s:s, s:s, s:i}", "ok", 1, "artifact", r->output, "network", network, "entries", c->entry_count);
  if (r->time_passes) json_object_set_new(object, "time", time_passes_json(&r->timings, total));
  char *printed = json_dumps(object, JSON_PRESERVE_ORDER);
  puts(printed);
  free(printed);
  json_decref(object);
}

static bool emit_early(const request *r, text *printed, text *messages, bool *ok) {
  if (r->from || !r->emit || strcmp(r->emit, "ast")) return false;
  *ok = graph_print_ast(r->network.net, printed, messages);
  return true;
}

// What an emitted text says itself cannot be said on the command line.
static bool check_from(const request *r, lmn_error *error) {
  static const char *const levels[] = {"lmn", "nn", "kernel", "mlir", "llvm", "plan", "cuda", "ptx", "sass"};
  const network_options *n = &r->network;
  const char *given = n->defines.count     ? "-D"
                      : n->overrides.count ? "--freeze, --loss and --optimizer"
                      : r->wanted          ? "--for"
                      : r->batch           ? "-B"
                      : r->length          ? "-T"
                      : r->packed          ? "--pack"
                      : r->rows            ? "--rows"
                      : r->capacity        ? "--capacity"
                      : n->random_weights  ? "--random-weights"
                      : n->recompute       ? "--recompute"
                      : n->memory_limit    ? "--memory-limit"
                                           : NULL;
  if (given) return fail(error, "%s does not go with --from: %s has it already", given, n->net);
  int from = -1, emit = (int)LENGTH(levels);
  for (int i = 0; i < (int)LENGTH(levels); ++i) {
    if (!strcmp(levels[i], r->from)) from = i;
    if (r->emit && !strcmp(levels[i], r->emit)) emit = i;
    else if (r->emit && (!strcmp(r->emit, "ast") || !strcmp(r->emit, "graph"))) emit = -1;
  }
  return emit >= from || fail(error, "--emit=%s stands before --from=%s", r->emit, r->from);
}

static void complete(request *r) {
  if (!r->wanted) r->wanted = r->emit || r->print_after ? "train" : "train,evaluate,generate";
  if (!r->capacity) r->capacity = 256;
  if (!r->rows) r->rows = 1;
}

static bool compile(request *r, compilation *c, text *printed, lmn_error *error) {
  if (r->emit && !strcmp(r->emit, "graph")) {
    graph_print(c->graph, printed);
    return true;
  }
  entry_shape *shapes = ARENA_ARRAY(c->arena, entry_shape, 3 * c->graph->phase_count + CHUNKS + 1);
  int count = r->from ? 0 : shapes_of(r, c->graph, shapes);
  if (!count && !r->from)
    return fail(error, "%s: a classifier does not generate; use --for train,evaluate", r->network.net);
  if (!compile_entries(c, shapes, count, r->output, error)) return false;
  print_result(r, c);
  return true;
}

static bool run(request *r, text *printed, text *messages, lmn_error *error) {
  bool ok;
  if (emit_early(r, printed, messages, &ok)) return ok;
  if (r->from && !check_from(r, error)) return false;
  complete(r);
  compile_options o = network_compile_options(&r->network);
  o.emit = r->emit;
  o.print_after = r->print_after;
  o.printed = printed;
  o.from = r->from;
  o.line_info = r->line_info;
  o.timings = r->time_passes ? &r->timings : NULL;
  if (!check_wanted(r->wanted, error)) return false;
  compilation *c = compile_open(&o, messages);
  if (!c) return false;
  ok = compile(r, c, printed, error);
  compile_close(c);
  return ok;
}

static void finish(request *r, text *printed, text *messages) {
  network_options_free(&r->network);
  text_free(printed);
  text_free(messages);
}

int command_compile(int argument_count, char **arguments) {
  request r = {.output = "net.lmnx", .began = clock_seconds()};
  const command_option options[] = {
      {"output", 'o', "FOLDER", "the artifact to write; default: net.lmnx", OPTION_TEXT, &r.output},
      {"for", 0, "LIST", "train,evaluate,generate (the default), trace; with --emit: train", OPTION_TEXT, &r.wanted},
      {"batch", 'B', "N", "sequences of a training step; default: the phase's", OPTION_COUNT, &r.batch},
      {"length", 'T', "N", "tokens of a sequence; default: the phase's", OPTION_COUNT, &r.length},
      {"pack", 0, NULL, "several rows of data in one sequence", OPTION_FLAG, &r.packed},
      {"rows", 0, "N", "prompts at once when generating; default: 1", OPTION_COUNT, &r.rows},
      {"capacity", 0, "N", "tokens of prompt and continuation at most; default: 256", OPTION_COUNT, &r.capacity},
      {"optimizer", 0, "ADAMW", "'adamw(lr = 1e-4, betas = [0.9, 0.95])'", OPTION_SETTING, &r.network.overrides},
      NETWORK_OPTIONS(&r.network),
      {"loss", 0, "LOSS", "'cross_entropy(label_smoothing = 0.1)'", OPTION_SETTING, &r.network.overrides},
      {"emit", 0, "LEVEL", "print ast, graph, lmn, nn, kernel, plan; mlir, llvm; cuda, ptx, sass", OPTION_TEXT,
       &r.emit},
      {"from", 0, "LEVEL", "NET is what --emit=LEVEL printed: lmn, nn, kernel or mlir", OPTION_TEXT, &r.from},
      {"print-after", 0, "PASS", "print the entries as this pass leaves them", OPTION_TEXT, &r.print_after},
      {"line-info", 0, NULL, "kernels of GPUs tell profilers the lines they come from", OPTION_FLAG, &r.line_info},
      {"time-passes", 0, NULL, "say where the time went", OPTION_FLAG, &r.time_passes},
      {"json", 0, NULL, "the result as one JSON object", OPTION_FLAG, &r.json},
  };
  const command_usage usage = {
      "compile", "Compiles a network to kernels and a plan, which lmn-run runs without a compiler.",
      "NET",     "net.lmn -B 8 -T 256 -o net.lmnx",
      options,   (int)LENGTH(options)};
  options_result result = options_parse(&usage, argument_count, arguments, &r.network.net);
  text printed = {0}, messages = {0};
  int status = result == OPTIONS_DONE ? 0 : 2;
  if (result == OPTIONS_RUN) {
    lmn_error error = {0};
    status = run(&r, &printed, &messages, &error) ? 0 : 1;
    if (printed.data) fputs(printed.data, stdout);
    if (messages.data) fputs(messages.data, stderr);
    if (error.text[0]) fprintf(stderr, "error: %s\n", error.text);
  }
  finish(&r, &printed, &messages);
  return status;
}
