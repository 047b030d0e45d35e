// A network drawn at random, before it is a .lmn file: flat, so that a smaller one is a changed copy.
#ifndef LMN_RANDOM_SPEC_H
#define LMN_RANDOM_SPEC_H

#include "runtime/base.h"

enum { SPEC_MODELS = 3, SPEC_VERTICES = 12, SPEC_ARROWS = 48, SPEC_CHAINS = 96, SPEC_PARTS = 5, SPEC_PHASES = 2 };
enum { SPEC_INPUT = -1, SPEC_OUTPUT = -2, SPEC_IDENTITY = -1, SPEC_UNSAID = -1 };

typedef enum {
  PART_IDENTITY,
  PART_LINEAR,
  PART_MLP,
  PART_DECODER_LAYER,
  PART_ATTENTION,
  PART_LAYER_NORM,
  PART_RMS_NORM,
  PART_GELU,
  PART_GELU_EXACT,
  PART_SILU,
  PART_RELU,
  PART_RESIDUAL,
  PART_NAMED, // another chain, declared before
  PART_KINDS
} part_kind;

typedef struct spec_part {
  part_kind kind;
  int size;       // linear: out, 0 unsaid; mlp: hidden; attention: heads; decoder_layer: model or SPEC_UNSAID
  int activation; // of mlp, a PART_GELU … PART_RELU
  int chain;      // residual, named
  bool bias;
} spec_part;

typedef struct spec_chain {
  bool named;  // declared as edge e<number>
  int in, out; // hidden sizes it was drawn for
  int source;  // the model of its decoder layers that say none
  int count;
  spec_part parts[SPEC_PARTS];
} spec_chain;

typedef struct spec_vertex {
  int model; // index into models
  bool shared;
  int aggregate; // SPEC_UNSAID or 0 … 3: sum, mean, concat, project
} spec_vertex;

typedef struct spec_arrow {
  int from, to; // vertices, SPEC_INPUT, SPEC_OUTPUT
  int chain;    // SPEC_IDENTITY
} spec_arrow;

// What a phase freezes, by bits; bits of what is not there are ignored.
#define FREEZE_MODELS ((uint64_t)1)
#define FREEZE_EDGES ((uint64_t)2)
#define FREEZE_MODEL(i) ((uint64_t)4 << (i))
#define FREEZE_VERTEX(i) ((uint64_t)256 << (i))
#define FREEZE_CHAIN(i) ((uint64_t)1 << (32 + (i)))

typedef struct net_spec {
  uint64_t seed;
  int model_count, models[SPEC_MODELS]; // indices into spec_models
  int vertex_count, arrow_count, chain_count;
  spec_vertex vertices[SPEC_VERTICES];
  spec_arrow arrows[SPEC_ARROWS];
  spec_chain chains[SPEC_CHAINS];
  int input_model, output_model; // SPEC_UNSAID
  int default_aggregate, output_aggregate;
  int prefix, classes;
  bool prefix_frozen;
  double smoothing;
  int phase_count;
  uint64_t freeze[SPEC_PHASES];
  // how it is run
  int phase, batch, length;
  bool packed, generates;
  int recompute; // how much, see ir.h
} net_spec;

// The models that networks are drawn over: a name, a hidden size, the text of config.json. All have one vocabulary.
typedef struct spec_model {
  const char *name;
  int hidden, feed_forward;
  const char *config;
} spec_model;
enum { SPEC_MODEL_ROWS = 6, SPEC_VOCABULARY = 37 };
extern const spec_model spec_models[SPEC_MODEL_ROWS];

net_spec spec_draw(uint64_t seed);                            // always the same for the same seed
void spec_write(const net_spec *s, text *out);                // as .lmn
bool spec_write_models(const char *folder, lmn_error *error); // folder/<name>/config.json of all of them
int spec_input_model(const net_spec *s); // indices into s->models; what is meant where nothing is said
int spec_output_model(const net_spec *s);

#endif
