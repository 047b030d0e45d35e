// Runs the statements of a network, in order, and hands what they declared to the checks.
#include "frontend/resolve.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool spend(resolver *r, int64_t work, span place) {
  r->work += work;
  if (r->work <= LIMIT_WORK && !r->stopped) return true;
  if (!r->stopped) {
    diagnostic *item =
        report(r->d, ERROR_LIMIT_WORK, place, "the network takes more than %d steps to read", LIMIT_WORK);
    report_help(r->d, item, "its loops together go through too many rounds here");
  }
  r->stopped = r->broken = true;
  return false;
}

static void run_block(resolver *r, const ast_block *block);

// ---- params

static value_type element_type(value list) {
  return list.type == TYPE_LIST && list.list.count ? list.list.items[0].type : TYPE_NONE;
}

// Whether a value of the command line can stand for the default. An integer also stands for a real.
static bool fits(value standard, value *given, arena *a) {
  if (standard.type == TYPE_REAL && given->type == TYPE_INTEGER)
    *given = (value){.type = TYPE_REAL, .real = (double)given->integer};
  if (standard.type != given->type) return false;
  value_type elements = element_type(standard);
  if (elements == TYPE_NONE || elements == TYPE_LIST) return true;
  value *items = ARENA_ARRAY(a, value, given->list.count);
  for (int i = 0; i < given->list.count; ++i) {
    items[i] = given->list.items[i];
    if (!fits((value){.type = elements, .list = {0}}, &items[i], a)) return false;
  }
  given->list.items = items;
  return true;
}

// The paper's own notation for lists, 1/4/4/1, becomes [1,4,4,1]; the bracket takes the place of the equals sign before
// it.
static const ast_value *parse_slashes(resolver *r, const char *shown, size_t offset) {
  char *copy = arena_printf(r->arena, "%s]", shown);
  copy[offset - 1] = '[';
  for (char *p = copy + offset; *p; ++p)
    if (*p == '/') *p = ',';
  return parse_value(r->d, copy, strlen(copy), offset - 1);
}

// "-D name=value" for a param whose default is `standard`.
static value evaluate_define(resolver *r, const define *d, int order, value standard, span declared) {
  const value nothing = {.type = TYPE_NONE};
  const source *before = r->d->source;
  const char *shown = arena_printf(r->arena, "-D %s=%s", d->name, d->value);
  size_t offset = strlen(d->name) + 4;
  r->d->source = source_create(r->arena, "command line", shown, strlen(shown), order);
  span place = {1, (int)offset + 1, 1, (int)strlen(shown) + 1};
  value given = nothing;
  int errors = r->d->count;
  if (standard.type == TYPE_STRING && d->value[0] != '"') {
    given = (value){.type = TYPE_STRING, .string = d->value};
  } else {
    bool numbers =
        strchr(d->value, '/') && !d->value[strspn(d->value, "0123456789/")]; // a list, whatever the default is
    bool slashes = (standard.type == TYPE_LIST || numbers) && d->value[0] != '[';
    const ast_value *v = slashes ? parse_slashes(r, shown, offset) : parse_value(r->d, shown, strlen(shown), offset);
    if (v && v->kind == VALUE_NAME) given.type = TYPE_STRING; // an unquoted word: the message speaks of its type
    else if (v) given = evaluate(r, v);
  }
  if (given.type == TYPE_NONE || !fits(standard, &given, r->arena)) {
    if (r->d->count == errors) {
      value_type elements = element_type(standard);
      diagnostic *item;
      if (given.type == TYPE_LIST && standard.type == TYPE_LIST)
        item = report(r->d, ERROR_DEFINE_TYPE, place, "the elements of `%s` must be of the default's type: each %s",
                      d->name, type_text(elements) + strcspn(type_text(elements), " ") + 1);
      else
        item = report(r->d, ERROR_DEFINE_TYPE, place, "`%s` is %s, not %s", d->name, type_text(standard.type),
                      type_text(given.type));
      report_also(r->d, item, r->file, declared, "its default is %s", type_text(standard.type));
    }
    given = nothing;
  }
  r->d->source = before;
  return given;
}

static void run_param(resolver *r, const ast_statement *s) {
  value standard = evaluate(r, s->value), v = standard;
  for (int i = 0; r->loop_depth == 0 && i < r->define_count; ++i) {
    if (strcmp(r->defines[i].name, s->name.text)) continue;
    r->define_used[i] = true;
    if (standard.type != TYPE_NONE) v = evaluate_define(r, &r->defines[i], i + 1, standard, s->value->place);
  }
  symbol *declared = symbol_declare(r, SYMBOL_PARAM, s->name);
  if (declared) declared->value = v;
}

static void unused_define(resolver *r, const define *d, int order) {
  const char *shown = arena_printf(r->arena, "-D %s=%s", d->name, d->value);
  r->d->source = source_create(r->arena, "command line", shown, strlen(shown), order);
  span place = {1, 4, 1, 4 + (int)strlen(d->name)};
  diagnostic *item = report(r->d, ERROR_DEFINE_UNKNOWN, place, "the network has no param `%s`", d->name);
  nearest n = {.wanted = d->name};
  symbols_nearest(r, &n, 1u << SYMBOL_PARAM);
  if (n.best) report_help(r->d, item, "a param that is close: `%s`", n.best);
  r->d->source = r->file;
}

// ---- other statements

static void run_edge(resolver *r, const ast_statement *s) {
  edge_template *edge = ARENA_NEW(r->arena, edge_template);
  *edge = *edge_evaluate(r, s->value);
  edge->name = s->name.text;
  edge->place = s->value->place;
  edge->sized = NULL;
  symbol *declared = symbol_declare(r, SYMBOL_EDGE, s->name);
  if (declared) declared->edge = edge;
}

static bool default_first(resolver *r, const ast_statement *s, span *said) {
  if (said->line) {
    diagnostic *item =
        report(r->d, ERROR_OPTION_TWICE, s->name.place, "the default of `%s` is given twice", s->name.text);
    report_also(r->d, item, r->file, *said, "first here");
    return false;
  }
  *said = s->name.place;
  return true;
}

static void run_default(resolver *r, const ast_statement *s) {
  int words;
  const char *const *aggregates = aggregate_words(&words);
  if (!strcmp(s->name.text, "edge")) {
    if (default_first(r, s, &r->default_edge_place)) r->default_edge = edge_evaluate(r, s->value);
  } else if (!strcmp(s->name.text, "aggregate")) {
    if (!default_first(r, s, &r->default_aggregate_place)) return;
    take_word(r, s->value, "`aggregate`", aggregates, words, &r->default_aggregate);
    r->default_aggregate_place = s->value->place;
  } else {
    diagnostic *item = report(r->d, ERROR_OPTION, s->name.place, "there is no default `%s`", s->name.text);
    nearest n = {.wanted = s->name.text};
    nearest_try(&n, "edge");
    nearest_try(&n, "aggregate");
    if (n.best) report_help(r->d, item, "a default that is close: `%s`", n.best);
    else report_help(r->d, item, "the defaults are `edge` and `aggregate`");
  }
}

static bool loop_bound(resolver *r, const ast_value *v, int64_t *result) {
  value bound = evaluate(r, v);
  if (bound.type == TYPE_INTEGER) return *result = bound.integer, true;
  if (bound.type != TYPE_NONE)
    report(r->d, ERROR_TYPE, v->place, "the bounds of a range are integers, not %s", type_text(bound.type));
  return false;
}

static void run_for(resolver *r, const ast_statement *s) {
  int64_t first, end;
  bool ok = loop_bound(r, s->value, &first);
  if (!(loop_bound(r, s->end, &end) && ok)) {
    r->broken = true;
    return;
  }
  int before = r->local_count;
  ++r->loop_depth;
  for (int64_t i = first; i < end && !r->stopped; ++i) {
    if (++r->rounds > LIMIT_ROUNDS) {
      report(r->d, ERROR_LIMIT_WORK, span_join(s->value->place, s->end->place), "the loops have more than %d rounds",
             LIMIT_ROUNDS);
      r->stopped = r->broken = true;
      break;
    }
    symbol *variable = symbol_declare(r, SYMBOL_LOOP, s->name);
    if (!variable) {
      r->broken = true;
      break;
    }
    variable->value = (value){.type = TYPE_INTEGER, .integer = i};
    run_block(r, &s->body);
    symbols_leave(r, before);
  }
  --r->loop_depth;
}

static void run_if(resolver *r, const ast_statement *s) {
  value condition = evaluate(r, s->value);
  if (condition.type != TYPE_TRUTH) {
    if (condition.type != TYPE_NONE)
      report(r->d, ERROR_TYPE, s->value->place, "`if` takes a truth value, not %s", type_text(condition.type));
    r->broken = true;
    return;
  }
  run_block(r, condition.truth ? &s->body : &s->otherwise);
}

// So that uses of the name are not errors too.
static void declare_broken(resolver *r, const ast_statement *s) {
  if ((s->kind != STATEMENT_MODEL && s->kind != STATEMENT_VERTEX) || symbol_find(r, s->name.text)) return;
  int depth = r->loop_depth;
  r->loop_depth = 0; // not forgotten at the loop's end
  symbol *declared = symbol_declare(r, s->kind == STATEMENT_MODEL ? SYMBOL_MODEL : SYMBOL_VERTEX, s->name);
  r->loop_depth = depth;
  if (!declared) return;
  declared->vertex = ARENA_NEW(r->arena, vertex_array);
  *declared->vertex =
      (vertex_array){.name = s->name.text, .place = s->name.place, .model = -1, .aggregate = -1, .broken = true};
}

// What a `for` body cannot have: it would be declared again in every round.
static bool once_only(resolver *r, const ast_statement *s) {
  static const char *const names[] = {[STATEMENT_MODEL] = "a model",
                                      [STATEMENT_VERTEX] = "a vertex",
                                      [STATEMENT_DEFAULT] = "a default",
                                      [STATEMENT_TRAIN] = "`train`"};
  if (r->loop_depth == 0 || (size_t)s->kind >= LENGTH(names) || !names[s->kind]) return true;
  diagnostic *item = report(r->d, ERROR_IN_LOOP, s->place, "%s cannot be declared in a `for`", names[s->kind]);
  if (s->kind == STATEMENT_VERTEX)
    report_help(r->d, item, "declare an array before the loop: `vertex %s[n] : …;`", s->name.text);
  else report_help(r->d, item, "move it out of the loop");
  r->broken = true;
  declare_broken(r, s);
  return false;
}

static void run_statement(resolver *r, const ast_statement *s) {
  if (!spend(r, 1, s->place) || !once_only(r, s)) return;
  switch (s->kind) {
  case STATEMENT_PARAM: run_param(r, s); break;
  case STATEMENT_MODEL: run_model(r, s); break;
  case STATEMENT_VERTEX: run_vertex(r, s); break;
  case STATEMENT_EDGE: run_edge(r, s); break;
  case STATEMENT_DEFAULT: run_default(r, s); break;
  case STATEMENT_CONNECT: run_connect(r, s); break;
  case STATEMENT_FOR: run_for(r, s); break;
  case STATEMENT_IF: run_if(r, s); break;
  case STATEMENT_TRAIN: run_train(r, s); break;
  }
}

static void run_block(resolver *r, const ast_block *block) {
  for (const ast_statement *s = block->first; s && !r->stopped; s = s->next) run_statement(r, s);
}

// ---- the whole

static void resolver_free(resolver *r) {
  free(r->locals);
  free(r->models);
  free(r->vertices);
  free(r->owners);
  free(r->arrows);
  free(r->arrow_index);
  free(r);
}

source *source_read(diagnostics *d, const char *path) {
  lmn_error error = {{0}};
  char *data = NULL;
  size_t length = 0;
  bool ok = file_read(path, LIMIT_FILE, &data, &length, &error);
  source *s = source_create(d->arena, path, ok ? arena_copy(d->arena, data, length) : "", length, 0);
  free(data);
  d->source = s;
  if (!ok) report(d, ERROR_FILE, (span){1, 1, 1, 1}, "%s", error.text);
  return ok ? s : NULL;
}

// The network in `file`, which is `network->path`; models are where `network` says, unless it says of none.
static graph *resolve(diagnostics *d, source *file, const kept_network *network, bool kept) {
  ast_network *parsed = file ? parse_network(d) : NULL;
  if (!parsed) {
    diagnostics_sort(d);
    return NULL;
  }
  resolver *r = memory_zero(sizeof *r);
  graph *g = ARENA_NEW(d->arena, graph);
  *r = (resolver){.arena = d->arena,
                  .d = d,
                  .file = file,
                  .graph = g,
                  .network = parsed,
                  .defines = network->defines,
                  .define_count = network->define_count,
                  .overrides = network->overrides,
                  .override_count = network->override_count,
                  .default_aggregate = -1,
                  .input_model = -1,
                  .output_model = -1,
                  .output_aggregate = -1,
                  .kept = kept ? network : NULL};
  r->define_used = ARENA_ARRAY(d->arena, bool, network->define_count);
  g->name = parsed->name.text;
  g->file = arena_string(d->arena, network->path);
  g->source = file->data;
  run_block(r, &parsed->body);
  for (int i = 0; i < network->define_count; ++i)
    if (!r->define_used[i] && !r->stopped) unused_define(r, &network->defines[i], i + 1);
  finish_graph(r);
  resolver_free(r);
  diagnostics_sort(d);
  return d->count ? NULL : g;
}

graph *graph_resolve(diagnostics *d, const char *path, const define *defines, int define_count, const define *overrides,
                     int override_count) {
  kept_network network = {.path = path,
                          .defines = defines,
                          .define_count = define_count,
                          .overrides = overrides,
                          .override_count = override_count};
  return resolve(d, source_read(d, path), &network, false);
}

graph *graph_read(arena *a, const char *path, const define *defines, int define_count, const define *overrides,
                  int override_count, text *messages) {
  diagnostics d = {.arena = a};
  graph *g = graph_resolve(&d, path, defines, define_count, overrides, override_count);
  if (!g && messages) diagnostics_print(&d, messages);
  return g;
}

graph *graph_read_kept(arena *a, const kept_network *kept, text *messages) {
  diagnostics d = {.arena = a};
  source *file = source_create(a, kept->path, kept->source, strlen(kept->source), 0);
  d.source = file;
  graph *g = resolve(&d, file, kept, true);
  if (!g && messages) diagnostics_print(&d, messages);
  return g;
}

bool graph_print_ast(const char *path, text *out, text *messages) {
  diagnostics d = {.arena = arena_create()};
  ast_network *network = source_read(&d, path) ? parse_network(&d) : NULL;
  if (network) ast_print(network, out);
  diagnostics_sort(&d);
  if (!network) diagnostics_print(&d, messages);
  arena_destroy(d.arena);
  return network != NULL;
}
