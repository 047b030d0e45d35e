// A drawn network as a .lmn file.
#include "spec.h"

#include <string.h>

static const char *const aggregates[] = {"sum", "mean", "concat", "project"};

static void write_chain(const net_spec *s, int chain, text *out);

static void write_part(const net_spec *s, const spec_part *p, text *out) {
  static const char *const plain[PART_KINDS] = {
      [PART_IDENTITY] = "identity", [PART_LAYER_NORM] = "layer_norm", [PART_RMS_NORM] = "rms_norm",
      [PART_GELU] = "gelu",         [PART_GELU_EXACT] = "gelu(true)", [PART_SILU] = "silu",
      [PART_RELU] = "relu"};
  const char *bias = p->bias ? "" : "bias = false";
  switch (p->kind) {
  case PART_LINEAR:
    text_add(out, "linear");
    if (p->size) text_printf(out, "(out = %d%s%s)", p->size, p->bias ? "" : ", ", bias);
    else if (!p->bias) text_printf(out, "(%s)", bias);
    break;
  case PART_MLP:
    text_printf(out, "mlp(%d, activation = %s%s%s)", p->size, plain[p->activation], p->bias ? "" : ", ", bias);
    break;
  case PART_DECODER_LAYER:
    text_add(out, "decoder_layer");
    if (p->size >= 0) text_printf(out, "(m%d)", p->size);
    break;
  case PART_ATTENTION: text_printf(out, "attention(%d%s%s)", p->size, p->bias ? "" : ", ", bias); break;
  case PART_RESIDUAL:
    text_add(out, "residual(");
    write_chain(s, p->chain, out);
    text_add(out, ")");
    break;
  case PART_NAMED: text_printf(out, "e%d", p->chain); break;
  default: text_add(out, plain[p->kind]);
  }
}

static void write_chain(const net_spec *s, int chain, text *out) {
  if (chain < 0 || !s->chains[chain].count) {
    text_add(out, "identity");
    return;
  }
  for (int i = 0; i < s->chains[chain].count; ++i) {
    if (i) text_add(out, " then ");
    write_part(s, &s->chains[chain].parts[i], out);
  }
}

static void write_node(int node, text *out) {
  if (node == SPEC_INPUT) text_add(out, "input");
  else if (node == SPEC_OUTPUT) text_add(out, "output");
  else text_printf(out, "v%d", node);
}

// " [a = 1, b = 2]" from options that start with ", ".
static void write_options(const text *options, text *out) {
  if (options->length) text_printf(out, " [%s]", options->data + 2);
}

static void write_vertex(const net_spec *s, int i, text *out) {
  const spec_vertex *v = &s->vertices[i];
  text options = {0};
  if (v->aggregate >= 0) text_printf(&options, ", aggregate = %s", aggregates[v->aggregate]);
  if (!v->shared) text_add(&options, ", share = false");
  text_printf(out, "  vertex v%d : m%d", i, v->model);
  write_options(&options, out);
  text_add(out, ";\n");
  text_free(&options);
}

static void write_arrow(const net_spec *s, const spec_arrow *a, text *out) {
  text_add(out, "  ");
  write_node(a->from, out);
  text_add(out, " -> ");
  write_node(a->to, out);
  if (a->chain >= 0 && s->chains[a->chain].named) text_printf(out, " [edge = e%d]", a->chain);
  else if (a->chain >= 0) {
    text_add(out, " [edge = ");
    write_chain(s, a->chain, out);
    text_add(out, "]");
  }
  text_add(out, ";\n");
}

static void write_ends(const net_spec *s, text *out) {
  text input = {0}, output = {0};
  if (s->input_model >= 0) text_printf(&input, ", model = m%d", s->input_model);
  if (s->prefix) text_printf(&input, ", prefix = %d", s->prefix);
  if (s->prefix && s->prefix_frozen) text_add(&input, ", prefix_frozen = true");
  if (s->output_model >= 0) text_printf(&output, ", model = m%d", s->output_model);
  if (s->output_aggregate >= 0) text_printf(&output, ", aggregate = %s", aggregates[s->output_aggregate]);
  if (s->classes) text_printf(&output, ", head = classify(%d)", s->classes);
  if (input.length) text_add(out, "  input"), write_options(&input, out), text_add(out, ";\n");
  if (output.length) text_add(out, "  output"), write_options(&output, out), text_add(out, ";\n");
  text_free(&input);
  text_free(&output);
}

static void write_freeze(const net_spec *s, uint64_t freeze, text *out) {
  text names = {0};
  if (freeze & FREEZE_MODELS) text_add(&names, ", models");
  if (freeze & FREEZE_EDGES) text_add(&names, ", edges");
  for (int i = 0; i < s->model_count; ++i)
    if (freeze & FREEZE_MODEL(i)) text_printf(&names, ", m%d", i);
  for (int i = 0; i < s->vertex_count; ++i)
    if (!s->vertices[i].shared && freeze & FREEZE_VERTEX(i)) text_printf(&names, ", v%d", i);
  for (int i = 0; i < s->chain_count && i < 32; ++i)
    if (s->chains[i].named && freeze & FREEZE_CHAIN(i)) text_printf(&names, ", e%d", i);
  if (names.length) text_printf(out, " freeze = [%s];", names.data + 2);
  text_free(&names);
}

static void write_train(const net_spec *s, text *out) {
  text_add(out, "  train {\n");
  if (s->smoothing > 0) text_printf(out, "    loss = cross_entropy(label_smoothing = %g);\n", s->smoothing);
  text_add(out, "    optimizer = adamw(lr = 1e-3, weight_decay = 0.01);\n");
  for (int i = 0; i < s->phase_count; ++i) {
    text_printf(out, "    phase p%d {", i);
    write_freeze(s, s->freeze[i], out);
    text_add(out, " }\n");
  }
  text_add(out, "  }\n");
}

void spec_write(const net_spec *s, text *out) {
  text_add(out, "network drawn {\n");
  for (int i = 0; i < s->model_count; ++i)
    text_printf(out, "  model m%d = \"%s\";\n", i, spec_models[s->models[i]].name);
  for (int i = 0; i < s->vertex_count; ++i) write_vertex(s, i, out);
  for (int i = 0; i < s->chain_count; ++i) {
    if (!s->chains[i].named) continue;
    text_printf(out, "  edge e%d = ", i);
    write_chain(s, i, out);
    text_add(out, ";\n");
  }
  if (s->default_aggregate >= 0) text_printf(out, "  default aggregate = %s;\n", aggregates[s->default_aggregate]);
  write_ends(s, out);
  for (int i = 0; i < s->arrow_count; ++i) write_arrow(s, &s->arrows[i], out);
  write_train(s, out);
  text_add(out, "}\n");
}
