// Every parameter of the network: its checkpoint name, shape, initial values, and which phase trains it.
#include "frontend/graph.h"

#include <stdlib.h>
#include <string.h>

typedef struct collector {
  arena *arena;
  const graph *graph;
  parameter *items;
  int count, capacity;
  bool random;
  bool counting; // only elements: no items, no names
  parameter scratch;
  text name; // being made
  int64_t elements[PARAMETER_PREFIX + 1];
} collector;

static const char *name_of(collector *c, const char *format, ...) PRINTF_LIKE(2, 3);
static const char *name_of(collector *c, const char *format, ...) {
  if (c->counting) return "";
  va_list arguments;
  va_start(arguments, format);
  c->name.length = 0;
  text_vprintf(&c->name, format, arguments);
  va_end(arguments);
  return arena_copy(c->arena, c->name.data, c->name.length);
}

// *sum += a * b, at most INT64_MAX: sizes of a network may be nonsense.
static void count(int64_t *sum, int64_t a, int64_t b) {
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(*sum, product, sum)) *sum = INT64_MAX;
}

static parameter *add(collector *c, parameter_kind kind, const char *name, int rank, int64_t rows, int64_t columns) {
  parameter *p = &c->scratch;
  if (c->counting) {
    count(&c->elements[kind], rows, rank == 2 ? columns : 1);
  } else {
    GROW(c->items, c->count, c->capacity);
    p = &c->items[c->count++];
  }
  *p = (parameter){
      .name = name, .kind = kind, .rank = rank, .shape = {rows, rank == 2 ? columns : 0}, .matrix = rank == 2};
  p->model = p->node = p->arrow = -1;
  return p;
}

static bool is_norm_weight(tensor_role role) {
  return role == TENSOR_NORM1 || role == TENSOR_NORM2 || role == TENSOR_FINAL_NORM;
}

static void initial(parameter *p, bool norm_weight, double std) {
  p->init = p->rank == 2 ? INIT_NORMAL : norm_weight ? INIT_ONES : INIT_ZEROS;
  if (p->rank == 2) p->std = std;
}

// ---- tensors of a model: shared ones under the model's name, a vertex's own under the vertex's

static void add_tensor(collector *c, const char *owner, int model_index, int node, tensor_role role, int layer) {
  const model *m = &c->graph->models[model_index].description;
  if (!model_has(m, role)) return;
  model_tensor t = model_tensor_of(m, role);
  const char *tensor = model_role_in_layer(role) ? name_of(c, "%s%d.%s", model_layer_prefix(m), layer, t.name) : t.name;
  parameter *p = add(c, node < 0 ? PARAMETER_MODEL : PARAMETER_VERTEX, name_of(c, "%s.%s", owner, tensor), t.rank,
                     t.shape[0], t.shape[1]);
  p->model = model_index;
  p->tensor = tensor;
  p->node = node;
  initial(p, is_norm_weight(role), m->initializer_range);
  if (!c->random) p->init = INIT_TENSOR;
}

static void add_body(collector *c, const char *owner, int model_index, int node) {
  int64_t layers = c->graph->models[model_index].description.layers, *sum = &c->elements[PARAMETER_VERTEX],
          before = *sum;
  bool once = c->counting && node >= 0; // layers are alike: one is counted for all
  for (int layer = 0; layer < (once ? 1 : layers); ++layer)
    for (int role = 0; role < TENSOR_ROLES; ++role)
      if (model_role_in_layer((tensor_role)role)) add_tensor(c, owner, model_index, node, (tensor_role)role, layer);
  if (once) count(sum, *sum - before, layers - 1);
  add_tensor(c, owner, model_index, node, TENSOR_FINAL_NORM, 0);
  add_tensor(c, owner, model_index, node, TENSOR_FINAL_NORM_BIAS, 0);
}

static void add_model(collector *c, int index) {
  const graph *g = c->graph;
  const graph_model *m = &g->models[index];
  const graph_node *input = &g->nodes[0], *output = &g->nodes[g->node_count - 1];
  bool head = output->model == index && !g->classes, used = false;
  if (input->model == index || (head && m->description.tied)) add_tensor(c, m->name, index, -1, TENSOR_EMBEDDING, 0);
  if (input->model == index) add_tensor(c, m->name, index, -1, TENSOR_POSITION, 0);
  for (int i = 0; i < g->node_count; ++i)
    used |= g->nodes[i].kind == NODE_VERTEX && g->nodes[i].model == index && g->nodes[i].shared;
  if (used) add_body(c, m->name, index, -1);
  if (head && !m->description.tied) add_tensor(c, m->name, index, -1, TENSOR_HEAD, 0);
}

// ---- edges

typedef struct edge_place {
  int arrow;
  double std; // the source's model's initializer_range
} edge_place;

static void add_edge_tensor(collector *c, edge_place e, const char *prefix, const char *name, int rank, int64_t rows,
                            int64_t columns, bool norm_weight, double std) {
  parameter *p = add(c, PARAMETER_EDGE, name_of(c, "%s.%s", prefix, name), rank, rows, columns);
  p->arrow = e.arrow;
  initial(p, norm_weight, std);
}

static void add_linear(collector *c, edge_place e, const char *prefix, const char *part, int64_t in, int64_t out,
                       bool bias) {
  add_edge_tensor(c, e, prefix, name_of(c, "%sweight", part), 2, out, in, false, e.std);
  if (bias) add_edge_tensor(c, e, prefix, name_of(c, "%sbias", part), 1, out, 0, false, 0);
}

static void add_decoder_layer(collector *c, edge_place e, const char *prefix, int model_index) {
  const model *m = &c->graph->models[model_index].description;
  for (int role = 0; role < TENSOR_ROLES; ++role) {
    if (!model_role_in_layer((tensor_role)role) || !model_has(m, (tensor_role)role)) continue;
    model_tensor t = model_tensor_of(m, (tensor_role)role);
    add_edge_tensor(c, e, prefix, t.name, t.rank, t.shape[0], t.shape[1], is_norm_weight((tensor_role)role),
                    m->initializer_range);
  }
}

static void add_chain(collector *c, edge_place e, const char *prefix, const chain *chain) {
  for (int i = 0; i < chain->count; ++i) {
    const module *m = &chain->modules[i];
    const char *name = name_of(c, "%s.%d", prefix, i);
    switch (m->kind) {
    case MODULE_LINEAR: add_linear(c, e, name, "", m->in, m->out, m->bias); break;
    case MODULE_DECODER_LAYER: add_decoder_layer(c, e, name, m->model); break;
    case MODULE_ATTENTION:
      add_linear(c, e, name, "qkv.", m->in, 3 * m->in, m->bias);
      add_linear(c, e, name, "out.", m->in, m->in, m->bias);
      break;
    case MODULE_MLP:
      add_linear(c, e, name, "up.", m->in, m->hidden, m->bias);
      add_linear(c, e, name, "down.", m->hidden, m->out, m->bias);
      break;
    case MODULE_LAYER_NORM:
    case MODULE_RMS_NORM:
      add_edge_tensor(c, e, name, "weight", 1, m->in, 0, true, 0);
      if (m->kind == MODULE_LAYER_NORM) add_edge_tensor(c, e, name, "bias", 1, m->in, 0, false, 0);
      break;
    case MODULE_ACTIVATION: break;
    case MODULE_RESIDUAL: add_chain(c, e, name, &m->inner); break;
    }
  }
}

// ---- the rest

static void add_projection(collector *c, int node) {
  const graph *g = c->graph;
  const graph_node *n = &g->nodes[node];
  if (n->kind == NODE_INPUT || n->aggregate != AGGREGATE_PROJECT) return;
  const model *m = &g->models[n->model].description;
  const char *name = name_of(c, "%s.project.weight", n->name);
  parameter *p = add(c, PARAMETER_PROJECT, name, 2, m->hidden, m->hidden * n->incoming_count);
  p->node = node;
  initial(p, false, m->initializer_range);
}

static void add_head(collector *c) {
  const graph *g = c->graph;
  if (!g->classes) return;
  const model *m = &g->models[g->nodes[g->node_count - 1].model].description;
  parameter *p = add(c, PARAMETER_HEAD, "output.head.weight", 2, g->classes, m->hidden);
  p->node = g->node_count - 1;
  initial(p, false, m->initializer_range);
}

static void add_prefix(collector *c) {
  const graph *g = c->graph;
  if (!g->prefix) return;
  parameter *p =
      add(c, PARAMETER_PREFIX, "input.prefix", 2, g->prefix, g->models[g->nodes[0].model].description.hidden);
  p->node = 0;
  p->init = INIT_NORMAL;
  p->mean = g->prefix_mean;
  p->std = g->prefix_std;
}

// ---- names

typedef struct name_index { // open addressing: item + 1, 0 where free
  int slots;
  int *items;
} name_index;

static uint64_t name_hash(const char *name) { return hash_bytes(HASH_START, name, strlen(name)); }

static name_index *index_names(arena *a, const parameter *items, int count) {
  name_index *index = ARENA_NEW(a, name_index);
  index->slots = 16;
  while (index->slots < 2 * count) index->slots *= 2;
  index->items = ARENA_ARRAY(a, int, index->slots);
  for (int i = 0; i < count; ++i) {
    uint64_t at = name_hash(items[i].name);
    while (index->items[at & (uint64_t)(index->slots - 1)]) ++at;
    index->items[at & (uint64_t)(index->slots - 1)] = i + 1;
  }
  return index;
}

int parameter_find(const parameter_list *list, const char *name) {
  const name_index *index = list->index;
  for (uint64_t at = name_hash(name);; ++at) {
    int item = index->items[at & (uint64_t)(index->slots - 1)];
    if (!item || !strcmp(list->items[item - 1].name, name)) return item - 1;
  }
}

static void collect(collector *c) {
  const graph *g = c->graph;
  for (int i = 0; i < g->model_count; ++i) add_model(c, i);
  for (int i = 0; i < g->node_count; ++i)
    if (g->nodes[i].kind == NODE_VERTEX && !g->nodes[i].shared) add_body(c, g->nodes[i].name, g->nodes[i].model, i);
  for (int i = 0; i < g->arrow_count; ++i) {
    const graph_arrow *arrow = &g->arrows[i];
    if (!arrow->chain.count) continue;
    const graph_node *from = &g->nodes[arrow->from], *to = &g->nodes[arrow->to];
    edge_place e = {i, g->models[from->model].description.initializer_range};
    add_chain(c, e, name_of(c, "%s->%s", from->name, to->name), &arrow->chain);
  }
  for (int i = 0; i < g->node_count; ++i) add_projection(c, i);
  add_head(c);
  add_prefix(c);
}

parameter_list *graph_parameters(arena *a, const graph *g, bool random_weights) {
  collector c = {.arena = a, .graph = g, .random = random_weights};
  collect(&c);
  parameter_list *list = ARENA_NEW(a, parameter_list);
  list->items = ARENA_ARRAY(a, parameter, c.count);
  if (c.count) memcpy(list->items, c.items, sizeof *c.items * (size_t)c.count);
  list->count = c.count;
  list->index = index_names(a, list->items, c.count);
  free(c.items);
  text_free(&c.name);
  return list;
}

void graph_elements(const graph *g, int64_t *models, int64_t *added) {
  collector c = {.graph = g, .counting = true};
  collect(&c);
  *models = c.elements[PARAMETER_MODEL];
  count(models, c.elements[PARAMETER_VERTEX], 1);
  *added = 0;
  for (int kind = PARAMETER_EDGE; kind <= PARAMETER_PREFIX; ++kind) count(added, c.elements[kind], 1);
}

// ---- frozen or trained

// "v" or "v[1]" means every vertex "v[1][0]", "v[1][1]", …
static bool covers(const char *name, const char *vertex) {
  size_t length = strlen(name);
  return !strncmp(name, vertex, length) && (vertex[length] == 0 || vertex[length] == '[');
}

static bool freezes(const graph *g, const char *name, const parameter *p) {
  bool models = !strcmp(name, "models"), edges = !strcmp(name, "edges");
  switch (p->kind) {
  case PARAMETER_MODEL: return models || (!edges && !strcmp(name, g->models[p->model].name));
  case PARAMETER_VERTEX: return models || (!edges && covers(name, g->nodes[p->node].name));
  case PARAMETER_EDGE: {
    const char *edge = g->arrows[p->arrow].edge;
    return edges || (!models && edge && !strcmp(name, edge));
  }
  case PARAMETER_PROJECT:
  case PARAMETER_HEAD: return edges;
  case PARAMETER_PREFIX: return false;
  }
  return false;
}

void graph_trained(const graph *g, const parameter_list *list, int phase, bool *trained) {
  const settings *s = &g->phases[phase];
  for (int i = 0; i < list->count; ++i) {
    const parameter *p = &list->items[i];
    trained[i] = p->kind != PARAMETER_PREFIX || !g->prefix_frozen;
    for (int k = 0; trained[i] && k < s->freeze_count; ++k) trained[i] = !freezes(g, s->freeze[k], p);
  }
}
