#include "frontend/draw_shapes.h"
#include "frontend/diagnostic.h"
#include "frontend/print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_EACH = 300, ARROWS_EACH = 1500, LABEL_LENGTH = 28 }; // more nodes or arrows are grouped

// ---- kinds of arrows ----

static const char *cut(arena *a, const char *label) {
  if (strlen(label) <= LABEL_LENGTH) return label;
  int length = LABEL_LENGTH - 1; // chains are ASCII
  while (length > LABEL_LENGTH / 2 && label[length] != ' ') --length;
  return arena_printf(a, "%.*s…", length, label);
}

static int find_kind(arena *a, const graph *g, draw_shapes *s, int *capacity, const graph_arrow *arrow) {
  text chain = {0};
  chain_print(g, &arrow->chain, false, &chain);
  int at = 0;
  for (; at < s->kind_count; ++at) {
    const draw_kind *k = &s->kinds[at];
    bool same_name = k->named ? arrow->edge && !strcmp(k->label, arrow->edge) : !arrow->edge;
    if (!strcmp(k->chain, chain.data) && (k->identity || same_name)) break;
  }
  if (at == s->kind_count) {
    GROW(s->kinds, s->kind_count, *capacity);
    draw_kind k = {.chain = arena_copy(a, chain.data, chain.length), .identity = !arrow->chain.count};
    k.named = arrow->edge && !k.identity;
    k.label = k.named ? arrow->edge : cut(a, k.chain);
    s->kinds[s->kind_count++] = k;
  }
  text_free(&chain);
  return at;
}

static int *find_kinds(arena *a, const graph *g, draw_shapes *s) {
  int *kinds = ARENA_ARRAY(a, int, g->arrow_count + 1), capacity = 0;
  s->kinds = NULL;
  for (int i = 0; i < g->arrow_count; ++i) {
    const graph_arrow *arrow = &g->arrows[i], *last = i ? arrow - 1 : NULL;
    bool same = last && arrow->edge == last->edge && arrow->chain.modules == last->chain.modules &&
                arrow->chain.count == last->chain.count;
    kinds[i] = same ? kinds[i - 1] : find_kind(a, g, s, &capacity, arrow);
    ++s->kinds[kinds[i]].count;
  }
  draw_kind *kept = ARENA_ARRAY(a, draw_kind, s->kind_count + 1);
  if (s->kind_count) memcpy(kept, s->kinds, sizeof *kept * (size_t)s->kind_count);
  free(s->kinds);
  s->kinds = kept;
  return kinds;
}

// ---- groups ----

static bool same_group(const graph_node *x, const graph_node *y) {
  return x->layer == y->layer && x->kind == y->kind && x->model == y->model && x->shared == y->shared &&
         x->aggregate == y->aggregate && !strcmp(x->array, y->array);
}

// The shape of each node.
static int *find_groups(arena *a, const graph *g, draw_shapes *s) {
  int *groups = ARENA_ARRAY(a, int, g->node_count);
  s->shapes = ARENA_ARRAY(a, draw_shape, g->node_count);
  int layer = 0; // the first shape of the node's layer
  for (int i = 0; i < g->node_count; ++i) {
    const graph_node *n = &g->nodes[i];
    if (i && n->layer != n[-1].layer) layer = s->shape_count;
    int at = s->grouped ? layer : s->shape_count;
    while (at < s->shape_count && !same_group(s->shapes[at].node, n)) ++at;
    if (at == s->shape_count) s->shapes[s->shape_count++].node = n;
    groups[i] = at;
    ++s->shapes[at].count;
  }
  return groups;
}

static int compare_arrows(const void *left, const void *right) {
  const draw_arrow *x = left, *y = right;
  if (x->from != y->from) return x->from < y->from ? -1 : 1;
  if (x->to != y->to) return x->to < y->to ? -1 : 1;
  return (x->kind > y->kind) - (x->kind < y->kind);
}

static void find_arrows(arena *a, const graph *g, draw_shapes *s, const int *groups, const int *kinds) {
  s->arrows = ARENA_ARRAY(a, draw_arrow, g->arrow_count + 1);
  for (int i = 0; i < g->arrow_count; ++i)
    s->arrows[i] = (draw_arrow){groups[g->arrows[i].from], groups[g->arrows[i].to], kinds[i], 1};
  qsort(s->arrows, (size_t)g->arrow_count, sizeof *s->arrows, compare_arrows);
  for (int i = 0; i < g->arrow_count; ++i) {
    if (s->arrow_count && !compare_arrows(&s->arrows[s->arrow_count - 1], &s->arrows[i]))
      ++s->arrows[s->arrow_count - 1].count;
    else s->arrows[s->arrow_count++] = s->arrows[i];
  }
}

// ---- texts ----

static void add_note(text *t, const char *note) { text_printf(t, "%s%s", t->length ? " · " : "", note); }

static void describe(arena *a, const graph *g, draw_shape *s) {
  const graph_node *n = s->node;
  text note = {0};
  s->title = s->count == 1 ? n->name : arena_printf(a, "%d × %s", s->count, n->array);
  s->segments = n->aggregate == AGGREGATE_CONCAT ? n->incoming_count : 1;
  if (n->model >= 0) add_note(&note, g->models[n->model].name);
  if (n->incoming_count > 1) add_note(&note, aggregate_text(n->aggregate));
  if (n->kind == NODE_VERTEX && !n->shared) add_note(&note, s->count == 1 ? "own copy" : "own copies");
  if (n->kind == NODE_INPUT && g->prefix) add_note(&note, arena_printf(a, "prefix %" PRId64, g->prefix));
  if (n->kind == NODE_OUTPUT && g->classes) add_note(&note, arena_printf(a, "%" PRId64 " classes", g->classes));
  s->note = arena_copy(a, note.data ? note.data : "", note.length);
  text_free(&note);
}

draw_shapes draw_shapes_of(arena *a, const graph *g) {
  draw_shapes s = {.grouped = g->node_count > NODES_EACH || g->arrow_count > ARROWS_EACH};
  int *kinds = find_kinds(a, g, &s), *groups = find_groups(a, g, &s);
  find_arrows(a, g, &s, groups, kinds);
  for (int i = 0; i < s.shape_count; ++i) describe(a, g, &s.shapes[i]);
  return s;
}
