// A network as SVG, in our own layout: colours for models, one label for the arrows of a kind between two layers,
// dashes for identity, a ground under vertices that can run as one, and a legend.
#include "frontend/diagnostic.h"
#include "frontend/draw_layout.h"
#include "frontend/draw_shapes.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const fills[] = {"#dbe9f9", "#fde6cf", "#dcf1df", "#f6dcea",
                                    "#e7e0f7", "#fbf0c4", "#d7f0f0", "#eee4da"};
static const char *const strokes[] = {"#3b74b4", "#c2701c", "#3d8a4d", "#b0457f",
                                      "#6b50b0", "#a08410", "#2b8585", "#80603f"};
static const char *const inks[] = {"#41506b", "#a8481f", "#2d7d5a", "#8a3f9c",
                                   "#a3204e", "#1f6f9f", "#6f6a16", "#5b4fc4"};
#define NEUTRAL_FILL "#eef0f3"
#define NEUTRAL_STROKE "#5d6673"
#define TEXT_INK "#1f2733"
#define QUIET_INK "#66707d"

enum {
  MARGIN = 28,
  HEAD = 58,
  ROW = 22,
  TITLE_SIZE = 13,
  NOTE_SIZE = 11,
  LABEL_SIZE = 11,
  HEAD_SIZE = 17,
  KIND_LIMIT = 16
};
enum { LEGEND_LENGTH = 110 }; // characters of a legend's line

typedef struct rectangle {
  double x, y, width, height;
} rectangle;

typedef struct drawing {
  const graph *g;
  arena *arena;
  draw_shapes s;
  layout l;
  double *leaves, *reaches; // of each arrow: how far from the middle of its node's side
  rectangle *labels;        // those placed
  int label_count;
  double width;
  text *out;
} drawing;

// ---- texts ----

static void add_escaped(text *out, const char *string) {
  for (const char *p = string; *p; ++p) {
    if (*p == '<') text_add(out, "&lt;");
    else if (*p == '>') text_add(out, "&gt;");
    else if (*p == '&') text_add(out, "&amp;");
    else if (*p == '"') text_add(out, "&quot;");
    else text_add_bytes(out, p, 1);
  }
}

// About; fonts differ.
static double text_width(const char *string, double size) {
  double width = 0;
  for (const char *p = string; *p; ++p) {
    if (((unsigned char)*p & 0xc0) == 0x80) continue;
    width += strchr("iljtf.,:;'|![]() ", *p) ? 0.36 : strchr("mwMW%@", *p) ? 0.92 : 0.62;
  }
  return width * size;
}

static void put_text(text *out, double x, double y, double size, const char *more, const char *string) {
  text_printf(out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%g\"%s>", x, y, size, more);
  add_escaped(out, string);
  text_add(out, "</text>\n");
}

// ---- layout ----

static void size_shape(const drawing *d, int i, layout_item *item, int arrows_in, int arrows_out) {
  const draw_shape *s = &d->s.shapes[i];
  double title = text_width(s->title, TITLE_SIZE) * 1.08, note = text_width(s->note, NOTE_SIZE);
  int most = arrows_in > arrows_out ? arrows_in : arrows_out;
  item->layer = s->node->layer;
  item->width = (title > note ? title : note) + 28;
  if (item->width < 72) item->width = 72;
  item->height = most <= 5 ? 44 : most <= 40 ? 44 + 4 * (most - 5) : 184;
}

static const char *arrow_label(const drawing *d, const draw_arrow *arrow) {
  const draw_kind *k = &d->s.kinds[arrow->kind];
  if (k->identity && arrow->count == 1) return NULL;
  if (arrow->count == 1) return k->label;
  return arena_printf(d->arena, "%s ×%" PRId64, k->identity ? "" : k->label, arrow->count);
}

static bool lay_out(drawing *d) {
  layout *l = &d->l;
  draw_shapes *s = &d->s;
  int *in = ARENA_ARRAY(d->arena, int, s->shape_count), *out = ARENA_ARRAY(d->arena, int, s->shape_count);
  *l = (layout){.node_count = s->shape_count, .arrow_count = s->arrow_count, .gap = 64, .row_gap = 22};
  l->items = ARENA_ARRAY(d->arena, layout_item, s->shape_count);
  l->arrows = ARENA_ARRAY(d->arena, layout_arrow, s->arrow_count + 1);
  for (int i = 0; i < s->arrow_count; ++i) {
    const char *label = arrow_label(d, &s->arrows[i]);
    l->arrows[i] = (layout_arrow){.from = s->arrows[i].from, .to = s->arrows[i].to};
    if (label) l->arrows[i].label_width = text_width(label, LABEL_SIZE) + 52;
    ++out[s->arrows[i].from], ++in[s->arrows[i].to];
  }
  for (int i = 0; i < s->shape_count; ++i) size_shape(d, i, &l->items[i], in[i], out[i]);
  if (!layout_run(d->arena, l)) return false;
  for (int i = 0; i < l->item_count; ++i) l->items[i].x += MARGIN, l->items[i].y += MARGIN + HEAD;
  return true;
}

// ---- arrows ----

static int after_start(const drawing *d, int arrow) { // the item that it goes to first
  const layout_arrow *x = &d->l.arrows[arrow];
  return d->l.items[x->to].layer == d->l.items[x->from].layer + 1 ? x->to : x->first_bend;
}
static int before_end(const drawing *d, int arrow) {
  const layout_arrow *x = &d->l.arrows[arrow];
  int bends = d->l.items[x->to].layer - d->l.items[x->from].layer - 1;
  return bends ? x->first_bend + bends - 1 : x->from;
}

typedef struct port {
  int node, arrow;
  double y; // of what is at the arrow's other end
} port;

static int compare_ports(const void *left, const void *right) {
  const port *x = left, *y = right;
  if (x->node != y->node) return x->node < y->node ? -1 : 1;
  if (x->y != y->y) return x->y < y->y ? -1 : 1;
  return x->arrow - y->arrow;
}

// Spreads the arrows over their nodes' sides, in the order of their other ends.
static void spread(const drawing *d, port *ports, double *offsets) {
  int count = d->l.arrow_count;
  qsort(ports, (size_t)count, sizeof *ports, compare_ports);
  for (int i = 0, next; i < count; i = next) {
    for (next = i + 1; next < count && ports[next].node == ports[i].node;) ++next;
    double step = next - i > 1 ? (d->l.items[ports[i].node].height - 20) / (next - i - 1) : 0;
    if (step > 8) step = 8;
    for (int k = i; k < next; ++k) offsets[ports[k].arrow] = step * (k - i - (next - i - 1) / 2.0);
  }
}

static void find_ports(drawing *d) {
  const layout *l = &d->l;
  port *ports = ARENA_ARRAY(d->arena, port, l->arrow_count + 1);
  d->leaves = ARENA_ARRAY(d->arena, double, l->arrow_count + 1);
  d->reaches = ARENA_ARRAY(d->arena, double, l->arrow_count + 1);
  for (int i = 0; i < l->arrow_count; ++i) ports[i] = (port){l->arrows[i].from, i, l->items[after_start(d, i)].y};
  spread(d, ports, d->leaves);
  for (int i = 0; i < l->arrow_count; ++i) ports[i] = (port){l->arrows[i].to, i, l->items[before_end(d, i)].y};
  spread(d, ports, d->reaches);
}

static double radius_of(const drawing *d, int i) { // of a node's corners
  double half = d->l.items[i].height / 2;
  return d->s.shapes[i].node->kind == NODE_VERTEX ? 8 : half < 22 ? half : 22;
}

// From a node's middle to its side, at this height from the middle.
static double side_of(const drawing *d, int i, double offset) {
  double radius = radius_of(d, i), rise = fabs(offset) - (d->l.items[i].height / 2 - radius);
  double inset = rise > 0 ? radius - sqrt(radius * radius - rise * rise) : 0;
  return d->l.items[i].width / 2 - inset;
}

static void put_curve(text *out, double x, double y, double to_x, double to_y) {
  double pull = (to_x - x) * 0.45;
  text_printf(out, " C%.1f %.1f %.1f %.1f %.1f %.1f", x + pull, y, to_x - pull, to_y, to_x, to_y);
}

// From side to side, through the bends, level at each of them.
static void put_arrow(const drawing *d, int i) {
  const layout_arrow *arrow = &d->l.arrows[i];
  const layout_item *from = &d->l.items[arrow->from], *to = &d->l.items[arrow->to];
  const draw_kind *kind = &d->s.kinds[d->s.arrows[i].kind];
  double x = from->x + side_of(d, arrow->from, d->leaves[i]), y = from->y + d->leaves[i];
  double end_x = to->x - side_of(d, arrow->to, d->reaches[i]), end_y = to->y + d->reaches[i];
  text_printf(d->out, "<g><title>%s → %s: ", d->s.shapes[arrow->from].title, d->s.shapes[arrow->to].title);
  if (kind->named) text_printf(d->out, "%s = ", kind->label);
  add_escaped(d->out, kind->chain);
  text_printf(d->out, "</title><path d=\"M%.1f %.1f", x, y);
  for (int k = arrow->first_bend; k < arrow->first_bend + to->layer - from->layer - 1; ++k) {
    const layout_item *bend = &d->l.items[k];
    put_curve(d->out, x, y, bend->x - bend->width / 2, bend->y);
    x = bend->x + bend->width / 2, y = bend->y;
    text_printf(d->out, " H%.1f", x);
  }
  put_curve(d->out, x, y, end_x - 6, end_y);
  text_printf(d->out, "\"%s/>", kind->identity ? " stroke-dasharray=\"5 4\"" : "");
  text_printf(d->out, "<path class=\"tip\" d=\"M%.1f %.1f l-8 -3.6 v7.2 z\"/></g>\n", end_x, end_y);
}

static const char *ink_of(const drawing *d, int kind) {
  int number = 0;
  for (int i = 0; i < kind; ++i) number += !d->s.kinds[i].identity;
  return d->s.kinds[kind].identity ? "#7c8693" : inks[number % (int)LENGTH(inks)];
}

static void put_arrows(const drawing *d) {
  text_add(d->out, "<g fill=\"none\" stroke-width=\"1.4\">\n");
  for (int kind = 0; kind < d->s.kind_count; ++kind) {
    const char *ink = ink_of(d, kind);
    text_printf(d->out, "<g stroke=\"%s\" color=\"%s\">\n", ink, ink);
    for (int i = 0; i < d->s.arrow_count; ++i)
      if (d->s.arrows[i].kind == kind) put_arrow(d, i);
    text_add(d->out, "</g>\n");
  }
  text_add(d->out, "</g>\n");
}

// ---- labels ----

static bool overlap(const rectangle *a, const rectangle *b) {
  return a->x < b->x + b->width && b->x < a->x + a->width && a->y < b->y + b->height && b->y < a->y + a->height;
}

static bool is_free(const drawing *d, const rectangle *r) {
  for (int i = 0; i < d->label_count; ++i)
    if (overlap(r, &d->labels[i])) return false;
  return true;
}

// The label at the middle of the arrow's first part, or a little beside it; false where others are in the way.
static bool place_label(drawing *d, int i, const char *label) {
  static const double shares[] = {0.5, 0.42, 0.58, 0.34, 0.66};
  const layout_item *from = &d->l.items[d->l.arrows[i].from], *to = &d->l.items[after_start(d, i)];
  double x = from->x + from->width / 2, y = from->y + d->leaves[i], end_x = to->x - to->width / 2;
  double end_y = to->y + (to->bend ? 0 : d->reaches[i]), width = text_width(label, LABEL_SIZE) + 8;
  for (size_t k = 0; k < LENGTH(shares); ++k) {
    double t = shares[k], u = 1 - t, rise = 3 * u * t * t + t * t * t; // of a curve that is level at both ends
    double along = 3 * u * u * t * 0.45 + 3 * u * t * t * 0.55 + t * t * t;
    rectangle r = {x + (end_x - x) * along - width / 2, y + (end_y - y) * rise - 8, width, 16};
    if (!is_free(d, &r)) continue;
    d->labels[d->label_count++] = r;
    text_printf(d->out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"16\" rx=\"4\"/>", r.x, r.y, r.width);
    text more = {0};
    text_printf(&more, " text-anchor=\"middle\" fill=\"%s\"", ink_of(d, d->s.arrows[i].kind));
    put_text(d->out, r.x + width / 2, r.y + 12, LABEL_SIZE, more.data, label);
    text_free(&more);
    return true;
  }
  return false;
}

static int compare_labels(const void *left, const void *right) { // by layer, then kind, then from the top
  const port *x = left, *y = right;
  return compare_ports(x, y);
}

// Of the arrows of one kind that leave one layer for the next one label is enough.
static void put_labels(drawing *d) {
  int count = d->s.arrow_count, kinds = d->s.kind_count;
  port *order = ARENA_ARRAY(d->arena, port, count + 1);
  d->labels = ARENA_ARRAY(d->arena, rectangle, count + 1);
  for (int i = 0; i < count; ++i) {
    const layout_item *from = &d->l.items[d->l.arrows[i].from], *to = &d->l.items[after_start(d, i)];
    order[i] = (port){from->layer * kinds + d->s.arrows[i].kind, i, from->y + d->leaves[i] + to->y};
  }
  qsort(order, (size_t)count, sizeof *order, compare_labels);
  text_add(d->out, "<g fill=\"#ffffff\" fill-opacity=\"0.9\">\n");
  for (int i = 0, done = -1; i < count; ++i) {
    const draw_arrow *arrow = &d->s.arrows[order[i].arrow];
    const char *label = arrow_label(d, arrow);
    if (!label || (order[i].node == done && arrow->count == 1)) continue;
    if (place_label(d, order[i].arrow, label)) done = order[i].node;
  }
  text_add(d->out, "</g>\n");
}

// ---- nodes ----

static bool runs_with(const draw_shape *a, const draw_shape *b) {
  return a->node->kind == NODE_VERTEX && b->node->kind == NODE_VERTEX && a->node->model == b->node->model &&
         a->node->shared && b->node->shared && a->segments == b->segments;
}

// A ground under the neighbours of a layer that share their parameters and wait for nothing but the layers before.
static bool put_grounds(const drawing *d) {
  const layout *l = &d->l;
  bool any = false;
  text_add(d->out, "<g fill=\"#f1f3f7\" stroke=\"#dfe3ea\">\n");
  for (int layer = 0; layer < l->layer_count; ++layer) {
    int first = -1, last = -1;
    for (int i = l->starts[layer]; i <= l->starts[layer + 1]; ++i) {
      int item = i < l->starts[layer + 1] ? l->members[i] : -1;
      if (item >= l->node_count) continue; // a bend
      if (first >= 0 && item >= 0 && runs_with(&d->s.shapes[first], &d->s.shapes[item])) {
        last = item;
        continue;
      }
      if (first >= 0 && last != first) {
        const layout_item *top = &l->items[first], *bottom = &l->items[last];
        double width = 0;
        for (int k = l->starts[layer]; k < l->starts[layer + 1]; ++k)
          if (l->items[l->members[k]].width > width) width = l->items[l->members[k]].width;
        double y = top->y - top->height / 2 - 9, height = bottom->y + bottom->height / 2 + 9 - y;
        text_printf(d->out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"14\"/>\n",
                    top->x - width / 2 - 9, y, width + 18, height);
        any = true;
      }
      first = last = item;
    }
  }
  text_add(d->out, "</g>\n");
  return any;
}

static void put_node(const drawing *d, int i) {
  const draw_shape *s = &d->s.shapes[i];
  const layout_item *item = &d->l.items[i];
  bool vertex = s->node->kind == NODE_VERTEX, stacked = s->count > 1 || (vertex && !s->node->shared);
  int colour = s->node->model < 0 ? 0 : s->node->model % (int)LENGTH(fills);
  const char *fill = vertex ? fills[colour] : NEUTRAL_FILL, *stroke = vertex ? strokes[colour] : NEUTRAL_STROKE;
  double x = item->x - item->width / 2, y = item->y - item->height / 2, radius = radius_of(d, i);
  text_add(d->out, "<g><title>");
  add_escaped(d->out, s->title);
  if (*s->note) text_add(d->out, ": ");
  add_escaped(d->out, s->note);
  text_add(d->out, "</title>");
  for (int shift = stacked ? 3 : 0; shift >= 0; shift -= 3)
    text_printf(d->out,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"%g\" fill=\"%s\" stroke=\"%s\" "
                "stroke-width=\"1.3\"/>",
                x + shift, y + shift, item->width, item->height, radius, fill, stroke);
  text_add(d->out, "\n");
  double middle = *s->note ? item->y - 3 : item->y + 5;
  put_text(d->out, item->x, middle, TITLE_SIZE, " text-anchor=\"middle\" font-weight=\"600\"", s->title);
  if (*s->note)
    put_text(d->out, item->x, item->y + 13, NOTE_SIZE, " text-anchor=\"middle\" fill=\"" QUIET_INK "\"", s->note);
  text_add(d->out, "</g>\n");
}

// ---- legend ----

static void put_swatch(const drawing *d, double y, const char *fill, const char *stroke) {
  text_printf(d->out,
              "<rect x=\"%d\" y=\"%.1f\" width=\"26\" height=\"14\" rx=\"4\" fill=\"%s\" stroke=\"%s\" "
              "stroke-width=\"1.3\"/>\n",
              MARGIN, y - 7, fill, stroke);
}

// A text in lines of about LEGEND_LENGTH, broken at spaces; the next row.
static double put_legend_text(drawing *d, double y, const char *string) {
  while (*string) {
    size_t length = strlen(string);
    if (length > LEGEND_LENGTH) {
      for (length = LEGEND_LENGTH; length > LEGEND_LENGTH / 2 && string[length] != ' ';) --length;
      while (((unsigned char)string[length] & 0xc0) == 0x80) ++length;
    }
    const char *line = arena_copy(d->arena, string, length);
    double width = MARGIN + 38 + text_width(line, NOTE_SIZE + 1);
    put_text(d->out, MARGIN + 38, y + 4, NOTE_SIZE + 1, "", line);
    if (width > d->width) d->width = width;
    string += length;
    while (*string == ' ') ++string;
    y += ROW - (*string ? 5 : 0);
  }
  return y;
}

static double put_kind(drawing *d, double y, int i) {
  const draw_kind *k = &d->s.kinds[i];
  const char *ink = ink_of(d, i);
  text_printf(d->out,
              "<path d=\"M%d %.1f h19\" stroke=\"%s\" stroke-width=\"1.6\"%s/><path d=\"M%d %.1f l-8 -3.6 v7.2 z\" "
              "fill=\"%s\"/>\n",
              MARGIN, y, ink, k->identity ? " stroke-dasharray=\"5 4\"" : "", MARGIN + 26, y, ink);
  const char *name = k->named ? arena_printf(d->arena, "%s = %s", k->label, k->chain) : k->chain;
  const char *times = k->count == 1 ? "" : arena_printf(d->arena, " · %" PRId64 " edges", k->count);
  return put_legend_text(d, y, arena_printf(d->arena, "%s%s", name, times));
}

static double put_legend(drawing *d, bool grounds) {
  double y = d->l.height + HEAD + 2 * MARGIN + 8;
  for (int i = 0; i < d->g->model_count; ++i) {
    const graph_model *m = &d->g->models[i];
    const char *directory = m->description.directory, *slash = strrchr(directory, '/');
    directory = text_shown(d->arena, slash ? slash + 1 : directory, strlen(slash ? slash + 1 : directory));
    put_swatch(d, y, fills[i % (int)LENGTH(fills)], strokes[i % (int)LENGTH(strokes)]);
    y = put_legend_text(d, y,
                        arena_printf(d->arena, "%s: %s, %s, %" PRId64 " layers, hidden size %" PRId64, m->name,
                                     directory, m->description.family, m->description.layers, m->description.hidden));
  }
  for (int i = 0; i < d->s.kind_count && i < KIND_LIMIT; ++i) y = put_kind(d, y, i);
  if (d->s.kind_count > KIND_LIMIT)
    y = put_legend_text(d, y, arena_printf(d->arena, "and %d other kinds of edges", d->s.kind_count - KIND_LIMIT));
  if (!grounds) return y;
  put_swatch(d, y, "#f1f3f7", "#dfe3ea");
  return put_legend_text(d, y, "on one ground: can run as one, on stacked inputs");
}

// ---- the whole ----

static const char *plural(int count) { return count == 1 ? "" : "s"; }

static void put_head(drawing *d, text *out) {
  const graph *g = d->g;
  int vertices = g->node_count - 2;
  const char *about =
      arena_printf(d->arena, "%d %s, %d edge%s%s", vertices, vertices == 1 ? "vertex" : "vertices", g->arrow_count,
                   plural(g->arrow_count), d->s.grouped ? "; alike ones drawn as one" : "");
  put_text(out, MARGIN, MARGIN + 14, HEAD_SIZE, " font-weight=\"600\"", g->name);
  put_text(out, MARGIN, MARGIN + 33, NOTE_SIZE + 1, " fill=\"" QUIET_INK "\"", about);
  double width = MARGIN + text_width(about, NOTE_SIZE + 1), name = MARGIN + text_width(g->name, HEAD_SIZE) * 1.1;
  if (width > d->width) d->width = width;
  if (name > d->width) d->width = name;
}

bool graph_draw_svg(const graph *g, text *out, lmn_error *error) {
  drawing d = {.g = g, .arena = arena_create()};
  text body = {0};
  d.s = draw_shapes_of(d.arena, g);
  d.out = &body;
  bool ok =
      lay_out(&d) || fail(error,
                          "the network is too large to be drawn, also by groups of alike vertices: %d vertices, %d "
                          "edges; choose smaller params with -D, or --format dot",
                          g->node_count - 2, g->arrow_count);
  if (ok) {
    d.width = d.l.width + MARGIN;
    find_ports(&d);
    put_head(&d, &body);
    bool grounds = put_grounds(&d);
    put_arrows(&d);
    for (int i = 0; i < d.s.shape_count; ++i) put_node(&d, i);
    put_labels(&d);
    double height = put_legend(&d, grounds) + MARGIN - ROW / 2, width = d.width + MARGIN;
    text_printf(out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
                "role=\"img\" font-family=\"Inter, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif\" fill=\"" TEXT_INK
                "\">\n<title>%s</title>\n<style>.tip { fill: currentColor; stroke: none }</style>\n"
                "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n%s</svg>\n",
                width, height, width, height, g->name, body.data);
  }
  text_free(&body);
  arena_destroy(d.arena);
  return ok;
}
