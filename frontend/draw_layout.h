// A layered layout, from left to right: the nodes' layers are given, their order in a layer and their places are found.
// Arrows that pass layers go through a bend in each of them.
#ifndef LMN_DRAW_LAYOUT_H
#define LMN_DRAW_LAYOUT_H

#include "runtime/base.h"

typedef struct layout_item { // a node, or a bend of an arrow
  int layer, order;          // order: from the top of its layer
  double width, height;
  double x, y; // of its centre
  bool bend;
} layout_item;

typedef struct layout_arrow {
  int from, to;       // nodes
  double label_width; // room that its first part needs
  int first_bend;     // its bends are items, next to each other, one a layer between from and to
} layout_arrow;

#define LAYOUT_LIMIT 20000 // of items

typedef struct layout {
  layout_item *items; // the nodes, filled in by the caller but for order, x and y; then the bends
  int node_count, item_count;
  layout_arrow *arrows;
  int arrow_count, layer_count;
  int *members, *starts; // layer l has members[starts[l]] up to members[starts[l + 1]], from the top
  double gap, row_gap;   // least distances: of two layers, of two nodes of a layer
  double width, height;  // of the whole
} layout;

// Fills in the rest; `items` is replaced by a longer array. False where there would be more than LAYOUT_LIMIT items.
bool layout_run(arena *a, layout *l);

#endif
