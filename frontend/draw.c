// Drawings of a network for Graphviz and for Mermaid: the nodes by frontier, the arrows with their edges.
#include "frontend/print.h"

// `quote` is how a double quote is written inside a quoted label.
static void add_escaped(text *out, const char *string, const char *quote) {
  for (const char *p = string; *p; ++p) {
    if (*p == '"') text_add(out, quote);
    else if (*p == '\\') text_add(out, "\\\\");
    else text_add_bytes(out, p, 1);
  }
}

static void arrow_label(const graph *g, const graph_arrow *arrow, const char *quote, text *out) {
  text chain = {0};
  if (arrow->edge) text_add(&chain, arrow->edge);
  else chain_print(g, &arrow->chain, false, &chain);
  add_escaped(out, chain.data, quote);
  text_free(&chain);
}

// What a node says below its name.
static void node_note(const graph *g, const graph_node *n, text *out) {
  if (n->model >= 0) text_add(out, g->models[n->model].name);
  if (n->kind == NODE_INPUT && g->prefix) text_printf(out, ", prefix %lld", (long long)g->prefix);
  if (n->kind == NODE_VERTEX && !n->shared) text_add(out, ", own copy");
  if (n->kind == NODE_OUTPUT && g->classes) text_printf(out, ", %lld classes", (long long)g->classes);
  if (n->incoming_count > 1) text_printf(out, ", %s", aggregate_text(n->aggregate));
}

void graph_draw_dot(const graph *g, text *out) {
  text_printf(out,
              "digraph \"%s\" {\n  rankdir = LR;\n  node [shape = box, style = rounded, fontname = \"sans-serif\"];\n",
              g->name);
  text_add(out, "  edge [fontname = \"sans-serif\", fontsize = 10];\n");
  for (int i = 0; i < g->node_count; ++i) {
    const graph_node *n = &g->nodes[i];
    text note = {0};
    node_note(g, n, &note);
    text_printf(out, "  n%d [label = \"%s\\n", i, n->name);
    if (note.data) add_escaped(out, note.data, "\\\"");
    text_printf(out, "\"%s];\n", n->kind == NODE_VERTEX ? "" : ", shape = ellipse");
    text_free(&note);
  }
  for (int i = 0, first; i < g->node_count;
       i = first) { // neighbours in the order that are of one layer stand side by side
    for (first = i + 1; first < g->node_count && g->nodes[first].layer == g->nodes[i].layer;) ++first;
    if (first - i < 2) continue;
    text_add(out, "  { rank = same;");
    for (int k = i; k < first; ++k) text_printf(out, " n%d;", k);
    text_add(out, " }\n");
  }
  for (int i = 0; i < g->arrow_count; ++i) {
    const graph_arrow *arrow = &g->arrows[i];
    text_printf(out, "  n%d -> n%d", arrow->from, arrow->to);
    if (!arrow->chain.count) {
      text_add(out, " [style = dashed];\n");
      continue;
    }
    text_add(out, " [label = \"");
    arrow_label(g, arrow, "\\\"", out);
    text_add(out, "\"];\n");
  }
  text_add(out, "}\n");
}

void graph_draw_mermaid(const graph *g, text *out) {
  text_add(out, "flowchart LR\n");
  for (int i = 0; i < g->node_count; ++i) {
    const graph_node *n = &g->nodes[i];
    bool vertex = n->kind == NODE_VERTEX;
    text note = {0};
    node_note(g, n, &note);
    text_printf(out, "  n%d%s\"%s<br/>", i, vertex ? "[" : "([", n->name);
    if (note.data) add_escaped(out, note.data, "#quot;");
    text_printf(out, "\"%s\n", vertex ? "]" : "])");
    text_free(&note);
  }
  for (int i = 0; i < g->arrow_count; ++i) {
    const graph_arrow *arrow = &g->arrows[i];
    if (!arrow->chain.count) {
      text_printf(out, "  n%d -.-> n%d\n", arrow->from, arrow->to);
      continue;
    }
    text_printf(out, "  n%d -->|\"", arrow->from);
    arrow_label(g, arrow, "#quot;", out);
    text_printf(out, "\"| n%d\n", arrow->to);
  }
}
