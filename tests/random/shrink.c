// A smaller network that still fails: one change after the other is tried, what still fails is kept, until nothing
// does.
#include "shrink.h"

#include <string.h>

// ---- what can be left out ------------------------------------------------------------------------

static void drop_arrow(net_spec *s, int arrow) {
  s->arrow_count--;
  memmove(&s->arrows[arrow], &s->arrows[arrow + 1], (size_t)(s->arrow_count - arrow) * sizeof *s->arrows);
}

static bool has_arrow(const net_spec *s, int from, int to) {
  for (int i = 0; i < s->arrow_count; ++i)
    if (s->arrows[i].from == from && s->arrows[i].to == to) return true;
  return false;
}

// What read the vertex reads one of its sources instead.
static void drop_vertex(net_spec *s, int vertex) {
  int source = SPEC_OUTPUT;
  for (int i = s->arrow_count - 1; i >= 0; --i)
    if (s->arrows[i].to == vertex) source = s->arrows[i].from, drop_arrow(s, i);
  for (int i = s->arrow_count - 1; i >= 0; --i) {
    spec_arrow *a = &s->arrows[i];
    if (a->from != vertex) continue;
    if (source == SPEC_OUTPUT || has_arrow(s, source, a->to)) drop_arrow(s, i);
    else a->from = source;
  }
  for (int i = 0; i < s->arrow_count; ++i) {
    s->arrows[i].from -= s->arrows[i].from > vertex;
    s->arrows[i].to -= s->arrows[i].to > vertex;
  }
  s->vertex_count--;
  memmove(&s->vertices[vertex], &s->vertices[vertex + 1], (size_t)(s->vertex_count - vertex) * sizeof *s->vertices);
}

static bool uses_model(const net_spec *s, int model) {
  if (s->input_model == model || s->output_model == model) return true;
  for (int i = 0; i < s->vertex_count; ++i)
    if (s->vertices[i].model == model) return true;
  for (int i = 0; i < s->chain_count; ++i)
    for (int k = 0; k < s->chains[i].count; ++k)
      if (s->chains[i].parts[k].kind == PART_DECODER_LAYER && s->chains[i].parts[k].size == model) return true;
  return false;
}

// The changes of one thing, numbered from 0; false: there is no such number.
static bool change_arrow(net_spec *s, int number) {
  int arrow = number / 2;
  if (arrow >= s->arrow_count) return false;
  if (number % 2 == 0) drop_arrow(s, arrow);
  else s->arrows[arrow].chain = SPEC_IDENTITY;
  return true;
}

static bool change_vertex(net_spec *s, int number) {
  int vertex = number / 4;
  if (vertex >= s->vertex_count) return false;
  spec_vertex *v = &s->vertices[vertex];
  switch (number % 4) {
  case 0: drop_vertex(s, vertex); break;
  case 1: v->aggregate = SPEC_UNSAID; break;
  case 2: v->shared = true; break;
  default: v->model = 0;
  }
  return true;
}

static bool change_chain(net_spec *s, int number) {
  int chain = number / (2 * SPEC_PARTS + 1), change = number % (2 * SPEC_PARTS + 1), part = change / 2;
  if (chain >= s->chain_count) return false;
  spec_chain *c = &s->chains[chain];
  if (change == 2 * SPEC_PARTS) c->named = false;
  else if (part >= c->count) return true;
  else if (change % 2) c->parts[part].bias = false;
  else memmove(&c->parts[part], &c->parts[part + 1], (size_t)(--c->count - part) * sizeof *c->parts);
  return true;
}

static bool change_setting(net_spec *s, int number) {
  switch (number) {
  case 0: s->phase_count = s->phase = 0; break;
  case 1: s->freeze[s->phase] &= FREEZE_MODELS | FREEZE_EDGES; break;
  case 2: s->freeze[s->phase] = 0; break;
  case 3: s->generates = false; break;
  case 4: s->packed = false; break;
  case 5: s->prefix = 0; break;
  case 6: s->classes = 0; break;
  case 7: s->smoothing = 0; break;
  case 8: s->default_aggregate = SPEC_UNSAID; break;
  case 9: s->output_aggregate = SPEC_UNSAID; break;
  case 10: s->input_model = SPEC_UNSAID; break;
  case 11: s->output_model = SPEC_UNSAID; break;
  case 12: s->prefix_frozen = false; break;
  case 13: s->prefix = s->prefix > 1 ? 1 : s->prefix; break;
  case 14: s->models[0] = 0; break;
  case 15: s->model_count -= s->model_count > 1 && !uses_model(s, s->model_count - 1); break;
  case 16: s->recompute = 0; break;
  default: return false;
  }
  return true;
}

// Last, because small sizes have kernels of their own.
static bool change_size(net_spec *s, int number) {
  switch (number) {
  case 0: s->batch = 1; break;
  case 1: s->length = s->length > 1 ? s->length / 2 : 1; break;
  case 2: s->length -= s->length > 1; break;
  default: return false;
  }
  return true;
}

// ---- trying --------------------------------------------------------------------------------------

static bool smaller(net_spec *s, bool (*change)(net_spec *, int), still_fails *fails, void *user) {
  bool progress = false;
  for (int number = 0;;) {
    net_spec candidate = *s;
    if (!change(&candidate, number)) return progress;
    bool same = !memcmp(&candidate, s, sizeof *s);
    if (same || !fails(&candidate, user)) {
      ++number;
      continue;
    }
    *s = candidate; // the same number is something else now
    progress = true;
  }
}

void spec_shrink(net_spec *s, still_fails *fails, void *user) {
  for (bool progress = true; progress;) {
    progress = smaller(s, change_setting, fails, user);
    progress |= smaller(s, change_vertex, fails, user);
    progress |= smaller(s, change_arrow, fails, user);
    progress |= smaller(s, change_chain, fails, user);
    progress |= smaller(s, change_size, fails, user);
  }
}
