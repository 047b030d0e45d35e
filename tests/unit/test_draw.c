// links: frontend
// Drawings: the layout keeps its promises for any layered graph, and the SVG says what the network is.
#include "lmn_text.h"
#include "frontend/draw_layout.h"

// ---- layout ----

// Nodes in layers, arrows from earlier layers to later ones, also far ones.
static layout random_layout(arena *a, random_stream *r) {
  layout l = {.node_count = 2 + (int)(random_next(r) % 40), .gap = 50, .row_gap = 20};
  l.arrow_count = (int)(random_next(r) % 80);
  l.items = ARENA_ARRAY(a, layout_item, l.node_count);
  l.arrows = ARENA_ARRAY(a, layout_arrow, l.arrow_count + 1);
  for (int i = 0; i < l.node_count; ++i) {
    int layer = i ? l.items[i - 1].layer + (random_next(r) % 3 == 0) : 0;
    if (i == l.node_count - 1 && layer == 0) layer = 1;
    l.items[i] = (layout_item){.layer = layer, .width = 40 + (double)(random_next(r) % 60), .height = 30};
  }
  for (int i = 0; i < l.arrow_count; ++i) {
    layout_arrow *arrow = &l.arrows[i];
    do {
      arrow->from = (int)(random_next(r) % (size_t)l.node_count),
      arrow->to = (int)(random_next(r) % (size_t)l.node_count);
    } while (l.items[arrow->from].layer >= l.items[arrow->to].layer);
    arrow->label_width = (double)(random_next(r) % 100);
  }
  return l;
}

static void check_layer(const layout *l, int layer) {
  for (int i = l->starts[layer]; i < l->starts[layer + 1]; ++i) {
    const layout_item *item = &l->items[l->members[i]], *above = item;
    assert_int_equal(item->layer, layer);
    assert_int_equal(item->order, i - l->starts[layer]);
    assert_true(item->y - item->height / 2 > -1e-6 && item->y + item->height / 2 < l->height + 1e-6);
    assert_true(item->x - item->width / 2 > -1e-6 && item->x + item->width / 2 < l->width + 1e-6);
    if (i == l->starts[layer]) continue;
    above = &l->items[l->members[i - 1]];
    double between = (item->y - item->height / 2) - (above->y + above->height / 2);
    assert_true(between > (item->bend && above->bend ? 10 : 20) - 1e-6);
  }
}

static void layouts(void **state) {
  (void)state;
  for (int i = 0; i < 300; ++i) {
    char name[32];
    snprintf(name, sizeof name, "layout %d", i);
    random_stream r = random_named(0, name);
    arena *a = arena_create();
    layout l = random_layout(a, &r);
    assert_true(layout_run(a, &l));
    for (int layer = 0; layer < l.layer_count; ++layer) check_layer(&l, layer);
    for (int k = 0; k < l.arrow_count; ++k) {
      const layout_item *from = &l.items[l.arrows[k].from], *to = &l.items[l.arrows[k].to];
      assert_true(to->x - to->width / 2 - from->x - from->width / 2 > l.arrows[k].label_width - 1e-6);
      for (int layer = from->layer + 1; layer < to->layer; ++layer) {
        const layout_item *bend = &l.items[l.arrows[k].first_bend + layer - from->layer - 1];
        assert_true(bend->bend && bend->layer == layer);
      }
    }
    arena_destroy(a);
  }
}

// Two layers in opposite order: the sweeps take all crossings away.
static void crossings(void **state) {
  (void)state;
  enum { N = 9 };
  layout_item items[2 * N];
  layout_arrow arrows[N];
  for (int i = 0; i < N; ++i) {
    items[i] = (layout_item){.layer = 0, .width = 10, .height = 10};
    items[N + i] = (layout_item){.layer = 1, .width = 10, .height = 10};
    arrows[i] = (layout_arrow){.from = i, .to = 2 * N - 1 - i};
  }
  arena *a = arena_create();
  layout l = {.items = items, .node_count = 2 * N, .arrows = arrows, .arrow_count = N, .gap = 50, .row_gap = 20};
  assert_true(layout_run(a, &l));
  for (int i = 0; i < N; ++i) assert_true(l.items[i].y == l.items[2 * N - 1 - i].y); // straight, too
  arena_destroy(a);
}

// ---- SVG ----

// Every element is closed in its order, and no `<`, `>` or `&` stands alone.
static void check_elements(const char *svg) {
  const char *open[64];
  int depth = 0;
  for (const char *at = svg; *at; ++at) {
    if (*at == '&')
      assert_true(!strncmp(at, "&lt;", 4) || !strncmp(at, "&gt;", 4) || !strncmp(at, "&amp;", 5) ||
                  !strncmp(at, "&quot;", 6));
    if (*at != '<') continue;
    const char *end = strchr(at, '>');
    assert_non_null(end);
    assert_null(memchr(at + 1, '<', (size_t)(end - at - 1)));
    if (at[1] == '/') {
      assert_true(depth > 0);
      size_t length = strcspn(open[--depth] + 1, " >");
      if (strncmp(open[depth] + 1, at + 2, length) || at[2 + length] != '>')
        fail_msg("%.60s closes %.60s", at, open[depth]);
    } else if (end[-1] != '/') {
      assert_true(depth < (int)LENGTH(open));
      open[depth++] = at;
    }
    at = end;
  }
  assert_int_equal(depth, 0);
}

static int count_of(const char *string, const char *part) {
  int count = 0;
  for (const char *at = string; (at = strstr(at, part)); at += strlen(part)) ++count;
  return count;
}

static char *draw(arena *a, const char *network) {
  const graph *g = read_right(a, network);
  text svg = {0}, again = {0};
  lmn_error error = {{0}};
  if (!graph_draw_svg(g, &svg, &error)) fail_msg("%s", error.text);
  assert_true(graph_draw_svg(g, &again, &error));
  assert_string_equal(svg.data, again.data);
  check_elements(svg.data);
  char *copy = arena_copy(a, svg.data, svg.length);
  text_free(&svg);
  text_free(&again);
  return copy;
}

static void says(const char *svg, const char *part, int count) {
  if (count_of(svg, part) != count) fail_msg("\"%s\" stands there %d times, not %d", part, count_of(svg, part), count);
}

static void drawing(void **state) {
  (void)state;
  arena *a = arena_create();
  const char *svg = draw(
      a,
      NET(LLAMA "vertex v[1, 3, 1] : m; vertex w : l [share = false]; edge e = decoder_layer then linear;"
                "input [prefix = 5]; input -> v[0] -> v[1] -> v[2] [edge = e]; v[1] -> w [edge = linear];"
                "{v[2] v[0]} -> output; w -> output [edge = linear]; output [head = classify(3), aggregate = mean];"));
  says(svg, "class=\"tip\"", 1 + 3 + 3 + 3 + 2 + 1); // an arrow each
  says(svg, "stroke-dasharray", 2 + 1);              // the identities and the legend's
  says(svg, ">v[1][2]</text>", 1);
  says(svg, ">m · prefix 5</text>", 1);
  says(svg, ">m · mean · 3 classes</text>", 1);
  says(svg, ">l · sum · own copy</text>", 1);
  says(svg, ">e</text>", 3); // one label between two layers
  says(svg, ">e = decoder_layer(m) then linear · 7 edges</text>", 1);
  says(svg, "fill=\"#dbe9f9\"", 5 + 1); // vertices of the first model, and the legend
  says(svg, "fill=\"#fde6cf\"", 2 + 1); // an own copy has two sheets
  says(svg, "rx=\"14\"", 1);            // the ground of v[1]
  says(svg, ">5 vertices", 0);
  says(svg, ">6 vertices, 13 edges</text>", 1);
  arena_destroy(a);
}

static void large(void **state) {
  (void)state;
  arena *a = arena_create();
  const char *svg = draw(a, NET("vertex v[1, 500, 500, 1] : m; input -> v[0]; v[0] -> v[1] -> v[2] -> v[3] [edge = "
                                "linear]; v[3] -> output;"));
  says(svg, ">500 × v</text>", 2);
  says(svg, ">linear ×250000</text>", 1);
  says(svg, "alike ones drawn as one", 1);
  const graph *g = read_right(
      a, NET("vertex v[60000] : m; input -> v[0]; for i in 1..60000 { v[i - 1] -> v[i]; } v[-1] -> output;"));
  text out = {0};
  lmn_error error = {{0}};
  assert_false(graph_draw_svg(g, &out, &error));
  assert_true(out.length == 0 && strstr(error.text, "60000 vertices"));
  arena_destroy(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(layouts), cmocka_unit_test(crossings), cmocka_unit_test(drawing),
                                     cmocka_unit_test(large)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
