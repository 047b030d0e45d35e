// The network that a .lmn file and its params mean: names, sizes and chains resolved, loops and params gone, known to
// be acyclic and reachable. Everything lives in the arena it was resolved into.
#ifndef LMN_GRAPH_H
#define LMN_GRAPH_H

#include "models/model.h"

typedef struct span { // 1-based, end exclusive, columns in bytes
  int line, column, end_line, end_column;
} span;

typedef enum {
  MODULE_LINEAR,
  MODULE_DECODER_LAYER,
  MODULE_ATTENTION,
  MODULE_LAYER_NORM,
  MODULE_RMS_NORM,
  MODULE_ACTIVATION,
  MODULE_MLP,
  MODULE_RESIDUAL
} module_kind; // identity is an empty chain

typedef struct module module;
typedef struct chain {
  module *modules;
  int count;
} chain;
struct module {
  module_kind kind;
  span place;
  int64_t in, out;            // hidden sizes
  bool bias;                  // linear, mlp, attention
  activation_kind activation; // activation, mlp
  int64_t hidden, heads;      // mlp, attention
  double eps;                 // norms
  int model;                  // decoder_layer: index into graph.models
  chain inner;                // residual
};

typedef enum { AGGREGATE_SUM, AGGREGATE_MEAN, AGGREGATE_CONCAT, AGGREGATE_PROJECT } aggregate_kind;
typedef enum { NODE_INPUT, NODE_VERTEX, NODE_OUTPUT } node_kind;

typedef struct graph_node {
  node_kind kind;
  const char *name;  // "input", "v", "v[1][3]", "output"
  const char *array; // the declaration's name: "v"
  span place;        // of the declaration
  int model;         // index into graph.models: whose layers, embedding (input) or head (output)
  bool shared;
  aggregate_kind aggregate;
  int layer;     // longest path from input, for drawing and for the frontier
  int *incoming; // indices into graph.arrows, in declared order
  int incoming_count;
} graph_node;

typedef struct graph_arrow {
  int from, to; // indices into graph.nodes
  chain chain;
  const char *edge; // the name of the edge declaration, or NULL (written in place or identity)
  span place;
} graph_arrow;

typedef struct graph_model {
  const char *name;
  model description;
  span place;
} graph_model;

typedef enum { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE } schedule_kind;

// The settings of one phase, defaults and the outer settings merged in. Counts of 0 mean "not said".
typedef struct settings {
  const char *phase; // "train" where no phase is declared
  double label_smoothing;
  struct {
    double lr, beta1, beta2, eps, weight_decay;
    bool decay_all;
  } optimizer;
  struct {
    schedule_kind kind;
    int64_t warmup;
    double final;
  } schedule;
  int64_t steps, epochs, batch, length, accumulate, evaluate_every,
      save_every; // defaults: batch 8, length 128, accumulate 1
  double clip;    // largest gradient norm, 0: none
  uint64_t seed;
  const char *data, *validation, *prompt, *completion; // NULL: not said
  const char **freeze; // names as written: "models", "edges", a model, an edge declaration, an unshared vertex or array
  int freeze_count;
} settings;

typedef struct graph {
  const char *name, *file; // the network's name and the .lmn file's path as given
  const char *source;      // the file's text
  graph_model *models;
  int model_count;
  graph_node *nodes; // input first, output last, the vertices between in topological order (declared order where free)
  int node_count;
  graph_arrow *arrows; // in declared order
  int arrow_count;
  int64_t prefix; // vectors put before every sequence
  double prefix_mean, prefix_std;
  bool prefix_frozen;
  int64_t classes; // of head = classify(n); 0: language model head
  settings *phases;
  int phase_count;
} graph;

typedef struct define { // -D name=value
  const char *name, *value;
} define;

// Reads and resolves `path`. All errors of the file go to `messages` as rustc prints them; returns NULL if there was
// one. `overrides`: train options of the command line, "steps" -> "100", in .lmn syntax.
graph *graph_read(arena *a, const char *path, const define *defines, int define_count, const define *overrides,
                  int override_count, text *messages);
// A network whose source stands in another text, as --emit prints it: path is what the source was called, `models` are
// the directories of its models by their names.
typedef struct kept_network {
  const char *path, *source;
  const define *defines, *overrides, *models;
  int define_count, override_count, model_count;
} kept_network;
graph *graph_read_kept(arena *a, const kept_network *kept, text *messages);
// The parsed file as `--emit=ast` prints it; false with `messages` where it does not parse.
bool graph_print_ast(const char *path, text *out, text *messages);
void graph_print(const graph *g, text *out);    // --emit=graph
void graph_draw_dot(const graph *g, text *out); // lmnc graph
void graph_draw_mermaid(const graph *g, text *out);
bool graph_draw_svg(const graph *g, text *out, lmn_error *error); // false where it is too large to be drawn

// Every parameter of the network, by its checkpoint name, in memory order: models in declared order (unshared vertices
// after them), then edges in declared order, projections, head, prefix.
typedef enum { INIT_TENSOR, INIT_NORMAL, INIT_ONES, INIT_ZEROS } init_kind;
typedef enum {
  PARAMETER_MODEL,
  PARAMETER_VERTEX,
  PARAMETER_EDGE,
  PARAMETER_PROJECT,
  PARAMETER_HEAD,
  PARAMETER_PREFIX
} parameter_kind;
typedef struct parameter {
  const char *name;
  parameter_kind kind;
  int rank;
  int64_t shape[2];
  init_kind init;
  int model;          // INIT_TENSOR: index into graph.models …
  const char *tensor; // … and the tensor's Hugging Face name in it
  double mean, std;   // INIT_NORMAL
  int node, arrow;    // the vertex, or the arrow, it belongs to; -1
  bool matrix;        // rank 2: weight decay applies by default
} parameter;
typedef struct parameter_list {
  parameter *items;
  int count;
  void *index; // name -> item, see parameter_find
} parameter_list;
// With random_weights, INIT_TENSOR becomes INIT_NORMAL(0, initializer_range) for matrices, ones and zeros for norms and
// biases.
parameter_list *graph_parameters(arena *a, const graph *g, bool random_weights);
// How many numbers the models' and unshared vertices' tensors have, and how many the network adds; makes no list.
void graph_elements(const graph *g, int64_t *models, int64_t *added);
int parameter_find(const parameter_list *list, const char *name); // -1: none
// trained[i] tells whether phase `phase` trains parameter i.
void graph_trained(const graph *g, const parameter_list *list, int phase, bool *trained);

#endif
