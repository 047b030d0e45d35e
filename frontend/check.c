// Whether the arrows make a network: no cycle, every vertex reached from input and reaching output.
#include "frontend/resolve.h"

#include <stdlib.h>
#include <string.h>

// The arrows by their source and by their target, as index ranges: of node v, list[start[v]] … list[start[v + 1] - 1].
typedef struct adjacency {
  int *start, *list;
} adjacency;

static adjacency adjacency_make(resolver *r, int nodes, bool by_source) {
  adjacency a = {memory_zero(sizeof(int) * (size_t)(nodes + 2)),
                 memory_zero(sizeof(int) * (size_t)(r->arrow_count + 1))};
  for (int i = 0; i < r->arrow_count; ++i) ++a.start[(by_source ? r->arrows[i].from : r->arrows[i].to) + 2];
  for (int i = 1; i <= nodes; ++i) a.start[i + 1] += a.start[i];
  for (int i = 0; i < r->arrow_count; ++i) a.list[a.start[(by_source ? r->arrows[i].from : r->arrows[i].to) + 1]++] = i;
  return a;
}

static void adjacency_free(adjacency *a) {
  free(a->start);
  free(a->list);
}

// Ready nodes, the one declared first on top; output (id 1) comes after every vertex.
typedef struct heap {
  int *ids;
  int count;
} heap;

static int rank_of(int id) { return id == NODE_ID_OUTPUT ? INT32_MAX : id; }

static void heap_push(heap *h, int id) {
  int at = h->count++;
  for (; at > 0 && rank_of(h->ids[(at - 1) / 2]) > rank_of(id); at = (at - 1) / 2) h->ids[at] = h->ids[(at - 1) / 2];
  h->ids[at] = id;
}

static int heap_pop(heap *h) {
  int top = h->ids[0], last = h->ids[--h->count], at = 0;
  for (int child; (child = 2 * at + 1) < h->count; at = child) {
    if (child + 1 < h->count && rank_of(h->ids[child + 1]) < rank_of(h->ids[child])) ++child;
    if (rank_of(last) <= rank_of(h->ids[child])) break;
    h->ids[at] = h->ids[child];
  }
  h->ids[at] = last;
  return top;
}

// Kahn's algorithm; `ignored` arrows count as absent. Returns how many nodes have a place in the order; pending[v] > 0
// for the others.
static int sort_nodes(resolver *r, const adjacency *out, int nodes, const bool *ignored, int *pending, int *order,
                      int *layers) {
  memset(pending, 0, sizeof *pending * (size_t)nodes);
  memset(layers, 0, sizeof *layers * (size_t)nodes);
  for (int i = 0; i < r->arrow_count; ++i) pending[r->arrows[i].to] += !ignored[i];
  heap h = {memory_alloc(sizeof(int) * (size_t)nodes), 0};
  for (int v = 0; v < nodes; ++v)
    if (!pending[v]) heap_push(&h, v);
  int count = 0;
  while (h.count) {
    int v = order[count++] = heap_pop(&h);
    for (int k = out->start[v]; k < out->start[v + 1]; ++k) {
      if (ignored[out->list[k]]) continue;
      int to = r->arrows[out->list[k]].to;
      if (layers[to] < layers[v] + 1) layers[to] = layers[v] + 1;
      if (!--pending[to]) heap_push(&h, to);
    }
  }
  free(h.ids);
  return count;
}

// Names the cycle's nodes from its first declared one on, the long ones shortened in the middle.
static void report_cycle(resolver *r, const int *path, int count, int closing) {
  text names = {0};
  for (int i = 0; i <= count; ++i) {
    if (count > 12 && i == 6) text_printf(&names, " -> … %d more …", count - 11);
    if (count > 12 && i >= 6 && i < count - 5) continue;
    text_printf(&names, "%s%s", i ? " -> " : "", node_name(r, path[i % count]));
  }
  const arrow_draft *arrow = &r->arrows[closing];
  diagnostic *item = report(r->d, ERROR_CYCLE, arrow->place, "the network has a cycle: %s", names.data);
  report_label(r->d, item, "`%s` -> `%s` closes it", node_name(r, arrow->from), node_name(r, arrow->to));
  report_help(r->d, item, "a network is acyclic: repeat the vertices, as in `r[rounds][n]`, for several rounds");
  text_free(&names);
}

// A cycle among the nodes that have no place in the order: every one of them has a predecessor among them. The cycle's
// arrow that was declared last is ignored from then on.
static void find_cycle(resolver *r, const adjacency *in, int nodes, bool *ignored, const int *pending) {
  int *mark = memory_zero(sizeof(int) * (size_t)nodes), *path = memory_alloc(sizeof(int) * (size_t)(nodes + 1));
  int *via = memory_alloc(sizeof(int) * (size_t)(nodes + 1)), v = 0, length = 0;
  while (!pending[v]) ++v;
  while (!mark[v]) {
    mark[v] = length + 1;
    path[length] = v;
    int k = in->start[v];
    while (ignored[in->list[k]] || !pending[r->arrows[in->list[k]].from]) ++k;
    via[length++] = in->list[k];
    v = r->arrows[in->list[k]].from;
  }
  int first = mark[v] - 1, count = length - first, closing = via[first], least = first; // path goes against the arrows
  for (int i = first; i < length; ++i) {
    if (via[i] > closing) closing = via[i];
    if (rank_of(path[i]) < rank_of(path[least])) least = i;
  }
  int *forward = memory_alloc(sizeof(int) * (size_t)count);
  for (int i = 0; i < count; ++i) forward[i] = path[first + ((least - first) - i + count) % count];
  report_cycle(r, forward, count, closing);
  ignored[closing] = true;
  free(forward);
  free(via);
  free(path);
  free(mark);
}

static void reach(resolver *r, const adjacency *a, int from, bool by_source, bool *reached, int *stack) {
  int count = 0;
  reached[from] = true;
  stack[count++] = from;
  while (count) {
    int v = stack[--count];
    for (int k = a->start[v]; k < a->start[v + 1]; ++k) {
      int next = by_source ? r->arrows[a->list[k]].to : r->arrows[a->list[k]].from;
      if (reached[next]) continue;
      reached[next] = true;
      stack[count++] = next;
    }
  }
}

// One message a declaration, which names a few of its vertices.
static void report_unreached(resolver *r, const vertex_array *a, const bool *reached, error_code code,
                             const char *what) {
  int missing = 0;
  text names = {0};
  for (int i = 0; i < a->count; ++i) {
    if (reached[a->first + i]) continue;
    if (missing++ < 4) text_printf(&names, "%s`%s`", missing > 1 ? ", " : "", node_name(r, a->first + i));
  }
  if (missing > 4) text_printf(&names, " and %d more", missing - 4);
  if (missing) {
    diagnostic *item =
        report(r->d, code, a->place, "%s %s: %s", missing == 1 ? "a vertex" : "vertices", what, names.data);
    if (code == ERROR_UNREACHED)
      report_help(r->d, item, "draw an arrow into %s from `input` or from a vertex that it reaches",
                  missing == 1 ? "it" : "them");
    else
      report_help(r->d, item, "draw an arrow out of %s, to `output` or to a vertex that reaches it",
                  missing == 1 ? "it" : "them");
  }
  text_free(&names);
}

static void check_reachability(resolver *r, const adjacency *out, const adjacency *in, int nodes) {
  bool *forward = memory_zero((size_t)nodes), *backward = memory_zero((size_t)nodes);
  int *stack = memory_alloc(sizeof(int) * (size_t)nodes);
  reach(r, out, NODE_ID_INPUT, true, forward, stack);
  reach(r, in, NODE_ID_OUTPUT, false, backward, stack);
  bool starts = out->start[NODE_ID_INPUT + 1] > out->start[NODE_ID_INPUT],
       ends = in->start[NODE_ID_OUTPUT + 1] > in->start[NODE_ID_OUTPUT];
  span place = r->network->name.place;
  if (!starts)
    report_help(r->d, report(r->d, ERROR_UNREACHED, place, "no arrow leaves `input`"), "write `input -> …;`");
  if (!ends)
    report_help(r->d, report(r->d, ERROR_DEAD_END, place, "no arrow reaches `output`"), "write `… -> output;`");
  for (int i = 0; i < r->vertex_count; ++i) {
    const vertex_array *a = r->vertices[i];
    if (starts) report_unreached(r, a, forward, ERROR_UNREACHED, "not reached from `input`");
    for (int k = 0; starts && k < a->count; ++k) backward[a->first + k] |= !forward[a->first + k]; // said already
    if (ends) report_unreached(r, a, backward, ERROR_DEAD_END, "not reaching `output`");
  }
  free(stack);
  free(backward);
  free(forward);
}

bool check_network(resolver *r, int *order, int *layers) {
  int nodes = NODE_ID_VERTEX + r->owner_count, errors = r->d->count;
  adjacency out = adjacency_make(r, nodes, true), in = adjacency_make(r, nodes, false);
  bool *ignored = memory_zero((size_t)r->arrow_count + 1);
  int *pending = memory_alloc(sizeof(int) * (size_t)nodes);
  for (int cycles = 0; cycles < 20 && sort_nodes(r, &out, nodes, ignored, pending, order, layers) < nodes; ++cycles)
    find_cycle(r, &in, nodes, ignored, pending);
  if (!r->broken) check_reachability(r, &out, &in, nodes);
  free(pending);
  free(ignored);
  adjacency_free(&in);
  adjacency_free(&out);
  return errors == r->d->count;
}
