// Hidden sizes: an edge starts with its source's and must end with its target's; the last `linear` of a chain takes
// that by itself.
#include "frontend/resolve.h"

#include <inttypes.h>
#include <string.h>

int node_model(resolver *r, int id) {
  if (id == NODE_ID_INPUT) return r->input_model;
  if (id == NODE_ID_OUTPUT) return r->output_model;
  return owner_of(r, id)->model;
}

// Where a message about sizes points: at the arrow, and beside it at the module.
typedef struct sizing {
  resolver *r;
  const arrow_draft *arrow;
  int model; // the source's
} sizing;

static diagnostic *misfit(const sizing *s, error_code code, span module, const char *message) {
  diagnostic *item = report(s->r->d, code, s->arrow->place, "%s", message);
  bool inside = module.line == s->arrow->place.line && module.column >= s->arrow->place.column;
  report_also(s->r->d, item, s->r->file, module, inside ? "this module" : "the module is here");
  return item;
}

static bool size_chain(const sizing *s, const chain *open, int64_t in, int64_t out, chain *sized);

static bool size_decoder_layer(const sizing *s, module *m) {
  if (m->model < 0) m->model = s->model;
  const graph_model *model = &s->r->models[m->model];
  if (!model->description.hidden) return false; // broken: already reported
  if (model->description.hidden == m->in) return true;
  diagnostic *item =
      misfit(s, ERROR_MODULE_SIZE, m->place,
             arena_printf(s->r->arena, "`decoder_layer` of the model `%s` takes size %" PRId64 ", but gets %" PRId64,
                          model->name, model->description.hidden, m->in));
  report_help(s->r->d, item, "put `linear(out = %" PRId64 ")` before it", model->description.hidden);
  return false;
}

static bool size_attention(const sizing *s, const module *m) {
  if (m->in % m->heads == 0) return true;
  diagnostic *item =
      report(s->r->d, ERROR_HEADS, m->place, "%" PRId64 " heads do not divide the size %" PRId64, m->heads, m->in);
  report_also(s->r->d, item, s->r->file, s->arrow->place, "on this arrow");
  return false;
}

static bool size_residual(const sizing *s, module *m) {
  chain open = m->inner;
  return size_chain(s, &open, m->in, m->in, &m->inner);
}

// `out` is the size the chain must end with; false after an error.
static bool size_modules(const sizing *s, const chain *open, int64_t in, int64_t out, chain *sized, int64_t *end) {
  arena *a = s->r->arena;
  *sized = (chain){ARENA_ARRAY(a, module, open->count), open->count};
  int last_linear = -1;
  for (int i = 0; i < open->count; ++i)
    if (open->modules[i].kind == MODULE_LINEAR) last_linear = i;
  for (int i = 0; i < open->count; ++i) {
    module *m = &sized->modules[i];
    *m = open->modules[i];
    m->in = in;
    if (m->kind != MODULE_LINEAR) m->out = in;
    else if (!m->out) m->out = i == last_linear ? out : in;
    bool ok = m->kind == MODULE_DECODER_LAYER ? size_decoder_layer(s, m)
              : m->kind == MODULE_ATTENTION   ? size_attention(s, m)
              : m->kind == MODULE_RESIDUAL    ? size_residual(s, m)
                                              : true;
    if (!ok) return false;
    in = m->out;
  }
  *end = in;
  return true;
}

// The chain within a residual.
static bool size_chain(const sizing *s, const chain *open, int64_t in, int64_t out, chain *sized) {
  int64_t end;
  if (!size_modules(s, open, in, out, sized, &end)) return false;
  if (end == out) return true;
  diagnostic *item =
      misfit(s, ERROR_RESIDUAL, sized->modules[sized->count - 1].place,
             arena_printf(s->r->arena, "the chain in `residual` goes from size %" PRId64 " to %" PRId64, in, end));
  report_help(s->r->d, item, "a residual adds its input: its chain must end with the size it starts with");
  return false;
}

static void report_edge_size(resolver *r, const arrow_draft *arrow, const edge_template *edge, int64_t end,
                             int64_t out) {
  if (is_reported(r->d, ERROR_EDGE_SIZE, arrow->place)) return;
  const char *from = node_name(r, arrow->from), *to = node_name(r, arrow->to);
  const char *from_model = r->models[node_model(r, arrow->from)].name,
             *to_model = r->models[node_model(r, arrow->to)].name;
  diagnostic *item =
      report(r->d, ERROR_EDGE_SIZE, arrow->place,
             "the edge from `%s` ends with size %" PRId64 ", but `%s` takes %" PRId64, from, end, to, out);
  report_label(r->d, item, "from `%s` to `%s`", from_model, to_model);
  if (edge && edge->place.line && memcmp(&edge->place, &arrow->place, sizeof edge->place))
    report_also(r->d, item, r->file, edge->place, "this edge");
  report_help(r->d, item, "end the edge with `linear`, which takes the target's size by itself");
}

const sized_chain *size_edge(resolver *r, edge_template *edge, const arrow_draft *arrow) {
  static const sized_chain nothing;
  int source = node_model(r, arrow->from), target = node_model(r, arrow->to);
  if (source < 0 || target < 0 || (edge && edge->broken)) return &nothing;
  int64_t in = r->models[source].description.hidden, out = r->models[target].description.hidden;
  if (!in || !out) return &nothing;
  static const sized_chain identity = {.ok = true};
  if (!edge || !edge->chain.count) {
    if (in == out) return &identity;
    report_edge_size(r, arrow, edge, in, out);
    return &nothing;
  }
  for (sized_chain *known = edge->sized; known; known = known->next)
    if (known->in == in && known->out == out && known->model == source) return known;
  sized_chain *sized = ARENA_NEW(r->arena, sized_chain);
  *sized = (sized_chain){.in = in, .out = out, .model = source, .next = edge->sized};
  edge->sized = sized;
  sizing s = {r, arrow, source};
  int64_t end;
  if (!size_modules(&s, &edge->chain, in, out, &sized->chain, &end)) return sized;
  sized->ok = end == out;
  if (!sized->ok) report_edge_size(r, arrow, edge, end, out);
  return sized;
}

void check_sizes(resolver *r) {
  int64_t modules = 0;
  for (int i = 0; i < r->arrow_count; ++i) {
    arrow_draft *arrow = &r->arrows[i];
    if (!arrow->edge) arrow->edge = r->default_edge;
    size_edge(r, arrow->edge, arrow);
    modules += arrow->edge ? arrow->edge->total : 0;
    if (modules <= LIMIT_MODULES) continue;
    report(r->d, ERROR_LIMIT_CHAIN, arrow->place, "the edges of the network have more than %d modules together",
           LIMIT_MODULES);
    return;
  }
  int in = r->input_model, out = r->output_model;
  if (in < 0 || out < 0) return;
  const model *from = &r->models[in].description, *to = &r->models[out].description;
  if (!from->hidden || !to->hidden || from->vocabulary == to->vocabulary || r->graph->classes) return;
  diagnostic *item = report(r->d, ERROR_VOCABULARY, r->output_model_place,
                            "the head of `%s` has %" PRId64 " tokens, but the input's model `%s` has %" PRId64,
                            r->models[out].name, to->vocabulary, r->models[in].name, from->vocabulary);
  report_help(r->d, item, "input and output must be of one vocabulary");
}
