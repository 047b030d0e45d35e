// Sugiyama's method: bends for arrows that pass layers, fewer crossings by barycentres, then places by least squares.
#include "frontend/draw_layout.h"

#include <stdlib.h>
#include <string.h>

enum { ORDER_SWEEPS = 24, PLACE_SWEEPS = 240, PLACE_WORK = 2000000 };

typedef struct link { // a part of an arrow, between neighbouring layers
  int from, to;
  double weight;
} link;

typedef struct links {
  link *items;
  int count;
  int *incoming, *incoming_starts; // numbers of links, by their `to`
  int *outgoing, *outgoing_starts;
} links;

// ---- bends and links ----

static bool add_bends(arena *a, layout *l) {
  int64_t count = l->node_count;
  for (int i = 0; i < l->arrow_count; ++i)
    count += l->items[l->arrows[i].to].layer - l->items[l->arrows[i].from].layer - 1;
  if (count > LAYOUT_LIMIT) return false;
  layout_item *items = ARENA_ARRAY(a, layout_item, count);
  memcpy(items, l->items, sizeof *items * (size_t)l->node_count);
  l->item_count = l->node_count;
  for (int i = 0; i < l->arrow_count; ++i) {
    layout_arrow *arrow = &l->arrows[i];
    arrow->first_bend = l->item_count;
    for (int layer = items[arrow->from].layer + 1; layer < items[arrow->to].layer; ++layer)
      items[l->item_count++] = (layout_item){.layer = layer, .height = 4, .bend = true};
  }
  l->items = items;
  return true;
}

static void add_link(const layout *l, links *made, int from, int to) {
  int bends = l->items[from].bend + l->items[to].bend;
  made->items[made->count++] = (link){from, to, bends == 2 ? 256 : 1}; // long arrows are drawn straight
}

static void index_links(arena *a, const layout *l, const links *made, bool incoming, int **list, int **starts) {
  *starts = ARENA_ARRAY(a, int, l->item_count + 2);
  *list = ARENA_ARRAY(a, int, made->count + 1);
  for (int i = 0; i < made->count; ++i) ++(*starts)[(incoming ? made->items[i].to : made->items[i].from) + 2];
  for (int i = 0; i < l->item_count; ++i) (*starts)[i + 1] += (*starts)[i];
  for (int i = 0; i < made->count; ++i)
    (*list)[(*starts)[(incoming ? made->items[i].to : made->items[i].from) + 1]++] = i;
}

static links find_links(arena *a, const layout *l) {
  links made = {.items = ARENA_ARRAY(a, link, l->item_count - l->node_count + l->arrow_count + 1)};
  for (int i = 0; i < l->arrow_count; ++i) {
    const layout_arrow *arrow = &l->arrows[i];
    int bends = l->items[arrow->to].layer - l->items[arrow->from].layer - 1, last = arrow->from;
    for (int k = 0; k < bends; ++k) add_link(l, &made, last, arrow->first_bend + k), last = arrow->first_bend + k;
    add_link(l, &made, last, arrow->to);
  }
  index_links(a, l, &made, true, &made.incoming, &made.incoming_starts);
  index_links(a, l, &made, false, &made.outgoing, &made.outgoing_starts);
  return made;
}

static void number_members(layout *l) {
  for (int layer = 0; layer < l->layer_count; ++layer)
    for (int i = l->starts[layer]; i < l->starts[layer + 1]; ++i) l->items[l->members[i]].order = i - l->starts[layer];
}

static void fill_layers(arena *a, layout *l) {
  l->layer_count = 0;
  for (int i = 0; i < l->item_count; ++i)
    if (l->items[i].layer >= l->layer_count) l->layer_count = l->items[i].layer + 1;
  l->starts = ARENA_ARRAY(a, int, l->layer_count + 2);
  l->members = ARENA_ARRAY(a, int, l->item_count + 1);
  for (int i = 0; i < l->item_count; ++i) ++l->starts[l->items[i].layer + 2];
  for (int i = 0; i < l->layer_count; ++i) l->starts[i + 1] += l->starts[i];
  for (int i = 0; i < l->item_count; ++i) l->members[l->starts[l->items[i].layer + 1]++] = i;
  number_members(l);
}

// ---- order ----

typedef struct ranked {
  double rank;
  int order, item;
} ranked;

static int compare_ranked(const void *left, const void *right) {
  const ranked *x = left, *y = right;
  if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
  return x->order - y->order;
}

// Orders a layer by the mean order of its neighbours in the layer before (or behind); who has none stays.
static void order_layer(layout *l, const links *k, int layer, bool forward, ranked *room) {
  int first = l->starts[layer], count = l->starts[layer + 1] - first;
  const int *list = forward ? k->incoming : k->outgoing, *starts = forward ? k->incoming_starts : k->outgoing_starts;
  for (int i = 0; i < count; ++i) {
    int item = l->members[first + i], neighbours = starts[item + 1] - starts[item];
    double sum = 0;
    for (int n = starts[item]; n < starts[item + 1]; ++n)
      sum += l->items[forward ? k->items[list[n]].from : k->items[list[n]].to].order;
    room[i] = (ranked){neighbours ? sum / neighbours : i, i, item};
  }
  qsort(room, (size_t)count, sizeof *room, compare_ranked);
  for (int i = 0; i < count; ++i) {
    l->members[first + i] = room[i].item;
    l->items[room[i].item].order = i;
  }
}

// Pairs of links between a layer and the next that cross: inversions, counted with a Fenwick tree.
static int64_t count_crossings(const layout *l, const links *k, int layer, int *tree) {
  int size = l->starts[layer + 2] - l->starts[layer + 1];
  int64_t crossings = 0, seen = 0;
  memset(tree, 0, sizeof *tree * (size_t)(size + 1));
  for (int i = l->starts[layer]; i < l->starts[layer + 1]; ++i) {
    int from = l->members[i];
    for (int n = k->outgoing_starts[from]; n < k->outgoing_starts[from + 1]; ++n) {
      int before = 0;
      for (int at = l->items[k->items[k->outgoing[n]].to].order + 1; at > 0; at -= at & -at) before += tree[at];
      crossings += seen - before;
    }
    for (int n = k->outgoing_starts[from]; n < k->outgoing_starts[from + 1]; ++n, ++seen)
      for (int at = l->items[k->items[k->outgoing[n]].to].order + 1; at <= size; at += at & -at) ++tree[at];
  }
  return crossings;
}

static int64_t all_crossings(const layout *l, const links *k, int *tree) {
  int64_t crossings = 0;
  for (int layer = 0; layer + 1 < l->layer_count; ++layer) crossings += count_crossings(l, k, layer, tree);
  return crossings;
}

// The order of the fewest crossings that the sweeps come to; the given one where none is better.
static void find_order(arena *a, layout *l, const links *k) {
  ranked *room = ARENA_ARRAY(a, ranked, l->item_count + 1);
  int *tree = ARENA_ARRAY(a, int, l->item_count + 2), *best = ARENA_ARRAY(a, int, l->item_count + 1);
  size_t bytes = sizeof *best * (size_t)l->item_count;
  int64_t fewest = all_crossings(l, k, tree);
  memcpy(best, l->members, bytes);
  for (int sweep = 0; sweep < ORDER_SWEEPS && fewest > 0; ++sweep) {
    bool forward = sweep % 2 == 0;
    for (int i = 1; i < l->layer_count; ++i) order_layer(l, k, forward ? i : l->layer_count - 1 - i, forward, room);
    int64_t crossings = all_crossings(l, k, tree);
    if (crossings >= fewest) continue;
    fewest = crossings;
    memcpy(best, l->members, bytes);
  }
  memcpy(l->members, best, bytes);
  number_members(l);
}

// ---- places ----

typedef struct pool { // neighbours that touch, and move as one
  double sum, weight; // of where they would like to start
  int count;
} pool;

static double distance(const layout *l, const layout_item *above, const layout_item *below) {
  double gap = above->bend && below->bend ? l->row_gap / 2 : l->row_gap;
  return (above->height + below->height) / 2 + gap;
}

// Where an item would like to be: at the mean of its neighbours.
static double wish(const layout *l, const links *k, int item, bool incoming, bool outgoing, double *weight) {
  double sum = 0, total = 0;
  for (int n = k->incoming_starts[item]; incoming && n < k->incoming_starts[item + 1]; ++n) {
    const link *arrow = &k->items[k->incoming[n]];
    sum += arrow->weight * l->items[arrow->from].y, total += arrow->weight;
  }
  for (int n = k->outgoing_starts[item]; outgoing && n < k->outgoing_starts[item + 1]; ++n) {
    const link *arrow = &k->items[k->outgoing[n]];
    sum += arrow->weight * l->items[arrow->to].y, total += arrow->weight;
  }
  *weight = total > 0 ? total : 1e-3;
  return total > 0 ? sum / total : l->items[item].y;
}

// The places of a layer that are nearest to the wishes, by least squares, with the order and the distances kept: pools
// of adjacent violators.
static void place_layer(layout *l, const links *k, int layer, bool incoming, bool outgoing, pool *pools) {
  int first = l->starts[layer], count = l->starts[layer + 1] - first, pool_count = 0;
  double offset = 0;
  for (int i = 0; i < count; ++i) {
    int item = l->members[first + i];
    if (i) offset += distance(l, &l->items[l->members[first + i - 1]], &l->items[item]);
    double weight, y = wish(l, k, item, incoming, outgoing, &weight) - offset;
    pools[pool_count++] = (pool){weight * y, weight, 1};
    while (pool_count > 1 && pools[pool_count - 2].sum * pools[pool_count - 1].weight >=
                                 pools[pool_count - 1].sum * pools[pool_count - 2].weight) {
      pool last = pools[--pool_count];
      pools[pool_count - 1].sum += last.sum;
      pools[pool_count - 1].weight += last.weight;
      pools[pool_count - 1].count += last.count;
    }
  }
  offset = 0;
  for (int i = 0, p = 0, left = pools[0].count; i < count; ++i, --left) {
    if (!left) left = pools[++p].count;
    layout_item *item = &l->items[l->members[first + i]];
    if (i) offset += distance(l, &l->items[l->members[first + i - 1]], item);
    item->y = pools[p].sum / pools[p].weight + offset;
  }
}

static void place_rows(arena *a, layout *l, const links *k) {
  pool *pools = ARENA_ARRAY(a, pool, l->item_count + 1);
  for (int i = 0; i < l->layer_count; ++i) place_layer(l, k, i, false, false, pools);
  int sweeps = PLACE_WORK / (l->item_count + k->count + 1);
  if (sweeps > PLACE_SWEEPS) sweeps = PLACE_SWEEPS;
  for (int sweep = 0; sweep < sweeps; ++sweep)
    for (int i = 0; i < l->layer_count; ++i) {
      bool both = sweep >= sweeps / 2, forward = sweep % 2 == 0;
      place_layer(l, k, forward ? i : l->layer_count - 1 - i, both || forward, both || !forward, pools);
    }
  double top = 1e300, bottom = -1e300;
  for (int i = 0; i < l->item_count; ++i) {
    const layout_item *item = &l->items[i];
    if (item->y - item->height / 2 < top) top = item->y - item->height / 2;
    if (item->y + item->height / 2 > bottom) bottom = item->y + item->height / 2;
  }
  for (int i = 0; i < l->item_count; ++i) l->items[i].y -= top;
  l->height = bottom - top;
}

// Layers as wide as their widest node, as far apart as the labels of what starts there need.
static void place_columns(arena *a, layout *l) {
  double *widths = ARENA_ARRAY(a, double, l->layer_count), *gaps = ARENA_ARRAY(a, double, l->layer_count);
  for (int i = 0; i < l->item_count; ++i)
    if (l->items[i].width > widths[l->items[i].layer]) widths[l->items[i].layer] = l->items[i].width;
  for (int i = 0; i < l->layer_count; ++i) gaps[i] = l->gap;
  for (int i = 0; i < l->arrow_count; ++i) {
    double *gap = &gaps[l->items[l->arrows[i].from].layer];
    if (l->arrows[i].label_width > *gap) *gap = l->arrows[i].label_width;
  }
  double x = 0;
  for (int layer = 0; layer < l->layer_count; ++layer) {
    for (int i = l->starts[layer]; i < l->starts[layer + 1]; ++i) {
      layout_item *item = &l->items[l->members[i]];
      item->x = x + widths[layer] / 2;
      if (item->bend) item->width = widths[layer];
    }
    x += widths[layer] + gaps[layer];
  }
  l->width = x - gaps[l->layer_count - 1];
}

bool layout_run(arena *a, layout *l) {
  if (!add_bends(a, l)) return false;
  links made = find_links(a, l);
  fill_layers(a, l);
  find_order(a, l, &made);
  place_rows(a, l, &made);
  place_columns(a, l);
  return true;
}
