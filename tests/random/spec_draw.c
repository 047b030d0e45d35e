// Drawing a network: a shape (layers, a tree, a ring, a chain with skips, any graph without cycles), models for its
// vertices, chains for its arrows, settings.
#include "spec.h"

#include "ir/ir.h"

#include <string.h>

typedef struct drawing {
  net_spec *spec;
  random_stream random;
  int plain_arrows; // of 100: arrows that are identity where sizes allow
  int again;        // of 100: arrows that take a chain that is there already
} drawing;

static int below(drawing *d, int limit) { return (int)(random_next(&d->random) % (uint64_t)limit); }
static bool chance(drawing *d, int of_hundred) { return below(d, 100) < of_hundred; }

static void shuffle(drawing *d, int *items, int count) {
  for (int i = count - 1; i > 0; --i) {
    int k = below(d, i + 1), kept = items[i];
    items[i] = items[k];
    items[k] = kept;
  }
}

// ---- chains --------------------------------------------------------------------------------------

static int hidden_of(const net_spec *s, int model) { return spec_models[s->models[model]].hidden; }

static bool has_chain(const net_spec *s, int in, int out, int source, bool named) {
  for (int i = 0; i < s->chain_count; ++i)
    if (s->chains[i].named >= named && s->chains[i].in == in && s->chains[i].out == out &&
        s->chains[i].source == source)
      return true;
  return false;
}

// One of those that there are.
static int pick_chain(drawing *d, int in, int out, int source, bool named) {
  const net_spec *s = d->spec;
  for (;;) {
    int i = below(d, s->chain_count);
    if (s->chains[i].named >= named && s->chains[i].in == in && s->chains[i].out == out &&
        s->chains[i].source == source)
      return i;
  }
}

static int new_chain(drawing *d, int in, int out, int source, int depth);

static spec_part draw_linear(drawing *d, int in) {
  static const int sizes[] = {16, 20, 24};
  return (spec_part){.kind = PART_LINEAR, .size = chance(d, 50) ? sizes[below(d, 3)] : in, .bias = chance(d, 60)};
}

static spec_part draw_decoder_layer(drawing *d, int in, int source) {
  const net_spec *s = d->spec;
  int fits[SPEC_MODELS], count = 0;
  for (int i = 0; i < s->model_count; ++i)
    if (hidden_of(s, i) == in) fits[count++] = i;
  if (!count) return (spec_part){.kind = PART_RMS_NORM};
  bool own = hidden_of(s, source) == in && chance(d, 70);
  return (spec_part){.kind = PART_DECODER_LAYER, .size = own ? SPEC_UNSAID : fits[below(d, count)]};
}

// A module that takes size `in`; *out becomes the size that it leaves.
static spec_part draw_part(drawing *d, int in, int source, int depth, int *out) {
  static const int weights[PART_KINDS] = {3, 14, 12, 22, 12, 7, 7, 3, 3, 3, 3, 11, 6}; // in part_kind's order
  int at = below(d, 106), kind = 0;
  while (at >= weights[kind]) at -= weights[kind++];
  spec_part p = {.kind = (part_kind)kind, .bias = chance(d, 60)};
  *out = in;
  switch (p.kind) {
  case PART_LINEAR:
    p = draw_linear(d, in);
    *out = p.size;
    return p;
  case PART_MLP:
    p.size = chance(d, 50) ? 24 : 40;
    p.activation = PART_GELU + 2 * below(d, 2);
    if (chance(d, 25)) p.activation = PART_RELU;
    return p;
  case PART_DECODER_LAYER: return draw_decoder_layer(d, in, source);
  case PART_ATTENTION: p.size = in == 16 ? 4 : in == 20 ? 2 : 3; return p; // heads of sizes that models have too
  case PART_RESIDUAL:
    p.chain = depth < 2 ? new_chain(d, in, in, source, depth + 1) : -1;
    if (p.chain < 0) p.kind = PART_LAYER_NORM;
    return p;
  case PART_NAMED:
    if (has_chain(d->spec, in, in, source, true)) p.chain = pick_chain(d, in, in, source, true);
    else p.kind = PART_RMS_NORM;
    return p;
  default: return p;
  }
}

// A chain from size to size; -1: there are enough of them.
static int new_chain(drawing *d, int in, int out, int source, int depth) {
  net_spec *s = d->spec;
  if (s->chain_count + 4 > SPEC_CHAINS) return -1;
  spec_chain c = {.in = in, .out = out, .source = source};
  int wanted = 1 + below(d, depth ? 2 : 3), size = in;
  while (c.count < wanted) c.parts[c.count++] = draw_part(d, size, source, depth, &size);
  if (size != out || chance(d, 15)) c.parts[c.count++] = (spec_part){.kind = PART_LINEAR, .bias = chance(d, 60)};
  c.named = depth == 0 && chance(d, 60);
  s->chains[s->chain_count] = c;
  return s->chain_count++;
}

static int draw_chain(drawing *d, int in, int out, int source) {
  if (in == out && chance(d, d->plain_arrows)) return SPEC_IDENTITY;
  if (has_chain(d->spec, in, out, source, true) && chance(d, d->again)) return pick_chain(d, in, out, source, true);
  return new_chain(d, in, out, source, 0);
}

// ---- shapes: arrows over vertices in topological order -------------------------------------------

static void arrow(drawing *d, int from, int to) {
  net_spec *s = d->spec;
  for (int i = 0; i < s->arrow_count; ++i)
    if (s->arrows[i].from == from && s->arrows[i].to == to) return;
  if (s->arrow_count < SPEC_ARROWS - SPEC_VERTICES) s->arrows[s->arrow_count++] = (spec_arrow){from, to, SPEC_IDENTITY};
}

static void layers(drawing *d) {
  int depth = 2 + below(d, 2), before = SPEC_INPUT, before_count = 1;
  for (int l = 0; l < depth; ++l) {
    int first = d->spec->vertex_count, width = 1 + below(d, 3);
    d->spec->vertex_count += width;
    for (int i = 0; i < before_count; ++i)
      for (int k = 0; k < width; ++k) arrow(d, before + i, first + k);
    before = first;
    before_count = width;
  }
}

static void tree(drawing *d) {
  int leaves = 2 + below(d, 3), middle = 1 + below(d, 2);
  d->spec->vertex_count = leaves + middle + 1;
  for (int i = 0; i < leaves; ++i) arrow(d, SPEC_INPUT, i), arrow(d, i, leaves + i % middle);
  for (int i = 0; i < middle; ++i) arrow(d, leaves + i, leaves + middle);
  if (chance(d, 50)) arrow(d, below(d, leaves), leaves + middle);
}

static void ring(drawing *d) {
  int n = 2 + below(d, 2), rounds = 2 + below(d, 2);
  d->spec->vertex_count = n * rounds;
  for (int i = 0; i < n; ++i) arrow(d, SPEC_INPUT, i);
  for (int t = 0; t + 1 < rounds; ++t)
    for (int i = 0; i < n; ++i) arrow(d, t * n + i, (t + 1) * n + (i + 1) % n), arrow(d, t * n + i, (t + 1) * n + i);
}

static void skips(drawing *d) {
  int n = d->spec->vertex_count = 2 + below(d, 5);
  for (int i = 0; i < n; ++i) arrow(d, i - 1, i); // SPEC_INPUT is -1
  for (int k = below(d, 4); k; --k) {
    int from = below(d, n + 1) - 1;
    arrow(d, from, from + 2 >= n ? SPEC_OUTPUT : from + 2 + below(d, n - from - 2));
  }
}

static void any_graph(drawing *d) {
  int n = d->spec->vertex_count = 1 + below(d, 8);
  for (int i = 0; i < n; ++i)
    for (int k = 1 + below(d, 3); k; --k) arrow(d, below(d, i + 1) - 1, i);
  if (chance(d, 15)) arrow(d, SPEC_INPUT, SPEC_OUTPUT);
}

static void close_ends(drawing *d) {
  for (int v = 0; v < d->spec->vertex_count; ++v) {
    bool leaves = false;
    for (int i = 0; i < d->spec->arrow_count; ++i) leaves |= d->spec->arrows[i].from == v;
    if (!leaves || chance(d, 8)) arrow(d, v, SPEC_OUTPUT);
  }
}

// Vertices and arrows are declared in any order.
static void mix_order(drawing *d) {
  net_spec *s = d->spec;
  int numbers[SPEC_VERTICES], order[SPEC_ARROWS];
  for (int i = 0; i < s->vertex_count; ++i) numbers[i] = i;
  for (int i = 0; i < s->arrow_count; ++i) order[i] = i;
  if (chance(d, 60)) shuffle(d, numbers, s->vertex_count), shuffle(d, order, s->arrow_count);
  spec_arrow arrows[SPEC_ARROWS];
  memcpy(arrows, s->arrows, sizeof arrows);
  for (int i = 0; i < s->arrow_count; ++i) {
    s->arrows[i] = arrows[order[i]];
    if (s->arrows[i].from >= 0) s->arrows[i].from = numbers[s->arrows[i].from];
    if (s->arrows[i].to >= 0) s->arrows[i].to = numbers[s->arrows[i].to];
  }
}

// ---- the whole network ---------------------------------------------------------------------------

int spec_input_model(const net_spec *s) { return s->input_model >= 0 ? s->input_model : s->vertices[0].model; }
int spec_output_model(const net_spec *s) { return s->output_model >= 0 ? s->output_model : spec_input_model(s); }

static void draw_vertices(drawing *d) {
  net_spec *s = d->spec;
  int unshared = chance(d, 30) ? 50 : 0, aggregating = chance(d, 60) ? 50 : 0;
  for (int i = 0; i < s->vertex_count; ++i) {
    s->vertices[i] =
        (spec_vertex){.model = below(d, s->model_count), .shared = !chance(d, unshared), .aggregate = SPEC_UNSAID};
    if (chance(d, aggregating)) s->vertices[i].aggregate = below(d, 4);
  }
}

static void draw_arrows(drawing *d) {
  net_spec *s = d->spec;
  for (int i = 0; i < s->arrow_count; ++i) {
    spec_arrow *a = &s->arrows[i];
    int from = a->from == SPEC_INPUT ? spec_input_model(s) : s->vertices[a->from].model;
    int to = a->to == SPEC_OUTPUT ? spec_output_model(s) : s->vertices[a->to].model;
    a->chain = draw_chain(d, hidden_of(s, from), hidden_of(s, to), from);
  }
}

// Products of up to 16 rows have kernels of their own for every number of rows: mostly there are more, or always the
// same few.
static void draw_shape(drawing *d) {
  net_spec *s = d->spec;
  bool few = chance(d, 25);
  s->batch = few || s->generates ? 2 : 1 + below(d, 4);
  int positions = few ? 3 : 17 / s->batch + 1 + below(d, 3);
  s->length = positions > s->prefix ? positions - s->prefix : 1;
}

static void draw_settings(drawing *d) {
  net_spec *s = d->spec;
  static const int plain[] = {0, 1, 3}; // a default of concat would reach output, which cannot have it
  s->default_aggregate = chance(d, 40) ? plain[below(d, 3)] : SPEC_UNSAID;
  s->output_aggregate = chance(d, 30) ? plain[below(d, 3)] : SPEC_UNSAID;
  s->prefix = chance(d, 25) ? 1 + below(d, 4) : 0;
  s->prefix_frozen = chance(d, 40);
  s->classes = chance(d, 25) ? 2 + below(d, 4) : 0;
  s->smoothing = chance(d, 30) ? 0.1 : 0;
  s->phase_count = below(d, 3);
  for (int i = 0; i < s->phase_count; ++i) {
    if (chance(d, 40)) s->freeze[i] |= FREEZE_MODELS;
    if (chance(d, 15)) s->freeze[i] |= FREEZE_EDGES;
    if (chance(d, 40))
      s->freeze[i] |= random_next(&d->random) & random_next(&d->random) & ~(FREEZE_MODELS | FREEZE_EDGES);
  }
  s->phase = s->phase_count ? below(d, s->phase_count) : 0;
  s->packed = !s->prefix && !s->classes && chance(d, 30);
  s->generates = !s->classes && !s->packed && chance(d, 50);
  s->recompute = chance(d, 50) ? below(d, RECOMPUTE_MOST + 1) : RECOMPUTE_NOTHING;
  draw_shape(d);
}

net_spec spec_draw(uint64_t seed) {
  static void (*const shapes[])(drawing *) = {layers, tree, ring, skips, any_graph};
  net_spec s = {.seed = seed, .input_model = SPEC_UNSAID, .output_model = SPEC_UNSAID};
  drawing d = {.spec = &s, .random = random_named(seed, "network")};
  d.plain_arrows = chance(&d, 50) ? 20 : 60;
  d.again = chance(&d, 60) ? 80 : 30;
  s.model_count = chance(&d, 50) ? 1 : 2 + below(&d, 2);
  int models[SPEC_MODEL_ROWS];
  for (int i = 0; i < SPEC_MODEL_ROWS; ++i) models[i] = i;
  shuffle(&d, models, SPEC_MODEL_ROWS);
  memcpy(s.models, models, sizeof s.models);
  shapes[below(&d, LENGTH(shapes))](&d);
  close_ends(&d);
  mix_order(&d);
  draw_vertices(&d);
  if (chance(&d, 20)) s.input_model = below(&d, s.model_count);
  if (chance(&d, 20)) s.output_model = below(&d, s.model_count);
  draw_arrows(&d);
  draw_settings(&d);
  return s;
}
