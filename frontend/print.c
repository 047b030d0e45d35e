// --emit=graph: the resolved network, one node and one arrow a line.
#include "frontend/print.h"

#include <inttypes.h>

const char *activation_text(activation_kind kind) {
  static const char *const texts[] = {"gelu", "gelu(exact = true)", "silu", "relu"};
  return texts[kind];
}

const char *aggregate_text(aggregate_kind kind) {
  static const char *const texts[] = {"sum", "mean", "concat", "project"};
  return texts[kind];
}

static void module_print(const graph *g, const module *m, bool sizes, text *out) {
  switch (m->kind) {
  case MODULE_LINEAR: text_printf(out, "linear%s", m->bias ? "" : "(bias = false)"); break;
  case MODULE_DECODER_LAYER: text_printf(out, "decoder_layer(%s)", g->models[m->model].name); break;
  case MODULE_ATTENTION: text_printf(out, "attention(%" PRId64 "%s)", m->heads, m->bias ? "" : ", bias = false"); break;
  case MODULE_LAYER_NORM: text_printf(out, "layer_norm(%g)", m->eps); break;
  case MODULE_RMS_NORM: text_printf(out, "rms_norm(%g)", m->eps); break;
  case MODULE_ACTIVATION: text_add(out, activation_text(m->activation)); break;
  case MODULE_MLP:
    text_printf(out, "mlp(%" PRId64 ", %s%s)", m->hidden, activation_text(m->activation),
                m->bias ? "" : ", bias = false");
    break;
  case MODULE_RESIDUAL:
    text_add(out, "residual(");
    chain_print(g, &m->inner, sizes, out);
    text_add(out, ")");
    break;
  }
  if (sizes && m->in != m->out) text_printf(out, " %" PRId64 "->%" PRId64, m->in, m->out);
}

void chain_print(const graph *g, const chain *c, bool sizes, text *out) {
  if (!c->count) text_add(out, "identity");
  for (int i = 0; i < c->count; ++i) {
    if (i) text_add(out, " then ");
    module_print(g, &c->modules[i], sizes, out);
  }
}

static void print_node(const graph *g, const graph_node *n, text *out) {
  const graph_model *m = &g->models[n->model];
  switch (n->kind) {
  case NODE_INPUT:
    text_printf(out, "  input : %s", m->name);
    if (g->prefix) {
      text_printf(out, " [prefix = %" PRId64 ", prefix_init = normal(%g, %g)%s]", g->prefix, g->prefix_mean,
                  g->prefix_std, g->prefix_frozen ? ", prefix_frozen = true" : "");
    }
    break;
  case NODE_VERTEX:
    text_printf(out, "  %s : %s [aggregate = %s%s]", n->name, m->name, aggregate_text(n->aggregate),
                n->shared ? "" : ", share = false");
    break;
  case NODE_OUTPUT:
    text_printf(out, "  output : %s [aggregate = %s, head = ", m->name, aggregate_text(n->aggregate));
    if (g->classes) text_printf(out, "classify(%" PRId64 ")]", g->classes);
    else text_add(out, "lm]");
    break;
  }
  text_printf(out, " layer %d\n", n->layer);
}

static void print_string(text *out, const char *name, const char *value) {
  if (value) text_printf(out, "    %s \"%s\"\n", name, value);
}

static void print_count(text *out, const char *name, int64_t value) {
  if (value) text_printf(out, "    %s %" PRId64 "\n", name, value);
}

static void print_phase(const settings *s, text *out) {
  static const char *const schedules[] = {"constant", "linear", "cosine"};
  text_printf(out, "  phase %s\n", s->phase);
  text_printf(out, "    loss cross_entropy(label_smoothing = %g)\n", s->label_smoothing);
  text_printf(out, "    optimizer adamw(lr = %g, betas = [%g, %g], eps = %g, weight_decay = %g, decay = %s)\n",
              s->optimizer.lr, s->optimizer.beta1, s->optimizer.beta2, s->optimizer.eps, s->optimizer.weight_decay,
              s->optimizer.decay_all ? "all" : "matrices");
  text_printf(out, "    schedule %s(warmup = %" PRId64 ", final = %g)\n", schedules[s->schedule.kind],
              s->schedule.warmup, s->schedule.final);
  print_count(out, "steps", s->steps);
  print_count(out, "epochs", s->epochs);
  print_count(out, "batch", s->batch);
  print_count(out, "length", s->length);
  print_count(out, "accumulate", s->accumulate);
  if (s->clip > 0) text_printf(out, "    clip %g\n", s->clip);
  print_count(out, "evaluate_every", s->evaluate_every);
  print_count(out, "save_every", s->save_every);
  text_printf(out, "    seed %" PRIu64 "\n", s->seed);
  print_string(out, "data", s->data);
  print_string(out, "validation", s->validation);
  print_string(out, "prompt", s->prompt);
  print_string(out, "completion", s->completion);
  for (int i = 0; i < s->freeze_count; ++i)
    text_printf(out, "%s%s%s", i ? ", " : "    freeze ", s->freeze[i], i + 1 == s->freeze_count ? "\n" : "");
}

void graph_print(const graph *g, text *out) {
  text_printf(out, "network %s\n", g->name);
  for (int i = 0; i < g->model_count; ++i) {
    const model *m = &g->models[i].description;
    text_printf(out,
                "  model %s : %s, %" PRId64 " layers, hidden %" PRId64 ", %" PRId64 " heads, vocabulary %" PRId64
                ", \"%s\"\n",
                g->models[i].name, m->family, m->layers, m->hidden, m->heads, m->vocabulary, m->directory);
  }
  for (int i = 0; i < g->node_count; ++i) print_node(g, &g->nodes[i], out);
  for (int i = 0; i < g->arrow_count; ++i) {
    const graph_arrow *arrow = &g->arrows[i];
    text_printf(out, "  %s -> %s", g->nodes[arrow->from].name, g->nodes[arrow->to].name);
    if (arrow->edge) text_printf(out, " [%s]", arrow->edge);
    text_add(out, " ");
    chain_print(g, &arrow->chain, true, out);
    text_add(out, "\n");
  }
  for (int i = 0; i < g->phase_count; ++i) print_phase(&g->phases[i], out);
}
