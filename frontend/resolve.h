// From the AST to the graph. resolve.c runs the statements; each other file answers one question:
// evaluate.c what a value is, arguments.c what a call's or an option's arguments are, symbols.c what a name means,
// modules.c what an edge is, connect.c which arrows there are, lookup.c where a model is, settings.c how to train,
// sizes.c whether it fits, check.c whether it is a network (cycles, reachability), finish.c the result.
#ifndef LMN_RESOLVE_H
#define LMN_RESOLVE_H

#include "frontend/ast.h"

#define LIMIT_FILE (1 << 20) // bytes of a .lmn file
#define LIMIT_VERTICES 65536
#define LIMIT_ARROWS 1048576
#define LIMIT_LIST 65536      // elements
#define LIMIT_WORK 20000000   // statements and values evaluated, all rounds of all loops together
#define LIMIT_ROUNDS 1048576  // of all loops together
#define LIMIT_CHAIN 1024      // modules of one edge
#define LIMIT_MODULES 4194304 // of all edges together
#define LIMIT_RESIDUAL 32     // residuals in each other
#define LIMIT_DIMENSIONS 8
#define LIMIT_SIZE 16777216 // any hidden size, class count, prefix

typedef enum {
  TYPE_NONE,
  TYPE_INTEGER,
  TYPE_REAL,
  TYPE_TRUTH,
  TYPE_STRING,
  TYPE_LIST
} value_type; // NONE: an error was reported
typedef struct value value;
struct value {
  value_type type;
  union {
    int64_t integer;
    double real;
    bool truth;
    const char *string;
    struct {
      const value *items;
      int count;
    } list;
  };
};

typedef struct vertex_array {
  const char *name;
  span place;
  int model; // -1: broken
  bool shared;
  int aggregate; // -1: not said
  span aggregate_place;
  bool layered, broken;            // broken: an error was reported, uses of it are silent
  int rank;                        // of an array; 2 where layered
  int64_t sizes[LIMIT_DIMENSIONS]; // of an array; layered: sizes[0] layers
  int64_t *widths, *offsets;       // layered: of each layer, counted from `first`
  int first, count;                // node ids
} vertex_array;

// One way an edge's chain is sized; shared by all arrows of the same sizes.
typedef struct sized_chain {
  int64_t in, out;
  int model;
  bool ok;
  chain chain;
  struct sized_chain *next;
} sized_chain;

// An edge as declared or written at an arrow: modules with their arguments, sizes still open (in and out 0,
// decoder_layer's model -1 where it is the source's).
typedef struct edge_template {
  const char *name; // of the declaration, NULL: written in place
  span place;
  chain chain;
  int total, depth; // modules, with those in residuals; residuals in each other
  bool broken;
  sized_chain *sized;
} edge_template;

typedef enum { SYMBOL_PARAM, SYMBOL_LOOP, SYMBOL_MODEL, SYMBOL_VERTEX, SYMBOL_EDGE } symbol_kind;
typedef struct symbol {
  symbol_kind kind;
  const char *name;
  span place;
  bool local;  // declared in a `for`
  value value; // param, loop variable
  int model;   // index
  vertex_array *vertex;
  edge_template *edge;
  struct symbol *next; // of the same bucket
} symbol;

typedef struct arrow_draft {
  int from, to;
  span place;
  edge_template *edge; // NULL: the default
} arrow_draft;

typedef enum {
  NODE_ID_INPUT,
  NODE_ID_OUTPUT,
  NODE_ID_VERTEX
} fixed_node_id; // vertices follow from 2 in declared order

typedef struct phase_draft {
  settings settings;
  span length_place;
  const source *length_source; // NULL: not said
} phase_draft;

typedef struct resolver {
  arena *arena;
  diagnostics *d;
  source *file;
  graph *graph;
  ast_network *network;
  const define *defines, *overrides;
  int define_count, override_count;
  bool *define_used;

  symbol *buckets[1024];
  symbol **locals; // declared in `for` bodies, newest last
  int local_count, local_capacity;
  int loop_depth;
  int64_t work, rounds, variables; // variables: how often a loop variable or a local was read
  bool stopped;                    // a limit was reached
  bool broken;                     // an arrow or a vertex may be missing: no message about what is connected

  graph_model *models;
  int model_count, model_capacity;
  vertex_array **vertices;
  int vertex_count, vertex_capacity;
  vertex_array **owners; // of node ids from 2
  int owner_count, owner_capacity;
  arrow_draft *arrows;
  int arrow_count, arrow_capacity;
  int *arrow_index; // hash table over (from, to): index + 1
  int arrow_slots;

  edge_template *default_edge;
  int default_aggregate; // -1: not said
  span default_edge_place, default_aggregate_place;

  int input_model, output_model; // -1: not said, -2: broken
  span input_model_place, output_model_place, output_aggregate_place;
  int output_aggregate;
  bool prefix_said, prefix_init_said, prefix_frozen_said, head_said;

  span train_place;
  bool train_said;
  phase_draft *phases;
  int phase_count;

  const kept_network *kept; // NULL: models are looked for
} resolver;

bool spend(resolver *r, int64_t work, span place);

// symbols.c
symbol *symbol_find(resolver *r, const char *name);
symbol *symbol_declare(resolver *r, symbol_kind kind, ast_name name); // NULL after an error
void symbols_leave(resolver *r, int local_count);                     // forgets the locals since
const char *symbol_kind_text(const symbol *s);                        // "a model"
void symbols_nearest(resolver *r, nearest *n, unsigned kinds); // tries all names of those kinds (bits 1 << symbol_kind)
void report_unknown(resolver *r, ast_name name, const char *what, unsigned kinds);

// evaluate.c
value evaluate(resolver *r, const ast_value *v);
const char *type_text(value_type type);
// The values that something named `what` takes. False after an error.
bool take_integer(resolver *r, const ast_value *v, const char *what, int64_t least, int64_t most, int64_t *result);
bool take_real(resolver *r, const ast_value *v, const char *what, double least, double most, double *result);
bool take_truth(resolver *r, const ast_value *v, const char *what, bool *result);
bool take_string(resolver *r, const ast_value *v, const char *what, const char **result);
bool take_word(resolver *r, const ast_value *v, const char *what, const char *const *words, int count, int *result);
bool take_model(resolver *r, const ast_value *v, int *result);

// arguments.c
#define SIGNATURE_PARAMETERS 6
typedef struct signature {
  const char *name;
  int required; // the first ones
  const char *parameters[SIGNATURE_PARAMETERS];
} signature;
// Puts the arguments of `callee(…)` where the signature has them; missing ones are NULL. arguments NULL: none.
bool bind_arguments(resolver *r, const signature *s, ast_name callee, const ast_arguments *arguments,
                    const ast_value **bound);
// The same for options in brackets: all by name, each once. `of` is "a vertex".
bool bind_options(resolver *r, const char *of, const char *const *names, int count, const ast_arguments *options,
                  ast_argument **bound);
// A word with or without arguments: cosine, cosine(warmup = 100). False if v is neither.
bool callee_of(const ast_value *v, ast_name *callee, const ast_arguments **arguments);

// modules.c
edge_template *edge_evaluate(resolver *r, ast_value *v); // never NULL; broken after an error
bool module_is_known(const char *name);

// connect.c
typedef struct selection {
  int *ids;
  int count, capacity;
} selection;
void run_connect(resolver *r, const ast_statement *s);
bool select_nodes(resolver *r, const ast_node *node, selection *to);
vertex_array *owner_of(resolver *r, int id); // NULL for input and output
const char *node_name(resolver *r, int id);
void run_vertex(resolver *r, const ast_statement *s); // vertices.c
const char *const *aggregate_words(int *count);

// lookup.c
const char *model_directory_find(arena *a, const char *file, const char *name, text *tried);
void run_model(resolver *r, const ast_statement *s);

// settings.c
void run_train(resolver *r, const ast_statement *s);
void finish_settings(resolver *r);

// sizes.c, check.c, finish.c
const sized_chain *size_edge(resolver *r, edge_template *edge, const arrow_draft *arrow);
int node_model(resolver *r, int id); // index, or < 0 where broken
void check_sizes(resolver *r);
bool check_network(resolver *r, int *order,
                   int *layers); // order: node ids in topological order, input first, output last
void finish_graph(resolver *r);

// The text of a file, as d->source too; NULL with a report where it cannot be read.
source *source_read(diagnostics *d, const char *path);
// The whole of it, with the messages as they are; graph_read prints them.
graph *graph_resolve(diagnostics *d, const char *path, const define *defines, int define_count, const define *overrides,
                     int override_count);

#endif
