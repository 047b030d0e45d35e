// What a drawing shows of a network: its nodes, or groups of alike ones where they are too many to draw each.
#ifndef LMN_DRAW_SHAPES_H
#define LMN_DRAW_SHAPES_H

#include "frontend/graph.h"

typedef struct draw_shape {
  const graph_node *node; // it, or the first of the group
  int count;
  const char *title, *note; // "v[1][3]", "qwen · mean"
  int64_t segments;         // of a concat; with the model, what decides which vertices can run as one
} draw_shape;

typedef struct draw_kind { // of arrows: one chain under one name
  const char *label;       // short: the declared name or the chain, cut
  const char *chain;       // in full
  int64_t count;
  bool identity, named;
} draw_kind;

typedef struct draw_arrow {
  int from, to, kind; // indices of shapes and kinds
  int64_t count;
} draw_arrow;

typedef struct draw_shapes {
  draw_shape *shapes;
  draw_kind *kinds;
  draw_arrow *arrows;
  int shape_count, kind_count, arrow_count;
  bool grouped;
} draw_shapes;

draw_shapes draw_shapes_of(arena *a, const graph *g);

#endif
