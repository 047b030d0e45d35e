// Arrows: which nodes the two sides name, and what the options say. Sides that are sets are connected all with all,
// source first.
#include "frontend/resolve.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

vertex_array *owner_of(resolver *r, int id) { return id >= NODE_ID_VERTEX ? r->owners[id - NODE_ID_VERTEX] : NULL; }

const char *node_name(resolver *r, int id) {
  if (id == NODE_ID_INPUT) return "input";
  if (id == NODE_ID_OUTPUT) return "output";
  const vertex_array *a = owner_of(r, id);
  int64_t at = id - a->first;
  if (a->rank == 0) return a->name;
  if (a->layered) {
    int64_t low = 0, high = a->sizes[0] - 1; // the layer whose offset is the last not above
    while (low < high) {
      int64_t middle = (low + high + 1) / 2;
      if (a->offsets[middle] <= at) low = middle;
      else high = middle - 1;
    }
    return arena_printf(r->arena, "%s[%" PRId64 "][%" PRId64 "]", a->name, low, at - a->offsets[low]);
  }
  const char *name = a->name;
  int64_t stride = a->count;
  for (int i = 0; i < a->rank; ++i) {
    stride /= a->sizes[i];
    name = arena_printf(r->arena, "%s[%" PRId64 "]", name, at / stride);
    at %= stride;
  }
  return name;
}

// One index with its values: at, or at .. end. Negative ones still count from the end.
typedef struct picked {
  const ast_index *index;
  bool range;
  int64_t at, end;
} picked;

static bool index_value(resolver *r, const ast_value *v, int64_t *result) {
  value got = evaluate(r, v);
  if (got.type == TYPE_INTEGER) return *result = got.integer, true;
  if (got.type != TYPE_NONE) report(r->d, ERROR_TYPE, v->place, "an index is an integer, not %s", type_text(got.type));
  return false;
}

// The half-open range of a dimension of `size` that an index means.
static bool pick(resolver *r, const vertex_array *a, const picked *p, int64_t size, int64_t *low, int64_t *high) {
  int64_t at = p->at < 0 ? p->at + size : p->at, end = at < size ? at + 1 : size;
  if (p->range) end = p->end < 0 ? p->end + size : p->end;
  if (at >= 0 && (p->range ? at <= size && end >= 0 && end <= size : at < size)) {
    *low = at;
    *high = end;
    return true;
  }
  span place = p->index->at->place;
  int64_t wrong = p->at;
  if (p->range && at >= 0 && at <= size) place = p->index->end->place, wrong = p->end;
  diagnostic *item = report(r->d, ERROR_INDEX, place, "index %" PRId64 " of `%s` is out of range: the size is %" PRId64,
                            wrong, a->name, size);
  report_also(r->d, item, r->file, a->place, "declared here");
  report_help(r->d, item, "indices go from 0 to %" PRId64 ", or from -%" PRId64 " to -1, counted from the end",
              size - 1, size);
  return false;
}

// Adds the nodes from `dimension` on. base: how many nodes come before (after a layered array's first dimension: which
// layer it is); parts: how many nodes the element has that the indices before chose.
static bool walk(resolver *r, const vertex_array *a, const picked *p, int count, int dimension, int64_t base,
                 int64_t parts, selection *to) {
  if (dimension == a->rank) {
    GROW(to->ids, to->count, to->capacity);
    to->ids[to->count++] = a->first + (int)base;
    return spend(r, 1, a->place);
  }
  bool layer_row = a->layered && dimension == 1; // here base is the layer
  int64_t size = layer_row ? a->widths[base] : a->sizes[dimension], low = 0, high = size;
  if (dimension < count && !pick(r, a, &p[dimension], size, &low, &high)) return false;
  if (layer_row) base = a->offsets[base];
  if (!a->layered) parts /= size;
  int64_t step = a->layered ? 1 : parts;
  for (int64_t i = low; i < high; ++i)
    if (!walk(r, a, p, count, dimension + 1, base + i * step, parts, to)) return false;
  return true;
}

bool select_nodes(resolver *r, const ast_node *node, selection *to) {
  bool input = !strcmp(node->name.text, "input"), output = !strcmp(node->name.text, "output");
  if (input || output) {
    if (node->indices) {
      report(r->d, ERROR_INDICES, node->place, "`%s` is a single node and takes no index", node->name.text);
      return false;
    }
    GROW(to->ids, to->count, to->capacity);
    to->ids[to->count++] = input ? NODE_ID_INPUT : NODE_ID_OUTPUT;
    return true;
  }
  symbol *s = symbol_find(r, node->name.text);
  if (!s) {
    report_unknown(r, node->name, "vertex", 1u << SYMBOL_VERTEX);
    return false;
  }
  if (s->kind != SYMBOL_VERTEX) {
    diagnostic *item =
        report(r->d, ERROR_WRONG_KIND, node->name.place, "`%s` is %s, not a vertex", s->name, symbol_kind_text(s));
    report_also(r->d, item, r->file, s->place, "declared here");
    return false;
  }
  const vertex_array *a = s->vertex;
  picked p[LIMIT_DIMENSIONS];
  int count = 0;
  for (const ast_index *index = node->indices; index; index = index->next) {
    if (a->broken) return false;
    if (count == a->rank) {
      diagnostic *item;
      if (!a->rank)
        item = report(r->d, ERROR_INDICES, index->place, "`%s` is a single vertex and takes no index", a->name);
      else
        item = report(r->d, ERROR_INDICES, index->place, "`%s` has %d dimension%s: there is no index more", a->name,
                      a->rank, a->rank == 1 ? "" : "s");
      report_also(r->d, item, r->file, a->place, "declared here");
      return false;
    }
    p[count] = (picked){.index = index, .range = index->end != NULL};
    if (!index_value(r, index->at, &p[count].at)) return false;
    if (index->end && !index_value(r, index->end, &p[count].end)) return false;
    ++count;
  }
  return !a->broken && walk(r, a, p, count, 0, 0, a->count, to);
}

// The hash table over (from, to); -1: no such arrow yet.
static int *arrow_slot(resolver *r, int from, int to) {
  uint64_t key = (uint64_t)(uint32_t)from << 32 | (uint32_t)to;
  uint64_t at = key * 0x9e3779b97f4a7c15u;
  for (at >>= 32;; ++at) {
    int *slot = &r->arrow_index[at & (uint64_t)(r->arrow_slots - 1)];
    if (!*slot || (r->arrows[*slot - 1].from == from && r->arrows[*slot - 1].to == to)) return slot;
  }
}

static void grow_arrow_index(resolver *r) {
  if (r->arrow_count * 2 < r->arrow_slots) return;
  free(r->arrow_index);
  r->arrow_slots = r->arrow_slots ? r->arrow_slots * 2 : 256;
  r->arrow_index = memory_zero(sizeof *r->arrow_index * (size_t)r->arrow_slots);
  for (int i = 0; i < r->arrow_count; ++i) *arrow_slot(r, r->arrows[i].from, r->arrows[i].to) = i + 1;
}

static bool add_arrow(resolver *r, int from, int to, span place, edge_template *edge) {
  if (!spend(r, 1, place)) return false;
  grow_arrow_index(r);
  int *slot = arrow_slot(r, from, to);
  if (*slot) {
    if (is_reported(r->d, ERROR_ARROW_TWICE, place)) return true;
    const arrow_draft *first = &r->arrows[*slot - 1];
    diagnostic *item = report(r->d, ERROR_ARROW_TWICE, place, "there are two arrows from `%s` to `%s`",
                              node_name(r, from), node_name(r, to));
    if (memcmp(&first->place, &place, sizeof place))
      report_also(r->d, item, r->file, first->place, "the first is here");
    report_help(r->d, item, "one arrow may have a chain of modules: `[edge = a then b]`");
    return true;
  }
  GROW(r->arrows, r->arrow_count, r->arrow_capacity);
  r->arrows[r->arrow_count++] = (arrow_draft){from, to, place, edge};
  *slot = r->arrow_count;
  return true;
}

static void connect_sets(resolver *r, const selection *from, const selection *to, span place, edge_template *edge) {
  if ((int64_t)from->count * to->count + r->arrow_count > LIMIT_ARROWS) {
    report(r->d, ERROR_LIMIT_EDGES, place, "the network has more than %d edges", LIMIT_ARROWS);
    r->broken = true;
    return;
  }
  for (int i = 0; i < from->count; ++i)
    for (int j = 0; j < to->count; ++j)
      if (!add_arrow(r, from->ids[i], to->ids[j], place, edge)) return;
}

// A side's nodes; `source` and `target` tell on which sides of an arrow it stands.
static bool select_side(resolver *r, const ast_nodes *side, bool source, bool target, selection *to) {
  bool ok = true;
  for (const ast_node *node = side->first; node; node = node->next) {
    int before = to->count;
    if (!select_nodes(r, node, to)) {
      ok = false;
      continue;
    }
    if (to->count == before) continue;
    int id = to->ids[before];
    if (id == NODE_ID_INPUT && target)
      report(r->d, ERROR_DIRECTION, node->place, "no arrow goes into `input`"), ok = false;
    if (id == NODE_ID_OUTPUT && source)
      report(r->d, ERROR_DIRECTION, node->place, "no arrow leaves `output`"), ok = false;
  }
  return ok;
}

static ast_arguments *statement_options(resolver *r, const ast_statement *s) {
  for (ast_nodes *side = s->nodes; side; side = side->next) {
    bool last = !side->next;
    for (ast_node *node = side->first; node; node = node->next) {
      if (!node->has_options || (last && !side->braces)) continue;
      diagnostic *item =
          report(r->d, ERROR_OPTIONS_PLACE, node->options_place, "options stand at the end of the statement");
      if (!strcmp(node->name.text, "input") || !strcmp(node->name.text, "output"))
        report_help(r->d, item, "the options of `%s` are a statement of their own: `%s [ … ];`", node->name.text,
                    node->name.text);
      else report_help(r->d, item, "they hold for each of its arrows");
    }
    if (side->has_options && !last)
      report(r->d, ERROR_OPTIONS_PLACE, side->options_place, "options stand at the end of the statement");
    if (last) return side->braces ? &side->options : &side->first->options;
  }
  return NULL;
}

static bool take_normal(resolver *r, const ast_value *v, double *mean, double *std) {
  static const signature normal = {"normal", 2, {"mean", "std"}};
  ast_name callee;
  const ast_arguments *arguments;
  if (!callee_of(v, &callee, &arguments) || strcmp(callee.text, "normal")) {
    report(r->d, ERROR_WORD, v->place, "`prefix_init` is `normal(mean, std)`");
    return false;
  }
  const ast_value *argument[SIGNATURE_PARAMETERS];
  return bind_arguments(r, &normal, callee, arguments, argument) &&
         take_real(r, argument[0], "`mean`", -1e30, 1e30, mean) && take_real(r, argument[1], "`std`", 0, 1e30, std);
}

// An option of input or output may be set by several statements, each option once.
static bool first_time(resolver *r, bool said, const ast_argument *option) {
  if (said) report(r->d, ERROR_OPTION_TWICE, option->name.place, "the option `%s` is given twice", option->name.text);
  return !said;
}

static void node_model_option(resolver *r, const ast_argument *option, int *model, span *place) {
  if (!first_time(r, *model != -1, option)) return;
  *place = option->value->place;
  if (!take_model(r, option->value, model) || *model < 0) *model = -2;
}

static void input_options(resolver *r, const ast_arguments *options) {
  static const char *const names[] = {"model", "prefix", "prefix_init", "prefix_frozen"};
  ast_argument *option[LENGTH(names)];
  graph *g = r->graph;
  bind_options(r, "`input`", names, (int)LENGTH(names), options, option);
  if (option[0]) node_model_option(r, option[0], &r->input_model, &r->input_model_place);
  if (option[1] && first_time(r, r->prefix_said, option[1]))
    r->prefix_said = true, take_integer(r, option[1]->value, "`prefix`", 0, LIMIT_VERTICES, &g->prefix);
  if (option[2] && first_time(r, r->prefix_init_said, option[2]))
    r->prefix_init_said = true, take_normal(r, option[2]->value, &g->prefix_mean, &g->prefix_std);
  if (option[3] && first_time(r, r->prefix_frozen_said, option[3]))
    r->prefix_frozen_said = true, take_truth(r, option[3]->value, "`prefix_frozen`", &g->prefix_frozen);
}

static void head_option(resolver *r, const ast_value *v) {
  static const signature classify = {"classify", 1, {"n"}};
  static const char *const words[] = {"lm", "classify(n)"};
  ast_name callee;
  const ast_arguments *arguments;
  const ast_value *argument[SIGNATURE_PARAMETERS];
  int word;
  if (callee_of(v, &callee, &arguments) && !strcmp(callee.text, "classify")) {
    if (bind_arguments(r, &classify, callee, arguments, argument))
      take_integer(r, argument[0], "the number of classes", 2, LIMIT_SIZE, &r->graph->classes);
    return;
  }
  take_word(r, v, "`head`", words, (int)LENGTH(words), &word);
}

static void output_options(resolver *r, const ast_arguments *options) {
  static const char *const names[] = {"model", "head", "aggregate"};
  ast_argument *option[LENGTH(names)];
  bind_options(r, "`output`", names, (int)LENGTH(names), options, option);
  if (option[0]) node_model_option(r, option[0], &r->output_model, &r->output_model_place);
  if (option[1] && first_time(r, r->head_said, option[1])) r->head_said = true, head_option(r, option[1]->value);
  if (option[2] && first_time(r, r->output_aggregate >= 0, option[2])) {
    int words;
    const char *const *aggregates = aggregate_words(&words);
    take_word(r, option[2]->value, "`aggregate`", aggregates, words, &r->output_aggregate);
    r->output_aggregate_place = option[2]->value->place;
  }
}

// A statement without an arrow: the options of input or output.
static void run_options(resolver *r, const ast_statement *s) {
  const ast_nodes *side = s->nodes;
  const ast_node *node = side->first;
  bool input = !strcmp(node->name.text, "input"), output = !strcmp(node->name.text, "output");
  if (!side->braces && !node->indices && node->has_options && (input || output)) {
    if (input) input_options(r, &node->options);
    else output_options(r, &node->options);
    return;
  }
  selection to = {0};
  if (select_side(r, side, false, false, &to)) {
    diagnostic *item = report(r->d, ERROR_NO_ARROW, s->place, "this statement has no arrow");
    if (node->has_options && !input && !output)
      report_help(r->d, item, "a vertex has its options where it is declared: `vertex %s : … [ … ];`", node->name.text);
    else report_help(r->d, item, "write `%s -> …;`", node->name.text);
  } else {
    r->broken = true;
  }
  free(to.ids);
}

void run_connect(resolver *r, const ast_statement *s) {
  if (!s->nodes->next) {
    run_options(r, s);
    return;
  }
  static const char *const names[] = {"edge"};
  ast_argument *option[LENGTH(names)];
  edge_template *edge = NULL;
  bind_options(r, "an arrow", names, (int)LENGTH(names), statement_options(r, s), option);
  if (option[0]) edge = edge_evaluate(r, option[0]->value);
  selection sides[2] = {{0}, {0}};
  bool ok = select_side(r, s->nodes, true, false, &sides[0]);
  for (const ast_nodes *side = s->nodes; side->next && !r->stopped; side = side->next) {
    selection *from = &sides[0], *to = &sides[1];
    to->count = 0;
    bool target = select_side(r, side->next, side->next->next != NULL, true, to);
    if (ok && target) connect_sets(r, from, to, span_join(side->place, side->next->place), edge);
    else r->broken = true;
    ok = target;
    selection swap = sides[0];
    sides[0] = sides[1];
    sides[1] = swap;
  }
  free(sides[0].ids);
  free(sides[1].ids);
}
