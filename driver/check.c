// lmnc check: every error of a network, or one line about it.
#include "driver/commands.h"
#include "driver/options.h"
#include "frontend/resolve.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *place_json(const label *l) {
  return json_pack("{s:s, s:i, s:i, s:i, s:i, s:s?}", "file", l->source->shown, "line", l->place.line, "column",
                   l->place.column, "end_line", l->place.end_line, "end_column", l->place.end_column, "label", l->text);
}

static json_t *error_json(const diagnostic *item) {
  const label *at = &item->labels[0];
  json_t *also = json_array();
  for (int i = 1; i < item->label_count; ++i) json_array_append_new(also, place_json(&item->labels[i]));
  json_t *error = place_json(at);
  json_t *rest = json_pack("{s:s, s:s, s:s?, s:o}", "code", error_entries[item->code].code, "message", item->message,
                           "help", item->help, "also", also);
  json_object_update(error, rest);
  json_decref(rest);
  return error;
}

typedef struct element_counts {
  int64_t models, added;
} element_counts;

static element_counts count_elements(const graph *g) {
  element_counts counts;
  graph_elements(g, &counts.models, &counts.added);
  return counts;
}

static json_t *network_json(arena *a, const graph *g, element_counts counts) {
  json_t *models = json_array(), *phases = json_array();
  for (int i = 0; i < g->model_count; ++i) {
    const graph_model *m = &g->models[i];
    json_array_append_new(models,
                          json_pack("{s:s, s:s, s:s}", "name", m->name, "family", m->description.family, "directory",
                                    text_shown(a, m->description.directory, strlen(m->description.directory))));
  }
  for (int i = 0; i < g->phase_count; ++i) json_array_append_new(phases, json_string(g->phases[i].phase));
  return json_pack("{s:b, s:s, s:s, s:i, s:i, s:I, s:I, s:o, s:o}", "ok", 1, "file",
                   text_shown(a, g->file, strlen(g->file)), "network", g->name, "vertices", g->node_count - 2, "edges",
                   g->arrow_count, "model_parameters", (json_int_t)counts.models, "added_parameters",
                   (json_int_t)counts.added, "models", models, "phases", phases);
}

static void print_json(json_t *object) {
  char *printed = json_dumps(object, JSON_PRESERVE_ORDER);
  puts(printed ? printed : "{\"ok\": false}");
  free(printed);
  json_decref(object);
}

static const char *plural(int64_t count) { return count == 1 ? "" : "s"; }

static void print_network(const graph *g, element_counts counts) {
  int vertices = g->node_count - 2;
  int64_t total;
  if (__builtin_add_overflow(counts.models, counts.added, &total)) total = INT64_MAX;
  printf("%s: network %s, %d %s, %d edge%s, %d model%s, %" PRId64 " parameters (%" PRId64 " of models, %" PRId64
         " new), %d phase%s\n",
         g->file, g->name, vertices, vertices == 1 ? "vertex" : "vertices", g->arrow_count, plural(g->arrow_count),
         g->model_count, plural(g->model_count), total, counts.models, counts.added, g->phase_count,
         plural(g->phase_count));
}

static void print_errors(const diagnostics *d, bool json) {
  if (json) {
    json_t *errors = json_array();
    for (int i = 0; i < d->count; ++i) json_array_append_new(errors, error_json(d->items[i]));
    print_json(json_pack("{s:b, s:o}", "ok", 0, "errors", errors));
    return;
  }
  text messages = {0};
  diagnostics_print(d, &messages);
  fputs(messages.data, stderr);
  fprintf(stderr, "\n%s has %d error%s; `lmnc --explain %s` says more.\n", d->source->shown, d->count, plural(d->count),
          error_entries[d->items[0]->code].code);
  text_free(&messages);
}

int command_check(int argument_count, char **arguments) {
  define_list defines = {0};
  bool json = false;
  const command_option options[] = {
      {"define", 'D', "NAME=VALUE", "set a param of the network (repeatable); lists as [1, 2, 1] or 1/2/1",
       OPTION_DEFINE, &defines},
      {"json", 0, NULL, "one JSON object on stdout, errors too", OPTION_FLAG, &json},
  };
  const command_usage usage = {
      "check", "Checks a network: its names, sizes, cycles, models' configurations. Reads no weights.",
      "NET",   "net.lmn -D widths=1/4/4/1",
      options, (int)LENGTH(options)};
  const char *net;
  options_result result = options_parse(&usage, argument_count, arguments, &net);
  if (result == OPTIONS_RUN) {
    arena *a = arena_create();
    diagnostics d = {.arena = a};
    const graph *g = graph_resolve(&d, net, defines.items, defines.count, NULL, 0);
    if (!g) print_errors(&d, json);
    else if (json) print_json(network_json(a, g, count_elements(g)));
    else print_network(g, count_elements(g));
    arena_destroy(a);
    define_list_free(&defines);
    return g ? 0 : 1;
  }
  define_list_free(&defines);
  return result == OPTIONS_DONE ? 0 : 2;
}
