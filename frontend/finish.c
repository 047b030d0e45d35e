// The resolver's drafts become the graph.
#include "frontend/resolve.h"

#include <string.h>

static void fill_node(resolver *r, graph_node *n, int id, int layer) {
  const vertex_array *a = owner_of(r, id);
  *n = (graph_node){.kind = id == NODE_ID_INPUT    ? NODE_INPUT
                            : id == NODE_ID_OUTPUT ? NODE_OUTPUT
                                                   : NODE_VERTEX,
                    .layer = layer};
  n->name = node_name(r, id);
  n->array = a ? a->name : n->name;
  n->place = a ? a->place : r->network->name.place;
  n->model = node_model(r, id);
  n->shared = a ? a->shared : true;
  int aggregate = a ? a->aggregate : id == NODE_ID_OUTPUT ? r->output_aggregate : -1;
  if (aggregate < 0 && id != NODE_ID_INPUT) aggregate = r->default_aggregate;
  n->aggregate = aggregate < 0 ? AGGREGATE_SUM : (aggregate_kind)aggregate;
}

static void fill_incoming(resolver *r, graph *g) {
  int *counts = ARENA_ARRAY(r->arena, int, g->node_count), *lists = ARENA_ARRAY(r->arena, int, g->arrow_count);
  for (int i = 0; i < g->arrow_count; ++i) ++counts[g->arrows[i].to];
  for (int i = 0, at = 0; i < g->node_count; at += counts[i++]) g->nodes[i].incoming = lists + at;
  for (int i = 0; i < g->arrow_count; ++i) {
    graph_node *n = &g->nodes[g->arrows[i].to];
    n->incoming[n->incoming_count++] = i;
  }
}

// Input first and output last hold already: every vertex is reached from the one and reaches the other.
static void fill(resolver *r, const int *order, const int *layers) {
  graph *g = r->graph;
  g->node_count = NODE_ID_VERTEX + r->owner_count;
  g->nodes = ARENA_ARRAY(r->arena, graph_node, g->node_count);
  int *index = ARENA_ARRAY(r->arena, int, g->node_count);
  for (int i = 0; i < g->node_count; ++i) {
    index[order[i]] = i;
    fill_node(r, &g->nodes[i], order[i], layers[order[i]]);
  }
  g->arrow_count = r->arrow_count;
  g->arrows = ARENA_ARRAY(r->arena, graph_arrow, g->arrow_count);
  for (int i = 0; i < g->arrow_count; ++i) {
    const arrow_draft *draft = &r->arrows[i];
    graph_arrow *arrow = &g->arrows[i];
    *arrow = (graph_arrow){.from = index[draft->from], .to = index[draft->to], .place = draft->place};
    arrow->chain = size_edge(r, draft->edge, draft)->chain;
    arrow->edge = draft->edge ? draft->edge->name : NULL;
  }
  fill_incoming(r, g);
  g->models = ARENA_ARRAY(r->arena, graph_model, r->model_count);
  if (r->model_count) memcpy(g->models, r->models, sizeof *g->models * (size_t)r->model_count);
  g->model_count = r->model_count;
  g->phases = ARENA_ARRAY(r->arena, settings, r->phase_count);
  for (int i = 0; i < r->phase_count; ++i) g->phases[i] = r->phases[i].settings;
  g->phase_count = r->phase_count;
}

// input's model is the first declared vertex's, output's is input's.
static void choose_models(resolver *r) {
  bool said = r->input_model != -1;
  if (!said && r->vertex_count) r->input_model = r->vertices[0]->model;
  else if (!said && !r->broken) {
    diagnostic *item =
        report(r->d, ERROR_NO_MODEL, r->network->name.place, "the network has no vertex, so `input` has no model");
    report_help(r->d, item, "declare one: `vertex v : <model>;`, or set `input [model = <model>];`");
    r->broken = true;
  }
  if (r->output_model == -1) r->output_model = r->input_model;
}

static void check_output(resolver *r) {
  bool own = r->output_aggregate >= 0;
  int aggregate = own ? r->output_aggregate : r->default_aggregate;
  if (aggregate != AGGREGATE_CONCAT) return;
  diagnostic *item = report(r->d, ERROR_OUTPUT_CONCAT, own ? r->output_aggregate_place : r->default_aggregate_place,
                            "`output` cannot have `aggregate = concat`");
  if (own) report_help(r->d, item, "choose `sum`, `mean` or `project`");
  else report_help(r->d, item, "the default holds for `output` too: set `output [aggregate = mean];` or another");
}

// The initial values of a prefix: of the input's embedding's kind where nothing is said.
static void finish_prefix(resolver *r) {
  if (r->prefix_init_said || r->input_model < 0) return;
  r->graph->prefix_std = r->models[r->input_model].description.initializer_range;
}

void finish_graph(resolver *r) {
  choose_models(r);
  check_output(r);
  finish_prefix(r);
  finish_settings(r);
  check_sizes(r);
  int nodes = NODE_ID_VERTEX + r->owner_count;
  int *order = ARENA_ARRAY(r->arena, int, nodes), *layers = ARENA_ARRAY(r->arena, int, nodes);
  if (check_network(r, order, layers) && !r->d->count && !r->broken) fill(r, order, layers);
}
